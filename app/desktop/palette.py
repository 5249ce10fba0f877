"""Everything by name: the command palette over the desk, and the small chooser of classes at the pointer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from annotation.schema import Label
from app import i18n
from app.desktop import actions, finding, theme, widgets
from app.desktop.overlaid import Overlaid
from app.desktop.painted import guarded
from app.desktop.widgets import column, draw_key, draw_swatch, label, look, say
from app.i18n import tr
from app.services import browse
from app.services.browse import Query

if TYPE_CHECKING:
    from app.desktop.window import Window

LINE_PX = 36
_SHOWN, _RECENT = 60, 12
_KEY, _SECOND, _SWATCH = (Qt.ItemDataRole.UserRole + i for i in (1, 2, 3))


@dataclass(frozen=True, slots=True)
class Entry:
    """A line: what is read, what it does, what else it is found by. `id`: by which it is remembered, "" = it is not."""

    text: str
    run: Callable[[], object]
    second: str = ""
    key: str = ""
    names: tuple[str, ...] = ()
    words: str = ""
    id: str = ""
    swatch: str = ""


def rank(entries: Sequence[Entry], typed: str, recent: Sequence[str]) -> list[Entry]:
    """The entries that fit, best first; those used last stand higher, and first while nothing is typed."""
    place = {one: i for i, one in enumerate(recent)}
    if not typed.strip():
        return sorted(entries, key=lambda e: place.get(e.id, len(place)))
    found = []
    for entry in entries:
        fit = finding.score(typed, (entry.text, *entry.names), entry.words)
        if fit is not None:
            late = place.get(entry.id)
            found.append((fit + (6.0 - min(late, 6) if late is not None else 0.0), entry))
    return [entry for _, entry in sorted(found, key=lambda pair: -pair[0])]


class _Lines(QStyledItemDelegate):
    """A line: swatch, name, where it belongs, key."""

    def paint(self, p: QPainter, option: QStyleOptionViewItem, index) -> None:
        p.save()
        with guarded("a line of the palette"):
            self._draw(p, option, index)
        p.restore()

    def _draw(self, p: QPainter, option: QStyleOptionViewItem, index) -> None:
        t = theme.current()
        box: QRect = option.rect  # type: ignore[attr-defined]
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        state = option.state  # type: ignore[attr-defined]
        if state & QStyle.StateFlag.State_Selected:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.raised))
            p.drawRoundedRect(box.adjusted(0, 1, 0, -1), 6, 6)
            p.setBrush(QColor(t.accent))
            p.drawRoundedRect(QRect(box.left(), box.top() + 9, 3, box.height() - 18), 1.5, 1.5)
        left, right = box.left() + 16, box.right() - 12
        if swatch := index.data(_SWATCH):
            draw_swatch(p, QRectF(left, box.center().y() - 6, 12, 12), swatch)
            left += 24
        if key := index.data(_KEY):
            p.setFont(theme.font(10, bold=True))
            wide = QFontMetrics(p.font()).horizontalAdvance(key) + 12
            draw_key(p, QRect(right - wide, box.center().y() - 9, wide, 19), key)
            right -= wide + 12
        p.setFont(theme.font(13))
        metrics = QFontMetrics(p.font())
        text = index.data(Qt.ItemDataRole.DisplayRole)
        own = min(metrics.horizontalAdvance(text), right - left)
        p.setPen(QColor(t.text))
        p.drawText(
            QRect(left, box.top(), own + 2, box.height()),
            Qt.AlignmentFlag.AlignVCenter,
            metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, own + 2),
        )
        room = right - left - own - 16
        if (second := index.data(_SECOND)) and room > 24:
            p.setFont(theme.font(12))
            p.setPen(QColor(t.second))
            cut = QFontMetrics(p.font()).elidedText(second, Qt.TextElideMode.ElideLeft, room)
            p.drawText(
                QRect(right - room, box.top(), room, box.height()),
                Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight,
                cut,
            )

    def sizeHint(self, option: QStyleOptionViewItem, index):
        size = super().sizeHint(option, index)
        size.setHeight(LINE_PX)
        return size


class Finder(QWidget):
    """A line to type in and the list it narrows."""

    taken = Signal(object)
    typed = Signal(str)
    resized = Signal()

    def __init__(
        self, entries: Sequence[Entry], hint: str, *, lines: int, recent: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self._entries, self._recent, self._lines = list(entries), list(recent), lines
        self._extra: list[Entry] = []
        self.shown: list[Entry] = []
        self.edit = say(look(QLineEdit(), "bare"), hint=hint)
        self.list = QListWidget()
        self.list.setAccessibleName(tr("Found"))
        self.list.setItemDelegate(_Lines(self.list))
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.list.itemClicked.connect(lambda _: self.take())
        self.empty = label("Nothing of that name.", "second")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setFixedHeight(2 * LINE_PX)
        inside = column(self, gap=8)
        inside.addWidget(self.edit)
        inside.addWidget(widgets.rule())
        inside.addWidget(self.list)
        inside.addWidget(self.empty)
        self.edit.textChanged.connect(self._typed)
        self.edit.installEventFilter(self)
        self.fill()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.edit and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            page = max(1, self._lines - 1)
            steps = {
                Qt.Key.Key_Down: 1,
                Qt.Key.Key_Up: -1,
                Qt.Key.Key_PageDown: page,
                Qt.Key.Key_PageUp: -page,
            }
            if (step := steps.get(Qt.Key(event.key()))) is not None:
                last = self.list.count() - 1
                self.list.setCurrentRow(min(max(self.list.currentRow() + step, 0), last))
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.take()
                return True
        return False

    def add(self, found: list[Entry]) -> None:
        """More lines below those that fit."""
        self._extra = found
        self.fill()

    def _typed(self, text: str) -> None:
        self._extra = []
        self.fill()
        self.typed.emit(text)

    def fill(self) -> None:
        """Rank and list anew."""
        self.shown = [*rank(self._entries, self.edit.text(), self._recent)[:_SHOWN], *self._extra]
        self.list.clear()
        for entry in self.shown:
            item = QListWidgetItem(entry.text)
            item.setData(_KEY, entry.key)
            item.setData(_SECOND, entry.second)
            item.setData(_SWATCH, entry.swatch)
            self.list.addItem(item)
        self.list.setCurrentRow(0)
        self.list.setFixedHeight(LINE_PX * max(1, min(self._lines, len(self.shown))))
        self.list.setVisible(bool(self.shown))
        self.empty.setVisible(not self.shown)
        self.updateGeometry()  # the card asks for the new size at once, not when the event loop comes round
        self.resized.emit()

    def take(self) -> None:
        """Take the line that is marked."""
        at = self.list.currentRow()
        if 0 <= at < len(self.shown):
            self.taken.emit(self.shown[at])


class Palette(Overlaid):
    """Actions, classes, datasets and pictures by name; what was used last stands first."""

    def __init__(
        self,
        parent: QWidget,
        entries: Sequence[Entry],
        search: Callable[[str, Callable[[list[Entry]], None]], None],
        recent: Sequence[str] = (),
        used: Callable[[str], None] = lambda _: None,
    ):
        super().__init__(parent, 640)
        self._search, self._used = search, used
        self.finder = Finder(
            entries, hint="Search actions, classes, datasets, pictures…", lines=10, recent=recent
        )
        self.edit = self.finder.edit
        inside = column(self.card, margins=(12, 8, 12, 12))
        inside.addWidget(self.finder)
        self.card.setParent(self)
        self.finder.typed.connect(self._typed)
        self.finder.taken.connect(self._take)
        self.finder.resized.connect(self._place)

    @property
    def shown(self) -> list[Entry]:
        """The lines, best first."""
        return self.finder.shown

    def present(self) -> None:
        """Show with the focus in the line."""
        self.show()
        self.raise_()
        self._place()
        self.edit.setFocus(Qt.FocusReason.OtherFocusReason)

    def _place(self) -> None:
        self.card.adjustSize()
        self.card.move(QPoint((self.width() - self.card.width()) // 2, max(56, self.height() // 8)))

    def resizeEvent(self, event) -> None:
        self._place()

    def _typed(self, text: str) -> None:
        wanted = text.strip()
        if len(wanted) >= 2:
            self._search(wanted, lambda found: self._found(wanted, found))

    def _found(self, wanted: str, found: list[Entry]) -> None:
        if self.isVisible() and self.edit.text().strip() == wanted:
            self.finder.add(found)

    def _take(self, entry: Entry) -> None:
        if entry.id:
            self._used(entry.id)
        self.finish()
        entry.run()


class Chooser(Overlaid):
    """One of a few by name, beside a point of the window; the desk stays visible under it."""

    WIDTH = 280

    def __init__(self, parent: QWidget, entries: Sequence[Entry], at: QPoint, *, hint: str) -> None:
        super().__init__(parent, self.WIDTH)
        self.dimmed = False
        self._at = at
        self.finder = Finder(entries, hint=hint, lines=8)
        inside = column(self.card, margins=(8, 6, 8, 8))
        inside.addWidget(self.finder)
        self.card.setParent(self)
        self.finder.taken.connect(self._take)
        self.finder.resized.connect(self._place)

    def present(self) -> None:
        """Show with the focus in the line."""
        self.show()
        self.raise_()
        self._place()
        self.finder.edit.setFocus(Qt.FocusReason.OtherFocusReason)

    def _place(self) -> None:
        self.card.adjustSize()
        size = self.card.size()
        x = min(self._at.x() + 12, self.width() - size.width() - 8)
        y = min(self._at.y() + 12, self.height() - size.height() - 8)
        self.card.move(max(8, x), max(8, y))

    def _take(self, entry: Entry) -> None:
        self.finish()
        entry.run()


def both(text: str) -> tuple[str, ...]:
    """The other languages' names of a text of ours: its English, its Chinese."""
    chinese = i18n.catalogue("zh_CN").get(text, "")
    return tuple(one for one in (text, chinese) if one and one != tr(text))


def label_entry(one: Label, run: Callable[[], object], *, second: str = "", key: str = "") -> Entry:
    """A class, found by both its names, its code and its aliases."""
    name = one.name(i18n.language())
    others = tuple(n for n in (one.name_zh, one.name_en) if n != name)
    words = " ".join((one.code, *one.aliases))
    return Entry(name, run, second, key, others, words, f"class:{one.code}", one.color)


def entries(window: Window) -> list[Entry]:
    """Everything the palette finds at once."""
    desk = window.desk
    places = {"annotate": tr("Annotate"), "gallery": tr("Gallery")}
    found = [
        Entry(
            action.name,
            lambda action=action: window.run(action),
            places.get(action.place, ""),
            actions.key(action.id),
            both(action.text),
            f"{action.words} {action.id.replace('.', ' ')}",
            action.id,
        )
        for action in actions.ACTIONS
        if action.listed and window.can(action)
    ]
    for one in desk.labels():
        key = window.annotate.classing.key(one.code)
        found.append(
            label_entry(one, lambda code=one.code: desk.choose_label(code), second=tr("Class"), key=key)
        )
    found.extend(
        Entry(data.name, lambda i=data.id: window.show_dataset(i), tr("Dataset"), id=f"dataset:{data.uid}")
        for data in desk.datasets
    )
    return found


def pictures(window: Window, text: str, told: Callable[[list[Entry]], None]) -> None:
    """Pictures whose path holds the text, read on a reader thread."""
    ws, data = window.desk.ws, window.desk.dataset
    if ws is None or data is None:
        return

    def done(rows: list[browse.ItemRow]) -> None:
        told(
            [Entry(Path(r.path).name, lambda i=r.asset_id: window.show_asset(i), second=r.path) for r in rows]
        )

    query = Query(data.id, text=text)
    window.desk.tasks.readers.submit(
        lambda: browse.page(ws, query, limit=12), done, window.desk.fault, key="palette"
    )


def remember(window: Window, entry_id: str) -> None:
    """What was used last, newest first."""
    kept = [one for one in window.desk.memory.get("recent", []) if one != entry_id]
    window.desk.memory.put("recent", [entry_id, *kept][:_RECENT])
