"""Bytes by digest on disk: objects/ab/abcdef…, written once, never changed. Staged, fsynced, renamed."""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3

from annotation.errors import InvalidInput, NotFound, Unavailable
from storage import files


def path_of(folder: Path, digest: str) -> Path:
    """Where the object of this BLAKE3 digest (64 hex digits) lies below the workspace's folder, whether there or not."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InvalidInput("not a BLAKE3 digest", where=digest[:80])
    return folder / "objects" / digest[:2] / digest


def put(folder: Path, data: bytes) -> str:
    """Store the bytes durably and return their digest; nothing is written when the object is there already."""
    digest = blake3(data).hexdigest()
    target = path_of(folder, digest)
    if not target.exists():
        made = not target.parent.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write(target, data)
        if made:
            files.sync_folder(target.parent.parent)
    return digest


def get(folder: Path, digest: str) -> bytes:
    """The object's bytes, checked against the digest.

    Raises:
        NotFound: no such object. Unavailable: damaged on disk.
    """
    try:
        data = path_of(folder, digest).read_bytes()
    except FileNotFoundError:
        raise NotFound("the workspace does not hold this object", where=digest) from None
    if blake3(data).hexdigest() != digest:
        raise Unavailable(
            "an object of the workspace is damaged", where=digest, remedy="restore it from a backup"
        )
    return data


def holds(folder: Path, digest: str) -> bool:
    """Whether the object is there (its bytes are not checked)."""
    return path_of(folder, digest).is_file()
