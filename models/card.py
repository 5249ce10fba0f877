"""ModelCard: what a model wants and gives. Made by models/recognise.py from the ONNX file itself, kept in the record, hashed.

A card holds texts and integers only (thresholds and pixel scaling in millionths), so that equal cards have equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from annotation import canonical
from annotation.errors import InvalidInput

Task = Literal["detect", "segment", "pose", "obb", "classify", "semantic", "embed", "read"]
Resize = Literal["letterbox", "corner", "stretch", "pad", "crop"]
MAX_SIDE_PX = 4096
MAX_LABELS = 20_000
MAX_JSON = 4_000_000
MAX_BATCH = 64
NEUTRAL = (0, 0, 0)
UNIT = (1_000_000, 1_000_000, 1_000_000)
BYTE = (255_000_000, 255_000_000, 255_000_000)


@dataclass(frozen=True, slots=True)
class Feed:
    """An input beside the picture that is the same for every picture, such as the size its boxes shall be given in.

    Attributes:
        dtype: numpy's name, "int64" or "float32".
        shape: with the batch first; (1, 2) for a size.
        values: in C order.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: tuple[int, ...]

    def array(self, batch: int) -> np.ndarray[Any, np.dtype[Any]]:
        """The input for a batch."""
        one = np.array(self.values, self.dtype).reshape(self.shape)
        return np.repeat(one, batch, axis=0) if batch > 1 and self.shape[:1] == (1,) else one


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model: identity, input, output, labels.

    Attributes:
        family: the head that reads its outputs, a key of `models.heads.HEADS`.
        sha256: 64 hex digits: of the ONNX file, or of all its files' digests when its weights lie beside it.
        files: (name, SHA-256) of the files with its weights, relative to the ONNX file; none when all is in one.
        parts: (role, digest) of the models that work together, as "boxes" and "text" of a reader; `sha256` is then the digest
            over them. None of a single model.
        labels: class names by class index, as the model calls them.
        input_wh: size of the input; a proposal when dynamic_hw.
        input_dtype: "float32", "float16" or "uint8".
        layout: "nchw", "nhwc", or "chw" of one picture without a batch axis.
        resize: how a picture gets into the input: "letterbox" (its shape kept, padded on both sides), "corner" (padded right
            and below), "stretch" (shape not kept), "pad" (scaled so that its sides are at most `head` "longest" and the
            shorter at least "shortest", else as it is; padded to a multiple of "multiple"; needs dynamic_hw), "crop" (shorter side fitted, centre square).
        colour: order of the input's channels, or "gray" for one channel.
        mean_micro, std_micro: by channel in the input's order: input = (value - mean) / std, value 0..255; millionths.
        pad: grey value of what is padded, 0..255, before mean and std.
        batch: pictures a run must get; 0 = any number.
        outputs: (role, output name); the roles are the head's.
        loose: roles of outputs without a batch axis; such a model takes one picture a run.
        feeds: inputs beside the picture.
        head: (key, number): what the head must know of its outputs.
        score_micro, iou_micro: default thresholds in millionths.
    """

    name: str
    family: str
    sha256: str
    labels: tuple[str, ...]
    input_name: str
    outputs: tuple[tuple[str, str], ...]
    input_wh: tuple[int, int]
    task: Task = "detect"
    files: tuple[tuple[str, str], ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    input_dtype: Literal["float32", "float16", "uint8"] = "float32"
    layout: Literal["nchw", "nhwc", "chw"] = "nchw"
    resize: Resize = "letterbox"
    colour: Literal["bgr", "rgb", "gray"] = "rgb"
    mean_micro: tuple[int, int, int] = NEUTRAL
    std_micro: tuple[int, int, int] = BYTE
    pad: int = 114
    dynamic_hw: bool = False
    batch: int = 1
    loose: tuple[str, ...] = ()
    feeds: tuple[Feed, ...] = ()
    head: tuple[tuple[str, int], ...] = ()
    score_micro: int = 250_000
    iou_micro: int = 450_000
    producer: str = ""
    licence: str = ""
    note: str = ""

    @property
    def score(self) -> float:
        """Default lowest score."""
        return self.score_micro / canonical.MICRO

    @property
    def iou(self) -> float:
        """Default overlap above which the weaker of two boxes of one class goes."""
        return self.iou_micro / canonical.MICRO

    def get(self, key: str, default: int = 0) -> int:
        """A number of the head."""
        return next((value for name, value in self.head if name == key), default)

    @property
    def onnx_sha256(self) -> str:
        """Identity of the model that is run first: of a set its "boxes", else the model itself."""
        return dict(self.parts).get("boxes", self.sha256)

    @property
    def channels(self) -> int:
        """Channels of the input: 3, or 1 for gray."""
        return 1 if self.colour == "gray" else 3

    def shape(self, batch: int, wh: tuple[int, int] | None = None) -> tuple[int, int, int, int]:
        """Shape of a batch of inputs, by default at `input_wh`; with a batch axis also where the layout has none."""
        w, h = wh or self.input_wh
        c = self.channels
        return (batch, h, w, c) if self.layout == "nhwc" else (batch, c, h, w)

    def to_json(self) -> bytes:
        """Canonical bytes: equal cards give equal bytes."""
        return canonical.encode(msgspec.to_builtins(self))


def from_json(data: bytes, *, where: str = "model card") -> ModelCard:
    """Read a card written by `to_json`, also by the first versions of the product.

    Raises:
        InvalidInput: naming the key that is wrong.
    """
    if len(data) > MAX_JSON:
        raise InvalidInput("a model card of more than 4 MB", where=where)
    try:
        plain = msgspec.json.decode(data)
        if isinstance(plain, dict) and "output_name" in plain:
            plain = _first_form(plain)
        card = msgspec.convert(plain, ModelCard)
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError) as error:
        raise InvalidInput(f"not a model card: {error}", where=where, remedy="add the model again") from error
    if (
        not all(32 <= side <= MAX_SIDE_PX for side in card.input_wh)
        or not all(s > 0 for s in card.std_micro)
        or not 0 <= card.batch <= MAX_BATCH
        or not 0 <= card.pad <= 255
    ):
        raise InvalidInput(
            "not a model card: numbers out of range", where=where, remedy="add the model again"
        )
    if not card.labels and card.task != "embed":
        raise InvalidInput("not a model card: no classes", where=where, remedy="add the model again")
    if not card.outputs:
        raise InvalidInput("not a model card: no outputs", where=where, remedy="add the model again")
    return card


def _first_form(old: Mapping[str, Any]) -> dict[str, Any]:
    """The card of a detector as the first versions kept it: one output, one divisor for all channels."""
    same = (
        "name", "sha256", "labels", "input_name", "input_wh", "task", "input_dtype", "dynamic_hw", "colour", "pad",
        "score_micro", "iou_micro", "producer", "licence", "note",
    )  # fmt: skip
    grid = old["family"] == "yolox" and not old["decoded"]
    return {
        **{key: old[key] for key in same if key in old},
        "family": "yolox" if grid else "yolo",
        "outputs": [["table", old["output_name"]]],
        "resize": "letterbox" if old["centred"] else "corner",
        "std_micro": [old["divisor"] * canonical.MICRO] * 3,
        "batch": 0 if old["dynamic_batch"] else 1,
        "head": []
        if grid
        else [["objectness", int(old["objectness"])], ["transposed", int(old["transposed"])]],
    }
