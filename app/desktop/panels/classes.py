"""The left side: queues of the dataset, classes with their digit keys, and the rule of the class in hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QWidget

from app import i18n
from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.widgets import Row, column, look, number, say
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


def queue(desk: Desk, code: str) -> Query | None:
    """The selection behind a queue. What waits is draft: an empty picture that was submitted waits no more."""
    if desk.dataset is None or desk.ws is None:
        return None
    bare = Query(desk.dataset.id)
    match code:
        case "unlabelled":
            return replace(bare, state=code, review="draft")
        case "predicted" | "labelled":
            return replace(bare, state=code)
        case "returned":
            return replace(bare, review=code, assignee=desk.ws.person.id)
        case "submitted" | "accepted":
            return replace(bare, review=code)
    return bare


def waiting(desk: Desk, code: str) -> int:
    """How many pictures a queue holds, from the counts at hand."""
    data, found = desk.dataset, desk.standings
    if data is None or desk.ws is None:
        return 0
    match code:
        case "all":
            return data.n_assets
        case "unlabelled":
            return data.n_unlabelled - sum(s.n for s in found if s.state == code and s.review != "draft")
        case "predicted" | "labelled":
            return int(getattr(data, f"n_{code}"))
        case "returned":
            return sum(s.n for s in found if s.review == code and s.assignee_id == desk.ws.person.id)
    return sum(s.n for s in found if s.review == code)


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
        self.worth = say(Row(tone="accent"), "Worth first")
        self.worth.setToolTip(tr("Pictures that wait, those first that teach a model most"))
        self.worth.clicked.connect(lambda _=False: self._follow())
        box.addWidget(self.worth)
        desk.counted.connect(self._fill)
        desk.dataset_changed.connect(self._fill)
        desk.queried.connect(self._fill)

    def count_worth(self, n: int | None) -> None:
        """How many pictures the queue of worth holds, while it is followed."""
        self.worth.count = "" if n is None else number(n)
        self.worth.update()

    def _follow(self) -> None:
        if self.desk.dataset is not None:
            self.desk.look_at(Query(self.desk.dataset.id), worth=True)
        self._fill()

    def _pick(self, code: str) -> None:
        if (query := queue(self.desk, code)) is not None:
            self.desk.look_at(query)
        self._fill()

    def _fill(self) -> None:
        for (code, _, tone), made in zip(QUEUES, self.rows.values(), strict=True):
            n = waiting(self.desk, code)
            made.count = number(n)
            made.tone = tone if n else ""
            made.setChecked(self.desk.query == queue(self.desk, code) and not self.desk.worth)
            made.update()
        self.worth.setChecked(self.desk.worth)
        if not self.desk.worth:
            self.count_worth(None)


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
