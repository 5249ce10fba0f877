"""What is known of a COCO file after one pass: that it is sound, and which entries belong to which picture.

A few bytes an entry are kept, not the entries. Files in the order of their pictures are then read once more, block by
block; others are first sorted into temporary files that hold the entries of some pictures each.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from annotation import canonical
from annotation.core import NO_ATTRIBUTES, Annotation, AnnotationSet, Mask, new_uids
from annotation.errors import InvalidInput, Unavailable
from annotation.formats import base, coco_rows, jsonblocks
from annotation.formats.base import Problems, Record, Sizes
from annotation.formats.coco_rows import Entry, Picture

MAX_BYTES = 64 * 2**30
MAX_IMAGES = 20_000_000
MAX_ENTRIES = 200_000_000
PART_BYTES = 16 * 2**20
"""Of the entries that are sorted together, about."""
MAX_PARTS = 512
_NONE = -(2**63)
_CAPTION = -(2**63) + 1
"""Stands for the category of a caption, which has none."""
_MEMBERS: dict[str, msgspec.json.Decoder[Any]] = {
    "images": coco_rows.PICTURES,
    "annotations": coco_rows.ENTRIES,
}
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


class Panoptic(Exception):
    """The file is a panoptic one: another way of reading."""


@dataclass(slots=True)
class Index:
    """See the module. `places` are the starts of the arrays in the file, in bytes."""

    path: Path
    labels: dict[object, str] = field(default_factory=dict)
    """By the id of the category as the file has it."""
    places: dict[str, int] = field(default_factory=dict)
    owner: Any = None
    """Number of the picture of each entry, -1 for one that is left out."""
    counts: Any = None
    """How many entries each picture has."""
    in_order: bool = True
    left_out: set[int] = field(default_factory=set)
    """Numbers of pictures that are faulty."""


def build(path: Path, sizes: Sizes | None, problems: Problems) -> Index:
    """Look at the whole file.

    Raises:
        InvalidInput: not JSON, too large. Panoptic: see there. Other faults go to `problems`.
    """
    return _Build(path, sizes, problems).index()


class _Nothing(msgspec.Struct, gc=False):
    """Any object, passed over."""


_PASSED = msgspec.json.Decoder(list[_Nothing])


def classes(path: Path) -> list[str]:
    """The names of the categories, in the file's order; captions have theirs.

    Raises:
        InvalidInput: not JSON, too large.
    """
    for block in jsonblocks.walk(path, {"images": _PASSED, "annotations": _PASSED}, limit=MAX_BYTES):
        if block.key == "categories" and isinstance(rows := block.elements[0], list):
            names = [row.get("name") for row in rows if isinstance(row, dict)]
            return [name.strip() for name in names if isinstance(name, str) and name.strip()]
    return [coco_rows.CAPTION]


class _Build:
    def __init__(self, path: Path, sizes: Sizes | None, problems: Problems) -> None:
        self._path, self._sizes, self._problems = path, sizes, problems
        self._out = Index(path)
        self._images, self._hashes = array("q"), array("q")
        self._w, self._h = array("i"), array("i")
        self._owners, self._ids, self._categories = array("q"), array("q"), array("q")
        self._masks: tuple[array[int], array[int], array[int]] = array("q"), array("i"), array("i")
        self._bad: set[int] = set()
        self._known = {_CAPTION}
        self._texts: dict[int, object] = {}
        """What a key stands for that is no whole number, for messages."""

    def index(self) -> Index:
        out = self._out
        for block in jsonblocks.walk(self._path, _MEMBERS, limit=MAX_BYTES):
            if block.key == "categories":
                rows = block.elements[0]
                if not isinstance(rows, list):
                    raise InvalidInput(
                        "not of the expected form: categories are no list", where=self._path.name
                    )
                self._read_categories(rows)
            elif block.key in _MEMBERS:
                if not block.is_array:
                    if block.elements[0] is None:
                        continue
                    raise InvalidInput(
                        f"not of the expected form: {block.key} are no list", where=self._path.name
                    )
                out.places.setdefault(block.key, block.start)
                (self._read_images if block.key == "images" else self._read_entries)(
                    block.elements, block.typed
                )
        if not self._images and not self._owners:
            self._problems.add(
                "images", "there are none", "a COCO file lists images, categories, annotations"
            )
        self._close_images()
        self._close_entries()
        return out

    def _key(self, value: object) -> int | None:
        """A number that stands for an id; None when it can be none."""
        if isinstance(value, bool) or not isinstance(value, int | str):
            return None
        if isinstance(value, int) and abs(value) < 2**62:
            return value
        key = int.from_bytes(
            canonical.digest(f"{type(value).__name__} {value}".encode("utf-8", "replace"))[:8], "big"
        )
        key = key >> 2 | 2**62
        if len(self._texts) < 10_000:
            self._texts[key] = value
        return key

    def _said(self, key: int) -> object:
        return self._texts.get(int(key), int(key))

    # --- categories and pictures

    def _read_categories(self, rows: list[Any]) -> None:
        for i, row in enumerate(rows):
            at = f"categories[{i}]"
            key = self._key(row.get("id")) if isinstance(row, dict) else None
            if key is None:
                self._problems.add(at, "has no id that is a whole number")
            elif not isinstance(row.get("name"), str) or not row["name"].strip():
                self._problems.add(f"{at}.name", f"is {base.short(row.get('name'))}", "a text")
            elif key in self._known:
                self._problems.add(f"{at}.id", f"{row['id']} is there twice", "ids differ")
            else:
                self._known.add(key)
                self._out.labels[row["id"]] = row["name"].strip()

    def _read_images(self, rows: list[Any], typed: bool) -> None:
        if len(self._images) + len(rows) > MAX_IMAGES:
            raise InvalidInput(
                f"more than {MAX_IMAGES} images", where=self._path.name, remedy="split the file"
            )
        for i, row in enumerate(rows, len(self._images)):
            key, place, width, height = _NONE, "", None, None
            try:
                picture = row if typed else picture_of(row)
                found = self._key(picture.id)
                if found is None:
                    raise InvalidInput("has no id, or one that is no whole number")
                key = found
                place = base.clean_path(picture.file_name)
                width, height = base.side(picture.width, "width"), base.side(picture.height, "height")
            except InvalidInput as error:
                self._problems.add(f"images[{i}]", error.what, error.remedy)
                self._out.left_out.add(i)
            if (
                self._sizes is not None
                and place
                and (width is None or height is None)
                and (known := self._sizes(place))
            ):
                width, height = known
            self._images.append(key)
            self._hashes.append(hash(place) if place else i)
            self._w.append(width or 0)
            self._h.append(height or 0)

    def _close_images(self) -> None:
        for keys, what in ((np.asarray(self._images), "id"), (np.asarray(self._hashes), "file_name")):
            for i in _repeated(keys):
                if i not in self._out.left_out:
                    self._problems.add(
                        f"images[{i}].{what}", f"{self._value(i, what)} is there twice", "one entry a picture"
                    )
                    self._out.left_out.add(i)

    def _value(self, i: int, what: str) -> object:
        """A member of a picture that has a fault: read once more."""
        for picture, number in numbered_pictures(self._out):
            if number == i:
                return getattr(picture, what)
        return ""

    # --- entries

    def _read_entries(self, rows: list[Any], typed: bool) -> None:
        first = len(self._owners)
        if first + len(rows) > MAX_ENTRIES:
            raise InvalidInput(
                f"more than {MAX_ENTRIES} annotations", where=self._path.name, remedy="split the file"
            )
        if rows and first == 0 and (rows[0].segments_info is not None if typed else _is_panoptic(rows[0])):
            raise Panoptic
        if typed:
            try:
                owners = array("q", [row.image_id for row in rows])
                ids = array("q", [_NONE if row.id is None else row.id for row in rows])
                categories = array(
                    "q", [_NONE if row.category_id is None else row.category_id for row in rows]
                )
            except OverflowError:
                typed, rows = False, [coco_rows.as_dict(row) for row in rows]
        if not typed:
            for n, row in enumerate(rows, first):
                self._read_loose(n, row)
            return
        self._owners += owners
        self._ids += ids
        self._categories += categories
        for n in coco_rows.not_plain(rows):
            self._check(first + n, coco_rows.as_dict(rows[n]))

    def _read_loose(self, n: int, row: Any) -> None:
        at = f"annotations[{n}]"
        keys: list[int] = []
        for name in ("image_id", "id", "category_id"):
            value = row.get(name) if isinstance(row, dict) else None
            key = None if value is None else self._key(value)
            if isinstance(row, dict) and (
                (key is None and value is not None and name != "category_id")
                or (value is None and name == "image_id")
            ):
                said = "is missing" if value is None else f"is {base.short(value)}"
                self._problems.add(f"{at}.{name}", said, "a whole number")
                self._bad.add(n)
            if key is None and value is not None and name == "category_id":
                self._no_category(n, base.short(value))
            keys.append(_NONE if key is None else key)
        self._owners.append(keys[0])
        self._ids.append(keys[1])
        self._categories.append(keys[2])
        if not isinstance(row, dict):
            self._problems.add(at, "is not an object")
            self._bad.add(n)
        else:
            self._check(n, row)

    def _no_category(self, n: int, said: object) -> None:
        self._problems.add(
            f"annotations[{n}]", f"category_id is {said}, which is no category", "add it to categories"
        )
        self._bad.add(n)

    def _check(self, n: int, row: dict[str, Any]) -> None:
        """An entry that needs a closer look: made once to see whether it can be."""
        try:
            for a in coco_rows.to_annotations(row, "x"):
                if isinstance(a.shape, Mask):
                    for to, value in zip(self._masks, (n, a.shape.w, a.shape.h), strict=True):
                        to.append(value)
        except InvalidInput as error:
            self._problems.add(f"annotations[{n}]", error.what, error.remedy)
            self._bad.add(n)
        if row.get("category_id") is None and isinstance(row.get("caption"), str):
            self._categories[n] = _CAPTION

    def _close_entries(self) -> None:
        out = self._out
        images, owners = np.asarray(self._images), np.asarray(self._owners)
        order = np.argsort(images, kind="stable")
        if len(images):
            spot = np.minimum(np.searchsorted(images[order], owners), len(images) - 1)
            owner = order[spot].astype(np.int32)
            lost = images[owner] != owners
        else:
            owner, lost = np.zeros(len(owners), np.int32), np.ones(len(owners), bool)
        lost &= owners != _NONE
        del owners, order
        categories = np.asarray(self._categories)
        for n in np.flatnonzero(~np.isin(categories, np.array([*self._known], np.int64))).tolist():
            if n not in self._bad:
                key = int(categories[n])
                self._no_category(n, None if key == _NONE else base.short(self._said(key)))
        del categories
        for n in _repeated(np.asarray(self._ids), but=_NONE):
            self._problems.add(
                f"annotations[{n}].id", f"{self._said(self._ids[n])} is there twice", "ids differ"
            )
            self._bad.add(n)
        self._ids = array("q")
        if lost.any():
            numbers = np.flatnonzero(lost)
            keys, first, n_of = np.unique(
                np.asarray(self._owners)[numbers], return_index=True, return_counts=True
            )
            for key, at, n in zip(keys.tolist(), numbers[first].tolist(), n_of.tolist(), strict=True):
                self._problems.add(
                    f"annotations[{at}].image_id", f"there is no image {base.short(self._said(key))}",
                    f"{n} annotations without a picture",
                )  # fmt: skip
            self._bad.update(numbers.tolist())
        self._close_masks(owner)
        if self._bad:
            owner[np.fromiter(self._bad, np.int64, len(self._bad))] = -1
        out.owner = owner
        out.in_order = not self._bad and bool((owner[1:] >= owner[:-1]).all())
        out.counts = np.bincount(owner[owner >= 0], minlength=len(self._images))

    def _close_masks(self, owner: Any) -> None:
        numbers, ws, hs = (np.asarray(column) for column in self._masks)
        if not len(numbers) or not len(self._images):
            return
        at = owner[numbers]
        w, h = np.asarray(self._w)[at], np.asarray(self._h)[at]
        for k in np.flatnonzero((w > 0) & (h > 0) & ((w != ws) | (h != hs))).tolist():
            n = int(numbers[k])
            if n not in self._bad:
                self._problems.add(
                    f"annotations[{n}]", f"a mask of {ws[k]} x {hs[k]} px on a picture of {w[k]} x {h[k]} px"
                )
                self._bad.add(n)


def _is_panoptic(row: object) -> bool:
    return isinstance(row, dict) and row.get("segments_info") is not None


def _repeated(keys: Any, but: int | None = None) -> list[int]:
    """The places of values that stood at an earlier place already."""
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    found = order[1:][same]
    return sorted(i for i in found.tolist() if but is None or keys[i] != but)


def picture_of(row: object) -> Picture:
    """A picture's entry that is not as nearly all are.

    Raises:
        InvalidInput: what is wrong with it.
    """
    if (
        not isinstance(row, dict)
        or isinstance(row.get("id"), bool)
        or not isinstance(row.get("id"), int | str)
    ):
        raise InvalidInput("has no id, or one that is no whole number")
    return Picture(row["id"], row.get("file_name"), row.get("width"), row.get("height"))  # type: ignore[arg-type]


def numbered_pictures(index: Index) -> Iterator[tuple[Picture, int]]:
    """The pictures that are sound, with their numbers."""
    if "images" not in index.places:
        return
    n = 0
    for rows, typed in jsonblocks.array(index.path, index.places["images"], coco_rows.PICTURES):
        for row in rows:
            if n not in index.left_out:
                yield (row if typed else picture_of(row)), n
            n += 1


# ---------------------------------------------------------------------------------------------------------------
# The second pass


def records(index: Index, split: str, sizes: Sizes | None) -> Iterator[Record]:
    """One record a picture, in the file's order."""
    entries = _streamed(index) if index.in_order else _sorted(index)
    for picture, n in numbered_pictures(index):
        place = base.clean_path(picture.file_name)
        width, height = base.side(picture.width, "width"), base.side(picture.height, "height")
        if sizes is not None and (width is None or height is None) and (known := sizes(place)):
            width, height = known
        rows: list[Any] = []
        while True:  # pictures that are left out have entries too
            number, rows = next(entries, (n, rows))
            if number == n:
                break
        yield Record(place, width, height, _built(rows, index), split)


def _built(rows: list[Any], index: Index) -> AnnotationSet:
    if not rows:
        return ()
    found: list[Annotation] = []
    labels = index.labels
    for row, uid in zip(rows, new_uids(len(rows)), strict=True):
        if type(row) is Entry and (shape := coco_rows.plain_shape(row)) is not None:
            found.append(Annotation(labels[row.category_id], shape, NO_ATTRIBUTES, None, "import", uid))
        else:
            entry = coco_rows.as_dict(row) if type(row) is Entry else row
            found += coco_rows.to_annotations(entry, _label(entry, index))
    return tuple(found)


def _label(entry: dict[str, Any], index: Index) -> str:
    key = entry.get("category_id")
    return coco_rows.CAPTION if key is None else index.labels[key]


def _streamed(index: Index) -> Iterator[tuple[int, list[Any]]]:
    """The entries of every picture, of a file in the order of its pictures."""
    counts = index.counts.tolist()
    held: list[Any] = []
    at = 0
    blocks = (
        jsonblocks.array(index.path, index.places["annotations"], coco_rows.ENTRIES)
        if "annotations" in index.places
        else iter(())
    )
    for n, count in enumerate(counts):
        while len(held) - at < count:
            more, _ = next(blocks, ([], True))
            if not more:
                raise InvalidInput("changed while it was read", where=index.path.name)
            held = held[at:] + more
            at = 0
        yield n, held[at : at + count]
        at += count


def _sorted(index: Index) -> Iterator[tuple[int, list[Any]]]:
    """The entries of every picture, of a file in any order: by way of temporary files."""
    total = np.cumsum(index.counts)
    size = index.path.stat().st_size
    n_parts = int(min(MAX_PARTS, max(1, size // PART_BYTES)))
    bounds = np.searchsorted(
        total, np.linspace(0, total[-1] if len(total) else 0, n_parts + 1)[1:-1], "right"
    )
    ends = [*bounds.tolist(), len(total)]
    part_of = np.searchsorted(bounds, index.owner, "right").astype(np.int16)
    try:
        with tempfile.TemporaryDirectory(prefix="lamproom-coco-") as folder:
            files = [Path(folder, str(i)) for i in range(n_parts)]
            _dealt(index, part_of, files)
            first = 0
            for i, file in enumerate(files):
                numbers = np.flatnonzero((part_of == i) & (index.owner >= 0))
                rows = _decoded(file.read_bytes()) if len(numbers) else []
                owner = index.owner[numbers]
                order = np.argsort(owner, kind="stable").tolist()
                at = 0
                for n in range(first, ends[i]):
                    count = int(index.counts[n])
                    yield n, [rows[k] for k in order[at : at + count]]
                    at += count
                first = ends[i]
    except OSError as error:
        raise Unavailable(
            f"cannot be sorted: {error.strerror}",
            where=index.path.name,
            remedy="free some space for temporary files",
        ) from error


def _dealt(index: Index, part_of: Any, files: list[Path]) -> None:
    """Write each entry to the file of its part, in the order they stand."""
    buffers: list[list[bytes]] = [[] for _ in files]
    held = [0] * len(files)
    started = [False] * len(files)

    def flush(i: int) -> None:
        with files[i].open("ab") as file:
            file.write((b"," if started[i] else b"[") + b",".join(buffers[i]))
        started[i], buffers[i], held[i] = True, [], 0

    n = 0
    for rows, _ in jsonblocks.array(index.path, index.places["annotations"], _RAWS):
        parts, owners = part_of[n : n + len(rows)].tolist(), index.owner[n : n + len(rows)].tolist()
        for row, part, owner in zip(rows, parts, owners, strict=True):
            if owner >= 0:
                text = bytes(row)
                buffers[part].append(text)
                held[part] += len(text)
                if held[part] > 1 << 18:
                    flush(part)
        n += len(rows)
    for i in range(len(files)):
        if buffers[i]:
            flush(i)
        if started[i]:
            with files[i].open("ab") as file:
                file.write(b"]")


def _decoded(text: bytes) -> list[Any]:
    try:
        return coco_rows.ENTRIES.decode(text)
    except msgspec.ValidationError:
        return list(msgspec.json.decode(text))
