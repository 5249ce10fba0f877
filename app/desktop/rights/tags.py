"""What may leave: policy tags set on pictures, a source or a version; what holds now and where it comes from; every tag there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop import widgets
from app.desktop.models.asking import Combo, Segments
from app.desktop.overlaid import Sheet
from app.desktop.rights.parts import TONES, Many, day, line, moment, picture_now, said, scopes, who
from app.desktop.tasks import Task
from app.desktop.widgets import Pill, Row, button, column, frame, label, number, row, say
from app.events import Changes, Finished, Started, Work
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.window import Window
    from app.services.gate import Tag

BODY_PX = 440


class TagsSheet(Sheet):
    """See the module. version: the tag of the version of the dataset that is meant at first, "" = pictures or a source."""

    def __init__(self, window: Window, version: str = "") -> None:
        super().__init__(
            window.body,
            "What may leave",
            "Who may see it, what for, until when. The strictest tag holds. This program enforces it; whoever owns the files can copy them.",
            "Set the tag",
            self._go,
            width=max(860, min(1040, window.body.width() - 48)),
        )
        say(self.cancel, "Close")
        self.window_, self.desk = window, window.desk
        self.scopes = {s.code: s for s in scopes(window)}
        self.picture = picture_now(window)
        self.named: str | None = None
        """A picture taken from the list, by its path."""
        self.rows: list[Row] = []
        self._ticket = 0
        self._wanted = version
        across = row(gap=32)
        across.addWidget(self._form(bool(version)), 5)
        side = QWidget()
        right = column(side, gap=16, margins=(0, 0, 10, 0))
        self._now = column(gap=8)
        right.addLayout(self._now)
        right.addWidget(label("Every tag of the workspace", "caption"))
        self._list = column(gap=2)
        right.addLayout(self._list)
        right.addStretch()
        area = widgets.scroll(side)
        area.setFixedHeight(BODY_PX)
        across.addWidget(area, 6)
        self.body.addLayout(across)
        self._read_names()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _form(self, of_version: bool) -> QWidget:
        held = QWidget()
        box = column(held, gap=12)
        options = [(s.code, s.shown) for s in self.scopes.values()]
        options += [("picture", tr("One picture")), ("source", tr("A source")), ("version", tr("A version"))]
        self.subject = Segments(
            options, "version" if of_version else options[0][0], spoken=tr("Of what"), columns=3
        )
        self.subject.chosen.connect(lambda _: self._chosen())
        self.source, self.version = Combo(), Combo()
        for combo, spoken in ((self.source, "A source"), (self.version, "A version")):
            say(combo, spoken=spoken)
            combo.activated.connect(lambda _: self._chosen())
        self.visibility = Segments(
            [(v, who(v)) for v in TONES], "public", spoken=tr("Who may see it"), columns=4
        )
        purposes = ("training", "evaluation", "research", "display")
        self.purposes = Many([(p, tr(p)) for p in purposes], spoken=tr("What for"))
        self.place = Segments(
            [("", tr("may be known")), ("unpublished", tr("only redacted copies leave"))],
            "", spoken=tr("The place"),
        )  # fmt: skip
        outer, self.body = self.body, box
        self.field("Of what", self.subject)
        box.addWidget(self.source)
        box.addWidget(self.version)
        self.field("Who may see it", self.visibility)
        self.field("What for", self.purposes, note="None chosen: for anything.")
        self.expires = self.text_field("Until", hint="as 2027-06-30; empty: without end")
        self.field("The place", self.place)
        self.note = self.text_field("Why", hint="For those who read it later")
        self.body = outer
        self.free = button("Take the tag away", lambda: self._put(free=True), kind="link")
        box.addWidget(self.free, 0, Qt.AlignmentFlag.AlignLeft)
        box.addStretch()
        return held

    def retranslate(self) -> None:
        """What is made of data, again."""
        self._read()

    # --- what is there -------------------------------------------------------------------------------------------

    def _read_names(self) -> None:
        """Sources, and versions of the dataset in hand."""
        ws, data, picture = self.desk.ws, self.desk.dataset, self.picture
        if ws is None:
            return

        def work() -> tuple[list[str], list[str], str]:
            from app.services import gate, versions

            known = [v.ref for v in versions.listing(ws, data.name)] if data is not None else []
            return gate.sources(ws), known, gate.source_of(ws, picture) if picture is not None else ""

        def came(found: tuple[list[str], list[str], str]) -> None:
            sources, refs, here = found
            for code in sources:
                self.source.addItem(code, code)
            for ref in reversed(refs):
                self.version.addItem(ref, ref)
            if here:
                self.source.setCurrentIndex(self.source.findData(here))
            if self._wanted and data is not None:
                self.version.setCurrentIndex(max(0, self.version.findData(f"{data.name}@{self._wanted}")))
            self._chosen()

        self.desk.ask(work, self.while_open(came))

    @property
    def subject_name(self) -> tuple[str, str]:
        """(scope as the gate takes it, name); a scope of pictures has the code of its query."""
        code = self.subject.value
        if code == "source":
            return "source", str(self.source.currentData() or "")
        if code == "version":
            return "version", str(self.version.currentData() or "")
        if code == "picture":
            return "asset", self.named or str(self.picture or "")
        return "pictures", code

    def _chosen(self) -> None:
        code = self.subject.value
        if code != "picture":
            self.named = None
        self.source.setVisible(code == "source")
        self.version.setVisible(code == "version")
        self.show_fault("")
        self._read(fill=True)

    def _read(self, *, fill: bool = False) -> None:
        """What holds for the subject, and every tag; fill: the form too."""
        ws = self.desk.ws
        if ws is None:
            return
        self._ticket += 1
        ticket, (scope, name) = self._ticket, self.subject_name
        query = self.scopes[name].query if scope == "pictures" else None
        self.verb.setEnabled(bool(name))
        self.free.setEnabled(bool(name))

        def work() -> tuple[Any, list[Any]]:
            from app.services import gate

            now: Any = None
            if query is not None:
                now = gate.spread(ws, query)
            elif scope == "asset" and name:
                now = gate.whence(ws, gate.picture_of(ws, name)), gate.tag_of_named(ws, name)
            elif name:
                now = next(
                    (r.tag for r in gate.listing(ws, scope, limit=10_000) if r.name == name), gate.FREE
                )
            return now, gate.listing(ws)

        def came(found: tuple[Any, list[Any]]) -> None:
            if ticket != self._ticket:
                return
            self._tell(scope, name, found[0])
            self._fill_list(found[1])
            if fill:
                self._fill(scope, found[0])

        self.desk.tasks.readers.submit(
            work, self.while_open(came), self.while_open(self._refused), key="policy tags"
        )

    def _tell(self, scope: str, name: str, now: Any) -> None:
        from app.services.gate import FREE

        widgets.clear(self._now)
        self._now.addWidget(label("What holds now", "caption"))
        box = frame("inset")
        inside = column(box, gap=8, margins=(16, 12, 16, 12))
        if scope == "pictures":
            held, looked = now
            for tag, n in held[:6]:
                inside.addLayout(self._held(tag, tr("{n} pictures", n=number(n))))
            if not looked:
                inside.addWidget(label("No picture", "second"))
            elif sum(n for _, n in held) < self._n(name):
                inside.addWidget(line(tr("Of the first {n} pictures", n=number(looked)), "small"))
        elif scope == "asset" and now is not None:
            parts, whole = now
            inside.addLayout(self._held(whole, tr("for this picture")))
            for one in parts:
                what = {"source": tr("from its source {name}"), "original": tr("from its original {name}")}
                text = what.get(one.what, tr("its own tag")).format(name=one.name)
                inside.addWidget(line(f"{text}: {said(one.tag)}", "small"))
            if not parts:
                inside.addWidget(label("Nothing is tagged: it may leave.", "small"))
        elif now is None:
            inside.addWidget(label("There is none in hand", "second"))
        else:
            inside.addLayout(self._held(now, name))
            if now == FREE:
                inside.addWidget(label("Nothing is tagged: it may leave.", "small"))
        self._now.addWidget(box)

    def _n(self, code: str) -> int:
        data = self.desk.dataset
        return data.n_assets if data is not None and code == "all" else 0

    def _held(self, tag: Tag, of: str) -> Any:
        across = row(gap=10)
        pill = Pill()
        pill.set(who(tag.visibility), TONES[tag.visibility])
        across.addWidget(pill, 0, Qt.AlignmentFlag.AlignTop)
        rest = said(tag).partition(" · ")[2]
        across.addWidget(line(f"{of} · {rest}" if rest else of), 1)
        return across

    def _fill_list(self, tags: list[Any]) -> None:
        widgets.clear(self._list)
        self.rows = []
        what = {"source": tr("source"), "asset": tr("picture"), "version": tr("version")}
        for one in tags[:100]:
            made = Row(
                one.name, under=f"{what[one.scope]} · {said(one.tag)} · {one.agent} · {moment(one.at_ms)}"
            )
            made.setAccessibleName(f"{what[one.scope]} {one.name}: {said(one.tag)}")
            made.setToolTip(made.under)
            made.clicked.connect(lambda _=False, one=one: self._take(one))
            self.rows.append(made)
            self._list.addWidget(made)
        if not tags:
            self._list.addWidget(line(tr("Nothing is tagged yet: all of it may leave."), "second"))

    def _take(self, one: Any) -> None:
        """A tag of the list becomes the subject."""
        for made in self.rows:
            made.setChecked(made.text() == one.name)
        if one.scope == "asset":
            self.named = one.name
            self.subject.choose("picture")
        else:
            combo = self.source if one.scope == "source" else self.version
            if combo.findData(one.name) < 0:
                combo.addItem(one.name, one.name)
            combo.setCurrentIndex(combo.findData(one.name))
            self.subject.choose(one.scope)
        self._chosen()

    def _fill(self, scope: str, now: Any) -> None:
        """The form as what is there says; of several, as most have it."""
        from app.services.gate import FREE

        if scope == "pictures":
            self._show_tag(now[0][0][0] if now[0] else FREE)
        elif scope == "asset":
            own = [one.tag for one in now[0] if one.what == "asset"] if now else []
            self._show_tag(own[0] if own else FREE)
        else:
            self._show_tag(now or FREE)

    def _show_tag(self, tag: Tag) -> None:
        self.visibility.choose(tag.visibility)
        self.purposes.choose(tag.purposes)
        self.place.choose(tag.place)
        self.expires.setText(day(tag.expires_ms) if tag.expires_ms is not None else "")
        self.note.setText(tag.note)

    # --- deeds ---------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        self._put(free=False)

    def _put(self, *, free: bool) -> None:
        ws, (scope, name) = self.desk.ws, self.subject_name
        if ws is None or not name:
            return
        said_ = (
            self.visibility.value,
            self.purposes.values,
            self.expires.text(),
            self.place.value,
            self.note.text().strip(),
        )
        query = self.scopes[name].query if scope == "pictures" else None

        def titled() -> str:
            return tr("Tag · {name}", name=name if query is None else self._title(query.dataset_id))

        def work() -> Work:
            from app.services import gate

            visibility, purposes, expires, place, note = said_
            tag = gate.FREE if free else gate.Tag(visibility, purposes, gate.day_begins(expires), place, note)
            yield Started("tag")
            n = gate.set_pictures(ws, query, tag) if query is not None else gate.set_tag(ws, scope, name, tag)
            yield Finished({"changed": n}, Changes())

        self.verb.setEnabled(False)
        self.desk.start(titled, work, self.while_open(self._done))

    def _title(self, dataset_id: int) -> str:
        return next((d.name for d in self.desk.datasets if d.id == dataset_id), "")

    def _done(self, task: Task) -> None:
        self.show_fault(i18n.tr_sentence(task.fault) if task.state == "failed" else "")
        self._read()

    def _refused(self, fault: BaseException) -> None:
        if not isinstance(fault, LamproomError):
            raise fault
        self.show_fault(i18n.tr_fault(fault))


def show(window: Window, version: str = "") -> None:
    """Open the sheet over the window. version: the one of the dataset that is meant at first."""
    if window.desk.ws is None:
        return
    made = TagsSheet(window, version)
    window.sheets.hold(made)
    made.present(made.expires)
