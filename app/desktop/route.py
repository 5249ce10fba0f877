"""Where one is in the selection of pictures, and the way on: rows around the open picture, its position, their number.

A step is answered from the rows at hand and asks the database nothing; more rows are read long before they run out. The
position is counted from the nearest of the selection's anchors, which are found once, in the background: counting all
pictures before this one took 70 ms a step among 1.5 million. In the order of worth the way is a list of ids, read once: it
stays as it is while pictures of it are labelled, which are passed over.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, Signal

from app.desktop.tasks import Pool
from app.services import browse, listing
from app.services.browse import ItemRow, Query

REACH = 60
"""Rows read to each side."""
SPARE = 24
"""With fewer rows left ahead, more are read."""
AHEAD, BEHIND = 4, 1
"""Pictures decoded ahead and behind in the direction of travel."""


class Route(QObject):
    """See the module. Interface thread only."""

    changed = Signal()
    """Rows, position or number changed."""
    faulted = Signal(object)

    def __init__(self, pool: Pool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = pool
        self.ws: Any = None
        self.query: Query | None = None
        self.rows: list[ItemRow] = []
        self.now: int | None = None
        self.direction = 1
        self.total: int | None = None
        self.known = False
        """The rows have been read."""
        self._base: int | None = None  # position of the first row
        self._marks: list[int] | None = None
        self.worth = False
        """In the order of worth, of what waits only."""
        self._trail: array[int] | None = None
        self._gone: set[int] = set()
        """Pictures of the trail that were labelled since."""
        self._asked: set[str] = set()
        self._ends = (False, False)  # nothing before the first row, nothing behind the last
        self._ticket = 0
        self._judging: set[int] = set()
        """Pictures whose judgement is not committed yet."""
        self._doubt = False
        """A picture left or came while the number was being read: read it again."""

    # --- what is asked -------------------------------------------------------------------------------------------

    @property
    def index(self) -> int | None:
        """Place of the open picture in the rows."""
        return next((i for i, row in enumerate(self.rows) if row.asset_id == self.now), None)

    @property
    def row(self) -> ItemRow | None:
        """The open picture's row."""
        at = self.index
        return None if at is None else self.rows[at]

    @property
    def inside(self) -> bool:
        """Whether the open picture is in the selection still."""
        row = self.row
        return row is not None and self._inside(row)

    @property
    def position(self) -> int | None:
        """Number of pictures of the selection before the open one; None while it is not known."""
        at = self.index
        if at is None or self._base is None:
            return None
        return self._base + sum(self._inside(row) for row in self.rows[:at])

    def neighbour(self, by: int) -> ItemRow | None:
        """The row so many steps on; pictures that have left the selection since are passed over."""
        at = self.index
        if at is None:
            return None
        way = self.rows[at + 1 :] if by > 0 else self.rows[:at][::-1]
        there = [row for row in way[: abs(by) + REACH] if self._inside(row)]
        return there[abs(by) - 1] if len(there) >= abs(by) else None

    def near(self) -> list[int]:
        """Pictures to decode ahead, most wanted first."""
        sides = [(self.direction, AHEAD), (-self.direction, BEHIND)]
        found = [self.neighbour(way * k) for way, n in sides for k in range(1, n + 1)]
        return [row.asset_id for row in found if row is not None]

    # --- what is done --------------------------------------------------------------------------------------------

    def look_at(self, ws: Any, query: Query | None, *, worth: bool = False) -> None:
        """Another selection. The open picture stays; rows are read by `refresh`."""
        self._ticket += 1
        self.ws, self.query, self.worth, self._trail = ws, query, worth, None
        self._gone.clear()
        self.rows, self.known, self.total, self._base, self._marks = [], False, None, None, None
        self._ends = (False, False)
        self._asked.clear()
        self._judging.clear()
        self._doubt = False

    def now_at(self, asset_id: int) -> None:
        """A picture is being opened: the direction of travel. `read_on` follows once it is shown."""
        before = self.index
        self.now = asset_id
        at = self.index
        if at is None:
            self.direction = 1
        elif before is not None and before != at:
            self.direction = 1 if at > before else -1

    def read_on(self) -> None:
        """Read the rows that the open picture needs and are not here."""
        at = self.index
        if at is None:
            self.refresh()
        else:
            self._extend(at)
            self.changed.emit()

    def refresh(self, *, all_anew: bool = False) -> None:
        """Read the rows around the open picture again, or the first ones; `all_anew`: the anchors and the number too."""
        ws, query, now = self.ws, self.query, self.now
        if ws is None or query is None:
            return
        self._ticket += 1
        self._asked &= {"anchors", "total"}
        if all_anew:
            self._marks = self._trail = None
        ticket, marks = self._ticket, self._marks
        if self.worth:
            self._refresh_trail(ws, query, now)
            return

        def work() -> tuple[list[ItemRow], list[ItemRow], int | None]:
            if now is None:
                return [], browse.page(ws, query, limit=2 * REACH), 0
            before = browse.page(ws, query, after=now, limit=REACH, backwards=True)[::-1]
            here = browse.page(ws, Query(query.dataset_id), after=now - 1, limit=1)
            after = browse.page(ws, query, after=now, limit=REACH)
            first = before[0].asset_id if before else now
            base = 0 if len(before) < REACH else None
            if base is None and marks is not None:
                base = browse.position(ws, query, first, marks)
            return before, [*(r for r in here if r.asset_id == now), *after], base

        def done(got: tuple[list[ItemRow], list[ItemRow], int | None]) -> None:
            if ticket != self._ticket:
                return
            before, after, self._base = got
            self.rows, self.known = [*before, *after], True
            self._ends = (now is None or len(before) < REACH, len(after) < REACH)
            self.changed.emit()
            self._count()

        self._ask("around", work, done)

    def _refresh_trail(self, ws: Any, query: Query, now: int | None) -> None:
        ticket, known, gone = self._ticket, self._trail, frozenset(self._gone)

        def work() -> tuple[array[int], int, int, list[ItemRow]]:
            trail = _trail(ws, query) if known is None else known
            at = _place(trail, now)
            first = max(0, at - REACH)
            ids = trail[first : at + REACH + 1]
            if now is not None and now not in ids:
                ids.insert(at - first, now)  # it is shown, and the queue begins behind it
            base = first - (0 if known is None else sum(a in gone for a in trail[:first]))
            return trail, first, base, listing.pictures(ws, query.dataset_id, ids)

        def done(got: tuple[array[int], int, int, list[ItemRow]]) -> None:
            if ticket != self._ticket:
                return
            self._trail, first, self._base, self.rows = got
            self.known = True
            if known is None:
                self.total = len(self._trail)
                self._gone.clear()
            self._ends = (first == 0, first + len(self.rows) >= len(self._trail))
            self.changed.emit()

        self._ask("around", work, done)

    def changed_row(self, asset_id: int, *, judged: bool = False) -> None:
        """A gesture was committed: read its row again; the rows keep their places. judged: it was a judgement."""
        if judged:
            self._judging.discard(asset_id)
            self._count_anew()
        ws, query = self.ws, self.query
        if ws is None or query is None or all(row.asset_id != asset_id for row in self.rows):
            return
        whole = Query(query.dataset_id)

        def done(found: list[ItemRow]) -> None:
            fresh = {row.asset_id: row for row in found}
            self._put([fresh.get(row.asset_id, row) for row in self.rows])
            self._count_anew()

        self._ask(f"row {asset_id}", lambda: browse.page(ws, whole, after=asset_id - 1, limit=1), done)

    def judged(self, asset_id: int, review: str) -> None:
        """A judgement is on its way: the next picture is looked for as if it were there; `changed_row` follows."""
        self._judging.add(asset_id)
        self._put([replace(row, review=review) if row.asset_id == asset_id else row for row in self.rows])

    def _put(self, new: list[ItemRow]) -> None:
        """The same pictures with other rows; where the counters do not hold the number, it follows them."""
        if new == self.rows:
            return
        more = sum(map(self._inside, new)) - sum(map(self._inside, self.rows))
        if self.worth:
            self.total = None if self.total is None else self.total + more
            left = {row.asset_id for row in self.rows if self._inside(row)}
            stay = {row.asset_id for row in new if self._inside(row)}
            self._gone = (self._gone | left) - stay
        elif self.query is not None and not _plain(self.query):
            self._doubt |= more != 0 and (self.total is None or "anchors" in self._asked)
            if self.total is not None:
                self.total += more
        self.rows = new
        self.changed.emit()

    def recount(self) -> None:
        """The counters have changed: read the number again where they hold it."""
        ws, query = self.ws, self.query
        if ws is None or query is None or self.worth or not _plain(query) or not self.known:
            return

        def done(total: int) -> None:
            if total != self.total:
                self.total = total
                self.changed.emit()

        self._ask("total", lambda: browse.count(ws, query), done, lasting=True)

    # --- inside --------------------------------------------------------------------------------------------------

    def _inside(self, row: ItemRow) -> bool:
        """False for a picture that a gesture has taken out of the selection; it stays in the strip until the next read."""
        if self.query is None:
            return True
        if self.worth and (row.state == "labelled" or row.review in ("submitted", "accepted")):
            return False
        return self.query.state in (None, row.state) and self.query.review in (None, row.review)

    def _count(self) -> None:
        """Number and anchors, in the background, once a selection."""
        ws, query = self.ws, self.query
        self.recount()
        if ws is None or query is None or self.worth or self._marks is not None:
            return

        def work() -> tuple[list[int], int]:
            marks = browse.anchors(ws, query)
            if _plain(query):
                return marks, -1
            rest = browse.page(ws, query, after=marks[-1] if marks else 0, limit=browse.ANCHOR_EVERY)
            return marks, len(marks) * browse.ANCHOR_EVERY + len(rest)

        def done(got: tuple[list[int], int]) -> None:
            self._marks = got[0]
            if got[1] >= 0:
                self.total = got[1]
            self.changed.emit()
            self._place()
            self._count_anew()

        self._ask("anchors", work, done, lasting=True)

    def _count_anew(self) -> None:
        """What was read while pictures left may have been read before or after: once all is committed, read again."""
        if self._doubt and not self._judging and "anchors" not in self._asked:
            self._doubt, self._marks = False, None
            self._count()

    def _place(self) -> None:
        """The position of the first row, by the anchors."""
        ws, query, marks = self.ws, self.query, self._marks
        if self._base is not None or not self.rows or ws is None or query is None or marks is None:
            return
        first = self.rows[0].asset_id

        def done(base: int) -> None:
            if self.rows and self.rows[0].asset_id == first:
                self._base = base
                self.changed.emit()
            else:
                self._place()

        self._ask("place", lambda: browse.position(ws, query, first, marks), done)

    def _extend(self, at: int) -> None:
        """Read more rows when few are left on the side one moves to."""
        ws, query = self.ws, self.query
        if ws is None or query is None or not self.rows:
            return
        last, first = self.rows[-1].asset_id, self.rows[0].asset_id
        if len(self.rows) - at <= SPARE and not self._ends[1]:
            self._ask(
                "after",
                lambda: self._page(ws, query, last),
                lambda found: self._append(last, found),
            )
        elif at < SPARE and not self._ends[0]:
            self._ask(
                "before",
                lambda: self._page(ws, query, first, backwards=True),
                lambda found: self._prepend(first, found),
            )

    def _page(self, ws: Any, query: Query, after: int, *, backwards: bool = False) -> list[ItemRow]:
        """The next rows behind a picture; backwards: before it, the nearest first. For a worker thread."""
        trail = self._trail
        if not self.worth or trail is None:
            return browse.page(ws, query, after=after, limit=REACH, backwards=backwards)
        at = _place(trail, after)
        if backwards:
            return listing.pictures(ws, query.dataset_id, trail[max(0, at - REACH) : at][::-1])
        behind = at + (at < len(trail) and trail[at] == after)
        return listing.pictures(ws, query.dataset_id, trail[behind : behind + REACH])

    def _append(self, last: int, found: list[ItemRow]) -> None:
        if not self.rows or self.rows[-1].asset_id != last:
            return
        rows = [*self.rows, *found]
        drop = max(0, min((self.index or 0) - REACH, len(rows) - 3 * REACH))
        if self._base is not None:
            self._base += sum(self._inside(row) for row in rows[:drop])
        self.rows = rows[drop:]
        self._ends = (self._ends[0] and not drop, len(found) < REACH)
        self.changed.emit()

    def _prepend(self, first: int, found: list[ItemRow]) -> None:
        if not self.rows or self.rows[0].asset_id != first:
            return
        self.rows = [*found[::-1], *self.rows]
        if self._base is not None:
            self._base -= len(found)
        ends = len(found) < REACH, self._ends[1]
        at = self.index
        if at is not None and len(self.rows) > at + 2 * REACH:
            self.rows, ends = self.rows[: at + 2 * REACH], (ends[0], False)
        self._ends = ends
        self.changed.emit()

    def _ask(
        self, name: str, work: Callable[[], Any], done: Callable[[Any], None], *, lasting: bool = False
    ) -> None:
        """One question of a name at a time. An answer about other rows is dropped; a `lasting` one holds for the selection."""
        if name in self._asked:
            return
        self._asked.add(name)
        ticket, query = self._ticket, self.query

        def holds() -> bool:
            return self.query is query if lasting else self._ticket == ticket

        def came(got: Any) -> None:
            if holds():
                self._asked.discard(name)
                done(got)

        def failed(fault: BaseException) -> None:
            if holds():
                self._asked.discard(name)
                self.faulted.emit(fault)

        self._pool.submit(work, came, failed)


def _trail(ws: Any, query: Query) -> array[int]:
    """Ids of the query's pictures that wait, the most worth first."""
    from app.services import worth

    return worth.order(ws, query)


def _place(trail: array[int], asset_id: int | None) -> int:
    """Where a picture stands on the way; one that is not on it: before all."""
    try:
        return 0 if asset_id is None else trail.index(asset_id)
    except ValueError:
        return 0


def _plain(query: Query) -> bool:
    """Only dataset and state: counted from the counters, which is cheap enough after every gesture."""
    return query == Query(query.dataset_id, state=query.state)
