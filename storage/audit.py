"""The audit log: one chain of lines about what left, who let it and who changed rights; each line seals the one before.

A line is canonical JSON {agent, at_ms, detail, seq, subject, verb}; its digest is BLAKE3(prev digest + line). The head is
named in the signed statement of every version (storage/versions.py), so an edited line breaks the chain and a cut tail is
missed by any later statement. This finds tampering; it does not stop whoever owns the database from starting a new log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.engine import Connection

from annotation import canonical
from storage import db as database

BEGIN = bytes(32)
"""What the first line seals."""
_LOCK = 0x41756474  # "Audt": PostgreSQL writers append one after the other
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `detail` is flat: what a person needs to judge the deed. prev and digest are 32 bytes."""

    seq: int
    at_ms: int
    agent: str
    verb: str
    subject: str
    detail: Mapping[str, object]
    prev: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is not what it was, or is not there."""

    seq: int
    what: str


def append(
    conn: Connection, *, agent: str, verb: str, subject: str, detail: Mapping[str, object] | None = None
) -> Entry:
    """Add a line in the caller's transaction: the deed and its line are committed together, or neither is.

    Args:
        agent: who did it. verb: what was done ("publish", "override", …). subject: to what ("d@v1", a key's fingerprint).
        detail: more of it; only what `canonical` can encode.
    """
    if conn.dialect.name == "postgresql":  # SQLite's writer is alone already
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:k)"), {"k": _LOCK})
    seq, prev = head(conn)
    at_ms, told = database.now_ms(), dict(detail or {})
    agent, subject = canonical.nfc(agent), canonical.nfc(subject)
    text = canonical.encode(told).decode()
    digest = _digest(prev, seq + 1, at_ms, agent, verb, subject, text)
    row = (seq + 1, at_ms, agent, verb, subject, text, prev, digest)
    database.insert(
        conn, "audit", ("seq", "at_ms", "agent", "verb", "subject", "detail", "prev", "digest"), [row]
    )
    return Entry(seq + 1, at_ms, agent, verb, subject, told, prev, digest)


def head(conn: Connection) -> tuple[int, bytes]:
    """Number and digest of the last line; (0, BEGIN) of an empty log."""
    row = conn.execute(sa.text("SELECT seq, digest FROM audit ORDER BY seq DESC LIMIT 1")).first()
    return (row[0], bytes(row[1])) if row else (0, BEGIN)


def entries(conn: Connection, *, after: int = 0, limit: int = _PAGE) -> list[Entry]:
    """The next lines, oldest first."""
    return [Entry(*r[:5], _told(r[5]), r[6], r[7]) for r in _rows(conn, after, limit)]


def verify(conn: Connection, anchors: Mapping[int, bytes] | None = None) -> Iterator[Fault]:
    """Every line that was edited, taken out or cut off.

    Args:
        anchors: line number -> digest as signed statements name them; a line they name must be there and equal.
    """
    wanted = dict(anchors or {})
    prev, expected = BEGIN, 1
    after = 0
    while page := _rows(conn, after, _PAGE):
        for seq, at_ms, agent, verb, subject, detail, said_prev, digest in page:
            if seq != expected:
                yield Fault(expected, f"{seq - expected} lines are missing before line {seq}")
            if said_prev != prev:
                yield Fault(seq, "the line does not follow the one before it")
            if _digest(said_prev, seq, at_ms, agent, verb, subject, detail) != digest:
                yield Fault(seq, "the line was changed after it was written")
            anchor = wanted.pop(seq, None)
            if anchor is not None and anchor != digest:
                yield Fault(seq, "a signed version names another line here")
            prev, expected, after = digest, seq + 1, seq
    for seq in sorted(n for n in wanted if n > 0):
        yield Fault(seq, "a signed version names this line, and it is gone")


@dataclass(frozen=True, slots=True)
class Statement:
    """What a version was sealed under: canonical JSON, its signature and the key's 32 public bytes."""

    ref: str
    root: str
    text: str
    signature: bytes
    public: bytes


def statements(conn: Connection) -> list[Statement]:
    """The signed statement of every sealed version that has one."""
    rows = conn.execute(
        sa.text(
            "SELECT d.name || '@' || v.tag, v.root, v.statement, v.statement_signature, "
            "(SELECT max(k.ref) FROM link k WHERE k.activity_id = v.activity_id AND k.entity = 'key') "
            "FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id WHERE v.statement IS NOT NULL ORDER BY v.id"
        )
    )
    return [Statement(r[0], _raw(r[1]).hex(), r[2], _raw(r[3]), _unhexed(r[4] or "")) for r in rows]


def _rows(
    conn: Connection, after: int, limit: int
) -> list[tuple[int, int, str, str, str, str, bytes, bytes]]:
    found = conn.execute(
        sa.text(
            "SELECT seq, at_ms, agent, verb, subject, detail, prev, digest FROM audit WHERE seq > :a ORDER BY seq LIMIT :n"
        ),
        {"a": after, "n": limit},
    ).all()
    return [(r[0], r[1], r[2], r[3], r[4], r[5], _raw(r[6]), _raw(r[7])) for r in found]


def _raw(value: object) -> bytes:
    """A column's bytes; whoever edits a log from outside may leave anything there, and is to be found, not to stop the search."""
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value or "").encode()


def _unhexed(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _told(detail: str) -> Mapping[str, object]:
    try:
        value = msgspec.json.decode(detail)
    except msgspec.DecodeError:
        value = None
    return value if isinstance(value, dict) else {"text": detail}


def _digest(prev: bytes, seq: int, at_ms: int, agent: str, verb: str, subject: str, detail: str) -> bytes:
    line = canonical.encode(
        {"agent": agent, "at_ms": at_ms, "detail": msgspec.Raw(detail.encode()), "seq": seq, "subject": subject, "verb": verb}
    )  # fmt: skip
    return blake3(prev + line).digest()
