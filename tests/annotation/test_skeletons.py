"""A whole skeleton is laid into a box so that a hand has little left to do."""

from __future__ import annotations

from annotation import labels, skeletons
from annotation.core import Box
from annotation.schema import Skeleton


def test_every_point_of_a_template_lies_inside_the_box_and_is_seen() -> None:
    template = Skeleton(tuple((f"p{i}", f"点{i}", f"point {i}") for i in range(7)))
    found = skeletons.in_box(template, Box(10, 20, 110, 220))
    xs, ys = found.points[::2], found.points[1::2]
    assert len(xs) == 7 and set(found.visibility) == {2}
    assert min(xs) >= 10 and max(xs) <= 110 and min(ys) >= 20 and max(ys) <= 220
    assert len(set(zip(xs, ys, strict=True))) == 7


def test_a_person_stands_upright_with_the_own_left_on_the_right() -> None:
    person = labels.load("coal_mine").label("person")
    assert person is not None and person.skeleton is not None
    found = skeletons.in_box(person.skeleton, Box(0, 0, 100, 200))
    at = {code: found.points[2 * i : 2 * i + 2] for i, (code, _, _) in enumerate(person.skeleton.points)}
    assert (
        at["nose"][1] < at["left_shoulder"][1] < at["left_hip"][1] < at["left_knee"][1] < at["left_ankle"][1]
    )
    assert at["left_shoulder"][0] > at["right_shoulder"][0]
