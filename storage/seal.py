"""Ed25519: keys as text, fingerprints, and whether a signature holds. Where keys are kept: storage/keys.py."""

from __future__ import annotations

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


def private_pem(key: Ed25519PrivateKey) -> str:
    """The private key as PKCS 8 in PEM, in the clear."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def from_private_pem(text: str, *, where: str = "") -> Ed25519PrivateKey:
    """The key of `private_pem`.

    Raises:
        InvalidInput: not an Ed25519 key.
    """
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            "the signing key cannot be read", where=where, remedy="restore it from a copy"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput("the signing key is not Ed25519", where=where, remedy="restore it from a copy")
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
