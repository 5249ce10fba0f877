"""One picture of two versions side by side: what went, what came and what changed drawn so that it is told without colour.

Gone: dash-dot, on the left, marked −. New: a thick full line, on the right, marked +. Changed: a double line on both sides,
marked ~ with what happened; the right side shows the former place dotted. The rest is thin and pale.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPainterPath, QPen, QTransform
from PySide6.QtWidgets import QSizePolicy, QWidget

from annotation.errors import LamproomError
from annotation.rows import from_row
from app.desktop import theme
from app.desktop.canvas import shapes
from app.desktop.painted import guarded, painted
from app.i18n import tr

GAP, HEAD = 12, 24
SIGNS = {"added": "+", "removed": "−", "changed": "~", "former": "", "same": ""}
TONES = {"added": "green", "removed": "red", "changed": "blue", "former": "blue", "same": "second"}


@dataclass(frozen=True, slots=True)
class Mark:
    """An object on one side; kind is a key of SIGNS, path in pixels of the picture, text for its tag."""

    path: QPainterPath
    kind: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """One version's picture: None where it is not in that version or cannot be read, then `why`. wh: its size."""

    image: QImage | None
    wh: tuple[int, int]
    marks: tuple[Mark, ...]
    why: str = ""


def path_of(made: Mapping[str, Any]) -> QPainterPath:
    """The outline of an object as a manifest has it; empty for what has no place."""
    path = QPainterPath()
    try:
        points = made.get("points")
        text = None if points is None else json.dumps(points)
        for ring, closed in shapes.rings(from_row(made["kind"], made.get("bbox"), text)):
            flat = [QPointF(float(x), float(y)) for x, y in ring]
            if not flat:
                continue
            path.moveTo(flat[0])
            for point in flat[1:] or [flat[0] + QPointF(0.5, 0.5)]:
                path.lineTo(point)
            if closed:
                path.closeSubpath()
    except (LamproomError, KeyError, TypeError, ValueError, IndexError):
        return path
    return path


class Sides(QWidget):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._sides: list[tuple[str, Side | None]] = [("", None), ("", None)]
        self.setMinimumSize(420, 260)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_sides(self, left: tuple[str, Side | None], right: tuple[str, Side | None], told: str) -> None:
        """Draw both: (title, side); `told` is what a screen reader says."""
        self._sides = [left, right]
        self.setAccessibleDescription(told)
        self.update()

    def paintEvent(self, event) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            wide = (self.width() - GAP) / 2
            for i, (title, side) in enumerate(self._sides):
                area = QRectF(i * (wide + GAP), 0, wide, self.height())
                with guarded("a side"):
                    _draw(p, area, title, side)


def _draw(p: QPainter, area: QRectF, title: str, side: Side | None) -> None:
    t = theme.current()
    p.setFont(theme.font(12, bold=True))
    p.setPen(QColor(t.text))
    p.drawText(QRectF(area.left(), area.top(), area.width(), HEAD), Qt.AlignmentFlag.AlignVCenter, title)
    well = area.adjusted(0, HEAD, 0, 0)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(t.well))
    p.drawRoundedRect(well, theme.RADIUS, theme.RADIUS)
    if side is None:
        return
    if side.why:
        p.setFont(theme.font(12))
        p.setPen(QColor(t.second))
        p.drawText(
            well.adjusted(16, 0, -16, 0),
            int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap),
            side.why,
        )
    w, h = side.wh
    if not w or not h:
        return
    scale = min((well.width() - 16) / w, (well.height() - 16) / h)
    box = QRectF(0, 0, w * scale, h * scale)
    box.moveCenter(well.center())
    if side.image is not None:
        p.drawImage(box, side.image)
    place = QTransform().translate(box.left(), box.top()).scale(scale, scale)
    p.save()
    p.setClipRect(well)
    order = {"same": 0, "former": 1, "removed": 2, "changed": 3, "added": 4}
    taken: list[QRectF] = []
    for mark in sorted(side.marks, key=lambda m: order[m.kind]):
        _mark(p, place.map(mark.path), mark, well, taken)
    p.restore()


def _mark(p: QPainter, path: QPainterPath, mark: Mark, well: QRectF, taken: list[QRectF]) -> None:
    t = theme.current()
    colour = QColor(getattr(t, TONES[mark.kind]))
    p.setBrush(Qt.BrushStyle.NoBrush)
    for pen in _pens(mark.kind, colour):
        p.setPen(pen)
        p.drawPath(path)
    sign = SIGNS[mark.kind]
    if not sign:
        return
    p.setFont(theme.font(11, bold=True))
    text = f"{sign} {mark.text}".strip()
    wide = QFontMetrics(p.font()).horizontalAdvance(text) + 12
    bounds = path.boundingRect() if not path.isEmpty() else QRectF(well.left() + 8, well.top() + 26, 0, 0)
    tag = QRectF(bounds.left(), bounds.top() - 21, wide, 18)
    tag.moveLeft(max(well.left() + 2, min(tag.left(), well.right() - wide - 2)))
    tag.moveTop(max(well.top() + 2, tag.top()))
    while any(tag.intersects(other) for other in taken) and tag.bottom() < well.bottom() - 20:
        tag.translate(0, 20)
    taken.append(tag)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(colour)
    p.drawRoundedRect(tag, 4, 4)
    p.setPen(QColor(theme.ink_on(colour.name())))
    p.drawText(tag, Qt.AlignmentFlag.AlignCenter, text)


def _pens(kind: str, colour: QColor) -> list[QPen]:
    """A dark line under each, so that it is seen on any picture."""
    under = QColor(0, 0, 0, 150)
    match kind:
        case "added":
            return [QPen(under, 5), QPen(colour, 3)]
        case "removed":
            pen = QPen(colour, 2)
            pen.setDashPattern([6, 3, 1, 3])
            return [QPen(under, 4), pen]
        case "changed":
            return [QPen(under, 6), QPen(colour, 4), QPen(QColor(255, 255, 255), 1.2)]
        case "former":
            pen = QPen(colour, 1.6)
            pen.setDashPattern([1, 3])
            return [pen]
    pale = QColor(colour)
    pale.setAlpha(150)
    return [QPen(pale, 1)]


def sides_of(
    pair: Any, images: Sequence[QImage | None], whys: Sequence[str], name: Callable[[str], str]
) -> tuple[Side, Side]:
    """Both sides of a picture's pair (app/services/versions/differing.py)."""
    out: list[Side] = []
    for at, fact in enumerate((pair.before, pair.after)):
        if fact is None:
            out.append(Side(None, (0, 0), (), tr("The picture is not in this version.")))
            continue
        marks = [Mark(path_of(o), "same") for o in pair.same]
        for one in pair.changed:
            mine, other = (one.before, one.after) if at == 0 else (one.after, one.before)
            if mine is not None and other is not None:
                how = ", ".join(tr(word) for word in one.how)
                marks.append(Mark(path_of(mine), "changed", f"{name(mine['label'])} {how}"))
                if at == 1:
                    marks.append(Mark(path_of(other), "former"))
            elif mine is not None:
                marks.append(Mark(path_of(mine), "removed" if at == 0 else "added", name(mine["label"])))
        image = images[at]
        wh = fact.wh or ((image.width(), image.height()) if image else (0, 0))
        out.append(Side(image, wh, tuple(marks), whys[at]))
    return out[0], out[1]
