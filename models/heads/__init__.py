"""Heads: how the outputs of each family of networks are recognised (`match`) and read (`decode`). Order = order of trial.

c = classes; e = extras (masks, key points, an angle); G = cells of the grids of the strides (8, 16, 32; 8 to 64; 4 to 32; 16, 32).
Nothing here goes by names of outputs.

    family          outputs                               what tells it from the others
    gfl             (G_s, c), (G_s, 32) each stride       pairs, one of them 4 x 8 wide; or (1, G, c + 32) with c names
    yolox           (1, G, 5 + c)                         the first column stays within a few cells: offsets, not pixels
    yolo            (1, 4 + c + e, G)                     the rows are cells and the boxes pixels (beyond 2), not shares
                    (1, 3G, 5 + c + e), (1, G, 5 + c)
                    (1, G, 4) with (1, G, c)
    yolo_anchors    (1, 3, h/s, w/s, 5 + c) each stride   grids of three or four strides at once, all of one width
    ssd             (1, 1, n, 7)                          seven columns and two axes of one
                    (1, n, 4), (1, n) twice               the boxes are shares
                    (1, n, 4), (1, n, 1 + c)              the same, n over 2,000
    yolo_ready      (1, n, 6 + e)                         the sixth column holds whole numbers, the fifth shares, the boxes pixels
                    (n, 7)                                no batch axis, the picture's number in front
                    (1, n, 4), (1, n) twice, (1, 1)       the last one, a count
    faces           (1, cells, 1|1|4|10) of each stride   four outputs of each of the three grids
    ready           (n, 4), (n,) twice                    one of them whole numbers; with or without batch axis, no count
                    (n, 6), (1,)                          whole numbers in the first column, and a count
    detr            (1, q, 4), (1, q, c) or (1, q, 4 + c) q is no grid; the boxes are shares
    semantic        (1, c, h, w) or (1, h, w) alone       the only output, on a grid of the input's shape
    whole           (1, c), (1, d)                        vectors and nothing else: YOLO's classifiers are here too
    dbnet           (1, 1, h, w)                          never by itself: with a recogniser of lines (models/reader.py)
    form            anything                              the person's answers
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from models.heads import (
    dbnet,
    detr,
    faces,
    form,
    gfl,
    ready,
    semantic,
    ssd,
    whole,
    yolo,
    yolo_anchors,
    yolo_ready,
    yolox,
)

HEADS: Mapping[str, ModuleType] = MappingProxyType(
    {
        "gfl": gfl,
        "yolox": yolox,
        "yolo": yolo,
        "yolo_anchors": yolo_anchors,
        "faces": faces,
        "ssd": ssd,
        "yolo_ready": yolo_ready,
        "ready": ready,
        "detr": detr,
        "semantic": semantic,
        "whole": whole,
        "form": form,
        "dbnet": dbnet,
    }
)
"""Family of a card -> module with `match(look) -> Match | None` and
`decode(outputs by role, card, *, score, iou) -> Found` (one picture, its batch axis taken off, input pixels)."""
