"""A window on a small workspace of drawn scenes, and a hand that moves mouse and keys over it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from annotation import scenes
from annotation.core import Annotation, Box, new_uid
from app.desktop import main, theme
from app.desktop.ime import Guard
from app.desktop.window import Window
from app.services import ingest, labelling, workspace
from app.services.workspace import Workspace
from storage import record
from storage.record import Edit
from tests.support import manual
from tests.support.gestures import gesture

N = 5
PREDICTED = (
    ("person", Box(100, 60, 200, 300), 0.9),
    ("person", Box(300, 80, 380, 280), 0.7),
    ("helmet", Box(130, 62, 165, 95), 0.4),
)


def predict(ws: Workspace, asset: int, boxes: tuple[tuple[str, Box, float], ...] = PREDICTED) -> None:
    """Predictions as a pre-label job leaves them."""
    with ws.db.write() as conn:
        agent = record.agent(conn, "model", "drawn")
        act = record.start_activity(conn, "prelabel", agent.id, {}, model_digest=bytes(32), open_=False)
        numbers = record.label_ids(conn, [code for code, _, _ in boxes])
    edits = [
        Edit(
            opens=labelling.content(
                Annotation(code, box, score=score, origin="model"), asset, numbers[code], origin="model"
            )
        )
        for code, box, score in boxes
    ]
    gesture(ws.db, edits, agent_id=agent.id, activity_id=act, verb="prelabel")


def draw_pictures(folder: Path, n: int = N, wh: tuple[int, int] = (480, 360)) -> Path:
    """`n` drawn scenes as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        cv2.imwrite(str(folder / f"井下 {i:03d}.png"), scenes.draw(100 + i, wh).picture)
    return folder


def furnish(place: Path, n: int = N) -> Path:
    """A workspace with the dataset `face`: `n` scenes, predictions on the second."""
    pictures = draw_pictures(place / "pictures", n)
    ws = workspace.create(str(place / "W"), person="07")
    for _ in ingest.run(ws, [pictures], dataset="face"):
        pass
    predict(ws, 2)
    ws.close()
    return place / "W"


def copy_furnished(made: Path, place: Path) -> Path:
    """A furnished workspace of its own at `place`, as if it had been made there: nothing in it names `made` any more."""
    shutil.copytree(made, place, dirs_exist_ok=True)
    with contextlib.closing(sqlite3.connect(place / "W" / workspace.RECORD_FILE)) as raw, raw:
        raw.execute("PRAGMA synchronous=OFF")
        raw.execute("UPDATE meta SET value = ? WHERE key = 'uid'", [new_uid()])
        raw.execute("UPDATE source_root SET location = ?", [os.fsencode(place / "pictures")])
        for table in ("activity", "job"):
            for was, now in ((str(made), str(place)), (os.fsencode(made).hex(), os.fsencode(place).hex())):
                raw.execute(f"UPDATE {table} SET params = replace(params, ?, ?)", [was, now])
    return place / "W"


class Hand:
    """Mouse and keys on the canvas, in source pixels."""

    def __init__(self, window: Window, qtbot: QtBot) -> None:
        self.window, self.qtbot = window, qtbot
        self._held = False
        self.desk, self.doc, self.canvas = window.desk, window.desk.document, window.annotate.canvas

    def point(self, x: float, y: float) -> QPoint:
        sx, sy = self.canvas.to_screen(x, y)
        return QPoint(round(sx), round(sy))

    def press(self, x: float, y: float, *, shift: bool = False) -> None:
        keys = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        self._held = True
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, keys, self.point(x, y))

    def move(self, x: float, y: float) -> None:
        # QTest.mouseMove may swallow a move to where the cursor is already; counted steps are sent.
        at = self.point(x, y)
        held = Qt.MouseButton.LeftButton if self._held else Qt.MouseButton.NoButton
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(at),
            QPointF(self.canvas.mapToGlobal(at)),
            Qt.MouseButton.NoButton,
            held,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self.canvas, event)

    def release(self, x: float, y: float) -> None:
        self._held = False
        QTest.mouseRelease(
            self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, self.point(x, y)
        )

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.press(x0, y0)
        for share in (0.3, 0.6, 1.0):
            self.move(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share)
        self.release(x1, y1)

    def click(self, x: float, y: float, *, shift: bool = False) -> None:
        self.press(x, y, shift=shift)
        self.release(x, y)

    def double(self, x: float, y: float) -> None:
        QTest.mouseDClick(
            self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, self.point(x, y)
        )

    def key(self, key: Qt.Key | str, *modifiers: Qt.KeyboardModifier, on: QWidget | None = None) -> None:
        held = Qt.KeyboardModifier.NoModifier
        for one in modifiers:
            held |= one
        QTest.keyClick(on or self.window.focusWidget() or self.window, key, held)

    def open(self, asset_id: int) -> None:
        """Show a picture and wait until it can be worked on."""
        self.window.go("annotate")
        self.window.annotate.open(asset_id)
        self.qtbot.waitUntil(lambda: self.ready(asset_id))
        self.canvas.setFocus()

    def ready(self, asset_id: int) -> bool:
        return (
            self.doc.asset_id == asset_id
            and self.doc.loaded
            and self.canvas.picture_wh is not None
            and self.desk.schema is not None
        )

    def settled(self) -> None:
        """Wait until every gesture is committed."""
        self.qtbot.waitUntil(lambda: self.doc.pending == 0, timeout=10_000)

    def stored(self, asset_id: int | None = None) -> dict[str, Annotation]:
        """What the record holds, read beside the desk."""
        self.settled()
        assert self.desk.ws is not None
        page = labelling.load(self.desk.ws, asset_id or self.doc.asset_id or 0)
        return {a.uid: a for a in page.annotations}


@pytest.fixture
def guard(qapp) -> Iterator[Guard]:
    """The application's input-method guard, as `main.run` installs it."""
    made = Guard()
    qapp.installEventFilter(made)
    yield made
    qapp.removeEventFilter(made)


@pytest.fixture
def window(qtbot: QtBot, guard: Guard, qapp, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    """A window without a workspace, English, dark; person 07."""
    monkeypatch.setenv("LAMPROOM_PERSON", "07")
    qapp.setStyle("Fusion")
    qapp.setFont(theme.font(13))
    made = main.build("en")
    made.resize(1400, 860)
    made.show()
    made.activateWindow()
    qtbot.waitUntil(made.isActiveWindow)
    yield made
    # All of them, a test's second one too: what is left is styled again with every window after it.
    for one in qapp.topLevelWidgets():
        if isinstance(one, Window):
            one.close()
            one.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qapp.processEvents()
    qapp.setStyleSheet("")  # as at a start: widgets that are made under a sheet are styled twice
    theme.choose("dark")


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `furnish` makes, once; tests work on copies."""
    folder = tmp_path_factory.mktemp("furnished")
    furnish(folder)
    return folder


@pytest.fixture
def place(furnished: Path, tmp_path: Path) -> Path:
    """A furnished workspace on the disk."""
    return copy_furnished(furnished, tmp_path)


@pytest.fixture
def photograph(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keep a widget as a picture of the manual: photograph(widget, "name.png")."""
    return partial(manual.photograph, write=request.config.getoption("--manual"))


def open_in(window: Window, qtbot: QtBot, place: Path) -> Hand:
    """Open a workspace and wait for its dataset."""
    window.open_workspace(str(place))
    qtbot.waitUntil(
        lambda: window.desk.dataset is not None and window.desk.schema is not None, timeout=10_000
    )
    return Hand(window, qtbot)


@pytest.fixture
def hand(window: Window, qtbot: QtBot, place: Path) -> Hand:
    """The window on the furnished workspace."""
    return open_in(window, qtbot, place)
