"""What is dropped on the window: a model's file or pack is looked at in the sheet that takes it in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QObject
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QWidget

MODEL_ENDINGS = (".onnx", ".lrmodel")


def models_in(data: QMimeData) -> list[str]:
    """Local files of models among what is dragged."""
    paths = [url.toLocalFile() for url in data.urls() if url.isLocalFile()]
    return [p for p in paths if Path(p).suffix.lower() in MODEL_ENDINGS]


class Drops(QObject):
    """Listens for drops on a window; `take` gets a model's path, while `ready` says that it may."""

    def __init__(self, window: QWidget, take: Callable[[str], object], ready: Callable[[], bool]) -> None:
        super().__init__(window)
        self._take, self._ready = take, ready
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        match event.type():
            case QEvent.Type.DragEnter | QEvent.Type.DragMove if isinstance(event, QDragEnterEvent):
                if self._ready() and models_in(event.mimeData()):
                    event.acceptProposedAction()
                    return True
            case QEvent.Type.Drop if isinstance(event, QDropEvent):
                found = models_in(event.mimeData())
                if self._ready() and found:
                    event.acceptProposedAction()
                    self._take(found[0])
                    return True
            case _:
                pass
        return False
