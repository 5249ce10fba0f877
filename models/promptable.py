"""Promptable segmentation: any SAM-shaped pair of ONNX files, recognised from what the files themselves declare.

An encoder turns a picture into an embedding once; a decoder turns points and a box into masks at every click. Four
dialects of exporters are told apart by the decoder's inputs and a trial run, never by file names:

    sam1       image_embeddings, point_coords, point_labels, mask_input, has_mask_input, orig_im_size   SAM, MobileSAM
    edge       image_embeddings, point_coords, point_labels                                             EdgeSAM
    sam2       image_embed, high_res_feats_0, high_res_feats_1, point_coords, point_labels, …           SAM 2, 2.1
    efficient  image_embeddings, batched_point_coords, batched_point_labels, orig_im_size               EfficientSAM

sam1 and edge scale the longer side and pad right and below; sam2 stretches to the square; efficient takes any size.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import msgspec
import numpy as np

from annotation import canonical
from annotation.core import Box
from annotation.errors import InvalidInput
from annotation.outline import NOTHING, Picture, Region
from models import session
from models.session import Array, Bare, Stop, Tensor

Dialect = Literal["sam1", "edge", "sam2", "efficient"]
Float = Literal["float32", "float16"]
NAMES: Mapping[Dialect, str] = {
    "sam1": "SAM",
    "edge": "EdgeSAM",
    "sam2": "SAM 2",
    "efficient": "EfficientSAM",
}
SIDE_PX = 1024
"""Longer side of the input when the file leaves it free."""
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
TRIAL_ENCODER_S = 300.0
"""An encoder may take this long on one thread when it is added."""
MAX_CANDIDATES = 8
_REMEDY = "export encoder and decoder of one model, as samexporter or the model's own script does"


@dataclass(frozen=True, slots=True)
class PairCard:
    """What a pair wants and gives.

    Attributes:
        sha256: the pair's identity: SHA-256 over the two files' digests (encoder first).
        why: by what it was recognised, for a person to read.
        side_px: longer side of the encoder's input.
        hwc: the encoder takes (h, w, 3) of 0..255 and normalises itself; else (1, 3, h, w).
        features: (decoder's input, encoder's output) for every embedding.
        low: the mask output at low resolution, fed back to refine ("" when there is none);
        sized: the mask output at the size asked for ("" when there is none).
    """

    name: str
    dialect: Dialect
    sha256: str
    encoder_sha256: str
    decoder_sha256: str
    why: str
    side_px: int
    encoder_input: str
    features: tuple[tuple[str, str], ...]
    points: str
    labels: str
    scores: str
    low: str = ""
    sized: str = ""
    mask: str = ""
    has_mask: str = ""
    size: str = ""
    mask_side_px: int = 256
    hwc: bool = False
    free_size: bool = False
    encoder_dtype: Float = "float32"
    decoder_dtype: Float = "float32"
    labels_dtype: str = "float32"
    size_dtype: str = "float32"
    task: Literal["promptable"] = "promptable"
    producer: str = ""
    licence: str = ""

    def to_json(self) -> bytes:
        """Canonical bytes: equal cards give equal bytes."""
        return canonical.encode(msgspec.to_builtins(self))


def from_json(data: bytes, *, where: str = "model card") -> PairCard:
    """Read a card written by `to_json`; InvalidInput names what is wrong."""
    try:
        return msgspec.json.decode(data, type=PairCard)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"not a pair's card: {error}", where=where, remedy="add the model again"
        ) from error


@dataclass(frozen=True, slots=True)
class Prompts:
    """What a person pointed at, in source pixels: (x, y, belongs to it), and a box around it."""

    points: tuple[tuple[float, float, bool], ...] = ()
    box: Box | None = None

    def __bool__(self) -> bool:
        return self.box is not None or any(belongs for _, _, belongs in self.points)


@dataclass(frozen=True, slots=True)
class Embedding:
    """An encoded picture: the decoder's features, the picture's size, its size in the input, and the time it took."""

    features: Mapping[str, Array]
    wh: tuple[int, int]
    inner_wh: tuple[int, int]
    seconds: float

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return sum(array.nbytes for array in self.features.values())


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer: pixels, the model's own score for them, and the logits to refine from (None when it cannot)."""

    region: Region
    score: float
    low: Array | None


@dataclass(frozen=True, slots=True)
class Pair:
    """An open pair. Both calls may be made from any thread."""

    card: PairCard
    encoder: Bare
    decoder: Bare
    threads: int

    @property
    def provider(self) -> str:
        """Our name of the provider that really runs."""
        return self.encoder.provider

    def encode(self, picture: Picture, *, stop: Stop | None = None) -> Embedding:
        """The embedding of a BGR picture.

        Raises:
            session.Stopped: by `stop`. InvalidInput: the model does not run.
        """
        begun = time.monotonic()
        batch, inner = _input(self.card, picture)
        found = self.encoder.run(
            {self.card.encoder_input: batch}, [o for _, o in self.card.features], stop=stop
        )
        features = {name: array for (name, _), array in zip(self.card.features, found, strict=True)}
        wh = (picture.shape[1], picture.shape[0])
        return Embedding(features, wh, inner, time.monotonic() - begun)

    def segment(
        self, embedding: Embedding, prompts: Prompts, *, before: Array | None = None, stop: Stop | None = None
    ) -> list[Candidate]:
        """Masks for the prompts, the most likely first. `before`: a candidate's `low`, to refine it.

        Raises:
            session.Stopped: by `stop`. InvalidInput: no positive prompt, or the model does not run.
        """
        if not prompts:
            raise InvalidInput("nothing was pointed at", remedy="click on the object or drag a box around it")
        card = self.card
        feeds = {**embedding.features, **_prompt_feeds(card, prompts, embedding)}
        feeds |= _mask_feeds(card, before, embedding)
        wanted = [card.scores, *(name for name in (card.low, card.sized) if name)]
        got = dict(zip(wanted, self.decoder.run(feeds, wanted, stop=stop), strict=True))
        scores = np.asarray(got[card.scores], np.float32).ravel()[:MAX_CANDIDATES]
        low = _maps(got[card.low]) if card.low else None
        # The sized output of SAM's own exporter is frozen to the shape of the picture it was exported with (a crop
        # became a constant), so masks are always made from the low one where there is one.
        maps = low if low is not None and card.dialect != "efficient" else _maps(got[card.sized])
        out = []
        for i in _order(card, scores, prompts):
            region = _region(maps[i], card, embedding)
            back = low[i][None, None] if low is not None and card.mask else None
            out.append(Candidate(region, float(scores[i]), back))
        return out


def open_pair(
    encoder: Path, decoder: Path, card: PairCard, *, provider: str = "cpu", threads: int = 1
) -> Pair:
    """Open both files; each must be the card's.

    Raises:
        InvalidInput: another file, or the runtime refuses it. Unavailable: the provider is missing.
    """
    return Pair(
        card,
        session.open_bare(encoder, card.encoder_sha256, provider=provider, threads=threads),
        session.open_bare(decoder, card.decoder_sha256, provider=provider, threads=threads),
        threads,
    )


# ---------------------------------------------------------------------------------------------------------------
# Into and out of the networks


def _inner_wh(card: PairCard, wh: tuple[int, int]) -> tuple[int, int]:
    """The picture's size in the input. Only sam2 changes its shape."""
    w, h = wh
    if card.dialect == "sam2":
        return card.side_px, card.side_px
    ratio = card.side_px / max(w, h)
    if card.dialect == "efficient":
        ratio = min(1.0, ratio)  # it scales by itself: a small picture is not blown up twice
    return max(1, round(w * ratio)), max(1, round(h * ratio))


def _input(card: PairCard, picture: Picture) -> tuple[Array, tuple[int, int]]:
    """The encoder's input of a BGR picture, and the picture's (w, h) in it."""
    inner = _inner_wh(card, (picture.shape[1], picture.shape[0]))
    shrinks = inner[0] < picture.shape[1]
    small = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    rgb = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.float32)
    if card.hwc:
        return rgb.astype(card.encoder_dtype), inner
    if card.dialect == "efficient":
        planes = rgb / np.float32(255)
    else:
        planes = (rgb - MEAN) / STD
    if not card.free_size and planes.shape[:2] != (card.side_px, card.side_px):
        whole = np.zeros((card.side_px, card.side_px, 3), np.float32)
        whole[: inner[1], : inner[0]] = planes
        planes = whole
    return np.ascontiguousarray(planes.transpose(2, 0, 1)[None]).astype(card.encoder_dtype), inner


def _prompt_feeds(card: PairCard, prompts: Prompts, embedding: Embedding) -> dict[str, Array]:
    """Points and labels: 1 belongs, 0 does not, 2 and 3 the corners of a box, -1 a filler where there is no box."""
    rows = [(x, y, 1 if belongs else 0) for x, y, belongs in prompts.points]
    if prompts.box is not None:
        b = prompts.box
        rows += [(b.x0, b.y0, 2), (b.x1, b.y1, 3)]
    elif card.dialect == "sam1":
        rows.append((0.0, 0.0, -1))
    sx, sy = embedding.inner_wh[0] / embedding.wh[0], embedding.inner_wh[1] / embedding.wh[1]
    table = np.array(rows, np.float32)
    coords: Array = table[:, :2] * np.array([sx, sy], np.float32)
    labels: Array = table[:, 2]
    extra = 2 if card.dialect == "efficient" else 1
    for _ in range(extra):
        coords, labels = coords[None], labels[None]
    feeds: dict[str, Array] = {
        card.points: coords.astype(card.decoder_dtype),
        card.labels: labels.astype(card.labels_dtype),
    }
    return feeds


def _mask_feeds(card: PairCard, before: Array | None, embedding: Embedding) -> dict[str, Array]:
    feeds: dict[str, Array] = {}
    if card.mask:
        side = card.mask_side_px
        blank = np.zeros((1, 1, side, side), np.float32)
        feeds[card.mask] = (blank if before is None else before).astype(card.decoder_dtype)
    if card.has_mask:
        feeds[card.has_mask] = np.array([before is not None], card.decoder_dtype)
    if card.size:
        w, h = embedding.inner_wh
        feeds[card.size] = np.array([h, w], card.size_dtype)
    return feeds


def _maps(output: Array) -> Array:
    """A mask output (…, k, h, w) as (k, h, w) float32."""
    array = np.asarray(output, np.float32)
    return array.reshape(-1, *array.shape[-2:])[:MAX_CANDIDATES]


def _order(card: PairCard, scores: Array, prompts: Prompts) -> list[int]:
    """Which candidate first. Of SAM's four the first is made for many prompts, the other three for one point."""
    ranked = [int(i) for i in np.argsort(-scores)]
    if card.dialect in ("sam1", "edge") and len(scores) == 4:
        several = prompts.box is not None or len(prompts.points) > 1
        rest = [i for i in ranked if i]
        return [0, *rest] if several else [*rest, 0]
    return ranked


def _region(logits: Array, card: PairCard, embedding: Embedding) -> Region:
    """The pixels of the picture whose logit is above 0; only the part that can hold some is enlarged."""
    high, wide = logits.shape
    w, h = embedding.wh
    # Map pixels that the picture covers: all of them, but the padding of a letterbox.
    inner_w, inner_h = embedding.inner_wh
    whole = card.side_px if _padded(card, (wide, high), embedding) else None
    used_w = wide * (inner_w / whole) if whole else float(wide)
    used_h = high * (inner_h / whole) if whole else float(high)
    rows, columns = np.nonzero(logits[: round(used_h + 0.5), : round(used_w + 0.5)] > 0)
    if not len(rows):
        return NOTHING
    fx, fy = used_w / w, used_h / h
    x0, x1 = max(0, int((columns.min() - 1) / fx)), min(w, int((columns.max() + 2) / fx) + 1)
    y0, y1 = max(0, int((rows.min() - 1) / fy)), min(h, int((rows.max() + 2) / fy) + 1)
    if x0 >= x1 or y0 >= y1:
        return NOTHING
    # Pixel centres: source x + 0.5 lies at (x + 0.5) * f - 0.5 of the map.
    back = np.array([[fx, 0, (x0 + 0.5) * fx - 0.5], [0, fy, (y0 + 0.5) * fy - 0.5]], np.float64)
    large = cv2.warpAffine(
        logits,
        back,
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    bits = (np.asarray(large) > 0).astype(np.uint8)
    return Region(x0, y0, bits).trimmed() if bits.any() else NOTHING


def _padded(card: PairCard, map_wh: tuple[int, int], embedding: Embedding) -> bool:
    """Whether a map shows the padded square rather than the picture alone."""
    if card.dialect in ("sam2", "efficient"):
        return False
    return map_wh != embedding.inner_wh


# ---------------------------------------------------------------------------------------------------------------
# Recognising


def recognise(encoder: Path, decoder: Path, *, name: str | None = None, licence: str = "") -> PairCard:
    """The card of a pair, from the inputs both files declare and one trial run of each.

    Raises:
        InvalidInput: broken, not SAM-shaped, or not two halves of one model; the line says what was found.
        Unavailable: a file cannot be read.
    """
    digests = session.identify(encoder).sha256, session.identify(decoder).sha256
    e_inputs, e_outputs, e_meta, producer, e_inner = session.inspect(encoder)
    d_inputs, d_outputs, _, _, d_inner = session.inspect(decoder)
    if _looks_like_decoder(e_inputs) and not _looks_like_decoder(d_inputs):
        raise InvalidInput(
            "this is the decoder", where=encoder.name, remedy="give the encoder first, then the decoder"
        )
    picture = _picture_input(e_inputs, encoder.name)
    card = _decoder_names(d_inputs, decoder.name)
    hwc = len(picture.shape) == 3
    sides = picture.shape[:2] if hwc else picture.shape[2:]
    if None not in sides and sides[0] != sides[1]:
        raise InvalidInput(
            f"its input of {sides[1]}x{sides[0]} px is not square",
            where=encoder.name,
            remedy="export it for a square or a free size",
        )
    side = sides[0] or SIDE_PX
    if not 64 <= side <= 4096:
        raise InvalidInput(
            f"its input of {side} px is not supported", where=encoder.name, remedy="64 to 4096"
        )
    card = replace(
        card,
        name=_clean(name if name is not None else encoder.stem) or "model",
        encoder_sha256=digests[0],
        decoder_sha256=digests[1],
        sha256=identity(*digests),
        side_px=side,
        encoder_input=picture.name,
        encoder_dtype=_float(picture),
        hwc=hwc,
        free_size=hwc or (None in sides and card.dialect == "efficient"),
        producer=_clean(producer),
        licence=_clean(licence or e_meta.get("license", "")),
    )
    return _tried(card, (e_inner, e_outputs, encoder.name), (d_inner, d_inputs, d_outputs, decoder.name))


def identity(encoder_sha256: str, decoder_sha256: str) -> str:
    """A pair's digest from those of its two models."""
    return hashlib.sha256(bytes.fromhex(encoder_sha256 + decoder_sha256)).hexdigest()


def _looks_like_decoder(inputs: Sequence[Tensor]) -> bool:
    return any("point" in t.name for t in inputs)


def _picture_input(inputs: Sequence[Tensor], where: str) -> Tensor:
    if len(inputs) != 1:
        raise InvalidInput(
            f"it has {len(inputs)} inputs; an encoder has one, the picture", where=where, remedy=_REMEDY
        )
    picture = inputs[0]
    shape = picture.shape
    planes = len(shape) == 4 and shape[1] in (3, None) and shape[0] in (1, None)
    pixels = len(shape) == 3 and shape[2] == 3
    if not (planes or pixels) or picture.dtype not in ("tensor(float)", "tensor(float16)"):
        raise InvalidInput(
            f"its input is {picture.dtype} of shape {_shape(shape)}",
            where=where,
            remedy="an encoder takes floats (1, 3, height, width) or (height, width, 3)",
        )
    return picture


_KNOWN = {
    "points": ("point_coords", "batched_point_coords"),
    "labels": ("point_labels", "batched_point_labels"),
    "mask": ("mask_input",),
    "has_mask": ("has_mask_input",),
    "size": ("orig_im_size",),
}


def _decoder_names(inputs: Sequence[Tensor], where: str) -> PairCard:
    """The decoder's inputs by their part, and so the dialect; `features` still without the encoder's names."""
    by_name = {t.name: t for t in inputs}
    found = {part: next((n for n in names if n in by_name), "") for part, names in _KNOWN.items()}
    rest = [t for t in inputs if t.name not in found.values()]
    if not found["points"] or not found["labels"]:
        raise InvalidInput(
            f"no known decoder: its inputs are {', '.join(by_name)[:200] or 'none'}",
            where=where,
            remedy="SAM, SAM 2, MobileSAM, EdgeSAM and EfficientSAM are known by point_coords and point_labels",
        )
    strange = [t.name for t in rest if len(t.shape) != 4 or "float" not in t.dtype]
    if strange or not rest:
        what = f"an input {strange[0]!r} that is not known" if strange else "no input for the embedding"
        raise InvalidInput(f"it has {what}", where=where, remedy=_REMEDY)
    points = by_name[found["points"]]
    dialect: Dialect
    if len(points.shape) == 4:
        dialect, why = "efficient", f"points of shape (1, 1, n, 2) in {points.name}"
    elif len(points.shape) != 3:
        raise InvalidInput(
            f"its points are of shape {_shape(points.shape)}", where=where, remedy="(1, n, 2) is known"
        )
    elif len(rest) > 1:
        dialect, why = "sam2", f"{len(rest)} feature maps: {', '.join(t.name for t in rest)}"
    elif found["mask"]:
        dialect, why = "sam1", f"one embedding and {found['mask']}"
    else:
        dialect, why = "edge", "one embedding and points alone"
    side = by_name[found["mask"]].shape[-1] if found["mask"] else None
    return PairCard(
        name="", dialect=dialect, sha256="", encoder_sha256="", decoder_sha256="", why=why, side_px=SIDE_PX, encoder_input="",
        features=tuple((t.name, "") for t in rest), scores="", points=found["points"], labels=found["labels"],
        mask=found["mask"], has_mask=found["has_mask"], size=found["size"], mask_side_px=side or 256,
        decoder_dtype=_float(points), labels_dtype=_number(by_name[found["labels"]]),
        size_dtype=_number(by_name[found["size"]]) if found["size"] else "float32",
    )  # fmt: skip


def _tried(
    card: PairCard,
    encoder: tuple[Any, Sequence[Tensor], str],
    decoder: tuple[Any, Sequence[Tensor], Sequence[Tensor], str],
) -> PairCard:
    """The card with the outputs' names, after one run of each file on a picture that is wider than high."""
    inner, declared, where = encoder
    picture = np.full((card.side_px * 3 // 4, card.side_px, 3), 114, np.uint8)
    batch, inner_wh = _input(card, picture)
    results = session.trial_of(inner, {card.encoder_input: batch}, where=where, seconds=TRIAL_ENCODER_S)
    given = {t.name: r for t, r in zip(declared, results, strict=True)}
    session.demand_numbers(given.items(), where=where)
    inner, d_inputs, d_declared, where = decoder
    wanted = {t.name: t for t in d_inputs}
    features = tuple((name, _source(wanted[name], given, where)) for name, _ in card.features)
    card = replace(card, features=features)
    held = {name: given[source] for name, source in features}
    embedding = Embedding(held, (picture.shape[1], picture.shape[0]), inner_wh, 0.0)
    prompts = Prompts(((card.side_px / 2, card.side_px / 2, True),))
    feeds = {**held, **_prompt_feeds(card, prompts, embedding), **_mask_feeds(card, None, embedding)}
    outputs = session.trial_of(inner, feeds, where=where)
    masks = {t.name: r for t, r in zip(d_declared, outputs, strict=True)}
    session.demand_numbers(masks.items(), where=where)
    return _outputs(card, masks, inner_wh, where)


def _source(wanted: Tensor, given: Mapping[str, Array], where: str) -> str:
    """The encoder's output for a decoder's input: of the same name, else the only one of its shape."""

    def fits(array: Array) -> bool:
        return array.ndim == len(wanted.shape) and all(
            want in (None, have) for want, have in zip(wanted.shape, array.shape, strict=True)
        )

    if wanted.name in given and fits(given[wanted.name]):
        return wanted.name
    found = [name for name, array in given.items() if fits(array)]
    if len(found) == 1:
        return found[0]
    shapes = "; ".join(_shape(a.shape) for a in given.values())[:200]
    raise InvalidInput(
        f"it wants {wanted.name} of shape {_shape(wanted.shape)}, the encoder gives {shapes}",
        where=where,
        remedy=_REMEDY,
    )


def _outputs(card: PairCard, given: Mapping[str, Array], inner_wh: tuple[int, int], where: str) -> PairCard:
    """Which output is what, by shape: scores (…, k); masks (…, k, h, w), low or at the size asked for."""
    masks = {name: a for name, a in given.items() if a.ndim >= 4}
    counts = {a.shape[-3] for a in masks.values()}
    scores = [n for n, a in given.items() if 1 <= a.ndim <= 3 and a.shape[-1] in counts]
    scores.sort(key=lambda n: "iou" not in n and "score" not in n)
    if not masks or not scores:
        found = "; ".join(_shape(a.shape) for a in given.values())[:200]
        raise InvalidInput(
            f"it gives no masks with scores ({found or 'nothing'})", where=where, remedy=_REMEDY
        )
    w, h = inner_wh
    low = [n for n, a in masks.items() if a.shape[-2] == a.shape[-1] and a.shape[-1] < card.side_px]
    sized = [n for n, a in masks.items() if a.shape[-2:] == (h, w)]
    sized += [n for n, a in masks.items() if a.shape[-2:] == (card.side_px, card.side_px)]
    if (card.dialect == "efficient" and not sized) or not (low or sized):
        found = "; ".join(_shape(a.shape) for a in masks.values())[:200]
        raise InvalidInput(f"its masks are of an unknown size ({found})", where=where, remedy=_REMEDY)
    if low and card.mask and masks[low[0]].shape[-1] != card.mask_side_px:
        card = replace(card, mask_side_px=masks[low[0]].shape[-1])
    return replace(card, scores=scores[0], low=low[0] if low else "", sized=sized[0] if sized else "")


def _float(tensor: Tensor) -> Float:
    return "float16" if "16" in tensor.dtype else "float32"


def _number(tensor: Tensor) -> str:
    kinds = {"tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(float16)": "float16"}
    return kinds.get(tensor.dtype, "float32")


def _clean(text: str) -> str:
    """One short printable line of a foreign string."""
    return canonical.nfc(" ".join("".join(c if c.isprintable() else " " for c in text[:400]).split())[:200])


def _shape(shape: Sequence[int | None]) -> str:
    return "x".join("?" if side is None else str(side) for side in shape)
