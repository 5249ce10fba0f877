"""Checks: each rule finds its fault, names it in both languages, and is silent on sound work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import checks, geometry, labels, raster
from annotation.core import (
    Annotation,
    Box,
    Caption,
    Ellipse,
    Keypoints,
    Mask,
    Polygon,
    Polyline,
    Quad,
    RotatedBox,
    Shape,
    Tag,
)
from tests.annotation.strategies import annotations, patient

SCHEMA = labels.load("coal_mine")
SOUND = {"helmet_worn": "proper"}


def person(shape: Shape, uid: int = 1, **kw: object) -> Annotation:
    return Annotation("person", shape, **({"attributes": SOUND} | kw), uid=f"{uid:032x}")  # type: ignore[arg-type]


def found(*annotations: Annotation) -> list[tuple[str, str]]:
    return [(i.code, i.severity) for i in checks.check(annotations, SCHEMA, (640, 480))]


def test_sound_work_has_no_issue() -> None:
    assert (
        found(person(Box(10, 10, 50, 90)), person(Box(100, 10, 150, 90), 2), Annotation("smoke", Tag())) == []
    )


@pytest.mark.parametrize(
    ("annotation", "issue"),
    [
        (person(Box(5, 5, 7, 90)), ("tiny", "warning")),
        (person(Mask(4, 4, (16,))), ("tiny", "warning")),
        (person(Box(700, 5, 800, 90)), ("outside", "info")),
        (person(Box(600, 5, 800, 90)), ("outside", "info")),
        (person(Quad((5, 5, 6, 5, 6, 50, 5, 50))), ("tiny", "warning")),
        (person(RotatedBox(50, 50, 200, 2, 45)), ("tiny", "warning")),
        (person(Ellipse(50, 50, 1, 20)), ("tiny", "warning")),
        (person(Quad((5, 5, 50, 50, 50, 5, 5, 50))), ("crossing", "warning")),
        (person(Keypoints((9.0, 9.0) * 16, (2,) * 16)), ("skeleton", "error")),
        (person(Keypoints((9.0, 9.0) * 18, (2,) * 18)), ("skeleton", "error")),
        (person(Keypoints((9.0, 9.0) * 17, (0,) * 17)), ("skeleton", "warning")),
        (Annotation("scene_description", Caption(" …")), ("blank", "error")),
        (Annotation("ufo", Box(5, 5, 50, 50)), ("stranger", "error")),
        (Annotation("personnel", Box(5, 5, 50, 50)), ("stranger", "error")),
        (person(Polyline((5, 5, 50, 50))), ("kind", "error")),
        (person(Box(5, 5, 50, 50), attributes={}), ("required", "error")),
        (person(Box(5, 5, 50, 50), attributes={"helmet_worn": "perhaps"}), ("value", "error")),
        (person(Box(5, 5, 50, 50), attributes=SOUND | {"unsure": "yes"}), ("value", "error")),
        (person(Polygon((((0, 0, 50, 50, 50, 0, 0, 50),),))), ("crossing", "warning")),
    ],
    ids=lambda v: v[0] if isinstance(v, tuple) else "",
)
def test_a_broken_rule_is_an_issue(annotation: Annotation, issue: tuple[str, str]) -> None:
    assert found(annotation) == [issue]


def test_a_box_cut_by_the_border_and_a_thin_line_are_sound() -> None:
    assert found(person(Box(-9, 10, 60, 90)), Annotation("belt_tear", Polyline((0, 0, 0, 99)))) == []


def test_two_of_one_label_in_one_place_are_a_duplicate_named_once() -> None:
    twice = found(person(Box(10, 10, 110, 110)), person(Box(12, 10, 112, 110), 2))
    assert twice == [("duplicate", "warning")]
    assert found(person(Box(10, 10, 110, 110)), person(Box(20, 10, 120, 110), 2)) == []
    assert found(person(Box(10, 10, 110, 110)), Annotation("helmet", Box(10, 10, 110, 110))) == []


@pytest.mark.parametrize(
    "shape",
    [
        RotatedBox(100, 100, 80, 10, 45), Quad((10, 10, 90, 12, 88, 60, 8, 58)), Ellipse(100, 100, 30, 60, 20),
        Polygon((((10, 10, 90, 12, 50, 60),),)), raster.to_mask(Box(10, 10, 60, 60), width=99, height=99),
        Keypoints(tuple(float(n * n % 101) for n in range(34)), (2,) * 17),
    ],
    ids=lambda s: type(s).__name__,
)  # fmt: skip
def test_every_kind_that_covers_a_place_twice_is_a_duplicate(shape: Shape) -> None:
    assert found(person(shape), person(shape, 2)) == [("duplicate", "warning")]


def test_areas_that_only_share_a_box_are_no_duplicates() -> None:
    assert found(person(RotatedBox(100, 100, 80, 10, 45)), person(RotatedBox(100, 100, 80, 10, 135), 2)) == []
    one, other = Polygon((((0, 0, 99, 0, 0, 99),),)), Polygon((((99, 99, 99, 0, 0, 99),),))
    assert found(person(one), person(other, 2)) == []
    masks = [raster.to_mask(shape, width=99, height=99) for shape in (one, other)]
    assert found(person(masks[0]), person(masks[1], 2)) == []


def test_the_same_tag_twice_is_a_duplicate() -> None:
    twice = [Annotation("smoke", Tag(), uid=f"{n:032x}") for n in (1, 2)]
    assert found(*twice) == [("duplicate", "warning")]


def test_an_issue_leads_to_its_place() -> None:
    (box,) = checks.check((person(Box(10, 10, 50, 90), attributes={}),), SCHEMA, None)
    assert box.place == (30, 50)
    (bow,) = checks.check((person(Polygon((((0, 0, 50, 50, 50, 0, 0, 50),),))),), SCHEMA, None)
    assert bow.place == (25, 25)
    (tag,) = checks.check((Annotation("ufo", Tag()),), SCHEMA, None)
    assert tag.place is None


def test_thousands_in_one_place_are_checked_in_little_memory() -> None:
    import tracemalloc

    many = tuple(person(Box(10, 10, 60, 60), n) for n in range(3000))
    tracemalloc.start()
    try:
        issues = list(checks.duplicate(checks.Page(many, SCHEMA, None)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(issues) == 2999
    assert peak < 150e6


def test_duplicates_are_found_across_the_blocks_of_the_table() -> None:
    many = [person(Box(n * 20, 0, n * 20 + 10, 10), n) for n in range(1, 1200)]
    many.append(person(Box(20, 0, 30, 10), 5000))
    issues = checks.check(tuple(many), SCHEMA, None)
    assert [(i.code, i.uid) for i in issues] == [("duplicate", f"{5000:032x}")]


@patient
@given(
    st.lists(
        st.builds(
            lambda x, y, w, h: Box(x, y, x + w, y + h), *[st.integers(0, 12)] * 2, *[st.integers(1, 40)] * 2
        ),
        max_size=25,
    )
)
def test_duplicates_are_those_of_the_whole_table_of_overlaps(boxes: list[Box]) -> None:
    table = geometry.iou(geometry.boxes_array(boxes), geometry.boxes_array(boxes))
    n = len(boxes)
    want = [j for j in range(n) if any(table[i, j] >= checks.DUPLICATE_IOU - 1e-12 for i in range(j))]
    issues = checks.duplicate(checks.Page(tuple(person(box, n) for n, box in enumerate(boxes)), SCHEMA, None))
    assert sorted(int(i.uid, 16) for i in issues) == want


def test_a_prediction_need_not_have_what_a_person_must_say() -> None:
    assert found(person(Box(5, 5, 50, 50), attributes={}, origin="model", score=0.5)) == []


def test_a_retired_label_points_to_its_successor() -> None:
    retired = tuple(
        replace(la, retired_to="helmet") if la.code == "no_helmet" else la for la in SCHEMA.labels
    )
    schema = replace(SCHEMA, labels=retired)
    (issue,) = checks.check((Annotation("no_helmet", Box(0, 0, 9, 9)),), schema, None)
    assert issue.severity == "warning"
    assert "安全帽" in issue.message("zh_CN")
    assert "safety helmet" in issue.message("en")


def test_messages_are_in_both_languages_and_name_the_label() -> None:
    (issue,) = checks.check((person(Box(5, 5, 50, 50), attributes={}),), SCHEMA, None)
    assert issue.message("zh_CN") == "人员 缺少必填属性 安全帽佩戴"
    assert issue.message("en") == "person lacks the required attribute Helmet"


codes = st.sampled_from(
    ["person", "helmet", "large_coal", "towline", "ufo", "personnel", "scene", "scene_description"]
)


@patient
@given(st.lists(annotations(codes), max_size=8), st.none() | st.just((1920, 1080)))
def test_any_set_is_checked_and_every_issue_names_one_of_its_objects(
    work: list[Annotation], wh: tuple[int, int] | None
) -> None:
    for issue in checks.check(tuple(work), SCHEMA, wh):
        assert issue.uid in {a.uid for a in work}
        assert issue.message_zh
        assert issue.message_en
