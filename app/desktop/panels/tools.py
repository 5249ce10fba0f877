"""The row of tools: one button a family, with the variant used last; a small arrow opens the others.

When the row is narrower than its names, the names give way and icons and keys stay: nothing is ever cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QPoint, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QResizeEvent
from PySide6.QtWidgets import QWidget

from app.desktop import actions, icons, theme
from app.desktop.menu import Entry, Menu
from app.desktop.widgets import Painted, Tool, row, say
from app.i18n import tr

_ARROW_PX = 20


@dataclass(frozen=True, slots=True)
class Family:
    """Tools that take each other's place in the row, by name: (tool, action, icon)."""

    name: str
    variants: tuple[tuple[str, str, str], ...]


FAMILIES: tuple[Family, ...] = (
    Family("select", (("select", "tool.select", "select"),)),
    Family(
        "boxes",
        (
            ("box", "tool.box", "box"),
            ("rotated_box", "tool.rotated_box", "rotated_box"),
            ("quad", "tool.quad", "quad"),
            ("ellipse", "tool.ellipse", "ellipse"),
            ("cuboid", "tool.cuboid", "cuboid"),
        ),
    ),
    Family(
        "lines",
        (
            ("polygon", "tool.polygon", "polygon"),
            ("polyline", "tool.polyline", "polyline"),
            ("slice", "tool.slice", "slice"),
        ),
    ),
    Family("points", (("keypoints", "tool.keypoints", "keypoints"), ("points", "tool.points", "points"))),
    Family("brush", (("brush", "tool.brush", "brush"),)),
    Family(
        "smart",
        (
            ("scissors", "tool.scissors", "scissors"),
            ("grabcut", "tool.grabcut", "grabcut"),
            ("wand", "tool.wand", "wand"),
            ("prompt", "tool.prompt", "prompt"),
        ),
    ),
    Family("whole", (("tag", "tool.tag", "tag"), ("caption", "caption", "caption"))),
)


class Arrow(Painted):
    """The small arrow beside a family."""

    def __init__(self) -> None:
        super().__init__(32)
        self.setFixedWidth(16)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def sizeHint(self) -> QSize:
        return QSize(16, 32)

    def draw(self, p: QPainter) -> None:
        t = theme.current()
        if self._hot:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.raised))
            p.drawRoundedRect(self.rect().adjusted(0, 3, 0, -3), 4, 4)
        p.drawPixmap(QPoint(1, 9), icons.pixmap("down", t.text if self._hot else t.second, 14))


class ToolRow(QWidget):
    """The families in a row; `picked` names a tool."""

    picked = Signal(str)

    def __init__(self, families: tuple[Family, ...] = FAMILIES, used: Callable[[], list[str]] = list) -> None:
        super().__init__()
        self.families = families
        self._now = "select"
        line = row(self, gap=4)
        self._buttons: dict[str, Tool] = {}
        self._shown: dict[str, str] = {}
        last = used()
        for family in families:
            names = [name for name, _, _ in family.variants]
            self._shown[family.name] = next((n for n in last if n in names), names[0])
            made = Tool("", "")
            made.setObjectName(f"tool-{family.name}")
            made.clicked.connect(lambda _=False, f=family: self._clicked(f))
            self._buttons[family.name] = made
            line.addWidget(made)
            if len(family.variants) > 1:
                arrow = say(Arrow(), tip="More tools of this kind")
                arrow.clicked.connect(lambda _=False, f=family, at=made: self._open(f, at))
                line.setSpacing(2)
                line.addWidget(arrow)
        line.addStretch()
        self.retranslate()

    @property
    def last_used(self) -> list[str]:
        """The variant each family shows, for the settings."""
        return list(self._shown.values())

    def mark(self, tool: str) -> None:
        """This tool is in hand."""
        self._now = tool
        for family in self.families:
            if tool in [name for name, _, _ in family.variants]:
                self._shown[family.name] = tool
        self.retranslate()

    def retranslate(self) -> None:
        """Names, keys and icons of what each family shows now."""
        for family in self.families:
            made = self._buttons[family.name]
            name, action, icon = next(v for v in family.variants if v[0] == self._shown[family.name])
            made.key, made.icon_name = actions.key(action), icon
            say(made, actions.BY_ID[action].text)
            made.setToolTip(f"{made.text()}  {made.key}")
            made.setChecked(name == self._now)
            made.updateGeometry()
            made.update()
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._fit()

    def _fit(self) -> None:
        """Names where there is room for all of them, else icons and keys, at last icons alone."""
        buttons = list(self._buttons.values())
        arrows = sum(_ARROW_PX for f in self.families if len(f.variants) > 1)
        for named, keyed in ((True, True), (False, True), (False, False)):
            for made in buttons:
                made.named, made.keyed = named, keyed
            if sum(made.sizeHint().width() + 4 for made in buttons) + arrows <= self.width():
                break
        for made in buttons:
            made.updateGeometry()
            made.update()

    def minimumSizeHint(self) -> QSize:
        arrows = sum(_ARROW_PX for f in self.families if len(f.variants) > 1)
        return QSize(40 * len(self._buttons) + arrows, 32)

    def sizeHint(self) -> QSize:
        return self.minimumSizeHint()

    def _clicked(self, family: Family) -> None:
        self.picked.emit(self._shown[family.name])
        self.retranslate()

    def _open(self, family: Family, at: QWidget) -> None:
        entries = [
            Entry(
                tr(actions.BY_ID[a].text),
                actions.key(a),
                lambda n=n: self.picked.emit(n),
                icon=i,
                checked=n == self._now,
            )
            for n, a, i in family.variants
        ]
        over = getattr(self.window(), "body", self.window())
        Menu(over, entries).open_at(at.mapTo(over, QPoint(0, at.height() + 4)))
