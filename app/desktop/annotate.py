"""The place where pictures are annotated: queues and classes, tools, canvas, film strip, objects and details."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from annotation.errors import LamproomError
from app.desktop import actions, widgets
from app.desktop.canvas import shapes
from app.desktop.canvas.layer import Broken
from app.desktop.canvas.pictures import Mips
from app.desktop.canvas.view import Canvas
from app.desktop.classing import Classing
from app.desktop.desk import Desk
from app.desktop.gallery.strip import Strip
from app.desktop.jumps import Jumps
from app.desktop.panels.classes import Classes, Queues, Rule
from app.desktop.panels.details import Attributes, History, Issues
from app.desktop.panels.objects import ObjectList
from app.desktop.route import Route
from app.desktop.widgets import Elided, Tool, column, frame, label, number, row
from app.events import Changes
from app.i18n import tr, tr_fault, tr_sentence
from app.services.browse import ItemRow

_TOOLS = (
    ("select", "tool.select", "select"),
    ("box", "tool.box", "box"),
    ("polygon", "tool.polygon", "polygon"),
)


class Annotate(QWidget):
    """See the module. Keys of this place are bound by the window from ACTIONS."""

    picture_changed = Signal()
    pointed = Signal(float, float)

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.route = Route(desk.tasks.readers, self)
        self._want_first = False
        self.canvas: Canvas = Canvas(desk.document, desk.tasks.courier)
        self.canvas.allowed = self._allowed
        self.classing = Classing(desk, self.canvas)
        self.canvas.defaults = self.classing.defaults
        self.jumps = Jumps(desk, self)
        self.canvas.image_source = lambda: desk.pictures.array(desk.document.asset_id or 0)
        self.strip = Strip(desk.thumbs)
        self._build()
        doc = desk.document
        doc.opened.connect(self._hint)
        doc.changed.connect(self._changed)
        doc.selected.connect(self._hint)
        doc.saved.connect(self._saved)
        doc.saving.connect(self._buttons)
        desk.queried.connect(self._queried)
        desk.opened.connect(self._workspace)
        desk.schema_changed.connect(lambda: self.canvas.set_style(desk.style()))
        desk.label_changed.connect(self._label)
        desk.theme_changed.connect(lambda: self.canvas.set_style(desk.style()))
        desk.tasks.ended.connect(lambda _: self.route.refresh(all_anew=True))
        desk.counted.connect(self.route.recount)
        self.route.changed.connect(self._routed)
        self.route.faulted.connect(desk.fault)
        self.canvas.tool_changed.connect(self._tooled)
        self.canvas.refused.connect(self._refused)
        self.canvas.pointer.connect(self.pointed)
        self.strip.picked.connect(self.open)

    def _build(self) -> None:
        desk = self.desk
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)

        left = frame("left")
        left.setFixedWidth(248)
        box = column(left, gap=8, margins=(8, 12, 8, 12))
        box.addWidget(_caption("Queue"))
        box.addWidget(Queues(desk))
        box.addSpacing(8)
        box.addWidget(_caption("Classes (digit keys)"))
        self.classes = Classes(desk, self.classing.key)
        box.addWidget(self.classes, 1)
        box.addSpacing(4)
        self.rule = Rule(desk)
        box.addWidget(self.rule)
        whole.addWidget(left)

        middle = QVBoxLayout()
        middle.setSpacing(0)
        tools = frame("top")
        line = row(tools, gap=4, margins=(16, 4, 16, 4))
        tools.setFixedHeight(44)
        self._tools: dict[str, Tool] = {}
        group = QButtonGroup(self)
        for name, action, icon in _TOOLS:
            made = Tool(actions.BY_ID[action].text, actions.key(action), icon)
            made.setObjectName(f"tool-{name}")
            made.clicked.connect(lambda _=False, name=name: self.set_tool(name))
            group.addButton(made)
            self._tools[name] = made
            line.addWidget(made)
        self._tools["select"].setChecked(True)
        line.addStretch()
        self._acts: dict[str, Tool] = {}
        for action, icon, run in (
            ("undo", "undo", self.undo),
            ("redo", "redo", self.redo),
            ("fit", "fit", self.canvas.fit),
        ):
            made = Tool(actions.BY_ID[action].text, actions.key(action), icon)
            made.setCheckable(False)
            made.clicked.connect(lambda _=False, run=run: run())
            self._acts[action] = made
            line.addWidget(made)
        middle.addWidget(tools)
        middle.addWidget(self.canvas, 1)
        below = frame("bottom")
        inside = column(below, gap=4, margins=(0, 8, 0, 4))
        caption = row(margins=(16, 0, 16, 0))
        self.where = Elided("", "second")
        self.where.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        caption.addWidget(self.where, 1)
        self.ways = label("A and D or ← → change the picture · J next to confirm", "second")
        caption.addWidget(self.ways)
        inside.addLayout(caption)
        inside.addWidget(self.strip)
        middle.addWidget(below)
        whole.addLayout(middle, 1)

        right = frame("right")
        right.setFixedWidth(304)
        side = column(right, gap=0, margins=(0, 12, 0, 0))
        head = row(margins=(16, 0, 16, 8))
        self.count = label(kind="head")
        self.split = label(kind="second")
        head.addWidget(self.count)
        head.addStretch()
        head.addWidget(self.split)
        side.addLayout(head)
        self.objects = ObjectList(desk)
        self.objects.shown.connect(self._show)
        side.addWidget(self.objects, 5)
        side.addWidget(widgets.rule())
        details = QWidget()
        inner = column(details, gap=0, margins=(0, 0, 0, 8))
        self.attributes = Attributes(desk, self.classing)
        self.issues = Issues(desk)
        self.history = History(desk)
        for part in (self.attributes, self.issues, self.history):
            inner.addWidget(part)
        inner.addStretch()
        area = widgets.scroll(details)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        side.addWidget(area, 6)
        whole.addWidget(right)

    def retranslate(self) -> None:
        """Texts that are made of data."""
        self.canvas.set_style(self.desk.style())
        self._changed()
        self._caption()
        for made in (*self._tools.values(), *self._acts.values()):
            made.updateGeometry()

    # --- which picture -------------------------------------------------------------------------------------------

    def open(self, asset_id: int) -> None:
        """Show a picture: the canvas at once, with what there is of it; all else behind it."""
        doc = self.desk.document
        if doc.asset_id == asset_id:
            return
        self._want_first = False
        self.route.now_at(asset_id)
        row_now = self.route.row
        wh = (row_now.width_px, row_now.height_px) if row_now else (None, None)
        doc.open(asset_id)
        picture = self.desk.pictures.get(asset_id)
        if picture is None:
            self.canvas.set_note(tr("Reading the picture…"))
            self.canvas.set_placeholder(
                self.desk.thumbs.peek(asset_id), (wh[0], wh[1]) if wh[0] and wh[1] else None
            )
        self.desk.pictures.least_px = round(
            max(self.canvas.width(), self.canvas.height()) * self.canvas.devicePixelRatioF()
        )
        self.desk.pictures.ask(
            asset_id,
            lambda made: self._picture(asset_id, made),
            lambda fault: self._no_picture(asset_id, fault),
        )
        self.canvas.repaint()  # before the panels, which may take a moment
        self.route.read_on()
        self.picture_changed.emit()

    @property
    def rows(self) -> list[ItemRow]:
        """Pictures of the query around the open one, in order."""
        return self.route.rows

    def ensure_picture(self) -> None:
        """Open the first picture of the query when none is open."""
        if self.desk.document.asset_id is None:
            self._want_first = True
            self.route.refresh()

    def step(self, by: int) -> None:
        """The next or previous picture of the query."""
        if self.desk.document.asset_id is None:
            self.ensure_picture()
        elif (found := self.route.neighbour(by)) is not None:
            self.open(found.asset_id)


    def _workspace(self) -> None:
        self.route.look_at(self.desk.ws, None)
        self.route.now = None
        self.canvas.set_placeholder(None, None)
        self._changed()

    def _queried(self) -> None:
        self.route.look_at(self.desk.ws, self.desk.query)
        self.route.now = self.desk.document.asset_id
        self.route.refresh()
        if self.isVisible() and self.desk.document.asset_id is None:
            self._want_first = True

    def _saved(self, changes: Changes) -> None:
        for asset_id in changes.assets:
            self.route.changed_row(asset_id)

    def _routed(self) -> None:
        """Other rows, position or number: the strip, the caption and what is decoded ahead follow."""
        now, rows = self.desk.document.asset_id, self.route.rows
        self.strip.show_rows(rows, now or 0)
        self._caption()
        if now is not None:
            self.desk.pictures.read_ahead(now, self.route.near())
        elif self._want_first and rows:
            self.open(rows[0].asset_id)
        elif self.route.known and not rows:
            self._empty()

    def _caption(self) -> None:
        state = self.desk.query.state if self.desk.query else None
        names = {"unlabelled": "To label", "predicted": "To confirm", "labelled": "Labelled"}
        queue = tr(names[state]) if state else tr("All pictures")
        found, at, total = self.route.row, self.route.position, self.route.total
        if found is None:
            self.where.setText(queue)
            return
        if state is not None and found.state != state:
            place = tr("done")
        elif at is None or total is None:
            place = "…"
        else:
            place = tr("{i} of {n}", i=number(at + 1), n=number(total))
        self.where.setText(f"{queue} · {place} · {found.path}")

    def _empty(self) -> None:
        total = self.desk.dataset.n_assets if self.desk.dataset else 0
        self.canvas.set_placeholder(None, None)
        if not total:
            self.canvas.set_note(tr("No pictures yet. Ctrl+I adds a folder of pictures."))
        else:
            self.canvas.set_note(tr("Nothing is left in this queue. Choose another one on the left."))

    def _picture(self, asset_id: int, made: Mips) -> None:
        if asset_id == self.desk.document.asset_id:
            self.canvas.set_picture(made)
            self.picture_changed.emit()

    def _no_picture(self, asset_id: int, fault: BaseException) -> None:
        if not isinstance(fault, LamproomError):
            raise fault
        if asset_id == self.desk.document.asset_id:
            self.canvas.set_placeholder(None, None)
            self.canvas.set_broken(
                Broken(
                    tr("This picture cannot be shown"),
                    tr_sentence(fault.what),
                    fault.where,
                    tr_sentence(fault.remedy),
                )
            )
        line = tr_fault(fault)
        if not any(t.what == line and t.asset_id == asset_id for t in self.desk.problems):
            self.desk.trouble(line, asset_id=asset_id)

    # --- what is done --------------------------------------------------------------------------------------------

    def set_tool(self, name: str) -> None:
        """Take a tool in hand."""
        self.canvas.set_tool(name)
        self._tools[name].setChecked(True)
        self.canvas.setFocus()

    def accept(self) -> None:
        """Close a polygon in hand; else accept the selected predictions, or take the best one in hand."""
        if self.canvas.tool.enter():
            return
        doc = self.desk.document
        chosen = [a.uid for a in doc.chosen() if a.origin == "model"]
        if chosen:
            doc.accept(chosen)
        self._next_prediction()

    def reject(self) -> None:
        """Reject the selected predictions, or take the best one in hand."""
        doc = self.desk.document
        chosen = [a.uid for a in doc.chosen() if a.origin == "model"]
        if chosen:
            doc.reject(chosen)
        self._next_prediction()

    def _next_prediction(self) -> None:
        doc = self.desk.document
        left = doc.predictions()
        if left:
            doc.select((left[0].uid,))
            if (box := shapes.bounds(left[0].shape)) is not None:
                self.canvas.show_box(*box)

    def accept_above(self) -> None:
        """Accept all predictions of the picture from the score of the settings on, as one step."""
        least = float(self.desk.values["accept_score"])
        self.desk.document.accept([a.uid for a in self.desk.document.predictions(least)])

    def delete(self) -> None:
        """Delete what is selected, or take a vertex back while a polygon is drawn."""
        if not self.canvas.tool.back():
            self.canvas.delete()

    def undo(self) -> None:
        """Undo on this picture."""
        if not self.canvas.tool.cancel():
            self.desk.document.undo()

    def redo(self) -> None:
        """Redo on this picture."""
        self.desk.document.redo()

    def select_all(self) -> None:
        """Select every object."""
        self.desk.document.select([a.uid for a in self.desk.document.annotations])

    def cancel(self) -> None:
        """Put back what is in hand; then choose nothing; then take Select in hand."""
        if self.canvas.tool.cancel():
            return
        if self.desk.document.selection:
            self.desk.document.select(())
        else:
            self.set_tool("select")

    def _show(self, uid: str) -> None:
        found = self.desk.document.get(uid)
        if found is not None and (box := shapes.bounds(found.shape)) is not None:
            x0, y0, x1, y1 = box
            self.canvas.show_box(x0, y0, x1, y1)
            size = max((x1 - x0), (y1 - y0)) * self.canvas.scale
            if size < 80:
                self.canvas.zoom(160 / max(size, 1.0), QRectF(self.canvas.rect()).center())

    def _allowed(self, code: str, kind: str) -> bool:
        one = self.desk.schema.label(code) if self.desk.schema else None
        return one is not None and not one.abstract and kind in one.kinds

    def _refused(self, kind: str) -> None:
        name = self.desk.label_name(self.desk.label or "")
        if kind == "box":
            text = tr("{label} is not drawn as a box: choose another class or press P", label=name)
        else:
            text = tr("{label} is not drawn as a polygon: choose another class or press R", label=name)
        self.canvas.hint = text
        self.canvas.update()
        self.desk.trouble(text, asset_id=self.desk.document.asset_id)

    # --- what is said --------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """One line over the canvas, until the next gesture."""
        self.canvas.hint = text
        self.canvas.update()

    def _label(self) -> None:
        self.canvas.label = self.desk.label
        self._hint()

    def _tooled(self, name: str) -> None:
        self._tools[name].setChecked(True)
        self._hint()

    def _changed(self) -> None:
        found = self.desk.document.annotations
        waiting = sum(a.origin == "model" for a in found)
        self.count.setText(tr("Objects {n}", n=number(len(found))))
        self.split.setText(tr("people {a} · model {b}", a=number(len(found) - waiting), b=number(waiting)))
        self._hint()
        QTimer.singleShot(0, self, self._buttons)

    def _buttons(self) -> None:
        self._acts["undo"].setEnabled(self.desk.document.can_undo)
        self._acts["redo"].setEnabled(self.desk.document.can_redo)

    def _hint(self) -> None:
        doc, tool = self.desk.document, self.canvas.tool.name
        waiting = any(a.origin == "model" for a in doc.annotations)
        name = self.desk.label_name(self.desk.label or "")
        if doc.asset_id is None:
            text = ""
        elif tool == "box":
            text = tr("Drag a box · {label} · a digit changes the class · Esc back", label=name)
        elif tool == "polygon":
            text = tr("Click the corners · {label} · Enter closes · Backspace takes one back", label=name)
        elif waiting:
            least = f"{float(self.desk.values['accept_score']):.2f}"
            text = tr(
                "Enter accept · X reject · a digit changes the class · Shift+Enter accept ≥ {score}",
                score=least,
            )
        elif doc.selection:
            text = tr("A digit changes the class · Del deletes · double-click an edge for a new vertex")
        else:
            text = tr("R box · P polygon · a digit takes a class in hand")
        if text != self.canvas.hint:
            self.canvas.hint = text
            self.canvas.update()
        self._buttons()


def _caption(text: str):
    made = label(text, "caption")
    made.setContentsMargins(8, 0, 0, 0)
    return made
