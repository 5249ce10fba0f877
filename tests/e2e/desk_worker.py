"""A desk somebody works at without pause, gesture after gesture by mouse and keys; killed by its test.

usage: python desk_worker.py WORKSPACE SEED

Whenever the status line says "Saved rN" it prints one line: N, the open picture, the digest of the annotations on the
screen ("-" where none is loaded), and the verb of the gesture before it. A line goes to the pipe in one write, whole.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import sys
from collections.abc import Iterable

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from annotation.core import Annotation
from app.desktop import main
from app.desktop.canvas import shapes
from app.desktop.ime import Guard
from tests.app.desktop.conftest import Hand

WEIGHTS = {
    "box": 6, "polygon": 4, "move": 4, "relabel": 4, "attribute": 4, "accept": 4, "reject": 3, "delete": 3,
    "undo": 4, "redo": 3, "next": 2, "previous": 1,
}  # fmt: skip
CROWDED = 20
"""From so many objects on a picture on, the hand takes away rather than adds."""


def digest(annotations: Iterable[Annotation]) -> str:
    """What a person would see of a picture's annotations, every value of every one, in no order."""
    seen = sorted(
        repr((a.uid, a.label, a.shape, sorted(a.attributes.items()), a.score, a.origin)) for a in annotations
    )
    return hashlib.blake2b("\n".join(seen).encode(), digest_size=16).hexdigest()


class Teller(QObject):
    """Tells what the status line calls saved: when its text is set, and again when it is painted."""

    def __init__(self, hand: Hand) -> None:
        super().__init__()
        self.hand, self.verb, self._told = hand, "start", ""
        hand.doc.saving.connect(self.tell)
        hand.window.saved.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            self.tell()
        return False

    def tell(self) -> None:
        text, doc = self.hand.window.saved.text(), self.hand.doc
        if not text.startswith("Saved r"):
            return
        shown = digest(doc.annotations) if doc.loaded else "-"
        line = f"{re.sub(r'[^0-9]', '', text)} {doc.asset_id or 0} {shown}"
        if line != self._told:
            self._told = line
            os.write(1, f"saved {line} {self.verb}\n".encode())


class Script:
    """Random gestures, a step at each tick; most wait until the gesture before is saved, some do not."""

    def __init__(self, hand: Hand, teller: Teller, seed: int) -> None:
        self.hand, self.teller, self.rng = hand, teller, random.Random(seed)
        self.patient = False

    def step(self) -> None:
        hand, rng = self.hand, self.rng
        if hand.window.place != "annotate":
            if hand.desk.schema is not None and hand.desk.dataset is not None:
                hand.window.go("annotate")
            return
        if hand.doc.asset_id is None or not hand.ready(hand.doc.asset_id):
            return
        if self.patient and hand.doc.pending:
            return
        names = [n for n in WEIGHTS if len(hand.doc.annotations) < CROWDED or n not in ("box", "polygon")]
        name = rng.choices(names, [WEIGHTS[n] for n in names])[0]
        self.patient = rng.random() < 0.6
        self.teller.verb = name
        getattr(self, name)()

    def key(self, key: Qt.Key | str, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.hand.canvas, key, held)

    def one(self) -> Annotation | None:
        """Take some object in hand by a click in its middle."""
        self.key("v")
        self.key(Qt.Key.Key_Escape)
        found = [a for a in self.hand.doc.annotations if shapes.bounds(a.shape) is not None]
        if not found:
            return None
        chosen = self.rng.choice(found)
        x0, y0, x1, y1 = shapes.bounds(chosen.shape) or (0.0, 0.0, 0.0, 0.0)
        self.hand.click((x0 + x1) / 2, (y0 + y1) / 2)
        return chosen

    def digit(self) -> None:
        self.key(self.rng.choice("123456"))

    def box(self) -> None:
        rng = self.rng
        self.key("r")
        self.digit()
        x, y = rng.uniform(5, 380), rng.uniform(5, 260)
        self.hand.drag(x, y, x + rng.uniform(12, 90), y + rng.uniform(12, 90))

    def polygon(self) -> None:
        rng = self.rng
        self.key("p")
        self.digit()
        x, y, r = rng.uniform(60, 420), rng.uniform(60, 300), rng.uniform(12, 50)
        for dx, dy in ((-r, -r), (r, -r * 0.6), (r * 0.7, r), (-r * 0.8, r * 0.9)):
            self.hand.click(x + dx, y + dy)
        self.key(Qt.Key.Key_Return)

    def move(self) -> None:
        if (a := self.one()) is None:
            return
        x0, y0, x1, y1 = shapes.bounds(a.shape) or (0.0, 0.0, 0.0, 0.0)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        self.hand.drag(x, y, x + self.rng.uniform(-30, 30), y + self.rng.uniform(-30, 30))

    def relabel(self) -> None:
        if self.one() is not None:
            self.digit()

    def attribute(self) -> None:
        if self.one() is not None:
            self.key(self.rng.choice("123456"), Qt.KeyboardModifier.AltModifier)

    def accept(self) -> None:
        self._judge(Qt.Key.Key_Return)

    def reject(self) -> None:
        self._judge(Qt.Key.Key_X)

    def _judge(self, key: Qt.Key) -> None:
        """The first stroke takes the best prediction in hand, the next ones judge."""
        self.key("v")
        self.key(Qt.Key.Key_Escape)
        for _ in range(self.rng.randint(2, 3)):
            self.key(key)

    def delete(self) -> None:
        if self.one() is not None:
            self.key(Qt.Key.Key_Delete)

    def undo(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.key("z", Qt.KeyboardModifier.ControlModifier)

    def redo(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.key("y", Qt.KeyboardModifier.ControlModifier)

    def next(self) -> None:
        self.key("d")

    def previous(self) -> None:
        self.key("a")


def work(place: str, seed: int) -> int:
    app = QApplication([])
    app.installEventFilter(Guard(app))
    window = main.build("en")
    window.resize(1400, 860)
    window.show()
    window.activateWindow()
    window.open_workspace(place)
    hand = Hand(window, None)  # type: ignore[arg-type]
    script = Script(hand, Teller(hand), seed)
    tick = QTimer()
    tick.setTimerType(Qt.TimerType.PreciseTimer)
    tick.timeout.connect(script.step)
    tick.start(8)
    return app.exec()


if __name__ == "__main__":
    sys.exit(work(sys.argv[1], int(sys.argv[2])))
