"""Policy tags: who may see a source, a picture or a version, for what, until when; and what of a dataset they keep in.

Append-only: setting a tag ends the one before. What holds for a picture is the strictest of the tag of its source, its own
tag, and, for one derived from another (redaction), of the original's. This is enforcement by this program, not secure
computation: whoever owns the files can copy them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.errors import InvalidInput
from storage import db as database
from storage.tables import SCOPES

VISIBILITIES = ("public", "partners", "internal", "closed")
"""From open to shut: who may see it. "closed" never leaves."""
PLACES = ("", "unpublished")
"""unpublished: where it was taken is not to be known outside; only a derived picture without metadata may leave."""
PURPOSES = ("training", "evaluation", "research", "display")
_BATCH = 500
_LOCK = 0x506F6C69  # "Poli": PostgreSQL writers tag one after the other, so that a thing has one live tag


@dataclass(frozen=True, slots=True)
class Tag:
    """What may be done with a thing.

    Attributes:
        visibility: the widest audience that may see it.
        purposes: what it may be used for, of PURPOSES; () = anything.
        expires_ms: UTC milliseconds after which it no longer leaves; None = never.
        place: of PLACES.
        note: why, for people.
    """

    visibility: str = "public"
    purposes: tuple[str, ...] = ()
    expires_ms: int | None = None
    place: str = ""
    note: str = ""

    def to_json(self) -> str:
        """Canonical JSON, defaults left out."""
        value: dict[str, object] = {}
        if self.visibility != "public":
            value["visibility"] = self.visibility
        if self.purposes:
            value["purposes"] = sorted(set(self.purposes))
        if self.expires_ms is not None:
            value["expires_ms"] = self.expires_ms
        if self.place:
            value["place"] = self.place
        if self.note:
            value["note"] = canonical.nfc(self.note)
        return canonical.encode(value).decode()


FREE = Tag()
"""What holds where no tag is."""


@lru_cache(maxsize=1024)  # a million pictures have a handful of different tags
def from_json(text: str) -> Tag:
    """The tag of a row."""
    v = json.loads(text)
    return Tag(
        v.get("visibility", "public"), tuple(v.get("purposes", ())), v.get("expires_ms"), v.get("place", ""), v.get("note", "")
    )  # fmt: skip


def checked(tag: Tag) -> Tag:
    """The tag, if it says something we know.

    Raises:
        InvalidInput: an unknown visibility, purpose or place, or a note past 500 characters.
    """
    for what, given, known in (
        ("visibility", (tag.visibility,), VISIBILITIES),
        ("purpose", tag.purposes, PURPOSES),
        ("place", (tag.place,), PLACES),
    ):
        if wrong := [g for g in given if g not in known]:
            raise InvalidInput(
                f"the {what} {wrong[0]!r} is not known", remedy=f"one of {', '.join(filter(None, known))}"
            )
    if len(tag.note) > 500:
        raise InvalidInput(f"a note of {len(tag.note)} characters", remedy="at most 500")
    return tag


def strictest(tags: Iterable[Tag]) -> Tag:
    """What holds when all of these do. No purposes in common is told by ("none",), which no use meets."""
    out = FREE
    for tag in tags:
        purposes = (
            out.purposes and tag.purposes and tuple(p for p in out.purposes if p in tag.purposes)
        ) or (("none",) if out.purposes and tag.purposes else out.purposes or tag.purposes)
        ends = [e for e in (out.expires_ms, tag.expires_ms) if e is not None]
        out = Tag(
            max(out.visibility, tag.visibility, key=VISIBILITIES.index), purposes, min(ends, default=None),
            out.place or tag.place, "; ".join(dict.fromkeys(filter(None, (out.note, tag.note)))),
        )  # fmt: skip
    return out


@dataclass(frozen=True, slots=True)
class Row:
    """A live tag and what it is about: scope of SCOPES, id and name for people, of the first of `n` things."""

    scope: str
    ref_id: int
    name: str
    tag: Tag
    agent: str
    at_ms: int
    n: int = 1


def put(
    conn: Connection, scope: str, ref_ids: Sequence[int], tag: Tag, agent_id: int, *, spoken: bool = False
) -> int:
    """Tag these; what they had ends. A tag that says nothing only ends. Returns how many differ from before.

    Args:
        spoken: a tag that says nothing is kept as one: on a copy it opens what its original's tag keeps in.
    """
    if conn.dialect.name == "postgresql":  # SQLite's writer is alone already
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:k)"), {"k": _LOCK})
    text, now, number = tag.to_json(), database.now_ms(), SCOPES.index(scope)
    changed = 0
    for part in _parts(ref_ids):
        ids = ",".join(map(str, part))
        same = set(
            conn.execute(
                sa.text(f"SELECT ref_id FROM policy WHERE scope = {number} AND ended_ms IS NULL AND tag = :t AND ref_id IN ({ids})"),
                {"t": text},
            ).scalars()
        )  # fmt: skip
        todo = [i for i in part if i not in same]
        if not todo:
            continue
        ended = conn.execute(
            sa.text(
                f"UPDATE policy SET ended_ms = :n WHERE scope = {number} AND ended_ms IS NULL AND ref_id IN ({','.join(map(str, todo))})"
            ),
            {"n": now},
        ).rowcount
        if tag == FREE and not spoken:
            changed += ended
            continue
        changed += len(todo)
        database.insert(
            conn, "policy", ("scope", "ref_id", "tag", "agent_id", "at_ms"), [(number, i, text, agent_id, now) for i in todo]
        )  # fmt: skip
    return changed


_NAMES = {
    "source": "SELECT code FROM source_root WHERE id = :i",
    "asset": "SELECT r.code || '/' || s.path FROM asset s JOIN source_root r ON r.id = s.source_root_id WHERE s.id = :i",
    "version": "SELECT d.name || '@' || v.tag FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id WHERE v.id = :i",
}


def listing(conn: Connection, scope: str, *, limit: int = 200) -> list[Row]:
    """Live tags of a scope, newest first; pictures that one person gave one tag are one row, named by the first of them."""
    one = "p.ref_id, p.tag, g.name, p.at_ms, 1"
    many = "min(p.ref_id), p.tag, g.name, max(p.at_ms), count(*)"
    rows = conn.execute(
        sa.text(
            f"SELECT {many if scope == 'asset' else one} FROM policy p JOIN agent g ON g.id = p.agent_id "
            "WHERE p.scope = :s AND p.ended_ms IS NULL "
            f"{'GROUP BY p.tag, g.name ' if scope == 'asset' else ''}ORDER BY 4 DESC, 1 LIMIT :n"
        ),
        {"s": SCOPES.index(scope), "n": limit},
    ).all()
    names = {r[0]: conn.execute(sa.text(_NAMES[scope]), {"i": r[0]}).scalar() for r in rows}
    return [Row(scope, r[0], names[r[0]] or str(r[0]), from_json(r[1]), r[2], r[3], r[4]) for r in rows]


def of(conn: Connection, scope: str, ref_ids: Sequence[int]) -> dict[int, Tag]:
    """Live tags of these; those without one are not in it."""
    out: dict[int, Tag] = {}
    for part in _parts(ref_ids):
        rows = conn.exec_driver_sql(
            f"SELECT ref_id, tag FROM policy WHERE scope = {SCOPES.index(scope)} AND ended_ms IS NULL "
            f"AND ref_id IN ({','.join(map(str, part))})"
        )
        out.update((r[0], from_json(r[1])) for r in rows)
    return out


def any_here(conn: Connection) -> bool:
    """Whether anything is tagged at all: most workspaces ask no further."""
    return conn.exec_driver_sql("SELECT 1 FROM policy WHERE ended_ms IS NULL LIMIT 1").first() is not None


@dataclass(frozen=True, slots=True)
class Held:
    """What holds for one picture: `derived` = made from another one, without its metadata."""

    tag: Tag
    derived: bool


def of_assets(conn: Connection, asset_ids: Sequence[int]) -> dict[int, Held]:
    """The strictest of source, own and original's tags, of those pictures that have any; a copy's original may be a copy too."""
    out: dict[int, Held] = {}
    for part in _parts(asset_ids):
        above = _above(conn, part)
        every = sorted({*part, *above.values()})
        roots = _roots(conn, every)
        sources, assets = of(conn, "source", sorted(set(roots.values()))), of(conn, "asset", every)
        for asset in part:
            line = [asset]
            while (original := above.get(line[-1])) is not None and original not in line:
                line.append(original)
            tag = FREE
            for n, one in enumerate(reversed(line)):
                own = assets.get(one)
                if n and own is not None:
                    # Its own tag may open it wider than its original: that is what a redaction is for. Purpose and time hold on.
                    tag = Tag("public", tag.purposes, tag.expires_ms, "", tag.note)
                tag = strictest(filter(None, (sources.get(roots.get(one, 0)), own, tag)))
            if tag != FREE:
                out[asset] = Held(tag, asset in above)
    return out


def _above(conn: Connection, asset_ids: Sequence[int]) -> dict[int, int]:
    """Copy -> original, of these pictures and of their originals, up to those that are no copies."""
    out: dict[int, int] = {}
    ahead: Sequence[int] = asset_ids
    while ahead:
        found = derived(conn, ahead)
        ahead = sorted(set(found.values()) - out.keys() - found.keys())
        out |= found
    return out


def _roots(conn: Connection, asset_ids: Sequence[int]) -> dict[int, int]:
    out: dict[int, int] = {}
    for part in _parts(asset_ids):
        rows = conn.exec_driver_sql(
            f"SELECT id, source_root_id FROM asset WHERE id IN ({','.join(map(str, part))})"
        )
        out.update((r[0], r[1]) for r in rows)
    return out


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    yield from (ids[i : i + _BATCH] for i in range(0, len(ids), _BATCH))


def refusals(held: Held, *, audience: str, purpose: str, now_ms: int) -> list[str]:
    """Why a picture may not leave to this audience for this purpose: one English sentence each, [] when it may."""
    tag, out = held.tag, []
    if VISIBILITIES.index(tag.visibility) > VISIBILITIES.index(audience) or tag.visibility == "closed":
        out.append(f"may be seen by {tag.visibility} only, and this is for {audience}")
    if tag.purposes and purpose not in tag.purposes:
        allowed = "nothing that all its tags allow" if tag.purposes == ("none",) else ", ".join(tag.purposes)
        out.append(f"may be used for {allowed}, and this is for {purpose or 'no purpose that was said'}")
    if tag.expires_ms is not None and now_ms >= tag.expires_ms:
        out.append("the time it may be used for has ended")
    if tag.place == "unpublished" and audience != "internal" and not held.derived:
        out.append("it shows a place that is not published, and is not a redacted copy")
    return out


# --- derived pictures -----------------------------------------------------------------------------------------------


def derive(conn: Connection, rows: Sequence[tuple[int, int, int, str]]) -> None:
    """Remember (asset, made from, activity, recipe as canonical JSON)."""
    database.insert(conn, "derivation", ("asset_id", "from_id", "activity_id", "recipe"), rows)


def derived(conn: Connection, asset_ids: Sequence[int]) -> dict[int, int]:
    """Of these, those made from another asset, and from which."""
    out: dict[int, int] = {}
    for part in _parts(asset_ids):
        rows = conn.exec_driver_sql(
            f"SELECT asset_id, from_id FROM derivation WHERE asset_id IN ({','.join(map(str, part))})"
        )
        out.update((r[0], r[1]) for r in rows)
    return out


def regions(conn: Connection, activity_id: int) -> list[int]:
    """How many regions were covered in each copy that an activity made."""
    rows = conn.execute(
        sa.text("SELECT recipe FROM derivation WHERE activity_id = :a"), {"a": activity_id}
    ).scalars()
    return [int(json.loads(r)["regions"]) for r in rows]
