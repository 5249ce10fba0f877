"""Everything that was done in the workspace, newest first, each step with its undo; and the recycle bin.

Both are lists over the desk. A step is undone whole by a task of its own; what was changed since is named, and can be
left as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLineEdit, QPushButton, QWidget
from shiboken6 import isValid

from annotation.errors import Conflict
from app.desktop import theme, widgets
from app.desktop.desk import Desk
from app.desktop.painted import painted
from app.desktop.said import ago, verb_text
from app.desktop.widgets import Elided, button, column, label, look, number, row, say
from app.i18n import tr, tr_fault
from app.services import browse, labelling
from app.services.browse import AssetRow
from app.services.labelling import Deleted, Step

_PAGE = 60
_ROW_PX = 52
FILTERS = (("all", "Everything"), ("bulk", "Bulk work"), ("mine", "Mine"))


class Steps(QWidget):
    """The list of steps; `told` gets a line when something cannot be done."""

    def __init__(self, desk: Desk, told: Callable[[str], None]) -> None:
        super().__init__()
        self.desk, self._told = desk, told
        self._rows: list[Step] = []
        self._paths: dict[int, str] = {}
        self._whole = False
        self._filter = "all"
        box = column(self, gap=8)
        head = row(gap=8)
        self._filters: dict[str, QPushButton] = {}
        for code, text in FILTERS:
            made = say(look(QPushButton(), "choice"), text)
            made.setCheckable(True)
            made.clicked.connect(lambda _=False, code=code: self._choose(code))
            self._filters[code] = made
            head.addWidget(made)
        head.addStretch()
        self.wanted = say(look(QLineEdit(), "find"), hint="Who or what")
        self.wanted.setFixedWidth(200)
        self.wanted.textChanged.connect(lambda _: self._fill())
        head.addWidget(self.wanted)
        box.addLayout(head)
        inner = QWidget()
        self._box = column(inner, gap=0)
        self._box.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = widgets.scroll(inner)
        area.setMinimumHeight(460)
        box.addWidget(area)
        self.more = button("Show earlier steps", self._read, kind="link")
        box.addWidget(self.more)
        desk.tasks.ended.connect(self._again)
        self._choose("all")

    def _choose(self, code: str) -> None:
        self._filter = code
        for name, made in self._filters.items():
            made.setChecked(name == code)
        self._again()

    def _again(self, _task: object = None) -> None:
        self._rows, self._whole = [], False
        self._read()

    def _read(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return
        before = self._rows[-1].step if self._rows else None

        def work() -> tuple[list[Step], dict[int, str]]:
            found = labelling.steps(ws, before=before, limit=_PAGE)
            return found, browse.paths(ws, {s.asset_id for s in found if s.asset_id is not None})

        def done(got: tuple[list[Step], dict[int, str]]) -> None:
            found, paths = got
            if not isValid(self) or before != (self._rows[-1].step if self._rows else None):
                return  # the sheet was closed, or the list begun anew
            self._rows += found
            self._paths.update(paths)
            self._whole = len(found) < _PAGE
            self._fill()

        self.desk.ask(work, done)

    def retranslate(self) -> None:
        """The list in the language in use."""
        self._fill()

    def _keeps(self, s: Step) -> bool:
        me = self.desk.ws.person.id if self.desk.ws else 0
        if (self._filter == "bulk" and s.asset_id is not None) or (
            self._filter == "mine" and s.agent_id != me
        ):
            return False
        text = f"{verb_text(s.verb, s.op)} {s.verb} {s.agent} {self._where(s)}".casefold()
        return all(w in text for w in self.wanted.text().casefold().split())

    def _where(self, s: Step) -> str:
        if s.asset_id is not None:
            return self._paths.get(s.asset_id, str(s.asset_id))
        return next((d.name for d in self.desk.datasets if d.id == s.dataset_id), "")

    def _fill(self) -> None:
        widgets.clear(self._box)
        shown = [s for s in self._rows if self._keeps(s)]
        for s in shown:
            self._box.addWidget(self._line(s))
        if not shown:
            self._box.addWidget(label("Nothing of that kind among the steps read so far.", "second"))
        self.more.setVisible(not self._whole)

    def _line(self, s: Step) -> QWidget:
        made = QWidget()
        made.setFixedHeight(_ROW_PX)
        line = row(made, gap=12, margins=(4, 4, 4, 4))
        line.addWidget(widgets.Dot("second" if not s.stands else "accent" if s.asset_id is None else "green"))
        texts = column(gap=0)
        what = Elided(verb_text(s.verb, s.op), "strong" if s.stands else "second")
        texts.addWidget(what)
        parts = (s.agent, ago(s.at_ms), f"r{number(s.step)}", self._where(s))
        about = Elided(" · ".join(part for part in parts if part), "small")
        about.setToolTip(about.text())
        texts.addWidget(about)
        line.addLayout(texts, 1)
        if s.open:
            line.addWidget(label("still being written", "small"))
        elif not s.stands:
            line.addWidget(label("undone", "small"))
        else:
            undo = button("Redo" if s.op == 1 else "Undo", lambda: self._undo(s.step), kind="link")
            undo.setAccessibleDescription(what.text())
            line.addWidget(undo)
        return made

    def _undo(self, step: int, *, skip_changed: bool = False) -> None:
        """Undo as a task; when something was changed since, say so and offer to leave that."""

        def failed(fault: BaseException) -> None:
            if isinstance(fault, Conflict) and isValid(self):
                self._told(tr_fault(fault))
                self._offer(step)

        self._told("")
        self.desk.undo_step(step, skip_changed=skip_changed, failed=failed)

    def _offer(self, step: int) -> None:
        for i in range(self._box.count()):
            shown = [s for s in self._rows if self._keeps(s)]
            widget = self._box.itemAt(i).widget()
            if widget is not None and i < len(shown) and shown[i].step == step:
                rest = button("Undo the rest", lambda: self._undo(step, skip_changed=True), kind="link")
                layout = widget.layout()
                assert layout is not None
                layout.addWidget(rest)


class Place(QWidget):
    """A small picture of where an object lay."""

    def __init__(self, desk: Desk, d: Deleted, wh: tuple[int, int] | None, colour: str) -> None:
        super().__init__()
        self.desk, self._d, self._wh, self._colour = desk, d, wh, colour
        self.setFixedSize(72, 44)
        self.setAccessibleName(tr("Where it lay"))
        desk.thumbs.came.connect(self._came)

    def _came(self, asset_id: int) -> None:
        if asset_id == self._d.asset_id:
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._draw(p)

    def _draw(self, p: QPainter) -> None:
        p.fillRect(self.rect(), QColor(theme.current().raised))
        image = self.desk.thumbs.get(self._d.asset_id)
        if image is not None:
            scale = min(self.width() / image.width(), self.height() / image.height())
            w, h = image.width() * scale, image.height() * scale
            box = QRectF((self.width() - w) / 2, (self.height() - h) / 2, w, h)
            p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            p.drawImage(box, image)
            if self._d.box is not None and self._wh is not None:
                x0, y0, x1, y1 = (v / 1000 for v in self._d.box)
                fx, fy = w / self._wh[0], h / self._wh[1]
                p.setPen(QPen(QColor(self._colour), 1.5))
                p.drawRect(QRectF(box.x() + x0 * fx, box.y() + y0 * fy, (x1 - x0) * fx, (y1 - y0) * fy))


class Bin(QWidget):
    """Deleted objects of the dataset, newest first, with a picture of each; ticked ones come back as one step."""

    def __init__(self, desk: Desk, changed: Callable[[], None]) -> None:
        super().__init__()
        self.desk, self._changed = desk, changed
        self._rows: list[Deleted] = []
        self._paths: dict[int, str] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self.chosen: set[int] = set()
        self._whole = False
        box = column(self, gap=8)
        inner = QWidget()
        self._box = column(inner, gap=4)
        self._box.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = widgets.scroll(inner)
        area.setMinimumHeight(420)
        box.addWidget(area)
        self.more = button("Show earlier ones", self._read, kind="link")
        self.more.hide()
        box.addWidget(self.more)
        self._read()

    def _read(self) -> None:
        ws, data = self.desk.ws, self.desk.dataset
        if ws is None or data is None:
            return
        before = (self._rows[-1].rev, self._rows[-1].row_id) if self._rows else None

        def work() -> tuple[list[Deleted], dict[int, AssetRow]]:
            found = labelling.recycled(ws, data.id, before=before, limit=_PAGE)
            return found, {i: browse.asset(ws, i) for i in {d.asset_id for d in found}}

        def done(got: tuple[list[Deleted], dict[int, AssetRow]]) -> None:
            if not isValid(self):
                return
            found, assets = got
            self._paths.update({i: a.path for i, a in assets.items()})
            self._sizes.update(
                {i: (a.width_px, a.height_px) for i, a in assets.items() if a.width_px and a.height_px}
            )
            self._rows += found
            self._whole = len(found) < _PAGE
            self._fill()

        self.desk.ask(work, done)

    def retranslate(self) -> None:
        """The list in the language in use."""
        self._fill()

    def _fill(self) -> None:
        widgets.clear(self._box)
        for d in self._rows:
            text = f"{self.desk.label_name(d.label)} · {self._paths.get(d.asset_id, '')}"
            under = f"{d.agent} · {ago(d.at_ms)} · r{number(d.rev)}"
            made = widgets.Row(text, under=under, swatch=self._colour(d))
            made.setChecked(d.row_id in self.chosen)
            made.clicked.connect(lambda _=False, i=d.row_id: self._tick(i))
            held = QWidget()
            line = row(held, gap=8)
            line.addWidget(Place(self.desk, d, self._sizes.get(d.asset_id), self._colour(d)))
            line.addWidget(made, 1)
            self._box.addWidget(held)
        if not self._rows:
            self._box.addWidget(label("Nothing was deleted here.", "second"))
        self.more.setVisible(bool(self._rows) and not self._whole)

    def _colour(self, d: Deleted) -> str:
        found = self.desk.schema.label(d.label) if self.desk.schema else None
        return found.color if found else "#98a1ac"

    def _tick(self, row_id: int) -> None:
        self.chosen ^= {row_id}
        self._changed()

    def rows(self) -> list[int]:
        """Rows to restore: the newest chosen one of every object, for two states of one cannot both come back."""
        found: dict[str, int] = {}
        for d in self._rows:  # newest first
            if d.row_id in self.chosen:
                found.setdefault(d.uid, d.row_id)
        return list(found.values())
