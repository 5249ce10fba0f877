"""Reading text: a model that finds lines and one that reads a line, used as one. Lines become quadrilaterals with their text.

Known are PaddleOCR's exports: a map of text by differentiable binarisation (heads/dbnet.py), and a recogniser of lines of a
fixed height that gives a class for each step along the line (CTC), its characters in the metadata key `character`.
Sources: Graves et al., Connectionist Temporal Classification (ICML 2006); Shi et al., CRNN (arXiv 1507.05717).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from annotation import canonical
from annotation.errors import InvalidInput
from models import external, session
from models.card import ModelCard
from models.found import Found
from models.recognise import Recognised, clean
from models.session import Array, Bare

HALF = (127_500_000, 127_500_000, 127_500_000)
UPRIGHT = 1.5
"""A line this much higher than wide stands: it is turned to be read, as columns of single characters are not told apart."""
LEAST_WIDTH = 16
MAX_WIDTH = 4096
TOGETHER = 8
"""Lines of one run, of like width."""


def recognise(boxes: Path, text: Path, *, name: str | None = None) -> Recognised:
    """The card of a reader, of the file that finds lines and the one that reads them, in whichever order they are given.

    Raises:
        InvalidInput: broken, or one of them is no such model.
    """
    first, second = session.identify(boxes), session.identify(text)
    if _characters(boxes):
        boxes, text, first, second = text, boxes, second, first
    letters = _characters(text)
    if not letters:
        raise InvalidInput(
            "neither file holds its characters (metadata key `character`)", where=text.name,
            remedy="give the recogniser as PaddleOCR's tools export it",
        )  # fmt: skip
    height, steps = _line(text, len(letters))
    inputs, _, _, producer, inner = session.inspect(boxes)
    if (
        len(inputs) != 1
        or len(inputs[0].shape) != 4
        or inputs[0].shape[1] != 3
        or inputs[0].shape[2] is not None
    ):
        raise InvalidInput(
            "it is no finder of text lines: its input must be (batch, 3, free, free)", where=boxes.name
        )
    out = session.trial_of(inner, {inputs[0].name: np.zeros((1, 3, 320, 352), np.float32)}, where=boxes.name)
    declared = [o.name for o in inner.get_outputs()]
    maps = [n for n, value in zip(declared, out, strict=True) if np.shape(value) == (1, 1, 320, 352)]
    if len(maps) != 1:
        raise InvalidInput("it gives no map of its input", where=boxes.name, remedy="give a DB text detector")
    parts = (("boxes", first.sha256), ("text", second.sha256))
    card = ModelCard(
        name=clean(name if name is not None else boxes.stem) or "reader",
        family="dbnet",
        sha256=identity(parts),
        labels=("text",),
        input_name=inputs[0].name,
        outputs=(("map", maps[0]),),
        input_wh=(960, 960),
        task="read",
        parts=parts,
        resize="pad",
        colour="bgr",
        mean_micro=HALF,
        std_micro=HALF,
        pad=0,
        dynamic_hw=True,
        batch=0 if inputs[0].shape[0] is None else 1,
        head=(("multiple", 32), ("longest", 2016), ("shortest", 736), ("height", height)),
        score_micro=500_000,
        producer=clean(producer),
    )
    why = (
        f"“{boxes.name}” gives a map of its input: where text is",
        f"“{text.name}” knows {len(letters)} characters and gives one of {steps} classes at each step along a line {height} px high",
    )
    return Recognised(card, why, ())


def identity(parts: tuple[tuple[str, str], ...]) -> str:
    """A reader's digest from the (role, digest) of its models."""
    return hashlib.sha256(canonical.encode([list(part) for part in parts])).hexdigest()


@dataclass(frozen=True, slots=True)
class Reader:
    """The open recogniser of a reader. `read` may be called from several threads."""

    _bare: Bare
    _input: str
    _output: str
    _height: int
    _letters: tuple[str, ...]

    def read(self, picture: Array, found: Found, *, least: float) -> Found:
        """The lines with their texts; what cannot be read with at least this score goes.

        Args:
            picture: uint8 (h, w, 3) BGR. found: lines as `quads` in its pixels.
        """
        if not len(found) or found.quads is None:
            return replace(found, texts=()) if found.quads is not None else found
        lines = [_straight(picture, quad, self._height) for quad in found.quads]
        texts, scores = [""] * len(lines), np.zeros(len(lines))
        order = sorted(range(len(lines)), key=lambda i: lines[i].shape[1])
        for first in range(0, len(order), TOGETHER):
            group = order[first : first + TOGETHER]
            wide = max(lines[i].shape[1] for i in group)
            batch = np.zeros((len(group), 3, self._height, wide), np.float32)
            for row, i in enumerate(group):
                batch[row, :, :, : lines[i].shape[1]] = (
                    lines[i].transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
                )
            [output] = self._bare.run({self._input: batch}, [self._output])
            for i, steps in zip(group, output, strict=True):
                texts[i], scores[i] = spelt(steps, self._letters)
        kept = np.array([bool(t) and s >= least for t, s in zip(texts, scores, strict=True)], bool)
        return replace(found, texts=tuple(texts), scores=scores).take(kept)


def open_reader(card: ModelCard, beside: Path, *, provider: str, threads: int) -> Reader:
    """Open the recogniser of a reader's card; it lies in the finder's folder of models.

    Raises:
        InvalidInput, Unavailable: as session.open_bare.
    """
    sha256 = dict(card.parts)["text"]
    path = external.neighbour(beside, sha256)
    bare = session.open_bare(path, sha256, provider=provider, threads=threads)
    inputs, outputs, _, _, _ = session.inspect(path)
    return Reader(bare, inputs[0].name, outputs[0].name, card.get("height", 48), _characters(path))


def spelt(steps: Array, letters: tuple[str, ...]) -> tuple[str, float]:
    """The text of a line and the mean probability of its characters.

    Args:
        steps: (steps, classes) probabilities; class 0 is the blank between characters, class i + 1 is letter i, one more the space.
    """
    best = steps.argmax(axis=1)
    kept = (best > 0) & np.concatenate([[True], best[1:] != best[:-1]])
    chosen = best[kept]
    if not len(chosen):
        return "", 0.0
    text = "".join(letters[i - 1] if i <= len(letters) else " " for i in chosen.tolist())
    return canonical.nfc(text.strip()), float(np.clip(steps[kept, chosen].mean(), 0, 1))


def _straight(picture: Array, quad: Array, height: int) -> Array:
    """A line cut out, laid straight and scaled to the recogniser's height: uint8 (height, w, 3)."""
    w = max(float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[2] - quad[3])), 1.0)
    h = max(float(np.linalg.norm(quad[3] - quad[0])), float(np.linalg.norm(quad[2] - quad[1])), 1.0)
    corners = quad
    if h >= UPRIGHT * w:  # from its bottom left on: turned by a quarter to the left
        corners, w, h = np.roll(quad, -1, axis=0), h, w
    size = (min(MAX_WIDTH, max(1, round(w))), min(MAX_WIDTH, max(1, round(h))))
    target = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    line = cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    wide = min(MAX_WIDTH, max(LEAST_WIDTH, int(np.ceil(height * size[0] / size[1]))))
    return np.asarray(cv2.resize(line, (wide, height)), np.uint8)


def _characters(path: Path) -> tuple[str, ...]:
    """The characters of a recogniser, () when its metadata hold none."""
    _, _, metadata, _, _ = session.inspect(path)
    text = metadata.get("character", "")
    return tuple(text.rstrip("\n").split("\n")) if text.strip("\n") and len(text) < 1_000_000 else ()


def _line(path: Path, letters: int) -> tuple[int, int]:
    """Height of the lines a recogniser takes, and its number of classes."""
    inputs, _, _, _, inner = session.inspect(path)
    shape = inputs[0].shape if len(inputs) == 1 else ()
    if len(shape) != 4 or shape[1] != 3 or shape[2] is None or not 8 <= shape[2] <= 256:
        raise InvalidInput(
            "it is no recogniser of lines: its input must be (batch, 3, height, free)", where=path.name
        )
    trial = np.zeros((1, 3, shape[2], shape[3] or 320), np.float32)
    [steps, *_] = session.trial_of(inner, {inputs[0].name: trial}, where=path.name)
    classes = np.shape(steps)[-1]
    if np.ndim(steps) != 3 or classes not in (letters + 1, letters + 2):
        raise InvalidInput(
            f"it knows {letters} characters but gives {classes} classes",
            where=path.name,
            remedy="export it again",
        )
    return shape[2], classes
