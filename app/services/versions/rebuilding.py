"""Rebuild a version from sources and record alone, every source byte hashed, to the identical root; else say what differs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
from blake3 import blake3

from annotation.errors import LamproomError, NotFound
from app.events import Finished, Progress, Started, Warned, Work
from app.services.versions.building import PART, building, schema_of
from app.services.versions.objects import getter
from app.services.versions.pins import find
from app.services.workspace import Workspace
from storage import blobs, manifest, media, sources
from storage import versions as rows
from storage.manifest import Chunk, Entry, Fact, Root
from storage.versions import Place, Version

THREADS = 3
NAMED = 1_000
"""Differences listed one by one in a result; more are only counted."""
UNKNOWN = "the sealed manifest cannot be read here, so not all that differs can be named"


def rebuild(ws: Workspace, ref: str) -> Work:
    """Make the manifest anew: facts from the bytes of every source, labels from the record. No cached object is read.

    Where the root is another than was sealed, the sealed manifest is read to name each picture and chunk that differs.
    The result: {root, sealed, same, differing}; a problem for each source that is not what was frozen.

    Raises:
        NotFound: no such version. InvalidInput: two assets have the same name. Conflict: a build is under way.
    """
    version = find(ws, ref)
    with building(ws) as staging:
        with ws.db.read() as conn:
            schema, total = schema_of(conn, version)
        yield Started(f"rebuild {ref}", total)
        known = _sealed(ws, version)
        spare = _Spare({p.b3 for c in known.chunks for p in _parts(c)} if known else set())
        problems: list[dict[str, str]] = []
        n_problems = done = 0
        lines: list[Chunk] = []
        measure = _Measure()
        with manifest.Sorter(staging) as sorter, ThreadPoolExecutor(THREADS, "rebuild") as pool:
            for page in rows.member_pages(ws.db, version.dataset_id, version.rev, version.filter):
                for part in (page[i : i + PART] for i in range(0, len(page), PART)):
                    with ws.db.read() as conn:
                        entries = list(
                            rows.entries(conn, part, version.rev, predictions=version.filter.predictions)
                        )
                        facts = [msgspec.json.decode(e.facts, type=Fact) for e in entries]
                        places = rows.places(conn, facts)
                    wanted = [(fact, places.get(fact.asset, [])) for fact in facts]
                    for entry, (fact, what) in zip(entries, pool.map(measure, wanted), strict=True):
                        sorter.add([Entry(entry.key, msgspec.json.encode(fact), entry.labels, entry.set)])
                        if what:
                            n_problems += 1
                            if len(problems) < NAMED:
                                problems.append({"key": fact.key, "what": what})
                            yield Warned(what, fact.key)
                    done += len(part)
                    yield Progress(done, total, "hashing sources")
            for chunk in manifest.write(sorter.merged(), spare.put):
                lines.append(chunk)
                if len(lines) % 20 == 0:
                    yield Progress(done, total, f"{len(lines)} chunks")
        root = manifest.root(lines, dataset=version.dataset, schema=schema)
        digest = blake3(manifest.root_bytes(root)).hexdigest()
        same = version.root in (None, digest)
        if not same:
            said = {p["key"] for p in problems}
            for why, key in _differing(ws, ref, known, root, spare):
                if key not in said:
                    n_problems += 1
                    if len(problems) < NAMED:
                        problems.append({"key": key, "what": why})
                    yield Warned(why, key)
            n_problems = max(n_problems, 1)
    yield Finished(
        {"version": ref, "root": digest, "sealed": version.root, "same": same, "assets": root.counts.assets,
         "annotations": root.counts.objects, "media_bytes": root.counts.size, "chunks": len(lines),
         **({"differing": problems} if problems else {})},
        problems=n_problems,
    )  # fmt: skip


def _sealed(ws: Workspace, version: Version) -> Root | None:
    """The root as it was sealed, to compare with; it is believed in nothing."""
    try:
        return manifest.load(blobs.get(ws.folder, version.root or ""))
    except LamproomError:
        return None


def _parts(chunk: Chunk) -> tuple[manifest.Part, ...]:
    return chunk.facts, chunk.labels, chunk.sets


class _Spare:
    """Keeps the objects that the sealed manifest does not have: what differs, no more."""

    def __init__(self, known: set[str]) -> None:
        self._known = known
        self._held: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Take an object."""
        name = blake3(data).hexdigest()
        if name not in self._known:
            self._held[name] = data
        return name

    def over(self, get: Callable[[str], bytes]) -> Callable[[str], bytes]:
        """Objects of the rebuilt manifest: those kept, and those it has in common with the sealed one."""
        return lambda name: self._held[name] if name in self._held else get(name)


class _Measure:
    """Facts of an asset as its source gives them now, for several threads.

    A packed tar is read once as a whole: to read one member costs all before it. The workspace's copies are not asked.
    """

    def __init__(self) -> None:
        self._packed: dict[tuple[bytes, bytes], dict[str, media.Probe]] = {}
        self._lock = threading.Lock()

    def __call__(self, wanted: tuple[Fact, list[Place]]) -> tuple[Fact, str]:
        """(the fact as measured, what is wrong). Where nothing can be read the record's fact stays."""
        fact, places = wanted
        what = "the record does not know these bytes"
        for place in places:
            try:
                found = self._probe(place)
            except LamproomError as error:
                what = f"the source cannot be read: {error.what}"
                continue
            wh = (
                None
                if found.width_px is None or found.height_px is None
                else (found.width_px, found.height_px)
            )
            measured = Fact(
                found.blake3.hex(), fact.key, found.media_type, found.sha256.hex(), found.size_bytes, wh
            )
            return measured, "" if measured == fact else _said(fact, measured)
        return fact, what

    def _probe(self, place: Place) -> media.Probe:
        if not sources.needs_copy(place.path):
            return media.probe(sources.read_bytes(place.location, place.path, place.disk_path))
        outer, _ = sources.split(place.path, place.disk_path)
        with self._lock:
            inside = self._packed.get((place.location, outer))
            if inside is None:
                archive = next(sources.walk(place.location, outer))
                inside = {
                    m.path: media.probe(m.data)
                    for m in sources.members(place.location, archive)
                    if m.data is not None
                }
                self._packed[place.location, outer] = inside
        if place.path not in inside:
            raise NotFound("it is not in the archive", where=place.path)
        return inside[place.path]


def _said(fact: Fact, measured: Fact) -> str:
    if measured.size != fact.size:
        return f"the source is {measured.size} bytes long, {fact.size} were frozen"
    if (measured.asset, measured.sha256) != (fact.asset, fact.sha256):
        return "the bytes of the source are not those that were frozen"
    return "the source is read otherwise than it was frozen: its type or size in pixels"


def _differing(
    ws: Workspace, ref: str, known: Root | None, root: Root, spare: _Spare
) -> Iterator[tuple[str, str]]:
    """(what differs, key) of the rebuilt manifest against the sealed one."""
    if known is None:
        yield UNKNOWN, ref
        return
    get = getter(ws)
    if known.schema != root.schema:
        yield "the label schema of the version was changed in the record", root.schema.code
    try:
        for d in manifest.diff(known, root, get, spare.over(get)):
            if d.before is None:
                yield "the record has it in the version, the sealed manifest does not", d.key
            elif d.after is None:
                yield "the sealed manifest has it, the record does not", d.key
            elif d.before.facts != d.after.facts:
                yield "its bytes are not those that were frozen", d.key
            else:
                yield "the record gives other annotations than were sealed", d.key
    except LamproomError:
        yield UNKNOWN, ref
