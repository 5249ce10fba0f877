"""Recipe: how a person uses a model: thresholds, class mapping, tiles, regions. Canonical JSON in a job, TOML for people."""

from __future__ import annotations

import fnmatch
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from annotation import canonical
from annotation.errors import InvalidInput
from models.providers import split

MICRO = canonical.MICRO
MAX_TOML = 1_000_000
MAX_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Tiling:
    """Cut large pictures into overlapping squares.

    Attributes:
        side: of a tile in source pixels; pictures not larger than one tile are taken whole.
        overlap_micro: share of the side that neighbours share, millionths.
        whole: also look at the whole picture once, for objects larger than a tile.
    """

    side: int = 1280
    overlap_micro: int = 200_000
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Region:
    """What counts in the pictures of one fixed camera.

    Attributes:
        path: pattern of the pictures' paths (`*` and `?`, fnmatch), such as "cam3/*".
        rings: polygons as flat x, y in millionths of the picture's width and height.
        keep: objects whose centre lies "inside" one of the polygons, or "outside" all of them.
    """

    path: str
    rings: tuple[tuple[int, ...], ...]
    keep: Literal["inside", "outside"] = "inside"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is used. None = as its card says.

    Attributes:
        score_micro, iou_micro: thresholds in millionths.
        class_scores: (model class, threshold in millionths).
        mapping: (model class, label code); "" drops the class; two classes of one code are merged.
        others: what becomes of classes that `mapping` does not name.
        reduced: JPEGs may be decoded at 1/2 … of their size where the input is smaller still; faster, and loses boxes.
        track: give objects in frame sequences track ids.
        providers: where the model runs, in the order of preference; several are a fallback that the person asked for. () = not said.
    """

    score_micro: int | None = None
    iou_micro: int | None = None
    class_scores: tuple[tuple[str, int], ...] = ()
    mapping: tuple[tuple[str, str], ...] = ()
    others: Literal["keep", "drop"] = "keep"
    tiling: Tiling | None = None
    regions: tuple[Region, ...] = ()
    reduced: bool = False
    track: bool = False
    providers: tuple[str, ...] = ()

    def target(self, name: str) -> str:
        """What a model class is called in the record; "" = dropped."""
        return dict(self.mapping).get(name, name if self.others == "keep" else "")

    def region(self, path: str) -> Region | None:
        """The first region whose pattern the path meets."""
        return next((r for r in self.regions if fnmatch.fnmatchcase(path, r.path)), None)

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return canonical.encode(to_plain(self))


PLAIN = Recipe()


def narrowed(
    recipe: Recipe,
    *,
    score: float | None = None,
    iou: float | None = None,
    classes: Sequence[str] | None = None,
) -> Recipe:
    """The recipe with other thresholds (0..1), or with these classes of the model alone."""
    for what, value in (("score", score), ("iou", iou)):
        if value is not None and not 0 <= value <= 1:
            raise InvalidInput(f"{value} is not between 0 and 1", where=what)
    if score is not None:
        recipe = replace(recipe, score_micro=round(score * MICRO))
    if iou is not None:
        recipe = replace(recipe, iou_micro=round(iou * MICRO))
    if classes:
        kept = tuple((name, recipe.target(name) or name) for name in sorted(set(classes)))
        recipe = replace(recipe, mapping=kept, others="drop")
    return recipe


def to_plain(recipe: Recipe) -> dict[str, Any]:
    """Lists, tables, texts and integers, as JSON gives them back; what is as its default is left out."""
    default = msgspec.json.decode(msgspec.json.encode(PLAIN))
    plain = msgspec.json.decode(msgspec.json.encode(recipe))
    return {key: value for key, value in plain.items() if value != default[key]}


def from_plain(value: object, *, where: str = "recipe") -> Recipe:
    """A recipe from what `to_plain` made of one.

    Raises:
        InvalidInput: naming the key that is wrong.
    """
    try:
        found = msgspec.convert(value, Recipe)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"not a recipe: {error}", where=where) from error
    return checked(found, where=where)


def checked(recipe: Recipe, *, where: str = "recipe", labels: Sequence[str] | None = None) -> Recipe:
    """The recipe, if its numbers are in range and (with `labels`) the classes it names are the model's.

    Raises:
        InvalidInput: naming the first fault.
    """
    scores = [("score", recipe.score_micro), ("iou", recipe.iou_micro), *recipe.class_scores]
    for what, value in scores:
        if value is not None and not 0 <= value <= MICRO:
            raise InvalidInput(f"{value / MICRO:g} is not between 0 and 1", where=what)
    for name in recipe.providers:
        split(name)
    if recipe.tiling is not None:
        if not 64 <= recipe.tiling.side <= 16_384:
            raise InvalidInput("a tile has 64 to 16384 px a side", where=where)
        if not 0 <= recipe.tiling.overlap_micro <= 800_000:
            raise InvalidInput("tiles overlap by 0 to 0.8 of their side", where=where)
    for region in recipe.regions:
        if not region.rings or any(len(r) < 6 or len(r) % 2 or len(r) > 2 * MAX_POINTS for r in region.rings):
            raise InvalidInput(
                f"the region of “{region.path}” needs polygons of three points and more", where=where
            )
    if labels is not None:
        named = [name for name, _ in (*recipe.class_scores, *recipe.mapping)]
        unknown = sorted(set(named) - set(labels))
        if unknown:
            raise InvalidInput(
                f"the model has no class {', '.join(unknown)}", where=where,
                remedy="`lamproom models show` lists its classes",
            )  # fmt: skip
    return recipe


def from_toml(text: str, *, where: str = "recipe") -> Recipe:
    """Read a recipe that a person wrote.

        score = 0.3                  # thresholds 0..1
        iou = 0.45
        others = "keep"              # or "drop": classes that [map] does not name
        reduced = false
        track = false
        providers = ["cuda", "cpu"]  # the first that passes its self-test is used
        [scores]                     # by model class
        person = 0.5
        [map]                        # model class = label code, "" drops it
        truck = "vehicle"
        [tile]
        side = 1280
        overlap = 0.2
        whole = true
        [[region]]                   # points as shares of the picture's width and height
        path = "cam3/*"
        keep = "inside"
        polygons = [[[0.1, 0.2], [0.9, 0.2], [0.5, 1.0]]]

    Raises:
        InvalidInput: no TOML, an unknown key, or a value out of range.
    """
    if len(text) > MAX_TOML:
        raise InvalidInput("a recipe of more than 1 MB", where=where)
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(f"not TOML: {error}", where=where) from error
    known = {"score", "iou", "others", "reduced", "track", "scores", "map", "tile", "region", "providers"}
    if strange := sorted(set(data) - known):
        raise InvalidInput(
            f"a recipe has no key {strange[0]!r}", where=where, remedy=", ".join(sorted(known))
        )
    plain: dict[str, Any] = {
        key: data[key] for key in ("others", "reduced", "track", "providers") if key in data
    }
    for key in ("score", "iou"):
        if key in data:
            plain[f"{key}_micro"] = _micro(data[key], key, where)
    plain["class_scores"] = [[k, _micro(v, k, where)] for k, v in _table(data, "scores", where).items()]
    plain["mapping"] = [[k, v] for k, v in _table(data, "map", where).items()]
    if tile := _table(data, "tile", where):
        plain["tiling"] = {k: v for k, v in tile.items() if k != "overlap"}
        if "overlap" in tile:
            plain["tiling"]["overlap_micro"] = _micro(tile["overlap"], "overlap", where)
        if strange := sorted(set(plain["tiling"]) - {"side", "overlap_micro", "whole"}):
            raise InvalidInput(f"[tile] has no key {strange[0]!r}", where=where)
    regions = data.get("region", [])
    if not isinstance(regions, list):
        raise InvalidInput("regions are given as [[region]]", where=where)
    plain["regions"] = [_region(one, where) for one in regions]
    return from_plain(plain, where=where)


def to_toml(recipe: Recipe) -> str:
    """The recipe as a person would write it; `from_toml` gives it back. What is as its default is left out."""
    lines = [
        f"{key} = {_share(v)}"
        for key, v in (("score", recipe.score_micro), ("iou", recipe.iou_micro))
        if v is not None
    ]
    if recipe.others != PLAIN.others:
        lines.append(f"others = {quoted(recipe.others)}")
    lines += [f"{key} = true" for key in ("reduced", "track") if getattr(recipe, key)]
    if recipe.providers:
        lines.append(f"providers = [{', '.join(map(quoted, recipe.providers))}]")
    if recipe.class_scores:
        lines += ["", "[scores]", *(f"{quoted(name)} = {_share(v)}" for name, v in recipe.class_scores)]
    if recipe.mapping:
        lines += ["", "[map]", *(f"{quoted(name)} = {quoted(code)}" for name, code in recipe.mapping)]
    if (tile := recipe.tiling) is not None:
        whole = str(tile.whole).lower()
        lines += [
            "",
            "[tile]",
            f"side = {tile.side}",
            f"overlap = {_share(tile.overlap_micro)}",
            f"whole = {whole}",
        ]
    for region in recipe.regions:
        rings = (
            ", ".join(f"[{_share(x)}, {_share(y)}]" for x, y in zip(r[::2], r[1::2], strict=True))
            for r in region.rings
        )
        polygons = ", ".join(f"[{ring}]" for ring in rings)
        lines += [
            "",
            "[[region]]",
            f"path = {quoted(region.path)}",
            f"keep = {quoted(region.keep)}",
            f"polygons = [{polygons}]",
        ]
    return "\n".join(lines).lstrip("\n") + "\n"


def _share(micro: int) -> str:
    """Millionths as a decimal number, exact."""
    whole, rest = divmod(abs(micro), MICRO)
    digits = f"{rest:06d}".rstrip("0") or "0"
    return f"{'-' if micro < 0 else ''}{whole}.{digits}"


def quoted(text: str) -> str:
    """A basic string of TOML: as JSON writes one, and without DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(data: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise InvalidInput(f"[{key}] is not a table", where=where)
    return value


def _region(one: object, where: str) -> dict[str, Any]:
    if not isinstance(one, dict) or set(one) - {"path", "keep", "polygons"}:
        raise InvalidInput("a [[region]] has path, keep and polygons", where=where)
    try:
        rings = [[_micro(v, "polygons", where) for x, y in ring for v in (x, y)] for ring in one["polygons"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("a [[region]] needs polygons of points [x, y]", where=where) from error
    return {"path": one.get("path", "*"), "keep": one.get("keep", "inside"), "rings": rings}


def _micro(value: object, key: str, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -10 <= value <= 10:
        raise InvalidInput(f"{value!r} is no share between 0 and 1", where=f"{where}: {key}")
    return round(value * MICRO)
