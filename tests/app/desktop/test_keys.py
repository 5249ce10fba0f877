"""Keys: unique by place, silent while somebody types, changed live, kept as differences, carried in files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QInputMethodEvent, QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication, QLineEdit

from annotation.errors import InvalidInput
from app import settings
from app.desktop import actions, keys
from app.desktop.actions import keymap
from app.desktop.keysheet import KeySheet, pressed
from tests.app.desktop.conftest import Hand

CTRL, SHIFT, ALT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
)


@pytest.fixture(autouse=True)
def own_keys():
    keymap.use({})
    yield
    keymap.use({})


def by(action_id: str) -> actions.Action:
    return actions.BY_ID[action_id]


# --- the table ---------------------------------------------------------------------------------------------------


def test_no_two_actions_that_are_heard_in_one_place_share_a_key() -> None:
    assert keys.collisions({a.id: a.keys for a in actions.ACTIONS}) == []


def test_every_key_is_one_that_qt_knows_and_every_action_is_named_once() -> None:
    assert [(a.id, k) for a in actions.ACTIONS for k in a.keys if keys.normal(k) == ""] == []
    assert len({a.id for a in actions.ACTIONS}) == len(actions.ACTIONS)


@pytest.mark.parametrize("name", list(keys.PRESETS))
def test_a_key_set_of_another_tool_has_no_collision_and_names_actions_of_ours(name: str) -> None:
    assert [i for i in keys.PRESETS[name][1] if i not in actions.BY_ID] == []
    changes = keys.preset(name)
    assert keys.collisions({a.id: changes.get(a.id, a.keys) for a in actions.ACTIONS}) == []


def test_digits_choose_the_classes_of_two_pages(hand: Hand) -> None:
    hand.open(1)
    pages = hand.window.annotate.classing.pages()
    hand.key("2")
    assert hand.desk.label == pages[1].code
    assert hand.window.annotate.classing.key(pages[1].code) == "2"
    assert all(one is None or not one.key for one in pages[10:])
    hand.key("c", SHIFT)
    assert hand.desk.label != pages[1].code  # the class before is in hand again


# --- who hears them ----------------------------------------------------------------------------------------------


def override(edit: QLineEdit, key: Qt.Key, held: Qt.KeyboardModifier, text: str = "") -> bool:
    """Whether the line keeps a key for itself."""
    event = QKeyEvent(QEvent.Type.ShortcutOverride, key, held, text)
    event.ignore()
    QApplication.sendEvent(edit, event)
    return event.isAccepted()


def test_no_action_fires_from_a_line_of_text_unless_its_key_has_ctrl(hand: Hand) -> None:
    hand.open(2)
    edit = hand.window.annotate.classes.wanted
    edit.setFocus()
    for action in actions.ACTIONS:
        for key in actions.keys_of(action.id):
            combination = QKeySequence(key)[0]
            held = combination.keyboardModifiers()
            if not held & CTRL:
                assert override(edit, combination.key(), held), key
    assert not override(edit, Qt.Key.Key_K, CTRL)
    assert override(edit, Qt.Key.Key_Q, CTRL | ALT, "@")  # AltGr is a letter


def test_no_action_fires_while_an_input_method_composes(hand: Hand, guard) -> None:
    hand.open(2)
    edit = hand.window.annotate.classes.wanted
    edit.setFocus()
    QApplication.sendEvent(edit, QInputMethodEvent("anquan", []))
    assert override(edit, Qt.Key.Key_K, CTRL)
    hand.key(Qt.Key.Key_Return, on=edit)
    assert hand.window.palette_sheet is None
    done = QInputMethodEvent("", [])
    done.setCommitString("安全")
    QApplication.sendEvent(edit, done)
    assert edit.text() == "安全"
    assert not guard.composing


def test_keys_are_dead_for_the_desk_while_a_sheet_is_open(hand: Hand) -> None:
    hand.open(1)
    hand.window.show_settings()
    hand.window.trigger(by("tool.box"))
    assert hand.canvas.tool.name == "select"
    hand.key(Qt.Key.Key_Escape)
    hand.window.trigger(by("tool.box"))
    assert hand.canvas.tool.name == "box"


# --- changing them -----------------------------------------------------------------------------------------------


def test_a_changed_key_is_heard_drawn_and_kept_and_the_old_one_is_dead(hand: Hand) -> None:
    hand.open(1)
    keys.put(hand.desk, by("tool.box"), ("Y",), take=True)
    assert actions.key("tool.box") == "Y"
    assert settings.get("keys")
    hand.key("r")
    assert hand.canvas.tool.name == "select"
    hand.key("y")
    assert hand.canvas.tool.name == "box"
    keys.reset(hand.desk, by("tool.box"))
    assert not any(line.startswith("tool.box=") for line in settings.get("keys"))
    bound = {s.key().toString() for s in hand.window.findChildren(QShortcut) if s.isEnabled()}
    assert "R" in bound


def test_only_differences_are_kept() -> None:
    keymap.use({"tool.box": ("R",), "fit": ("Home",), "no.such": ("Q",)})
    assert keymap.changed() == {"fit": ("Home",)}
    assert keys.read(keys.lines(keymap.changed())) == {"fit": ("Home",)}
    assert keys.read(["rubbish", "no.such=Q", "fit="]) == {"fit": ()}


def sheet_on(hand: Hand, action_id: str) -> KeySheet:
    hand.window.show_keys()
    sheet = hand.window.findChildren(KeySheet)[-1]
    sheet.list.setCurrentRow(next(i for i in range(sheet.list.count()) if sheet._id(i) == action_id))
    return sheet


def test_a_taken_key_names_its_owner_and_changes_hands_only_on_demand(hand: Hand) -> None:
    hand.open(1)
    sheet = sheet_on(hand, "fit")
    sheet.capture()
    hand.key("k", CTRL)
    assert hand.window.palette_sheet is None
    assert by("palette").name in sheet.said.text()
    hand.qtbot.mouseClick(sheet.keep, Qt.MouseButton.LeftButton)
    assert actions.keys_of("fit") == ("F",)
    sheet.capture()
    hand.key("k", CTRL)
    hand.qtbot.mouseClick(sheet.take, Qt.MouseButton.LeftButton)
    assert actions.keys_of("fit") == ("Ctrl+K",)
    assert actions.keys_of("palette") == ()
    sheet.finish()


def test_escape_leaves_the_capture_and_the_key_as_it_was(hand: Hand) -> None:
    hand.open(1)
    sheet = sheet_on(hand, "fit")
    sheet.capture()
    hand.key(Qt.Key.Key_Escape)
    assert not sheet.capturing
    assert sheet.isVisible()
    assert actions.keys_of("fit") == ("F",)
    sheet.finish()


def test_the_keymap_is_found_by_name_pinyin_and_key(hand: Hand) -> None:
    hand.desk.set_language("zh_CN")
    hand.window.show_keys()
    sheet = hand.window.findChildren(KeySheet)[-1]
    for typed in ("xyzdqr", "next picture to confirm", "下一张待确认"):
        sheet.edit.setText(typed)
        assert sheet.current() is by("next.predicted"), typed
    sheet.finish()
    hand.desk.set_language("en")


def test_a_symbol_typed_with_shift_is_kept_as_the_symbol() -> None:
    event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Question, SHIFT, "?")
    assert pressed(event) == "?"
    assert pressed(QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Shift, SHIFT)) == ""
    assert pressed(QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_D, SHIFT)) == "Shift+D"


# --- files -------------------------------------------------------------------------------------------------------


def test_keys_go_through_a_file_unchanged(tmp_path: Path) -> None:
    changes = keys.preset("x-anylabeling")
    assert keys.from_toml(keys.to_toml(changes)) == {
        i: tuple(map(keys.normal, k)) for i, k in changes.items()
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys = 3", "no table of keys"),
        ("[keys", "not readable as TOML"),
        ('[keys]\n"no.such" = ["A"]', "no action no.such"),
        ('[keys]\n"fit" = ["Nonsense+Q+Q"]', "not understood"),
        ('[keys]\n"fit" = ["R"]', "both have the key R"),
    ],
)
def test_a_wrong_file_of_keys_is_refused_whole_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        keys.from_toml(text, where="keys.toml")


# --- classes and attributes --------------------------------------------------------------------------------------


def test_alt_and_a_digit_give_an_attribute_value(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.settled()
    attributes = hand.window.annotate.attributes
    hand.qtbot.waitUntil(lambda: len(attributes._values) > 1)
    second = attributes._values[1].accessibleName()
    hand.key("2", ALT)
    hand.settled()
    assert next(v for v in attributes._values if v.isChecked()).accessibleName() == second


def test_pinned_values_are_what_the_next_object_of_the_class_starts_with(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.key("2", ALT)
    hand.settled()
    wanted = dict(hand.doc.chosen()[0].attributes)
    hand.key("d", ALT)
    assert hand.window.annotate.attributes.pinned.isChecked()
    hand.drag(200, 60, 300, 140)
    hand.settled()
    assert dict(hand.doc.chosen()[0].attributes) == wanted
    hand.key("d", ALT)
    assert hand.window.annotate.classing.pinned(hand.desk.label) == {}


def test_the_class_is_asked_for_after_drawing_when_wanted(hand: Hand) -> None:
    hand.open(1)
    hand.desk.put_setting("ask_class", True)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    classing = hand.window.annotate.classing
    hand.qtbot.waitUntil(lambda: classing.chooser is not None)
    edit = classing.chooser.finder.edit
    edit.setText("aqm")  # 安全帽
    hand.key(Qt.Key.Key_Return, on=edit)
    hand.settled()
    assert hand.doc.chosen()[0].label == "helmet"
    assert hand.desk.label == "helmet"


def test_the_chooser_stays_inside_the_desk(hand: Hand) -> None:
    hand.open(1)
    classing = hand.window.annotate.classing
    classing.ask(at=QPoint(hand.canvas.width(), hand.canvas.height()))
    body = hand.window.body.rect()
    assert body.contains(classing.chooser.card.geometry())
    classing.chooser.finish()


# --- jumps -------------------------------------------------------------------------------------------------------


def test_jumps_go_round_to_the_next_picture_of_a_kind(hand: Hand) -> None:
    hand.open(1)
    hand.key("j")
    hand.qtbot.waitUntil(lambda: hand.ready(2))
    hand.key("u")
    hand.qtbot.waitUntil(lambda: hand.ready(3))
    hand.key("u", SHIFT)
    hand.qtbot.waitUntil(lambda: hand.ready(1))
    hand.key("u", SHIFT)
    hand.qtbot.waitUntil(lambda: hand.ready(5))
    hand.desk.choose_label("helmet")
    hand.key("c", ALT)
    hand.qtbot.waitUntil(lambda: hand.ready(2))


def test_a_jump_without_a_goal_says_so(hand: Hand) -> None:
    hand.open(2)
    for key in ("j", "m", "r", "p"):
        hand.canvas.hint = ""
        hand.key(key, *((ALT,) if key != "j" else ()))
        hand.qtbot.waitUntil(lambda: hand.canvas.hint != "")
        assert hand.doc.asset_id == 2


def test_a_picture_is_reached_by_its_number_and_by_its_name(hand: Hand) -> None:
    hand.open(1)
    for typed, asset in (("4", 4), ("002", 3)):
        hand.key("g", CTRL)
        chooser = hand.window.annotate.jumps.chooser
        chooser.finder.edit.setText(typed)
        hand.qtbot.waitUntil(lambda chooser=chooser: bool(chooser.finder.shown))
        hand.key(Qt.Key.Key_Return, on=chooser.finder.edit)
        hand.qtbot.waitUntil(lambda asset=asset: hand.ready(asset))
