"""Formats of labelling tools: what their losses do not name comes back the same, and nothing hostile gets through."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation import canonical, geometry, labels, marks, rle, rows
from annotation.core import (
    Annotation,
    Box,
    Caption,
    Cuboid,
    Ellipse,
    Keypoints,
    Mask,
    Points,
    Polygon,
    Polyline,
    Quad,
    RotatedBox,
    Shape,
    Tag,
)
from annotation.errors import InvalidFile, InvalidInput, LamproomError
from annotation.formats import Record, cvat, datumaro, labelme, labelstudio, mot, xmlite
from tests.annotation.strategies import patient

SCHEMA = labels.load("coal_mine")
W, H = 640, 480
WAYS = [(m, d) for m in (labelme, cvat, datumaro, labelstudio, mot) for d in m.DIALECTS]
NAMES = [f"{m.__name__.rpartition('.')[2]}-{d}".rstrip("-") for m, d in WAYS]
ways = pytest.mark.parametrize(("module", "dialect"), WAYS, ids=NAMES)
UID = "0123456789abcdef0123456789abcdef"


def size(_: str) -> tuple[int, int]:
    return W, H


def folder(factory: pytest.TempPathFactory, found: list[Record], module: ModuleType, dialect: str) -> Path:
    out = factory.mktemp("set")
    module.write(found, out, schema=SCHEMA, name="t", dialect=dialect)
    return out


# ---------------------------------------------------------------------------------------------------------------
# There and back

whole = st.integers(0, 400_000)


def at(value: int) -> float:
    return value / canonical.PX


def points(least: int, most: int) -> st.SearchStrategy[tuple[float, ...]]:
    pairs = st.lists(st.tuples(whole, whole), min_size=least, max_size=most, unique=True)
    return pairs.map(lambda found: tuple(at(c) for pair in found for c in pair))


sides = st.integers(1_000, 80_000).map(at)
boxes = st.builds(lambda x, y, w, h: Box(at(x), at(y), at(x) + w, at(y) + h), whole, whole, sides, sides)
micro = st.integers(1, 179_999_999).map(lambda v: v / canonical.MICRO)
rotated = st.builds(
    lambda x, y, w, h, d: RotatedBox(at(x), at(y), w, h, d), whole, whole, sides, sides, micro
)
circles = st.builds(lambda x, y, r: Ellipse(at(x), at(y), r, r), whole, whole, sides)
ovals = st.builds(
    lambda x, y, r, s, d: Ellipse(at(x), at(y), r, r + s, d), whole, whole, sides, sides, st.just(0.0) | micro
)


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    x, y, w, h = (draw(st.integers(0 if i < 2 else 1, 9)) for i in range(4))
    bits = draw(st.integers(1, 2 ** (w * h) - 1))
    part = np.array([bits >> i & 1 for i in range(w * h)], dtype=np.uint8).reshape(h, w)
    return rle.encode(part, at=(x * 50, y * 40), wh=(W, H))


keypoints = st.builds(
    lambda flat, seen: Keypoints(flat, (*seen, 2)), points(3, 3), st.tuples(*[st.sampled_from((0, 1, 2))] * 2)
)
ring = points(3, 8)
polygons = ring.map(lambda r: Polygon(((r,),))) | st.lists(
    ring.map(lambda r: (r,)), min_size=1, max_size=2
).map(lambda parts: Polygon(tuple(parts)))
shapes: st.SearchStrategy[Shape] = st.one_of(
    boxes, rotated, circles, ovals, masks(), polygons, points(2, 6).map(Polyline), points(1, 3).map(Points),
    keypoints, st.just(Tag()), points(4, 4).map(Quad), points(8, 8).map(Cuboid), st.just(Caption("灯下 two\nlines")),
)  # fmt: skip
values = st.booleans() | st.integers(-99, 99) | st.sampled_from(["红 <&>\"'", "plain", "0.25"])
plain = st.dictionaries(st.sampled_from(["state", "occluded", "difficult", "visibility"]), values, max_size=2)
kept = st.fixed_dictionaries(
    {}, optional={"@group": st.just(UID), "@track": st.just(UID[::-1]), "@order": st.integers(1, 5)}
)
annotations = st.builds(
    lambda shape, a, b, score, origin: Annotation(
        "person", shape, {**a, **b}, score if origin == "model" else None, origin
    ),
    shapes, st.just({}) | plain, st.just({}) | kept, st.none() | st.integers(0, 1000).map(lambda v: v / 1000),
    st.sampled_from(("import", "import", "model")),
)  # fmt: skip


def likeness(a: Annotation) -> tuple[object, ...]:
    """What must come back of an annotation: uids of groups and tracks by their being there."""
    found = {k: v for k, v in a.attributes.items() if not k.startswith("@") or k == "@order"}
    return a.label, a.kind, found, bool(marks.group(a)), bool(marks.track(a)), a.score


def near(a: Shape, b: Shape) -> bool:
    """Whether two shapes are the same to a thousandth of a pixel."""
    one, other = (re.findall(r"-?\d+", str(rows.to_row(s)[1:])) for s in (a, b))
    return len(one) == len(other) and all(abs(int(x) - int(y)) <= 2 for x, y in zip(one, other, strict=True))


@ways
@settings(patient, max_examples=40)
@given(a=annotations)
def test_what_the_losses_do_not_name_comes_back_the_same(
    module: ModuleType, dialect: str, tmp_path_factory: pytest.TempPathFactory, a: Annotation
) -> None:
    record = Record("clip/000007.jpg", W, H, (a,))
    lost = module.losses([record], SCHEMA, dialect)
    out = folder(tmp_path_factory, [record], module, dialect)
    found = [r for r in module.read(out, sizes=size) if r.annotations]
    if lost:
        return  # it was told, and what was written can be read
    assert len(found) == 1, a
    assert (found[0].width, found[0].height) == (W, H)
    (b,) = found[0].annotations
    if isinstance(a.shape, Caption):
        assert b.shape == a.shape
        return
    assert likeness(b) == likeness(a)
    assert near(a.shape, b.shape), (a.shape, b.shape)


def everything() -> tuple[Annotation, ...]:
    """One of each kind, in groups and tracks, linked."""
    flat = (10.0, 10.0, 50.0, 12.0, 48.0, 40.0, 9.0, 38.0)
    hole = Polygon((((0.0, 0.0, 90.0, 0.0, 90.0, 90.0, 0.0, 90.0), (20.0, 20.0, 40.0, 20.0, 40.0, 40.0)),))
    mask = rle.encode(np.eye(9, dtype=np.uint8), at=(30, 30), wh=(W, H))
    kinds: list[Shape] = [
        Box(1.5, 2, 30, 40), RotatedBox(50, 50, 20, 10, 30), hole, Polygon(((flat,),)), Polyline(flat), Points(flat), mask, Tag(),
        Keypoints(flat[:6], (0, 1, 2)), Quad(flat), Ellipse(60, 60, 20, 10, 30), Cuboid(flat * 2), Caption("a sentence"),
    ]  # fmt: skip
    found = []
    for n, shape in enumerate(kinds):
        a = Annotation(
            "person", shape, {"state": "x", "n": n, "on": True}, origin="model" if n % 3 == 2 else "import"
        )
        a = marks.with_mark(a, "@group", UID if n < 4 else None)
        a = marks.with_mark(a, "@track", f"{n:032x}")
        found.append(marks.with_links(a, [("holds", found[0].uid)]) if n == 3 else a)
    return tuple(found)


@ways
def test_everything_at_once_is_written_and_read_without_a_fault(
    module: ModuleType, dialect: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    given = [Record(f"line 3/hall/left/{n:06d}.jpg", W, H, everything(), "val") for n in (1, 2, 3)]
    out = folder(tmp_path_factory, given, module, dialect)
    found = list(module.read(out))
    assert len(found) == 3
    assert {r.split for r in found} == {"val"}
    assert all(len(r.annotations) >= (1 if dialect == "mots" else 6) for r in found)
    assert not list(out.rglob("*.part"))
    assert module.sniff(out)


def test_groups_links_and_tracks_of_cvat_datumaro_and_xanylabeling_come_back_as_they_were_tied(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    a, b, c, d = (Annotation("person", Box(n, 1, n + 9, 20)) for n in range(4))
    a, b = (marks.with_mark(x, "@group", UID) for x in (a, b))
    c = marks.with_links(c, [("linking", d.uid)])
    record = Record("clip/000001.jpg", W, H, (a, b, c, d))
    for module, dialect in ((cvat, "images"), (datumaro, ""), (labelme, "xanylabeling")):
        (got,) = module.read(folder(tmp_path_factory, [record], module, dialect))
        groups = [marks.group(x) for x in got.annotations]
        assert groups[0] == groups[1] is not None
        assert groups[2:] == [None, None]
    assert marks.links(got.annotations[2]) == (("linking", got.annotations[3].uid),)
    (got,) = labelstudio.read(folder(tmp_path_factory, [Record("a.jpg", W, H, (c, d))], labelstudio, ""))
    assert marks.links(got.annotations[0]) == (("linking", d.uid),)
    assert [x.uid for x in got.annotations] == [c.uid, d.uid]


def track(
    first: int, last: int, gap: tuple[int, ...] = (), uid: str = UID, y: float = 5.0
) -> dict[int, Annotation]:
    made = {}
    for n in range(first, last + 1):
        if n not in gap:
            a = Annotation("person", Box(n * 10.0, y, n * 10.0 + 20, y + 40), {"@track": uid})
            made[n] = marks.with_mark(a, "@key", n == first)
    return made


@pytest.mark.parametrize(("module", "dialect"), [(cvat, "video"), (mot, "mot"), (mot, "mots")])
def test_tracks_come_back_frame_by_frame_with_their_gaps(
    module: ModuleType, dialect: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, two = track(1, 9, (4, 5)), track(3, 6, uid=UID[::-1], y=100.0)
    given = [
        Record(f"clip/{n:06d}.png", W, H, tuple(t[n] for t in (one, two) if n in t)) for n in range(1, 11)
    ]
    found = list(module.read(folder(tmp_path_factory, given, module, dialect)))
    assert len(found) == 10
    names = {marks.track(a) for r in found for a in r.annotations}
    assert len(names) == 2
    for want, got in zip(given, found, strict=True):
        wanted = [geometry.bbox(a.shape) for a in want.annotations]
        assert sorted(map(str, wanted)) == sorted(str(geometry.bbox(a.shape)) for a in got.annotations), (
            got.path
        )
    assert module.losses(given, SCHEMA, dialect) == [] or dialect == "mots" or module is mot


def test_cvats_key_frames_are_filled_and_the_frame_before_an_absence_ends_the_track(tmp_path: Path) -> None:
    def box(frame: int, x: int, outside: int) -> str:
        return f'<box frame="{frame}" keyframe="1" outside="{outside}" occluded="0" xtl="{x}" ytl="0" xbr="{x + 10}" ybr="10"/>'

    file = tmp_path / "annotations.xml"
    file.write_text(
        "<annotations><version>1.1</version><meta><task><start_frame>0</start_frame><stop_frame>8</stop_frame>"
        "<original_size><width>99</width><height>50</height></original_size></task></meta>"
        f'<track id="0" label="person">{box(0, 0, 0)}{box(4, 40, 0)}{box(7, 40, 1)}</track></annotations>'
    )
    found = list(cvat.read(file))
    assert [r.path for r in found] == [f"frame_{n:06d}.png" for n in range(9)]
    xs = [[geometry.bbox(a.shape).x0 for a in r.annotations] for r in found]  # type: ignore[union-attr]
    assert xs == [[0], [10], [20], [30], [40], [40], [40], [], []]
    flags = [(marks.is_key(a), marks.is_end(a)) for r in found for a in r.annotations]
    assert flags == [(True, False), *[(False, False)] * 3, (True, False), (False, False), (True, True)]


def test_a_mot_file_that_counts_from_0_is_read_as_from_1_and_said(tmp_path: Path) -> None:
    file = tmp_path / "gt/gt.txt"
    file.parent.mkdir()
    file.write_text("0,1,10,10,5,5,1,1,1\n1,1,11,10,5,5,1,1,0.5\n")
    assert "count from 0" in mot.sniff(tmp_path)
    assert [r.path for r in mot.read(tmp_path)] == ["img1/000001.jpg", "img1/000002.jpg"]
    (tmp_path / "img1").mkdir()
    for n in (0, 1):
        (tmp_path / f"img1/{n:06d}.png").touch()
    assert [r.path for r in mot.read(tmp_path)] == ["img1/000000.png", "img1/000001.png"]
    file.write_text("1,1,10,10,5,5,1,1,1\n")
    assert "count from 0" not in mot.sniff(tmp_path)


def test_detections_are_predictions_with_their_score(tmp_path: Path) -> None:
    (tmp_path / "det").mkdir()
    (tmp_path / "det/det.txt").write_text("1,-1,10.5,10,5,5,0.75,-1,-1,-1\n1,-1,30,10,5,5,4.5,-1,-1,-1\n")
    (record,) = mot.read(tmp_path)
    assert [(a.origin, a.score, dict(a.attributes)) for a in record.annotations] == [
        ("model", 0.75, {}), ("model", None, {"confidence": "4.5"}),
    ]  # fmt: skip


def test_pictures_without_a_number_are_told_and_refused_where_frames_are_numbered(tmp_path: Path) -> None:
    record = Record("clip/left.jpg", W, H, ())
    for module, dialect in ((mot, "mot"), (mot, "mots"), (cvat, "video")):
        assert any("frame number" in loss.what for loss in module.losses([record], SCHEMA, dialect))
        with pytest.raises(InvalidInput, match="frame number"):
            module.write([record], tmp_path / f"{dialect}", schema=SCHEMA, name="t", dialect=dialect)


def test_predictions_of_label_studio_stay_predictions_and_people_stay_apart(tmp_path: Path) -> None:
    def box(label: str) -> dict[str, object]:
        value = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0, "rectanglelabels": [label]}
        return {
            "type": "rectanglelabels",
            "value": value,
            "original_width": 100,
            "original_height": 50,
            "to_name": "image",
        }

    task = {
        "id": 1, "data": {"image": "/data/upload/3/0a1b2c3d-frame%20one.jpg", "text": "about it"},
        "annotations": [
            {"completed_by": 7, "result": [box("a")]}, {"completed_by": {"id": 2, "email": "x@y"}, "result": [box("b")]},
            {"completed_by": 9, "was_cancelled": True, "result": [box("c")]},
        ],
        "predictions": [{"score": 0.5, "result": [box("d")]}, 17],
    }  # fmt: skip
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps([task]))
    (record,) = labelstudio.read(file)
    assert [(a.label, a.origin, a.score, dict(a.attributes)) for a in record.annotations] == [
        ("a", "import", None, {"annotator": 7}), ("b", "import", None, {"annotator": "x@y"}), ("d", "model", 0.5, {}),
    ]  # fmt: skip
    assert record.path == "frame%20one.jpg"
    assert record.annotations[0].shape == Box(10, 5, 30, 15)


# ---------------------------------------------------------------------------------------------------------------
# Hostile


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A file's bytes with a few faults of the kinds that tools, copying and ill will make."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not out:
            break
        spot = rng.randrange(len(out))
        match rng.randrange(7):
            case 0:
                out[spot] = rng.randrange(256)
            case 1:
                del out[spot : spot + rng.choice((1, 7, 400))]
            case 2:
                del out[spot:]
            case 3:
                found = [m.span() for m in re.finditer(rb"-?\d+(?:\.\d+)?", bytes(out))]
                if found:
                    first, last = rng.choice(found)
                    new = rng.choice(
                        (
                            b"-1",
                            b"NaN",
                            b"1e999",
                            b"99999999999999999999",
                            b"0",
                            b"null",
                            b'"x"',
                            b"{}",
                            b"[]",
                        )
                    )
                    out[first:last] = new
            case 4:
                found = [m.span() for m in re.finditer(rb'"[^"]{0,40}"', bytes(out))]
                if found:
                    first, last = rng.choice(found)
                    out[first:last] = rng.choice(
                        (b'""', b'"../../x"', b"null", b'"\\ud800"', b"5", '"灯"'.encode("gbk"))
                    )
            case 5:
                out[spot:spot] = bytes(out[spot : spot + 200])
            case _:
                out[spot:spot] = rng.choice(
                    (
                        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
                        b"&b;",
                        b"\0",
                        b"\xff\xfe",
                        b"[" * 2000,
                        b"<a>" * 99,
                        b",,",
                    )
                )
    return bytes(out)


def faulty(module: ModuleType, out: Path, files: list[Path], rng: random.Random) -> None:
    file = rng.choice(files)
    before = file.read_bytes()
    file.write_bytes(mutated(before, rng))
    try:
        module.sniff(out)
        module.sniff(file)
        problems: list[LamproomError] = []
        for keep in (None, problems):
            try:
                for record in module.read(out, sizes=rng.choice((size, None)), problems=keep):
                    for a in record.annotations:
                        rows.to_row(a.shape)
            except LamproomError as error:
                assert "\n" not in error.line
                assert error.where or error.remedy, error.line
    finally:
        file.write_bytes(before)


@ways
def test_mutated_files_are_read_or_refused_by_name_and_never_crash(
    module: ModuleType, dialect: str, tmp_path_factory: pytest.TempPathFactory, whole: bool
) -> None:
    given = [Record(f"clip/{n:06d}.jpg", W, H, everything()) for n in (1, 2)]
    out = folder(tmp_path_factory, given, module, dialect)
    files = sorted(file for file in out.rglob("*") if file.is_file())
    rng = random.Random(f"{module.__name__} {dialect}")
    for _ in range(10_000 // len(WAYS) if whole else 300 // len(WAYS)):
        faulty(module, out, files, rng)


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "xxxxxxxxxx"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
MALFORMED = {
    "entities": (cvat, "a.xml", f"{BOMB}<annotations><version>1.1</version><meta>&c;</meta></annotations>", "document type"),
    "nan": (cvat, "a.xml", '<annotations><image id="0" name="a.jpg" width="9" height="9"><box label="x" xtl="nan" ytl="0" xbr="1" ybr="1"/></image></annotations>', "xtl"),
    "escape": (cvat, "a.xml", '<annotations><image id="0" name="../../a.jpg"/></annotations>', "leaves its folder"),
    "twice": (cvat, "a.xml", '<annotations><image id="0" name="a.jpg"/><image id="1" name="a.jpg"/></annotations>', "there twice"),
    "track twice": (cvat, "a.xml", '<annotations><track id="0" label="a"/><track id="0" label="a"/></annotations>', "there twice"),
    "runs": (cvat, "a.xml", '<annotations><image id="0" name="a.jpg" width="9" height="9"><mask label="x" rle="1, 99" left="0" top="0" width="3" height="3"/></image></annotations>', "rle covers"),
    "no label": (cvat, "a.xml", '<annotations><image id="0" name="a.jpg"><box label="" xtl="0" ytl="0" xbr="1" ybr="1"/></image></annotations>', "label"),
    "huge film": (cvat, "a.xml", "<annotations><meta><task><stop_frame>999999999</stop_frame><original_size/></task></meta></annotations>", "at most"),
    "endless": (cvat, "a.xml", '<annotations><track id="0" label="a"><box frame="0" xtl="0" ytl="0" xbr="1" ybr="1"/><box frame="9999999" xtl="0" ytl="0" xbr="1" ybr="1"/></track></annotations>', "between key frames"),
    "list nan": (datumaro, "a.json", '{"dm_format_version":"1.0","categories":{},"items":[{"id":NaN}]}', "items[0]"),
    "version": (datumaro, "a.json", '{"dm_format_version":"9.0","categories":{},"items":[]}', "dm_format_version"),
    "no category": (datumaro, "a.json", '{"dm_format_version":"1.0","categories":{},"items":[{"id":"a","annotations":[{"type":"bbox","bbox":[0,0,1,1],"label_id":3}]}]}', "label_id"),
    "in space": (datumaro, "a.json", '{"dm_format_version":"1.0","categories":{"label":{"labels":[{"name":"a"}]}},"items":[{"id":"a","annotations":[{"type":"cuboid_3d","label_id":0}]}]}', "cuboid_3d"),
    "cut": (datumaro, "a.json", '{"dm_format_version":"1.0","categories":{},"items":[{"id":"a"', "not JSON"),
    "same item": (datumaro, "a.json", '{"dm_format_version":"1.0","categories":{},"items":[{"id":"a"},{"id":"a"}]}', "there twice"),
    "deep": (datumaro, "a.json", '{"dm_format_version":"1.0","categories":{},"items":' + "[" * 5000 + "]" * 5000 + "}", "items[0]"),
    "shape type": (labelme, "a.json", '{"shapes":[{"label":"a","points":[[1,1]],"shape_type":"spiral"}],"imagePath":"a.jpg"}', "shapes[0]"),
    "points": (labelme, "a.json", '{"shapes":[{"label":"a","points":[[1,1]],"shape_type":"rectangle"}],"imagePath":"a.jpg"}', "2 or 4 points"),
    "no base64": (labelme, "a.json", '{"shapes":[{"label":"a","points":[[1,1],[2,2]],"shape_type":"mask","mask":"%%"}],"imagePath":"a.jpg","imageWidth":9,"imageHeight":9}', "base64"),
    "up": (labelme, "a.json", '{"shapes":[],"imagePath":"../a.jpg"}', "leaves its folder"),
    "chat": (labelstudio, "a.json", '[{"id":1,"data":{"image":"a.jpg"},"annotations":[{"result":[{"type":"chatmessage","value":{}}]}]}]', "chatmessage"),
    "no size": (labelstudio, "a.json", '[{"data":{"image":"a.jpg"},"annotations":[{"result":[{"type":"keypointlabels","value":{"x":1,"y":1,"keypointlabels":["a"]}}]}]}]', "size is unknown"),
    "task twice": (labelstudio, "a.json", '[{"id":1,"data":{"image":"a.jpg"}},{"id":1,"data":{"image":"b.jpg"}}]', "there twice"),
    "no picture": (labelstudio, "a.json", '[{"data":{"text":"a"},"annotations":[]}]', "names no picture"),
    "brush": (labelstudio, "a.json", '[{"data":{"image":"a.jpg"},"annotations":[{"result":[{"type":"brushlabels","original_width":9,"original_height":9,"value":{"rle":[0,0,1,68,57,9],"brushlabels":["a"]}}]}]}]', "rle"),
    "short row": (mot, "gt.txt", "1,1,5,5,4,4\n1,2,5\n", "line 2"),
    "negative": (mot, "gt.txt", "1,1,5,5,-4,4,1,1,1\n", "size"),
    "class": (mot, "gt.txt", "1,1,5,5,4,4,1,77,1\n", "class 77"),
    "one track": (mot, "gt.txt", "1,1,5,5,4,4,1,1,1\n1,1,6,5,4,4,1,1,1\n", "there twice"),
    "runs of mots": (mot, "gt.txt", "1 1001 1 9 9 ???\n", "line 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_every_fault_is_named_by_item_field_and_remedy(case: str, tmp_path: Path) -> None:
    module, name, text, word = MALFORMED[case]
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidFile) as caught:
        list(module.read(file))
    assert word in caught.value.line
    assert caught.value.remedy
    assert caught.value.where.startswith(name)


def renamed(out: Path, encoding: str, old: str) -> Iterator[Path]:
    for file in out.rglob("*"):
        if file.is_file() and file.suffix in (".json", ".xml", ".txt"):
            text = file.read_text(encoding="utf-8").replace("person", old)
            file.write_bytes(text.replace(' encoding="utf-8"', "").encode(encoding))
            yield file


@ways
@pytest.mark.parametrize("encoding", ["gb18030", "utf-8-sig"])
def test_gbk_and_byte_order_marks_are_read(
    module: ModuleType, dialect: str, encoding: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    record = Record("clip/000001.jpg", W, H, (Annotation("person", Box(1, 1, 20, 20)),))
    out = folder(tmp_path_factory, [record], module, dialect)
    assert list(renamed(out, encoding, "矿工"))
    (got,) = (r for r in module.read(out, sizes=size) if r.annotations)
    assert {a.label for a in got.annotations} == {"矿工"}


@ways
def test_attributes_of_several_types_are_told_and_what_was_written_is_read(
    module: ModuleType, dialect: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The schema's `occluded` may be a flag and a file's a text: our own files must stay readable."""
    code = next(a.code for label in SCHEMA.labels for a in label.attributes if a.type == "flag")
    label = next(x.code for x in SCHEMA.labels if not x.abstract and x.attribute(code))
    given = [{code: True}, {code: "perhaps"}, {code: 5}]
    found = [
        Record(f"clip/{n:06d}.jpg", W, H, (Annotation(label, Box(1, 1, 9, 9), a),))
        for n, a in enumerate(given, 1)
    ]
    out = folder(tmp_path_factory, found, module, dialect)
    assert len([r for r in module.read(out, sizes=size) if r.annotations]) == 3
    if module in (cvat, labelstudio):
        assert any("several types" in loss.what for loss in module.losses(found, SCHEMA, dialect))


@pytest.mark.parametrize(
    ("module", "dialect"),
    [(cvat, "images"), (cvat, "video"), (datumaro, ""), (labelstudio, ""), (mot, "mot")],
)
def test_reading_and_writing_need_memory_for_a_few_records_only(
    module: ModuleType,
    dialect: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three times as many pictures: a list of the objects that are more would take 0.4 MB."""
    monkeypatch.setattr(xmlite, "_CHUNK", 1 << 12)  # a large file's block, for files that are small

    def records(n: int) -> Iterator[Record]:
        for i in range(1, n + 1):
            found = (Annotation("person", Box(k, k, k + 9, 20), {"@track": f"{k:032x}"}) for k in range(10))
            yield Record(f"clip/{i:06d}.jpg", W, H, tuple(found))

    peaks: dict[int, int] = {}
    for n in (30, 90) * 2:  # the lower of two: what the interpreter does for itself now and then is not ours
        out = tmp_path_factory.mktemp("set")
        tracemalloc.start()
        module.write(records(n), out, schema=SCHEMA, name="t", dialect=dialect)
        assert sum(1 for r in module.read(out) if r.annotations) == n
        peaks[n] = min(peaks.get(n, 2**40), tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[90] < peaks[30] + 2.5e5
