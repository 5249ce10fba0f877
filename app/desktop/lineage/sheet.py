"""The sheet over the desk that shows where a picture, an object or a version comes from, or what became of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from annotation.errors import LamproomError
from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.lineage.graph import Graph
from app.desktop.overlaid import Overlaid
from app.desktop.widgets import Elided, button, column, frame, label, number, row, say
from app.i18n import tr, tr_fault
from app.services import lineagetext
from app.services.lineage import Direction, Lineage, Node

if TYPE_CHECKING:
    from app.desktop.window import Window

_FACTS = {
    "asset_id": "number", "path": "path", "root": "root", "taken": "taken", "known_by": "known by", "make": "make", "serial": "serial number",
    "media_type": "media type", "size_bytes": "bytes", "sha256": "SHA-256", "blake3": "BLAKE3", "uid": "id", "revision": "revision",
    "started": "began", "ended": "ended", "at": "at", "by": "by", "origin": "origin", "score": "score", "closed": "ended by",
    "review": "review", "split": "split", "assignee": "with", "dataset": "dataset", "n": "how many", "removed": "taken out", "licence": "licence",
    "task": "task", "family": "family", "producer": "producer", "note": "note", "added": "added", "tag": "tag", "recipe": "recipe",
}  # fmt: skip
"""Facts a person is shown, in this order, and what they are called."""


class LineageSheet(Overlaid):
    """See the module."""

    def __init__(self, window: Window, what: str, direction: Direction = "back") -> None:
        super().__init__(window.body, max(720, window.body.width() - 48))
        self.window_, self.desk = window, window.desk
        self.what, self.direction = what, direction
        self.found: Lineage | None = None
        self._ticket = 0
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 20, 0, 20)
        outer.addWidget(self.card, 1, Qt.AlignmentFlag.AlignHCenter)
        inside = column(self.card, gap=12, margins=(24, 18, 24, 16))
        inside.addLayout(self._head())
        across = row(gap=0)
        self.graph = say(Graph(), spoken="Lineage as a graph: arrows move, Enter opens, F fits")
        self.graph.chosen.connect(self._chosen)
        self.graph.opened.connect(self.open_node)
        across.addWidget(self.graph, 1)
        across.addWidget(self._side())
        inside.addLayout(across, 1)
        inside.addLayout(self._foot())
        self._read()

    # --- parts -------------------------------------------------------------------------------------------------------

    def _head(self) -> Any:
        head = row(gap=8)
        head.addWidget(label("Lineage", "title"))
        self.subject = Elided("", "second")
        head.addWidget(self.subject, 1)
        self.back = button("Where it comes from", lambda: self.turn("back"), kind="place")
        self.onward = button("What became of it", lambda: self.turn("forward"), kind="place")
        for made in (self.back, self.onward):
            made.setCheckable(True)
            head.addWidget(made)
        return head

    def _side(self) -> QWidget:
        side = frame("right")
        side.setFixedWidth(316)
        box = column(side, gap=8, margins=(18, 4, 0, 4))
        self.kind = label(kind="caption")
        self.title = label(kind="head", wrap=True)
        self.about = label(kind="second", wrap=True)
        for made in (self.kind, self.title, self.about):
            box.addWidget(made)
        deeds = row(gap=8)
        self.opens = button("Open", lambda: self.open_node(self.graph.now), kind="primary")
        self.follow = button("Trace from here", self._follow)
        deeds.addWidget(self.opens)
        deeds.addWidget(self.follow)
        deeds.addStretch()
        box.addLayout(deeds)
        inner = QWidget()
        self._facts = column(inner, gap=8)
        self._facts.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = widgets.scroll(inner)
        area.setAccessibleName(tr("Facts"))
        box.addWidget(area, 1)
        return side

    def _foot(self) -> Any:
        foot = row(gap=8)
        foot.addWidget(button("Fit", self.graph.fit, icon="fit"))
        self.hint = label("Drag to move, wheel to zoom, arrows from cell to cell", "small")
        foot.addWidget(self.hint)
        foot.addStretch()
        self.said = label(kind="second")
        foot.addWidget(self.said)
        foot.addWidget(
            button("Picture…", lambda: self._ask("png"), icon="export", tip="Save the graph as PNG")
        )
        foot.addWidget(
            button("PROV…", lambda: self._ask("json"), icon="export", tip="Save the lineage as W3C PROV-JSON")
        )
        self.shut = button("Close", self.finish)
        foot.addWidget(self.shut)
        return foot

    def present(self) -> None:
        """Show it, the graph in hand."""
        widgets.repaint_icons(self)
        self.show()
        self.raise_()
        self.graph.setFocus(Qt.FocusReason.OtherFocusReason)

    # --- reading -----------------------------------------------------------------------------------------------------

    def turn(self, direction: Direction) -> None:
        """Look the other way."""
        self.direction = direction
        self._read()

    def _read(self) -> None:
        ws = self.desk.ws
        self.back.setChecked(self.direction == "back")
        self.onward.setChecked(self.direction == "forward")
        self._ticket += 1
        ticket, what, direction = self._ticket, self.what, self.direction
        if ws is None:
            return
        self.said.setText(tr("Reading…"))

        def work() -> Lineage:
            from app.services import lineage

            return lineage.trace(ws, what, direction)

        def done(found: Lineage) -> None:
            if ticket == self._ticket:
                self.show_found(found)

        def failed(fault: BaseException) -> None:
            if ticket == self._ticket:
                self.said.setText(
                    tr_fault(fault) if isinstance(fault, LamproomError) else tr("The lineage cannot be read.")
                )

        self.desk.tasks.readers.submit(work, self.while_open(done), self.while_open(failed), key="lineage")

    def show_found(self, found: Lineage) -> None:
        """Draw it, its objects with the names of their classes."""
        named = tuple(
            replace(n, title=f"{self.desk.label_name(str(n.facts['label']))} {n.title.rpartition(' ')[2]}")
            if n.type == "annotation" and "label" in n.facts else n
            for n in found.nodes
        )  # fmt: skip
        self.found = found = replace(found, nodes=named)
        nodes = {n.id: n for n in found.nodes}
        me = nodes[found.subject]
        self.subject.setText(f"{lineagetext.kind(me.type)} {lineagetext.title(me)}")
        alone = len(found.nodes) == 1
        self.said.setText(
            (tr("nothing was made of it yet") if found.direction == "forward" else tr("nothing more is known")) if alone
            else tr("{n} things, {m} links", n=number(len(found.nodes)), m=number(len(found.edges)))
        )  # fmt: skip
        self.graph.show_lineage(found)

    # --- the cell in hand ----------------------------------------------------------------------------------------------

    def _chosen(self, id: str) -> None:
        drawn = self.graph.drawn
        assert drawn is not None
        cell = drawn.cells[id]
        self.kind.setText(lineagetext.kind(cell.type))
        widgets.clear(self._facts)
        if cell.node is None:
            self.title.setText(f"× {number(len(cell.members))}")
            self.about.setText(tr("Enter shows each of them"))
            self.opens.setEnabled(True)
            self.follow.setEnabled(False)
            return
        node = cell.node
        self.title.setText(lineagetext.title(node) or lineagetext.kind(node.type))
        self.about.setText(" · ".join(lineagetext.details(node, self.graph.agents)))
        self.opens.setEnabled(node.type in ("asset", "annotation", "version", "dataset", "model"))
        self.follow.setEnabled(name_of(node) not in (None, self.what))
        for caption, value in facts(node):
            self._fact(caption, value)
        for tie in drawn.ties:
            if id in (tie.near, tie.far):
                other = drawn.cells[tie.far if id == tie.near else tie.near]
                if id == tie.near:
                    self._fact(tr(tie.word), self.graph.spoken(other))

    def _fact(self, caption: str, value: str) -> None:
        box = column(gap=0)
        head = label(kind="small")
        head.setText(caption)
        text = label(kind="", wrap=True)
        text.setText(_breakable(value))
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        box.addWidget(head)
        box.addWidget(text)
        self._facts.addLayout(box)

    def open_node(self, id: str) -> None:
        """Open what a cell stands for: the picture in annotate, the version among versions, the model on its shelf."""
        drawn = self.graph.drawn
        if drawn is None or id not in drawn.cells:
            return
        cell = drawn.cells[id]
        if cell.members:
            self.graph.unfold(id)
            return
        node, window = cell.node, self.window_
        assert node is not None
        if node.type == "asset" and isinstance(node.facts.get("asset_id"), int):
            self.finish()
            window.go("annotate")
            window.annotate.open(int(str(node.facts["asset_id"])))
        elif node.type == "annotation" and self._picture_of(node.id) is not None:
            self.finish()
            window.go("annotate")
            window.annotate.open(self._picture_of(node.id) or 0)
        elif node.type in ("version", "dataset"):
            name = node.title.rpartition("@")[0] if node.type == "version" else node.title
            self.finish()
            data = next((d for d in self.desk.datasets if d.name == name), None)
            if data is not None:
                self.desk.choose_dataset(data.id)
            window.go("versions" if node.type == "version" else "gallery")
        elif node.type == "model":
            self.finish()
            window.sheets.models()

    def _picture_of(self, id: str) -> int | None:
        found = self.found
        if found is None:
            return None
        assets = {n.id: n.facts.get("asset_id") for n in found.nodes if n.type == "asset"}
        for e in found.edges:
            if e.source == id and e.target in assets and isinstance(assets[e.target], int):
                return int(str(assets[e.target]))
        return None

    def _follow(self) -> None:
        drawn = self.graph.drawn
        node = (
            drawn.cells[self.graph.now].node if drawn is not None and self.graph.now in drawn.cells else None
        )
        if node is not None and (name := name_of(node)) is not None:
            self.what = name
            self._read()

    # --- files -----------------------------------------------------------------------------------------------------------

    def _ask(self, kind: str) -> None:
        if self.found is None:
            return
        wanted = {"png": tr("Pictures (*.png)"), "json": tr("PROV-JSON (*.json)")}[kind]
        path, _ = QFileDialog.getSaveFileName(self, tr("Save as"), f"lineage.{kind}", wanted)
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the graph (.png) or the lineage (.json)."""
        ws, found = self.desk.ws, self.found
        if ws is None or found is None:
            return
        if path.suffix == ".png":
            done = self.graph.image().save(str(path))
            self.said.setText(
                tr("written: {files}", files=path.name) if done else tr("The file cannot be written.")
            )
            return
        from app.services import lineage

        try:
            path.write_bytes(lineage.prov(ws, found))
        except OSError:
            self.said.setText(tr("The file cannot be written."))
            return
        self.said.setText(tr("written: {files}", files=path.name))


def name_of(node: Node) -> str | None:
    """What `trace` knows a node by; None for what has no lineage of its own."""
    match node.type:
        case "asset":
            return f"picture:{node.facts['asset_id']}" if "asset_id" in node.facts else None
        case "version" | "dataset" | "package":
            return f"{node.type}:{node.title}"
        case "model":
            return f"model:{node.facts['sha256']}" if "sha256" in node.facts else None
        case "annotation":
            return (
                f"object:{node.facts['uid']}"
                if "uid" in node.facts and not node.facts.get("closed")
                else None
            )
        case _:
            return (
                f"activity:{node.id.removeprefix('activity.')}" if node.id.startswith("activity.") else None
            )


def facts(node: Node) -> list[tuple[str, str]]:
    """A node's facts for people: (caption, value)."""
    out = [(tr(name), _text(node.facts[key])) for key, name in _FACTS.items() if key in node.facts]
    params = node.facts.get("params")
    if isinstance(params, Mapping):
        plain = {k: v for k, v in params.items() if isinstance(v, str | int | float | bool) and str(v)}
        out += [(str(k).replace("_", " "), _text(v)) for k, v in plain.items()]
    for key, name in (("files", "files"), ("others", "pictures of the group")):
        listed = node.facts.get(key)
        if isinstance(listed, list):
            lines = [str(x.get("path")) if isinstance(x, Mapping) else str(x) for x in listed[:20]]
            out.append((tr(name), "\n".join([*lines, *(["…"] if len(listed) > 20 else [])])))
    runs = node.facts.get("runs")
    if isinstance(runs, list):
        lines = [" · ".join(str(v) for v in r.values()) for r in runs[:20] if isinstance(r, Mapping)]
        out.append((tr("runs"), "\n".join(lines)))
    return out


def _breakable(value: str) -> str:
    """Digests on two lines: a label breaks at blanks only."""
    return re.sub(r"\b([0-9a-f]{32})([0-9a-f]{32})\b", r"\1\n\2", value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def subject(window: Window) -> str | None:
    """What is in hand: the one selected object, the open picture, else the dataset; None = nothing is."""
    desk: Desk = window.desk
    if window.place in ("annotate", "review") and desk.document.asset_id is not None:
        if len(desk.document.selection) == 1:
            return f"object:{desk.document.selection[0]}"
        return f"picture:{desk.document.asset_id}"
    return f"dataset:{desk.dataset.name}" if desk.dataset is not None else None


def show(window: Window, what: str | None = None, direction: Direction = "back") -> LineageSheet | None:
    """Open the sheet over the window. what: as `trace` takes it; None = what is in hand."""
    name = what or subject(window)
    if name is None:
        return None
    made = LineageSheet(window, name, direction)
    window.show_over(made)
    return made
