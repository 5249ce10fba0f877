"""The slide-out panel of seeing: presets, window, tone, colour, comparison, instruments. Every change shows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QByteArray, QEasingCurve, QEvent, QPropertyAnimation, Qt
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QLabel, QLineEdit, QPushButton, QWidget

from app.desktop import actions, theme, widgets
from app.desktop.canvas import look as looks
from app.desktop.canvas.look import BOUNDS
from app.desktop.eye import Eye, preset_name
from app.desktop.painted import painted
from app.desktop.panels.dials import Dial, Histogram
from app.desktop.panels.flow import Flow
from app.desktop.widgets import Elided, button, column, label, look, row, say
from app.i18n import tr

WIDE = 292
_SLIDE_MS = 120


class EyePanel(QFrame):
    """See the module. `reveal` slides it in or out."""

    def __init__(self, eye: Eye) -> None:
        super().__init__()
        self.eye = eye
        look(self, "right")
        self.setAttribute(Qt.WidgetAttribute.WA_NoMousePropagation)
        self.setObjectName("eye-panel")
        self.setMaximumWidth(0)
        self.setMinimumWidth(0)
        self.hide()
        self._slide = QPropertyAnimation(self, QByteArray(b"maximumWidth"), self)
        self._slide.setDuration(_SLIDE_MS)
        self._slide.setEasingCurve(QEasingCurve.Type.OutCubic)
        self._slide.finished.connect(self._slid)
        self._shown = False
        self._dials: dict[str, Dial] = {}
        self._choices: list[tuple[QPushButton, Callable[[], bool]]] = []
        whole = column(self, gap=0)
        inner = QWidget()
        inner.setFixedWidth(WIDE - 1)
        self._box = column(inner, gap=8, margins=(16, 12, 16, 16))
        self._build()
        area = widgets.scroll(inner)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        whole.addWidget(area)
        eye.changed.connect(self._refresh)
        eye.seen.connect(self._sampled)
        eye.desk.counted.connect(self._ways)
        self._refresh()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        eye, box = self.eye, self._box
        head = row(gap=8)
        head.addWidget(label("Look", "head"))
        head.addStretch()
        self.switch = self._choice("On", eye.switch, lambda: eye.on and not eye.look.plain)
        head.addWidget(self.switch)
        close = button("", lambda: self.reveal(False), kind="flat", icon="close", tip="Close")
        close.setFixedWidth(32)
        head.addWidget(close)
        box.addLayout(head)
        note = label("For the eye only: never stored, never given to a model.", "small", wrap=True)
        box.addWidget(note)

        box.addWidget(label("Presets of this dataset", "caption"))
        self._presets = Flow(6)
        box.addLayout(self._presets)
        line = row(gap=6)
        self.name = QLineEdit()
        say(self.name, hint="Name of a new preset")
        self.name.returnPressed.connect(self._keep)
        line.addWidget(self.name, 1)
        line.addWidget(button("Keep preset", self._keep, kind="choice"))
        box.addLayout(line)
        self.forget = button("Forget this preset", lambda: eye.drop(eye.used), kind="link")
        box.addWidget(self.forget, 0, Qt.AlignmentFlag.AlignLeft)

        self._head("Window", self._choice("Automatic", eye.auto, lambda: eye.on and eye.look.auto))
        self.histogram = Histogram()
        self.histogram.moved.connect(lambda low, high: eye.set(low=low, high=high, auto=False))
        box.addWidget(self.histogram)

        self._head("Light")
        self._dial("gamma", "Gamma", ratio=True)
        self._dial("brightness", "Brightness")
        self._dial("contrast", "Contrast", ratio=True)
        self._dial("clahe", "Local contrast")
        self._dial("denoise", "Noise taken out", whole=True)

        self._head(
            "Colour",
            self._choice("Negative", lambda: eye.set(invert=not eye.look.invert), lambda: eye.look.invert),
        )
        channels = Flow(6)
        for name, text in (
            ("", "All"),
            ("red", "Red"),
            ("green", "Green"),
            ("blue", "Blue"),
            ("luma", "Brightness only"),
        ):
            channels.addWidget(
                self._choice(
                    text, lambda name=name: eye.set(channel=name), lambda name=name: eye.look.channel == name
                )
            )
        box.addLayout(channels)
        box.addWidget(label("False colour", "small"))
        colours = row(gap=6)
        for name in looks.COLOURS:
            made = Ramp(name, eye)
            self._choices.append((made, lambda name=name: eye.look.colour == name))
            colours.addWidget(made)
        box.addLayout(colours)
        box.addWidget(button("Back to the original", eye.plain, kind="link"), 0, Qt.AlignmentFlag.AlignLeft)

        self._compare()
        self._instruments()
        box.addWidget(widgets.rule())
        self.facts = label(kind="small", wrap=True)
        box.addWidget(self.facts)
        box.addStretch()

    def _compare(self) -> None:
        eye, box = self.eye, self._box
        self._head("Compare")
        modes = Flow(6)
        for mode, text in (
            ("", "Off"),
            ("side", "Side by side"),
            ("swipe", "Divider"),
            ("blink", "In turns"),
        ):
            modes.addWidget(
                self._choice(
                    text, lambda mode=mode: eye.compare(mode), lambda mode=mode: eye.layer.mode == mode
                )
            )
        modes.addWidget(
            self._choice("By itself", lambda: eye.blink_by_timer(not eye.blinking), lambda: eye.blinking)
        )
        box.addLayout(modes)
        self.partner = Elided("", "small")
        box.addWidget(self.partner)
        box.addWidget(label("The look is for", "small"))
        which = row(gap=6)
        for name, text in (("", "Both"), ("open", "The open one"), ("partner", "The other")):
            which.addWidget(
                self._choice(
                    text, lambda name=name: eye.look_on(name), lambda name=name: eye.layer.look_on == name
                )
            )
        which.addStretch()
        box.addLayout(which)
        box.addWidget(label("The other picture is found by", "small"))
        self._rules = Flow(6)
        box.addLayout(self._rules)
        moved = row(gap=4)
        self.moved = label(kind="small")
        moved.addWidget(self.moved, 1)
        for text, tip, by in (
            ("←", "Move the other picture left", (-1, 0)),
            ("→", "Move the other picture right", (1, 0)),
            ("↑", "Move the other picture up", (0, -1)),
            ("↓", "Move the other picture down", (0, 1)),
        ):
            made = button("", lambda by=by: eye.nudge(*by), kind="choice", tip=tip)
            made.setText(text)
            made.setAutoRepeat(True)
            made.setFixedWidth(28)
            moved.addWidget(made)
        box.addLayout(moved)

    def _instruments(self) -> None:
        eye = self.eye
        self._head("Finding one's way")
        tools = Flow(6)
        for tool, text in (
            ("map", "Small map"),
            ("loupe", "Loupe"),
            ("cross", "Cross-hair"),
            ("rulers", "Rulers"),
            ("grid", "Pixel grid"),
            ("keep", "Keep the view"),
        ):
            made = self._choice(text, lambda tool=tool: eye.toggle(tool), lambda tool=tool: tool in eye.tools)
            key = actions.key(f"eye.{tool}") if f"eye.{tool}" in actions.BY_ID else ""
            made.setToolTip(key)
            tools.addWidget(made)
        self._box.addLayout(tools)

    def _head(self, text: str, extra: QWidget | None = None) -> None:
        self._box.addSpacing(2)
        self._box.addWidget(widgets.rule())
        line = row(gap=8)
        made = look(say(QLabel(), text), "caption")
        line.addWidget(made)
        line.addStretch()
        if extra is not None:
            line.addWidget(extra)
        self._box.addLayout(line)

    def _choice(self, text: str, run: Callable[[], object], on: Callable[[], bool]) -> QPushButton:
        def chosen() -> None:
            run()
            self._refresh()  # a choice that changed nothing must not stay pressed

        made = button(text, chosen, kind="choice")
        made.setCheckable(True)
        made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._choices.append((made, on))
        return made

    def _dial(self, name: str, caption: str, *, ratio: bool = False, whole: bool = False) -> None:
        low, high = BOUNDS[name]
        made = Dial(caption, low, high, float(getattr(looks.PLAIN, name)), ratio=ratio, whole=whole)
        made.setObjectName(f"dial-{name}")
        made.moved.connect(
            lambda value, name=name, whole=whole: self.eye.set(**{name: int(value) if whole else value})
        )
        self._dials[name] = made
        self._box.addWidget(made)

    # --- what is shown -------------------------------------------------------------------------------------------

    def reveal(self, on: bool | None = None) -> None:
        """Slide in or out; None = the other way."""
        self._shown = not self._shown if on is None else on
        if self._shown:
            self.show()
            self._refresh()
            self._ways()
            self._sampled()
        self._slide.stop()
        if self.eye.desk.values.get("calm"):
            self.setMaximumWidth(WIDE if self._shown else 0)
            self._slid()
        else:
            self._slide.setStartValue(self.maximumWidth() if self._shown else self.width())
            self._slide.setEndValue(WIDE if self._shown else 0)
            self._slide.start()
        self.eye.changed.emit()

    def _slid(self) -> None:
        self.setMinimumWidth(WIDE if self._shown else 0)
        if not self._shown:
            self.setMaximumWidth(0)
            self.hide()
            self.eye.canvas.setFocus()

    def _keep(self) -> None:
        if self.eye.keep(self.name.text()):
            self.name.clear()
            self.eye.canvas.setFocus()

    def _refresh(self) -> None:
        eye = self.eye
        if not self._shown:
            return
        seen = eye.look if eye.on else looks.PLAIN
        for name, dial in self._dials.items():
            dial.show_value(float(getattr(seen, name)))
        for made, on in self._choices:
            made.setChecked(on())
        self._show_presets()
        self.forget.setVisible(eye.used > 0)
        x, y = eye.layer.shift
        self.moved.setText(tr("Moved by {x}, {y} px", x=f"{x:g}", y=f"{y:g}"))
        partner = eye.layer.names[1] if eye.partner_id else ""
        self.partner.setText(eye.partner_note or (tr("Beside: {name}", name=partner) if partner else ""))
        self._show_window()

    def _show_presets(self) -> None:
        eye = self.eye
        wanted = [f"{n} {preset_name(one.name)}" for n, one in enumerate(eye.presets, 1)]
        shown = [self._presets.itemAt(i).widget() for i in range(self._presets.count())]
        if [made.text() for made in shown] != wanted:
            widgets.clear(self._presets)
            shown = []
            for n, text in enumerate(wanted, 1):
                made = button("", lambda n=n: eye.use(n), kind="choice")
                made.setText(text)
                made.setAccessibleName(text)
                made.setCheckable(True)
                self._presets.addWidget(made)
                shown.append(made)
        for n, made in enumerate(shown, 1):
            made.setChecked(eye.on and eye.used == n)

    def _ways(self) -> None:
        """The ways a partner can be found: they depend on the datasets there are."""
        eye = self.eye
        if not self._shown:
            return
        here = eye.desk.dataset.uid if eye.desk.dataset else ""
        ways = [("name", tr("its name")), ("marked", tr("a marked picture"))]
        ways += [(d.uid, tr("place in {name}", name=d.name)) for d in eye.desk.datasets[:8] if d.uid != here]
        widgets.clear(self._rules)
        for rule, text in ways:
            made = button("", lambda rule=rule: self._way(rule), kind="choice")
            made.setText(text)
            made.setAccessibleName(text)
            made.setCheckable(True)
            made.setChecked(eye.rule == rule)
            self._rules.addWidget(made)

    def _way(self, rule: str) -> None:
        if rule == "marked":
            self.eye.mark()
        else:
            self.eye.find_by(rule)
        self._ways()

    def _sampled(self) -> None:
        """Another picture: its samples, and what they are."""
        mips = self.eye.canvas.mips
        if not self._shown or mips is None:
            return
        small = len(mips.levels) - 1
        span = looks.reach(mips.deep[0] if mips.deep else None)
        deep = mips.deep[-1] if mips.deep else None
        self.eye.desk.tasks.pictures.submit(
            lambda: looks.histogram(mips.pixels(small), deep, span, 256 if deep is None else 2048),
            lambda counts: self.histogram.show_samples(counts, span),
            self.eye.desk.fault,
            key="histogram",
        )
        self._show_window()
        if mips.kind is None:
            self.facts.setText("")
            return
        colours = {
            "gray": tr("gray"),
            "colour": tr("colour"),
            "palette": tr("palette"),
            "cmyk": "CMYK",
        }
        parts = [tr("{n} bit a sample", n=mips.kind.bits), colours[mips.kind.colour]]
        if mips.kind.alpha:
            parts.append(tr("transparency not shown"))
        if mips.kind.profile:
            parts.append(tr("colour profile not applied"))
        self.facts.setText(tr("Source: {facts}", facts=" · ".join(parts)))

    def _show_window(self) -> None:
        mips, eye = self.eye.canvas.mips, self.eye
        if mips is None:
            return
        seen = eye.look if eye.on else looks.PLAIN
        (low, high), _ = eye.layer.prepared.window(mips, replace(seen))
        self.histogram.show_window(low, high)

    def retranslate(self) -> None:
        """Texts that are made of data."""
        self._refresh()
        self._ways()
        self._sampled()

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.PaletteChange:
            for dial in self._dials.values():
                dial.update()
        super().changeEvent(event)


class Ramp(QPushButton):
    """A false colour as the strip it makes of black to white; the first is the picture's own."""

    def __init__(self, name: str, eye: Eye) -> None:
        super().__init__()
        self._name = name
        self.setCheckable(True)
        self.setFixedSize(32, 24)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        text = name.capitalize() if name else tr("As it is")
        self.setAccessibleName(text)
        self.setToolTip(text)
        self.clicked.connect(lambda: eye.set(colour=name))

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._paint(p)

    def _paint(self, p: QPainter) -> None:
        t = theme.current()
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = self.rect().adjusted(2, 2, -2, -2)
        fill = QLinearGradient(box.left(), 0, box.right(), 0)
        for i in range(9):
            r, g, b = looks.sample_colour(self._name, i / 8)
            fill.setColorAt(i / 8, QColor(r, g, b))
        p.setBrush(fill)
        on = self.isChecked() or self.hasFocus()
        p.setPen(QPen(QColor(t.accent if on else t.line), 2 if on else 1))
        p.drawRoundedRect(box, 4, 4)
