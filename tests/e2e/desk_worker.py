"""A desk that draws boxes without pause and prints each uid once its status line calls it saved; killed by its test."""

from __future__ import annotations

import sys

from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.desktop import main
from tests.app.desktop.conftest import Hand


def work(place: str) -> int:
    app = QApplication([])
    window = main.build("en")
    window.resize(1400, 860)
    window.show()
    window.open_workspace(place)
    hand = Hand(window, None)  # type: ignore[arg-type]
    told: set[str] = set()

    def saved() -> None:
        if hand.doc.pending or not window.saved.text().startswith("Saved r"):
            return
        for a in hand.doc.annotations:
            if a.uid not in told:
                told.add(a.uid)
                print("saved", a.uid, flush=True)

    hand.doc.saved.connect(lambda _: saved())
    drawn = 0

    def step() -> None:
        nonlocal drawn
        if hand.desk.schema is None or hand.desk.dataset is None:
            return
        if hand.doc.asset_id != 1:
            window.go("annotate")
            window.annotate.open(1)
        elif hand.ready(1):
            window.annotate.set_tool("box")
            x, y = 5 + drawn * 37 % 400, 5 + drawn * 53 % 280
            QTest.mouseMove(hand.canvas, hand.point(x, y))
            hand.drag(x, y, x + 40, y + 40)
            hand.doc.select(())
            drawn += 1

    tick = QTimer()
    tick.setTimerType(Qt.TimerType.PreciseTimer)
    tick.timeout.connect(step)
    tick.start(10)
    return app.exec()


if __name__ == "__main__":
    sys.exit(work(sys.argv[1]))
