"""What a hub holds: asked once as a whole by listing, or object by object where that costs less; and what lies in its packs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec
import numpy as np
from numpy.typing import NDArray

from annotation.errors import LamproomError
from storage.hub import package, store
from storage.hub.package import PackIndex
from storage.hub.store import Store

Wanted = Sequence[tuple[str, int]]
"""(BLAKE3 in hexadecimal, size in bytes) of objects."""
FEW = 48
"""Objects that are asked for one by one without looking at how large the hub is."""
PAGE = 1_000
"""Names an S3 listing gives at once."""

_ROW = np.dtype([("a", ">u8"), ("b", ">u8"), ("size", "<i8"), ("first", "<i8"), ("pack", "<i4")])


class Packs:
    """Which object lies where in which pack: 36 bytes an object."""

    def __init__(self, hub: Store, *, lists: bool = True) -> None:
        sizes = (
            dict(hub.listing("packs/")) if lists else {}
        )  # no packs are made where they could not be found again
        self.names: list[str] = []
        blocks: list[NDArray[np.void]] = []
        for key in sorted(sizes):
            base, dot, _ = key.rpartition(".index")
            name = base.removeprefix("packs/")
            if not dot or base not in sizes or not package.is_digest(name):
                continue
            with suppress(
                LamproomError, msgspec.DecodeError, UnicodeDecodeError
            ):  # of a foreign hand: as if not there
                blocks.append(
                    _block(store.read(hub, key, package.MAX_LIST_BYTES), sizes[base], len(self.names))
                )
                self.names.append(name)
        self._rows = np.concatenate(blocks) if blocks else np.empty(0, _ROW)
        self._rows.sort(order=("a", "b"))

    def find(self, b3: str) -> tuple[str, int, int] | None:
        """(key of the pack, first byte, bytes) of an object, or None."""
        if not len(self._rows):
            return None
        row = _find(self._rows, bytes.fromhex(b3))
        return (
            None
            if row is None
            else (package.pack_key(self.names[row["pack"]]), int(row["first"]), int(row["size"]))
        )

    def has(self, b3: str, size: int) -> bool:
        """Whether an object of this size is in a pack."""
        found = self.find(b3)
        return found is not None and found[2] == size


def _block(data: bytes, size: int, number: int) -> NDArray[np.void]:
    index = msgspec.json.decode(data, type=PackIndex)
    good = [
        o for o in index.objects
        if package.is_digest(o.b3) and o.first >= 0 and o.bytes >= 0 and o.first + o.bytes <= size
    ]  # fmt: skip
    if index.format != package.PACK_FORMAT or len(good) != len(index.objects):
        raise msgspec.DecodeError("no index of this format")
    return _rows([(o.b3, o.bytes) for o in good], [o.first for o in good], number)


def _rows(wanted: Wanted, first: Sequence[int] = (), pack: int = 0) -> NDArray[np.void]:
    rows = np.zeros(len(wanted), _ROW)
    digests = np.frombuffer(bytes.fromhex("".join(b3 for b3, _ in wanted)), ">u8").reshape(-1, 4)
    rows["a"], rows["b"] = digests[:, 0], digests[:, 1]
    rows["size"] = [size for _, size in wanted]
    rows["first"] = first if len(first) else 0
    rows["pack"] = pack
    return rows


def _find(rows: NDArray[np.void], digest: bytes) -> NDArray[np.void] | None:
    a, b = (int.from_bytes(digest[i : i + 8], "big") for i in (0, 8))
    at = int(np.searchsorted(rows["a"], np.uint64(a)))
    while at < len(rows) and int(rows["a"][at]) == a:
        if int(rows["b"][at]) == b:
            found: NDArray[np.void] = rows[at]
            return found
        at += 1
    return None


class Holdings:
    """What lies in a hub, as far as it was asked."""

    def __init__(
        self, hub: Store, packs: Packs, listed: NDArray[np.void] | None, cut: frozenset[str]
    ) -> None:
        self.hub, self.packs = hub, packs
        self._listed, self._cut = listed, cut

    def missing(self, wanted: Wanted, workers: ThreadPoolExecutor | None = None) -> list[bool]:
        """For each object whether it has to be sent: not there, or of another size.

        Args:
            workers: threads that ask a far hub; never those the caller itself runs in.
        """
        if self._listed is None:
            each = map if self.hub.near or workers is None else workers.map
            away = list(each(lambda w: self._not_at_hub(*w), wanted))
        else:
            away = self._not_listed(wanted)
        return [gone and not self.packs.has(*w) for gone, w in zip(away, wanted, strict=True)]

    def is_cut(self, b3: str) -> bool:
        """Whether the list of a cut file's pieces is there."""
        if self._listed is None:
            return self.hub.stat(package.pieces_key(b3)) is not None
        return b3 in self._cut

    def _not_at_hub(self, b3: str, size: int) -> bool:
        found = self.hub.stat(package.object_key(b3))
        return found is None or found.size != size

    def _not_listed(self, wanted: Wanted) -> list[bool]:
        rows = self._listed
        assert rows is not None
        if not len(rows) or not wanted:
            return [True] * len(wanted)
        asked = _rows(wanted)
        at = np.minimum(np.searchsorted(rows["a"], asked["a"]), len(rows) - 1)
        same = (
            (rows["a"][at] == asked["a"])
            & (rows["b"][at] == asked["b"])
            & (rows["size"][at] == asked["size"])
        )
        return [not s for s in same.tolist()]


def survey(hub: Store, n: int, *, lists: bool) -> Holdings:
    """What the hub holds of some `n` objects, in as few requests as it takes.

    A listing costs a request for a thousand objects of the hub, a question one for each object wanted: the size of the
    hub is guessed from one of its 256 folders.
    """
    packs = Packs(hub, lists=lists)
    if hub.near or not lists or n <= FEW:
        return Holdings(hub, packs, None, frozenset())
    sample = sum(1 for _ in hub.listing("objects/00/"))
    if sample * 256 / PAGE > n:
        return Holdings(hub, packs, None, frozenset())
    found, cut = _listing(hub.listing("objects/"))
    return Holdings(hub, packs, found, cut)


def _listing(names: Iterator[tuple[str, int]]) -> tuple[NDArray[np.void], frozenset[str]]:
    blocks: list[NDArray[np.void]] = []
    held: list[tuple[str, int]] = []
    cut: set[str] = set()
    for key, size in names:
        name = key[11:]
        if len(name) == 64 and package.is_digest(name):
            held.append((name, size))
            if len(held) == 100_000:
                blocks.append(_rows(held))
                held = []
        elif name.endswith(".pieces"):
            cut.add(name.removesuffix(".pieces"))
    blocks.append(_rows(held))
    rows = np.concatenate(blocks)
    rows.sort(order=("a", "b"))
    return rows, frozenset(cut)
