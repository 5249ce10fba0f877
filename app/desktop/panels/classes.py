"""The left side: queues of the dataset, classes with their digit keys, and the rule of the class in hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLabel, QLineEdit, QScrollArea, QSizePolicy, QWidget

from annotation.schema import Label
from app import i18n
from app.desktop import theme, widgets
from app.desktop.desk import Desk
from app.desktop.widgets import Row, column, frame, label, look, number, say
from app.i18n import tr
from app.services.browse import Query

QUEUES = (
    ("all", "All pictures", ""),
    ("unlabelled", "To label", ""),
    ("predicted", "To confirm", "accent"),
    ("labelled", "Labelled", ""),
    ("returned", "Returned to me", "red"),
    ("submitted", "Submitted", "blue"),
    ("accepted", "Accepted", "green"),
)


class Queues(QWidget):
    """What waits in the dataset, with live counts; a click looks at it."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        box = column(self, gap=2)
        self.rows: dict[str, Row] = {}
        for code, text, tone in QUEUES:
            made = say(Row(tone=tone), text)
            made.clicked.connect(lambda _=False, code=code: self._pick(code))
            self.rows[code] = made
            box.addWidget(made)
        desk.counted.connect(self._fill)
        desk.dataset_changed.connect(self._fill)
        desk.queried.connect(self._fill)

    def _query(self, code: str) -> Query | None:
        """The selection behind a queue. What waits is draft: an empty picture that was submitted waits no more."""
        if self.desk.dataset is None or self.desk.ws is None:
            return None
        bare = Query(self.desk.dataset.id)
        match code:
            case "unlabelled":
                return replace(bare, state=code, review="draft")
            case "predicted" | "labelled":
                return replace(bare, state=code)
            case "returned":
                return replace(bare, review=code, assignee=self.desk.ws.person.id)
            case "submitted" | "accepted":
                return replace(bare, review=code)
        return bare

    def _pick(self, code: str) -> None:
        if (query := self._query(code)) is not None:
            self.desk.look_at(query)
        self._fill()

    def _count(self, code: str) -> int:
        data, found, me = (
            self.desk.dataset,
            self.desk.standings,
            self.desk.ws.person.id if self.desk.ws else 0,
        )
        if data is None:
            return 0
        match code:
            case "all":
                return data.n_assets
            case "unlabelled":
                return data.n_unlabelled - sum(s.n for s in found if s.state == code and s.review != "draft")
            case "predicted" | "labelled":
                return int(getattr(data, f"n_{code}"))
            case "returned":
                return sum(s.n for s in found if s.review == code and s.assignee_id == me)
        return sum(s.n for s in found if s.review == code)

    def _fill(self) -> None:
        for (code, _, tone), made in zip(QUEUES, self.rows.values(), strict=True):
            n = self._count(code)
            made.count = number(n)
            made.tone = tone if n else ""
            made.setChecked(self.desk.query == self._query(code))
            made.update()


class Classes(QWidget):
    """The classes that can be drawn; a click or the digit takes one in hand. `key` tells a class's key."""

    def __init__(self, desk: Desk, key: Callable[[str], str]) -> None:
        super().__init__()
        self.desk, self._key = desk, key
        box = column(self, gap=4)
        self.wanted = say(look(QLineEdit(), "find"), hint="Find a class")
        self.wanted.setMaximumHeight(32)
        self.wanted.textChanged.connect(self._filter)
        self._list = QWidget()
        self._box = column(self._list, gap=2)
        self._box.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.rows: dict[str, Row] = {}
        self._area = widgets.scroll(self._list)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        box.addWidget(self.wanted)
        box.addWidget(self._area, 1)
        desk.schema_changed.connect(self._build)
        desk.counted.connect(self._counts)
        desk.label_changed.connect(self._mark)
        desk.keys_changed.connect(self._build)

    def _build(self) -> None:
        widgets.clear(self._box)
        self.rows = {}
        for one in self.desk.labels():
            made = Row(swatch=one.color, key=self._key(one.code))
            made.clicked.connect(lambda _=False, code=one.code: self._pick(code))
            made.setToolTip(one.rule(i18n.language()))
            self.rows[one.code] = made
            self._box.addWidget(made)
        self.retranslate()
        self._counts()
        self._mark()
        self._filter(self.wanted.text())

    def retranslate(self) -> None:
        """Names in the language in use, the other language behind them."""
        for code, made in self.rows.items():
            one = self.desk.schema.label(code) if self.desk.schema else None
            if one is not None:
                zh = i18n.language().startswith("zh")
                made.setText(one.name_zh if zh else one.name_en)
                made.second = one.name_en if zh else one.name_zh
                made.setToolTip(one.rule(i18n.language()))
                made.setAccessibleName(made.text())
                made.update()

    def _pick(self, code: str) -> None:
        self.desk.choose_label(code)
        self._mark()

    def _counts(self) -> None:
        for code, made in self.rows.items():
            found = self.desk.facets.get(code)
            n = found.n_human + found.n_import + found.n_model if found else 0
            made.count = number(n) if n else ""
            made.update()

    def _mark(self) -> None:
        for code, made in self.rows.items():
            made.setChecked(code == self.desk.label)
        now = self.rows.get(self.desk.label or "")
        if now is not None and now.isVisible():
            self._area.ensureWidgetVisible(now, 0, 40)

    def _filter(self, text: str) -> None:
        wanted = text.strip().casefold()
        for code, made in self.rows.items():
            made.setVisible(wanted in f"{made.text()} {made.second} {code}".casefold())


class Example(QWidget):
    """A drawn example of the rule: how the outline should lie, or should not. Schematic, not a picture of the dataset."""

    def __init__(self, good: bool) -> None:
        super().__init__()
        self.good, self.colour, self.kind = good, "#98a1ac", "box"
        self.setFixedHeight(64)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_label(self, one: Label) -> None:
        """Draw in the class's colour and with its kind of shape."""
        self.colour = one.color
        self.kind = "box" if "box" in one.kinds else "polygon"
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(88, 64)

    def paintEvent(self, event: QPaintEvent) -> None:
        t = theme.current()
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(t.background))
        p.drawRoundedRect(self.rect(), 4, 4)
        middle = QRectF(self.rect()).center()
        faint = theme.contrast(self.colour, t.background) < 1.6
        p.setBrush(QColor(t.second if faint else self.colour))
        p.setOpacity(0.55)
        body = [(-8, -17), (5, -19), (15, -6), (11, 14), (-3, 18), (-14, 8)]
        p.drawPolygon([QPoint(int(middle.x() + x), int(middle.y() + y)) for x, y in body])
        p.setOpacity(1.0)
        p.setPen(QPen(QColor(t.green if self.good else t.red), 2))
        p.setBrush(Qt.BrushStyle.NoBrush)
        if self.kind == "polygon":
            grow = 1.15 if self.good else 1.0
            shift = 0 if self.good else 10
            p.drawPolygon(
                [QPoint(int(middle.x() + x * grow + shift), int(middle.y() + y * grow)) for x, y in body]
            )
        elif self.good:
            p.drawRect(QRectF(middle.x() - 16, middle.y() - 21, 33, 41))
        else:
            p.drawRect(QRectF(middle.x() - 28, middle.y() - 26, 50, 52))
        p.end()


class Rule(QWidget):
    """The rule of the class in hand: text, a good and a bad example, where it comes from."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        box = column(self, gap=8)
        self.head = label(kind="caption")
        self.head.setContentsMargins(8, 0, 0, 0)
        box.addWidget(self.head)
        inset = frame("inset")
        inside = column(inset, gap=8, margins=(12, 12, 12, 12))
        self.text = label(wrap=True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        inside.addWidget(self._scrolled(self.text))
        pair = widgets.row(gap=8)
        self.examples = []
        for good, text, tone in ((True, "Right", "green"), (False, "Wrong", "red")):
            one = column(gap=4)
            shown = Example(good)
            self.examples.append(shown)
            one.addWidget(shown)
            caption = label(text, "small", tone=tone)
            caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
            one.addWidget(caption)
            pair.addLayout(one)
        inside.addLayout(pair)
        self.source = label(kind="small", wrap=True)
        inside.addWidget(self.source)
        box.addWidget(inset)
        desk.label_changed.connect(self.retranslate)
        desk.schema_changed.connect(self.retranslate)
        desk.document.selected.connect(self.retranslate)
        desk.document.changed.connect(self.retranslate)  # the selected object may have got another class

    def _scrolled(self, text: QLabel) -> QScrollArea:
        """A long rule scrolls, so that the classes above keep their room."""
        area = widgets.scroll(text)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setMaximumHeight(96)
        area.setSizeAdjustPolicy(QScrollArea.SizeAdjustPolicy.AdjustToContents)
        return area

    def retranslate(self) -> None:
        """Show the class of what is selected, else the class in hand."""
        chosen = {a.label for a in self.desk.document.chosen()}
        code = chosen.pop() if len(chosen) == 1 else self.desk.label
        one = self.desk.schema.label(code) if self.desk.schema and code else None
        self.setVisible(one is not None)
        if one is None:
            return
        language = i18n.language()
        self.head.setText(tr("Rule · {label}", label=one.name(language)))
        self.text.setText(one.rule(language) or tr("No rule is written for this class yet."))
        self.source.setText(one.source.line(language))
        self.source.setVisible(bool(self.source.text()))
        for shown in self.examples:
            shown.show_label(one)
