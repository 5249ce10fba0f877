"""The keys of the place one is in, in groups, drawn from ACTIONS; from here to the manual, the keymap and the first steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, QSize, Qt, QUrl
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QTextDocument
from PySide6.QtWidgets import QHBoxLayout, QTextBrowser, QVBoxLayout, QWidget

import app
from app import i18n
from app.desktop import actions, theme, widgets
from app.desktop.actions import SECTIONS, Action
from app.desktop.overlaid import Overlaid
from app.desktop.painted import painted
from app.desktop.widgets import button, column, draw_key, label, row, say
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.window import Window

COLUMNS = 3
LINE_PX = 26


def groups(place: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Caption and (keys, what they do) of everything with a key in a place; rows of one action a digit are one line."""
    found = []
    # What is done in this place first, what can be done everywhere last.
    for _, caption, rows in sorted(SECTIONS, key=lambda section: section[0] == "frame"):
        lines: list[tuple[str, str]] = []
        numbered: dict[str, list[Action]] = {}
        for action in rows:
            if action.place not in ("any", place) or not actions.keys_of(action.id):
                continue
            if action.n:
                numbered.setdefault(action.text, []).append(action)
            else:
                caps = "  ".join(actions.shown(k) for k in actions.keys_of(action.id)[:2])
                lines.append((caps, action.name))
        for text, many in numbered.items():
            ends = f"{actions.key(many[0].id)} – {actions.key(many[-1].id)}"
            lines.append((ends, tr(text, n="1–" + str(len(many)))))
        if lines:
            found.append((tr(caption), lines))
    return found


class _Line(QWidget):
    """A key and what it does."""

    def __init__(self, keys: str, what: str) -> None:
        super().__init__()
        self.keys, self.what = keys, what
        self.setFixedHeight(LINE_PX)
        self.setAccessibleName(f"{what}: {keys}")

    def sizeHint(self) -> QSize:
        return QSize(300, LINE_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._draw(p)

    def _draw(self, p: QPainter) -> None:
        t = theme.current()
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        left = 0
        for cap in self.keys.split("  "):
            p.setFont(theme.font(10, bold=True))
            wide = max(20, QFontMetrics(p.font()).horizontalAdvance(cap) + 12)
            draw_key(p, QRect(left, 4, wide, 18), cap)
            left += wide + 4
        left = max(left + 8, 96)
        p.setFont(theme.font(12))
        p.setPen(QColor(t.text))
        room = self.width() - left
        text = QFontMetrics(p.font()).elidedText(self.what, Qt.TextElideMode.ElideRight, room)
        p.drawText(QRect(left, 0, room, LINE_PX), Qt.AlignmentFlag.AlignVCenter, text)


class HelpSheet(Overlaid):
    """See the module."""

    def __init__(self, parent: QWidget, window: Window) -> None:
        super().__init__(parent, min(1080, parent.width() - 48))
        self.window_ = window
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 24, 0, 24)
        outer.addStretch(1)
        outer.addWidget(self.card, 20, Qt.AlignmentFlag.AlignHCenter)
        outer.addStretch(1)
        inside = column(self.card, gap=14, margins=(28, 22, 28, 18))
        place = window.place or "any"
        names = {a.id: a.name for a in actions.ACTIONS}
        title = names.get(f"place.{place}", "")
        head = row()
        head.addWidget(label("Keys", "title"))
        where = label(kind="second")
        where.setText(title)
        head.addWidget(where)
        head.addStretch()
        inside.addLayout(head)
        held = QWidget()
        across = QHBoxLayout(held)
        across.setContentsMargins(0, 0, 0, 0)
        across.setSpacing(28)
        for part in _spread(groups(place)):
            box = column(gap=2)
            for caption, lines in part:
                made = label(kind="caption")
                made.setText(caption)
                made.setContentsMargins(0, 8, 0, 4)
                box.addWidget(made)
                for keys, what in lines:
                    box.addWidget(_Line(keys, what))
            box.addStretch()
            across.addLayout(box, 1)
        area = widgets.scroll(held)
        area.setAccessibleName(tr("Keys"))
        inside.addWidget(area, 1)
        foot = row(gap=8)
        foot.addWidget(button("Manual", window.show_manual, icon="help"))
        foot.addWidget(button("Change keys…", self._keys, icon="keys"))
        foot.addWidget(button("First steps again", self._tour))
        foot.addStretch()
        self.shut = button("Close", self.finish, kind="primary")
        foot.addWidget(self.shut)
        inside.addLayout(foot)

    def present(self) -> None:
        """Show it."""
        widgets.repaint_icons(self)
        self.show()
        self.raise_()
        self.shut.setFocus(Qt.FocusReason.OtherFocusReason)

    def _keys(self) -> None:
        self.finish()
        self.window_.show_keys()

    def _tour(self) -> None:
        self.finish()
        self.window_.show_tour()


class ManualSheet(Overlaid):
    """The manual of the language in use; links lead from chapter to chapter, Backspace back."""

    def __init__(self, parent: QWidget, chapter: str = "index") -> None:
        super().__init__(parent, min(920, parent.width() - 48))
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 24, 0, 24)
        outer.addWidget(self.card, 1, Qt.AlignmentFlag.AlignHCenter)
        inside = column(self.card, gap=12, margins=(28, 22, 16, 18))
        head = row()
        head.addWidget(label("Manual", "title"))
        head.addStretch()
        inside.addLayout(head)
        self.text = say(QTextBrowser(), tip="Manual")
        self.text.setOpenExternalLinks(False)
        self.text.setFrameShape(QTextBrowser.Shape.NoFrame)
        inside.addWidget(self.text, 1)
        foot = row(gap=8)
        foot.addWidget(button("Contents", lambda: self.show_chapter("index")))
        foot.addStretch()
        self.shut = button("Close", self.finish, kind="primary")
        foot.addWidget(self.shut)
        inside.addLayout(foot)
        self.show_chapter(chapter)

    def show_chapter(self, chapter: str) -> None:
        """Turn to a chapter; to the contents when it is not written in this language."""
        folder = Path(app.__file__).parent / "manual" / ("zh" if i18n.language() == "zh_CN" else "en")
        target = folder / f"{chapter}.md"
        if not target.exists():
            target = folder / "index.md"
        self.text.setSource(QUrl.fromLocalFile(str(target)), QTextDocument.ResourceType.MarkdownResource)

    def present(self) -> None:
        """Show it."""
        self.show()
        self.raise_()
        self.text.setFocus(Qt.FocusReason.OtherFocusReason)


def _spread(found: list[tuple[str, list[tuple[str, str]]]]) -> list[list[tuple[str, list[tuple[str, str]]]]]:
    """The groups over a few columns of about one height; a long group may go on in the next column."""
    total = sum(len(lines) + 2 for _, lines in found)
    most = max(8, -(-total // COLUMNS) + 1)
    parts: list[list[tuple[str, list[tuple[str, str]]]]] = [[]]
    used = 0
    for caption, lines in found:
        rest = lines
        while rest:
            room = most - used - 2
            if room < 3 and len(parts) < COLUMNS:
                parts.append([])
                used, room = 0, most - 2
            take = len(rest) if len(parts) == COLUMNS else min(len(rest), room)
            parts[-1].append((caption, rest[:take]))
            rest, used = rest[take:], used + take + 2
    return parts
