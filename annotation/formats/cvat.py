"""CVAT XML 1.1 for images and for video, both ways: https://docs.cvat.ai/docs/other/xml_format.

Images: one <image> after another with their shapes. Video: one <track> for each object with its key frames; here every
frame is a record, the marks "@track", "@key" and "@end" say what the tracks were, and what lies between key frames is
interpolated as CVAT does. CVAT's zips (also of COCO and YOLO) are opened by `formats.opened`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby, islice, pairwise
from pathlib import Path, PurePosixPath

from annotation import canonical, marks, tracks
from annotation.core import Annotation
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, cvat_shapes, foreign, frames, xmlite
from annotation.formats.base import Problems, Record, Sizes
from annotation.formats.cvat_shapes import SHAPES, Specs
from annotation.formats.cvat_write import DIALECTS, FILE, PLACE, losses, place, write
from annotation.formats.xmlite import Element

__all__ = ["DIALECTS", "losses", "place", "read", "sniff", "write"]

MAX_LOOK = 50
MAX_TRACK = 2_500_000
"""Elements and attributes of one track: CVAT writes every frame of it, some 200,000."""
MAX_FOLDERS = 2000
"""Files, and folders, looked at to recognise a set."""
_SUFFIXES = (".png", ".PNG", ".jpg", ".jpeg", ".JPG")


def sniff(path: Path) -> str:
    """Why the path is CVAT's XML, or a folder that holds one; "" when it is not."""
    if path.is_dir():
        for file in islice(_files(path, look=MAX_FOLDERS), MAX_LOOK):
            if _is_cvat(file):
                return f"{file.name} is CVAT's XML 1.1: annotations with version and meta"
        return ""
    if path.suffix.lower() != ".xml" or not _is_cvat(path):
        return ""
    return "it is CVAT's XML 1.1: annotations with version and meta"


def _is_cvat(file: Path) -> bool:
    if xmlite.root(file) != "annotations":
        return False
    text = base.head(file).replace(b"\0", b"")  # also of UTF-16
    return any(word in text for word in (b"<meta>", b"<version>1.", b"<image ", b"<track "))


def _files(folder: Path, *, look: int = 2**60) -> Iterator[Path]:
    """XML files in a folder, and below it those that are called as CVAT calls them; `look` folders at most."""
    for n, (here, folders, files) in enumerate(os.walk(folder)):
        folders.sort()
        if n >= look:
            return
        for name in sorted(files):
            if name == FILE or (n == 0 and name.lower().endswith(".xml")):
                yield Path(here, name)


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """One record an <image>, or one a frame of a video from its first to its last, in the order of their numbers.

    A picture of a subset is named below it, as CVAT stores it; a frame `<video>/frame_000012`, with the suffix it has
    beside the file (else .png). Occluded, source (unless manual) and attributes become attributes, typed as <meta>
    says; z_order and group_id marks.
    With `problems` faulty shapes are left out and listed there; without, nothing is yielded of a faulty file.

    Raises:
        InvalidFile: every fault, by picture or track and shape. InvalidInput: no file, no XML.
    """
    files = [file for file in _files(path) if _is_cvat(file)] if path.is_dir() else [path]
    if not files:
        raise InvalidInput("no CVAT file in the folder", where=str(path), remedy="give the XML file itself")
    for file in files:
        where = file.relative_to(path).as_posix() if path.is_dir() else file.name
        yield from base.checked(partial(foreign.sound, partial(_parse, file, sizes)), where, problems)


def _parse(file: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    specs = Specs()
    meta: Element | None = None
    seen: set[bytes] = set()
    numbers: set[str] = set()
    with frames.Spool() as spool:
        film: _Film | None = None
        for child in xmlite.children(file, "annotations", most=MAX_TRACK):
            match child.tag:
                case "meta":
                    specs, meta = Specs.of(child), child
                case "image":
                    yield from _image(child, specs, sizes, seen, problems)
                case "track":
                    film = film or _Film.of(meta, file)
                    _track(child, specs, film, numbers, spool, problems)
                case "version":
                    if not (child.text or "").strip().startswith("1."):
                        problems.add("version", f"is {base.short(child.text)}", "CVAT XML 1.1")
        if film is None and meta is not None and not seen and meta.find(".//original_size") is not None:
            film = _Film.of(meta, file)
        if film is not None:
            yield from _frames(film, spool, sizes)
        if film is None and not seen and meta is None:
            problems.add("", "no images and no tracks", "an export of CVAT")


def _image(
    child: Element, specs: Specs, sizes: Sizes | None, seen: set[bytes], problems: Problems
) -> Iterator[Record]:
    name = child.get("name")
    at = f"image {base.short(name)}"
    try:
        place = base.clean_path(name)
        subset = (child.get("subset") or "").strip()
        if subset and PurePosixPath(place).parts[0] != subset:
            place = base.clean_path(f"{subset}/{place}")
        width, height = (base.side(_whole(child.get(key), key), key) for key in ("width", "height"))
    except InvalidInput as error:
        problems.add(at, error.what, error.remedy)
        return
    mark = canonical.digest(place.encode())[:8]
    if mark in seen:
        problems.add(at, "is there twice", "one image a picture")
        return
    seen.add(mark)
    if (width is None or height is None) and sizes is not None:
        width, height = sizes(place) or (None, None)
    found: list[Annotation] = []
    for n, element in enumerate(child):
        if element.tag not in SHAPES and element.get("label") is None:
            continue  # something that is no shape
        try:
            found.append(cvat_shapes.annotation(element, element.get("label"), specs, (width, height), place))
        except InvalidInput as error:
            problems.add(f"{at}: {element.tag:.20}[{n}]", error.what, error.remedy)
    yield Record(
        place, width, height, tuple(found), base.split_of(subset) or base.split_in(place.split("/")[:-1])
    )


def _whole(text: str | None, key: str) -> int | None:
    return None if text is None else foreign.whole(text, key)


class _Film:
    """The frames of a video as <meta> speaks of them: first, last and step, the size, and where they lie."""

    def __init__(self, file: Path) -> None:
        self.folder = file.parent / PLACE
        self.name = ""
        self.first, self.last, self.step = 0, -1, 1
        self.wh: tuple[int | None, int | None] = (None, None)
        self.made = 0
        self.split = base.split_of(file.parent.name)
        self._listed: dict[int, str] | None = None

    @staticmethod
    def of(meta: Element | None, file: Path) -> _Film:
        film = _Film(file)
        if meta is None:
            return film
        source = (meta.findtext("source") or meta.findtext(".//source") or "").strip()
        if source:
            film.name = PurePosixPath(base.clean_path(source)).stem
        film.split = base.split_of(meta.findtext(".//subset") or "") or film.split
        size = meta.find(".//original_size")
        if size is not None:
            film.wh = (
                base.side(_whole(size.findtext("width"), "original_size"), "original_size"),
                base.side(_whole(size.findtext("height"), "original_size"), "original_size"),
            )
        task = meta.find("task") if meta.find("task") is not None else meta.find("job")
        if task is not None:
            first, last, count = (task.findtext(key) for key in ("start_frame", "stop_frame", "size"))
            word = (task.findtext("frame_filter") or "").strip().removeprefix("step=")
            film.first = foreign.whole(first or "0", "start_frame")
            film.step = foreign.whole(word, "frame_filter") if word else 1
            if film.step < 1 or film.first < 0:
                raise InvalidInput(
                    f"frame_filter is {base.short(word)}", where="meta", remedy="step=1 and more"
                )
            film.last = foreign.whole(last, "stop_frame") if last else -1
            if film.last < 0 and count:
                film.last = film.first + film.step * (foreign.whole(count, "size") - 1)
        n = len(range(film.first, film.last + 1, film.step))
        if n > frames.MAX_FRAMES or film.last > frames.MAX_FRAME:
            raise InvalidInput(f"{n} frames", where="meta", remedy=f"at most {frames.MAX_FRAMES}")
        return film

    def place(self, number: int) -> str:
        """The path of a frame's picture."""
        if self._listed is None:
            self._listed = {}
            if self.folder.is_dir():
                for picture in sorted(self.folder.iterdir()):
                    found = frames.number(Record(picture.name, None, None, ()))
                    if found is not None and picture.suffix in _SUFFIXES:
                        self._listed.setdefault(found, picture.name)
        name = self._listed.get(number, f"frame_{number:06d}.png")
        return base.clean_path(f"{self.name}/{name}" if self.name else name)


def _track(
    child: Element, specs: Specs, film: _Film, numbers: set[str], spool: frames.Spool, problems: Problems
) -> None:
    """Put a track's objects into the spool, frame by frame."""
    name = child.get("id") or str(len(numbers))
    scope = f"{child.get('task_id', '')} {child.get('subset', '')}".strip()
    at = f"track {base.short(name)}"
    if f"{scope} {name}" in numbers:
        problems.add(at, "is there twice", "ids differ")
        return
    numbers.add(f"{scope} {name}")
    uid = foreign.uid("cvat", problems.where, scope, name)
    given: dict[int, tuple[Annotation, bool]] = {}
    group = child.get("group_id")
    for n, element in enumerate(child):
        if element.tag not in SHAPES and element.get("frame") is None:
            continue
        try:
            if group:
                element.set("group_id", group)
            frame = foreign.whole(element.get("frame") or "", "frame")
            if not 0 <= frame <= frames.MAX_FRAME:
                raise InvalidInput(f"frame is {frame}", remedy=f"0 to {frames.MAX_FRAME}")
            if frame in given:
                raise InvalidInput(f"frame {frame} is there twice", remedy="one shape a frame")
            found = cvat_shapes.annotation(element, child.get("label"), specs, film.wh, problems.where)
            outside, key = (cvat_shapes.flag(element, word) for word in ("outside", "keyframe"))
            found = marks.with_mark(marks.with_mark(found, "@track", uid), "@key", key)
            given[frame] = found, outside
        except InvalidInput as error:
            problems.add(f"{at}: {element.tag:.20}[{n}]", error.what, error.remedy)
    try:
        film.made += sum(len(range(a + film.step, b, film.step)) for a, b in pairwise(sorted(given)))
        if film.made > frames.MAX_FRAMES:
            raise InvalidInput(
                f"{film.made} frames between key frames", remedy=f"at most {frames.MAX_FRAMES}"
            )
        for frame, a in _shown(given, film.step):
            spool.add(frame, 0, frames.pack(a))
    except InvalidInput as error:
        problems.add(at, error.what, error.remedy)


def _shown(given: Mapping[int, tuple[Annotation, bool]], step: int) -> Iterator[tuple[int, Annotation]]:
    """Every frame on which a track's object is seen: those given and, by the step, those between them."""
    order = sorted(given)
    for at, following in pairwise([*order, -1]):
        a, outside = given[at]
        if outside:
            continue
        after = given.get(following)
        gone = after is not None and after[1]
        between = list(range(at + step, following, step)) if after is not None else []
        if gone and not between:
            a = marks.with_mark(marks.with_mark(a, "@key", True), "@end", True)
        yield at, a
        if not between or after is None:
            continue
        # up to an absence the object stays where it was, and the last of these frames says that it leaves
        made = tracks.fill({0: a, len(between) + 1: None if gone else after[0]}, len(between) + 2)
        for n, frame in enumerate(between, 1):
            b = made[n]
            if gone and n == len(between):
                b = marks.with_mark(marks.with_mark(b, "@key", True), "@end", True)
            yield frame, b


def _frames(film: _Film, spool: frames.Spool, sizes: Sizes | None) -> Iterator[Record]:
    """A record for every frame of the film and every frame with an object."""
    w, h = film.wh
    ahead = iter(range(film.first, film.last + 1, film.step))
    waiting = next(ahead, None)

    def record(number: int, found: tuple[Annotation, ...]) -> Record:
        place = film.place(number)
        size = (w, h) if w is not None and h is not None else (sizes(place) if sizes is not None else None)
        width, height = size or (None, None)
        return Record(place, width, height, found, film.split)

    for key, rows in groupby(spool.all(), key=lambda row: row[0]):
        number = int(key)
        while waiting is not None and waiting <= number:
            if waiting < number:
                yield record(waiting, ())
            waiting = next(ahead, None)
        yield record(number, tuple(frames.unpack(body) for _, _, body in rows))
    while waiting is not None:
        yield record(waiting, ())
        waiting = next(ahead, None)
