"""Versions at the desk: the log on the page, two versions compared side by side, taken out, the passphrase asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QLineEdit, QPushButton

from annotation.core import Annotation, Box
from app.desktop import actions
from app.desktop.overlaid import Sheet
from app.desktop.versioned import compare
from app.desktop.versioned.compare import CompareSheet
from app.services import keys, labelling, versions
from tests.app.desktop.conftest import Hand
from tests.app.desktop.test_access import nameless


def two_versions(hand: Hand) -> None:
    """v1 with three objects on the first picture; in v2 one moved, one gone, one relabelled, one new; another picture new work."""
    ws = hand.desk.ws
    assert ws is not None
    page = labelling.load(ws, 1)
    first = [
        Annotation("person", Box(60, 120, 160, 300)), Annotation("helmet", Box(220, 80, 290, 140)),
        Annotation("person", Box(320, 140, 400, 320)), Annotation("large_coal", Box(180, 240, 290, 330)),
    ]  # fmt: skip
    labelling.save(ws, page, tuple(first), verb="draw")
    list(versions.build(ws, versions.freeze(ws, "face", tag="v1")))
    page = labelling.load(ws, 1)
    kept = {a.uid: a for a in page.annotations}
    a, _, c, d = (kept[x.uid] for x in first)
    labelling.save(
        ws, page,
        (replace(a, shape=Box(80, 110, 180, 290)), replace(c, label="helmet"), d, Annotation("helmet", Box(420, 60, 470, 110))),
        verb="edit",
    )  # fmt: skip
    page = labelling.load(ws, 3)
    labelling.save(ws, page, (Annotation("person", Box(50, 60, 150, 260)),), verb="draw")
    list(versions.build(ws, versions.freeze(ws, "face", tag="v2")))


def opened(hand: Hand) -> CompareSheet:
    hand.window.go("versions")
    hand.qtbot.waitUntil(lambda: hand.window.versions.tags() == ["v1", "v2"])
    hand.window.trigger(actions.BY_ID["versions.compare"])
    hand.qtbot.waitUntil(lambda: bool(hand.window.body.findChildren(CompareSheet)))
    sheet = hand.window.body.findChildren(CompareSheet)[-1]
    hand.qtbot.waitUntil(lambda: sheet.list.count() == 2 and sheet.told.text() != "")
    return sheet


def test_two_versions_are_compared_by_keys_with_classes_pictures_and_objects(
    hand: Hand, photograph: Callable[..., None]
) -> None:
    two_versions(hand)
    sheet = opened(hand)
    assert nameless(sheet) == []
    assert sheet.list.hasFocus()
    assert "1 added" in sheet.said.text() or "2 added" in sheet.said.text()
    assert (
        "moved" in sheet.told.text()
        and "→" in sheet.told.text()
        and "+" in sheet.told.text()
        and "−" in sheet.told.text()
    )
    hand.qtbot.waitUntil(lambda: "→" in sheet.bars.accessibleDescription())
    left, right = sheet.sides._sides[0][1], sheet.sides._sides[1][1]
    assert left is not None and right is not None and left.image is not None
    assert sorted(m.kind for m in left.marks) == ["changed", "changed", "removed", "same"]
    assert sorted(m.kind for m in right.marks) == ["added", "changed", "changed", "former", "former", "same"]
    photograph(hand.window, "versions-compare.jpg")
    first = sheet.named.text()
    hand.qtbot.keyClick(sheet.list, Qt.Key.Key_Down)
    hand.qtbot.waitUntil(lambda: sheet.named.text() != first)
    sheet.before.setCurrentText("v2")
    hand.qtbot.waitUntil(lambda: "same" in sheet.said.text())
    hand.qtbot.keyClick(sheet.list, Qt.Key.Key_Escape)
    hand.qtbot.waitUntil(lambda: sheet.gone)


def test_the_page_tells_counts_and_what_changed_since_the_version_before(
    hand: Hand, photograph: Callable[..., None]
) -> None:
    two_versions(hand)
    hand.window.go("versions")
    page = hand.window.versions

    def said() -> list[str]:
        return [w.text() for w in page.findChildren(QLabel)]

    hand.qtbot.waitUntil(lambda: any("since v1" in t and "+2" in t for t in said()))
    assert any("5 pictures" in t and "5 objects" in t for t in said())
    photograph(hand.window, "versions.png")
    page.repaint()


def test_a_version_is_taken_out_and_rebuilt_as_tasks(hand: Hand, tmp_path: Path) -> None:
    two_versions(hand)
    hand.window.go("versions")
    hand.qtbot.waitUntil(lambda: len(hand.window.versions.tags()) == 2)
    button = next(b for b in hand.window.versions.findChildren(QPushButton) if b.text() == "Check out…")
    hand.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    sheet = hand.window.sheets.open
    assert sheet is not None and nameless(sheet) == []
    sheet.findChildren(QLineEdit)[0].setText(str(tmp_path / "out"))
    hand.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    hand.qtbot.waitUntil(lambda: (tmp_path / "out" / "annotations.jsonl").exists())
    button = next(b for b in hand.window.versions.findChildren(QPushButton) if b.text() == "Rebuild")
    hand.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    hand.qtbot.waitUntil(
        lambda: all(t.ended for t in hand.desk.tasks.all) if hasattr(hand.desk.tasks, "all") else True
    )


def test_a_task_that_needs_the_passphrase_asks_for_it_on_a_sheet_and_waits(hand: Hand) -> None:
    got: list[str | None] = []
    thread = threading.Thread(target=lambda: got.append(hand.window.asker(keys.Asked(new=True))))
    thread.start()
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, Sheet))
    sheet = hand.window.sheets.open
    assert sheet is not None
    first, again = sheet.findChildren(QLineEdit)
    assert first.echoMode() == QLineEdit.EchoMode.Password
    first.setText("灯房 07 lamp")
    again.setText("other")
    hand.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    assert not got and hand.window.sheets.open is sheet
    again.setText("灯房 07 lamp")
    hand.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    thread.join(10)
    assert got == ["灯房 07 lamp"]
    thread = threading.Thread(target=lambda: got.append(hand.window.asker(keys.Asked(new=False, wrong=True))))
    thread.start()
    hand.qtbot.waitUntil(lambda: hand.window.sheets.open is not None)
    hand.window.sheets.close()
    thread.join(10)
    assert got[1] is None
    assert hand.window.asker(keys.Asked(new=False)) is None, "never waits on the interface's own thread"


def test_with_one_version_there_is_nothing_to_compare_and_freezing_is_offered(hand: Hand) -> None:
    assert compare.show(hand.window) is None
    assert hand.window.sheets.open is not None


@pytest.mark.parametrize("kind", ["added", "removed", "changed", "former", "same"])
def test_each_fate_has_a_line_of_its_own_without_colour(kind: str) -> None:
    from PySide6.QtGui import QColor

    from app.desktop.versioned import sides

    looks = {
        k: tuple((round(p.widthF(), 1), tuple(p.dashPattern())) for p in sides._pens(k, QColor("red")))
        for k in sides.SIGNS
    }
    assert [k for k, look in looks.items() if look == looks[kind]] == [kind]
