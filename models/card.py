"""ModelCard: what a detector wants and gives, recognised from the ONNX file itself. Nothing is guessed from file names.

The box output is matched by its shape, never by its name or place (one real NanoDet's names do not fit its shapes).
With G cells on the grids of strides 8, 16 and 32 and C columns, the families differ like this:

    yolox   (1, G, 5+classes)   objectness; raw grid offsets, or already pixels (told apart by a trial run)
    yolov5  (1, 3G, 5+classes)  objectness; pixels; three anchors a cell (YOLOv5, v7)
    yolov8  (1, 4+classes, G)   no objectness; pixels; transposed (YOLOv8, v9, v11, our demonstration detector)
"""

from __future__ import annotations

import ast
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from annotation import canonical
from annotation.errors import InvalidInput
from models import session
from models.session import Tensor

Family = Literal["yolox", "yolov5", "yolov8"]
STRIDES = (8, 16, 32)
MAX_SIDE_PX = 4096
MAX_LABELS = 10_000
MAX_LITERAL = 500_000
MAX_JSON = 4_000_000

COCO_80 = tuple(
    """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,
bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,
snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,
knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,
dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,
vase,scissors,teddy bear,hair drier,toothbrush""".replace("\n", "").split(",")
)
"""Names of the 80 classes of COCO in the order of its detectors, for models that carry no names."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A detector: identity, input, output, labels.

    Attributes:
        sha256: of the ONNX file, 64 hex digits: the model's identity.
        labels: class names by class index, as the model calls them.
        input_wh: size of the input; a proposal when dynamic_hw.
        input_dtype: "float32" or "float16".
        colour: order of the input's channels.
        divisor: pixel values 0..255 are divided by this.
        centred: the letterbox pads on both sides, else right and below only.
        pad: grey value of the letterbox.
        transposed: the output is (1, columns, cells), else (1, cells, columns).
        objectness: column 4 is a factor of every class's score.
        decoded: boxes are pixels of the input (cx, cy, w, h), else offsets to the grid.
        score_micro, iou_micro: default thresholds in millionths (cards are hashed, so they hold no floats).
    """

    name: str
    family: Family
    sha256: str
    labels: tuple[str, ...]
    input_name: str
    output_name: str
    input_wh: tuple[int, int]
    task: Literal["detect"] = "detect"
    input_dtype: Literal["float32", "float16"] = "float32"
    dynamic_hw: bool = False
    dynamic_batch: bool = False
    colour: Literal["bgr", "rgb"] = "rgb"
    divisor: int = 255
    centred: bool = True
    pad: int = 114
    transposed: bool = False
    objectness: bool = False
    decoded: bool = True
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

    def to_json(self) -> bytes:
        """Canonical bytes: equal cards give equal bytes."""
        return canonical.encode(msgspec.to_builtins(self))


def from_json(data: bytes, *, where: str = "model card") -> ModelCard:
    """Read a card written by `to_json`.

    Raises:
        InvalidInput: naming the key that is wrong.
    """
    if len(data) > MAX_JSON:
        raise InvalidInput("a model card of more than 4 MB", where=where)
    try:
        card = msgspec.json.decode(data, type=ModelCard)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(f"not a model card: {error}", where=where, remedy="add the model again") from error
    if not all(32 <= side <= MAX_SIDE_PX for side in card.input_wh) or not card.labels or card.divisor < 1:
        raise InvalidInput(
            "not a model card: numbers out of range", where=where, remedy="add the model again"
        )
    return card


def recognise(path: Path, *, name: str | None = None, licence: str = "", note: str = "") -> ModelCard:
    """The card of an ONNX detector, read from its shapes, its metadata and one trial run.

    Args:
        name: what people call it; by default the file's name without its ending.

    Raises:
        InvalidInput: broken, too large, with external data, or no detector of a known family (the line says what was
            found, so that the person can export it again).
        Unavailable: the file cannot be read.
    """
    digest = session.file_sha256(path)
    inputs, declared, metadata, producer, inner = session.inspect(path)
    where = path.name
    _refuse_other_tasks(metadata, where)
    picture = _picture_input(inputs, where)
    n, _, h, w = picture.shape
    fallback = _image_size(metadata)
    w, h = w or fallback[0], h or fallback[1]
    if w % STRIDES[-1] or h % STRIDES[-1] or not all(32 <= side <= MAX_SIDE_PX for side in (w, h)):
        raise InvalidInput(
            f"its input of {w}x{h} px is not supported", where=where, remedy="use multiples of 32"
        )
    if n not in (None, 1):
        raise InvalidInput(
            f"it wants batches of exactly {n}", where=where, remedy="export it with batch 1 or a free batch"
        )
    dtype: Literal["float32", "float16"] = "float16" if "16" in picture.dtype else "float32"
    results = session.trial(inner, picture.name, np.full((1, 3, h, w), 114, dtype), where=where)
    outputs = [(t.name, r) for t, r in zip(declared, results, strict=True)]
    names = _names(metadata.get("names", ""), where)
    return replace(
        _match(outputs, names, w=w, h=h, where=where),
        name=_clean(name if name is not None else path.stem) or "model",
        sha256=digest,
        input_name=picture.name,
        input_wh=(w, h),
        input_dtype=dtype,
        dynamic_hw=picture.shape[2] is None and picture.shape[3] is None,
        dynamic_batch=n is None,
        producer=_clean(producer),
        licence=_clean(licence or metadata.get("license", "")),
        note=_clean(note or metadata.get("note", "")),
    )


def cells(w: int, h: int) -> int:
    """Cells on the grids of all strides for an input of w x h px."""
    return sum((w // s) * (h // s) for s in STRIDES)


def _picture_input(inputs: Sequence[Tensor], where: str) -> Tensor:
    if len(inputs) != 1:
        raise InvalidInput(f"it has {len(inputs)} inputs; a detector has one", where=where)
    picture = inputs[0]
    fits = len(picture.shape) == 4 and picture.shape[1] in (3, None)
    if not fits or picture.dtype not in ("tensor(float)", "tensor(float16)"):
        raise InvalidInput(
            f"its input is {picture.dtype} of shape {_shape(picture.shape)}",
            where=where,
            remedy="export it with a float input (batch, 3, height, width)",
        )
    return picture


def _refuse_other_tasks(metadata: Mapping[str, str], where: str) -> None:
    task = _clean(metadata.get("task", "")) or ("pose" if "kpt_shape" in metadata else "detect")
    if task != "detect":
        raise InvalidInput(
            f"it is a model for the task “{task}”", where=where, remedy="export a detection model"
        )


def _match(
    outputs: Sequence[tuple[str, Any]], names: tuple[str, ...], *, w: int, h: int, where: str
) -> ModelCard:
    """The family and output of a model, from the shapes of a trial run."""
    grid = cells(w, h)
    shapes = [(name, np.shape(result)) for name, result in outputs]
    found = "; ".join(_shape(shape) for _, shape in shapes)[:200]
    if any(len(shape) == 4 for _, shape in shapes) and any(len(shape) == 3 for _, shape in shapes):
        raise InvalidInput(f"it also gives masks ({found})", where=where, remedy="export a detection model")
    blank = ModelCard("", "yolov8", "", (), "", "", (w, h))
    for (name, shape), (_, result) in zip(shapes, outputs, strict=True):
        if len(shape) != 3 or shape[0] != 1:
            continue
        rows, columns = shape[1], shape[2]
        card = replace(blank, output_name=name)
        if columns == grid and rows > 4:
            return _labelled(replace(card, transposed=True), names, rows - 4, where)
        if rows == grid and columns > 4 and len(names) == columns - 4:
            return _labelled(card, names, columns - 4, where)
        if rows == 3 * grid and columns > 5:
            return _labelled(replace(card, family="yolov5", objectness=True), names, columns - 5, where)
        if rows == grid and columns > 5:
            # A decoded output names cells by their place in the picture; raw offsets stay within a few cells.
            decoded = bool(np.nanmax(np.asarray(result[0, :, 0], np.float64)) > w / 2)
            yolox = replace(card, family="yolox", objectness=True, decoded=decoded, score_micro=300_000)
            return _labelled(
                replace(yolox, colour="bgr", divisor=1, centred=False), names, columns - 5, where
            )
    raise InvalidInput(
        f"no known detector: for an input of {w}x{h} px it gives {found or 'nothing'}",
        where=where,
        remedy="YOLOX, YOLOv5 and YOLOv8/v11 detectors are known; export without NMS in the graph",
    )


def _labelled(card: ModelCard, names: tuple[str, ...], n: int, where: str) -> ModelCard:
    if n > MAX_LABELS:
        raise InvalidInput(f"it has {n} classes; {MAX_LABELS} at most", where=where)
    if names and len(names) != n:
        raise InvalidInput(
            f"it names {len(names)} classes but gives {n}", where=where, remedy="export it again"
        )
    if not names:
        names = COCO_80 if n == len(COCO_80) else tuple(f"class_{i}" for i in range(n))
    return replace(card, labels=names)


def _names(text: str, where: str) -> tuple[str, ...]:
    """Class names from the metadata key `names`: a Python or JSON literal, a list or index -> name; () when absent."""
    if not text.strip():
        return ()
    value = _literal(text, where)
    if isinstance(value, dict):
        try:
            by_index = {int(key): item for key, item in value.items()}
        except (TypeError, ValueError):
            by_index = {}
        if sorted(by_index) != list(range(len(value))):
            raise InvalidInput(
                "its class names are not numbered 0, 1, 2 …", where=where, remedy="export it again"
            )
        value = [by_index[i] for i in range(len(by_index))]
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise InvalidInput("its class names are not a list of texts", where=where, remedy="export it again")
    if len(value) > MAX_LABELS:
        raise InvalidInput(f"it names {len(value)} classes; {MAX_LABELS} at most", where=where)
    return _unique([_clean(item) or f"class_{i}" for i, item in enumerate(value)])


def _literal(text: str, where: str) -> Any:
    """A Python or JSON literal, bounded; never evaluated."""
    if len(text) > MAX_LITERAL:
        raise InvalidInput("its class names are longer than 500 kB", where=where)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise InvalidInput("its class names cannot be read", where=where, remedy="export it again") from error


def _image_size(metadata: Mapping[str, str]) -> tuple[int, int]:
    """(w, h) for a model of free size: metadata `imgsz` as [h, w], else 640x640."""
    try:
        value = json.loads(metadata.get("imgsz", "")[:100])
    except ValueError:
        return 640, 640
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int for side in value):
        return value[1], value[0]
    return 640, 640


def _unique(names: list[str]) -> tuple[str, ...]:
    """The names, a repeated one made different by a number: two classes must not become one label silently."""
    taken = set(names)
    result: list[str] = []
    for name in names:
        unique, n = name, 0
        while unique in result or (n and unique in taken):
            n += 1
            unique = f"{name}_{n}"
        result.append(unique)
    return tuple(result)


def _clean(text: str) -> str:
    """One short line of printable NFC text: foreign strings reach screens, files and the record."""
    kept = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text[:2000])
    return unicodedata.normalize("NFC", " ".join(kept.split()))[:200]


def _shape(shape: Sequence[int | None]) -> str:
    return "x".join("?" if side is None else str(side) for side in shape)
