"""The manual's chapter of keys says what ACTIONS says, in both languages; `--manual` writes it anew."""

from __future__ import annotations

from pathlib import Path

import pytest

import app
from app import i18n
from app.desktop import actions, keys
from app.desktop.actions import SECTIONS, keymap
from app.i18n import tr

BEGIN, END = "<!-- keys: begin (made by a test) -->", "<!-- keys: end -->"
HEADS = {
    "zh": ("动作", "按键", "CVAT", "X-AnyLabeling"),
    "en": ("action", "keys", "CVAT-like", "X-AnyLabeling-like"),
}


def table(folder: str) -> str:
    """Every section as a table: action, keys, and what the key sets of other tools change."""
    language = "zh_CN" if folder == "zh" else "en"
    before = i18n.language()
    i18n.use(language)
    keymap.use({})
    try:
        cvat, other = keys.preset("cvat"), keys.preset("x-anylabeling")
        out = []
        for _, caption, rows in SECTIONS:
            if not rows:
                continue
            out += [f"### {tr(caption)}", "", f"| {' | '.join(HEADS[folder])} |", "|---|---|---|---|"]
            for a in rows:
                sets = [_shown(s[a.id]) if a.id in s else "" for s in (cvat, other)]
                out.append(f"| {a.name} | {_shown(a.keys)} | {sets[0]} | {sets[1]} |")
            out.append("")
        return "\n".join(out)
    finally:
        i18n.use(before)


def _shown(found: tuple[str, ...]) -> str:
    return (
        " ".join(f"`` {actions.shown(k)} ``" if "`" in k else f"`{actions.shown(k)}`" for k in found) or "–"
    )


@pytest.mark.parametrize("folder", ["zh", "en"])
def test_the_table_of_keys_in_the_manual_is_that_of_the_program(
    folder: str, request: pytest.FixtureRequest
) -> None:
    file = Path(app.__file__).parent / "manual" / folder / "keys.md"
    text = file.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    old, tail = rest.split(END)
    new = f"\n\n{table(folder)}\n"
    if request.config.getoption("--manual"):
        file.write_text(f"{head}{BEGIN}{new}{END}{tail}", encoding="utf-8")
        return
    assert old == new, "run this test with --manual"
