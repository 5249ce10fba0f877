"""From one sitting to the next: layout, where one was, text size, the first steps."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from app import i18n, settings
from app.desktop import main, memory, theme, tour
from tests.app.desktop.conftest import Hand, open_in

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture(autouse=True)
def plain():
    yield
    theme.scale(100)
    theme.choose("dark")


def test_panels_hide_by_key_and_are_remembered(hand: Hand, qtbot) -> None:
    hand.open(1)
    hand.key("b", CTRL)
    assert hand.window.annotate.left.isHidden()
    hand.window.close()
    again = main.build("en")
    assert again.annotate.left.isHidden()
    assert not again.annotate.right.isHidden()
    again.close()


def test_focus_mode_leaves_only_the_picture_and_brings_everything_back(hand: Hand) -> None:
    hand.open(1)
    hand.key(Qt.Key.Key_F10)
    parts = (hand.window.top, hand.window.bottom, hand.window.annotate.left, hand.window.annotate.below)
    assert not any(part.isVisible() for part in parts)
    assert hand.canvas.hasFocus()
    hand.key(Qt.Key.Key_F10)
    assert all(part.isVisible() for part in parts)


def test_one_goes_on_at_the_picture_one_left(hand: Hand, qtbot, place) -> None:
    hand.open(4)
    hand.window.close()
    window = main.build("en")
    window.show()
    again = open_in(window, qtbot, place)
    assert window.layout_.was()[1] == 4
    window.layout_.go_on()
    qtbot.waitUntil(lambda: again.ready(4))
    window.close()


def test_a_broken_memory_is_an_empty_one(qapp) -> None:
    memory.file().parent.mkdir(parents=True, exist_ok=True)
    memory.file().write_text("{")
    assert memory.Memory().get("panels", []) == []


def test_the_text_grows_with_the_setting_at_once(hand: Hand) -> None:
    before = hand.window.saved.sizeHint().height()
    hand.desk.put_setting("text_percent", 150)
    assert theme.font(13).pixelSize() == 20
    assert hand.window.saved.sizeHint().height() > before
    assert settings.get("text_percent") == 150


def test_system_is_a_theme_too(hand: Hand) -> None:
    hand.desk.set_theme("system")
    assert settings.get("theme") == "system"
    assert theme.current().name == theme.system()


def test_the_first_steps_wait_for_the_real_gestures(hand: Hand) -> None:
    hand.open(1)
    hand.desk.put_setting("calm", True)
    hand.window.show_tour()
    steps = hand.window.tour

    def reached(n: int) -> None:
        hand.qtbot.waitUntil(lambda: steps.at == n)

    reached(0)
    hand.key("d")
    reached(1)
    hand.qtbot.waitUntil(lambda: hand.ready(2))
    hand.key("r")
    hand.drag(250, 200, 290, 240)
    reached(2)
    hand.key("v")
    hand.key("2")
    reached(3)
    hand.settled()
    hand.key("z", CTRL)
    reached(4)
    hand.settled()
    hand.key(Qt.Key.Key_Return)
    hand.key(Qt.Key.Key_Return)
    reached(5)
    hand.key("k", CTRL)
    reached(6)
    hand.window.palette_sheet.finish()
    hand.qtbot.mouseClick(steps.next, Qt.MouseButton.LeftButton)
    assert hand.window.tour is None
    assert hand.desk.memory.get("toured", False)


def test_the_first_steps_do_not_take_the_first_picture_for_a_gesture_and_show_their_whole_text(
    hand: Hand,
) -> None:
    hand.window.show_tour()
    steps = hand.window.tour
    hand.window.annotate.open(1)
    assert not hand.doc.loaded
    steps._look()  # something moved while the picture is still being read
    hand.open(1)
    hand.settled()
    hand.qtbot.waitUntil(lambda: not steps._soon.isActive())
    assert steps.at == 0
    while True:
        assert steps.text.height() >= steps.text.heightForWidth(steps.text.width())
        assert hand.window.rect().contains(steps.card.geometry())
        assert not steps._target().isEmpty()
        if steps.at + 1 == len(tour.STEPS):
            break
        steps.forward()


def test_the_first_steps_are_left_by_one_click_and_speak_both_languages(hand: Hand) -> None:
    hand.open(1)
    hand.window.show_tour()
    steps = hand.window.tour
    for step in tour.STEPS:
        for text in (step.title, step.text):
            assert text in i18n.catalogue("zh_CN"), text
            assert i18n.catalogue("zh_CN")[text].count("{") == text.count("{") or "{1}" in text
    hand.qtbot.mouseClick(steps.skip, Qt.MouseButton.LeftButton)
    assert hand.window.tour is None


def test_the_key_on_the_submit_button_outlives_a_change_of_language(hand: Hand) -> None:
    hand.open(1)
    submit = hand.window.annotate.reviewing.submit
    for _ in range(2):
        hand.window.switch_language()
        assert submit.text().endswith("Ctrl Enter")


def test_a_far_nudge_with_nothing_selected_stays_on_the_picture_and_a_near_one_turns_it(hand: Hand) -> None:
    hand.open(1)
    hand.key(Qt.Key.Key_Right, SHIFT)
    assert hand.desk.document.asset_id == 1
    hand.key(Qt.Key.Key_Right)
    hand.qtbot.waitUntil(lambda: hand.ready(2))
