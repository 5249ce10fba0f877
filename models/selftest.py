"""Does a provider run here, and right? Tried in a child process, which a broken driver may take down; told as one `Trial`.

`python -m models.selftest NAME` prints one line of JSON. Two files are run: a probe of two products with the unit
matrix, which shows with how many bits the provider computes, and the demonstration detector on a drawn scene.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from annotation import scenes
from annotation.errors import LamproomError
from models import loader, providers

Verdict = Literal["passed", "rounded", "differs", "other", "missing", "failed", "crashed", "late"]
SECONDS = 180.0
"""A provider that compiles the model takes minutes; longer than this is no answer."""
SCORE = 0.25
"""Places whose best score reaches this in either result must agree."""
SCORE_APART = 0.005
BOX_APART_PX = 0.5
_STAGE = "lamproom-stage: "
_SEED = 7
_RUNS = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """What a self-test found.

    Attributes:
        verdict: "passed": agrees with the CPU in full precision; "rounded": the same boxes with fewer bits;
            "differs": other boxes; "other": another provider ran; "missing": a shared library is not there;
            "failed": it said why; "crashed": its process died; "late": no answer in time.
        reason: the provider's own words, one line; or the signal; or the stage that was reached.
        missing: shared libraries by name.
        build: the installed runtime, with the plug-in.
        options: the provider's options that were used.
        machine: where it was: a home may be shared by several.
        device, driver: as the vendor's tool says, where there is one.
        model: SHA-256 of the detector that was run.
        bits: bits after the point that its products keep; 23 is float32.
        apart: largest difference of a score to the CPU's; -1 where nothing was compared.
        box_apart: largest difference of a side of a box in px.
        places: how many places of the picture were found and compared.
        share: part of the detector's nodes that the provider took, 0..1; -1 where the runtime does not tell.
        ms, cpu_ms: median milliseconds of a picture, one thread.
        date: seconds since 1970.
    """

    provider: str
    verdict: Verdict
    reason: str = ""
    missing: tuple[str, ...] = ()
    build: str = ""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    machine: str = ""
    device: str = ""
    driver: str = ""
    model: str = ""
    bits: int = -1
    apart: float = -1.0
    box_apart: float = -1.0
    places: int = 0
    share: float = -1.0
    ms: float = 0.0
    cpu_ms: float = 0.0
    date: int = 0

    @property
    def usable(self) -> bool:
        """It may be chosen: its boxes are the CPU's."""
        return self.verdict in ("passed", "rounded")


def to_json(trial: Trial) -> dict[str, Any]:
    """Plain JSON values; `from_json` reads them."""
    return {**dataclasses.asdict(trial), "missing": list(trial.missing)}


def from_json(values: Mapping[str, Any]) -> Trial:
    """The trial of `to_json`; keys of a newer version are ignored.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    names = {field.name for field in dataclasses.fields(Trial)}
    known = {key: value for key, value in values.items() if key in names}
    return Trial(
        **{**known, "missing": tuple(map(str, values.get("missing", ()))), "provider": values["provider"]}
    )


def run(name: str, *, seconds: float = SECONDS, paths: Sequence[str] | None = None) -> Trial:
    """Test a provider in a child process; never raises for what the provider does.

    Args:
        name: as in `providers.PROVIDERS`, with a device or without.
        seconds: the child is ended after this time.
        paths: where the child finds packages; by default where this process does.

    Raises:
        InvalidInput: the name is unknown.
    """
    providers.split(name)
    now = int(time.time())
    code, out, err = _child(["-m", "models.selftest", name], seconds, paths)
    stage = next((x[len(_STAGE) :] for x in reversed(err.splitlines()) if x.startswith(_STAGE)), "starting")
    device, driver = _hardware(name)
    facts: dict[str, Any] = {
        "provider": name, "machine": machine(), "device": device, "driver": driver, "date": now,
    }  # fmt: skip
    if code is None:
        return Trial(**facts, verdict="late", reason=stage)
    try:
        told = json.loads(out.splitlines()[-1])
        trial = from_json({**told, **{k: v for k, v in facts.items() if v}})
    except (IndexError, ValueError, KeyError, TypeError):
        said = loader.said_missing(err)
        if said:
            return Trial(**facts, verdict="missing", missing=said)
        if code < 0 or code > 255:  # a signal; Windows' codes of a crash are large
            return Trial(**facts, verdict="crashed", reason=f"{_signal(code)} while {stage}")
        lines = [line for line in err.splitlines() if line.strip() and not line.startswith(_STAGE)]
        return Trial(**facts, verdict="failed", reason=(lines or [f"ended with {code}"])[-1].strip()[:300])
    if not trial.usable:  # the runtime's log names what its exception does not
        said = tuple(dict.fromkeys((*trial.missing, *loader.said_missing(err))))
        if said and trial.verdict in ("failed", "other", "missing"):
            return dataclasses.replace(trial, verdict="missing", missing=said)
        if trial.verdict == "other":
            return dataclasses.replace(trial, reason=_logged(err) or trial.reason)
    return trial


def machine() -> str:
    """This machine: its name and its processor."""
    return f"{platform.node()} · {_processor()}"


def installed(*, paths: Sequence[str] | None = None) -> Mapping[str, str]:
    """Our names of the installed providers with the build of each, asked in a child: the import itself may crash.

    Raises:
        OSError: the runtime cannot even be imported; the message is its last line.
    """
    code, out, err = _child(["-m", "models.selftest", "--list"], 60, paths)
    try:
        return {str(k): str(v) for k, v in json.loads(out.splitlines()[-1]).items()}
    except (IndexError, ValueError, AttributeError):
        lines = [line for line in err.splitlines() if line.strip()]
        raise OSError((lines or [_signal(code or 0)])[-1].strip()[:300]) from None


def main(arguments: Sequence[str]) -> int:
    """The child: one line of JSON on standard output, whatever else writes there."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if list(arguments) == ["--list"]:
        from models import runtime

        out.write(json.dumps({name: runtime.build(name) for name in runtime.installed()}) + "\n")
    else:
        out.write(json.dumps(to_json(_try(arguments[0]))) + "\n")
    out.flush()
    os._exit(0)  # what was found stands; some drivers crash in their own clean-up


def _try(name: str) -> Trial:
    """Everything in this process; whatever the provider says becomes the trial's reason."""
    _reached("loading onnxruntime")
    try:
        from models import demo, runtime, session
    except LamproomError as error:
        return Trial(name, "failed", error.line)
    path = demo.path()
    facts: dict[str, Any] = {
        "provider": name,
        "build": runtime.build(name),
        "model": session.identify(path).sha256,
    }
    lacking: tuple[str, ...] = ()
    try:
        _reached("looking for libraries")
        way = runtime.prepare(name)
        facts["options"] = dict(way.options)
        library = runtime.library(name)
        lacking = tuple(
            dict.fromkeys(
                (
                    *(loader.missing(library) if library else ()),
                    *loader.absent(runtime.wanted_libraries(name)),
                )
            )
        )
        _reached("opening the probe")
        probe = Path(path).with_name("probe.onnx")
        opened = session.open_bare(probe, session.identify(probe).sha256, provider=name)
        _reached("running the probe")
        facts["bits"] = _bits(opened)
        _reached("opening the detector")
        picture = _picture()
        plain = session.open_bare(path, facts["model"], provider="cpu")
        other = session.open_bare(path, facts["model"], provider=name)
        facts["share"] = session.share(other)
        _reached("running the detector")
        expected, facts["cpu_ms"] = _time(plain, picture)
        found, facts["ms"] = _time(other, picture)
    except LamproomError as error:
        ran = "would run instead" in error.what
        verdict: Verdict = "missing" if lacking else "other" if ran else "failed"
        return Trial(**facts, verdict=verdict, reason=error.what, missing=lacking)
    return _judge(facts, expected, found)


def _judge(facts: dict[str, Any], expected: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> Trial:
    """Compare two outputs (1, 4 + classes, places): cx, cy, w, h in px, then scores 0..1."""
    if expected.shape != found.shape or not np.isfinite(found).all():
        problem = "its output is not finite, or of another shape"
        return Trial(**facts, verdict="differs", reason=problem)
    scores = expected[0, 4:], found[0, 4:]
    there = np.maximum(scores[0].max(0), scores[1].max(0)) >= SCORE
    facts |= {
        "apart": float(np.abs(scores[0] - scores[1]).max()),
        "box_apart": float(np.abs(expected[0, :4, there] - found[0, :4, there]).max(initial=0.0)),
        "places": int(there.sum()),
    }
    same = (
        bool((scores[0].argmax(0) == scores[1].argmax(0))[there].all())
        and facts["apart"] <= SCORE_APART
        and facts["box_apart"] <= BOX_APART_PX
    )
    if facts["share"] == 0.0 and facts["provider"].partition(":")[0] != "cpu":
        problem = "it took no part of the model"
        return Trial(**facts, verdict="other", reason=problem)
    if not same:
        return Trial(**facts, verdict="differs")
    return Trial(**facts, verdict="passed" if facts["bits"] >= providers.FLOAT32_BITS else "rounded")


def _bits(opened: Any) -> int:
    """Bits after the point that survive both products of the probe, at most 23."""
    channels = 32
    values = 1 + np.exp2(-np.arange(channels), dtype=np.float64)
    values[0] = 1.5
    x = values.astype(np.float32)
    full = np.broadcast_to(x[None, :, None, None], (1, channels, 8, 8)).copy()
    conv, product = opened.run({"x": full}, ("conv", "matmul"))
    exact = (conv == full).all(axis=(0, 2, 3)) & (product == x[None, :]).all(axis=0)
    return next((k - 1 for k in range(1, 24) if not exact[k]), 23)


def _picture() -> np.ndarray[Any, Any]:
    """A drawn scene of the detector's own size, so that nothing is scaled: float32 (1, 3, 288, 512), RGB 0..1."""
    drawn = scenes.draw(_SEED, (512, 288)).picture
    return np.ascontiguousarray(drawn[:, :, ::-1].transpose(2, 0, 1)[None], dtype=np.float32) / 255


def _time(opened: Any, picture: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float]:
    """The detector's output and the median milliseconds of a run after the first."""
    spent = []
    for _ in range(_RUNS + 1):
        began = time.perf_counter()
        (found,) = opened.run({opened.inputs[0]: picture}, opened.outputs[:1])
        spent.append(time.perf_counter() - began)
    return found, round(float(np.median(spent[1:])) * 1e3, 2)


def _reached(stage: str) -> None:
    sys.stderr.write(f"{_STAGE}{stage}\n")
    sys.stderr.flush()


def _child(
    arguments: Sequence[str], seconds: float, paths: Sequence[str] | None
) -> tuple[int | None, str, str]:
    """Exit code (None: ended for lateness), standard output and error of a child of this Python."""
    where = os.pathsep.join(p for p in (sys.path if paths is None else paths) if p)
    try:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, errors="replace", timeout=seconds,
            env={**os.environ, "PYTHONPATH": where}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return None, _text(late.stdout), _text(late.stderr)
    return done.returncode, done.stdout, done.stderr


def _text(data: bytes | str | None) -> str:
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else data or ""


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"code {code:#x}"
    except ValueError:
        return f"code {code}"


def _logged(err: str) -> str:
    """The last error line of the runtime's log, without its colours, time and place."""
    for line in reversed(err.splitlines()):
        if "[E:onnxruntime" in line or "[ERROR]" in line:
            return line.rsplit("] ", 1)[-1].split("\x1b")[0].strip()[:300]
    return ""


def _hardware(name: str) -> tuple[str, str]:
    """Device and driver as the vendor's tool or file tells them; the processor for what runs on it."""
    row = providers.PROVIDERS[name.partition(":")[0]]
    if row.driver and row.driver[0].startswith("/"):
        try:
            text = Path(row.driver[0]).read_text(encoding="utf-8", errors="replace")
            return "", text.strip().splitlines()[0][:120]
        except (OSError, IndexError):
            return "", ""
    if row.driver:
        try:
            done = subprocess.run(row.driver, capture_output=True, text=True, timeout=20, errors="replace")
            device, _, driver = done.stdout.strip().splitlines()[0].partition(",")
            return device.strip()[:120], driver.strip()[:60]
        except (OSError, subprocess.SubprocessError, IndexError):
            return "", ""
    return _processor(), ""


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        return next(
            (x.partition(":")[2].strip() for x in text.splitlines() if x.startswith("model name")), ""
        )
    except OSError:
        return platform.processor()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
