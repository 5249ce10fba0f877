"""Keys of others that this workspace trusts, by fingerprint: for packs, packages and receipts. See storage/keys.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from annotation import canonical
from annotation.errors import InvalidInput, NotFound
from storage import files, keys, seal
from storage.db import now_ms
from storage.keys import Place

MAX_TRUSTED = 10_000

Standing = Literal["own", "trusted", "unknown"]


@dataclass(frozen=True, slots=True)
class Trusted:
    """A key of somebody else. `public` (hex) is empty while only its fingerprint was told; `name` is what we call it."""

    fingerprint: str
    public: str
    since_ms: int
    name: str = ""


def trusted(place: Place) -> list[Trusted]:
    """The keys of others that this workspace trusts, oldest first.

    Raises:
        InvalidInput: the list cannot be read.
    """
    file = _file(place)
    data = keys.read(file)
    if data is None:
        return []
    try:
        listed = [msgspec.convert(row, _Listed) for row in msgspec.json.decode(data)["keys"]]
        return [
            Trusted(r.fingerprint or seal.fingerprint(bytes.fromhex(r.public)), r.public, r.since_ms, r.name)
            for r in listed
        ]
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            "the list of trusted keys cannot be read", where=str(file), remedy="restore it from a copy, or remove it"
        ) from error  # fmt: skip


class _Listed(msgspec.Struct, frozen=True):
    since_ms: int
    public: str = ""
    fingerprint: str = ""
    name: str = ""


def standing(place: Place, public: bytes) -> Standing:
    """Whose key this is, for this workspace."""
    if keys.kept(place).public == public.hex():
        return "own"
    mark = _plain(seal.fingerprint(public))
    return "trusted" if any(_plain(t.fingerprint) == mark for t in trusted(place)) else "unknown"


def same(fingerprint: str, public: bytes) -> bool:
    """Whether a fingerprint, as a person writes it, is that of this key."""
    return _plain(fingerprint) == _plain(seal.fingerprint(public))


def trust(place: Place, key: bytes | str, *, name: str = "") -> Trusted:
    """Trust a key from now on: its 32 public bytes, or its fingerprint as its owner told it.

    Raises:
        InvalidInput: not a fingerprint.
    """
    if isinstance(key, bytes):
        mark, public = seal.fingerprint(key), key.hex()
    else:
        plain, public = _plain(key), ""
        if len(plain) != 32 or not set(plain) <= set("0123456789abcdef"):
            raise InvalidInput(
                "not the fingerprint of a key", where=key[:80], remedy="eight groups of four digits"
            )
        mark = ":".join(plain[i : i + 4] for i in range(0, 32, 4))
    with keys.held(place):
        known = trusted(place)
        was = next((t for t in known if t.fingerprint == mark), None)
        if was is None and len(known) >= MAX_TRUSTED:
            raise InvalidInput("too many keys are trusted", remedy="`lamproom keys forget FINGERPRINT`")
        now = Trusted(
            mark,
            public or (was.public if was else ""),
            was.since_ms if was else now_ms(),
            name or (was.name if was else ""),
        )
        _write_trusted(place, [*(t for t in known if t.fingerprint != mark), now])
        return now


def distrust(place: Place, wanted: str) -> Trusted:
    """Trust a key, named by its fingerprint or our name for it, no longer; what came under it stays. NotFound."""
    with keys.held(place):
        known = trusted(place)
        gone = [t for t in known if _plain(t.fingerprint) == _plain(wanted) or (t.name and t.name == wanted)]
        if len(gone) != 1:
            raise NotFound(f"no trusted key is called {wanted!r}", remedy="`lamproom keys show`")
        _write_trusted(place, [t for t in known if t is not gone[0]])
        return gone[0]


def _write_trusted(place: Place, known: list[Trusted]) -> None:
    listed = [
        {"fingerprint": t.fingerprint, "name": t.name, "public": t.public, "since_ms": t.since_ms}
        for t in known
    ]
    files.write(_file(place), canonical.encode({"keys": listed}), mode=0o600)


def _plain(text: str) -> str:
    """A fingerprint as it is compared: letters and digits alone."""
    return "".join(c for c in text.lower() if c.isalnum())


def _file(place: Place) -> Path:
    return place.folder / "keys" / "trusted.json"
