"""What shapes need beside the canvas: a line to type in (caption, relation), tags of the picture, and the sheet that
converts with the loss said first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QLineEdit, QPushButton, QWidget

from annotation import convert
from annotation.core import KIND_OF, Kind, Tag
from annotation.errors import LamproomError
from app import i18n
from app.desktop import theme
from app.desktop.desk import Desk
from app.desktop.editing import Editing
from app.desktop.overlaid import Overlaid, Sheet
from app.desktop.panels.flow import Flow
from app.desktop.widgets import button, clear, column, label, look, row, say
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

KINDS = {
    "box": "Box",
    "rotated_box": "Rotated box",
    "quad": "Quadrilateral",
    "ellipse": "Ellipse",
    "cuboid": "Cuboid",
    "polygon": "Polygon",
    "polyline": "Polyline",
    "points": "Points",
    "keypoints": "Skeleton",
    "mask": "Mask",
    "tag": "Whole picture",
    "caption": "Caption",
}
"""Names of the kinds of shapes."""


class Ask(Overlaid):
    """One line to type, with words used before as buttons; Enter takes it, Escape leaves everything as it was.

    The line is a line edit of its own, so an input method composes in it and nowhere near the canvas.
    """

    def __init__(
        self,
        parent: QWidget,
        title: str,
        value: str,
        hint: str,
        done: Callable[[str], object],
        words: Sequence[str] = (),
    ) -> None:
        super().__init__(parent, 520)
        self._done = done
        self.card.setParent(self)
        inside = column(self.card, gap=12, margins=(20, 16, 20, 16))
        inside.addWidget(label(title, "head"))
        self.edit = say(QLineEdit(value), hint=hint)
        inside.addWidget(self.edit)
        if words:
            held = QWidget()
            flow = Flow(gap=4)
            held.setLayout(flow)
            for word in words:
                made = look(QPushButton(word), "choice")
                made.setAccessibleName(word)
                made.clicked.connect(lambda _=False, word=word: self._take(word))
                flow.addWidget(made)
            inside.addWidget(held)
        foot = row(gap=8)
        foot.addWidget(label("Enter takes it · Esc leaves it", "small"))
        foot.addStretch()
        foot.addWidget(button("Cancel", self.finish))
        foot.addWidget(button("Save", lambda: self._take(self.edit.text()), kind="primary"))
        inside.addLayout(foot)

    def present(self) -> None:
        """Show with the focus in the line."""
        self.show()
        self.raise_()
        self._place()
        self.edit.setFocus(Qt.FocusReason.OtherFocusReason)
        self.edit.selectAll()

    def _place(self) -> None:
        self.card.adjustSize()
        self.card.move(QPoint((self.width() - self.card.width()) // 2, max(56, self.height() // 4)))

    def resizeEvent(self, event) -> None:
        self._place()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            focus = self.focusWidget()
            if isinstance(focus, QPushButton):
                focus.click()
            else:
                self._take(self.edit.text())
            event.accept()
            return
        super().keyPressEvent(event)

    def _take(self, text: str) -> None:
        self.finish()
        self._done(text)


class Tags(QWidget):
    """Tags of the picture as chips: a click puts one on or takes it away. Shown with the tag tool in hand, and wherever
    a picture has a tag."""

    def __init__(self, desk: Desk, canvas: Canvas, editing: Editing) -> None:
        super().__init__()
        self.desk, self.canvas, self.editing = desk, canvas, editing
        self._shown: tuple[object, ...] = ()
        box = column(self, gap=8, margins=(16, 12, 16, 12))
        box.addWidget(label("Tags of the picture", "head"))
        self._held = QWidget()
        self._flow = Flow(gap=4)
        self._held.setLayout(self._flow)
        box.addWidget(self._held)
        for signal in (desk.document.changed, desk.document.opened, desk.schema_changed, canvas.tool_changed):
            signal.connect(lambda *_: self._look())
        self.hide()

    def retranslate(self) -> None:
        """Names in the language in use."""
        self._shown = ()
        self._look()

    def _look(self) -> None:
        doc = self.desk.document
        there = {a.label for a in doc.annotations if isinstance(a.shape, Tag)}
        in_hand = self.canvas.tool.name == "tag"
        codes = [
            one.code for one in self.desk.labels() if "tag" in one.kinds and (in_hand or one.code in there)
        ]
        shown = (tuple(codes), frozenset(there))
        self.setVisible(bool(codes) and doc.loaded)
        if shown == self._shown:
            return
        self._shown = shown
        clear(self._flow)
        for code in codes:
            made = look(QPushButton(self.desk.label_name(code)), "choice")
            made.setAccessibleName(made.text())
            made.setCheckable(True)
            made.setChecked(code in there)
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            made.clicked.connect(lambda _=False, code=code: self.editing.toggle_tag(code))
            self._flow.addWidget(made)
        self._held.updateGeometry()


def convert_sheet(parent: QWidget, editing: Editing) -> Sheet | None:
    """The kinds that all selected objects can become, each with what is lost; None when there is none."""
    chosen = editing.chosen()
    wh = editing.canvas.picture_wh
    kinds = [k for k in KINDS if chosen and all(k in convert.conversions(a.shape) for a in chosen)]
    kinds = [k for k in kinds if all(editing.canvas.allowed(a.label, k) for a in chosen)]
    if not kinds:
        editing.tell(tr("What is selected cannot become another kind of its class"))
        return None
    language = i18n.language()

    def losses(kind: Kind) -> list[str]:
        found: list[str] = []
        for a in chosen[:50]:
            try:
                loss = convert.convert(a.shape, kind, wh=wh).loss(language)
            except LamproomError as fault:
                loss = i18n.tr_fault(fault)
            if loss and loss not in found:
                found.append(loss)
        return found

    def run() -> None:
        wanted = current()
        sheet.finish()
        editing.reshape(lambda shape: convert.convert(shape, wanted, wh=wh).shape, "convert")  # type: ignore[arg-type]

    def changed(kind: str) -> None:
        found = losses(kind)  # type: ignore[arg-type]
        told.setText(" · ".join(found[:3]) if found else tr("Nothing is lost."))
        colour = theme.current().red if found else theme.current().green
        told.setStyleSheet(f"color: {colour}")

    sheet = Sheet(
        parent,
        "Convert to another kind",
        "What is lost is said before it happens; undo brings it back.",
        "Convert",
        run,
    )
    names = ", ".join(sorted({tr(KINDS[KIND_OF[type(a.shape)]]) for a in chosen}))
    about = label(kind="second", wrap=True)
    about.setText(tr("{n} selected: {kinds}", n=len(chosen), kinds=names))
    sheet.body.addWidget(about)
    current = sheet.choices("Becomes", [(k, tr(KINDS[k])) for k in kinds], kinds[0], changed)
    told = label(kind="second", wrap=True)
    sheet.body.addWidget(told)
    changed(kinds[0])
    return sheet
