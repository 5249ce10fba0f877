"""Which distributions own a package's folder. Several builds of onnxruntime share one, overwrite each other, and pip says nothing."""

from __future__ import annotations

import csv
import importlib.machinery
import importlib.metadata
import importlib.util
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Literal

State = Literal["none", "one", "several", "empty", "orphan"]
_FACTS = re.compile(r"^(package_name|__version__)\s*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Builds:
    """Who owns a package's folder.

    Attributes:
        state: "one": in order; "several": more than one distribution; "empty": what `import` needs is gone, as after one
            of two was uninstalled; "orphan": files that no distribution owns; "none": not installed.
        folder: the folder that `import` takes, or None.
        owners: (distribution, version), by name.
        present: the (distribution, version) whose files lie there, as the files themselves say; ("", "") unknown.
    """

    state: State
    folder: Path | None
    owners: tuple[tuple[str, str], ...]
    present: tuple[str, str] = ("", "")

    @property
    def keep(self) -> tuple[str, str]:
        """The one to keep: what a person added beside the plain build, else what lies there, else the first."""
        special = [o for o in self.owners if o[0] != "onnxruntime"]
        if len(special) == 1:
            return special[0]
        if self.present[0]:
            return self.present
        return (special or list(self.owners) or [("onnxruntime", "")])[0]

    def repair(self, python: str = sys.executable, *, pip: bool | None = None) -> tuple[str, ...]:
        """The commands that leave exactly one build, in order; nothing where all is in order.

        Args:
            python: the interpreter whose packages they are.
            pip: whether it has pip; by default looked up. Else uv's commands are given.
        """
        if self.state == "one":
            return ()
        has_pip = importlib.util.find_spec("pip") is not None if pip is None else pip
        exe = shlex.quote(python)
        remove, add = (
            (f"{exe} -m pip uninstall -y", f"{exe} -m pip install --force-reinstall --no-deps")
            if has_pip
            else (f"uv pip uninstall --python {exe}", f"uv pip install --reinstall --no-deps --python {exe}")
        )
        name, version = self.keep
        commands = []
        if self.owners:
            commands.append(f"{remove} {' '.join(owner for owner, _ in self.owners)}")
        if self.folder is not None and self.state in ("orphan", "empty"):
            # What was half removed is owned by nobody, and the next install would leave it lying there.
            tool = "rmdir /s /q" if sys.platform == "win32" else "rm -r"
            commands.append(f"{tool} {shlex.quote(str(self.folder))}")
        commands.append(f"{add} {name}=={version}" if version else f"{add} {name}")
        return tuple(commands)


def look(package: str = "onnxruntime", paths: Sequence[str] | None = None) -> Builds:
    """Read the folders of installed packages; nothing is imported, so a broken build can be told.

    Args:
        package: the folder's name, as imported.
        paths: where packages are looked for; `sys.path` by default.
    """
    places = list(sys.path if paths is None else paths)
    folder = _folder(package, places)
    if folder is None:
        left = _owners(package, places)
        return Builds("empty" if left else "none", None, left)
    owners = _owners(package, [str(folder.parent)])
    present = _facts(folder)
    if not _whole(folder):
        return Builds("empty", folder, owners, present)
    state: State = "orphan" if not owners else "one" if len(owners) == 1 else "several"
    return Builds(state, folder, owners, present)


def _folder(package: str, places: Sequence[str]) -> Path | None:
    """The folder `import` takes: the first with an __init__, else the first without (a namespace: what a removal left)."""
    bare = None
    for place in places:
        folder = Path(place or ".") / package
        if (folder / "__init__.py").is_file():
            return folder
        if bare is None and folder.is_dir() and any(folder.rglob("*")):
            bare = folder
    return bare


def _owners(package: str, places: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Distributions whose list of files names the folder; each once.

    The lists are read as they lie: `Distribution.files` leaves files out that are gone, from Python 3.12 on and wherever
    the package importlib_metadata was imported, and its `metadata` raises there when the file is missing.
    """
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=list(places)):
        head = HeaderParser().parsestr(distribution.read_text("METADATA") or "")
        name = str(head["Name"] or "").lower().replace("_", "-")
        if not name:
            continue
        listed = distribution.read_text("RECORD")  # None where the list itself is gone
        if listed is None:
            owns = name == package or (name.startswith(f"{package}-") and "-ep-" not in name)
        else:
            files = (PurePosixPath(row[0]) for row in csv.reader(listed.splitlines()) if row)
            owns = any(file.parts[:1] == (package,) and file.suffix != ".pyc" for file in files)
        if owns:
            found.setdefault(name, str(head["Version"] or ""))
    return tuple(sorted(found.items()))


def _whole(folder: Path) -> bool:
    """Its __init__ and, for onnxruntime, its compiled module are there."""
    if not (folder / "__init__.py").is_file():
        return False
    if folder.name != "onnxruntime":
        return True
    suffixes = tuple({*importlib.machinery.EXTENSION_SUFFIXES, ".so", ".pyd"})
    capi = folder / "capi"
    return capi.is_dir() and any(
        f.name.startswith("onnxruntime_pybind11_state") and f.name.endswith(suffixes) for f in capi.iterdir()
    )


def _facts(folder: Path) -> tuple[str, str]:
    """What the files say they are."""
    try:
        text = (folder / "capi" / "build_and_package_info.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    told = dict(_FACTS.findall(text))
    return told.get("package_name", ""), told.get("__version__", "")
