"""The picture layer: the picture as the look wants it, the one compared with it, pixel grid, and what is said of a broken one.

State of the eye only: nothing here reaches the record, a tool or a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPen

from app.desktop import theme
from app.desktop.canvas.camera import Camera
from app.desktop.canvas.look import PLAIN, Look
from app.desktop.canvas.pictures import Mips
from app.desktop.canvas.prepared import Prepared

PIXELS_FROM = 8.0
"""From this scale on the pixels themselves are shown, unsmoothed."""
GRID_FROM = 16.0
MODES = ("", "side", "swipe", "blink")
"""How a second picture is compared: not at all, beside, behind a divider, in turns."""
GRIP_PX = 8


@dataclass(frozen=True, slots=True)
class Pane:
    """A part of the canvas that shows a picture: its place in widget pixels, and whether it is the partner's."""

    x: int
    width: int
    partner: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """Why there is no picture, in the person's language."""

    title: str
    what: str
    where: str
    remedy: str


class Layer:
    """What stands behind the objects. The canvas paints it; `changed` asks for that."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self.look: Look = PLAIN
        self.peek = False
        """The original is shown while this is on."""
        self.partner: Mips | None = None
        self.paired = False
        """A partner is there or being looked for."""
        self.names = ("", "")
        """What the open picture and its partner are called."""
        self.mode = ""
        self.blinked = False
        """The partner's turn."""
        self.divider = 0.5
        self.shift = (0.0, 0.0)
        """The partner is drawn moved by this, in source pixels of the open picture."""
        self.look_on = ""
        """Which of two compared pictures the look is for: "" both, "open" or "partner"."""
        self.grid = True
        self.broken: Broken | None = None
        self.prepared = Prepared(changed)

    @property
    def comparing(self) -> bool:
        """A partner is there and shown in some way."""
        return bool(self.mode) and self.partner is not None

    @property
    def split(self) -> bool:
        """Two panes stand side by side."""
        return self.mode == "side" and self.paired

    @property
    def shown_look(self) -> Look:
        """The look in force now."""
        return PLAIN if self.peek else self.look

    def look_of(self, partner: bool) -> Look:
        """The look of the open picture or of its partner."""
        mine = self.look_on in ("", "partner" if partner else "open") or not self.comparing
        return self.shown_look if mine else PLAIN

    # --- panes ---------------------------------------------------------------------------------------------------

    def pane_width(self, width: int) -> int:
        """Width of one pane of a canvas."""
        return max(1, width // 2) if self.split else width

    def fold(self, at: QPointF, width: int) -> QPointF:
        """A place in whichever pane as a place in the first: both show the same part of the picture."""
        half = self.pane_width(width)
        return QPointF(at.x() - half, at.y()) if self.split and at.x() >= half else at

    def panes(self, width: int) -> Iterator[Pane]:
        """The panes of a canvas from left to right."""
        half = self.pane_width(width)
        yield Pane(0, half, self.mode == "blink" and self.comparing and self.blinked)
        if self.split:
            yield Pane(half, width - half, True)

    def on_divider(self, at: QPointF, width: int) -> bool:
        """True at the swipe divider's line."""
        return self.mode == "swipe" and self.comparing and abs(at.x() - self.divider * width) <= GRIP_PX

    # --- painting ------------------------------------------------------------------------------------------------

    def paint(
        self,
        p: QPainter,
        pane: Pane,
        camera: Camera,
        size: tuple[int, int],
        ratio: float,
        *,
        wh: tuple[int, int],
        mips: Mips | None,
        thumb: QImage | None,
    ) -> None:
        """The picture in a pane of `size` (w, h) widget pixels, its border, and the grid when pixels are large."""
        if pane.partner:
            if self.partner is not None:
                self._picture(p, self.partner, camera, size, ratio, wh, partner=True)
        elif mips is not None:
            self._picture(p, mips, camera, size, ratio, wh, partner=False)
        elif thumb is not None:
            p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            p.drawImage(QRectF(camera.ox, camera.oy, wh[0] * camera.scale, wh[1] * camera.scale), thumb)
        if self.mode == "swipe" and self.partner is not None:
            p.save()
            p.setClipRect(QRectF(self.divider * size[0], 0, size[0], size[1]))
            p.fillRect(QRectF(0, 0, *size), QColor(theme.current().well))
            self._picture(p, self.partner, camera, size, ratio, wh, partner=True)
            p.restore()
        # Objects may reach outside: where the picture ends must be seen on a dark picture too.
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.setPen(QPen(QColor(theme.current().line), 1))
        left, top = camera.to_screen(0, 0)
        p.drawRect(
            QRectF(round(left) - 0.5, round(top) - 0.5, wh[0] * camera.scale + 1, wh[1] * camera.scale + 1)
        )
        if self.grid and camera.scale >= GRID_FROM:
            _grid(p, camera, size, wh)

    def _picture(
        self,
        p: QPainter,
        mips: Mips,
        camera: Camera,
        size: tuple[int, int],
        ratio: float,
        wh: tuple[int, int],
        *,
        partner: bool,
    ) -> None:
        """A picture stretched over `wh` of the open one's pixels, from the level that fits the scale."""
        w, h = wh
        shift = self.shift if partner else (0.0, 0.0)
        level = mips.index(camera.scale * ratio * w / mips.wh[0])
        image = mips.levels[level]
        x0, y0, x1, y1 = camera.seen(size)
        fx, fy = image.width() / w, image.height() / h
        a, b = max(0, int((x0 - shift[0]) * fx) - 1), max(0, int((y0 - shift[1]) * fy) - 1)
        c, d = (
            min(image.width(), int((x1 - shift[0]) * fx) + 2),
            min(image.height(), int((y1 - shift[1]) * fy) + 2),
        )
        if a >= c or b >= d:
            return
        left, top = camera.to_screen(a / fx + shift[0], b / fy + shift[1])
        right, bottom = camera.to_screen(c / fx + shift[0], d / fy + shift[1])
        shown, (sa, sb, sc, sd) = self.prepared.region(mips, level, self.look_of(partner), (a, b, c, d))
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, camera.scale < PIXELS_FROM)
        p.drawImage(QRectF(left, top, right - left, bottom - top), shown, QRectF(sa, sb, sc - sa, sd - sb))

    def paint_frame(self, p: QPainter, width: int, height: int) -> None:
        """Over everything: what each pane shows, and the divider."""
        if not (self.comparing or self.split):
            return
        t, names = theme.current(), self.names
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.mode == "side":
            half = self.pane_width(width)
            p.fillRect(QRectF(half - 1, 0, 2, height), QColor(t.background))
            _name(p, names[0], half - 12, height)
            _name(p, names[1], width - 12, height)
        elif self.mode == "swipe":
            x = round(self.divider * width)
            p.fillRect(QRectF(x - 1, 0, 2, height), QColor(t.accent))
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.accent))
            p.drawRoundedRect(QRectF(x - 11, height / 2 - 18, 22, 36), 11, 11)
            p.setPen(QPen(QColor(t.on_accent), 2))
            for way in (-1, 1):
                tip = QPointF(x + way * 7, height / 2)
                p.drawLine(tip, QPointF(x + way * 3, height / 2 - 4))
                p.drawLine(tip, QPointF(x + way * 3, height / 2 + 4))
            _name(p, names[0], x - 16, height)
            _name(p, names[1], min(x + 16 + _name_px(names[1]), width - 12), height)
        else:
            _name(p, names[1] if self.blinked else names[0], width - 12, height)


def paint_broken(p: QPainter, area: QRect, broken: Broken) -> None:
    """A calm card in the middle: what is wrong with the file, where it lies, what helps."""
    t = theme.current()
    wide = min(560, area.width() - 48)
    box = QRect(area.center().x() - wide // 2, area.center().y() - 92, wide, 184)
    p.setRenderHint(QPainter.RenderHint.Antialiasing)
    p.setPen(QPen(QColor(theme.mix(t.line, t.red, 0.5)), 1))
    p.setBrush(QColor(t.panel))
    p.drawRoundedRect(box, 10, 10)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(t.red))
    p.drawRoundedRect(QRect(box.left(), box.top() + 20, 3, box.height() - 40), 1.5, 1.5)
    inner = box.adjusted(28, 22, -24, -18)
    lines = (
        (broken.title, theme.font(15, bold=True), t.text, 26),
        (broken.what, theme.font(13), t.text, 44),
        (broken.where, theme.font(12), t.second, 36),
        (broken.remedy, theme.font(12), t.second, 38),
    )
    top = inner.top()
    for text, face, colour, high in lines:
        p.setFont(face)
        p.setPen(QColor(colour))
        place = QRect(inner.left(), top, inner.width(), high)
        if text is broken.where:
            text = QFontMetrics(face).elidedText(text, Qt.TextElideMode.ElideMiddle, inner.width() * 2 - 40)
        p.drawText(place, int(Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWrapAnywhere), text)
        top += high


def _grid(p: QPainter, camera: Camera, size: tuple[int, int], wh: tuple[int, int]) -> None:
    x0, y0, x1, y1 = camera.seen(size)
    a, b = max(0, int(x0)), max(0, int(y0))
    c, d = min(wh[0], int(x1) + 1), min(wh[1], int(y1) + 1)
    left, top = camera.to_screen(a, b)
    right, bottom = camera.to_screen(c, d)
    p.setPen(QPen(QColor(128, 128, 128, 90), 1))
    p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    for x in range(a, c + 1):
        at = camera.to_screen(x, 0)[0]
        p.drawLine(QPointF(at, top), QPointF(at, bottom))
    for y in range(b, d + 1):
        at = camera.to_screen(0, y)[1]
        p.drawLine(QPointF(left, at), QPointF(right, at))


_NAME_PX = 280


def _name_px(text: str) -> int:
    metrics = QFontMetrics(theme.font(11))
    return metrics.horizontalAdvance(metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, _NAME_PX)) + 20


def _name(p: QPainter, text: str, right: int, height: int) -> None:
    """A dark pill at the lower edge that ends at `right`."""
    if not text:
        return
    face = theme.font(11)
    shown = QFontMetrics(face).elidedText(text, Qt.TextElideMode.ElideMiddle, _NAME_PX)
    wide = _name_px(text)
    box = QRectF(right - wide, height - 36, wide, 24)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(12, 13, 16, 205))
    p.drawRoundedRect(box, 12, 12)
    p.setFont(face)
    p.setPen(QColor(theme.DARK.text))
    p.drawText(box, Qt.AlignmentFlag.AlignCenter, shown)
