"""From a decoded picture to a network's input, and the map back. Decoding itself is the caller's: see DECISIONS.md."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from models.card import ModelCard
from models.found import Found
from models.session import Array


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a part of a picture lies in the input: input px = (source px - origin) * ratio + (left, top).

    Attributes:
        ratio: (x, y) scale. origin: the part's top left in the source picture. part: its (w, h) in the source.
        wh: the whole source picture's size.
    """

    ratio: tuple[float, float]
    left: float
    top: float
    origin: tuple[float, float]
    part: tuple[float, float]
    wh: tuple[int, int]

    def back(self, found: Found) -> Found:
        """What was found in the input, in pixels of the source picture."""
        ratio = np.array(self.ratio)
        return found.moved(1 / ratio, np.array(self.origin) - np.array([self.left, self.top]) / ratio)


def size_for(card: ModelCard, wh: tuple[int, int]) -> tuple[int, int]:
    """Size of the input for a picture of (w, h): the card's, but for a model that takes pictures as they are."""
    if card.resize != "pad" or not card.dynamic_hw:
        return card.input_wh
    step, longest = max(1, card.get("multiple", 32)), card.get("longest", 1280)
    scale = min(max(1.0, card.get("shortest") / min(wh)), longest / max(wh))
    w, h = (max(1, round(side * scale)) for side in wh)
    return -(-w // step) * step, -(-h // step) * step


def place(
    picture: Array,
    card: ModelCard,
    canvas: Array,
    *,
    window: tuple[int, int, int, int] | None = None,
    wh: tuple[int, int] | None = None,
) -> Placement:
    """Scale a picture, or a window of it, into the canvas as the card's `resize` asks.

    Args:
        picture: uint8 (h, w, 3) BGR; may be decoded smaller than its source.
        canvas: uint8 (h, w, 3) of the input's size, overwritten; reused from picture to picture.
        window: x0, y0, x1, y1 in `picture`.
        wh: the source's size, when the picture was decoded smaller.
    """
    full_h, full_w = picture.shape[:2]
    wh = wh or (full_w, full_h)
    x0, y0, x1, y1 = window or (0, 0, full_w, full_h)
    part = picture if window is None else picture[y0:y1, x0:x1]
    width, height = x1 - x0, y1 - y0
    h, w = canvas.shape[:2]
    match card.resize:
        case "stretch":
            new_w, new_h = w, h
            left = top = 0
        case "crop":
            crop = _square if card.get("plain") else _cropped
            return crop(part, (x0, y0), canvas, wh, (wh[0] / full_w, wh[1] / full_h))
        case "pad":
            scale = min(w / width, h / height)
            if not card.get("shortest"):
                scale = min(1.0, scale)
            new_w, new_h = max(1, round(width * scale)), max(1, round(height * scale))
            left = top = 0
        case _:
            ratio = min(w / width, h / height)
            # To the pixel as the models' own code sizes them: YOLOX cuts off, the others round.
            whole = int if card.resize == "corner" else round
            new_w, new_h = max(1, min(w, whole(width * ratio))), max(1, min(h, whole(height * ratio)))
            left, top = ((w - new_w) // 2, (h - new_h) // 2) if card.resize == "letterbox" else (0, 0)
    canvas[:top] = canvas[top + new_h :] = canvas[:, :left] = canvas[:, left + new_w :] = card.pad
    inside = canvas[top : top + new_h, left : left + new_w]
    if (new_w, new_h) == (width, height):
        inside[...] = part
    else:
        # OpenCV writes straight into the canvas: its rows need not touch each other.
        cv2.resize(part, (new_w, new_h), dst=inside, interpolation=cv2.INTER_LINEAR)
    grow = (wh[0] / full_w, wh[1] / full_h)
    # What OpenCV really did: each side is rounded by itself.
    ratios = (new_w / width / grow[0], new_h / height / grow[1])
    return Placement(ratios, left, top, (x0 * grow[0], y0 * grow[1]), (width * grow[0], height * grow[1]), wh)


def _cropped(
    part: Array, origin: tuple[int, int], canvas: Array, wh: tuple[int, int], grow: tuple[float, float]
) -> Placement:
    """The shorter side fitted, the middle seen, as classifiers are trained: sizes rounded as torchvision's Resize and
    CenterCrop do, and by Pillow's resizing, which smooths when it makes smaller (OpenCV's does not)."""
    h, w = canvas.shape[:2]
    height, width = part.shape[:2]
    scale = max(w / width, h / height)
    new_w, new_h = max(w, int(width * scale)), max(h, int(height * scale))
    left, top = round((new_w - w) / 2), round((new_h - h) / 2)
    rx, ry = new_w / width, new_h / height
    box = (left / rx, top / ry, (left + w) / rx, (top + h) / ry)
    canvas[...] = np.asarray(Image.fromarray(part).resize((w, h), Image.Resampling.BILINEAR, box=box))
    start = ((origin[0] + box[0]) * grow[0], (origin[1] + box[1]) * grow[1])
    return Placement((rx / grow[0], ry / grow[1]), 0, 0, start, (w / rx * grow[0], h / ry * grow[1]), wh)


def _square(
    part: Array, origin: tuple[int, int], canvas: Array, wh: tuple[int, int], grow: tuple[float, float]
) -> Placement:
    """The middle square of whole pixels, by OpenCV's resizing: YOLOv5's classifiers were trained so."""
    h, w = canvas.shape[:2]
    height, width = part.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    cv2.resize(part[top : top + side, left : left + side], (w, h), dst=canvas, interpolation=cv2.INTER_LINEAR)
    start = ((origin[0] + left) * grow[0], (origin[1] + top) * grow[1])
    return Placement(
        (w / side / grow[0], h / side / grow[1]), 0, 0, start, (side * grow[0], side * grow[1]), wh
    )


def fill(slot: Array, canvas: Array, card: ModelCard) -> None:
    """Write the canvas (h, w, 3) BGR into one picture's place of a batch, in the card's order, range and layout.

    Args:
        slot: (c, h, w), or (h, w, c) when the card's layout is "nhwc"; of the card's type.
    """
    if card.colour == "gray":
        planes = [cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY)]
    else:
        b, g, r = cv2.split(canvas)
        planes = [b, g, r] if card.colour == "bgr" else [r, g, b]
    for channel, plane in enumerate(planes):
        target = slot[..., channel] if card.layout == "nhwc" else slot[channel]
        mean, std = card.mean_micro[channel], card.std_micro[channel]
        if mean == 0 and std == 1_000_000:
            target[...] = plane
        else:
            np.multiply(plane, np.float32(1e6 / std), out=target, casting="same_kind")
            if mean:
                target -= np.asarray(mean / std, target.dtype)
