"""The self-check: what of this machine and of a workspace is in order, what is not, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from annotation.errors import InvalidInput, LamproomError
from app import log, settings
from app.services import accelerators, browse, builds, keys, workspace
from app.services.display import qt_fault
from storage import db as database

State = Literal["good", "note", "bad"]
FREE_BYTES = 5 * 1024**3
_OPENCVS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_FONTS = (
    "wqy",
    "noto*cjk*",
    "NotoSansCJK*",
    "droid*fallback*",
    "msyh*",
    "simsun*",
    "PingFang*",
    "source-han*",
    "uming*",
    "ukai*",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the self-check. `said` and `remedy` are English sentences; translate them where they are shown."""

    name: str
    state: State
    said: str
    remedy: str = ""


def examine(location: str | None = None) -> list[Finding]:
    """Check this machine; with the location of a workspace, that too. A check that fails itself is a finding."""
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("python", _python),
        ("libraries", _libraries),
        ("providers", _providers),
        ("desk", _desk),
        ("fonts", _fonts),
        ("settings", _settings),
        ("disk", lambda: _disk(location)),
    ]
    if location:
        checks.append(("workspace", lambda: _workspace(location)))
    found: list[Finding] = []
    for name, check in checks:
        try:
            found += check()
        except LamproomError as error:
            found.append(Finding(name, "bad", error.line))
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            found.append(Finding(name, "bad", f"the check itself failed: {error}"))
    return found


def migrate(location: str) -> dict[str, object]:
    """Bring a workspace of an older version up to date; a folder workspace is backed up beside its record first.

    Raises:
        NotFound, InvalidInput, Unavailable: nothing was changed.
    """
    target, saved = location, None
    if not database.is_address(location):
        record = Path(location) / workspace.RECORD_FILE
        if not record.is_file():
            raise InvalidInput(
                "there is no workspace here", where=location, remedy="`lamproom init DIR` makes one"
            )
        saved = record.with_name(f"record-{database.now_ms()}.backup.db")
        database.copy_file(record, saved)
        target = str(record)
    database.migrate(target)
    with workspace.open(location) as ws:
        return {
            "workspace": ws.location,
            "version": database.HEAD,
            "backup": None if saved is None else str(saved),
        }


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    right = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Finding("python", "good" if right else "bad", f"Python {version} on {platform.system()} {platform.machine()}",
                  "" if right else "use Python 3.11, 3.12 or 3.13")  # fmt: skip


def _installed(names: tuple[str, ...]) -> list[str]:
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _libraries() -> Iterator[Finding]:
    """Distributions that share one folder overwrite each other, and pip says nothing."""
    yield runtime()
    found = _installed(_OPENCVS)
    if len(found) == 1:
        windowed = not found[0].startswith("opencv-python-headless")
        yield Finding(
            "opencv", "note" if windowed else "good", found[0],
            "it brings a second Qt: install opencv-python-headless instead" if windowed else "",
        )  # fmt: skip
    elif found:
        yield Finding(
            "opencv",
            "bad",
            f"several builds share one folder: {', '.join(found)}",
            "uninstall all of them, then install one",
        )
    else:
        yield Finding("opencv", "bad", "not installed", "run ./dev, or install the program again")


def runtime() -> Finding:
    """Whether exactly one build of onnxruntime owns its folder, with the commands that mend it."""
    return _onnxruntime(builds.look())


def _onnxruntime(found: builds.Builds) -> Finding:
    """What is wrong with the runtime's folder, and the very commands that mend it."""
    names = ", ".join(f"{name} {version}" for name, version in found.owners)
    commands = " && ".join(found.repair())
    match found.state:
        case "one":
            return Finding("onnxruntime", "good", names)
        case "none":
            return Finding("onnxruntime", "bad", "not installed", "run ./dev, or install the program again")
        case "several":
            lies = " ".join(found.present).strip() or "nobody knows which"
            return Finding(
                "onnxruntime",
                "bad",
                f"several builds share one folder: {names}; what lies there is {lies}",
                f"run: {commands} (without a network add --no-index --find-links FOLDER)",
            )
        case "orphan":
            return Finding(
                "onnxruntime",
                "note",
                f"files that no installed package owns lie in {found.folder}",
                f"run: {commands} (without a network add --no-index --find-links FOLDER)",
            )
    return Finding(
        "onnxruntime",
        "bad",
        f"half removed: {names or found.folder} is listed, but its module is empty",
        f"run: {commands} (without a network add --no-index --find-links FOLDER)",
    )


def _providers() -> Iterator[Finding]:
    """Every installed provider is tested in a child, and what was found is kept."""
    for one in accelerators.listing():
        if one.state == "absent":
            continue
        trial = accelerators.test(one.name)
        said, remedy = accelerators.sentence(trial)
        state: State = "good" if trial.verdict == "passed" else "note" if trial.usable else "bad"
        yield Finding(f"provider {one.name}", state, said, remedy)


def _desk() -> Iterator[Finding]:
    fault = qt_fault()
    if fault is None:
        yield Finding("desk", "good", f"Qt loads ({_installed(('PySide6-Essentials',))[0]})")
    else:
        yield Finding("desk", "note", fault.what, fault.remedy)


def _fonts() -> Iterator[Finding]:
    """A font with Chinese characters, by file name: fontconfig may not be there."""
    folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".local/share/fonts", Path.home() / ".fonts",
               Path("/System/Library/Fonts"), Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"]  # fmt: skip
    for folder in folders:
        for pattern in _FONTS:
            if folder.is_dir() and (hit := next(folder.rglob(pattern), None)) is not None:
                yield Finding("fonts", "good", f"Chinese text can be drawn ({hit.name})")
                return
    yield Finding(
        "fonts", "note", "no font with Chinese characters was found", "apt-get install fonts-wqy-microhei"
    )


def _settings() -> Iterator[Finding]:
    settings.load()
    folder = log.folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        yield Finding("settings", "good", f"log in {folder}")


def _disk(location: str | None) -> Iterator[Finding]:
    place = Path(location) if location and not database.is_address(location) else Path.cwd()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    enough = free >= FREE_BYTES
    yield Finding(
        "disk",
        "good" if enough else "note",
        f"{free / 1024**3:.1f} GiB free at {place}",
        "" if enough else "free some space",
    )


def _keys(ws: workspace.Workspace) -> Finding:
    """Keys in the clear are a choice that stays in sight."""
    kept = keys.show(ws).kept
    match kept.method:
        case "os":
            return Finding("keys", "good", "the keys are in the system's key store")
        case "passphrase":
            return Finding("keys", "good", "the keys are sealed with a passphrase")
        case "none":
            said = "the keys lie in the clear, by choice: whoever reads the workspace can sign in its name"
            return Finding("keys", "note", said, "`lamproom keys protect` seals them")
    if kept.old:
        return Finding("keys", "bad", "the signing key lies in the clear", "`lamproom keys protect` seals it")
    return Finding("keys", "good", "no key was made yet")


def _workspace(location: str) -> Iterator[Finding]:
    with workspace.open(location) as ws:
        totals = browse.totals(ws)
        yield Finding(
            "workspace",
            "good",
            f"{totals.assets} pictures, {totals.truth} objects, revision {totals.revision}",
        )
        yield _keys(ws)
        said = database.fault(ws.db)
        yield Finding(
            "record",
            "bad" if said else "good",
            said or "the record is whole",
            "restore the last backup" if said else "",
        )
        trouble = sum(1 for _ in browse.problems(ws, limit=1000))
        if trouble:
            yield Finding(
                "files",
                "note",
                f"{trouble} files or pictures could not be used",
                "see them in the desk's problem list",
            )
