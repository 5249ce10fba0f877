"""The query line: conditions as chips while it rests, one line of text with completion while it is written."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import (
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QWidget,
)

from app import i18n
from app.desktop import theme, widgets
from app.desktop.painted import guarded, painted
from app.desktop.widgets import column, frame, label, look, number, row, say
from app.i18n import tr
from app.services import listing
from app.services.listing import EVERYTHING, Misread, Names, Node, Suggestion, Tally

_HINT, _COUNT = (Qt.ItemDataRole.UserRole + i for i in (1, 2))
_SHOWN_CHIPS = 6


class _Suggestions(QStyledItemDelegate):
    """A line of the popup: what is put in, what it means, how many there are."""

    def paint(self, p: QPainter, option, index) -> None:
        p.save()
        with guarded("a suggestion"):
            self._draw(p, option, index)
        p.restore()

    def _draw(self, p: QPainter, option, index) -> None:
        t = theme.current()
        box = option.rect
        if option.state & QStyle.StateFlag.State_Selected:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.raised))
            p.drawRoundedRect(box.adjusted(0, 1, 0, -1), 6, 6)
        left, right = box.left() + 12, box.right() - 12
        if (count := index.data(_COUNT)) is not None:
            p.setFont(theme.font(12))
            p.setPen(QColor(t.second))
            text = number(count)
            p.drawText(
                box.adjusted(0, 0, -12, 0), Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text
            )
            right -= QFontMetrics(p.font()).horizontalAdvance(text) + 12
        p.setFont(theme.font(13))
        p.setPen(QColor(t.text))
        metrics = QFontMetrics(p.font())
        text = metrics.elidedText(
            index.data(Qt.ItemDataRole.DisplayRole), Qt.TextElideMode.ElideRight, right - left
        )
        p.drawText(box.adjusted(12, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, text)
        left += metrics.horizontalAdvance(text) + 12
        if (hint := index.data(_HINT)) and right - left > 40:
            p.setFont(theme.font(12))
            p.setPen(QColor(t.second))
            rest = QFontMetrics(p.font()).elidedText(hint, Qt.TextElideMode.ElideRight, right - left)
            box.setLeft(left)
            p.drawText(box, Qt.AlignmentFlag.AlignVCenter, rest)

    def sizeHint(self, option, index) -> QSize:
        return QSize(200, 30)


class _Edit(QLineEdit):
    """The text; tells when it is entered, so that the line can show it."""

    entered = Signal()
    left = Signal()

    def __init__(self, taken: Callable[[QKeyEvent], bool]) -> None:
        super().__init__()
        self._taken = taken
        self.wrong_at = -1

    def focusInEvent(self, event) -> None:
        self.entered.emit()
        super().focusInEvent(event)

    def focusOutEvent(self, event) -> None:
        super().focusOutEvent(event)
        if event.reason() != Qt.FocusReason.PopupFocusReason:
            self.left.emit()

    def event(self, event: QEvent) -> bool:
        # Tab completes here; Qt would move the focus before keyPressEvent.
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent) and self._taken(event):
            return True
        return super().event(event)

    def paintEvent(self, event) -> None:
        super().paintEvent(event)
        if self.wrong_at < 0:
            return
        with painted(self) as p:
            before = QFontMetrics(self.font()).horizontalAdvance(self.text()[: self.wrong_at])
            shift = self.cursorRect().center().x() - QFontMetrics(self.font()).horizontalAdvance(
                self.text()[: self.cursorPosition()]
            )
            pen = QPen(QColor(theme.current().red), 2)
            pen.setStyle(Qt.PenStyle.DotLine)
            p.setPen(pen)
            y = self.height() - 6
            end = QFontMetrics(self.font()).horizontalAdvance(self.text())
            p.drawLine(QPoint(before + shift, y), QPoint(max(end, before + 10) + shift, y))


class QueryLine(QWidget):
    """See the module. `asked` carries the text when a readable query was put in."""

    asked = Signal(str)
    done = Signal()
    """The keys go back to the grid."""
    save_asked = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.names: Names | None = None
        """None while they are read: what is asked meanwhile waits for them, it is not misread."""
        self.tally: Tally | None = None
        self._node: Node = EVERYTHING
        self._text = ""
        self._own = False
        self._written = False
        """Somebody wrote in the line since it was opened."""
        self._held: tuple[str, bool] | None = None
        """A text that waits for the names, and whether Return ended it."""
        self._offered: list[Suggestion] = []
        bar = frame("card")
        bar.setFixedHeight(40)
        outer = column(self, gap=0)
        outer.addWidget(bar)
        self.fault = label(kind="small", tone="red")
        self.fault.setContentsMargins(12, 2, 0, 0)
        self.fault.hide()
        outer.addWidget(self.fault)
        line = row(bar, gap=8, margins=(8, 0, 8, 0))
        self._chips = QWidget()
        self._chips_row = row(self._chips, gap=6)
        self._chips.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        line.addWidget(self._chips)
        self.edit = say(look(_Edit(self._key), "bare"), hint="Type a condition, Tab completes…")
        line.addWidget(self.edit, 1)
        self.keep = widgets.button("", self.save_asked.emit, kind="flat", icon="star", tip="Save this filter")
        self.keep.setFixedWidth(32)
        line.addWidget(self.keep)
        self.found = label(kind="second")
        line.addWidget(self.found)
        self.popup = frame("float")
        self.popup.setParent(parent)
        self.popup.hide()
        inside = column(self.popup, gap=0, margins=(6, 6, 6, 6))
        self.list = QListWidget()
        self.list.setItemDelegate(_Suggestions(self.list))
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.itemClicked.connect(lambda _: self._complete())
        self.list.setAccessibleName("suggestions")
        inside.addWidget(self.list)
        self._typing = QTimer(self, singleShot=True, interval=400)
        self._typing.timeout.connect(self._ask)
        self.edit.textEdited.connect(self._edited)
        self.edit.cursorPositionChanged.connect(lambda *_: self._offer() if self.edit.hasFocus() else None)
        self.edit.entered.connect(self._open)
        self.edit.left.connect(self._close)

    # --- what it shows -------------------------------------------------------------------------------------------

    def show_query(self, node: Node, names: Names | None) -> None:
        """Show a query that is looked at now; names: what its words mean, None while that is read.

        What somebody is writing stays, unless another place of the desk asked for something else.
        """
        other, told = node != self._node, names != self.names
        self._node, self.names = node, names
        known = names or Names()
        self._text = listing.show(node, known, i18n.language())
        if not self._own and (other or not self._written):
            self._fault("", -1)
            if other:
                self._typing.stop()
                self._held = None
            if self.edit.hasFocus():
                self._write()
        self._chips_of(node, known)
        if told and names is not None:
            self._named()

    def forget(self) -> None:
        """Another dataset is looked at: its names are still to be read, and nothing waits for them."""
        self.names, self._held = None, None
        self._typing.stop()

    def _named(self) -> None:
        """The names have come: look for what waited for them, and offer what they make known."""
        if self._held is not None:
            (text, ended), self._held = self._held, None
            self._look_for(text, ended)
        if self.edit.hasFocus():
            self._offer()

    def _chips_of(self, node: Node, names: Names) -> None:
        widgets.clear(self._chips_row)
        parts = [] if node == EVERYTHING else list(listing.conjuncts(node))
        for part in parts[:_SHOWN_CHIPS]:
            text = listing.show(part, names, i18n.language())
            if len(text) > 36:
                text = text[:35] + "…"
            made = look(QPushButton(f"{text}  ×"), "choice")
            made.setToolTip(tr("Take this condition away"))
            made.setAccessibleName(tr("Take this condition away") + ": " + text)
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            rest = listing.join(x for x in parts if x != part)
            made.clicked.connect(lambda _=False, rest=rest: self.asked.emit(listing.show(rest, names)))
            self._chips_row.addWidget(made)
        if len(parts) > _SHOWN_CHIPS:
            self._chips_row.addWidget(label(f"+{len(parts) - _SHOWN_CHIPS}", "second"))
        self.keep.setVisible(bool(parts))
        self._chips.setVisible(bool(parts) and not self.edit.hasFocus())

    def retranslate(self) -> None:
        """Conditions in the language in use; the owner shows the query again."""
        self.list.setAccessibleName(tr("Suggestions"))

    def start(self) -> None:
        """Write in the line."""
        self.edit.setFocus(Qt.FocusReason.ShortcutFocusReason)

    # --- writing -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._chips.hide()
        self._write()
        self._offer()

    def _write(self) -> None:
        """The query that is looked at, as a text to write on."""
        self._written = False
        self.edit.setText(self._text + (" " if self._text else ""))
        self.edit.setCursorPosition(len(self.edit.text()))

    def _close(self) -> None:
        self.popup.hide()
        if self._typing.isActive():
            self._ask()
        self._typing.stop()
        self.edit.blockSignals(True)
        self.edit.clear()
        self.edit.blockSignals(False)
        self._fault("", -1)
        self._chips.setVisible(bool(self._text))

    def _edited(self, _text: str) -> None:
        self._written, self._held = True, None
        self._fault("", -1)
        self._typing.start()
        self._offer()

    def _ask(self, ended: bool = False) -> None:
        """Look for what is written, as soon as its names are known; `ended` gives the keys back to the grid then."""
        self._typing.stop()
        text = self.edit.text().strip()
        if self.names is not None:
            self._look_for(text, ended)
            return
        self._held = text, ended
        if ended:
            self.popup.hide()

    def _look_for(self, text: str, ended: bool) -> None:
        """Look for a text, if it can be read; while a condition is begun nothing is asked."""
        assert self.names is not None
        try:
            node = listing.parse(text, self.names)
        except Misread as fault:
            self._fault(
                i18n.tr_sentence(fault.what)
                + (f" · {i18n.tr_sentence(fault.remedy)}" if fault.remedy else ""),
                fault.at,
            )
            return
        self._fault("", -1)
        self._own = True
        self.asked.emit(listing.show(node, self.names))
        self._own = False
        if ended and self.edit.hasFocus():
            self.done.emit()

    def _fault(self, text: str, at: int) -> None:
        self.fault.setText(text)
        self.fault.setVisible(bool(text))
        self.edit.wrong_at = at
        self.edit.update()

    # --- completion ----------------------------------------------------------------------------------------------

    def _offer(self) -> None:
        if not self.edit.hasFocus():
            return
        counts = self.tally.n if self.tally is not None else None
        text, cursor = self.edit.text(), self.edit.cursorPosition()
        self._offered = listing.complete(
            text, cursor, self.names or Names(), counts, language=i18n.language()
        )
        typed = bool(self._offered) and (
            self._offered[0].start < cursor or text[cursor - 1 : cursor] in ":：,，"
        )
        self.list.clear()
        for one in self._offered:
            item = QListWidgetItem(one.text)
            item.setData(_HINT, one.hint)
            item.setData(_COUNT, one.n)
            self.list.addItem(item)
        whole = (
            len(self._offered) == 1
            and text[self._offered[0].start : self._offered[0].end] == self._offered[0].text
        )
        if not self._offered or whole or (not typed and text.strip()):
            self.popup.hide()
            return
        self.popup.setFixedSize(360, min(len(self._offered), 9) * 30 + 16)
        parent = self.popup.parentWidget() or self
        before = QFontMetrics(self.edit.font()).horizontalAdvance(text[: self._offered[0].start])
        corner = self.edit.mapTo(
            parent, QPoint(min(before, max(0, self.edit.width() - 360)), self.edit.height() + 4)
        )
        self.popup.move(corner)
        self.popup.show()
        self.popup.raise_()

    def _complete(self) -> None:
        at = max(0, self.list.currentRow())
        if not (self.popup.isVisible() and at < len(self._offered)):
            return
        one, text = self._offered[at], self.edit.text()
        whole = not one.text.endswith(":")
        put = one.text + (
            " " if whole and text[one.end :].strip() == "" and not text[one.end :].startswith(" ") else ""
        )
        self._written, self._held = True, None
        self.edit.setText(text[: one.start] + put + text[one.end :])
        self.edit.setCursorPosition(one.start + len(put))
        self.edit.setFocus()
        self._offer()
        if whole:
            self._typing.start()

    def _key(self, event: QKeyEvent) -> bool:
        key = event.key()
        if self.popup.isVisible() and key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            n, now = self.list.count(), self.list.currentRow()
            self.list.setCurrentRow(
                (now + (1 if key == Qt.Key.Key_Down else -1)) % n
                if now >= 0
                else (0 if key == Qt.Key.Key_Down else n - 1)
            )
            return True
        if key == Qt.Key.Key_Tab and self.popup.isVisible():
            self._complete()
            return True
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if self.popup.isVisible() and self.list.currentRow() >= 0:
                self._complete()
            else:
                self._ask(ended=True)
            return True
        if key == Qt.Key.Key_Escape:
            if self.popup.isVisible():
                self.popup.hide()
            else:
                self._typing.stop()
                self._held = None
                self.edit.setText(self._text)
                self.done.emit()
            return True
        if key == Qt.Key.Key_Down:
            self._ask(ended=True)
            return True
        return False
