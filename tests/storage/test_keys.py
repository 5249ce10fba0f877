"""Rules of kept keys: never in the clear unless said, one key however many ask, moved as a whole or not at all."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import keyring
import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keyring.errors import KeyringLocked

from annotation.errors import InvalidInput, NotFound, Unavailable
from storage import keys, seal, trust
from storage.keys import Asked

WORD = "灯房 07 lamp"


@dataclass(frozen=True)
class Home:
    folder: Path
    uid: str = "0" * 32


class Store:
    """A system's key store. No KeyringBackend: those make themselves known to all."""

    priority = 5

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}
        self.locked = False

    def _open(self) -> dict[tuple[str, str], str]:
        if self.locked:
            raise KeyringLocked("the collection is locked")
        return self.held

    def set_password(self, service: str, username: str, password: str) -> None:
        self._open()[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self._open().get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        self._open().pop((service, username), None)


@pytest.fixture
def home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:  # type: ignore[misc]
    monkeypatch.delenv("LAMPROOM_KEYS")
    monkeypatch.setattr(keys, "_opened", {})
    monkeypatch.setattr(keys, "_asker", [])
    return Home(tmp_path)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    monkeypatch.setattr(keyring, "get_keyring", lambda: made)
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase costs a second of scrypt each time; here it costs nothing. One test below pays for the real one."""

    def encrypt(data: bytes, word: str) -> bytes:
        return word.encode() + b"\0" + data[::-1]

    def decrypt(data: bytes, word: str) -> bytes:
        said, _, body = data.partition(b"\0")
        if said != word.encode():
            raise pyrage.DecryptError("no")
        return body[::-1]

    monkeypatch.setattr(pyrage.passphrase, "encrypt", encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", decrypt)


def test_the_lock_is_an_age_file_that_only_its_passphrase_opens(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.protect(home, "passphrase", passphrase=WORD)
    keys.keep(home, "hub/a", "top secret")
    (lock,) = (home.folder / "keys").glob("age-*/lock")
    assert lock.read_bytes().startswith(b"age-encryption.org/v1\n-> scrypt ")
    assert b"AGE-SECRET" not in lock.read_bytes() and not clear(home, "top secret")
    monkeypatch.setattr(keys, "_opened", {})
    monkeypatch.setenv("LAMPROOM_PASSPHRASE", "another word")
    with pytest.raises(Unavailable, match="does not open"):
        keys.secret(home, "hub/a")
    monkeypatch.setenv("LAMPROOM_PASSPHRASE", WORD)
    assert keys.secret(home, "hub/a") == "top secret"


def clear(home: Home, text: str) -> bool:
    """Whether this text lies anywhere below the keys folder as it is."""
    return any(text.encode() in p.read_bytes() for p in (home.folder / "keys").rglob("*") if p.is_file())


def test_without_a_choice_nothing_is_made_and_the_remedy_is_named(home: Home) -> None:
    with pytest.raises(Unavailable, match=r"nobody has said.*keys protect"):
        keys.signing_key(home)
    assert keys.kept(home) == keys.Kept(None, (), "", False)
    assert keys.secret(home, "hub/a") is None


def test_sealed_keys_open_with_the_passphrase_alone_and_never_lie_in_the_clear(
    home: Home, quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "word"
    file.write_text(f"{WORD}\n", encoding="utf-8")
    monkeypatch.setenv("LAMPROOM_PASSPHRASE_FILE", str(file))
    key = seal.public_bytes(keys.signing_key(home))
    keys.keep(home, "hub/面", "top secret")
    monkeypatch.setattr(keys, "_opened", {})  # another process
    assert keys.secret(home, "hub/面") == "top secret"
    assert seal.public_bytes(keys.signing_key(home)) == key == keys.public_key(home)
    assert not clear(home, "top secret") and not clear(home, "PRIVATE")
    monkeypatch.setattr(keys, "_opened", {})
    monkeypatch.setenv("LAMPROOM_PASSPHRASE", "another word")
    with pytest.raises(Unavailable, match="does not open"):
        keys.signing_key(home)
    monkeypatch.delenv("LAMPROOM_PASSPHRASE")
    monkeypatch.delenv("LAMPROOM_PASSPHRASE_FILE")
    with pytest.raises(Unavailable, match="set LAMPROOM_PASSPHRASE"):
        keys.secret(home, "hub/面")
    asked: list[Asked] = []

    def ask(one: Asked) -> str:
        asked.append(one)
        return WORD if one.wrong else "wrong one"

    keys.ask_by(ask)
    assert keys.secret(home, "hub/面") == "top secret"
    assert asked == [Asked(new=False), Asked(new=False, wrong=True)]
    assert keys.forget(home, "hub/面") and keys.secret(home, "hub/面") is None
    assert keys.public_key(home) == key


def test_the_key_of_an_earlier_version_is_moved_and_its_clear_file_goes(home: Home, store: Store) -> None:
    folder = home.folder / "keys"
    folder.mkdir()
    old = Ed25519PrivateKey.generate()
    (folder / keys.OLD_FILE).write_text(seal.private_pem(old))
    assert keys.kept(home).old
    assert seal.public_bytes(keys.signing_key(home)) == seal.public_bytes(old)
    assert not clear(home, "PRIVATE") and not keys.kept(home).old
    assert list(store.held) == [(f"lamproom {home.uid}", keys.SIGNING)]


def test_an_old_key_in_the_clear_is_refused_until_somebody_says_so(home: Home) -> None:
    (home.folder / "keys").mkdir()
    (home.folder / "keys" / keys.OLD_FILE).write_text(seal.private_pem(Ed25519PrivateKey.generate()))
    with pytest.raises(Unavailable, match="lies in the clear"):
        keys.signing_key(home)
    keys.protect(home, "none")
    keys.signing_key(home)
    assert keys.kept(home).method == "none"
    if os.name != "nt":
        assert {p.stat().st_mode & 0o077 for p in (home.folder / "keys" / "plain").iterdir()} == {0}


def test_everything_moves_between_the_ways_and_nothing_stays_behind(
    home: Home, quick: None, store: Store
) -> None:
    key = seal.public_bytes(keys.signing_key(home))
    keys.keep(home, "hub/a", "value a")
    keys.protect(home, "none")
    assert store.held == {} and clear(home, "value a")
    keys.protect(home, "passphrase", passphrase=WORD)
    assert not clear(home, "value a") and not (home.folder / "keys" / "plain").exists()
    keys.protect(home, "os")
    assert sorted(p.name for p in (home.folder / "keys").iterdir()) == [".lock", "ring.json"]
    assert (keys.secret(home, "hub/a"), seal.public_bytes(keys.signing_key(home))) == ("value a", key)
    store.locked = True
    with pytest.raises(Unavailable, match=r"refuses.*locked"):
        keys.secret(home, "hub/a")


def test_a_protect_that_dies_before_its_end_holds_as_before(
    home: Home, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.protect(home, "none")
    key = keys.public_key(home)
    keys.keep(home, "hub/a", "value a")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keys, "_write_ring", dies)
        with pytest.raises(KeyboardInterrupt):
            keys.protect(home, "passphrase", passphrase=WORD)
    assert keys.secret(home, "hub/a") == "value a" and keys.public_key(home) == key
    assert not list((home.folder / "keys").glob("age-*"))  # the leftover went with the next use


def test_many_at_once_get_one_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMPROOM_KEYS", "plain")
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: got.append(seal.public_bytes(keys.signing_key(home))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6 and len(set(got)) == 1


def test_a_store_that_writes_plain_files_counts_as_none(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    made = type("Plain", (Store,), {"__module__": "keyrings.alt.file"})()
    monkeypatch.setattr(keyring, "get_keyring", lambda: made)
    assert not keys.has_os_store()
    with pytest.raises(Unavailable):
        keys.protect(home, "os")


def test_a_lost_key_is_never_replaced_silently(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMPROOM_KEYS", "plain")
    keys.signing_key(home)
    for path in (home.folder / "keys" / "plain").iterdir():
        path.unlink()
    with pytest.raises(Unavailable, match="gone"):
        keys.signing_key(home)
    keys.protect(home, "none", fresh=True)
    keys.signing_key(home)


def test_keys_of_others_are_trusted_by_fingerprint_or_by_key(home: Home) -> None:
    public = seal.public_bytes(Ed25519PrivateKey.generate())
    mark = seal.fingerprint(public)
    assert trust.standing(home, public) == "unknown"
    trust.trust(home, mark.upper().replace(":", " "), name="三号矿")
    assert trust.standing(home, public) == "trusted"
    assert trust.trust(home, public).name == "三号矿"
    assert [(t.public, t.name) for t in trust.trusted(home)] == [(public.hex(), "三号矿")]
    trust.distrust(home, "三号矿")
    assert trust.standing(home, public) == "unknown"
    with pytest.raises(NotFound):
        trust.distrust(home, mark)
    with pytest.raises(InvalidInput, match="fingerprint"):
        trust.trust(home, "0000")
