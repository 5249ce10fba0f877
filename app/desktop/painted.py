"""Painting that cannot end the program: an exception out of a paint event would."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QAbstractScrollArea, QWidget

log = logging.getLogger(__name__)


@contextmanager
def painted(widget: QWidget) -> Iterator[QPainter]:
    """A painter on a widget (of a scrolling one its viewport), for one paint event."""
    p = QPainter(widget.viewport() if isinstance(widget, QAbstractScrollArea) else widget)
    try:
        with guarded(type(widget).__name__):
            yield p
    finally:
        p.end()


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """What goes wrong inside is logged and the rest of it stays unpainted: better an unpainted corner than a dead process."""
    try:
        yield
    except Exception:
        log.exception("painting %s", what)
