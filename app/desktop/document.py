"""The open picture: its annotations, the selection, and every gesture on its way to the record.

A gesture is a pure function on an AnnotationSet. It is applied to what is shown at once and queued on the one ordered
writer, which applies it to the page as committed by the gesture before it; only then is it called saved. There is no
Save button and no timer: what the status line calls saved is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from PySide6.QtCore import QObject, Signal

from annotation import sets
from annotation.core import Annotation, AnnotationSet
from annotation.errors import LamproomError
from annotation.rows import snapped
from app.desktop.tasks import Tasks
from app.events import Changes
from app.services import browse, labelling

Edit = Callable[[AnnotationSet], AnnotationSet]
Wide = Callable[[labelling.Page], tuple[labelling.Page, tuple[int, ...]]]
"""A gesture over several pictures: this picture's page -> the page as it is then, and the ids of all that changed."""
_MANY = 64


@dataclass(frozen=True, slots=True)
class Delta:
    """The usual Edit: put these annotations, take those uids away. Costs what changes, not what the picture holds.

    `only_there`: what was deleted meanwhile stays deleted.
    """

    changed: Mapping[str, Annotation]
    gone: frozenset[str] = frozenset()
    only_there: bool = False

    def __call__(self, old: AnnotationSet) -> AnnotationSet:
        changed: Collection[Annotation] = self.changed.values()
        if self.only_there:
            changed = [a for a in changed if sets.find(old, a.uid) is not None]
        return sets.laid_over(old, changed, self.gone)


def put(*annotations: Annotation) -> Edit:
    """Add annotations, or replace those of the same uid."""
    return Delta({a.uid: a for a in annotations})


def change(annotations: Collection[Annotation]) -> Edit:
    """Replace those still there; one deleted meanwhile stays deleted."""
    return Delta({a.uid: a for a in annotations}, only_there=True)


def drop(uids: Collection[str]) -> Edit:
    """Remove annotations."""
    return Delta({}, frozenset(uids))


def accepted(uids: Collection[str]) -> Edit:
    """Predictions become truth: origin human, the score dropped, the uid kept."""

    def edit(old: AnnotationSet) -> AnnotationSet:
        there = [a for uid in uids if (a := sets.find(old, uid)) is not None and a.origin == "model"]
        return sets.laid_over(old, [replace(a, origin="human", score=None) for a in there])

    return edit


def _as_stored(a: Annotation) -> Annotation:
    """The annotation as it comes back from the record."""
    return replace(a, shape=snapped(a.shape))


@dataclass(slots=True)
class _Book:
    """What is under way in one workspace; ids of pictures mean nothing in another.

    `pending` belongs to the interface thread: gestures not yet committed, by picture. `pages` belongs to the writer
    thread: pages as it committed them last.
    """

    pending: dict[int, int] = field(default_factory=dict)
    pages: dict[int, labelling.Page] = field(default_factory=dict)


def _forget(book: _Book, page: labelling.Page) -> None:
    """A page read later than the writer's own replaces it."""
    known = book.pages.get(page.asset_id)
    if known is None or known.revision < page.revision:
        book.pages[page.asset_id] = page


class Document(QObject):
    """See the module. Interface thread only, but for the pages of a book."""

    leaving = Signal()
    """Another picture is about to open: what is still to be committed to this one must be committed now."""
    opened = Signal()
    """Another picture, or none."""
    changed = Signal()
    """Other annotations."""
    selected = Signal()
    veiled = Signal()
    """Other objects or classes are locked or hidden."""
    saving = Signal()
    """The number of gestures on their way changed."""
    saved = Signal(object)
    """Changes of a committed gesture."""
    faulted = Signal(str, object)
    """A line for the problem list, and the asset's id."""

    def __init__(self, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._ws: Any = None
        self._book = _Book()
        self.asset: browse.AssetRow | None = None
        self.asset_id: int | None = None
        self.annotations: AnnotationSet = ()
        self.selection: tuple[str, ...] = ()
        self.locked: frozenset[str] = frozenset()
        """Uids the mouse does not take in hand and no gesture changes. For this sitting, like what is hidden."""
        self.hidden: frozenset[str] = frozenset()
        self.hidden_labels: frozenset[str] = frozenset()
        self.revision = 0
        self.can_undo = self.can_redo = False
        self.loaded = False
        self._opening = 0
        self.across: Callable[[list[Annotation], str], Callable[..., Any] | None] | None = None
        """(objects of a gesture as they were and shall be, verb) -> how it is saved when other pictures must follow:
        (page, annotations after) -> page and the ids of all that changed; None when they need not."""

    @property
    def ws(self) -> Any:
        """The open workspace, or None."""
        return self._ws

    @ws.setter
    def ws(self, ws: Any) -> None:
        self._ws, self._book, self.revision = ws, _Book(), 0

    @property
    def pending(self) -> int:
        """Gestures not yet committed, of all pictures of the workspace."""
        return sum(self._book.pending.values())

    def get(self, uid: str) -> Annotation | None:
        """An annotation by uid."""
        return sets.find(self.annotations, uid)

    def chosen(self) -> list[Annotation]:
        """The selected annotations, in the order of their uid."""
        if len(self.selection) > _MANY:
            wanted = set(self.selection)
            return [a for a in self.annotations if a.uid in wanted]
        return [a for uid in sorted(self.selection) if (a := self.get(uid)) is not None]

    def predictions(self, least: float = 0.0) -> list[Annotation]:
        """Predictions with at least this score, best first."""
        found = [a for a in self.annotations if a.origin == "model" and (a.score or 0.0) >= least]
        return sorted(found, key=lambda a: -(a.score or 0.0))

    def open(self, asset_id: int | None) -> None:
        """Show another picture; its annotations come from a reader, behind every gesture still on its way."""
        self.leaving.emit()
        self._opening += 1
        ticket = self._opening
        self.asset_id, self.asset = asset_id, None
        self.annotations, self.selection = (), ()
        self.can_undo = self.can_redo = self.loaded = False
        self.opened.emit()
        if asset_id is None or self.ws is None:
            return
        self._read(asset_id, ticket)

    def reload(self) -> None:
        """Read the open picture again: something else changed it."""
        if self.asset_id is not None and not self._book.pending.get(self.asset_id):
            self._read(self.asset_id, self._opening)

    def select(self, uids: Collection[str]) -> None:
        """Choose what gestures act upon."""
        new = tuple(dict.fromkeys(uids))
        if new != self.selection:
            self.selection = new
            self.selected.emit()

    def lock(self, uids: Collection[str], on: bool = True) -> None:
        """Lock or unlock objects."""
        self._veil(locked=self.locked | set(uids) if on else self.locked - set(uids))

    def hide(self, uids: Collection[str], on: bool = True) -> None:
        """Hide or show objects."""
        self._veil(hidden=self.hidden | set(uids) if on else self.hidden - set(uids))

    def hide_labels(self, codes: Collection[str], on: bool = True) -> None:
        """Hide or show classes."""
        self._veil(hidden_labels=self.hidden_labels | set(codes) if on else self.hidden_labels - set(codes))

    def show_all(self) -> None:
        """Nothing is hidden any more."""
        self._veil(hidden=frozenset(), hidden_labels=frozenset())

    def is_hidden(self, a: Annotation) -> bool:
        """It is not drawn: hidden itself or with its class."""
        return a.uid in self.hidden or a.label in self.hidden_labels

    def out_of_reach(self, a: Annotation) -> bool:
        """The mouse does not take it in hand: hidden or locked."""
        return a.uid in self.locked or self.is_hidden(a)

    def _veil(self, **new: frozenset[str]) -> None:
        if any(getattr(self, name) != value for name, value in new.items()):
            for name, value in new.items():
                setattr(self, name, value)
            kept = [a.uid for a in self.chosen() if not self.is_hidden(a)]
            self.select(kept)
            self.veiled.emit()

    def commit(self, edit: Edit, verb: str) -> None:
        """One gesture: shown now, committed in order."""
        if not self.loaded or self.asset_id is None:
            return
        edit = self._kept(edit)
        before, ws = self.annotations, self.ws
        changed, gone = sets.difference(before, edit(before))
        if not changed and not gone:
            return
        # Shown as the record will hold it, so that nothing moves when its answer comes.
        self._show(sets.laid_over(before, [_as_stored(a) for a in changed], gone))
        was = [a for uid in (*gone, *(a.uid for a in changed)) if (a := sets.find(before, uid)) is not None]
        if self.across is not None and (wide := self.across([*changed, *was], verb)) is not None:
            self._write(lambda page: wide(page, edit(page.annotations)))
            return
        self._write(lambda page: labelling.save(ws, page, edit(page.annotations), verb=verb))

    def reach(self, gesture: Wide) -> None:
        """One gesture that reaches over other pictures too, on the undo stack of this one."""
        if self.loaded and self.asset_id is not None:
            self._write(gesture)

    def _kept(self, edit: Edit) -> Edit:
        """The edit, but what is locked stays as it is."""
        locked = self.locked
        if not locked:
            return edit

        def held(old: AnnotationSet) -> AnnotationSet:
            changed, gone = sets.difference(old, edit(old))
            return sets.laid_over(
                old, [a for a in changed if a.uid not in locked], [uid for uid in gone if uid not in locked]
            )

        return held

    def accept(self, uids: Collection[str]) -> None:
        """Make predictions truth, as one step."""
        self._judge(uids, accepted, labelling.accept)

    def reject(self, uids: Collection[str]) -> None:
        """Take predictions away, as one step; the next run does not bring them back."""
        self._judge(uids, drop, labelling.reject)

    def undo(self) -> None:
        """Undo the last step on this picture, whoever made it and in whatever session."""
        ws = self.ws
        self._write(lambda page: labelling.undo(ws, page) or page)

    def redo(self) -> None:
        """Redo what was undone last."""
        ws = self.ws
        self._write(lambda page: labelling.redo(ws, page) or page)

    def _judge(self, uids: Collection[str], shown: Callable[[Collection[str]], Edit], service: Any) -> None:
        models = [a for uid in uids if (a := self.get(uid)) is not None and a.origin == "model"]
        chosen = [a.uid for a in models if a.uid not in self.locked]
        if not chosen or not self.loaded:
            return
        ws = self.ws
        self._show(shown(chosen)(self.annotations))

        def write(page: labelling.Page) -> labelling.Page:
            found = [sets.find(page.annotations, uid) for uid in chosen]
            there = [a.uid for a in found if a is not None and a.origin == "model"]
            return service(ws, page, there) if there else page

        self._write(write)

    def _show(self, annotations: AnnotationSet) -> None:
        self.annotations = annotations
        if len(self.selection) > _MANY:
            there = {a.uid for a in annotations}
            kept = tuple(uid for uid in self.selection if uid in there)
        else:
            kept = tuple(uid for uid in self.selection if self.get(uid) is not None)
        if kept != self.selection:
            self.selection = kept
            self.selected.emit()
        self.changed.emit()

    def _write(self, gesture: Callable[[labelling.Page], labelling.Page] | Wide) -> None:
        asset_id, ws, book = self.asset_id, self.ws, self._book
        if asset_id is None or ws is None or not self.loaded:
            return
        book.pending[asset_id] = book.pending.get(asset_id, 0) + 1
        self.saving.emit()

        def work() -> tuple[labelling.Page, tuple[int, ...], bool, bool]:
            page = book.pages.get(asset_id) or labelling.load(ws, asset_id)
            try:
                done = gesture(page)
                page, touched = done if isinstance(done, tuple) else (done, (asset_id,))
            except LamproomError:
                book.pages.pop(asset_id, None)  # the next gesture starts from what the record holds now
                raise
            book.pages[asset_id] = page
            while len(book.pages) > 16:
                book.pages.pop(next(iter(book.pages)))
            return page, touched, *labelling.can_undo(ws, asset_id)

        self._tasks.writer.submit(
            work,
            lambda got: self._written(book, asset_id, *got),
            lambda e: self._refused(book, asset_id, e),
        )

    def _settle(self, book: _Book, asset_id: int) -> bool:
        """One gesture of a picture has ended; True when it was the last on its way."""
        left = book.pending.get(asset_id, 1) - 1
        if left:
            book.pending[asset_id] = left
        else:
            book.pending.pop(asset_id, None)
        return not left

    def _written(
        self,
        book: _Book,
        asset_id: int,
        page: labelling.Page,
        touched: tuple[int, ...],
        can_undo: bool,
        can_redo: bool,
    ) -> None:
        last = self._settle(book, asset_id)
        if book is not self._book:
            return  # the workspace was left meanwhile; its last gestures are in its record
        self.revision = max(self.revision, page.revision)
        if asset_id == self.asset_id:
            self.can_undo, self.can_redo = can_undo, can_redo
            if last and any(sets.difference(self.annotations, page.annotations)):
                self._show(page.annotations)
            elif last:
                # Equal: so what the next gesture leaves alone is the same object here and on the page.
                self.annotations = page.annotations
        self.saving.emit()
        self.saved.emit(Changes(revision=page.revision, assets=touched))

    def _refused(self, book: _Book, asset_id: int, fault: BaseException) -> None:
        last = self._settle(book, asset_id)
        self.saving.emit()
        if last and book is self._book and asset_id == self.asset_id:
            self._read(asset_id, self._opening)
        if not isinstance(fault, LamproomError):
            raise fault
        self.faulted.emit(fault.line, asset_id)

    def _read(self, asset_id: int, ticket: int) -> None:
        ws, book = self.ws, self._book

        def work() -> tuple[Any, ...]:
            return browse.asset(ws, asset_id), labelling.load(ws, asset_id), *labelling.can_undo(ws, asset_id)

        # While gestures of this picture are on their way the writer reads, so that nothing shown goes back in time.
        pool = self._tasks.writer if book.pending.get(asset_id) else self._tasks.readers
        pool.submit(work, lambda got: self._came(ticket, *got), lambda e: self._lost(ticket, asset_id, e))

    def _came(self, ticket: int, asset: Any, page: labelling.Page, can_undo: bool, can_redo: bool) -> None:
        book = self._book
        if ticket != self._opening or book.pending.get(page.asset_id):
            return
        self._tasks.writer.submit(
            lambda: _forget(book, page), lambda _: None, lambda _: None
        )  # a page read later than the writer's own must win
        self.asset, self.loaded = asset, True
        self.can_undo, self.can_redo = can_undo, can_redo
        self.revision = max(self.revision, page.revision)
        self._show(page.annotations)
        self.saving.emit()

    def _lost(self, ticket: int, asset_id: int, fault: BaseException) -> None:
        if not isinstance(fault, LamproomError):
            raise fault
        if ticket == self._opening:
            self.faulted.emit(fault.line, asset_id)
