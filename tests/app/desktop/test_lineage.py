"""Rules of the lineage at the desk: every cell is reached by keys, fans unfold, what is in hand is traced, files are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.desktop.lineage import layers, report, sheet
from app.desktop.lineage.graph import READABLE
from app.desktop.lineage.sheet import LineageSheet
from app.services import bulk, versions
from app.services.browse import Query
from app.services.lineage import Edge, Lineage, Node
from tests.app.desktop.conftest import Hand


def fan(n: int) -> Lineage:
    """A version of `n` sources, one of which was made by an ingest."""
    nodes = [Node("v", "entity", "version", "d@v1"), Node("i", "activity", "ingest", "ingest")]
    nodes += [Node(f"s{k}", "entity", "source", f"folder {k}") for k in range(n)]
    edges = [Edge("wasDerivedFrom", "v", f"s{k}") for k in range(n)] + [
        Edge("wasGeneratedBy", "s0", "i"),
        Edge("wasGeneratedBy", "v", "i"),
    ]
    return Lineage("v", tuple(nodes), tuple(edges))


def opened(hand: Hand, what: str | None = None, direction: str = "back") -> LineageSheet:
    """The sheet with what it read."""
    made = sheet.show(hand.window, what, direction)  # type: ignore[arg-type]
    assert made is not None
    hand.qtbot.waitUntil(lambda: made.found is not None)
    return made


# -- the layout ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4, 40, 3000])
def test_no_two_cells_lie_on_each_other_and_each_tie_leads_back_in_time(n: int) -> None:
    drawn = layers.picture(fan(n))
    cells = list(drawn.cells.values())
    for i, a in enumerate(cells):
        assert 0 <= a.x <= drawn.width - layers.WIDE and 0 <= a.y <= drawn.height - layers.HIGH + 0.01
        for b in cells[i + 1 :]:
            assert abs(a.x - b.x) >= layers.WIDE or abs(a.y - b.y) >= layers.HIGH
    for tie in drawn.ties:
        assert drawn.cells[tie.far].x < drawn.cells[tie.near].x


def test_a_large_fan_is_one_cell_with_its_number_until_it_is_opened() -> None:
    found = fan(60)
    drawn = layers.picture(found)
    (pile,) = [c for c in drawn.cells.values() if c.members]
    assert len(pile.members) == 60 and len(drawn.cells) == 3
    assert len(layers.picture(found, {pile.id}).cells) == 62


def test_a_ring_of_links_ends() -> None:
    nodes = tuple(Node(x, "entity", "dataset", x) for x in "abc")
    edges = tuple(Edge("wasDerivedFrom", x, y) for x, y in ("ab", "bc", "ca", "cb"))
    assert set(layers.picture(Lineage("a", nodes, edges)).cells) == {"a", "b", "c"}


# -- the sheet -------------------------------------------------------------------------------------------------------


def test_the_picture_in_hand_is_traced_and_every_cell_is_reached_by_arrows(hand: Hand) -> None:
    hand.open(2)
    made = opened(hand)
    assert made.found is not None and made.found.subject.startswith("asset.")
    graph = made.graph
    assert graph.hasFocus() and graph.now == made.found.subject and graph.drawn is not None
    seen, todo = {graph.now}, [graph.now]
    while todo:
        here = todo.pop()
        for key in (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down):
            graph.choose(here)
            QTest.keyClick(graph, key)
            if graph.now not in seen:
                seen.add(graph.now)
                todo.append(graph.now)
            assert graph.accessibleDescription()
    assert seen == set(graph.drawn.cells)
    QTest.keyClick(graph, Qt.Key.Key_Home)
    assert graph.now == made.found.subject
    QTest.keyClick(graph, Qt.Key.Key_Escape)
    assert made.gone


def test_the_selected_object_comes_before_its_picture(hand: Hand) -> None:
    hand.open(2)
    uid = hand.doc.annotations[0].uid
    hand.doc.select((uid,))
    assert sheet.subject(hand.window) == f"object:{uid}"
    made = opened(hand)
    assert made.found is not None and made.found.subject.startswith("annotation.")
    made.turn("forward")
    hand.qtbot.waitUntil(lambda: made.found is not None and made.found.direction == "forward")
    assert made.onward.isChecked() and not made.back.isChecked()


def test_a_pile_is_unfolded_by_enter_and_zoom_keeps_its_bounds(hand: Hand) -> None:
    hand.open(1)
    made = opened(hand)
    made.show_found(fan(30))
    graph = made.graph
    assert graph.drawn is not None
    (pile,) = [c.id for c in graph.drawn.cells.values() if c.members]
    graph.choose(pile)
    assert "30" in graph.accessibleDescription() and not made.follow.isEnabled()
    QTest.keyClick(graph, Qt.Key.Key_Return)
    assert len(graph.drawn.cells) == 32 and graph.now == "s0"
    for _ in range(30):
        QTest.keyClick(graph, Qt.Key.Key_Plus)
    assert graph.zoom == pytest.approx(2.0)
    QTest.keyClick(graph, Qt.Key.Key_F)
    assert graph.zoom < READABLE
    cells = [graph._on_screen(c) for c in graph.drawn.cells.values()]
    assert all(graph.rect().toRectF().contains(c) for c in cells)


def test_a_picture_in_the_graph_opens_at_the_desk(hand: Hand) -> None:
    hand.open(1)
    made = opened(hand, "picture:3")
    assert made.found is not None
    made.open_node(made.found.subject)
    hand.qtbot.waitUntil(lambda: hand.ready(3))
    assert made.gone and hand.window.place == "annotate"


def test_what_cannot_be_traced_is_said_in_the_sheet(hand: Hand) -> None:
    hand.open(1)
    made = sheet.show(hand.window, "picture:99999")
    assert made is not None
    hand.qtbot.waitUntil(lambda: "99999" in made.said.text())


def test_the_graph_is_saved_as_png_and_the_lineage_as_prov(hand: Hand, tmp_path: Path) -> None:
    hand.open(2)
    made = opened(hand)
    made.save(tmp_path / "g.png")
    made.save(tmp_path / "g.json")
    picture = QImage(str(tmp_path / "g.png"))
    assert (
        picture.width() > 600
        and len({picture.pixel(x, picture.height() // 2) for x in range(picture.width())}) > 4
    )
    assert json.loads((tmp_path / "g.json").read_text(encoding="utf-8"))["agent"]
    made.save(tmp_path / "no such folder" / "g.json")
    assert made.said.text() == "The file cannot be written."


def test_the_report_of_a_version_is_written_from_the_desk(hand: Hand, tmp_path: Path) -> None:
    ws, data = hand.desk.ws, hand.desk.dataset
    assert ws is not None and data is not None
    for _ in versions.build(ws, versions.freeze(ws, "face", tag="v1")):
        pass
    hand.desk.refresh()
    hand.qtbot.waitUntil(lambda: hand.desk.dataset is not None and hand.desk.dataset.last_tag == "v1")
    made = report.ask(hand.window)
    assert made is not None and not made.verb.isEnabled()
    made.findChildren(type(hand.window.sheets.open))  # it is the open sheet
    from PySide6.QtWidgets import QLineEdit

    made.findChildren(QLineEdit)[0].setText(str(tmp_path / "out"))
    assert made.verb.isEnabled()
    made.verb.click()
    hand.qtbot.waitUntil(
        lambda: (tmp_path / "out" / "report.en.pdf").exists() and not hand.desk.tasks.running, timeout=20_000
    )
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".html", ".pdf", ".json"}


@pytest.mark.parametrize(("language", "theme"), (("en", "light"), ("zh_CN", "dark")))
def test_the_manual_shows_the_graph(
    hand: Hand, qtbot: QtBot, language: str, theme: str, photograph: Callable[..., None]
) -> None:
    hand.desk.set_language(language)
    hand.desk.set_theme(theme)
    hand.open(2)
    assert hand.desk.ws is not None and hand.desk.dataset is not None
    for _ in bulk.accept(hand.desk.ws, Query(hand.desk.dataset.id), min_score=0.5):
        pass
    made = opened(hand, "picture:2")
    qtbot.waitUntil(lambda: hand.desk.tasks.pictures.idle)
    for _ in range(3):
        QApplication.processEvents()
    photograph(hand.window, f"lineage-{language[:2]}.png")
    made.finish()
