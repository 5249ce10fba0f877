"""Rules of shuttle disks: bags that others can check, spread over what fits, going on after a pull, sealed for one reader."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from annotation.errors import InvalidInput, NotFound, Unavailable
from app import cli
from app.services import auditing, gate, publish, receipts, receive, shuttle, versions, workspace
from app.services.gate import Tag
from app.services.workspace import Workspace
from storage import keys, seal
from storage.hub import bag, disks, package, reading, sealing
from storage.hub import shuttle as shuttles
from storage.hub.bag import Paid
from storage.hub.folder import FolderStore
from tests.app.sealed import Sealed, run, sealed
from tests.storage.hub.sets import KEY
from tests.support.peers import ask, peer


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    w = sealed(ws, tmp_path / "2号面", n=12)
    for asset in w.assets[:5]:
        w.box(asset)
    versions.freeze(ws, "face-3", tag="v1")
    return w


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(shuttles, "RESERVE", 0)
    found = [tmp_path / f"disk{i}" for i in (1, 2, 3)]
    for disk in found:
        disk.mkdir()
    return found


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Workspace]:
    with workspace.create(str(tmp_path / "O"), person="接收员") as opened:
        yield opened


def the_bag(disk: Path) -> Path:
    (found,) = disks.find(disk)
    return found


def test_a_version_spread_over_disks_is_received_from_them_together(
    world: Sealed, mounts: list[Path], other: Workspace
) -> None:
    done, warned = run(shuttle.pack(world.ws, "face-3@v1", mounts, most=130_000))
    assert warned == [] and done.result["whole"] is True
    placed = done.result["disks"]
    assert [d["disk"] for d in placed] == [1, 2, 3] and all(d["files"] for d in placed)  # type: ignore[union-attr,index]
    checked, warned = run(shuttle.check(mounts))
    assert warned == [] and checked.result["sound"] is True
    hub = shuttle.together(mounts)
    run(receive.run(other, hub, "face-3@v1", trust=seal.fingerprint(keys.public_key(world.ws))))
    assert versions.find(other, "face-3@v1").root == versions.find(world.ws, "face-3@v1").root
    got, _ = run(
        receipts.collect(world.ws, shuttle.together(mounts), "face-3@v1")
    )  # the receipt came back on the disk
    assert got.result["new"] == 1
    assert run(shuttle.check(mounts))[0].result["sound"] is True


def test_full_disks_are_finished_and_the_next_call_goes_on_without_them(
    world: Sealed, mounts: list[Path], tmp_path: Path
) -> None:
    done, warned = run(shuttle.pack(world.ws, "face-3@v1", mounts[:1], most=130_000))
    assert done.result["whole"] is False and "the disks are full" in warned[0].what
    assert run(shuttle.check(mounts[:1]))[0].result["sound"] is True
    away = tmp_path / "carried off"
    mounts[0].rename(away)
    done, warned = run(shuttle.pack(world.ws, "face-3@v1", mounts[1:], most=130_000))
    assert warned == [] and done.result["whole"] is True
    assert sorted(d["disk"] for d in done.result["disks"]) == [1, 2, 3]  # type: ignore[union-attr,index]
    names = [set(disks.opened(the_bag(d)).bag.payload) for d in (away, *mounts[1:])]
    assert not names[0] & names[1] and not names[1] & names[2]
    # On the other side, in any order, one bay:
    into = tmp_path / "hub"
    for n, disk in enumerate((mounts[2], away, mounts[1]), 1):
        done, warned = run(shuttle.unpack([disk], into))
        assert done.result["published"] == (["face-3@v1"] if n == 3 else []), warned
        assert bool(warned) is (n < 3)
    proved, warned = run(versions.verify(into, "face-3@v1"))
    assert warned == [] and proved.result["sound"]
    assert not any((into / "incoming").rglob("*"))


def test_a_disk_that_was_not_needed_is_left_as_it_was(world: Sealed, mounts: list[Path]) -> None:
    done, _ = run(shuttle.pack(world.ws, "face-3@v1", mounts))
    assert [d["disk"] for d in done.result["disks"]] == [1]  # type: ignore[union-attr,index]
    assert list(mounts[1].iterdir()) == [] and list(mounts[2].iterdir()) == []


def test_packing_again_writes_nothing_new_and_stays_a_bag(world: Sealed, mounts: list[Path]) -> None:
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    before = {p: p.stat().st_mtime_ns for p in (the_bag(mounts[0]) / "data").rglob("*") if p.is_file()}
    done, _ = run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    assert done.result["objects_written"] == 0
    after = {p: p.stat().st_mtime_ns for p in (the_bag(mounts[0]) / "data").rglob("*") if p.is_file()}
    assert {p.name for p in before} == {p.name for p in after}
    assert all(after[p] == t for p, t in before.items() if "objects" in p.parts)
    assert run(shuttle.check(mounts[:1]))[0].result["sound"] is True


def test_a_disk_pulled_out_midway_is_told_and_gone_on_with(
    world: Sealed, mounts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, append, seen = tmp_path / "pulled", shuttles._append, [0]

    def pulling(where: Path | None, row: shuttles.Row) -> None:
        append(where, row)
        seen[0] += 1
        if seen[0] == 8:
            mounts[0].rename(away)
            mounts[0].mkdir()  # the mount point stays

    monkeypatch.setattr(shuttles, "_append", pulling)
    with pytest.raises(Unavailable, match="disk"):
        run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    assert list(mounts[0].iterdir()) == []
    mounts[0].rmdir()
    away.rename(mounts[0])
    done, _ = run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    assert done.result["whole"] is True
    assert run(shuttle.check(mounts[:1]))[0].result["sound"] is True


@pytest.mark.parametrize("what", ["flip", "cut", "gone", "extra", "manifest", "about"])
def test_every_damage_to_a_disk_is_named(world: Sealed, mounts: list[Path], what: str) -> None:
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    folder = the_bag(mounts[0])
    victim = sorted((folder / "data" / "objects").rglob("*"))[-1]
    match what:
        case "flip":
            data = bytearray(victim.read_bytes())
            data[len(data) // 2] ^= 1
            victim.write_bytes(data)
        case "cut":
            victim.write_bytes(victim.read_bytes()[:-1])
        case "gone":
            victim.unlink()
        case "extra":
            (folder / "data" / "objects" / "stray").write_bytes(b"x")
        case "manifest":
            (folder / bag.MANIFEST).write_bytes((folder / bag.MANIFEST).read_bytes()[:-200])
        case "about":
            about = folder / shuttles.ABOUT
            about.write_bytes(about.read_bytes().replace(b'"disk":1', b'"disk":2'))
    if what in ("manifest", "about"):
        with pytest.raises(InvalidInput, match="damaged"):
            run(shuttle.check(mounts[:1]))
        return
    done, warned = run(shuttle.check(mounts[:1]))
    assert done.result["sound"] is False and len(warned) == 1
    assert ("stray" if what == "extra" else victim.name) in warned[0].where
    into = mounts[1] / "hub"
    done, _ = run(shuttle.unpack(mounts[:1], into))
    assert done.result["published"] == ([] if what != "extra" else ["face-3@v1"])


def test_a_bag_that_was_not_finished_is_none(world: Sealed, mounts: list[Path]) -> None:
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    (the_bag(mounts[0]) / bag.TAGS).unlink()
    with pytest.raises(NotFound, match="finished"):
        run(shuttle.check(mounts[:1]))


def test_sealed_disks_open_for_their_reader_alone(
    world: Sealed, mounts: list[Path], other: Workspace, tmp_path: Path
) -> None:
    to = shuttle.recipient(other)
    assert to.startswith("age1") and shuttle.recipient(other) == to
    done, _ = run(shuttle.pack(world.ws, "face-3@v1", mounts[:2], seal_to=to, most=230_000))
    assert done.result["sealed"] is True and done.result["whole"] is True
    inside = b"".join(
        p.read_bytes() for d in mounts[:2] for p in (the_bag(d) / "data").rglob("*") if p.is_file()
    )
    assert b"face-3" not in inside and b"\xff\xd8\xff" not in inside
    assert run(shuttle.check(mounts[:2]))[0].result["sound"] is True  # a porter can check what he cannot read
    with pytest.raises(InvalidInput, match="sealed"):
        shuttle.together(mounts[:2])
    stranger, _ = sealing.new_identity()
    done, warned = run(shuttle.unpack(mounts[:2], tmp_path / "h1", identity=stranger))
    assert (done.result["published"] == [] and "another hub's key" in warned[0].what) or "unsealed" in warned[
        0
    ].what
    done, warned = run(shuttle.unpack(mounts[:2], tmp_path / "h2", ws=other))
    assert warned == [] and done.result["published"] == ["face-3@v1"]
    assert run(versions.verify(tmp_path / "h2", "face-3@v1"))[0].result["sound"]
    again, _ = run(shuttle.pack(world.ws, "face-3@v1", mounts[:2], seal_to=to, most=230_000))
    assert again.result["objects_written"] == 0


def test_what_the_other_side_has_stays_at_home(world: Sealed, mounts: list[Path], tmp_path: Path) -> None:
    run(publish.run(world.ws, "face-3@v1", tmp_path / "hub"))
    world.box(world.assets[7])
    versions.freeze(world.ws, "face-3", tag="v2")
    done, _ = run(shuttle.pack(world.ws, "face-3@v2", mounts[:1], since="face-3@v1"))
    carried = [p for p in (the_bag(mounts[0]) / "data" / "objects").rglob("*") if p.is_file()]
    assert 1 <= len(carried) <= 3 and done.result["whole"] is True
    done, warned = run(shuttle.unpack(mounts[:1], tmp_path / "hub"))
    assert warned == [] and done.result["published"] == ["face-3@v2"]
    assert run(versions.verify(tmp_path / "hub", "face-3@v2"))[0].result["sound"]
    lacking = tmp_path / "lacking"
    done, warned = run(shuttle.unpack(mounts[:1], lacking))
    assert done.result["published"] == [] and int(str(done.result["missing"])) >= 12
    assert reading.listing(FolderStore(lacking)) == []


def test_the_library_of_congress_tool_finds_the_bag_valid(world: Sealed, mounts: list[Path]) -> None:
    python = peer("hub")
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    program = "import bagit, json, sys; b = bagit.Bag(sys.argv[1]); print(json.dumps([b.is_valid(), len(b.entries), b.algorithms]))"
    valid, n, algorithms = ask(python, program, the_bag(mounts[0]))
    assert valid and n >= 12 and algorithms == ["sha512"]
    victim = sorted((the_bag(mounts[0]) / "data" / "objects").rglob("*"))[-1]
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    assert ask(python, program, the_bag(mounts[0]))[0] is False


def test_a_packer_killed_at_any_moment_goes_on_to_the_same_disks(
    world: Sealed, mounts: list[Path], whole: bool
) -> None:
    """Real processes, killed after a growing number of files."""
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from app.services import shuttle, workspace\n"
        "from storage.hub import shuttle as s\n"
        "s.RESERVE = 0\n"
        "n = int(sys.argv[3])\n"
        "write = s._append\n"
        "def dying(where, row):\n"
        "    global n\n"
        "    n -= 1\n"
        "    if n < 0: os.kill(os.getpid(), 9)\n"
        "    write(where, row)\n"
        "s._append = dying\n"
        "with workspace.open(sys.argv[1], person='安全员') as ws:\n"
        "    list(shuttle.pack(ws, 'face-3@v1', [Path(sys.argv[2])]))\n"
    )
    folder = str(world.ws.folder)
    world.ws.close()
    for n in range(1, 40, 2) if whole else (1, 9, 26):
        killed = subprocess.run(
            [sys.executable, "-c", program, folder, mounts[0], str(n)], check=False, capture_output=True
        )
        assert killed.returncode == -9, killed.stderr[-2000:]
    with workspace.open(folder, person="安全员") as ws:
        done, warned = run(shuttle.pack(ws, "face-3@v1", mounts[:1]))
    assert done.result["whole"] is True, warned
    assert run(shuttle.check(mounts[:1]))[1] == []
    hub = shuttle.together(mounts[:1])
    assert reading.load(hub, "face-3", "v1").faults == ()


def test_the_verbs_carry_a_version_over(
    world: Sealed, mounts: list[Path], other: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, theirs = ["-w", str(world.ws.folder)], ["-w", str(other.folder)]
    disk = str(mounts[0])
    assert cli.main([*theirs, "shuttle", "recipient"]) == 0
    assert "age1" in capsys.readouterr().out
    assert cli.main([*mine, "shuttle", "pack", "face-3@v1", disk]) == 0
    assert cli.main(["shuttle", "check", disk]) == 0
    line = [*theirs, "receive", "face-3@v1", "--disk", disk]
    assert cli.main(line) == 1 and "nobody here trusts" in capsys.readouterr().err
    assert cli.main([*line, "--hub", disk]) == 1 and "either a hub or disks" in capsys.readouterr().err
    assert cli.main([*line, "--trust", seal.fingerprint(keys.public_key(world.ws))]) == 0
    capsys.readouterr()
    assert cli.main([*mine, "receipts", "face-3@v1", "--disk", disk]) == 0
    assert other.name in capsys.readouterr().out
    assert cli.main(["shuttle", "unpack", disk, "--into", str(mounts[1] / "hub")]) == 0
    assert cli.main(["verify", "face-3@v1", "--hub", str(mounts[1] / "hub")]) == 0


# --- hostile disks: anybody can write a bag and sign it ----------------------------------------------------------------


def resigned(folder: Path, **changed: object) -> None:
    """Make what lies in data/ a sound bag again, signed by a stranger."""
    top = folder / "data"
    paid = [
        Paid(p.relative_to(top).as_posix(), p.stat().st_size, hashlib.sha512(p.read_bytes()).hexdigest())
        for p in top.rglob("*")
        if p.is_file()
    ]
    said = json.loads((folder / shuttles.ABOUT).read_bytes())
    said |= {
        "key": seal.public_bytes(KEY).hex(),
        "manifest": blake3(bag.manifest_bytes(paid)).hexdigest(),
        **changed,
    }
    data = msgspec.json.encode(said)
    bag.finish(folder, paid, {}, {shuttles.ABOUT: data, shuttles.SIGNED: KEY.sign(data)})


def lay(folder: Path, key: str, data: bytes) -> None:
    path = folder / "data" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def names(top: Path) -> set[str]:
    return {p.relative_to(top).as_posix() for p in top.rglob("*") if p.is_file()}


def test_a_disk_brings_nothing_into_a_hub_but_what_a_hub_has(
    world: Sealed, mounts: list[Path], tmp_path: Path
) -> None:
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    folder, into = the_bag(mounts[0]), tmp_path / "hub"
    strange = (
        "incoming/0123456789abcdef/datasets/d/v1/root.json", "staging/x", "objects/00/x", "evil.sh", ".lamproom.lock",
        "datasets/face-3/v1/receipts/x.json", "datasets/face-3/v1/Evil.exe", "datasets/.face/v1/card.md",
    )  # fmt: skip
    for key in strange:
        lay(folder, key, b"evil")
    lay(folder, package.MARKER, b'{"format":"another"}')
    resigned(folder)
    done, warned = run(shuttle.unpack(mounts[:1], into))
    assert sorted(w.where.partition("/data/")[2] for w in warned) == sorted(strange)
    assert done.result["published"] == ["face-3@v1"]
    assert not any(b"evil" in p.read_bytes() for p in into.rglob("*") if p.is_file())
    assert reading.is_hub(FolderStore(into))


def test_an_index_or_list_that_is_not_true_hides_nothing_of_what_the_hub_has(
    world: Sealed, mounts: list[Path], tmp_path: Path
) -> None:
    into = tmp_path / "hub"
    run(publish.run(world.ws, "face-3@v1", into))
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1], since="face-3@v1"))
    folder = the_bag(mounts[0])
    victim = next(p for p in (into / "objects").rglob("*") if p.is_file())
    pack = b"evil" * 100
    index = package.PackIndex(package.PACK_FORMAT, (package.Packed(victim.name, 400, 0),))
    lay(folder, package.pack_key(blake3(pack).hexdigest()), pack)
    lay(folder, package.pack_key(blake3(pack).hexdigest()) + ".index", msgspec.json.encode(index))
    resigned(folder)
    with pytest.raises(InvalidInput, match="where its objects lie"):
        run(shuttle.unpack(mounts[:1], into))
    pieces = msgspec.json.encode((package.Piece(blake3(pack).hexdigest(), 400),))
    (folder / "data" / (package.pack_key(blake3(pack).hexdigest()) + ".index")).unlink()
    lay(folder, package.pieces_key(victim.name), pieces)
    lay(folder, package.object_key(blake3(pack).hexdigest()), pack)
    resigned(folder)
    with pytest.raises(InvalidInput, match="where its objects lie"):
        run(shuttle.unpack(mounts[:1], into))
    assert run(versions.verify(into, "face-3@v1"))[1] == []
    assert not any(
        n.startswith(("packs", "objects")) and n.endswith((".index", ".pieces")) for n in names(into)
    )


def test_a_note_that_lies_about_its_set_or_key_is_refused(world: Sealed, mounts: list[Path]) -> None:
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    folder = the_bag(mounts[0])
    before = {p: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    for changed in ({"set": "../../../x"}, {"set": ""}, {"key": "zz"}, {"key": "00"}, {"manifest": "0" * 64}):
        resigned(folder, **changed)
        with pytest.raises(InvalidInput):
            run(shuttle.check(mounts[:1]))
    for path, data in before.items():
        path.write_bytes(data)
    (folder / shuttles.ABOUT).unlink()
    os.mkfifo(folder / shuttles.ABOUT)
    with pytest.raises(InvalidInput):
        run(shuttle.check(mounts[:1]))


def test_what_is_linked_on_a_disk_is_not_read(world: Sealed, mounts: list[Path], tmp_path: Path) -> None:
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    folder = the_bag(mounts[0])
    (folder / "data" / "objects").rename(tmp_path / "elsewhere")
    (folder / "data" / "objects").symlink_to(tmp_path / "elsewhere")
    done, warned = run(shuttle.check(mounts[:1]))
    assert len(warned) >= 12 and {w.what for w in warned} == {"it is not a plain file"}
    assert run(shuttle.unpack(mounts[:1], tmp_path / "hub"))[0].result["published"] == []
    (folder / "data").rename(tmp_path / "data")
    (folder / "data").symlink_to(tmp_path / "data")
    done, _ = run(shuttle.check(mounts[:1]))
    assert done.result["sound"] is False and not names(tmp_path / "hub") & {"objects"}


def test_names_on_a_disk_that_are_no_text_are_shown_as_bytes(
    world: Sealed, mounts: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    folder = the_bag(mounts[0])
    (Path(os.fsdecode(os.fsencode(folder / "data") + b"/\xff\xfe"))).write_bytes(b"x")
    assert cli.main(["shuttle", "check", str(mounts[0])]) == 3
    assert "\\xff\\xfe" in "".join(capsys.readouterr())
    manifest = (folder / bag.MANIFEST).read_bytes() + b"0" * 128 + b"  data/\xff\n"
    (folder / bag.MANIFEST).write_bytes(manifest)
    lines = (folder / bag.TAGS).read_text().splitlines()
    new = [
        f"{hashlib.sha512(manifest).hexdigest()}  {bag.MANIFEST}" if bag.MANIFEST in x else x for x in lines
    ]
    (folder / bag.TAGS).write_text("\n".join(new) + "\n")
    with pytest.raises(InvalidInput, match="no UTF-8 text"):
        run(shuttle.check(mounts[:1]))


def test_a_version_is_published_at_the_hub_only_as_it_was_signed(
    world: Sealed, mounts: list[Path], tmp_path: Path
) -> None:
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    folder, into = the_bag(mounts[0]), tmp_path / "hub"
    card = folder / "data" / "datasets" / "face-3" / "v1" / "card.md"
    good = card.read_bytes()
    card.write_bytes(good + b"and more")
    resigned(folder)
    with pytest.raises(InvalidInput, match="not the file that was signed"):
        run(shuttle.unpack(mounts[:1], into))
    said = card.with_name("package.json")
    whole = said.read_bytes()
    card.write_bytes(good)
    said.write_bytes(b"{")
    resigned(folder)
    with pytest.raises(InvalidInput, match="cannot be read"):
        run(shuttle.unpack(mounts[:1], into))
    said.write_bytes(whole)
    lay(folder, "datasets/a/v1/root.json", (card.with_name("root.json")).read_bytes())
    resigned(folder)
    with pytest.raises(InvalidInput, match="more than one version"):
        run(shuttle.unpack(mounts[:1], into))
    assert reading.listing(FolderStore(into)) == []


def test_a_journal_that_was_in_other_hands_is_not_believed(world: Sealed, mounts: list[Path]) -> None:
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    folder = the_bag(mounts[0])
    journal = folder / shuttles.JOURNAL
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    changed = next(r for r in rows if r["key"].startswith("objects/"))
    path = folder / "data" / changed["key"]
    path.write_bytes(bytes(changed["bytes"]))
    lies = [{**changed, "sha512": hashlib.sha512(bytes(changed["bytes"])).hexdigest()}]
    lies += [{**changed, "key": "../../../x"}, {**changed, "key": "objects/00/x"}, {**changed, "sha512": "x"}]
    with journal.open("a") as out:
        out.write("".join(json.dumps(r) + "\n" for r in lies))
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    assert run(shuttle.check(mounts[:1]))[1] == []
    assert hashlib.sha512(path.read_bytes()).hexdigest() == changed["sha512"]
    (folder / "disk").write_text("one")
    with pytest.raises(InvalidInput, match="number of the disk"):
        run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))


def test_disks_that_may_be_carried_off_are_in_the_audit_log(world: Sealed, mounts: list[Path]) -> None:
    run(shuttle.pack(world.ws, "face-3@v1", mounts[:1], most=130_000))
    last = auditing.listing(world.ws)[-1]
    assert (last.verb, last.subject, last.detail["whole"]) == ("shuttle", "face-3@v1", False)


def test_what_its_tags_keep_in_is_not_packed(world: Sealed, mounts: list[Path]) -> None:
    gate.set_tag(world.ws, "asset", str(world.assets[0]), Tag("internal"))
    with pytest.raises(InvalidInput, match="may be seen by internal only"):
        run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    assert list(mounts[0].iterdir()) == []
