"""Rules of kills on either side: the root that stands verifies, what was sent is not sent again, no upload is left over."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from annotation.errors import NotFound
from storage.hub import reading
from storage.hub.publish import Plan, publish
from storage.hub.s3 import LEAST_PART
from tests.storage.hub import sender
from tests.storage.hub.conftest import Server, seaweed
from tests.storage.hub.sets import made, pictures

REQUESTS = 95
"""About as many as an undisturbed publishing of `sender.version` makes."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    sender.version(folder)
    return folder


def _killed_after(n: int, server: Server, bucket: str, prefix: str, large: Path, *, pack: bool) -> bool:
    """Start a publisher and kill it at its n-th request; False when it had ended before."""
    line = [
        sys.executable,
        sender.__file__,
        server.endpoint,
        bucket,
        prefix,
        str(large),
        "pack" if pack else "each",
    ]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        seen = 0
        for said in child.stdout:
            seen += 1
            if said == "done\n":
                return False
            if seen == n:
                child.kill()
                return True
        raise AssertionError(f"the publisher failed after {seen} requests: {child.wait()}")


def test_a_publisher_killed_at_any_request_is_resumed_and_leaves_nothing_over(
    weed_server: Server, large: Path, whole: bool
) -> None:
    chance, bucket = random.Random(20), weed_server.bucket()
    version, killed = sender.version(large), 0
    for turn in range(20 if whole else 3):
        prefix, pack = f"k{turn}/", turn % 3 == 2
        killed += _killed_after(chance.randrange(10, REQUESTS), weed_server, bucket, prefix, large, pack=pack)
        hub = weed_server.store(bucket=bucket, prefix=prefix)
        try:
            published = reading.load(hub, version.package.dataset, version.package.tag)
        except NotFound:
            pass
        else:
            assert not [f for c in reading.verify(hub, published) for f in c.faults], (
                "a root stands and does not verify"
            )
        version.send(hub, Plan(place=version.place, pack=pack, pack_bytes=20_000))
        assert version.faults(hub) == []
        assert list(hub.abandoned()) == [], f"uploads are left over after kill {turn}"
    assert killed >= (15 if whole else 2)


def test_a_server_killed_and_started_again_is_waited_for(tmp_path: Path, whole: bool) -> None:
    if not whole:
        pytest.skip("a server needs half a minute to come back: --whole")
    server = seaweed(tmp_path / "weed")
    server.start()
    try:
        path = tmp_path / "large.mp4"
        path.write_bytes(random.Random(4).randbytes(LEAST_PART + 5))
        version = made([*pictures(60), ("面/large.mp4", path)])
        hub = server.store(patience_s=60, threads=4)
        hub.abilities()
        killed = False
        for sent in publish(hub, version.package, version.get, version.read_media, Plan(place=version.place)):
            if sent.objects >= 10 and not killed:
                server.kill()
                server.start()
                killed = True
        assert killed and version.faults(hub) == [] and list(hub.abandoned()) == []
    finally:
        server.stop()
