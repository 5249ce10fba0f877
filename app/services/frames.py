"""Sequences of frames and the tracks in them: which pictures follow each other, key frames, and what lies between.

A track is not stored as one thing: each of its frames holds an object of its own with the same "@track", and "@key" where a
person put it. What a person edits becomes a key frame, and the frames between the neighbouring keys follow in the same
undoable step.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from annotation import geometry, marks, tracking, tracks
from annotation.core import Annotation, AnnotationSet, Box, Shape, new_uid
from annotation.errors import InvalidInput, NotFound
from app.services import browse, labelling
from app.services.browse import Query
from app.services.labelling import Page
from app.services.workspace import Workspace
from storage import queries, record

MAX_FRAMES = 5_000
"""Frames looked at before and after a picture, so that a folder of a million files costs no more."""
_PAGE = 500
FILM = 8
"""From this many consecutive numbers on, pictures called by a number (or frame, img, f, t and a number) are a film."""
_NAME = re.compile(r"(.*?)(\d+)(\.[^.]*)?$", re.DOTALL)
_FILM_STEMS = {"", "frame", "frame_", "frame-", "img", "img_", "f", "t"}
_SAME_PX = 0.6

Track = dict[int, Annotation]
"""A track's objects by frame number."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Pictures of one folder in natural order. `film`: their names say that they are frames of one recording."""

    ids: tuple[int, ...]
    paths: tuple[str, ...]
    film: bool

    def at(self, asset_id: int) -> int:
        """The frame's number, from 0; NotFound."""
        try:
            return self.ids.index(asset_id)
        except ValueError:
            raise NotFound("the picture is not in this sequence") from None


def natural(path: str) -> list[tuple[int, int, str]]:
    """A sort key under which frame 2 comes before frame 10."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path) if part
    ]


def sequence_of(ws: Workspace, dataset_id: int, asset_id: int) -> Frames:
    """The pictures in the folder of this one, by natural order of their names, at most `MAX_FRAMES` each way."""
    plain = Query(dataset_id)
    here = next(
        (r for r in browse.page(ws, plain, after=asset_id - 1, limit=1) if r.asset_id == asset_id), None
    )
    if here is None:
        raise NotFound("the picture is not in this dataset")
    folder = here.path.rpartition("/")[0]
    found = [(here.path, asset_id)]
    # Ids follow the order in which files were found, so a folder's pictures lie together.
    for backwards in (True, False):
        at, seen = asset_id, 0
        while seen < MAX_FRAMES:
            rows = browse.page(ws, plain, after=at, limit=_PAGE, backwards=backwards)
            mine = [(r.path, r.asset_id) for r in rows if r.path.rpartition("/")[0] == folder]
            found += mine
            if len(rows) < _PAGE or not mine:
                break
            at, seen = rows[-1].asset_id, seen + len(rows)
    found.sort(key=lambda one: (natural(one[0]), one[1]))
    return Frames(tuple(i for _, i in found), tuple(p for p, _ in found), _is_film([p for p, _ in found]))


def _is_film(paths: Sequence[str]) -> bool:
    run = best = 0
    before: tuple[str, int] | None = None
    for path in paths:
        match = _NAME.fullmatch(path.rpartition("/")[2])
        if match is None or match[1].lower() not in _FILM_STEMS:
            run, before = 0, None
            continue
        now = (match[1], int(match[2]))
        run = run + 1 if before is not None and now == (before[0], before[1] + 1) else 1
        best, before = max(best, run), now
    return best >= FILM


def tracked(ws: Workspace, frames: Frames, only: Iterable[str] | None = None) -> dict[str, Track]:
    """Every track of the sequence by its uid, in the order of the first frame; with `only` those named."""
    if not frames.ids:
        return {}
    place = {asset: i for i, asset in enumerate(frames.ids)}
    wanted = None if only is None else set(only)
    with ws.db.read() as conn:
        rows = queries.marked(conn, min(frames.ids), max(frames.ids), "@track")
    out: dict[str, Track] = defaultdict(dict)
    for row in rows:
        i = place.get(row.asset_id)
        if i is not None:
            one = labelling.value(row)
            track = marks.track(one)
            if track is not None and (wanted is None or track in wanted):
                out[track].setdefault(i, one)
    return dict(sorted(out.items(), key=lambda item: (min(item[1]), item[0])))


def keys(track: Track) -> Track:
    """The key frames of a track."""
    return {i: a for i, a in track.items() if marks.is_key(a)}


def begun(a: Annotation) -> Annotation:
    """The object as a key frame; of a new track when it has none."""
    if marks.track(a) is None:
        a = marks.with_mark(a, "@track", new_uid())
    return marks.with_mark(a, "@key", True)


def save(
    ws: Workspace, dataset_id: int, page: Page, after: AnnotationSet, *, verb: str
) -> tuple[Page, tuple[int, ...]]:
    """Commit a gesture on one picture and what follows from it on the other frames of its tracks, as one step.

    A changed object of a track becomes a key frame; frames between its neighbouring key frames follow it; a new class is
    the whole track's. An object that is deleted is deleted on this frame only.

    Returns:
        the page as it is now, and the ids of all pictures that changed.
    """
    old = {a.uid: a for a in page.annotations}
    after = tuple(
        marks.with_mark(a, "@key", True) if marks.track(a) and _placed(old.get(a.uid), a) else a
        for a in after
    )
    there = {a.uid for a in after}
    touched = {t for a in after if old.get(a.uid) != a and (t := marks.track(a))}
    touched |= {t for a in page.annotations if a.uid not in there and (t := marks.track(a))}
    frames = sequence_of(ws, dataset_id, page.asset_id)
    here = frames.at(page.asset_id)
    known = tracked(ws, frames, touched)
    changes: dict[int, dict[str, Annotation | None]] = defaultdict(dict)
    for track in touched:
        now = next((a for a in after if marks.track(a) == track), None)
        for i, (was, shall) in follow(known.get(track, {}), here, now, len(frames.ids)).items():
            uid = was.uid if was is not None else new_uid()
            changes[frames.ids[i]][uid] = None if shall is None else replace(shall, uid=uid)
    return _commit(ws, page, after, changes, verb)


def _placed(old: Annotation | None, new: Annotation) -> bool:
    """Whether a person put the object where it is now, rather than only changing what is said of it."""
    return old is None or old.shape != new.shape


def follow(
    track: Track, here: int, now: Annotation | None, n: int
) -> dict[int, tuple[Annotation | None, Annotation | None]]:
    """What changes on other frames when a track's object on frame `here` becomes `now` (None: it is deleted).

    Between two key frames an object that lies where interpolation had put it is interpolated anew. One that lies
    elsewhere was followed by pixels: it keeps its own motion and is moved by its share of the correction. A frame whose
    object somebody deleted stays empty.

    Returns:
        frame -> (object as it is, as it shall be); None for none.
    """
    before = track.get(here)
    new = {i: a for i, a in track.items() if i != here}
    if now is not None:
        new[here] = now
    out: dict[int, tuple[Annotation | None, Annotation | None]] = {}
    old_keys, new_keys = keys(track), keys(new)
    if old_keys != new_keys:
        low = max((i for i in new_keys if i < here), default=None)
        high = min((i for i in new_keys if i > here), default=None)
        planned, wanted = tracks.fill(old_keys, n), tracks.fill(new_keys, n)
        first = here if low is None else low + 1
        last = max([here, *track]) if high is None else high - 1
        for i in range(first, last + 1):
            was, target, plan = track.get(i), wanted.get(i), planned.get(i)
            if i == here or i in new_keys:
                continue
            if was is None:
                if plan is None and target is not None and now is not None:
                    out[i] = None, _carried(target, now, None)
            elif plan is not None and _alike(was, plan):
                out[i] = was, None if target is None else _carried(target, now or was, was)
            elif before is not None and now is not None:
                share = _share(i, low, here, high)
                if share > 0:
                    out[i] = was, replace(was, shape=_shifted(was, before, now, share))
    if now is not None:
        for i, was in track.items():
            if i != here and was.label != now.label:
                shall = out.get(i, (was, was))[1]
                if shall is not None:
                    out[i] = was, replace(shall, label=now.label, attributes=_fitting(shall, now))
    return {i: (was, shall) for i, (was, shall) in out.items() if was != shall}


def _carried(target: Annotation, now: Annotation, was: Annotation | None) -> Annotation:
    """An interpolated object: its shape, with the words of the object that was there, else of the key frame."""
    source = was or now
    attributes = {k: v for k, v in source.attributes.items() if k not in ("@key", "@end", "@links", "@group")}
    return Annotation(now.label, target.shape, attributes, uid=source.uid)


def _fitting(a: Annotation, now: Annotation) -> dict[str, str | int | bool]:
    """Attributes after a change of class on another frame: those of the class as given there, the marks as they are."""
    return {**marks.plain(now.attributes), **marks.kept(a.attributes)}


def _alike(a: Annotation, b: Annotation) -> bool:
    one, other = geometry.bbox(a.shape), geometry.bbox(b.shape)
    if one is None or other is None or a.kind != b.kind:
        return a.shape == b.shape
    pairs = ((one.x0, other.x0), (one.y0, other.y0), (one.x1, other.x1), (one.y1, other.y1))
    return all(abs(p - q) <= _SAME_PX for p, q in pairs)


def _share(i: int, low: int | None, here: int, high: int | None) -> float:
    if i < here:
        return 0.0 if low is None else (i - low) / (here - low)
    return 0.0 if high is None else (high - i) / (high - here)


def _shifted(was: Annotation, before: Annotation, now: Annotation, share: float) -> Shape:
    box, a, b = geometry.bbox(was.shape), geometry.bbox(before.shape), geometry.bbox(now.shape)
    if box is None or a is None or b is None:
        return was.shape
    moved = Box(
        box.x0 + (b.x0 - a.x0) * share, box.y0 + (b.y0 - a.y0) * share,
        box.x1 + (b.x1 - a.x1) * share, box.y1 + (b.y1 - a.y1) * share,
    )  # fmt: skip
    if moved.x1 <= moved.x0 or moved.y1 <= moved.y0:
        return was.shape
    return tracking.moved(was.shape, box, moved)


# ---------------------------------------------------------------------------------------------------------------
# What is done to whole tracks


def proceed(ws: Workspace, dataset_id: int, page: Page, track: str) -> tuple[Page, tuple[int, ...]]:
    """Put a track's object on this picture as a key frame, where its nearest frame has it, and fill the gap. One step.

    Raises:
        InvalidInput: it is here already. NotFound: the sequence does not hold the track.
    """
    frames = sequence_of(ws, dataset_id, page.asset_id)
    here = frames.at(page.asset_id)
    known = tracked(ws, frames, [track]).get(track)
    if not known:
        raise NotFound("this sequence does not hold the track")
    if here in known:
        raise InvalidInput("the track is on this picture already", where=frames.paths[here])
    near = known[min(known, key=lambda i: (abs(i - here), i))]
    made = marks.with_mark(replace(_carried(near, near, near), uid=new_uid()), "@key", True)
    return save(ws, dataset_id, page, (*page.annotations, made), verb="key frame")


def toggle_key(
    ws: Workspace, dataset_id: int, page: Page, uids: Sequence[str]
) -> tuple[Page, tuple[int, ...]]:
    """Make objects key frames (beginning tracks where there is none); those that all are, interpolated ones. One step."""
    chosen = [a for a in page.annotations if a.uid in set(uids)]
    off = bool(chosen) and all(marks.is_key(a) and marks.track(a) for a in chosen)
    frames = sequence_of(ws, dataset_id, page.asset_id)
    here = frames.at(page.asset_id)
    known = tracked(ws, frames, [t for a in chosen if (t := marks.track(a))])
    new: dict[str, Annotation] = {}
    for a in chosen:
        plain = marks.with_mark(marks.with_mark(a, "@key", None), "@end", None)
        track = known.get(marks.track(a) or "", {})
        if off:
            others = keys({i: b for i, b in track.items() if i != here})
            if not others:
                raise InvalidInput("it is the track's only key frame", remedy="delete the track instead")
            target = tracks.fill(others, len(frames.ids)).get(here)
            new[a.uid] = plain if target is None else replace(plain, shape=target.shape)
        else:
            new[a.uid] = begun(a)
    after = tuple(new.get(a.uid, a) for a in page.annotations)
    changes: dict[int, dict[str, Annotation | None]] = defaultdict(dict)
    for uid in new:
        shall = new[uid]
        track = known.get(marks.track(shall) or "", {})
        for i, (was, other) in follow(track, here, shall, len(frames.ids)).items():
            at = was.uid if was is not None else new_uid()
            changes[frames.ids[i]][at] = None if other is None else replace(other, uid=at)
    return _commit(ws, page, after, changes, "key frame" if not off else "no key frame")


def delete_onward(
    ws: Workspace, dataset_id: int, page: Page, wanted: Sequence[str]
) -> tuple[Page, tuple[int, ...]]:
    """Delete tracks from this picture on, as one step."""
    frames = sequence_of(ws, dataset_id, page.asset_id)
    here = frames.at(page.asset_id)
    changes: dict[int, dict[str, Annotation | None]] = defaultdict(dict)
    for track in tracked(ws, frames, wanted).values():
        for i, a in track.items():
            if i >= here:
                changes[frames.ids[i]][a.uid] = None
        earlier = [i for i in track if i < here]
        if earlier and not marks.is_key(last := track[max(earlier)]):
            # Without it the frames up to here would lose the key they were interpolated towards.
            changes[frames.ids[max(earlier)]][last.uid] = marks.with_mark(last, "@key", True)
    return _commit(ws, page, page.annotations, changes, "delete track onward")


def split(ws: Workspace, dataset_id: int, page: Page, wanted: Sequence[str]) -> tuple[Page, tuple[int, ...]]:
    """From this picture on these are other tracks: the first half ends before it. One step."""
    frames = sequence_of(ws, dataset_id, page.asset_id)
    here = frames.at(page.asset_id)
    changes: dict[int, dict[str, Annotation | None]] = defaultdict(dict)
    for track in tracked(ws, frames, wanted).values():
        later, earlier = [i for i in track if i >= here], [i for i in track if i < here]
        if not later or not earlier:
            continue
        new = new_uid()
        for i in later:
            a = marks.with_mark(track[i], "@track", new)
            if i == min(later):
                a = marks.with_mark(a, "@key", True)
            changes[frames.ids[i]][a.uid] = a
        last = track[max(earlier)]
        changes[frames.ids[max(earlier)]][last.uid] = marks.with_mark(last, "@key", True)
    if not changes:
        raise InvalidInput("the track does not go over this picture")
    return _commit(ws, page, page.annotations, changes, "split track")


def merge(
    ws: Workspace, dataset_id: int, page: Page, first: str, second: str
) -> tuple[Page, tuple[int, ...]]:
    """Two tracks are one object: the second takes the first's uid, and the gap between them is filled. One step.

    Raises:
        InvalidInput: both are on one picture, or they are of different classes.
    """
    frames = sequence_of(ws, dataset_id, page.asset_id)
    known = tracked(ws, frames, [first, second])
    one, other = known.get(first, {}), known.get(second, {})
    if not one or not other or first == second:
        raise InvalidInput("two tracks are needed")
    if both := sorted(set(one) & set(other)):
        raise InvalidInput("both tracks are on this picture", where=frames.paths[both[0]])
    if next(iter(one.values())).label != next(iter(other.values())).label:
        raise InvalidInput("the tracks are of different classes", remedy="relabel one of them first")
    whole = dict(one)
    changes: dict[int, dict[str, Annotation | None]] = defaultdict(dict)
    for i, a in other.items():
        whole[i] = marks.with_mark(a, "@track", first)
    for i in (*_ends(one), *_ends(other)):
        whole[i] = marks.with_mark(whole[i], "@key", True)
    for i, a in whole.items():
        if one.get(i, other.get(i)) != a:
            changes[frames.ids[i]][a.uid] = a
    low, high = sorted((_ends(one), _ends(other)))
    for i, target in tracks.fill(keys(whole), len(frames.ids)).items():
        if low[1] < i < high[0] and i not in whole:
            made = replace(_carried(target, whole[low[1]], None), uid=new_uid())
            changes[frames.ids[i]][made.uid] = marks.with_mark(made, "@track", first)
    return _commit(ws, page, page.annotations, changes, "join tracks")


def _ends(track: Track) -> tuple[int, int]:
    return min(track), max(track)


def pages(ws: Workspace, asset_ids: Sequence[int]) -> dict[int, Page]:
    """The pages of several pictures at one revision."""
    with ws.db.read() as conn:
        newest = record.newest(conn)
        found = dict(queries.sets_at(conn, asset_ids, newest))
    return {
        asset: Page(asset, newest, tuple(map(labelling.value, rows)), {r.uid: r.id for r in rows})
        for asset, rows in found.items()
    }


def _commit(
    ws: Workspace,
    page: Page,
    after: AnnotationSet,
    changes: Mapping[int, Mapping[str, Annotation | None]],
    verb: str,
) -> tuple[Page, tuple[int, ...]]:
    """One step over this page as `after`, with `changes` (asset -> uid -> new object or None) on it and on others."""
    others = [asset for asset, change in changes.items() if asset != page.asset_id and change]
    gestures = [(page, changed(after, changes.get(page.asset_id, {})))]
    held = pages(ws, others)
    gestures += [(held[asset], changed(held[asset].annotations, changes[asset])) for asset in others]
    done = labelling.save_many(ws, gestures, verb=verb, page=page.asset_id)
    return done[0], (page.asset_id, *others)


def changed(old: AnnotationSet, change: Mapping[str, Annotation | None]) -> AnnotationSet:
    """The set with objects exchanged, added, or (None) taken away, by uid."""
    left = dict(change)
    out = []
    for a in old:
        new = left.pop(a.uid, a)
        if new is not None:
            out.append(new)
    return (*out, *(a for a in left.values() if a is not None))
