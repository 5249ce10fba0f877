"""The sheet that takes a version out into a new folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.desktop import widgets
from app.desktop.overlaid import Sheet
from app.desktop.widgets import label
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.window import Window


def ask(window: Window, tag: str = "") -> Sheet | None:
    """Ask where to; tag: the version's, "" = the newest. Without a version, one is frozen first."""
    desk, ref = window.desk, window.sheets.version(tag)
    ws = desk.ws
    if ws is None or not ref:
        return None

    def go() -> None:
        out = Path(folder.text().strip()).expanduser()
        how: Any = pictures()

        def work():
            from app.services import versions

            return versions.checkout(ws, ref, out, pictures=how)

        window.sheets.close()
        desk.start(lambda: tr("Check out · {name}", name=ref), work)

    sheet = window.sheets.hold(
        Sheet(window.body, "Check a version out",
              "Pictures at their names, annotations, label schema, root and signatures, into a new folder; every byte is proved.",
              "Check out", go)
    )  # fmt: skip
    named = label(kind="second")
    named.setText(ref)
    sheet.body.addWidget(named)
    folder = sheet.path_field("Folder", hint="A new folder")
    pictures = sheet.choices(
        "Pictures", [("copy", tr("Copy")), ("link", tr("Link")), ("none", tr("None"))], "copy"
    )
    sheet.verb.setEnabled(False)
    folder.textChanged.connect(lambda text: sheet.verb.setEnabled(bool(text.strip())))
    widgets.repaint_icons(sheet)
    sheet.present(folder)
    return sheet


def rebuild(window: Window, tag: str = "") -> None:
    """Make a version's manifest anew from its sources and the record."""
    desk = window.desk
    ws, data = desk.ws, desk.dataset
    tag = tag or (data.last_tag if data else "") or ""
    if ws is None or data is None or not tag:
        return
    ref = f"{data.name}@{tag}"

    def work():
        from app.services import versions

        return versions.rebuild(ws, ref)

    desk.start(lambda: tr("Rebuild · {name}", name=ref), work)
