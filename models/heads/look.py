"""What a head sees of a model it may know: Look; and what it answers: Match, with Questions for what a file cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.card import BYTE, NEUTRAL, UNIT, Feed, Resize, Task
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
    feeds: tuple[Feed, ...] = ()
    head: tuple[tuple[str, int], ...] = ()
    labels: tuple[str, ...] = ()
    score_micro: int = 250_000
    iou_micro: int = 450_000
    why: tuple[str, ...] = ()
    asks: tuple[Question, ...] = ()


def cells(w: int, h: int, strides: Sequence[int]) -> int:
    """Cells on the grids of these strides for an input of w x h px."""
    return sum(-(-w // s) * -(-h // s) for s in strides)
