"""Send a version to a hub: which one, how much that would be, how fast and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop.desk import Desk
from app.desktop.models import words
from app.desktop.overlaid import Sheet
from app.desktop.widgets import button, column, label, number
from app.i18n import tr

if TYPE_CHECKING:
    from app.events import Work
    from app.services.publish import Estimate

FOLDER = ""
"""The choice of a folder without a name."""


class PublishSheet(Sheet):
    """See the module. `start` begins the work; `hubs` are the names of those known; `manage` opens their list."""

    def __init__(
        self,
        parent: QWidget,
        desk: Desk,
        ref: str,
        hubs: list[str],
        start: Callable[[Callable[[], Work]], None],
        manage: Callable[[], None],
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
        self.limit = self.text_field("Bytes a second at most", hint="as 10M; empty: as fast as it goes")
        self.hours = self.text_field("Hours of the day", hint="as 22:00-06:00; empty: always")
        self.reason = self.text_field(
            "Your reason to let it leave against its policy tags", hint="empty: what may not leave is refused",
            note="It is kept in the audit log under your name.",
        )  # fmt: skip
        outer.addWidget(button("Hubs…", manage, kind="link"), 0, Qt.AlignmentFlag.AlignLeft)
        self.folder.textChanged.connect(lambda _: self._check())
        self._show()

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
            self.told.setText(
                tr(
                    "{n} objects, {size} to send; the version holds {all}",
                    n=number(found.objects),
                    size=size,
                    all=all_,
                )
            )

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            if ticket == self._asked:
                self.told.setText(i18n.tr_fault(fault))

        self.desk.ask_far(work, self.while_open(came), self.while_open(failed))

    def _go(self) -> None:
        ws, ref = self.desk.ws, self.ref
        if ws is None:
            return
        target: str | Path = self.chosen() or Path(self.folder.text().strip()).expanduser()
        limit, window, reason = self.limit.text(), self.hours.text().strip(), self.reason.text().strip()

        def work() -> Any:
            from app.services import hubs, publish
            from app.services.gate import Ask

            way = publish.Way(hubs.rate(limit), window)
            return publish.run(ws, ref, target, way=way, ask=Ask(override=reason))

        self._begin(work)
