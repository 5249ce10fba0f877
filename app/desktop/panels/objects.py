"""The list of objects on the picture: painted line by line, so that 5,000 cost what is in view."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractScrollArea, QFrame

from annotation import marks
from annotation.core import Annotation
from annotation.schema import PALETTE
from app.desktop import icons, theme
from app.desktop.desk import Desk
from app.desktop.painted import painted
from app.desktop.panels.shape import KINDS
from app.desktop.widgets import draw_swatch
from app.i18n import tr

HIGH = 44
ORIGIN_TEXT = {"human": "By people", "model": "Model, to confirm", "import": "Imported"}


class ObjectList(QAbstractScrollArea):
    """Objects of the document; a click chooses, a double click brings it into view."""

    shown = Signal(str)

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._hot = -1
        self._objects: list[Annotation] = []
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.viewport().setMouseTracking(True)
        desk.document.changed.connect(self._changed)
        desk.document.opened.connect(self._changed)
        desk.document.selected.connect(self._selected)
        desk.document.veiled.connect(self.viewport().update)
        desk.schema_changed.connect(self.viewport().update)

    def _changed(self) -> None:
        found = self.desk.document.annotations
        # People's work from the top of the stack down, then predictions, the surest first.
        truth = [a for a in found if a.origin != "model"]
        if any("@order" in a.attributes for a in truth):  # sorting 20,000 at each gesture would be felt
            truth.sort(key=lambda a: -marks.order(a))
        guesses = [a for a in found if a.origin == "model"]
        self._objects = truth + sorted(guesses, key=lambda a: (-(a.score or 0.0), -marks.order(a)))
        self._range()
        self.viewport().update()

    def _range(self) -> None:
        # A short list takes only its lines, so that the details below stand close; a long one scrolls.
        self.setMaximumHeight(max(2, len(self._objects)) * HIGH + 8)
        self.verticalScrollBar().setRange(0, max(0, len(self._objects) * HIGH - self.viewport().height()))
        self.verticalScrollBar().setSingleStep(HIGH)
        self.verticalScrollBar().setPageStep(self.viewport().height())

    def resizeEvent(self, event) -> None:
        self._range()

    def _selected(self) -> None:
        chosen = self.desk.document.selection
        if len(chosen) == 1:
            at = next((i for i, a in enumerate(self._objects) if a.uid == chosen[0]), None)
            bar = self.verticalScrollBar()
            if (
                at is not None
                and not bar.value() <= at * HIGH <= bar.value() + self.viewport().height() - HIGH
            ):
                bar.setValue(at * HIGH - self.viewport().height() // 2)
        self.viewport().update()

    def _at(self, at: QPoint) -> int:
        i = (at.y() + self.verticalScrollBar().value()) // HIGH
        return i if 0 <= i < len(self._objects) else -1

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        hot = self._at(event.position().toPoint())
        if hot != self._hot:
            self._hot = hot
            self.viewport().update()

    def leaveEvent(self, event) -> None:
        self._hot = -1
        self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        at = self._at(event.position().toPoint())
        doc = self.desk.document
        if at < 0:
            doc.select(())
            return
        uid = self._objects[at].uid
        match self._icon_at(event.position().toPoint()):
            case "eye":
                doc.hide((uid,), uid not in doc.hidden)
                return
            case "lock":
                doc.lock((uid,), uid not in doc.locked)
                return
        if event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier):
            rest = tuple(u for u in doc.selection if u != uid)
            doc.select(rest if uid in doc.selection else (*doc.selection, uid))
        else:
            doc.select((uid,))

    def _icon_at(self, at: QPoint) -> str:
        """The sign under a point: "eye", "lock", or ""."""
        right = self.viewport().width() - 20
        return "eye" if right - 20 <= at.x() <= right else "lock" if right - 44 <= at.x() < right - 20 else ""

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        at = self._at(event.position().toPoint())
        if at >= 0:
            self.shown.emit(self._objects[at].uid)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._paint(p)

    def _paint(self, p: QPainter) -> None:
        t = theme.current()
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._objects:
            p.setFont(theme.font(12))
            p.setPen(QColor(t.second))
            text = tr("Nothing here yet. Press R and draw a box, or P for a polygon.")
            if not self.desk.document.loaded:
                text = ""
            box = self.viewport().rect().adjusted(16, 4, -16, 0)
            p.drawText(box, Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap, text)
            return
        top = self.verticalScrollBar().value()
        chosen = set(self.desk.document.selection)
        style = self.desk.style()
        for i in range(top // HIGH, min(len(self._objects), (top + self.viewport().height()) // HIGH + 1)):
            a = self._objects[i]
            box = QRect(8, i * HIGH - top, self.viewport().width() - 16, HIGH).adjusted(0, 1, 0, -1)
            if a.uid in chosen or i == self._hot:
                p.setPen(Qt.PenStyle.NoPen)
                p.setBrush(QColor(t.raised if a.uid in chosen else theme.mix(t.panel, t.raised, 0.5)))
                p.drawRoundedRect(box, theme.RADIUS, theme.RADIUS)
            colour = QColor(style.colour(a.label))
            mark = QRectF(box.left() + 12, box.center().y() - 6, 12, 12)
            if a.origin == "model":  # a prediction is dashed wherever it is shown
                faint = theme.contrast(colour.name(), t.panel) < 1.6
                pen = QPen(QColor(t.second) if faint else colour, 2)
                pen.setDashPattern([1.5, 1.2])
                p.setPen(pen)
                p.setBrush(Qt.BrushStyle.NoBrush)
                p.drawRoundedRect(mark.adjusted(1, 1, -1, -1), 2, 2)
            else:
                draw_swatch(p, mark, colour.name())
            score = "" if a.score is None else f"{a.score:.2f}"
            right = box.right() - 12
            right = self._signs(p, a, box, right, hot=i == self._hot)
            p.setFont(theme.font(13))
            p.setPen(QColor(t.second))
            p.drawText(QRect(right - 40, box.top(), 40, box.height()), _RIGHT, score)
            room = right - 48 - (box.left() + 36)
            p.setFont(theme.font(13, bold=True))
            veiled = self.desk.document.is_hidden(a)
            p.setPen(QColor(t.second if veiled else t.text))
            name = QFontMetrics(p.font()).elidedText(
                self.desk.label_name(a.label), Qt.TextElideMode.ElideRight, room
            )
            p.drawText(QRect(box.left() + 36, box.top() + 3, room, 20), _LEFT, name)
            p.setFont(theme.font(11))
            p.setPen(QColor(t.second))
            p.drawText(QRect(box.left() + 36, box.top() + 22, room, 16), _LEFT, self._under(a))

    def _signs(self, p: QPainter, a: Annotation, box: QRect, right: int, *, hot: bool) -> int:
        """Eye and lock, shown where they say something or the mouse is; a group's colour at the left edge. Returns
        where the rest of the line ends."""
        t, doc = theme.current(), self.desk.document
        hidden, locked = doc.is_hidden(a), a.uid in doc.locked
        middle = box.center().y() - 7
        if hidden or hot:
            p.drawPixmap(
                right - 16,
                middle,
                icons.pixmap("hidden" if hidden else "eye", t.accent if hidden else t.second, 15),
            )
        if locked or hot:
            name = "lock" if locked else "unlock"
            p.drawPixmap(right - 40, middle, icons.pixmap(name, t.accent if locked else t.second, 15))
        if (group := marks.group(a)) is not None:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(group_colour(group)))
            p.drawRoundedRect(QRectF(box.left(), box.top() + 8, 3, box.height() - 16), 1.5, 1.5)
        return right - 48 if hidden or locked or hot else right

    def _under(self, a: Annotation) -> str:
        parts = [tr(ORIGIN_TEXT[a.origin]), tr(KINDS[a.kind])]
        if order := marks.order(a):
            parts.append(tr("order {n}", n=f"{order:+d}"))
        if n := len(marks.links(a)):
            parts.append(tr("links {n}", n=n))
        return " · ".join(parts)


def group_colour(uid: str) -> str:
    """The colour that a group's members share, from its uid."""
    return PALETTE[int(uid[-6:], 16) % len(PALETTE)]


_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
