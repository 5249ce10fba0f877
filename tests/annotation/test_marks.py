"""Marks: the program's own attributes are told apart, refused when senseless, and never lost with a label."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import checks, edits, labels, marks
from annotation.core import Annotation, Box
from annotation.errors import InvalidInput
from tests.annotation.strategies import patient, uids

SCHEMA = labels.load("coal_mine")
UID = "ab" * 16
names = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters=">"),
    min_size=1,
    max_size=20,
)


def one(**attributes: str | int | bool) -> Annotation:
    return Annotation("person", Box(0, 0, 90, 90), {"helmet_worn": "proper", **attributes}, uid="1" * 32)


def test_a_mark_is_set_read_and_taken_away() -> None:
    for code, value, read in (
        ("@group", UID, marks.group), ("@track", UID, marks.track), ("@key", True, marks.is_key),
        ("@end", True, marks.is_end), ("@order", -3, marks.order),
    ):  # fmt: skip
        a = marks.with_mark(one(), code, value)
        assert read(a) == value
        assert marks.kept(a.attributes) == {code: value}
        assert marks.plain(a.attributes) == {"helmet_worn": "proper"}
        assert marks.with_mark(a, code, None) == one()
    assert (marks.group(one()), marks.track(one()), marks.is_key(one()), marks.order(one())) == (
        None,
        None,
        False,
        0,
    )


def test_what_says_nothing_is_not_written() -> None:
    for code, value in (("@key", False), ("@end", False), ("@order", 0), ("@links", "")):
        assert code not in marks.with_mark(one(), code, value).attributes


@pytest.mark.parametrize(
    ("code", "value"),
    [("@group", "x"), ("@group", 3), ("@track", True), ("@key", 1), ("@order", "1"), ("@order", True), ("@order", 2**53), ("@colour", 1), ("unsure", True)],
)  # fmt: skip
def test_a_mark_that_means_nothing_is_refused(code: str, value: str | int | bool) -> None:
    with pytest.raises(InvalidInput):
        marks.with_mark(one(), code, value)


def test_damaged_marks_read_as_none() -> None:
    damaged = one(**{"@group": 3, "@order": "top", "@key": 1, "@links": "a b>c >d x>" + UID})
    assert marks.group(damaged) is None
    assert marks.order(damaged) == 0
    assert not marks.is_key(damaged)
    assert marks.links(damaged) == (("x", UID),)


@patient
@given(st.lists(st.tuples(names, uids), max_size=marks.MAX_LINKS, unique_by=lambda x: x[1]))
def test_links_come_back_as_they_were_given(found: list[tuple[str, str]]) -> None:
    a = marks.with_links(one(), found)
    assert [uid for _, uid in marks.links(a)] == [uid for _, uid in found]
    assert marks.with_links(a, marks.links(a)) == a


def test_too_many_links_or_a_name_with_spaces_are_refused() -> None:
    many = [("on", f"{i:032x}") for i in range(marks.MAX_LINKS + 1)]
    for bad in (many, [("sits on", UID)], [("", UID)], [("a>b", UID)], [("x" * 41, UID)], [("on", "short")]):
        with pytest.raises(InvalidInput):
            marks.with_links(one(), bad)


def test_marks_outlive_a_change_of_label_and_no_rule_looks_at_them() -> None:
    a = marks.with_links(marks.with_mark(one(), "@group", UID), [("戴着", UID)])
    (b,) = edits.relabel((a,), [a.uid], "helmet", schema=SCHEMA)
    assert marks.kept(b.attributes) == marks.kept(a.attributes)
    assert checks.check((a,), SCHEMA, None) == []
