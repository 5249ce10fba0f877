"""The native format against hostile lines; losslessness itself is in test_formats."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from annotation import labels, rows
from annotation.core import Annotation, Box, Polygon
from annotation.errors import InvalidFile, InvalidInput, LamproomError, NotFound
from annotation.formats import Record, native
from tests.annotation.strategies import patient

SCHEMA = labels.load("coal_mine")
HEAD = {"format": "lamproom", "name": "t", "schema": "coal_mine", "schema_version": 1, "version": 1}
ROW: dict[str, Any] = {
    "uid": "0" * 32,
    "label": "person",
    "kind": "box",
    "origin": "human",
    "bbox": [0, 0, 9000, 9000],
}
LINE: dict[str, Any] = {"path": "a.jpg", "width": 10, "height": 10, "annotations": [ROW]}


def put(tmp_path: Path, *lines: object) -> Path:
    file = tmp_path / native.FILE
    file.write_bytes(
        b"".join(
            (x if isinstance(x, bytes) else json.dumps(x, separators=(",", ":")).encode()) + b"\n"
            for x in lines
        )
    )
    return file


def test_every_line_is_rfc8785_and_every_number_an_integer(tmp_path: Path) -> None:
    ring = (0.5, 0.25, 9.0, 0.0, 9.0, 9.0)
    found = (
        Annotation("person", Box(0, 0, 1.5, 2)),
        Annotation("large_coal", Polygon(((ring,),)), {"unsure": True}, 0.123456789, "model"),
    )
    native.write([Record("窟/a.jpg", 10, 10, found)], tmp_path, schema=SCHEMA, name="t")
    for line in (tmp_path / native.FILE).read_bytes().splitlines():
        value = json.loads(line, parse_float=lambda text: pytest.fail(f"a float: {text}"))
        assert rfc8785.dumps(value) == line


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"uid": "x"}, "uid"), ({"uid": 3}, "uid"), ({"label": ""}, "label"), ({"label": None}, "label"), ({"origin": "god"}, "origin"),
        ({"kind": "orb"}, "geometry"), ({"kind": "orb", "points": []}, "unknown kind"), ({"kind": 1}, "kind"), ({"bbox": None}, "coordinates"),
        ({"bbox": [0, 0, 1]}, "bbox"), ({"bbox": [0, 0, 1, 1.5]}, "bbox"), ({"bbox": [9, 0, 1, 1]}, "swapped"), ({"bbox": [0, 0, 2**60, 1]}, "2**53"),
        ({"kind": "polygon", "points": [[[0, 0, 1]]]}, "numbers"), ({"kind": "polygon", "points": {"a": 1}}, "read"), ({"kind": "mask", "points": [2, 2, [9]]}, "cover"),
        ({"score": 0.5}, "score"), ({"score": 2_000_000}, "score"), ({"attributes": {"A": 1}}, "key"), ({"attributes": {"a": 1.5}}, "float"), ({"attributes": {"a": []}}, "flat"),
        ({"attributes": [1]}, "flat"),
    ],
    ids=str,
)  # fmt: skip
def test_a_faulty_annotation_is_named_by_its_line(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    file = put(tmp_path, HEAD, LINE | {"annotations": [ROW | row]})
    with pytest.raises(InvalidFile) as caught:
        list(native.read(file))
    (problem,) = caught.value.problems
    assert problem.where == f"{native.FILE}: line 2"
    assert says in problem.line, problem.line


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([{"a": 1}], "not a file of"), ([HEAD | {"version": 2}], "version 2"), ([HEAD, b"{"], "JSON"), ([HEAD, [1]], "expected form"), ([HEAD, LINE | {"path": "../x"}], "leaves"),
        ([HEAD, LINE | {"width": -1}], "width"), ([HEAD, LINE | {"split": "dev"}], "split"), ([HEAD, LINE | {"annotations": {}}], "a list"), ([HEAD, LINE | {"annotations": [3]}], "an object"),
        ([HEAD, LINE, LINE | {"annotations": []}], "picture a.jpg is there twice"), ([HEAD, LINE, LINE | {"path": "b.jpg"}], "uid"),
    ],
)  # fmt: skip
def test_a_faulty_line_is_named(tmp_path: Path, lines: list[object], says: str) -> None:
    with pytest.raises(InvalidFile, match="line") as caught:
        list(native.read(put(tmp_path, *lines)))
    assert says in caught.value.line


def test_with_a_list_for_problems_the_sound_lines_are_read(tmp_path: Path) -> None:
    problems: list[LamproomError] = []
    records = list(native.read(put(tmp_path, HEAD, b"{", LINE), problems=problems))
    assert [r.path for r in records] == ["a.jpg"]
    assert len(problems) == 1


def test_a_line_without_end_is_refused_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "MAX_LINE", 1000)
    with pytest.raises(InvalidFile, match="too long"):
        list(native.read(put(tmp_path, HEAD, b"[" * 5000, LINE)))


def test_a_missing_file_or_schema_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        list(native.read(tmp_path))
    with pytest.raises(NotFound):
        native.schema(tmp_path)


junk = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=4)
)


@patient
@given(
    st.sampled_from([*sorted(ROW), "points", "score", "attributes"]),
    junk,
    st.sampled_from(sorted(LINE)),
    junk,
    st.booleans(),
)
def test_any_damage_is_a_named_problem_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object, other: str, more: object, both: bool
) -> None:
    line = copy.deepcopy(LINE)
    line["annotations"][0][key] = value
    if both:
        line[other] = more
    file = put(tmp_path_factory.getbasetemp(), HEAD, line)
    try:
        records = list(native.read(file))
    except InvalidFile as error:
        assert error.problems[0].where.endswith("line 2")
        return
    for a in records[0].annotations:
        rows.to_row(a.shape)
