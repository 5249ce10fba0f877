"""The road: sending to SeaweedFS beside s5cmd, and an unchanged dataset of 20,000 pictures. A section of bench_hub.py, runnable alone.

usage: hub_upload.py [--rounds N] [--files N] [--big MB] [--same N] [--only small|big|same]

Server, s5cmd (LAMPROOM_PEERS/hub) and we share one machine and one run; the sides take turns and the fastest round of
each counts. s5cmd copies a folder; we publish a version of the same files: what is there is asked, every object carries
its digests, chunks, documents and root follow, and what arrived is asked again.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench_ingest import draw
from bench_record import bar

from app.events import Finished, Work
from app.services import hubs, ingest, publish, versions, workspace
from storage.hub.publish import Plan
from storage.hub.s3 import S3Store
from tests.storage.hub.conftest import ACCESS, SECRET, Server, seaweed
from tests.storage.hub.sets import Made, made
from tests.support.peers import FOLDER as PEERS

JPEG = 70_000
"""Mean bytes of a small JPEG: 20,000 make 1.4 GB."""


def s5cmd(server: Server, source: str, bucket: str) -> float:
    """Seconds that s5cmd takes to copy the files into a bucket."""
    program = PEERS / "hub" / "bin" / "s5cmd"
    env = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }
    begun = time.perf_counter()
    subprocess.run(
        [program, "--log", "error", "--endpoint-url", server.endpoint, "cp", source, f"s3://{bucket}/{secrets.token_hex(4)}/"],
        check=True, env=env,
    )  # fmt: skip
    return time.perf_counter() - begun


def ours(server: Server, bucket: str, version: Made) -> float:
    """Seconds that a publishing of the same files takes."""
    hub: S3Store = server.store(bucket=bucket, prefix=f"{secrets.token_hex(4)}/", threads=16)
    begun = time.perf_counter()
    last = version.send(hub, Plan(place=version.place))[-1]
    spent = time.perf_counter() - begun
    assert last.objects == last.of_objects > 0
    return spent


def beside(name: str, server: Server, source: str, version: Made, rounds: int) -> bool:
    """Both sides in turns; the bar."""
    bucket = server.bucket()
    us, them = [], []
    for _ in range(rounds):
        us.append(ours(server, bucket, version))
        them.append(s5cmd(server, source, bucket))
    print(
        f"{name}: we {min(us):.2f} s of {[round(s, 2) for s in us]}, s5cmd {min(them):.2f} s of {[round(s, 2) for s in them]}",
        flush=True,
    )
    share = min(us) / min(them)
    return bar(f"{name}: seconds over s5cmd's", share, "<= 1.3", share <= 1.3)


def small(base: Path, server: Server, n: int, rounds: int) -> bool:
    """Many small files of incompressible bytes."""
    folder = base / "small"
    folder.mkdir()
    chance = random.Random(1)
    for i in range(n):
        (folder / f"{i:05d}.jpg").write_bytes(chance.randbytes(JPEG // 2 + chance.randrange(JPEG)))
    version = made(((p.name, p) for p in sorted(folder.iterdir())), dataset="small")
    return beside(f"{n} small JPEGs", server, f"{folder}/*", version, rounds)


def big(base: Path, server: Server, megabytes: int, rounds: int) -> bool:
    """One large file."""
    path = base / "large.mp4"
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1 << 20))
    version = made([(path.name, path)], dataset="large", kind="video/mp4")
    return beside(f"one file of {megabytes} MiB", server, str(path), version, rounds)


def same(base: Path, server: Server, n: int) -> bool:
    """A dataset of real pictures, published twice by the service."""
    folder = base / "pictures"
    draw(folder, n, (160, 120), kinds=8, quality=60)
    with workspace.create(str(base / "W")) as ws:
        result(ingest.run(ws, [folder], dataset="same"))
        result(versions.build(ws, versions.freeze(ws, "same", tag="v1")))
        hubs.add_s3(
            ws, "weed", endpoint=server.endpoint, bucket=server.bucket(), access=ACCESS, secret=SECRET
        )
        spent = []
        for _ in range(4):
            begun = time.perf_counter()
            told = result(publish.run(ws, "same@v1", "weed"))
            spent.append(time.perf_counter() - begun)
            if len(spent) > 1:
                assert told["objects_written"] == 0, told
    print(f"{n} pictures: first {spent[0]:.1f} s, again {[round(s, 2) for s in spent[1:]]}", flush=True)
    return bar(f"unchanged at {n} objects s", min(spent[1:]), "<= 1", min(spent[1:]) <= 1)


def result(work: Work) -> dict[str, object]:
    """What the work told at its end."""
    last = None
    for event in work:
        last = event
    assert isinstance(last, Finished), last
    return dict(last.result)


def main(arguments: list[str] | None = None) -> int:
    """Run and print one line a bar; 0 = all held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--big", type=int, default=1_024)
    parser.add_argument("--same", type=int, default=20_000)
    parser.add_argument("--only", choices=("small", "big", "same"))
    args = parser.parse_args(arguments)
    os.environ["LAMPROOM_KEYS"] = "plain"
    base = Path(tempfile.mkdtemp(prefix="lr-upload-"))
    server = seaweed(base / "weed")
    server.start()
    try:
        fine = True
        if args.only in (None, "small"):
            fine &= small(base, server, args.files, args.rounds)
        if args.only in (None, "big"):
            fine &= big(base, server, args.big, args.rounds)
        if args.only in (None, "same"):
            fine &= same(base, server, args.same)
        return 0 if fine else 1
    finally:
        server.stop()
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
