"""What a model's classes are called in a label schema: proposals by code, name, alias or a known synonym, in Chinese too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from annotation.schema import LabelSchema, fold

SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("person", "people", "personnel", "human", "man", "worker", "miner", "pedestrian", "staff", "operator", "人", "人员", "工人", "矿工", "行人", "作业人员", "井下人员"),
    ("helmet", "hardhat", "safety helmet", "head with helmet", "with helmet", "hat", "安全帽", "头盔", "矿帽", "戴安全帽", "已戴安全帽"),
    ("no helmet", "no hardhat", "without helmet", "bare head", "head", "未戴安全帽", "未佩戴安全帽", "没戴安全帽", "无安全帽"),
    ("large coal", "big coal", "coal lump", "lump", "bulk", "大块煤", "大煤块", "煤块", "大块"),
    ("gangue", "rock", "stone", "矸石", "石块", "石头"),
    ("anchor bolt", "bolt", "anchor", "rod", "锚杆", "铁锚杆", "锚索"),
    ("foreign object", "foreign body", "foreign matter", "异物", "皮带异物"),
    ("belt", "conveyor", "conveyor belt", "皮带", "胶带", "输送带", "皮带机"),
    ("guard plate", "guard", "side guard", "护帮板", "护帮", "护板"),
    ("hydraulic support", "support", "shield", "液压支架", "支架"),
    ("vehicle", "车", "车辆"),
    ("mine car", "tub", "mine tub", "矿车", "煤车"),
    ("smoke", "烟", "烟雾"),
    ("fire", "flame", "火", "火焰", "明火"),
    ("crack", "fissure", "裂隙", "裂缝", "裂纹"),
    ("flaking", "spalling", "peeling", "片状剥落", "剥落", "起甲"),
    ("salt", "salt efflorescence", "efflorescence", "盐析", "泛碱", "酥碱"),
    ("biological growth", "moss", "lichen", "algae", "plant", "生物病害", "苔藓", "植物"),
    ("hollow", "hollowing", "detachment", "空鼓"),
    ("face", "人脸", "脸"),
)  # fmt: skip
"""Words for one thing; what a schema does not have is passed over."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A class of the model and the label it means. how: "name" (the schema knows the word), "synonym", or "" with code None."""

    name: str
    code: str | None
    how: Literal["name", "synonym", ""] = ""


def propose(names: Iterable[str], schema: LabelSchema) -> tuple[Proposal, ...]:
    """A proposal for each class, in order; nothing is guessed from parts of a word."""
    return tuple(_one(name, schema) for name in names)


def _one(name: str, schema: LabelSchema) -> Proposal:
    if (code := schema.resolve(name)) is not None:
        return Proposal(name, code, "name")
    word = fold(name)
    for group in SYNONYMS:
        if word in map(fold, group):
            for other in group:
                if (code := schema.resolve(other)) is not None:
                    return Proposal(name, code, "synonym")
    return Proposal(name, None)
