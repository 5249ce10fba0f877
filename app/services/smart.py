"""Smart tools on the record: promptable pairs of the workspace, objects copied forward, objects followed by pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from annotation import geometry, marks, outline, tracking
from annotation.core import Annotation, AnnotationSet, Box, Mask, Polygon, Tag, new_uid
from annotation.errors import InvalidInput, LamproomError
from annotation.tracking import METHODS, Follower, Method
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.services import browse, frames, labelling
from app.services.labelling import Page
from app.services.onnx import PairRow
from app.services.workspace import Workspace
from models import promptable
from models.promptable import Candidate, Embedding, Pair, Prompts
from models.session import Stop
from models.session import Stopped as Stopped  # callers catch it without importing models

SAME_IOU = 0.5
"""Overlap from which an object of the same class counts as the one that would be copied."""
MAX_AHEAD = 2_000


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy forward did: objects written, those left out because they are there, pictures of another size."""

    page: Page
    assets: tuple[int, ...]
    objects: int
    there: int
    unfit: int


def open_pair(row: PairRow, *, provider: str = "cpu", threads: int = 1) -> Pair:
    """Open a pair of the workspace.

    Raises:
        InvalidInput: this machine lacks one of its files. Unavailable: the provider is missing.
    """
    if not row.present:
        raise InvalidInput(
            "this machine does not have the model's file",
            where=row.name,
            remedy="`lamproom models add ENCODER --decoder DECODER` here",
        )
    return promptable.open_pair(row.encoder, row.decoder, row.card, provider=provider, threads=threads)


def stopper() -> Stop:
    """What ends an `encode` or `segment` from another thread."""
    return Stop()


def segment(
    pair: Pair,
    embedding: Embedding,
    points: Sequence[tuple[float, float, bool]],
    box: Box | None,
    *,
    before: object = None,
    stop: Stop | None = None,
) -> list[tuple[Candidate, tuple[outline.Region, Polygon | None]]]:
    """Masks for points (x, y, belongs) and a box, each with its outline, the likeliest first; empty ones left out."""
    found = pair.segment(embedding, Prompts(tuple(points), box), before=before, stop=stop)  # type: ignore[arg-type]
    shown = [(one, (one.region, outline.to_polygon(one.region))) for one in found]
    return [one for one in shown if one[1][1] is not None]


def copy_forward(ws: Workspace, page: Page, objects: Sequence[Annotation], targets: Sequence[int]) -> Copied:
    """Copy objects of a picture to others, as one step.

    Left out where the same object is already: of the same track, or of the same class, kind and place
    (`SAME_IOU`). Pictures of another size take no masks, and nothing that lies outside them.
    """
    held = frames.pages(ws, [t for t in targets if t != page.asset_id])
    sizes = {asset: browse.asset(ws, asset) for asset in (page.asset_id, *held)}
    here = sizes[page.asset_id]
    gestures: list[tuple[Page, AnnotationSet]] = [(page, page.annotations)]
    written = there = unfit = 0
    for asset, other in held.items():
        size = sizes[asset]
        fits = (size.width_px, size.height_px) == (here.width_px, here.height_px)
        new = []
        for a in objects:
            if not fits and (isinstance(a.shape, Mask) or not _inside(a, size.width_px, size.height_px)):
                unfit += 1
            elif _is_there(a, other.annotations):
                there += 1
            else:
                new.append(_copy(a))
        if new:
            written += len(new)
            gestures.append((other, (*other.annotations, *new)))
    if written:
        page = labelling.save_many(ws, gestures, verb="copy forward", page=page.asset_id)[0]
    return Copied(page, tuple(p.asset_id for p, _ in gestures), written, there, unfit)


def _inside(a: Annotation, width: int | None, height: int | None) -> bool:
    box = geometry.bbox(a.shape)
    return box is None or (box.x0 < (width or 0) and box.y0 < (height or 0) and box.x1 > 0 and box.y1 > 0)


def _is_there(a: Annotation, others: AnnotationSet) -> bool:
    track = marks.track(a)
    if track is not None and any(marks.track(b) == track for b in others):
        return True
    same = [b for b in others if b.label == a.label and b.kind == a.kind]
    if isinstance(a.shape, Tag):
        return bool(same)
    overlap = geometry.iou(geometry.boxes_array([a.shape]), geometry.boxes_array([b.shape for b in same]))
    return bool((overlap >= SAME_IOU).any()) or any(b.shape == a.shape for b in same)


def _copy(a: Annotation) -> Annotation:
    """The object for another picture: human, with a uid of its own; links point to objects of the old picture only."""
    new = marks.with_mark(replace(a, uid=new_uid(), origin="human", score=None), "@links", None)
    return marks.with_mark(new, "@key", True) if marks.track(a) is not None else new


# ---------------------------------------------------------------------------------------------------------------
# Following by pixels


def follow(
    ws: Workspace,
    dataset_id: int,
    asset_id: int,
    uids: Sequence[str],
    *,
    method: Method = "template",
    ahead: int = MAX_AHEAD,
) -> Work:
    """Follow objects from a picture through the next frames of its sequence, and write all that was found as one step.

    An object's way ends where it is not sure any more, leaves the picture, or meets a frame that its track has
    already; each end that is no plan is warned of, with frame and reason. Cancelled, nothing is written.

    Args:
        method: "template" (normalised correlation) or "flow" (Lucas-Kanade).
        ahead: frames at most.

    Raises:
        InvalidInput: no object that could be followed, or no frames after this one.
    """
    if method not in METHODS:
        raise InvalidInput(f"there is no way {method!r} to follow", remedy=", ".join(METHODS))
    sequence = frames.sequence_of(ws, dataset_id, asset_id)
    here = sequence.at(asset_id)
    last = min(len(sequence.ids) - 1, here + min(ahead, MAX_AHEAD))
    page = labelling.load(ws, asset_id)
    chosen = [a for a in page.annotations if a.uid in set(uids) and _can_follow(a)]
    if not chosen:
        raise InvalidInput(
            "nothing here can be followed", remedy="select boxes, polygons or other drawn shapes"
        )
    if last <= here:
        raise InvalidInput("this is the last frame of the sequence", where=sequence.paths[here])
    yield Started(f"track {method}", last - here)
    picture = tracking.grey(_picture(ws, asset_id))
    started = [frames.begun(a) if marks.track(a) is None else a for a in chosen]
    known = frames.tracked(ws, sequence, [t for a in started if (t := marks.track(a))])
    going: dict[str, tuple[Annotation, Follower]] = {}
    problems = 0
    for a in started:
        box = geometry.bbox(a.shape)
        begun = None if box is None else tracking.start(picture, box, method)
        if begun is None:
            problems += 1
            yield Warned("too little of it lies in the picture to be followed", sequence.paths[here])
        else:
            going[a.uid] = a, begun
    found: dict[int, list[Annotation]] = defaultdict(list)
    i = here
    while going and i < last:
        i += 1
        try:
            picture = tracking.grey(_picture(ws, sequence.ids[i]))
        except LamproomError as fault:
            problems += 1
            yield Warned(f"tracking stopped: {fault.what}", sequence.paths[i])
            break
        for uid, (a, follower) in list(going.items()):
            if i in known.get(marks.track(a) or "", {}):
                del going[uid]
                continue
            follower, place = tracking.step(follower, picture)
            if place.why:
                del going[uid]
                problems += 1
                yield Warned(
                    f"tracking stopped at frame {i + 1}: {place.why} ({place.confidence:.2f})",
                    sequence.paths[i],
                )
                continue
            shape = tracking.moved(a.shape, geometry.bbox(a.shape) or place.box, place.box)
            plain = {k: v for k, v in a.attributes.items() if k not in ("@key", "@end", "@links", "@group")}
            found[i].append(Annotation(a.label, shape, plain))
            going[uid] = a, follower
        yield Progress(i - here, last - here)
    held = frames.pages(ws, [sequence.ids[i] for i in found])
    now = labelling.load(ws, asset_id)
    # Pages as they are now, not as they were when the following began: what a person did meanwhile stands.
    new = {a.uid: marks.track(a) for a, was in zip(started, chosen, strict=True) if marks.track(was) is None}
    gestures = [(now, tuple(_joined(b, new.get(b.uid)) for b in now.annotations))]
    deleted = {a.uid for a in started} - {b.uid for b in now.annotations}
    dropped = {marks.track(a) for a in started if a.uid in deleted}
    objects = 0
    for i, made in found.items():
        there = held[sequence.ids[i]]
        taken = dropped | {marks.track(b) for b in there.annotations}
        made = [a for a in made if marks.track(a) not in taken]
        gestures.append((there, (*there.annotations, *made)))
        objects += len(made)
    if objects:
        now = labelling.save_many(ws, gestures, verb=f"track: {method}", page=asset_id)[0]
    yield Finished(
        {"objects": objects, "frames": len(found), "stopped": problems},
        Changes(now.revision, assets=tuple(p.asset_id for p, _ in gestures), datasets=(dataset_id,)),
        problems=problems,
    )


def _joined(a: Annotation, track: str | None) -> Annotation:
    """The object as the first key frame of a track, unless it has one already or `track` is None."""
    if track is None or marks.track(a) is not None:
        return a
    return marks.with_mark(marks.with_mark(a, "@track", track), "@key", True)


def _can_follow(a: Annotation) -> bool:
    return not isinstance(a.shape, Mask | Tag) and geometry.bbox(a.shape) is not None


def _picture(ws: Workspace, asset_id: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return browse.picture(ws, asset_id)
