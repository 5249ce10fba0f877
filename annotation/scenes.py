"""Draws mine-like scenes with exact labels: gallery, belt with coal, people with and without helmets, lamps, dust, noise.

For the demonstration, tests and figures. Drawn, not real: a model that does well here says nothing about a mine.
Order of drawing: gallery, belt, people from far to near, then light, dust and sensor over all. Every labelled object is
drawn into a patch of its own with a mask; its box is the mask's extent, so it is exact to the pixel by construction.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from annotation.core import Annotation, AnnotationSet, Box

Array = np.ndarray[Any, np.dtype[Any]]
Colour = tuple[int, int, int]

LABELS = ("person", "helmet", "no_helmet", "large_coal")
"""Codes of the coal_mine schema that scenes carry; the demonstration detector's classes, in this order."""

_HELMETS: tuple[Colour, ...] = (
    (40, 200, 235),
    (40, 40, 205),
    (225, 225, 225),
    (190, 110, 30),
    (30, 120, 235),
)
_SUITS: tuple[Colour, ...] = ((90, 60, 35), (40, 75, 150), (70, 70, 70), (60, 90, 60), (110, 90, 45))
_SKIN: tuple[Colour, ...] = ((120, 150, 195), (95, 125, 170), (140, 170, 210))
_HAIR: tuple[Colour, ...] = ((25, 25, 28), (40, 38, 42), (60, 60, 66))
_STRIP: Colour = (190, 215, 215)


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, uint8 (h, w, 3) BGR, and everything labelled on it, boxes clipped to the picture."""

    picture: Array
    annotations: AnnotationSet


@dataclass(frozen=True, slots=True)
class _View:
    """The gallery's geometry: vanishing point and horizon, all in pixels."""

    w: int
    h: int
    vx: float
    vy: float
    unit: float  # height of the picture over 540: everything scales with it


def draw(seed: int, wh: tuple[int, int] = (960, 540)) -> Scene:
    """Draw one scene. The same seed and size give the same scene.

    Args:
        seed: >= 0.
        wh: size of the picture in px, at least (64, 64).
    """
    rng = np.random.default_rng(seed)
    w, h = wh
    view = _View(w, h, w * rng.uniform(0.35, 0.65), h * rng.uniform(0.34, 0.46), h / 540)
    picture = _gallery(rng, view)
    found: list[tuple[str, tuple[int, int, int, int]]] = []
    lamps: list[tuple[float, float, float]] = []
    side = rng.choice((-1, 1))
    if rng.random() < 0.75:
        found += _belt(rng, view, picture, int(side))
    found += _people(rng, view, picture, -int(side), lamps)
    picture = _light(rng, view, picture, lamps)
    return Scene(_sensor(rng, view, picture), _labelled(found, seed, w, h))


def _labelled(found: list[tuple[str, tuple[int, int, int, int]]], seed: int, w: int, h: int) -> AnnotationSet:
    result = []
    for i, (label, (x0, y0, x1, y1)) in enumerate(found):
        box = Box(float(max(0, x0)), float(max(0, y0)), float(min(w, x1)), float(min(h, y1)))
        uid = hashlib.blake2b(f"scene {seed} {w}x{h} {i}".encode(), digest_size=16).hexdigest()
        if box.x1 - box.x0 >= 4 and box.y1 - box.y0 >= 4:
            result.append(Annotation(label, box, uid=uid))
    return tuple(sorted(result, key=lambda a: a.uid))


# -- the gallery ------------------------------------------------------------------------------------------------------


def _gallery(rng: np.random.Generator, view: _View) -> Array:
    """Rock, floor, arches receding to the vanishing point, rails, pipes and a row of roof lamps."""
    w, h = view.w, view.h
    coarse = rng.integers(60, 150, (max(4, h // 30), max(4, w // 30), 1), dtype=np.uint8)
    fine = rng.integers(70, 130, (h // 4 + 1, w // 4 + 1, 1), dtype=np.uint8)
    rock = cv2.addWeighted(
        cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC), 0.5,
        cv2.resize(fine, (w, h), interpolation=cv2.INTER_LINEAR), 0.5, 0,
    )  # fmt: skip
    tint = rng.uniform(0.92, 1.06, 3)
    picture = cv2.merge([cv2.convertScaleAbs(rock, alpha=float(t)) for t in tint])
    vx, vy = view.vx, view.vy
    floor = np.array([[-w, h * 1.5], [vx - 12, vy + 8], [vx + 12, vy + 8], [2 * w, h * 1.5]])
    _fill(picture, floor, _grey(rng, 45, 85))
    steel = _grey(rng, 60, 125)
    for depth in np.geomspace(0.06, 1.5, int(rng.integers(5, 9))):
        half, top = 0.62 * w * depth, 0.75 * h * depth
        axes, thick = (round(half), round(top)), max(1, round(14 * depth * view.unit))
        foot = vy + 0.55 * h * depth
        centre = (round(vx), round(vy + 0.1 * h * depth))
        cv2.ellipse(picture, centre, axes, 0, 180, 360, steel, thick, cv2.LINE_AA)
        for sign in (-1, 1):
            x = round(vx + sign * half)
            cv2.line(picture, (x, centre[1]), (x, round(foot)), steel, thick, cv2.LINE_AA)
    for _ in range(int(rng.integers(1, 4))):
        height, offset = rng.uniform(-0.5, 0.1), rng.choice((-1.0, 1.0)) * rng.uniform(0.5, 0.6)
        end = (round(vx + offset * w * 1.5), round(vy + height * h * 1.5))
        colour = _grey(rng, 30, 140)
        cv2.line(picture, (round(vx), round(vy)), end, colour, max(2, round(7 * view.unit)), cv2.LINE_AA)
    return picture


def _fill(picture: Array, points: Array, colour: Colour | tuple[int]) -> None:
    cv2.fillPoly(picture, [np.round(points).astype(np.int32)], colour, cv2.LINE_8)


# -- the belt and its coal --------------------------------------------------------------------------------------------


def _belt(
    rng: np.random.Generator, view: _View, picture: Array, side: int
) -> list[tuple[str, tuple[int, int, int, int]]]:
    """A belt from the front to the vanishing point on one side; fine coal unlabelled, large lumps labelled."""
    w, h, vx, vy = view.w, view.h, view.vx, view.vy + 10 * view.unit
    near_x, half = vx + side * w * rng.uniform(0.2, 0.36), w * rng.uniform(0.12, 0.17)

    def at(along: float, across: float) -> tuple[float, float]:
        """Point on the belt: along 0 (far) .. 1 (near), across -1..1."""
        return vx + (near_x + across * half - vx) * along, vy + (h * 1.02 - vy) * along

    frame = np.array([at(0.04, -1.15), at(0.04, 1.15), at(1.1, 1.15), at(1.1, -1.15)])
    _fill(picture, frame, _grey(rng, 70, 120))
    _fill(picture, np.array([at(0.04, -1), at(0.04, 1), at(1.1, 1), at(1.1, -1)]), (34, 32, 31))
    for along in np.geomspace(0.1, 1.0, 60):
        for _ in range(3):
            x, y = at(float(along), float(rng.uniform(-0.75, 0.75)))
            grey = int(rng.integers(15, 70))
            radius = max(1, round(rng.uniform(2, 7) * along * view.unit))
            cv2.circle(picture, (round(x), round(y)), radius, (grey, grey, grey), -1)
    found = []
    taken: list[tuple[int, int, int, int]] = []
    for along in np.sort(rng.uniform(0.3, 0.92, int(rng.integers(0, 5)))):
        x, y = at(float(along), float(rng.uniform(-0.5, 0.5)))
        size = max(6.0, rng.uniform(0.35, 0.6) * half * along)
        patch, mask = _lump(rng, size)
        box = _paste(
            picture, patch, mask, round(x - patch.shape[1] / 2), round(y - patch.shape[0] * 0.7), taken
        )
        if box:
            taken.append(box)
            found.append(("large_coal", box))
    return found


def _lump(rng: np.random.Generator, size: float) -> tuple[Array, Array]:
    """A faceted lump about `size` px in half width: patch uint8 (n, n, 3) and mask uint8 (n, n)."""
    n = math.ceil(size * 2.6)
    angles = np.sort(rng.uniform(0, 2 * math.pi, 9))
    radii = size * rng.uniform(0.75, 1.15, 9)
    centre = n / 2
    points = np.stack([centre + np.cos(angles) * radii, centre + np.sin(angles) * radii * 0.72], axis=1)
    patch, mask = np.zeros((n, n, 3), np.uint8), np.zeros((n, n), np.uint8)
    top = np.array([centre + rng.uniform(-0.2, 0.2) * size, centre - rng.uniform(0.1, 0.35) * size])
    for first, second in zip(points, np.roll(points, -1, axis=0), strict=True):
        middle = (first + second) / 2 - centre
        grey = int(np.clip(62 - 55 * middle[1] / size + rng.integers(-14, 14), 12, 165))
        facet = np.array([first, second, top])
        _fill(patch, facet, (grey + 6, grey + 2, grey))
        _fill(mask, facet, (255,))
    return patch, mask


# -- people -----------------------------------------------------------------------------------------------------------


def _people(
    rng: np.random.Generator, view: _View, picture: Array, side: int, lamps: list[tuple[float, float, float]]
) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Up to five people, far ones first; nobody stands where most of another would be hidden."""
    found = []
    taken: list[tuple[int, int, int, int]] = []
    heights = np.sort(np.exp(rng.uniform(math.log(95), math.log(400), int(rng.integers(0, 6)))))
    for tall in heights * view.unit:
        depth = float(tall) / (400 * view.unit)
        foot = view.vy + (view.h * 1.02 - view.vy) * depth**0.8
        x = view.vx + (side * rng.uniform(-0.12, 0.42)) * view.w * depth**0.5
        helmet = bool(rng.random() < 0.62)
        patch, masks, lamp = _person(rng, float(tall), helmet)
        left, top = round(x - patch.shape[1] / 2), round(foot - patch.shape[0])
        box = _paste(picture, patch, masks["person"], left, top, taken)
        if not box:
            continue
        taken.append(box)
        found.append(("person", box))
        head = "helmet" if helmet else "no_helmet"
        hx, hy, hw, hh = cv2.boundingRect(masks["head"])
        found.append((head, (left + hx, top + hy, left + hx + hw, top + hy + hh)))
        if lamp:
            lamps.append((left + lamp[0], top + lamp[1], float(tall)))
    return found


def _person(
    rng: np.random.Generator, tall: float, helmet: bool
) -> tuple[Array, dict[str, Array], tuple[float, float] | None]:
    """A figure: patch, masks "person" (all of it) and "head" (the helmet, or the bare head), and its lamp's place."""
    n = math.ceil(tall * 1.04)
    wide = math.ceil(tall * 0.8)
    patch, mask, head_mask = (
        np.zeros((n, wide, 3), np.uint8),
        np.zeros((n, wide), np.uint8),
        np.zeros((n, wide), np.uint8),
    )
    stoop = float(rng.uniform(0, 0.16) if rng.random() < 0.7 else rng.uniform(0.2, 0.42))
    lean = float(rng.choice((-1, 1)) * stoop)
    suit = _vary(rng, _SUITS[rng.integers(len(_SUITS))])
    dark: Colour = (suit[0] // 2, suit[1] // 2, suit[2] // 2)
    skin = _vary(rng, _SKIN[rng.integers(len(_SKIN))])

    def line(a: tuple[float, float], b: tuple[float, float], thick: float, colour: Colour) -> None:
        for target, value in ((patch, colour), (mask, (255,))):
            cv2.line(target, _int(a), _int(b), value, max(1, round(thick)))

    def oval(
        c: tuple[float, float], rx: float, ry: float, colour: Colour, *, arc: tuple[int, int] = (0, 360)
    ) -> None:
        axes = (max(1, round(rx)), max(1, round(ry)))
        for target, value in ((patch, colour), (mask, (255,))):
            cv2.ellipse(target, _int(c), axes, 0, arc[0], arc[1], value, -1)

    hip = (wide / 2 - lean * tall * 0.25, tall * (0.53 + stoop * 0.2))
    neck = (hip[0] + lean * tall * 0.55, hip[1] - tall * 0.33 * math.cos(stoop * 1.6))
    stride = tall * float(rng.uniform(0.02, 0.13))
    for sign in (-1, 1):
        knee = (hip[0] + sign * stride * 0.7, (hip[1] + tall) / 2)
        ankle = (hip[0] + sign * stride, tall * 0.96)
        line(hip, knee, tall * 0.1, dark)
        line(knee, ankle, tall * 0.085, dark)
        line(ankle, (ankle[0] + sign * tall * 0.03, tall * 0.985), tall * 0.06, (25, 25, 25))
    line(hip, neck, tall * 0.19, suit)
    for sign in (-1, 1):
        shoulder = (neck[0] + sign * tall * 0.09, neck[1] + tall * 0.03)
        elbow = (shoulder[0] + sign * tall * float(rng.uniform(0.02, 0.1)), shoulder[1] + tall * 0.16)
        hand = (
            elbow[0] + tall * float(rng.uniform(-0.1, 0.1)),
            elbow[1] + tall * float(rng.uniform(-0.05, 0.15)),
        )
        line(shoulder, elbow, tall * 0.075, suit)
        line(elbow, hand, tall * 0.06, suit)
        oval(hand, tall * 0.028, tall * 0.028, skin)
    if rng.random() < 0.7:
        for share in (0.3, 0.6):
            y = neck[1] + (hip[1] - neck[1]) * share
            x = neck[0] + (hip[0] - neck[0]) * share
            line((x - tall * 0.085, y), (x + tall * 0.085, y), tall * 0.022, _STRIP)
    r = tall * float(rng.uniform(0.062, 0.072))
    head = (neck[0] + lean * tall * 0.12, max(neck[1] - r * 1.15, r * 1.75))
    oval(head, r * 0.86, r * 1.08, skin)
    facing = float(rng.choice((-1, 0, 1)))
    if not helmet:
        hair = _vary(rng, _HAIR[rng.integers(len(_HAIR))])
        oval((head[0], head[1] - r * 0.25), r * 0.92, r * 0.9, hair, arc=(180, 360))
        if facing == 0 and rng.random() < 0.4:  # seen from behind
            oval(head, r * 0.86, r * 1.0, hair)
        for target in (head_mask,):
            cv2.ellipse(target, _int(head), (round(r * 0.92), round(r * 1.15)), 0, 0, 360, (255,), -1)
        head_mask &= mask
        return patch, {"person": mask, "head": head_mask}, None
    colour = _vary(rng, _HELMETS[rng.integers(len(_HELMETS))])
    before = mask.copy()
    crown = (head[0], head[1] - r * 0.3)
    mask[:] = 0
    oval(crown, r * 1.12, r * 1.12, colour, arc=(180, 360))
    brim = (crown[0] - r * (1.15 - 0.35 * min(facing, 0)), crown[0] + r * (1.15 + 0.35 * max(facing, 0)))
    shade: Colour = (colour[0] * 3 // 4, colour[1] * 3 // 4, colour[2] * 3 // 4)
    line((brim[0], crown[1]), (brim[1], crown[1]), max(1.0, r * 0.2), shade)
    lamp = None
    if rng.random() < 0.75:
        lamp = (crown[0] + facing * r * 0.9, crown[1] - r * 0.5)
        oval(lamp, r * 0.26, r * 0.26, (235, 245, 250))
    head_mask[:] = mask
    mask |= before
    return patch, {"person": mask, "head": head_mask}, lamp


def _int(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def _grey(rng: np.random.Generator, low: int, high: int) -> Colour:
    """Steel, rock dust, concrete: a grey with a slight tint."""
    grey, tint = int(rng.integers(low, high)), rng.integers(-9, 10, 3)
    return grey + int(tint[0]), grey + int(tint[1]), grey + int(tint[2])


def _vary(rng: np.random.Generator, colour: Colour) -> Colour:
    b, g, r = (int(np.clip(c * rng.uniform(0.8, 1.2), 0, 255)) for c in colour)
    return b, g, r


def _paste(
    picture: Array, patch: Array, mask: Array, left: int, top: int, taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int] | None:
    """Paint the patch; its exact box. None, and nothing painted, where it is half outside or hides a neighbour."""
    x, y, bw, bh = cv2.boundingRect(mask)
    box = (left + x, top + y, left + x + bw, top + y + bh)
    h, w = picture.shape[:2]
    seen = max(0, min(w, box[2]) - max(0, box[0])) * max(0, min(h, box[3]) - max(0, box[1]))
    if seen < 0.5 * bw * bh:
        return None
    for other in taken:
        shared = max(0, min(other[2], box[2]) - max(other[0], box[0])) * max(
            0, min(other[3], box[3]) - max(other[1], box[1])
        )
        if shared > 0.25 * min(bw * bh, (other[2] - other[0]) * (other[3] - other[1])):
            return None
    x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), min(w, box[2]), min(h, box[3])
    inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    cv2.copyTo(patch[inside], mask[inside], picture[y0:y1, x0:x1])
    return box


# -- light, dust, camera ----------------------------------------------------------------------------------------------


def _light(
    rng: np.random.Generator, view: _View, picture: Array, lamps: list[tuple[float, float, float]]
) -> Array:
    """Darkness with pools of light: roof lamps and cap lamps; a glow and sometimes a beam where a cap lamp shines."""
    small_w, small_h = view.w // 8 + 1, view.h // 8 + 1
    ys, xs = np.mgrid[0:small_h, 0:small_w].astype(np.float32) * np.float32(8)
    light = np.full((small_h, small_w), rng.uniform(0.16, 0.6), np.float32)
    for depth in np.geomspace(0.15, 1.0, int(rng.integers(1, 5))):
        x, y = view.vx + rng.uniform(-0.1, 0.1) * view.w * depth, view.vy - 0.5 * view.h * depth
        reach = (0.1 + 0.5 * depth) * view.h
        light += np.float32(rng.uniform(0.15, 0.6)) * np.exp(
            -((xs - x) ** 2 + (ys - y) ** 2) / (2 * reach**2)
        )
    glow = np.zeros((small_h, small_w), np.float32)
    for x, y, tall in lamps:
        d2 = (xs - x) ** 2 + (ys - y) ** 2
        light += np.float32(0.45) * np.exp(-d2 / (2 * (0.5 * tall) ** 2))
        glow += np.float32(rng.uniform(40, 150)) * np.exp(-d2 / (2 * (0.045 * tall + 4) ** 2))
        if rng.random() < 0.4:
            beam = np.zeros((small_h, small_w), np.uint8)
            angle, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.6, 1.6) * tall
            ends = [
                (x + math.cos(angle + s) * length, y + math.sin(angle + s) * length) for s in (-0.16, 0.16)
            ]
            _fill(beam, np.array([(x, y), *ends]) / 8, (255,))
            glow += cv2.GaussianBlur(beam, (0, 0), 2).astype(np.float32) * np.float32(rng.uniform(0.08, 0.22))
    dust = cv2.resize(rng.random((6, 9), np.float32), (small_w, small_h), interpolation=cv2.INTER_CUBIC)
    glow += dust * np.float32(rng.uniform(0, 45))
    size = (view.w, view.h)
    wide = cv2.resize(np.clip(light, 0, 1.5), size, interpolation=cv2.INTER_LINEAR)
    veil = cv2.resize(np.clip(glow, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    lit = cv2.multiply(picture, cv2.merge([wide, wide, wide]), dtype=cv2.CV_8U)
    result: Array = cv2.add(lit, cv2.merge([veil, veil, veil]))
    return result


def _sensor(rng: np.random.Generator, view: _View, picture: Array) -> Array:
    """Specks of dust, blur, noise, and on some pictures the camera's stamp."""
    w, h = view.w, view.h
    for _ in range(int(rng.integers(0, 40))):
        grey = int(rng.integers(70, 190))
        radius = max(1, round(rng.uniform(0.5, 2.5) * view.unit))
        cv2.circle(
            picture, (int(rng.integers(w)), int(rng.integers(h))), radius, (grey, grey, grey), -1, cv2.LINE_AA
        )
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 1.3)) * max(view.unit, 0.5))
    noise = rng.standard_normal((h, w), np.float32) * np.float32(rng.uniform(2, 11))
    grain = cv2.merge([noise, np.roll(noise, 7, axis=1), np.roll(noise, 5, axis=0)])
    picture = cv2.add(picture, grain, dtype=cv2.CV_8U)
    if rng.random() < 0.5:
        text = f"CAM {rng.integers(1, 40):02d}  2026-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}"
        at = (round(12 * view.unit), round(24 * view.unit))
        cv2.putText(
            picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * view.unit, (235, 235, 235), 1, cv2.LINE_AA
        )
    return picture
