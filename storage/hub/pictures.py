"""Pictures for a worker: read by manifest from a hub or the disk, checked against their digests, decoded. No database."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from annotation.errors import InvalidInput, Unavailable
from storage import media
from storage.hub import folder as hubs
from storage.hub.jobdir import Item, Opened
from storage.media import decode, shrunk

__all__ = ["decode", "demand_sources", "read", "shrunk"]


def read(work: Opened, item: Item) -> bytes:
    """A picture's bytes, from the hub where it holds them, else from the disk; checked against the manifest.

    Raises:
        InvalidInput: it is not the file that was registered. OSError: it cannot be read.
    """
    data = None
    if work.order.hub:
        with suppress(OSError):
            data = hubs.object_path(Path(work.order.hub), item.asset).read_bytes()
    if data is None or blake3(data).hexdigest() != item.asset:
        location = bytes.fromhex(work.order.roots[item.root])
        disk = None if item.disk is None else bytes.fromhex(item.disk)
        data = media.read_asset(Path(work.order.store), location, item.path, disk, bytes.fromhex(item.asset))
        if blake3(data).hexdigest() != item.asset:
            raise InvalidInput("the file is not the one that was registered")
    return data


def demand_sources(work: Opened, items: Sequence[Item]) -> None:
    """Refuse a shard whose source folder this machine does not have: else every picture of it would count as broken.

    Raises:
        Unavailable: naming the folder.
    """
    hub = Path(work.order.hub) if work.order.hub and hubs.is_hub(Path(work.order.hub)) else None
    for number in sorted({item.root for item in items}):
        location = bytes.fromhex(work.order.roots[number])
        if os.path.isdir(location):  # noqa: PTH112 - bytes
            continue
        mine = (item.asset for item in items if item.root == number)
        if hub is None or not all(hubs.object_path(hub, asset).is_file() for asset in mine):
            raise Unavailable(
                "this machine does not have the source folder",
                where=os.fsdecode(location),
                remedy="mount it under the same name, or publish to a hub and give --hub",
            )
