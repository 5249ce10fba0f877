"""Where the nodes of a lineage stand: in layers by their distance from the subject, few crossings, large fans as one.

After Sugiyama, Tagawa and Toda (1981): longest paths give the layers, the order within one follows the middle of its
neighbours, swept back and forth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from app.services.lineage import Lineage, Node
from app.services.lineagetext import neighbours

FAN = 5
"""Things of one sort that hang on one node and are drawn each; more are one cell until it is opened."""
WIDE, HIGH, ACROSS, DOWN = 184, 56, 52, 18
"""Size of a cell and the room between cells, px at a zoom of 1."""
_SWEEPS = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """What is drawn at one place: a node, or `members` of one type that hang on one node (node is None then).

    x, y: upper left corner, px; the earlier in time, the further left. layer: steps from the subject.
    """

    id: str
    type: str
    node: Node | None
    layer: int
    x: float
    y: float
    members: tuple[str, ...] = ()
    word: str = ""


@dataclass(frozen=True, slots=True)
class Tie:
    """A line between two cells, from the one nearer to the subject; `word` as it is read in that direction."""

    near: str
    far: str
    word: str
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Cells and ties ready to be painted, within (0, 0, width, height)."""

    subject: str
    cells: Mapping[str, Cell]
    ties: tuple[Tie, ...]
    width: float
    height: float
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Cell -> cells that a line joins it with."""


def picture(found: Lineage, opened: Collection[str] = ()) -> Picture:
    """The lineage laid out. opened: ids of fans whose members are drawn each."""
    nodes, links = {n.id: n for n in found.nodes}, neighbours(found)
    fans: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    ties: dict[tuple[str, str], Tie] = {}
    seen, todo = {found.subject}, [found.subject]
    while todo:
        here = todo.pop(0)
        groups: dict[tuple[str, str], list[tuple[str, int | None]]] = defaultdict(list)
        for word, e, other in links.get(here, ()):
            if other not in (here, found.subject):  # all leads to the subject: only what touches it is drawn
                groups[word, nodes[other].type].append((other, e.n))
        for (word, type), members in groups.items():
            fan = f"fan {here} {word} {type}"
            fresh = [m for m, _ in members if m not in seen]
            if len(fresh) > FAN and fan not in opened:
                fans[fan] = (type, word, tuple(fresh))
                ties.setdefault((here, fan), Tie(here, fan, word, len(fresh)))
                members = [(m, n) for m, n in members if m in seen]
            for other, n in members:
                if (other, here) not in ties:
                    ties.setdefault((here, other), Tie(here, other, word, n))
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
    hidden = {m for _, _, members in fans.values() for m in members} - seen
    kept = [t for t in ties.values() if t.near not in hidden and t.far not in hidden]
    layer = _layers(found.subject, kept)
    order = _order(layer, kept)
    return _placed(found, nodes, fans, kept, layer, order)


def _layers(subject: str, ties: list[Tie]) -> dict[str, int]:
    """Longest path from the subject; a tie that would close a ring does not count."""
    out: dict[str, list[str]] = defaultdict(list)
    for t in ties:
        out[t.near].append(t.far)
    state: dict[str, int] = {}
    done: list[str] = []
    ahead: dict[str, list[str]] = defaultdict(list)
    stack: list[tuple[str, int]] = [(subject, 0)]
    while stack:
        here, i = stack.pop()
        state[here] = 1
        for k in range(i, len(out[here])):
            other = out[here][k]
            if state.get(other) == 1:
                continue
            ahead[here].append(other)
            if other not in state:
                stack += [(here, k + 1), (other, 0)]
                break
        else:
            state[here] = 2
            done.append(here)
    layer = dict.fromkeys(done, 0)
    for here in reversed(done):
        for other in ahead[here]:
            layer[other] = max(layer[other], layer[here] + 1)
    return layer


def _order(layer: Mapping[str, int], ties: list[Tie]) -> list[list[str]]:
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for id, n in layer.items():
        rows[n].append(id)
    for row in rows:
        row.sort()
    joined: dict[str, list[str]] = defaultdict(list)
    for t in ties:
        joined[t.near].append(t.far)
        joined[t.far].append(t.near)
    for sweep in range(_SWEEPS):
        at = {id: i for row in rows for i, id in enumerate(row)}
        turn = range(1, len(rows)) if sweep % 2 == 0 else range(len(rows) - 2, -1, -1)
        for n in turn:
            before = n - 1 if sweep % 2 == 0 else n + 1

            def middle(id: str, before: int = before, at: dict[str, int] = at) -> float:
                near = [at[o] for o in joined[id] if layer[o] == before]
                return sum(near) / len(near) if near else at[id]

            rows[n].sort(key=middle)
            at |= {id: i for i, id in enumerate(rows[n])}
    return rows


def _placed(
    found: Lineage, nodes: Mapping[str, Node], fans: Mapping[str, tuple[str, str, tuple[str, ...]]], ties: list[Tie],
    layer: Mapping[str, int], rows: list[list[str]],
) -> Picture:  # fmt: skip
    high = max((len(r) for r in rows), default=1) * (HIGH + DOWN) - DOWN
    wide = len(rows) * (WIDE + ACROSS) - ACROSS
    back = found.direction == "back"
    cells: dict[str, Cell] = {}
    for n, row in enumerate(rows):
        x = (len(rows) - 1 - n if back else n) * (WIDE + ACROSS)
        top = (high - (len(row) * (HIGH + DOWN) - DOWN)) / 2
        for i, id in enumerate(row):
            y = top + i * (HIGH + DOWN)
            if id in fans:
                type, word, members = fans[id]
                cells[id] = Cell(id, type, None, n, x, y, members, word)
            else:
                cells[id] = Cell(id, nodes[id].type, nodes[id], n, x, y)
    shown = tuple(t for t in ties if t.near in cells and t.far in cells)
    beside: dict[str, list[str]] = defaultdict(list)
    for t in shown:
        beside[t.near].append(t.far)
        beside[t.far].append(t.near)
    return Picture(found.subject, cells, shown, wide, high, {k: tuple(v) for k, v in beside.items()})


def towards(drawn: Picture, here: str, dx: int, dy: int) -> str:
    """The cell an arrow leads to: across to what is joined, else to the nearest; up and down within the layer. `here` if none."""
    now = drawn.cells[here]
    if dy:
        column = sorted((c for c in drawn.cells.values() if c.x == now.x), key=lambda c: c.y)
        at = column.index(now) + dy
        return column[at].id if 0 <= at < len(column) else here
    side = [c for c in drawn.cells.values() if (c.x - now.x) * dx > 0]
    joined = [c for c in side if c.id in drawn.beside.get(here, ())]
    best = min(joined or side, key=lambda c: (abs(c.x - now.x), abs(c.y - now.y)), default=now)
    return best.id
