"""The manifest of a frozen dataset version: entries in key order, cut into chunks named by digest, under one root.

An entry is three canonical lines: its *facts* (which bytes), its *labels* (split, number of objects, digest of the
set) and its *set* (the AnnotationSet itself). Each kind of line has its own chunk objects, all cut at the same keys,
so an edit rewrites labels and set but never facts. Where a chunk ends depends on the key alone: the same content
gives the same root on any machine, from any order, by full or by incremental writing. See storage/DECISIONS.md.
"""

from __future__ import annotations

import heapq
import struct
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec
from blake3 import blake3

from annotation.errors import InvalidInput

FORMAT = "lamproom-manifest-1"
BORDER = 0
"""A chunk ends after a key whose second digest byte is this: 256 entries on average."""
RUN_BYTES = 64 << 20
"""Memory of the sorter: a run is written to disk when its lines reach this size."""
FAN_IN = 128
"""Runs merged at once (open files)."""

Get = Callable[[str], bytes]
"""Bytes of the object of that BLAKE3 hex digest; raises NotFound."""
Put = Callable[[bytes], str]
"""Stores an object, durably, and returns its BLAKE3 hex digest."""


class Fact(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which bytes an entry is: `asset` is their BLAKE3, wh is in pixels after orientation. Fields are in key order."""

    asset: str
    key: str
    media_type: str
    sha256: str
    size: int
    wh: tuple[int, int] | None = None


class Labelled(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is said of an entry: number of objects, BLAKE3 of its AnnotationSet bytes, split."""

    n: int
    set: str
    split: str | None = None


class Object(msgspec.Struct, frozen=True, omit_defaults=True):
    """One annotation of a set. Integers of 1/1000 px; `points` and `attributes` are spliced in as stored.

    Who, when and which revision are not here: that is lineage, and would change the digest of unchanged truth.
    """

    attributes: msgspec.Raw | None = None
    bbox: tuple[int, int, int, int] | None = None
    kind: str | None = None
    label: str | None = None
    origin: str | None = None
    points: msgspec.Raw | None = None
    score: int | None = None
    uid: str | None = None


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One chunk object: BLAKE3 and size in bytes."""

    b3: str
    bytes: int


class Chunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run of `n` entries beginning at key `first`; `objects` annotations, `size` media bytes."""

    facts: Part
    first: str
    labels: Part
    n: int
    objects: int
    sets: Part
    size: int


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Totals over all chunks; `size` is the media bytes."""

    assets: int
    objects: int
    size: int


class SchemaRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The label schema version: BLAKE3 of its canonical TOML, code and number."""

    blake3: str
    code: str
    number: int


class Root(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The root object. Its BLAKE3 names the version's content; the tag is not in it."""

    chunks: tuple[Chunk, ...]
    counts: Counts
    dataset: str
    format: str
    schema: SchemaRef


@dataclass(frozen=True, slots=True)
class Entry:
    """One asset of a version: its key (UTF-8 of `root-code/path`) and its three canonical lines, without newline."""

    key: bytes
    facts: bytes
    labels: bytes
    set: bytes


_encode = (
    msgspec.json.Encoder().encode
)  # structs above keep their fields in key order, so plain encoding is canonical
_fact = msgspec.json.Decoder(Fact).decode
_labelled = msgspec.json.Decoder(Labelled).decode


def set_bytes(objects: Iterable[Object]) -> bytes:
    """Canonical bytes of an AnnotationSet: a list in the order of uid."""
    return _encode(sorted(objects, key=lambda o: o.uid or ""))


def entry(fact: Fact, objects: Sequence[Object], split: str = "") -> Entry:
    """The three lines of one asset."""
    body = set_bytes(objects)
    labels = Labelled(n=len(objects), set=blake3(body).hexdigest(), split=split or None)
    return Entry(fact.key.encode(), _encode(fact), _encode(labels), body)


def is_border(key: bytes) -> bool:
    """Whether a chunk ends after this key: the low 8 bits of the digest's first two bytes, big-endian, are zero."""
    return bool(blake3(key).digest(2)[1] == BORDER)


# -- sorting ---------------------------------------------------------------------------------------------------------

_HEAD = struct.Struct(">4I")


class Sorter:
    """Entries in, in any order; the same in key order out, with flat memory: sorted runs on disk, merged at the end.

    A context manager: its runs lie in a temporary folder inside `folder`, removed when it is left.
    """

    def __init__(self, folder: Path, *, run_bytes: int = RUN_BYTES) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="sort-", dir=folder)
        self._limit = run_bytes
        self._runs: list[Path] = []
        self._held: list[Entry] = []
        self._held_bytes = self._made = 0

    def __enter__(self) -> Sorter:
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def add(self, entries: Iterable[Entry]) -> None:
        """Take entries; a full run goes to disk."""
        for item in entries:
            self._held.append(item)
            self._held_bytes += len(item.key) + len(item.facts) + len(item.labels) + len(item.set) + 250
            if self._held_bytes >= self._limit:
                self._runs.append(self._spill(sorted(self._held, key=_key)))
                self._held, self._held_bytes = [], 0

    def merged(self) -> Iterator[Entry]:
        """All entries in key order."""
        while len(self._runs) > FAN_IN:
            first, rest = self._runs[:FAN_IN], self._runs[FAN_IN:]
            with ExitStack() as stack:
                streams = [_read_run(stack.enter_context(p.open("rb"))) for p in first]
                self._runs = [*rest, self._spill(heapq.merge(*streams, key=_key))]
            for path in first:
                path.unlink()
        self._held.sort(key=_key)
        with ExitStack() as stack:
            streams = [_read_run(stack.enter_context(p.open("rb"))) for p in self._runs]
            yield from heapq.merge(*streams, self._held, key=_key) if streams else self._held

    def _spill(self, entries: Iterable[Entry]) -> Path:
        path = Path(self._temporary.name) / f"{self._made}"
        self._made += 1
        with path.open("xb", buffering=1 << 20) as out:
            for e in entries:
                out.write(_HEAD.pack(len(e.key), len(e.facts), len(e.labels), len(e.set)))
                out.writelines((e.key, e.facts, e.labels, e.set))
        return path


def _key(item: Entry) -> bytes:
    return item.key


def _read_run(file: BinaryIO) -> Iterator[Entry]:
    while head := file.read(_HEAD.size):
        a, b, c, d = _HEAD.unpack(head)
        yield Entry(file.read(a), file.read(b), file.read(c), file.read(d))


# -- writing ---------------------------------------------------------------------------------------------------------


def write(entries: Iterable[Entry], put: Put) -> Iterator[Chunk]:
    """Store the chunk objects of entries that come in key order; yields each chunk's line for the root.

    Raises:
        InvalidInput: when two entries have the same key.
    """
    held: list[Entry] = []
    last: bytes | None = None
    for item in entries:
        _demand_order(last, item.key)
        last = item.key
        held.append(item)
        if is_border(last):
            yield _store(held, put)
            held = []
    if held:
        yield _store(held, put)


def rewrite(
    previous: Root, changed: Iterable[tuple[bytes, Entry | None]], get: Get, put: Put
) -> Iterator[Chunk]:
    """The chunks of a later version: those of `previous` whose range holds no changed key are reused unread.

    Args:
        previous: the root of an earlier version of the same dataset, with the same filter.
        changed: (key, its entry now; None = no longer in the dataset), sorted by key, each key once. Naming an
            unchanged key is harmless, missing a changed one is not.
    """
    changes = iter(changed)
    ahead = next(changes, None)
    carry: list[Entry] = []
    last: bytes | None = None
    uppers: list[bytes | None] = [c.first.encode() for c in previous.chunks[1:]]
    for chunk, upper in zip(previous.chunks, [*uppers, None], strict=True) if previous.chunks else ():
        batch: dict[bytes, Entry | None] = {}
        while ahead is not None and (upper is None or ahead[0] < upper):
            _demand_order(last, ahead[0])
            last = ahead[0]
            batch[ahead[0]] = ahead[1]
            ahead = next(changes, None)
        if not batch and not carry:
            yield chunk
            continue
        now: dict[bytes, Entry | None] = {**{e.key: e for e in read(chunk, get)}, **batch}
        for key in sorted(now):
            item = now[key]
            if item is None:
                continue
            carry.append(item)
            if is_border(key):
                yield _store(carry, put)
                carry = []
    if carry:  # the last chunk ends where the keys end
        yield _store(carry, put)
    if not previous.chunks:
        yield from write((e for _, e in ([ahead] if ahead else []) + list(changes) if e is not None), put)


def _demand_order(last: bytes | None, key: bytes) -> None:
    if last is not None and key <= last:
        what = (
            "two assets of the dataset have the same name" if key == last else "entries are not in key order"
        )
        raise InvalidInput(
            what, where=key.decode(errors="replace"), remedy="take one of them out of the dataset"
        )


def _store(held: Sequence[Entry], put: Put) -> Chunk:
    def part(lines: Iterable[bytes]) -> Part:
        data = b"\n".join(lines) + b"\n"
        return Part(b3=put(data), bytes=len(data))

    return Chunk(
        facts=part(e.facts for e in held),
        first=held[0].key.decode(),
        labels=part(e.labels for e in held),
        n=len(held),
        objects=sum(_labelled(e.labels).n for e in held),
        sets=part(e.set for e in held),
        size=sum(_fact(e.facts).size for e in held),
    )


def root(chunks: Iterable[Chunk], *, dataset: str, schema: SchemaRef) -> Root:
    """The root over all chunks, in key order."""
    lines = tuple(chunks)
    counts = Counts(
        assets=sum(c.n for c in lines), objects=sum(c.objects for c in lines), size=sum(c.size for c in lines)
    )
    return Root(chunks=lines, counts=counts, dataset=dataset, format=FORMAT, schema=schema)


def root_bytes(value: Root) -> bytes:
    """Canonical bytes of the root: what is hashed and signed."""
    return _encode(value)


# -- reading trusted objects (storage/proof.py reads foreign ones) ---------------------------------------------------


def read(chunk: Chunk, get: Get) -> list[Entry]:
    """The entries of one chunk.

    Raises:
        NotFound: an object is missing.
        InvalidInput: an object is not what its digest says.
    """
    facts, labels, sets = (lines(part, get) for part in (chunk.facts, chunk.labels, chunk.sets))
    if not len(facts) == len(labels) == len(sets) == chunk.n:
        raise InvalidInput("a chunk's lists differ in length", where=chunk.first)
    return [Entry(_fact(f).key.encode(), f, b, s) for f, b, s in zip(facts, labels, sets, strict=True)]


def lines(part: Part, get: Get) -> list[bytes]:
    """The lines of one chunk object, without newlines, after its digest has been compared."""
    data = get(part.b3)
    if blake3(data).hexdigest() != part.b3:
        raise InvalidInput(
            "a stored object is damaged", where=part.b3, remedy="build or publish the version again"
        )
    return data.split(b"\n")[:-1]


def facts(chunk: Chunk, get: Get) -> list[Fact]:
    """The facts of one chunk's entries: which media it needs."""
    return [_fact(line) for line in lines(chunk.facts, get)]


def load(data: bytes) -> Root:
    """A root from its canonical bytes.

    Raises:
        InvalidInput: not a root of this format, or not in canonical form.
    """
    try:
        value = msgspec.json.decode(data, type=Root)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"not a manifest root: {str(error)[:200]}") from None
    if value.format != FORMAT:
        raise InvalidInput(
            f"manifest format {value.format[:40]!r} is not known", remedy=f"this program reads {FORMAT}"
        )
    if root_bytes(value) != data:
        raise InvalidInput("the manifest root is not in canonical form", remedy="publish the version again")
    return value


# -- difference ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """One key that differs: only in b (before is None), only in a (after is None), or changed."""

    key: str
    before: Entry | None
    after: Entry | None


def diff(a: Root, b: Root, get_a: Get, get_b: Get) -> Iterator[Difference]:
    """Differences in key order; equal chunks are skipped unread on both sides.

    Where two chunks have the same facts they have the same keys: only their labels are compared line by line.
    """
    common = {_content(c) for c in a.chunks} & {_content(c) for c in b.chunks}
    left = [c for c in a.chunks if _content(c) not in common]
    right = {c.facts.b3: c for c in b.chunks if _content(c) not in common}
    twins = [(c, right[c.facts.b3]) for c in left if c.facts.b3 in right]
    paired = {c.facts.b3 for c, _ in twins}
    # What is common or paired covers the same keys on both sides, so the rest can be merged alone.
    rest_a = [c for c in left if c.facts.b3 not in paired]
    rest_b = [c for c in right.values() if c.facts.b3 not in paired]
    with closing(_relabelled(twins, get_a, get_b)) as x, closing(_merged(rest_a, rest_b, get_a, get_b)) as y:
        yield from heapq.merge(x, y, key=lambda d: d.key.encode())


def _content(chunk: Chunk) -> tuple[str, str]:
    return chunk.facts.b3, chunk.labels.b3


def _relabelled(
    twins: Sequence[tuple[Chunk, Chunk]], get_a: Get, get_b: Get
) -> Generator[Difference, None, None]:
    for old, new in twins:
        before, after = lines(old.labels, get_a), lines(new.labels, get_b)
        at = [i for i, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]
        if not at:
            continue
        told = lines(old.facts, get_a)
        sets_a, sets_b = lines(old.sets, get_a), lines(new.sets, get_b)
        for i in at:
            key = _fact(told[i]).key
            raw = key.encode()
            yield Difference(
                key, Entry(raw, told[i], before[i], sets_a[i]), Entry(raw, told[i], after[i], sets_b[i])
            )


def _merged(
    a: Sequence[Chunk], b: Sequence[Chunk], get_a: Get, get_b: Get
) -> Generator[Difference, None, None]:
    left, right = (e for c in a for e in read(c, get_a)), (e for c in b for e in read(c, get_b))
    x, y = next(left, None), next(right, None)
    while x is not None or y is not None:
        if y is None or (x is not None and x.key < y.key):
            assert x is not None
            yield Difference(x.key.decode(), x, None)
            x = next(left, None)
        elif x is None or y.key < x.key:
            yield Difference(y.key.decode(), None, y)
            y = next(right, None)
        else:
            if (x.facts, x.labels) != (y.facts, y.labels):
                yield Difference(x.key.decode(), x, y)
            x, y = next(left, None), next(right, None)


def find(value: Root, key: str, get: Get) -> Entry | None:
    """The entry of one key, by reading one chunk."""
    raw = key.encode()
    at = bisect_right(value.chunks, raw, key=lambda c: c.first.encode()) - 1
    if at < 0:
        return None
    return next(islice((e for e in read(value.chunks[at], get) if e.key == raw), 1), None)
