"""The command line: one line in, one exit code out; the verbs are in app/verbs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from annotation.errors import LamproomError
from app import VERSION, console, i18n, log, settings
from app.console import Call, Outcome
from app.verbs.parts import app, opt

VERBS = (
    "record",
    "intake",
    "recipes",
    "packs",
    "clean",
    "work",
    "worth",
    "judge",
    "rights",
    "versions",
    "out",
    "formats",
    "hub",
    "lineage",
    "documents",
    "keys",
    "arrive",
    "hubjob",
    "program",
)
"""Modules of app/verbs in the order of the help: each adds its verbs when it is loaded."""
for _module in VERBS:
    importlib.import_module(f"app.verbs.{_module}")

GLOBAL_FLAGS = ("--json",)
GROUPS = tuple(name for found in app.registered_groups if (name := found.name))
GLOBAL_OPTIONS = ("-w", "--workspace", "--debug")


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; nothing but an exit code leaves this function."""
    for stream in (sys.stdout, sys.stderr):
        # A path may hold bytes that are no text; \udcxx is also valid JSON.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    call = Call(json="--json" in argv)
    doing = " ".join(argv[:2])
    try:
        _speak()
        outcome = typer.main.get_command(app).main(
            _hoisted(argv), prog_name="lamproom", standalone_mode=False, obj=call
        )
        if outcome == console.INTERRUPTED:  # the library turns Ctrl-C into this
            return console.interrupted(call)
        code = (
            console.deliver(call, _name(argv), outcome) if isinstance(outcome, Outcome) else int(outcome or 0)
        )
        sys.stdout.flush()
        return code
    except LamproomError as fault:
        return console.refuse(call, fault)
    except (KeyboardInterrupt, typer.Abort):
        return console.interrupted(call)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader left; the interpreter's last flush must not fail
        return console.FAULT
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):
            return _usage(error)
        return console.bug(call, error, log.report(error, doing))
    finally:
        log.stop()


def _speak() -> None:
    """The environment's explicit wish, else the person's setting, else the system's language."""
    chosen = str(settings.get("language"))
    if chosen and not os.environ.get("LAMPROOM_LANG"):
        i18n.use(chosen)


def _hoisted(argv: Sequence[str]) -> list[str]:
    """The line with the global options first: they may stand anywhere, as in `prelabel --dataset D --json`."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*front, *rest, "--", *words]
        if word in GLOBAL_FLAGS or word.startswith(("--workspace=", "--debug=")):
            front.append(word)
        elif word in GLOBAL_OPTIONS:
            front += [word, *(w for w in [next(words, None)] if w is not None)]
        else:
            rest.append(word)
    return front + rest


def _name(argv: Sequence[str]) -> str:
    """The verb of a line, with its sub-verb: for the result."""
    words = _hoisted(argv)
    while words and words[0].startswith("-"):
        words = words[2 if words[0] in GLOBAL_OPTIONS else 1 :]
    group = words[0] if words else ""
    return " ".join(words[:2]) if group in GROUPS else group


def _usage(error: Any) -> int:
    """A command line that cannot be read: one line, and where help is."""
    said = str(error.format_message()).strip()
    path = error.ctx.command_path if getattr(error, "ctx", None) is not None else "lamproom"
    if not said or type(error).__name__ == "NoArgsIsHelpError":  # no verb at all: the help itself
        print(said or error.ctx.get_help(), file=sys.stderr)
    else:
        print(
            console.clean(f"{path}: {i18n.tr_sentence(' '.join(said.split()))} ({path} --help)"),
            file=sys.stderr,
        )
    return console.USAGE


@app.callback(invoke_without_command=False)
def _everywhere(
    ctx: typer.Context,
    workspace: Annotated[
        str | None,
        opt("The workspace: a folder or a postgresql:// address (or LAMPROOM_WORKSPACE).", "-w", "--workspace", metavar="DIR|URL"),
    ] = None,
    as_json: Annotated[bool, opt("Print one JSON object on stdout.", "--json")] = False,
    debug: Annotated[list[str] | None, opt("Log everything of a category; may be repeated.", "--debug", metavar="|".join(log.CATEGORIES))] = None,
    version: Annotated[bool, opt("Print the version and exit.", "--version", is_eager=True, callback=lambda wanted: _version(wanted))] = False,
) -> None:  # fmt: skip
    call: Call = ctx.obj
    call.workspace = workspace or os.environ.get("LAMPROOM_WORKSPACE") or None
    call.json, call.debug = as_json, debug or []
    log.start(call.debug)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"lamproom {VERSION}")
        raise typer.Exit
