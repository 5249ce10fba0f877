"""Rules when something lies or fails between here and there: the root that stands verifies, or the fault is named."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from annotation.errors import LamproomError, NotFound, Unavailable
from storage import files
from storage.hub import reading
from storage.hub.folder import FolderStore
from storage.hub.publish import Plan, prepare
from storage.hub.s3 import LEAST_PART
from tests.storage.hub.conftest import Server
from tests.storage.hub.sets import made, pictures
from tests.support.lying import lying


def flipped(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def not_published(hub: object, version: object) -> bool:
    try:
        reading.load(hub, version.package.dataset, version.package.tag)  # type: ignore[attr-defined, arg-type]
    except NotFound:
        return True
    return False


def test_a_byte_flipped_on_the_way_to_a_server_that_checks_is_sent_again(weed_server: Server) -> None:
    chance, version = random.Random(5), made(pictures(25))
    with lying(weed_server.port) as proxy:
        hub = weed_server.store(port=proxy.port)
        hub.abilities()
        left = 6

        def flip(method: str, path: str, body: bytes) -> bytes:
            nonlocal left
            if method == "PUT" and left and body and chance.random() < 0.3:
                left -= 1
                return flipped(body)
            return body

        proxy.up = flip
        version.send(hub)
        assert left == 0 and version.faults(hub) == []


def test_a_line_that_flips_every_byte_is_named_and_no_root_is_written(weed_server: Server) -> None:
    version = made(pictures(5))
    with lying(weed_server.port) as proxy:
        hub = weed_server.store(port=proxy.port)
        hub.abilities()
        prepare(hub)
        proxy.up = lambda method, path, body: flipped(body) if method == "PUT" and body else body
        with pytest.raises(Unavailable, match="changed on their way"):
            version.send(hub)
        proxy.up = lambda method, path, body: body
        assert not_published(hub, version)
        version.send(hub)
        assert version.faults(hub) == []


def test_a_part_flipped_on_the_way_is_sent_again(weed_server: Server, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    path.write_bytes(random.Random(6).randbytes(LEAST_PART + 70_000))
    version = made([("large.mp4", path)], kind="video/mp4")
    with lying(weed_server.port) as proxy:
        hub = weed_server.store(port=proxy.port)
        hub.abilities()
        lies = [True, True]
        proxy.up = lambda method, path, body: (
            flipped(body) if "partNumber=2" in path and lies and lies.pop() else body
        )
        version.send(hub)
        assert not lies and version.faults(hub) == [] and not list(hub.abandoned())


def test_a_byte_flipped_on_the_way_to_a_weak_server_is_read_back_and_sent_again(moto_server: Server) -> None:
    version = made(pictures(8))
    with lying(moto_server.port) as proxy:
        hub = moto_server.store(port=proxy.port)
        assert hub.abilities().weak
        prepare(hub)
        lies = [True, True]
        proxy.up = lambda method, path, body: (
            flipped(body) if method == "PUT" and lies and lies.pop() else body
        )
        version.send(hub)
        assert not lies and version.faults(hub) == []


def test_a_weak_server_behind_a_line_that_always_lies_gets_no_root(moto_server: Server) -> None:
    version = made(pictures(4))
    with lying(moto_server.port) as proxy:
        hub = moto_server.store(port=proxy.port)
        hub.abilities()
        prepare(hub)
        proxy.up = lambda method, path, body: flipped(body) if method == "PUT" and body else body
        with pytest.raises(Unavailable, match="gives back other bytes"):
            version.send(hub)
        assert not_published(hub, version)


def test_a_server_that_says_yes_and_keeps_nothing_is_seen_at_once(weed_server: Server) -> None:
    with lying(weed_server.port) as proxy:
        hub = weed_server.store(port=proxy.port)
        proxy.say = lambda method, path: (200, b"") if method == "PUT" else None
        with pytest.raises(Unavailable, match="does not keep them"):
            made(pictures(2)).send(hub)


def test_a_server_that_checks_and_then_loses_some_objects_gets_no_root(weed_server: Server) -> None:
    version = made(pictures(10))
    with lying(weed_server.port) as proxy:
        hub = weed_server.store(port=proxy.port)
        hub.abilities()
        prepare(hub)
        lost: list[str] = []

        def lose(method: str, path: str) -> tuple[int, bytes] | None:
            if method == "PUT" and "/objects/" in path and len(lost) < 3:
                lost.append(path)
                return 200, b""
            return None

        proxy.say = lose
        with pytest.raises(Unavailable, match="lost 3 objects"):
            version.send(hub)
        assert not_published(hub, version)
        proxy.say = lambda method, path: None
        assert version.send(hub)[-1].objects == 3 and version.faults(hub) == []


def test_a_byte_flipped_on_the_way_back_is_a_fault_of_that_picture(weed_server: Server) -> None:
    version = made(pictures(6))
    with lying(weed_server.port) as proxy:
        hub = weed_server.store(port=proxy.port)
        version.send(hub)
        (b3, *_) = version.media
        proxy.down = lambda method, path, body: flipped(body) if path.endswith(b3) and body else body
        (fault,) = version.faults(hub)
        assert "not those that were frozen" in fault


def test_a_transfer_that_breaks_off_is_taken_up_again(weed_server: Server) -> None:
    version = made(pictures(12))
    with lying(weed_server.port) as proxy:
        hub = weed_server.store(port=proxy.port)
        hub.abilities()
        breaks = [True] * 5
        proxy.up = lambda method, path, body: (
            body[:-1] if method == "PUT" and body and breaks and breaks.pop() else body
        )
        version.send(hub)
        assert not breaks and version.faults(hub) == []


@pytest.mark.parametrize("at", [1, 7, 15])
def test_a_disk_that_fills_up_is_named_and_the_rest_is_sent_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    version, hub, left = made(pictures(12)), FolderStore(tmp_path / "hub"), at
    real = files.write

    def write(path: Path, data: object, **kw: object) -> None:
        nonlocal left
        left -= 1
        if left < 0 and path.is_relative_to(tmp_path / "hub"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data, **kw)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", write)
        with pytest.raises(Unavailable, match="disk is full") as caught:
            version.send(hub)
    assert isinstance(caught.value, LamproomError) and not_published(hub, version)
    version.send(hub)
    assert version.faults(hub) == [] and not list((tmp_path / "hub" / "staging").iterdir())


@pytest.mark.parametrize("code", ["XMinioStorageFull", "InsufficientStorage"])
def test_a_server_whose_disk_is_full_is_named(weed_server: Server, code: str) -> None:
    with lying(weed_server.port) as proxy:
        hub, version = weed_server.store(port=proxy.port, patience_s=0.3), made(pictures(3))
        hub.abilities()
        prepare(hub)
        body = f"<Error><Code>{code}</Code><Message>no room</Message></Error>".encode()
        proxy.say = lambda method, path: (507, body) if method == "PUT" else None
        with pytest.raises(Unavailable, match="disk is full"):
            version.send(hub)
        assert not_published(hub, version)


def test_what_goes_is_no_faster_than_asked_and_waits_for_its_hours(tmp_path: Path) -> None:
    from storage.hub.store import Pace

    waited: list[float] = []
    clock = [0.0]

    def wait(seconds: float) -> None:
        waited.append(seconds)
        clock[0] += seconds

    closed = [5.0]

    def closed_s() -> float:
        return max(0.0, closed[0] - clock[0])

    pace = Pace(10_000, closed_s, now=lambda: clock[0], wait=wait)
    version, hub = made(pictures(20)), FolderStore(tmp_path / "hub")
    last = version.send(hub, Plan(pace=pace, threads=1))[-1]
    assert 5.0 + (last.size - 10_000) / 10_000 * 0.9 <= clock[0] <= 5.0 + last.size / 10_000 * 1.2 + 2
    assert version.faults(hub) == []
