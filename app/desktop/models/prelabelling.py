"""Pre-label: model, pictures, classes, tiles, regions, where and when; said before it is begun, kept by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QPushButton, QStackedWidget, QWidget

from annotation.errors import LamproomError
from app import hours, i18n
from app.desktop.canvas.pictures import to_image
from app.desktop.desk import Desk
from app.desktop.models import words
from app.desktop.models.asking import Combo
from app.desktop.models.classes import ClassesPage
from app.desktop.models.cutting import RegionsPage, TilesPage
from app.desktop.models.running import PicturesPage, RunPage
from app.desktop.overlaid import Sheet
from app.desktop.widgets import Row, button, column, frame, label, number, row, say
from app.i18n import tr
from app.services import browse

if TYPE_CHECKING:
    from app.events import Work
    from app.services.recipebook import Kept, Recipe

BODY_PX = 470
VIEW_PX = 1200
PAGES = {
    "pictures": "Pictures",
    "classes": "Classes",
    "tiles": "Tiles",
    "regions": "Regions",
    "run": "Where and when",
}
Begin = Callable[[Callable[[], str], Callable[[], "Work"]], None]


class PrelabelSheet(Sheet):
    """See the module. `begin(caption, work)` starts a task."""

    def __init__(
        self,
        parent: QWidget,
        desk: Desk,
        models: Sequence[Any],
        chosen: list[int] | None,
        begin: Begin,
        *,
        model: str = "",
    ) -> None:
        super().__init__(
            parent,
            "Pre-label",
            "What a model proposes is shown dashed and is nobody's truth until a person accepts it.",
            "Pre-label",
            self._go,
            width=max(760, min(1120, parent.width() - 48)),
        )
        assert desk.dataset is not None
        self.desk, self.data, self._begin = desk, desk.dataset, begin
        self.models = {m.name: m for m in models}
        self._pictures: list[tuple[int, str]] = []
        self._at = 0
        self._recipes: dict[str, Kept] = {}
        self._ready = False
        self._card: Any = None
        self._foreseen: dict[str, object] = {}
        self.forecast: Any = None
        query = desk.query
        bare = browse.Query(self.data.id)
        filtered = query if query is not None and query.dataset_id == self.data.id and query != bare else None
        self.pages: dict[str, Any] = {
            "pictures": PicturesPage(desk, self._ask, chosen, filtered),
            "classes": ClassesPage(),
            "tiles": TilesPage(),
            "regions": RegionsPage(self._turn),
            "run": RunPage(desk, self._ask),
        }
        self._build()
        for page in self.pages.values():
            page.changed.connect(self._changed)
        self._choose_model(model if model in self.models else next(reversed(self.models)))
        self._read_pictures()
        self._read_recipes()
        self.show_page("pictures")
        self._changed()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        top = row(gap=12)
        top.addWidget(label("Model", "caption"))
        self.model = Combo()
        self.model.setAccessibleName(tr("Model"))
        for name in reversed(self.models):
            self.model.addItem(name, name)
        self.model.setMinimumWidth(220)
        self.model.activated.connect(lambda _: self._choose_model(str(self.model.currentData())))
        top.addWidget(self.model)
        self.note = label(kind="small", wrap=True)
        top.addWidget(self.note, 1)
        top.addWidget(label("Recipe", "caption"))
        self.recipe_box = Combo()
        self.recipe_box.setAccessibleName(tr("Recipe"))
        self.recipe_box.setMinimumWidth(150)
        self.recipe_box.activated.connect(lambda _: self._load(str(self.recipe_box.currentData() or "")))
        top.addWidget(self.recipe_box)
        self.keep_as = say(QLineEdit(), hint="Name of the recipe")
        self.keep_as.setFixedWidth(150)
        self.keep_as.hide()
        self.keep_as.returnPressed.connect(self._keep)
        top.addWidget(self.keep_as)
        self.keep = button("Keep as a recipe…", self._ask_name, kind="link")
        top.addWidget(self.keep)
        self.body.addLayout(top)
        across = row(gap=20)
        nav = QWidget()
        nav.setFixedWidth(190)
        side = column(nav, gap=2)
        self.rows: dict[str, Row] = {}
        for code, text in PAGES.items():
            line = Row(tr(text))
            line.clicked.connect(lambda _=False, code=code: self.show_page(code))
            self.rows[code] = line
            side.addWidget(line)
        side.addStretch()
        across.addWidget(nav)
        self.stack = QStackedWidget()
        for page in self.pages.values():
            self.stack.addWidget(page)
        self.stack.setFixedHeight(BODY_PX)
        across.addWidget(self.stack, 1)
        self.body.addLayout(across)
        self.foot = frame("inset")
        inside = row(self.foot, gap=12, margins=(14, 8, 14, 8))
        self.summary = label(kind="second", wrap=True)
        self.summary.setMinimumHeight(34)
        inside.addWidget(self.summary, 1)
        self.dry = button(
            "Dry run", self._dry_run, icon="tasks", tip="What it would do and how long; writes nothing"
        )
        inside.addWidget(self.dry)
        self.body.addWidget(self.foot)
        self.closed.connect(self._leave)

    def _ask(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Read something on a reader thread for as long as the sheet is open."""
        self.desk.ask(work, self.while_open(done), self.while_open(failed or self.desk.fault))

    def show_page(self, code: str) -> None:
        """Turn to a page."""
        for known, line in self.rows.items():
            line.setChecked(known == code)
        self.stack.setCurrentWidget(self.pages[code])

    # --- model and recipe ----------------------------------------------------------------------------------------

    def _choose_model(self, name: str) -> None:
        ws = self.desk.ws
        if ws is None:
            return
        self.model.setCurrentIndex(self.model.findData(name))
        entry = self.models[name]
        self._card, self._ready = entry.card, False
        self.note.setText(i18n.tr_sentence(entry.card.note))
        code, card = self.data.schema_code, entry.card

        def work() -> Any:
            from app.services import matching, packs
            from app.services import schema as schemas

            schema = schemas.current(ws, code)
            return matching.propose(card.labels, schema), schema, packs.recipe(ws, name)

        def done(found: Any) -> None:
            if self._card is card:
                proposals, schema, recipe = found
                self.pages["classes"].show_model(card, proposals, schema)
                self._ready = True
                self._show(recipe)  # of the pack it came in; else the plain one
                self._changed()

        self._ask(work, done)

    def _show(self, recipe: Recipe) -> None:
        self.pages["classes"].show_recipe(recipe)
        self.pages["tiles"].show_tiling(recipe.tiling)
        self.pages["regions"].show_regions(recipe.regions)
        self.pages["run"].show_recipe(recipe)
        self._show_picture()

    def recipe(self) -> Recipe:
        """Everything that is chosen, as a recipe."""
        from app.services.recipebook import PLAIN

        classes, run = self.pages["classes"], self.pages["run"]
        return replace(
            PLAIN,
            score_micro=classes.score_micro(),
            class_scores=classes.scores(),
            mapping=classes.mapping(),
            others="drop" if classes.mapping() else "keep",
            tiling=self.pages["tiles"].tiling(),
            regions=self.pages["regions"].regions(),
            reduced=run.reduced.value == "on",
            track=run.track.value == "on",
            providers=tuple(run.order),
        )

    def _read_recipes(self, chosen: str = "") -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> list[Kept]:
            from app.services import recipebook

            return recipebook.listing(ws)

        def done(found: list[Kept]) -> None:
            self._recipes = {k.name: k for k in found}
            self.recipe_box.clear()
            self.recipe_box.addItem("–", "")
            for kept in found:
                self.recipe_box.addItem(kept.name, kept.name)
            self.recipe_box.setCurrentIndex(max(0, self.recipe_box.findData(chosen)))

        self._ask(work, done)

    def _load(self, name: str) -> None:
        kept = self._recipes.get(name)
        if kept is None or not self._ready:
            return
        if kept.recipe is None:
            self.show_fault(i18n.tr_sentence(kept.fault))
            return
        self.show_fault("")
        self._show(kept.recipe)

    def _ask_name(self) -> None:
        if self.keep_as.isVisibleTo(self):
            self._keep()
            return
        self.keep_as.setText(str(self.recipe_box.currentData() or ""))
        self.keep_as.show()
        self.keep_as.setFocus()

    def _keep(self) -> None:
        ws, name, recipe = self.desk.ws, self.keep_as.text().strip(), self.recipe()
        if ws is None or not name:
            return

        def work() -> Any:
            from app.services import recipebook

            return recipebook.save(ws, name, recipe)

        def done(_: Any) -> None:
            self.keep_as.hide()
            self.show_fault("")
            self._read_recipes(name)

        self._ask(work, done, self._refused)

    def _refused(self, fault: BaseException) -> None:
        if not isinstance(fault, LamproomError):
            raise fault
        self.show_fault(i18n.tr_fault(fault))

    # --- the picture of tiles and regions ------------------------------------------------------------------------

    def _read_pictures(self) -> None:
        """One picture of each of some places of the dataset, the one in hand first."""
        ws, query, now = self.desk.ws, browse.Query(self.data.id), self.desk.document.asset_id
        if ws is None:
            return

        def work() -> list[tuple[int, str]]:
            from app.services import preview

            found = [(i, place.path) for i, place in preview.spread(ws, query, 24)]
            if now is not None:
                found = [(now, browse.asset(ws, now).path), *(f for f in found if f[0] != now)]
            return found

        def done(found: list[tuple[int, str]]) -> None:
            self._pictures = found
            self._show_picture()

        self._ask(work, done)

    def _turn(self, step: int) -> None:
        if self._pictures:
            self._at = (self._at + step) % len(self._pictures)
            self._show_picture()

    def _show_picture(self) -> None:
        ws = self.desk.ws
        if ws is None or not self._pictures:
            return
        asset, path = self._pictures[self._at]

        def work() -> tuple[QImage, tuple[int, int]]:
            whole = browse.picture(ws, asset)
            h, w = whole.shape[:2]
            image = to_image(whole)
            if max(w, h) > VIEW_PX:
                image = image.scaled(
                    VIEW_PX,
                    VIEW_PX,
                    Qt.AspectRatioMode.KeepAspectRatio,
                    Qt.TransformationMode.SmoothTransformation,
                )
            return image, (w, h)

        def put(image: QImage | None, wh: tuple[int, int], note: str = "") -> None:
            if self._pictures[self._at][0] == asset:
                self.pages["tiles"].show_picture(image, wh, note)
                self.pages["regions"].show_picture(path, image, wh, note)

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            put(None, (0, 0), i18n.tr_fault(fault))

        self.desk.tasks.pictures.submit(work, self.while_open(lambda got: put(*got)), self.while_open(failed))

    # --- what it would do ----------------------------------------------------------------------------------------

    def _changed(self) -> None:
        for code, page in self.pages.items():
            self.rows[code].count = page.said()
            self.rows[code].setAccessibleName(f"{tr(PAGES[code])} {page.said()}")
            self.rows[code].update()
        self._foreseen = {}
        fault = self._fault()
        self.verb.setEnabled(self._known and not fault)
        self.dry.setEnabled(self._known and not fault and self.forecast is None)
        self.summary.setText(fault or self._sentence())

    @property
    def _known(self) -> bool:
        """The model's classes and the query of the pictures are read."""
        return self._ready and self.pages["pictures"].n is not None

    def _fault(self) -> str:
        """Why it cannot begin, "" when it can."""
        classes, pictures = self.pages["classes"], self.pages["pictures"]
        try:
            hours.parse(self.pages["run"].hours.text())
        except LamproomError as error:
            return i18n.tr_fault(error)
        if pictures.n == 0:
            return tr("There is no such picture.")
        if self._card is not None and self._card.labels and self._ready and not classes.kept:
            return tr("Every class is left out: say what at least one of them becomes.")
        return ""

    def _sentence(self) -> str:
        classes, pictures, run = self.pages["classes"], self.pages["pictures"], self.pages["run"]
        parts = [tr("{n} pictures", n=pictures.said())]
        if classes.mapping():
            parts.append(
                tr("{n} classes kept, {m} left out", n=classes.kept, m=len(classes.mapping()) - classes.kept)
            )
        if new := classes.new_labels():
            shown = ", ".join(new[:4]) + (" …" if len(new) > 4 else "")
            parts.append(tr("{n} new labels: {names}", n=len(new), names=shown))
        parts.append(run.said())
        return " · ".join(parts)

    def _asked(self) -> dict[str, Any]:
        pictures, run = self.pages["pictures"], self.pages["run"]
        return {
            "recipe": self.recipe(), "provider": run.provider, "state": pictures.state, "where": pictures.where,
            "untouched": pictures.untouched,
        }  # fmt: skip

    def _dry_run(self) -> None:
        ws, name, data, asked = self.desk.ws, str(self.model.currentData()), self.data.name, self._asked()
        if ws is None or self.forecast is not None:
            return

        def work() -> Work:
            from app.services import forecast

            yield from forecast.run(ws, data, name, **asked)

        def done(task: Any) -> None:
            if self.forecast is not task:
                return
            self.forecast = None
            self.dry.setEnabled(True)
            if task.state == "finished":
                self._foreseen = task.result
                self.summary.setText(_foretold(task.result))
            elif task.fault:
                self.show_fault(i18n.tr_sentence(task.fault))

        self.summary.setText(tr("Measuring on some pictures…"))
        self.dry.setEnabled(False)
        self.forecast = self.desk.start(
            lambda: tr("Dry run · {name} · {model}", name=data, model=name), work, done
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter in a field ends the field; it does not begin hours of work. Ctrl+Enter does."""
        plain = not event.modifiers() & Qt.KeyboardModifier.ControlModifier
        ends = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and plain
        if ends and not isinstance(self.focusWidget(), QPushButton):
            event.accept()
            return
        super().keyPressEvent(event)

    # --- going ---------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        ws, name, data, asked = self.desk.ws, str(self.model.currentData()), self.data.name, self._asked()
        run = self.pages["run"]
        if ws is None or not self._known or self._fault():
            return
        priority, window, later = int(run.priority.value), run.hours.text().strip(), run.when.value == "queue"

        def work() -> Work:
            from app.services import orders, prelabel

            return prelabel.run(ws, data, name, course=orders.Course(priority, window), later=later, **asked)

        self._begin(lambda: tr("Pre-label · {name} · {model}", name=data, model=name), work)

    def _leave(self) -> None:
        if self.forecast is not None:
            task, self.forecast = self.forecast, None
            task.cancel()


def _foretold(found: dict[str, Any]) -> str:
    """A dry run in sentences."""
    lines = [
        tr(
            "{n} pictures, {human} of them with human work that stays",
            n=number(found["pictures"]),
            human=number(found["with_human_work"]),
        ),
        tr("about {n} objects", n=number(found["objects_expected"])),
        tr("{rate} pictures/s: {time}", rate=found["pictures_per_s"], time=words.duration(_seconds(found))),
    ]
    if found["predictions_replaced"]:
        lines.append(
            tr("{n} predictions of this model are replaced", n=number(found["predictions_replaced"]))
        )
    if added := found["classes_added"]:
        lines.append(
            tr(
                "{n} new labels: {names}",
                n=len(added),
                names=", ".join(added[:4]) + (" …" if len(added) > 4 else ""),
            )
        )
    if found["undecodable"]:
        lines.append(tr("{n} of {m} tried cannot be decoded", n=found["undecodable"], m=found["measured_on"]))
    return " · ".join(lines)


def _seconds(found: dict[str, Any]) -> float:
    rate = float(found["pictures_per_s"])
    return found["pictures"] / rate if rate else 0.0
