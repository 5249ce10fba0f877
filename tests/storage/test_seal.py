"""Rules of signatures: one holds for exactly one text and key, and other tools agree."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from annotation.errors import InvalidInput
from storage import seal


def test_signature_holds_for_its_text_and_key_only() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    signature = key.sign(b"root")
    assert seal.holds(seal.public_bytes(key), signature, b"root")
    assert not seal.holds(seal.public_bytes(key), signature, b"toor")
    assert not seal.holds(seal.public_bytes(other), signature, b"root")
    assert not seal.holds(b"short", signature, b"root")
    assert seal.from_pem(seal.public_pem(seal.public_bytes(key))) == seal.public_bytes(key)
    again = seal.from_private_pem(seal.private_pem(key))
    assert again.sign(b"root") == signature


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(InvalidInput, match="W/keys"):
        seal.from_private_pem("no key", where="W/keys")
    with pytest.raises(InvalidInput):
        seal.from_pem(b"no key")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_openssl_verifies_the_signature(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    for name, data in {
        "d": b"root",
        "s": key.sign(b"root"),
        "k": seal.public_pem(seal.public_bytes(key)),
    }.items():
        (tmp_path / name).write_bytes(data)
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "k",
        "-rawin",
        "-in",
        "d",
        "-sigfile",
        "s",
    ]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
