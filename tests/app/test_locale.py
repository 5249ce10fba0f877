"""Rules of the catalogues: zh_CN holds every text, fields survive translation, nothing stale or doubled is kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app import i18n
from tests.support import messages

FOLDER = messages.ROOT / "app/locale"
FILES = sorted(FOLDER.rglob("*.po"))


def test_every_text_of_the_program_is_translated() -> None:
    known = i18n.catalogue("zh_CN")
    missing = [f"{where}: {one}" for one, where in messages.wanted().items() if one not in known]
    assert missing == []


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.stem)
def test_a_translation_has_the_fields_of_its_original(file: Path) -> None:
    def fields(text: str) -> list[str]:
        return sorted(re.findall(r"\{(\w*)\}", text))

    wrong = []
    for key, text in i18n.read_po(file.read_text(encoding="utf-8")):
        numbered = set(re.findall(r"\{(\d+)\}", text))
        if fields(key) != fields(text) and not (
            numbered and numbered <= {str(i) for i in range(key.count("{}"))}
        ):
            wrong.append((key, text))
    assert wrong == []


def test_no_text_is_translated_twice() -> None:
    keys = [key for file in FILES for key, _ in i18n.read_po(file.read_text(encoding="utf-8"))]
    assert sorted({k for k in keys if keys.count(k) > 1}) == []


def test_no_translation_is_empty() -> None:
    assert [
        k for f in FILES for k, text in i18n.read_po(f.read_text(encoding="utf-8")) if not text.strip()
    ] == []


def test_of_two_patterns_that_fit_the_one_with_more_words_of_its_own_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(i18n, "_current", "zh_CN")
    said = i18n.tr_sentence("it is a JSON object with shapes and imagePath, as labelme writes")
    assert "it" not in said.replace("imagePath", "")
