"""Charts of an evaluation from 0 to 1 on both sides: precision over recall, and the calibration of the scores."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen

from app.desktop import theme
from app.desktop.evaluation.plots import MIDDLE, RIGHT, Plot, Spot, tone
from app.desktop.widgets import number
from app.i18n import tr


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: name, precision at recall 0, 0.01 … 1, and its best threshold (score, recall, precision) if there is one."""

    name: str
    steps: tuple[float, ...]
    best: tuple[float, float, float] | None = None


class Frame(Plot):
    """Base of plots from 0 to 1 on both sides."""

    def __init__(self, name: str, across: str, up: str) -> None:
        super().__init__(250, name)
        self.across, self.up = across, up

    def area(self, p: QPainter) -> QRectF:
        """Draw axes and grid; returns where 0..1 lies."""
        t = theme.current()
        box = QRectF(40, 10, max(40, self.width() - 52), self.height() - 52)
        p.setFont(theme.font(11))
        for tick in (0, 25, 50, 75, 100):
            share = tick / 100
            x, y = box.left() + box.width() * share, box.bottom() - box.height() * share
            p.setPen(QPen(QColor(t.line), 1))
            p.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))
            p.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
            p.setPen(QColor(t.second))
            p.drawText(QRectF(x - 24, box.bottom() + 3, 48, 14), MIDDLE, f"{share:g}")
            p.drawText(QRectF(0, y - 8, 34, 16), RIGHT, f"{share:g}")
        p.drawText(
            QRectF(box.left(), box.bottom() + 19, box.width(), 18),
            MIDDLE,
            f"{tr(self.up)} ↑   {tr(self.across)} →",
        )
        return box


class Curves(Frame):
    """Precision over recall, one line a model; the ring is the best threshold."""

    def __init__(self) -> None:
        super().__init__("Precision and recall", "Recall", "Precision")
        self.lines: list[Line] = []

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Other curves."""
        self.lines = list(lines)
        told = [
            f"{c.name}: "
            + ", ".join(
                tr("recall {r}: precision {p}", r=f"{k / 100:g}", p=f"{c.steps[k]:.2f}") for k in (20, 50, 80)
            )
            + (" · " + _best(c.best) if c.best else "")
            for c in lines
        ]
        self.tell(told, tr("No class has truth on these pictures."))

    def draw(self, p: QPainter) -> list[Spot]:
        t = theme.current()
        box = self.area(p)
        out = []
        for place, c in enumerate(self.lines):
            colour = QColor(tone(place))
            path = QPainterPath()
            for k, v in enumerate(c.steps):
                at = QPointF(box.left() + box.width() * k / 100, box.bottom() - box.height() * v)
                path.lineTo(at) if k else path.moveTo(at)
            if len(self.lines) == 1:
                under = QPainterPath(path)
                under.lineTo(box.bottomRight())
                under.lineTo(box.bottomLeft())
                soft = QColor(colour)
                soft.setAlphaF(0.12)
                p.fillPath(under, soft)
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.setPen(
                QPen(colour, 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
            )
            p.drawPath(path)
            if c.best is not None:
                _, recall, precision = c.best
                at = QPointF(box.left() + box.width() * recall, box.bottom() - box.height() * precision)
                p.setBrush(QColor(t.panel))
                p.drawEllipse(at, 5, 5)
                out.append(
                    Spot(
                        QRectF(at.x() - 9, at.y() - 9, 18, 18), (place, "best"), f"{c.name}: {_best(c.best)}"
                    )
                )
        return out


def _best(best: tuple[float, float, float]) -> str:
    return tr(
        "best threshold {score}: precision {p}, recall {r}",
        score=f"{best[0]:.3f}",
        p=f"{best[2]:.3f}",
        r=f"{best[1]:.3f}",
    )


@dataclass(frozen=True, slots=True)
class Sureness:
    """Calibration of a model: (number, mean score, share that is right) of each stretch of the score."""

    name: str
    bins: tuple[tuple[float, float, float], ...]
    ece: float | None


class Calibration(Frame):
    """The share that is right over the score: on the dashed line a score of 0.7 is right seven times in ten."""

    def __init__(self) -> None:
        super().__init__("Calibration of the scores", "Score", "Share that is right")
        self.models: list[Sureness] = []

    def show_models(self, models: Sequence[Sureness]) -> None:
        """Other figures."""
        self.models = [m for m in models if any(n for n, _, _ in m.bins)]
        told = [_sure(m, b) for m in self.models for b in m.bins if b[0]]
        self.tell(told, tr("Nothing was predicted here."))

    def draw(self, p: QPainter) -> list[Spot]:
        t = theme.current()
        box = self.area(p)
        p.setPen(QPen(QColor(t.second), 1.2, Qt.PenStyle.DashLine))
        p.drawLine(box.bottomLeft(), box.topRight())
        out = []
        one = len(self.models) == 1
        for place, m in enumerate(self.models):
            most = max(n for n, _, _ in m.bins)
            colour = QColor(tone(place))
            wide = box.width() / len(m.bins)
            points = []
            for k, (n, score, right) in enumerate(m.bins):
                if not n:
                    continue
                at = QPointF(box.left() + box.width() * score, box.bottom() - box.height() * right)
                points.append(at)
                if one:
                    soft = QColor(colour)
                    soft.setAlphaF(0.15 + 0.55 * n / most)
                    bar = QRectF(box.left() + k * wide + 2, at.y(), wide - 4, box.bottom() - at.y())
                    p.setPen(Qt.PenStyle.NoPen)
                    p.setBrush(soft)
                    p.drawRoundedRect(bar, 2, 2)
                spot = QRectF(box.left() + k * wide, box.top(), wide, box.height())
                out.append(Spot(spot, (place, k), _sure(m, (n, score, right))))
            p.setPen(QPen(colour, 2))
            for a, b in itertools.pairwise(points):
                p.drawLine(a, b)
            p.setBrush(QColor(t.panel))
            for at in points:
                p.drawEllipse(at, 3.5, 3.5)
        return out


def _sure(m: Sureness, b: tuple[float, float, float]) -> str:
    return tr("{name}: score {score}, right {right} %, {n} predictions", name=m.name, score=f"{b[1]:.2f}", right=f"{100 * b[2]:.0f}", n=number(int(b[0])))  # fmt: skip
