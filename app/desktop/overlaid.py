"""What lies over the desk without leaving it: sheets that ask. No modal system windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from app.desktop import theme, widgets
from app.desktop.painted import painted
from app.desktop.widgets import button, column, frame, label, look, row, say
from app.i18n import tr


class Overlaid(QWidget):
    """Base: covers its parent, dims it, keeps Tab inside, closes on Escape or a click beside the card."""

    closed = Signal()
    dimmed = True
    takes_keys = True
    """While it is shown no action runs but its own."""
    gone = False
    """It was closed; what comes from other threads for it is too late."""

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

    def present(self) -> None:
        """Show it, with the focus where one begins."""
        self.show()
        self.raise_()

    def finish(self) -> None:
        """Close and give the focus back."""
        parent = self.parentWidget()
        if parent is not None:
            parent.removeEventFilter(self)
        self.hide()
        self.gone = True
        self.closed.emit()
        self.deleteLater()

    def while_open(self, call: Callable[..., None]) -> Callable[..., None]:
        """The call, or nothing once the sheet is closed: for what comes back from other threads."""
        return lambda *given: None if self.gone else call(*given)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.card.geometry().contains(event.position().toPoint()):
            self.finish()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.finish()
        event.accept()  # nothing under the sheet hears keys

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self.dimmed:
            return
        with painted(self) as p:
            p.fillRect(self.rect(), QColor(8, 9, 11, 150 if theme.current().name == "dark" else 90))


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

    def become(self, verb: str, run: Callable[[], None]) -> None:
        """The button carries another verb from now on."""
        self._run = run
        say(self.verb, verb)
        self.verb.setEnabled(True)

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
        """Enter presses the button in focus or does it; with Ctrl it does it from anywhere."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            focus = self.focusWidget()
            if isinstance(focus, QPushButton) and not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
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

    def list_and_detail(self, list_px: int, height_px: int, *, gap: int) -> tuple[QVBoxLayout, QVBoxLayout]:
        """A list on the left and what is chosen of it on the right, each scrolling by itself; their columns."""
        listed, chosen = QWidget(), QWidget()
        rows, detail = column(listed, gap=2), column(chosen, gap=gap, margins=(0, 0, gap - 2, 0))
        rows.setAlignment(Qt.AlignmentFlag.AlignTop)
        left, right = widgets.scroll(listed), widgets.scroll(chosen)
        left.setFixedSize(list_px, height_px)
        right.setFixedHeight(height_px)
        across = row(gap=24)
        across.addWidget(left)
        across.addWidget(right, 1)
        self.body.addLayout(across)
        return rows, detail

    def text_field(self, text: str, value: str = "", *, hint: str = "", note: str = "") -> QLineEdit:
        """A field for a line of text."""
        edit = say(QLineEdit(value), hint=hint)
        self.field(text, edit, note=note)
        return edit

    def path_field(
        self,
        text: str,
        value: str = "",
        *,
        hint: str = "",
        note: str = "",
        files: bool = False,
        folders: bool = True,
    ) -> QLineEdit:
        """A field for a path, with a chooser for a folder and for a file where that makes sense."""
        edit = say(QLineEdit(value), hint=hint)
        parts: list[QWidget] = [edit]
        if folders:
            parts.append(button("Folder…", lambda: self._choose(edit, False), icon="folder"))
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
