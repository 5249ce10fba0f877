"""Send a version to a hub: which one, how much that would be, how fast and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop.desk import Desk
from app.desktop.models import words
from app.desktop.models.asking import Segments
from app.desktop.overlaid import Sheet
from app.desktop.rights.refusals import Refusals
from app.desktop.widgets import button, column, label, number, row
from app.i18n import tr

if TYPE_CHECKING:
    from app.events import Work
    from app.services.gate import Reason
    from app.services.publish import Estimate

FOLDER = ""
"""The choice of a folder without a name."""


class PublishSheet(Sheet):
    """See the module. `start` begins the work; `hubs` are the names of those known; `manage` opens their list; `look` shows the
    pictures of a query."""

    def __init__(
        self,
        parent: QWidget,
        desk: Desk,
        ref: str,
        hubs: list[str],
        start: Callable[[Callable[[], Work]], None],
        manage: Callable[[], None],
        look: Callable[[str], None],
    ) -> None:
        super().__init__(
            parent,
            "Publish",
            "Only what the hub does not have is sent; the root comes last.",
            "Publish",
            self._go,
            width=600,
        )
        self.desk, self.ref, self._begin = desk, ref, start
        self._asked = 0
        title = label(kind="second")
        title.setText(ref)
        self.body.addWidget(title)
        outer, self._of_folder = self.body, QWidget()
        self.chosen: Callable[[], str] = lambda: FOLDER
        if hubs:
            options = [*((name, name) for name in hubs[:7]), (FOLDER, tr("A folder…"))]
            self.chosen = self.choices("Hub", options, hubs[0], lambda _: self._show())
        self.body = column(self._of_folder, gap=12)
        self.folder = self.path_field("Hub folder", hint="A folder, for example on a shared disk")
        self.body = outer
        outer.addWidget(self._of_folder)
        self.told = label(kind="second", wrap=True)
        outer.addWidget(self.told)
        line = row(gap=12)
        made: list[QLineEdit] = []
        for caption, hint in (
            ("Bytes a second at most", "as 10M; empty: as fast as it goes"),
            ("Hours of the day", "as 22:00-06:00; empty: always"),
        ):
            self.body = column(gap=4)
            made.append(self.text_field(caption, hint=hint))
            line.addLayout(self.body, 1)
        self.body = outer
        outer.addLayout(line)
        self.limit, self.hours = made
        self._look = look
        self.audience = self.choices(
            "For whom", [(a, tr(a)) for a in ("internal", "partners", "public")], "partners", lambda _: self.ask_gate()
        )  # fmt: skip
        purposes = ("training", "evaluation", "research", "display")
        chosen = Segments(
            [("", tr("not said")), *((p, tr(p)) for p in purposes)],
            "training",
            spoken=tr("What for"),
            columns=5,
        )
        chosen.chosen.connect(lambda _: self.ask_gate())
        self.field("What for", chosen)
        self.purpose: Callable[[], str] = lambda: chosen.value
        self.gate = Refusals(self.show_pictures)
        self.body.addWidget(self.gate)
        self.reason = self.text_field(
            "Your reason to let it leave against its policy tags", hint="empty: what may not leave is refused",
            note="It is kept in the audit log under your name.",
        )  # fmt: skip
        outer.addWidget(button("Hubs…", manage, kind="link"), 0, Qt.AlignmentFlag.AlignLeft)
        self.folder.textChanged.connect(lambda _: self._check())
        self._show()
        self.ask_gate()

    def _show(self) -> None:
        self._of_folder.setVisible(self.chosen() == FOLDER)
        self._check()
        self._estimate()

    def _check(self) -> None:
        self.verb.setEnabled(self.chosen() != FOLDER or bool(self.folder.text().strip()))
        self.show_fault("")

    def _estimate(self) -> None:
        """How much a named hub lacks; asked on another thread."""
        self._asked += 1
        ticket, ws, name = self._asked, self.desk.ws, self.chosen()
        self.told.setVisible(name != FOLDER)
        if ws is None or name == FOLDER:
            return
        self.told.setText(tr("Asking the hub what it lacks…"))

        def work() -> Estimate:
            from app.services import publish

            return publish.estimate(ws, self.ref, name)

        def came(found: Estimate) -> None:
            if ticket != self._asked:
                return
            if not found.objects:
                self.told.setText(tr("The hub holds all of it already."))
                return
            size, all_ = words.size(found.size), words.size(found.whole)
            parts = [
                tr(
                    "{n} objects, {size} to send; the version holds {all}",
                    n=number(found.objects),
                    size=size,
                    all=all_,
                )
            ]
            if found.seconds is not None:
                rate = words.size(round(found.rate))
                parts.append(
                    tr("about {time} at {rate} a second", time=words.duration(found.seconds), rate=rate)
                )
            if found.cost is not None and found.cost >= 0.01:
                parts.append(tr("cost {cost}", cost=f"{found.cost:.2f} {found.currency}".strip()))
            self.told.setText(" · ".join(parts))

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            if ticket == self._asked:
                self.told.setText(i18n.tr_fault(fault))

        self.desk.ask_far(work, self.while_open(came), self.while_open(failed))

    def ask_gate(self) -> None:
        """Whether it may leave for whom and what is chosen; asked on another thread."""
        ws, ref, ask = self.desk.ws, self.ref, (self.audience(), self.purpose())
        if ws is None:
            return

        def work() -> list[Reason]:
            from app.services import publish
            from app.services.gate import Ask

            return publish.may_leave(ws, ref, Ask(*ask))

        def came(found: list[Reason]) -> None:
            if ask == (self.audience(), self.purpose()):
                self.gate.tell(found)

        self.desk.ask(work, self.while_open(came))

    def show_pictures(self, query: str) -> None:
        """Leave the sheet for the pictures that the gate keeps in."""
        self.finish()
        self._look(query)

    def _go(self) -> None:
        ws, ref = self.desk.ws, self.ref
        if ws is None:
            return
        target: str | Path = self.chosen() or Path(self.folder.text().strip()).expanduser()
        limit, window, reason = self.limit.text(), self.hours.text().strip(), self.reason.text().strip()
        if self.gate.reasons and not reason:
            self.show_fault(tr("Policy tags keep it in"))
            return
        audience, purpose = self.audience(), self.purpose()

        def work() -> Any:
            from app.services import hubs, publish
            from app.services.gate import Ask

            way = publish.Way(hubs.rate(limit), window)
            return publish.run(ws, ref, target, way=way, ask=Ask(audience, purpose, reason))

        self._begin(work)
