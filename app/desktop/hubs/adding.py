"""The form that names a hub: a folder, or a bucket of an S3-compatible store. It is tried before it is kept for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QCheckBox, QLineEdit, QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop.desk import Desk
from app.desktop.overlaid import Sheet
from app.desktop.widgets import column, row, say
from app.i18n import tr

if TYPE_CHECKING:
    from app.services.hubs import Hub


class AddHubSheet(Sheet):
    """See the module. `added` is told the name of the new hub."""

    def __init__(self, parent: QWidget, desk: Desk, added: Callable[[str], None]) -> None:
        super().__init__(
            parent,
            "Add a hub",
            "A name for the place; what it can do is tried with tiny objects afterwards.",
            "Add it",
            self._go,
            width=640,
        )
        self.desk, self._added = desk, added
        self.name = self.text_field("Name", hint="As people here call it")
        self.kind = self.choices(
            "Kind", [("s3", tr("S3 store")), ("folder", tr("Folder"))], "s3", lambda _: self._show()
        )
        outer = self.body
        self.of_s3, self.of_folder = QWidget(), QWidget()
        self.body = column(self.of_s3, gap=12)
        self.address = self.text_field("Address", hint="https://s3.example.org")
        self.bucket, self.prefix = self._pair(
            "Bucket", "Its name at the store", "Folder within it", "may be empty"
        )
        self.access, self.secret = self._pair(
            "Access key", "As the store's keeper gave it", "Secret key", "kept in the system's key store"
        )
        self.secret.setEchoMode(QLineEdit.EchoMode.Password)
        self.region, self.ca = self._pair(
            "Region", "us-east-1", "Certificate of its authority", "a PEM file, or empty"
        )
        self.virtual = say(QCheckBox(), "The bucket is part of the host's name")
        self.body.addWidget(self.virtual)
        self.body = column(self.of_folder, gap=12)
        self.folder = self.path_field("Folder", hint="A folder, for example on a shared disk")
        self.body = outer
        outer.addWidget(self.of_s3)
        outer.addWidget(self.of_folder)
        self.limit, self.hours = self._pair(
            "Bytes a second at most",
            "as 10M; empty: as fast as it goes",
            "Hours of the day",
            "as 22:00-06:00; empty: always",
        )
        for edit in (self.name, self.address, self.bucket, self.access, self.secret, self.folder):
            edit.textChanged.connect(lambda _: self._check())
        self._show()

    def _pair(self, one: str, hint: str, other: str, other_hint: str) -> tuple[QLineEdit, QLineEdit]:
        """Two fields side by side."""
        outer, line = self.body, row(gap=12)
        made: list[QLineEdit] = []
        for caption, text in ((one, hint), (other, other_hint)):
            self.body = column(gap=4)
            made.append(say(self.text_field(caption, hint=text), spoken=caption))
            line.addLayout(self.body, 1)
        self.body = outer
        outer.addLayout(line)
        return made[0], made[1]

    def _show(self) -> None:
        s3 = self.kind() == "s3"
        self.of_s3.setVisible(s3)
        self.of_folder.setVisible(not s3)
        self._check()

    def _check(self) -> None:
        need = [
            self.name,
            *(
                (self.address, self.bucket, self.access, self.secret)
                if self.kind() == "s3"
                else (self.folder,)
            ),
        ]
        self.verb.setEnabled(all(edit.text().strip() for edit in need))
        self.show_fault("")

    def _go(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return
        text: dict[str, Any] = {"limit": self.limit.text(), "window": self.hours.text()}
        name, folder, is_s3 = self.name.text().strip(), self.folder.text().strip(), self.kind() == "s3"
        s3: dict[str, Any] = {
            "endpoint": self.address.text().strip(), "bucket": self.bucket.text().strip(), "prefix": self.prefix.text().strip(),
            "access": self.access.text().strip(), "secret": self.secret.text(), "region": self.region.text().strip() or "us-east-1",
            "ca": self.ca.text().strip(), "virtual": self.virtual.isChecked(),
        }  # fmt: skip

        def work() -> Hub:
            from app.services import hubs

            if is_s3:
                return hubs.add_s3(ws, name, **s3, **text)
            return hubs.add_folder(ws, name, Path(folder), **text)

        self.verb.setEnabled(False)
        self.desk.ask(
            work, self.while_open(lambda hub: self._added(hub.name)), self.while_open(self._refused)
        )

    def _refused(self, fault: BaseException) -> None:
        self.verb.setEnabled(True)
        if not isinstance(fault, LamproomError):
            raise fault
        self.show_fault(i18n.tr_fault(fault))
