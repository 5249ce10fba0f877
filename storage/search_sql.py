"""A query's tree as SQL. What a person typed only ever travels as a parameter.

Aliases: i = item, s = asset, n = annotation. Every leaf is true or false, never NULL, so that `-` means what it says.
Conditions on objects that stand side by side are asked of one and the same object of the picture; denied, of none.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

from storage.search import ANY, FIELDS, ME, NOBODY, And, Names, Node, Not, Or, Term, Word, is_object
from storage.search_words import ALL_ALIKE
from storage.tables import ITEM_STATES, KINDS, LIKENESS, ORIGINS, REVIEWS, SPLITS

_DAY_S = 86_400
CAPTION = KINDS.index("caption")


@dataclass(slots=True)
class Maker:
    """Collects the parameters of one statement.

    Args:
        dialect: "sqlite" or "postgresql". names: as of the dataset. me: id of the agent who asks, 0 = nobody.
        now: seconds since 1970 that "today" is told by.
    """

    dialect: str
    names: Names
    me: int = 0
    now: float = 0.0
    args: dict[str, object] = field(default_factory=dict)

    # --- structure -----------------------------------------------------------------------------------------------

    def picture(self, node: Node) -> str:
        """The condition on i (and s)."""
        match node:
            case And(of=parts):
                together = [x for x in parts if is_object(x)]
                said = [self.picture(x) for x in parts if not is_object(x)]
                if together:
                    said.append(self._exists(" AND ".join(map(self.one_object, together))))
                return f"({' AND '.join(said)})" if said else "(1 = 1)"
            case Or(of=parts):
                return f"({' OR '.join(map(self.picture, parts))})"
            case Not(of=inner):
                return f"(NOT {self.picture(inner)})"
            case Word(text=text):
                like = self._like(text)
                there = f"EXISTS (SELECT 1 FROM annotation n WHERE n.asset_id = i.asset_id AND n.died IS NULL AND {self._said(text)})"
                return f"(s.path {like} OR {there} OR {self._remark(text)})"
        return self._exists(self._leaf(node)) if is_object(node) else self._leaf(node)

    def one_object(self, node: Node) -> str:
        """The condition on n, with i and s for the picture it is on."""
        match node:
            case And(of=parts):
                return f"({' AND '.join(map(self.one_object, parts))})" if parts else "(1 = 1)"
            case Or(of=parts):
                return f"({' OR '.join(map(self.one_object, parts))})"
            case Not(of=inner):
                return f"(NOT {self.one_object(inner)})"
            case Word(text=text):
                return f"(s.path {self._like(text)} OR {self._said(text)} OR {self._remark(text)})"
        return self._leaf(node)

    def _exists(self, condition: str) -> str:
        return f"EXISTS (SELECT 1 FROM annotation n WHERE n.asset_id = i.asset_id AND n.died IS NULL AND {condition})"

    # --- parameters ----------------------------------------------------------------------------------------------

    def _put(self, value: object) -> str:
        name = f"q{len(self.args)}"
        self.args[name] = value
        return f":{name}"

    def _list(self, values: tuple[object, ...]) -> str:
        return f"({', '.join(map(self._put, values))})"

    def _like(self, text: str) -> str:
        """`LIKE` anywhere inside, without regard to (ASCII) case on either database."""
        safe = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        word = "LIKE" if self.dialect == "sqlite" else "ILIKE"
        return f"{word} {self._put(f'%{safe}%')} ESCAPE '\\'"

    # --- leaves --------------------------------------------------------------------------------------------------

    def _leaf(self, t: Node) -> str:
        assert isinstance(t, Term)
        match t.field:
            case "class":
                codes = tuple(m for v in t.values for m in self.names.members(v))
                return f"n.label_id IN (SELECT id FROM label WHERE code IN {self._list(codes)})"
            case "state":
                return f"i.state IN {self._list(tuple(ITEM_STATES.index(v) for v in t.values))}"
            case "review":
                return f"i.review IN {self._list(tuple(REVIEWS.index(v) for v in t.values))}"
            case "split":
                return f"i.split IN {self._list(tuple(SPLITS.index('' if v == 'none' else v) for v in t.values))}"
            case "origin":
                return f"n.origin IN {self._list(tuple(ORIGINS.index(v) for v in t.values))}"
            case "kind":
                return f"n.kind IN {self._list(tuple(KINDS.index(v) for v in t.values))}"
            case "score":
                return self._number("n.score_micro", t, 1e6)
            case "area":
                return self._number("(n.x1 - n.x0) * (n.y1 - n.y0)", t, 1e6, null="n.x0")
            case "width" | "height":
                return self._number(f"s.{t.field}_px", t, 1)
            case "bright" | "contrast" | "sharp" | "glare" | "haze":
                column = {"bright": "brightness", "sharp": "sharpness"}.get(t.field, t.field)
                said = self._number(f"m.{column}", t, 1000)
                return f"EXISTS (SELECT 1 FROM measure m WHERE m.asset_id = i.asset_id AND {said})"
            case "duplicate":
                return surplus(_kinds(t))
            case "grouped":
                return self._together(_kinds(t), "f.asset_id <> k.asset_id")
            case "like":
                return self._together(tuple(range(len(LIKENESS))), self._number("f.asset_id", t, 1))
            case "also":
                other = f"SELECT id FROM dataset WHERE name IN {self._list(t.values)}"
                return f"EXISTS (SELECT 1 FROM item j WHERE j.asset_id = i.asset_id AND j.died IS NULL AND j.dataset_id <> i.dataset_id AND j.dataset_id IN ({other}))"
            case "count":
                return self._count(t)
            case "by":
                return f"n.activity_id IN (SELECT v.id FROM activity v WHERE v.agent_id IN {self._agents(t)})"
            case "assigned":
                named = Term("assigned", ":", tuple(v for v in t.values if v != NOBODY))
                with_ = (
                    [f"(i.assignee_id IS NOT NULL AND i.assignee_id IN {self._agents(named)})"]
                    if named.values
                    else []
                )
                return f"({' OR '.join(with_ + (['i.assignee_id IS NULL'] if NOBODY in t.values else []))})"
            case "model":
                return (
                    "n.activity_id IN (SELECT v.id FROM activity v JOIN onnx_model m ON m.sha256 = v.model_digest "
                    f"WHERE m.name IN {self._list(t.values)})"
                )
            case "date":
                return self._between("s.taken_ms", t)
            case "changed":
                return (
                    f"EXISTS (SELECT 1 FROM change c WHERE c.rev = n.born AND {self._between('c.at_ms', t)})"
                )
            case "picture":
                return f"i.asset_id IN ({', '.join(str(int(v)) for v in t.values)})"
            case "path":
                return f"({' OR '.join(f's.path {self._like(v)}' for v in t.values)})"
            case "text":
                return f"({' OR '.join(self._texts(None if v == ANY else v) for v in t.values)})"
            case "remark":
                return f"({' OR '.join(self._remark(v, words=True) for v in t.values)})"
            case "has":
                return f"({' OR '.join(self._has(v) for v in t.values)})"
            case "track" | "group":
                return self._attribute(f"@{t.field}", t, "choice")
        a = self.names.attributes().get(t.key)
        return self._attribute(t.key, t, a.type if a is not None else "choice")

    def _number(self, column: str, t: Term, scale: float, *, null: str = "") -> str:
        """A comparison with stored integers; a stored integer that is the nearest to the number equals it."""
        known = f"{null or column} IS NOT NULL"
        if t.op == "..":
            low, high = t.values
            said = [f"{column} >= {self._put(float(low) * scale - 1e-6)}"] if low else []
            said += [f"{column} <= {self._put(float(high) * scale + 1e-6)}"] if high else []
            return f"({known} AND {' AND '.join(said)})"
        value = float(t.values[0]) * scale
        if t.op == ":":
            return f"({known} AND {column} BETWEEN {self._put(value - 0.5)} AND {self._put(value + 0.5)})"
        return f"({known} AND {column} {t.op} {self._put(value + (1e-6 if t.op in ('<=', '>') else -1e-6))})"

    def _between(self, column: str, t: Term) -> str:
        known = f"{column} IS NOT NULL"
        if t.op == "..":
            low, high = t.values
            said = [f"{column} >= {self._put(span(low, self.now)[0])}"] if low else []
            said += [f"{column} < {self._put(span(high, self.now)[1])}"] if high else []
            return f"({known} AND {' AND '.join(said)})"
        said = []
        for value in t.values:
            first, end = span(value, self.now)
            said.append({
                ":": f"{column} >= {self._put(first)} AND {column} < {self._put(end)}",
                "<": f"{column} < {self._put(first)}", "<=": f"{column} < {self._put(end)}",
                ">": f"{column} >= {self._put(end)}", ">=": f"{column} >= {self._put(first)}",
            }[t.op])  # fmt: skip
        return f"({known} AND ({' OR '.join(f'({x})' for x in said)}))"

    def _count(self, t: Term) -> str:
        if t.key:
            inside = Term("class", ":", (t.key,))
            column = f"(SELECT count(*) FROM annotation n WHERE n.asset_id = i.asset_id AND n.died IS NULL AND {self._leaf(inside)})"
        else:
            column = "(i.n_truth + i.n_pred)"
        return self._number(column, t, 1, null="1")

    def _agents(self, t: Term) -> str:
        named = tuple(v for v in t.values if v != ME)
        said = [f"SELECT id FROM agent WHERE name IN {self._list(named)}"] if named else []
        said += [f"SELECT id FROM agent WHERE id = {self._put(self.me)}"] if ME in t.values else []
        return f"({' UNION ALL '.join(said)})"

    def _has(self, what: str) -> str:
        match what:
            case "object":
                return "(i.n_truth + i.n_pred > 0)"
            case "truth":
                return "(i.n_truth > 0)"
            case "prediction":
                return "(i.n_pred > 0)"
            case "date":
                return "(s.taken_ms IS NOT NULL)"
            case "measure":
                return "EXISTS (SELECT 1 FROM measure m WHERE m.asset_id = i.asset_id)"
            case "problem":
                return "EXISTS (SELECT 1 FROM problem b WHERE b.asset_id = i.asset_id)"
        return self._remark(ANY, words=True)

    def _together(self, kinds: tuple[int, ...], which: str) -> str:
        """In a group of these kinds with another picture that is still there and `which` (of f) is said of."""
        return (
            f"EXISTS (SELECT 1 FROM likeness k JOIN likeness f ON f.dataset_id = k.dataset_id AND f.kind = k.kind AND f.group_id = k.group_id "
            f"WHERE k.dataset_id = i.dataset_id AND k.kind IN {_numbers(kinds)} AND k.asset_id = i.asset_id AND {which} AND {THERE})"
        )

    def _said(self, text: str) -> str:
        """The object's class is called so, or its caption or a text attribute says it."""
        wanted = text.casefold()
        codes = tuple(
            c for c, ws in self.names.class_words().items() if any(wanted in w.casefold() for w in (c, *ws))
        )
        named = [f"n.label_id IN (SELECT id FROM label WHERE code IN {self._list(codes)})"] if codes else []
        return f"({' OR '.join([*named, self._texts(text)])})"

    def _texts(self, text: str | None) -> str:
        """A caption or text attribute holds the text; None: there is one."""
        inside = None if text is None else json.dumps(text, ensure_ascii=False)[1:-1]
        said = [
            f"(n.kind = {CAPTION} AND n.geometry IS NOT NULL"
            + (f" AND n.geometry {self._like(inside)})" if inside is not None else ")")
        ]
        asked = ANY if text is None else text
        said += [
            self._attribute(a.code, Term("attribute", ":", (asked,), a.code), "text")
            for a in self.names.attributes().values()
            if a.type == "text"
        ]
        return f"({' OR '.join(said)})"

    def _remark(self, text: str, *, words: bool = False) -> str:
        """A remark on the picture holds the text; with `words` "open", "closed" and "any" mean themselves."""
        if (
            words and text == "open"
        ):  # as the index of open remarks says it: an answer is never open by itself
            more = "AND r.resolved = 0 AND r.parent IS NULL"
        elif words and text == "closed":
            more = "AND r.resolved <> 0"
        else:
            more = "" if words and text == ANY else f"AND r.body {self._like(text)}"
        return f"EXISTS (SELECT 1 FROM remark r WHERE r.asset_id = i.asset_id AND r.died IS NULL {more})"

    def _attribute(self, code: str, t: Term, type_: str) -> str:
        lite = self.dialect == "sqlite"
        if lite:
            path = self._put(f'$."{code}"')
            kind, value = f"json_type(n.attributes, {path})", f"json_extract(n.attributes, {path})"
        else:
            key = self._put(code)
            whole = "CAST(n.attributes AS jsonb)"
            kind, value = (
                f"jsonb_typeof({whole} -> CAST({key} AS text))",
                f"({whole} ->> CAST({key} AS text))",
            )
        known = f"n.attributes IS NOT NULL AND {kind} IS NOT NULL"
        if t.values == (ANY,):
            return f"({known})"
        if type_ == "number":
            numeric = "('integer', 'real')" if lite else "('number')"
            number = value if lite else f"CAST({value} AS numeric)"
            compared = self._number("x.v", t, 1)
            return (
                f"({known} AND EXISTS (SELECT 1 FROM (SELECT CASE WHEN {kind} IN {numeric} THEN {number} END AS v) x "
                f"WHERE {compared}))"
            )
        if type_ == "flag":
            said = []
            for v in t.values:
                if lite:
                    said.append(f"{kind} = '{'true' if v == 'yes' else 'false'}'")
                else:
                    said.append(f"({kind} = 'boolean' AND {value} = '{'true' if v == 'yes' else 'false'}')")
            return f"({known} AND ({' OR '.join(said)}))"
        text = "'text'" if lite else "'string'"
        if type_ == "text":
            held = " OR ".join(f"{value} {self._like(v)}" for v in t.values)
            return f"({known} AND {kind} = {text} AND ({held}))"
        return f"({known} AND {kind} = {text} AND {value} IN {self._list(t.values)})"


THERE = "(f.rank < 0 OR EXISTS (SELECT 1 FROM item j WHERE j.dataset_id = k.dataset_id AND j.asset_id = f.asset_id AND j.died IS NULL))"
"""f is still there: in this dataset, or (a rank below 0) in the one that this was compared against."""


def surplus(kinds: tuple[int, ...]) -> str:
    """i is in a group of these kinds behind another picture that is still there: so none of a group goes unless one stays."""
    return (
        f"EXISTS (SELECT 1 FROM likeness k WHERE k.dataset_id = i.dataset_id AND k.kind IN {_numbers(kinds)} AND k.asset_id = i.asset_id "
        "AND k.rank > 0 AND EXISTS (SELECT 1 FROM likeness f WHERE f.dataset_id = k.dataset_id AND f.kind = k.kind "
        f"AND f.group_id = k.group_id AND f.rank < k.rank AND {THERE}))"
    )


def _kinds(t: Term) -> tuple[int, ...]:
    """The kinds of likeness that a condition names."""
    said = {k for v in t.values for k in (ALL_ALIKE if v == "yes" else (v,))}
    return tuple(LIKENESS.index(k) for k in sorted(said))


def _numbers(values: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, values))})"


def span(text: str, now: float) -> tuple[int, int]:
    """(first, end) of a day, month or year of this machine's time zone, UTC milliseconds, the end outside."""
    if text in ("today", "yesterday"):
        there = time.localtime(now)
        back = 1 if text == "yesterday" else 0
        first = (there.tm_year, there.tm_mon, there.tm_mday - back)
        end = (there.tm_year, there.tm_mon, there.tm_mday - back + 1)
    else:
        numbers = [int(x) for x in text.split("-")]
        year, month, day = (*numbers, 1, 1)[:3]
        first = (year, month, day)
        end = {1: (year + 1, 1, 1), 2: (year, month + 1, 1), 3: (year, month, day + 1)}[len(numbers)]
    return _ms(first), _ms(end)


def _ms(day: tuple[int, int, int]) -> int:
    return round(time.mktime((*day, 0, 0, 0, 0, 0, -1)) * 1000)


def of_objects(node: Node) -> Node:
    """The part of a query that one object of a matching picture must meet: what facets count objects by."""
    parts = node.of if isinstance(node, And) else (node,)
    return And(tuple(x for x in parts if is_object(x)))


def needs_text(node: Node) -> bool:
    """True when a word or a text is looked for: the reading is a scan whatever the index."""
    match node:
        case Word():
            return True
        case And(of=parts) | Or(of=parts):
            return any(map(needs_text, parts))
        case Not(of=inner):
            return needs_text(inner)
    return node.field in FIELDS and FIELDS[node.field].type == "text"
