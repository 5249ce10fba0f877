"""The frame: language and theme live, keys, palette, places, problems, start, closing."""

from __future__ import annotations

import re
import sys
import threading
import time
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QInputMethodEvent, QKeyEvent, QPainter, QPixmap
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QLineEdit, QWidget

from app import i18n, settings
from app.desktop import actions, theme
from app.desktop.activity import TaskCard, summary
from app.desktop.widgets import Painted
from app.desktop.window import Window
from app.events import Changes, Finished, Progress, Started, Warned
from app.services import browse, labelling, workspace
from tests.app.desktop import texts
from tests.app.desktop.conftest import Hand, draw_pictures, furnish, open_in

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


# --- language and theme ------------------------------------------------------------------------------------------


def test_every_text_of_the_desk_is_translated() -> None:
    known = i18n.catalogue("zh_CN")
    assert [f"{where}: {one}" for one, where in texts.texts().items() if one not in known] == []


def test_no_translation_of_the_desk_is_left_over() -> None:
    file = Path(i18n.__file__).parent / "locale/zh_CN/desktop.po"
    source = "\n".join(p.read_text(encoding="utf-8") for p in texts.FOLDER.rglob("*.py"))
    kept = [key for key, _ in i18n.read_po(file.read_text(encoding="utf-8"))]
    assert [key for key in kept if key not in source] == []


def visible_texts(window: Window) -> list[str]:
    found = []
    for widget in window.findChildren(QWidget):
        if widget.isVisible() and isinstance(widget, QLabel | QAbstractButton):
            found.append(widget.text())
        if widget.isVisible() and isinstance(widget, QLineEdit):
            found.append(widget.placeholderText())
    return [t for t in found if t]


@pytest.mark.parametrize("where", ["overview", "gallery", "annotate", "versions"])
def test_the_language_switches_live_in_every_place(hand: Hand, where: str) -> None:
    hand.open(2)
    hand.window.go(where)
    hand.key("l", CTRL)
    assert i18n.language() == "zh_CN"
    hand.settled()
    own = {"face", "07", "coal_mine", "W · face"}
    plain = [
        t
        for t in visible_texts(hand.window)
        if re.search("[A-Za-z]{3,}", t)
        and not re.search("[\u4e00-\u9fff]", t)
        and t not in own
        and not re.fullmatch(r"[\w .]+ · .*", t)
    ]
    assert plain == []
    hand.key("l", CTRL)
    chinese = [t for t in visible_texts(hand.window) if re.search("[\u4e00-\u9fff]", t)]
    names = {label.name_zh for label in hand.desk.schema.labels}
    own = ("中 / EN", "井下", "GB/T")  # the button itself, file names, terms of a standard
    assert [t for t in chinese if t not in names and not any(part in t for part in own)] == []
    assert settings.get("language") == "en"


def test_the_theme_switches_live_and_is_remembered(hand: Hand) -> None:
    hand.key("l", CTRL, SHIFT)
    assert theme.current() is theme.LIGHT
    assert QApplication.palette().window().color().name() == theme.LIGHT.background
    assert settings.get("theme") == "light"
    hand.key("l", CTRL, SHIFT)
    assert theme.current() is theme.DARK


@pytest.mark.parametrize("t", [theme.DARK, theme.LIGHT], ids=lambda t: t.name)
def test_every_text_has_enough_contrast_on_its_ground(t: theme.Theme) -> None:
    for ground in (t.background, t.panel, t.raised):
        assert theme.contrast(t.text, ground) >= 7
        assert theme.contrast(t.second, ground) >= 4.5
    for colour in (t.accent, t.blue, t.green, t.red, t.violet):
        assert theme.contrast(colour, t.panel) >= 4.5
    assert theme.contrast(t.on_accent, t.accent) >= 4.5


# --- keys --------------------------------------------------------------------------------------------------------


def test_no_two_actions_of_one_place_share_a_key() -> None:
    taken = [(keys, action.place) for action in actions.ACTIONS for keys in action.keys]
    everywhere = {keys for keys, place in taken if place == "any"}
    assert len(set(taken)) == len(taken)
    assert not [keys for keys, place in taken if place != "any" and keys in everywhere]


def test_no_key_fires_while_the_input_method_composes(hand: Hand, guard) -> None:
    hand.open(2)
    edit = hand.window.annotate.classes.wanted
    edit.setFocus()
    QApplication.sendEvent(edit, QInputMethodEvent("an", []))
    assert guard.composing
    event = QKeyEvent(QEvent.Type.ShortcutOverride, Qt.Key.Key_K, CTRL)
    event.ignore()
    QApplication.sendEvent(edit, event)
    assert event.isAccepted()
    QApplication.sendEvent(edit, QInputMethodEvent("", []))
    assert not guard.composing


def test_letters_and_return_in_a_line_of_text_do_nothing_to_the_picture(hand: Hand) -> None:
    hand.open(2)
    edit = hand.window.annotate.classes.wanted
    edit.setFocus()
    for key in ("r", "x", "1"):
        hand.key(key, on=edit)
    hand.key(Qt.Key.Key_Return, on=edit)
    assert edit.text() == "rx1"
    assert hand.canvas.tool.name == "select"
    assert len(hand.stored()) == 3
    assert hand.doc.selection == ()


def test_only_lines_of_text_take_the_input_method(hand: Hand) -> None:
    hand.open(1)
    grid = hand.window.gallery.grid
    for widget in (hand.canvas, grid, grid.viewport(), *hand.window.findChildren(Painted)):
        assert not widget.testAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled)


# --- palette -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["polyg", "多边形"])
def test_the_palette_finds_an_action_by_its_name_in_either_language(hand: Hand, words: str) -> None:
    if words == "多边形":
        hand.desk.set_language("zh_CN")
    hand.open(1)
    hand.key("k", CTRL)
    palette = hand.window.palette_sheet
    palette.edit.setText(words)
    hand.key(Qt.Key.Key_Return, on=palette.edit)
    assert hand.canvas.tool.name == "polygon"
    assert hand.window.palette_sheet is None
    hand.desk.set_language("en")


def test_the_palette_finds_pictures_by_their_path(hand: Hand) -> None:
    hand.key("k", CTRL)
    palette = hand.window.palette_sheet
    palette.edit.setText("井下 003")
    hand.qtbot.waitUntil(lambda: any("003" in entry.text for entry in palette.shown))
    hand.key(Qt.Key.Key_Return, on=palette.edit)
    hand.qtbot.waitUntil(lambda: hand.ready(4))


def test_every_action_is_in_the_palette_and_runs_without_a_fault(hand: Hand) -> None:
    hand.open(2)
    for action in actions.ACTIONS:
        if action.id in ("quit", "workspace.open", "language", "theme"):
            continue
        hand.window.trigger(action)
        hand.settled()
        hand.window.sheets.close()
        if hand.window.palette_sheet is not None:
            hand.window.palette_sheet.finish()
    hand.qtbot.waitUntil(lambda: hand.desk.tasks.readers.idle)


# --- start -------------------------------------------------------------------------------------------------------


def test_a_place_without_a_workspace_is_told_in_one_line(window: Window, qtbot, tmp_path: Path) -> None:
    window.open_workspace(str(tmp_path / "nothing"))
    qtbot.waitUntil(lambda: window.start.fault.text() != "")
    assert "there is no workspace here" in window.start.fault.text()
    assert "\n" not in window.start.fault.text()
    assert window.place == ""


def test_a_new_workspace_is_made_and_says_what_to_do_next(window: Window, qtbot, tmp_path: Path) -> None:
    window.start.new_place.setText(str(tmp_path / "新 工作区"))
    qtbot.mouseClick(window.start.create_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.place == "overview" and window.desk.totals is not None)
    assert window.home.empty.isVisible()
    assert window.home.first.isVisible()
    assert settings.get("recent") == [str(tmp_path / "新 工作区")]


def test_the_window_leaves_a_workspace_and_opens_another(hand: Hand, tmp_path: Path) -> None:
    hand.open(2)
    old = hand.desk.ws
    hand.window.leave_workspace()
    assert hand.window.place == ""
    other = furnish(tmp_path / "other", 2)
    hand.window.open_workspace(str(other))
    hand.qtbot.waitUntil(lambda: hand.desk.dataset is not None and hand.desk.dataset.n_assets == 2)
    assert hand.desk.ws is not old
    assert hand.doc.annotations == ()
    hand.open(2)
    assert len(hand.doc.annotations) == 3


# --- tasks -------------------------------------------------------------------------------------------------------


def test_pictures_are_added_from_the_desk_as_a_task(hand: Hand, tmp_path: Path) -> None:
    draw_pictures(tmp_path / "more", 3, (64, 48))
    hand.key("i", CTRL)
    sheet = hand.window.sheets.open
    folder, dataset = sheet.findChildren(QLineEdit)
    folder.setText(str(tmp_path / "more"))
    dataset.setText("second")
    hand.key(Qt.Key.Key_Return, on=dataset)
    hand.qtbot.waitUntil(lambda: any(d.name == "second" and d.n_assets == 3 for d in hand.desk.datasets))
    hand.qtbot.waitUntil(lambda: hand.desk.dataset.name == "second")
    assert hand.desk.tasks.past[0].state == "finished"


def endless(seen: list[str]):
    def work():
        try:
            yield Started("counting", 1000)
            n = 0
            while True:
                n += 1
                yield Progress(n, 1000, "busy")
        finally:
            seen.append("closed")

    return work


def test_a_task_shows_progress_and_is_cancelled_from_the_status_line(hand: Hand) -> None:
    seen: list[str] = []
    task = hand.desk.start(lambda: "Counting", endless(seen))
    hand.qtbot.waitUntil(lambda: task.done > 0)
    assert hand.window.task_cancel.isVisible()
    hand.qtbot.mouseClick(hand.window.task_cancel, Qt.MouseButton.LeftButton)
    hand.qtbot.waitUntil(lambda: task.state == "cancelled")
    assert seen == ["closed"]
    assert not hand.window.task_cancel.isVisible()


def test_the_title_of_a_task_follows_the_language_while_it_runs_and_afterwards(hand: Hand) -> None:
    task = hand.desk.start(lambda: i18n.tr("Label schema"), endless([]))
    hand.key("t", CTRL)
    card = hand.window.activity.findChildren(TaskCard)[0]
    for language in ("zh_CN", "en", "zh_CN"):
        hand.desk.set_language(language)
        title = i18n.tr("Label schema")
        assert ("类别表" in title) == (language == "zh_CN")
        assert hand.window.task_text.text().startswith(title)
        assert card.caption.text() == title
        if language == "en":
            task.cancel()
            hand.qtbot.waitUntil(lambda: task.state == "cancelled")


def test_the_remaining_time_is_the_one_that_the_work_tells(hand: Hand) -> None:
    held = threading.Event()

    def work():
        yield Started("counting", 1000)
        while not held.wait(0.01):
            yield Progress(1, 1000, "", 7200.0)
        yield Finished({})

    task = hand.desk.start(lambda: "Counting", work)
    hand.qtbot.waitUntil(lambda: task.done == 1)
    try:
        assert task.seconds_left == 7200.0
        assert "2 h left" in summary(task) or "2 小时" in summary(task)
    finally:
        held.set()
    hand.qtbot.waitUntil(lambda: task.state == "finished")


def test_the_window_closes_clean_while_tasks_run(hand: Hand) -> None:
    seen: list[str] = []
    first, second = (hand.desk.start(lambda i=i: f"Counting {i}", endless(seen)) for i in range(2))
    hand.qtbot.waitUntil(lambda: first.done > 0 and second.done > 0)
    hand.window.close()
    assert seen == ["closed", "closed"]
    assert not first.worker.is_alive() and not second.worker.is_alive()


def test_a_faulty_task_is_one_line_in_the_problem_list_and_the_desk_goes_on(hand: Hand) -> None:
    def work():
        yield Started("reading")
        browse.dataset(hand.desk.ws, "no such dataset")

    task = hand.desk.start(lambda: "Reading", work)
    hand.qtbot.waitUntil(lambda: task.state == "failed")
    assert any("no such dataset" in t.what for t in hand.desk.problems)
    hand.key("t", CTRL)
    assert hand.window.activity.isVisible()
    hand.qtbot.waitUntil(
        lambda: any("no such dataset" in w.text() for w in hand.window.activity.findChildren(QLabel))
    )


def test_warnings_of_a_task_are_listed_with_their_place_and_its_changes_are_seen(hand: Hand) -> None:
    before = hand.doc.revision

    def work():
        yield Started("reading", 2)
        yield Warned("cannot be decoded", "井下 001.png")
        yield Finished({}, Changes(before + 5, everything=True), 1)

    task = hand.desk.start(lambda: "Reading", work)
    hand.qtbot.waitUntil(lambda: task.state == "finished")
    assert (hand.desk.problems[0].what, hand.desk.problems[0].where) == ("cannot be decoded", "井下 001.png")
    assert hand.doc.revision == before + 5


def test_truth_accepted_by_a_task_appears_on_the_open_picture(hand: Hand) -> None:
    hand.open(2)
    from app.services import bulk

    hand.desk.start(lambda: "Accept", lambda: bulk.accept(hand.desk.ws, hand.desk.query, min_score=0.5))
    hand.qtbot.waitUntil(lambda: sum(a.origin == "human" for a in hand.doc.annotations) == 2)


# --- gallery -----------------------------------------------------------------------------------------------------


def test_the_gallery_narrows_by_queue_class_and_name(hand: Hand) -> None:
    hand.key("2", CTRL)
    gallery = hand.window.gallery
    hand.qtbot.waitUntil(lambda: gallery.rows.known and gallery.rows.count == 5)
    hand.desk.narrow(state="predicted")
    hand.qtbot.waitUntil(lambda: gallery.rows.known and gallery.rows.count == 1)
    hand.desk.narrow(state=None, text="003")
    hand.qtbot.waitUntil(
        lambda: gallery.rows.row(0) is not None and gallery.rows.row(0).path.endswith("003.png")
    )
    assert gallery.rows.count == 1
    hand.desk.narrow(text="", label="helmet")
    hand.qtbot.waitUntil(lambda: gallery.rows.row(0) is not None and gallery.rows.row(0).asset_id == 2)
    assert gallery.rows.count == 1


def test_arrows_and_return_in_the_gallery_open_a_picture(hand: Hand) -> None:
    hand.key("2", CTRL)
    grid = hand.window.gallery.grid
    hand.qtbot.waitUntil(lambda: grid.rows.known)
    hand.key(Qt.Key.Key_Right, on=grid)
    hand.key(Qt.Key.Key_Right, on=grid)
    hand.key(Qt.Key.Key_Return, on=grid)
    hand.qtbot.waitUntil(lambda: hand.ready(2))
    assert hand.window.place == "annotate"


def test_the_gallery_shows_new_states_after_work_on_the_canvas(hand: Hand) -> None:
    hand.open(2)
    hand.key(Qt.Key.Key_Return, SHIFT)
    hand.key("a", CTRL)
    hand.key(Qt.Key.Key_Return)
    hand.stored()
    hand.key("2", CTRL)
    rows = hand.window.gallery.rows
    hand.qtbot.waitUntil(lambda: rows.known and rows.row(1) is not None and rows.row(1).state == "labelled")


# --- faults ------------------------------------------------------------------------------------------------------


def test_a_fault_while_painting_does_not_end_the_process(hand: Hand, monkeypatch, caplog) -> None:
    hand.open(1)

    def broken(*_args: object) -> None:
        raise RuntimeError("broken paint")

    for widget in (hand.canvas, hand.window.annotate.objects, hand.window.annotate.strip):
        monkeypatch.setattr(widget, "_paint", broken)
        widget.repaint() if widget is not hand.window.annotate.objects else widget.viewport().repaint()
    assert "broken paint" in caplog.text


def test_a_picture_whose_file_is_gone_says_so_on_the_canvas_and_in_the_list(hand: Hand, place: Path) -> None:
    next((place.parent / "pictures").glob("*004.png")).unlink()
    hand.window.go("annotate")
    hand.window.annotate.open(5)
    hand.qtbot.waitUntil(lambda: any("004" in t.what + t.where for t in hand.desk.problems))
    assert hand.canvas.picture_wh is None
    said = hand.canvas.layer.broken
    assert said is not None and "004" in said.where


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None is immortal from Python 3.12 on")
def test_drawing_does_not_release_none() -> None:
    picture = QPixmap(8, 8)
    p = QPainter(picture)
    before = sys.getrefcount(None)
    for _ in range(5000):
        p.drawLine(0, 0, 7, 7)
    p.end()
    assert sys.getrefcount(None) > before - 1000


def test_hovering_over_five_thousand_objects_takes_less_than_a_frame(hand: Hand) -> None:
    from annotation.core import Annotation, Box
    from app.desktop.canvas import scene

    many = tuple(
        Annotation("person", Box(i % 100 * 4, i // 100 * 4, i % 100 * 4 + 9, i // 100 * 4 + 9))
        for i in range(5000)
    )
    built = scene.build(many)
    began = time.process_time()
    for i in range(100):
        scene.hit(built, float(i * 3), float(i * 2), 1.0)
    assert (time.process_time() - began) / 100 < 0.016


def test_committed_work_is_read_back_by_another_window(hand: Hand, place: Path) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.settled()
    with workspace.open(str(place)) as beside:
        assert len(labelling.load(beside, 1).annotations) == 1


def test_opening_the_named_workspace_at_start_shows_the_overview(window: Window, qtbot, place: Path) -> None:
    hand = open_in(window, qtbot, place)
    assert hand.window.place == "overview"
    qtbot.waitUntil(lambda: "predictions" in window.home.sentence.text())
