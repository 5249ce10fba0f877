"""From this picture to the next one of a kind: to label, to confirm, returned, same class, with a problem, a remark.

Each goes on from the open picture and, at the end of the dataset, begins again. A controller of the annotate place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QPoint

from app.desktop.desk import Desk
from app.desktop.palette import Chooser, Entry
from app.desktop.widgets import number
from app.i18n import tr
from app.services import browse
from app.services.browse import ItemRow, Query

if TYPE_CHECKING:
    from app.desktop.annotate import Annotate


class Jumps(QObject):
    """See the module."""

    def __init__(self, desk: Desk, place: Annotate) -> None:
        super().__init__(place)
        self.desk, self.place = desk, place
        self.chooser: Chooser | None = None

    def unlabelled(self, direction: int = 1) -> None:
        """The next picture nobody has labelled."""
        self._to(direction, tr("No other picture waits to be labelled."), state="unlabelled")

    def predicted(self, direction: int = 1) -> None:
        """The next picture with predictions to confirm."""
        self._to(direction, tr("No other picture has predictions to confirm."), state="predicted")

    def worth(self) -> None:
        """The picture most worth labelling that is not the open one, and why."""
        ws, data, now = self.desk.ws, self.desk.dataset, self.desk.document.asset_id
        if ws is None or data is None:
            return

        def work() -> tuple[list[Any], Any]:
            from app.services import worth

            return worth.queue(ws, data.id, 2), worth.latest(ws, data.id)

        def done(got: tuple[list[Any], Any]) -> None:
            found, last = got
            first = next((one for one in found if one.asset_id != now), None)
            if last is None:
                self.place.say(tr("Nothing was looked at yet: “Worth labelling first…” looks."))
            elif first is None:
                self.place.say(tr("No other picture waits to be labelled."))
            else:
                self.place.reason.asked = first.asset_id
                self.place.open(first.asset_id)

        self.desk.ask(work, done)

    def returned(self, direction: int = 1) -> None:
        """The next picture that came back to the person at the desk."""
        if self.desk.ws is not None:
            me = self.desk.ws.person.id
            self._to(direction, tr("Nothing was returned to you."), review="returned", assignee=me)

    def same_class(self, direction: int = 1) -> None:
        """The next picture with an object of the selected object's class, else of the class in hand."""
        chosen = self.desk.document.chosen()
        code = chosen[0].label if chosen else self.desk.label
        if code:
            none = tr("No other picture has {label}.", label=self.desk.label_name(code))
            self._to(direction, none, label=code)

    def problem(self, direction: int = 1) -> None:
        """The next picture that a line of the problem list is about."""
        now = self.desk.document.asset_id or 0
        found = sorted({t.asset_id for t in self.desk.problems if t.asset_id})
        others = [i for i in found if i != now]
        if not others:
            self.place.say(tr("No other picture has a problem."))
        elif direction > 0:
            self.place.open(next((i for i in others if i > now), others[0]))
        else:
            self.place.open(next((i for i in reversed(others) if i < now), others[-1]))

    def remark(self) -> None:
        """The next picture with a remark nobody has resolved."""
        ws, data, now = self.desk.ws, self.desk.dataset, self.desk.document.asset_id or 0
        if ws is None or data is None:
            return

        def work() -> int | None:
            from app.services import remarks

            found = remarks.waiting(ws, data.id, after=now, limit=1) or remarks.waiting(ws, data.id, limit=1)
            return found[0].asset_id if found else None

        def done(asset_id: int | None) -> None:
            if asset_id is None or asset_id == now:
                self.place.say(tr("No other picture has an open remark."))
            else:
                self.place.open(asset_id)

        self.desk.ask(work, done)

    def _to(self, direction: int, none: str, **wanted: Any) -> None:
        ws, data, now = self.desk.ws, self.desk.dataset, self.desk.document.asset_id or 0
        if ws is None or data is None:
            return
        query = Query(data.id, **wanted)
        back = direction < 0
        end = 2**62 if back else 0

        def work() -> list[ItemRow]:
            found = browse.page(ws, query, after=now, limit=1, backwards=back)
            return found or browse.page(ws, query, after=end, limit=1, backwards=back)

        def done(found: list[ItemRow]) -> None:
            if found and found[0].asset_id != now:
                self.place.open(found[0].asset_id)
            else:
                self.place.say(none)

        self.desk.ask(work, done)

    # --- by number or name ---------------------------------------------------------------------------------------

    def go_to(self) -> None:
        """Ask for a number of the queue or a part of a name."""
        if self.desk.query is None or self.chooser is not None:
            return
        window = self.place.window()
        body = getattr(window, "body", window)
        corner = self.place.canvas.mapTo(
            body, QPoint(self.place.canvas.width() // 2 - Chooser.WIDTH // 2, 40)
        )
        made = Chooser(body, [], corner, hint="Number or name of a picture…")
        made.finder.typed.connect(lambda text: self._search(made, text.strip()))
        self.chooser = made

        def gone() -> None:
            self.chooser = None
            self.place.canvas.setFocus()

        made.closed.connect(gone)
        made.present()

    def _search(self, made: Chooser, text: str) -> None:
        ws, query, worth = self.desk.ws, self.desk.query, self.desk.worth
        if ws is None or query is None or not text:
            return

        def work() -> list[tuple[str, ItemRow]]:
            found: list[tuple[str, ItemRow]] = []
            # "007" is a name; a number is not written so.
            if text.isdigit() and not text.startswith("0") and worth:
                from app.services import listing
                from app.services import worth as service

                ids = service.order(ws, query)[int(text) - 1 : int(text)]
                found += [(text, r) for r in listing.pictures(ws, query.dataset_id, ids)]
            elif text.isdigit() and not text.startswith("0") and int(text) <= browse.count(ws, query):
                marks = browse.anchors(ws, query)
                found += [(text, r) for r in browse.rows_at(ws, query, marks, int(text) - 1, 1)]
            named = browse.page(ws, Query(query.dataset_id, text=text), limit=8)
            return found + [("", r) for r in named]

        def done(found: list[tuple[str, ItemRow]]) -> None:
            if made is self.chooser and made.finder.edit.text().strip() == text:
                made.finder.add(
                    [
                        Entry(
                            Path(r.path).name,
                            lambda i=r.asset_id: self.place.open(i),
                            second=tr("No. {n}", n=number(int(n))) if n else "",
                        )
                        for n, r in found
                    ]
                )

        self.desk.tasks.readers.submit(work, done, self.desk.fault, key="goto")
