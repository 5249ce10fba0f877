"""Foreign XML within bounds: no document type, no entities but XML's own five, so nothing can be expanded or fetched.

Bytes are decoded here, not by expat: a byte order mark, the declared encoding, UTF-8, else GB 18030 as Chinese tools
write it. `load` is for small files; `children` streams a large one, holding one child of the outermost element.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast
from xml.etree import ElementTree

from annotation.errors import InvalidInput
from annotation.formats import base

Element = ElementTree.Element
MAX_BYTES = 16 * 2**20
"""Of a file read whole."""
MAX_STREAM = 64 * 2**30
"""Of a file read child by child."""
MAX_DEPTH = 32
MAX_NODES = 500_000
"""Elements, and attributes, held at a time."""
MAX_CHILD = 64 * 2**20
"""Characters of one child of the outermost element."""
HEAD = 1 << 16
_CHUNK = 1 << 16

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_DECLARED = re.compile(rb"""\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_ENCODINGS = {
    "utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "utf-8", "ascii": "utf-8", "gb2312": "gb18030", "gbk": "gb18030",
    "gb18030": "gb18030", "cp936": "gb18030", "big5": "big5", "iso-8859-1": "latin-1", "latin-1": "latin-1",
    "windows-1252": "cp1252", "windows-1251": "cp1251", "shift_jis": "shift_jis", "euc-kr": "euc-kr",
}  # fmt: skip
_NAME = re.compile(r"<([A-Za-z_][\w.:-]*)")
_SPACE = re.compile(r"\s*")
_ASIDE = {"<?": "?>", "<!--": "-->", "<!": ">"}
_FORBIDDEN = ("<!DOCTYPE", "<!ENTITY")


def root(path: Path) -> str:
    """The name of the outermost element as the first 64 KiB show it; "" when it is no XML. Never raises."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return ""
    encoding, skip = _encoding(head)
    text = head[skip:].decode(encoding or "ascii", "replace")
    at = 0
    while at >= 0:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if found := _NAME.match(text, at):
            return found[1]
        if text.startswith("<!DOCTYPE", at):  # a document type may hold declarations of its own
            inner = text.find("[", at, text.find(">", at))
            at = text.find("]", inner) if inner >= 0 else at
            at = text.find(">", at) + 1 or -1
            continue
        end = next((end for begin, end in _ASIDE.items() if text.startswith(begin, at)), "")
        at = text.find(end, at) + len(end) if end and end in text[at:] else -1
    return ""


def load(path: Path, *, limit: int = MAX_BYTES) -> Element:
    """The outermost element of a small file.

    Raises:
        InvalidInput: see `parse`; also a missing or too large file.
    """
    return parse(base.read_bytes(path, limit=limit), path.name)


def parse(data: bytes, where: str) -> Element:
    """The outermost element of a document.

    Raises:
        InvalidInput: with line and column; a document type, entities, too many elements, too deep, other encodings.
    """
    text = _text(data, where)
    _demand(text, where)
    if text.count("<") > 2 * MAX_NODES or text.count("=") > MAX_NODES:
        raise InvalidInput("too many elements", where=where, remedy=f"at most {MAX_NODES}")
    parser = ElementTree.XMLParser()
    try:
        parser.feed(text)
        found: Element = parser.close()
    except ElementTree.ParseError as error:
        raise _fault(error, where) from error
    level, depth = [found], 0
    while level := [child for element in level for child in element]:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidInput("elements too deep in one another", where=where, remedy=f"at most {MAX_DEPTH}")
    return found


def children(path: Path, name: str, *, most: int | None = None) -> Iterator[Element]:
    """Every child of the outermost element, which must be called `name`, one at a time: flat memory.

    A child may hold `most` elements and attributes, `MAX_NODES` by default.

    Raises:
        InvalidInput: as `parse`, when that place is reached.
    """
    where = path.name
    most = MAX_NODES if most is None else most
    parser: ElementTree.XMLPullParser[Element] = ElementTree.XMLPullParser(("start", "end"))
    outermost: Element | None = None
    depth = held = size = 0
    try:
        for text in _chunks(path):
            parser.feed(text)
            size += len(text)
            for event, element in cast(Iterator[tuple[str, Element]], parser.read_events()):
                if event == "start":
                    depth += 1
                    held += 1 + len(element.attrib)
                    if outermost is None:
                        outermost = element
                        if element.tag != name:
                            raise InvalidInput(
                                f"the outermost element is {base.short(element.tag)}",
                                where=where,
                                remedy=f"<{name}>",
                            )
                    if depth > MAX_DEPTH:
                        raise InvalidInput(
                            "elements too deep in one another", where=where, remedy=f"at most {MAX_DEPTH}"
                        )
                    continue
                depth -= 1
                if depth == 1 and outermost is not None:
                    yield element
                    outermost.clear()
                    held = size = 0
            if held > most or size > MAX_CHILD:
                raise InvalidInput("one element holds too much", where=where, remedy=f"at most {most} in it")
        parser.close()
    except ElementTree.ParseError as error:
        raise _fault(error, where) from error
    if outermost is None:
        raise InvalidInput("an empty document", where=where, remedy=f"<{name}>")


def written(text: str) -> str:
    """A text as it stands between tags or quotes: escaped, lone returns and line ends kept; what XML 1.0 cannot
    hold at all (`unwritable`) becomes U+FFFD."""
    if not _SPECIAL.search(text):
        return text
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], "\ufffd"), text)


def unwritable(text: str) -> bool:
    """Whether the text holds a character that XML 1.0 has no way to write."""
    return bool(_UNWRITABLE.search(text))


_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_UNWRITABLE = re.compile(f"[{_CONTROLS}]")
_SPECIAL = re.compile(f'[&<>"\\r\\n\\t{_CONTROLS}]')
_ESCAPES = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;",
}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------


def _fault(error: ElementTree.ParseError, where: str) -> InvalidInput:
    line, column = error.position
    what = str(error).partition(":")[0]
    return InvalidInput(
        f"not XML: {what}", where=f"{where}:{line}:{column + 1}", remedy="a truncated file, or no XML"
    )


def _demand(text: str, where: str) -> None:
    if any(word in text for word in _FORBIDDEN):
        raise InvalidInput(
            "a document type or entities, which are not read",
            where=where,
            remedy="remove <!DOCTYPE …> from the file",
        )


def _encoding(head: bytes) -> tuple[str, int]:
    """The encoding that the first bytes speak of, and how many of them are its mark."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name, len(mark)
    if head[:2] == b"<\0":
        return "utf-16-le", 0
    if head[:2] == b"\0<":
        return "utf-16-be", 0
    found = _DECLARED.match(head)
    return _ENCODINGS.get(found[1].decode().lower(), "") if found else "utf-8", 0


def _text(data: bytes, where: str) -> str:
    encoding, skip = _encoding(data[:HEAD])
    for name in (encoding, "gb18030") if encoding == "utf-8" and not skip else (encoding,):
        try:
            return data[skip:].decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    raise _unknown(where)


def _unknown(where: str) -> InvalidInput:
    return InvalidInput("text in an unknown encoding", where=where, remedy="save the file as UTF-8")


def _chunks(path: Path) -> Iterator[str]:
    """The text of a file piece by piece, without a document type in it."""
    try:
        if not path.is_file():
            raise InvalidInput("no such file", where=str(path))
        if (size := path.stat().st_size) > MAX_STREAM:
            raise InvalidInput(f"{size} bytes", where=path.name, remedy=f"at most {MAX_STREAM}; split it")
        with path.open("rb") as file:
            encoding, skip = _encoding(file.read(HEAD))
            if encoding == "utf-8" and not skip and not _decodes(file, encoding):
                encoding = "gb18030"
            file.seek(skip)
            decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
            if decoder is None:
                raise _unknown(path.name)
            tail = ""
            while True:
                data = file.read(_CHUNK)
                text = decoder.decode(data, final=not data)
                _demand(tail + text, path.name)
                tail = (tail + text)[-12:]
                yield text
                if not data:
                    return
    except UnicodeDecodeError as error:
        raise _unknown(path.name) from error
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(path)) from error


def _decodes(file: IO[bytes], encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    try:
        while data := file.read(_CHUNK):
            decoder.decode(data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
