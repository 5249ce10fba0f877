"""Four journeys by Qt's events on the real window: review and return, find what is unsure, undo yesterday's bulk change, tracks.

By mouse and keys only; the record is read afterwards. Small counts in the suite, full ones with --whole.
JOURNEY_PICTURES=folder keeps pictures of every journey for people to look at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from PySide6.QtCore import Qt
from PySide6.QtGui import QInputMethodEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from annotation import marks
from annotation.core import Annotation, Box
from app.desktop.overlaid import Overlaid, Sheet
from app.desktop.said import verb_text
from app.desktop.window import Window
from app.i18n import tr
from app.services import browse, frames, ingest, labelling, listing, workspace
from app.services.browse import Query
from app.services.workspace import Workspace
from tests.app.desktop.conftest import Hand
from tests.support import journey
from tests.support.journey import Tale, Truth

pytestmark = pytest.mark.gui
Key = Qt.Key
ALT, CTRL, SHIFT = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


class Worker(Hand):
    """A hand that counts and whose pictures are kept."""

    def __init__(self, window: Window, qtbot: QtBot, tale: Tale) -> None:
        super().__init__(window, qtbot)
        self.tale = tale

    def key(self, key: Key | str, *modifiers: Qt.KeyboardModifier, on: QWidget | None = None) -> None:
        self.tale.gestures += 1
        super().key(key, *modifiers, on=on)

    def press(self, x: float, y: float, *, shift: bool = False) -> None:
        self.tale.gestures += 1
        super().press(x, y, shift=shift)

    def type(self, text: str) -> None:
        """Type a text into what has the focus, Chinese by an input method."""
        self.tale.gestures += 1
        focus = self.window.focusWidget()
        assert isinstance(focus, QLineEdit)
        for part in re.findall(r"[ -~]+|[^ -~]+", text):
            if part.isascii():
                QTest.keyClicks(focus, part)
                continue
            QApplication.sendEvent(focus, QInputMethodEvent(part, []))
            made = QInputMethodEvent()
            made.setCommitString(part)
            QApplication.sendEvent(focus, made)

    def hit(self, widget: QWidget) -> None:
        """Click on a widget."""
        self.tale.gestures += 1
        assert widget.isVisible()
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton)

    def button(self, text: str, within: QWidget | None = None) -> QPushButton:
        """The visible button with this text in the language in use."""
        found = [
            b
            for b in (within or self.window).findChildren(QPushButton)
            if b.isVisible() and tr(text) in b.text()
        ]
        assert found, text
        return found[0]

    def said(self, text: str, **parts: object) -> str:
        """A text in the language in use."""
        return tr(text, **parts)

    def wait(self, condition: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(condition, timeout=20_000)

    def at(self, asset: int) -> None:
        """Wait until a picture can be worked on."""
        self.wait(lambda: self.ready(asset))

    def shown(self) -> int:
        """The picture that is open, once it can be worked on."""
        self.wait(lambda: self.doc.asset_id is not None and self.ready(self.doc.asset_id))
        return self.doc.asset_id or 0

    def written(self) -> None:
        self.settled()
        self.wait(lambda: self.desk.tasks.writer.idle and not self.desk.tasks.running)
        told: list[bool] = []
        # The courier keeps the order: when this has come, the desk knows of every write.
        self.desk.tasks.courier.send(lambda: told.append(True))
        self.wait(lambda: bool(told))

    def keep(self, step: str) -> None:
        file = self.tale.shot(step)
        if file is not None:
            self.qtbot.wait(400)  # thumbnails come, nothing moves any more
            QApplication.processEvents()
            assert self.window.grab().save(str(file))

    @property
    def ws(self) -> Workspace:
        assert self.desk.ws is not None
        return self.desk.ws

    def calm(self) -> None:
        """Nothing is in the problem list, nothing went wrong in the program."""
        journey.untroubled(self.ws)
        assert [p.what for p in self.desk.problems] == []
        assert self.window._bar is None


def sit_down(
    window: Window, qtbot: QtBot, tale: Tale, place: Path, who: str, patch: pytest.MonkeyPatch
) -> Worker:
    """Somebody opens the workspace at this desk: the first time by its folder, later from the list of the last ones."""
    patch.setenv("LAMPROOM_PERSON", who)
    window.desk.set_language(tale.language)
    hand = Worker(window, qtbot, tale)
    if window.desk.ws is not None:
        hand.written()
        hand.key("o", CTRL)
        hand.wait(lambda: window.desk.ws is None)
    edit = window.start.place
    hand.hit(edit)
    hand.key("a", CTRL, on=edit)
    QTest.keyClicks(edit, str(place))
    hand.key(Key.Key_Return, on=edit)
    hand.wait(lambda: window.desk.dataset is not None and window.desk.schema is not None)
    assert hand.ws.person.name == who
    return hand


def furnish(place: Path, pictures: Path, name: str) -> None:
    with workspace.create(str(place), person="07") as ws:
        for _ in ingest.run(ws, [pictures], dataset=name):
            pass


def record_truth(ws: Workspace, truth: Truth, helmet: Callable[[int], bool]) -> int:
    """What others labelled before: people and helmets; of every `helmet(i)`-th picture the helmet cannot be judged."""
    n = 0
    for i, (name, row) in enumerate(journey.rows(ws).items()):
        shall: list[Annotation] = []
        for a in truth[name]:
            if a.label == "person":
                n += helmet(i)
                shall.append(replace(a, attributes={"helmet_worn": "unknown" if helmet(i) else "proper"}))
            elif a.label == "helmet":
                shall.append(replace(a, attributes={"unsure": False}))
        page = labelling.load(ws, row.asset_id)
        labelling.save(ws, page, (*page.annotations, *shall), verb="draw box")
    return n


# --- review and return ---------------------------------------------------------------------------------------------


def judged(hand: Worker) -> dict[str, str]:
    return {name: row.review for name, row in journey.rows(hand.ws).items()}


def submit(hand: Worker, asset: int) -> None:
    hand.settled()
    hand.key(Key.Key_Return, CTRL)
    hand.wait(lambda: hand.doc.asset_id != asset)
    hand.written()


def test_review_and_return(
    tale: Tale, window: Window, qtbot: QtBot, tmp_path: Path, whole: bool, real: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    n = 12 if whole else 4
    truth = journey.mine_pictures(real, tmp_path / "night", n)
    furnish(tmp_path / "W", tmp_path / "night", "night")
    hand = sit_down(window, qtbot, tale, tmp_path / "W", "07", monkeypatch)
    hand.key("3", CTRL)
    for _ in range(n):
        now = hand.shown()
        assert window.annotate.route.row is not None
        seen = truth[window.annotate.route.row.path.rsplit("/", 1)[-1]]
        for a in (a for a in seen if a.label == "person"):
            assert isinstance(a.shape, Box)
            hand.key("1")
            hand.key("r")
            hand.drag(a.shape.x0, a.shape.y0, a.shape.x1, a.shape.y1)
            hand.key("1", ALT)
        hand.settled()
        hand.key(Key.Key_Return, CTRL)
        hand.written()
        hand.wait(lambda now=now: hand.doc.asset_id != now or set(judged(hand).values()) == {"submitted"})
    assert set(judged(hand).values()) == {"submitted"}

    inspector = sit_down(window, qtbot, tale, tmp_path / "W", "质检员 09", monkeypatch)
    inspector.key("4", CTRL)
    inspector.shown()
    assert inspector.canvas.tool.name == "select"  # whatever the labeller had in hand at this desk
    returned = []
    for i in range(n):
        now = inspector.shown()
        window.annotate.canvas.setFocus()
        if i % 3 == 1:
            returned.append(now)
            inspector.key(Key.Key_Backspace, CTRL)
            note = window.annotate.reviewing.bar.note
            inspector.wait(note.hasFocus)
            inspector.type("灯也要标 the lamp too")
            if i == 1:
                inspector.wait(
                    lambda: inspector.said("{i} of {n}", i="1", n=str(n - 1)) in window.annotate.where.text()
                )
                inspector.keep("return")
            inspector.key(Key.Key_Return)
        else:
            inspector.key(Key.Key_Return, CTRL)
        inspector.written()
        inspector.wait(lambda now=now: inspector.doc.asset_id != now)  # type: ignore[misc]
    assert sorted(judged(inspector).values()).count("returned") == len(returned)
    assert window.annotate.count.text() == inspector.said("Objects {n}", n="0")
    inspector.keep("all judged")

    hand = sit_down(window, qtbot, tale, tmp_path / "W", "07", monkeypatch)
    hand.key("3", CTRL)
    hand.shown()
    for asset in returned:
        if hand.doc.asset_id != asset:
            window.annotate.canvas.setFocus()
            hand.key("r", ALT)
        hand.at(asset)
        hand.wait(lambda: bool(window.annotate.remarks.found))
        if asset == returned[0]:
            hand.keep("returned to me")
        hand.key("2")
        hand.key("r")
        hand.drag(20, 20, 60, 50)
        hand.settled()
        hand.hit(hand.button("Resolve", window.annotate.remarks))
        hand.written()
        window.annotate.canvas.setFocus()
        submit(hand, asset)

    inspector = sit_down(window, qtbot, tale, tmp_path / "W", "质检员 09", monkeypatch)
    inspector.key("4", CTRL)
    for asset in returned:
        inspector.at(asset)
        window.annotate.canvas.setFocus()
        inspector.key(Key.Key_Return, CTRL)
        inspector.written()
        inspector.wait(lambda asset=asset: inspector.doc.asset_id != asset)  # type: ignore[misc]

    assert set(judged(inspector).values()) == {"accepted"}
    (data,) = browse.datasets(inspector.ws)
    for asset in returned:
        told = [(e.verb, e.agent) for e in reversed(labelling.item_events(inspector.ws, asset, data.id))]
        assert told == [
            ("ingest", "07"), ("review: submitted", "07"), ("review: returned", "质检员 09"), ("review: submitted", "07"), ("review: accepted", "质检员 09"),
        ]  # fmt: skip
        assert {h.agent for h in labelling.history(inspector.ws, asset_id=asset)} == {"07"}
    inspector.calm()
    tale.told(n)


# --- find ----------------------------------------------------------------------------------------------------------


def test_find_every_helmet_that_is_unsure(
    tale: Tale, window: Window, qtbot: QtBot, tmp_path: Path, whole: bool, real: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    n = 71 if whole else 12
    truth = journey.pictures(real, tmp_path / "hall", n)
    furnish(tmp_path / "W", tmp_path / "hall", "hall")
    with workspace.open(str(tmp_path / "W"), person="08") as ws:
        unsure = record_truth(ws, truth, lambda i: i % 5 == 2)
    hand = sit_down(window, qtbot, tale, tmp_path / "W", "07", monkeypatch)
    hand.key("2", CTRL)
    gallery = window.gallery
    hand.wait(lambda: gallery.rows.complete and gallery.rows.count == n)
    hand.key("o")
    hand.wait(lambda: gallery.objects and gallery.rows.complete)
    hand.key("/")
    hand.wait(gallery.line.edit.hasFocus)
    hand.type("安全帽佩戴" if tale.language == "zh_CN" else "helmet")
    hand.keep("completion")
    hand.type(":存疑" if tale.language == "zh_CN" else ":unsure")
    hand.key(Key.Key_Return)
    hand.wait(lambda: gallery.rows.complete and gallery.rows.count == unsure)
    hand.keep("found")
    hand.key("a", CTRL)
    hand.key("g")
    hand.wait(lambda: window.findChild(Overlaid) is not None)
    hand.type("质检员 09")
    hand.keep("assign")
    hand.key(Key.Key_Return)
    hand.wait(lambda: isinstance(gallery.deeds.asking, Sheet))
    hand.keep("sure")
    hand.key(Key.Key_Return)
    hand.wait(lambda: bool(gallery.deeds.result))
    assert gallery.bar.undo.isVisible()
    hand.keep("assigned")
    # One of them is looked at and settled.
    hand.key(Key.Key_Home)
    hand.key(Key.Key_Return)
    hand.wait(lambda: window.place == "annotate" and len(hand.doc.selection) == 1)
    one = hand.doc.chosen()[0]
    asset = hand.shown()
    assert dict(one.attributes)["helmet_worn"] == "unknown"
    hand.canvas.setFocus()
    hand.key("1", ALT)
    hand.settled()
    hand.key("2", CTRL)
    hand.wait(lambda: gallery.rows.complete and gallery.rows.count == unsure - 1)

    rows = journey.rows(hand.ws)
    for i, row in enumerate(rows.values()):
        found = [a for a in labelling.load(hand.ws, row.asset_id).annotations if a.label == "person"]
        for a in found:
            shall = "unknown" if i % 5 == 2 and a.uid != one.uid else "proper"
            assert dict(a.attributes)["helmet_worn"] == shall
        if i % 5 == 2 and found:
            assert row.assignee == "质检员 09"
        else:
            assert row.assignee is None
    assert labelling.history(hand.ws, asset_id=asset, uid=one.uid)[0].agent == "07"
    assert journey.verbs(hand.ws, "07")["assign"] == 1
    hand.calm()
    print(f"{unsure} of {n} pictures are unsure")
    tale.told(n)


# --- undo ----------------------------------------------------------------------------------------------------------


def test_undo_yesterdays_bulk_change(
    tale: Tale, window: Window, qtbot: QtBot, tmp_path: Path, whole: bool, real: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    n = 71 if whole else 12
    truth = journey.pictures(real, tmp_path / "hall", n)
    furnish(tmp_path / "W", tmp_path / "hall", "hall")
    with workspace.open(str(tmp_path / "W"), person="08") as ws:
        record_truth(ws, truth, lambda i: False)
        before = {r.asset_id: _labels(ws, r.asset_id) for r in journey.rows(ws).values()}
    wrong = sit_down(window, qtbot, tale, tmp_path / "W", "新人 11", monkeypatch)
    wrong.key("2", CTRL)
    gallery = window.gallery
    wrong.wait(lambda: gallery.rows.complete and gallery.rows.count == n)
    wrong.key("o")
    wrong.key("/")
    wrong.wait(gallery.line.edit.hasFocus)
    wrong.type("类:安全帽" if tale.language == "zh_CN" else "class:helmet")
    wrong.key(Key.Key_Return)
    helmets = sum(code == "helmet" for found in before.values() for code in found)
    wrong.wait(lambda: gallery.rows.complete and gallery.rows.count == helmets)
    wrong.key("a", CTRL)
    wrong.key("c")
    wrong.wait(lambda: window.findChild(Overlaid) is not None)
    wrong.type("no_helmet")
    wrong.key(Key.Key_Return)
    wrong.wait(lambda: isinstance(gallery.deeds.asking, Sheet))
    wrong.keep("the mistake")
    wrong.key(Key.Key_Return)
    wrong.wait(lambda: bool(gallery.deeds.result))
    wrong.written()
    after = {r.asset_id: _labels(wrong.ws, r.asset_id) for r in journey.rows(wrong.ws).values()}
    assert after == {i: sorted("no_helmet" if c == "helmet" else c for c in f) for i, f in before.items()}
    wrong.key("o", CTRL)
    wrong.wait(lambda: window.desk.ws is None)
    with workspace.open(str(tmp_path / "W"), person="08") as ws:
        step = next(s for s in labelling.steps(ws) if s.verb == "relabel" and s.asset_id is None)
        assert step.agent == "新人 11"
        with ws.db.write() as conn:  # a night passes
            conn.execute(
                sa.text("UPDATE change SET at_ms = at_ms - 86400000 WHERE step = :s"), {"s": step.step}
            )

    hand = sit_down(window, qtbot, tale, tmp_path / "W", "07", monkeypatch)
    hand.key(Key.Key_F8)
    hand.wait(lambda: window.sheets.open is not None)
    sheet = window.sheets.open
    assert sheet is not None
    hand.hit(hand.button("Bulk work", sheet))
    hand.wait(
        lambda: any(b.accessibleDescription() for b in sheet.findChildren(QPushButton) if b.isVisible())
    )
    hand.keep("log")
    shown = [b for b in sheet.findChildren(QPushButton) if b.isVisible() and b.accessibleDescription()]
    (undo,) = [b for b in shown if b.accessibleDescription() == verb_text("relabel", 0)]
    hand.hit(undo)
    hand.wait(lambda: {r: _labels(hand.ws, r) for r in before} == before)
    hand.written()
    hand.keep("undone")
    hand.key(Key.Key_Escape)

    steps = labelling.steps(hand.ws, limit=5)
    assert (steps[0].op, steps[0].inverts, steps[0].agent) == (1, step.step, "07")
    (data,) = browse.datasets(hand.ws)
    view = listing.View(Query(data.id, label="no_helmet"), False, listing.Sort("path"))
    assert sum(len(part.ids) for part in listing.ids(hand.ws, view)) == 0
    hand.calm()
    print(f"{helmets} helmets")
    tale.told(n)


def _labels(ws: Workspace, asset: int) -> list[str]:
    return sorted(a.label for a in labelling.load(ws, asset).annotations)


# --- a sequence ----------------------------------------------------------------------------------------------------


def test_sequence_with_tracks(
    tale: Tale, window: Window, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 12
    way = journey.film(tmp_path / "cam 3", n)
    furnish(tmp_path / "W", tmp_path / "cam 3", "cam 3")
    hand = sit_down(window, qtbot, tale, tmp_path / "W", "07", monkeypatch)
    hand.key("3", CTRL)
    hand.at(1)
    sequence = window.annotate.sequence
    hand.wait(lambda: len(sequence.frames.ids) == n)

    # The first: a box, a track, the last frame; between them it is interpolated.
    first, last = way["a"][0], way["a"][-1]
    hand.key("1")
    hand.key("r")
    hand.drag(first.x0, first.y0, first.x1, first.y1)
    hand.key("1", ALT)
    hand.settled()
    hand.key("t", ALT)
    hand.settled()
    hand.wait(lambda: len(sequence.tracks) == 1)
    hand.keep("track begun")
    for i in range(2, n + 1):
        hand.key("d")
        hand.at(i)
    hand.key("t", ALT, SHIFT)
    hand.settled()
    hand.wait(lambda: len(hand.doc.selection) == 1)
    hand.key("v")
    x, y = (first.x0 + first.x1) / 2, (first.y0 + first.y1) / 2
    hand.drag(x, y, x + last.x0 - first.x0, y + last.y0 - first.y0)
    hand.settled()

    # The second: a box on the first frame, followed by its pixels.
    for i in range(n - 1, 0, -1):
        hand.key("a")
        hand.at(i)
    first = way["b"][0]
    hand.key("1")
    hand.key("r")
    hand.drag(first.x0, first.y0, first.x1, first.y1)
    hand.key("1", ALT)
    hand.settled()
    hand.key("t", SHIFT)
    hand.wait(lambda: bool(hand.desk.tasks.past) and not hand.desk.tasks.running)
    hand.wait(lambda: len(sequence.tracks) == 2)
    hand.keep("followed")
    placed = tracks(hand)
    followed = next(
        t for t in placed if len(frames.keys(placed[t])) != 2 or max(frames.keys(placed[t])) != n - 1
    )

    # One in between is put right.
    for i in range(2, 8):
        hand.key("d")
        hand.at(i)
    hand.key("v")
    now = placed[followed][6].shape
    assert isinstance(now, Box)
    hand.click((now.x0 + now.x1) / 2, now.y1 - 8)
    assert [marks.track(a) for a in hand.doc.chosen()] == [followed]
    hand.drag(now.x1, now.y1, now.x1 + 6, now.y1 + 6)
    hand.settled()
    hand.keep("put right")

    found = tracks(hand)
    assert len(found) == 2 and all(sorted(t) == list(range(n)) for t in found.values())
    other = next(t for t in found if t != followed)
    for i in range(n):
        a, b = found[other][i], found[followed][i]
        assert journey.iou(a, Annotation("person", way["a"][i])) > 0.85
        assert journey.iou(b, Annotation("person", way["b"][i])) > 0.6
        assert {a.label, b.label} == {"person"}
        assert {dict(x.attributes).get("helmet_worn") for x in (a, b)} == {"proper"}
    assert sorted(frames.keys(found[other])) == [0, n - 1]
    assert marks.is_key(found[followed][6]) and found[followed][6].origin == "human"
    mended, was = found[followed][6].shape, now
    assert isinstance(mended, Box)
    assert (mended.x1 - was.x1, mended.y1 - was.y1) == pytest.approx((6, 6), abs=1.5)
    assert {h.agent for i in range(1, n + 1) for h in labelling.history(hand.ws, asset_id=i)} == {"07"}
    hand.calm()
    tale.told(n)


def tracks(hand: Worker) -> dict[str, frames.Track]:
    hand.settled()
    return frames.tracked(hand.ws, frames.sequence_of(hand.ws, 1, 1))
