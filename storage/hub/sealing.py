"""Sealing to a hub's key: age (https://age-encryption.org/v1, X25519) as the bytes pass, without holding them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pyrage

from annotation.errors import InvalidInput

SUFFIX = ".age"


def new_identity() -> tuple[str, str]:
    """(secret identity, public recipient) of a new key pair."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def recipient_of(identity: str) -> str:
    """The public half, to hand on."""
    return str(_identity(identity).to_public())


def demand_recipient(text: str) -> str:
    """The recipient, if it is one.

    Raises:
        InvalidInput: it is not.
    """
    try:
        pyrage.x25519.Recipient.from_str(text.strip())
    except pyrage.RecipientError as error:
        raise InvalidInput(
            "not an age recipient", where=text[:80], remedy="age1…, as the hub tells it"
        ) from error
    return text.strip()


def seal(pieces: Iterator[bytes], write: Callable[[bytes], object], recipient: str) -> None:
    """Encrypt pieces to a recipient."""
    pyrage.encrypt_io(_Reader(pieces), _Writer(write), [pyrage.x25519.Recipient.from_str(recipient)])


def unseal(pieces: Iterator[bytes], write: Callable[[bytes], object], identity: str) -> None:
    """Decrypt pieces; what was written before a fault is not to be kept.

    Raises:
        InvalidInput: sealed to somebody else, or damaged.
    """
    try:
        pyrage.decrypt_io(_Reader(pieces), _Writer(write), [_identity(identity)])
    except pyrage.DecryptError as error:
        raise InvalidInput(
            f"it cannot be unsealed: {error}", remedy="it was sealed to another hub's key, or is damaged"
        ) from error


def _identity(text: str) -> Any:
    try:
        return pyrage.x25519.Identity.from_str(text.strip())
    except pyrage.IdentityError as error:
        raise InvalidInput(
            "the key for sealed disks cannot be read", remedy="restore the keys folder from a backup"
        ) from error


class _Reader(io.RawIOBase):
    """Pieces as a stream: never more at once than asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, n: int = -1) -> bytes:
        if n is None or n < 0:
            return bytes(self._rest) + b"".join(self._pieces)
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = memoryview(piece)
        out, self._rest = self._rest[:n], self._rest[n:]
        return bytes(out)


class _Writer(io.RawIOBase):
    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = bytes(data)
        self._write(taken)
        return len(taken)
