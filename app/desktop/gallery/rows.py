"""What a view lists, by position, read in blocks when they are looked at.

A plain view is counted by the counters and paged along its index, so nothing is proportional to its size. Any other is
listed once in the background, as ids alone; what was found so far can be looked at meanwhile.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from PySide6.QtCore import QObject, Signal

from app.desktop.tasks import Pool
from app.services import browse, listing
from app.services.browse import ItemRow
from app.services.listing import ObjectRow, Part, View

BLOCK = 200
_KEPT_BLOCKS = 60


class Rows(QObject):
    """`row(i)` answers at once or None and asks; `came` tells when rows or the count are there. Interface thread only."""

    came = Signal()
    counted = Signal()
    """The count changed; with `known` False something else is looked at."""
    listed = Signal()
    """Everything was gone through."""
    faulted = Signal(object)

    def __init__(self, pool: Pool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = pool
        self.ws: Any = None
        self.view: View | None = None
        self.count = 0
        self.known = False
        self.complete = False
        self.share = 0.0
        self._ids: array[int] | None = None
        self._anchors: list[int] | None = None
        self._blocks: OrderedDict[int, list[ItemRow | ObjectRow | None]] = OrderedDict()
        self._asked: set[int] = set()
        self._old: set[int] = set()
        """Blocks that are shown while they are read again."""
        self._ticket = 0

    def set_view(self, ws: Any, view: View | None) -> None:
        """Look at something else."""
        self._ticket += 1
        self.ws, self.view = ws, view
        self.count, self.known, self.complete, self.share = 0, False, False, 0.0
        self._ids = self._anchors = None
        self._blocks.clear()
        self._asked.clear()
        self._old.clear()
        self.counted.emit()
        self._read(quiet=False)

    def refresh(self) -> None:
        """Read again; what is shown stays until the new rows are there."""
        self._ticket += 1
        self._asked.clear()
        self._read(quiet=True)

    def row(self, position: int) -> ItemRow | ObjectRow | None:
        """The picture or object at a position."""
        block = position // BLOCK
        if (rows := self._blocks.get(block)) is not None:
            self._blocks.move_to_end(block)
            if block in self._old:
                self._ask(block)
            return rows[position - block * BLOCK] if position - block * BLOCK < len(rows) else None
        self._ask(block)
        return None

    def ids(self, spans: Sequence[tuple[int, int]]) -> list[int] | None:
        """Ids at the positions first..end-1 of each span, when they are at hand."""
        if self._ids is not None:
            return [i for first, end in spans for i in self._ids[first:end]]
        out = []
        for first, end in spans:
            for position in range(first, end):
                rows = None if position // BLOCK in self._old else self._blocks.get(position // BLOCK)
                row = rows[position % BLOCK] if rows is not None and position % BLOCK < len(rows) else None
                if row is None:
                    return None
                out.append(_id(row))
        return out

    def read_ids(self, spans: Sequence[tuple[int, int]]) -> Sequence[int]:
        """As `ids`, read where they are not at hand; for a worker thread."""
        if (found := self.ids(spans)) is not None:
            return found
        assert self.view is not None
        marks = self._anchors if self._anchors is not None else browse.anchors(self.ws, self.view.query)
        out = array("q")
        for first, end in spans:
            out.extend(browse.ids_at(self.ws, self.view.query, marks, first, end - first))
        return out

    def position_of(self, row_id: int) -> int | None:
        """Where an id stands, when it can be told at once."""
        if self._ids is not None:
            try:
                return self._ids.index(row_id)
            except ValueError:
                return None
        for block, rows in self._blocks.items():
            for i, row in enumerate(rows):
                if row is not None and _id(row) == row_id:
                    return block * BLOCK + i
        return None

    # --- reading -------------------------------------------------------------------------------------------------

    def _read(self, *, quiet: bool) -> None:
        ws, view, ticket = self.ws, self.view, self._ticket
        if ws is None or view is None:
            self.known = self.complete = True
            self.counted.emit()
            return

        def first() -> tuple[int, list[ItemRow]] | None:
            if not listing.is_plain(ws, view):
                return None
            return browse.count(ws, view.query), browse.page(ws, view.query, limit=BLOCK)

        def done(got: tuple[int, list[ItemRow]] | None) -> None:
            if ticket != self._ticket:
                return
            if got is None:
                self._list(ticket, listing.ids(ws, view), array("q"), quiet)
                return
            self._ids, self._anchors = None, None
            self._old = set(self._blocks) - {0}
            self._blocks[0] = list(got[1])
            self.count, self.known, self.complete, self.share = got[0], True, True, 1.0
            self.counted.emit()
            self.came.emit()
            self.listed.emit()
            self._pool.submit(
                lambda: browse.anchors(ws, view.query),
                lambda m: self._marks(ticket, m),
                self._fault,
                key="anchors",
            )

        self._pool.submit(first, done, lambda fault: self._failed(ticket, fault))

    def _list(self, ticket: int, parts: Iterator[Part], found: array[int], quiet: bool) -> None:
        """One stretch after another; what the reader threads have to do besides goes in between."""

        def done(part: Part | None) -> None:
            if ticket != self._ticket or part is None:
                return
            found.extend(part.ids)
            if not quiet or part.last:
                before = self.count
                if quiet:
                    self._moved(found)
                elif self._ids is None:
                    self._ids = found
                elif self.count // BLOCK in self._blocks:
                    del self._blocks[self.count // BLOCK]  # it was short, and has grown
                self._ids, self.count, self.known = found, len(found), True
                self.complete, self.share = part.last, part.share
                if part.last or self.count != before:
                    self.counted.emit()
                self.came.emit()
            if part.last:
                self.listed.emit()
            else:
                self._list(ticket, parts, found, quiet)

        self._pool.submit(
            lambda: next(parts, None), done, lambda fault: self._failed(ticket, fault), behind=True
        )

    def _moved(self, ids: array[int]) -> None:
        """Rows at hand go where the new list has them, and are read again; what is shown is always what is meant."""
        at_hand = {_id(row): row for rows in self._blocks.values() for row in rows if row is not None}
        for block in list(self._blocks):
            self._blocks[block] = [at_hand.get(i) for i in ids[block * BLOCK : (block + 1) * BLOCK]]
        self._old = set(self._blocks)

    def _marks(self, ticket: int, marks: list[int]) -> None:
        if ticket == self._ticket:
            self._anchors = marks
            self.came.emit()

    def _ask(self, block: int) -> None:
        ws, view, marks, ids, ticket = self.ws, self.view, self._anchors, self._ids, self._ticket
        if block in self._asked or ws is None or view is None or not self.known:
            return
        if ids is None and marks is None:
            return
        self._asked.add(block)
        first = block * BLOCK
        wanted = ids[first : first + BLOCK] if ids is not None else None
        if wanted is not None and not wanted:
            self._asked.discard(block)
            return

        def work() -> list[ItemRow | ObjectRow | None]:
            data = view.query.dataset_id
            if wanted is None:
                return list(browse.rows_at(ws, view.query, marks or [], first, BLOCK))
            if view.objects:
                objects = {o.id: o for o in listing.objects(ws, data, wanted)}
                return [objects.get(i) for i in wanted]
            pictures = {r.asset_id: r for r in listing.pictures(ws, data, wanted)}
            return [pictures.get(i) for i in wanted]

        self._pool.submit(
            work, lambda rows: self._block(ticket, block, rows), self._fault, key=("rows", block)
        )

    def _block(self, ticket: int, block: int, rows: list[ItemRow | ObjectRow | None]) -> None:
        if ticket != self._ticket:
            return
        self._asked.discard(block)
        self._old.discard(block)
        self._blocks[block] = rows
        if len(rows) < min(BLOCK, self.count - block * BLOCK):
            self._old.add(block)  # more was found while it was read
        while len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        self.came.emit()

    def _failed(self, ticket: int, fault: BaseException) -> None:
        if ticket == self._ticket:
            self.count, self.known, self.complete = 0, True, True
            self.counted.emit()
            self._fault(fault)

    def _fault(self, fault: BaseException) -> None:
        self.known = True
        self.faulted.emit(fault)


def _id(row: ItemRow | ObjectRow) -> int:
    return row.id if isinstance(row, ObjectRow) else row.asset_id
