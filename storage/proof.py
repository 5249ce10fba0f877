"""Proof of a manifest nobody trusts yet: digests, sizes, order, counts, canonical form, then the media bytes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import msgspec
from blake3 import blake3

from annotation import canonical
from annotation.errors import LamproomError
from storage import damage, manifest
from storage.damage import Aid, Span
from storage.manifest import Chunk, Fact, Get, Labelled, Part, Root

MAX_PART_BYTES = 1 << 30
"""A chunk object larger than this is refused unread."""
SPLITS = (None, "train", "val", "test")

T = TypeVar("T")

ReadMedia = Callable[[Fact], Iterable[bytes]]
"""The bytes of one asset in pieces; raises LamproomError when they cannot be read."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as the manifest says: where (key, chunk) and what; for media the file and the wrong bytes."""

    where: str
    what: str
    file: str = ""
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """One chunk has been checked: its entries' facts (as far as readable) and the faults found."""

    facts: tuple[Fact, ...]
    faults: tuple[Fault, ...]


def check(
    root: Root,
    get: Get,
    read_media: ReadMedia | None = None,
    *,
    threads: int = 1,
    aid: Aid | None = None,
    prepare: Callable[[Sequence[Fact]], object] | None = None,
) -> Iterator[Checked]:
    """Every chunk against the root, in order; with `read_media` also every media byte. Never raises for foreign data.

    A last `Checked` without facts carries the faults of the totals, if any.

    Args:
        threads: media read at a time; `get` and `read_media` are then called from several threads.
        aid: names file and bytes of what is damaged. prepare: told which media are read next.
    """
    with ThreadPoolExecutor(threads, "proof") as workers:

        def look(facts: Sequence[Fact]) -> list[str | None]:
            assert read_media is not None
            return [media_fault(fact, read_media) for fact in facts]

        def each(facts: Sequence[Fact]) -> Iterable[str | None]:
            """A stretch for every thread: a future for each small picture would cost more than its hash."""
            n = -(-len(facts) // threads) or 1
            stretches = [facts[at : at + n] for at in range(0, len(facts), n)]
            return chain.from_iterable(workers.map(look, stretches) if threads > 1 else map(look, stretches))

        yield from _check(root, get, read_media, each, aid, prepare)


def _check(
    root: Root,
    get: Get,
    read_media: ReadMedia | None,
    each: Callable[[Sequence[Fact]], Iterable[str | None]],
    aid: Aid | None,
    prepare: Callable[[Sequence[Fact]], object] | None,
) -> Iterator[Checked]:
    last = b""
    previous_ended = True
    assets = objects = size = 0
    for chunk in root.chunks:
        faults: list[Fault] = []
        if not previous_ended:
            faults.append(Fault(chunk.first, "the chunk before it does not end where its key says"))
        facts = _check_chunk(chunk, get, last, faults)
        if facts:
            last = facts[-1].key.encode(errors="replace")
            previous_ended = manifest.is_border(last)
        if read_media is not None:
            if prepare is not None:
                prepare(facts)
            faults.extend(
                media_fault_of(fact, what, read_media, aid)
                for fact, what in zip(facts, each(facts), strict=True)
                if what
            )
        assets, objects, size = assets + chunk.n, objects + chunk.objects, size + chunk.size
        yield Checked(tuple(facts), tuple(faults))
    if (assets, objects, size) != (root.counts.assets, root.counts.objects, root.counts.size):
        yield Checked((), (Fault(root.dataset, "the totals in the root are not the sums of its chunks"),))


def media_fault_of(fact: Fact, what: str, read_media: ReadMedia, aid: Aid | None) -> Fault:
    """The fault of an asset, with its file and the bytes that are wrong as far as they can be told."""
    if aid is None:
        return Fault(fact.key, what)
    spans = damage.spans(fact, read_media, aid)
    if spans:
        what = f"{what}; wrong are the bytes {damage.said(spans)}"
    return Fault(fact.key, what, aid.file(fact), tuple(spans))


def media_fault(fact: Fact, read_media: ReadMedia) -> str | None:
    """What is wrong with the bytes of one asset, or None.

    Its BLAKE3 proves them; SHA-256 is three times as dear and would say the same again.
    """
    identity, n = blake3(), 0
    try:
        for piece in read_media(fact):
            n += len(piece)
            if n > fact.size:
                break
            identity.update(piece)
    except LamproomError as error:
        return f"the bytes cannot be read: {error.line}"
    except OSError as error:
        return f"the bytes cannot be read: {error.strerror or error}"
    if n != fact.size:
        return f"the file is not {fact.size} bytes long"
    if identity.hexdigest() != fact.asset:
        return "the bytes are not those that were frozen"
    return None


def _check_chunk(chunk: Chunk, get: Get, last: bytes, faults: list[Fault]) -> list[Fact]:
    def fault(what: str, where: str = chunk.first) -> None:
        faults.append(Fault(where, what))

    facts: list[Fact] = []
    for line in _lines(chunk, "facts", chunk.facts, get, faults):
        fact = _decoded(line, Fact, faults, chunk.first)
        if fact is None:
            continue
        key = fact.key.encode(errors="replace")
        if key <= last:
            fault("keys are not in strictly rising byte order", fact.key)
        if facts and manifest.is_border(facts[-1].key.encode(errors="replace")):
            fault("a chunk should have ended here", facts[-1].key)
        if not _safe_key(fact.key):
            fault("the key is not a plain relative path in NFC", fact.key)
        if fact.size < 0 or len(fact.asset) != 64 or len(fact.sha256) != 64:
            fault("a size or digest has the wrong form", fact.key)
        last = key
        facts.append(fact)
    labels = [
        _decoded(b, Labelled, faults, chunk.first) for b in _lines(chunk, "labels", chunk.labels, get, faults)
    ]
    sets = _lines(chunk, "sets", chunk.sets, get, faults)
    if not len(facts) == len(labels) == len(sets) == chunk.n:
        fault(f"lists of {len(facts)}, {len(labels)} and {len(sets)} lines where {chunk.n} are announced")
    if facts and facts[0].key != chunk.first:
        fault("the chunk does not begin with the key the root says")
    objects = 0
    for fact, said, body in zip(facts, labels, sets, strict=False):
        if said is None:
            continue
        objects += said.n
        if said.split not in SPLITS:
            fault(f"split {said.split!r} is not known", fact.key)
        if blake3(body).hexdigest() != said.set:
            fault("the annotations are not those the digest names", fact.key)
        else:
            _check_set(body, said.n, fact.key, faults)
    if objects != chunk.objects or sum(f.size for f in facts) != chunk.size:
        fault("the chunk's totals are not the sums of its entries")
    return facts


def _check_set(body: bytes, n: int, key: str, faults: list[Fault]) -> None:
    value = _canonical(body)
    if not isinstance(value, list) or not all(isinstance(o, dict) for o in value):
        faults.append(Fault(key, "the annotation set is not a canonical list of objects"))
        return
    uids = [o.get("uid") for o in value]
    if not all(isinstance(u, str) and len(u) == 32 for u in uids) or sorted(set(uids)) != uids:
        faults.append(Fault(key, "the annotations are not in the order of their uid"))
    if len(value) != n:
        faults.append(Fault(key, f"{len(value)} annotations where {n} are announced"))
    if not all(isinstance(o.get(k), str) for o in value for k in ("kind", "label", "origin")):
        faults.append(Fault(key, "an annotation lacks kind, label or origin"))


def _lines(chunk: Chunk, name: str, part: Part, get: Get, faults: list[Fault]) -> list[bytes]:
    try:
        if not 0 < part.bytes <= MAX_PART_BYTES:
            faults.append(Fault(chunk.first, f"its {name} object has an impossible size"))
            return []
        data = get(part.b3)
    except LamproomError as error:
        faults.append(Fault(chunk.first, f"its {name} object cannot be read: {error.line}"))
        return []
    except OSError as error:
        faults.append(Fault(chunk.first, f"its {name} object cannot be read: {error.strerror or error}"))
        return []
    if len(data) != part.bytes or blake3(data).hexdigest() != part.b3:
        faults.append(Fault(chunk.first, f"its {name} object {part.b3[:16]} is damaged"))
        return []
    if not data.endswith(b"\n"):
        faults.append(Fault(chunk.first, f"its {name} object does not end with a newline"))
    return data.split(b"\n")[:-1]


def _decoded(line: bytes, kind: type[T], faults: list[Fault], where: str) -> T | None:
    try:
        value = msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        faults.append(Fault(where, f"a line cannot be read: {str(error)[:120]}"))
        return None
    if msgspec.json.encode(value) != line:
        faults.append(Fault(where, "a line is not in canonical form"))
    return value


def _canonical(data: bytes) -> object:
    """The decoded value when these bytes are its canonical form, else None."""
    try:
        value = msgspec.json.decode(data)
        return value if canonical.encode(value) == data else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LamproomError):
        return None


def _safe_key(key: str) -> bool:
    parts = key.split("/")
    return (
        len(parts) >= 2
        and "\0" not in key
        and not {"", ".", ".."} & set(parts)
        and unicodedata.is_normalized("NFC", key)
    )
