"""Walk a source folder or an archive, and read one picture of it: read-only, in a steady order, whatever lies in it.

Policy: links to folders are not followed (no loops); a link to a file is followed when it stays inside the source;
pipes and devices are never opened. Files whose name says text are not even opened. A file that is no picture and does
not claim to be one is `other`; one that claims to be (by its suffix) and is not, is a problem.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from annotation.errors import InvalidInput, LamproomError, NotFound, Unavailable
from storage import archives, headers, names

MAX_FILE_BYTES = 1 << 30
_LARGE = 64 << 20
_one_large = threading.Lock()  # at most one large file in memory, however many threads read

Kind = Literal["file", "zip", "tar", "other", "fault"]

_TEXT = frozenset(
    [
        ".txt",
        ".json",
        ".jsonl",
        ".xml",
        ".csv",
        ".tsv",
        ".yaml",
        ".yml",
        ".toml",
        ".md",
        ".html",
        ".htm",
        ".log",
        ".ini",
        ".cfg",
        ".py",
        ".sh",
        ".bat",
        ".db",
        ".sqlite",
        ".lnk",
        ".url",
        ".pdf",
        ".doc",
        ".docx",
        ".xls",
        ".xlsx",
        ".ppt",
        ".pptx",
        ".exe",
        ".dll",
        ".so",
        ".npz",
        ".npy",
        ".pt",
        ".pth",
        ".onnx",
        ".names",
        ".cache",
    ]
)
_NO_FOLDERS = frozenset((b".git", b"$RECYCLE.BIN", b"System Volume Information", b"@eaDir", b"__MACOSX"))
_NO_FILES = frozenset((b".DS_Store", b"Thumbs.db", b"thumbs.db", b"desktop.ini"))


class NotPicture(InvalidInput):
    """A file that is no picture and does not claim to be one."""


@dataclass(frozen=True, slots=True)
class Found:
    """One file met.

    Attributes:
        path: relative to the root, NFC, '/'; a member as `archive.zip!/inner/name`.
        disk_path: raw bytes of the name on disk (`archive!/member` for a member), only where they differ from path.
        mtime_ns: of the file, for a member of its archive.
        kind: what to do with it; "fault" names why it cannot be used in `fault`.
        lasting: the fault lies in the file, so it need not be looked at again until it changes.
        member, data: where a member lies, or its content when it can only be read in order.
    """

    path: str
    disk_path: bytes | None
    size_bytes: int
    mtime_ns: int
    kind: Kind = "file"
    fault: str = ""
    lasting: bool = True
    member: archives.Member | None = None
    data: bytes | None = None


def walk(root: bytes, start: bytes = b"", *, without: bytes = b"") -> Iterator[Found]:
    """Every file below root/start, folder by folder in the order of raw names. Reads no file content.

    Args:
        root: absolute raw path of the source folder.
        start: raw path below it to begin at: a folder or one file; b"" for the root.
        without: real path of a folder to leave out: the workspace itself.
    """
    shown = "/".join(_shown(part)[0] for part in start.split(b"/")) if start else ""
    try:
        first = os.stat(names.native(root, start))  # noqa: PTH116 - bytes
    except OSError as error:
        raise NotFound(f"cannot be opened: {error.strerror}", where=shown or names.readable(root)) from error
    if not stat.S_ISDIR(first.st_mode):
        yield _file(shown, _differing(shown, start), start.rpartition(b"/")[2], first)
        return
    stack: list[Iterator[tuple[str, bytes, os.stat_result | None, str]]] = []
    here = [(shown, start)]
    while here or stack:
        if here:
            text, raw = here.pop()
            if without and os.path.normpath(os.path.join(root, raw)) == without:  # noqa: PTH118 - bytes
                continue
            try:
                stack.append(iter(_listing(root, raw, text)))
            except OSError as error:
                yield Found(text or ".", _differing(text, raw), 0, 0, "fault", _cannot(error), lasting=False)
            continue
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        text, raw, status, fault = entry
        name = raw.rpartition(b"/")[2]
        if fault or status is None:
            yield Found(text, _differing(text, raw), 0, 0, "fault", fault, lasting=False)
        elif stat.S_ISDIR(status.st_mode):
            if name not in _NO_FOLDERS:
                here.append((text, raw))
        else:
            yield _file(text, _differing(text, raw), name, status)


def members(root: bytes, archive: Found) -> Iterator[Found]:
    """Every file inside an archive that `walk` found; a packed tar's pictures come with their content.

    Raises:
        LamproomError: the archive itself cannot be used (further); members already given stay valid.
    """
    raw = names.raw_of(archive.path, archive.disk_path)
    fd, status = names.open_file(root, raw, archive.path)
    try:
        taken: set[str] = set()
        for member, data in _contents(fd, archive, status.st_size):
            yield _member(archive, raw, member, data, taken)
    finally:
        os.close(fd)


def _contents(fd: int, archive: Found, size: int) -> Iterator[tuple[archives.Member, bytes | None]]:
    if archive.kind == "zip":
        for member in archives.zip_index(fd):
            yield member, None
        return
    packed = archives.is_packed(archive.path)
    with archives.open_tar(fd) as stream:
        for member, source in archives.tar_members(stream, size):
            data = None
            if packed and not member.fault and _suffix(member.name) not in _TEXT:
                try:
                    data = archives.taken(member, source)
                except InvalidInput as error:
                    member = replace(member, fault=error.what)
            yield member, data


def _member(
    archive: Found, raw: bytes, member: archives.Member, data: bytes | None, taken: set[str]
) -> Found:
    text = names.readable(member.name)
    if (
        b"\\" in member.name and b"/" not in member.name
    ):  # written by a Windows tool against the rule of the format
        text = text.replace("\\", "/")
    clean = "/".join(part for part in text.split("/") if part not in ("", "."))
    path = f"{archive.path}{names.MEMBER}{clean}"
    whole = raw + names.MEMBER.encode() + member.name
    kind: Kind = "file"
    fault = member.fault
    if fault:
        kind = "fault"
    elif clean in taken:
        kind, fault = "fault", "a second file of this name in the archive"
    elif archives.kind_of(clean):
        kind, fault = "other", "an archive inside an archive"
    elif _skipped(member.name.rpartition(b"/")[2]):
        kind = "other"
    taken.add(clean)
    return Found(
        path, _differing(path, whole), member.size_bytes, archive.mtime_ns, kind, fault, True, member, data
    )


def load(root: bytes, found: Found) -> tuple[bytes, os.stat_result]:
    """The whole content of a picture, read once, and the stat of the file it came from (the archive, for a member).

    Raises:
        NotPicture: it neither is nor claims to be a picture. InvalidInput: it cannot be used.
        NotFound, Unavailable: not now; try again later.
    """
    outer, inner = (
        split(found.path, found.disk_path)
        if found.member
        else (names.raw_of(found.path, found.disk_path), b"")
    )
    if found.data is not None:
        _claims(found.path, found.data[:16])
        return found.data, os.stat(names.native(root, outer))  # noqa: PTH116
    fd, status = names.open_file(root, outer, found.path)
    try:
        if found.member is not None:
            return _load_member(fd, found, inner), status
        size = status.st_size
        if size == 0:
            raise InvalidInput("empty file")
        if _suffix(outer) not in headers.PICTURE_SUFFIXES:
            _claims(found.path, os.read(fd, 16))
            os.lseek(fd, 0, os.SEEK_SET)
        if size > MAX_FILE_BYTES:
            raise InvalidInput(f"larger than {MAX_FILE_BYTES >> 20} MiB", remedy="cut it into tiles")
        if size > _LARGE:
            with _one_large:
                return names.read_exact(fd, size, found.path), status
        return names.read_exact(fd, size, found.path), status
    finally:
        os.close(fd)


def _load_member(fd: int, found: Found, inner: bytes) -> bytes:
    member = found.member
    assert member is not None
    if member.crc is None:
        data = archives.member_read(fd, member)
        _claims(found.path, data[:16])
        return data
    if _suffix(inner) not in headers.PICTURE_SUFFIXES:
        _claims(found.path, archives.zip_read(fd, member, head_bytes=16))
    return archives.zip_read(fd, member)


def read_bytes(location: bytes, path: str, disk_path: bytes | None = None) -> bytes:
    """Content of an asset's file or archive member.

    Args:
        location: raw absolute path of the source root as it is now.
        path, disk_path: as recorded.

    Raises:
        NotFound, Unavailable, InvalidInput: one line each, naming the path.
    """
    try:
        if names.MEMBER in path:
            outer, inner = split(path, disk_path)
            names.check_relative(outer, path)
            fd, _ = names.open_file(location, outer, path)
            try:
                if archives.kind_of(path.partition(names.MEMBER)[0]) == "zip":
                    return archives.zip_read(fd, archives.zip_find(fd, inner))
                return archives.tar_read(
                    fd, inner, packed=archives.is_packed(path.partition(names.MEMBER)[0])
                )
            finally:
                os.close(fd)
        raw = names.raw_of(path, disk_path)
        names.check_relative(raw, path)
        fd, status = names.open_file(location, raw, path)
        try:
            if status.st_size > MAX_FILE_BYTES:
                raise InvalidInput(f"larger than {MAX_FILE_BYTES >> 20} MiB")
            return names.read_exact(fd, status.st_size, path)
        finally:
            os.close(fd)
    except LamproomError as error:
        if error.where:
            raise
        raise type(error)(error.what, where=path, remedy=error.remedy) from error


def plain_file(location: bytes, path: str, disk_path: bytes | None = None) -> Path | None:
    """The file of an asset that is no member of an archive, if it can be opened within its source; else None."""
    if names.MEMBER in path:
        return None
    try:
        raw = names.raw_of(path, disk_path)
        names.check_relative(raw, path)
        fd, _ = names.open_file(location, raw, path)
    except LamproomError:
        return None
    os.close(fd)
    return Path(os.fsdecode(os.path.join(location, raw)))  # noqa: PTH118 - bytes


def needs_copy(path: str) -> bool:
    """Whether the asset at this path lies in a packed tar, where reading one costs reading all before it.

    Ingest keeps a copy of such pictures among the workspace's objects; look there first.
    """
    outer, mark, _ = path.partition(names.MEMBER)
    return bool(mark) and archives.is_packed(outer)


def split(path: str, disk_path: bytes | None) -> tuple[bytes, bytes]:
    """(raw path of the archive, raw name of the member). A folder's readable name never ends in '!', so text is exact."""
    outer = path.partition(names.MEMBER)[0]
    raw = names.raw_of(path, disk_path)
    mark = names.MEMBER.encode()
    at = raw.find(mark)
    while (
        at >= 0
    ):  # the raw path may hold folders that end in '!': the right mark follows the archive's own suffix
        if disk_path is None or archives.kind_of(os.fsdecode(raw[:at])) == archives.kind_of(outer):
            return raw[:at], raw[at + len(mark) :]
        at = raw.find(mark, at + 1)
    raise InvalidInput("no archive in this path", where=path)


def _claims(path: str, head: bytes) -> None:
    """Raise NotPicture for content that is none under a name that promises none."""
    if headers.sniff(head) or _suffix(path.encode()) in headers.PICTURE_SUFFIXES:
        return
    name = headers.unsupported(head)
    if name:
        raise InvalidInput(f"{name} pictures are not taken", remedy="convert to PNG, TIFF, JPEG, WebP or BMP")
    raise NotPicture("not a picture")


def _suffix(name: bytes) -> str:
    dot = name.rfind(b".")
    return name[dot:].lower().decode("ascii", "replace") if dot >= 0 else ""


def _skipped(name: bytes) -> bool:
    return _suffix(name) in _TEXT or name in _NO_FILES or name[:2] == b"._"


def _file(path: str, disk_path: bytes | None, name: bytes, status: os.stat_result) -> Found:
    kind: Kind = "file"
    fault = ""
    if not stat.S_ISREG(status.st_mode):
        kind, fault = "other", "not a regular file"
    elif _skipped(name):
        kind = "other"
    elif _suffix(name) not in headers.PICTURE_SUFFIXES:
        packed = archives.kind_of(os.fsdecode(name))
        if packed:
            kind = "zip" if packed == "zip" else "tar"
    return Found(path, disk_path, status.st_size, status.st_mtime_ns, kind, fault)


def _shown(name: bytes) -> tuple[str, bool]:
    """(readable name, whether it equals the raw one)."""
    text = names.readable(name)
    if text.endswith("!"):  # "!/" in a path means a member: no folder's name may end so
        return text[:-1] + "\\x21", False
    return text, text.encode() == name


def _differing(path: str, raw: bytes) -> bytes | None:
    return None if path.encode() == raw else raw


def _cannot(error: OSError) -> str:
    return f"cannot be read: {error.strerror}"


def _listing(root: bytes, raw: bytes, text: str) -> list[tuple[str, bytes, os.stat_result | None, str]]:
    """Entries of one folder: (path, raw path, stat, fault), links already judged. Raises OSError."""
    found: list[tuple[str, bytes, os.stat_result | None, str]] = []
    folder = names.folder_fd(root, raw) if names.is_long(root, raw) else None
    above, above_raw = (text + "/" if text else ""), (raw + b"/" if raw else b"")
    try:
        with os.scandir(names.native(root, raw) if folder is None else folder) as entries:
            listed = [(e.name if isinstance(e.name, bytes) else os.fsencode(e.name), e) for e in entries]
            listed.sort(key=lambda pair: pair[0])
            shown: set[str] = set()
            for name, entry in listed:
                readable = _shown(name)[0]
                if readable in shown:
                    readable = names.literal(name)
                shown.add(readable)
                fault = ""
                status: os.stat_result | None = None
                try:
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISLNK(status.st_mode):
                        status, fault = _followed(root, above_raw + name, entry)
                except OSError as error:
                    fault = _cannot(error)
                found.append((above + readable, above_raw + name, status, fault))
    finally:
        if folder is not None:
            os.close(folder)
    return found


def _followed(
    root: bytes, raw: bytes, entry: os.DirEntry[bytes] | os.DirEntry[str]
) -> tuple[os.stat_result | None, str]:
    try:
        status = entry.stat()
    except OSError as error:
        return None, f"a symbolic link that leads nowhere: {error.strerror}"
    if stat.S_ISDIR(status.st_mode):
        return None, "a symbolic link to a folder is not followed"
    base = os.path.realpath(root)
    target = os.path.realpath(names.native(root, raw))
    if target != base and not target.startswith(base.rstrip(b"/") + b"/"):
        return None, "a symbolic link that leads out of the source"
    return status, ""


__all__ = [
    "Found",
    "NotPicture",
    "Unavailable",
    "load",
    "members",
    "needs_copy",
    "read_bytes",
    "split",
    "walk",
]
