"""CVAT XML 1.1 written, for images and for video, and what it loses; see `cvat`."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path, PurePosixPath

from annotation import geometry, marks
from annotation.core import Annotation, Caption, Mask, RotatedBox, Tag
from annotation.errors import InvalidInput
from annotation.formats import base, cvat_shapes, foreign, frames
from annotation.formats.base import Loss, Record
from annotation.formats.cvat_shapes import Seen
from annotation.formats.xmlite import written
from annotation.labels import LabelSchema

DIALECTS = ("images", "video")
FILE = "annotations.xml"
PLACE = "images"

_SHARED_LOSSES = (
    foreign.ITSELF_LOSSES
    | base.PAINTED_LOSSES
    | {
        "caption": "captions: left out",
        "quad": "quadrilaterals: written as polygons of four corners",
        "blurred": "attributes with values of several types: written as text",
        "straight": "rotated boxes that are not turned: written as boxes",
        "empty": "masks without a pixel: left out",
        "collapsed": "",
        "@group": "",
        "@order": "",
    }
)
_LOSSES = {
    "images": _SHARED_LOSSES | {
        "@key": "key frames of tracks: left out", "@end": "", "tag_order": "order in depth of labels of the whole picture: left out",
    },
    "video": _SHARED_LOSSES | {
        "tag": "labels of the whole picture: left out",
        "@track": "",
        "@group": "groups: left out",
        "mixed": "tracks whose label or kind of shape changes: written as several tracks",
        "loose": "objects without a track: each becomes a track of one frame",
        "numberless": "pictures without a frame number in their name: refused",
    },
}  # fmt: skip


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What the dialect cannot hold of these records, with counts."""
    dialect = base.dialect(dialect, DIALECTS)
    shared = _numberless if dialect == "video" else None
    return foreign.loss(records, schema, _LOSSES[dialect], partial(_traits, {}), shared)


def _traits(tracks: dict[str, str], a: Annotation, record: Record) -> Iterator[str]:
    track = marks.track(a)
    if track is not None and tracks.setdefault(track, f"{a.label} {a.kind}") != f"{a.label} {a.kind}":
        yield "mixed"
    if isinstance(a.shape, RotatedBox) and a.shape.degrees % 360 == 0:
        yield "straight"
    if isinstance(a.shape, Mask) and geometry.bbox(a.shape) is None:
        yield "empty"
    if isinstance(a.shape, Tag) and marks.order(a):
        yield "tag_order"
    if track is None and not isinstance(a.shape, Tag | Caption):
        yield "loose"


def _numberless(record: Record) -> Iterator[str]:
    if frames.number(record) is None:
        yield "numberless"


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs: `images/<split>/<path>`, or `<sequence>/images/frame_000012.png`."""
    if base.dialect(dialect, DIALECTS) == "images":
        return PurePosixPath(PLACE, record.split, base.clean_path(record.path))
    number = frames.demand_number(record)
    suffix = PurePosixPath(record.path).suffix or ".png"
    return PurePosixPath(frames.sequence(record), PLACE, f"frame_{number:06d}{suffix}")


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`annotations.xml`, or one in the folder of each sequence of frames for video.

    Raises:
        InvalidInput: unknown label; for video a picture without a frame number, or two with the same.
    """
    if base.dialect(dialect, DIALECTS) == "video":
        return _write_video(records, out, schema, name)
    return [_write_images(records, base.target(out, FILE), schema, name)]


def _write_images(records: Iterable[Record], file: Path, schema: LabelSchema, name: str) -> Path:
    """Images wait in a second file until it is known what <meta> must say."""
    ids = schema.class_ids()
    seen = Seen()
    n = 0
    sizes: Counter[str] = Counter()
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as spool:
            for record in records:
                size = "" if record.width is None else f' width="{record.width}" height="{record.height}"'
                subset = f' subset="{record.split}"' if record.split else ""
                spool.write(
                    f'<image id="{n}" name="{written(base.clean_path(record.path))}"{subset}{size}>\n'
                )
                for a in record.annotations:
                    base.class_id(a, ids, record.path)
                    if text := cvat_shapes.element(a, record, seen, schema):
                        spool.write(f"{text}\n")
                spool.write("</image>\n")
                sizes[record.split] += 1
                n += 1
        found = [*cvat_shapes.labels(schema, seen)]
        head = _head(name, n, "annotation", found) if not any(sizes) else _project(name, sizes, found)
        _join(file, head, part)
    finally:
        part.unlink(missing_ok=True)
    return file


def _head(name: str, n: int, mode: str, labels: list[str], more: str = "") -> str:
    """The beginning of a file whose pictures are those of one task."""
    task = f"<name>{written(name)}</name><size>{n}</size><mode>{mode}</mode><overlap>0</overlap>{more}"
    return f"{_BEGIN}<task>\n{task}\n{_listed(labels)}</task>\n</meta>\n"


def _project(name: str, sizes: Mapping[str, int], labels: list[str]) -> str:
    """The beginning of a file whose pictures are of several subsets: each is a task of a project."""
    tasks = "".join(
        f"<task><name>{subset or 'default'}</name><size>{n}</size><mode>annotation</mode><subset>{subset}</subset></task>\n"
        for subset, n in sorted(sizes.items())
    )
    return f"{_BEGIN}<project>\n<name>{written(name)}</name>\n<tasks>\n{tasks}</tasks>\n{_listed(labels)}</project>\n</meta>\n"


_BEGIN = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>\n'


def _listed(labels: list[str]) -> str:
    return "".join(f"{line}\n" for line in ("<labels>", *labels, "</labels>"))


def _join(file: Path, head: str, part: Path) -> None:
    with file.open("xb") as stream:
        stream.write(head.encode())
        with part.open("rb") as spool:
            shutil.copyfileobj(spool, stream, 1 << 16)
        stream.write(b"</annotations>\n")
        base.settle(stream)


class _Reel:
    """What is known of a sequence while its frames go by."""

    def __init__(self) -> None:
        self.tracks = foreign.Numbers()
        self.loose = 0
        self.first, self.last = frames.MAX_FRAME, -1
        self.step = 0
        self.seen: set[int] = set()
        self.wh: tuple[int | None, int | None] = (None, None)
        self.split = ""


def _write_video(records: Iterable[Record], out: Path, schema: LabelSchema, name: str) -> list[Path]:
    ids = schema.class_ids()
    reels: dict[str, _Reel] = {}
    with frames.Spool() as spool:
        for record in records:
            where, number = frames.sequence(record), frames.demand_number(record)
            reel = reels.setdefault(where, _Reel())
            if number in reel.seen:
                raise InvalidInput(f"two pictures of frame {number}", where=record.path, remedy="one a frame")
            reel.seen.add(number)
            reel.first, reel.last = min(reel.first, number), max(reel.last, number)
            reel.split = record.split
            reel.wh = reel.wh if reel.wh[0] is not None else (record.width, record.height)
            here: Counter[str] = Counter()
            for a in record.annotations:
                base.class_id(a, ids, record.path)
                track = marks.track(a)
                if track is None:
                    reel.loose += 1
                    track = f"loose {reel.loose}"
                # a track has one label, one kind and one object a frame: what differs is a track of its own
                here[track] += 1
                track = f"{track} {here[track]}\0{a.label}\0{a.kind}"
                spool.add(f"{where}\0{reel.tracks.of(track):012d}", number, frames.pack(a))
        paths = []
        rows = groupby(spool.all(), key=lambda row: str(row[0]).partition("\0")[0])
        found = next(rows, None)
        for where in sorted(reels):
            mine: Iterable[tuple[str | int, int, bytes]] = ()
            if found is not None and found[0] == where:
                mine = found[1]
            paths.append(_write_reel(mine, reels[where], base.target(out, f"{where}/{FILE}"), schema, where))
            if found is not None and found[0] == where:
                found = next(rows, None)
        if not reels:
            file = base.target(out, FILE)
            with file.open("xb") as stream:
                stream.write(_head(name, 0, "interpolation", [*cvat_shapes.labels(schema, Seen())]).encode())
                stream.write(b"</annotations>\n")
                base.settle(stream)
            paths.append(file)
    return paths


def _write_reel(
    rows: Iterable[tuple[str | int, int, bytes]], reel: _Reel, file: Path, schema: LabelSchema, where: str
) -> Path:
    seen = Seen()
    numbers = sorted(reel.seen)
    after = dict(pairwise(numbers))
    n = 0
    part = file.with_name(f"{file.name}.part")
    record = Record("", *reel.wh, ())
    try:
        with part.open("w", encoding="utf-8", newline="\n") as spool:
            for _, track in groupby(rows, key=lambda row: row[0]):
                shapes = [(number, frames.unpack(body)) for _, number, body in track]
                text = _one_track(shapes, after, record, seen, schema)
                if text:
                    spool.write(
                        f'<track id="{n}" label="{written(shapes[0][1].label)}" source="manual">\n{text}</track>\n'
                    )
                    n += 1
        w, h = reel.wh
        size = "" if w is None else f"<original_size><width>{w}</width><height>{h}</height></original_size>"
        steps = {b - a for a, b in pairwise(numbers)}
        step = min(steps) if steps and all(s % min(steps) == 0 for s in steps) else 1
        more = f"<subset>{reel.split}</subset><start_frame>{reel.first}</start_frame><stop_frame>{reel.last}</stop_frame>"
        more += f"<frame_filter>{f'step={step}' if step > 1 else ''}</frame_filter>{size}"
        film = written(PurePosixPath(where).name)
        head = _head(where, len(numbers), "interpolation", [*cvat_shapes.labels(schema, seen)], more)
        _join(file, head.replace("</meta>", f"<source>{film}.mp4</source>\n</meta>"), part)
    finally:
        part.unlink(missing_ok=True)
    return file


def _one_track(
    shapes: list[tuple[int, Annotation]],
    after: Mapping[int, int],
    record: Record,
    seen: Seen,
    schema: LabelSchema,
) -> str:
    """A track's shapes frame by frame, and one that is outside wherever it is not seen on the next frame."""
    lines: list[str] = []
    appears = True
    for i, (number, a) in enumerate(shapes):
        following = shapes[i + 1][0] if i + 1 < len(shapes) else None
        key = appears or marks.is_key(a) or marks.track(a) is None
        lines.append(_framed(a, number, key, False, record, seen, schema))
        nearest = after.get(number)
        appears = nearest is not None and following != nearest
        if appears and nearest is not None:
            lines.append(_framed(a, nearest, True, True, record, seen, schema))
    return "".join(lines)


def _framed(
    a: Annotation, number: int, key: bool, outside: bool, record: Record, seen: Seen, schema: LabelSchema
) -> str:
    extra = f' frame="{number}" outside="{int(outside)}" keyframe="{int(key)}"'
    text = cvat_shapes.element(a, record, seen, schema, extra)
    return f"{text}\n" if text and not isinstance(a.shape, Tag) else ""
