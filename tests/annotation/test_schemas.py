"""The shipped schemas: complete in both languages, honest about standards, and told apart by any eye."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from annotation import labels
from annotation.labels import LabelSchema

# What protan, deutan and tritan eyes make of linear sRGB (Machado, Oliveira and Fernandes 2009, full severity).
EYES = {
    "all cones": np.eye(3),
    "no red": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "no green": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "no blue": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
DESK = "#1a1d24"


def linear(color: str) -> np.ndarray:
    c = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    m = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = m @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a: str, b: str) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722])
    high, low = sorted((float(linear(c) @ weights) + 0.05 for c in (a, b)), reverse=True)
    return high / low


@pytest.fixture(params=labels.BUILTIN)
def schema(request: pytest.FixtureRequest) -> LabelSchema:
    return labels.load(request.param)


def test_every_label_has_names_and_a_rule_in_both_languages(schema: LabelSchema) -> None:
    for label in schema.drawable():
        assert re.search(r"[\u4e00-\u9fff]", label.name_zh), label.code
        assert label.name_en.isascii() or label.code == "halo", label.code
        assert re.search(r"[\u4e00-\u9fff]", label.rule_zh), label.code
        assert label.rule_en.rstrip().endswith("."), label.code
        assert not re.search(r"[\u4e00-\u9fff]", label.rule_en.replace("□", "")), label.code
        for attribute in label.attributes:
            assert attribute.name_zh
            assert attribute.name_en


def test_every_label_says_where_it_comes_from_and_claims_no_clause(schema: LabelSchema) -> None:
    for label in schema.labels:
        assert label.source.line("zh"), label.code
        assert label.source.clause == "", "no clause was readable: a base confirms it"
        if label.source.standard:
            assert "待基地核对" in label.source.line("zh")
            assert "to be confirmed" in label.source.line("en")


def test_every_drawable_label_hangs_below_a_group(schema: LabelSchema) -> None:
    tops = {label.code for label in schema.labels if label.parent is None}
    assert all(schema.label(top) is not None and schema.label(top).abstract for top in tops)  # type: ignore[union-attr]


def test_codes_and_names_find_their_own_label(schema: LabelSchema) -> None:
    for label in schema.drawable():
        for name in (label.code, label.name_zh, label.name_en, *label.aliases):
            assert schema.resolve(name) == label.code


def test_ten_digits_are_given_and_their_colours_differ_for_every_eye(schema: LabelSchema) -> None:
    keyed = [label for label in schema.labels if label.key]
    assert sorted(label.key or "" for label in keyed) == list("0123456789")
    for name, eye in EYES.items():
        for a, b in itertools.combinations(keyed, 2):
            apart = float(np.linalg.norm(lab(eye @ linear(a.color)) - lab(eye @ linear(b.color))))
            assert apart >= 20, f"{name}: {a.code} {b.code} {apart:.1f}"


def test_no_two_labels_have_colours_that_look_alike(schema: LabelSchema) -> None:
    for name, eye in EYES.items():
        for a, b in itertools.combinations(schema.drawable(), 2):
            apart = float(np.linalg.norm(lab(eye @ linear(a.color)) - lab(eye @ linear(b.color))))
            assert apart >= 5, f"{name}: {a.code} {b.code} {apart:.1f}"


def test_colours_stand_out_from_the_dark_desk(schema: LabelSchema) -> None:
    for label in schema.drawable():
        assert contrast(label.color, DESK) >= 3, label.code


def test_the_shipped_text_is_the_first_version_and_survives_the_canonical_form(schema: LabelSchema) -> None:
    assert schema.version == 1
    assert labels.loads(labels.dumps(schema), "again") == schema


def test_coal_mine_has_the_three_hazard_kinds_at_the_top_and_the_classes_of_a_mine() -> None:
    coal = labels.load("coal_mine")
    tops = [label for label in coal.labels if label.parent is None]
    assert [top.name_zh for top in tops] == ["人的不安全行为", "物的不安全状态", "管理缺陷", "整幅画面"]
    assert all(top.source.standard == "GB/T 15236-2008" for top in tops[:3])
    expected = {
        "person": "人员", "helmet": "安全帽", "no_helmet": "未戴安全帽的头部", "guard_plate": "护帮板", "large_coal": "大块煤",
        "hydraulic_support": "液压支架", "towline": "拖缆", "gangue": "矸石", "anchor_bolt": "锚杆（异物）", "belt_deviation": "胶带跑偏",
        "belt_tear": "胶带撕裂", "coal_pileup": "堆煤", "shearer": "采煤机", "smoke": "烟雾", "fire": "明火", "roof_fall": "冒顶",
    }  # fmt: skip
    for code, zh in expected.items():
        label = coal.label(code)
        assert label is not None, code
        assert label.name_zh == zh
    person = coal.label("person")
    assert person is not None
    assert {"helmet_worn", "cap_lamp", "self_rescuer", "clothing", "posture"} <= {
        a.code for a in person.attributes
    }


@pytest.mark.parametrize(
    ("name", "code"),
    [("person", "person"), ("People", "person"), ("矿工", "person"), ("hard_hat", "helmet"), ("no_hard_hat", "no_helmet"),
     ("vest", "reflective_vest"), ("big coal", "large_coal"), ("皮带跑偏", "belt_deviation"), ("锚杆", "anchor_bolt")],
)  # fmt: skip
def test_names_of_public_sets_find_the_label_of_the_mine(name: str, code: str) -> None:
    assert labels.load("coal_mine").resolve(name) == code


def test_grotto_nests_cave_wall_niche_figure_and_has_the_seven_groups() -> None:
    grotto = labels.load("grotto")
    chain = []
    label = grotto.label("figure")
    while label is not None:
        chain.append(label.code)
        label = grotto.label(label.parent or "")
    assert chain == ["figure", "niche", "wall", "cave", "structure"]
    groups = [label.name_zh for label in grotto.labels if label.parent == "deterioration"]
    assert groups == [
        "生物病害",
        "机械损伤",
        "表面风化",
        "裂隙与空鼓",
        "污染与变色",
        "彩绘（颜料层）病害",
        "水泥修补",
    ]
    for name in ("crack", "spalling", "efflorescence", "裂隙", "空鼓", "酥碱", "起甲"):
        assert grotto.resolve(name), name


def test_what_may_be_outlined_may_also_be_painted_and_drawn_by_corners_or_round(schema: LabelSchema) -> None:
    for label in schema.drawable():
        if "polygon" in label.kinds:
            assert {"mask", "quad", "ellipse"} <= label.kinds, label.code
        if {"polygon", "box"} <= label.kinds:
            assert "rotated_box" in label.kinds, label.code


def test_tags_and_captions_of_the_whole_picture_can_be_given(schema: LabelSchema) -> None:
    assert [la.code for la in schema.drawable() if la.kinds == {"tag"}] == ["scene"]
    assert [la.code for la in schema.drawable() if la.kinds == {"caption"}] == ["scene_description"]
    assert [la.code for la in schema.labels[-2:]] == ["scene", "scene_description"], "class ids only grow"


def test_a_skeleton_is_complete_and_its_sides_change_places(schema: LabelSchema) -> None:
    found = [label for label in schema.drawable() if "keypoints" in label.kinds]
    assert [label.code for label in found] == ["person" if schema.code == "coal_mine" else "figure"]
    skeleton = found[0].skeleton
    assert skeleton is not None
    assert all(re.search(r"[\u4e00-\u9fff]", zh) and en.isascii() for _, zh, en in skeleton.points)
    joined = {place for edge in skeleton.edges for place in edge}
    assert joined == set(range(len(skeleton.points))), "every point hangs on a line"
    codes = [code for code, _, _ in skeleton.points]
    sides = [code for code in codes if code.startswith("left_")]
    assert [(codes[a], codes[b]) for a, b in skeleton.swaps] == [(c, f"right_{c[5:]}") for c in sides]
    assert skeleton.name(2, "zh_CN") != skeleton.name(2, "en")


def test_a_persons_skeleton_has_the_seventeen_points_of_coco_in_its_order() -> None:
    person = labels.load("coal_mine").label("person")
    assert person is not None
    assert person.skeleton is not None
    assert [code for code, _, _ in person.skeleton.points] == [
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
        "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ]  # fmt: skip
    assert len(person.skeleton.edges) == 19
