"""Rules of the app base: settings, language, log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from annotation.errors import InvalidInput
from app import i18n, log, settings


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i18n, "_current", "zh_CN")


def test_only_what_was_changed_is_written_and_a_default_is_forgotten() -> None:
    assert settings.get("theme") == "dark"
    settings.put("theme", "light")
    settings.put("recent", ['a "quoted" 路径', "back\\slash\x7f"])
    assert settings.load()["recent"] == ['a "quoted" 路径', "back\\slash\x7f"]
    settings.put("theme", "dark")
    assert "theme" not in settings.file().read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value"),
    [("theme", "pink"), ("score", 1.5), ("score", float("nan")), ("score", True), ("thumbnail_px", "big"), ("nothing", 1)],
)  # fmt: skip
def test_a_value_outside_the_table_is_refused_and_nothing_is_written(key: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        settings.put(key, value)  # type: ignore[arg-type]
    assert caught.value.where == key
    assert not settings.file().exists()


def test_a_broken_settings_file_is_named_and_left_alone() -> None:
    settings.file().parent.mkdir(parents=True)
    settings.file().write_bytes(b"theme = \xff")
    with pytest.raises(InvalidInput, match=r"settings\.toml"):
        settings.put("theme", "light")
    assert settings.file().read_bytes() == b"theme = \xff"


@pytest.mark.parametrize(
    ("environ", "language"),
    [({"LANG": "zh_CN.UTF-8"}, "zh_CN"), ({"LANG": "zh_TW"}, "zh_CN"), ({"LC_ALL": "C", "LANG": "zh_CN"}, "en"),
     ({"LAMPROOM_LANG": "zh", "LC_ALL": "en_US"}, "zh_CN"), ({}, "en")],
)  # fmt: skip
def test_the_language_follows_the_environment_in_the_order_of_posix(
    environ: dict[str, str], language: str
) -> None:
    assert i18n.guess(environ) == language


def test_po_entries_join_lines_and_keep_escapes() -> None:
    text = 'msgid ""\nmsgstr "Content-Type: x"\n\n#: where\nmsgid "a \\"b\\"\\n"\n"c"\nmsgstr "甲"\n"乙"\nmsgid "d"\nmsgstr ""\n'
    assert list(i18n.read_po(text)) == [('a "b"\nc', "甲乙"), ("d", "")]


@pytest.mark.usefixtures("chinese")
def test_a_finished_sentence_is_translated_by_the_pattern_that_made_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {"line {}: {}": "第 {} 行：{}", "the number {} cannot be stored": "数 {} 无法保存", "empty": "空"}
    monkeypatch.setattr(i18n, "catalogue", lambda language: known)
    i18n._patterns.cache_clear()
    try:
        assert i18n.tr_sentence("line 3: the number 1e999 cannot be stored") == "第 3 行：数 1e999 无法保存"
        assert i18n.tr_sentence("something else") == "something else"
        assert i18n.tr_sentence("line 3: empty (empty)") == "第 3 行：空（空）"
        assert i18n.tr_sentence("empty; line 1: empty") == "空；第 1 行：empty"
        fault = InvalidInput("empty", where="a.json", remedy="line 1: empty")
        assert i18n.tr_fault(fault) == "a.json：空（第 1 行：empty）"
    finally:
        i18n._patterns.cache_clear()


def test_an_unexpected_error_is_logged_with_its_traceback() -> None:
    try:
        raise ZeroDivisionError("by design")
    except ZeroDivisionError as error:
        where = log.report(error, "a test")
    log.stop()
    text = where.read_text(encoding="utf-8")
    assert "unexpected error in a test" in text
    assert f"{Path(__file__).name}" in text


def test_only_the_categories_asked_for_are_timed() -> None:
    log.start(debug=["record"])
    try:
        with log.span("record", "one edit"), log.span("hub", "an upload"):
            pass
    finally:
        log.stop()
        logging.getLogger("lamproom.record").setLevel(logging.NOTSET)
    text = log.path().read_text(encoding="utf-8")
    assert "one edit took" in text
    assert "an upload" not in text
