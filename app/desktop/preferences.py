"""The settings sheet: what a person chooses about the desk. Every change holds at once; there is nothing to confirm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QButtonGroup, QLineEdit, QPushButton, QSlider, QVBoxLayout, QWidget

from app import i18n, settings
from app.desktop import widgets
from app.desktop.overlaid import Overlaid
from app.desktop.widgets import button, column, label, look, row, say
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.window import Window

CAPTION_PX = 190


class Preferences(Overlaid):
    """See the module."""

    def __init__(self, parent: QWidget, window: Window) -> None:
        super().__init__(parent, 640)
        self.window_, self.desk = window, window.desk
        outer = QVBoxLayout(self)
        outer.addStretch(1)
        outer.addWidget(self.card, 0, Qt.AlignmentFlag.AlignHCenter)
        outer.addStretch(1)
        inside = column(self.card, gap=14, margins=(28, 24, 28, 20))
        head = row()
        head.addWidget(label("Settings", "title"))
        head.addStretch()
        head.addWidget(label("Changes hold at once.", "second"))
        inside.addLayout(head)
        self._box = column(gap=10)
        inside.addLayout(self._box)
        values = self.desk.values

        self.person = say(QLineEdit(str(values.get("person") or "")), hint="The login name")
        self.person.editingFinished.connect(lambda: self._put("person", self.person.text().strip()))
        self._line(
            "Name beside your work", self.person, note="Used from the next workspace that is opened on."
        )
        self._pick(
            "Language", (("zh_CN", "中文"), ("en", "English")), i18n.language(), self.desk.set_language
        )
        themes = (("dark", "Dark"), ("light", "Bright"), ("system", "As the system"))
        self._pick("Colours", themes, str(values.get("theme")), self.desk.set_theme)
        self._slide("Text size", "text_percent", 90, 150, 10, lambda v: f"{v} %")
        self._pick(
            "Movement",
            ((False, "As usual"), (True, "None")),
            bool(values.get("calm")),
            lambda v: self._put("calm", v),
        )
        inside_rule = widgets.rule()
        self._box.addWidget(inside_rule)
        self._slide("Accept all above", "accept_score", 5, 100, 5, lambda v: f"{v / 100:.2f}", scale=100)
        self._pick(
            "After drawing",
            ((False, "Class in hand"), (True, "Ask for the class")),
            bool(values.get("ask_class")),
            lambda v: self._put("ask_class", v),
        )
        self._pick(
            "New attributes",
            (("schema", "As the schema says"), ("last", "As used last")),
            str(values.get("new_values")),
            lambda v: self._put("new_values", v),
        )
        self._pick(
            "Outside the picture",
            ((True, "Points may lie there"), (False, "Points stay inside")),
            bool(values.get("outside")),
            lambda v: self._put("outside", v),
        )
        self._slide("Memory for pictures", "picture_cache_mb", 128, 4096, 128, lambda v: f"{v} MB")
        inside.addWidget(widgets.rule())
        foot = row(gap=8)
        foot.addWidget(button("Keys…", self._keys, icon="keys"))
        foot.addWidget(button("Accelerators…", self._accelerators, icon="model"))
        foot.addWidget(button("First steps again", self._tour, icon="help"))
        foot.addStretch()
        self.shut = button("Close", self.finish, kind="primary")
        foot.addWidget(self.shut)
        inside.addLayout(foot)

    def present(self) -> None:
        """Show with the focus on the first field."""
        widgets.repaint_icons(self)
        self.show()
        self.raise_()
        self.person.setFocus(Qt.FocusReason.OtherFocusReason)

    def _put(self, key: str, value: Any) -> None:
        if self.desk.values.get(key) != value:
            self.desk.put_setting(key, value)

    def _line(self, caption: str, *parts: QWidget, note: str = "") -> None:
        line = row(gap=8)
        head = label(caption, "second")
        head.setFixedWidth(CAPTION_PX)
        line.addWidget(head)
        for part in parts:
            line.addWidget(part, 1 if isinstance(part, QLineEdit | QSlider) else 0)
        if not any(isinstance(p, QLineEdit | QSlider) for p in parts):
            line.addStretch()
        self._box.addLayout(line)
        if note:
            under = row()
            under.addSpacing(CAPTION_PX + 8)
            under.addWidget(label(note, "small", wrap=True), 1)
            self._box.addLayout(under)

    def _pick(self, caption: str, options, value: Any, run: Callable[[Any], object]) -> None:
        group = QButtonGroup(self)
        made = []
        for code, text in options:
            one = look(QPushButton(), "choice")
            if text in ("中文", "English"):
                one.setText(text)
            else:
                say(one, text)
            one.setAccessibleName(f"{tr(caption)}: {one.text()}")
            one.setCheckable(True)
            one.setChecked(code == value)
            one.clicked.connect(lambda _=False, code=code: run(code))
            group.addButton(one)
            made.append(one)
        self._line(caption, *made)

    def _slide(
        self,
        caption: str,
        key: str,
        lo: int,
        hi: int,
        step: int,
        shown: Callable[[int], str],
        *,
        scale: int = 1,
    ) -> None:
        slider = say(QSlider(Qt.Orientation.Horizontal), tip=caption)
        slider.setRange(lo // step, hi // step)
        value = self.desk.values.get(key, settings.SETTINGS[key].default)
        slider.setValue(round(float(value) * scale / step))
        said = label(kind="strong")
        said.setFixedWidth(64)
        said.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        said.setText(shown(slider.value() * step))

        def moved(at: int) -> None:
            said.setText(shown(at * step))
            if not slider.isSliderDown():
                done()

        def done() -> None:
            new = slider.value() * step
            self._put(key, new / scale if scale != 1 else new)

        slider.valueChanged.connect(moved)
        slider.sliderReleased.connect(done)
        self._line(caption, slider, said)

    def _keys(self) -> None:
        self.finish()
        self.window_.show_keys()

    def _accelerators(self) -> None:
        self.finish()
        self.window_.show_accelerators()

    def _tour(self) -> None:
        self.finish()
        self.window_.show_tour()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            focus = self.focusWidget()
            if isinstance(focus, QPushButton):
                focus.click()
            event.accept()
            return
        super().keyPressEvent(event)
