"""Keys of a workspace for people: what is kept and how, the public key to hand on, whose keys are trusted; all logged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from annotation.errors import InvalidInput, NotFound
from app.services.workspace import Workspace
from storage import audit, files, keys, seal
from storage import trust as trusts
from storage.keys import Asked, Kept, Method, ask_by, fingerprint, has_os_store
from storage.trust import Trusted

__all__ = [
    "Asked",
    "Kept",
    "Method",
    "Shown",
    "Trusted",
    "ask_by",
    "export",
    "fingerprint",
    "forget",
    "has_os_store",
    "mark_of",
    "protect",
    "show",
    "trust",
    "trusted",
]

MAX_PEM_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Shown:
    """The keys of a workspace. fingerprint is "" while no key was made; secrets are names alone."""

    kept: Kept
    fingerprint: str
    secrets: tuple[str, ...]
    trusted: tuple[Trusted, ...]


def show(ws: Workspace) -> Shown:
    """What there is. Opens nothing and makes nothing.

    Raises:
        InvalidInput: a list of keys cannot be read.
    """
    kept = keys.kept(ws)
    mark = seal.fingerprint(bytes.fromhex(kept.public)) if kept.public else ""
    return Shown(kept, mark, tuple(n for n in kept.names if n != keys.SIGNING), tuple(trusts.trusted(ws)))


def mark_of(public: bytes) -> str:
    """The fingerprint of a public key."""
    return seal.fingerprint(public)


def trusted(ws: Workspace) -> list[Trusted]:
    """The keys of others that this workspace trusts."""
    return trusts.trusted(ws)


def protect(
    ws: Workspace, method: Method | None = None, *, passphrase: str | None = None, fresh: bool = False
) -> Kept:
    """Choose how keys are kept: by default in the system's store where there is one, else under a passphrase.

    Raises:
        Unavailable: what is kept cannot be opened, or there is no such store.
    """
    chosen: Method = method or ("os" if has_os_store() else "passphrase")
    keys.protect(ws, chosen, passphrase=passphrase, fresh=fresh)
    keys.signing_key(ws)
    _log(ws, "keys protect", fingerprint(ws), {"method": chosen, "fresh": fresh})
    return keys.kept(ws)


def export(ws: Workspace, file: Path) -> str:
    """Write the public key as PEM for others to trust; its fingerprint.

    Raises:
        NotFound: the file's folder is not there.
    """
    if not file.parent.is_dir():
        raise NotFound("there is no such folder", where=str(file.parent))
    files.write(file, seal.public_pem(keys.public_key(ws)))
    return fingerprint(ws)


def trust(ws: Workspace, key: str | bytes | Path, *, name: str = "") -> Trusted:
    """Trust a key: 32 public bytes, a PEM file, or the fingerprint its owner told.

    Raises:
        InvalidInput: none of these. NotFound: no such file.
    """
    if isinstance(key, Path):
        try:
            with key.open("rb") as file:
                key = seal.from_pem(file.read(MAX_PEM_BYTES))
        except InvalidInput as error:
            raise InvalidInput(error.what, where=str(key)) from error
        except OSError as error:
            raise NotFound(f"cannot be opened: {error.strerror}", where=str(key)) from error
    one = trusts.trust(ws, key, name=name)
    _log(ws, "keys trust", one.fingerprint, {"name": one.name})
    return one


def forget(ws: Workspace, wanted: str) -> Trusted:
    """Trust a key no longer; what came under it stays. NotFound."""
    gone = trusts.distrust(ws, wanted)
    _log(ws, "keys forget", gone.fingerprint, {"name": gone.name})
    return gone


def _log(ws: Workspace, verb: str, subject: str, detail: dict[str, object]) -> None:
    with ws.db.write() as conn:
        audit.append(conn, agent=ws.person.name, verb=verb, subject=subject, detail=detail)
