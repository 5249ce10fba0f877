"""Charts of the overview: progress, classes, output by day, scores. Drawn from the tokens; each says its figures too.

What is drawn is also the accessible description and the tool tip, so nothing is told by colour alone.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.desktop import theme, widgets
from app.desktop.desk import Desk
from app.desktop.painted import painted
from app.desktop.widgets import column, frame, label, number
from app.i18n import tr
from app.services.figures import BINS, Output

_CLASSES_SHOWN = 8
_DAYS = 14
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of one or more parts: (figure, colour "#rrggbb", what it is)."""

    name: str
    parts: tuple[tuple[int, str, str], ...]

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(n for n, _, _ in self.parts)


class Chart(QWidget):
    """Base: guarded painting, and a description made of the figures."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self.bars: list[Bar] = []
        self.empty = ""
        self.setFixedHeight(height)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_bars(self, bars: Sequence[Bar], *, name: str, empty: str) -> None:
        """Draw other bars; `empty` is said when all are zero."""
        self.bars, self.empty = list(bars), empty
        self.setAccessibleName(name)
        told = "\n".join(
            f"{b.name}: " + " · ".join(f"{what} {number(n)}" for n, _, what in b.parts if n)
            for b in bars
            if b.total
        )
        self.setAccessibleDescription(told or empty)
        self.setToolTip(told)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(320, self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            if any(b.total for b in self.bars):
                self.draw(p)
            else:
                p.setFont(theme.font(12))
                p.setPen(QColor(theme.current().second))
                p.drawText(self.rect(), int(_LEFT | Qt.TextFlag.TextWordWrap), self.empty)

    def draw(self, p: QPainter) -> None:
        """Draw the bars."""
        raise NotImplementedError


class Lying(Chart):
    """Bars that lie one under the other: name, bar, figure."""

    row_px = 26

    def draw(self, p: QPainter) -> None:
        t = theme.current()
        most = max(b.total for b in self.bars)
        left, right = min(150, self.width() // 3), 64
        room = max(1, self.width() - left - right - 16)
        for i, b in enumerate(self.bars):
            y = i * self.row_px
            p.setFont(theme.font(12))
            p.setPen(QColor(t.text))
            name = QFontMetrics(p.font()).elidedText(b.name, Qt.TextElideMode.ElideRight, left - 8)
            p.drawText(QRectF(0, y, left - 8, self.row_px), int(_LEFT), name)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.raised))
            p.drawRoundedRect(QRectF(left, y + 8, room, 10), 5, 5)
            x = float(left)
            for n, colour, _ in b.parts:
                wide = room * n / most
                if n:
                    p.setBrush(QColor(colour))
                    p.drawRoundedRect(QRectF(x, y + 8, max(3.0, wide), 10), 3, 3)
                x += wide
            p.setPen(QColor(t.second))
            p.drawText(QRectF(self.width() - right, y, right, self.row_px), int(_RIGHT), number(b.total))


class Standing(Chart):
    """Bars that stand side by side over a base line; `mark` is a line through the chart at a share of its width."""

    def __init__(self, height: int) -> None:
        super().__init__(height)
        self.mark: float | None = None
        self.every = 1
        """Every how many bars a name is written."""

    def draw(self, p: QPainter) -> None:
        t = theme.current()
        most = max(b.total for b in self.bars)
        p.setFont(theme.font(11))
        below, above = 18, 16
        high = self.height() - below - above
        base = self.height() - below
        wide = self.width() / max(1, len(self.bars))
        p.setPen(QPen(QColor(t.line), 1))
        p.drawLine(QPointF(0, base + 0.5), QPointF(self.width(), base + 0.5))
        for i, b in enumerate(self.bars):
            y = float(base)
            p.setPen(Qt.PenStyle.NoPen)
            for n, colour, _ in b.parts:
                tall = high * n / most
                if n:
                    p.setBrush(QColor(colour))
                    p.drawRoundedRect(
                        QRectF(i * wide + 2, y - max(2.0, tall), max(2.0, wide - 4), max(2.0, tall)), 2, 2
                    )
                y -= tall
            p.setPen(QColor(t.second))
            if b.total == most:
                p.drawText(
                    QRectF(i * wide - 30, y - 16, wide + 60, 15),
                    Qt.AlignmentFlag.AlignCenter,
                    number(b.total),
                )
            if i % self.every == 0:
                p.drawText(
                    QRectF(i * wide - 30, base + 2, wide + 60, below), Qt.AlignmentFlag.AlignCenter, b.name
                )
        if self.mark is not None:
            x = self.mark * self.width()
            p.setPen(QPen(QColor(t.accent), 1.5, Qt.PenStyle.DashLine))
            p.drawLine(QPointF(x, above / 2), QPointF(x, base))


class Charts(QWidget):
    """The charts of the dataset in hand, four cards in two rows."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._ticket = 0
        self._output: list[Output] = []
        self._scores: list[int] = []
        self.progress, self.classes = Lying(6 * Lying.row_px), Lying(_CLASSES_SHOWN * Lying.row_px)
        self.days, self.scores = Standing(6 * Lying.row_px), Standing(_CLASSES_SHOWN * Lying.row_px)
        self.days.every, self.scores.every = 2, 4
        box = column(self, gap=16)
        for pair in ((("Progress", self.progress), ("Output by day", self.days)),
                     (("Classes", self.classes), ("Scores of waiting predictions", self.scores))):  # fmt: skip
            line = widgets.row(gap=16)
            for text, chart in pair:
                card = frame("card")
                inside = column(card, gap=10, margins=(20, 16, 20, 16))
                inside.addWidget(label(text, "head"))
                inside.addWidget(chart)
                card.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
                line.addWidget(card, 1)
            box.addLayout(line)
        desk.counted.connect(self._read)
        desk.dataset_changed.connect(self._read)

    def showEvent(self, event) -> None:
        self._read()
        super().showEvent(event)

    def _read(self) -> None:
        self._ticket += 1
        ticket, ws, data = self._ticket, self.desk.ws, self.desk.dataset
        self.setVisible(data is not None and data.n_assets > 0)
        if ws is None or data is None or not self.isVisible():
            return

        def work() -> tuple[list[Output], list[int]]:
            from app.services import figures

            return figures.output(ws, data.id, days=_DAYS), figures.scores(ws, data.id)

        def done(got: tuple[list[Output], list[int]]) -> None:
            if ticket == self._ticket:
                self._output, self._scores = got
                self.retranslate()

        self.desk.tasks.readers.submit(work, done, self.desk.fault, key="charts")
        self.retranslate()

    def retranslate(self) -> None:
        """All charts again."""
        data = self.desk.dataset
        if data is None:
            return
        t = theme.current()
        standing = {state: sum(s.n for s in self.desk.standings if s.review == state) for state in ("submitted", "returned", "accepted")}  # fmt: skip
        rows = (
            ("Unlabelled", data.n_unlabelled, t.second),
            ("To confirm", data.n_predicted, t.accent),
            ("Labelled", data.n_labelled, t.violet),
            ("Submitted", standing["submitted"], t.blue),
            ("Returned", standing["returned"], t.red),
            ("Accepted", standing["accepted"], t.green),
        )
        self.progress.show_bars(
            [Bar(tr(name), ((n, colour, tr("pictures")),)) for name, n, colour in rows],
            name=tr("Progress"), empty=tr("Nothing to show yet."),
        )  # fmt: skip
        self._show_classes()
        self._show_days()
        self.scores.mark = float(self.desk.values["accept_score"])
        bars = [
            Bar(f"{i / BINS:.1f}", ((n, t.violet, tr("predictions")),))
            for i, n in enumerate(self._scores or [0])
        ]
        self.scores.show_bars(
            bars, name=tr("Scores of waiting predictions"), empty=tr("No predictions wait.")
        )

    def _show_classes(self) -> None:
        found = list(self.desk.facets.values())[:_CLASSES_SHOWN]
        known = self.desk.schema
        bars = []
        for f in found:
            one = known.label(f.label) if known else None
            colour = one.color if one else "#98a1ac"
            pale = theme.mix(theme.current().panel, colour, 0.45)
            parts = ((f.n_human + f.n_import, colour, tr("by people")), (f.n_model, pale, tr("waiting")))
            bars.append(Bar(self.desk.label_name(f.label), parts))
        self.classes.show_bars(bars, name=tr("Classes"), empty=tr("No objects yet."))

    def _show_days(self) -> None:
        t = theme.current()
        tones = (t.blue, t.green, t.violet, t.cyan, t.accent)
        people = list(dict.fromkeys(o.person for o in self._output))
        days: dict[str, list[tuple[int, str, str]]] = {d: [] for d in _last_days()}
        for o in self._output:
            if o.day in days:
                days[o.day].append((o.objects, tones[people.index(o.person) % len(tones)], o.person))
        bars = [Bar(day[5:], tuple(parts)) for day, parts in days.items()]
        self.days.show_bars(
            bars, name=tr("Output by day"), empty=tr("Nothing was drawn in the last {n} days.", n=_DAYS)
        )


def _last_days() -> list[str]:
    today = datetime.date.today()
    return [(today - datetime.timedelta(days=i)).isoformat() for i in reversed(range(_DAYS))]
