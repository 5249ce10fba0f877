"""Hubs by name: where they are, how they are opened, what they can do. Secrets are kept by storage/keys.py, never in the record."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from annotation import canonical
from annotation.errors import InvalidInput, NotFound
from app import hours
from app.i18n import tr
from app.services.workspace import Workspace
from storage import audit, hubs, keys, names
from storage.hub import reading
from storage.hub.folder import FolderStore
from storage.hub.store import Abilities, Store
from storage.hubs import Hub

PATIENCE_S = 60.0
"""Seconds that a publishing waits for a server that is away."""
SOON_S = 6.0
"""Seconds that a person's question waits for one."""

_NAME = re.compile(r"[^\x00-\x1f\x7f/\\@]{1,80}\Z")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)[iI]?[bB]?(?:/s)?\Z")


@dataclass(frozen=True, slots=True)
class Probed:
    """What a hub was seen to do, in words too. versions: (dataset, tag) published there; unfinished: uploads nobody ended."""

    where: str
    abilities: Abilities
    sentences: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    unfinished: int


# -- keeping them ----------------------------------------------------------------------------------------------------


def listing(ws: Workspace) -> list[Hub]:
    """Every hub, by name."""
    with ws.db.read() as conn:
        return hubs.listing(conn)


def find(ws: Workspace, name: str) -> Hub:
    """The hub of this name; NotFound."""
    with ws.db.read() as conn:
        return hubs.find(conn, name)


def add_folder(ws: Workspace, name: str, folder: Path, *, limit: str = "", window: str = "") -> Hub:
    """Name a folder, which need not exist yet.

    Args:
        limit: bytes a second at most, as "10M"; "" = as fast as it goes. window: hours of the day, as "22:00-06:00".

    Raises:
        InvalidInput: no such name, limit or hours can be. Conflict: the name is taken.
    """
    return _add(
        ws,
        name,
        "folder",
        {"path": os.fsencode(folder.expanduser().absolute()).hex(), **_course(limit, window)},
    )


def add_s3(
    ws: Workspace,
    name: str,
    *,
    endpoint: str,
    bucket: str,
    access: str,
    secret: str,
    prefix: str = "",
    region: str = "us-east-1",
    virtual: bool = False,
    ca: str = "",
    limit: str = "",
    window: str = "",
) -> Hub:
    """Name a bucket of an S3-compatible server.

    Args:
        endpoint: http(s)://host[:port]. prefix: folder within the bucket, "" = all of it. virtual: the bucket is part of
            the host's name. ca: a PEM file of the authority that signed the server's certificate.
        access, secret: the key pair; kept as a secret of the workspace. limit, window: as for `add_folder`.

    Raises:
        InvalidInput: some of it cannot be. Conflict: the name is taken. Unavailable: secrets cannot be kept.
    """
    if not _BUCKET.match(bucket):
        raise InvalidInput(
            f"{bucket!r} is no name of a bucket", remedy="3 to 63 small letters, digits, - and ."
        )
    if not access or not secret:
        raise InvalidInput("the key pair is missing", where=name, remedy="give the access key and its secret")
    if ca and not Path(ca).is_file():
        raise NotFound("there is no such certificate file", where=ca)
    prefix = "/".join(p for p in prefix.split("/") if p not in ("", ".", ".."))
    settings = {
        "endpoint": endpoint.rstrip("/"), "bucket": bucket, "prefix": f"{prefix}/" if prefix else "", "region": region,
        "virtual": virtual, "ca": ca, "access": access, **_course(limit, window),
    }  # fmt: skip
    _wire(
        Hub(0, "", name, "s3", settings, 0), secret
    ).close()  # an address that cannot be is refused before it is kept
    hub = _add(ws, name, "s3", settings)
    try:
        keys.keep(ws, _secret_name(hub), secret)
    except BaseException:
        with ws.db.write() as conn:
            hubs.remove(conn, hub)
        raise
    return hub


def _add(ws: Workspace, name: str, kind: str, settings: Mapping[str, object]) -> Hub:
    name = canonical.nfc(name.strip())
    if not _NAME.match(name):
        raise InvalidInput(f"{name!r} cannot be a hub's name", remedy="1 to 80 characters without / \\ @")
    with ws.db.write() as conn:
        hub = hubs.add(conn, name, kind, settings)
        audit.append(
            conn,
            agent=ws.person.name,
            verb="hub add",
            subject=name,
            detail={"kind": kind, "where": place(hub)},
        )
    return hub


def note(
    ws: Workspace,
    name: str,
    *,
    price_gb: float | None = None,
    price_hour: float | None = None,
    currency: str | None = None,
    capacity: str | None = None,
    latency_ms: int | None = None,
) -> Hub:
    """Keep what people know of a hub, for estimates: prices of a GB sent and of an hour of a device, capacity, latency.

    Raises:
        NotFound: no such hub. InvalidInput: a price below 0, or a text past 200 characters.
    """
    given = {
        "price_gb_micro": None if price_gb is None else canonical.snap(price_gb, canonical.MICRO),
        "price_hour_micro": None if price_hour is None else canonical.snap(price_hour, canonical.MICRO),
        "currency": currency, "capacity": capacity, "latency_ms": latency_ms,
    }  # fmt: skip
    if any(isinstance(v, int) and v < 0 for v in given.values()):
        raise InvalidInput("a price or a latency below 0", where=name)
    if any(isinstance(v, str) and len(v) > 200 for v in given.values()):
        raise InvalidInput("a note that is too long", where=name, remedy="at most 200 characters")
    hub = find(ws, name)
    notes = {**hub.settings.get("notes", {}), **{k: v for k, v in given.items() if v is not None}}
    with ws.db.write() as conn:
        return hubs.settle(conn, hub, {**hub.settings, "notes": notes})


def remove(ws: Workspace, name: str) -> Hub:
    """Forget a hub and its secret; what was published there stays.

    Raises:
        NotFound: no such hub.
    """
    hub = find(ws, name)
    with ws.db.write() as conn:
        hubs.remove(conn, hub)
        audit.append(
            conn,
            agent=ws.person.name,
            verb="hub remove",
            subject=name,
            detail={"kind": hub.kind, "where": place(hub)},
        )
    keys.forget(ws, _secret_name(hub))
    return hub


def _secret_name(hub: Hub) -> str:
    return f"hub {hub.uid}"


def _course(limit: str, window: str) -> dict[str, object]:
    hours.parse(window)
    return {"limit": rate(limit), "window": window.strip()}


def rate(text: str) -> int:
    """Bytes a second from "10M", "500k", "1.5 MB/s"; 0 from "".

    Raises:
        InvalidInput: it is no rate.
    """
    if not text.strip():
        return 0
    found = _RATE.match(text.strip())
    n = int(float(found[1]) * 1000 ** " kmg".index(found[2].lower() or " ")) if found else 0
    if n < 1000:
        raise InvalidInput(f"{text!r} is no rate", remedy="bytes a second, for example 500k or 10M")
    return n


# -- opening them ----------------------------------------------------------------------------------------------------


def place(hub: Hub) -> str:
    """Where a hub is, for people."""
    if hub.kind == "s3":
        return f"{hub.settings['endpoint']}/{hub.settings['bucket']}/{hub.settings['prefix']}".rstrip("/")
    return names.readable(bytes.fromhex(hub.settings["path"]))


def hub_of(ws: Workspace, what: str | Path) -> Hub:
    """The hub of this name, or a folder that needs no name.

    Raises:
        NotFound: it is neither the name of a hub nor a folder, nor written like one that is to be made ("./new").
    """
    if isinstance(what, str):
        with ws.db.read() as conn:
            found = hubs.known(conn, what)
        if found is not None:
            return found
        if (
            not Path(what).expanduser().is_dir()
            and not {"/", os.sep} & set(what)
            and not what.startswith((".", "~"))
        ):
            raise NotFound(
                f"there is no hub {what}",
                remedy=f"`lamproom hub list` names them; ./{what} would be a new folder",
            )
    path = os.fsencode(Path(what).expanduser().absolute()).hex()
    return Hub(0, "", names.readable(os.fsencode(what)), "folder", {"path": path}, 0)


def open_hub(ws: Workspace, what: str | Path, *, patience_s: float = PATIENCE_S) -> Store:
    """The store of a hub by name, or of a folder. Close it when done.

    Raises:
        NotFound: see `hub_of`. InvalidInput: its secret is gone.
    """
    return opened(ws, hub_of(ws, what), patience_s=patience_s)


def opened(ws: Workspace, hub: Hub, *, patience_s: float = PATIENCE_S) -> Store:
    """The store of a hub. patience_s: how long a server that is away is waited for."""
    secret = (keys.secret(ws, _secret_name(hub)) or "") if hub.kind == "s3" else ""
    return plain(hub, secret, patience_s=patience_s)


def plain(hub: Hub, secret: str = "", *, patience_s: float = PATIENCE_S) -> Store:
    """The store of a hub by its settings alone, as on a node of a cluster.

    Args:
        secret: of an S3 key pair; by default LAMPROOM_HUB_SECRET.

    Raises:
        InvalidInput: the secret is missing.
    """
    if hub.kind != "s3":
        return FolderStore(Path(os.fsdecode(bytes.fromhex(hub.settings["path"]))))
    from storage.hub.s3 import S3Store

    secret = secret or os.environ.get("LAMPROOM_HUB_SECRET", "")
    if not secret:
        raise InvalidInput(
            "the hub's secret key is not kept here", where=hub.name,
            remedy="`lamproom hub remove` and `hub add` again, or LAMPROOM_HUB_SECRET",
        )  # fmt: skip
    return S3Store(_wire(hub, secret, patience_s))


def _wire(hub: Hub, secret: str, patience_s: float = PATIENCE_S):  # type: ignore[no-untyped-def]  # its module loads botocore
    from storage.hub.wire import Address, Wire

    said = hub.settings
    address = Address(
        said["endpoint"], said["bucket"], said["prefix"], said["region"], said["virtual"], said["ca"]
    )
    return Wire(address, said["access"], secret, patience_s=patience_s)


# -- what they can do ------------------------------------------------------------------------------------------------


def versions_in(store: Store) -> list[str]:
    """`dataset@tag` of every version published in a hub; [] where none is yet."""
    return [f"{d}@{t}" for d, t in reading.listing(store)] if reading.is_hub(store) else []


def probe(ws: Workspace, what: str | Path) -> Probed:
    """Try what a hub can do with tiny objects, which are taken away again. It need not be a hub of ours yet.

    Raises:
        NotFound, InvalidInput, Unavailable: it cannot be reached, refuses us, or does not keep what it takes.
    """
    with closing(open_hub(ws, what, patience_s=SOON_S)) as store:
        can = store.abilities()
        found = reading.listing(store) if can.lists and reading.is_hub(store) else []
        unfinished = sum(1 for _ in store.abandoned()) if can.multipart else 0
        return Probed(store.where, can, tuple(told(can)), tuple(found), unfinished)


def told(can: Abilities) -> list[str]:
    """Abilities in plain words, the consequence with each."""
    said = [
        tr("It refuses bytes that do not match their SHA-256.") if can.checks_sha256
        else tr("It does not compare SHA-256."),
        tr("It refuses bytes that do not match their MD5.") if can.checks_md5 else tr("It does not compare MD5."),
    ]  # fmt: skip
    if can.weak:
        said.append(tr("Nobody but us looks at what arrived, so everything is read back and hashed."))
    said.append(
        tr("It creates a name only once: nobody can overwrite a published root.") if can.create_only
        else tr("It does not refuse a name that is taken, so we look before we write a root.")
    )  # fmt: skip
    said.append(
        tr("Large files go in parts, and a broken transfer goes on where it stopped.") if can.multipart
        else tr("Large files go as a whole, and a broken transfer begins again.")
    )  # fmt: skip
    if not can.range:
        said.append(tr("It cannot read parts of an object, so small files are not packed."))
    if not can.lists:
        said.append(tr("It cannot list names, so each object is asked for by itself."))
    if can.round_trip_s:
        said.append(tr("A request takes {n} ms.", n=max(1, round(can.round_trip_s * 1000))))
    return said


def to_json(hub: Hub) -> dict[str, object]:
    """A hub as plain values, without anything secret."""
    said = {k: v for k, v in hub.settings.items() if k not in ("path", "access") and v not in ("", 0, False)}
    return {"name": hub.name, "kind": hub.kind, "where": place(hub), **said}


def probed_json(found: Probed) -> dict[str, object]:
    """A probe's result as plain values."""
    return {"where": found.where, **asdict(found.abilities), "weak": found.abilities.weak,
            "versions": [f"{d}@{t}" for d, t in found.versions], "unfinished_uploads": found.unfinished}  # fmt: skip
