"""What a head sees of a model it may know: Look; and what it answers: Match, with Questions for what a file cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from annotation.errors import InvalidInput
from models.card import BYTE, MAX_LABELS, NEUTRAL, UNIT, Resize, Task
from models.session import Array

IMAGENET_MEAN = (123_675_000, 116_280_000, 103_530_000)
IMAGENET_STD = (58_395_000, 57_120_000, 57_375_000)
"""Mean and standard deviation of ImageNet's pictures, RGB, of 0..255, in millionths (He et al. 2016 and most since)."""
HALF = (127_500_000, 127_500_000, 127_500_000)
RANGES = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "share": (NEUTRAL, BYTE),
    "signed": (HALF, HALF),
    "byte": (NEUTRAL, UNIT),
}
"""What a person answers -> mean and deviation: less ImageNet's mean; 0 to 1; -1 to 1; 0 to 255."""


FITS: Mapping[str, Resize] = {
    "letterbox": "letterbox", "corner": "corner", "stretch": "stretch", "crop": "crop",
}  # fmt: skip
COLOURS = ("rgb", "bgr")
HOW_FIT = "how does a picture get its input's shape? (letterbox: padded on both sides; corner: padded right and below; stretch: both sides scaled by themselves; crop: its middle)"
HOW_RANGE = "what range of values does it take? (imagenet: less the mean of ImageNet; share: 0 to 1; signed: -1 to 1; byte: 0 to 255)"
HOW_COLOUR = "in which order are its channels?"
HOW_FIRST = "does its first class have the number 0 or 1 (0 being the background)?"
HOW_MANY = "how many classes does it have? (its outputs do not tell)"


@dataclass(frozen=True, slots=True)
class Output:
    """An output: its name (to fetch it by, never to recognise it by), its declared shape and its value in the trial run."""

    name: str
    shape: tuple[int | None, ...]
    value: Array


@dataclass(frozen=True, slots=True)
class Look:
    """A model after one trial run.

    Attributes:
        where: the file's name, for messages.
        wh: size of the trial's input.
        fixed: the file fixes that size.
        outputs: in the file's order.
        inputs: names, declared shapes and types of inputs beside the picture.
        names: class names of the file's metadata, () when it has none.
        metadata: the file's, as it stands.
        answers: what the person said, by the key of a Question.
    """

    where: str
    wh: tuple[int, int]
    fixed: bool
    outputs: tuple[Output, ...]
    inputs: tuple[tuple[str, tuple[int | None, ...], str], ...]
    names: tuple[str, ...]
    metadata: Mapping[str, str]
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """What the file cannot tell. `proposal` is taken when nobody answers; "" = an answer is needed.

    Attributes:
        key: as `--answer KEY=VALUE` names it. choices: the possible answers; () = free text.
    """

    key: str
    text: str
    choices: tuple[str, ...] = ()
    proposal: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A head knows the model. The fields are those of the card; `classes` is the number of classes (0 = none).

    why: the reasons, a sentence each. asks: what it cannot know; the fields already hold the answers or proposals.
    labels: names that come with the family (COCO's 80, a face's parts); else the file's or class_0 …
    """

    family: str
    task: Task
    outputs: tuple[tuple[str, str], ...]
    classes: int
    resize: Resize = "letterbox"
    colour: str = "rgb"
    mean: tuple[int, int, int] = NEUTRAL
    std: tuple[int, int, int] = BYTE
    pad: int = 114
    loose: tuple[str, ...] = ()
    head: tuple[tuple[str, int], ...] = ()
    labels: tuple[str, ...] = ()
    score_micro: int = 250_000
    iou_micro: int = 450_000
    why: tuple[str, ...] = ()
    asks: tuple[Question, ...] = ()


def entered(
    look: Look,
    found: Match,
    *,
    fit: str,
    scale: str = "share",
    colour: str = "rgb",
    asking: Sequence[str] = ("fit", "range", "colour"),
) -> Match:
    """The match with how pictures get into its input: as usual for it, or as answered; asked is only what `asking` names.

    Raises:
        InvalidInput: an answer that is none.
    """
    asks = tuple(
        Question(key, text, tuple(choices), look.answers.get(key, usual))
        for key, text, choices, usual in (
            ("fit", HOW_FIT, FITS, fit),
            ("range", HOW_RANGE, RANGES, scale),
            ("colour", HOW_COLOUR, COLOURS, colour),
        )
        if key in asking
    )
    for q in asks:
        demand(look, q)
    said = {"fit": fit, "range": scale, "colour": colour} | {q.key: q.proposal for q in asks}
    mean, std = RANGES[said["range"]]
    if said["colour"] == "bgr":  # a card names them in the order of the channels
        mean, std = mean[::-1], std[::-1]
    return replace(
        found,
        resize=FITS[said["fit"]],
        colour=said["colour"],
        mean=mean,
        std=std,
        asks=(*found.asks, *asks),
    )


def demand(look: Look, q: Question) -> None:
    """Refuse an answer that is not among the choices.

    Raises:
        InvalidInput: with the choices.
    """
    if q.choices and q.proposal not in q.choices:
        raise InvalidInput(
            f"{q.proposal[:20]!r} is no answer to {q.key}", where=look.where, remedy=" | ".join(q.choices)
        )


def number(look: Look, key: str, usual: int, *, least: int = 1, most: int = MAX_LABELS) -> int:
    """An answer that is a whole number, or the usual one.

    Raises:
        InvalidInput: it is none, or out of bounds.
    """
    text = look.answers.get(key, str(usual))
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
        raise InvalidInput(
            f"{text[:20]!r} is no answer to {key}",
            where=look.where,
            remedy=f"a whole number from {least} to {most}",
        )
    return int(text[:9])


def boxes_apart(look: Look, table: Output, rows: int) -> bool:
    """Another output holds a box of four numbers for each of as many rows: then this table begins with none."""
    return any(out is not table and out.value.shape == (1, rows, 4) for out in look.outputs)


def cells(w: int, h: int, strides: Sequence[int]) -> int:
    """Cells on the grids of these strides for an input of w x h px."""
    return sum(-(-w // s) * -(-h // s) for s in strides)
