"""The layout a person left: window, side panels, focus mode; and where they were, to go on from there."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QObject, Qt
from PySide6.QtWidgets import QSplitter, QWidget

if TYPE_CHECKING:
    from app.desktop.window import Window

SIDES = ("left", "right")


class Layout(QObject):
    """Puts the remembered layout in force and remembers changes. Belongs to one window."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.window_, self.memory = window, window.desk.memory
        self.focused = False
        self._before: dict[str, bool] = {}
        annotate = window.annotate
        self.splitter: QSplitter = annotate.splitter
        self.panels: dict[str, QWidget] = {"left": annotate.left, "right": annotate.right}
        self.splitter.splitterMoved.connect(lambda *_: self._remember())
        annotate.picture_changed.connect(self._remember_picture)

    # --- window and panels ---------------------------------------------------------------------------------------

    def restore(self) -> None:
        """The window where it was, its panels as wide and as open as they were."""
        try:
            kept = base64.b64decode(self.memory.get("window", ""), validate=True)
        except (ValueError, binascii.Error):
            kept = b""
        if kept:
            self.window_.restoreGeometry(QByteArray(kept))
        sizes = self.memory.get("panels", [])
        if len(sizes) == 3 and all(isinstance(s, int) and s >= 0 for s in sizes) and sizes[1] > 0:
            self.splitter.setSizes(sizes)
        for side in SIDES:
            self.panels[side].setVisible(self.memory.get(f"panel.{side}", True))

    def keep(self) -> None:
        """Remember the window as it stands."""
        if self.focused:
            self.focus_mode()
        self.memory.put("window", base64.b64encode(self.window_.saveGeometry().data()).decode())
        self._remember()

    def toggle(self, side: str) -> None:
        """Show or hide a side panel."""
        panel = self.panels[side]
        panel.setVisible(panel.isHidden())
        self.memory.put(f"panel.{side}", not panel.isHidden())

    def focus_mode(self) -> None:
        """Only the picture: no panels, no bars; again: as it was."""
        window = self.window_
        parts = {**self.panels, "top": window.top, "strip": window.annotate.below, "status": window.bottom}
        self.focused = not self.focused
        if self.focused:
            self._before = {name: not part.isHidden() for name, part in parts.items()}
        for name, part in parts.items():
            part.setVisible(not self.focused and self._before.get(name, True))
        window.refocus()

    def full_screen(self) -> None:
        """The whole screen, or the window again."""
        self.window_.setWindowState(self.window_.windowState() ^ Qt.WindowState.WindowFullScreen)

    def _remember(self) -> None:
        if not any(panel.isHidden() for panel in self.panels.values()):
            self.memory.put("panels", self.splitter.sizes())

    # --- where one was -------------------------------------------------------------------------------------------

    def _remember_picture(self) -> None:
        desk = self.window_.desk
        if desk.ws is not None and desk.dataset is not None and desk.document.asset_id is not None:
            here = [desk.dataset.uid, desk.document.asset_id]
            self.memory.put("was", {**self.memory.get("was", {}), desk.ws.location: here})

    def was(self) -> tuple[str, int] | None:
        """Dataset (uid) and picture in which this workspace was left, or None."""
        ws = self.window_.desk.ws
        found = self.memory.get("was", {}).get(ws.location) if ws is not None else None
        match found:
            case [str(uid), int(asset_id)]:
                return uid, asset_id
            case _:
                return None

    def go_on(self) -> None:
        """Open the picture this workspace was left in."""
        found, desk = self.was(), self.window_.desk
        data = next((d for d in desk.datasets if found and d.uid == found[0]), None)
        if found is not None and data is not None:
            desk.choose_dataset(data.id)
            self.window_.show_asset(found[1])
