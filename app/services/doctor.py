"""The self-check: what of this machine and of a workspace is in order, what is not, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import json
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
from app.services import browse, workspace
from app.services.display import CHILD_S, qt_fault
from storage import db as database

State = Literal["good", "note", "bad"]
FREE_BYTES = 5 * 1024**3
_ONNXRUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-training",
)
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
# Runs in a child: a broken provider may take its process down. Prints one JSON line.
_PROVIDER = """
import json, sys
import numpy as np
from models import demo, session
card = demo.card()
batch = np.random.default_rng(1).random((1, 3, card.input_wh[1], card.input_wh[0]), np.float32)
first, second = (session.open_session(demo.path(), card, provider=p) for p in ("cpu", sys.argv[1]))
apart = float(np.abs(first.run(batch)[0]["table"] - second.run(batch)[0]["table"]).max())
print(json.dumps({"ran": second.provider, "apart": apart}))
"""


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
    for name, family, keep in (
        ("onnxruntime", _ONNXRUNTIMES, ""),
        ("opencv", _OPENCVS, "opencv-python-headless"),
    ):
        found = _installed(family)
        if len(found) == 1:
            windowed = name == "opencv" and not found[0].startswith(keep)
            yield Finding(
                name, "note" if windowed else "good", found[0],
                "it brings a second Qt: install opencv-python-headless instead" if windowed else "",
            )  # fmt: skip
        elif found:
            yield Finding(
                name,
                "bad",
                f"several builds share one folder: {', '.join(found)}",
                "uninstall all of them, then install one",
            )
        else:
            yield Finding(name, "bad", "not installed", "run ./dev, or install the program again")


def _providers() -> Iterator[Finding]:
    """Every provider really runs the demonstration model in a child, and is compared with the CPU."""
    from models import session

    for name in session.available():
        done = subprocess.run(
            [sys.executable, "-c", _PROVIDER, name], capture_output=True, text=True, timeout=CHILD_S, errors="replace",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:300]
            yield Finding(
                f"provider {name}",
                "bad",
                f"it does not run: {said}",
                "use the cpu provider, or mend its driver",
            )
            continue
        facts = json.loads(done.stdout.splitlines()[-1])
        if facts["ran"] != name:
            yield Finding(
                f"provider {name}",
                "bad",
                f"asked for, but {facts['ran']} ran",
                "use the cpu provider, or mend its driver",
            )
        elif facts["apart"] > 1e-2:
            yield Finding(
                f"provider {name}", "note", f"its results differ from the CPU's by up to {facts['apart']:.3g}"
            )
        else:
            yield Finding(f"provider {name}", "good", "it runs and agrees with the CPU")


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


def _workspace(location: str) -> Iterator[Finding]:
    with workspace.open(location) as ws:
        totals = browse.totals(ws)
        yield Finding(
            "workspace",
            "good",
            f"{totals.assets} pictures, {totals.truth} objects, revision {totals.revision}",
        )
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
