"""The keymap: every action with its keys, found by name or key; press a new one to set it, and see whom it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QRect, Qt
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QFileDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QVBoxLayout,
    QWidget,
)

from annotation.errors import LamproomError
from app import i18n
from app.desktop import actions, finding, keys, theme, widgets
from app.desktop.actions import SECTIONS, Action, keymap
from app.desktop.desk import Desk
from app.desktop.overlaid import Overlaid
from app.desktop.painted import guarded
from app.desktop.palette import both
from app.desktop.widgets import button, column, draw_key, frame, label, look, row, say
from app.i18n import tr

PLACES = (
    ("", "All"),
    ("any", "Everywhere"),
    ("annotate", "Annotate"),
    ("gallery", "Gallery"),
    ("review", "Review"),
)
LINE_PX = 34
_ID = Qt.ItemDataRole.UserRole + 1
_BARE = {
    Qt.Key.Key_Shift,
    Qt.Key.Key_Control,
    Qt.Key.Key_Alt,
    Qt.Key.Key_Meta,
    Qt.Key.Key_AltGr,
    Qt.Key.Key_CapsLock,
}


def pressed(event: QKeyEvent) -> str:
    """The key of an event as it is kept, "" for a modifier alone."""
    code, held = Qt.Key(event.key()), event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    if code in _BARE or event.key() in (0, int(Qt.Key.Key_unknown)):
        return ""
    symbol = 0x21 <= event.key() <= 0x60 and not (chr(event.key()).isalnum())
    if symbol and held == Qt.KeyboardModifier.ShiftModifier:
        held = Qt.KeyboardModifier.NoModifier  # "?" is the key, on whatever key of the board it lies
    found = QKeySequence(event.key() | held.value)
    return found.toString(QKeySequence.SequenceFormat.PortableText)


class _Lines(QStyledItemDelegate):
    """A line: a dot when changed, the action, its keys."""

    def __init__(self, sheet: KeySheet) -> None:
        super().__init__(sheet.list)
        self.sheet = sheet

    def paint(self, p: QPainter, option, index) -> None:
        p.save()
        with guarded("a line of the keymap"):
            self._draw(p, option, index)
        p.restore()

    def _draw(self, p: QPainter, option, index) -> None:
        t = theme.current()
        box: QRect = option.rect
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        action_id = index.data(_ID)
        if action_id is None:  # the caption of a section
            p.setFont(theme.font(11, bold=True))
            p.setPen(QColor(t.second))
            p.drawText(
                box.adjusted(12, 6, 0, 0),
                Qt.AlignmentFlag.AlignVCenter,
                index.data(Qt.ItemDataRole.DisplayRole),
            )
            return
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if chosen:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.raised))
            p.drawRoundedRect(box.adjusted(0, 1, 0, -1), 6, 6)
        if action_id in keymap.changed():
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.accent))
            p.drawEllipse(box.left() + 3, box.center().y() - 2, 5, 5)
        right = box.right() - 12
        p.setFont(theme.font(10, bold=True))
        if chosen and self.sheet.capturing:
            said = tr("Press a key… Esc leaves it")
            p.setFont(theme.font(12, bold=True))
            p.setPen(QColor(t.accent))
            wide = QFontMetrics(p.font()).horizontalAdvance(said)
            p.drawText(
                QRect(right - wide, box.top(), wide, box.height()), Qt.AlignmentFlag.AlignVCenter, said
            )
            right -= wide + 12
        else:
            for key in reversed(actions.keys_of(action_id)):
                text = actions.shown(key)
                wide = max(20, QFontMetrics(p.font()).horizontalAdvance(text) + 12)
                draw_key(p, QRect(right - wide, box.center().y() - 9, wide, 19), text, lit=chosen)
                right -= wide + 6
        p.setFont(theme.font(13))
        p.setPen(QColor(t.text))
        room = right - box.left() - 24
        text = QFontMetrics(p.font()).elidedText(
            index.data(Qt.ItemDataRole.DisplayRole), Qt.TextElideMode.ElideRight, room
        )
        p.drawText(QRect(box.left() + 16, box.top(), room, box.height()), Qt.AlignmentFlag.AlignVCenter, text)

    def sizeHint(self, option, index):
        size = super().sizeHint(option, index)
        size.setHeight(LINE_PX)
        return size


class KeySheet(Overlaid):
    """See the module. Changes hold at once, everywhere."""

    def __init__(self, parent: QWidget, desk: Desk) -> None:
        super().__init__(parent, 720)
        self.desk = desk
        self.capturing = False
        self._adding = False
        self._place = ""
        self._asked: Callable[[], None] | None = None
        outer = QVBoxLayout(self)
        outer.addStretch(1)
        outer.addWidget(self.card, 0, Qt.AlignmentFlag.AlignHCenter)
        outer.addStretch(1)
        inside = column(self.card, gap=12, margins=(28, 24, 28, 20))
        head = row()
        head.addWidget(label("Keys", "title"))
        head.addStretch()
        head.addWidget(label("Changes hold at once.", "second"))
        inside.addLayout(head)
        self.edit = say(QLineEdit(), hint="Find an action or a key…")
        self.edit.textChanged.connect(lambda _: self.fill())
        self.edit.installEventFilter(self)
        inside.addWidget(self.edit)
        self.places = self._choices(inside, PLACES, "", self._placed)
        self.list = QListWidget()
        say(self.list, tip="Actions and their keys")
        self.list.setItemDelegate(_Lines(self))
        self.list.setFixedHeight(LINE_PX * 10)
        self.list.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.list.itemDoubleClicked.connect(lambda _: self.capture())
        self.list.currentRowChanged.connect(lambda _: self._chosen())
        self.list.installEventFilter(self)
        inside.addWidget(self.list)
        inside.addWidget(self._said())
        line = row(gap=8)
        self.change = button("Press a new key", self.capture, kind="primary")
        self.more = button("One more key", lambda: self.capture(adding=True))
        self.none = button("No key", self._clear)
        self.back = button("Its own key", self._reset)
        for made in (self.change, self.more, self.none, self.back):
            line.addWidget(made)
        line.addStretch()
        inside.addLayout(line)
        inside.addWidget(widgets.rule())
        foot = row(gap=8)
        foot.addWidget(label("Key set", "second"))
        self.sets: dict[str, QPushButton] = {}
        for name, (text, _) in keys.PRESETS.items():
            made = say(look(QPushButton(), "choice"), text)
            made.clicked.connect(lambda _=False, name=name: self._preset(name))
            self.sets[name] = made
            foot.addWidget(made)
        foot.addStretch()
        foot.addWidget(button("Import…", self._import, kind="link"))
        foot.addWidget(button("Export…", self._export, kind="link"))
        foot.addWidget(button("Close", self.finish))
        inside.addLayout(foot)
        desk.keys_changed.connect(self._redraw)
        self.fill()

    def _choices(
        self, inside: QVBoxLayout, table, value: str, run: Callable[[str], None]
    ) -> dict[str, QPushButton]:
        line, made = row(gap=6), {}
        group = QButtonGroup(self)
        for code, text in table:
            one = say(look(QPushButton(), "choice"), text)
            one.setCheckable(True)
            one.setChecked(code == value)
            one.clicked.connect(lambda _=False, code=code: run(code))
            group.addButton(one)
            made[code] = one
            line.addWidget(one)
        line.addStretch()
        inside.addLayout(line)
        return made

    def _said(self) -> QWidget:
        """The line that names who has the key."""
        self.warning = frame("warned")
        line = row(self.warning, gap=8, margins=(12, 6, 8, 6))
        self.said = label(wrap=True)
        line.addWidget(self.said, 1)
        self.take = button("Take it", self._taken)
        self.keep = button("Keep", lambda: self._tell(""))
        line.addWidget(self.take)
        line.addWidget(self.keep)
        self.warning.hide()
        return self.warning

    def present(self) -> None:
        """Show with the focus in the search line."""
        self.show()
        self.raise_()
        self.edit.setFocus(Qt.FocusReason.OtherFocusReason)

    def finish(self) -> None:
        """Close; nothing is waited for any more."""
        self._release()
        super().finish()

    # --- the list ------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """The actions of the place that fit what is typed, in their sections; best first while something is typed."""
        typed, now = self.edit.text().strip(), self.current()
        self.list.clear()
        if typed:
            found = []
            for action in actions.ACTIONS:
                caps = " ".join(actions.shown(k) for k in actions.keys_of(action.id))
                fit = finding.score(typed, (action.name, *both(action.text)), f"{action.words} {caps}")
                if fit is not None and self._here(action):
                    found.append((fit, action))
            for _, action in sorted(found, key=lambda pair: -pair[0]):
                self._add(action)
        else:
            for _, caption, rows in SECTIONS:
                shown = [a for a in rows if self._here(a)]
                if shown:
                    made = QListWidgetItem(tr(caption))
                    made.setFlags(Qt.ItemFlag.NoItemFlags)
                    self.list.addItem(made)
                for action in shown:
                    self._add(action)
        at = next((i for i in range(self.list.count()) if now and self._id(i) == now.id), None)
        if at is None:
            at = next((i for i in range(self.list.count()) if self._id(i)), -1)
        self.list.setCurrentRow(at)
        self._chosen()

    def _here(self, action: Action) -> bool:
        return not self._place or action.place == self._place

    def _add(self, action: Action) -> None:
        made = QListWidgetItem(action.name)
        made.setData(_ID, action.id)
        made.setData(
            Qt.ItemDataRole.AccessibleTextRole, f"{action.name} {', '.join(actions.keys_of(action.id))}"
        )
        self.list.addItem(made)

    def _id(self, at: int) -> str | None:
        found: str | None = self.list.item(at).data(_ID)
        return found

    def current(self) -> Action | None:
        """The action that is marked."""
        item = self.list.currentItem()
        return actions.BY_ID.get(item.data(_ID) or "") if item is not None else None

    def _placed(self, place: str) -> None:
        self._place = place
        self.fill()

    def _chosen(self) -> None:
        now = self.current()
        for made in (self.change, self.more, self.none):
            made.setEnabled(now is not None)
        self.back.setEnabled(now is not None and now.id in keymap.changed())
        if not self.capturing:
            self._tell("")

    def _redraw(self) -> None:
        self._chosen()
        self.list.viewport().update()

    def _step(self, by: int) -> None:
        at = self.list.currentRow() + by
        while 0 <= at < self.list.count() and self._id(at) is None:
            at += by
        if 0 <= at < self.list.count():
            self.list.setCurrentRow(at)

    # --- changing ------------------------------------------------------------------------------------------------

    def capture(self, *, adding: bool = False) -> None:
        """Wait for the new key of the marked action."""
        app = QApplication.instance()
        if self.current() is None or self.capturing or app is None:
            return
        self._tell("")
        self.capturing, self._adding = True, adding
        app.installEventFilter(self)
        self.list.viewport().update()

    def _release(self) -> None:
        app = QApplication.instance()
        if self.capturing and app is not None:
            self.capturing = False
            app.removeEventFilter(self)
            self.edit.installEventFilter(self)
            self.list.installEventFilter(self)
            self.list.viewport().update()

    def _got(self, key: str) -> None:
        self._release()
        action = self.current()
        if action is None or not key:
            return
        rest = tuple(k for k in actions.keys_of(action.id) if keys.normal(k) != key)
        wanted = (*rest, key) if self._adding else (key, *rest[1:])
        held = keys.holders(action, key)
        if not held:
            keys.put(self.desk, action, wanted)
            return
        names = ", ".join(
            f"«{other.name}»" if i18n.language() == "en" else f"“{other.name}”" for other in held
        )
        self._tell(tr("{key} belongs to {names}.", key=actions.shown(key), names=names))
        self._asked = lambda: keys.put(self.desk, action, wanted, take=True)
        self.warning.show()
        self.take.setFocus(Qt.FocusReason.OtherFocusReason)

    def _taken(self) -> None:
        asked = self._asked
        self._tell("")
        if asked is not None:
            asked()

    def _tell(self, text: str, *, asks: bool = True) -> None:
        self._asked = None
        self.said.setText(text)
        self.warning.setVisible(bool(text))
        self.take.setVisible(asks)
        self.keep.setVisible(asks)

    def _clear(self) -> None:
        action = self.current()
        if action is not None:
            keys.put(self.desk, action, ())

    def _reset(self) -> None:
        action = self.current()
        if action is not None:
            keys.reset(self.desk, action)

    def _preset(self, name: str) -> None:
        keys.apply(self.desk, keys.preset(name))
        self.fill()

    def _export(self) -> None:
        found, _ = QFileDialog.getSaveFileName(
            self, tr("Export the keys"), str(Path.home() / "lamproom-keys.toml")
        )
        if found:
            self.write_to(Path(found))

    def write_to(self, path: Path) -> None:
        """Write the changed keys to a file."""
        try:
            path.write_text(keys.to_toml(keymap.changed()), encoding="utf-8")
        except OSError as error:
            self._tell(tr("the file cannot be written: {error}", error=error), asks=False)

    def _import(self) -> None:
        found, _ = QFileDialog.getOpenFileName(self, tr("Import keys"), str(Path.home()))
        if found:
            self.read_from(Path(found))

    def read_from(self, path: Path) -> None:
        """Put the keys of a file in force, or say why not."""
        try:
            changes = keys.from_toml(path.read_text(encoding="utf-8"), where=path.name)
        except LamproomError as fault:
            self._tell(i18n.tr_fault(fault), asks=False)
        except (OSError, UnicodeDecodeError) as error:
            self._tell(tr("the file cannot be read: {error}", error=error), asks=False)
        else:
            keys.apply(self.desk, changes)
            self.fill()

    # --- events --------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if self.capturing:
            return self._captured(event)
        if (
            event.type() == QEvent.Type.KeyPress
            and isinstance(event, QKeyEvent)
            and watched in (self.edit, self.list)
        ):
            code = event.key()
            if code in (Qt.Key.Key_Down, Qt.Key.Key_Up):
                self._step(1 if code == Qt.Key.Key_Down else -1)
                return True
            if code in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.capture()
                return True
        return super().eventFilter(watched, event)

    def _captured(self, event: QEvent) -> bool:
        kind = event.type()
        if kind == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        if kind == QEvent.Type.MouseButtonPress:
            self._release()
            return False
        if kind != QEvent.Type.KeyPress or not isinstance(event, QKeyEvent):
            return kind == QEvent.Type.KeyRelease
        if event.key() == Qt.Key.Key_Escape and not event.modifiers():
            self._release()
        elif key := pressed(event):
            self._got(key)
        return True
