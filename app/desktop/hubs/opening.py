"""How the sheets of hubs are opened over the window, and lead to one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout

from app.desktop.hubs.adding import AddHubSheet
from app.desktop.hubs.publishing import PublishSheet
from app.desktop.hubs.shelf import HubsSheet
from app.desktop.widgets import button, row
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.sheets import Sheets


def publish(sheets: Sheets, tag: str) -> None:
    """Send a version of the open dataset to a hub; the last one where none is named. Without any, one is frozen first."""
    desk, ref = sheets.desk, sheets.version(tag)
    ws = desk.ws
    if ws is None or not ref:
        return

    def start(work: Callable) -> None:
        sheets.close()
        desk.start(lambda: tr("Publish · {name}", name=ref), work)

    def read() -> list[str]:
        from app.services import hubs

        return [hub.name for hub in hubs.listing(ws)]

    def known(names: list[str]) -> None:
        sheet = PublishSheet(
            sheets.window.body, desk, ref, names, start, sheets.hubs, sheets.window.show_query
        )
        sheets.hold(sheet)
        sheet.present(sheet.verb if names else sheet.folder)

    desk.ask(read, known)


def show(sheets: Sheets, name: str = "") -> None:
    """The list of hubs, with one of them chosen."""
    if sheets.desk.ws is None:
        return
    made = HubsSheet(sheets.window.body, sheets.desk, sheets.add_hub)
    made.chosen = name
    made.body.addLayout(_roads(sheets))
    sheets.hold(made)
    made.present()


def _roads(sheets: Sheets) -> QHBoxLayout:
    """A way to what else is done with hubs."""
    from app.desktop import actions  # the table names this module's sheets

    window = sheets.window
    line = row(gap=12)

    def go(action: actions.Action) -> None:
        sheets.close()
        window.trigger(action)

    for name in ("receive", "receipts", "shuttle", "hubjobs", "audit"):
        action = actions.BY_ID[name]
        if window.can(action):
            line.addWidget(button(action.text, lambda action=action: go(action), kind="link"))
    line.addStretch()
    return line


def add(sheets: Sheets) -> None:
    """Name another hub; then the list shows it."""
    if sheets.desk.ws is None:
        return
    sheet = AddHubSheet(sheets.window.body, sheets.desk, sheets.hubs)
    sheets.hold(sheet)
    sheet.present(sheet.name)
