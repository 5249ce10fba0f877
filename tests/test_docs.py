"""Rules of the documents: what they name exists, and what exists is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from app import cli
from models import recipe

ROOT = Path(__file__).resolve().parent.parent
MANUALS = [ROOT / "app/manual" / language / "index.md" for language in ("en", "zh")]
COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("manual", MANUALS, ids=lambda p: p.parent.name)
def test_the_manual_has_every_verb_and_sub_verb(manual: Path) -> None:
    text = manual.read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)", text))
    for name, command in COMMANDS.items():
        assert name in named, name
        for inner in getattr(command, "commands", {}):
            assert re.search(rf"`{name}[^`]*\b{inner}\b", text), f"{name} {inner}"


@pytest.mark.parametrize("file", [*MANUALS, ROOT / "README.md"], ids=lambda p: f"{p.parent.name}-{p.name}")
def test_every_command_and_option_in_the_documents_exists(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    verbs = set(re.findall(r"^\s{4}lamproom (\w+)", text, re.MULTILINE)) | set(
        re.findall(r"^\| `(\w+)", text, re.MULTILINE)
    )
    assert verbs <= set(COMMANDS)
    known = {o for c in _every(COMMANDS) for p in c.params for o in p.opts} | {
        "--json",
        "--whole",
        "--headed",
        "--help",
    }
    assert set(re.findall(r"(?<!\w)--[a-z][a-z-]*", text)) <= known


def _every(commands: dict[str, object]) -> list[typer.core.TyperCommand]:
    out = []
    for command in commands.values():
        inner = getattr(command, "commands", None)
        out += _every(inner) if inner else [command]  # type: ignore[list-item]
    return out


def test_links_between_documents_lead_somewhere() -> None:
    for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *MANUALS]:
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8")):
            assert (file.parent / target).exists(), target


@pytest.mark.parametrize("manual", MANUALS, ids=lambda p: p.parent.name)
def test_the_recipe_that_the_manual_shows_is_one(manual: Path) -> None:
    text = manual.with_name("models.md").read_text(encoding="utf-8")
    shown = text[text.rindex("    score = ") :]
    found = recipe.from_toml("\n".join(line[4:] for line in shown.splitlines()))
    assert (found.providers, len(found.regions), len(found.mapping)) == (("cuda", "cpu"), 1, 2)
