"""The place where pictures are annotated: queues and classes, tools, canvas, film strip, objects and details."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QPoint, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QSplitter, QWidget

from annotation.core import Caption
from annotation.errors import LamproomError
from app.desktop import actions, menus, widgets
from app.desktop.canvas import figures, shapes
from app.desktop.canvas.layer import Broken
from app.desktop.canvas.pictures import Mips
from app.desktop.canvas.view import Canvas
from app.desktop.classing import Classing
from app.desktop.desk import Desk
from app.desktop.editing import Editing
from app.desktop.eye import Eye
from app.desktop.gallery.strip import Strip
from app.desktop.jumps import Jumps
from app.desktop.menu import Menu
from app.desktop.panels.classes import Classes, Queues
from app.desktop.panels.details import Attributes, Issues
from app.desktop.panels.eye import EyePanel
from app.desktop.panels.frames import Timeline
from app.desktop.panels.history import History
from app.desktop.panels.objects import ObjectList
from app.desktop.panels.remarks import Remarks
from app.desktop.panels.rule import Rule
from app.desktop.panels.shape import KINDS, Ask, Tags, convert_sheet
from app.desktop.panels.tools import ToolRow
from app.desktop.panels.worth import Reason
from app.desktop.review import STATES, Reviewing
from app.desktop.route import Route
from app.desktop.sequence import Reel
from app.desktop.smart import Smart
from app.desktop.widgets import Elided, Tool, column, frame, label, number, row
from app.events import Changes
from app.i18n import tr, tr_fault, tr_sentence
from app.services.browse import ItemRow


class Annotate(QWidget):
    """See the module. Keys of this place are bound by the window from ACTIONS."""

    picture_changed = Signal()
    pointed = Signal(float, float)
    sheet_made = Signal(object)
    """A sheet is about to be shown over the window."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk: Desk = desk
        self.route = Route(desk.tasks.readers, self)
        self._want_first = False
        self._ended: int | None = None
        """The last picture of a queue, when it is done with and still shown."""
        self.canvas: Canvas = Canvas(desk.document, desk.tasks.courier)
        widgets.say(self.canvas, spoken="The picture and its objects")
        self.canvas.allowed = self._allowed
        self.classing: Classing = Classing(desk, self.canvas)
        self.canvas.defaults = self.classing.defaults
        self.jumps: Jumps = Jumps(desk, self)
        self.canvas.image_source = lambda: desk.pictures.array(desk.document.asset_id or 0)
        self.editing: Editing = Editing(desk, self.canvas)
        self.editing.tell = self.say
        self.editing.copies.previous = self._before
        self.editing.ask_relation = self._ask_relation
        self.canvas.layers.append(figures.links_layer(self.canvas))
        self.smart: Smart = Smart(desk, self.canvas, self.route.near, self)
        self.sequence: Reel = Reel(desk, self.open, self)
        self.strip = Strip(desk.thumbs)
        self.eye: Eye = Eye(desk, self.canvas, self.route)
        self.eye_panel: EyePanel = EyePanel(self.eye)
        self._build()
        self.eye.changed.connect(self._seen)
        self.eye.told.connect(self.say)
        self.picture_changed.connect(self.eye.seen)
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
        self.canvas.stepped.connect(self._hint)
        self.canvas.menu_asked.connect(lambda at: self.open_menu(at.toPoint()))
        self.canvas.refused.connect(self._refused)
        self.canvas.pointer.connect(self.pointed)
        self.strip.picked.connect(self.open)
        self.smart.changed.connect(self._hint)
        self.smart.refused.connect(self.say)
        self.sequence.told.connect(self.say)

    def _build(self) -> None:
        desk = self.desk
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(1)
        self.splitter.setChildrenCollapsible(False)
        whole.addWidget(self.splitter)

        self.left = left = frame("left")
        left.setMinimumWidth(200)
        left.setMaximumWidth(420)
        sides = column(left, gap=8, margins=(8, 12, 8, 12))
        self.label_side = QWidget()
        box = column(self.label_side, gap=8)
        sides.addWidget(self.label_side, 1)
        self.reviewing: Reviewing = Reviewing(desk, self)
        sides.addWidget(self.reviewing.side, 1)
        self.reviewing.side.hide()
        box.addWidget(_caption("Queue"))
        self.queues = Queues(desk)
        box.addWidget(self.queues)
        box.addSpacing(8)
        box.addWidget(_caption("Classes (digit keys)"))
        self.classes: Classes = Classes(desk, self.classing.key)
        box.addWidget(self.classes, 1)
        box.addSpacing(4)
        self.rule: Rule = Rule(desk)
        box.addWidget(self.rule)
        self.splitter.addWidget(left)

        held = QWidget()
        middle = column(held, gap=0)
        tools = frame("top")
        line = row(tools, gap=4, margins=(16, 4, 16, 4))
        tools.setFixedHeight(44)
        self.tool_bar = tools
        self.tool_row = ToolRow(used=lambda: [str(t) for t in desk.values["tools"]])  # type: ignore[union-attr]
        self.tool_row.picked.connect(self.set_tool)
        line.addWidget(self.tool_row, 1)
        self.seeing = Tool("Look", actions.key("eye.panel"), "eye")
        self.seeing.setObjectName("seeing")
        self.seeing.named = False
        self.seeing.setToolTip(f"{self.seeing.text()}  {self.seeing.key}")
        self.seeing.clicked.connect(lambda _=False: self.eye_panel.reveal())
        line.addWidget(self.seeing)
        self._acts: dict[str, Tool] = {}
        for action, icon, run in (
            ("undo", "undo", self.undo),
            ("redo", "redo", self.redo),
            ("fit", "fit", self.canvas.fit),
        ):
            made = Tool(actions.BY_ID[action].text, actions.key(action), icon, action=action)
            made.setCheckable(False)
            made.named = made.keyed = False
            made.setToolTip(f"{made.text()}  {made.key}")
            made.clicked.connect(lambda _=False, run=run: run())
            self._acts[action] = made
            line.addWidget(made)
        middle.addWidget(tools)
        middle.addWidget(self.reviewing.bar)
        beside = row(gap=0)
        beside.addWidget(self.canvas, 1)
        beside.addWidget(self.eye_panel)
        middle.addLayout(beside, 1)
        self.below: QWidget = frame("bottom")
        below = self.below
        inside = column(below, gap=4, margins=(0, 8, 0, 4))
        caption = row(margins=(16, 0, 16, 0))
        self.where = Elided("", "second")
        self.where.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        caption.addWidget(self.where, 1)
        self.ways = label("A and D change the picture · J next to confirm", "second")
        caption.addWidget(self.ways)
        caption.addWidget(self.reviewing.pill)
        caption.addWidget(self.reviewing.submit)
        inside.addLayout(caption)
        self.reason: Reason = Reason(desk)
        inside.addWidget(self.reason)
        inside.addWidget(Timeline(desk, self.sequence))
        inside.addWidget(self.strip)
        middle.addWidget(below)
        self.splitter.addWidget(held)

        self.right = right = frame("right")
        right.setMinimumWidth(240)
        right.setMaximumWidth(560)
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
        self.attributes: Attributes = Attributes(desk, self.classing)
        self.issues = Issues(desk)
        self.history: History = History(desk)
        self.tags = Tags(desk, self.canvas, self.editing)
        self.remarks = Remarks(desk, self.canvas)
        for part in (self.tags, self.attributes, self.issues, self.remarks, self.history):
            inner.addWidget(part)
        inner.addStretch()
        area = widgets.scroll(details)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        side.addWidget(area, 6)
        self.splitter.addWidget(right)
        for i, (stretch, wide) in enumerate(((0, 248), (1, 800), (0, 304))):
            self.splitter.setStretchFactor(i, stretch)
            self.splitter.widget(i).resize(wide, 600)
        self.splitter.setSizes([248, 800, 304])

    def retranslate(self) -> None:
        """Texts that are made of data."""
        self.canvas.set_style(self.desk.style())
        self._changed()
        self._caption()
        for made in self._acts.values():
            made.updateGeometry()
        self._seen()

    # --- which picture -------------------------------------------------------------------------------------------

    def open(self, asset_id: int) -> None:
        """Show a picture: the canvas at once, with what there is of it; all else behind it."""
        doc = self.desk.document
        if doc.asset_id == asset_id:
            return
        self._want_first, self._ended = False, None
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
        self.eye.opened()
        self.canvas.repaint()  # before the panels, which may take a moment
        self.route.read_on()
        self.picture_changed.emit()

    @property
    def rows(self) -> list[ItemRow]:
        """Pictures of the query around the open one, in order."""
        return self.route.rows

    def set_mode(self, mode: str) -> None:
        """ "label", or "review": the same picture and tools with the reviewer's queues and bar."""
        self.label_side.setVisible(mode == "label")
        self.reviewing.side.setVisible(mode == "review")
        if mode == "review" and self.reviewing.mode != mode:
            self.set_tool("select")  # a reviewer looks; a stray drag draws nothing
        self.reviewing.set_mode(mode)
        self._hint()

    def leave_for_next(self) -> None:
        """The open picture is done with: show the next of the selection, from its end the one before, else none.

        Where it stays in the selection, as among all pictures, there is nothing behind to go back to: it stays shown.
        """
        found = self.route.neighbour(1)
        if found is None and self.route.inside:
            self._ended = self.desk.document.asset_id
            self._hint()
        elif (found := found or self.route.neighbour(-1)) is not None:
            self.open(found.asset_id)
        else:
            self.close_picture()
            self._empty()

    def close_picture(self) -> None:
        """Show no picture; the first of the selection follows when there is one."""
        self.desk.document.open(None)
        self.route.now = None
        self.canvas.set_placeholder(None, None)
        self._changed()

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
        self.route.look_at(self.desk.ws, self.desk.query, worth=self.desk.worth)
        self.route.now = self.desk.document.asset_id
        self.route.refresh()
        if self.isVisible() and self.desk.document.asset_id is None:
            self._want_first = True

    def _saved(self, changes: Changes) -> None:
        for asset_id in changes.assets:
            self.route.changed_row(asset_id)

    def _seen(self) -> None:
        """How the picture is seen, said in the tool row."""
        self.seeing.setText(self.eye.text)
        self.seeing.setAccessibleName(self.eye.text)
        self.seeing.setToolTip(f"{self.eye.text}  {self.seeing.key}")
        self.seeing.setChecked(self.eye.on and not self.eye.look.plain)
        # Its words give way before the tools' keys do.
        self.seeing.named = True
        spare = self.tool_bar.width() - 32 - self.tool_row.minimumSizeHint().width()
        others = sum(made.sizeHint().width() + 4 for made in (self.seeing, *self._acts.values()))
        self.seeing.named = self.eye.spelled = others <= spare
        self.seeing.updateGeometry()
        self.seeing.update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._seen()

    def _routed(self) -> None:
        """Other rows, position or number: the strip, the caption and what is decoded ahead follow."""
        self.queues.count_worth(self.route.total if self.route.worth else None)
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
        query = self.desk.query
        state, judged = (query.state, query.review) if query else (None, None)
        names = {"unlabelled": "To label", "predicted": "To confirm", "labelled": "Labelled"}
        if self.route.worth:
            queue = tr("Worth labelling first")
        elif judged and judged != "draft":
            queue = tr(STATES[judged])
        else:
            queue = tr(names[state]) if state else tr("All pictures")
        found, at, total = self.route.row, self.route.position, self.route.total
        if found is None:
            self.where.setText(queue)
            return
        if not self.route.inside:
            place = tr("done")
        elif at is None or total is None:
            place = "…"
        else:
            place = tr("{i} of {n}", i=number(at + 1), n=number(total))
        self.where.setText(f"{queue} · {place} · {found.path}")

    def _empty(self) -> None:
        total = self.desk.dataset.n_assets if self.desk.dataset else 0
        self.canvas.set_placeholder(None, None)
        if total and self.route.worth:
            self.canvas.set_note(
                tr(
                    "No picture waits in this queue. “Worth labelling first…” ({key}) looks.",
                    key=actions.key("worth"),
                )
            )
        elif not total:
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
        if name == "caption":
            self.ask_caption()
            return
        self.canvas.set_tool(name)
        self.canvas.setFocus()

    def accept(self) -> None:
        """End the gesture in hand; else accept the selected predictions, or take the best one in hand."""
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
        """Take the last point of the gesture in hand back, else undo on this picture."""
        tool = self.canvas.tool
        if not tool.back() and not (tool.busy and tool.cancel()):
            self.desk.document.undo()

    def redo(self) -> None:
        """Redo on this picture."""
        self.desk.document.redo()

    def select_all(self) -> None:
        """Select every object that can be taken in hand."""
        doc = self.desk.document
        doc.select([a.uid for a in doc.annotations if not doc.out_of_reach(a)])

    def tab(self, by: int) -> None:
        """The next object while the canvas has the keys; elsewhere Tab goes from widget to widget."""
        if not (self.canvas.hasFocus() and self.editing.step_object(by)):
            self.focusNextPrevChild(by > 0)

    def arrow(self, dx: int, dy: int) -> None:
        """An arrow nudges what is selected, else left and right change the picture; a far nudge never does."""
        if not self.editing.nudge(dx, dy) and abs(dx) == 1:
            self.step(1 if dx > 0 else -1)

    def smaller(self) -> None:
        """A smaller brush; with another tool in hand a turn to the left."""
        if not self.editing.size(-1):
            self.editing.turn(-1)

    def larger(self) -> None:
        """A larger brush; with another tool in hand a turn to the right."""
        if not self.editing.size(1):
            self.editing.turn(1)

    def _before(self) -> int | None:
        at = next((i for i, r in enumerate(self.rows) if r.asset_id == self.desk.document.asset_id), 0)
        return self.rows[at - 1].asset_id if at > 0 else None

    # --- what is asked -------------------------------------------------------------------------------------------

    def _over(self) -> QWidget:
        """What sheets and lines to type in lie over."""
        return getattr(self.window(), "body", self)

    def ask_caption(self) -> None:
        """A line for the picture's caption."""
        if not self.desk.document.loaded:
            return
        old = self.editing.caption_in_hand()
        if old is None and self.editing.caption_class() is None:
            self.say(tr("No class of this dataset may be a caption"))
            return
        text = old.shape.text if old is not None and isinstance(old.shape, Caption) else ""
        self._ask_line(
            "Caption of the picture",
            text,
            self.editing.write_caption,
            hint="What is to be seen, in one sentence",
        )

    def _ask_relation(self, done: Callable[[str], object]) -> None:
        used = self.editing.relations()
        self._ask_line("Relation", used[0] if used else "", done, hint="A name, e.g. wears", words=used)

    def _ask_line(
        self, title: str, value: str, done: Callable[[str], object], *, hint: str, words: Sequence[str] = ()
    ) -> None:
        made = Ask(self._over(), title, value, hint, done, words)
        made.closed.connect(self.canvas.setFocus)
        made.present()

    def ask_convert(self) -> None:
        """The sheet that converts what is selected."""
        made = convert_sheet(self._over(), self.editing)
        if made is not None:
            self.sheet_made.emit(made)
            made.present()

    def open_menu(self, at: QPoint | None = None) -> None:
        """The menu of what is selected, else of the picture, at a place of the canvas."""
        where = at or (self.canvas.mouse.toPoint() if self.canvas.mouse else self.canvas.rect().center())
        window = self.window()
        entries = menus.entries(window, bool(self.desk.document.selection))
        over = self._over()
        made = Menu(over, entries)
        made.closed.connect(self.canvas.setFocus)
        made.open_at(self.canvas.mapTo(over, where))

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

    def _refusal(self, kind: str) -> str:
        """Why nothing of this kind is drawn with the class in hand, "" when it may be."""
        if kind not in KINDS or self.desk.label is None or self._allowed(self.desk.label, kind):
            return ""
        name = self.desk.label_name(self.desk.label)
        return tr(
            "{label} is not drawn as “{kind}”: choose another class or tool", label=name, kind=tr(KINDS[kind])
        )

    def _refused(self, kind: str) -> None:
        text = self._refusal(kind)
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
        self._ended = None
        self.tool_row.mark(name)
        self.desk.put_setting("tools", self.tool_row.last_used)
        self._hint()

    def _changed(self) -> None:
        found = self.desk.document.annotations
        waiting = int(self.canvas.scene.predicted.sum())
        self.count.setText(tr("Objects {n}", n=number(len(found))))
        self.split.setText(tr("people {a} · model {b}", a=number(len(found) - waiting), b=number(waiting)))
        self._hint()
        QTimer.singleShot(0, self, self._buttons)

    def _buttons(self) -> None:
        self._acts["undo"].setEnabled(self.desk.document.can_undo)
        self._acts["redo"].setEnabled(self.desk.document.can_redo)

    def _hint(self) -> None:
        doc = self.desk.document
        waiting = bool(self.canvas.scene.predicted.any())
        tool = self.canvas.tool
        text = tool.hint(self.desk.label_name(self.desk.label or "")) if doc.asset_id else ""
        if text and not tool.busy:
            text = self._refusal({"brush": "mask"}.get(tool.name, tool.name)) or text
        if self._ended is not None and self._ended == doc.asset_id:
            text = tr("That was the last picture of this queue.")
        elif doc.asset_id is None or text:
            pass
        elif self.reviewing.mode == "review":
            text = tr(
                "{done} accepts the picture · {back} returns it · {remark} pins a remark",
                done=actions.key("picture.done"), back=actions.key("picture.return"), remark=actions.key("remark"),
            )  # fmt: skip
        elif waiting:
            least = f"{float(self.desk.values['accept_score']):.2f}"
            text = tr(
                "{accept} accept · {reject} reject · a digit changes the class · {above} accept ≥ {score}",
                accept=actions.key("accept"), reject=actions.key("reject"), above=actions.key("accept.above"),
                score=least,
            )  # fmt: skip
        elif doc.selection:
            text = tr(
                "A digit changes the class · arrows nudge · Ctrl and drag takes corners · right click for more"
            )
        else:
            text = tr(
                "{box} box · {polygon} polygon · {brush} brush · a digit takes a class in hand · {next} the next object",
                box=actions.key("tool.box"), polygon=actions.key("tool.polygon"), brush=actions.key("tool.brush"),
                next=actions.key("object.next"),
            )  # fmt: skip
        if text != self.canvas.hint:
            self.canvas.hint = text
            self.canvas.update()
        self._buttons()


def _caption(text: str):
    made = label(text, "caption")
    made.setContentsMargins(8, 0, 0, 0)
    return made
