"""How two versions differ, by their manifests; equal chunks are not read."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass

import msgspec
from sqlalchemy.engine import Connection

from app.services.versions.building import sealed
from app.services.versions.objects import getter, load
from app.services.versions.pins import find
from app.services.workspace import Workspace
from storage import manifest
from storage.manifest import Entry, Root
from storage.versions import Version

EXAMPLES = 100


@dataclass(frozen=True, slots=True)
class Diff:
    """How version b differs from version a.

    Attributes:
        assets_added, assets_removed, assets_changed: numbers of manifest keys; changed = labels or bytes differ.
        annotations_added, annotations_removed, annotations_changed: by uid, over all keys.
        by_label: label code -> (added, removed, changed).
        examples: (key, "added" | "removed" | "changed", annotations added, removed, changed), the first ones by key.
        chunks, chunks_equal: chunks of b, and those of them that a has too.
        steps: steps of the record between the two revisions (None when they are not of one dataset).
    """

    a: str
    b: str
    assets_added: int
    assets_removed: int
    assets_changed: int
    annotations_added: int
    annotations_removed: int
    annotations_changed: int
    by_label: dict[str, tuple[int, int, int]]
    examples: tuple[tuple[str, str, int, int, int], ...]
    chunks: int
    chunks_equal: int
    steps: int | None

    @property
    def same(self) -> bool:
        """Whether the two hold the same content."""
        return not (self.assets_added or self.assets_removed or self.assets_changed)


def diff(ws: Workspace, a: str, b: str) -> Diff:
    """Compare two versions by their manifests; equal chunks are not read. Unbuilt manifests are built first.

    Raises:
        NotFound: there is no such version.
    """
    roots: list[tuple[Version, Root]] = []
    for ref in (a, b):
        version = find(ws, ref)
        with closing(sealed(ws, version)) as work:
            for _ in work:
                pass
        roots.append(load(ws, version))
    (first, root_a), (second, root_b) = roots
    get = getter(ws)
    kinds: Counter[str] = Counter()
    labels: dict[str, list[int]] = {}
    added = removed = changed = 0
    examples: list[tuple[str, str, int, int, int]] = []
    for d in manifest.diff(root_a, root_b, get, get):
        kind = "added" if d.before is None else "removed" if d.after is None else "changed"
        kinds[kind] += 1
        counts = _compare(d.before, d.after, labels)
        added, removed, changed = added + counts[0], removed + counts[1], changed + counts[2]
        if len(examples) < EXAMPLES:
            examples.append((d.key, kind, *counts))
    with ws.db.read() as conn:
        steps = _steps(conn, first, second)
    equal = set(root_a.chunks) & set(root_b.chunks)
    return Diff(
        first.ref, second.ref, kinds["added"], kinds["removed"], kinds["changed"], added, removed, changed,
        {k: (v[0], v[1], v[2]) for k, v in sorted(labels.items())}, tuple(examples), len(root_b.chunks), len(equal), steps,
    )  # fmt: skip


def _compare(before: Entry | None, after: Entry | None, labels: dict[str, list[int]]) -> tuple[int, int, int]:
    old, new = (
        {o["uid"]: o for o in msgspec.json.decode(e.set)} if e is not None else {} for e in (before, after)
    )
    counts = [0, 0, 0]
    for uid in old.keys() | new.keys():
        if old.get(uid) != new.get(uid):
            at = 0 if uid not in old else 1 if uid not in new else 2
            counts[at] += 1
            labels.setdefault((new.get(uid) or old[uid])["label"], [0, 0, 0])[at] += 1
    return counts[0], counts[1], counts[2]


def _steps(conn: Connection, a: Version, b: Version) -> int | None:
    if a.dataset_id != b.dataset_id:
        return None
    low, high = sorted((a.rev, b.rev))
    return int(
        conn.exec_driver_sql(
            f"SELECT count(*) FROM change WHERE rev > {low} AND rev <= {high} AND step = rev"
        ).scalar_one()
    )
