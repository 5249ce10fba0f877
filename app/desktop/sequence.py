"""Sequences on the desk: the frames around the open picture, its tracks, key frames, following, copying forward.

Everything a person does here is one gesture on the open picture's undo stack, however many pictures it reaches over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Signal

from annotation import marks
from annotation.core import Annotation, AnnotationSet
from annotation.tracking import Method
from app.desktop.desk import Desk
from app.events import Changes
from app.i18n import tr
from app.services import browse, frames
from app.services.frames import Frames, Track
from app.services.labelling import Page

NONE = Frames((), (), False)
_TIMELINES = 50
"""Datasets of which it is remembered whether their timeline is shown."""


class Reel(QObject):
    """See the module. `frames` and `tracks` are read on a reader thread whenever they may have changed."""

    changed = Signal()
    """Other frames, tracks, place or track in hand."""
    told = Signal(str)
    """What a copy forward did, or why something cannot be done here."""

    def __init__(self, desk: Desk, show: Callable[[int], None], parent: QObject) -> None:
        super().__init__(parent)
        self.desk, self._show = desk, show
        self.frames = NONE
        self.tracks: dict[str, Track] = {}
        self.track: str | None = None
        """The track in hand: of the object selected last."""
        self.other: str | None = None
        """The track that was in hand before it."""
        self._ticket = 0
        self._take: str | None = None
        doc = desk.document
        doc.across = self._across
        doc.opened.connect(self._opened)
        doc.changed.connect(self._loaded)
        doc.selected.connect(self._selected)
        doc.saved.connect(self._saved)
        desk.tasks.ended.connect(lambda _: self.read())
        desk.opened.connect(self._left)

    # --- what there is -------------------------------------------------------------------------------------------

    @property
    def here(self) -> int | None:
        """Number of the open picture among the frames."""
        now = self.desk.document.asset_id
        return self.frames.ids.index(now) if now in self.frames.ids else None

    @property
    def wanted(self) -> bool:
        """Whether the timeline is shown: as the person said for this dataset, else where frames or tracks are."""
        said = self._said().get(self.desk.dataset.name if self.desk.dataset else "")
        if said is not None:
            return said and bool(self.frames.ids)
        return bool(self.tracks) or self.frames.film

    def toggle(self) -> None:
        """Show or hide the timeline of this dataset."""
        if self.desk.dataset is not None:
            said = {**self._said(), self.desk.dataset.name: not self.wanted}
            lines = [f"{'on' if shown else 'off'} {name}" for name, shown in said.items()]
            self.desk.put_setting("timelines", lines[-_TIMELINES:])
            self.changed.emit()

    def _said(self) -> dict[str, bool]:
        """Dataset -> what the person chose for it."""
        found = self.desk.values.get("timelines")
        lines = [str(one).partition(" ") for one in found] if isinstance(found, list) else []
        return {name: way == "on" for way, _, name in lines}

    def read(self) -> None:
        """Read frames and tracks again."""
        ws, data, now = self.desk.ws, self.desk.dataset, self.desk.document.asset_id
        self._ticket += 1
        if ws is None or data is None or now is None:
            return
        ticket, known = self._ticket, self.frames

        def work() -> tuple[Frames, dict[str, Track]]:
            found = known if now in known.ids else frames.sequence_of(ws, data.id, now)
            return found, frames.tracked(ws, found)

        def done(got: tuple[Frames, dict[str, Track]]) -> None:
            if ticket == self._ticket:
                self.frames, self.tracks = got
                self.changed.emit()

        self.desk.tasks.readers.submit(work, done, self.desk.fault, key="frames")

    def _opened(self) -> None:
        now = self.desk.document.asset_id
        if now is None:
            self._left()
        elif now in self.frames.ids:
            self.changed.emit()
        else:
            self.read()

    def _left(self) -> None:
        self._ticket += 1
        self.frames, self.tracks, self.track, self.other, self._take = NONE, {}, None, None, None
        self.changed.emit()

    def _saved(self, changes: Changes) -> None:
        if self.tracks or any(marks.track(a) for a in self.desk.document.annotations):
            self.read()

    def _loaded(self) -> None:
        """After a jump along a track its object is selected."""
        if self._take is not None and self.desk.document.loaded:
            track, self._take = self._take, None
            found = [a.uid for a in self.desk.document.annotations if marks.track(a) == track]
            self.desk.document.select(found)
        self._selected()  # what is selected may have become part of a track

    def _selected(self) -> None:
        found = [t for a in self.desk.document.chosen() if (t := marks.track(a))]
        if found and found[0] != self.track:
            self.other, self.track = self.track, found[0]
            self.changed.emit()

    # --- going about ---------------------------------------------------------------------------------------------

    def go(self, frame: int, track: str | None = None) -> None:
        """Open a frame, with the object of a track in hand."""
        if not 0 <= frame < len(self.frames.ids):
            return
        asset = self.frames.ids[frame]
        self._take = track
        if asset == self.desk.document.asset_id:
            self._loaded()
        else:
            self._show(asset)

    def go_key(self, by: int) -> None:
        """The next or previous key frame of the track in hand, else of any track."""
        here = self.here
        if here is None:
            return
        mine = [self.tracks[self.track]] if self.track in self.tracks else list(self.tracks.values())
        found = sorted({i for track in mine for i in frames.keys(track)})
        later = [i for i in found if i > here] if by > 0 else [i for i in reversed(found) if i < here]
        if later:
            self.go(later[0], self.track)

    # --- gestures ------------------------------------------------------------------------------------------------

    def _across(
        self, objects: list[Annotation], verb: str
    ) -> Callable[[Page, AnnotationSet], tuple[Page, tuple[int, ...]]] | None:
        """What is done to an object of a track, other frames follow in the same step."""
        ws, data = self.desk.ws, self.desk.dataset
        if ws is None or data is None or not any(marks.track(a) for a in objects):
            return None
        return lambda page, shall: frames.save(ws, data.id, page, shall, verb=verb)

    def _reach(self, service: Callable[..., tuple[Page, tuple[int, ...]]], *args: Any) -> None:
        ws, data = self.desk.ws, self.desk.dataset
        if ws is not None and data is not None:
            self.desk.document.reach(lambda page: service(ws, data.id, page, *args))

    def chosen_tracks(self) -> list[str]:
        """Tracks of the selected objects, else the one in hand."""
        found = [t for a in self.desk.document.chosen() if (t := marks.track(a))]
        return found or ([self.track] if self.track else [])

    def toggle_key(self) -> None:
        """The selected objects begin tracks, become key frames, or are interpolated again."""
        chosen = self.desk.document.selection
        if chosen:
            self._reach(frames.toggle_key, chosen)
        elif self.track and self.here is not None and self.here not in self.tracks.get(self.track, {}):
            self.proceed()

    def proceed(self) -> None:
        """The track in hand goes on here."""
        if self.track:
            self._take = self.track
            self._reach(frames.proceed, self.track)

    def delete_onward(self) -> None:
        """Delete the tracks from this picture on."""
        if found := self.chosen_tracks():
            self._reach(frames.delete_onward, found)

    def split(self) -> None:
        """From here on it is another track."""
        if found := self.chosen_tracks():
            self._reach(frames.split, found)

    def merge(self) -> None:
        """The track in hand and the one before it are one object."""
        if self.track and self.other and self.other in self.tracks:
            self._reach(frames.merge, self.other, self.track)

    def follow(self, method: Method) -> None:
        """Follow the selected objects through the next frames, as a task."""
        ws, data, doc = self.desk.ws, self.desk.dataset, self.desk.document
        chosen, now = doc.selection, doc.asset_id
        if ws is None or data is None or now is None or not chosen:
            return

        def work():
            from app.services import smart

            return smart.follow(ws, data.id, now, chosen, method=method)

        names = {"template": "Track by template", "flow": "Track by optical flow"}
        self.desk.start(lambda: tr(names[method]), work)

    def copy_forward(self, n: int) -> None:
        """Copy the selected objects, or all, to the next `n` pictures of the queue, as one step."""
        ws, query, doc = self.desk.ws, self.desk.query, self.desk.document
        if ws is None or query is None or doc.asset_id is None:
            return
        objects: list[Annotation] = doc.chosen() or list(doc.annotations)
        now = doc.asset_id

        def gesture(page: Page) -> tuple[Page, tuple[int, ...]]:
            from app.services import smart

            targets = [row.asset_id for row in browse.page(ws, query, after=now, limit=n)]
            done = smart.copy_forward(ws, page, objects, targets)
            self.desk.tasks.courier.send(
                lambda: self._copied(done.objects, len(targets), done.there + done.unfit)
            )
            return done.page, done.assets

        if objects:
            doc.reach(gesture)

    def _copied(self, objects: int, pictures: int, left: int) -> None:
        text = tr("Copied: {n} objects to {m} pictures", n=objects, m=pictures)
        self.told.emit(f"{text} · {tr('{n} left out', n=left)}" if left else text)
