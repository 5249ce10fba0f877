"""A model on disk: one .onnx file, or one with its weights in files beside it. What it consists of, and its identity.

The files that an .onnx names are judged before any runtime opens them: plain relative names below the model's own
folder, regular files (no links), long enough for every weight that lies in them.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
import shutil
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from annotation import canonical
from annotation.errors import InvalidInput, Unavailable
from models import wire
from models.wire import Outline

MAX_BYTES = 2 * 1024**3
"""An ONNX file of 2 GB and more cannot be one protobuf message; larger models have their weights beside it."""
CHUNK = 1 << 20
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))}
"""Names of devices on Windows."""
_BESIDE = "put it beside the .onnx file, under the name it was exported with"


@dataclass(frozen=True, slots=True)
class Body:
    """What a model consists of.

    Attributes:
        sha256: its identity. Of a single file the file's digest; of several the digest over the .onnx file's and, in
            the order of their names, every other file's name and digest.
        onnx_sha256: digest of the .onnx file alone.
        files: (name, digest) of the weights beside it, by name; names are relative to its folder, with "/".
        size_bytes: of all files.
    """

    sha256: str
    onnx_sha256: str
    files: tuple[tuple[str, str], ...]
    size_bytes: int
    outline: Outline


def identify(path: Path) -> Body:
    """Read a model's files, judge them and take their digests.

    Raises:
        InvalidInput: too large, empty, not ONNX, or its weights are missing, cut short or outside its folder.
        Unavailable: a file cannot be read.
    """
    try:
        now = path.stat()
    except OSError as error:
        raise Unavailable(f"cannot read the model: {error.strerror}", where=str(path)) from error
    if not stat.S_ISREG(now.st_mode):  # opening a pipe would wait for ever
        raise InvalidInput("it is no plain file", where=str(path), remedy="choose an .onnx file")
    digest, outline, size = _graph(path, (now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns))
    files = []
    for name, end in sorted(_names(outline, path).items()):
        sha256, length = _weights(path.parent, name, end, where=str(path))
        files.append((name, sha256))
        size += length
    return Body(identity(digest, tuple(files)), digest, tuple(files), size, outline)


def identity(onnx_sha256: str, files: tuple[tuple[str, str], ...]) -> str:
    """The model's digest from those of its files; see `Body`."""
    if not files:
        return onnx_sha256
    named = {"files": [list(entry) for entry in sorted(files)], "onnx": onnx_sha256}
    return hashlib.sha256(canonical.encode(named)).hexdigest()


def copy(path: Path, body: Body, folder: Path, *, name: str) -> Path:
    """Copy a model into a folder: the .onnx file as `name`, its weights under their own names. Nothing is flushed.

    Raises:
        OSError: reading or writing failed.
    """
    target = folder / name
    shutil.copyfile(path, target)
    for part, _ in body.files:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.parent / part, folder / part)
    return target


def place(folder: Path, sha256: str) -> Path:
    """Where a model lies in a folder of models: alone, or in a folder of its own with its weights beside it."""
    inner = folder / sha256 / f"{sha256}.onnx"
    return inner if inner.is_file() else folder / f"{sha256}.onnx"


def neighbour(path: Path, sha256: str) -> Path:
    """Where another model lies in the same folder of models, whichever way the two are kept."""
    own = path.parent.name == path.stem  # in a folder of its own
    return place(path.parent.parent if own else path.parent, sha256)


def demand_name(name: str, *, where: str) -> None:
    """Refuse a name of a file that could lead out of its folder or mean another file on another system.

    Raises:
        InvalidInput: naming it.
    """
    parts = name.split("/")
    plain = (
        name.isprintable()
        and 0 < len(name.encode()) <= 400
        and len(parts) <= 8
        and not set(name) & set('\\:*?"<>|')
        and all(_plain(part) for part in parts)
    )
    if not plain:
        raise InvalidInput(
            f"it names a file outside its folder or an unusable name: {name[:100]!r}",
            where=where,
            remedy="export it again with its weights beside it",
        )


def _plain(part: str) -> bool:
    """A name that every system keeps as it is; one dot may come first."""
    bare = part.removeprefix(".")
    return bool(bare) and bare == bare.strip(" .") and bare.split(".")[0].upper() not in _RESERVED


@functools.lru_cache(maxsize=16)
def _graph(path: Path, _stamp: tuple[int, ...]) -> tuple[str, Outline, int]:
    """(digest, outline, size) of an .onnx file; one that was read and did not change since is not read again: a job opens
    its model several times, and walking a graph costs 30 ms and more."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size == 0:
                raise InvalidInput("an empty file", where=str(path), remedy="choose an .onnx file")
            if size >= MAX_BYTES:
                raise InvalidInput(
                    "an ONNX file of 2 GB or more",
                    where=str(path),
                    remedy="use a smaller model, or export it with its weights beside it",
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                view = memoryview(data)
                try:
                    outline = wire.outline(view, where=str(path))
                    return hashlib.sha256(view).hexdigest(), outline, size
                finally:
                    view.release()
    except OSError as error:
        raise Unavailable(f"cannot read the model: {error.strerror}", where=str(path)) from error


def _names(outline: Outline, path: Path) -> dict[str, int]:
    """File of weights -> bytes it must have, by its plain name."""
    found: dict[str, int] = {}
    alike: set[str] = set()
    for location, end in outline.files.items():
        name = location.removeprefix("./")
        demand_name(name, where=str(path))
        if name in found:
            found[name] = max(found[name], end)
            continue
        same = unicodedata.normalize("NFC", name).casefold()
        if same in alike:
            raise InvalidInput(
                f"two of its files are called {name!r}", where=str(path), remedy="export it again"
            )
        alike.add(same)
        found[name] = end
    return found


def _weights(folder: Path, name: str, end: int, *, where: str) -> tuple[str, int]:
    """(digest, size) of a file of weights."""
    try:
        at = folder
        for part in name.split("/"):
            at = at / part
            mode = at.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise InvalidInput(
                    f"its weights {name!r} are a link", where=where, remedy="put the file itself there"
                )
        if not stat.S_ISREG(mode):
            raise InvalidInput(f"its weights {name!r} are no file", where=where, remedy=_BESIDE)
        with at.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < end:
                raise InvalidInput(
                    f"its weights {name!r} are cut short: {end} bytes are needed, {size} are there",
                    where=where,
                    remedy="copy the file again from its source",
                )
            hasher = hashlib.sha256()
            while block := file.read(CHUNK):
                hasher.update(block)
        return hasher.hexdigest(), size
    except FileNotFoundError:
        raise InvalidInput(f"its weights {name!r} are missing", where=where, remedy=_BESIDE) from None
    except OSError as error:
        raise Unavailable(f"cannot read its weights {name!r}: {error.strerror}", where=where) from error
