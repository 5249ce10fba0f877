"""Rules of the label schema at the desk: what a change would do is said first, retired classes are forwarded, examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from annotation.core import Annotation, Box
from annotation.errors import Conflict
from annotation.schema import Example
from app.desktop.schema_editor import Editor
from app.services import impact, labelling, schema
from app.services.workspace import Workspace
from tests.app.conftest import draw, enrol
from tests.app.conftest import ws as ws  # the service's own workspace
from tests.app.desktop.conftest import Hand


def labelled(ws: Workspace, tmp_path: Path, *labels: str) -> list[int]:
    _, assets = enrol(ws, tmp_path / "p", draw(tmp_path / "p", 2))
    for asset in assets:
        new = tuple(Annotation(code, Box(1 + i, 1, 20 + i, 30)) for i, code in enumerate(labels))
        labelling.save(ws, labelling.load(ws, asset), new, verb="draw box")
    return assets


def test_retiring_a_class_counts_its_annotations_and_forwards_them_as_undoable_steps(
    ws: Workspace, tmp_path: Path
) -> None:
    assets = labelled(ws, tmp_path, "person", "helmet", "helmet")
    old = schema.current(ws, "coal_mine")
    new = replace(
        old,
        labels=tuple(replace(la, retired_to="person") if la.code == "helmet" else la for la in old.labels),
    )
    found = impact.impact(ws, new)
    assert [(i.label, i.what, i.n, i.to) for i in found] == [("helmet", "retired", 4, "person")]
    schema.apply(ws, new)
    assert impact.waiting(ws, "coal_mine") == [("helmet", "person", 4)]
    last = list(impact.forward(ws, "coal_mine"))[-1]
    assert last.result["objects"] == 4 and impact.waiting(ws, "coal_mine") == []  # type: ignore[union-attr]
    assert {a.label for a in labelling.load(ws, assets[0]).annotations} == {"person"}
    (step,) = last.result["steps"]  # type: ignore[union-attr]
    labelling.undo_step(ws, step)
    assert sorted(a.label for a in labelling.load(ws, assets[0]).annotations) == [
        "helmet",
        "helmet",
        "person",
    ]


def test_a_draft_of_a_version_that_is_no_longer_current_is_refused(ws: Workspace, tmp_path: Path) -> None:
    labelled(ws, tmp_path, "person")
    old = schema.current(ws, "coal_mine")
    draft = replace(old, labels=tuple(replace(la, name_en=la.name_en + " x") for la in old.labels))
    schema.ensure_labels(ws, "coal_mine", ["brand new"], where_from="a.json")
    with pytest.raises(Conflict, match="meanwhile"):
        schema.apply(ws, draft, base=old)
    now = schema.current(ws, "coal_mine")
    assert now.resolve("brand new") is not None
    assert schema.apply(ws, replace(now, labels=now.labels[::-1]), base=now).revision


def test_a_kind_or_a_value_that_goes_and_a_value_newly_required_are_counted(
    ws: Workspace, tmp_path: Path
) -> None:
    labelled(ws, tmp_path, "person")
    old = schema.current(ws, "coal_mine")
    person = old.label("person")
    assert person is not None and person.attributes
    first = person.attributes[0]
    new = replace(
        person, kinds=frozenset({"polygon"}), attributes=(replace(first, code="other", required=True),)
    )
    found = impact.impact(ws, replace(old, labels=tuple(new if la is person else la for la in old.labels)))
    assert ("kind", 2, "box") in [(i.what, i.n, i.detail) for i in found]
    assert ("required", 2, "other") in [(i.what, i.n, i.detail) for i in found]


def test_a_class_in_use_cannot_be_taken_out(ws: Workspace, tmp_path: Path) -> None:
    labelled(ws, tmp_path, "helmet")
    old = schema.current(ws, "coal_mine")
    found = impact.impact(ws, replace(old, labels=tuple(la for la in old.labels if la.code != "helmet")))
    assert [(i.what, i.n) for i in found if i.label == "helmet"] == [("missing", 2)]


def test_an_example_of_the_rule_is_a_part_of_a_picture_by_digest(ws: Workspace, tmp_path: Path) -> None:
    shown = Example(True, "ab" * 32, (0, 0, 10, 10))
    schema.add_example(ws, "coal_mine", "person", shown)
    found = schema.current(ws, "coal_mine").label("person")
    assert found is not None and found.examples == (shown,)
    assert schema.example_picture(ws, shown) is None  # the workspace does not hold it
    labelling.undo_step(ws, labelling.steps(ws)[0].step)
    again = schema.current(ws, "coal_mine").label("person")
    assert again is not None and again.examples == ()


@pytest.fixture
def editor(hand: Hand, qtbot: QtBot) -> Editor:
    hand.open(2)
    hand.window.sheets.edit_schema()
    made = hand.window.findChild(Editor)
    assert made is not None
    return made


def test_the_editor_applies_only_what_is_sound_and_counted(hand: Hand, editor: Editor, qtbot: QtBot) -> None:
    sheet = hand.window.sheets.open
    assert sheet is not None and not sheet.verb.isEnabled()
    editor.choose("person")
    editor._fields["name_zh"].setText("")
    editor._typed("name_zh", "")
    qtbot.waitUntil(lambda: bool(editor.faults))
    assert not sheet.verb.isEnabled()
    editor._typed("name_zh", "工人")
    qtbot.waitUntil(lambda: editor.ready)
    assert sheet.verb.isEnabled()
    sheet.verb.click()
    qtbot.waitUntil(
        lambda: hand.desk.schema is not None and hand.desk.schema.label("person").name_zh == "工人",
        timeout=10_000,
    )  # type: ignore[union-attr]


def test_the_editor_adds_a_class_that_can_be_drawn_at_once(hand: Hand, editor: Editor, qtbot: QtBot) -> None:
    editor.add()
    editor._typed("name_en", "conveyor roller")
    editor.add_attribute()
    qtbot.waitUntil(lambda: editor.ready)
    assert hand.window.sheets.open is not None
    hand.window.sheets.open.verb.click()
    qtbot.waitUntil(lambda: any(la.name_en == "conveyor roller" for la in hand.desk.labels()), timeout=10_000)


def test_retiring_in_the_editor_forwards_what_is_there(hand: Hand, editor: Editor, qtbot: QtBot) -> None:
    assert hand.desk.ws is not None
    editor.choose("helmet")
    editor.successor.setText("人员")
    editor._retire()
    qtbot.waitUntil(lambda: editor.ready)
    assert any("1" in text for _, text in editor.sentences())
    assert hand.window.sheets.open is not None
    hand.window.sheets.open.verb.click()
    ws = hand.desk.ws
    qtbot.waitUntil(
        lambda: {a.label for a in labelling.load(ws, 2).annotations} == {"person"}, timeout=10_000
    )


def test_the_selected_object_becomes_the_good_example_beside_the_rule(hand: Hand, qtbot: QtBot) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(100, 60, 200, 200)
    hand.settled()
    rule = hand.window.annotate.rule
    rule.add_example(True)
    qtbot.waitUntil(lambda: rule.examples[0].picture is not None, timeout=10_000)
    assert rule.examples[1].picture is None
