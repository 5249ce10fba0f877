"""The values: frozen, hashable, kinds named for every shape, uids that sort by time."""

from __future__ import annotations

import dataclasses
import re
from typing import get_args

import pytest

from annotation.core import KIND_OF, Annotation, Box, Kind, Shape, Tag, new_uid


def test_every_shape_has_a_kind_of_its_own() -> None:
    assert set(KIND_OF) == set(get_args(Shape))
    assert sorted(KIND_OF.values()) == sorted(get_args(Kind))


def test_a_uid_is_a_uuid_of_version_7_and_variant_2() -> None:
    for _ in range(200):
        assert re.fullmatch(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", new_uid())


def test_uids_of_different_milliseconds_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1_700_000_000_000_000_000, 1_700_000_001_000_000_000, 1_000_000))
    monkeypatch.setattr("annotation.core.time.time_ns", lambda: next(ticks))
    made = [new_uid() for _ in range(500)]
    assert made == sorted(made)
    assert len(set(made)) == 500


def test_values_cannot_be_changed_in_place() -> None:
    a = Annotation("person", Box(0, 0, 1, 1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.label = "helmet"  # type: ignore[misc]
    with pytest.raises(TypeError):
        a.attributes["x"] = 1  # type: ignore[index]


def test_a_new_annotation_is_a_persons_without_score_and_with_a_uid_of_its_own() -> None:
    a, b = Annotation("smoke", Tag()), Annotation("smoke", Tag())
    assert (a.origin, a.score, a.kind) == ("human", None, "tag")
    assert a.uid != b.uid
