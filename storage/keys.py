"""Keys of a workspace: its signing key and its secrets, kept in the system's key store or sealed.

    keys/ring.json          how secrets are kept, their names, the public signing key; nothing secret
    keys/age-<id>/lock      an age identity, sealed with the passphrase (scrypt)
                 <file>     a secret, sealed to that identity
    keys/plain/<file>       a secret as it is: only after somebody said so (`keys protect --none`, LAMPROOM_KEYS=plain)
    keys/trusted.json       keys of others: storage/trust.py

A secret is a text under a name. ring.json is the only switch: what it does not name is left over from a kill and is
removed. A passphrase comes from LAMPROOM_PASSPHRASE, from the file that LAMPROOM_PASSPHRASE_FILE names, or from whoever
was given to `ask_by`.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import msgspec
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from annotation import canonical
from annotation.errors import Conflict, InvalidInput, Unavailable
from storage import files, seal

FORMAT = "lamproom-keys-1"
SIGNING = "signing-key"
"""Name of the secret that is the signing key."""
OLD_FILE = "ed25519.pem"
"""Where the signing key lay in the clear before keys were kept."""
LEAST_PASSPHRASE = 8
MAX_SECRET = 1_200
"""Characters: the credential store of Windows takes 2,560 bytes."""
MAX_FILE_BYTES = 1 << 20
WAIT_S = 20.0

Method = Literal["os", "passphrase", "none"]


class Place(Protocol):
    """What of a workspace is needed: its local folder and its uid."""

    @property
    def folder(self) -> Path: ...

    @property
    def uid(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A passphrase is needed. new: it is chosen now (ask twice). wrong: the one given before does not open the keys."""

    new: bool
    wrong: bool = False


Ask = Callable[[Asked], str | None]
"""Asks a person for a passphrase; None = they gave up."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How this workspace keeps its keys. `method` is None while nobody has chosen; `public` "" while there is no key.

    old: the signing key still lies in the clear where earlier versions put it.
    """

    method: Method | None
    names: tuple[str, ...]
    public: str
    old: bool


class _Ring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    method: Method
    names: tuple[str, ...] = ()
    public: str = ""
    recipient: str = ""


_asker: list[Ask] = []
_opened: dict[str, str] = {}  # recipient -> identity: a passphrase is asked once a process
_guard = threading.RLock()
_depth: list[str] = []  # who holds the lock, while _guard is held


def ask_by(ask: Ask | None) -> None:
    """Who is asked for a passphrase in this process from now on; None = nobody."""
    _asker[:] = [] if ask is None else [ask]


# -- the signing key -------------------------------------------------------------------------------------------------


def signing_key(place: Place) -> Ed25519PrivateKey:
    """The workspace's Ed25519 key; made when there is none yet.

    Raises:
        Unavailable: it cannot be opened (no passphrase, a locked key store), or nobody has said how keys are kept.
        InvalidInput: what is kept is no Ed25519 key.
    """
    with held(place):
        ring = _settled(place)
        text = _fetch(place, ring, SIGNING)
        if text is None and ring.public:
            raise Unavailable(
                "the signing key is gone", where=str(_folder(place)),
                remedy="restore the keys folder from a backup, or `lamproom keys protect --fresh` for a new key",
            )  # fmt: skip
        if text is None:
            text = seal.private_pem(Ed25519PrivateKey.generate())
            _keep(place, ring, SIGNING, text)
        return seal.from_private_pem(text, where=str(_folder(place)))


def public_key(place: Place) -> bytes:
    """The 32 bytes of the signing key's public half; nothing is opened where the key was made before."""
    ring = _ring(place)
    return bytes.fromhex(ring.public) if ring and ring.public else seal.public_bytes(signing_key(place))


def fingerprint(place: Place) -> str:
    """Short name of the workspace's key, to compare by eye."""
    return seal.fingerprint(public_key(place))


# -- secrets ---------------------------------------------------------------------------------------------------------


def secret(place: Place, name: str) -> str | None:
    """The secret of this name, None when there is none.

    Raises:
        Unavailable: it is there and cannot be opened.
    """
    with held(place):
        ring = _ring(place)
        return None if ring is None or name not in ring.names else _fetch(place, _settled(place), name)


def keep(place: Place, name: str, value: str) -> None:
    """Keep a secret, in place of the one of that name.

    Raises:
        InvalidInput: too long. Unavailable: nobody has said how keys are kept, or the key store refuses.
    """
    if not 0 < len(value) <= MAX_SECRET or not 0 < len(name) <= 200 or name == SIGNING:
        raise InvalidInput(f"a secret has 1 to {MAX_SECRET} characters", where=name)
    with held(place):
        _keep(place, _settled(place), name, value)


def forget(place: Place, name: str) -> bool:
    """Drop a secret; False when there was none."""
    with held(place):
        ring = _ring(place)
        if ring is None or name not in ring.names or name == SIGNING:
            return False
        _write_ring(place, msgspec.structs.replace(ring, names=tuple(n for n in ring.names if n != name)))
        _drop(place, ring, name)
        return True


# -- how they are kept -----------------------------------------------------------------------------------------------


def kept(place: Place) -> Kept:
    """How the keys are kept now. Opens nothing."""
    ring = _ring(place)
    old = (_folder(place) / OLD_FILE).exists()
    return Kept(None, (), "", old) if ring is None else Kept(ring.method, ring.names, ring.public, old)


def has_os_store() -> bool:
    """Whether the system has a key store that a program may use."""
    return _backend() is not None


def protect(place: Place, method: Method, *, passphrase: str | None = None, fresh: bool = False) -> None:
    """Keep everything in another way, or under another passphrase. Killed, it holds as before or as asked.

    Args:
        passphrase: by default the one of the environment, else a person is asked for a new one.
        fresh: begin anew: the signing key and every secret are forgotten.

    Raises:
        Unavailable: what is kept cannot be opened, or there is no such key store here.
    """
    with held(place):
        before = _ring(place)
        if method == "os" and _backend() is None:
            raise Unavailable("this system has no key store", remedy="`lamproom keys protect --passphrase`")
        everything: dict[str, str] = {}
        if before is not None and not fresh:
            for name in before.names:
                if (text := _fetch(place, before, name)) is not None:
                    everything[name] = text
        elif not fresh and (old := _old(place)):
            everything[SIGNING] = old
        after = _begun(place, method, passphrase)
        for name, text in everything.items():
            _store(place, after, name, text)
        public = ""
        if SIGNING in everything:
            public = seal.public_bytes(seal.from_private_pem(everything[SIGNING])).hex()
        _write_ring(place, msgspec.structs.replace(after, names=tuple(sorted(everything)), public=public))
        if before is not None and before.method == "os" and method != "os":
            for name in before.names:
                _drop(place, before, name)
        _sweep(place)


def _settled(place: Place) -> _Ring:
    """The ring as it is, or as it is chosen now: by the environment, by what the system has, by a person."""
    ring = _ring(place)
    if ring is None:
        method: Method
        if os.environ.get("LAMPROOM_KEYS") == "plain":
            method = "none"
        elif _given() is not None:
            method = "passphrase"
        elif has_os_store():
            method = "os"
        elif _asker:
            method = "passphrase"
        else:
            old = (_folder(place) / OLD_FILE).exists()
            raise Unavailable(
                "the signing key lies in the clear" if old else "nobody has said how the keys are kept",
                where=str(_folder(place)),
                remedy="`lamproom keys protect` seals them with a passphrase (or set LAMPROOM_PASSPHRASE_FILE); "
                "`lamproom keys protect --none` keeps them in the clear",
            )
        protect(place, method)
        ring = _ring(place)
        assert ring is not None
    _sweep(place)
    return ring


def _begun(place: Place, method: Method, passphrase: str | None) -> _Ring:
    """A new ring of the method, with its lock where it has one; not yet in force."""
    if method != "passphrase":
        return _Ring(FORMAT, method)
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    ring = _Ring(FORMAT, method, recipient=str(identity.to_public()))
    word = passphrase or _given() or _ask(Asked(new=True))
    if len(word) < LEAST_PASSPHRASE:
        raise InvalidInput(f"a passphrase has at least {LEAST_PASSPHRASE} characters")
    folder = _box(place, ring)
    folder.mkdir(parents=True, mode=0o700)
    files.write(folder / "lock", pyrage.passphrase.encrypt(str(identity).encode(), word), mode=0o600)
    files.sync_folder(folder.parent)
    _opened[ring.recipient] = str(identity)
    return ring


def _identity(place: Place, ring: _Ring) -> str:
    """The age identity behind the passphrase.

    Raises:
        Unavailable: no passphrase, or not this one.
    """
    if ring.recipient in _opened:
        return _opened[ring.recipient]
    import pyrage

    sealed = read(_box(place, ring) / "lock")
    if sealed is None:
        raise Unavailable(
            "the keys' lock is gone",
            where=str(_folder(place)),
            remedy="restore the keys folder from a backup",
        )
    word, wrong = _given(), False
    for _attempt in range(3):
        if word is None:
            word = _ask(Asked(new=False, wrong=wrong))
        try:
            identity: str = pyrage.passphrase.decrypt(sealed, word).decode()
        except (pyrage.DecryptError, UnicodeDecodeError):
            word, wrong = None, True
            if not _asker:
                break
            continue
        _opened[ring.recipient] = identity
        return identity
    raise Unavailable("the passphrase does not open the keys", where=str(_folder(place)))


def _given() -> str | None:
    """The passphrase of the environment."""
    if word := os.environ.get("LAMPROOM_PASSPHRASE"):
        return word
    if not (named := os.environ.get("LAMPROOM_PASSPHRASE_FILE")):
        return None
    try:
        with Path(named).open("rb") as file:
            word = file.read(4096).decode().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(
            "the passphrase file cannot be read", where=named, remedy="check LAMPROOM_PASSPHRASE_FILE"
        ) from error
    if not word:
        raise InvalidInput("the passphrase file is empty", where=named)
    return word


def _ask(asked: Asked) -> str:
    word = _asker[0](asked) if _asker else None
    if not word:
        raise Unavailable(
            "the keys are sealed with a passphrase",
            remedy="set LAMPROOM_PASSPHRASE or LAMPROOM_PASSPHRASE_FILE, or run it in a terminal",
        )
    return word


# -- where they lie --------------------------------------------------------------------------------------------------


def _keep(place: Place, ring: _Ring, name: str, text: str) -> None:
    _store(place, ring, name, text)
    public = ring.public
    if name == SIGNING:
        public = seal.public_bytes(seal.from_private_pem(text)).hex()
    _write_ring(place, msgspec.structs.replace(ring, names=tuple(sorted({*ring.names, name})), public=public))


def _store(place: Place, ring: _Ring, name: str, text: str) -> None:
    if ring.method == "os":
        _os(lambda store: store.set_password(_service(place), name, text))
        return
    data = text.encode()
    if ring.method == "passphrase":
        import pyrage

        data = pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(ring.recipient)])
    folder = _box(place, ring)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.write(folder / _file(name), data, mode=0o600)


def _fetch(place: Place, ring: _Ring, name: str) -> str | None:
    if ring.method == "os":
        found = _os(lambda store: store.get_password(_service(place), name))
        return None if found is None else str(found)
    data = read(_box(place, ring) / _file(name))
    if data is None:
        return None
    if ring.method == "passphrase":
        import pyrage

        try:
            data = pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(_identity(place, ring))])
        except (pyrage.DecryptError, pyrage.IdentityError) as error:
            raise Unavailable(
                "a kept secret is damaged", where=name, remedy="restore the keys folder from a backup"
            ) from error
    return data.decode()


def _drop(place: Place, ring: _Ring, name: str) -> None:
    if ring.method == "os":
        with suppress(Unavailable):  # it may be gone already
            _os(lambda store: store.delete_password(_service(place), name))
    else:
        (_box(place, ring) / _file(name)).unlink(missing_ok=True)


def _backend() -> object | None:
    """The system's key store. One that writes plain files, as some packages bring, is none."""
    import keyring
    from keyring.errors import KeyringError

    try:
        store = keyring.get_keyring()
        good = float(store.priority) >= 1 and not type(store).__module__.startswith(
            ("keyrings.alt", "keyring.backends.null")
        )
    except (KeyringError, RuntimeError, ValueError):
        return None
    return store if good else None


def _os(use: Callable[..., object]) -> object:
    from keyring.errors import KeyringError

    store = _backend()
    if store is None:
        raise Unavailable(
            "the system's key store, which holds the keys, is not there",
            remedy="log in at the desktop where they were kept",
        )
    try:
        return use(store)
    except KeyringError as error:
        raise Unavailable(
            f"the system's key store refuses: {' '.join(str(error).split())[:200] or type(error).__name__}",
            remedy="unlock it",
        ) from error


def _service(place: Place) -> str:
    return f"lamproom {place.uid}"


def _folder(place: Place) -> Path:
    return place.folder / "keys"


def _box(place: Place, ring: _Ring) -> Path:
    name = "plain" if ring.method == "none" else f"age-{blake3(ring.recipient.encode()).hexdigest()[:16]}"
    return _folder(place) / name


def _file(name: str) -> str:
    return blake3(name.encode()).hexdigest()[:32]


def read(path: Path) -> bytes | None:
    """A small file of the keys folder, None when it is not there."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"a key cannot be read: {error.strerror}", where=str(path)) from error


def _old(place: Place) -> str | None:
    data = read(_folder(place) / OLD_FILE)
    return None if data is None else seal.private_pem(seal.from_private_pem(data.decode(errors="replace")))


def _ring(place: Place) -> _Ring | None:
    data = read(_folder(place) / "ring.json")
    if data is None:
        return None
    try:
        ring = msgspec.json.decode(data, type=_Ring)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        ring, why = None, error
    if ring is None or ring.format != FORMAT:
        raise InvalidInput(
            "the list of kept keys cannot be read", where=str(_folder(place) / "ring.json"),
            remedy="restore the keys folder from a backup",
        ) from (why if ring is None else None)  # fmt: skip
    return ring


def _write_ring(place: Place, ring: _Ring) -> None:
    files.write(_folder(place) / "ring.json", canonical.encode(msgspec.to_builtins(ring)), mode=0o600)


def _sweep(place: Place) -> None:
    """Remove what the ring does not name: what a killed `protect` left, and the key of earlier versions."""
    ring = _ring(place)
    if ring is None:
        return
    folder, mine = _folder(place), _box(place, ring) if ring.method != "os" else None
    (folder / OLD_FILE).unlink(missing_ok=True)
    for other in (*folder.glob("age-*"), folder / "plain"):
        if other != mine and other.exists():
            shutil.rmtree(other, ignore_errors=True)
    if mine is not None and mine.exists():
        named = {"lock", *(_file(name) for name in ring.names)}
        for path in mine.iterdir():
            if path.name not in named:
                path.unlink(missing_ok=True)


@contextmanager
def held(place: Place) -> Iterator[None]:
    """One at a time, in this process and among all."""
    folder = _folder(place)
    with _guard:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if _depth:
            yield
            return
        until = time.monotonic() + WAIT_S
        while True:
            lock = files.alone(folder / ".lock", what="another process is at the keys")
            try:
                lock.__enter__()
                break
            except Conflict:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        _depth.append(place.uid)
        try:
            yield
        finally:
            _depth.pop()
            lock.__exit__(None, None, None)
