"""Recipes: what a person writes is read as meant, and what makes no sense is refused with its name."""

from __future__ import annotations

import json

import pytest

from annotation.errors import InvalidInput
from models import recipe
from models.recipe import Recipe, Region, Tiling

TEXT = """
score = 0.3
iou = 0.5
others = "drop"
track = true
[scores]
person = 0.55
[map]
person = "worker"
car = ""
[tile]
side = 960
overlap = 0.25
whole = false
[[region]]
path = "cam3/*"
polygons = [[[0.1, 0.2], [0.9, 0.2], [0.5, 1]]]
"""


def test_toml_is_read_as_the_docstring_says() -> None:
    assert recipe.from_toml(TEXT) == Recipe(
        300_000,
        500_000,
        (("person", 550_000),),
        (("person", "worker"), ("car", "")),
        "drop",
        Tiling(960, 250_000, False),
        (Region("cam3/*", ((100_000, 200_000, 900_000, 200_000, 500_000, 1_000_000),)),),
        track=True,
    )


def test_a_recipe_survives_its_json() -> None:
    one = recipe.from_toml(TEXT)
    assert recipe.from_plain(json.loads(one.to_json())) == one
    assert recipe.from_toml("") == recipe.PLAIN == recipe.from_plain({})


def test_a_class_is_mapped_dropped_or_kept() -> None:
    one = recipe.from_toml(TEXT)
    assert [one.target(name) for name in ("person", "car", "dog")] == ["worker", "", ""]
    assert Recipe(mapping=(("person", "worker"),)).target("dog") == "dog"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("score = 1.5", "not between 0 and 1"),
        ("score = true", "no share"),
        ("score = 'x'", "no share"),
        ("colour = 1", "no key 'colour'"),
        ("others = 'maybe'", "others"),
        ("[tile]\nside = 5", "64 to 16384"),
        ("[tile]\nsides = 5", "sides"),
        ("[tile]\noverlap = 0.95", "overlap by 0 to 0.8"),
        ("[[region]]\npolygons = [[[0, 0], [1, 1]]]", "three points"),
        ("[[region]]\npolygons = [[1, 2, 3]]", "points"),
        ("[[region]]\nplace = 1", "path, keep and polygons"),
        ("[map]\na = 3", "recipe"),
        ("map = 3", "not a table"),
        ("score = ", "not TOML"),
        ("#" * 2_000_000, "more than 1 MB"),
    ],
)
def test_nonsense_is_refused_by_name(text: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        recipe.from_toml(text)


def test_classes_the_model_lacks_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no class dog"):
        recipe.checked(Recipe(class_scores=(("dog", 1),)), labels=("cat",))
