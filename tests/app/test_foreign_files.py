"""Foreign files through the import itself: every fixture is imported or refused by name; damaged ones leave no trace.

300 damaged files by default, 10,000 with --whole: no crash, no traceback, and the record is as it was after a refusal.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotation import formats
from annotation.core import Annotation, Box, Mask, Polygon, Tag
from annotation.errors import LamproomError
from annotation.formats.base import Record
from app import cli
from app.services import imports, ingest, workspace
from app.services import schema as schemas
from app.services.imports import Wish
from app.services.workspace import Workspace
from tests.app.test_import_ways import counters

PICTURES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".pcd", ".bin"))


def test_every_fixture_is_imported_or_refused_with_item_and_remedy(
    ws: Workspace, shared: Path, whole: bool
) -> None:
    root = shared / "data" / "formats"
    list(ingest.run(ws, [root], dataset="d"))
    became: Counter[str] = Counter()
    got: Counter[str] = Counter()
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix.lower() in PICTURES:
            continue
        if not whole and len(path.relative_to(root).parts) > (3 if path.is_dir() else 2):
            continue  # the parts of a set, each given alone
        before = counters(ws)
        try:
            last = list(imports.import_labels(ws, path, dataset="d", wish=Wish(predictions=True)))[-1]
            done = dict(last.result)  # type: ignore[union-attr]
            became["imported"] += 1
            got[str(done["format"])] += int(done["annotations"])  # type: ignore[call-overload]
        except LamproomError as fault:
            became["refused"] += 1
            assert fault.what and fault.where and "\n" not in fault.line, path
            assert fault.remedy or "no number" in fault.what, fault.line
            assert counters(ws) == before, path
    assert became["imported"] >= (120 if whole else 18) and became.total() >= (300 if whole else 35), became
    assert {name for name, n in got.items() if n} >= {
        "coco",
        "cvat",
        "datumaro",
        "dota",
        "icdar",
        "kitti",
        "labelme",
        "voc",
        "yolo",
    }


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("nan.coco.json", "NaN"),
        ("truncated.coco.json", "not JSON"),
        ("orphan.coco.json", "annotations[1]"),
        ("entity.voc.xml", "entities"),
        ("swapped.voc.xml", "swapped"),
        ("path-escape.labelme.json", "leaves its folder"),
    ],
)
def test_a_malformed_fixture_is_refused_by_the_verb_in_one_line(
    ws: Workspace, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, what: str
) -> None:
    (tmp_path / "p").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "p/a.jpg")
    list(ingest.run(ws, [tmp_path / "p"], dataset="d"))
    before = counters(ws)
    file = shared / "data/formats/handwritten/malformed" / name
    assert cli.main(["-w", ws.location, "import", str(file), "--dataset", "d"]) == 1
    told = capsys.readouterr()
    assert (
        what in told.err
        and name in told.err
        and "Traceback" not in told.err
        and len(told.err.splitlines()) == 1
    )
    assert counters(ws)[:-1] == before[:-1]  # the last counts people: who runs the line is another one


HOSTILE = {
    "bomb.xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;">]>'
    b"<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height></size><object>&c;</object></annotation>",
    "external.xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    b"<annotations><version>1.1</version><image name='a.jpg' id='0' width='64' height='48'>&x;</image></annotations>",
    "escape.json": b'{"images":[{"id":1,"file_name":"../../../etc/passwd","width":64,"height":48}],"categories":[{"id":1,"name":"x"}],'
    b'"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,1,5,5]}]}',
    "twice.json": b'{"images":[{"id":1,"file_name":"a.jpg","width":64,"height":48},{"id":1,"file_name":"b.jpg","width":64,"height":48}],'
    b'"categories":[{"id":1,"name":"x"}],"annotations":[]}',
    "nan.json": b'{"images":[{"id":1,"file_name":"a.jpg","width":64,"height":48}],"categories":[{"id":1,"name":"x"}],'
    b'"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,NaN,5,5]}]}',
    "deep.json": b'{"images":' + b"[" * 100_000 + b'],"annotations":[],"categories":[]}',
    "huge.json": b'{"images":[{"id":1,"file_name":"a.jpg","width":64,"height":48}],"categories":[{"id":1,"name":"x"}],'
    b'"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,1,1e300,5]}]}',
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_file_is_refused_and_changes_nothing(base: Base, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(HOSTILE[name])
    before = counters(base.ws)
    with pytest.raises(LamproomError) as refused:
        list(imports.import_labels(base.ws, tmp_path / name, dataset="d"))
    assert refused.value.where and len(refused.value.line) < 500
    assert counters(base.ws) == before


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_names_come_in_from_every_encoding_in_use(base: Base, tmp_path: Path, encoding: str) -> None:
    text = (
        "<annotation><filename>井下.jpg</filename><size><width>64</width><height>48</height></size><object><name>矿工</name>"
        "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    head = f'<?xml version="1.0" encoding="{"gb18030" if encoding == "gb18030" else "utf-8"}"?>'
    (tmp_path / "井下.xml").write_bytes((head + text).encode(encoding))
    found = imports.look(base.ws, tmp_path / "井下.xml", dataset="d")
    assert (found.format, found.matched, [c.name for c in found.classes]) == ("voc", 1, ["矿工"])


class Base:
    """A small workspace and one set of labels of it in every format, to be damaged."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "p").mkdir(parents=True)
        for i, name in enumerate(("a.jpg", "b.jpg", "井下.jpg", "000001.jpg", "000002.jpg")):
            Image.fromarray(np.full((48, 64, 3), 20 * i, np.uint8)).save(place / "p" / name)
        self.ws = workspace.create(str(place / "W"), person="07")
        list(ingest.run(self.ws, [place / "p"], dataset="d"))
        self.schema = schemas.current(self.ws)
        self.sets = list(self._write())

    def _write(self) -> Iterator[Path]:
        shapes = (
            Annotation("person", Box(1, 2, 30, 40)), Annotation("helmet", Polygon((((3.0, 3.0, 20.0, 4.0, 9.0, 30.0),),))),
            Annotation("person", Mask(64, 48, (100, 40, 64 * 48 - 140)), score=0.5, origin="model"), Annotation("person", Tag()),
        )  # fmt: skip
        for text in formats.names():
            module, dialect = formats.target(text)
            names = (
                ("000001.jpg", "000002.jpg") if text.startswith(("mot", "cvat-video")) else ("a.jpg", "b.jpg")
            )
            records = [Record(n, 64, 48, shapes, "train") for n in names]
            out = self.place / "sets" / text
            out.mkdir(parents=True)
            try:
                module.write(iter(records), out, schema=self.schema, name="d", dialect=dialect)
            except LamproomError:  # a format that cannot hold one of these shapes
                plain = [Record(n, 64, 48, shapes[:1], "train") for n in names]
                shutil.rmtree(out)
                out.mkdir()
                try:
                    module.write(iter(plain), out, schema=self.schema, name="d", dialect=dialect)
                except LamproomError:
                    continue
            yield out


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    made = Base(tmp_path_factory.mktemp("foreign"))
    yield made
    made.ws.close()


_WORDS = (
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"\xff\xfe",
    b"../../x",
    b"\x00",
    b"99999999999999999999",
    b"{",
    b"]",
    b'"',
    b"<",
    b"&",
    b"\xb1\xed",
)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """The bytes with a few faults: flipped, cut, doubled, swapped for what parsers trip over."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0 if out:
                out[min(at, len(out) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                out[at : at + rng.randrange(40)] = b""
            case 2:
                out[at:at] = rng.choice(_WORDS)
            case 3:
                end = at + rng.randrange(60)
                out[at:at] = out[at:end]
            case 4:
                out[at:] = b""
            case _:
                end = at + rng.randrange(1, 8)
                out[at:end] = rng.choice(_WORDS)
    return bytes(out)


def test_damaged_files_import_or_are_refused_and_a_refusal_changes_nothing(
    base: Base, tmp_path: Path, whole: bool
) -> None:
    ways: Counter[str] = Counter()
    for number in range(10_000 if whole else 300):
        rng = random.Random(number)
        source = base.sets[number % len(base.sets)]
        copy = tmp_path / "set"
        shutil.copytree(source, copy)
        files = sorted(p for p in copy.rglob("*") if p.is_file())
        for file in rng.sample(files, min(len(files), rng.randrange(1, 3))):
            file.write_bytes(damaged(rng, file.read_bytes()))
        name = source.name.partition("-")[0] if number % 2 else ""  # named by a person, or found out
        before = counters(base.ws)
        try:
            work = imports.import_labels(
                base.ws, copy, dataset="d", wish=Wish(name, predictions=number % 3 == 0)
            )
            done = dict(list(work)[-1].result)  # type: ignore[union-attr]
            ways["imported"] += 1
            assert isinstance(json.dumps(done), str)
        except LamproomError as fault:
            ways["refused"] += 1
            assert fault.where and "\n" not in fault.line, f"{number} {source.name}: {fault.line}"
            assert counters(base.ws) == before, f"{number} {source.name}"
        shutil.rmtree(copy)
    assert ways["imported"] and ways["refused"], ways
    assert not list(tmp_path.iterdir())
