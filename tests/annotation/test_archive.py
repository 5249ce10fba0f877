"""Zips of annotations: opened as a folder that is gone afterwards, whatever they hold and whoever packed them."""

from __future__ import annotations

import random
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotation import formats, labels
from annotation.core import Annotation, Box
from annotation.errors import InvalidInput, LamproomError, Unavailable
from annotation.formats import FORMATS, Record, archive


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Unpacked where the test sees what is left."""
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "unpacked"))
    yield
    assert list((tmp_path / "unpacked").iterdir()) == []
    assert not (tmp_path / "escaped.txt").exists()


def packed(tmp_path: Path, members: dict[str, bytes], name: str = "a.zip") -> Path:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for member, data in members.items():
            out.writestr(member, data)
    return path


def listed(folder: Path) -> list[str]:
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


def test_other_paths_are_given_as_they_are(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.zip", tmp_path / "a.json"):
        with formats.opened(path) as found:
            assert found == path


def test_a_zip_is_a_folder_while_it_is_read(tmp_path: Path) -> None:
    path = packed(
        tmp_path, {"annotations.xml": b"<a/>", "images/x.jpg": b"1", "__MACOSX/images/._x.jpg": b"2"}
    )
    with formats.opened(path) as found:
        assert listed(found) == ["annotations.xml", "images/x.jpg"]
        assert (found / "images/x.jpg").read_bytes() == b"1"
    assert not found.exists()
    with formats.opened(packed(tmp_path, {"task 3/a.xml": b"", "task 3/b.xml": b""}, "b.zip")) as found:
        assert (found.name, listed(found)) == ("task 3", ["a.xml", "b.xml"])


def test_names_of_chinese_windows_are_read(tmp_path: Path) -> None:
    path = packed(tmp_path, {"AAAAAAAA.json": b"[]", "b/x.json": b"{}"})
    data = path.read_bytes().replace(b"AAAAAAAA", "矿井标注".encode("gbk"))
    path.write_bytes(data)
    with formats.opened(path) as found:
        assert listed(found) == ["b/x.json", "矿井标注.json"]


@pytest.mark.parametrize(
    "name", ["../escaped.txt", "a/../../escaped.txt", "/escaped.txt", "..\\escaped.txt", "C:\\escaped.txt", "a\0b", "x" * 300],
)  # fmt: skip
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        info = zipfile.ZipInfo("PLACE")
        info.filename = name  # as it is, not made harmless
        out.writestr(info, b"x")
        out.writestr("fine.txt", b"x")
    with pytest.raises(InvalidInput) as caught, formats.opened(path):
        pass
    assert caught.value.remedy


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(kind: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        info = zipfile.ZipInfo("link")
        info.external_attr = (kind | 0o777) << 16
        out.writestr(info, b"/etc/passwd")
    with pytest.raises(InvalidInput, match="link or a device"), formats.opened(path):
        pass


def test_bombs_lies_and_doubles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "BOMB_BYTES", 1 << 20)
    bomb = packed(tmp_path, {"a.json": b"\0" * (8 << 20)})
    with pytest.raises(InvalidInput, match="unpacks to"), formats.opened(bomb):
        pass
    small = packed(tmp_path, {"a.json": b"x" * 5000}, "small.zip")
    data = bytearray(small.read_bytes())
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 100)  # the directory says it is smaller
    small.write_bytes(data)
    with pytest.raises(InvalidInput), formats.opened(small):
        pass
    twice = tmp_path / "twice.zip"
    with zipfile.ZipFile(twice, "w") as out:
        out.writestr("a.json", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            out.writestr("a.json", b"2")
    with pytest.raises(InvalidInput, match="there twice"), formats.opened(twice):
        pass
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    with (
        pytest.raises(InvalidInput, match="4 files"),
        formats.opened(packed(tmp_path, dict.fromkeys("abcd", b""), "n.zip")),
    ):
        pass


def test_a_full_disk_is_told_before_a_byte_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "KEEP_FREE", 1 << 62)
    with pytest.raises(Unavailable, match="make room"), formats.opened(packed(tmp_path, {"a": b"1"})):
        pass


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a.json": b"[]"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match="encrypted"), formats.opened(path):
        pass


def test_damaged_zips_are_refused_and_leave_nothing_behind(tmp_path: Path, whole: bool) -> None:
    good = packed(tmp_path, {f"part {i}/a{i}.json": b"[%d]" % i * 50 for i in range(6)}).read_bytes()
    rng = random.Random(7)
    path = tmp_path / "bad.zip"
    for _ in range(2000 if whole else 60):
        data = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        path.write_bytes(data)
        try:
            with formats.opened(path) as found:
                assert found.is_dir()
        except LamproomError as error:
            assert "\n" not in error.line


@pytest.mark.parametrize("name", ["coco", "yolo", "cvat"])
def test_a_zip_as_cvat_hands_it_out_is_recognised_inside(name: str, tmp_path: Path) -> None:
    record = Record("a1.jpg", 64, 48, (Annotation("person", Box(1, 1, 20, 20)),))
    out = tmp_path / "out"
    out.mkdir()
    FORMATS[name].write([record], out, schema=labels.load("coal_mine"), name="t")
    path = packed(
        tmp_path, {f.relative_to(out).as_posix(): f.read_bytes() for f in out.rglob("*") if f.is_file()}
    )
    with formats.opened(path) as found:
        assert formats.guess(found).name == name
        (got,) = FORMATS[name].read(found, sizes=lambda _: (64, 48))
    assert [a.label for a in got.annotations] == ["person"]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("yolo_dataset/strict", "yolo"),
        ("coco_dataset/coco_instances", "coco"),
        ("cvat_dataset/for_images/export_project", "cvat"),
    ],
)
def test_a_zip_of_a_real_export_is_recognised_and_read(
    place: str, name: str, tmp_path: Path, shared: Path
) -> None:
    home = shared / "data/formats/datumaro" / place
    path = packed(
        tmp_path, {f.relative_to(home).as_posix(): f.read_bytes() for f in home.rglob("*") if f.is_file()}
    )
    with formats.opened(path) as found:
        assert formats.guess(found).name == name
        assert list(FORMATS[name].read(found))
