"""What is dropped on the window: files and folders are given to whoever can say what they are."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QMimeData, QObject
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QWidget

MODEL_ENDINGS = (".onnx", ".lrmodel")


def files_in(data: QMimeData) -> list[str]:
    """Local files and folders among what is dragged."""
    return [path for url in data.urls() if url.isLocalFile() and (path := url.toLocalFile())]


class Drops(QObject):
    """Listens for drops on a window; `take` gets the first path, while `ready` says that it may."""

    def __init__(self, window: QWidget, take: Callable[[str], object], ready: Callable[[], bool]) -> None:
        super().__init__(window)
        self._take, self._ready = take, ready
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        match event.type():
            case QEvent.Type.DragEnter | QEvent.Type.DragMove if isinstance(event, QDragEnterEvent):
                if self._ready() and files_in(event.mimeData()):
                    event.acceptProposedAction()
                    return True
            case QEvent.Type.Drop if isinstance(event, QDropEvent):
                found = files_in(event.mimeData())
                if self._ready() and found:
                    event.acceptProposedAction()
                    self._take(found[0])
                    return True
            case _:
                pass
        return False
