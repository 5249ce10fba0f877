"""Which shared libraries a file needs and this machine lacks, by name: read from the file, then asked of the system's loader."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

# What loaders say: glibc, musl, macOS, Windows through onnxruntime, Windows through Python.
_SAID = (
    re.compile(r"([\w.+-]+\.so(?:\.\d+)*): cannot open shared object file"),
    re.compile(r"Error loading shared library ([\w.+-]+\.so[\w.]*):"),
    re.compile(r"Library not loaded: (?:@\w+/)?(\S+)"),
    re.compile(r'which depends on "([^"]+\.dll)" which is missing'),
    re.compile(r"Could not find module '([^']+)'"),
)


def said_missing(text: str) -> tuple[str, ...]:
    """The libraries that a loader's message names as missing, each once, in order."""
    hits = sorted((m.start(), m.group(1)) for pattern in _SAID for m in pattern.finditer(text))
    return tuple(dict.fromkeys(name.replace("\\", "/").rsplit("/", 1)[-1] for _, name in hits))


def absent(names: Iterable[str]) -> tuple[str, ...]:
    """Those of some libraries that the system's loader does not find or not load.

    They are really loaded: call it in a process that may be lost.
    """
    return tuple(name for name in names if not _loads(name))


def missing(path: Path) -> tuple[str, ...]:
    """Every library that a file needs, through those it finds, and that is nowhere; ELF files only, else nothing.

    Raises:
        OSError: the file cannot be read.
    """
    if not sys.platform.startswith("linux"):
        return ()
    found: dict[str, None] = {}
    seen: set[Path] = set()
    todo = [path]
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        folders = list(_folders(current, path))
        for name in needs(current):
            place = next((f / name for f in folders if (f / name).is_file()), None)
            if place is not None:
                todo.append(place)
            elif not _loads(name):
                found[name] = None
    return tuple(found)


def needs(path: Path) -> tuple[str, ...]:
    """The libraries an ELF file of 64 bits names (DT_NEEDED); nothing for any other file."""
    return tuple(text for tag, text in _dynamic(path) if tag == 1)


def _folders(path: Path, first: Path) -> Iterator[Path]:
    """Where the loader looks before the system's own places: run paths, then LD_LIBRARY_PATH, then beside the first file."""
    for tag, text in _dynamic(path):
        if tag in (15, 29):  # DT_RPATH, DT_RUNPATH
            for part in text.split(":"):
                if part:
                    yield Path(part.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", str(path.parent)))
    for part in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if part:
            yield Path(part)
    yield first.parent


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _dynamic(path: Path) -> list[tuple[int, str]]:
    """The names in an ELF file's dynamic section: (tag, text). Anything that is not such a file gives nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
            if head[:6] != b"\x7fELF\x02\x01":  # 64 bits, little-endian
                return []
            place, size, count = struct.unpack_from("<Q14xHH", head, 32)
            file.seek(place)
            table = file.read(size * count)
            segments = [struct.unpack_from("<IIQQQQQQ", table, i * size) for i in range(count)]
            loads = [(s[3], s[2], s[5]) for s in segments if s[0] == 1]  # address, offset, bytes in the file
            entries: list[tuple[int, int]] = []
            for segment in segments:
                if segment[0] == 2:  # PT_DYNAMIC
                    file.seek(segment[2])
                    data = file.read(segment[5])
                    entries = list(struct.iter_unpack("<QQ", data[: len(data) // 16 * 16]))
            texts = next((value for tag, value in entries if tag == 5), None)  # DT_STRTAB
            length = next((value for tag, value in entries if tag == 10), 0)  # DT_STRSZ
            start = next(
                (o + texts - a for a, o, n in loads if texts is not None and a <= texts < a + n), None
            )
            if start is None:
                return []
            file.seek(start)
            words = file.read(min(length, 1 << 24))
    except struct.error:
        return []
    return [
        (tag, words[value : words.find(b"\0", value)].decode("utf-8", "replace"))
        for tag, value in entries
        if tag in (1, 15, 29) and value < len(words)
    ]
