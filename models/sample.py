"""What a model gives for one test picture, as numbers that can be kept, and whether two such results agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotation import canonical, geometry
from annotation.core import Box
from annotation.errors import InvalidInput
from annotation.outline import Picture
from models import batch, postprocess, promptable
from models.card import ModelCard
from models.promptable import PairCard, Prompts

MAX_OBJECTS = 200
BOX_MILLI = 1_500
"""Boxes agree within 1.5 px: another version of the runtime rounds otherwise, another model does not."""
SCORE_MICRO = 10_000
VECTOR_MICRO = 2_000
AREA_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Seen:
    """One object: its class, score in millionths, upright bounds in 1/1000 px, area in px (of masks, else 0), text."""

    label: str
    score: int
    box: tuple[int, int, int, int]
    area: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a model gave.

    Attributes:
        objects: strongest first.
        vector: of a model that embeds, millionths.
        prompt: the box that a promptable pair was asked about, 1/1000 px; () for other models.
        least: objects below this score, millionths, were not kept.
    """

    objects: tuple[Seen, ...] = ()
    vector: tuple[int, ...] = ()
    prompt: tuple[int, ...] = ()
    least: int = 0

    def __bool__(self) -> bool:
        return bool(self.objects or self.vector)


def of_model(path: Path, card: ModelCard, data: bytes, *, decode: Callable[[bytes], Picture]) -> Result:
    """What a model finds in a picture with its own thresholds, on the CPU.

    Raises:
        LamproomError: the model cannot be opened or does not run; the picture cannot be decoded.
    """
    plan = batch.Plan(1)
    with batch.predict([(0, data)], lambda d: d, path, card, decode=decode, plan=plan) as run:
        found = next(iter(run))
    if found.problem:
        raise InvalidInput(found.problem, where=card.name)
    objects = []
    for one in found.annotations:
        box = geometry.bbox(one.shape) or Box(0.0, 0.0, *map(float, found.wh))
        area = 0 if isinstance(one.shape, Box) else round(geometry.area(one.shape))
        text = str(dict(one.attributes).get(postprocess.TRANSCRIPT, ""))
        objects.append(Seen(one.label, _micro(one.score or 0.0), _milli(box), area, text))
    vector = () if found.vector is None else tuple(_micro(float(v)) for v in found.vector)
    return Result(_strongest(objects), vector, least=card.score_micro)


def of_pair(encoder: Path, decoder: Path, card: PairCard, picture: Picture, box: Box) -> Result:
    """The masks that a promptable pair gives for a box, on the CPU.

    Raises:
        LamproomError: the pair cannot be opened or does not run.
    """
    pair = promptable.open_pair(encoder, decoder, card)
    objects = []
    for candidate in pair.segment(pair.encode(picture), Prompts(box=box)):
        region = candidate.region
        high, wide = region.bits.shape
        bounds = Box(float(region.x), float(region.y), float(region.x + wide), float(region.y + high))
        objects.append(Seen("", _micro(candidate.score), _milli(bounds), int(region.bits.sum())))
    return Result(_strongest(objects), prompt=_milli(box))


def differs(want: Result, got: Result) -> str:
    """ "" when two results agree within the tolerances above, else the first difference, a sentence."""
    if len(want.vector) != len(got.vector):
        return f"its vector has {len(got.vector)} numbers instead of {len(want.vector)}"
    if want.vector:
        apart = max(abs(a - b) for a, b in zip(want.vector, got.vector, strict=True))
        if apart > VECTOR_MICRO:
            return f"its vector differs by up to {apart / canonical.MICRO:.4f}"
    left = list(got.objects)
    for one in want.objects:
        match = next((other for other in left if _alike(one, other)), None)
        if match is not None:
            left.remove(match)
        elif one.score > want.least + SCORE_MICRO:
            return f"{_told(one)} is not found again"
    # What lies at the threshold, or beyond the number kept, may come and go.
    floor = want.least + SCORE_MICRO
    if len(want.objects) == MAX_OBJECTS:
        floor = max(floor, want.objects[-1].score + SCORE_MICRO)
    more = next((other for other in left if other.score > floor), None)
    return f"{_told(more)} is found besides" if more is not None else ""


def _alike(one: Seen, other: Seen) -> bool:
    return (
        one.label == other.label
        and one.text == other.text
        and abs(one.score - other.score) <= SCORE_MICRO
        and all(abs(a - b) <= BOX_MILLI for a, b in zip(one.box, other.box, strict=True))
        and abs(one.area - other.area) <= max(16, AREA_SHARE * one.area)
    )


def _told(one: Seen) -> str:
    x, y = one.box[0] // canonical.PX, one.box[1] // canonical.PX
    return f"{one.label or 'a mask'} with score {one.score / canonical.MICRO:.2f} at {x}, {y}"


def _strongest(objects: Sequence[Seen]) -> tuple[Seen, ...]:
    return tuple(sorted(objects, key=lambda o: (-o.score, o.label, o.box))[:MAX_OBJECTS])


def _micro(value: float) -> int:
    return canonical.snap(value, canonical.MICRO)


def _milli(box: Box) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = canonical.snaps((box.x0, box.y0, box.x1, box.y1))
    return x0, y0, x1, y1
