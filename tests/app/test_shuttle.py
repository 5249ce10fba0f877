"""Rules of shuttle disks: bags that others can check, spread over what fits, going on after a pull, sealed for one reader."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotation.errors import InvalidInput, NotFound, Unavailable
from app import cli
from app.services import publish, receipts, receive, shuttle, versions, workspace
from app.services.workspace import Workspace
from storage import keys, seal
from storage.hub import bag, disks, reading, sealing
from storage.hub import shuttle as shuttles
from storage.hub.folder import FolderStore
from tests.app.sealed import Sealed, run, sealed
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
    world: Sealed, mounts: list[Path], tmp_path: Path
) -> None:
    work = shuttle.pack(world.ws, "face-3@v1", mounts[:1])
    bags: list[Path] = []
    away = tmp_path / "pulled"
    with pytest.raises(Unavailable, match="disk"):
        for _ in work:
            if mounts[0].is_dir() and len(list(mounts[0].rglob("objects/*/*"))) >= 3:
                mounts[0].rename(away)
    away.rename(mounts[0])
    done, _ = run(shuttle.pack(world.ws, "face-3@v1", mounts[:1]))
    assert done.result["whole"] is True and bags == []
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
