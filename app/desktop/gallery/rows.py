"""The pictures of a query by position, read in blocks when they are looked at; nothing is proportional to their number."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from PySide6.QtCore import QObject, Signal

from app.desktop.tasks import Pool
from app.services import browse
from app.services.browse import ItemRow, Query

BLOCK = 200
_KEPT_BLOCKS = 60


class Rows(QObject):
    """`row(i)` answers at once or None and asks; `came` tells when rows or the count are there. Interface thread only."""

    came = Signal()
    counted = Signal()
    faulted = Signal(object)

    def __init__(self, pool: Pool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = pool
        self.ws: Any = None
        self.query: Query | None = None
        self.count = 0
        self.known = False
        self._anchors: list[int] | None = None
        self._blocks: OrderedDict[int, list[ItemRow]] = OrderedDict()
        self._asked: set[int] = set()
        self._ticket = 0

    def set_query(self, ws: Any, query: Query | None) -> None:
        """Look at something else."""
        self._ticket += 1
        self.ws, self.query = ws, query
        self.count, self.known, self._anchors = 0, False, None
        self._blocks.clear()
        self._asked.clear()
        self.counted.emit()
        self._read()

    def refresh(self) -> None:
        """Read again; what is shown stays until the new rows are there."""
        self._ticket += 1
        self._asked.clear()
        self._read()

    def row(self, position: int) -> ItemRow | None:
        """The picture at a position."""
        block = position // BLOCK
        if (rows := self._blocks.get(block)) is not None:
            self._blocks.move_to_end(block)
            return rows[position - block * BLOCK] if position - block * BLOCK < len(rows) else None
        self._ask(block)
        return None

    def loaded(self) -> list[ItemRow]:
        """Every row at hand."""
        return [row for rows in self._blocks.values() for row in rows]

    def _read(self) -> None:
        ws, query, ticket = self.ws, self.query, self._ticket
        if ws is None or query is None:
            self.known = True
            self.counted.emit()
            return

        def first() -> tuple[int, list[ItemRow]]:
            return browse.count(ws, query), browse.page(ws, query, limit=BLOCK)

        self._pool.submit(first, lambda got: self._first(ticket, *got), self._fault)
        self._pool.submit(
            lambda: browse.anchors(ws, query),
            lambda marks: self._marks(ticket, marks),
            self._fault,
            key="anchors",
        )

    def _first(self, ticket: int, count: int, rows: list[ItemRow]) -> None:
        if ticket != self._ticket:
            return
        self._blocks = OrderedDict({0: rows})
        self.count, self.known = count, True
        self.counted.emit()
        self.came.emit()

    def _marks(self, ticket: int, marks: list[int]) -> None:
        if ticket == self._ticket:
            self._anchors = marks
            self.came.emit()

    def _ask(self, block: int) -> None:
        ws, query, marks, ticket = self.ws, self.query, self._anchors, self._ticket
        if block in self._asked or marks is None or ws is None or query is None or not self.known:
            return
        self._asked.add(block)
        self._pool.submit(
            lambda: browse.rows_at(ws, query, marks, block * BLOCK, BLOCK),
            lambda rows: self._block(ticket, block, rows),
            self._fault,
            key=("rows", block),
        )

    def _block(self, ticket: int, block: int, rows: list[ItemRow]) -> None:
        if ticket != self._ticket:
            return
        self._asked.discard(block)
        self._blocks[block] = rows
        while len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        self.came.emit()

    def _fault(self, fault: BaseException) -> None:
        self.known = True
        self.faulted.emit(fault)
