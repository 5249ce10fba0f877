"""Shuttle disks: a version packed onto disks that are carried, disks checked byte for byte, disks brought into a hub folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop import widgets
from app.desktop.carry.parts import Folders, room
from app.desktop.models import words
from app.desktop.models.asking import Combo, Segments
from app.desktop.overlaid import Sheet
from app.desktop.rights.parts import line
from app.desktop.rights.refusals import Refusals
from app.desktop.tasks import Task
from app.desktop.widgets import Meter, button, column, frame, label, number, row, say
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.desktop.window import Window
    from app.services.gate import Reason

BODY_PX = 470
VERBS = {"pack": "Pack onto the disks", "check": "Check the disks", "unpack": "Bring into the hub folder"}
FINGER = 19
"""Characters of a set's name that are shown."""


class ShuttleSheet(Sheet):
    """See the module. refs: versions of the dataset in hand, the newest first."""

    def __init__(self, window: Window, refs: list[str]) -> None:
        super().__init__(
            window.body,
            "Shuttle disks",
            "Each disk is a BagIt bag with a signed note of what it is a part of; every file is read back before it counts.",
            VERBS["pack"],
            self._go,
            width=max(860, min(1020, window.body.width() - 48)),
        )
        say(self.cancel, "Close")
        self.window_, self.desk = window, window.desk
        self.task: Task | None = None
        self._ticket = 0
        self.mode = Segments(
            [("pack", tr("Pack a version")), ("check", tr("Check disks")), ("unpack", tr("Unpack disks"))],
            "pack" if refs else "check", spoken=tr("What to do"),
        )  # fmt: skip
        self.mode.chosen.connect(lambda _: self._turned())
        self.body.addWidget(self.mode)
        across = row(gap=28)
        outer = self.body
        held = QWidget()
        held.setFixedWidth(400)
        self.body = column(held, gap=12)
        self._packing(refs)
        self._unpacking()
        self.body.addStretch()
        across.addWidget(held)
        side = QWidget()
        self.body = column(side, gap=12, margins=(0, 0, 10, 0))
        self.body.addWidget(label("Disks, in the order they fill", "caption"))
        self.disks = Folders()
        self.disks.changed.connect(self._look)
        self.body.addWidget(self.disks)
        self.meter = Meter()
        self.meter.hide()
        self.body.addWidget(self.meter)
        self._state = column(gap=8)
        self.body.addLayout(self._state)
        self.body.addStretch()
        area = widgets.scroll(side)
        area.setFixedHeight(BODY_PX)
        across.addWidget(area, 1)
        self.body = outer
        outer.addLayout(across)
        self._turned()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _packing(self, refs: list[str]) -> None:
        outer, self.of_pack = self.body, QWidget()
        self.body = column(self.of_pack, gap=12)
        self.version, self.since = say(Combo(), spoken="Version"), say(Combo(), spoken="The other side has")
        self.since.addItem(tr("nothing of it"), "")
        for ref in refs:
            self.version.addItem(ref, ref)
            self.since.addItem(ref, ref)
        self.version.activated.connect(lambda _: self._ask_gate())
        self.field("Version", self.version)
        self.field("The other side has", self.since, note="What that version holds stays at home.")
        self.seal_to = self.text_field(
            "Seal to the hub's key",
            hint="age1…; empty: not sealed",
            note="Then the receiver alone can open the disks.",
        )
        self.audience = Segments(
            [(a, tr(a)) for a in ("partners", "internal", "public")], "partners", spoken=tr("For whom")
        )
        self.purpose = Segments(
            [(p, tr(p)) for p in ("training", "evaluation", "research", "display")],
            "training",
            spoken=tr("What for"),
        )
        for made in (self.audience, self.purpose):
            made.chosen.connect(lambda _: self._ask_gate())
        self.field("For whom", self.audience)
        self.field("What for", self.purpose)
        self.gate = Refusals(self._show_pictures)
        self.body.addWidget(self.gate)
        self.reason = self.text_field(
            "Your reason to let it leave against its policy tags", hint="empty: what may not leave is refused"
        )
        self.body = outer
        outer.addWidget(self.of_pack)

    def _unpacking(self) -> None:
        outer, self.of_unpack = self.body, QWidget()
        self.body = column(self.of_unpack, gap=12)
        self.into = self.path_field("Hub folder", hint="A folder, for example on a shared disk",
                                    note="Disks may come in any order, one drive is enough.")  # fmt: skip
        self.into.textChanged.connect(lambda _: self._check())
        self.recipient = button("Copy what others seal to for us", self._copy_recipient, kind="link")
        self.body.addWidget(self.recipient, 0, Qt.AlignmentFlag.AlignLeft)
        self.ours = label(kind="small", wrap=True)
        self.body.addWidget(self.ours)
        self.body = outer
        outer.addWidget(self.of_unpack)

    def _turned(self) -> None:
        mode = self.mode.value
        self.of_pack.setVisible(mode == "pack")
        self.of_unpack.setVisible(mode == "unpack")
        self.become(VERBS[mode], self._go)
        widgets.clear(self._state)
        self.show_fault("")
        self._ask_gate()
        self._look()

    def _check(self) -> None:
        mode = self.mode.value
        ready = bool(self.disks.paths) and (self.task is None or not self.task.alive)
        if mode == "pack":
            ready = ready and self.version.count() > 0
        if mode == "unpack":
            ready = ready and bool(self.into.text().strip())
        self.verb.setEnabled(ready)

    # --- what is there -------------------------------------------------------------------------------------------

    def _ask_gate(self) -> None:
        ws, ref, ask = (
            self.desk.ws,
            str(self.version.currentData() or ""),
            (self.audience.value, self.purpose.value),
        )
        if ws is None or not ref or self.mode.value != "pack":
            self.gate.tell(())
            return

        def work() -> list[Reason]:
            from app.services import publish
            from app.services.gate import Ask

            return publish.may_leave(ws, ref, Ask(*ask))

        def came(found: list[Reason]) -> None:
            if ask == (self.audience.value, self.purpose.value):
                self.gate.tell(found)

        self.desk.ask(work, self.while_open(came))

    def _show_pictures(self, query: str) -> None:
        window = self.window_
        self.finish()
        window.show_query(query)

    def _look(self) -> None:
        """What lies on the disks already."""
        self._check()
        self._ticket += 1
        ticket, paths = self._ticket, list(self.disks.paths)

        def work() -> dict[Path, str]:
            from app.services import shuttle

            out: dict[Path, str] = {}
            for path in paths:
                try:
                    held = ", ".join(
                        tr("{version}, disk {n}", version=d.about.version, n=d.about.disk)
                        + (tr(", sealed") if d.about.sealed else "")
                        for d in shuttle.opened([path])
                    )
                except LamproomError:
                    held = tr("nothing packed yet") if path.is_dir() else ""
                out[path] = " · ".join(filter(None, (held, room(path))))
            return out

        def came(notes: dict[Path, str]) -> None:
            if ticket == self._ticket and notes != self.disks.notes:
                self.disks.tell(notes)

        if paths:
            self.desk.ask_far(work, self.while_open(came), self.desk.fault)

    def _copy_recipient(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> str:
            from app.services import shuttle

            return shuttle.recipient(ws)

        def came(text: str) -> None:
            QGuiApplication.clipboard().setText(text)
            self.ours.setText(text)

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            self.show_fault(i18n.tr_fault(fault))

        self.desk.ask_far(work, self.while_open(came), self.while_open(failed))

    # --- deeds ---------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        ws, mode, paths = self.desk.ws, self.mode.value, list(self.disks.paths)
        if ws is None or not paths:
            return
        ref, since, seal_to = (
            str(self.version.currentData() or ""),
            str(self.since.currentData() or ""),
            self.seal_to.text().strip(),
        )
        said = self.audience.value, self.purpose.value, self.reason.text().strip()
        into = Path(self.into.text().strip()).expanduser()

        def work() -> Any:
            from app.services import shuttle
            from app.services.gate import Ask

            if mode == "pack":
                return shuttle.pack(
                    ws, ref, paths, seal_to=seal_to, since="" if since == ref else since, ask=Ask(*said)
                )
            if mode == "check":
                return shuttle.check(paths)
            return shuttle.unpack(paths, into, ws=ws)

        def titled() -> str:
            return f"{tr(VERBS[mode])} · {ref if mode == 'pack' else paths[0].name}"

        self.show_fault("")
        widgets.clear(self._state)
        self.meter.set_share(None)
        self.meter.show()
        self.verb.setEnabled(False)
        self.task = self.desk.start(titled, work, self.while_open(lambda task: self._ended(mode, task)))
        self.task.moved.connect(self.while_open(self._moved))

    def _moved(self) -> None:
        if self.task is not None and self.task.alive:
            self.meter.set_share(self.task.share)

    def _ended(self, mode: str, task: Task) -> None:
        self.task = None
        self.meter.hide()
        widgets.clear(self._state)
        if task.state == "failed":
            self.show_fault(i18n.tr_sentence(task.fault))
        elif task.state == "finished":
            {"pack": self._packed, "check": self._checked, "unpack": self._unpacked}[mode](task)
        for warned in task.warned[:8]:
            box = frame("wrong")
            inside = row(box, margins=(14, 8, 14, 8))
            inside.addWidget(line(f"{tr_sentence(warned.what)} ({warned.where})"), 1)
            self._state.addWidget(box)
        self._look()

    def _head(self, text: str, tone: str = "green") -> None:
        made = line(text, "head", tone=tone)
        self._state.addWidget(made)

    def _packed(self, task: Task) -> None:
        disks: Any = task.result.get("disks") or []
        if task.result.get("whole"):
            self._head(tr("All of it is on {n} disks. They may be carried off.", n=number(len(disks))))
        else:
            task.warned.clear()
            self._head(
                tr("These disks are full and finished: carry them off. Put in the next disk and pack on."),
                "accent",
            )
            say(self.verb, "Pack on")
        for disk in disks:
            where = disk["folder"] or tr("carried off")
            text = tr(
                "Disk {n}: {files} files, {size}",
                n=disk["disk"],
                files=number(disk["files"]),
                size=words.size(disk["bytes"]),
            )
            self._state.addWidget(line(f"{text} · {where}", "second"))
        self._state.addWidget(line(tr("Signed by the key {key}", key=task.result.get("key")), "small"))

    def _checked(self, task: Task) -> None:
        n = number(int(str(task.result.get("files") or 0)))
        if task.result.get("sound"):
            self._head(tr("{n} files were read whole: every byte is as it was packed.", n=n))
        else:
            self._head(tr("{n} of the files are not what was packed", n=number(task.problems)), "red")
        found: Any = task.result.get("disks") or []
        for disk in found:
            text = tr("{version}, disk {n}", version=disk["version"], n=disk["disk"])
            more = f"{tr(', sealed') if disk['sealed'] else ''}{tr(', the last') if disk['last'] else ''}"
            self._state.addWidget(line(f"{text}{more} · {disk['set'][:FINGER]} · {disk['key']}", "second"))

    def _unpacked(self, task: Task) -> None:
        published: Any = task.result.get("published") or []
        if published:
            self._head(tr("Published there now: {names}", names=", ".join(published)))
        elif task.result.get("missing"):
            task.warned.clear()
            self._head(
                tr(
                    "{n} objects are on other disks: put in the next disk.",
                    n=number(int(str(task.result["missing"]))),
                ),
                "accent",
            )


def show(window: Window) -> None:
    """Open the sheet over the window."""
    desk = window.desk
    ws, data = desk.ws, desk.dataset
    if ws is None:
        return

    def read() -> list[str]:
        from app.services import versions

        return [v.ref for v in reversed(versions.listing(ws, data.name))] if data is not None else []

    def known(refs: list[str]) -> None:
        if desk.ws is ws:
            made = ShuttleSheet(window, refs)
            window.sheets.hold(made)
            made.present(made.disks.edit)

    desk.ask(read, known)
