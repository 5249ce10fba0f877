"""Label schemas: every fault of a file is named with its key and a remedy; canonical text; growth by foreign names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from annotation import labels
from annotation.errors import InvalidFile, InvalidInput, LamproomError, NotFound
from annotation.labels import Attribute, Choice, Label, LabelSchema, Skeleton, Source
from annotation.schema import KINDS
from tests.annotation.strategies import patient

HEAD = 'code = "t"\ntitle_zh = "测"\ntitle_en = "T"\n'
ONE = '[[labels]]\ncode = "a"\nname_zh = "甲"\nname_en = "A"\nkinds = ["box"]\n'
TWO = ONE.replace('"a"', '"b"').replace('"甲"', '"乙"').replace('"A"', '"B"')
BONE = ONE.replace('"box"', '"keypoints"') + (
    'skeleton.points = [{code="p", name_zh="左", name_en="l"}, {code="q", name_zh="右", name_en="r"}, {code="r", name_zh="下", name_en="d"}]\n'
)


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        labels.loads(text, "t.toml")
    assert all("\n" not in p.line and p.remedy for p in caught.value.problems)
    return [p.line for p in caught.value.problems]


def test_a_small_schema_is_read_with_defaults() -> None:
    schema = labels.loads(HEAD + ONE, "t.toml")
    label = schema.label("a")
    assert label is not None
    assert (schema.version, label.parent, label.key, label.attributes, label.abstract) == (
        1,
        None,
        None,
        (),
        False,
    )
    assert label.color.startswith("#")
    assert schema.label("b") is None


@pytest.mark.parametrize(
    ("body", "key", "says"),
    [
        (ONE.replace('"box"', '"circle"'), "labels.a.kinds", "circle"),
        (ONE.replace('kinds = ["box"]\n', ""), "labels.a.kinds", "missing"),
        (ONE.replace("kinds", "kidns"), "labels.a.kidns", "not a key known here"),
        (ONE + "color = 'red'\n", "labels.a.color", "'red'"),
        (ONE + "key = 1\n", "labels.a.key", "is 1"),
        (ONE + "key = '12'\n", "labels.a.key", "'12'"),
        (ONE + "parent = 'z'\n", "labels.a.parent", "no label 'z'"),
        (ONE + "parent = 'a'\n", "labels.a.parent", "back to itself"),
        (ONE + "parent = 'b'\n" + TWO + "parent = 'a'\n", "labels.b.parent", "back to itself"),
        (ONE + "retired_to = 'a'\n", "labels.a.retired_to", "back to itself"),
        (ONE + "retired_to = 'g'\n[[labels]]\ncode='g'\nname_zh='组'\nname_en='G'\nabstract=true\n", "labels.a.retired_to", "is a group"),
        (ONE + "abstract = true\n", "labels.a.kinds", "cannot be drawn"),
        (ONE + "attributes = ['x']\n", "labels.a.attributes", "'x' is not defined"),
        (ONE + "rule_zh = 3\n", "labels.a.rule_zh", "not text"),
        (ONE + "rule_zh = '" + "长" * 5000 + "'\n", "labels.a.rule_zh", "5000 characters"),
        (ONE + "source = 'GB'\n", "labels.a.source", "'GB'"),
        (ONE + "source = { page = '3' }\n", "labels.a.source.page", "not a key"),
        (ONE + "aliases = [3]\n", "labels.a.aliases", "[3]"),
        (ONE + 'rule_en = "a\\u0000b"\n', "labels.a.rule_en", "control"),
        (ONE + ONE, "labels.a.code", "there twice"),
        (ONE + TWO.replace('"B"', '"甲"'), "labels.b.aliases", "means a already"),
        (ONE + "key='1'\n" + TWO + "key='1'\n", "labels.b.key", "belongs to a"),
        (ONE + "color='#112233'\n" + TWO + "color='#112233'\n", "labels.b.color", "colour of a"),
        (BONE.replace('"keypoints"', '"box"'), "labels.a.skeleton", "cannot be drawn as keypoints"),
        (ONE.replace('"box"', '"keypoints"') + "skeleton = 3\n", "labels.a.skeleton", "is 3"),
        (BONE.replace('"q"', '"p"'), "labels.a.skeleton.points", "same code"),
        (BONE.replace('"q"', '"Q"'), "labels.a.skeleton.points.2.code", "'Q'"),
        (BONE.replace('name_zh="左", ', ""), "labels.a.skeleton.points.p.name_zh", "missing"),
        (BONE + "skeleton.lines = []\n", "labels.a.skeleton.lines", "not a key"),
        (BONE + "skeleton.edges = 3\n", "labels.a.skeleton.edges", "is 3"),
        (BONE + "skeleton.edges = [['p']]\n", "labels.a.skeleton.edges", "holds ['p']"),
        (BONE + "skeleton.edges = [['p', 'x']]\n", "labels.a.skeleton.edges", "not there"),
        (BONE + "skeleton.edges = [['p', 'p']]\n", "labels.a.skeleton.edges", "no new pair"),
        (BONE + "skeleton.edges = [['p', 'q'], ['q', 'p']]\n", "labels.a.skeleton.edges", "no new pair"),
        (BONE + "skeleton.swaps = [['p', 'q'], ['p', 'r']]\n", "labels.a.skeleton.swaps", "in two pairs"),
        (ONE.replace('"box"', '"keypoints"') + "skeleton.points = []\n", "labels.a.skeleton.points", "there are 0"),
        (ONE.replace('"a"', '"A-1"'), "labels.1.code", "'A-1'"),
        (ONE.replace('name_zh = "甲"\n', ""), "labels.a.name_zh", "missing"),
        ("", "labels", "none"),
        ("labels = 3\n", "labels", "is 3"),
        ("version = 0\n" + ONE, "version", "is 0"),
        ("version = true\n" + ONE, "version", "is True"),
        ("[[attributes]]\ncode='x'\nname_zh='x'\nname_en='x'\ntype='colour'\n" + ONE, "attributes.x.type", "'colour'"),
        ("[[attributes]]\ncode='x'\nname_zh='x'\nname_en='x'\ntype='choice'\n" + ONE, "attributes.x.choices", "needs some"),
        ("[[attributes]]\ncode='x'\nname_zh='x'\nname_en='x'\ntype='flag'\ndefault='ja'\n" + ONE, "attributes.x.default", "cannot hold"),
        ("[[attributes]]\ncode='x'\nname_zh='x'\nname_en='x'\ntype='number'\ndefault=1.5\n" + ONE, "attributes.x.default", "cannot hold"),
        (2 * "[[attributes]]\ncode='x'\nname_zh='x'\nname_en='x'\ntype='text'\n" + ONE, "attributes.x", "defined twice"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_file_key_and_remedy(body: str, key: str, says: str) -> None:
    assert any(line.startswith(f"t.toml: {key}: ") and says in line for line in faults(HEAD + body)), faults(
        HEAD + body
    )


def test_all_faults_are_collected_before_the_file_is_refused() -> None:
    lines = faults(HEAD + ONE + "key = 'x'\ncolor = 'x'\nparent = 'x'\n" + TWO + "abstract = 3\n")
    assert len(lines) == 4


def test_very_many_faults_are_counted_but_not_kept() -> None:
    many = "".join(
        ONE.replace('"a"', f'"a{i}"').replace("[[labels]]", "[[labels]]\nbad = 1") for i in range(600)
    )
    with pytest.raises(InvalidFile) as caught:
        labels.loads(HEAD + many, "t.toml")
    assert len(caught.value.problems) == 200
    assert caught.value.more > 400


@pytest.mark.parametrize(
    "text", ["[[", "a = ", "code = 't'\ncode = 't'", "\x00", "[" * 5000, "a = " + "[" * 2000]
)
def test_what_is_no_toml_is_one_named_problem(text: str) -> None:
    assert len(faults(text)) == 1


def test_a_file_is_read_with_mark_and_crlf_and_refused_as_gbk_or_oversize(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_bytes(b"\xef\xbb\xbf" + (HEAD + ONE).replace("\n", "\r\n").encode())
    assert labels.load(file).code == "t"
    file.write_bytes((HEAD + ONE).encode("gb18030"))
    with pytest.raises(InvalidInput, match="UTF-8"):
        labels.load(file)
    file.write_bytes(b"#" * (labels.MAX_BYTES + 1))
    with pytest.raises(InvalidInput, match="too large"):
        labels.load(str(file))
    with pytest.raises(NotFound, match="coal_mine"):
        labels.load("no_such_schema")


def test_a_name_in_any_case_spacing_and_language_finds_its_label() -> None:
    schema = labels.loads(HEAD + ONE + 'aliases = ["Hard Hat", "帽子"]\n' + TWO + "retired_to = 'a'\n", "t")
    for name in ("a", "A", " 甲 ", "hard_hat", "HARD-HAT", "hardhat", "帽 子", "Ａ", "b", "乙"):
        assert schema.resolve(name) == "a", name
    for name in ("", "c", "hat"):
        assert schema.resolve(name) is None


def test_a_chain_of_successors_is_followed_to_its_end() -> None:
    three = (
        ONE
        + "retired_to = 'b'\n"
        + TWO
        + "retired_to = 'c'\n"
        + ONE.replace('"a"', '"c"').replace('"甲"', '"丙"').replace('"A"', '"C"')
    )
    assert labels.loads(HEAD + three, "t").resolve("甲") == "c"


def test_groups_are_found_by_code_only_and_never_drawn() -> None:
    schema = labels.loads(
        HEAD + "[[labels]]\ncode='g'\nname_zh='组'\nname_en='G'\nabstract=true\n" + ONE + "parent='g'\n", "t"
    )
    assert schema.resolve("g") is None
    assert schema.label("g") is not None
    assert [label.code for label in schema.drawable()] == ["a"]
    assert schema.class_ids() == {"a": 0}


def test_a_retired_label_keeps_its_class_id() -> None:
    schema = labels.loads(HEAD + ONE + "retired_to = 'b'\n" + TWO, "t")
    assert schema.class_ids() == {"a": 0, "b": 1}
    assert [label.code for label in schema.drawable()] == ["b"]


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20).map(
    lambda t: " ".join(t.split())
)
control = st.text(st.characters(exclude_categories=("Cs",)), max_size=9)
lines = st.lists(st.text('ab"\\#日 é\t', max_size=9).map(str.strip), max_size=3).map(
    lambda found: "\n".join(found).strip()
)


@st.composite
def schemas(draw: st.DrawFn) -> LabelSchema:
    import unicodedata

    def nfc(text: str) -> str:
        return unicodedata.normalize("NFC", text.strip()).strip()

    pool = (
        Attribute(
            "c",
            "选",
            "choice",
            "choice",
            (Choice("x", "甲", "x"), Choice("y1", "乙", "y")),
            draw(st.none() | st.just("x")),
        ),
        Attribute(
            "f", "旗", "flag", "flag", default=draw(st.none() | st.booleans()), required=draw(st.booleans())
        ),
        Attribute("n", "数", "number", "number", default=draw(st.none() | st.integers(-9, 9))),
        Attribute("t", "字", "text", "text", default=draw(st.none() | control.map(nfc))),
    )
    bones = Skeleton(
        tuple((f"p{i}", nfc(f"点{i} {draw(texts)}"), f"p {i}") for i in range(draw(st.integers(4, 6)))),
        draw(st.sampled_from(((), ((0, 1), (3, 1))))),
        ((2, 3),),
    )
    n = draw(st.integers(1, 5))
    kinds = st.frozensets(st.sampled_from(sorted(KINDS)), min_size=1)
    allowed = [draw(kinds) for _ in range(n)]
    found = tuple(
        Label(
            f"l{i}", nfc(f"名{i} {draw(texts)}"), nfc(f"n{i} {draw(texts)}"), f"#00000{i}", allowed[i],
            skeleton=bones if "keypoints" in allowed[i] and draw(st.booleans()) else None,
            parent=f"l{draw(st.integers(0, i - 1))}" if i and draw(st.booleans()) else None,
            key=str(i) if draw(st.booleans()) else None, attributes=tuple(a for a in pool if draw(st.booleans())),
            rule_zh=nfc(draw(lines).replace("\t", " ")), rule_en=nfc(draw(texts)),
            source=Source(nfc(draw(texts)), nfc(draw(texts)), nfc(draw(texts)), nfc(draw(texts))),
            retired_to=f"l{i - 1}" if i and draw(st.booleans()) else None, aliases=(f"alias {i}",) if draw(st.booleans()) else (),
        )
        for i in range(n)
    )  # fmt: skip
    return LabelSchema("s", draw(st.integers(1, 99)), "题", "title", found, nfc(draw(texts)))


@patient
@given(schemas())
def test_canonical_text_gives_the_schema_back_and_is_stable(schema: LabelSchema) -> None:
    text = labels.dumps(schema)
    again = labels.loads(text, "again")
    assert again == schema
    assert labels.dumps(again) == text


def test_one_attribute_code_with_two_meanings_cannot_be_written() -> None:
    two = tuple(
        Label(c, c, c, "#112233", attributes=(Attribute("x", c, c, "text"),)) for c in ("a", "b")
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="two meanings"):
        labels.dumps(LabelSchema("s", 1, "s", "s", two))


COAL = labels.load("coal_mine")


def test_new_names_become_appended_labels_of_the_next_version() -> None:
    grown = labels.extend(COAL, ["Traffic Light", "person", "红绿灯", "traffic-light", "0"], "x.json")
    assert grown.version == COAL.version + 1
    assert grown.labels[: len(COAL.labels)] == COAL.labels
    new = grown.labels[len(COAL.labels) :]
    assert new[0].code == "traffic_light"
    assert [label.name_zh for label in new] == ["Traffic Light", "红绿灯", "0"]
    assert all("x.json" in label.rule_en and str(label.source) == "x.json" for label in new)
    assert grown.class_ids()["person"] == COAL.class_ids()["person"]


def test_known_names_change_nothing() -> None:
    assert labels.extend(COAL, ["person", "安全帽", "Hard Hat"], "x") is COAL


def test_codes_depend_on_the_name_alone() -> None:
    one = labels.extend(COAL, ["红绿灯"], "a").labels[-1]
    other = labels.extend(COAL, ["狗", "红绿灯"], "b").labels[-1]
    assert one.code == other.code
    assert one.code.startswith("x_")


foreign = st.text(st.characters(exclude_categories=("Cs",)), max_size=150)


@patient
@given(
    st.lists(
        foreign
        | st.sampled_from(["Rock!", "rock", "a b", "a_b", "A(B)", "unsafe act", "unsafe_act", "l\x00l"]),
        max_size=12,
    ),
    foreign,
)
@example(["0"], "\N{CJK COMPATIBILITY IDEOGRAPH-2F800}.json")  # a file's name that NFC changes
def test_any_foreign_names_give_a_schema_that_can_be_stored(names: list[str], where: str) -> None:
    good = []
    for name in names:
        try:
            labels.clean_name(name)
            good.append(name)
        except InvalidInput:
            with pytest.raises(InvalidInput):
                labels.extend(COAL, [name], where)
    grown = labels.extend(COAL, good, where)
    assert labels.loads(labels.dumps(grown), "grown") == grown
    for name in good:
        assert grown.resolve(labels.clean_name(name)) is not None
    assert labels.extend(grown, good, where) is grown


def test_four_hundred_foreign_classes_get_a_colour_each() -> None:
    names = [f"thing {i}" for i in range(400)]
    grown = labels.extend(COAL, names, "coco")
    assert len({label.color for label in grown.labels if not label.abstract}) == len(grown.drawable())
    assert labels.loads(labels.dumps(grown), "grown") == grown


def test_a_flood_of_names_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most"):
        labels.extend(COAL, (f"n{i}" for i in range(5000)), "x")


def test_importing_labels_loads_neither_numpy_nor_cv2() -> None:
    code = "import sys, annotation.labels, annotation.core; print([m for m in ('numpy', 'cv2', 'shapely') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(st.binary(max_size=300) | st.text("[]{}\"'=\n#\\ab1.", max_size=200).map(str.encode))
def test_any_bytes_are_a_schema_or_a_named_problem(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.toml"
    file.write_bytes(data)
    with pytest.raises(LamproomError) as caught:
        labels.load(file)
    assert caught.value.line


def example(good: str = "true", digest: str = "ab" * 32, box: str = "[1, 2, 30, 40]", more: str = "") -> str:
    return f'examples = [{{ good = {good}, blake3 = "{digest}", box = {box}{more} }}]\n'


def test_examples_of_a_rule_survive_the_round_trip() -> None:
    text = HEAD + ONE + example(more=', note_zh = "贴边", note_en = "tight"')
    schema = labels.loads(text, "t")
    (shown,) = schema.labels[0].examples
    assert (shown.good, shown.box, shown.note("zh_CN"), shown.note("en")) == (
        True,
        (1, 2, 30, 40),
        "贴边",
        "tight",
    )
    assert labels.loads(labels.dumps(schema), "t") == schema


@pytest.mark.parametrize(
    ("row", "where"),
    [
        (example(digest="AB" * 32), "blake3"),
        (example(digest="../x"), "blake3"),
        (example(box="[1, 2, 3]"), "box"),
        (example(box="[5, 2, 3, 9]"), "box"),
        (example(box="[1, 2, true, 9]"), "box"),
        (example(good='"yes"'), "good"),
        (example(more=", size = 3"), "size"),
    ],
)
def test_a_faulty_example_is_named(row: str, where: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        labels.loads(HEAD + ONE + row, "t")
    assert any(f"labels.a.examples.1.{where}" in p.where for p in caught.value.problems)
