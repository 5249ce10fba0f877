"""The sheet that compares two versions: classes as bars, the pictures that differ, each drawn side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from annotation.errors import LamproomError
from app.desktop import theme, widgets
from app.desktop.canvas.pictures import to_image
from app.desktop.models.asking import Combo
from app.desktop.overlaid import Overlaid
from app.desktop.versioned.bars import ROW_PX, ClassBars
from app.desktop.versioned.sides import Side, Sides, sides_of
from app.desktop.widgets import Elided, button, column, label, number, row, say
from app.i18n import tr, tr_fault

if TYPE_CHECKING:
    from app.desktop.window import Window
    from app.services.versions.differing import Diff, Picture
    from app.services.workspace import Workspace

MOST = 5_000
"""Pictures listed; of more the number is said."""
SIDE_PX = 1_600
MARKS = {"added": "+", "removed": "−", "changed": "~"}


@dataclass(frozen=True, slots=True)
class _Found:
    diff: Diff
    pictures: list[Picture]


class CompareSheet(Overlaid):
    """See the module."""

    def __init__(self, window: Window, tags: list[str], a: str, b: str) -> None:
        super().__init__(window.body, max(900, window.body.width() - 48))
        self.desk = window.desk
        self.tags = tags
        self.found: _Found | None = None
        self._ticket = self._shown = 0
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 20, 0, 20)
        outer.addWidget(self.card, 1, Qt.AlignmentFlag.AlignHCenter)
        inside = column(self.card, gap=12, margins=(24, 18, 24, 16))
        inside.addLayout(self._head(a, b))
        across = row(gap=20)
        across.addWidget(self._left())
        right = column(gap=8)
        self.named = Elided("", "head")
        right.addWidget(self.named)
        self.sides = say(Sides(), spoken="The picture in both versions")
        right.addWidget(self.sides, 1)
        self.told = label(kind="second", wrap=True)
        right.addWidget(self.told)
        across.addLayout(right, 1)
        inside.addLayout(across, 1)
        inside.addLayout(self._foot())
        self._read()

    def _head(self, a: str, b: str) -> Any:
        head = row(gap=8)
        head.addWidget(label("Compare versions", "title"))
        head.addStretch()
        self.before, self.after = Combo(), Combo()
        for made, tag, spoken in (
            (self.before, a, "The earlier version"),
            (self.after, b, "The later version"),
        ):
            made.addItems(self.tags)
            made.setCurrentText(tag)
            made.setMinimumWidth(160)
            say(made, spoken=spoken)
            made.currentTextChanged.connect(lambda _: self._read())
        head.addWidget(self.before)
        head.addWidget(label("→", "second"))
        head.addWidget(self.after)
        return head

    def _left(self) -> QWidget:
        left = QWidget()
        left.setFixedWidth(340)
        box = column(left, gap=8)
        self.said = label(kind="second", wrap=True)
        box.addWidget(self.said)
        self.bars = ClassBars()
        inner = QWidget()
        held = column(inner, gap=0, margins=(0, 0, 8, 0))
        held.addWidget(self.bars)
        held.addStretch()
        area = widgets.scroll(inner)
        area.setAccessibleName(tr("Objects by class"))
        self._area = area
        box.addWidget(area)
        self.list = say(QListWidget(), spoken="Pictures that differ")
        self.list.setUniformItemSizes(True)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.currentRowChanged.connect(self._choose)
        box.addWidget(self.list, 1)
        return left

    def _foot(self) -> Any:
        foot = row(gap=8)
        foot.addWidget(
            label("+ new, thick   − gone, dash-dot   ~ changed, double; dotted: where it was", "small")
        )
        foot.addStretch()
        foot.addWidget(label("↑ ↓ from picture to picture", "small"))
        self.shut = button("Close", self.finish)
        foot.addWidget(self.shut)
        return foot

    def present(self) -> None:
        """Show it, the list in hand."""
        widgets.repaint_icons(self)
        self.show()
        self.raise_()
        self.list.setFocus(Qt.FocusReason.OtherFocusReason)

    # --- reading -----------------------------------------------------------------------------------------------------

    @property
    def refs(self) -> tuple[str, str]:
        """Both versions, as dataset@tag."""
        data = self.desk.dataset
        name = data.name if data else ""
        return f"{name}@{self.before.currentText()}", f"{name}@{self.after.currentText()}"

    def _read(self) -> None:
        ws = self.desk.ws
        self._ticket += 1
        ticket, (a, b) = self._ticket, self.refs
        if ws is None:
            return
        self.said.setText(tr("Comparing…"))
        self.list.clear()
        self.named.setText("")
        self.told.setText("")
        self.sides.show_sides(("", None), ("", None), "")

        def work() -> _Found:
            from app.services import versions

            found = versions.diff(ws, a, b)
            every = len(found.examples) < found.assets_added + found.assets_removed + found.assets_changed
            listed = list(islice(versions.pictures(ws, a, b), MOST)) if every else list(found.examples)
            return _Found(found, listed)

        def done(found: _Found) -> None:
            if ticket == self._ticket:
                self._show(found)
                self._count(ws, ticket, a, b)

        self.desk.ask(work, self.while_open(done), self.while_open(self._failed))

    def _failed(self, fault: BaseException) -> None:
        if not isinstance(fault, LamproomError):
            raise fault
        self.said.setText(tr_fault(fault))

    def _count(self, ws: Workspace, ticket: int, a: str, b: str) -> None:
        """How many objects each class has in either version; the first time that reads every set."""

        def work() -> dict[str, tuple[int, int]]:
            from app.services import versions

            first, second = versions.totals(ws, a), versions.totals(ws, b)
            return {code: (first.get(code, 0), second.get(code, 0)) for code in {*first, *second}}

        def done(totals: dict[str, tuple[int, int]]) -> None:
            if ticket == self._ticket and self.found is not None:
                self._draw_bars(totals)

        self.desk.ask(work, self.while_open(done), self.while_open(self._failed))

    def _draw_bars(self, totals: dict[str, tuple[int, int]] | None = None) -> None:
        assert self.found is not None
        colours = self.desk.style().colours
        self._area.setFixedHeight(min(6, max(1, len(self.found.diff.by_label))) * ROW_PX)
        self.bars.show_labels(
            self.found.diff.by_label, self.desk.label_name,
            lambda code: colours.get(code, theme.current().second), totals,
        )  # fmt: skip

    def _show(self, found: _Found) -> None:
        self.found = found
        d = found.diff
        self.said.setText(summary(d))
        self._draw_bars()
        for p in found.pictures:
            item = QListWidgetItem(f"{MARKS[p.kind]}  {p.key}   {_figures(p)}")
            item.setSizeHint(QSize(0, 28))
            item.setToolTip(f"{p.key}\n{_figures(p)}")
            item.setData(Qt.ItemDataRole.UserRole, p.key)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{tr(p.kind)} {p.key}, {_figures(p)}")
            self.list.addItem(item)
        if found.pictures:
            self.list.setCurrentRow(0)

    def _choose(self, at: int) -> None:
        item = self.list.item(at)
        ws = self.desk.ws
        if item is None or ws is None:
            return
        self._shown += 1
        shown, key, (a, b) = self._shown, str(item.data(Qt.ItemDataRole.UserRole)), self.refs
        self.named.setText(key)
        name = self.desk.label_name

        def work() -> tuple[Any, tuple[Side, Side]]:
            from app.services import versions

            pair = versions.pair(ws, a, b, key)
            images, whys = [], []
            for fact in (pair.before, pair.after):
                image, why = _image(ws, fact)
                images.append(image)
                whys.append(why)
            return pair, sides_of(pair, images, whys, name)

        def done(found: tuple[Any, tuple[Side, Side]]) -> None:
            if shown == self._shown:
                told = _told(found[0], name)
                self.told.setText(told)
                self.sides.show_sides(
                    (self.before.currentText(), found[1][0]), (self.after.currentText(), found[1][1]), told
                )

        self.desk.ask(work, self.while_open(done), self.while_open(self._failed))


def _image(ws: Workspace, fact: Any) -> tuple[Any, str]:
    if fact is None:
        return None, ""
    from app.services import versions

    try:
        return to_image(versions.picture(ws, fact, SIDE_PX)), ""
    except LamproomError as error:
        return None, tr_fault(error)


def summary(d: Diff) -> str:
    """What differs, in a few sentences."""
    if d.same:
        return tr("Both hold the same.")
    how = ", ".join(f"{tr(word)} {number(n)}" for word, n in d.how.items())
    lines = [
        tr("Pictures: {added} added, {removed} removed, {changed} changed.",
           added=number(d.assets_added), removed=number(d.assets_removed), changed=number(d.assets_changed)),
        tr("Objects: {added} added, {removed} removed, {changed} changed.",
           added=number(d.annotations_added), removed=number(d.annotations_removed), changed=number(d.annotations_changed)),
    ]  # fmt: skip
    if how:
        lines.append(tr("Of the changed: {how}.", how=how))
    if d.steps is not None:
        lines.append(tr("{n} steps lie between them.", n=number(d.steps)))
    return "\n".join(lines)


def _figures(p: Picture) -> str:
    parts = [f"{sign}{number(n)}" for sign, n in (("+", p.added), ("−", p.removed), ("~", p.changed)) if n]
    if p.media:
        parts.append(tr("other bytes"))
    if p.split:
        parts.append(tr("other split"))
    return " ".join(parts)


def _told(pair: Any, name: Any) -> str:
    """Every change of a picture in words."""
    return "   ".join(_lines(pair, name)) or tr("No object differs.")


def _lines(pair: Any, name: Any) -> Iterator[str]:
    if pair.before and pair.after and pair.before.asset != pair.after.asset:
        yield tr("other bytes")
    for one in pair.changed:
        if one.before is None:
            yield f"+ {name(one.after['label'])}"
        elif one.after is None:
            yield f"− {name(one.before['label'])}"
        elif "relabelled" in one.how:
            yield f"~ {name(one.before['label'])} → {name(one.after['label'])}"
        else:
            yield f"~ {name(one.after['label'])} {', '.join(tr(w) for w in one.how)}"


def show(window: Window, tag: str = "") -> CompareSheet | None:
    """Compare a version, by default the newest, with the one before it. Without two of them one is frozen first."""
    desk = window.desk
    ws, data = desk.ws, desk.dataset
    if ws is None or data is None:
        return None
    tags = window.versions.tags()
    if len(tags) < 2:
        window.sheets.freeze()
        return None
    later = tag or tags[-1]
    at = tags.index(later) if later in tags else len(tags) - 1
    made = CompareSheet(window, tags, tags[max(0, at - 1)], tags[at] if at else tags[1])
    window.show_over(made)
    return made
