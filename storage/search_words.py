"""The words of the query language: its trees, its conditions in English and Chinese, and what names mean in a dataset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from annotation.errors import InvalidInput
from annotation.schema import Attribute, LabelSchema, fold
from storage.tables import ITEM_STATES, KINDS, LIKENESS, ORIGINS, REVIEWS


@dataclass(frozen=True, slots=True)
class Word:
    """Text looked for everywhere: path, class names, captions, text attributes, remarks."""

    text: str


@dataclass(frozen=True, slots=True)
class Term:
    """One condition.

    Attributes:
        field: a name of FIELDS, or "attribute".
        op: ":" (is one of), "<", "<=", ">", ">=" or ".." (from, to; "" = open).
        values: as the record spells them: codes, plain numbers, dates.
        key: the attribute's code, or the class that `count` counts ("" = every class).
    """

    field: str
    op: str
    values: tuple[str, ...]
    key: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    """None of it."""

    of: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of it; of nothing: everything."""

    of: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of it."""

    of: tuple[Node, ...]


Node = Word | Term | Not | And | Or
EVERYTHING = And(())


@dataclass(frozen=True, slots=True)
class Field:
    """A condition's words and kind.

    type: "choice", "class", "number", "date", "person", "text", "model", "count" or "ids".
    of: "picture" or "object": whose condition it is. values: canonical value -> its words.
    """

    words: tuple[str, ...]
    type: str
    of: str
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()


_KIND_WORDS = {
    "box": ("框", "矩形"), "rotated_box": ("旋转框",), "polygon": ("多边形",), "polyline": ("折线",), "points": ("点",),
    "keypoints": ("骨架", "关键点"), "mask": ("掩膜",), "tag": ("标记", "图片标签"), "quad": ("四边形",),
    "ellipse": ("椭圆",), "cuboid": ("长方体",), "caption": ("描述",),
}  # fmt: skip

_LIKE_WORDS = (
    ("yes", ("是", "有")), *zip(LIKENESS, (("全同",), ("近似",), ("相像",), ("待判",), ("静止", "卡住"), ("抽帧", "序列")), strict=True),
)  # fmt: skip
ALL_ALIKE = ("exact", "near", "alike")
"""What "yes" means of duplicates: kinds that no person needs to be asked about."""

FIELDS: dict[str, Field] = {
    "class": Field(("类", "类别", "label"), "class", "object"),
    "state": Field(("状态",), "choice", "picture", tuple(zip(ITEM_STATES, (("待标注", "未标注"), ("待确认",), ("已标注",)), strict=True))),
    "review": Field(("质检", "审核"), "choice", "picture", tuple(zip(REVIEWS, (("草稿",), ("已提交", "待审"), ("已通过", "通过"), ("已退回", "退回")), strict=True))),
    "split": Field(("划分",), "choice", "picture", (("train", ("训练",)), ("val", ("验证",)), ("test", ("测试",)), ("none", ("无", "未分")))),
    "origin": Field(("来源",), "choice", "object", tuple(zip(ORIGINS, (("人工", "人"), ("模型", "预测"), ("导入",)), strict=True))),
    "kind": Field(("形状",), "choice", "object", tuple((k, _KIND_WORDS[k]) for k in KINDS)),
    "score": Field(("分数", "置信度"), "number", "object"),
    "area": Field(("面积",), "number", "object"),
    "count": Field(("数量", "个数"), "count", "picture"),
    "by": Field(("作者", "标注员"), "person", "object"),
    "assigned": Field(("指派", "分派"), "person", "picture"),
    "date": Field(("日期", "拍摄"), "date", "picture"),
    "changed": Field(("改动", "修改"), "date", "object"),
    "path": Field(("路径", "文件"), "text", "picture"),
    "picture": Field(("图号", "图片号"), "ids", "picture"),
    "text": Field(("文字", "描述"), "text", "object"),
    "remark": Field(("批注", "备注"), "text", "picture"),
    "has": Field(("有", "含"), "choice", "picture", (
        ("object", ("对象",)), ("truth", ("真值", "已确认")), ("prediction", ("预测",)), ("remark", ("批注", "备注")),
        ("date", ("日期",)), ("measure", ("测量",)), ("problem", ("故障", "损坏")))),
    "track": Field(("轨迹",), "text", "object"),
    "group": Field(("组",), "text", "object"),
    "model": Field(("模型",), "model", "object"),
    "bright": Field(("亮度",), "number", "picture"),
    "contrast": Field(("对比度",), "number", "picture"),
    "sharp": Field(("清晰度",), "number", "picture"),
    "glare": Field(("眩光", "过曝"), "number", "picture"),
    "haze": Field(("雾", "粉尘"), "number", "picture"),
    "duplicate": Field(("重复",), "choice", "picture", _LIKE_WORDS),
    "grouped": Field(("成组",), "choice", "picture", _LIKE_WORDS),
    "like": Field(("同组",), "number", "picture"),
    "also": Field(("也在",), "text", "picture"),
    "width": Field(("宽",), "number", "picture"),
    "height": Field(("高",), "number", "picture"),
}  # fmt: skip
"""Every condition but the attributes of the label schema."""
ANY = "any"
ME, NOBODY = "me", "none"
WORDS = {"any": ("任意", "有值"), "me": ("我",), "none": ("无人", "未指派", "nobody"), "open": ("未解决", "待处理"), "closed": ("已解决", "resolved"),
          "today": ("今天",), "yesterday": ("昨天",), "yes": ("是", "true", "有"), "no": ("否", "false", "没有")}  # fmt: skip
UNSURE = ("unsure", "uncertain", "unclear", "不确定", "看不清", "存疑")
"""Other words for the choice "unknown" of an attribute."""

BY_WORD = {fold(word): name for name, f in reversed(FIELDS.items()) for word in (*reversed(f.words), name)}
OR, AND, NOT = ("or", "或", "或者"), ("and", "且", "并且"), ("not", "非")
SPACE, QUOTES = " \t\u3000", '"“”＂'
COLON, SIGNS = ":：=＝", "<>≤≥＜＞"
STOP = SPACE + QUOTES + COLON + SIGNS + "()（）"


class Misread(InvalidInput):
    """A query that cannot be read; `at` is the place in the text, from 0."""

    def __init__(self, what: str, at: int, remedy: str = "") -> None:
        self.at = at
        super().__init__(what, where=f"{at + 1}", remedy=remedy)


@dataclass(frozen=True, slots=True)
class Names:
    """What names mean in a dataset: its label schema, further label codes of the record, people, models."""

    schema: LabelSchema | None = None
    labels: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def attributes(self) -> dict[str, Attribute]:
        """Every attribute of the schema by code."""
        found = (a for label in (self.schema.labels if self.schema else ()) for a in label.attributes)
        return {a.code: a for a in found}

    def class_words(self) -> dict[str, tuple[str, ...]]:
        """Label code (groups too) -> its zh and en name and aliases."""
        out = dict.fromkeys(self.labels, ())  # type: dict[str, tuple[str, ...]]
        for label in self.schema.labels if self.schema else ():
            out[label.code] = (label.name_zh, label.name_en, *label.aliases)
        return out

    def members(self, code: str) -> tuple[str, ...]:
        """The label itself, or every label of a group."""
        labels = self.schema.labels if self.schema else ()
        out, fresh = [code], {code}
        while fresh:
            fresh = {x.code for x in labels if x.parent in fresh} - set(out)
            out += sorted(fresh)
        return tuple(out)


# --- trees --------------------------------------------------------------------------------------------------------


def join(parts: Iterable[Node]) -> Node:
    """All of the parts, in the one normal form: flat, none twice."""
    flat = list(dict.fromkeys(x for p in parts for x in (p.of if isinstance(p, And) else (p,))))
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def conjuncts(node: Node) -> tuple[Node, ...]:
    """The conditions that must all hold."""
    return node.of if isinstance(node, And) else (node,)


def toggled(node: Node, term: Term, *, add: bool = False) -> Node:
    """The query after a click on a facet: the condition is put in, put in place of the one on the same thing, or taken out.

    add: beside the values that are asked for already (any of them).
    """
    parts = list(conjuncts(node))
    same = [p for p in parts if isinstance(p, Term) and (p.field, p.key) == (term.field, term.key)]
    if term in parts:
        return join(p for p in parts if p != term)
    if add and same and same[0].op == term.op == ":":
        old = same[0]
        values = tuple(v for v in (*old.values, *term.values) if not (v in old.values and v in term.values))
        grown = Term(term.field, ":", values, term.key)
        return join(grown if p == old else p for p in parts if p != old or values)
    return join([*(p for p in parts if p not in same), term])


def is_object(node: Node) -> bool:
    """True when all of it is about one object: such conditions side by side are asked of one and the same object."""
    match node:
        case Term():
            return node.field == "attribute" or FIELDS[node.field].of == "object"
        case And() | Or():
            return bool(node.of) and all(map(is_object, node.of))
    return False


_EXAMPLES = {
    "class": "class:helmet", "score": "score<0.5", "area": "area<400", "count": "count:person>=3", "date": "date>=2026-11-01",
    "changed": "changed:today", "by": "by:me", "assigned": "assigned:me", "path": "path:face-3", "picture": "picture:12,15", "text": 'text:"belt 3"',
    "remark": "remark:open", "track": "track:any", "group": "group:any", "model": "model:demo", "bright": "bright<0.2",
    "contrast": "contrast<0.1", "sharp": "sharp<0.1", "glare": "glare>0.2", "haze": "haze>0.25", "like": "like:17", "also": "also:gold", "width": "width>=1920", "height": "height<720",
}  # fmt: skip


def example(field: str) -> str:
    """A condition of the field, for help."""
    if field in _EXAMPLES:
        return _EXAMPLES[field]
    return (
        f"{field}:{FIELDS[field].values[0][0]}" if field in FIELDS and FIELDS[field].values else f"{field}>10"
    )
