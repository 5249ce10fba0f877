"""Writing YOLO's text labels: boxes, polygons, poses, turned boxes, and the data.yaml beside them; see `yolo`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from annotation import geometry
from annotation.core import Annotation, Box, Keypoints
from annotation.errors import InvalidInput
from annotation.formats import base, sheets, yamlite, yoloclasses, yololines
from annotation.formats.base import Loss, Record
from annotation.labels import LabelSchema

DIALECTS = ("detect", "segment", "pose", "obb", "classify")

_LOSSES = (
    base.WHOLE_LOSSES
    | base.BOUNDED_LOSSES
    | base.BARE_LOSSES
    | {
        "outside": "objects that cross the picture's border: cut there",
        "gone": "objects wholly outside the picture: left out",
        "flat": "objects without width or height: left out",
    }
)
_SEGMENT_LOSSES = (
    _LOSSES
    | base.OUTLINED_LOSSES
    | base.FILLED_LOSSES
    | {
        "box": "boxes: written as polygons of four corners",
        "polygon": "",
        "mask": "masks: written as polygons",
    }
)
_POSE_LOSSES = _LOSSES | {
    "keypoints": "",
    "short": "skeletons of fewer points than others: filled up with absent ones",
    "long": "skeletons of more points than the schema's templates: refused",
    "absent": "skeletons without a visible point: left out",
}
_OBB_LOSSES = (
    _LOSSES
    | base.TURNED_LOSSES
    | {
        "rotated_box": "",
        "quad": "",
        "square": "quadrilaterals with right angles: read back as turned boxes",
        "outside": "objects that cross the picture's border: their corners are moved onto it",
    }
)


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What YOLO labels cannot hold of these records, with counts."""
    dialect = base.dialect(dialect, DIALECTS)
    if dialect == "classify":
        return yoloclasses.losses(records, schema)
    refused = {"sizeless": "pictures of unknown size: refused"}
    match dialect:
        case "segment":
            return sheets.losses(records, schema, _SEGMENT_LOSSES | refused)
        case "pose":
            points = _template_points(schema)

            def skeletons(a: Annotation, record: Record) -> Iterator[str]:
                if isinstance(a.shape, Keypoints):
                    n = len(a.shape.visibility)
                    yield from ["long"] * (n > points > 0) + ["short"] * (n < points)
                    yield from ["absent"] * (not any(a.shape.visibility))

            return sheets.losses(records, schema, _POSE_LOSSES | refused, skeletons)
        case "obb":

            def right(a: Annotation, record: Record) -> Iterator[str]:
                if a.kind == "quad" and yololines.rectangle(a.shape.points):  # type: ignore[union-attr]
                    yield "square"

            return sheets.losses(records, schema, _OBB_LOSSES | refused, right)
        case _:
            return sheets.losses(records, schema, _LOSSES | refused)


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export: `images/<split or train>/<path>`; by class for "classify"."""
    if base.dialect(dialect, DIALECTS) == "classify":
        return yoloclasses.place(record)
    return PurePosixPath("images", record.split or "train", base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """A label file for every picture below `labels`, and `data.yaml`.

    Ultralytics reads a whole file as polygons as soon as one line is one, so boxes and polygons are never mixed here.
    Class ids are the schema's. Pictures without a split count as train.

    Raises:
        InvalidInput: unknown label, unknown picture size, or two pictures that would share one label file.
    """
    dialect = base.dialect(dialect, DIALECTS)
    if dialect == "classify":
        return yoloclasses.write(records, out, schema=schema)
    numbers = {code: str(n) for code, n in schema.class_ids().items()}
    points = _template_points(schema) if dialect == "pose" else 0
    splits: set[str] = set()
    files = sheets.Sheets(out)
    text = {"detect": yololines.box, "segment": yololines.polygon, "obb": yololines.corners}.get(dialect)
    for record in records:
        w, h = record.width, record.height
        if w is None or h is None:
            raise InvalidInput(
                "the picture's size is unknown", where=record.path, remedy="ingest the picture first"
            )
        lines: list[str] = []
        if text is None:
            points = points or _most(record)
            _poses(record, numbers, points, w, h, lines)
        else:
            for a in record.annotations:
                number = numbers.get(a.label)
                if number is None:
                    base.class_id(a, schema.class_ids(), record.path)
                if words := text(a.shape, w, h):
                    lines.append(f"{number} {words}\n")
        split = record.split or "train"
        splits.add(split)
        files.write(
            f"labels/{split}/{sheets.stem(base.clean_path(record.path))}.txt", "".join(lines).encode()
        )
    files.finish()
    (out / "labels").mkdir(exist_ok=True)
    return [_configuration(out, schema, name, dialect, splits, points), out / "labels"]


def _template_points(schema: LabelSchema) -> int:
    """The points of the longest skeleton of a schema; 0 without any."""
    return max((len(label.skeleton.points) for label in schema.labels if label.skeleton), default=0)


def _most(record: Record) -> int:
    return max(
        (len(a.shape.visibility) for a in record.annotations if isinstance(a.shape, Keypoints)), default=0
    )


def _poses(record: Record, numbers: Mapping[str, str], points: int, w: int, h: int, lines: list[str]) -> None:
    """A line for every object: a skeleton takes the smallest box of its label around it, as reading gives the two apart."""
    free = [a for a in record.annotations if isinstance(a.shape, Box)]
    skeletons = [a for a in record.annotations if isinstance(a.shape, Keypoints)]
    taken: set[str] = set()
    partner: dict[str, Annotation] = {}
    for a in skeletons:
        if isinstance(a.shape, Keypoints) and len(a.shape.visibility) > max(points, 1):
            raise InvalidInput(
                f"a skeleton of {len(a.shape.visibility)} points where others have {points}",
                where=record.path, remedy="give the label a template of that many points in the schema",
            )  # fmt: skip
        if (box := _box_of(a, free, taken)) is not None:
            taken.add(box.uid)
            partner[a.uid] = box
    for a in record.annotations:
        number = numbers.get(a.label)
        if number is None:
            base.class_id(a, {}, record.path)
        if a.uid in taken:
            continue
        skeleton = a.shape if isinstance(a.shape, Keypoints) else None
        around = partner[a.uid].shape if a.uid in partner else a.shape
        if words := yololines.pose(skeleton, around, points, w, h):
            lines.append(f"{number} {words}\n")


def _box_of(a: Annotation, free: Sequence[Annotation], taken: set[str]) -> Annotation | None:
    """The smallest box of its label around a skeleton; not its own extent, for reading would take that for none."""
    inner = geometry.bbox(a.shape)
    fitting = [
        b
        for b in free
        if b.label == a.label and b.uid not in taken and inner is not None and isinstance(b.shape, Box)
        and b.shape.x0 <= inner.x0 and b.shape.y0 <= inner.y0 and b.shape.x1 >= inner.x1 and b.shape.y1 >= inner.y1 and not base.same(b.shape, inner)
    ]  # fmt: skip
    return min(fitting, key=lambda b: geometry.area(b.shape), default=None)


def _configuration(
    out: Path, schema: LabelSchema, name: str, dialect: str, splits: set[str], points: int
) -> Path:
    config = base.target(out, "data.yaml")
    ids = schema.class_ids()
    with config.open("x", encoding="utf-8", newline="\n") as stream:
        stream.write(
            f"# {' '.join(name.split())}: {schema.code} version {schema.version}\npath: .\ntask: {dialect}\n"
        )
        for split in ("train", "val"):
            stream.write(f"{split}: images/{split if split in splits else 'train'}\n")
        if "test" in splits:
            stream.write("test: images/test\n")
        if dialect == "pose":
            stream.write(f"kpt_shape: [{max(points, 1)}, 3]\n")
            if swaps := _swaps(schema, points):
                stream.write(f"flip_idx: [{', '.join(map(str, swaps))}]\n")
        stream.write(f"nc: {len(ids)}\nnames:\n")
        stream.writelines(f"  {n}: {yamlite.quoted(code)}\n" for code, n in ids.items())
        base.settle(stream)
    return config


def _swaps(schema: LabelSchema, points: int) -> list[int]:
    """For each point the one it becomes in a mirrored picture; none unless all templates agree."""
    found = {
        label.skeleton.swaps
        for label in schema.labels
        if label.skeleton and len(label.skeleton.points) == points
    }
    if len(found) != 1:
        return []
    out = list(range(points))
    for a, b in found.pop():
        out[a], out[b] = b, a
    return out
