"""What may leave: policy tags set and read, and the gate that every export and publish passes. Enforcement, not secure computation.

The gate asks for whom and what for; it refuses with every reason and a count, or lets through what a person answers for by
name, which the audit log keeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.errors import InvalidInput, NotFound
from app.services.workspace import Workspace
from storage import audit, policy, queries, register
from storage import db as database
from storage import versions as rows
from storage.policy import FREE, PLACES, PURPOSES, VISIBILITIES, Held, Row, Tag
from storage.queries import Query
from storage.tables import SCOPES
from storage.versions import Filter

__all__ = [
    "AUDIENCES",
    "FREE",
    "OUTSIDE",
    "PLACES",
    "PURPOSES",
    "SCOPES",
    "VISIBILITIES",
    "Ask",
    "Reason",
    "Row",
    "Tag",
    "Whence",
    "check",
    "checked",
    "day_begins",
    "demand",
    "listing",
    "picture_of",
    "read_tag",
    "set_pictures",
    "set_tag",
    "source_of",
    "sources",
    "spread",
    "tag_of",
    "tag_of_named",
    "whence",
]  # fmt: skip

AUDIENCES = VISIBILITIES[:-1]
MOST_SHOWN = 5_000
"""Pictures that a reason names, and pictures of a query that are looked at to say what holds for them."""
LEAST_WORDS = 8
"""Characters of a reason that lets something through against its tags."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Who is to have it, and what for. override: a person's reason to let it through all the same."""

    audience: str = "internal"
    purpose: str = ""
    override: str = ""


OUTSIDE = Ask("partners", "training")
"""What a hub and a carried disk ask when nobody says otherwise: both are outside the house."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why pictures may not leave: one sentence, how many, one of them; and the first MOST_SHOWN by asset id."""

    what: str
    n: int
    example: str
    pictures: tuple[int, ...] = ()


def checked(ask: Ask) -> Ask:
    """The ask, if it names an audience and a purpose we know and answers with more than a word.

    Raises:
        InvalidInput: it does not.
    """
    if ask.audience not in AUDIENCES:
        raise InvalidInput(
            f"the audience {ask.audience!r} is not known", remedy=f"one of {', '.join(AUDIENCES)}"
        )
    if ask.purpose and ask.purpose not in PURPOSES:
        raise InvalidInput(
            f"the purpose {ask.purpose!r} is not known", remedy=f"one of {', '.join(PURPOSES)}"
        )
    if ask.override and len(ask.override.strip()) < LEAST_WORDS:
        raise InvalidInput(
            "the reason is too short to answer for",
            where=ask.override,
            remedy=f"at least {LEAST_WORDS} characters",
        )
    return replace(ask, override=canonical.nfc(ask.override.strip()))


def check(
    ws: Workspace,
    *,
    dataset_id: int,
    rev: int,
    filter: Filter,
    version_id: int | None,
    ask: Ask,
    wanted: Callable[[int], bool] | None = None,
) -> list[Reason]:
    """Every reason why this state of a dataset may not leave; [] when it may. Reads page by page.

    Args:
        rev, filter: the state that is to leave. version_id: the version it is, whose own tag then counts too.
        wanted: which of its pictures (by asset id) leave at all; by default every one.
    """
    now = database.now_ms()
    with ws.db.read() as conn:
        if not policy.any_here(conn):
            return []
        whole = FREE if version_id is None else policy.of(conn, "version", [version_id]).get(version_id, FREE)
    found: dict[str, tuple[int, list[int]]] = {}
    for page in rows.member_pages(ws.db, dataset_id, rev, filter):
        ids = [m.asset_id for m in page if wanted is None or wanted(m.asset_id)]
        with ws.db.read() as conn:
            held = policy.of_assets(conn, ids)
        if whole != FREE:
            held = {i: _within(held.get(i), whole) for i in ids}
        for asset_id, one in held.items():
            for what in policy.refusals(one, audience=ask.audience, purpose=ask.purpose, now_ms=now):
                n, ids_of = found.get(what, (0, []))
                if n < MOST_SHOWN:
                    ids_of.append(asset_id)
                found[what] = (n + 1, ids_of)
    with ws.db.read() as conn:
        names = rows.facts(conn, [shown[0] for _, shown in found.values()])
    return [Reason(what, n, names[shown[0]].key, tuple(shown)) for what, (n, shown) in found.items()]


def _within(held: Held | None, whole: Tag) -> Held:
    return Held(whole, False) if held is None else Held(policy.strictest((held.tag, whole)), held.derived)


def demand(
    ws: Workspace,
    subject: str,
    *,
    dataset_id: int,
    rev: int,
    filter: Filter,
    version_id: int | None,
    ask: Ask,
    verb: str,
    wanted: Callable[[int], bool] | None = None,
) -> list[Reason]:
    """Let it pass, or refuse. What passes against its tags is in the audit log before anything leaves.

    Args:
        subject: what leaves, for people and the log ("d@v1"). verb: "export", "publish", … wanted: as for `check`.

    Returns:
        the reasons that a person's answer overrode, [] when there were none.

    Raises:
        InvalidInput: it may not leave: every reason with its count.
    """
    ask = checked(ask)
    reasons = check(
        ws,
        dataset_id=dataset_id,
        rev=rev,
        filter=filter,
        version_id=version_id,
        ask=ask,
        wanted=wanted,
    )
    if not reasons:
        return []
    if not ask.override:
        told = "; ".join(f"{r.n} × {r.what}" for r in reasons)
        raise InvalidInput(
            f"its policy tags keep it in: {told}", where=f"{subject} ({reasons[0].example})",
            remedy="leave those pictures out, redact them, say another audience or purpose, or answer for it by name: --override REASON",
        )  # fmt: skip
    with ws.db.write() as conn:
        audit.append(
            conn, agent=ws.person.name, verb="override", subject=subject,
            detail={"answer": ask.override, "audience": ask.audience, "purpose": ask.purpose, "to": verb,
                    "reasons": [{"n": r.n, "what": r.what, "example": r.example} for r in reasons]},
        )  # fmt: skip
    return reasons


# --- setting tags -------------------------------------------------------------------------------------------------


def set_tag(ws: Workspace, scope: str, name: str, tag: Tag) -> int:
    """Tag a source (by code), a picture (by number, path or digest) or a version (`dataset@tag`); FREE takes it away.

    Returns:
        1, or 0 when it had that very tag.

    Raises:
        NotFound: no such thing. InvalidInput: no such scope, or a tag that says nothing we know.
    """
    policy.checked(tag)
    with ws.db.read() as conn:
        ref_id = _ref(conn, scope, name)
    return _put(ws, scope, [ref_id], tag, name)


def set_pictures(ws: Workspace, query: Query, tag: Tag) -> int:
    """Tag every picture that a query meets. Returns how many have another tag now.

    Raises:
        InvalidInput: a tag that says nothing we know.
    """
    policy.checked(tag)
    n = 0
    for part in _asset_ids(ws, query):
        n += _put(ws, "asset", part, tag, f"{len(part)} pictures", quiet=True)
    if n:
        with ws.db.write() as conn:
            audit.append(
                conn, agent=ws.person.name, verb="tag", subject=f"{n} pictures", detail={"tag": tag.to_json()}
            )
    return n


def _asset_ids(ws: Workspace, query: Query) -> Iterator[list[int]]:
    after = 0
    while True:
        with ws.db.read() as conn:
            part = queries.asset_ids(conn, query, after=after, limit=500)
        if not part:
            return
        yield part
        after = part[-1]


def _put(ws: Workspace, scope: str, ids: Sequence[int], tag: Tag, name: str, *, quiet: bool = False) -> int:
    with ws.db.write() as conn:
        n = policy.put(conn, scope, ids, tag, ws.person.id)
        if n and not quiet:
            audit.append(
                conn,
                agent=ws.person.name,
                verb="tag",
                subject=f"{scope} {name}",
                detail={"tag": tag.to_json()},
            )
        return n


def _ref(conn: Connection, scope: str, name: str) -> int:
    match scope:
        case "source":
            found = {r.code: r.id for r in register.roots(conn)}.get(canonical.nfc(name))
            if found is None:
                raise NotFound(f"there is no source {name!r}", remedy="`lamproom policy list` names them")
            return found
        case "version":
            dataset, _, tag = name.rpartition("@")
            return rows.find(conn, dataset, tag).id
        case "asset":
            from app.services import lineage  # which knows versions, and taking one out passes this gate

            asset_id = lineage.asset_id_of(conn, name)
            if asset_id is None:
                raise NotFound(
                    f"there is no picture {name!r}", remedy="name it by its number, path or digest"
                )
            return asset_id
        case _:
            raise InvalidInput(f"a {scope} has no policy tags", remedy=f"one of {', '.join(SCOPES)}")


def read_tag(text: str) -> Tag:
    """The tag that a line of the audit log holds."""
    return policy.from_json(text)


def day_begins(day: str) -> int | None:
    """UTC milliseconds of the local midnight that a day begins with; None of "".

    Args:
        day: as "2027-06-30".

    Raises:
        InvalidInput: it is no day.
    """
    if not day.strip():
        return None
    try:
        begins = datetime.strptime(day.strip(), "%Y-%m-%d").astimezone()
    except ValueError as error:
        raise InvalidInput(f"{day!r} is no day", remedy="as 2027-06-30") from error
    return int(begins.astimezone(UTC).timestamp() * 1000)


def picture_of(ws: Workspace, name: str) -> int:
    """Number of a picture by its number, path or digest.

    Raises:
        NotFound: there is none.
    """
    with ws.db.read() as conn:
        return _ref(conn, "asset", name)


def tag_of_named(ws: Workspace, name: str) -> Tag:
    """`tag_of` of a picture by its number, path or digest.

    Raises:
        NotFound: there is none.
    """
    return tag_of(ws, picture_of(ws, name))


def tag_of(ws: Workspace, asset_id: int) -> Tag:
    """What holds for a picture: the strictest of all that speak of it."""
    with ws.db.read() as conn:
        held = policy.of_assets(conn, [asset_id]).get(asset_id)
    return held.tag if held else FREE


@dataclass(frozen=True, slots=True)
class Whence:
    """A tag that speaks of a picture. what: of SCOPES, or "original"; name: the source's code or the picture's path."""

    what: str
    name: str
    tag: Tag


def whence(ws: Workspace, asset_id: int) -> list[Whence]:
    """The tags that what holds for a picture is made of: its source's, its own, and its original's."""
    with ws.db.read() as conn:
        return list(_whence(conn, asset_id, "asset"))


def _whence(conn: Connection, asset_id: int, what: str) -> Iterator[Whence]:
    (picture,) = register.pictured(conn, [asset_id])
    root = next(r for r in register.roots(conn) if r.code == picture.root_code)
    if (tag := policy.of(conn, "source", [root.id]).get(root.id)) is not None:
        yield Whence("source", root.code, tag)
    if (tag := policy.of(conn, "asset", [asset_id]).get(asset_id)) is not None:
        yield Whence(what, f"{picture.root_code}/{picture.path}", tag)
    if (original := policy.derived(conn, [asset_id]).get(asset_id)) is not None:
        yield from _whence(conn, original, "original")


def spread(ws: Workspace, query: Query) -> tuple[list[tuple[Tag, int]], int]:
    """What holds for the pictures of a query: (tag, how many) most first, and how many were looked at: MOST_SHOWN at most."""
    held: Counter[Tag] = Counter()
    looked = 0
    for part in _asset_ids(ws, query):
        with ws.db.read() as conn:
            tags = policy.of_assets(conn, part)
        held.update(tags[i].tag if i in tags else FREE for i in part)
        looked += len(part)
        if looked >= MOST_SHOWN:
            break
    return held.most_common(), looked


def source_of(ws: Workspace, asset_id: int) -> str:
    """Code of the source that a picture lies in."""
    with ws.db.read() as conn:
        return register.pictured(conn, [asset_id])[0].root_code


def listing(ws: Workspace, scope: str | None = None, *, limit: int = 200) -> list[Row]:
    """Live tags, newest first, of one scope or of all."""
    with ws.db.read() as conn:
        return [row for s in SCOPES if scope in (None, s) for row in policy.listing(conn, s, limit=limit)]


def sources(ws: Workspace) -> list[str]:
    """Codes of every source, tagged or not."""
    with ws.db.read() as conn:
        return [r.code for r in register.roots(conn)]
