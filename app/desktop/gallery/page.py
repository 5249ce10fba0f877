"""The gallery: facets at the left, the query line, the grid in an order, and what can be done with the chosen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSlider, QVBoxLayout, QWidget

from app import i18n
from app.desktop import theme, widgets, worth
from app.desktop.desk import Desk
from app.desktop.gallery.cells import Look, Outline
from app.desktop.gallery.cleaning import Cleaning
from app.desktop.gallery.crops import Crops
from app.desktop.gallery.deeds import Bar, Deeds
from app.desktop.gallery.facets import Facets
from app.desktop.gallery.grid import LEAST, MOST, Grid
from app.desktop.gallery.line import QueryLine
from app.desktop.gallery.rows import Rows
from app.desktop.overlaid import Sheet
from app.desktop.palette import Chooser, Entry
from app.desktop.panels import worth as reasons
from app.desktop.widgets import button, label, look, number, row, say
from app.i18n import tr
from app.services import browse, cleaning, listing, measuring
from app.services.browse import Query
from app.services.cleaning import LIKENESS, Member
from app.services.listing import EVERYTHING, Misread, Names, Node, Sort, Term, View

if TYPE_CHECKING:
    from app.desktop.window import Window

SORTS = (
    ("", "As added"), ("time", "Time taken"), ("path", "Path"), ("score", "Score"), ("unsure", "Least certain"), ("changed", "Last changed"),
    ("area", "Size"), ("bright", "Brightness"), ("contrast", "Contrast"), ("sharp", "Sharpness"), ("glare", "Glare"), ("haze", "Dust or fog"),
    ("group", "By group"), ("similar", "Like the current picture"), ("worth", "Worth labelling first"),
)  # fmt: skip
MEASURED = ("bright", "contrast", "sharp", "glare", "haze", "similar")
_FIRST_DOWN = ("score", "changed", "glare", "haze", "worth")
"""Orders that begin with the largest."""


class Gallery(QWidget):
    """See the module. `opened` carries the asset to annotate."""

    opened = Signal(int)

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.line: QueryLine
        self.slider: QSlider
        self.deeds: Deeds
        self.cleaning: Cleaning
        self.rows = Rows(desk.tasks.readers, self)
        self.crops = Crops(desk.tasks.thumbs, self._thumb, self._picture, self)
        self.grid = Grid(self.rows, desk.thumbs, self.crops)
        self.deeds = Deeds(desk, self.grid, self.rows, self)
        self.objects = False
        self.sort = Sort()
        self.outlines = False
        self._kinds: frozenset[str] = frozenset()
        """Of likeness, whose groups are marked."""
        self.node: Node = EVERYTHING
        self.names = Names()
        self._named: tuple[object, int] | None = None
        """The workspace and dataset the names are of; None while they are read."""
        self._named_by = self._reading = 0
        self._held: str | None = None
        """What was asked for before the names were there."""
        self._wanted: tuple[int, str] | None = None
        self._asked_at = 0.0
        self._took_ms = 0
        self._fresh = True
        self._unmeasured = 0
        self._build()
        self.rows.faulted.connect(desk.fault)
        self.rows.counted.connect(self._counted)
        self.rows.listed.connect(self._counted)
        self.grid.opened.connect(self._open)
        self.grid.moved.connect(self._say_worth)
        self.grid.explain = self._explain
        self.line.asked.connect(self.ask)
        self.line.done.connect(self.grid.setFocus)
        self.line.save_asked.connect(self.save_filter)
        self.facets.asked.connect(self.ask)
        self.facets.counted.connect(self._tallied)
        desk.queried.connect(self._queried)
        desk.queried.connect(self.cleaning.looked)
        desk.opened.connect(self._workspace)
        desk.schema_changed.connect(self._schema)
        desk.dataset_changed.connect(self._note)
        desk.tasks.ended.connect(lambda _: self._stale())
        desk.document.saved.connect(lambda _: self._stale())
        desk.document.changed.connect(self._select_wanted)
        desk.theme_changed.connect(self.grid.viewport().update)

    def _build(self) -> None:
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        self.facets = Facets(self.desk)
        whole.addWidget(self.facets)
        middle = QVBoxLayout()
        middle.setContentsMargins(0, 12, 0, 0)
        middle.setSpacing(8)
        around = row(margins=(16, 0, 16, 0))
        self.line = QueryLine(self)
        self.found = self.line.found
        around.addWidget(self.line)
        middle.addLayout(around)
        tools = row(gap=6, margins=(16, 0, 16, 0))
        self.by_picture = self._choice("Pictures", lambda: self.show_objects(False))
        self.by_object = self._choice("Objects", lambda: self.show_objects(True))
        tools.addWidget(self.by_picture)
        tools.addWidget(self.by_object)
        tools.addSpacing(12)
        self.order = button("", self.choose_sort, kind="flat", icon="down")
        self.order.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        tools.addWidget(self.order)
        self.turn = button("", self.turn_sort, kind="flat", icon="rising", tip="Turn the order round")
        self.turn.setFixedWidth(32)
        tools.addWidget(self.turn)
        self.measure = button("Measure the pictures", self.measure_pictures, kind="choice")
        self.measure.hide()
        tools.addWidget(self.measure)
        self.weigh = button("Weights…", lambda: worth.ask(cast("Window", self.window())), kind="choice")
        self.weigh.setToolTip(tr("What makes a picture worth labelling first"))
        tools.addWidget(self.weigh)
        self.clean = self._choice("Cleaning", lambda: self.cleaning.toggle())
        self.clean.setToolTip(tr("Find copies and pictures not worth labelling, and take them out"))
        tools.addWidget(self.clean)
        tools.addStretch()
        self.state = label(kind="small")
        tools.addWidget(self.state)
        self.lines = self._choice("Boxes", self.toggle_outlines)
        self.lines.setToolTip(tr("Draw the objects over the pictures"))
        tools.addWidget(self.lines)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(LEAST, MOST)
        self.slider.setValue(self.grid.side)
        self.slider.setFixedWidth(120)
        say(self.slider, tip="Size of the pictures")
        self.slider.valueChanged.connect(self.grid.set_side)
        self.slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        tools.addWidget(self.slider)
        middle.addLayout(tools)
        middle.addWidget(self.grid, 1)
        whole.addLayout(middle, 1)
        self.cleaning = Cleaning(self)
        whole.addWidget(self.cleaning)
        self.bar = Bar(self.deeds, self.clear, self.choose_all, self)
        self._mark()

    def _choice(self, text: str, run: Callable[[], object]) -> QPushButton:
        made = say(look(QPushButton(), "choice"), text)
        made.setCheckable(True)
        made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        made.clicked.connect(lambda _=False: run())
        made.clicked.connect(lambda _=False: self._mark())
        return made

    def _mark(self) -> None:
        self.by_picture.setChecked(not self.objects)
        self.by_object.setChecked(self.objects)
        self.lines.setChecked(self.outlines)
        self.lines.setVisible(not self.objects)
        self.clean.setChecked(self.cleaning.isVisible())
        self.weigh.setVisible(self.sort.by == "worth")
        self.order.setText(tr(dict(SORTS)[self.sort.by]))
        self.order.setAccessibleName(tr("Order: {order}", order=self.order.text()))
        self.turn.setProperty("lr_icon", "falling" if self.sort.down else "rising")
        widgets.repaint_icons(self)

    def retranslate(self) -> None:
        """Texts that are made of data."""
        self._mark()
        self._colours()
        self._show_query()
        self._read_names()
        self._counted()
        self._note()

    # --- what is looked at ---------------------------------------------------------------------------------------

    def ask(self, text: str) -> None:
        """Look at what meets a query; a single state goes where every place of the desk sees it."""
        data = self.desk.dataset
        if data is None:
            return
        if self._named is None:
            self._held = text
            return
        try:
            node = listing.parse(text, self.names)
        except Misread as fault:
            self.desk.fault(fault)
            return
        state = None
        rest = []
        for part in listing.conjuncts(node):
            if isinstance(part, Term) and part.field == "state" and len(part.values) == 1 and state is None:
                state = part.values[0]
            else:
                rest.append(part)
        where = listing.show(listing.join(rest), self.names)
        self.desk.look_at(Query(data.id, state=state, where=where), worth=self.desk.worth)
        self._show_query()

    def show_objects(self, on: bool) -> None:
        """List objects, or pictures."""
        if on != self.objects:
            self.objects = on
            self._look()

    def toggle_objects(self) -> None:
        """From pictures to objects and back."""
        self.show_objects(not self.objects)
        self._mark()

    def toggle_outlines(self) -> None:
        """Draw the objects over the pictures, or not."""
        self.outlines = not self.outlines
        self.grid.outlines_of = self._outlines_of if self.outlines else None
        self.grid.forget_outlines()
        self._mark()

    def groups_shown(self, kinds: Sequence[str]) -> None:
        """Say of each picture in a group of these kinds which one is kept; none: say nothing."""
        self._kinds = frozenset(kinds)
        self.grid.groups_of = self._groups_of if kinds else None
        self.grid.forget_groups()

    def choose_sort(self) -> None:
        """Ask for an order."""
        corner = self.order.mapTo(self.window(), QPoint(-12, self.order.height()))
        body = getattr(self.window(), "body", self.window())
        entries = [
            Entry(
                tr(text),
                lambda by=by: self.sort_by(by),
                second="✓" if by == self.sort.by else "",
                words=f"{by} {text}",
            )
            for by, text in SORTS
        ]
        made = Chooser(body, entries, body.mapFrom(self.window(), corner), hint="Which order?")
        made.closed.connect(self.grid.setFocus)
        made.present()

    def sort_by(self, by: str) -> None:
        """Another order; one of looks asks for measures first."""
        like = None
        if by == "similar":
            like = self.asset_now()
            if like is None:
                self.state.setText(tr("Choose a picture first: the others are ordered by likeness to it."))
                return
        self.sort = Sort(by, by in _FIRST_DOWN, like)
        self.groups_shown(LIKENESS if by == "group" else ())
        if self.desk.query is not None and self.desk.worth != (by == "worth"):
            self.desk.look_at(self.desk.query, worth=by == "worth")  # the way from picture to picture follows
        else:
            self._look()
        self._mark()

    def asset_now(self) -> int | None:
        """The current picture, or the current object's."""
        at = self.grid.current if self.grid.current >= 0 else next(iter(self.grid.selection), -1)
        row = self.rows.row(at) if at >= 0 else None
        if row is None and not self.objects and at >= 0:
            return next(iter(self.rows.ids([(at, at + 1)]) or ()), None)
        return row.asset_id if row is not None else None

    def turn_sort(self) -> None:
        """The other way round."""
        self.sort = replace(self.sort, down=not self.sort.down)
        self._look()
        self._mark()

    def go_to(self) -> None:
        """Ask for a number or a part of a name, and go there."""
        body = getattr(self.window(), "body", self.window())
        corner = self.grid.mapTo(body, QPoint(self.grid.width() // 2 - Chooser.WIDTH // 2, 24))
        made = Chooser(body, [], corner, hint="Number or name…")
        made.finder.typed.connect(lambda text: self._search(made, text.strip()))
        made.closed.connect(self.grid.setFocus)
        made.present()

    def _search(self, made: Chooser, text: str) -> None:
        ws, view = self.desk.ws, self.rows.view
        if ws is None or view is None or not text:
            return
        entries = []
        if text.isdigit() and 0 < int(text) <= self.rows.count:
            entries.append(Entry(tr("Row {n}", n=number(int(text))), lambda: self.grid.jump(int(text) - 1)))
        query = replace(view.query, text=text)

        def done(found: list[browse.ItemRow]) -> None:
            if made.isVisible() and made.finder.edit.text().strip() == text:
                more = [
                    Entry(r.path.rsplit("/", 1)[-1], lambda i=r.asset_id: self._jump_to(i), second=r.path)
                    for r in found
                ]
                made.finder.add([*entries, *more])

        self.desk.tasks.readers.submit(
            lambda: browse.page(ws, query, limit=8), done, self.desk.fault, key="gallery goto"
        )

    def _jump_to(self, asset_id: int) -> None:
        ws, view = self.desk.ws, self.rows.view
        if ws is None or view is None:
            return
        if not view.objects and (at := self.rows.position_of(asset_id)) is not None:
            self.grid.jump(at)
            return
        if not view.objects and self.sort == Sort():
            self.desk.ask(lambda: browse.position(ws, view.query, asset_id), self.grid.jump)
            return

        def first() -> int:
            only = listing.View(replace(view.query, where=view.query.where), view.objects)
            rows = [i for part in listing.ids(ws, only) for i in part.ids]
            mine = (
                {
                    o.id
                    for o in listing.objects(ws, view.query.dataset_id, rows[:200_000])
                    if o.asset_id == asset_id
                }
                if view.objects
                else {asset_id}
            )
            return next(iter(mine), -1)

        def done(found: int) -> None:
            at = self.rows.position_of(found)
            if at is not None:
                self.grid.jump(at)

        self.desk.ask(first, done)

    def clear(self) -> None:
        """Choose nothing, and forget the last result."""
        self.grid.clear_selection()
        self.deeds._forget()
        self.bar.fill()
        self.grid.setFocus()

    def choose_all(self) -> None:
        """Choose all that matches."""
        self.grid.choose_all()
        self.grid.setFocus()

    def save_filter(self) -> None:
        """Ask for a name and keep the query under it."""
        ws, data = self.desk.ws, self.desk.dataset
        if ws is None or data is None or self.node == EVERYTHING:
            return
        text = listing.show(self.node, self.names)

        def go() -> None:
            title = name.text().strip()
            if not title:
                return
            sheet.finish()
            self.desk.tasks.writer.submit(
                lambda: listing.save(ws, data.id, title, text),
                lambda _: self.facets.read_saved(),
                self.desk.fault,
            )

        sheet = Sheet(
            getattr(self.window(), "body", self.window()),
            "Save this filter",
            "Everybody of this workspace sees it.",
            "Save",
            go,
            width=460,
        )
        name = sheet.text_field("Name", hint="What it finds")
        sheet.closed.connect(self.grid.setFocus)
        sheet.present(name)

    def measure_pictures(self) -> None:
        """Measure the dataset in the background; the order is made again when it ends."""
        ws, data = self.desk.ws, self.desk.dataset
        if ws is not None and data is not None:
            self.measure.hide()
            self.desk.start(
                lambda: tr("Measure · {name}", name=data.name), lambda: measuring.run(ws, data.name)
            )

    # --- inside --------------------------------------------------------------------------------------------------

    def _thumb(self, asset_id: int) -> bytes:
        assert self.desk.ws is not None
        return browse.thumbnail(self.desk.ws, asset_id)

    def _picture(self, asset_id: int):
        assert self.desk.ws is not None
        return browse.picture(self.desk.ws, asset_id)

    def _outlines_of(self, asset_id: int, came: Callable[[list[Outline]], None]) -> None:
        ws = self.desk.ws
        if ws is not None:
            self.desk.tasks.readers.submit(
                lambda: listing.boxes(ws, asset_id),
                came,
                self.desk.fault,
                wanted=lambda: asset_id in self.grid.seen,
            )

    def _groups_of(
        self, assets: Sequence[int], came: Callable[[dict[int, tuple[Member, ...]]], None]
    ) -> None:
        ws, query, kinds = self.desk.ws, self.desk.query, self._kinds
        if ws is None or query is None:
            return

        def read() -> dict[int, tuple[Member, ...]]:
            found = cleaning.membership(ws, query.dataset_id, assets)
            return {a: tuple(m for m in of if m.kind in kinds) for a, of in found.items()}

        self.desk.tasks.readers.submit(read, came, self.desk.fault)

    def show_group(self) -> None:
        """The current picture with all of its groups."""
        if (asset_id := self.asset_now()) is not None:
            self.show_objects(False)
            self.sort_by("group")
            self.ask(f"like:{asset_id}")

    def _workspace(self) -> None:
        self._forget_names()
        self.node = EVERYTHING
        self.crops.forget()
        if self.desk.ws is None:
            self.rows.set_view(None, None)
            self.facets.show_view(None, EVERYTHING, self.names)
        self._queried()

    def _queried(self) -> None:
        """The desk looks at something else: show it as text, list it."""
        if self.desk.worth != (self.sort.by == "worth"):
            self.sort = Sort("worth", True) if self.desk.worth else Sort()
            self._mark()
        self._look()

    def _explain(self, asset_id: int, came: Callable[[str], None]) -> None:
        """Why a picture comes early, in the order of worth."""
        if self.desk.worth:
            reasons.ask(
                self.desk, [asset_id], lambda found: came(found.get(asset_id, "").replace(" · ", "\n"))
            )

    def _say_worth(self) -> None:
        """Why the current picture comes early, beside the order."""
        now = self.asset_now() if self.desk.worth and not self.objects else None
        if now is None:
            return

        def came(found: dict[int, str]) -> None:
            if self.desk.worth and now == self.asset_now():
                said = found.get(now, "")
                self.state.setText(said.partition(" · ")[0])  # the weightiest; the rest is in the tooltip
                self.state.setToolTip(said.replace(" · ", "\n"))

        reasons.ask(self.desk, [now], came, key="gallery worth")

    def _schema(self) -> None:
        self._colours()
        self.facets.retranslate()
        self._read_names()

    def _colours(self) -> None:
        schema, zh = self.desk.schema, i18n.language().startswith("zh")
        labels = {x.code: x for x in schema.labels} if schema else {}
        values = {
            (a.code, c.code): (c.name_zh if zh else c.name_en)
            for x in labels.values()
            for a in x.attributes
            for c in a.choices
        }
        flags = {
            a.code: (a.name_zh if zh else a.name_en)
            for x in labels.values()
            for a in x.attributes
            if a.type == "flag"
        }
        self.grid.looks = Look(
            colour=lambda code: labels[code].color if code in labels else theme.current().second,
            name=self.desk.label_name,
            value=lambda key, value: flags.get(key) or values.get((key, value), value),
        )
        self.grid.viewport().update()

    def _forget_names(self) -> None:
        self.names, self._named, self._held = Names(), None, None
        self.line.forget()

    def _read_names(self) -> None:
        """Read what words mean: an answer overtaken by a newer one is dropped, else each is good for its dataset."""
        ws, query = self.desk.ws, self.desk.query
        if ws is None or query is None:
            return
        self._reading += 1
        reading, of = self._reading, query.dataset_id

        def done(names: Names) -> None:
            now = self.desk.query
            if reading < self._named_by or ws is not self.desk.ws or now is None or now.dataset_id != of:
                return
            self.names, self._named, self._named_by = names, (ws, of), reading
            held, self._held = self._held, None
            self._show_query()
            self._show_facets()
            if held is not None:
                self.ask(held)

        self.desk.tasks.readers.submit(lambda: listing.names(ws, of), done, self.desk.fault, key="names")

    def _show_facets(self) -> None:
        """Count what is looked at, unless that is counted already."""
        wanted = self.rows.view, self.node, self.names
        if wanted != (self.facets.view, self.facets.node, self.facets.names):
            self.facets.show_view(*wanted)

    def _look(self) -> None:
        """List what the desk looks at, as this place shows it."""
        self._asked_at = time.perf_counter()
        self._fresh = True
        query, ws = self.desk.query, self.desk.ws
        if query is None or ws is None:
            self.rows.set_view(None, None)
            return
        if self._named not in (None, (ws, query.dataset_id)):
            self._forget_names()
        self.rows.set_view(ws, View(query, self.objects, self.sort))
        self._show_query()
        self._show_facets()
        self._read_names()
        self._ask_measured()

    def _ask_measured(self) -> None:
        ws, data = self.desk.ws, self.desk.dataset
        self.measure.hide()
        self.state.setText("")
        self.state.setToolTip("")
        if ws is None or data is None:
            return
        if self.sort.by == "worth":
            self._ask_looked(ws, data.id)
        if self.sort.by not in MEASURED:
            return

        def done(n: int) -> None:
            self._unmeasured = n
            self.measure.setVisible(n > 0 and self.sort.by in MEASURED)
            if n:
                self.state.setText(tr("{n} pictures are not measured yet", n=number(n)))

        self.desk.tasks.readers.submit(
            lambda: measuring.waiting(ws, data.id), done, self.desk.fault, key="unmeasured"
        )

    def _ask_looked(self, ws: Any, dataset_id: int) -> None:
        def read() -> bool:
            from app.services import worth

            return worth.latest(ws, dataset_id) is not None

        def done(looked: bool) -> None:
            if not looked and self.sort.by == "worth":
                self.state.setText(tr("Nothing was looked at yet: “Weights…” looks."))

        self.desk.tasks.readers.submit(read, done, self.desk.fault, key="worth looked")

    def _show_query(self) -> None:
        query = self.desk.query
        if query is None:
            return
        parts: list[Node] = []
        for field, value in (
            ("state", query.state),
            ("review", query.review),
            ("class", query.label),
            ("origin", query.origin),
            ("path", query.text or None),
        ):
            if value is not None:
                parts.append(Term(field, ":", (value,)))
        if query.min_score is not None or query.max_score is not None:
            low, high = (f"{v:g}" if v is not None else "" for v in (query.min_score, query.max_score))
            parts.append(Term("score", "..", (low, high)))
        try:
            parts.append(listing.parse(query.where, self.names))
        except Misread:
            return  # the names are still being read
        self.node = listing.join(parts)
        self.line.show_query(self.node, self.names if self._named is not None else None)
        self._note()

    def _note(self) -> None:
        if self.desk.dataset is None:
            text = tr("No dataset yet. Ctrl+I adds a folder of pictures.")
        elif self.node != EVERYTHING:
            text = tr("Nothing fits. Take a condition away above.")
        elif self.objects:
            text = tr("No objects yet. Pre-label the dataset or draw some.")
        else:
            text = tr("This dataset is empty. Ctrl+I adds a folder of pictures.")
        self.grid.note = text
        self.grid.viewport().update()

    def _counted(self) -> None:
        if not self.rows.known:
            self.found.setText("")
            return
        if self._asked_at and self.rows.complete:
            self._took_ms = round(1000 * (time.perf_counter() - self._asked_at))
            self._asked_at = 0.0
        n = number(self.rows.count)
        if not self.rows.complete:
            self.found.setText(tr("{n} so far · {share} %", n=n, share=round(100 * self.rows.share)))
        elif self.objects:
            self.found.setText(tr("{n} objects · {ms} ms", n=n, ms=self._took_ms))
        else:
            self.found.setText(tr("{n} pictures · {ms} ms", n=n, ms=self._took_ms))

    def _tallied(self) -> None:
        self.line.tally = self.facets.tally

    def _stale(self) -> None:
        """Something was saved: read again when the gallery is looked at."""
        self._fresh = False
        if self.isVisible():
            self._renew()

    def _renew(self) -> None:
        self._fresh = True
        self.rows.refresh()
        self._read_names()  # new people, models or classes
        self.grid.forget_outlines()
        self.grid.forget_groups()
        self.facets.recount()
        self._ask_measured()

    def _open(self, asset_id: int, uid: str) -> None:
        self._wanted = (asset_id, uid) if uid else None
        self.opened.emit(asset_id)
        self._select_wanted()

    def _select_wanted(self) -> None:
        """The object that was opened is selected as soon as its picture's annotations are there."""
        doc = self.desk.document
        if self._wanted is None or doc.asset_id != self._wanted[0] or not doc.loaded:
            return
        uid, self._wanted = self._wanted[1], None
        if doc.get(uid) is not None:
            doc.select([uid])

    def resizeEvent(self, event) -> None:
        self.bar.place()

    def showEvent(self, event) -> None:
        if not self._fresh:
            self._renew()
        self.grid.setFocus()
