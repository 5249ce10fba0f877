"""Tags and captions of the whole picture: a line of chips at its upper left corner, each a click away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPen

from annotation.core import Annotation, Caption
from app.desktop import theme
from app.desktop.canvas.ink import tag_text

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

_HIGH, _GAP, _EDGE, _UNDER_HINT = 24.0, 6.0, 12.0, 50.0
_WIDEST = 380
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip: its object ("" for the rest that has no room), its place in widget pixels, what it says."""

    uid: str
    box: QRectF
    text: str
    colour: str
    dashed: bool


def layout(canvas: Canvas) -> Iterator[Chip]:
    """The chips from left to right: at the picture's corner, or at the view's when that is further in."""
    doc, style = canvas.document, canvas.settled.style
    found = [a for a in canvas.scene.pages if not doc.is_hidden(a)]
    x = max(_EDGE, canvas.camera.ox + _EDGE)
    y = max(_UNDER_HINT if canvas.hint else _EDGE, canvas.camera.oy + _EDGE)
    metrics = QFontMetrics(theme.font(12, bold=True))
    for a in found[:_SHOWN]:
        text = metrics.elidedText(_text(canvas, a), Qt.TextElideMode.ElideRight, _WIDEST)
        wide = metrics.horizontalAdvance(text) + 30.0
        yield Chip(a.uid, QRectF(x, y, wide, _HIGH), text, style.colour(a.label), a.origin == "model")
        x += wide + _GAP
    if len(found) > _SHOWN:
        text = f"+{len(found) - _SHOWN}"
        wide = metrics.horizontalAdvance(text) + 18.0
        yield Chip("", QRectF(x, y, wide, _HIGH), text, theme.DARK.second, False)


def _text(canvas: Canvas, a: Annotation) -> str:
    if isinstance(a.shape, Caption):
        return f"“{a.shape.text}”"
    return tag_text(a.label, a.score, canvas.settled.style)


def at(canvas: Canvas, place: QPointF) -> str | None:
    """Uid of the object whose chip is at a place in widget pixels."""
    if not canvas.scene.pages:
        return None
    return next((c.uid for c in layout(canvas) if c.uid and c.box.contains(place)), None)


def paint(canvas: Canvas, p: QPainter) -> None:
    """The chips: dark, the class's colour as a dot, dashed for a prediction, a white rim for what is selected."""
    if not canvas.scene.pages:
        return
    p.setRenderHint(QPainter.RenderHint.Antialiasing)
    chosen = set(canvas.document.selection)
    for chip in layout(canvas):
        pen = QPen(QColor("#ffffff" if chip.uid in chosen else chip.colour), 1.5)
        if chip.dashed:
            pen.setDashPattern([3, 2])
        p.setPen(pen)
        p.setBrush(QColor(12, 13, 16, 215))
        p.drawRoundedRect(chip.box, _HIGH / 2, _HIGH / 2)
        left = 9.0
        if chip.uid:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(chip.colour))
            p.drawEllipse(QPointF(chip.box.x() + 13, chip.box.center().y()), 4.0, 4.0)
            left = 22.0
        p.setFont(theme.font(12, bold=True))
        p.setPen(QColor(theme.DARK.text))
        p.drawText(chip.box.adjusted(left, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, chip.text)
