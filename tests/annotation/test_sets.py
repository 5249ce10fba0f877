"""Sets as wholes: laying changes over one and telling two apart agree, whatever the size and order of the change."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from annotation import sets
from annotation.core import Annotation, AnnotationSet, Box


def a_set(n: int) -> AnnotationSet:
    return tuple(Annotation("a", Box(i, i, i + 9, i + 9), uid=f"{i:032x}") for i in range(0, 2 * n, 2))


@pytest.mark.parametrize(("n", "k"), [(0, 3), (10, 3), (1000, 5), (1000, 700)])
def test_what_differs_laid_over_the_old_set_is_the_new_one(n: int, k: int) -> None:
    dice = random.Random(n + k)
    old = a_set(n)
    found = {a.uid: a for a in old}
    for _ in range(k):
        uid = f"{dice.randrange(2 * n + 8):032x}"
        if uid in found and dice.random() < 0.4:
            del found[uid]
        elif uid in found:
            found[uid] = replace(found[uid], label=dice.choice("abc"))
        else:
            found[uid] = Annotation("b", Box(0, 0, 1, 1), uid=uid)
    new = tuple(sorted(found.values(), key=lambda a: a.uid))
    changed, gone = sets.difference(old, new)
    assert sets.laid_over(old, changed, gone) == new
    kept = {id(a) for a in old}
    assert sum(id(a) in kept for a in sets.laid_over(old, changed, gone)) >= n - k


def test_equal_annotations_that_are_other_objects_are_no_change() -> None:
    old = a_set(50)
    again = tuple(replace(a) for a in old)
    assert sets.difference(old, again) == ([], [])
    assert sets.difference(old, tuple(reversed(again))) == ([], [])


def test_an_annotation_is_found_by_its_uid_and_none_beside_it() -> None:
    old = a_set(100)
    for a in (old[0], old[57], old[-1]):
        assert sets.find(old, a.uid) is a
    assert sets.find(old, f"{3:032x}") is None
    assert sets.find((), old[0].uid) is None
