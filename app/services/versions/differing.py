"""How two versions differ, by their manifests; equal chunks are not read. Moved, relabelled and reshaped objects told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy.engine import Connection

from annotation.errors import LamproomError, NotFound
from app.services.versions.building import build, sealed
from app.services.versions.objects import getter, load
from app.services.versions.pins import find
from app.services.workspace import Workspace
from storage import changes, files, manifest
from storage.changes import HOW, How, objects_of
from storage.manifest import Difference, Fact, Labelled, Root
from storage.versions import Version

EXAMPLES = 100
FORMAT = 1
"""Of what is kept in the cache folder; another number is as if nothing was kept."""
Kind = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Label:
    """A class in a difference: objects added, removed, moved, reshaped, with other details; gained and lost by relabelling."""

    added: int = 0
    removed: int = 0
    moved: int = 0
    reshaped: int = 0
    details: int = 0
    gained: int = 0
    lost: int = 0

    @property
    def change(self) -> int:
        """How many more objects of the class there are after."""
        return self.added + self.gained - self.removed - self.lost


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that differs, with its numbers of objects. media: other bytes under its name; split: another split."""

    key: str
    kind: Kind
    added: int
    removed: int
    changed: int
    media: bool = False
    split: bool = False


@dataclass(frozen=True, slots=True)
class Diff:
    """How version b differs from version a.

    Attributes:
        assets_added, assets_removed, assets_changed: numbers of manifest keys; changed = labels, split or bytes differ.
        annotations_added, annotations_removed, annotations_changed: by uid, over all keys.
        how: of the changed ones, how many were moved, relabelled, reshaped, given other details (or several of these).
        by_label: label code -> what happened to its objects.
        examples: the first pictures that differ, by key; `pictures` gives all.
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
    how: dict[str, int]
    by_label: dict[str, Label]
    examples: tuple[Picture, ...]
    chunks: int
    chunks_equal: int
    steps: int | None = None

    @property
    def same(self) -> bool:
        """Whether the two hold the same content."""
        return not (self.assets_added or self.assets_removed or self.assets_changed)


@dataclass(frozen=True, slots=True)
class Changed:
    """One object that differs; `before` and `after` as the manifest has them, None where it is not there."""

    uid: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    how: tuple[How, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture in both versions: its facts and objects (None where it is not in that version), and what differs."""

    key: str
    before: Fact | None
    after: Fact | None
    same: tuple[Mapping[str, Any], ...]
    changed: tuple[Changed, ...]


def diff(ws: Workspace, a: str, b: str, *, fresh: bool = False) -> Diff:
    """Compare two versions. Unbuilt manifests are built first.

    What two roots give never changes: it is kept in the workspace's cache folder.

    Args:
        fresh: compare again, whatever is kept.

    Raises:
        NotFound: there is no such version.
    """
    first, second = _built(ws, a), _built(ws, b)
    file = ws.folder / "cache" / f"diff-{(first.root or '')[:24]}-{(second.root or '')[:24]}.json"
    found = None if fresh else _kept(file)
    if found is None:
        found = _whole(ws, first, second)
        file.parent.mkdir(exist_ok=True)
        told = {**asdict(found), "format": FORMAT}
        files.write(file, msgspec.json.encode(told), with_folder=False, flush=False)
    with ws.db.read() as conn:
        return replace(found, a=first.ref, b=second.ref, steps=_steps(conn, first, second))


def pictures(ws: Workspace, a: str, b: str) -> Iterator[Picture]:
    """Every picture that differs, by key."""
    first, second = _built(ws, a), _built(ws, b)
    for d in _differences(ws, first, second, []):
        yield _picture(d, {}, Counter())


def pair(ws: Workspace, a: str, b: str, key: str) -> Pair:
    """One picture of both versions, with what differs.

    Raises:
        NotFound: neither has it.
    """
    get = getter(ws)
    entries = [manifest.find(load(ws, _built(ws, ref))[1], key, get) for ref in (a, b)]
    if entries == [None, None]:
        raise NotFound("the picture is in neither version", where=key)
    facts = [None if e is None else msgspec.json.decode(e.facts, type=Fact) for e in entries]
    old, new = ({} if e is None else {o["uid"]: o for o in objects_of(e.set)} for e in entries)
    changed = tuple(
        Changed(
            uid,
            old.get(uid),
            new.get(uid),
            changes.how(old[uid], new[uid]) if uid in old and uid in new else (),
        )
        for uid in sorted(old.keys() | new.keys())
        if old.get(uid) != new.get(uid)
    )
    same = tuple(o for uid, o in new.items() if old.get(uid) == o)
    return Pair(key, facts[0], facts[1], same, changed)


def totals(ws: Workspace, ref: str) -> dict[str, int]:
    """Objects of a version by class. Reads every set once; kept in the workspace's cache folder then."""
    version = _built(ws, ref)
    file = ws.folder / "cache" / f"classes-{(version.root or '')[:24]}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    except (OSError, msgspec.MsgspecError):
        pass
    _, root = load(ws, version)
    counts: Counter[str] = Counter()
    get = getter(ws)
    for chunk in root.chunks:
        for line in manifest.lines(chunk.sets, get):
            counts.update(o["label"] for o in objects_of(line))
    file.parent.mkdir(exist_ok=True)
    files.write(file, msgspec.json.encode(dict(counts)), with_folder=False, flush=False)
    return dict(sorted(counts.items()))


def _built(ws: Workspace, ref: str) -> Version:
    """The version, its manifest built when it was not yet."""
    version = find(ws, ref)
    if version.root is not None:
        return version
    for _ in sealed(ws, version):
        pass
    return find(ws, ref)


def _kept(file: Path) -> Diff | None:
    try:
        value = msgspec.json.decode(file.read_bytes())
        return msgspec.convert(value, Diff) if value.pop("format") == FORMAT else None
    except (OSError, msgspec.MsgspecError, KeyError, AttributeError):
        return None


def _whole(ws: Workspace, first: Version, second: Version) -> Diff:
    kinds: Counter[str] = Counter()
    how: Counter[str] = Counter()
    labels: dict[str, Counter[str]] = {}
    added = removed = changed = 0
    examples: list[Picture] = []
    roots = _roots(ws, first, second)
    for d in _differences(ws, first, second, roots):
        picture = _picture(d, labels, how)
        kinds[picture.kind] += 1
        added, removed, changed = added + picture.added, removed + picture.removed, changed + picture.changed
        if len(examples) < EXAMPLES:
            examples.append(picture)
    root_a, root_b = roots
    equal = {c.facts.b3 + c.labels.b3 for c in root_a.chunks} & {
        c.facts.b3 + c.labels.b3 for c in root_b.chunks
    }
    return Diff(
        first.ref, second.ref, kinds["added"], kinds["removed"], kinds["changed"], added, removed, changed,
        {k: how[k] for k in HOW if how[k]}, {code: Label(**n) for code, n in sorted(labels.items())}, tuple(examples),
        len(root_b.chunks), len(equal),
    )  # fmt: skip


def _differences(ws: Workspace, first: Version, second: Version, roots: list[Root]) -> Iterator[Difference]:
    """What differs; a manifest that is missing or damaged here in part is built again, once. `roots`: both, if at hand."""
    get = getter(ws)
    last = ""
    try:
        a, b = roots or (_root(ws, first), _root(ws, second))
        for d in manifest.diff(a, b, get, get):
            last = d.key
            yield d
        return
    except LamproomError:
        for version in (first, second):
            for _ in build(ws, version):
                pass
    for d in manifest.diff(_root(ws, first), _root(ws, second), get, get):
        if d.key > last or not last:
            yield d


def _roots(ws: Workspace, first: Version, second: Version) -> list[Root]:
    """Both roots; one that is not here as it was is built again."""
    out = []
    for version in (first, second):
        try:
            out.append(_root(ws, version))
        except LamproomError:
            for _ in build(ws, version):
                pass
            out.append(_root(ws, version))
    return out


def _root(ws: Workspace, version: Version) -> Root:
    return load(ws, version)[1]


def _picture(d: Difference, labels: dict[str, Counter[str]], how: Counter[str]) -> Picture:
    """The picture's row; adds up what happened to its objects."""
    old = {} if d.before is None else {o["uid"]: o for o in objects_of(d.before.set)}
    new = {} if d.after is None else {o["uid"]: o for o in objects_of(d.after.set)}
    added = removed = changed = 0
    for uid in old.keys() | new.keys():
        was, now = old.get(uid), new.get(uid)
        if was == now:
            continue
        if was is None:
            assert now is not None
            added += 1
            labels.setdefault(now["label"], Counter())["added"] += 1
        elif now is None:
            removed += 1
            labels.setdefault(was["label"], Counter())["removed"] += 1
        else:
            changed += 1
            for what in changes.how(was, now):
                how[what] += 1
                if what == "relabelled":
                    labels.setdefault(was["label"], Counter())["lost"] += 1
                    labels.setdefault(now["label"], Counter())["gained"] += 1
                else:
                    labels.setdefault(now["label"], Counter())[what] += 1
    if d.before is None or d.after is None:
        return Picture(d.key, "added" if d.before is None else "removed", added, removed, changed)
    split = _split_of(d.before.labels) != _split_of(d.after.labels)
    return Picture(d.key, "changed", added, removed, changed, d.before.facts != d.after.facts, split)


def _split_of(labels: bytes) -> str | None:
    return msgspec.json.decode(labels, type=Labelled).split


def _steps(conn: Connection, a: Version, b: Version) -> int | None:
    if a.dataset_id != b.dataset_id:
        return None
    low, high = sorted((a.rev, b.rev))
    return int(
        conn.exec_driver_sql(
            f"SELECT count(*) FROM change WHERE rev > {low} AND rev <= {high} AND step = rev"
        ).scalar_one()
    )
