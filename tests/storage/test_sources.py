"""Rules of walking and reading sources: hostile names, links, long paths, archives that lie; blobs."""

from __future__ import annotations

import io
import os
import random
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.errors import InvalidInput, LamproomError, NotFound, Unavailable
from storage import archives, blobs, names, sources
from storage.sources import Found

JPEG = b"\xff\xd8\xff\xe0" + b"picture" * 9


def walked(root: Path, start: bytes = b"") -> dict[str, Found]:
    return {f.path: f for f in sources.walk(os.fsencode(root), start)}


def members(root: Path, name: str) -> dict[str, Found]:
    return {f.path.partition("!/")[2]: f for f in sources.members(os.fsencode(root), walked(root)[name])}


# --- names ----------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.binary(min_size=1, max_size=60).filter(lambda b: b"/" not in b and b"\0" not in b))
def test_every_name_reads_as_clean_text_and_always_the_same(raw: bytes) -> None:
    text = names.readable(raw)
    assert text == names.readable(raw)
    assert "\n" not in text
    assert "\x1b" not in text
    assert text.encode("utf-8")


def test_gbk_names_read_as_chinese_and_their_bytes_are_kept(tmp_path: Path) -> None:
    raw = "矿井.jpg".encode("gbk")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)).write_bytes(JPEG)
    found = walked(tmp_path)["矿井.jpg"]
    assert found.disk_path == raw
    assert sources.read_bytes(os.fsencode(tmp_path), found.path, found.disk_path) == JPEG


def test_names_that_are_no_text_or_forge_lines_are_escaped(tmp_path: Path) -> None:
    for raw in (b"\xff\xfe\x80.jpg", b"a\nb.jpg", b"\x1b[2J.jpg", "‮gpj.exe.jpg".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)).write_bytes(JPEG)
    found = walked(tmp_path)
    assert len(found) == 4
    assert all(f.path.isprintable() and "\\" in f.path for f in found.values())
    for f in found.values():
        assert sources.read_bytes(os.fsencode(tmp_path), f.path, f.disk_path) == JPEG


def test_names_equal_after_nfc_stay_two_files(tmp_path: Path) -> None:
    (tmp_path / "caf\u00e9.jpg").write_bytes(JPEG)
    (tmp_path / "cafe\u0301.jpg").write_bytes(JPEG + b"2")
    found = walked(tmp_path)
    assert len(found) == 2
    assert "caf\u00e9.jpg" in found
    contents = {sources.read_bytes(os.fsencode(tmp_path), f.path, f.disk_path) for f in found.values()}
    assert contents == {JPEG, JPEG + b"2"}


def test_a_folder_cannot_pass_for_an_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip!").mkdir()
    (tmp_path / "a.zip!" / "x.jpg").write_bytes(JPEG)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        z.writestr("x.jpg", JPEG + b"other")
    outside = next(f for f in walked(tmp_path).values() if f.kind == "file")
    inside = members(tmp_path, "a.zip")["x.jpg"]
    assert outside.path != inside.path
    assert sources.read_bytes(os.fsencode(tmp_path), outside.path, outside.disk_path) == JPEG
    assert sources.read_bytes(os.fsencode(tmp_path), inside.path, inside.disk_path) == JPEG + b"other"


def test_a_path_longer_than_the_system_takes_is_walked_and_read(tmp_path: Path) -> None:
    part = "很长的名字" * 12
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir(part, dir_fd=here)
        deeper = os.open(part, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    fd = os.open("深.jpg", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here)
    os.write(fd, JPEG)
    os.close(fd)
    os.close(here)
    found = next(iter(walked(tmp_path).values()))
    assert len(found.path.encode()) > 5000
    assert sources.read_bytes(os.fsencode(tmp_path), found.path, found.disk_path) == JPEG
    assert sources.load(os.fsencode(tmp_path), found)[0] == JPEG


# --- links and odd files --------------------------------------------------------------------------------------------


def test_links_make_no_loop_and_lead_nowhere_outside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (root / "a" / "x.jpg").write_bytes(JPEG)
    (root / "a" / "loop").symlink_to(root)
    (root / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "in.jpg").symlink_to(root / "a" / "x.jpg")
    (root / "dead.jpg").symlink_to(root / "nothing")
    (root / "self.jpg").symlink_to(root / "self.jpg")
    found = walked(root)
    assert {p for p, f in found.items() if f.kind == "file"} == {"a/x.jpg", "in.jpg"}
    faults = {p: f.fault for p, f in found.items() if f.kind == "fault"}
    assert set(faults) == {"a/loop", "out.jpg", "dead.jpg", "self.jpg"}
    assert "out of the source" in faults["out.jpg"]


def test_pipes_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert walked(tmp_path)["pipe.jpg"].kind == "other"
    with pytest.raises(InvalidInput, match="regular"):
        sources.read_bytes(os.fsencode(tmp_path), "pipe.jpg")


@pytest.mark.parametrize(
    "path", ("../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "a//b", "", "./x", "a\0b")
)
def test_a_recorded_path_cannot_leave_its_root(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (tmp_path / "root").mkdir()
    with pytest.raises(InvalidInput):
        sources.read_bytes(os.fsencode(tmp_path / "root"), path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"a/b\.jpg"):
        sources.read_bytes(os.fsencode(tmp_path), "a/b.jpg")


def test_a_file_that_grows_or_shrinks_under_the_read_is_left_for_later(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(JPEG)
    for wrong in (len(JPEG) - 1, len(JPEG) + 1):
        fd, _ = names.open_file(os.fsencode(tmp_path), b"x.jpg", "x.jpg")
        try:
            with pytest.raises(Unavailable, match="changed"):
                names.read_exact(fd, wrong, "x.jpg")
        finally:
            os.close(fd)


def test_the_walk_goes_folder_by_folder_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/10.jpg", "a/1.jpg", "c.jpg", "a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(JPEG)
    assert list(walked(tmp_path)) == ["a/1.jpg", "a.jpg", "b/10.jpg", "b/2.jpg", "c.jpg"]


# --- archives -------------------------------------------------------------------------------------------------------


def test_member_names_that_lead_out_are_refused_one_by_one(tmp_path: Path) -> None:
    bad = ("../up.jpg", "/abs.jpg", "a/../../x.jpg", "C:/x.jpg", "..\\win.jpg")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        for name in (*bad, "good.jpg"):
            z.writestr(name, JPEG)
    with tarfile.open(tmp_path / "a.tar", "w") as t:
        for name in (*bad, "good.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(JPEG)
            t.addfile(info, io.BytesIO(JPEG))
    for archive in ("a.zip", "a.tar"):
        found = members(tmp_path, archive)
        assert [n for n, f in found.items() if f.kind == "file"] == ["good.jpg"]
        assert sum("leads out" in f.fault for f in found.values()) == len(bad)


def test_gbk_member_names_read_as_chinese(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        info = zipfile.ZipInfo("placeholder")
        z.writestr(info, JPEG)
    raw = (tmp_path / "a.zip").read_bytes()
    name = "井下/a.jpg".encode("gbk").ljust(11, b"g")
    (tmp_path / "a.zip").write_bytes(raw.replace(b"placeholder", name))
    found = members(tmp_path, "a.zip")["井下/a.jpgg"]
    assert sources.read_bytes(os.fsencode(tmp_path), found.path, found.disk_path) == JPEG


def test_encrypted_nested_and_repeated_members_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        z.writestr("secret.jpg", JPEG)
        z.writestr("inner.zip", b"PK")
        z.writestr("a/b.jpg", JPEG)
        z.writestr("a/./b.jpg", JPEG)
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    at = raw.index(b"PK\1\2")
    raw[at + 8] |= 1
    (tmp_path / "a.zip").write_bytes(raw)
    listed = list(sources.members(os.fsencode(tmp_path), walked(tmp_path)["a.zip"]))
    assert "encrypted" in listed[0].fault
    assert (listed[1].kind, listed[1].fault) == ("other", "an archive inside an archive")
    assert (listed[2].kind, listed[3].kind) == ("file", "fault")


def test_bombs_in_archives_are_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("bomb.jpg", bytes(30 << 20))
    found = members(tmp_path, "a.zip")["bomb.jpg"]
    member = found.member
    assert member is not None
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    raw[raw.index(b"PK\1\2") + 24 : raw.index(b"PK\1\2") + 28] = struct.pack("<I", 4096)  # claims 4 KiB
    (tmp_path / "a.zip").write_bytes(raw)
    lying = members(tmp_path, "a.zip")["bomb.jpg"]
    with pytest.raises(InvalidInput):
        sources.load(os.fsencode(tmp_path), lying)
    raw[raw.index(b"PK\1\2") + 24 : raw.index(b"PK\1\2") + 28] = struct.pack("<I", 3 << 30)
    (tmp_path / "a.zip").write_bytes(raw)
    assert "larger" in members(tmp_path, "a.zip")["bomb.jpg"].fault


def test_a_tar_with_a_hostile_header_is_given_up_without_reading_it(tmp_path: Path) -> None:
    block = bytearray(tarfile.TarInfo("x").tobuf())
    block[156:157] = b"x"
    block[124:136] = b"77777777777\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    (tmp_path / "a.tar").write_bytes(bytes(block))
    with pytest.raises(InvalidInput, match="hostile"):
        members(tmp_path, "a.tar")


@pytest.mark.parametrize("packing", ("w", "w:gz", "w:xz"))
def test_a_cut_tar_gives_what_lies_before_the_cut(tmp_path: Path, packing: str) -> None:
    name = {"w": "a.tar", "w:gz": "a.tar.gz", "w:xz": "a.tar.xz"}[packing]
    noise = random.Random(1)
    with tarfile.open(tmp_path / name, packing) as t:  # type: ignore[call-overload]
        for i in range(6):
            data = b"\xff\xd8\xff" + noise.randbytes(200_000)
            info = tarfile.TarInfo(f"{i}.jpg")
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    os.truncate(tmp_path / name, (tmp_path / name).stat().st_size // 2)
    given_: list[Found] = []
    with pytest.raises(InvalidInput, match="cut short"):
        given_.extend(sources.members(os.fsencode(tmp_path), walked(tmp_path)[name]))
    got = [f for f in _until_fault(tmp_path, name) if f.kind == "file"]
    assert 1 <= len(got) < 6


def _until_fault(root: Path, name: str) -> list[Found]:
    out = []
    try:
        for found in sources.members(os.fsencode(root), walked(root)[name]):
            out.append(found)  # noqa: PERF402 - the members before the fault are wanted
    except InvalidInput:
        pass
    return out


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(("a.zip", "a.tar", "a.tar.gz")),
    edits=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=6),
    keep=st.floats(0.1, 1.0),
)
def test_any_damage_of_an_archive_is_a_named_fault(
    kind: str, edits: list[tuple[int, int]], keep: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    if kind == "a.zip":
        with zipfile.ZipFile(root / kind, "w", zipfile.ZIP_DEFLATED) as z:
            for i in range(3):
                z.writestr(f"{i}.jpg", JPEG * 5)
    else:
        with tarfile.open(root / kind, "w:gz" if kind.endswith("gz") else "w") as t:  # type: ignore[call-overload]
            for i in range(3):
                info = tarfile.TarInfo(f"{i}.jpg")
                info.size = len(JPEG) * 5
                t.addfile(info, io.BytesIO(JPEG * 5))
    raw = bytearray((root / kind).read_bytes())
    for at, value in edits:
        raw[at % len(raw)] = value
    (root / kind).write_bytes(raw[: int(len(raw) * keep)])
    try:
        for found in sources.members(os.fsencode(root), walked(root)[kind]):
            if found.kind == "file":
                sources.load(os.fsencode(root), found)
    except LamproomError as error:
        assert error.what


def test_archives_are_known_by_name_and_packed_ones_need_copies() -> None:
    assert [archives.kind_of(n) for n in ("A.ZIP", "x.tar.GZ", "x.tgz", "x.npz", "x.gz")] == [
        "zip",
        "tar",
        "tar",
        None,
        None,
    ]
    assert sources.needs_copy("a.tar.gz!/x.jpg")
    assert not sources.needs_copy("a.tar!/x.jpg")
    assert not sources.needs_copy("a.tar.gz")


# --- objects --------------------------------------------------------------------------------------------------------


def test_objects_are_found_by_digest_and_damage_is_noticed(tmp_path: Path) -> None:
    digest = blobs.put(tmp_path, JPEG)
    assert blobs.put(tmp_path, JPEG) == digest
    assert blobs.get(tmp_path, digest) == JPEG
    assert [p for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"] == [
        blobs.path_of(tmp_path, digest)
    ]
    assert stat.S_ISREG(blobs.path_of(tmp_path, digest).stat().st_mode)
    blobs.path_of(tmp_path, digest).write_bytes(b"other")
    with pytest.raises(Unavailable, match="damaged"):
        blobs.get(tmp_path, digest)
    with pytest.raises(NotFound):
        blobs.get(tmp_path, "0" * 64)
    with pytest.raises(InvalidInput):
        blobs.get(tmp_path, "../../etc/passwd")
