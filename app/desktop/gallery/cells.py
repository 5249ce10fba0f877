"""One cell of the grid: a picture or an object with its name, score, state and marks. Nothing here may be slow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPainterPath, QPen

from app.desktop import icons, theme
from app.desktop.gallery.crops import Crop
from app.desktop.widgets import number
from app.i18n import tr
from app.services.browse import ItemRow
from app.services.cleaning import Member
from app.services.listing import ObjectRow

CAPTION_PX = 48
TONES = {"unlabelled": "second", "predicted": "accent", "labelled": "green"}
STATE_TEXT = {"unlabelled": "Unlabelled", "predicted": "To confirm", "labelled": "Labelled"}
REVIEW_TEXT = {"submitted": "Submitted", "accepted": "Accepted", "returned": "Returned"}
REVIEW_TONES = {"submitted": "blue", "accepted": "green", "returned": "red"}
Outline = tuple[str, tuple[float, float, float, float], bool]
"""(label, x0 y0 x1 y1 in px, is a prediction)."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a cell is drawn now, and what classes are called and coloured."""

    selected: bool = False
    current: bool = False
    hot: bool = False
    colour: Callable[[str], str] = lambda _: "#98a1ac"
    name: Callable[[str], str] = lambda code: code
    value: Callable[[str, str], str] = lambda _, value: value


def frame_of(box: QRect) -> QRect:
    """Where the pixels go."""
    return QRect(box.x() + 6, box.y() + 6, box.width() - 12, box.height() - CAPTION_PX - 8)


def paint_ground(p: QPainter, box: QRect, look: Look) -> None:
    """The card under a cell."""
    t = theme.current()
    edge = t.blue if look.selected else t.accent if look.current else t.second if look.hot else t.line
    p.setPen(QPen(QColor(edge), 2 if look.selected or look.current else 1))
    p.setBrush(QColor(theme.mix(t.panel, t.blue, 0.08) if look.selected else t.panel))
    p.drawRoundedRect(QRectF(box).adjusted(1, 1, -1, -1), 8, 8)
    if look.selected and look.current:
        p.setPen(QPen(QColor(t.accent), 1))
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.drawRoundedRect(QRectF(box).adjusted(3.5, 3.5, -3.5, -3.5), 6, 6)


def fitted(frame: QRect, image: QImage) -> tuple[QRectF, QRectF]:
    """(target, source): the picture fills its frame unless that would cut too much of it off."""
    full = max(frame.width() / image.width(), frame.height() / image.height())
    whole = min(frame.width() / image.width(), frame.height() / image.height())
    if full > 1.6 * whole:
        w, h = image.width() * whole, image.height() * whole
        middle = QRectF(frame).center()
        return QRectF(middle.x() - w / 2, middle.y() - h / 2, w, h), QRectF(image.rect())
    w, h = frame.width() / full, frame.height() / full
    return QRectF(frame), QRectF((image.width() - w) / 2, (image.height() - h) / 2, w, h)


def _inside(p: QPainter, frame: QRect) -> None:
    path = QPainterPath()
    path.addRoundedRect(QRectF(frame), 5, 5)
    p.setClipPath(path)
    p.fillRect(frame, QColor(theme.current().raised))


def paint_picture(
    p: QPainter,
    box: QRect,
    row: ItemRow,
    image: QImage | None,
    *,
    failed: bool,
    look: Look,
    outlines: Sequence[Outline] = (),
    groups: Sequence[Member] = (),
) -> None:
    """A picture's cell; `outlines` are drawn over it, `groups` of like pictures it is in are said at its foot."""
    t = theme.current()
    frame = frame_of(box)
    p.save()
    _inside(p, frame)
    if image is not None:
        target, source = fitted(frame, image)
        p.drawImage(target, image, source)
        if outlines and row.width_px and row.height_px:
            sx, sy = image.width() / row.width_px, image.height() / row.height_px
            fx, fy = target.width() / source.width(), target.height() / source.height()
            for label, (x0, y0, x1, y1), predicted in outlines[:400]:
                at = QRectF(
                    target.x() + (x0 * sx - source.x()) * fx, target.y() + (y0 * sy - source.y()) * fy,
                    (x1 - x0) * sx * fx, (y1 - y0) * sy * fy,
                )  # fmt: skip
                _outline(p, at, look.colour(label), dashed=predicted)
    elif failed:
        p.setFont(theme.font(12))
        p.setPen(QColor(t.red))
        p.drawText(frame, Qt.AlignmentFlag.AlignCenter, tr("Not readable"))
    p.restore()
    _marks(p, frame, row.review)
    if groups:
        _group(p, frame, groups)
    right = _dot(p, box, getattr(t, TONES[row.state]))
    _caption(p, box, right, row.path.rsplit("/", 1)[-1], summary(row), middle=True)


def paint_object(
    p: QPainter, box: QRect, o: ObjectRow, crop: Crop | None, *, failed: bool, look: Look
) -> None:
    """An object's cell: its cut-out with its outline, class with score, attributes."""
    t = theme.current()
    frame = frame_of(box)
    p.save()
    _inside(p, frame)
    if crop is not None:
        target, source = fitted(frame, crop.image)
        p.drawImage(target, crop.image, source)
        if crop.box is not None:
            fx, fy = target.width() / source.width(), target.height() / source.height()
            w, h = crop.image.width(), crop.image.height()
            at = QRectF(
                target.x() + (crop.box.x() * w - source.x()) * fx, target.y() + (crop.box.y() * h - source.y()) * fy,
                crop.box.width() * w * fx, crop.box.height() * h * fy,
            )  # fmt: skip
            _outline(p, at, look.colour(o.label), dashed=o.origin == "model")
    elif failed:
        p.setFont(theme.font(12))
        p.setPen(QColor(t.red))
        p.drawText(frame, Qt.AlignmentFlag.AlignCenter, tr("Not readable"))
    p.restore()
    _marks(p, frame, o.review)
    right = _dot(p, box, t.accent if o.origin == "model" else t.green)
    name = look.name(o.label) + (f"  {o.score:.2f}" if o.score is not None else "")
    facts = [
        look.value(k, str(v))
        for k, v in o.attributes.items()
        if not k.startswith("@") and v not in (False, "")
    ]
    _caption(
        p, box, right, name, " · ".join([*facts[:3], o.path.rsplit("/", 1)[-1]]), swatch=look.colour(o.label)
    )


def _outline(p: QPainter, at: QRectF, colour: str, *, dashed: bool) -> None:
    p.setBrush(Qt.BrushStyle.NoBrush)
    p.setPen(QPen(QColor(0, 0, 0, 130), 3))
    p.drawRect(at)
    pen = QPen(QColor(colour), 1.6)
    if dashed:
        pen.setDashPattern([4, 3])
    p.setPen(pen)
    p.drawRect(at)


def _marks(p: QPainter, frame: QRect, review: str) -> None:
    """The review state on the picture's corner."""
    if review == "draft":
        return
    t = theme.current()
    text = tr(REVIEW_TEXT[review])
    p.setFont(theme.font(11, bold=True))
    wide = QFontMetrics(p.font()).horizontalAdvance(text) + 16
    tone = getattr(t, REVIEW_TONES[review])
    at = QRect(frame.left() + 6, frame.top() + 6, wide, 20)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(tone))
    p.drawRoundedRect(at, 10, 10)
    p.setPen(QColor(theme.ink_on(tone)))
    p.drawText(at, Qt.AlignmentFlag.AlignCenter, text)


def _group(p: QPainter, frame: QRect, groups: Sequence[Member]) -> None:
    """Whether the picture is kept of its group; a band along the foot has the group's colour, so that neighbours show."""
    t = theme.current()
    one = next((m for m in groups if not m.kept), groups[0])
    tones = (t.blue, t.violet, t.cyan, t.accent)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(tones[one.group * 2654435761 // 65536 % len(tones)]))
    p.drawRoundedRect(QRectF(frame.left(), frame.bottom() - 3, frame.width(), 4), 2, 2)
    text = tr("Kept · {n}", n=number(one.n)) if one.kept else tr("Leaves · {n}", n=number(one.n))
    p.setFont(theme.font(11, bold=True))
    wide = QFontMetrics(p.font()).horizontalAdvance(text) + 16
    at = QRect(frame.left() + 6, frame.bottom() - 30, wide, 20)
    tone = t.green if one.kept else t.second
    p.setBrush(QColor(tone))
    p.drawRoundedRect(at, 10, 10)
    p.setPen(QColor(theme.ink_on(tone)))
    p.drawText(at, Qt.AlignmentFlag.AlignCenter, text)


def _dot(p: QPainter, box: QRect, colour: str) -> int:
    right, top = box.right() - 12, box.bottom() - CAPTION_PX + 4
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(colour))
    p.drawEllipse(QRectF(right - 8, top + 17, 8, 8))
    return right


def _caption(
    p: QPainter, box: QRect, right: int, head: str, under: str, *, swatch: str = "", middle: bool = False
) -> None:
    t = theme.current()
    left, top = box.x() + 12, box.bottom() - CAPTION_PX + 4
    room = right - 20 - left
    p.setFont(theme.font(13, bold=True))
    x = left
    if swatch:
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(swatch))
        p.drawRoundedRect(QRectF(left, top + 5, 10, 10), 3, 3)
        x += 16
    p.setPen(QColor(t.text))
    mode = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight
    text = QFontMetrics(p.font()).elidedText(head, mode, room - (x - left))
    p.drawText(QRect(x, top, room - (x - left), 20), Qt.AlignmentFlag.AlignVCenter, text)
    p.setFont(theme.font(11))
    p.setPen(QColor(t.second))
    below = QFontMetrics(p.font()).elidedText(under, Qt.TextElideMode.ElideRight, room)
    p.drawText(QRect(left, top + 20, room, 18), Qt.AlignmentFlag.AlignVCenter, below)


def paint_check(p: QPainter, box: QRect) -> None:
    """The sign of a chosen cell."""
    t = theme.current()
    at = QRectF(box.right() - 32, box.top() + 12, 20, 20)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(t.blue))
    p.drawEllipse(at)
    p.drawPixmap(round(at.x()) + 3, round(at.y()) + 3, icons.pixmap("check", theme.ink_on(t.blue), 14))


def summary(row: ItemRow) -> str:
    """What a picture holds, in a few words."""
    if row.n_truth and row.n_pred:
        return tr("{truth} objects · {pred} to confirm", truth=number(row.n_truth), pred=number(row.n_pred))
    if row.n_pred:
        return tr("{pred} to confirm", pred=number(row.n_pred))
    if row.n_truth:
        return tr("{truth} objects", truth=number(row.n_truth))
    return tr("nothing yet")


def spoken(row: ItemRow | ObjectRow, look: Look) -> str:
    """A cell for a screen reader."""
    if isinstance(row, ObjectRow):
        score = f" {row.score:.2f}" if row.score is not None else ""
        return f"{look.name(row.label)}{score}, {row.path.rsplit('/', 1)[-1]}"
    parts = [row.path.rsplit("/", 1)[-1], tr(STATE_TEXT[row.state]), summary(row)]
    if row.review in REVIEW_TEXT:
        parts.append(tr(REVIEW_TEXT[row.review]))
    return ", ".join(parts)
