"""MOTChallenge's boxes of tracks and MOTS' masks of tracks, both ways.

mot: <sequence>/gt/gt.txt (or det/det.txt), rows `frame,id,x,y,w,h,conf,class,visibility`, frames from 1 (X-AnyLabeling counts
from 0), seqinfo.ini and, as datumaro and CVAT write, gt/labels.txt with the names of classes from 1.
mots: rows `frame id class height width rle` in gt/gt.txt or instances_txt/<sequence>.txt, or PNG of 16 bits in
instances/[<sequence>/]<frame>.png; an id is 1000 times the class plus the instance, 10000 what is to be ignored.
Facts: https://motchallenge.net/instructions, https://www.vision.rwth-aachen.de/page/mots.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath

from annotation import marks, rle
from annotation.core import Annotation, AttributeValue, Box, Mask
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, foreign, frames, pngs
from annotation.formats.base import Problems, Record, Sizes
from annotation.formats.mot_write import DIALECTS, INSTANCES, LABELS, SEQINFO, TEXTS, losses, place, write

__all__ = ["DIALECTS", "losses", "place", "read", "sniff", "write"]

MAX_LOOK = 5000
"""Folders looked at to recognise a set."""
MAX_LINE = 32 * 2**20
MAX_SMALL = 1 << 20
_ROW = re.compile(rb"\s*-?\d+(?:\.0*)?\s*(?:,\s*-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*){5,9}\r?\Z")
_MOTS = re.compile(rb"\d+ \d+ \d+ \d+ \d+ \S+\s*\Z")
_PEDESTRIAN = "pedestrian"
CLASSES = (
    _PEDESTRIAN, "person on vehicle", "car", "bicycle", "motorbike", "non motorized vehicle", "static person",
    "distractor", "occluder", "occluder on the ground", "occluder full", "reflection",
)  # fmt: skip
"""MOTChallenge's classes from 1."""
_MOTS_CLASSES = ("car", _PEDESTRIAN)
_IGNORED = "ignored"
_PICTURES = (".jpg", ".png", ".jpeg", ".bmp", ".JPG", ".PNG")


# ---------------------------------------------------------------------------------------------------------------
# Where things are


def sniff(path: Path) -> str:
    """Why the path is a MOT or MOTS file, or a folder with sequences; "" when it is not."""
    if path.is_dir():
        for n, (file, folder) in enumerate(_found(path, look=MAX_LOOK)):
            if file.is_dir():
                return f"{folder or file.name} holds MOTS instances as PNG"
            if why := _said(file):
                return f"{file.name} {why}"
            if n >= 20:
                break
        return ""
    why = _said(path) if path.suffix.lower() == ".txt" else ""
    return f"it {why}" if why else ""


def _said(file: Path) -> str:
    lines = [line for line in base.head(file).splitlines() if line.strip()]
    if not lines:  # an empty file says nothing, its name does
        empty = (
            file.name in ("gt.txt", "det.txt") and file.is_file() and (file.parent.parent / SEQINFO).is_file()
        )
        return "is an empty MOTChallenge file beside seqinfo.ini" if empty else ""
    if _MOTS.match(lines[0]):
        return "holds rows of MOTS: frame id class height width rle"
    if not _ROW.match(lines[0]):
        return ""
    bare = file.name not in ("gt.txt", "det.txt")
    if bare and not re.search(rb"(?:,\s*-1(?:\.0*)?\s*){3}\Z", lines[0]):
        return ""
    zero = any(re.match(rb"\s*0+\s*,", line) for line in lines)
    return "holds rows of MOTChallenge" + (", whose frames count from 0" if zero else "")


def _found(root: Path, *, look: int = 2**60) -> Iterator[tuple[Path, str]]:
    """Files of rows and folders of instances below a folder, each with the sequence's folder from there."""
    for n, (here, folders, files) in enumerate(os.walk(root)):
        folders.sort()
        if n >= look:
            return
        folder = Path(here)
        inner = folder.relative_to(root).as_posix().removeprefix(".")
        if folder.name == "gt" and "gt.txt" in files:
            yield folder / "gt.txt", PurePosixPath(inner).parent.as_posix().removeprefix(".")
        elif folder.name == "det" and "det.txt" in files and not (folder.parent / "gt/gt.txt").is_file():
            yield folder / "det.txt", PurePosixPath(inner).parent.as_posix().removeprefix(".")
        for name in sorted(files) if folder.name == TEXTS else ():
            if name.endswith(".txt"):
                yield (
                    folder / name,
                    f"{PurePosixPath(inner).parent.as_posix()}/images/{name[:-4]}".removeprefix("./"),
                )
        if folder.name == INSTANCES and not (folder.parent / TEXTS).is_dir():
            if any(name.endswith(".png") for name in files):
                yield folder, f"{PurePosixPath(inner).parent.as_posix()}/images".removeprefix("./")
            for name in list(folders):
                yield (
                    folder / name,
                    f"{PurePosixPath(inner).parent.as_posix()}/images/{name}".removeprefix("./"),
                )
            folders.clear()


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """One record a frame, sequence by sequence, by number; frames without objects where seqinfo.ini or pictures tell of them.

    Rows of gt are truth, those of det predictions, which are read only where there is no gt. `conf` 0 becomes an attribute `ignored`, a visibility below 1 one
    of that name; ids above 0 tracks. A file whose frames count from 0 is read as if from 1, unless there are
    pictures numbered 0 or a seqinfo.ini beside it.
    With `problems` faulty rows are left out and listed there; without, nothing is yielded of a faulty set.

    Raises:
        InvalidFile: every fault, by file and line. InvalidInput: no file of this format.
    """
    if path.is_file():
        folder = path.parent.parent if path.parent.name in ("gt", "det") else path.parent
        return base.checked(partial(_all, [(path, "")], folder, sizes), path.name, problems)
    found = list(_found(path))
    if not found:
        raise InvalidInput(
            "no gt/gt.txt and no instances", where=str(path), remedy="give the sequence's folder"
        )
    return base.checked(partial(_all, found, path, sizes), path.name, problems)


def _all(
    found: Sequence[tuple[Path, str]], root: Path, sizes: Sizes | None, problems: Problems
) -> Iterator[Record]:
    for file, inner in found:
        if file.is_dir():
            yield from foreign.sound(partial(_pngs, file, inner), problems)
        else:
            yield from foreign.sound(partial(_rows, file, root, inner, sizes), problems)


def _rows(file: Path, root: Path, inner: str, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    yield from _Sequence(file, root, inner, sizes, problems).records()


class _Sequence:
    """One file of rows and what lies beside it."""

    def __init__(self, file: Path, root: Path, inner: str, sizes: Sizes | None, problems: Problems) -> None:
        self.file, self.inner, self.sizes, self.problems = file, inner, sizes, problems
        self.home = root if file.parent == root else file.parent.parent
        home = file.parent if file.parent == root else root
        self.at = "" if problems.where == file.name else f"{file.relative_to(home).as_posix()}: "
        self.is_det = file.name == "det.txt" or file.parent.name == "det"
        self.is_text = file.parent.name == TEXTS
        self.info = self._seqinfo()
        self.folder = self.info.get("imdir", "img1")
        self.names = self._labels()
        self.listed = self._listed()

    def _seqinfo(self) -> dict[str, str]:
        file = self.home / SEQINFO
        if not file.is_file() or self.is_text:
            return {}
        text = base.read_text(file, limit=MAX_SMALL)
        rows = (line.partition("=") for line in text.splitlines() if "=" in line)
        return {key.strip().lower(): value.strip() for key, _, value in rows}

    def _labels(self) -> list[str]:
        spots = [self.file.parent / LABELS, self.file.parent.parent / INSTANCES / LABELS]
        for spot in spots[: 2 if self.is_text else 1]:
            if spot.is_file():
                return _names(spot)
        return []

    def _listed(self) -> dict[int, str]:
        """The pictures beside the file by their numbers."""
        folder = self.home / "images" / self.file.stem if self.is_text else None
        if folder is None:
            try:
                folder = self.home.joinpath(*base.clean_path(self.folder).split("/"))
            except InvalidInput:
                raise InvalidInput(
                    f"imDir is {base.short(self.folder)}", where=SEQINFO, remedy="a folder below"
                ) from None
        found: dict[int, str] = {}
        instances = self.home / INSTANCES / self.file.stem
        if folder.is_dir():
            for picture in sorted(folder.iterdir()):
                number = (
                    frames.number(Record(picture.name, None, None, ()))
                    if picture.suffix in _PICTURES
                    else None
                )
                if number is not None:
                    found.setdefault(number, picture.name)
        if self.is_text and not found and instances.is_dir():  # frames without objects have no row, but a PNG
            for mask in sorted(instances.glob("*.png")):
                number = frames.number(Record(mask.name, None, None, ()))
                if number is not None:
                    found.setdefault(number, f"{number:06d}.jpg")
        return found

    def _side(self, key: str) -> int | None:
        text = self.info.get(key.lower())
        return base.side(None if text is None else foreign.whole(text, key), key)

    def records(self) -> Iterator[Record]:
        """Every frame of the sequence."""
        try:
            width, height = self._side("imWidth"), self._side("imHeight")
            length = foreign.whole(self.info.get("seqlength", "0"), "seqLength")
            if not 0 <= length <= frames.MAX_FRAMES:
                raise InvalidInput(f"seqLength is {length}", remedy=f"at most {frames.MAX_FRAMES}")
        except InvalidInput as error:
            self.problems.add(f"{self.inner}: {SEQINFO}" if self.inner else SEQINFO, error.what, error.remedy)
            return
        with frames.Spool() as spool:
            first = self._spooled(spool)
            shift = 0
            if first == 0 and not self.is_text and 0 not in self.listed and (self.listed or not self.info):
                shift = 1
            start = (
                min(0 if first == 0 and not shift else 1, *self.listed)
                if self.listed
                else int(bool(first or shift))
            )
            ahead = sorted(self.listed) if self.listed else list(range(start, start + length))
            waiting = iter(ahead)
            following = next(waiting, None)
            for key, rows in groupby(spool.all(), key=lambda row: row[0]):
                number = int(key) + shift
                while following is not None and following <= number:
                    if following < number:
                        yield self._record(following, (), (width, height))
                    following = next(waiting, None)
                yield self._record(number, [(line, body) for _, line, body in rows], (width, height))
            while following is not None:
                yield self._record(following, (), (width, height))
                following = next(waiting, None)

    def _spooled(self, spool: frames.Spool) -> int | None:
        """Put the rows into the spool by frame; the first frame."""
        first: int | None = None
        with self.file.open("rb") as stream:
            n = 0
            while line := stream.readline(MAX_LINE + 1):
                n += 1
                if len(line) > MAX_LINE:
                    self.problems.add(
                        f"{self.at}line {n}", "a row that is too long", f"at most {MAX_LINE} bytes"
                    )
                    return first
                line = (line.removeprefix(b"\xef\xbb\xbf") if n == 1 else line).strip()
                if not line:
                    continue
                try:
                    word = re.split(rb"[,\s]", line, maxsplit=1)[0]
                    frame = foreign.whole(word.decode("ascii", "replace"), "frame")
                    if not 0 <= frame <= frames.MAX_FRAME:
                        raise InvalidInput(f"frame is {frame}", remedy=f"0 to {frames.MAX_FRAME}")
                except InvalidInput as error:
                    self.problems.add(f"{self.at}line {n}", error.what, error.remedy)
                    continue
                first = frame if first is None else min(first, frame)
                spool.add(frame, n, line)
        return first

    def _record(
        self, number: int, rows: Iterable[tuple[int, bytes]], wh: tuple[int | None, int | None]
    ) -> Record:
        suffix = self.info.get("imext", ".jpg")
        name = self.listed.get(number, f"{number:06d}{suffix}")
        parts = [self.inner] if self.is_text else [self.inner, self.folder]
        place = base.clean_path("/".join([*filter(None, parts), name]))
        found: list[Annotation] = []
        tracks: set[str] = set()
        for line, body in rows:
            try:
                words = body.decode("ascii").split("," if b"," in body else None)
                a = self._masked(words, wh) if _MOTS.match(body) else self._boxed(words)
                track = marks.track(a)
                if track in tracks:
                    raise InvalidInput(
                        "the track is there twice on this frame", remedy="one object of a track a frame"
                    )
                if track:
                    tracks.add(track)
                if isinstance(a.shape, Mask):
                    wh = (a.shape.w, a.shape.h)
                found.append(a)
            except InvalidInput as error:
                self.problems.add(f"{self.at}line {line}", error.what, error.remedy)
            except UnicodeDecodeError:
                self.problems.add(
                    f"{self.at}line {line}", "a row that is no plain text", "numbers and commas"
                )
        width, height = wh
        if (width is None or height is None) and self.sizes is not None:
            width, height = self.sizes(place) or (None, None)
        return Record(place, width, height, tuple(found), base.split_in(place.split("/")[:-1]))

    def _boxed(self, words: Sequence[str]) -> Annotation:
        if not 6 <= len(words) <= 10:
            raise InvalidInput(
                f"a row of {len(words)} values", remedy="frame,id,x,y,w,h,conf,class,visibility"
            )
        numbers = [foreign.decimal(word.strip(), f"value {i + 1}") for i, word in enumerate(words)]
        x, y, w, h = numbers[2:6]
        if w < 0 or h < 0:
            raise InvalidInput(f"a box of size {w:g} x {h:g}", remedy="frame,id,x,y,w,h with w and h from 0")
        confidence = numbers[6] if len(numbers) > 6 else 1.0
        label = self._label(foreign.whole(words[7], "class") if len(words) > 7 else -1)
        attributes: dict[str, object] = {}
        if len(numbers) == 9 and 0 <= numbers[8] < 1:
            attributes["visibility"] = numbers[8]
        score = None
        if self.is_det:
            if 0 <= confidence <= 1:
                score = confidence
            else:
                attributes["confidence"] = confidence
        elif confidence == 0:
            attributes["ignored"] = True
        kept: dict[str, AttributeValue] = dict(base.attributes(attributes))
        track = foreign.whole(words[1], "id")
        if track > 0:
            kept["@track"] = foreign.uid("mot", self.inner or self.home.name, track)
        shape = base.sound(Box(x, y, x + w, y + h))
        return Annotation(label, shape, kept, score, "model" if self.is_det else "import")

    def _label(self, number: int) -> str:
        if number < 0:
            return self.names[0] if self.names else _PEDESTRIAN
        names = self.names or CLASSES
        if not 1 <= number <= len(names):
            raise InvalidInput(
                f"there is no class {number}", remedy="name it in labels.txt, one a line from 1"
            )
        return names[number - 1]

    def _masked(self, words: Sequence[str], wh: tuple[int | None, int | None]) -> Annotation:
        number, label, h, w = (foreign.whole(word, "value") for word in words[1:5])
        width, height = base.side(w, "width"), base.side(h, "height")
        if width is None or height is None or wh not in ((None, None), (width, height)):
            raise InvalidInput(
                f"a mask of {w} x {h} px on a picture of {wh[0]} x {wh[1]} px", remedy="of one size"
            )
        counts = rle.normal(rle.from_text(words[5]), w=width, h=height)
        return _instance(Mask(width, height, counts), label, number, self.names, self.inner or self.home.name)


def _instance(shape: Mask, label: int, number: int, names: Sequence[str], scope: str) -> Annotation:
    kept: dict[str, AttributeValue] = {}
    if label == 10 and len(names) < 10:
        return Annotation(_IGNORED, base.sound(shape), kept, None, "import")
    known = names or _MOTS_CLASSES
    if not 1 <= label <= len(known):
        raise InvalidInput(f"there is no class {label}", remedy="name it in labels.txt, one a line from 1")
    kept["@track"] = foreign.uid("mots", scope, number)
    return Annotation(known[label - 1], base.sound(shape), kept, None, "import")


def _names(file: Path) -> list[str]:
    names = [line.strip() for line in base.read_text(file, limit=MAX_SMALL).splitlines()]
    while names and not names[-1]:
        names.pop()
    for i, name in enumerate(names):
        if not name:
            raise InvalidInput("an empty name", where=f"{file.name}:{i + 1}", remedy="one name a line")
    return names


def _pngs(folder: Path, inner: str, problems: Problems) -> Iterator[Record]:
    """A folder of instances as PNG: each a frame."""
    homes = [folder, folder.parent] if folder.name != INSTANCES else [folder]
    names = next((_names(home / LABELS) for home in homes if (home / LABELS).is_file()), [])
    pictures = _beside(folder)
    for file in sorted(folder.glob("*.png")):
        at = f"{inner}: {file.name}" if inner else file.name
        try:
            picture = pngs.read(file, at)
            runs = pngs.regions(picture.values, at)
            place = base.clean_path(f"{inner}/{pictures.get(file.stem, file.name)}")
        except InvalidInput as error:
            problems.add(at, error.what, error.remedy)
            continue
        w, h = picture.size
        found: list[Annotation] = []
        for value, counts in sorted(runs.items()):
            if value < 1000:
                if value:
                    problems.add(
                        at, f"the value {value}, which has no class", "1000 times the class plus the instance"
                    )
                continue
            try:
                found.append(_instance(Mask(w, h, counts), value // 1000, value, names, inner))
            except InvalidInput as error:
                problems.add(at, error.what, error.remedy)
        yield Record(place, w, h, tuple(found), base.split_in(place.split("/")[:-1]))


def _beside(folder: Path) -> dict[str, str]:
    """The pictures of a folder of instances by their stems."""
    home = (
        folder.parent / "images"
        if folder.name == INSTANCES
        else folder.parent.parent / "images" / folder.name
    )
    if not home.is_dir():
        return {}
    return {p.stem: p.name for p in sorted(home.iterdir()) if p.suffix in _PICTURES}
