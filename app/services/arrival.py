"""What a foreign version must be before anything of it is written: all that this record could have frozen itself.

Proof of digests, order and counts (storage/proof.py) says that a manifest is what was signed, not that it can be taken in. A
version that cannot would be noticed half-way, with its dataset half filled; so everything but the pictures' bytes is judged first.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec
import numpy as np
import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.engine import Connection

from annotation import canonical, labels
from annotation.errors import Conflict, InvalidInput, LamproomError
from annotation.rows import from_row, to_row
from annotation.schema import CODE
from app.services.workspace import Workspace
from storage import jobs, names, register
from storage.hub.reading import Published
from storage.manifest import Entry, Fact, SchemaRef
from storage.proof import Fault
from storage.record import Content
from storage.sources import MAX_FILE_BYTES, needs_copy
from storage.tables import KINDS, ORIGINS
from storage.versions import Version

FOLDER = "received"
LONGEST_NAME = 255
"""Bytes of one name that file systems take."""
LONGEST_KEY = 3_000
_ROOT = re.compile(r"\w[\w.\-]{0,79}\Z")
_HEX = {n: re.compile(rf"[0-9a-f]{{{n}}}\Z") for n in (32, 64)}


class Object(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As manifest.Object, for reading: b"" where there is none."""

    kind: str
    label: str
    origin: str
    uid: str
    attributes: msgspec.Raw = msgspec.Raw(b"")
    bbox: tuple[int, int, int, int] | None = None
    points: msgspec.Raw = msgspec.Raw(b"")
    score: int | None = None


fact_of = msgspec.json.Decoder(Fact).decode
_objects = msgspec.json.Decoder(list[Object]).decode


def read_set(body: bytes, key: str) -> list[Object]:
    """The objects of a picture, each as the record could have written it.

    Raises:
        InvalidInput: one that no record holds, named.
    """
    try:
        found = _objects(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"its annotations cannot be read: {str(error)[:120]}", where=key) from error
    for o in found:
        try:
            _demand_own(o)
        except LamproomError as error:
            where = f"{key} {o.uid[:32]}"
            raise InvalidInput(error.what, where=where, remedy="have it published again") from error
    return found


def _demand_own(o: Object) -> None:
    points = bytes(o.points).decode() or None
    if o.kind not in KINDS or o.origin not in ORIGINS or not _HEX[32].match(o.uid):
        raise InvalidInput("an object that is not as the record writes it")
    if not CODE.match(o.label):
        raise InvalidInput(f"{o.label[:80]!a} is no code of a label")
    shape = from_row(o.kind, o.bbox, points)
    if to_row(shape) != (o.kind, o.bbox, points):
        raise InvalidInput("an object that is not as the record writes it")
    held = msgspec.json.decode(bytes(o.attributes)) if bytes(o.attributes) else None
    if held is not None and (
        not isinstance(held, dict)
        or not held
        or any(isinstance(v, dict | list | float | None) for v in held.values())
    ):
        raise InvalidInput("attributes that are not as the record writes them")
    if o.score is not None and not 0 <= o.score <= canonical.MICRO:
        raise InvalidInput(f"a score of {o.score} millionths")


def content(o: Object, asset_id: int, numbers: Mapping[str, int]) -> Content:
    """What the record keeps of an object; numbers: label code -> id."""
    return Content(
        bytes.fromhex(o.uid), asset_id, numbers[o.label], KINDS.index(o.kind), o.bbox, bytes(o.points).decode() or None,
        bytes(o.attributes).decode() or None, o.score, ORIGINS.index(o.origin),
    )  # fmt: skip


class Sieve:
    """Looks at the entries of a version, chunk by chunk, and at its end at all of them; 16 bytes each are held.

    Args:
        folder: where the pictures will lie, to learn whether names there differ by case. It must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys, self._uids = array("Q"), array("Q")
        self._above: set[int] = set()
        self.uids: list[bytes] = []
        """Of the chunk that was looked at last: whoever asks the record about them does it now."""

    def look(self, entries: Sequence[Entry]) -> Iterator[Fault]:
        """Every fault of these entries."""
        self.uids = []
        for e in entries:
            fact = fact_of(e.facts)
            if faults := list(_faults_of(fact)):
                yield from faults
                continue
            if not needs_copy(fact.key.partition("/")[2]):  # a member of an archive has no file of its own
                self._keys.append(_short(fact.key.casefold()))
                above = fact.key.casefold()
                while "/" in above:
                    above = above.rpartition("/")[0]
                    if (short := _short(above)) in self._above:
                        break
                    self._above.add(short)
            try:
                found = read_set(e.set, fact.key)
            except LamproomError as error:
                yield Fault(error.where or fact.key, error.what)
                continue
            self.uids += [bytes.fromhex(o.uid) for o in found]
            self._uids.extend(_short(o.uid) for o in found)

    def end(self) -> Iterator[Fault]:
        """Every fault of them together."""
        if _has_twice(self._uids):
            yield Fault("", "an object is in it twice")
        if np.isin(np.fromiter(self._above, np.uint64), np.frombuffer(self._keys, np.uint64)).any():
            yield Fault("", "a picture's name is also the name of a folder")
        if _has_twice(self._keys) and not _tells_case(self._folder):
            yield Fault("", "names differ by capital letters alone, which this disk does not tell apart")


def _faults_of(fact: Fact) -> Iterator[Fault]:
    """Why a picture could not have been in a record."""
    code, _, path = fact.key.partition("/")
    try:
        names.check_relative(path.encode(), fact.key)
        plain = names.readable(fact.key.encode()) == fact.key
    except (LamproomError, UnicodeEncodeError):
        plain = False
    if not plain or not _ROOT.match(code):
        yield Fault(fact.key, "its name is none that a source gives")
    elif len(fact.key.encode()) > LONGEST_KEY or (
        not needs_copy(path) and any(len(p.encode()) > LONGEST_NAME for p in path.split("/"))
    ):
        yield Fault(fact.key, "its name is too long for a file")
    if not (_HEX[64].match(fact.asset) and _HEX[64].match(fact.sha256)):
        yield Fault(fact.key, "a size or digest has the wrong form")
    if not 0 < fact.size <= MAX_FILE_BYTES:
        yield Fault(fact.key, f"{fact.size} bytes are no picture's")
    if fact.wh is None or min(fact.wh) < 1:
        yield Fault(fact.key, "its width and height are not announced")


def _short(text: str) -> int:
    """64 bits of a digest: two of ten million texts agree by chance once in 400,000 versions."""
    return int.from_bytes(blake3(text.encode()).digest(8), "little")


def _has_twice(values: array[int]) -> bool:
    found = np.sort(np.frombuffer(values, np.uint64))
    return bool((found[1:] == found[:-1]).any())


def _tells_case(folder: Path) -> bool:
    with NamedTemporaryFile(prefix="case-a", dir=folder) as file:
        path = Path(file.name)
        return not path.with_name(path.name.replace("case-a", "CASE-A")).exists()


def bounded(pieces: Iterator[bytes], size: int, key: str) -> bytes:
    """The bytes of a picture, and not one more than was announced is taken from whoever gives them.

    Raises:
        InvalidInput: there are more, or fewer.
    """
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > size:
            break
    if len(data) != size:
        raise InvalidInput(
            "the bytes are not those that were frozen", where=key, remedy="`lamproom verify --hub`"
        )
    return bytes(data)


# --- what is here already ----------------------------------------------------------------------------------------------


def demand_room(conn: Connection, ws: Workspace, published: Published, known: Version | None) -> None:
    """Nothing of these names may be here: what is received must rebuild to the very same root.

    A dataset that a cancelled receiving left, undone, is taken up again.
    """
    remedy = "receive it into a workspace of its own"
    if known is not None:
        raise Conflict(f"{known.ref} exists here with another content", remedy=remedy)
    name, ref = published.dataset, published.root.schema
    if register.check_dataset_name(name) != name:
        raise InvalidInput("the dataset's name is none that this program gives", where=ascii(name[:80]))
    found = conn.execute(
        sa.text(
            "SELECT d.id, d.schema_code, EXISTS (SELECT 1 FROM item WHERE dataset_id = d.id AND died IS NULL) "
            "OR EXISTS (SELECT 1 FROM dataset_version WHERE dataset_id = d.id) FROM dataset d WHERE d.name = :n"
        ),
        {"n": name},
    ).first()
    if found is not None and (found[2] or found[1] != ref.code):
        left = [
            j for j in jobs.listing(conn) if j.kind == "receive" and j.dataset_id == found[0] and j.step and j.ended_ms
        ]  # fmt: skip
        if left:
            remedy = f"`lamproom undo {left[0].step}` takes out what a cancelled receiving left"
        raise Conflict(f"there is a dataset {name!r} here already", remedy=remedy)
    codes = {c.first.partition("/")[0] for c in published.root.chunks}
    taken = [
        r.code for r in register.roots(conn) if r.code in codes and r.location != root_location(ws, r.code)
    ]
    if taken:
        raise Conflict(f"there is a source {taken[0]!r} here already", remedy=remedy)
    labels.loads(text_of(published), f"{ref.code}@{ref.number}")
    schema_here(conn, ref)


def root_location(ws: Workspace, code: str) -> bytes:
    return os.fsencode((ws.folder / FOLDER / code).resolve())


def text_of(published: Published) -> str:
    """The label schema's text. InvalidInput when it is none."""
    try:
        return published.documents["schema.toml"].decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("the label schema is no UTF-8 text", where=published.dataset) from error


def schema_here(conn: Connection, ref: SchemaRef) -> tuple[int | None, list[int]]:
    """(id of the very schema version or None, the versions of its code that are live).

    Raises:
        Conflict: the workspace's schema of that code went another way.
    """
    found = conn.execute(
        sa.text("SELECT id, number, blake3, died FROM schema_version WHERE code = :c ORDER BY number"), {"c": ref.code}
    ).all()  # fmt: skip
    live = [r[0] for r in found if r[3] is None]
    for row in found:
        if bytes(row[2]).hex() == ref.blake3 and row[1] == ref.number:
            return int(row[0]), live
    if found and found[-1][1] >= ref.number:
        raise Conflict(
            f"the label schema {ref.code} is another one here", where=f"{ref.code}@{ref.number}",
            remedy="receive it into a workspace of its own",
        )  # fmt: skip
    return None, live


def demand_new(conn: Connection, uids: Sequence[bytes]) -> None:
    statement = sa.text("SELECT 1 FROM annotation WHERE died IS NULL AND uid IN :u LIMIT 1").bindparams(
        sa.bindparam("u", expanding=True)
    )
    for i in range(0, len(uids), 500):
        if uids[i : i + 500] and conn.execute(statement, {"u": uids[i : i + 500]}).first() is not None:
            raise Conflict(
                "objects of this version are in this workspace already",
                remedy="receive it into a workspace of its own",
            )
