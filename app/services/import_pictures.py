"""Which picture of a dataset a foreign record means: by its path, else by name and size, else by the bytes of its own copy."""

from __future__ import annotations

import functools
import itertools
import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from blake3 import blake3

from annotation.formats.base import Record
from annotation.formats.sheets import PICTURES
from app.services.workspace import Workspace
from storage import register
from storage.register import Pictured

MAX_FILES = 2_000_000
"""Files below a folder of pictures that are looked at."""
AHEAD = 500
"""Records whose pictures are asked for together."""
_PIECE = 1 << 20
_NAME_ONLY = 3
"""`_shared` of paths that have no folder in common."""


@dataclass(frozen=True, slots=True)
class Match:
    """The picture that a record means and how it was found ("path", "size", "digest"), or why there is none.

    how without a picture: "unmatched", "ambiguous" (several `candidates`), "wrong_size" (the one of its name differs).
    """

    picture: Pictured | None
    how: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Named:
    """Pictures of one name: those that share the longest end of the path, and those that may be it by their size."""

    best: tuple[Pictured, ...] = ()
    sized: tuple[Pictured, ...] = ()


def _stem(path: str) -> str:
    """The last part without a picture's suffix, case folded: what candidates are found by."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return (name[:dot] if dot > 0 and name[dot:].lower() in PICTURES else name).casefold()


class Pictures:
    """The dataset's pictures by the hash of their stem: 16 bytes a picture, the text is asked when it is needed."""

    def __init__(
        self, ws: Workspace, dataset_id: int, *, beside: Path | None = None, folder: Path | None = None,
        digest_of: Callable[[str], bytes | None] = lambda path: None,
    ) -> None:  # fmt: skip
        """Load what is known of the dataset's paths.

        Args:
            beside: the folder of the annotations, where the file's own pictures may lie at their paths.
            folder: one that a person named: pictures are looked for anywhere below it.
            digest_of: the BLAKE3 that came with the annotations for a record's path.
        """
        self._ws, self._dataset_id = ws, dataset_id
        self._folder, self._digest_of = folder, digest_of
        self._beside = tuple(f for f in (folder, beside) if f is not None)
        hashes, ids = array("q"), array("q")
        self._twins: dict[int, list[str]] = {}
        for asset_id, path in self._paths():
            hashes.append(hash(_stem(path)))
            ids.append(asset_id)
        for asset_id, path in self._duplicates():  # an exact duplicate has one asset and several paths
            hashes.append(hash(_stem(path)))
            ids.append(asset_id)
            self._twins.setdefault(asset_id, []).append(path)
        keys = np.frombuffer(hashes, np.int64) if hashes else np.zeros(0, np.int64)
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._ids = np.frombuffer(ids, np.int64)[order] if ids else np.zeros(0, np.int64)
        self._ahead: dict[int, Pictured] = {}
        """What the next records may mean, asked for all of them at once."""
        self._named = functools.lru_cache(maxsize=50_000)(self._of_name)

    def _paths(self) -> Iterator[tuple[int, str]]:
        after = 0
        while True:
            with self._ws.db.read() as conn:
                rows = register.item_paths(conn, self._dataset_id, after=after)
            if not rows:
                return
            yield from rows
            after = rows[-1][0]

    def _duplicates(self) -> Iterator[tuple[int, str]]:
        after = 0
        while True:
            with self._ws.db.read() as conn:
                twins = register.duplicates(conn, self._dataset_id, after=after)
            if not twins:
                return
            yield from ((asset_id, path) for _, asset_id, path in twins)
            after = twins[-1][0]

    def ahead(self, records: Iterator[Record]) -> Iterator[Record]:
        """The records, a few hundred of them read before the first is given: their pictures are asked for together."""
        while part := list(itertools.islice(records, AHEAD)):
            keys = np.array([hash(_stem(record.path)) for record in part], np.int64)
            first, last = (
                np.searchsorted(self._keys, keys, "left"),
                np.searchsorted(self._keys, keys, "right"),
            )
            few = last - first <= 4  # a name that very many pictures have is left for when it is asked for
            spots = np.concatenate([first[few] + k for k in range(4)])
            ids = np.unique(self._ids[spots[spots < np.tile(last[few], 4)]])
            with self._ws.db.read() as conn:
                self._ahead = {c.asset_id: c for c in register.pictured(conn, ids.tolist())}
            yield from part

    def size(self, path: str) -> tuple[int, int] | None:
        """(width, height) in px after orientation of the picture a path of the file means."""
        best = self._named(path).best
        if len(best) == 1:
            return best[0].width_px, best[0].height_px
        found = self._by_digest(path)
        return (found.width_px, found.height_px) if found else None

    def match(self, record: Record) -> Match:
        """The picture a record means. What has another size than the record says is never it."""
        named = self._named(record.path)
        best = named.best
        if len(best) == 1 and _fits(best[0], record):
            return Match(best[0], "path")
        if record.width and record.height:
            for group in (best, named.sized):
                fitting = [c for c in group if _fits(c, record)]
                if len(fitting) == 1:
                    return Match(fitting[0], "size")
        if (found := self._by_digest(record.path)) is not None and _fits(found, record):
            return Match(found, "digest")
        if len(best) == 1:
            return Match(None, "wrong_size", (f"{best[0].path} {best[0].width_px} x {best[0].height_px}",))
        return Match(None, "ambiguous" if best else "unmatched", tuple(c.path for c in best))

    def _of_name(self, path: str) -> _Named:
        key = hash(_stem(path))
        first, last = np.searchsorted(self._keys, key, "left"), np.searchsorted(self._keys, key, "right")
        ids = sorted({int(i) for i in self._ids[first:last]})
        if not ids:
            return _Named()
        candidates = [self._ahead[i] for i in ids if i in self._ahead]
        if len(candidates) < len(ids):
            with self._ws.db.read() as conn:
                candidates = register.pictured(conn, ids)
        best: dict[int, Pictured] = {}
        sized: dict[int, Pictured] = {}
        most = 0
        for c in candidates:
            for known in (c.path, f"{c.root_code}/{c.path}", *self._twins.get(c.asset_id, ())):
                shared = _shared(path, known.replace("!/", "/"))
                if shared > most:
                    best, most = {}, shared
                if shared:
                    sized[c.asset_id] = c
                if shared and shared == most:
                    best[c.asset_id] = c
        if (
            most > _NAME_ONLY
        ):  # its folder says which one it is: another of that name is not, whatever its size
            sized = {}
        return _Named(tuple(best.values()), tuple(sized.values()))

    # --- by digest -----------------------------------------------------------------------------------------------

    def _by_digest(self, path: str) -> Pictured | None:
        """The picture whose digest came with the file, or that has the bytes of the file's own copy."""
        if (digest := self._digest_of(path)) is not None and (found := self._of(digest)) is not None:
            return found
        return self._hashed(path) if self._beside else None

    def _of(self, digest: bytes) -> Pictured | None:
        """The dataset's picture of these bytes."""
        with self._ws.db.read() as conn:
            ids = [asset_id for asset_id, _ in register.by_digest(conn, [digest]).values()]
            if not ids or not register.live_items(conn, self._dataset_id, ids):
                return None
            return register.pictured(conn, ids)[0]

    def _hashed(self, path: str) -> Pictured | None:
        file = next((f for folder in self._beside if (f := folder / path).is_file()), None)
        if file is None:
            paths = self._lying.get(_stem(path), ())
            file = paths[0] if len(paths) == 1 else None
        if file is None:
            return None
        digest = blake3()
        try:
            with file.open("rb") as stream:
                while piece := stream.read(_PIECE):
                    digest.update(piece)
        except OSError:
            return None
        return self._of(digest.digest())

    @functools.cached_property
    def _lying(self) -> dict[str, list[Path]]:
        """The pictures below the named folder, by stem."""
        out: dict[str, list[Path]] = {}
        n = 0
        for at, _, files in os.walk(self._folder) if self._folder is not None else ():
            for name in files:
                n += 1
                if n > MAX_FILES:
                    return out
                if PurePosixPath(name).suffix.lower() in PICTURES:
                    out.setdefault(_stem(name), []).append(Path(at, name))
        return out


def _fits(picture: Pictured, record: Record) -> bool:
    """Whether the record's size, where it says one, is the picture's."""
    return not (record.width and record.height) or (record.width, record.height) == (
        picture.width_px,
        picture.height_px,
    )


def _shared(foreign: str, known: str) -> int:
    """Number of equal trailing parts; 0 when the names differ. A name without a picture's suffix equals any with one.

    A whole path counts one more than its parts: `a/x.jpg` means the picture at `a/x.jpg`, not the one at `b/a/x.jpg`.
    """
    left, right = foreign.split("/")[::-1], known.split("/")[::-1]
    bare = PurePosixPath(left[0]).suffix.lower() not in PICTURES
    same = left[0].casefold() == right[0].casefold() or (bare and left[0] == PurePosixPath(right[0]).stem)
    if not same:
        return 0
    n = 1
    while n < min(len(left), len(right)) and left[n] == right[n]:
        n += 1
    return 2 * n + (n == len(left) == len(right))
