"""Which pictures, where the model runs, and when: two pages of the pre-label sheet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLineEdit, QPushButton, QWidget

from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.models.asking import Segments
from app.desktop.widgets import column, label, look, number, row, say
from app.i18n import tr
from app.services import browse

if TYPE_CHECKING:
    from app.services.recipebook import Recipe

Ask = Callable[..., None]
"""(work, done, failed): as `Desk.ask`, and silent once the sheet is closed."""
MOST_CHOSEN = 5_000
"""Pictures of a selection; more than these are a filter."""


class PicturesPage(QWidget):
    """The whole dataset, what is looked at, or what is chosen in the gallery; with a count that follows."""

    changed = Signal()

    def __init__(self, desk: Desk, ask: Ask, chosen: list[int] | None, filtered: browse.Query | None) -> None:
        """Args: ask: reads on another thread. chosen: ids of the gallery's selection, None when there is none. filtered: what is looked at, when it is less than all."""
        super().__init__()
        self._ask = ask
        self.desk, self._chosen, self._filtered = desk, chosen, filtered
        self.where = ""
        """The query of the pictures, once it is known."""
        self.n: int | None = None
        self._ticket = 0
        box = column(self, gap=14)
        options = [("all", tr("The whole dataset"))]
        if filtered is not None:
            options.append(("filter", tr("The filter in hand")))
        if chosen:
            options.append(("chosen", tr("The {n} chosen pictures", n=number(len(chosen)))))
        first = "chosen" if chosen else "all"
        self.scope = Segments(options, first, spoken=tr("Pictures"))
        self.human = Segments(
            [("any", tr("All of them")), ("unlabelled", tr("Only without objects")), ("untouched", tr("Only without human work"))],
            "any", spoken=tr("Human work"),
        )  # fmt: skip
        for caption, made in (("Pictures", self.scope), ("Human work", self.human)):
            part = column(gap=4)
            part.addWidget(label(caption, "caption"))
            part.addWidget(made)
            box.addLayout(part)
            made.chosen.connect(lambda _: self._count())
        box.addWidget(
            label("What people drew or accepted always stays as it is, and what they rejected does not come back.", "second", wrap=True)
        )  # fmt: skip
        self.figure = label(kind="figure")
        box.addWidget(self.figure)
        self.line = label(kind="small", wrap=True)
        box.addWidget(self.line)
        box.addStretch()
        self._count()

    @property
    def state(self) -> str | None:
        """The state that the job is narrowed to."""
        return "unlabelled" if self.human.value == "unlabelled" else None

    @property
    def untouched(self) -> bool:
        """Only pictures without human work."""
        return self.human.value == "untouched"

    def said(self) -> str:
        """For the list of pages."""
        return number(self.n) if self.n is not None else "…"

    def _count(self) -> None:
        ws, data = self.desk.ws, self.desk.dataset
        if ws is None or data is None:
            return
        self._ticket += 1
        ticket, scope, state, untouched = self._ticket, self.scope.value, self.state, self.untouched
        chosen, filtered, dataset_id = self._chosen or [], self._filtered, data.id
        self.n = None
        self.changed.emit()

        def work() -> tuple[str, int]:
            from app.services import listing, orders

            where = ""
            if scope == "filter" and filtered is not None:
                where = listing.text_of(ws, filtered)
            elif scope == "chosen":
                where = f"picture:{','.join(map(str, chosen))}"
            asked = (
                f"({where}) {orders.UNTOUCHED}"
                if where and untouched
                else orders.UNTOUCHED
                if untouched
                else where
            )
            return where, browse.count(ws, browse.Query(dataset_id, state=state, where=asked))

        def done(found: tuple[str, int]) -> None:
            if ticket == self._ticket:
                self.where, self.n = found
                self.figure.setText(tr("{n} pictures", n=number(self.n)))
                self.line.setText(self.where if scope == "filter" else "")
                self.changed.emit()

        self._ask(work, done)


class RunPage(QWidget):
    """Providers in their order, tracks, reduced decoding, and when."""

    changed = Signal()

    def __init__(self, desk: Desk, ask: Ask) -> None:
        super().__init__()
        self.desk, self._ask = desk, ask
        self.order: list[str] = [
            n.strip() for n in str(desk.values.get("provider") or "cpu").split(",") if n.strip()
        ]
        self._made: dict[str, QPushButton] = {}
        box = column(self, gap=14)
        part = column(gap=4)
        part.addWidget(label("Where it runs, in this order", "caption"))
        self._providers = row(gap=6)
        part.addLayout(self._providers)
        self.told = label(kind="small", wrap=True)
        part.addWidget(self.told)
        box.addLayout(part)
        self.when = Segments(
            [("now", tr("Start now")), ("queue", tr("Into the queue"))], "now", spoken=tr("When")
        )
        self.priority = Segments(
            [("-10", tr("low")), ("0", tr("normal")), ("10", tr("high"))], "0", spoken=tr("Priority")
        )
        self.hours = say(QLineEdit(), hint="22:00-06:00", spoken="Only in these hours")
        self.hours.setFixedWidth(140)
        self.hours.textEdited.connect(lambda _: self.changed.emit())
        line = row(gap=24)
        captioned: tuple[tuple[str, QWidget], ...] = (
            ("When", self.when),
            ("Priority", self.priority),
            ("Only in these hours", self.hours),
        )
        for caption, made in captioned:
            part = column(gap=4)
            part.addWidget(label(caption, "caption"))
            part.addWidget(made)
            line.addLayout(part)
        line.addStretch()
        box.addLayout(line)
        self.track = Segments([("", tr("Off")), ("on", tr("On"))], "", spoken=tr("Track ids"))
        self.reduced = Segments([("", tr("Off")), ("on", tr("On"))], "", spoken=tr("Reduced decoding"))
        for caption, control, why in (
            ("Track ids", self.track, "The same object in following frames of a folder gets one id."),
            ("Reduced decoding", self.reduced, "Faster for large JPEGs, and it loses boxes: small objects are no longer found, the rest moves by a pixel or two."),
        ):  # fmt: skip
            part = column(gap=4)
            part.addWidget(label(caption, "caption"))
            across = row(gap=12)
            across.addWidget(control)
            note = label(why, "small", wrap=True)
            across.addWidget(note, 1)
            part.addLayout(across)
            box.addLayout(part)
            control.chosen.connect(lambda _: self.changed.emit())
        for one in (self.when, self.priority):
            one.chosen.connect(lambda _: self.changed.emit())
        box.addStretch()
        self._read()

    def show_recipe(self, recipe: Recipe) -> None:
        """As a recipe says."""
        self.track.choose("on" if recipe.track else "")
        self.reduced.choose("on" if recipe.reduced else "")
        if recipe.providers:
            self.order = list(recipe.providers)
        self._mark()
        self.changed.emit()

    @property
    def provider(self) -> str:
        """The ordered list as a job takes it."""
        return ",".join(self.order) or "cpu"

    def said(self) -> str:
        """For the list of pages."""
        return " → ".join(n.upper() for n in self.order)

    def _read(self) -> None:
        def work() -> list[tuple[str, str]]:
            from app.services import accelerators

            return [(a.name, a.state) for a in accelerators.listing() if a.state != "absent"]

        self._ask(work, self._came, lambda fault: self._came([("cpu", "ready")]))

    def _came(self, found: list[tuple[str, str]]) -> None:
        widgets.clear(self._providers)
        self._made = {}
        names = [*dict(found), *(n for n in self.order if n not in dict(found))]
        for name in names:
            one = look(QPushButton(), "choice")
            one.setCheckable(True)
            one.clicked.connect(lambda _=False, name=name: self._toggle(name))
            self._made[name] = one
            self._providers.addWidget(one)
        self._providers.addStretch()
        self._mark()

    def _toggle(self, name: str) -> None:
        """Behind the others, or no longer; one always stays."""
        if name not in self.order:
            self.order.append(name)
        elif len(self.order) > 1:
            self.order.remove(name)
        self._mark()
        self.changed.emit()

    def _mark(self) -> None:
        for name, one in self._made.items():
            at = self.order.index(name) + 1 if name in self.order else 0
            one.setChecked(bool(at))
            one.setText(f"{at} · {name.upper()}" if at and len(self.order) > 1 else name.upper())
            one.setAccessibleName(f"{name} {at or ''}".strip())
        if len(self.order) > 1:
            self.told.setText(
                tr(
                    "The first that passes its self-test is used; each that is passed over is said and recorded."
                )
            )
        else:
            self.told.setText(tr("Nothing else is tried: if it fails, the job stops with what it has."))


def chosen_pictures(window: Any) -> list[int] | None:
    """The gallery's selection as picture ids, when the gallery shows pictures and they are at hand."""
    gallery = window.gallery
    if (
        window.place != "gallery"
        or gallery.rows.view is None
        or gallery.rows.view.objects
        or not gallery.grid.selection
    ):
        return None
    if len(gallery.grid.selection) > MOST_CHOSEN:
        return None
    found: list[int] | None = gallery.rows.ids(gallery.grid.selection.spans())
    return found
