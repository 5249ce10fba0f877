"""The first steps, by hand: a light on one part of the desk at a time, and the real gesture is waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QRect, QRectF, Qt, QTimer, QVariantAnimation, Signal
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QScrollArea, QWidget

from annotation.core import Annotation
from app.desktop import actions, theme
from app.desktop.painted import painted
from app.desktop.widgets import button, column, frame, label, row
from app.i18n import tr
from app.services.workspace import Workspace

if TYPE_CHECKING:
    from app.desktop.window import Window

CARD_PX = 340
SLIDE_MS = 180


@dataclass(frozen=True, slots=True)
class Seen:
    """What was there when a step began, to tell when its gesture is done."""

    asset_id: int | None
    annotations: tuple[Annotation, ...]
    label: str | None

    @property
    def waiting(self) -> set[str]:
        """Uids of the predictions."""
        return {a.uid for a in self.annotations if a.origin == "model"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `keys`: actions whose keys fill {0}, {1} … of the text; `done` is asked after every gesture."""

    title: str
    text: str
    keys: tuple[str, ...]
    target: Callable[[Window], QWidget]
    done: Callable[[Window, Seen], bool]


def _accepted(w: Window, seen: Seen) -> bool:
    now = {a.uid: a for a in w.desk.document.annotations}
    return any(uid in now and now[uid].origin != "model" for uid in seen.waiting)


def _drawn(w: Window, seen: Seen) -> bool:
    return w.desk.document.asset_id == seen.asset_id and len(w.desk.document.annotations) > len(
        seen.annotations
    )


STEPS: tuple[Step, ...] = (
    Step(
        "From picture to picture",
        "{0} shows the next picture, {1} the one before. Go to another picture.",
        ("next", "previous"),
        lambda w: w.annotate.below,
        lambda w, s: s.asset_id is not None and w.desk.document.asset_id != s.asset_id,
    ),
    Step(
        "Draw a box",
        "Press {0}, then drag a box around anything you see. It is saved as soon as you let go.",
        ("tool.box",),
        lambda w: w.annotate.canvas,
        _drawn,
    ),
    Step(
        "Choose the class",
        "Press {0} to select, then a digit: the box you drew becomes that class. A click in this list does the same.",
        ("tool.select",),
        lambda w: w.annotate.classes,
        lambda w, s: w.desk.label != s.label,
    ),
    Step(
        "Take it back",
        "{0} takes back the last gesture, {1} brings it again. Nothing is ever lost. Take one back.",
        ("undo", "redo"),
        lambda w: w.annotate.history,
        lambda w, s: w.desk.document.annotations != s.annotations,
    ),
    Step(
        "Accept a prediction",
        "{0} goes to the next picture to confirm. Dashed is what a model found: {1} takes the best one in hand, {1} again accepts it; {2} rejects.",
        ("next.predicted", "accept", "reject"),
        lambda w: w.annotate.canvas,
        _accepted,
    ),
    Step(
        "Everything by name",
        "{0} finds every action, class and picture, in both languages and by pinyin. Open it.",
        ("palette",),
        lambda w: w.search,
        lambda w, _: w.palette_sheet is not None,
    ),
    Step(
        "You can begin",
        "{0} shows the keys of the place you are in. Every key can be changed. These steps are in the palette.",
        ("help",),
        lambda w: w.annotate,
        lambda _w, _s: False,
    ),
)  # fmt: skip


def is_demo(ws: Workspace) -> bool:
    """The workspace of drawn scenes that `lamproom demo` makes."""
    return ws.name == "demo"


class Tour(QWidget):
    """The light: lies over the whole window, lets every gesture through, and moves on when it was made."""

    closed = Signal()

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.window_ = window
        self.at = 0
        self._seen = Seen(None, (), None)
        self._light = QRectF(window.rect())
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        window.installEventFilter(self)
        self._slide = QVariantAnimation(self)
        self._slide.setDuration(SLIDE_MS)
        self._slide.valueChanged.connect(self._lit)
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._look)
        self._card()
        desk, place = window.desk, window.annotate
        for signal in (
            desk.document.changed,
            desk.document.opened,
            desk.label_changed,
            place.canvas.tool_changed,
            place.picture_changed,
            window.palette_opened,
        ):
            signal.connect(self._soon.start)
        desk.opened.connect(self.finish)
        desk.keys_changed.connect(self._write)

    def _card(self) -> None:
        self.card = frame("float")
        self.card.setParent(self.window_)
        self.card.setFixedWidth(CARD_PX)
        self.card.setAccessibleName(tr("First steps"))
        inside = self.inside = column(self.card, gap=8, margins=(20, 16, 16, 14))
        self.count = label(kind="small")
        self.title = label(kind="head")
        self.text = label(wrap=True)
        for part in (self.count, self.title, self.text):
            inside.addWidget(part)
        foot = row(gap=8)
        self.skip = button("Leave", self.finish, kind="link")
        self.next = button("Next", self.forward)
        for made in (self.skip, self.next):
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        foot.addWidget(self.skip)
        foot.addStretch()
        foot.addWidget(self.next)
        inside.addLayout(foot)

    def begin(self) -> None:
        """Show the first step."""
        self.window_.go("annotate")
        self.setGeometry(self.window_.rect())
        self.show()
        self.raise_()
        self.card.show()
        self._turn(0)

    def forward(self) -> None:
        """The next step, whether or not this one's gesture was made; after the last, the end."""
        if self.at + 1 < len(STEPS):
            self._turn(self.at + 1)
        else:
            self.finish()

    def finish(self) -> None:
        """Take the light away."""
        self.window_.removeEventFilter(self)
        self._slide.stop()
        self._soon.stop()
        self.hide()
        self.card.hide()
        self.card.deleteLater()
        self.deleteLater()
        self.closed.emit()

    def _now(self) -> Seen:
        """What is there now; no picture while one is still being read."""
        document = self.window_.desk.document
        there = document.loaded
        return Seen(
            document.asset_id if there else None,
            document.annotations if there else (),
            self.window_.desk.label,
        )

    def _turn(self, at: int) -> None:
        self.at = at
        self._seen = self._now()
        self._write()
        self._uncover(STEPS[at].target(self.window_))
        self._aim()

    def _uncover(self, part: QWidget) -> None:
        """Scroll a part that lies below the edge of its panel into sight."""
        above = part.parentWidget()
        while above is not None:
            if isinstance(above, QScrollArea):
                above.ensureWidgetVisible(part)
            above = above.parentWidget()

    def _write(self) -> None:
        step = STEPS[self.at]
        self.count.setText(tr("Step {i} of {n}", i=self.at + 1, n=len(STEPS)))
        self.title.setText(tr(step.title))
        keys = [actions.key(one) or "–" for one in step.keys]
        self.text.setText(tr(step.text).format(*keys))
        self.next.setText(tr("Begin") if self.at + 1 == len(STEPS) else tr("Next"))
        self._place_card()

    def retranslate(self) -> None:
        """Say the step in the language in use."""
        self._write()

    def _look(self) -> None:
        """Was it this step's gesture?"""
        seen, now = self._seen, self._now()
        if (now.asset_id is None) != (seen.asset_id is None):
            if seen.asset_id is None:  # the first picture has just come: that is no gesture
                self._seen = now
            return
        if STEPS[self.at].done(self.window_, seen):
            self.forward()
        elif now.asset_id != seen.asset_id:
            self._seen = now

    # --- light and card ------------------------------------------------------------------------------------------

    def _target(self) -> QRectF:
        part = STEPS[self.at].target(self.window_)
        if part.visibleRegion().isEmpty():  # hidden, or scrolled out of its panel
            part = self.window_.body
        seen = part.visibleRegion().boundingRect()
        corner = part.mapTo(self.window_, seen.topLeft())
        return QRectF(QRect(corner, seen.size())).adjusted(-4, -4, 4, 4).intersected(QRectF(self.rect()))

    def _aim(self) -> None:
        target = self._target()
        self._slide.stop()
        if self.window_.desk.values.get("calm"):
            self._lit(target)
        else:
            self._slide.setStartValue(self._light)
            self._slide.setEndValue(target)
            self._slide.start()
        self._place_card()
        self.raise_()
        self.card.raise_()

    def _lit(self, light: QRectF) -> None:
        self._light = light
        self.update()

    def _place_card(self) -> None:
        # adjustSize guesses the height of wrapped text and cuts long steps.
        self.card.setFixedHeight(self.inside.totalHeightForWidth(CARD_PX))
        target, size = self._target().toRect(), self.card.size()
        x = min(max(16, target.center().x() - size.width() // 2), self.width() - size.width() - 16)
        if target.bottom() + size.height() + 24 < self.height():
            y = target.bottom() + 12
        elif target.top() > size.height() + 24:
            y = target.top() - size.height() - 12
        elif target.right() + size.width() + 24 < self.width():
            x, y = target.right() + 12, max(16, target.center().y() - size.height() // 2)
        else:
            y = target.bottom() - size.height() - 24
        self.card.move(x, y)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.window_ and event.type() == QEvent.Type.Resize:
            self.setGeometry(self.window_.rect())
            self._lit(self._target())
            self._place_card()
        return False

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            whole, hole = QPainterPath(), QPainterPath()
            whole.addRect(QRectF(self.rect()))
            hole.addRoundedRect(self._light, 8, 8)
            dark = theme.current().name == "dark"
            p.fillPath(whole.subtracted(hole), QColor(8, 9, 11, 150 if dark else 90))
            p.setPen(QPen(QColor(theme.current().accent), 2))
            p.drawPath(hole)
