"""What formats of one file a picture share: walking them, finding their pictures and sizes, writing very many of them."""

# ruff: noqa: PTH103, PTH113, PTH118, PTH120
# (a Path for each of a million small files takes longer than the file)
from __future__ import annotations

import codecs
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from annotation.core import Annotation
from annotation.errors import InvalidInput, Unavailable
from annotation.formats import base
from annotation.formats.base import Record, Sizes
from annotation.labels import LabelSchema

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MAX_SHEET = 64 * 2**20
"""Bytes of one picture's file."""
LOOKED = 64
"""Files or folders that are looked at to recognise a format."""
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

# ---------------------------------------------------------------------------------------------------------------
# Reading


def walk(root: Path, suffix: str, *, keep: Callable[[str], bool] = lambda name: True) -> Iterator[str]:
    """Files of a suffix below a folder by their path in it, in order, no hidden ones; links to folders are not followed.

    Args:
        suffix: lower case, with its dot.
        keep: whether a file of this name counts.
    """
    top = os.fspath(root)
    for here, folders, files in os.walk(top):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        inner = os.path.relpath(here, top).replace(os.sep, "/")
        inner = "" if inner == "." else f"{inner}/"
        for name in sorted(files):
            if name.lower().endswith(suffix) and not name.startswith(".") and keep(name):
                yield inner + name


def folders(root: Path, depth: int = 3) -> Iterator[Path]:
    """A folder and those below it, the nearest first, at most `LOOKED`; for a sniff. Never raises."""
    level, n = [root], 0
    for _ in range(depth + 1):
        below: list[Path] = []
        for folder in level:
            if n == LOOKED:
                return
            n += 1
            yield folder
            below += some(folder, folders=True)
        level = below


def some(folder: Path, suffix: str = "", *, folders: bool = False) -> list[Path]:
    """A few entries of a folder in the order of their names: files of a suffix, or folders. Never raises."""
    found: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for n, entry in enumerate(entries):
                if n == 4096 or len(found) == LOOKED:
                    break
                name = entry.name.lower()
                if not name.startswith(".") and name.endswith(suffix) and entry.is_dir() == folders:
                    found.append(folder / entry.name)
    except OSError:
        return []
    return sorted(found)


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is none, where Path.is_file raises."""
    return os.path.isfile(path)


def encoding(file: Path) -> str:
    """The encoding of a text file, told by its mark or by reading it all: UTF-8, UTF-16, GB 18030.

    Raises:
        InvalidInput: none of these, or unreadable.
    """
    head = base.head(file, 4)
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    try:
        for name in ("utf-8-sig", "gb18030"):
            decoder = codecs.getincrementaldecoder(name)()
            with file.open("rb") as stream:
                try:
                    while data := stream.read(1 << 18):
                        decoder.decode(data)
                    decoder.decode(b"", final=True)
                except UnicodeDecodeError:
                    continue
            return name
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(file)) from error
    raise InvalidInput("neither UTF-8 nor GB 18030 text", where=file.name, remedy="save the file as UTF-8")


class Pictures:
    """Where a set's pictures are: a picture has the stem of its sheet and one of the usual suffixes."""

    def __init__(self, root: Path, sizes: Sizes | None = None) -> None:
        self._root, self._sizes = os.fspath(root), sizes
        self._usual = [cased for suffix in PICTURES for cased in (suffix, suffix.upper())]

    def find(self, stem: str) -> str | None:
        """The path below the root of the picture with this stem, or None."""
        at = os.path.join(self._root, stem)
        for n, suffix in enumerate(self._usual):
            if os.path.isfile(at + suffix):
                if n:  # the next one is most likely of the same kind
                    self._usual.insert(0, self._usual.pop(n))
                return stem + suffix
        return None

    def first(self, stems: Iterable[str]) -> str | None:
        """The first of several that is there."""
        return next((found for stem in stems if (found := self.find(stem))), None)

    def there(self, path: str) -> bool:
        """Whether there is a file at a path below the root."""
        return os.path.isfile(os.path.join(self._root, path))

    def size(self, place: str, found: str | None) -> tuple[int, int] | None:
        """The (width, height) of a picture after orientation: what the caller knows of `place`, else of the file `found`."""
        known = self._sizes(place) if self._sizes is not None else None
        if known is not None or found is None:
            return known
        return size_of(os.path.join(self._root, found))


def size_of(picture: str | Path) -> tuple[int, int] | None:
    """Width and height after EXIF orientation, from the header alone; None when it is no picture."""
    from PIL import Image

    try:
        with Image.open(picture, formats=("JPEG", "PNG", "BMP", "TIFF", "WEBP")) as image:
            w, h = image.size
            turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
    except Exception:  # Pillow's readers raise nearly anything on a broken header
        return None
    if not (0 < w <= base.MAX_SIDE and 0 < h <= base.MAX_SIDE):
        return None
    return (h, w) if turned else (w, h)


class Once:
    """Refuses what is there twice; a hash of each keeps millions of them small."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._seen: set[int] = set()

    def add(self, path: str) -> None:
        """Raise InvalidInput when the path was there before."""
        mark = hash(path)
        if mark in self._seen:
            raise InvalidInput(f"{self._what} {base.short(path)} is there twice", remedy="one of each")
        self._seen.add(mark)


# ---------------------------------------------------------------------------------------------------------------
# Writing


class Sheets:
    """Writes very many small files below a folder, none twice; one flush of the system's at the end, for one of each
    would take hours."""

    def __init__(self, out: Path) -> None:
        self._out = os.fspath(out)

    def write(self, relative: str, data: bytes, *, where: str = "") -> None:
        """One file. `relative` comes from `base.clean_path`; where: what a fault names instead of it.

        Raises:
            InvalidInput: when it is there already. Unavailable: a full or forbidden disk.
        """
        path = f"{self._out}{os.sep}{relative}"
        try:
            try:
                handle = os.open(path, _FLAGS, 0o666)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                handle = os.open(path, _FLAGS, 0o666)
            try:
                done = os.write(handle, data) if data else 0
                while done < len(data):
                    done += os.write(handle, data[done:])
                if not hasattr(os, "sync"):
                    os.fsync(handle)
            finally:
                os.close(handle)
        except FileExistsError as error:
            raise InvalidInput(
                "two pictures that differ only in their suffix would share one label file", where=where or relative,
                remedy="rename one, or export to coco or native",
            ) from error  # fmt: skip
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EISDIR, errno.ENOTDIR):
                raise InvalidInput(
                    "the picture's path cannot be a file's name here",
                    where=where or relative,
                    remedy="rename the picture",
                ) from error
            raise Unavailable(f"cannot be written: {error.strerror}", where=where or relative) from error

    def finish(self) -> None:
        """Everything written is on the disk after this."""
        if hasattr(os, "sync"):
            os.sync()


class Lists:
    """A few text files that grow a line at a time, such as the list of each split."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._open: dict[str, int] = {}
        self._held: dict[str, list[bytes]] = {}

    def add(self, relative: str, line: str) -> None:
        """One more line of a file."""
        held = self._held.setdefault(relative, [])
        held.append(line.encode() + b"\n")
        if len(held) >= 1000:
            self._flush(relative)

    def finish(self) -> list[Path]:
        """Write, flush and close all; their paths."""
        for relative in self._held:
            self._flush(relative)
        for handle in self._open.values():
            os.fsync(handle)
        found = [self._out / relative for relative in sorted(self._open)]
        self.close()
        return found

    def close(self) -> None:
        """Let go of all files, whatever happened."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _flush(self, relative: str) -> None:
        if relative not in self._open:
            self._open[relative] = os.open(base.target(self._out, relative), _FLAGS, 0o666)
        data = b"".join(self._held[relative])
        self._held[relative].clear()
        done = 0
        while done < len(data):
            done += os.write(self._open[relative], data[done:])


def stem(path: str) -> str:
    """A clean path without the suffix of its last part."""
    dot = path.rfind(".")
    return path[:dot] if dot > path.rfind("/") + 1 else path


def watched(
    records: Iterable[Record], found: base.Census, traits: Callable[[Annotation, Record], Iterable[str]]
) -> Iterator[Record]:
    """The records as they come, every trait of theirs that a format tells apart counted on the way into `found`."""
    for record in records:
        for a in record.annotations:
            for trait in traits(a, record):
                found.add(trait, record.path)
        yield record


def losses(
    records: Iterable[Record], schema: LabelSchema, table: Mapping[str, str],
    traits: Callable[[Annotation, Record], Iterable[str]] | None = None,
    pictures: Callable[[Record], Iterable[str]] | None = None,
) -> list[base.Loss]:  # fmt: skip
    """The losses of a format by its table of traits, those of `base.census` and those it tells apart by itself."""
    more = base.Census()
    if traits is not None:
        records = watched(records, more, traits)
    if pictures is not None:
        records = _counted(records, more, pictures)
    found = base.census(records)
    found.traits.update(more.traits)
    return base.strangers(found, schema) + found.losses({k: what for k, what in table.items() if what})


def _counted(
    records: Iterable[Record], found: base.Census, traits: Callable[[Record], Iterable[str]]
) -> Iterator[Record]:
    for record in records:
        for trait in traits(record):
            found.add(trait, record.path)
        yield record


def number(value: float) -> str:
    """A coordinate as text: whole thousandths come back as they were, whole numbers without a point."""
    return f"{value:.12g}"


def floats(words: Sequence[str], what: str) -> list[float]:
    """Texts as finite numbers.

    Raises:
        InvalidInput: naming the first that is none.
    """
    out = []
    for word in words:
        try:
            value = float(word)
        except ValueError:
            value = float("nan")
        if not -1e15 < value < 1e15 or "_" in word:
            raise InvalidInput(f"{what}: {base.short(word)} is no number", remedy="a finite number")
        out.append(value)
    return out
