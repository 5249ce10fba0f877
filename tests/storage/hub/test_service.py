"""Rules of publishing to a real server from a workspace: its job goes on after a kill, and a cancelled one leaves no upload."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from blake3 import blake3

from annotation.errors import Unavailable
from app.services import hubs, jobs, publish, versions, workspace
from storage.hub.s3 import LEAST_PART, S3Store
from storage.hubs import UploadsOf
from tests.app.sealed import Sealed, run, sealed
from tests.storage.hub.conftest import ACCESS, SECRET, Server

CHILD = """
import sys
from storage import files
real = files.write
def write(path, *rest, **kw):
    if "hub" in path.parts:
        print("write", flush=True)
    return real(path, *rest, **kw)
files.write = write
from app import cli
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sealed]:
    """Eight pictures, the first of them large enough to go in two parts."""
    monkeypatch.setenv("LAMPROOM_KEYS", "plain")
    with workspace.create(str(tmp_path / "W"), person="安全员") as ws:
        made = sealed(ws, tmp_path / "2号面")
        data = made.paths[0].read_bytes() + random.Random(1).randbytes(LEAST_PART)
        made.paths[0].write_bytes(data)
        with ws.db.write() as conn:
            conn.execute(
                sa.text("UPDATE asset SET blake3 = :b, sha256 = :s, size_bytes = :n WHERE id = :i"),
                {
                    "b": blake3(data).digest(),
                    "s": hashlib.sha256(data).digest(),
                    "n": len(data),
                    "i": made.assets[0],
                },
            )
        versions.freeze(ws, "face-3", tag="v1")
        yield made


def named(world: Sealed, server: Server) -> hubs.Hub:
    return hubs.add_s3(
        world.ws, "集团", endpoint=server.endpoint, bucket=server.bucket(), access=ACCESS, secret=SECRET
    )


def broken(world: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish, with a line that breaks for good at the second part."""
    real = S3Store._part

    def part(self: S3Store, key: str, upload: str, number: int, data: bytes) -> str:
        if number == 2:
            raise Unavailable("the line is cut")
        return real(self, key, upload, number, data)

    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "_part", part)
        with pytest.raises(Unavailable, match="cut"):
            run(publish.run(world.ws, "face-3@v1", "集团"))


def test_a_broken_publishing_goes_on_with_the_part_that_is_missing(
    world: Sealed, weed_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = named(world, weed_server)
    broken(world, monkeypatch)
    memory = UploadsOf(world.ws.db, hub.id)
    ((_, upload),) = memory.all()
    sent: list[tuple[str, int]] = []
    real = S3Store._part

    def part(self: S3Store, key: str, upload: str, number: int, data: bytes) -> str:
        sent.append((upload, number))
        return real(self, key, upload, number, data)

    monkeypatch.setattr(S3Store, "_part", part)
    run(jobs.work_off(world.ws))
    assert sent == [(upload, 2)] and memory.all() == []
    assert publish.queue(world.ws)[0].state == "finished"
    with closing(hubs.open_hub(world.ws, "集团")) as store:
        assert run(versions.verify(store, "face-3@v1"))[0].result["sound"] and not list(store.abandoned())


def test_a_cancelled_publishing_leaves_no_upload_at_the_hub(
    world: Sealed, weed_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = named(world, weed_server)
    broken(world, monkeypatch)
    with closing(hubs.open_hub(world.ws, "集团")) as store:
        assert len(list(store.abandoned())) == 1
        jobs.cancel(world.ws, publish.queue(world.ws)[0].job)
        assert list(store.abandoned()) == [] and UploadsOf(world.ws.db, hub.id).all() == []


def test_a_process_killed_while_it_publishes_leaves_a_job_that_goes_on(world: Sealed, tmp_path: Path) -> None:
    run(versions.build(world.ws, versions.find(world.ws, "face-3@v1")))
    line = [
        sys.executable,
        "-c",
        CHILD,
        "-w",
        str(tmp_path / "W"),
        "publish",
        "face-3@v1",
        "--hub",
        str(tmp_path / "hub"),
    ]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for n, _ in enumerate(child.stdout, 1):
            if n == 7:
                child.kill()
                break
    (waiting,) = publish.queue(world.ws)
    assert waiting.state == "waiting" and not (tmp_path / "hub/datasets/face-3/v1/root.json").exists()
    run(jobs.work_off(world.ws))
    assert publish.queue(world.ws)[0].state == "finished"
    assert run(versions.verify(tmp_path / "hub", "face-3@v1"))[0].result["sound"]
