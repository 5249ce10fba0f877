"""A publisher in a process of its own, to be killed: says each request before it makes it."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

from storage.hub.publish import Plan
from storage.hub.s3 import LEAST_PART, S3Store
from storage.hub.wire import Address, Wire
from tests.storage.hub.sets import Made, made, pictures


def version(folder: Path) -> Made:
    """The same version in every process: 30 pictures and one file that goes in two parts."""
    path = folder / "large.mp4"
    if not path.exists():
        path.write_bytes(random.Random(9).randbytes(LEAST_PART + 99_999))
    return made([*pictures(30), ("large.mp4", path)])


def main(endpoint: str, bucket: str, prefix: str, folder: str, pack: str) -> None:
    """Send it."""
    hub = S3Store(Wire(Address(endpoint, bucket, prefix), "lampkey", "lampsecret", threads=4), threads=4)
    real = hub.wire.ask

    def ask(method: str, *rest: Any, **kw: Any) -> Any:
        print(method, flush=True)
        return real(method, *rest, **kw)

    hub.wire.ask = ask  # type: ignore[method-assign]
    sent = version(Path(folder))
    sent.send(hub, Plan(place=sent.place, pack=pack == "pack", pack_bytes=20_000))
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
