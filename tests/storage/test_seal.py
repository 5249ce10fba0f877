"""Rules of the signing key: made once, private, and a signature holds for exactly one text and key."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from annotation.errors import InvalidInput
from storage import seal


def test_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = seal.public_bytes(seal.own_key(folder))
    assert seal.public_bytes(seal.own_key(folder)) == first
    assert [p.name for p in folder.iterdir()] == [seal.KEY_FILE]
    if os.name != "nt":
        assert (folder / seal.KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_signature_holds_for_its_text_and_key_only(tmp_path: Path) -> None:
    key, other = seal.own_key(tmp_path / "a"), seal.own_key(tmp_path / "b")
    signature = key.sign(b"root")
    assert seal.holds(seal.public_bytes(key), signature, b"root")
    assert not seal.holds(seal.public_bytes(key), signature, b"toor")
    assert not seal.holds(seal.public_bytes(other), signature, b"root")
    assert not seal.holds(b"short", signature, b"root")
    assert seal.from_pem(seal.public_pem(seal.public_bytes(key))) == seal.public_bytes(key)


def test_a_damaged_key_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / seal.KEY_FILE).write_bytes(b"no key")
    with pytest.raises(InvalidInput, match="ed25519"):
        seal.own_key(tmp_path)
    with pytest.raises(InvalidInput):
        seal.from_pem(b"no key")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_openssl_verifies_the_signature(tmp_path: Path) -> None:
    key = seal.own_key(tmp_path)
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
