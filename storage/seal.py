"""The workspace's Ed25519 key: made on first use, private, and what it signs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from annotation.errors import InvalidInput
from storage import files

KEY_FILE = "ed25519.pem"


def own_key(folder: Path) -> Ed25519PrivateKey:
    """The private key in this folder; made there, readable by its owner only, when there is none.

    Raises:
        InvalidInput: the file there is not an Ed25519 key.
    """
    path = folder / KEY_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = folder / f".{KEY_FILE}.{os.getpid()}"
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        files.write(fresh, pem, mode=0o600)
        # A link fails where the key exists, a rename would replace it: two processes must not end with two keys.
        try:
            with suppress(FileExistsError):
                (fresh.rename if os.name == "nt" else path.hardlink_to)(path if os.name == "nt" else fresh)
        except OSError:  # a file system without hard links
            if not path.exists():
                fresh.rename(path)
        fresh.unlink(missing_ok=True)
        files.sync_folder(folder)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            "the signing key cannot be read", where=str(path), remedy="restore it from a copy"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput("the signing key is not Ed25519", where=str(path), remedy="restore it from a copy")
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 raw bytes of the public key."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def public_pem(raw: bytes) -> bytes:
    """The public key as PEM, as OpenSSL and others read it."""
    return Ed25519PublicKey.from_public_bytes(raw).public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )


def from_pem(pem: bytes) -> bytes:
    """The 32 raw bytes of a public key in PEM.

    Raises:
        InvalidInput: not an Ed25519 public key.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError) as error:
        raise InvalidInput("not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput("the public key is not Ed25519")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def fingerprint(raw: bytes) -> str:
    """A short name of a public key, to compare by eye."""
    text = blake3(raw).hexdigest()[:32]
    return ":".join(text[i : i + 4] for i in range(0, 32, 4))


def holds(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the signature over the data was made by this key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
