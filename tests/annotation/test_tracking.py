"""Following an object: on drawn sequences whose motion is known, and on real frames where they are at hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from annotation import geometry, scenes, tracking
from annotation.core import Box, Mask, Polygon, Shape
from annotation.tracking import METHODS, Method


def film(
    n: int = 24, *, dx: float = 5.0, dy: float = 1.5, grow: float = 1.0, hide_from: int | None = None
) -> list[tuple[np.ndarray, Box]]:
    """A patch of one drawn scene that moves over another, and its true box in every picture."""
    ground = scenes.draw(3, (480, 360)).picture
    patch = cv2.GaussianBlur(scenes.draw(9, (300, 300)).picture[100:180, 100:170], (3, 3), 0)
    patch = cv2.convertScaleAbs(patch, alpha=1.6, beta=30)
    rng = np.random.default_rng(0)
    out = []
    for i in range(n):
        wide, high = 70 * grow**i, 80 * grow**i
        x, y = 60 + dx * i, 90 + dy * i
        picture = ground.copy()
        if hide_from is None or i < hide_from:
            move = np.array([[wide / 70, 0, x], [0, high / 80, y]], np.float64)
            cv2.warpAffine(patch, move, (480, 360), dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
        noisy = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
        out.append((tracking.grey(noisy), Box(x, y, x + wide, y + high)))
    return out


def follow(frames: list[tuple[np.ndarray, Box]], method: Method) -> tuple[list[Box], str]:
    follower = tracking.start(frames[0][0], frames[0][1], method)
    assert follower is not None
    boxes = []
    for picture, _ in frames[1:]:
        follower, found = tracking.step(follower, picture)
        if found.why:
            return boxes, found.why
        boxes.append(found.box)
    return boxes, ""


def iou(a: Shape, b: Shape) -> float:
    return float(geometry.iou(geometry.boxes_array([a]), geometry.boxes_array([b]))[0, 0])


@pytest.mark.parametrize("method", METHODS)
def test_a_moving_object_is_followed_to_the_end(method: Method) -> None:
    frames = film()
    boxes, why = follow(frames, method)
    assert why == ""
    assert min(iou(a, b) for a, (_, b) in zip(boxes, frames[1:], strict=True)) > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_an_object_that_comes_nearer_grows_with_its_box(method: Method) -> None:
    frames = film(20, dx=4, dy=1, grow=1.02)
    boxes, why = follow(frames, method)
    assert why == ""
    assert iou(boxes[-1], frames[-1][1]) > 0.8


@pytest.mark.parametrize("method", METHODS)
def test_following_stops_where_the_object_is_gone_and_says_why(method: Method) -> None:
    boxes, why = follow(film(16, hide_from=9), method)
    assert len(boxes) == 8
    assert why


@pytest.mark.parametrize("method", METHODS)
def test_an_object_that_leaves_the_picture_ends_the_track(method: Method) -> None:
    boxes, why = follow(film(30, dx=16), method)
    assert 18 <= len(boxes) < 29
    assert why


def test_nothing_begins_outside_the_picture_or_at_a_dot() -> None:
    picture = film(1)[0][0]
    assert tracking.start(picture, Box(-100, -100, -20, -20), "template") is None
    assert tracking.start(picture, Box(10, 10, 13, 13), "flow") is None


def test_a_flat_object_has_no_points_to_follow() -> None:
    picture = np.full((200, 200), 80, np.uint8)
    follower = tracking.start(picture, Box(50, 50, 100, 100), "flow")
    assert follower is not None
    _, found = tracking.step(follower, picture)
    assert "flat" in found.why


def test_the_next_picture_of_another_size_ends_the_flow() -> None:
    frames = film(2)
    follower = tracking.start(*frames[0], "flow")
    assert follower is not None
    _, found = tracking.step(follower, frames[1][0][:300])
    assert "size" in found.why


def test_shapes_are_carried_along_with_their_box() -> None:
    old, new = Box(0, 0, 10, 10), Box(100, 50, 120, 70)
    assert tracking.moved(Box(0, 0, 5, 5), old, new) == Box(100, 50, 110, 60)
    ring = (0.0, 0.0, 10.0, 0.0, 10.0, 10.0)
    assert tracking.moved(Polygon(((ring,),)), old, new) == Polygon((((100, 50, 120, 50, 120, 70),),))
    mask = Mask(2, 2, (1, 3))
    assert tracking.moved(mask, old, new) is mask


@pytest.mark.parametrize("method", METHODS)
def test_real_frames_are_followed(method: Method, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The worker of the sample video, from frame 31 on; boxes made by hand to about 3 px (helmet, vest)."""
    frames = shared / "data" / "video-worker-zone"
    truth: dict[int, dict[int, Box]] = {}
    for line in (frames / "gt" / "gt.txt").read_text().splitlines():
        frame, track, x, y, w, h = (float(v) for v in line.split(",")[:6])
        truth.setdefault(int(track), {})[int(frame)] = Box(x, y, x + w, y + h)
    pictures = sorted((frames / "img1").iterdir())
    lines = []
    for track, boxes in truth.items():
        first = min(f for f in boxes if f >= 31)
        follower = tracking.start(_read(pictures[first - 1]), boxes[first], method)
        assert follower is not None
        scores, why = [], ""
        for frame in range(first + 1, len(pictures) + 1):
            follower, found = tracking.step(follower, _read(pictures[frame - 1]))
            why = found.why
            if why or frame not in boxes:
                break
            scores.append(iou(found.box, boxes[frame]))
        lines.append(
            f"{method} {track}: {len(scores)} frames, mean IoU {np.mean(scores or [0]):.2f}, {why or 'to the end'}"
        )
        assert np.mean(scores[:6]) > 0.5, lines
    with capsys.disabled():
        print("\n" + "\n".join(lines))


def _read(path: Path) -> np.ndarray:
    return tracking.grey(cv2.imread(str(path)))
