"""Versions: 20,000 JPEGs against dvc, and manifests at 5 million assets. A section of bench_hub.py, runnable alone.

usage: hub_versions.py [--files N] [--assets N] [--keep DIR] [--only small|large]

Both sides work on the same files from the page cache, in a process of their own for every measurement; what is timed is
the work without the start of the interpreter and the imports: dvc's through its own Repo objects, in its own environment
(LAMPROOM_PEERS/dvc). The whole processes' seconds stand beside. Disk: 4 GB; at 5 million assets 5 GB more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench_ingest import draw, with_comment
from bench_record import LABELS, bar, build

from annotation.core import new_uid
from app.events import Finished, Work
from app.services import ingest, versions, workspace
from app.services.workspace import Workspace
from storage import record
from storage.record import Content, Edit

ROOT = Path(__file__).resolve().parents[2]
SIZE, KINDS, QUALITY = (960, 540), 40, 80
PER_FOLDER = 2_500
"""Pictures of a folder at full scale: 20 folders of 5 million are 1 %."""
CHANGED_FOLDERS = 20

DVC = """
import json, os, resource, sys, time
os.environ["DVC_NO_ANALYTICS"] = "1"
from dvc.repo import Repo
what = sys.argv[1]
repo = Repo(".")
start, cpu = time.perf_counter(), time.process_time()
if what == "add":
    repo.add("data")
else:
    repo.diff(sys.argv[2], sys.argv[3])
spent = time.perf_counter() - start
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"work": spent, "cpu": sum(u.ru_utime + u.ru_stime for u in used) - cpu}))
"""


def peer() -> Path | None:
    """The interpreter of dvc's environment, None where there is none."""
    base = Path(os.environ.get("LAMPROOM_PEERS") or ROOT / ".cache" / "peers") / "dvc"
    found = [p for p in (base / "bin" / "python", base / "Scripts" / "python.exe") if p.exists()]
    return found[0] if found else None


def ran(line: list[str | Path], cwd: Path) -> dict[str, float]:
    """Run a measurement in a process of its own: its own figures, and the whole process's seconds."""
    env = {
        **os.environ, "PYTHONPATH": str(ROOT), "LAMPROOM_KEYS": "plain", "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "b", "GIT_AUTHOR_EMAIL": "b@b", "GIT_COMMITTER_NAME": "b", "GIT_COMMITTER_EMAIL": "b@b",
    }  # fmt: skip
    begun = time.perf_counter()
    done = subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{line}: {done.stderr[-2000:]}")
    told = [text for text in done.stdout.splitlines() if text.startswith("{")]
    figures: dict[str, float] = json.loads(told[-1]) if told else {}
    return {**figures, "whole": time.perf_counter() - begun}


def ours(what: str, place: Path, *rest: str) -> dict[str, float]:
    """One of `child`'s measurements in a process of its own."""
    return ran([sys.executable, Path(__file__), "--child", what, place, *rest], place.parent)


def child(what: str, place: Path, rest: list[str]) -> None:
    """In the process that is measured: ingest + freeze + build, or diff; prints seconds."""
    with workspace.open(str(place)) as ws:
        begun, cpu = time.perf_counter(), time.process_time()
        if what == "version":
            result(ingest.run(ws, [Path(rest[0])], dataset="d"))
            result(versions.build(ws, versions.freeze(ws, "d", tag=rest[1])))
        else:
            versions.diff(ws, rest[0], rest[1], fresh=True)
        print(json.dumps({"work": time.perf_counter() - begun, "cpu": time.process_time() - cpu}))


def result(work: Work) -> dict[str, object]:
    """Run work to its end."""
    last = list(work)[-1]
    assert isinstance(last, Finished)
    return dict(last.result)


def change(paths: list[Path], share: float) -> int:
    """Write other bytes into this share of the pictures, spread evenly. New files, as a tool that saves would write them."""
    chosen = paths[:: round(1 / share)]
    for path in chosen:
        fresh = path.with_suffix(".new")
        fresh.write_bytes(with_comment(path.read_bytes(), new_uid().encode()))
        fresh.replace(path)
    return len(chosen)


def small(base: Path, n: int) -> bool:
    """Against dvc."""
    python = peer()
    if python is None:
        print("NOT MEASURED: dvc, no environment of that name in LAMPROOM_PEERS", file=sys.stderr, flush=True)
        return False
    repo = base / "repo"
    data = repo / "data"
    paths = draw(data, n, SIZE, kinds=KINDS, quality=QUALITY)
    total = sum(p.stat().st_size for p in paths)
    print(f"{n} JPEGs, {total / 1e9:.2f} GB, load {os.getloadavg()[0]:.1f}", flush=True)
    dvc: list[str | Path] = [python, "-c", DVC]
    for line in (["git", "init", "-q"], [python, "-m", "dvc", "init", "-q"]):
        ran([*line], repo)
    place = base / "w"
    workspace.create(str(place), person="bench").close()
    warm = sum(p.read_bytes()[-1] for p in paths)  # both sides from the page cache
    assert warm >= 0
    fine = True
    for name, tag, most in (("first", "v1", 4), ("unchanged", "v2", 5), ("1 % changed", "v3", 5)):
        if tag == "v3":
            change(paths, 0.01)
        theirs = ran([*dvc, "add"], repo)
        ran(["git", "add", "-A"], repo)
        ran(["git", "commit", "-q", "--allow-empty", "-m", tag], repo)
        mine = ours("version", place, str(data), tag)
        fine &= against(f"{name}: ingest + freeze + build against dvc add", mine, theirs, most)
    theirs = ran([*dvc, "diff", "HEAD~1", "HEAD"], repo)
    mine = min((ours("diff", place, "d@v2", "d@v3") for _ in range(3)), key=lambda f: f["work"])
    return against("diff against dvc diff", mine, theirs, 20) and fine


def against(name: str, mine: dict[str, float], theirs: dict[str, float], most: int) -> bool:
    """The bar, and the figures it is made of."""
    print(
        f"{name}: {mine['work']:.2f} s ({mine['cpu']:.2f} CPU, process {mine['whole']:.2f}); "
        f"dvc {theirs['work']:.2f} s ({theirs['cpu']:.2f} CPU, process {theirs['whole']:.2f}); load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    ratio = mine["work"] / theirs["work"]
    return bar(name, ratio, f"<= 1/{most}", ratio <= 1 / most)


# --- full scale ------------------------------------------------------------------------------------------------------


def edit(ws: Workspace, assets: list[int]) -> None:
    """Draw one box on each of these."""
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "edit", ws.person.id, {}, open_=False)
        label = record.label_ids(conn, LABELS)[LABELS[0]]
    for i in range(0, len(assets), 5_000):
        part = assets[i : i + 5_000]
        with record.change(
            ws.db, agent_id=ws.person.id, activity_id=activity, verb="draw", dataset_id=1, assets=part, durable=False
        ) as draft:  # fmt: skip
            draft.annotate([Edit(opens=c) for c in drawn(part, label)])


def drawn(assets: list[int], label: int) -> Iterator[Content]:
    """A box an asset."""
    for asset in assets:
        yield Content(
            bytes.fromhex(new_uid()), asset, label, 0, (1_000, 1_000, 90_000, 90_000), None, None, None, 0
        )


def stored(ws: Workspace) -> dict[str, int]:
    """Every object of the workspace and its size."""
    return {p.name: p.stat().st_size for p in (ws.folder / "objects").glob("*/*")}


def large(base: Path, n: int) -> bool:
    """Manifests of n drawn assets."""
    place = base / "large"
    if not place.exists():
        build(place, n, every=5, per_folder=PER_FOLDER)[0].close()
    with workspace.open(str(place)) as ws:
        print(f"{n} assets, load {os.getloadavg()[0]:.1f}", flush=True)
        begun = time.perf_counter()
        first = versions.freeze(ws, "face-3", tag="v1")
        pin = time.perf_counter() - begun
        fine = bar("freeze pin s", pin, "<= 1", pin <= 1)
        begun = time.perf_counter()
        whole = result(versions.build(ws, first))
        full_s = time.perf_counter() - begun
        before = stored(ws)
        size = sum(before.values())
        print(f"full build: {full_s:.1f} s, {whole['chunks']} chunks, {size / 1e6:.0f} MB", flush=True)
        folders = n // PER_FOLDER
        chosen = random.Random(5).sample(range(folders), max(1, folders * CHANGED_FOLDERS // 2_000))
        edit(ws, [f * PER_FOLDER + i + 1 for f in sorted(chosen) for i in range(PER_FOLDER)])
        second = versions.freeze(ws, "face-3", tag="v2")
        begun = time.perf_counter()
        later = result(versions.build(ws, second))
        part_s = time.perf_counter() - begun
        written = sum(size for name, size in stored(ws).items() if name not in before)
        print(
            f"{len(chosen)} folders changed ({100 * len(chosen) / folders:.1f} %): {part_s:.1f} s, {written / 1e6:.1f} MB written, "
            f"{later['chunks_reused']} of {later['chunks']} chunks reused", flush=True,
        )  # fmt: skip
        fine &= bar("written share of the manifest", written / size, "<= 0.03", written <= 0.03 * size)
        fine &= bar("time share of a full build", part_s / full_s, "<= 0.05", part_s <= 0.05 * full_s)
        spent = []
        for _ in range(3):
            begun = time.perf_counter()
            found = versions.diff(ws, "face-3@v1", "face-3@v2", fresh=True)
            spent.append(time.perf_counter() - begun)
        assert found.assets_changed == len(chosen) * PER_FOLDER, found
        fine &= bar("diff of two roots 1 % apart s", min(spent), "<= 2", min(spent) <= 2)
    return fine


def main(arguments: list[str] | None = None) -> int:
    """Run and print one line a bar; 0 = all held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--assets", type=int, default=5_000_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", choices=("small", "large"))
    parser.add_argument("--child", nargs="+")
    args = parser.parse_args(arguments)
    if args.child:
        child(args.child[0], Path(args.child[1]), args.child[2:])
        return 0
    os.environ["LAMPROOM_KEYS"] = "plain"
    base = args.keep or Path(tempfile.mkdtemp(prefix="lr-versions-"))
    base.mkdir(parents=True, exist_ok=True)
    try:
        fine = args.only == "large" or small(base, args.files)
        return 0 if (args.only == "small" or large(base, args.assets)) and fine else 1
    finally:
        if args.keep is None:
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
