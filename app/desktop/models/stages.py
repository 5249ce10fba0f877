"""Where the time of machine work goes: one bar of the stages' busy shares, the bottleneck by name."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.desktop import theme, widgets
from app.desktop.painted import painted
from app.i18n import tr

STAGES = {
    "read": "reading", "decode": "decoding", "prepare": "preparing", "run": "network", "boxes": "boxes out", "wait": "idle",
}  # fmt: skip
TONES = {
    "read": "cyan",
    "decode": "blue",
    "prepare": "violet",
    "run": "accent",
    "boxes": "green",
    "wait": "line",
}


def stage_name(code: object) -> str:
    """A stage in the language in use."""
    return tr(STAGES[str(code)]) if code in STAGES else str(code)


class StageBar(QWidget):
    """A stacked bar; with `names` a legend under it."""

    def __init__(self, *, names: bool = True) -> None:
        super().__init__()
        self._names, self.busy = names, dict[str, float]()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(46 if names else 6)
        self.hide()

    def show_busy(self, busy: object) -> None:
        """Shares of the stages, 0..1; nothing hides the bar."""
        found = {str(k): float(v) for k, v in busy.items() if v > 0.004} if isinstance(busy, Mapping) else {}
        self.setVisible(bool(found))
        if found != self.busy:
            self.busy = found
            said = ", ".join(f"{stage_name(k)} {round(100 * v)} %" for k, v in found.items())
            self.setAccessibleName(said)
            self.setToolTip(said)
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(240, self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._draw(p)

    def _draw(self, p: QPainter) -> None:
        t = theme.current()
        high = 14 if self._names else self.height()
        path = QPainterPath()
        path.addRoundedRect(QRectF(0, 0, self.width(), high), high / 2, high / 2)
        p.save()
        p.setClipPath(path)
        p.fillRect(0, 0, self.width(), high, QColor(t.raised))
        total = max(1.0, sum(self.busy.values()))
        at = 0.0
        for code in STAGES:
            share = self.busy.get(code, 0.0) / total
            p.fillRect(QRectF(at, 0, share * self.width(), high), QColor(getattr(t, TONES[code])))
            at += share * self.width()
        p.restore()
        if not self._names:
            return
        worst = max(self.busy, key=lambda code: self.busy[code], default="")
        left = 0
        for code in STAGES:
            if code not in self.busy:
                continue
            text = f"{stage_name(code)} {round(100 * self.busy[code])} %"
            p.setFont(theme.font(11, bold=code == worst))
            wide = QFontMetrics(p.font()).horizontalAdvance(text)
            widgets.draw_swatch(p, QRectF(left, 26, 10, 10), getattr(t, TONES[code]))
            p.setPen(QColor(t.text if code == worst else t.second))
            p.drawText(QRect(left + 15, 20, wide + 4, 22), Qt.AlignmentFlag.AlignVCenter, text)
            left += wide + 32
