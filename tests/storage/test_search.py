"""The query language: what is written is read back the same, nothing crashes it, and both databases answer as plain Python does."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation import labels
from annotation.canonical import encode
from annotation.core import new_uid
from storage import listing, queries, record, search, search_sql, suggest
from storage.queries import Query
from storage.record import Content, Edit, ItemEdit
from storage.search import And, Misread, Names, Node, Not, Or, Term, Word
from storage.tables import ITEM_STATES, KINDS, LIKENESS, ORIGINS, REVIEWS, SPLITS
from tests.storage.conftest import World

COAL = labels.load("coal_mine")
NAMES = Names(COAL, people=("07", "安全员"), models=("demo",))
ATTRIBUTES = NAMES.attributes()

# --- trees and texts ---------------------------------------------------------------------------------------------

NUMBERS = st.sampled_from(["0", "0.25", "0.5", "3", "400", "1920"])
DATES = st.sampled_from(["2026", "2026-11", "2026-11-01", "today", "yesterday"])
TEXTS = st.text(min_size=1, max_size=8).filter(lambda t: t.strip() and "\x00" not in t and t.isprintable())
SIGNS = st.sampled_from([":", "<", "<=", ">", ">="])


def _terms() -> st.SearchStrategy[Node]:
    out: list[st.SearchStrategy[Any]] = [TEXTS.map(Word)]
    some = st.sampled_from(sorted(NAMES.class_words()))
    for name, f in search.FIELDS.items():
        match f.type:
            case "class":
                out.append(
                    st.lists(some, min_size=1, max_size=3, unique=True).map(
                        lambda v, n=name: Term(n, ":", tuple(v))
                    )
                )
            case "choice":
                codes = st.sampled_from([c for c, _ in f.values])
                out.append(
                    st.lists(codes, min_size=1, max_size=2, unique=True).map(
                        lambda v, n=name: Term(n, ":", tuple(v))
                    )
                )
            case "number" | "date" | "count":
                values = DATES if f.type == "date" else NUMBERS
                key = some | st.just("") if f.type == "count" else st.just("")
                out.append(st.builds(lambda o, v, k, n=name: Term(n, o, (v,), k), SIGNS, values, key))
                out.append(
                    st.builds(
                        lambda a, b, k, n=name: Term(n, "..", (a, b), k), values, values | st.just(""), key
                    )
                )
            case "person":
                people = st.sampled_from(["me", "07", "安全员", *(["none"] if name == "assigned" else [])])
                out.append(people.map(lambda v, n=name: Term(n, ":", (v,))))
            case "model":
                out.append(st.just(Term(name, ":", ("demo",))))
            case "ids":
                numbers = st.lists(st.integers(0, 99).map(str), min_size=1, max_size=4, unique=True)
                out.append(numbers.map(lambda v, n=name: Term(n, ":", tuple(v))))
            case _:
                out.append(
                    TEXTS.filter(
                        lambda t: (
                            search.fold(t)
                            not in (
                                "any",
                                "任意",
                                "有值",
                                "open",
                                "closed",
                                "resolved",
                                "未解决",
                                "待处理",
                                "已解决",
                            )
                        )
                    ).map(lambda v, n=name: Term(n, ":", (v,)))
                )
    for code, a in ATTRIBUTES.items():
        match a.type:
            case "choice":
                out.append(
                    st.sampled_from([c.code for c in a.choices]).map(
                        lambda v, k=code: Term("attribute", ":", (v,), k)
                    )
                )
            case "flag":
                out.append(
                    st.sampled_from(["yes", "no"]).map(lambda v, k=code: Term("attribute", ":", (v,), k))
                )
            case "number":
                out.append(st.builds(lambda o, v, k=code: Term("attribute", o, (v,), k), SIGNS, NUMBERS))
        out.append(st.just(Term("attribute", ":", ("any",), code)))
    return st.one_of(out)


_LEAF = _terms()


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> Node:
    """Trees in the normal form."""
    what = draw(st.integers(0, 5)) if depth < 3 else 0
    if what <= 2:
        return draw(_LEAF)
    if what == 3:
        inner = draw(trees(depth + 1))
        return inner.of if isinstance(inner, Not) else Not(inner)
    parts = [draw(trees(depth + 1)) for _ in range(draw(st.integers(2, 4)))]
    if what == 4:
        return search.join(parts)
    options = tuple(dict.fromkeys(y for x in parts for y in (x.of if isinstance(x, Or) else (x,))))
    return Or(options) if len(options) > 1 else options[0]


@settings(max_examples=400, deadline=None)
@given(trees(), st.sampled_from(["en", "zh_CN"]))
def test_a_printed_query_reads_back_as_the_same_tree(tree: Node, language: str) -> None:
    text = search.show(tree, NAMES, language)
    assert search.parse(text, NAMES) == tree, text


_PIECES = st.sampled_from(
    [
        "class:",
        "类：",
        "(",
        ")",
        "（",
        "-",
        "or",
        "或",
        '"',
        "..",
        "<",
        ">=",
        "score",
        "分数",
        "count:person",
        " ",
        ",",
        "安全帽",
        "2026-11",
        "\\",
        "helmet:",
        "0.5",
        "not ",
        "=",
    ]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(_PIECES | st.text(max_size=6), max_size=14).map("".join))
def test_any_text_is_a_query_or_one_clear_line_with_its_place(text: str) -> None:
    try:
        tree = search.parse(text, NAMES)
    except Misread as fault:
        assert 0 <= fault.at <= len(text) and "\n" not in fault.line and fault.what
    else:
        assert search.parse(search.show(tree, NAMES), NAMES) == tree


@pytest.mark.parametrize(
    ("zh", "en"),
    [
        ("类:安全帽", "class:helmet"),
        ("类：安全帽　分数＜0.5", "class:helmet score<0.5"),
        ("佩戴:不确定", "helmet_worn:unknown"),
        ("helmet:unsure", "helmet_worn:unknown"),
        ("来源:模型 分数:0.3..0.6", "origin:model score:0.3..0.6"),
        ("状态:待确认", "state:predicted"),
        ("质检:已退回", "review:returned"),
        ("划分:验证", "split:val"),
        ("作者:07 指派:我", "by:07 assigned:me"),
        ("日期>=2026-11-01", "date>=2026-11-01"),
        ("数量:人员>=3", "count:person>=3"),
        ("形状:多边形", "kind:polygon"),
        ("面积≤400", "area<=400"),
        ("有:批注 批注:未解决", "has:remark remark:open"),
        ("(状态:待标注 或 -类:人员) 综采", "(state:unlabelled or -class:person) 综采"),
        ("class:personnel", "class:personnel"),
    ],
)
def test_chinese_and_english_words_mean_the_same(zh: str, en: str) -> None:
    assert search.parse(zh, NAMES) == search.parse(en, NAMES)


@pytest.mark.parametrize(
    ("text", "at"),
    [("class:helmett", 6), ("score<x", 6), ("(a or b", 0), ("a)", 1), ('a "b', 2), ("halmet:1", 0), ("score:", 6), ("date:2026-13", 5), ("a or", 4), ("-", 0), ("state<predicted", 5)],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place_and_a_remedy(text: str, at: int) -> None:
    with pytest.raises(Misread) as told:
        search.parse(text, NAMES)
    assert told.value.at == at and told.value.remedy


def test_a_click_puts_a_condition_in_changes_it_and_takes_it_out() -> None:
    tree = search.parse("score<0.5", NAMES)
    tree = search.toggled(tree, Term("class", ":", ("helmet",)))
    assert search.show(tree, NAMES) == "score<0.5 class:helmet"
    other = search.toggled(tree, Term("class", ":", ("person",)))
    assert search.show(other, NAMES) == "score<0.5 class:person"
    both = search.toggled(tree, Term("class", ":", ("person",)), add=True)
    assert search.show(both, NAMES) == "score<0.5 class:helmet,person"
    assert search.toggled(tree, Term("class", ":", ("helmet",))) == search.parse("score<0.5", NAMES)


# --- answers -----------------------------------------------------------------------------------------------------


@dataclass
class Object:
    """An annotation in plain Python."""

    row: int
    label: str
    kind: str
    box: tuple[int, int, int, int] | None
    attributes: dict[str, Any]
    score: int | None
    origin: str
    at_ms: int
    words: str | None


@dataclass
class Picture:
    """A picture in plain Python."""

    id: int
    path: str
    width: int
    taken: int | None
    split: str
    review: str
    mine: bool
    bright: int | None
    remark: str | None
    resolved: bool
    objects: list[Object] = field(default_factory=list)
    glare: int | None = None
    haze: int | None = None
    problem: bool = False
    groups: dict[str, tuple[int, int, list[tuple[int, int]]]] = field(default_factory=dict)
    """Kind of likeness -> (group, rank, (picture, rank) of all of it)."""

    @property
    def state(self) -> str:
        return (
            "predicted"
            if any(o.origin == "model" for o in self.objects)
            else "labelled"
            if self.objects
            else "unlabelled"
        )


NOW = time.time()


def compare(op: str, value: float | None, bounds: tuple[str, ...]) -> bool:
    if value is None:
        return False
    if op == "..":
        return (not bounds[0] or value >= float(bounds[0])) and (not bounds[1] or value <= float(bounds[1]))
    bound = float(bounds[0])
    return {
        ":": value == bound,
        "<": value < bound,
        "<=": value <= bound,
        ">": value > bound,
        ">=": value >= bound,
    }[op]


def during(op: str, at: int | None, values: tuple[str, ...]) -> bool:
    if at is None:
        return False
    spans = [search_sql.span(v, NOW) if v else (0, 2**62) for v in values]
    if op == "..":
        return spans[0][0] <= at < spans[1][1]
    a, b = spans[0]
    return {":": a <= at < b, "<": at < a, "<=": at < b, ">": at >= b, ">=": at >= a}[op]


def has_text(where: str | None, wanted: str) -> bool:
    return where is not None and wanted.lower() in where.lower()


def holds(t: Term, p: Picture, o: Object | None) -> bool:
    """A condition, told by hand."""
    match t.field:
        case "class":
            return o is not None and any(o.label in NAMES.members(v) for v in t.values)
        case "origin":
            return o is not None and o.origin in t.values
        case "kind":
            return o is not None and o.kind in t.values
        case "score":
            return o is not None and compare(t.op, None if o.score is None else o.score / 1e6, t.values)
        case "area":
            return (
                o is not None
                and o.box is not None
                and compare(t.op, (o.box[2] - o.box[0]) * (o.box[3] - o.box[1]) / 1e6, t.values)
            )
        case "changed":
            return o is not None and during(t.op, o.at_ms, t.values)
        case "text":
            return o is not None and any(has_text(o.words, v) for v in t.values)
        case "attribute":
            if o is None or t.key not in o.attributes:
                return False
            have = o.attributes[t.key]
            if t.values == ("any",):
                return True
            a = ATTRIBUTES[t.key]
            if a.type == "flag":
                return ("yes" if have else "no") in t.values
            return compare(t.op, have, t.values) if a.type == "number" else have in t.values
        case "state":
            return p.state in t.values
        case "review":
            return p.review in t.values
        case "split":
            return (p.split or "none") in t.values
        case "assigned":
            return ("me" in t.values and p.mine) or ("none" in t.values and not p.mine)
        case "picture":
            return str(p.id) in t.values
        case "path":
            return any(has_text(p.path, v) for v in t.values)
        case "width":
            return compare(t.op, p.width, t.values)
        case "date":
            return during(t.op, p.taken, t.values)
        case "bright" | "glare" | "haze":
            value = {"bright": p.bright, "glare": p.glare, "haze": p.haze}[t.field]
            return compare(t.op, None if value is None else value / 1000, t.values)
        case "duplicate":
            return any(p.groups[k][1] > min(r for _, r in p.groups[k][2]) for k in wanted(t) if k in p.groups)
        case "grouped":
            return any(len(p.groups[k][2]) > 1 for k in wanted(t) if k in p.groups)
        case "also":
            return False
        case "like":
            return any(compare(t.op, other, t.values) for k in p.groups for other, _ in p.groups[k][2])
        case "count":
            n = sum(1 for o in p.objects if not t.key or o.label in NAMES.members(t.key))
            return compare(t.op, n, t.values)
        case "has":
            have = {"object": bool(p.objects), "prediction": p.state == "predicted", "remark": p.remark is not None, "date": p.taken is not None,
                    "truth": any(o.origin != "model" for o in p.objects), "measure": p.bright is not None, "problem": p.problem}  # fmt: skip
            return any(have[v] for v in t.values)
        case "remark":
            said = {"open": p.remark is not None and not p.resolved, "closed": p.resolved}
            return any(said[v] if v in said else has_text(p.remark, v) for v in t.values)
    raise AssertionError(t.field)


def wanted(t: Term) -> set[str]:
    """The kinds of likeness that a condition names."""
    return {k for v in t.values for k in (("exact", "near", "alike") if v == "yes" else (v,))}


def found_by(text: str, p: Picture, o: Object) -> bool:
    named = any(text.lower() in w.lower() for w in (o.label, *NAMES.class_words()[o.label]))
    return named or has_text(o.words, text)


def fits(node: Node, p: Picture, o: Object | None = None) -> bool:
    """The query's meaning, evaluated the slow way: o is None for pictures, else one object."""
    match node:
        case Word(text=text):
            over = [o] if o is not None else p.objects
            return (
                has_text(p.path, text) or has_text(p.remark, text) or any(found_by(text, p, x) for x in over)
            )
        case Not(of=inner):
            return not fits(inner, p, o)
        case Or(of=parts):
            return any(fits(x, p, o) for x in parts)
        case And(of=parts) if o is None:
            together = [x for x in parts if search.is_object(x)]
            one = not together or any(all(fits(x, p, y) for x in together) for y in p.objects)
            return one and all(fits(x, p) for x in parts if not search.is_object(x))
        case And(of=parts):
            return all(fits(x, p, o) for x in parts)
    if o is None and search.is_object(node):
        return any(holds(node, p, x) for x in p.objects)
    return holds(node, p, o)


def populate(w: World, rng: random.Random, n: int = 24) -> list[Picture]:
    """Small random records, in the database and in plain Python."""
    me = w.agents["A"].id
    out: list[Picture] = []
    classes = ["person", "helmet", "no_helmet", "large_coal"]
    with w.db.write() as conn:
        numbers = record.label_ids(conn, classes)
        conn.execute(sa.text("INSERT INTO schema_version (code, number, body, blake3, born) VALUES ('coal_mine', 1, :b, :h, 1)"),
                     {"b": labels.dumps(COAL), "h": bytes(32)})  # fmt: skip
        root = conn.execute(sa.text("SELECT id FROM source_root")).scalar_one()
        for i in range(n):
            p = Picture(0, f"工作面/{rng.choice(['Belt', 'belt', '胶带'])}_{i}%{rng.randrange(3)}.png", rng.choice([640, 1920]),
                        rng.choice([None, round(NOW * 1000), 1_793_500_000_000 - i * 86_400_000]), rng.choice(SPLITS), rng.choice(REVIEWS),
                        rng.random() < 0.4, rng.choice([None, 100, 250, 500]), rng.choice([None, None, "看不清 blurred"]), False)  # fmt: skip
            p.resolved = p.remark is not None and rng.random() < 0.5
            p.id = conn.execute(
                sa.text("INSERT INTO asset (uid, kind, blake3, sha256, size_bytes, width_px, height_px, orientation, media_type, "
                        "source_root_id, path, path_hash, mtime_ns, activity_id, taken_ms) VALUES (:u, 0, :b, :b, 9, :x, 100, 1, 'image/png', :r, :p, :h, 0, :a, :t) RETURNING id"),
                {"u": bytes.fromhex(new_uid()), "b": bytes([i]) * 32, "r": root, "p": p.path, "h": i, "a": w.activity, "t": p.taken, "x": p.width},
            ).scalar_one()  # fmt: skip
            if p.bright is not None:
                p.glare, p.haze = rng.choice([None, 0, 500]), rng.choice([None, 250, 500])
                conn.execute(sa.text("INSERT INTO measure (asset_id, brightness, contrast, sharpness, dhash, descriptor, glare, haze) VALUES (:a, :b, 1, 1, 0, :d, :g, :h)"),
                             {"a": p.id, "b": p.bright, "d": b"", "g": p.glare, "h": p.haze})  # fmt: skip
            p.problem = rng.random() < 0.2
            if p.problem:
                conn.execute(sa.text("INSERT INTO problem (asset_id, activity_id, what, at_ms) VALUES (:a, :v, 'x', 0)"), {"a": p.id, "v": w.activity})  # fmt: skip
            if p.remark is not None:
                conn.execute(sa.text("INSERT INTO remark (uid, asset_id, body, resolved, agent_id, at_ms, born) VALUES (:u, :a, :t, :r, :g, 0, 1)"),
                             {"u": bytes.fromhex(new_uid()), "a": p.id, "t": p.remark, "r": int(p.resolved), "g": me})  # fmt: skip
            out.append(p)
        for kind, name in enumerate(LIKENESS):
            groups: dict[int, list[int]] = {}
            for p in out:
                if rng.random() < 0.5:
                    groups.setdefault(rng.randrange(5), []).append(p.id)
            for ids in groups.values():
                live = [(a, r) for r, a in enumerate(ids)]
                for rank, a in enumerate(ids):
                    conn.execute(sa.text("INSERT INTO likeness (dataset_id, kind, asset_id, group_id, rank) VALUES (:d, :k, :a, :g, :r)"),
                                 {"d": w.dataset, "k": kind, "a": a, "g": ids[0], "r": rank})  # fmt: skip
                    next(p for p in out if p.id == a).groups[name] = (ids[0], rank, live)
    with record.change(
        w.db,
        agent_id=me,
        activity_id=w.activity,
        verb="ingest",
        dataset_id=w.dataset,
        assets=[p.id for p in out],
    ) as draft:
        draft.enrol(
            [
                ItemEdit(
                    w.dataset,
                    p.id,
                    opens=(SPLITS.index(p.split), REVIEWS.index(p.review)),
                    assignee=me if p.mine else None,
                )
                for p in out
            ]
        )
    for p in out:
        for _ in range(rng.choice([0, 1, 2, 5])):
            label, origin = rng.choice(classes), rng.choice(ORIGINS)
            attributes: dict[str, Any] = {}
            if rng.random() < 0.7:
                attributes["helmet_worn"] = rng.choice(["proper", "none", "unknown"])
            if rng.random() < 0.5:
                attributes["unsure"] = rng.random() < 0.5
            if rng.random() < 0.5:
                attributes["longest_side_mm"] = rng.choice([3, 400])
            kind = rng.choice(["box", "polygon", "tag", "caption"])
            x, side = rng.randrange(1000), rng.choice([1000, 20_000])
            box = (x, x, x + side, x + side) if kind in ("box", "polygon") else None
            words = rng.choice(["两人经过 Belt", 'a "quoted" line']) if kind == "caption" else None
            shape = {
                "box": None,
                "polygon": "[[[0,0,1,0,1,1]]]",
                "tag": None,
                "caption": encode(words).decode() if words else None,
            }[kind]
            score = rng.choice([250_000, 500_000, 900_000]) if origin == "model" else None
            content = Content(bytes.fromhex(new_uid()), p.id, numbers[label], KINDS.index(kind), box, shape,
                              encode(attributes).decode() if attributes else None, score, ORIGINS.index(origin))  # fmt: skip
            w.apply(Edit(opens=content))
            with w.db.read() as conn:
                row, at = conn.execute(
                    sa.text(
                        "SELECT n.id, c.at_ms FROM annotation n JOIN change c ON c.rev = n.born WHERE n.uid = :u"
                    ),
                    {"u": content.uid},
                ).one()
            p.objects.append(Object(row, label, kind, box, attributes, score, origin, at, words))
    for p in out:  # a deleted object must not be found again
        if p.objects and rng.random() < 0.3:
            gone = p.objects.pop()
            w.apply(Edit(closes=gone.row), verb="delete")
    return out


def answers(w: World, tree: Node, me: int) -> tuple[set[int], set[int]]:
    """(pictures, objects) by SQL."""
    text = search.show(tree, Names(COAL, people=("A", "B"), models=("demo",)))
    query = Query(w.dataset, where=text, me=me)
    with w.db.read() as conn:
        pictures = set(queries.asset_ids(conn, query))
        assert len(pictures) == queries.count_items(conn, query)
        objects = {r for r, _ in listing.keys(conn, query, objects=True, low=0, high=2**62)}
    return pictures, objects


QUERIES = [
    "", "class:helmet", "-class:helmet", "class:helmet score<0.5", "class:helmet -score<0.5", "-(class:person score>=0.5)", "class:personnel",
    "state:predicted", "state:unlabelled,labelled", "review:returned,accepted", "split:val", "split:none", "assigned:me", "assigned:none", "assigned:me,none",
    "origin:human,import", "kind:polygon", "kind:caption,tag", "score:0.3..0.6", "score:0.5", "score:..0.5", "area<400", "area>=1", "count:person>=2",
    "count:person=0", "count>=3", "count:1..2", "helmet:unsure", "helmet_worn:any", "-helmet_worn:any", "unsure:yes", "unsure:no", "longest_side_mm>100",
    "longest_side_mm:3", "by:A", "by:B", "by:me", "date:today", "date<2026-11-20", "date:2026-10..2026-11", "-date:today", "changed:today", "changed:yesterday", "path:belt", "path:胶带",
    'path:"%1"', "text:belt", "text:两人", 'text:"\\"quoted\\""', "belt", "安全帽", "看不清", "blurred", "remark:open", "remark:closed", "remark:blurred", "has:remark", "has:measure",
    "has:prediction", "has:truth -has:prediction", "has:date", "bright<0.2", "bright:0.25", "-bright<0.3", "width>=1920", "glare>0.2", "-glare:0", "haze>=0.25", "haze:..0.3",
    "has:problem", "duplicate:yes", "duplicate:near", "-duplicate:maybe,frozen", "grouped:sequence", "grouped:yes", "like:5", "-like>=20", "also:gold", "-also:other", "(class:person or class:helmet) score>0.3",
    "class:person (helmet:none or helmet:unsure)", "class:person (helmet:none or -score<0.5)", "state:predicted or review:draft belt", "人员 -胶带", "track:any",
]  # fmt: skip


def _special(tree: Node) -> bool:
    """`by` and tracks are told apart below."""
    match tree:
        case And(of=parts) | Or(of=parts):
            return any(map(_special, parts))
        case Not(of=inner):
            return _special(inner)
    return isinstance(tree, Term) and tree.field in ("by", "track", "group", "model")


def test_both_databases_answer_as_plain_python_does(world: World) -> None:
    rng = random.Random(5)
    pictures = populate(world, rng)
    me = world.agents["A"].id
    names = Names(COAL, people=("A", "B"), models=("demo",))
    leaves = [search.parse(q, names) for q in QUERIES if q]
    trees = [search.parse(q, names) for q in QUERIES]
    for _ in range(60):
        picked = [
            x if rng.random() < 0.7 else (x.of if isinstance(x, Not) else Not(x))
            for x in rng.sample(leaves, 3)
        ]
        joined = search.join(picked[:2])
        trees.append(
            Or((joined, picked[2]))
            if rng.random() < 0.5
            and joined != picked[2]
            and not isinstance(picked[2], Or)
            and not isinstance(joined, Or)
            else search.join(picked)
        )
    seen = 0
    for tree in trees:
        if _special(tree):
            continue
        got_pictures, got_objects = answers(world, tree, me)
        text = search.show(tree, names)
        mine = {p.id for p in pictures if fits(tree, p)}
        old = {
            a for a in got_pictures if a not in {p.id for p in pictures}
        }  # the world's three bare pictures
        assert got_pictures - old == mine, text
        assert got_objects == {o.row for p in pictures for o in p.objects if fits(tree, p, o)}, text
        seen += bool(mine) + bool(got_objects)
    assert seen > 80


def test_by_asks_who_made_or_edited_the_object(world: World) -> None:
    pictures = populate(world, random.Random(7))
    every = {o.row for p in pictures for o in p.objects}
    me, other = world.agents["A"].id, world.agents["B"].id
    names = Names(COAL, people=("A", "B"))
    assert answers(world, search.parse("by:A", names), me)[1] == every
    assert answers(world, search.parse("by:me", names), other)[1] == set()
    assert answers(world, search.parse("by:B", names), me)[1] == set()


def test_what_a_person_types_never_becomes_sql(world: World) -> None:
    populate(world, random.Random(1), 3)
    names = Names(COAL, people=("A",), models=("demo",))
    nasty = "x') OR 1=1 --"
    for text in (nasty, f'path:"{nasty}"', f'text:"{nasty}"', f'remark:"{nasty}"', "track:\"%' OR '1\""):
        pictures, objects = answers(
            world, search.parse(text if ":" in text else search.show(Word(text)), names), 0
        )
        assert not pictures and not objects
    assert ITEM_STATES


# --- completion --------------------------------------------------------------------------------------------------


def offered(text: str, language: str = "en", counts: dict[tuple[str, str], int] | None = None) -> list[str]:
    """The line after each suggestion is taken; | in the text is the cursor."""
    at = text.index("|")
    whole = text.replace("|", "")
    found = suggest.complete(whole, at, NAMES, counts, language=language)
    return [whole[: s.start] + s.text + whole[s.end :] for s in found]


@pytest.mark.parametrize(
    ("text", "language", "first"),
    [
        ("cla|", "en", "class:"),
        ("类|", "zh_CN", "类:"),
        ("class:hel|", "en", "class:helmet"),
        ("class:person,hel|", "en", "class:person,helmet"),
        ("score<0.5 -st|", "en", "score<0.5 -state:"),
        ("状态:待|", "zh_CN", "状态:待标注"),
        ("helmet_worn:un| score<1", "en", "helmet_worn:unknown score<1"),
        ("assigned:|", "en", "assigned:me"),
        ("changed:to|", "en", "changed:today"),
        ('(class:"hel|', "en", "(class:helmet"),
    ],
)
def test_completion_offers_what_can_stand_at_the_cursor(text: str, language: str, first: str) -> None:
    assert first in offered(text, language)[:3]


def test_completion_counts_and_puts_the_frequent_first() -> None:
    counts = {("class", "person"): 3, ("class", "helmet"): 900}
    found = suggest.complete("class:", 6, NAMES, counts)
    assert [(s.text, s.n) for s in found[:2]] == [("helmet", 900), ("person", 3)]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(_PIECES | st.text(max_size=4), max_size=8).map("".join),
    st.integers(0, 40),
    st.sampled_from(["en", "zh_CN"]),
)
def test_completion_answers_any_text_within_its_bounds(text: str, at: int, language: str) -> None:
    at = min(at, len(text))
    for s in suggest.complete(text, at, NAMES, {}, language=language):
        assert 0 <= s.start <= s.end <= len(text) and s.text


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_a_whole_suggestion_can_be_read(language: str) -> None:
    for prefix in (
        "class:",
        "state:",
        "review:",
        "origin:",
        "kind:",
        "helmet_worn:",
        "unsure:",
        "by:",
        "assigned:",
        "has:",
        "remark:",
        "model:",
        "人",
        "helmet",
    ):
        for s in suggest.complete(prefix, len(prefix), NAMES, {}, language=language):
            line = prefix[: s.start] + s.text
            if not line.endswith(":"):
                search.parse(line, NAMES)
