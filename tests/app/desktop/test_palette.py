"""Finding by name: both languages, pinyin whole and by initials, letters in order, what was used last."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PySide6.QtCore import Qt

from app.desktop import finding, pinyin
from app.desktop.palette import Entry, rank
from tests.app.desktop.conftest import Hand

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("xyz", "下一张"),
        ("xiayizhang", "下一张"),
        ("xiayz", "下一张"),
        ("下yz", "下一张"),
        ("aqm", "安全帽"),
        ("zhongzuo", "重做"),
        ("chongzuo", "重做"),
        ("lvse", "绿色"),
        ("gs", "矸石"),
        ("shiku", "石窟"),
        ("coco", "导出 COCO"),
    ],
)
def test_typed_letters_spell_a_chinese_text(typed: str, text: str) -> None:
    assert finding.score(typed, [text]) is not None


@pytest.mark.parametrize(
    ("typed", "text"), [("xyq", "下一张"), ("zz", "安全帽"), ("box", "框"), ("aqmm", "安全帽")]
)
def test_other_letters_do_not(typed: str, text: str) -> None:
    assert finding.score(typed, [text]) is None


def test_a_spelling_from_the_first_character_stands_before_one_from_the_middle() -> None:
    assert (pinyin.spells("zdqr", "下一张待确认"), pinyin.spells("xyz", "下一张待确认")) == (3, 1)
    assert finding.score("dqr", ["待确认"]) > finding.score("dqr", ["下一张待确认"])


def test_the_beginning_of_a_name_stands_before_a_word_and_that_before_scattered_letters() -> None:
    order = ["Pre-label…", "Next picture to label", "Place all by eye"]
    scores = [finding.score(t, [n]) for t, n in zip(("pre", "label", "plabe"), order, strict=True)]
    assert scores == sorted(scores, reverse=True)
    assert finding.score("np", ["Next picture"]) > (finding.score("np", ["Snap"]) or 0)


def test_every_typed_word_must_fit() -> None:
    assert finding.score("next confirm", ["Next picture to confirm"]) is not None
    assert finding.score("next qqq", ["Next picture to confirm"]) is None


def test_what_was_used_last_stands_first_and_breaks_ties() -> None:
    entries = [Entry(name, lambda: None, id=name) for name in ("fit", "box", "fill")]
    assert [e.id for e in rank(entries, "", ["box"])] == ["box", "fit", "fill"]
    assert [e.id for e in rank(entries, "fi", ["fill"])] == ["fill", "fit"]


def found(hand: Hand, typed: str) -> str:
    hand.key("k", CTRL)
    palette = hand.window.palette_sheet
    palette.edit.setText(typed)
    first = palette.shown[0].id if palette.shown else ""
    palette.finish()
    return first


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_an_action_and_a_class_are_found_in_both_languages_whatever_is_spoken(
    hand: Hand, language: str
) -> None:
    hand.desk.set_language(language)
    hand.open(1)
    assert found(hand, "whole picture") == "fit"
    assert found(hand, "下一张") == found(hand, "xyz") == found(hand, "next picture") == "next"
    assert found(hand, "aqm") == found(hand, "安全帽") == found(hand, "safety helmet") == "class:helmet"
    hand.desk.set_language("en")


def test_the_palette_remembers_what_it_ran(hand: Hand) -> None:
    hand.open(1)
    hand.key("k", CTRL)
    hand.window.palette_sheet.edit.setText("whole picture")
    hand.key(Qt.Key.Key_Return, on=hand.window.palette_sheet.edit)
    hand.key("k", CTRL)
    assert hand.window.palette_sheet.shown[0].id == "fit"
    hand.key(Qt.Key.Key_Escape)


def test_the_table_of_readings_is_loaded_at_the_first_use_only() -> None:
    code = "import sys, app.desktop.window; print('pypinyin' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
