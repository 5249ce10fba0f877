"""Icons by our own names, drawn in the colours of the theme."""

from __future__ import annotations

from functools import lru_cache

import qtawesome
from PySide6.QtGui import QIcon, QPixmap

NAMES = {
    "add": "mdi6.plus",
    "folder": "mdi6.folder-outline",
    "pictures": "mdi6.image-plus-outline",
    "import": "mdi6.file-import-outline",
    "export": "mdi6.file-export-outline",
    "model": "mdi6.auto-fix",
    "freeze": "mdi6.snowflake",
    "verify": "mdi6.shield-check-outline",
    "search": "mdi6.magnify",
    "undo": "mdi6.undo-variant",
    "redo": "mdi6.redo-variant",
    "close": "mdi6.close",
    "theme": "mdi6.theme-light-dark",
    "problem": "mdi6.alert-circle-outline",
    "check": "mdi6.check",
    "accept": "mdi6.check-all",
    "reject": "mdi6.close-circle-outline",
    "delete": "mdi6.trash-can-outline",
    "box": "mdi6.vector-square",
    "polygon": "mdi6.vector-polygon",
    "rotated_box": "mdi6.vector-rectangle",
    "quad": "mdi6.vector-square-edit",
    "ellipse": "mdi6.ellipse-outline",
    "cuboid": "mdi6.cube-outline",
    "polyline": "mdi6.vector-polyline",
    "slice": "mdi6.box-cutter",
    "keypoints": "mdi6.human",
    "points": "mdi6.vector-point",
    "brush": "mdi6.brush",
    "eraser": "mdi6.eraser",
    "tag": "mdi6.tag-outline",
    "caption": "mdi6.card-text-outline",
    "lock": "mdi6.lock-outline",
    "unlock": "mdi6.lock-open-variant-outline",
    "eye": "mdi6.eye-outline",
    "hidden": "mdi6.eye-off-outline",
    "link": "mdi6.link-variant",
    "group": "mdi6.group",
    "copy": "mdi6.content-copy",
    "cut": "mdi6.content-cut",
    "paste": "mdi6.content-paste",
    "raise": "mdi6.arrange-bring-forward",
    "lower": "mdi6.arrange-send-backward",
    "union": "mdi6.vector-union",
    "subtract": "mdi6.vector-difference-ab",
    "intersect": "mdi6.vector-intersection",
    "join": "mdi6.vector-combine",
    "convert": "mdi6.swap-horizontal",
    "magnet": "mdi6.magnet",
    "select": "mdi6.cursor-default-outline",
    "fit": "mdi6.fit-to-page-outline",
    "next": "mdi6.chevron-right",
    "previous": "mdi6.chevron-left",
    "down": "mdi6.chevron-down",
    "home": "mdi6.view-dashboard-outline",
    "gallery": "mdi6.view-grid-outline",
    "annotate": "mdi6.vector-square-edit",
    "versions": "mdi6.source-branch",
    "lineage": "mdi6.family-tree",
    "report": "mdi6.file-chart-outline",
    "tasks": "mdi6.progress-clock",
    "person": "mdi6.account-outline",
    "language": "mdi6.translate",
    "open": "mdi6.folder-open-outline",
    "database": "mdi6.database-outline",
    "hub": "mdi6.cloud-upload-outline",
    "pin": "mdi6.pin-outline",
    "settings": "mdi6.cog-outline",
    "keys": "mdi6.keyboard-outline",
    "help": "mdi6.help-circle-outline",
    "history": "mdi6.history",
    "star": "mdi6.star-outline",
    "rising": "mdi6.sort-ascending",
    "falling": "mdi6.sort-descending",
    "back": "mdi6.undo",
    "remark": "mdi6.comment-outline",
    "scissors": "mdi6.content-cut",
    "grabcut": "mdi6.selection-ellipse-arrow-inside",
    "wand": "mdi6.magic-staff",
    "prompt": "mdi6.creation",
}


@lru_cache(maxsize=512)
def icon(name: str, colour: str) -> QIcon:
    """The icon in one colour "#rrggbb"."""
    return qtawesome.icon(NAMES[name], color=colour)


@lru_cache(maxsize=512)
def pixmap(name: str, colour: str, side_px: int) -> QPixmap:
    """The icon as a square picture."""
    return icon(name, colour).pixmap(side_px, side_px)
