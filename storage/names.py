"""File names: from the bytes on a disk or in an archive to a readable path, and back to an open file.

A path of the record is NFC text with '/', `archive.zip!/inner/name` for a member. Where the name on disk differs (NFD,
GBK, not text at all, control characters) its raw bytes are kept beside the path and used to open the file.
"""

from __future__ import annotations

import os
import stat
import sys
import unicodedata

from annotation.errors import InvalidInput, NotFound, Unavailable

MEMBER = "!/"
"""Stands between an archive's path and its member's name."""
_HOP = 3_000
"""Longer paths are opened folder by folder: the system takes at most 4,096 bytes in one call."""
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u2028\u2029")


def readable(raw: bytes) -> str:
    """One name (or a member's whole name) as NFC text; always the same for the same bytes.

    UTF-8 first, then GB 18030 (the Chinese Windows code page and its superset), else bytes as `\\xNN`. Characters that
    could forge a line of a log or turn its direction are written as `\\xNN` or `\\uNNNN` too.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        try:
            text = raw.decode("gb18030")
        except UnicodeDecodeError:
            text = raw.decode("utf-8", "backslashreplace")
    if text.isascii() and text.isprintable():
        return text
    if not text.isprintable():
        text = "".join(
            _escaped(c) if unicodedata.category(c) == "Cc" or c in _DIRECTIONS else c for c in text
        )
    return unicodedata.normalize("NFC", text)


def literal(raw: bytes) -> str:
    """A name with every byte outside printable ASCII as `\\xNN`: for the second of two names that read the same."""
    return "".join(chr(b) if 32 <= b < 127 else f"\\x{b:02x}" for b in raw)


def _escaped(c: str) -> str:
    return f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}"


def raw_of(path: str, disk_path: bytes | None) -> bytes:
    """Bytes of a path relative to its root as the disk knows them."""
    return disk_path if disk_path is not None else path.encode()


def check_relative(raw: bytes, shown: str) -> None:
    """Refuse a path that could leave the folder it is relative to.

    Raises:
        InvalidInput: absolute, with a drive, with NUL, or with a `..` or empty part.
    """
    parts = (raw.replace(b"\\", b"/") if sys.platform == "win32" else raw).split(b"/")
    drive = sys.platform == "win32" and b":" in raw
    if drive or b"\0" in raw or any(part in (b"", b".", b"..") for part in parts):
        raise InvalidInput(
            "a path that leads out of its folder", where=readable(shown.encode("utf-8", "replace"))[:200]
        )


def native(root: bytes, raw: bytes = b"") -> bytes:
    """Absolute path for the system's calls."""
    path = os.path.join(root, raw) if raw else root  # noqa: PTH118 - bytes: names need not be text
    if sys.platform == "win32":
        path = path.replace(b"/", b"\\")
        if not path.startswith(b"\\\\"):
            path = b"\\\\?\\" + path
    return path


def folder_fd(root: bytes, raw: bytes) -> int:
    """A descriptor of the folder root/raw, opened in hops so that no single call sees a long path. POSIX only."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    parts = raw.split(b"/") if raw else []
    while parts:
        hop = parts.pop(0)
        while parts and len(hop) + len(parts[0]) < _HOP:
            hop += b"/" + parts.pop(0)
        try:
            deeper = os.open(hop, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
        finally:
            os.close(here)
        here = deeper
    return here


def is_long(root: bytes, raw: bytes) -> bool:
    """Whether root/raw must be opened in hops."""
    return len(root) + len(raw) > _HOP and sys.platform != "win32"


def open_file(root: bytes, raw: bytes, shown: str) -> tuple[int, os.stat_result]:
    """Open a regular file read-only; (descriptor, stat). Never blocks on a pipe, never opens a device.

    Raises:
        NotFound, Unavailable, InvalidInput: one line each.
    """
    flags = (
        os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        if is_long(root, raw):
            head, _, name = raw.rpartition(b"/")
            folder = folder_fd(root, head)
            try:
                fd = os.open(name, flags, dir_fd=folder)
            finally:
                os.close(folder)
        else:
            fd = os.open(native(root, raw), flags)
    except FileNotFoundError:
        raise NotFound("the file is not there", where=shown, remedy="link the source folder again") from None
    except OSError as error:
        raise Unavailable(f"cannot be opened: {error.strerror}", where=shown) from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise InvalidInput("not a regular file", where=shown)
    return fd, status


def read_exact(fd: int, size: int, shown: str) -> bytes:
    """The file's whole content, which the caller expects to have `size` bytes, in one read where the system allows.

    Raises:
        Unavailable: on a read fault, or when the file grew or shrank under the read.
    """
    try:
        data = os.read(
            fd, size + 1
        )  # one more: notices growth, and an exact read needs no second call to see the end
        if 0 < len(data) < size:  # a read returns at most 2 GiB
            pieces = [data]
            while len(pieces[-1]) and sum(map(len, pieces)) <= size:
                pieces.append(os.read(fd, size + 1 - sum(map(len, pieces))))
            data = b"".join(pieces)
    except OSError as error:
        raise Unavailable(f"cannot be read: {error.strerror}", where=shown) from error
    if len(data) != size:
        raise Unavailable("changed while it was read", where=shown, remedy="run again when it is complete")
    return data
