"""What lies over the desk without leaving it: sheets that ask, and the command palette. No modal system windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from app.desktop import theme, widgets
from app.desktop.widgets import button, column, draw_key, frame, label, look, row, say
from app.i18n import tr


class Overlaid(QWidget):
    """Base: covers its parent, dims it, keeps Tab inside, closes on Escape or a click beside the card."""

    closed = Signal()

    def __init__(self, parent: QWidget, width: int) -> None:
        super().__init__(parent)
        self.card = frame("float")
        self.card.setFixedWidth(width)
        self.setGeometry(parent.rect())
        parent.installEventFilter(self)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and watched is self.parent() and isinstance(watched, QWidget):
            self.setGeometry(watched.rect())
        return False

    def focusNextPrevChild(self, forward: bool) -> bool:
        inside = list[QWidget](self.card.findChildren(QWidget))
        stops = [
            w
            for w in inside
            if w.isVisibleTo(self) and w.isEnabled() and w.focusPolicy() & Qt.FocusPolicy.TabFocus
        ]
        if not stops:
            return True
        now = self.focusWidget()
        at = stops.index(now) if now in stops else -1
        stops[(at + (1 if forward else -1)) % len(stops)].setFocus(Qt.FocusReason.TabFocusReason)
        return True

    def finish(self) -> None:
        """Close and give the focus back."""
        parent = self.parentWidget()
        if parent is not None:
            parent.removeEventFilter(self)
        self.hide()
        self.closed.emit()
        self.deleteLater()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.card.geometry().contains(event.position().toPoint()):
            self.finish()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.finish()
        event.accept()  # nothing under the sheet hears keys

    def paintEvent(self, event: QPaintEvent) -> None:
        p = QPainter(self)
        p.fillRect(self.rect(), QColor(8, 9, 11, 150 if theme.current().name == "dark" else 90))
        p.end()


class Sheet(Overlaid):
    """A question with fields: title, what it does, fields, cancel and one button that carries the verb."""

    def __init__(
        self, parent: QWidget, title: str, about: str, verb: str, run: Callable[[], None], *, width: int = 560
    ):
        super().__init__(parent, width)
        outer = QVBoxLayout(self)
        outer.addStretch(2)
        middle = QHBoxLayout()
        middle.addStretch()
        middle.addWidget(self.card)
        middle.addStretch()
        outer.addLayout(middle)
        outer.addStretch(3)
        self._run = run
        self.body = column(gap=12)
        self.fault = label(kind="second", tone="red", wrap=True)
        self.fault.hide()
        self.verb = button(verb, self.go, kind="primary")
        inside = column(self.card, gap=16, margins=(28, 24, 28, 24))
        head = column(gap=4)
        head.addWidget(label(title, "title"))
        if about:
            head.addWidget(label(about, "second", wrap=True))
        inside.addLayout(head)
        inside.addLayout(self.body)
        inside.addWidget(self.fault)
        foot = row(gap=8)
        foot.addStretch()
        self.cancel = button("Cancel", self.finish)
        foot.addWidget(self.cancel)
        foot.addWidget(self.verb)
        inside.addLayout(foot)

    def show_fault(self, text: str) -> None:
        """One line in red above the buttons."""
        self.fault.setText(text)
        self.fault.setVisible(bool(text))

    def go(self) -> None:
        """Do it, if it may be done."""
        if self.verb.isEnabled():
            self._run()

    def present(self, first: QWidget | None = None) -> None:
        """Show the sheet with the focus in its first field."""
        widgets.repaint_icons(self)
        self.show()
        self.raise_()
        (first or self.cancel).setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            focus = self.focusWidget()
            if isinstance(focus, QPushButton):
                focus.click()
            else:
                self.go()
            event.accept()
            return
        super().keyPressEvent(event)

    def field(self, text: str, *parts: QWidget, note: str = "") -> None:
        """A captioned line of the form."""
        box = column(gap=4)
        box.addWidget(label(text, "caption"))
        line = row(gap=8)
        for part in parts:
            line.addWidget(part)
        box.addLayout(line)
        if note:
            box.addWidget(label(note, "small", wrap=True))
        self.body.addLayout(box)

    def text_field(self, text: str, value: str = "", *, hint: str = "", note: str = "") -> QLineEdit:
        """A field for a line of text."""
        edit = say(QLineEdit(value), hint=hint)
        self.field(text, edit, note=note)
        return edit

    def path_field(
        self, text: str, value: str = "", *, hint: str = "", note: str = "", files: bool = False
    ) -> QLineEdit:
        """A field for a path, with a chooser for a folder (and for a file where that makes sense)."""
        edit = say(QLineEdit(value), hint=hint)
        parts: list[QWidget] = [edit, button("Folder…", lambda: self._choose(edit, False), icon="folder")]
        if files:
            parts.append(button("File…", lambda: self._choose(edit, True)))
        self.field(text, *parts, note=note)
        return edit

    def _choose(self, edit: QLineEdit, file: bool) -> None:
        start = edit.text() or str(Path.home())
        if file:
            found, _ = QFileDialog.getOpenFileName(self, tr("Choose a file"), start)
        else:
            found = QFileDialog.getExistingDirectory(self, tr("Choose a folder"), start)
        if found:
            edit.setText(found)

    def choices(
        self,
        text: str,
        options: Sequence[tuple[str, str]],
        value: str,
        changed: Callable[[str], None] | None = None,
    ) -> Callable[[], str]:
        """Buttons of which one is chosen; returns a function that tells which. Options: (value, text as shown)."""
        group = QButtonGroup(self)
        held = QWidget()
        line = QGridLayout(held)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        made: dict[QAbstractButton, str] = {}
        for i, (code, shown) in enumerate(options):
            one = look(QPushButton(shown), "choice")
            one.setCheckable(True)
            one.setChecked(code == value)
            one.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            group.addButton(one)
            made[one] = code
            line.addWidget(one, i // 4, i % 4)
        line.setColumnStretch(4, 1)
        self.field(text, held)

        def current() -> str:
            checked = group.checkedButton()
            return made[checked] if checked is not None else ""

        if changed is not None:
            group.buttonClicked.connect(lambda _: changed(current()))
        return current

    def share(self, text: str, value: float, *, note: str = "") -> Callable[[], float]:
        """A slider from 0.05 to 0.95; returns a function that tells the value."""
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(5, 95)
        slider.setValue(round(value * 100))
        shown = label(kind="strong")
        shown.setFixedWidth(40)
        shown.setText(f"{slider.value() / 100:.2f}")
        slider.valueChanged.connect(lambda v: shown.setText(f"{v / 100:.2f}"))
        self.field(text, slider, shown, note=note)
        return lambda: slider.value() / 100


class _Lines(QStyledItemDelegate):
    """A line of the palette: name, where it belongs, key."""

    def paint(self, p: QPainter, option: QStyleOptionViewItem, index) -> None:
        t = theme.current()
        box: QRect = option.rect  # type: ignore[attr-defined]
        p.save()
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        state = option.state  # type: ignore[attr-defined]
        if state & QStyle.StateFlag.State_Selected:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.raised))
            p.drawRoundedRect(box.adjusted(0, 1, 0, -1), 6, 6)
            p.setBrush(QColor(t.accent))
            p.drawRoundedRect(QRect(box.left(), box.top() + 9, 3, box.height() - 18), 1.5, 1.5)
        right = box.right() - 12
        key = index.data(Qt.ItemDataRole.UserRole + 1)
        if key:
            p.setFont(theme.font(10, bold=True))
            wide = QFontMetrics(p.font()).horizontalAdvance(key) + 12
            draw_key(p, QRect(right - wide, box.center().y() - 9, wide, 19), key)
            right -= wide + 12
        second = index.data(Qt.ItemDataRole.UserRole + 2) or ""
        p.setFont(theme.font(12))
        wide = QFontMetrics(p.font()).horizontalAdvance(second)
        p.setPen(QColor(t.second))
        p.drawText(
            QRect(right - wide, box.top(), wide + 2, box.height()), Qt.AlignmentFlag.AlignVCenter, second
        )
        right -= wide + 12
        p.setFont(theme.font(13))
        p.setPen(QColor(t.text))
        text = QFontMetrics(p.font()).elidedText(
            index.data(Qt.ItemDataRole.DisplayRole), Qt.TextElideMode.ElideMiddle, right - box.left() - 16
        )
        p.drawText(box.adjusted(16, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, text)
        p.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index):
        size = super().sizeHint(option, index)
        size.setHeight(36)
        return size


class Palette(Overlaid):
    """Everything by name: actions, classes, datasets, pictures. Entries: (text, second text, key, words, run)."""

    Entry = tuple[str, str, str, str, Callable[[], object]]

    def __init__(
        self,
        parent: QWidget,
        entries: Sequence[Entry],
        search: Callable[[str, Callable[[list[Entry]], None]], None],
    ):
        super().__init__(parent, 640)
        self._entries, self._search = list(entries), search
        self._extra: list[Palette.Entry] = []
        self._shown: list[Palette.Entry] = []
        self.edit = say(look(QLineEdit(), "bare"), hint="Search actions, classes, datasets, pictures…")
        self.list = QListWidget()
        self.list.setItemDelegate(_Lines(self.list))
        self.list.setFixedHeight(36 * 10)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.list.itemClicked.connect(lambda _: self._take())
        self.empty = label("Nothing of that name.", "second")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        inside = column(self.card, gap=8, margins=(12, 8, 12, 12))
        inside.addWidget(self.edit)
        inside.addWidget(widgets.rule())
        inside.addWidget(self.list)
        inside.addWidget(self.empty)
        self.card.setParent(self)
        self.edit.textChanged.connect(self._typed)
        self.edit.installEventFilter(self)
        self._fill()

    def present(self) -> None:
        """Show with the focus in the line."""
        self.show()
        self.raise_()
        self._place()
        self.edit.setFocus(Qt.FocusReason.OtherFocusReason)

    def _place(self) -> None:
        self.card.adjustSize()
        self.card.move(QPoint((self.width() - self.card.width()) // 2, max(56, self.height() // 8)))

    def resizeEvent(self, event) -> None:
        self._place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.edit and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: 9, Qt.Key.Key_PageUp: -9}
            if (step := steps.get(Qt.Key(event.key()))) is not None:
                last = self.list.count() - 1
                self.list.setCurrentRow(min(max(self.list.currentRow() + step, 0), last))
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._take()
                return True
        return super().eventFilter(watched, event)

    def _typed(self, text: str) -> None:
        self._extra = []
        self._fill()
        wanted = text.strip()
        if len(wanted) >= 2:
            self._search(wanted, lambda found: self._found(wanted, found))

    def _found(self, wanted: str, found: list[Entry]) -> None:
        if self.isVisible() and self.edit.text().strip() == wanted:
            self._extra = found
            self._fill()

    def _fill(self) -> None:
        words = self.edit.text().casefold().split()
        fits = [e for e in self._entries if all(w in f"{e[0]} {e[1]} {e[3]}".casefold() for w in words)]
        first = words[0] if words else ""
        fits.sort(key=lambda e: not e[0].casefold().startswith(first))
        self._shown = [*fits[:60], *self._extra]
        self.list.clear()
        for text, second, key, _, _ in self._shown:
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole + 1, key)
            item.setData(Qt.ItemDataRole.UserRole + 2, second)
            self.list.addItem(item)
        self.list.setCurrentRow(0)
        self.list.setVisible(bool(self._shown))
        self.empty.setVisible(not self._shown)
        self.empty.setFixedHeight(72)
        self._place()

    def _take(self) -> None:
        at = self.list.currentRow()
        if 0 <= at < len(self._shown):
            run = self._shown[at][4]
            self.finish()
            run()
