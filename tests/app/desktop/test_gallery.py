"""The gallery at the desk: query line, facets, objects, choosing, bulk verbs, pictures of the manual."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from app.desktop.gallery import page as gallery_page
from app.desktop.gallery.crops import region
from app.desktop.gallery.page import Gallery
from app.desktop.gallery.selection import Selection
from app.desktop.overlaid import Sheet
from app.services import labelling, listing
from app.services.listing import ObjectRow
from tests.app.desktop.conftest import Hand

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def gallery(hand: Hand) -> Gallery:
    """The gallery of five pictures, three predictions on the second; read, listed and counted."""
    hand.key("2", CTRL)
    made = hand.window.gallery
    rest(hand, made)
    return made


def rest(hand: Hand, gallery: Gallery) -> None:
    """Wait until everything is listed and counted."""
    hand.qtbot.waitUntil(
        lambda: gallery.rows.complete and gallery.names.schema is not None and gallery.facets.share >= 1
        and gallery.facets._fresh and not gallery.facets._soon.isActive() and not hand.desk.tasks.running
        and hand.desk.tasks.readers.idle,
        timeout=15_000,
    )  # fmt: skip


def look(hand: Hand, gallery: Gallery, text: str, *, objects: bool = False) -> int:
    """Ask, wait, and tell how many there are."""
    gallery.ask(text)
    gallery.show_objects(objects)
    rest(hand, gallery)
    return gallery.rows.count


def truth(hand: Hand) -> int:
    assert hand.desk.ws is not None
    return sum(a.origin == "human" for a in labelling.load(hand.desk.ws, 2).annotations)


def click(gallery: Gallery, position: int, keys=Qt.KeyboardModifier.NoModifier) -> None:
    at = gallery.grid.rect_of(position).center()
    QTest.mouseClick(gallery.grid.viewport(), Qt.MouseButton.LeftButton, keys, at)


# --- the query line ----------------------------------------------------------------------------------------------


def test_what_is_typed_is_looked_at_and_shown_as_chips(hand: Hand, gallery: Gallery) -> None:
    QTest.keyClick(gallery.grid, "/")
    assert gallery.line.edit.hasFocus()
    QTest.keyClicks(gallery.line.edit, "class:helmet score<0.5")
    QTest.keyClick(gallery.line.edit, Qt.Key.Key_Return)
    rest(hand, gallery)
    assert (gallery.rows.count, gallery.grid.hasFocus()) == (1, True)
    assert gallery.line._chips_row.count() == 2
    gallery.line._chips_row.itemAt(0).widget().click()
    rest(hand, gallery)
    assert listing.show(gallery.node, gallery.names) == "score<0.5"


def test_a_line_that_cannot_be_read_says_why_and_changes_nothing(hand: Hand, gallery: Gallery) -> None:
    gallery.line.start()
    QTest.keyClicks(gallery.line.edit, "class:halmet")
    QTest.keyClick(gallery.line.edit, Qt.Key.Key_Return)
    assert "helmet" in gallery.line.fault.text() and gallery.line.edit.wrong_at == 6
    assert gallery.rows.count == 5 and gallery.line.edit.hasFocus()
    QTest.keyClick(gallery.line.edit, Qt.Key.Key_Escape)
    QTest.keyClick(gallery.line.edit, Qt.Key.Key_Escape)
    assert gallery.grid.hasFocus() and not gallery.line.fault.isVisible()


def test_tab_completes_with_counts(hand: Hand, gallery: Gallery) -> None:
    gallery.line.start()
    QTest.keyClicks(gallery.line.edit, "class:per")
    assert gallery.line.popup.isVisible()
    first = gallery.line._offered[0]
    assert (first.text, first.n) == ("person", 2)
    QTest.keyClick(gallery.line.edit, Qt.Key.Key_Tab)
    assert gallery.line.edit.text() == "class:person "
    hand.qtbot.waitUntil(lambda: gallery.rows.complete and gallery.rows.count == 1)


def test_the_line_speaks_the_language_in_use(hand: Hand, gallery: Gallery) -> None:
    look(hand, gallery, "class:helmet")
    hand.desk.set_language("zh_CN")
    rest(hand, gallery)
    assert gallery.line._chips_row.itemAt(0).widget().text().startswith("类:安全帽")
    gallery.line.start()
    QTest.keyClicks(gallery.line.edit, "")
    assert gallery.line.edit.text().strip() == "类:安全帽"
    hand.desk.set_language("en")


def test_a_state_in_the_text_is_the_queue_of_every_place(hand: Hand, gallery: Gallery) -> None:
    look(hand, gallery, "state:predicted class:person")
    assert hand.desk.query is not None
    assert (hand.desk.query.state, hand.desk.query.where) == ("predicted", "class:person")
    hand.desk.narrow(state=None)
    rest(hand, gallery)
    assert listing.show(gallery.node, gallery.names) == "class:person"


def test_a_filter_is_saved_and_taken_again_by_a_click(hand: Hand, gallery: Gallery) -> None:
    look(hand, gallery, "score>0.8")
    gallery.save_filter()
    sheet = gallery.window().findChild(gallery_page.Sheet)
    edit = sheet.focusWidget()
    QTest.keyClicks(edit, "sure ones")
    QTest.keyClick(edit, Qt.Key.Key_Return)
    hand.qtbot.waitUntil(lambda: [s.name for s in gallery.facets._saved] == ["sure ones"])
    look(hand, gallery, "")
    gallery.facets.asked.emit(gallery.facets._saved[0].text)
    rest(hand, gallery)
    assert listing.show(gallery.node, gallery.names) == "score>0.8" and gallery.rows.count == 1


# --- facets ------------------------------------------------------------------------------------------------------


def test_a_facet_asks_in_words_and_a_second_click_takes_it_back(hand: Hand, gallery: Gallery) -> None:
    row = gallery.facets._rows["class", "helmet"]
    assert row.count == "1"
    row.click()
    rest(hand, gallery)
    assert listing.show(gallery.node, gallery.names) == "class:helmet" and gallery.rows.count == 1
    assert gallery.facets._rows["class", "person"].count == "2"  # the others stay in sight
    gallery.facets._rows["class", "helmet"].click()
    rest(hand, gallery)
    assert gallery.rows.count == 5


def test_bars_ask_for_a_range_of_scores(hand: Hand, gallery: Gallery) -> None:
    bars = gallery.facets._histogram
    assert sum(bars.values) == 3
    QTest.mousePress(bars, Qt.MouseButton.LeftButton, pos=QPoint(bars.width() // 2 + 4, 20))
    QTest.mouseRelease(bars, Qt.MouseButton.LeftButton, pos=QPoint(bars.width() // 2 + 4, 20))
    rest(hand, gallery)
    assert listing.show(gallery.node, gallery.names) == "score:0.5..0.55"
    assert bars.chosen == (10, 10)


def test_facets_are_counted_only_while_somebody_looks(hand: Hand, gallery: Gallery) -> None:
    hand.window.go("overview")
    gallery.ask("class:person")
    assert not gallery.facets._soon.isActive()
    hand.window.go("gallery")
    rest(hand, gallery)
    assert gallery.facets.tally.n["class", "person"] == 2


# --- objects -----------------------------------------------------------------------------------------------------


def test_objects_are_listed_sorted_and_cut_out(hand: Hand, gallery: Gallery) -> None:
    assert look(hand, gallery, "", objects=True) == 3
    gallery.sort_by("score")
    rest(hand, gallery)
    hand.qtbot.waitUntil(lambda: gallery.rows.row(2) is not None)
    shown = [gallery.rows.row(i) for i in range(3)]
    assert [o.score for o in shown] == [0.9, 0.7, 0.4]
    hand.qtbot.waitUntil(lambda: all(gallery.crops.get(o) is not None for o in shown))
    crop = gallery.crops.get(shown[0])
    assert crop.box is not None and 0 <= crop.box.left() < crop.box.right() <= 1.01


@pytest.mark.parametrize(
    "box", [(0, 0, 4, 4), (470, 350, 480, 360), (0, 0, 480, 360), (-50, -20, 900, 700), (100, 0, 101, 360)]
)
def test_a_cut_out_lies_inside_its_picture(box: tuple[float, float, float, float]) -> None:
    o = ObjectRow(1, "00", 1, "person", "box", box, {}, None, "human", "p", 480, 360, "draft", "labelled")
    x0, y0, x1, y1 = region(o, (480, 360))
    assert 0 <= x0 < x1 <= 480 and 0 <= y0 < y1 <= 360
    assert x1 - x0 >= 48


def test_a_double_click_on_an_object_opens_its_picture_with_it_selected(hand: Hand, gallery: Gallery) -> None:
    look(hand, gallery, "class:helmet", objects=True)
    hand.qtbot.waitUntil(lambda: gallery.rows.row(0) is not None)
    o = gallery.rows.row(0)
    at = gallery.grid.rect_of(0).center()
    QTest.mouseDClick(gallery.grid.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    hand.qtbot.waitUntil(lambda: hand.ready(2) and hand.doc.selection == (o.uid,))
    assert hand.window.place == "annotate"


# --- choosing ----------------------------------------------------------------------------------------------------


def test_runs_of_chosen_positions_merge_split_and_count() -> None:
    s, model = Selection(), set[int]()
    deeds = [
        ("add", 3, 7),
        ("add", 10, 12),
        ("toggle", 5),
        ("add", 7, 10),
        ("toggle", 0),
        ("add", 4, 6),
        ("toggle", 11),
        ("toggle", 11),
        ("add", 0, 2),
    ]
    for name, *args in deeds:
        getattr(s, name)(*args)
        model = model | set(range(*args)) if name == "add" else model ^ {args[0]}
        assert list(s) == sorted(model) and len(s) == len(model)
        assert all((i in s) == (i in model) for i in range(14))
    s.only(2, 2)
    assert not s


def test_click_shift_ctrl_space_and_all_choose(hand: Hand, gallery: Gallery) -> None:
    grid = gallery.grid
    click(gallery, 0)
    click(gallery, 2, SHIFT)
    assert list(grid.selection) == [0, 1, 2]
    click(gallery, 4, CTRL)
    assert list(grid.selection) == [0, 1, 2, 4]
    QTest.keyClick(grid, Qt.Key.Key_Space)
    assert list(grid.selection) == [0, 1, 2]
    assert gallery.bar.isVisible() and "3" in gallery.bar.text.text()
    QTest.keyClick(grid, "a", CTRL)
    assert grid.everything and len(grid.selection) == 5
    QTest.keyClick(grid, Qt.Key.Key_Escape)
    assert not grid.selection and not gallery.bar.isVisible()


def test_a_screen_reader_hears_where_one_is(hand: Hand, gallery: Gallery) -> None:
    QTest.keyClick(gallery.grid, Qt.Key.Key_Right)
    QTest.keyClick(gallery.grid, Qt.Key.Key_Right)
    said = gallery.grid.accessibleDescription()
    assert "001.png" in said and "2 of 5" in said and "To confirm" in said
    for widget in (
        gallery.grid,
        gallery.slider,
        gallery.order,
        gallery.turn,
        gallery.line.edit,
        gallery.facets._histogram,
    ):
        assert widget.accessibleName()


def test_going_to_a_row_chooses_it(hand: Hand, gallery: Gallery) -> None:
    QTest.keyClick(gallery.grid, "g", CTRL)
    chooser = gallery.window().findChild(gallery_page.Chooser)
    QTest.keyClicks(chooser.finder.edit, "4")
    hand.qtbot.waitUntil(lambda: bool(chooser.finder.shown))
    QTest.keyClick(chooser.finder.edit, Qt.Key.Key_Return)
    assert gallery.grid.current == 3 and list(gallery.grid.selection) == [3]


# --- bulk --------------------------------------------------------------------------------------------------------


def test_chosen_objects_are_accepted_at_once_and_undo_takes_them_back(hand: Hand, gallery: Gallery) -> None:
    look(hand, gallery, "class:person", objects=True)
    gallery.grid.setFocus()
    click(gallery, 0)
    QTest.keyClick(gallery.grid, "a")
    hand.qtbot.waitUntil(lambda: bool(gallery.deeds.result))
    assert truth(hand) == 1 and gallery.deeds.result == "1 accepted"
    assert gallery.bar.isVisible() and gallery.bar.undo.isVisible()
    gallery.bar.undo.click()
    hand.qtbot.waitUntil(lambda: truth(hand) == 0)
    rest(hand, gallery)


def test_all_that_match_is_asked_with_its_number_first(hand: Hand, gallery: Gallery) -> None:
    look(hand, gallery, "score>0.5")
    gallery.grid.setFocus()
    QTest.keyClick(gallery.grid, "a", CTRL)
    QTest.keyClick(gallery.grid, "x")
    hand.qtbot.waitUntil(lambda: gallery.deeds.asking is not None)
    sheet = gallery.deeds.asking
    said = " ".join(x.text() for x in sheet.findChildren(gallery_page.label("").__class__))
    assert "2 predictions on 1 pictures" in said
    assert hand.desk.ws is not None and len(labelling.load(hand.desk.ws, 2).annotations) == 3
    QTest.keyClick(sheet.verb, Qt.Key.Key_Return)
    hand.qtbot.waitUntil(lambda: bool(gallery.deeds.result))
    assert [a.label for a in labelling.load(hand.desk.ws, 2).annotations] == ["helmet"]


def test_a_class_is_chosen_by_name_for_all_chosen_objects(hand: Hand, gallery: Gallery) -> None:
    look(hand, gallery, "class:helmet", objects=True)
    gallery.grid.setFocus()
    click(gallery, 0)
    QTest.keyClick(gallery.grid, "c")
    chooser = gallery.deeds.asking
    QTest.keyClicks(chooser.finder.edit, "no_helmet")
    QTest.keyClick(chooser.finder.edit, Qt.Key.Key_Return)
    hand.qtbot.waitUntil(lambda: bool(gallery.deeds.result))
    assert hand.desk.ws is not None
    assert sorted(a.label for a in labelling.load(hand.desk.ws, 2).annotations) == [
        "no_helmet",
        "person",
        "person",
    ]
    hand.qtbot.waitUntil(lambda: gallery.rows.complete and gallery.rows.count == 0)


def test_before_all_that_match_change_their_class_the_new_one_is_named(hand: Hand, gallery: Gallery) -> None:
    look(hand, gallery, "class:person", objects=True)
    gallery.grid.setFocus()
    QTest.keyClick(gallery.grid, "a", CTRL)
    QTest.keyClick(gallery.grid, "c")
    chooser = gallery.deeds.asking
    high = chooser.card.height()
    QTest.keyClicks(chooser.finder.edit, "no_helmet")
    assert chooser.card.height() < high and chooser.card.height() == chooser.card.sizeHint().height()
    QTest.keyClick(chooser.finder.edit, Qt.Key.Key_Return)
    hand.qtbot.waitUntil(lambda: isinstance(gallery.deeds.asking, Sheet))
    sheet = gallery.deeds.asking
    said = " ".join(x.text() for x in sheet.findChildren(gallery_page.label("").__class__))
    assert "→ head without helmet" in said
    QTest.keyClick(sheet, Qt.Key.Key_Escape)


def test_pictures_are_assigned_to_a_new_name_and_submitted(hand: Hand, gallery: Gallery) -> None:
    gallery.grid.setFocus()
    click(gallery, 0)
    click(gallery, 1, CTRL)
    QTest.keyClick(gallery.grid, "g")
    hand.qtbot.waitUntil(lambda: gallery.deeds.asking is not None)
    chooser = gallery.deeds.asking
    QTest.keyClicks(chooser.finder.edit, "08")
    QTest.keyClick(chooser.finder.edit, Qt.Key.Key_Return)
    hand.qtbot.waitUntil(lambda: bool(gallery.deeds.result))
    # Both are still chosen: the result and its undo are told, the verbs stay; another choice ends it.
    assert gallery.bar.undo.isVisible() and gallery.bar.text.text() == gallery.deeds.result
    assert gallery.bar._verbs["assign"].isVisible()
    click(gallery, 2, CTRL)
    assert "3" in gallery.bar.text.text() and not gallery.bar.undo.isVisible()
    gallery.clear()
    hand.qtbot.waitUntil(lambda: "08" in gallery.names.people)
    rest(hand, gallery)
    assert look(hand, gallery, "assigned:08") == 2
    QTest.keyClick(gallery.grid, Qt.Key.Key_Right)
    QTest.keyClick(gallery.grid, "u")
    hand.qtbot.waitUntil(lambda: bool(gallery.deeds.result))
    rest(hand, gallery)
    assert look(hand, gallery, "assigned:08 review:submitted") == 1


# --- measures ----------------------------------------------------------------------------------------------------


def test_an_order_of_looks_offers_to_measure_first(hand: Hand, gallery: Gallery) -> None:
    gallery.sort_by("sharp")
    hand.qtbot.waitUntil(gallery.measure.isVisible)
    gallery.measure.click()
    hand.qtbot.waitUntil(
        lambda: not gallery.measure.isVisible() and not hand.desk.tasks.running and gallery.rows.complete
    )
    assert hand.desk.ws is not None
    with hand.desk.ws.db.read() as conn:
        rows = (
            conn.execute(sa.text("SELECT asset_id FROM measure ORDER BY sharpness, asset_id")).scalars().all()
        )
    hand.qtbot.waitUntil(lambda: gallery.rows.ids([(0, 5)]) == list(rows))
    gallery.grid.jump(1)
    gallery.sort_by("similar")
    rest(hand, gallery)
    assert gallery.rows.ids([(0, 1)]) == [rows[1]]


# --- paint -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme_name", ["dark", "light"])
@pytest.mark.parametrize("objects", [False, True])
def test_the_grid_shows_in_both_themes_with_every_mark(
    hand: Hand, gallery: Gallery, theme_name: str, objects: bool, caplog
) -> None:
    hand.desk.set_theme(theme_name)
    gallery.toggle_outlines()
    look(hand, gallery, "", objects=objects)
    click(gallery, 1)
    hand.qtbot.waitUntil(lambda: hand.desk.tasks.thumbs.idle and hand.desk.tasks.readers.idle)
    image = gallery.grid.grab().toImage()
    assert not image.isNull() and not caplog.records
    hand.desk.set_theme("dark")


def test_a_broken_cell_does_not_end_the_program(hand: Hand, gallery: Gallery, monkeypatch, caplog) -> None:
    def broken(*_args: object, **_kw: object) -> None:
        raise RuntimeError("broken paint")

    monkeypatch.setattr(gallery.grid, "_paint_cell", broken)
    gallery.grid.viewport().repaint()
    assert "painting Grid" in caplog.text
    caplog.clear()
