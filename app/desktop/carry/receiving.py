"""Receive a published version: from where, which one, whose key; trusted by an explicit act, then taken in by a task."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QCheckBox, QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop import widgets
from app.desktop.carry.parts import Fingerprint, Folders
from app.desktop.models import words
from app.desktop.models.asking import TYPING_MS, Segments
from app.desktop.overlaid import Sheet
from app.desktop.rights.parts import line
from app.desktop.tasks import Task
from app.desktop.widgets import Pill, Row, column, frame, label, number, row, say
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.desktop.window import Window
    from app.services.receive import Offered

BODY_PX = 400
FOLDER, DISKS = "\x00folder", "\x00disks"
"""Choices beside the names of hubs, which hold no such character."""
STANDING = {
    "own": ("your own key", "green"),
    "trusted": ("a key you trust", "green"),
    "unknown": ("not trusted yet", "accent"),
}


class ReceiveSheet(Sheet):
    """See the module. hubs: names of those known."""

    def __init__(self, window: Window, hubs: list[str]) -> None:
        super().__init__(
            window.body,
            "Receive a version",
            "Every byte is proved, and it must rebuild to the very root that was signed; else nothing is taken in.",
            "Receive",
            self._go,
            width=max(860, min(1020, window.body.width() - 48)),
        )
        self.window_, self.desk = window, window.desk
        self.names: list[str] = []
        self.rows: dict[str, Row] = {}
        self.chosen = ""
        self.found: Offered | None = None
        self.compared: QCheckBox | None = None
        self._ticket = 0
        options = [*((h, h) for h in hubs[:7]), (FOLDER, tr("A hub folder")), (DISKS, tr("Shuttle disks"))]
        self.where = Segments(options, options[0][0], spoken=tr("From"), columns=5)
        self.where.chosen.connect(lambda _: self._from())
        self.field("From", self.where)
        outer, self._of_folder = self.body, QWidget()
        self.body = column(self._of_folder, gap=8)
        self.folder = self.path_field("Hub folder", hint="A folder, for example on a shared disk")
        self._soon = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._soon.timeout.connect(self._ask)
        self.folder.textChanged.connect(lambda _: self._soon.start())
        self.body = outer
        self.disks = Folders()
        self.disks.changed.connect(self._ask)
        outer.addWidget(self._of_folder)
        outer.addWidget(self.disks)
        self._list, self._detail = self.list_and_detail(260, BODY_PX, gap=12)
        self._from()

    # --- from where ----------------------------------------------------------------------------------------------

    def source(self) -> tuple[str | None, list[Path]] | None:
        """A hub, or the folders of disks; None while it is not said."""
        where = self.where.value
        if where == DISKS:
            return (None, list(self.disks.paths)) if self.disks.paths else None
        if where == FOLDER:
            text = self.folder.text().strip()
            return (str(Path(text).expanduser().absolute()), []) if text else None
        return where, []

    def _from(self) -> None:
        self._of_folder.setVisible(self.where.value == FOLDER)
        self.disks.setVisible(self.where.value == DISKS)
        self._ask()

    def _ask(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return
        self._ticket += 1
        ticket, source = self._ticket, self.source()
        self.names, self.chosen, self.found = [], "", None
        self.show_fault("")
        self._show_list()
        self._show(
            tr("Say where it comes from.") if source is None else tr("Asking what is published there…")
        )
        if source is None:
            return

        def work() -> list[str]:
            from app.services import receive

            return receive.offers(ws, receive.source(*source))

        def came(names: list[str]) -> None:
            if ticket == self._ticket:
                self.names = names
                self._show_list()
                self._show(tr("Choose a version.") if names else tr("Nothing is published there."))
                if len(names) == 1:
                    self.choose(names[0])

        self.desk.ask_far(work, self.while_open(came), self.while_open(lambda f: self._refused(ticket, f)))

    def _refused(self, ticket: int, fault: BaseException) -> None:
        if not isinstance(fault, LamproomError):
            raise fault
        if ticket == self._ticket:
            self._show("")
            self.show_fault(i18n.tr_fault(fault))

    # --- which one -----------------------------------------------------------------------------------------------

    def _show_list(self) -> None:
        widgets.clear(self._list)
        self.rows = {}
        for ref in self.names:
            made = Row(ref)
            made.setChecked(ref == self.chosen)
            made.clicked.connect(lambda _=False, ref=ref: self.choose(ref))
            self.rows[ref] = made
            self._list.addWidget(made)

    def choose(self, ref: str) -> None:
        """Read what a version is and who signed it."""
        ws, source = self.desk.ws, self.source()
        if ws is None or source is None:
            return
        self._ticket += 1
        ticket, self.chosen, self.found = self._ticket, ref, None
        for known, made in self.rows.items():
            made.setChecked(known == ref)
        self.show_fault("")
        self._show(tr("Reading its signed root…"))

        def work() -> Offered:
            from app.services import receive

            return receive.offered(ws, receive.source(*source), ref)

        def came(found: Offered) -> None:
            if ticket == self._ticket:
                self.found = found
                self._show()

        self.desk.ask_far(work, self.while_open(came), self.while_open(lambda f: self._refused(ticket, f)))

    def retranslate(self) -> None:
        """What is made of data, again."""
        if self.found is not None:
            self._show()

    def _show(self, text: str = "") -> None:
        widgets.clear(self._detail)
        self.compared = None
        found = self.found
        if found is None:
            self._detail.addWidget(line(text, "second"))
        else:
            self._about(found)
        self._detail.addStretch()
        self._check()

    def _about(self, found: Offered) -> None:
        head = label(kind="title")
        head.setText(found.version)
        self._detail.addWidget(head)
        self._detail.addWidget(
            line(tr("{n} pictures, {objects} objects, {size}", n=number(found.assets), objects=number(found.objects), size=words.size(found.size)))
        )  # fmt: skip
        for fault in found.faults[:6]:
            box = frame("wrong")
            row(box, margins=(14, 8, 14, 8)).addWidget(line(tr_sentence(fault)), 1)
            self._detail.addWidget(box)
        if found.faults:
            self._detail.addWidget(line(tr("It is not what was signed; have it published again."), "second"))
            return
        box = frame("inset")
        inside = column(box, gap=8, margins=(18, 14, 18, 14))
        caption = row(gap=10)
        caption.addWidget(label("Signed by the key", "caption"))
        pill = Pill()
        said, tone = STANDING[found.standing]
        pill.set(tr(said), tone)
        caption.addWidget(pill)
        caption.addStretch()
        inside.addLayout(caption)
        inside.addWidget(Fingerprint(found.key))
        if found.standing == "unknown":
            inside.addWidget(
                label("Ask its publisher for these letters by another way: by telephone, or on paper. Compare every group.", wrap=True)
            )  # fmt: skip
            self.compared = say(QCheckBox(), "I compared them: they are the same, and I trust this key")
            self.compared.toggled.connect(lambda _: self._check())
            inside.addWidget(self.compared)
        self._detail.addWidget(box)

    def _check(self) -> None:
        found = self.found
        trusted = found is not None and (
            found.standing != "unknown" or (self.compared is not None and self.compared.isChecked())
        )
        self.verb.setEnabled(found is not None and not found.faults and trusted)

    # --- taking it in --------------------------------------------------------------------------------------------

    def _go(self) -> None:
        ws, source, found, window = self.desk.ws, self.source(), self.found, self.window_
        if ws is None or source is None or found is None:
            return
        trust = found.key if self.compared is not None and self.compared.isChecked() else ""

        def work() -> Any:
            from app.services import receive

            where = receive.source(*source)
            with closing(receive.opened(ws, where)) as hub:
                yield from receive.run(ws, hub, found.version, trust=trust, source=where)

        self.finish()
        self.desk.start(
            lambda: tr("Receive · {name}", name=found.version), work, lambda task: _ended(window, task, found)
        )


def _ended(window: Window, task: Task, found: Offered) -> None:
    """The dataset of what was received is opened as soon as the desk knows it; a refusal is told where one looks."""
    desk = window.desk
    if task.state == "failed" and not window.covered:
        sheet = Sheet(window.body, "It was not received", "", "Close", lambda: sheet.finish(), width=560)
        sheet.cancel.hide()
        sheet.body.addWidget(line(i18n.tr_sentence(task.fault)))
        for warned in task.warned[:8]:
            sheet.body.addWidget(line(f"{warned.where}: {tr_sentence(warned.what)}", "second"))
        window.sheets.hold(sheet)
        sheet.present(sheet.verb)
    if task.state != "finished":
        return
    name = found.version.rpartition("@")[0]

    def counted() -> None:
        data = next((d for d in desk.datasets if d.name == name), None)
        desk.counted.disconnect(counted)
        if data is not None and not window.covered:
            window.show_dataset(data.id)

    desk.counted.connect(counted)
    desk.refresh()


def show(window: Window) -> None:
    """Open the sheet over the window."""
    ws = window.desk.ws
    if ws is None:
        return

    def read() -> list[str]:
        from app.services import hubs

        return [hub.name for hub in hubs.listing(ws)]

    def known(names: list[str]) -> None:
        if window.desk.ws is ws:
            made = ReceiveSheet(window, names)
            window.sheets.hold(made)
            made.present(made.where.button(made.where.value))

    window.desk.ask(read, known)


# --- receipts -------------------------------------------------------------------------------------------------------


class ReceiptsSheet(Sheet):
    """Receipts of the dataset's versions: who has which, since when; taken in from a hub."""

    def __init__(self, window: Window, hubs: list[str]) -> None:
        super().__init__(
            window.body,
            "Receipts",
            "Whoever receives a version signs that it arrived whole. Receipts left at a hub are taken in here and kept.",
            "Look at the hub",
            self._go,
            width=720,
        )
        say(self.cancel, "Close")
        self.desk = window.desk
        assert self.desk.dataset is not None
        self.data = self.desk.dataset.name
        self.hubs = hubs
        options = [*((h, h) for h in hubs[:7]), (FOLDER, tr("A hub folder"))]
        self.where = Segments(options, options[0][0], spoken=tr("Hub"), columns=5)
        self.where.chosen.connect(lambda _: self._check())
        self.field("Hub", self.where)
        self.folder = self.path_field("Hub folder", hint="A folder, for example on a shared disk")
        self.folder.textChanged.connect(lambda _: self._check())
        held = QWidget()
        self._list = column(held, gap=8, margins=(0, 0, 10, 0))
        self._list.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = widgets.scroll(held)
        area.setFixedHeight(300)
        self.body.addWidget(area)
        self._check()
        self._read()

    def _check(self) -> None:
        of_folder = self.where.value == FOLDER
        self.folder.setEnabled(of_folder)
        self.verb.setEnabled(not of_folder or bool(self.folder.text().strip()))

    def _read(self) -> None:
        ws, data = self.desk.ws, self.data
        if ws is None:
            return

        def work() -> list[tuple[str, list[Any]]]:
            from app.services import receipts, versions

            return [(v.ref, receipts.kept(ws, v.ref)) for v in reversed(versions.listing(ws, data))]

        self.desk.ask(work, self.while_open(self._came))

    def _came(self, found: list[tuple[str, list[Any]]]) -> None:
        from app.desktop.rights.parts import moment

        widgets.clear(self._list)
        for ref, kept in found:
            self._list.addWidget(line(ref, "strong"))
            if not kept:
                self._list.addWidget(line(tr("No receipt yet"), "small"))
            for place, r in kept:
                box = frame("inset")
                inside = column(box, gap=2, margins=(14, 8, 14, 8))
                inside.addWidget(
                    line(
                        tr(
                            "{receiver}, by {person}, {time}",
                            receiver=r.receiver,
                            person=r.person,
                            time=moment(r.at_ms),
                        )
                    )
                )
                counts = tr(
                    "{n} pictures, {objects} objects, {size}",
                    n=number(r.assets),
                    objects=number(r.objects),
                    size=words.size(r.size),
                )
                inside.addWidget(line(f"{counts} · {place}", "small"))
                self._list.addWidget(box)
        if not found:
            self._list.addWidget(line(tr("No version of this dataset yet."), "second"))

    def _go(self) -> None:
        ws, data, where = self.desk.ws, self.data, self.where.value
        source = str(Path(self.folder.text().strip()).expanduser().absolute()) if where == FOLDER else where
        if ws is None:
            return

        def work() -> Any:
            from app.events import Finished
            from app.services import receipts, receive, versions

            new = faults = 0
            with closing(receive.opened(ws, {"hub": source})) as hub:
                for version in versions.listing(ws, data):
                    for event in receipts.collect(ws, hub, version.ref):
                        if isinstance(event, Finished):
                            new += int(str(event.result["new"]))
                            faults += event.problems
                        else:
                            yield event
            yield Finished({"new": new}, problems=faults)

        def done(task: Task) -> None:
            self.show_fault(tr_sentence(task.fault) if task.state == "failed" else "")
            self._check()
            self._read()

        self.verb.setEnabled(False)
        self.desk.start(lambda: tr("Receipts · {name}", name=data), work, self.while_open(done))


def show_receipts(window: Window) -> None:
    """Open the list of receipts over the window."""
    ws = window.desk.ws
    if ws is None or window.desk.dataset is None:
        return

    def read() -> list[str]:
        from app.services import hubs

        return [hub.name for hub in hubs.listing(ws)]

    def known(names: list[str]) -> None:
        if window.desk.ws is ws and window.desk.dataset is not None:
            made = ReceiptsSheet(window, names)
            window.sheets.hold(made)
            made.present(made.verb)

    window.desk.ask(read, known)
