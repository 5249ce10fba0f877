"""What is done with what is chosen: the bar over the grid, its questions, the number said before, the result with Undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QPoint, QTimer, Signal
from PySide6.QtWidgets import QWidget

from annotation.errors import LamproomError
from annotation.schema import Attribute
from app import i18n
from app.desktop import actions, widgets
from app.desktop.desk import Desk
from app.desktop.gallery.grid import Grid
from app.desktop.gallery.rows import Rows
from app.desktop.overlaid import Sheet
from app.desktop.palette import Chooser, Entry, label_entry
from app.desktop.review import STATES
from app.desktop.tasks import Task
from app.desktop.widgets import button, frame, label, number, row
from app.events import Work
from app.i18n import tr
from app.services import bulk, review
from app.services.bulk import Pick, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

_ASK_FROM = 500
"""As many chosen things are not touched without a question."""
_RESULT_MS = 20_000
DONE = {
    "accept": "{n} accepted", "reject": "{n} rejected", "relabel": "{n} now of another class", "attribute": "{n} changed",
    "tag": "{n} tagged", "assign": "{n} assigned", "review": "{n} moved on", "delete": "{n} deleted",
}  # fmt: skip
CAPTIONS = {
    "accept": "Accept predictions", "reject": "Reject predictions", "relabel": "Change the class", "attribute": "Set an attribute",
    "tag": "Tag pictures", "assign": "Assign pictures", "review": "Move pictures through review", "delete": "Delete objects",
}  # fmt: skip
ON_PICTURES = ("tag", "assign", "review")
ON_PREDICTIONS = ("accept", "reject")


class Deeds(QObject):
    """Bulk verbs on the grid's selection, or on everything that matches when all of it is chosen."""

    changed = Signal()
    """The result line is another one."""

    def __init__(self, desk: Desk, grid: Grid, rows: Rows, place: QWidget) -> None:
        super().__init__(place)
        self.desk, self.grid, self.rows, self.place = desk, grid, rows, place
        self.asking: QWidget | None = None
        self.running: Task | None = None
        self.result, self.step = "", 0
        self.spans: list[tuple[int, int]] = []
        """What was chosen when the result came."""
        self._rest = QTimer(self, singleShot=True, interval=_RESULT_MS)
        self._rest.timeout.connect(self._forget)
        desk.opened.connect(self._forget)  # steps are numbered anew in every workspace

    # --- verbs ---------------------------------------------------------------------------------------------------

    def accept(self) -> None:
        """Accept the predictions among what is chosen."""
        self._begin("accept", lambda ws, pick: bulk.accept(ws, pick))

    def reject(self) -> None:
        """Reject the predictions among what is chosen."""
        self._begin("reject", lambda ws, pick: bulk.reject(ws, pick))

    def delete(self) -> None:
        """Delete the chosen objects."""
        if self.rows.view is not None and self.rows.view.objects:
            self._begin("delete", lambda ws, pick: bulk.delete(ws, pick))

    def relabel(self) -> None:
        """Ask for a class and give it to the objects."""
        if self._any():
            entries = [
                label_entry(
                    one,
                    lambda code=one.code: self._begin(
                        "relabel",
                        lambda ws, pick, code=code: bulk.relabel(ws, pick, code),
                        self.desk.label_name(code),
                    ),
                    key=one.key or "",
                )
                for one in self.desk.labels()
            ]
            self._choose(entries, "Which class?")

    def tag(self) -> None:
        """Ask for a class and tag the pictures with it."""
        if self._any():
            entries = [
                label_entry(
                    one,
                    lambda code=one.code: self._begin(
                        "tag",
                        lambda ws, pick, code=code: bulk.tag(ws, pick, code),
                        self.desk.label_name(code),
                    ),
                )
                for one in self.desk.labels()
                if "tag" in one.kinds
            ]
            self._choose(entries, "Tag the pictures with…")

    def attribute(self) -> None:
        """Ask for an attribute and its value in one list, and set it."""
        if not self._any() or self.desk.schema is None:
            return
        found: dict[str, Attribute] = {a.code: a for one in self.desk.labels() for a in one.attributes}
        zh = i18n.language().startswith("zh")
        entries = []
        for a in found.values():
            name = a.name_zh if zh else a.name_en
            options: list[tuple[Any, str, str]] = [
                (c.code, c.name_zh if zh else c.name_en, f"{c.name_zh} {c.name_en} {c.code}")
                for c in a.choices
            ]
            if a.type == "flag":
                options = [(True, tr("yes"), "yes 是"), (False, tr("no"), "no 否")]
            entries += [
                Entry(
                    f"{name}: {shown}",
                    lambda code=a.code, value=value, to=f"{name}: {shown}": self._begin(
                        "attribute", lambda ws, pick: bulk.attribute(ws, pick, code, value), to
                    ),
                    words=f"{a.code} {a.name_zh} {a.name_en} {words}",
                )
                for value, shown, words in options
            ]
        self._choose(entries, "Which attribute, which value?")

    def assign(self) -> None:
        """Ask for a person and put the pictures into their name."""
        ws = self.desk.ws
        if not self._any() or ws is None:
            return

        def known(people: Sequence[Any]) -> None:
            def give(name: str | None) -> Callable[[], None]:
                return lambda: self._begin(
                    "assign", lambda ws, pick: bulk.assign(ws, pick, name), name or tr("Nobody")
                )

            entries = [
                Entry(p.name, give(p.name), second=tr("me") if p.id == ws.person.id else "") for p in people
            ]
            entries.append(Entry(tr("Nobody"), give(None), words="none nobody 无人"))
            made = self._choose(entries, "To whom? A new name is made known…")
            if made is not None:
                made.finder.typed.connect(
                    lambda text: made.finder.add(
                        [Entry(text.strip(), give(text.strip()), second=tr("new"))]
                        if text.strip() and all(text.strip() != p.name for p in people)
                        else []
                    )
                )

        self.desk.ask(lambda: review.people(ws), known)

    def judge(self, state: str) -> None:
        """Submit, accept or return the pictures."""
        self._begin("review", lambda ws, pick: bulk.judge(ws, pick, state), tr(STATES[state]))

    def undo(self) -> None:
        """Take the last bulk action back."""
        if self.step:
            step, self.result, self.step = self.step, "", 0
            self.desk.undo_step(step)
            self.changed.emit()

    # --- how -----------------------------------------------------------------------------------------------------

    def _any(self) -> bool:
        """Whether something is chosen; the current cell counts."""
        if not self.grid.selection and self.grid.current >= 0:
            self.grid.selection.only(self.grid.current, self.grid.current + 1)
            self.grid.chosen.emit()
        return bool(self.grid.selection) and self.asking is None

    def _choose(self, entries: list[Entry], hint: str) -> Chooser | None:
        window = self.place.window()
        body = getattr(window, "body", window)
        corner = self.grid.mapTo(
            body, QPoint(self.grid.width() // 2 - Chooser.WIDTH // 2, self.grid.height() // 4)
        )
        made = Chooser(body, entries, corner, hint=hint)
        self.asking = made
        made.closed.connect(self._asked)
        made.present()
        return made

    def _asked(self) -> None:
        self.asking = None
        self.grid.setFocus()

    def _begin(self, verb: str, work: Callable[[Any, Pick], Work], to: str = "") -> None:
        """Do it; before many things are touched, say how many and what they become (`to`)."""
        ws, view = self.desk.ws, self.rows.view
        if ws is None or view is None or not self._any():
            return
        everything = self.grid.everything and self.rows.complete
        n, spans = len(self.grid.selection), self.grid.selection.spans()
        if not everything and n < _ASK_FROM and (ids := self.rows.ids(spans)) is not None:
            self._run(ws, verb, work, Pick(view.query, view.objects, ids))
            return

        def count() -> tuple[Pick, Size]:
            pick = Pick(view.query, view.objects, None if everything else self.rows.read_ids(spans))
            return pick, bulk.size(ws, pick)

        self.desk.ask(count, lambda got: self._confirm(ws, verb, work, to, *got))

    def _confirm(
        self, ws: Any, verb: str, work: Callable[[Any, Pick], Work], to: str, pick: Pick, size: Size
    ) -> None:
        if self.asking is not None or ws is not self.desk.ws:
            return
        if verb in ON_PICTURES:
            about = tr("{n} pictures will change.", n=number(size.pictures))
        elif verb in ON_PREDICTIONS:
            about = tr(
                "{n} predictions on {m} pictures will change.",
                n=number(size.predictions),
                m=number(size.pictures),
            )
        else:
            about = tr(
                "{n} objects on {m} pictures will change.", n=number(size.objects), m=number(size.pictures)
            )
        window = self.place.window()

        def go() -> None:
            sheet.finish()
            self._run(ws, verb, work, pick)

        sheet = Sheet(getattr(window, "body", window), CAPTIONS[verb], "", tr("Do it"), go, width=460)
        told = label(wrap=True, kind="head")
        told.setText(f"{about}\n→ {to}" if to else about)
        sheet.body.addWidget(told)
        sheet.body.addWidget(
            label("It is one step: Undo takes all of it back, also tomorrow.", "second", wrap=True)
        )
        self.asking = sheet
        sheet.closed.connect(self._asked)
        sheet.present(sheet.verb)

    def _run(self, ws: Any, verb: str, work: Callable[[Any, Pick], Work], pick: Pick) -> None:
        if ws is not self.desk.ws:
            return  # what was picked is of a workspace that was left
        self._forget()

        def done(task: Task) -> None:
            self.running = None
            if ws is not self.desk.ws:
                self.changed.emit()
                return
            told = task.result
            n = int(str(told.get("objects", told.get("pictures", 0)) or 0))
            if task.state == "failed":
                self.result = i18n.tr_sentence(task.fault)
            elif task.state == "cancelled":
                self.result = tr("Stopped; what was done is one step of the log")
            else:
                self.result = tr(DONE[verb], n=number(n))
                if left := int(str(told.get("left") or 0)):
                    self.result += " · " + tr("{n} left as they were", n=number(left))
                self.step = int(str(told.get("step") or 0)) if n else 0
            self.spans = self.grid.selection.spans()
            self._rest.start()
            self.changed.emit()

        try:
            self.running = self.desk.start(lambda: tr(CAPTIONS[verb]), lambda: work(ws, pick), done)
        except LamproomError as fault:
            self.desk.fault(fault)
            return
        self.running.moved.connect(self.changed)
        self.changed.emit()

    def _forget(self) -> None:
        self.result, self.step = "", 0
        self._rest.stop()
        self.changed.emit()


class Bar(QWidget):
    """The bar: how many are chosen, the verbs with their keys; while work runs its progress, then its result."""

    def __init__(
        self, deeds: Deeds, clear: Callable[[], None], choose_all: Callable[[], None], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self.deeds = deeds
        card = frame("float")
        outer = widgets.column(self, gap=0)
        outer.addWidget(card)
        line = row(card, gap=4, margins=(16, 6, 8, 6))
        self.text = label(kind="strong")
        line.addWidget(self.text)
        line.addSpacing(8)
        self.all = button("All that match", choose_all, kind="link")
        line.addWidget(self.all)
        line.addSpacing(4)
        self._verbs: dict[str, QWidget] = {}
        for name, text, run in (
            ("accept", "Accept", deeds.accept),
            ("reject", "Reject", deeds.reject),
            ("relabel", "Class…", deeds.relabel),
            ("attribute", "Attribute…", deeds.attribute),
            ("tag", "Tag…", deeds.tag),
            ("assign", "Assign…", deeds.assign),
            ("submit", "Submit", lambda: deeds.judge("submitted")),
            ("return", "Return", lambda: deeds.judge("returned")),
            ("delete", "Delete", deeds.delete),
        ):
            made = widgets.Tool(text, actions.key(f"gallery.{name}"))
            made.setCheckable(False)
            made.clicked.connect(lambda _=False, run=run: run())
            self._verbs[name] = made
            line.addWidget(made)
        self.cancel = button("Cancel", self._cancel, kind="link")
        line.addWidget(self.cancel)
        self.undo = button("Undo", deeds.undo, kind="primary")
        line.addWidget(self.undo)
        self.away = button("", clear, kind="flat", icon="close", tip="Clear")
        self.away.setFixedWidth(32)
        line.addWidget(self.away)
        self._clear = clear
        deeds.changed.connect(self.fill)
        deeds.grid.chosen.connect(self.fill)
        deeds.rows.counted.connect(self.fill)
        self.hide()

    def retranslate(self) -> None:
        """The sentence."""
        self.fill()

    def _cancel(self) -> None:
        if self.deeds.running is not None:
            self.deeds.running.cancel()

    def fill(self) -> None:
        """Say what is chosen, what runs or what was done."""
        deeds, grid, rows = self.deeds, self.deeds.grid, self.deeds.rows
        n = len(grid.selection)
        objects = rows.view is not None and rows.view.objects
        running = deeds.running is not None
        told = bool(deeds.result) and (n < 2 or grid.selection.spans() == deeds.spans)
        alone = told and n < 2  # what is still chosen keeps its verbs beside the result
        if running:
            task = deeds.running
            assert task is not None
            share = f" {round(100 * task.share)} %" if task.share is not None else ""
            self.text.setText(f"{task.caption}{share}")
        elif told:
            self.text.setText(deeds.result)
        elif grid.everything and n > 1:
            self.text.setText(
                tr("All {n} objects that match", n=number(n))
                if objects
                else tr("All {n} pictures that match", n=number(n))
            )
        else:
            self.text.setText(
                tr("{n} objects chosen", n=number(n)) if objects else tr("{n} pictures chosen", n=number(n))
            )
        self.all.setVisible(not running and not told and not grid.everything)
        for name, made in self._verbs.items():
            made.setVisible(not running and not alone and (name != "delete" or objects))
        self.cancel.setVisible(running)
        self.undo.setVisible(not running and told and deeds.step > 0)
        self.away.setVisible(not running)
        self.setVisible(running or told or n > 1 or (n == 1 and objects))
        self.place()

    def place(self) -> None:
        """In the middle of the grid's foot."""
        parent = self.parentWidget()
        if parent is None:
            return
        self.adjustSize()
        grid = self.deeds.grid
        left = grid.mapTo(parent, QPoint(0, 0)).x() + (grid.width() - self.width()) // 2
        self.move(max(8, left), parent.height() - self.height() - 16)
        self.raise_()
