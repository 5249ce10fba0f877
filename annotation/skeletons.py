"""A whole skeleton laid into a box: where the points of a template stand before a hand puts them right."""

from __future__ import annotations

import math

from annotation.core import Box, Keypoints
from annotation.schema import Skeleton

SEEN = 2

_BODY: dict[str, tuple[float, float]] = {
    "nose": (0.50, 0.08),
    "left_eye": (0.54, 0.06),
    "right_eye": (0.46, 0.06),
    "left_ear": (0.59, 0.075),
    "right_ear": (0.41, 0.075),
    "head": (0.50, 0.07),
    "head_top": (0.50, 0.0),
    "neck": (0.50, 0.16),
    "left_shoulder": (0.68, 0.20),
    "right_shoulder": (0.32, 0.20),
    "left_elbow": (0.82, 0.36),
    "right_elbow": (0.18, 0.36),
    "left_wrist": (0.90, 0.52),
    "right_wrist": (0.10, 0.52),
    "left_hip": (0.61, 0.52),
    "right_hip": (0.39, 0.52),
    "pelvis": (0.50, 0.52),
    "left_knee": (0.63, 0.75),
    "right_knee": (0.37, 0.75),
    "left_ankle": (0.64, 0.97),
    "right_ankle": (0.36, 0.97),
}
"""Shares of the box, of a person who faces the camera: the person's left is on the right of the picture."""


def in_box(template: Skeleton, box: Box) -> Keypoints:
    """Every point of the template, seen, inside a box (px). A body's joints stand as in a person who faces the camera;
    points with other codes stand on an ellipse in their order."""
    w, h = box.x1 - box.x0, box.y1 - box.y0
    n = len(template.points)
    flat: list[float] = []
    for i, (code, _zh, _en) in enumerate(template.points):
        turn = 2 * math.pi * i / n - math.pi / 2
        x, y = _BODY.get(code, (0.5 + 0.4 * math.cos(turn), 0.5 + 0.4 * math.sin(turn)))
        flat += (box.x0 + x * w, box.y0 + y * h)
    return Keypoints(tuple(flat), (SEEN,) * n)
