"""The form that asks what a model's file cannot tell: choices as buttons or a list, the rest as a line of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QGridLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from app.desktop import icons, theme, widgets
from app.desktop.painted import painted
from app.desktop.widgets import button, column, label, look, row, say
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.services.onnx import Question

_BUTTONS = 4
"""More choices than these are a list."""
TYPING_MS = 600
"""After so long without a key what was typed counts."""


class Segments(QWidget):
    """Buttons side by side of which one is chosen."""

    chosen = Signal(str)

    def __init__(
        self, options: Sequence[tuple[str, str]], value: str, *, spoken: str = "", columns: int = 4
    ) -> None:
        super().__init__()
        self._group = QButtonGroup(self)
        self._made: dict[str, QPushButton] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(6)
        for i, (code, shown) in enumerate(options):
            one = look(QPushButton(shown), "choice")
            one.setCheckable(True)
            one.setChecked(code == value)
            one.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            one.setAccessibleName(f"{spoken}: {shown}" if spoken else shown)
            one.clicked.connect(lambda _=False, code=code: self.chosen.emit(code))
            self._group.addButton(one)
            self._made[code] = one
            grid.addWidget(one, i // columns, i % columns)
        grid.setColumnStretch(columns, 1)

    @property
    def value(self) -> str:
        """The code that is chosen, "" when none is."""
        return next((code for code, one in self._made.items() if one.isChecked()), "")

    def choose(self, code: str) -> None:
        """Choose one without telling."""
        if code in self._made:
            self._made[code].setChecked(True)

    def button(self, code: str) -> QPushButton:
        """The button of a code."""
        return self._made[code]


class Combo(QComboBox):
    """A list that is opened, with the desk's own chevron."""

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        with painted(self) as p:
            p.drawPixmap(
                self.width() - 22, (self.height() - 16) // 2, icons.pixmap("down", theme.current().second, 16)
            )


class Form(QWidget):
    """Questions, each answered by its proposal until the person says otherwise; `changed` once the answers are others."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._box = column(self, gap=12)
        self._read: dict[str, Callable[[], str]] = {}
        self._asked: tuple[Question, ...] = ()
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._typing.timeout.connect(self.changed)

    def ask(self, questions: Sequence[Question]) -> None:
        """Show these questions; the same ones as before stay as they are, so that no focus is lost."""
        fresh = tuple(questions)
        if [(q.key, q.choices) for q in fresh] == [(q.key, q.choices) for q in self._asked]:
            return
        said = self.answers
        self._asked = fresh
        widgets.clear(self._box)
        self._read = {}
        for q in fresh:
            self._line(q, said.get(q.key, q.proposal))

    @property
    def answers(self) -> dict[str, str]:
        """Every answer that is not empty."""
        return {key: value for key, read in self._read.items() if (value := read())}

    def _line(self, q: Question, value: str) -> None:
        text = tr_sentence(q.text)
        text = text[:1].upper() + text[1:]
        box = column(gap=4)
        head = label(kind="caption", wrap=True)
        head.setText(text)
        box.addWidget(head)
        if not q.choices:
            edit = QLineEdit(value)
            edit.setAccessibleName(text)
            edit.textEdited.connect(lambda _: self._typing.start())
            self._read[q.key] = lambda: edit.text().strip()
            box.addWidget(edit)
        elif len(q.choices) <= _BUTTONS:
            made = Segments([(c, tr(c)) for c in q.choices], value, spoken=text)
            made.chosen.connect(lambda _: self.changed.emit())
            self._read[q.key] = lambda: made.value
            box.addWidget(made)
        else:
            combo = Combo()
            combo.setAccessibleName(text)
            for choice in q.choices:
                combo.addItem(tr(choice), choice)
            combo.setCurrentIndex(max(0, combo.findData(value)))
            combo.activated.connect(lambda _: self.changed.emit())
            self._read[q.key] = lambda: str(combo.currentData())
            box.addWidget(combo)
        if q.proposal == "" and value == "":
            box.addWidget(label("This needs an answer.", "small", tone="accent"))
        self._box.addLayout(box)


class Names(QWidget):
    """The model's class names, one a line, to be written where its file has none."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        box = column(self, gap=4)
        head = row(gap=8)
        self.head = label(kind="caption")
        head.addWidget(self.head)
        head.addStretch()
        self.back = button("As the file says", self._reset, kind="link")
        head.addWidget(self.back)
        box.addLayout(head)
        self.edit = look(say(QPlainTextEdit(), spoken="Class names, one a line"), "field")
        self.edit.setTabChangesFocus(True)
        self.edit.setFixedHeight(112)
        box.addWidget(self.edit)
        self.note = label(kind="small", tone="red", wrap=True)
        box.addWidget(self.note)
        self._own: tuple[str, ...] = ()
        self._wanted = 0
        self._quiet = False
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._typing.timeout.connect(self.changed)
        self.edit.textChanged.connect(self._typed)
        self._count()

    def show_names(self, names: Sequence[str]) -> None:
        """The names as the file, or else the person, says; what the person wrote stays."""
        fresh = tuple(names)
        self._wanted = len(fresh)
        if not self.answer:
            self._own = fresh
            self._put(fresh)
        self._count()

    @property
    def written(self) -> tuple[str, ...]:
        """The names as they stand; a comma would part an answer, so it becomes a space."""
        lines = (line.replace(",", " ").strip() for line in self.edit.toPlainText().split("\n"))
        return tuple(line for line in lines if line)

    @property
    def answer(self) -> dict[str, str]:
        """The names as an answer, when they are not the file's own."""
        return {"labels": ",".join(self.written)} if self.written and self.written != self._own else {}

    def _put(self, names: tuple[str, ...]) -> None:
        if self.written != names:
            self._quiet = True
            self.edit.setPlainText("\n".join(names))
            self._quiet = False

    def _reset(self) -> None:
        self._put(self._own)
        self._count()
        self.changed.emit()

    def _typed(self) -> None:
        if not self._quiet:
            self._count()
            self._typing.start()

    def _count(self) -> None:
        n = len(self.written)
        self.head.setText(tr("Classes {n}", n=self._wanted))
        self.note.setText(
            tr("{n} names for {wanted} classes", n=n, wanted=self._wanted) if n != self._wanted else ""
        )
        self.note.setVisible(n != self._wanted)
        self.back.setVisible(bool(self.answer))
