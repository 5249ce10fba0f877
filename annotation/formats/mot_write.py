"""MOTChallenge's boxes and MOTS' masks written, sequence by sequence; see `mot`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from annotation import canonical, geometry, marks, raster, rle
from annotation.core import Annotation, Box, Caption, Mask, Tag
from annotation.errors import InvalidInput
from annotation.formats import base, foreign, frames, pngs, sheets
from annotation.formats.base import Loss, Record
from annotation.labels import LabelSchema

DIALECTS = ("mot", "mots")
SEQINFO = "seqinfo.ini"
LABELS = "labels.txt"
INSTANCES = "instances"
TEXTS = "instances_txt"
RATE = 25
"""Frames a second in seqinfo.ini, which asks for it and of which nothing is known."""
MAX_INSTANCES = 999
MAX_CLASSES = 64
"""What 16 bits of 1000 times the class plus the instance hold."""

_SHARED_LOSSES = (
    foreign.ITSELF_LOSSES
    | base.WHOLE_LOSSES
    | {
        "kept": "attributes: left out",
        "@key": "key frames of tracks: left out",
        "@end": "",
        "@track": "",
        "numberless": "pictures without a frame number in their name: refused",
    }
)
_MASK_LOSSES = base.UNDRAWN_LOSSES | {
    "box": "boxes: written as filled pixel masks",
    "rotated_box": "rotated boxes: written as pixel masks",
    "quad": "quadrilaterals: written as pixel masks",
    "ellipse": "ellipses: written as pixel masks",
    "cuboid": "cuboids: written as pixel masks",
    "polygon": "polygons: written as pixel masks",
    "mask": "",
}
_LOSSES: Mapping[str, Mapping[str, str]] = {
    "mot": _SHARED_LOSSES | base.BOUNDED_LOSSES | {
        "collapsed": "",
        "unpainted": "",
        "loose": "objects without a track: written with the number -1",
        "zero": "frames numbered 0: written so, though MOTChallenge counts from 1",
        "twice": "further objects of one track on a frame: written with the number -1",
        "lost": "shapes without a pixel or point: left out",
    },
    "mots": _SHARED_LOSSES | _MASK_LOSSES | {
        "loose": "objects without a track: each becomes a track of its own",
        "twice": "further objects of one track on a frame: each becomes a track of its own",
        "overlap": "pictures with masks that may overlap: a pixel belongs to the topmost only",
        "lost": "masks without a pixel: left out",
        "flat": "objects without width or height: left out",
        "gone": "objects wholly outside the picture: left out",
        "outside": "objects that cross the picture's border: cut there",
        "many": "classes beyond the 64th: refused",
        "sizeless": "pictures of unknown size: refused",
    },
}  # fmt: skip


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What the dialect cannot hold of these records, with counts."""
    dialect = base.dialect(dialect, DIALECTS)
    traits = partial(_traits, dialect, schema.class_ids())
    return foreign.loss(records, schema, _LOSSES[dialect], traits, partial(_of_record, dialect))


def _traits(dialect: str, ids: Mapping[str, int], a: Annotation, record: Record) -> Iterator[str]:
    if isinstance(a.shape, Tag | Caption):
        return
    if marks.track(a) is None:
        yield "loose"
    plain = marks.plain(a.attributes)
    if any(dialect == "mots" or not _held(key, value) for key, value in plain.items()):
        yield "kept"
    if ids.get(a.label, 0) >= MAX_CLASSES:
        yield "many"
    if geometry.bbox(a.shape) is None:
        yield "lost"


def _held(key: str, value: object) -> bool:
    """Whether a row of MOT has a place for an attribute."""
    return (key == "ignored" and value is True) or (key == "visibility" and _visible(value) is not None)


def _visible(value: object) -> str | None:
    """A visibility as its row holds it."""
    try:
        found = float(value) if isinstance(value, str) else -1.0
    except ValueError:
        return None
    return str(value) if 0 <= found < 1 and str(found) == value else None


def _of_record(dialect: str, record: Record) -> Iterator[str]:
    number = frames.number(record)
    if number is None:
        yield "numberless"
    elif number == 0:
        yield "zero"
    tracks = Counter(track for a in record.annotations if (track := marks.track(a)))
    if any(n > 1 for n in tracks.values()):
        yield "twice"
    if dialect == "mots":
        boxes = [b for a in record.annotations if (b := geometry.bbox(a.shape)) is not None]
        if any(_meet(a, b) for i, a in enumerate(boxes[:500]) for b in boxes[:i]):
            yield "overlap"


def _meet(a: Box, b: Box) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs: `<sequence>/img1/000001.jpg`, or `images/<sequence>/000001.jpg` for MOTS."""
    number = frames.demand_number(record)
    name = f"{number:06d}{PurePosixPath(record.path).suffix or '.jpg'}"
    where = PurePosixPath(frames.sequence(record))
    if base.dialect(dialect, DIALECTS) == "mot":
        return where / "img1" / name
    return _home(where) / "images" / where.name / name


def _home(where: PurePosixPath) -> PurePosixPath:
    """The folder of a MOTS set that a sequence belongs to: that of its split."""
    return where.parent


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """For MOT gt/gt.txt, gt/labels.txt and seqinfo.ini of every sequence (whose files are returned); for MOTS
    instances_txt/<sequence>.txt, instances/<sequence>/*.png and labels.txt. Class numbers are the schema's class ids from 1.

    Raises:
        InvalidInput: unknown label; a picture without a frame number, or two with the same; for MOTS a picture of
            unknown size, more than 999 tracks of a class in a sequence, or a class beyond the 64th.
    """
    dialect = base.dialect(dialect, DIALECTS)
    ids = schema.class_ids()
    pictures = sheets.Sheets(out)
    reels: dict[str, _Reel] = {}
    for record in records:
        where, number = frames.sequence(record), frames.demand_number(record)
        base.clean_path(record.path)
        if where not in reels:
            reels[where] = _Reel(out, PurePosixPath(where), dialect, pictures)
        reels[where].take(
            record, number, {a.label: base.class_id(a, ids, record.path) for a in record.annotations}
        )
    if not reels:
        reels[frames.DEFAULT] = _Reel(out, PurePosixPath(frames.DEFAULT), dialect, pictures)
    paths = [reel.finish(list(ids)) for _, reel in sorted(reels.items())]
    pictures.finish()
    return paths


class _Reel:
    """One sequence while its frames go by: rows are appended, so that no file stays open."""

    def __init__(self, out: Path, where: PurePosixPath, dialect: str, pictures: sheets.Sheets) -> None:
        self._out, self._where, self._dialect, self._pictures = out, where, dialect, pictures
        rows = where / "gt/gt.txt" if dialect == "mot" else _home(where) / TEXTS / f"{where.name}.txt"
        self._file = base.target(out, rows.as_posix())
        self._file.open("xb").close()
        self._seen: set[int] = set()
        self._wh: tuple[int | None, int | None] = (None, None)
        self._suffix = ""
        self._tracks = foreign.Numbers()
        self._instances: dict[int, foreign.Numbers] = {}
        self._loose = 0

    def take(self, record: Record, number: int, ids: Mapping[str, int]) -> None:
        """Write one frame."""
        if number in self._seen:
            raise InvalidInput(f"two pictures of frame {number}", where=record.path, remedy="one a frame")
        self._seen.add(number)
        if self._wh[0] is None:
            self._wh = record.width, record.height
        self._suffix = self._suffix or PurePosixPath(record.path).suffix
        lines = (
            self._boxes(record, number, ids) if self._dialect == "mot" else self._masks(record, number, ids)
        )
        with self._file.open("ab") as stream:
            stream.write("".join(f"{line}\n" for line in lines).encode("ascii"))

    def _boxes(self, record: Record, number: int, ids: Mapping[str, int]) -> Iterator[str]:
        there: set[str] = set()
        for a in record.annotations:
            box = geometry.bbox(a.shape)
            if box is None or isinstance(a.shape, Tag | Caption):
                continue
            track = marks.track(a)
            track_id = self._tracks.of(track) if track and track not in there else -1
            there.add(track or "")
            px = [canonical.snap(v) for v in (box.x0, box.y0, box.x1, box.y1)]
            numbers = [_milli(v) for v in (px[0], px[1], px[2] - px[0], px[3] - px[1])]
            counted = int(a.attributes.get("ignored") is not True)
            visible = _visible(a.attributes.get("visibility")) or "1"
            yield f"{number},{track_id},{','.join(numbers)},{counted},{ids[a.label] + 1},{visible}"

    def _masks(self, record: Record, number: int, ids: Mapping[str, int]) -> Iterator[str]:
        w, h = record.width, record.height
        if w is None or h is None:
            raise InvalidInput(
                "the picture's size is unknown", where=record.path, remedy="ingest the picture first"
            )
        if w * h > foreign.MAX_PNG_PIXELS:
            raise InvalidInput(
                f"a picture of {w} x {h} px", where=record.path, remedy=f"at most {foreign.MAX_PNG_PIXELS} px"
            )
        pixels = np.zeros((h, w), dtype=np.uint16)
        drawn = [
            a
            for a in record.annotations
            if isinstance(a.shape, Mask) or geometry.outline(a.shape) is not None
        ]
        values: dict[int, int] = {}
        there: set[str] = set()
        for a in sorted(drawn, key=marks.order):
            mask = raster.to_mask(a.shape, width=w, height=h)
            if (mask.w, mask.h) != (w, h):
                raise InvalidInput(
                    f"a mask of {mask.w} x {mask.h} px", where=record.path, remedy=f"{w} x {h} px"
                )
            value = self._value(a, ids[a.label] + 1, record, there)
            part, x0, y0 = rle.crop(mask)
            pixels[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]][part != 0] = value
            values[value] = ids[a.label] + 1
        spot = _home(self._where) / INSTANCES / self._where.name / f"{number:06d}.png"
        self._pictures.write(base.clean_path(spot.as_posix()), pngs.data(pixels), where=record.path)
        runs = pngs.regions(pixels, record.path)
        for value, label in values.items():
            if value in runs:
                yield f"{number} {value} {label} {h} {w} {rle.to_text(runs[value])}"

    def _value(self, a: Annotation, label: int, record: Record, there: set[str]) -> int:
        if label > MAX_CLASSES:
            raise InvalidInput(
                f"the label {a.label} is the {label}th class", where=record.path, remedy="MOTS holds 64"
            )
        track = marks.track(a)
        if track is None or track in there:
            self._loose += 1
            track = f"loose {self._loose}"
        there.add(track)
        number = self._instances.setdefault(label, foreign.Numbers()).of(track)
        if number > MAX_INSTANCES:
            raise InvalidInput(
                f"more than {MAX_INSTANCES} tracks of {a.label} in a sequence",
                where=record.path,
                remedy="split the sequence",
            )
        return 1000 * label + number

    def finish(self, labels: list[str]) -> Path:
        """Write what is beside the rows."""
        names = "".join(f"{code}\n" for code in labels).encode()
        if self._dialect == "mots":
            spot = base.target(self._out, (_home(self._where) / INSTANCES / LABELS).as_posix())
            if not spot.exists():
                spot.write_bytes(names)
            return self._file
        (self._file.parent / LABELS).write_bytes(names)
        w, h = self._wh
        lines = ["[Sequence]", f"name={self._where.name}", "imDir=img1", f"frameRate={RATE}"]
        last = max(self._seen, default=0)
        lines += [f"seqLength={last + (1 if 0 in self._seen else 0)}"]
        lines += [f"imWidth={w}", f"imHeight={h}"] if w is not None and h is not None else []
        lines += [f"imExt={self._suffix or '.jpg'}", ""]
        (self._file.parent.parent / SEQINFO).write_bytes("\n".join(lines).encode())
        return self._file


def _milli(value: int) -> str:
    return repr(value / canonical.PX).removesuffix(".0")
