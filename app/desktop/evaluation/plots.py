"""Charts of an evaluation: the base of all, AP by class, confusion, a legend. Drawn from the theme's tokens.

What is drawn is also said: every plot has its figures as accessible description, and what can be clicked can be reached by
arrow keys and opened by Enter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetrics,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.desktop import theme
from app.desktop.painted import painted
from app.desktop.widgets import draw_swatch, number
from app.i18n import tr

LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
MIDDLE = int(Qt.AlignmentFlag.AlignCenter)


@dataclass(frozen=True, slots=True)
class Spot:
    """A part of a plot that can be pointed at: where, what it stands for, what it says."""

    box: QRectF
    key: object
    said: str


class Plot(QWidget):
    """Base: guarded painting, spots under mouse and keys. `looked` follows the spot, `told` is what it says, `picked` a
    click or Enter."""

    looked = Signal(object)
    told = Signal(str)
    picked = Signal(object)
    opens = False
    """A click on a spot leads somewhere."""

    def __init__(self, height: int, name: str) -> None:
        super().__init__()
        self.name, self.empty = name, ""
        self.spots: list[Spot] = []
        self.at: object = None
        self.setFixedHeight(height)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.retranslate()

    def retranslate(self) -> None:
        """Its name in the language in use."""
        self.setAccessibleName(tr(self.name))

    def tell(self, lines: Sequence[str], empty: str) -> None:
        """Its figures as words; `empty` is drawn and said when there are none."""
        self.empty = "" if lines else empty
        self.setAccessibleDescription("\n".join(lines) or empty)
        self.at = None
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus if lines else Qt.FocusPolicy.NoFocus)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(360, self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            if self.empty:
                self.spots = []
                p.setFont(theme.font(12))
                p.setPen(QColor(theme.current().second))
                p.drawText(self.rect(), int(Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap), self.empty)
            else:
                self.spots = self.draw(p)

    def draw(self, p: QPainter) -> list[Spot]:
        """Paint, and tell the spots."""
        raise NotImplementedError

    # --- mouse and keys ----------------------------------------------------------------------------------------------

    def _spot(self, at: QPointF) -> Spot | None:
        return next((s for s in self.spots if s.box.contains(at)), None)

    def _look(self, key: object) -> None:
        if key != self.at:
            self.at = key
            self.looked.emit(key)
            self.told.emit(next((s.said for s in self.spots if s.key == key), ""))
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        found = self._spot(event.position())
        if found is not None:
            self._look(found.key)
        hand = self.opens and found is not None
        self.setCursor(Qt.CursorShape.PointingHandCursor if hand else Qt.CursorShape.ArrowCursor)

    def leaveEvent(self, event: QEvent) -> None:
        if not self.hasFocus():
            self._look(None)
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and (found := self._spot(event.position())):
            self.picked.emit(found.key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        keys = [s.key for s in self.spots]
        steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Right: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_Left: -1}
        step = steps.get(Qt.Key(event.key()))
        if keys and step is not None:
            now = keys.index(self.at) if self.at in keys else (-1 if step > 0 else 0)
            self._look(keys[(now + step) % len(keys)])
        elif (
            keys
            and self.at in keys
            and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
        ):
            self.picked.emit(self.at)
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._look(None)
        super().focusOutEvent(event)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self._spot(QPointF(event.pos()))
            if found is not None:
                QToolTip.showText(event.globalPos(), found.said, self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)


@dataclass(frozen=True, slots=True)
class Precision:
    """AP of a class: name, colour of the class, and for each model (AP, low, high); None = not defined."""

    code: str
    name: str
    colour: str
    models: tuple[tuple[float, float, float] | None, ...]
    truth: int


def tone(place: int) -> str:
    """The colour of a model: the first and the second."""
    t = theme.current()
    return (t.accent, t.blue)[place]


class ClassBars(Plot):
    """AP of each class with its interval, one bar a model."""

    opens = True
    row_px = 30

    def __init__(self) -> None:
        super().__init__(self.row_px * 4, "Average precision by class")
        self.rows: list[Precision] = []

    def show_rows(self, rows: Sequence[Precision]) -> None:
        """Other classes."""
        self.rows = list(rows)
        self.setFixedHeight(max(2, len(self.rows)) * self.row_px + 22)
        self.tell([_told(r) for r in rows], tr("No class has truth on these pictures."))

    def draw(self, p: QPainter) -> list[Spot]:
        t = theme.current()
        left, right = min(150, self.width() // 3), 56
        room = max(1, self.width() - left - right)
        high = self.row_px * len(self.rows)
        p.setFont(theme.font(11))
        for tick in (0, 25, 50, 75, 100):
            x = left + room * tick / 100
            p.setPen(QPen(QColor(t.line), 1))
            p.drawLine(QPointF(x, 2), QPointF(x, high + 2))
            p.setPen(QColor(t.second))
            p.drawText(QRectF(x - 24, high + 4, 48, 16), MIDDLE, f"{tick / 100:g}")
        out = []
        for i, r in enumerate(self.rows):
            y = i * self.row_px
            box = QRectF(0, y, self.width(), self.row_px)
            if r.code == self.at:
                p.setPen(Qt.PenStyle.NoPen)
                p.setBrush(QColor(t.raised))
                p.drawRoundedRect(box.adjusted(0, 1, 0, -1), theme.RADIUS, theme.RADIUS)
            draw_swatch(p, QRectF(3, y + 10, 10, 10), r.colour)
            p.setFont(theme.font(12, bold=r.code == self.at))
            p.setPen(QColor(t.text))
            name = QFontMetrics(p.font()).elidedText(r.name, Qt.TextElideMode.ElideRight, left - 28)
            p.drawText(QRectF(20, y, left - 28, self.row_px), LEFT, name)
            self._bars(p, r, left, y, room)
            out.append(Spot(box, r.code, _told(r)))
        return out

    def _bars(self, p: QPainter, r: Precision, left: float, y: float, room: float) -> None:
        t = theme.current()
        n = len(r.models)
        thick = 12.0 if n == 1 else 8.0
        top = y + (self.row_px - thick * n - 2 * (n - 1)) / 2
        for place, ap in enumerate(r.models):
            at = top + place * (thick + 2)
            p.setPen(Qt.PenStyle.NoPen)
            if ap is not None:
                p.setBrush(QColor(tone(place)))
                p.drawRoundedRect(QRectF(left, at, max(2.0, room * ap[0]), thick), 3, 3)
                whisker = QPen(QColor(t.text), 1.4)
                p.setPen(whisker)
                middle = at + thick / 2
                low, high = left + room * max(0.0, ap[1]), left + room * min(1.0, ap[2])
                p.drawLine(QPointF(low, middle), QPointF(high, middle))
                for x in (low, high):
                    p.drawLine(QPointF(x, middle - 3), QPointF(x, middle + 3))
        p.setFont(theme.font(11 if n > 1 else 12))
        for place, ap in enumerate(r.models):
            tall = self.row_px / n
            p.setPen(QColor(t.second))
            p.drawText(
                QRectF(left + room + 4, y + place * tall, 50, tall),
                RIGHT,
                "–" if ap is None else f"{ap[0]:.3f}",
            )


def _told(r: Precision) -> str:
    said = ["–" if ap is None else f"{ap[0]:.3f} ({ap[1]:.3f} … {ap[2]:.3f})" for ap in r.models]
    return tr("{name}: AP {figures}, {n} objects", name=r.name, figures=" · ".join(said), n=number(r.truth))


@dataclass(frozen=True, slots=True)
class Cell:
    """How often one class was said where another is; "" true = nothing is there, "" said = missed."""

    true: str
    said: str
    n: int


class Heat(Plot):
    """The confusion of classes: rows are what is true, columns what was said. The diagonal is right."""

    opens = True

    def __init__(self) -> None:
        super().__init__(280, "Confusion of classes")
        self.codes: list[str] = []
        self.cells: dict[tuple[str, str], int] = {}
        self._name: Callable[[str], str] = str

    def show_cells(self, codes: Sequence[str], cells: Sequence[Cell], name: Callable[[str], str]) -> None:
        """Other figures, for these classes in this order and for nothing."""
        self.codes = [*codes, ""]
        self.cells = {(c.true, c.said): c.n for c in cells}
        self._name = name
        self.setFixedHeight(min(480, 26 + 38 * len(self.codes)))
        self.tell(
            [self._told(c.true, c.said, c.n) for c in cells], tr("Nothing was said and nothing is true.")
        )

    def _told(self, true: str, said: str, n: int) -> str:
        name = self._name
        if true == said:
            return tr("{name} found: {n}", name=name(true), n=number(n))
        if not true:
            return tr("{name} where nothing is: {n}", name=name(said), n=number(n))
        if not said:
            return tr("{name} missed: {n}", name=name(true), n=number(n))
        return tr("{name} taken for {other}: {n}", name=name(true), other=name(said), n=number(n))

    def draw(self, p: QPainter) -> list[Spot]:
        t = theme.current()
        k = len(self.codes)
        left, top = min(132, self.width() // 4), 24.0
        wide = min(96.0, (self.width() - left) / k)
        high = (self.height() - top) / k
        rows = {c: max(1, sum(n for (true, _), n in self.cells.items() if true == c)) for c in self.codes}
        out = []
        p.setFont(theme.font(11))
        metrics = QFontMetrics(p.font())
        for j, said in enumerate(self.codes):
            p.setPen(QColor(t.second))
            text = self._name(said) if said else tr("missed")
            box = QRectF(left + j * wide, 0, wide, top)
            p.drawText(box, MIDDLE, metrics.elidedText(text, Qt.TextElideMode.ElideRight, int(wide) - 4))
        for i, true in enumerate(self.codes):
            p.setPen(QColor(t.second))
            text = self._name(true) if true else tr("nothing there")
            p.drawText(QRectF(0, top + i * high, left - 8, high), RIGHT,
                       metrics.elidedText(text, Qt.TextElideMode.ElideRight, left - 10))  # fmt: skip
            for j, said in enumerate(self.codes):
                if not true and not said:
                    continue
                n = self.cells.get((true, said), 0)
                box = QRectF(left + j * wide, top + i * high, wide, high).adjusted(1, 1, -1, -1)
                share = n / rows[true] if true else n / max(1, rows[""])
                colour = t.green if true == said else t.red
                filled = theme.mix(t.raised, colour, (0.18 + 0.82 * share) if n else 0.0)
                p.setPen(QPen(QColor(t.text), 1.5) if self.at == (true, said) else Qt.PenStyle.NoPen)
                p.setBrush(QColor(filled))
                p.drawRoundedRect(box, 3, 3)
                if n and wide > 26:
                    p.setPen(QColor(theme.ink_on(filled)))
                    p.drawText(box, MIDDLE, number(n))
                if n:
                    out.append(Spot(box, (true, said), self._told(true, said, n)))
        return out


class Legend(QWidget):
    """Coloured marks with a word and a figure each, in one line."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[str, str]] = []
        self.setFixedHeight(20)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_parts(self, parts: Sequence[tuple[str, str]]) -> None:
        """Other marks: (colour, words)."""
        self.parts = list(parts)
        self.setAccessibleName(", ".join(words for _, words in parts))
        self.setVisible(bool(parts))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            p.setFont(theme.font(12))
            metrics = QFontMetrics(p.font())
            x = 0.0
            for colour, words in self.parts:
                p.setPen(Qt.PenStyle.NoPen)
                p.setBrush(QColor(colour))
                p.drawRoundedRect(QRectF(x, 5, 10, 10), 2, 2)
                p.setPen(QColor(theme.current().second))
                wide = metrics.horizontalAdvance(words)
                p.drawText(QRectF(x + 16, 0, wide + 4, 20), LEFT, words)
                x += wide + 36
