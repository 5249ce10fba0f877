"""Label Studio's tasks as JSON, both ways: exports (JSON and JSON_MIN), and tasks with annotations and predictions.

Facts from https://labelstud.io/guide/export and https://labelstud.io/tags: everything is in percent of the picture; a
rectangle turns clockwise about its own top left corner, an ellipse about its centre. The labelling interface is read where
it lies beside the tasks (`label_config.xml`) and says which value is the picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from annotation import canonical
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, foreign, jsonlite, labelstudio_config
from annotation.formats.base import Problems, Record, Sizes
from annotation.formats.labelstudio_config import Config
from annotation.formats.labelstudio_results import Page, Reader
from annotation.formats.labelstudio_write import DIALECTS, PLACE, losses, place, write

__all__ = ["DIALECTS", "PLACE", "losses", "place", "read", "sniff", "write"]

MAX_LOOK = 50
_TASK = re.compile(rb'"data"\s*:\s*\{')
_OF_TASK = re.compile(rb'"(?:annotations|predictions|completions|total_annotations)"\s*:')
_MIN = re.compile(rb'"(?:annotation_id|annotator)"\s*:')
_RESERVED = frozenset(
    (
        "id",
        "annotator",
        "annotation_id",
        "created_at",
        "updated_at",
        "lead_time",
        "agreement",
        "task",
        "project",
    )
)


def sniff(path: Path) -> str:
    """Why the path is a file of Label Studio's tasks, or a folder that holds one; "" when it is not."""
    if path.is_dir():
        files = sorted(path.glob("*.json"))[:MAX_LOOK]
        for file in files:
            if why := _marks(file):
                return f"{file.name} is {why}"
        lists = [file for file in files if base.head(file, 64).lstrip()[:1] == b"["]
        for config in sorted(path.glob("*.xml"))[:MAX_LOOK] if lists else ():
            if labelstudio_config.root(config):
                return f"{config.name} is Label Studio's labelling interface"
        return ""
    why = _marks(path) if path.suffix.lower() == ".json" else ""
    return f"it is {why}" if why else ""


def _marks(file: Path) -> str:
    head = base.head(file)
    first = head.lstrip()[:1]
    if first not in (b"[", b"{"):
        return ""
    if _TASK.search(head) and (first == b"[" or _OF_TASK.search(head)):
        return "a list of Label Studio's tasks, each with its data"
    if first == b"[" and _MIN.search(head):
        return "Label Studio's JSON_MIN: objects with annotation_id and annotator"
    return ""


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """One record a picture of a task, in the file's order.

    Predictions come as predictions (origin "model"). Where a task has several people's annotations all are kept, with
    an attribute `annotator`; cancelled ones and drafts are passed over. Choices and text of the whole picture become
    labels and captions, those of a region its attributes; relations links. Key points of a region become its skeleton when
    the interface says in which order, else points linked to it.
    With `problems` faulty results are left out and listed there; without, nothing is yielded of a faulty file.

    Raises:
        InvalidFile: every fault, by task and result. InvalidInput: no file, no JSON.
    """
    files = [path]
    if path.is_dir():
        files = [file for file in sorted(path.glob("*.json")) if _marks(file)]
        if not files and not sniff(path):
            raise InvalidInput("no tasks in the folder", where=str(path), remedy="give the JSON file itself")
    for file in files:
        yield from base.checked(partial(foreign.sound, partial(_mapped, file, sizes)), file.name, problems)


def _mapped(file: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    with jsonlite.mapped(file) as data:
        yield from _parse(data, file, sizes, problems)


def _parse(data: jsonlite.Data, file: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    config = labelstudio_config.beside(file)
    first = jsonlite.begin(data)
    tasks = iter([data[first:]]) if data[first : first + 1] == b"{" else jsonlite.array(data, file.name)
    seen: set[bytes] = set()
    ids: set[bytes] = set()
    for n, body in enumerate(tasks):
        at = f"[{n}]"
        try:
            task = base.parse_json(body, at, dict[str, Any])
            if task.get("id") is not None:
                at = f"[{n}] task {base.short(task['id'])}"
                mark = canonical.digest(repr((task["id"], task.get("annotation_id"))).encode())[:8]
                if mark in ids:
                    raise InvalidInput("its id is there twice", remedy="ids differ")
                ids.add(mark)
            pages = _pages(task, config, at, problems)
        except InvalidInput as error:
            problems.add(at, error.what, error.remedy)
            continue
        for page in pages.values():
            mark = canonical.digest(page.place.encode())[:8]
            if mark in seen:
                problems.add(at, f"the picture {base.short(page.place)} is there twice", "one task a picture")
                continue
            seen.add(mark)
            yield page.record(sizes, partial(problems.add))


def _pages(task: dict[str, Any], config: Config, at: str, problems: Problems) -> dict[str, Page]:
    """The pictures of a task with what is said of each."""
    if "data" not in task:
        return _minimal(task, config, at)
    if not isinstance(task["data"], dict):
        raise InvalidInput(f"data is {base.short(task['data'])}", remedy="an object that names the picture")
    reader = Reader(task["data"], config, at)
    for key in ("annotations", "completions", "predictions"):
        rows = task.get(key) or []
        if not isinstance(rows, list):
            raise InvalidInput(f"{key} are {base.short(rows)}", remedy="a list")
        # an export names the predictions only by their numbers
        rows = [row for row in rows if not (key == "predictions" and isinstance(row, int))]
        live = [row for row in rows if not (isinstance(row, dict) and row.get("was_cancelled") is True)]
        for i, row in enumerate(rows):
            if row not in live:
                continue
            inner = f"{at}: {key}[{i}]"
            if not isinstance(row, dict) or not isinstance(row.get("result", []), list):
                problems.add(inner, f"result is {base.short(row)}", "a list of results")
                continue
            who = _person(row.get("completed_by")) if len(live) > 1 and key != "predictions" else None
            reader.add(
                row.get("result", []),
                inner,
                problems,
                predicted=key == "predictions",
                by=who,
                score=row.get("score"),
            )
    return reader.pages()


def _person(value: object) -> str | int | None:
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _minimal(task: dict[str, Any], config: Config, at: str) -> dict[str, Page]:
    """A task of JSON_MIN: values of data and results by the names of their controls, side by side."""
    results: list[dict[str, Any]] = []
    data: dict[str, Any] = {}
    for key, value in task.items():
        if key in _RESERVED:
            continue
        known = config.controls.get(key)
        found = _results(key, value, known[0] if known else "")
        if found is None:
            data[key] = value
        else:
            results += found
    if not data:
        raise InvalidInput("there is no data", remedy="a task names its picture: image")
    reader = Reader(data, config, at)
    found_problems = Problems(at)
    reader.add(results, at, found_problems, predicted=False, by=None, score=None)
    found_problems.finish()
    return reader.pages()


def _results(key: str, value: object, tag: str) -> list[dict[str, Any]] | None:
    """What a value of JSON_MIN was before: regions, choices or texts; None for data."""
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        return [{"type": "choices", "from_name": key, "value": value}]
    if isinstance(value, str) and (tag == "Choices" or (not tag and key == "choice")):
        return [{"type": "choices", "from_name": key, "value": {"choices": [value]}}]
    if isinstance(value, str | list) and tag == "TextArea":
        texts = [value] if isinstance(value, str) else value
        return [{"type": "textarea", "from_name": key, "value": {"text": texts}}]
    if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
        return None
    if not all(any(str(k).endswith("labels") or k == "original_width" for k in v) for v in value):
        return None
    rows = []
    for v in value:
        kind = next((k for k in v if k.endswith("labels")), "")
        size: Mapping[str, Any] = {
            k: v.get(k) for k in ("original_width", "original_height", "image_rotation")
        }
        rows.append({"type": kind or _kind(v), "from_name": key, "value": v, **size})
    return rows


def _kind(value: Mapping[str, Any]) -> str:
    """The kind of a region without a label, by what it holds."""
    for key, kind in (
        ("points", "polygon"),
        ("rle", "brush"),
        ("radiusX", "ellipse"),
        ("height", "rectangle"),
    ):
        if key in value:
            return kind
    return "keypoint"
