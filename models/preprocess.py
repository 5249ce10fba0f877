"""From a decoded picture to a network's input, and the map back. Decoding itself is the caller's: see DECISIONS.md."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from models.card import ModelCard
from models.session import Array


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in the input: input px = source px * ratio + (left, top). `wh` is the picture's size."""

    ratio: float
    left: float
    top: float
    wh: tuple[int, int]


def letterbox(picture: Array, card: ModelCard, canvas: Array) -> Placement:
    """Scale the picture into the canvas, keeping its shape and padding with the card's grey.

    Args:
        picture: uint8 (h, w, 3) BGR.
        canvas: uint8 (h, w, 3) of the input's size, overwritten; reused from picture to picture.
    """
    height, width = picture.shape[:2]
    w, h = card.input_wh
    ratio = min(w / width, h / height)
    new_w, new_h = max(1, min(w, round(width * ratio))), max(1, min(h, round(height * ratio)))
    left, top = ((w - new_w) // 2, (h - new_h) // 2) if card.centred else (0, 0)
    canvas[:top] = canvas[top + new_h :] = canvas[:, :left] = canvas[:, left + new_w :] = card.pad
    inside = canvas[top : top + new_h, left : left + new_w]
    if (new_w, new_h) == (width, height):
        inside[...] = picture
    else:
        inside[...] = cv2.resize(picture, (new_w, new_h), interpolation=cv2.INTER_LINEAR)
    return Placement(ratio, left, top, (width, height))


def fill(batch: Array, canvas: Array, card: ModelCard) -> None:
    """Write the canvas (h, w, 3) BGR into the batch (1, 3, h, w), in the card's channel order and range."""
    planes = cv2.split(canvas)
    for channel, plane in enumerate(planes if card.colour == "bgr" else reversed(planes)):
        if card.divisor == 1:
            batch[0, channel] = plane
        else:
            np.multiply(plane, np.float32(1 / card.divisor), out=batch[0, channel], casting="same_kind")
