"""The providers of this machine: what is installed, what its self-test found here and when, and which one a job runs on.

What was found is kept for this person on this machine, with runtime, options, device, driver and model. It counts only as
long as the runtime is the same: a new build never ran here.
"""

from __future__ import annotations

import json
import platform as system
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import platformdirs

from annotation.errors import LamproomError, Unavailable
from app.events import Warned
from models import providers, selftest
from models.providers import Choice, Provider
from models.selftest import Trial
from storage import files

State = Literal["ready", "note", "fault", "stale", "never", "absent"]
Opened = TypeVar("Opened")
_FORM = 1
MOST = 500
"""Trials that are kept: a cluster's nodes may share one home."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A provider as it stands on this machine.

    Attributes:
        state: "ready": its self-test passed with this runtime; "note": passed with fewer bits; "fault": it did not pass;
            "stale": tested with another runtime; "never": installed and never run here; "absent": not installed.
        build: the installed runtime, "" when absent.
        trial: the newest self-test, of whatever runtime.
        offered: there are packages for this platform.
    """

    name: str
    row: Provider
    state: State
    build: str = ""
    trial: Trial | None = None
    offered: bool = True


def order(text: str) -> tuple[str, ...]:
    """The names of a stored choice such as "cuda,cpu"; what cannot be read is the CPU."""
    try:
        return providers.listed(text)
    except LamproomError:
        return ("cpu",)


def title(name: str) -> str:
    """A provider's name for people, with its device where one is named."""
    plain, colon, device = name.partition(":")
    row = providers.PROVIDERS.get(plain)
    return f"{row.title if row else plain}{' ' + device if colon else ''}"


def file() -> Path:
    """Where the findings are kept; absent until the first test."""
    return Path(platformdirs.user_state_dir("lamproom", appauthor=False)) / "providers.json"


def listing() -> list[Accelerator]:
    """Every provider of the table in its order. Loads the runtime in a child; nothing is tested.

    Raises:
        Unavailable: the runtime cannot be loaded at all.
    """
    try:
        here = selftest.installed()
    except OSError as error:
        raise Unavailable(
            f"onnxruntime cannot be loaded: {error}", remedy="`lamproom doctor` says what is wrong"
        ) from error
    kept = _kept()
    return [stand(name, here, kept) for name in providers.PROVIDERS]


def stand(name: str, here: Mapping[str, str], kept: Mapping[str, Trial]) -> Accelerator:
    """A provider's state from what is installed (name -> build) and what was found before."""
    row = providers.PROVIDERS[name]
    offered = any(platform() in package.platforms for package in row.packages)
    trial = kept.get(name)
    if name not in here:
        return Accelerator(name, row, "absent", "", trial, offered)
    if trial is None:
        state: State = "never"
    elif trial.build != here[name]:
        state = "stale"
    elif trial.verdict == "passed":
        state = "ready"
    else:
        state = "note" if trial.verdict == "rounded" else "fault"
    return Accelerator(name, row, state, here[name], trial, offered)


def test(name: str, *, seconds: float = selftest.SECONDS) -> Trial:
    """Run a provider's self-test in a child and keep what it found.

    Raises:
        InvalidInput: the name is unknown.
    """
    trial = selftest.run(name, seconds=seconds)
    _keep(trial)
    return trial


def passed(name: str) -> Trial:
    """The self-test of a provider, run now unless it passed with this runtime before.

    Raises:
        InvalidInput: the name is unknown.
        Unavailable: it is not installed, or its self-test did not pass.
    """
    from models import session

    session.demand(name)
    build = session.runtime(name)
    trial = _kept().get(name)
    if trial is None or trial.build != build or not trial.usable:
        trial = test(name)
    if not trial.usable:
        said, remedy = sentence(trial)
        raise Unavailable(said, where=name, remedy=remedy)
    return trial


def demand(text: str) -> tuple[str, ...]:
    """The names of a list such as "cuda,cpu"; refused here when not one of them is installed, before a job is made.

    Raises:
        InvalidInput: an unknown name. Unavailable: none is installed.
    """
    from models import session

    names = providers.listed(text)
    if len(names) == 1 or not set(session.available()) & {providers.split(name)[0] for name in names}:
        providers.choose(names, session.demand)
    return names


def choose(wanted: Sequence[str], open_on: Callable[[str], Opened]) -> tuple[Choice[Opened], list[Warned]]:
    """What a job runs on: the first of an ordered list that passes its self-test here and opens the model.

    One name alone is taken as it is, without a test and without any fallback: opening it says what is wrong.

    Args:
        wanted: as `providers.listed` gives it.
        open_on: opens the model on a provider.

    Returns:
        The choice, and an event for each provider that was passed over, with its reason.

    Raises:
        LamproomError: the only one does not open. Unavailable: none of several will do.
    """

    def attempt(name: str) -> Opened:
        if len(wanted) > 1 and name != "cpu":
            passed(name)
        return open_on(name)

    choice = providers.choose(wanted, attempt)
    warned = [Warned(f"{name} is passed over: {why}", choice.name) for name, why in choice.skipped]
    return choice, warned


def settled(text: str) -> tuple[str, list[Warned]]:
    """The provider of a list that work without a model of its own to open takes: the first that passes its self-test.

    Raises:
        LamproomError: the only one is not installed. Unavailable: none of several will do.
    """
    from models import session

    choice, warned = choose(providers.listed(text), session.demand)
    return choice.name, warned


def sentence(trial: Trial) -> tuple[str, str]:
    """What a self-test found and what to do about it, in English sentences to be translated where they are shown."""
    row = providers.PROVIDERS[providers.split(trial.provider)[0]]
    problem, remedy = "", row.known[0].remedy if row.known else "use the cpu provider, or mend its driver"
    match trial.verdict:
        case "passed" if trial.provider == "cpu":
            problem = f"it runs in full precision: {trial.ms:.1f} ms a picture"
            remedy = ""
        case "passed":
            problem = f"it runs and agrees with the CPU: scores differ by {trial.apart:.1g}; {trial.ms:.1f} ms a picture, the CPU {trial.cpu_ms:.1f} ms"
            remedy = ""
        case "rounded":
            problem = f"it finds the same boxes, but computes with {trial.bits} bits instead of 23: scores differ by {trial.apart:.1g}"
            remedy = ""
        case "differs":
            problem = trial.reason or f"its boxes are not the CPU's: scores differ by up to {trial.apart:.2g}"
            remedy = "do not label with it; use the cpu provider"
        case "missing":
            problem = f"shared libraries are missing: {', '.join(trial.missing)}"
            remedy = _libraries(trial, row)
        case "other":
            problem = f"asked for, but the CPU ran: {trial.reason}"
        case "crashed":
            problem = f"its process died: {trial.reason}"
            remedy = "update the device's driver; the cpu provider is not affected"
        case "late":
            problem = f"no answer in time; it was still {trial.reason}"
            remedy = "test it again while the machine is idle; some providers compile for minutes"
        case "failed":
            problem = f"it does not run: {trial.reason}"
    return problem, remedy


def _libraries(trial: Trial, row: Provider) -> str:
    """The remedy for missing libraries: the driver comes from the vendor, most others with the package's extras."""
    if not row.preload:
        remedy = "install the device's driver and toolkit"
        return next(
            (k.remedy for k in row.known if any(n.split(".")[0] in k.said for n in trial.missing)), remedy
        )
    if getattr(sys, "frozen", False):
        remedy = "install the device's driver, and the edition of this program that is made for it"
        return str(remedy)
    command = f"{shlex.quote(sys.executable)} -m pip install '{row.packages[0].distribution}'"
    parts = []
    if {"libcuda.so.1", "nvcuda.dll"} & set(trial.missing):
        remedy = "install NVIDIA's driver"
        parts.append(remedy)
    if any(
        "nvinfer" not in name and "libcuda.so" not in name and name != "nvcuda.dll" for name in trial.missing
    ):
        remedy = f"install them: {command}"
        parts.append(remedy)
    if any("nvinfer" in name for name in trial.missing):
        parts.append(next(k.remedy for k in row.known if "nvinfer" in k.said))
    return "; ".join(parts)


def platform() -> str:
    """This platform as the table names it: "linux-x86_64"."""
    machine = system.machine().lower()
    if sys.platform == "win32":
        return f"win32-{machine}"
    return f"{'linux' if sys.platform.startswith('linux') else sys.platform}-{machine}"


def _kept() -> dict[str, Trial]:
    """What was found on this machine before, by name."""
    here = selftest.machine()
    return {trial.provider: trial for trial in _every() if trial.machine == here}


def _every() -> list[Trial]:
    """What was found on every machine that shares this home; a file that cannot be read is as good as none."""
    try:
        told: Any = json.loads(file().read_text(encoding="utf-8"))
        return [selftest.from_json(t) for t in told["trials"] if told["form"] == _FORM]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _keep(trial: Trial) -> None:
    """Put a trial in the place of the provider's older one; staged, flushed and replaced."""
    others = [t for t in _every() if (t.machine, t.provider) != (trial.machine, trial.provider)]
    found = [selftest.to_json(t) for t in (*others, trial)][-MOST:]
    text = json.dumps({"form": _FORM, "trials": found}, ensure_ascii=False, indent=1)
    target = file()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write(target, text.encode())
    except OSError as error:
        raise Unavailable(
            f"cannot keep what the self-test found: {error.strerror or error}", where=str(target)
        ) from error
