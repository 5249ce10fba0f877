"""Heads: how the outputs of each family of networks are recognised (`match`) and read (`decode`). Order = order of trial."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from models.heads import detr, faces, ready, semantic, whole, yolo, yolox

HEADS: Mapping[str, ModuleType] = MappingProxyType(
    {
        "yolox": yolox,
        "yolo": yolo,
        "faces": faces,
        "ready": ready,
        "detr": detr,
        "semantic": semantic,
        "whole": whole,
    }
)
"""Family of a card -> module with `match(look) -> Match | None` and
`decode(outputs by role, card, *, score, iou) -> Found` (one picture, its batch axis taken off, input pixels)."""
