"""2,000 hostile inputs, each drawn from its number alone, and what the program must say about them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from annotation import labels
from models import demo

COUNTS = {
    "picture": 900,
    "name": 150,
    "archive": 300,
    "onnx": 200,
    "schema": 200,
    "coco": 170,
    "yolo": 50,
    "native": 30,
}
"""How many of each kind; 2,000 in all. The first three are ingested, the others are given to their own verb."""
FILES = ("picture", "name", "archive")
NAMED, TAKEN, EITHER = "named", "taken", "either"
"""What must become of a file: a named problem; an asset; or one of the two, where damage may leave a whole picture."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """One hostile file. `wish`: see above. `names`: how a problem may name it (any of these texts)."""

    kind: str
    number: int
    path: Path
    wish: str
    what: str


def picture(rng: random.Random, extension: str = ".jpg") -> bytes:
    """A whole picture of 64 x 48, every one different."""
    pixels = np.random.default_rng(rng.getrandbits(32)).integers(0, 255, (48, 64, 3), np.uint8)
    return bytes(cv2.imencode(extension, pixels)[1].tobytes())


# --- pictures ----------------------------------------------------------------------------------------------------


def _cut(rng: random.Random, data: bytes, *, low: float = 0.0, high: float = 0.9) -> bytes:
    return data[: int(len(data) * rng.uniform(low, high))]


def _flipped(rng: random.Random, data: bytes, *, times: int = 8, within: int | None = None) -> bytes:
    out = bytearray(data)
    for _ in range(times):
        out[rng.randrange(min(len(out), within or len(out)))] ^= rng.randrange(1, 256)
    return bytes(out)


def _png(width: int, height: int, body: bytes = b"\0" * 10, *, crc: bool = True) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data))
            + name
            + data
            + struct.pack(">I", zlib.crc32(name + data) if crc else 7)
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )


def _tiff(rng: random.Random, **tags: int) -> bytes:
    entries = {256: 64, 257: 48, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 48, 279: 64 * 48} | {
        int(k[1:]): v for k, v in tags.items()
    }
    body = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", k, 4, 1, v) for k, v in sorted(entries.items())
    )
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", tags.get("t0", 0)) + rng.randbytes(64)


def _bomb(rng: random.Random) -> tuple[str, bytes]:
    side = rng.choice([40_000, 65_535, 100_000, 2**31 - 1])
    match rng.randrange(4):
        case 0:
            return ".png", _png(side, side)
        case 1:  # really inflates: 64 MB of zeros in 64 kB, far more than the header's size
            return ".png", _png(64, 48, rng.randbytes(16) + b"\0" * 64_000_000)
        case 2:
            return ".tif", _tiff(rng, t256=side, t257=side)
        case _:
            whole = picture(rng, ".jpg")
            at = whole.index(b"\xff\xc0")
            return ".jpg", whole[: at + 5] + struct.pack(">HH", 65_500, 65_500) + whole[at + 9 :]


def _picture(rng: random.Random) -> tuple[str, bytes, str, str]:
    extension = rng.choice([".jpg", ".png", ".tif", ".bmp", ".webp"])
    whole = picture(rng, extension)
    match rng.randrange(9):
        case 0 | 1 | 2:
            return extension, _cut(rng, whole), NAMED, "cut"
        case 3:
            return extension, b"", NAMED, "empty"
        case 4:
            text = rng.choice(
                [
                    b"<html><body>404</body></html>",
                    b"%PDF-1.7\n",
                    b"MZ\x90\0",
                    b"#!/bin/sh\nrm -rf x\n",
                    b"\0" * 4096,
                ]
            )
            return extension, text + rng.randbytes(rng.randrange(64)), NAMED, "something else"
        case 5:
            return extension, rng.randbytes(rng.randrange(1, 4096)), NAMED, "noise"
        case 6:
            extension, data = _bomb(rng)
            # Pixels beyond the stated size are never inflated: what lies before them is a picture.
            return extension, data, EITHER if len(data) > 60_000 else NAMED, "bomb"
        case 7:
            return extension, _flipped(rng, whole, within=64), EITHER, "damaged head"
        case _:  # a whole picture under another format's name is a picture
            other = rng.choice([e for e in (".jpg", ".png", ".bmp") if e != extension])
            return other, whole, TAKEN, "another format's name"


# --- names -------------------------------------------------------------------------------------------------------


def _name(rng: random.Random) -> bytes:
    stem = f"{rng.getrandbits(40):x}".encode()
    odd = rng.choice(
        [
            b"-rf %s", b"--json %s", b"%s;touch owned", b"$(touch owned) %s", b"`touch owned` %s", b"a\nb %s", b"\x1b[31m%s", b"tab\t%s",
            b"\xff\xfe%s", b"\xc3\x28%s", "灯房 %s".encode(), "e\u0301%s".encode(), "\u202egnp.%s".encode(), "\u200b%s".encode(),
            b"%%s%%n%s", b"con %s", b"..%s", b"...%s", b"%s'", b'%s"', b"%s\\..\\up", b"x" * 200 + b"%s", b"{0}%s", b"%s !", b"%s@v1", b"*?%s",
        ]
    )  # fmt: skip
    return odd.replace(b"%s", stem, 1) + b".jpg"


# --- archives ----------------------------------------------------------------------------------------------------


def _zip(rng: random.Random, members: Sequence[tuple[str, bytes]], *, deflate: bool = True) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as archive:
        for name, data in members:
            archive.writestr(
                zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
            )
    return out.getvalue()


def _tar(rng: random.Random, members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _info(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def _archive(rng: random.Random) -> tuple[str, bytes, str, str]:
    inside = picture(rng)
    up = rng.choice(
        [
            "../escaped.jpg",
            "../../../../escaped.jpg",
            "/escaped.jpg",
            "a/../../escaped.jpg",
            "..\\escaped.jpg",
            "C:\\escaped.jpg",
        ]
    )
    good = _zip(rng, [("in.jpg", inside), ("b/第二.png", picture(rng, ".png"))])
    match rng.randrange(10):
        case 0:
            return ".zip", _zip(rng, [(up, inside)]), NAMED, f"zip slip {up}"
        case 1:
            return ".tar", _tar(rng, [(_info(up), inside)]), NAMED, f"tar slip {up}"
        case 2:
            kind = rng.choice(
                [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
            )
            return (
                ".tar",
                _tar(rng, [(_info("link.jpg", kind, "/etc/passwd"), b"")]),
                EITHER,
                "special member",
            )
        case 3:
            return ".zip", _cut(rng, good, low=0.2), NAMED, "cut zip"
        case 4:
            whole = _tar(rng, [(_info("in.jpg"), inside)])
            return ".tar", whole[: 512 + rng.randrange(len(inside))], NAMED, "cut tar"
        case 5:
            return (
                ".zip",
                _zip(rng, [("bomb.png", _png(64, 48) + rng.randbytes(8) + b"\0" * 40_000_000)]),
                EITHER,
                "zip bomb",
            )
        case 6:
            return ".zip", _flipped(rng, good, times=12), EITHER, "damaged zip"
        case 7:
            data = bytearray(good)
            at = data.index(b"PK\x01\x02")
            data[at + 8] |= 1  # says it is encrypted
            data[6] |= 1
            return ".zip", bytes(data), NAMED, "encrypted"
        case 8:
            extension = rng.choice([".zip", ".tar", ".tar.gz", ".tgz"])
            return extension, rng.randbytes(rng.randrange(2000)), NAMED, "noise"
        case _:
            return (
                ".zip",
                _zip(rng, [("inner.zip", good), ("x.jpg", _cut(rng, inside))]),
                NAMED,
                "broken member",
            )


# --- files of the other verbs ------------------------------------------------------------------------------------


def _onnx(rng: random.Random) -> bytes:
    whole = demo.path().read_bytes()
    match rng.randrange(6):
        case 0:
            return _cut(rng, whole)
        case 1:
            return rng.randbytes(rng.randrange(1, 8192))
        case 2:
            return b""
        case 3:  # lengths that claim more than there is
            return b"\x0a" + b"\xff" * rng.randrange(1, 12) + rng.randbytes(64)
        case 4:  # 60,000 nested messages
            data = b""
            for _ in range(rng.randrange(50, 2000)):
                data = b"\x3a" + _varint(len(data)) + data
            return data
        case _:
            return _flipped(rng, whole, times=200, within=2048)


def _varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def _schema(rng: random.Random) -> bytes:
    text = labels.dumps(labels.load(rng.choice(labels.BUILTIN)))
    lines = text.splitlines()
    at = rng.randrange(len(lines))
    match rng.randrange(8):
        case 0:
            return text.encode()[: rng.randrange(len(text) // 2)] + b'\nx = "'
        case 1:
            return text.encode() + b"\xff\xfe"
        case 2:
            return rng.randbytes(rng.randrange(1, 2000))
        case 3:
            return b"a = " + b"[" * rng.randrange(100, 100_000)
        case 4:
            return "\n".join([*lines[:at], "= 3", *lines[at:]]).encode()
        case 5:
            return text.replace("#", "colour", rng.randrange(3, 40)).encode() + b"\n[[labels]]\n"
        case 6:
            return (text + '\n[[labels]]\ncode = "a\\u0000b"\nparent = "a\\u0000b"\n').encode()
        case _:
            return b"code = " + b"9" * rng.randrange(1, 9000) + b"\n" + text.encode()


def _coco(rng: random.Random) -> bytes:
    whole = {
        "images": [{"id": 1, "file_name": "good.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 10], "area": 100, "iscrowd": 0}
        ],
    }
    box: dict[str, object] = whole["annotations"][0]
    image: dict[str, object] = whole["images"][0]
    match rng.randrange(15):
        case 0:
            return _cut(rng, json.dumps(whole).encode())
        case 1:
            box["bbox"] = rng.choice(
                [
                    [1, 2, "x", 3],
                    [1, 2],
                    "1,2,3,4",
                    [1, 2, -5, -5],
                    [True, 1, 2, 3],
                    [None] * 4,
                    {},
                    [1e999, 0, 1, 1],
                ]
            )
        case 2:
            box["bbox"] = [float("nan"), 1, 2, 3]
        case 3:
            box["image_id"] = rng.choice([7, "1", None, -1, 2**70, [1]])
        case 4:
            box["category_id"] = rng.choice([7, "1", None, -1, 2**70, {}])
        case 5:
            image["file_name"] = rng.choice(
                [
                    "../../etc/passwd",
                    "/etc/passwd",
                    "a\0b.jpg",
                    "",
                    7,
                    None,
                    "x" * 9000,
                    "C:\\x.jpg",
                    "a/../../b.jpg",
                ]
            )
        case 6:
            box["segmentation"] = rng.choice(
                [{"size": [48, 64], "counts": "\u0000\u0001"}, {"size": [10**9, 10**9], "counts": [1]}, {"size": [48, 64], "counts": [-1, 3]},
                 {"size": [48, 64], "counts": [5]}, [[1, 2, 3]], [["a"] * 6], [[float("inf")] * 6], {"counts": "abc"}]
            )  # fmt: skip
        case 7:
            return b"[" * rng.randrange(1000, 200_000)
        case 8:
            return rng.randbytes(rng.randrange(1, 3000))
        case 9:
            return json.dumps(
                rng.choice([[], 3, "x", None, {"images": {}}, {"images": [1]}, {**whole, "annotations": "x"}])
            ).encode()
        case 10:
            whole["categories"] = rng.choice(
                [[{"id": 1}], [{"id": 1, "name": ""}], [{"id": 1, "name": 3}], {}, [{"id": "1", "name": "a"}]]
            )
        case 11:
            image["width"] = rng.choice([-5, 0, "64", 2**40, 1e400, None, True])
            image["height"] = -1
        case 12:
            whole["images"] = [image, {**image, "file_name": "other.jpg"}]  # one id twice
        case 13:
            return b""
        case _:
            return json.dumps(whole).encode("utf-16") + b"\0"
    return json.dumps(whole).encode()


def _yolo(rng: random.Random, folder: Path) -> Path:
    folder.mkdir()
    names, line = "names: [person, helmet]\n", "0 0.5 0.5 0.2 0.2"
    match rng.randrange(5):
        case 0:
            line = rng.choice(["0 0.5 0.5 0.2", "0 nan 0.5 0.2 0.2", "x 0.5 0.5 0.2 0.2", "-1 0.5 0.5 0.2 0.2", "9 0.5 0.5 0.2 0.2", "0 1e999 0 0 0",
                               "0 0.5 0.5 -0.2 0.2", "0 0.1 0.1 0.2 0.2 0.3", "0.5 0.5 0.5 0.2 0.2", "9" * 5000 + " 0.5 0.5 0.2 0.2"])  # fmt: skip
        case 1:
            names = rng.choice(["names: !!python/object/apply:os.system ['touch owned']\n", "names: &a [*a]\n", "names: {0: }\n", "names: 3\n", "{", "\0",
                                "names:\n  - " + "[" * 5000, "x: &x [a]\ny: &y [*x, *x, *x, *x]\nnames: [*y, *y]\n"])  # fmt: skip
        case 2:
            names = "path: ../../..\ntrain: ../../../etc\n" + names
            line = "0 0.5"
        case 3:
            line = "\0\0\xff"
        case _:
            names = ""
    (folder / "data.yaml").write_text(names, encoding="utf-8", errors="surrogateescape")
    for part in ("images", "labels"):
        (folder / part / "train").mkdir(parents=True)
    (folder / "images/train/good.jpg").write_bytes(picture(random.Random(1)))
    (folder / "labels/train/good.txt").write_bytes(line.encode("latin-1"))
    return folder


def _native(rng: random.Random) -> bytes:
    return rng.choice(
        [b"", b"{", b"[]\n", b'{"format": "lamproom"}\n{', rng.randbytes(300), b'{"path": "../../x", "annotations": []}\n', b"[" * 50_000, b"\xff\xfe{}\n",
         b'{"path": "good.jpg", "annotations": [{"shape": {"kind": "box"}}]}\n', b'{"path": 3}\n' * 400]
    )  # fmt: skip


# --- all of them -------------------------------------------------------------------------------------------------


def draw(kind: str, number: int, folder: Path) -> Hostile:
    """Write the hostile input of this kind and number into the folder."""
    rng = random.Random(f"{kind} {number}")
    at = folder / f"{kind}-{number:04d}"
    match kind:
        case "picture":
            extension, data, wish, what = _picture(rng)
        case "name":
            path = Path(os.fsdecode(os.fsencode(folder) + b"/" + _name(rng)))
            path.write_bytes(picture(rng))
            return Hostile(kind, number, path, TAKEN, "name")
        case "archive":
            extension, data, wish, what = _archive(rng)
        case "yolo":
            return Hostile(kind, number, _yolo(rng, at), NAMED, "yolo")
        case _:
            makers: dict[str, tuple[str, Callable[[random.Random], bytes]]] = {
                "onnx": (".onnx", _onnx), "schema": (".toml", _schema), "coco": (".json", _coco), "native": (".jsonl", _native),
            }  # fmt: skip
            extension, maker = makers[kind]
            data, wish, what = maker(rng), NAMED, kind
    path = at.with_name(at.name + extension)
    path.write_bytes(data)
    return Hostile(kind, number, path, wish, what)


def oddities(folder: Path) -> list[Path]:
    """What is no file at all: links that leave or loop, a pipe, a folder with a picture's name. None may be followed or opened."""
    made = []
    outside = folder.parent / "outside.jpg"
    outside.write_bytes(picture(random.Random(2)))
    for name, target in (("loop.jpg", "loop.jpg"), ("up", ".."), ("dead.jpg", "nowhere.jpg")):
        (folder / name).symlink_to(target)
        made.append(folder / name)
    with contextlib.suppress(OSError):
        os.mkfifo(folder / "pipe.jpg")
        made.append(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    return made
