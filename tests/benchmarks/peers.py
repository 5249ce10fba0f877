"""X-AnyLabeling and labelme beside us: installed by pip into a scratch folder, driven through their own windows, measured.

usage: python tests/benchmarks/peers.py [--quick] [--platforms offscreen,xcb]   prints a line for every figure

The scratch folder is LAMPROOM_PEERS, or `.cache/peers` of the checkout; environments (about 1.3 GB each) and folders of
pictures are kept there for the next run. A tool that cannot be installed or does not answer is named with the reason.
Both run with the settings they come with, in a home of their own, in a window of 1400 x 860. What favours them is left in:
a step ends with their own paint event, and labelme is given the time to read ahead.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotation import scenes

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("peer_driver.py")
WANTED = {
    "x-anylabeling": ("x-anylabeling-cvhub[cpu]==4.2.1", (3, 11)),
    "labelme": ("labelme==7.9.1", (3, 12)),
}
"""Name -> what pip is asked for, the least Python. Nothing of torch or CUDA is among their requirements."""
DISTINCT, HD = 300, (1920, 1080)
SIZES = (10_000, 100_000)
CROWD, CORNERS, SIDE = 1_000, 20, 2_000
PAUSES_MS = {"next_ms": 300, "rushed_ms": 0}
"""Between two pictures: time to look, in which a tool may read ahead; and none."""
LIMIT_S = 420


@dataclass(frozen=True, slots=True)
class Prepared:
    """Tools ready to run (name -> their Python) and those that are not (name -> why)."""

    pythons: dict[str, Path]
    missing: dict[str, str]


def scratch_folder() -> Path:
    """Where environments and pictures are kept between runs."""
    return Path(os.environ.get("LAMPROOM_PEERS") or ROOT / ".cache" / "peers")


# --- environments --------------------------------------------------------------------------------------------------


def prepare(scratch: Path) -> Prepared:
    """Make, or find again, one environment for each tool."""
    pythons: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for name, (wanted, least) in WANTED.items():
        place = scratch / name
        stamp = place / "installed"
        if not (stamp.is_file() and stamp.read_text() == wanted):
            fault = _install(place, wanted, least)
            if fault:
                missing[name] = fault
                print(f"NOT MEASURED: {name}: {fault}", file=sys.stderr, flush=True)
                continue
            stamp.write_text(wanted)
        pythons[name] = place / "bin" / "python"
    return Prepared(pythons, missing)


def _install(place: Path, wanted: str, least: tuple[int, int]) -> str:
    """Make one environment; "" or what was in the way."""
    python = _python(least)
    if python is None:
        return f"needs Python {least[0]}.{least[1]} or newer, and none was found (set LAMPROOM_PEER_PYTHON)"
    shutil.rmtree(place, ignore_errors=True)
    pip = (
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--only-binary",
        ":all:",
    )
    try:
        subprocess.run([python, "-m", "venv", place], check=True, capture_output=True, text=True)
        subprocess.run(
            [place / "bin" / "python", *pip, wanted], check=True, capture_output=True, text=True, timeout=1800
        )
    except subprocess.TimeoutExpired:
        return f"pip install {wanted} took longer than half an hour"
    except (OSError, subprocess.CalledProcessError) as fault:
        said = (getattr(fault, "stderr", "") or str(fault)).strip().splitlines()
        return f"pip install {wanted}: {said[-1] if said else fault}"
    return ""


def _python(least: tuple[int, int]) -> str | None:
    """An interpreter new enough: LAMPROOM_PEER_PYTHON, this one, on PATH, or of pyenv."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [os.environ.get("LAMPROOM_PEER_PYTHON"), sys.executable]
    found += [shutil.which(f"python3.{n}") for n in (12, 13, 11)]
    found += [str(p) for n in (12, 13, 11) for p in sorted(versions.glob(f"3.{n}.*/bin/python"))]
    asks = f"import sys, venv; sys.exit(not {least} <= sys.version_info[:2] < (3, 14))"
    for python in found:
        if python and subprocess.run([python, "-c", asks], capture_output=True, check=False).returncode == 0:
            return python
    return None


# --- pictures ------------------------------------------------------------------------------------------------------


def folder_of(scratch: Path, n: int) -> Path:
    """A flat folder of `n` JPEGs of 1920 x 1080: hard links to 300 drawn ones. Made once."""
    drawn = scratch / "pictures" / "distinct"
    drawn.mkdir(parents=True, exist_ok=True)
    for i in range(DISTINCT):
        at = drawn / f"{i:03d}.jpg"
        if not at.exists():
            _write(at, scenes.draw(700_000 + i, HD).picture)
    folder = scratch / "pictures" / str(n)
    done = folder.with_suffix(".done")
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for i in range(n):
            os.link(drawn / f"{i % DISTINCT:03d}.jpg", folder / f"{i:06d}.jpg")
        done.touch()
    return folder


def _write(at: Path, picture: np.ndarray[Any, Any]) -> None:
    part = at.with_suffix(".part.jpg")
    cv2.imwrite(str(part), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    part.replace(at)


def crowd(n: int = CROWD, corners: int = CORNERS, side: int = SIDE) -> list[list[tuple[float, float]]]:
    """`n` polygons of `corners` corners over a picture of `side` x `side` px, the same at every call."""
    rng = np.random.default_rng(3)
    columns = int(np.ceil(np.sqrt(n)))
    cell = side / columns
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    found = []
    for i in range(n):
        x, y = (i % columns + 0.5) * cell, (i // columns + 0.5) * cell
        reach = cell * 0.45 * rng.uniform(0.7, 1.0, corners)
        found.append(
            [(float(x + r * np.cos(a)), float(y + r * np.sin(a))) for r, a in zip(reach, turn, strict=True)]
        )
    return found


def crowded_folder(scratch: Path, n: int = CROWD) -> Path:
    """A folder with one picture and, beside it, its polygons in the JSON both tools read."""
    folder = scratch / "pictures" / f"crowd-{n}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "crowd.jpg").exists():
        _write(folder / "crowd.jpg", scenes.draw(3, (SIDE, SIDE)).picture)
    shapes = [
        {"label": "large_coal", "points": points, "group_id": None, "shape_type": "polygon", "flags": {}} for points in crowd(n)
    ]  # fmt: skip
    page = {"version": "5.0.0", "flags": {}, "shapes": shapes, "imagePath": "crowd.jpg", "imageData": None, "imageHeight": SIDE, "imageWidth": SIDE}  # fmt: skip
    (folder / "crowd.json").write_text(json.dumps(page))
    return folder


# --- measuring -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def screen() -> Iterator[str]:
    """An X server of its own."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    try:
        with os.fdopen(read) as said:
            yield f":{said.readline().strip()}"
    finally:
        server.terminate()
        server.wait(10)


def drive(scratch: Path, name: str, python: Path, platform: str, plan: dict[str, Any]) -> dict[str, Any]:
    """One run of a tool: what its driver measured; with `error` when it ended before its time or had none left."""
    home, out = scratch / "homes" / name, scratch / "runs" / f"{name}-{platform}-{plan['name']}.json"
    shutil.rmtree(home, ignore_errors=True)  # nothing remembered from the run before
    home.mkdir(parents=True)
    out.parent.mkdir(exist_ok=True)
    out.unlink(missing_ok=True)
    plan_file = out.with_suffix(".plan")
    shot = str(out.with_suffix(".png"))
    plan_file.write_text(
        json.dumps({**plan, "home": str(home), "out": str(out), "shot": shot, "began": time.monotonic()})
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith(("QT_", "XDG_", "LAMPROOM_", "PYTHON"))}
    env |= {"HOME": str(home), "QT_QPA_PLATFORM": platform, "LANG": "C.UTF-8", "XDG_RUNTIME_DIR": str(home)}
    with contextlib.ExitStack() as stack:
        if platform == "xcb":
            env["DISPLAY"] = stack.enter_context(screen())
        log = stack.enter_context(out.with_suffix(".log").open("wb"))
        child = subprocess.Popen(
            [python, DRIVER, name, plan_file], env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = child.wait(plan["limit_s"])
            fault = f"it ended with {code}"
        except subprocess.TimeoutExpired:
            fault = f"stopped after {plan['limit_s']} s"
        finally:
            with contextlib.suppress(ProcessLookupError):  # its threads and helpers with it
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    said: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    if not said.get("finished"):
        last = out.with_suffix(".log").read_text(errors="replace").strip().splitlines()
        said["error"] = f"{fault}: {last[-1] if last else 'it said nothing'}"
    return said


def measure(
    scratch: Path, *, platforms: Sequence[str] = ("offscreen", "xcb"), quick: bool = False
) -> dict[str, Any]:
    """Measure every tool that can be had.

    Returns:
        {"missing": {tool: why}, "load": load of the machine before and after, "figures": {tool: {platform: {figure: value}}}};
        figures are "version", "start_s", and "open_s", "next_ms", "rushed_ms" by number of pictures (medians of 30 steps),
        "load_s" and "hover_ms" (mean, median) for the picture with 1,000 polygons; "errors" lists what did not work.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    ready = prepare(scratch)
    sizes, steps = ((2_000,), 8) if quick else (SIZES, 30)
    folders = {n: folder_of(scratch, n) for n in sizes} if ready.pythons else {}
    crowded = crowded_folder(scratch)
    before = os.getloadavg()[0]
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for name, python in ready.pythons.items():
        for platform in platforms:
            if platform == "xcb" and shutil.which("Xvfb") is None:
                print(f"NOT MEASURED: {name} under Xvfb: Xvfb is not installed", file=sys.stderr, flush=True)
                continue
            found = figures.setdefault(name, {}).setdefault(
                platform, {"open_s": {}, "next_ms": {}, "rushed_ms": {}, "errors": []}
            )
            for n, folder in folders.items():
                plan = {"name": str(n), "what": "walk", "folder": str(folder), "steps": steps, "pauses_ms": PAUSES_MS, "limit_s": LIMIT_S}  # fmt: skip
                said = drive(scratch, name, python, platform, plan)
                _keep(found, said, n)
            plan = {
                "name": "hover",
                "what": "hover",
                "folder": str(crowded),
                "steps": steps,
                "limit_s": LIMIT_S,
            }
            said = drive(scratch, name, python, platform, plan)
            if said.get("shapes", CROWD) != CROWD:
                said["error"] = f"it shows {said['shapes']} polygons, not {CROWD}"
            _keep(found, said, None)
    return {"missing": ready.missing, "load": (before, os.getloadavg()[0]), "figures": figures}


def _keep(found: dict[str, Any], said: dict[str, Any], n: int | None) -> None:
    """Figures of one run into those of the tool; `n` pictures, or None for the crowded one."""
    found |= {key: said[key] for key in ("version", "start_s") if key in said}
    if "error" in said:
        found["errors"].append(said["error"])
    if n is None:
        found |= {"load_s": said["open_s"]} if "open_s" in said else {}
        if steps := said.get("hover_ms"):
            found["hover_ms"] = {"mean": statistics.fmean(steps), "median": statistics.median(steps), "painted": said["hover_paints"]}  # fmt: skip
        return
    if "open_s" in said:
        found["open_s"][n] = said["open_s"]
    for key in PAUSES_MS:
        if steps := said.get(key):
            found[key][n] = statistics.median(steps)


def lines(result: dict[str, Any]) -> list[str]:
    """What was measured, a line for each figure."""
    told = [f"load of the machine {result['load'][0]:.1f} before, {result['load'][1]:.1f} after"]
    told += [f"NOT MEASURED: {name}: {why}" for name, why in result["missing"].items()]
    for name, by_platform in result["figures"].items():
        for platform, f in by_platform.items():
            head = f"{name} {f.get('version', '?')} {platform}"
            for n in sorted(f["open_s"]):
                line = f"{head}  {n:,} pictures: opened in {f['open_s'][n]:.2f} s"
                if n in f["next_ms"]:
                    line += f", next picture {f['next_ms'][n]:.0f} ms with time to read ahead"
                if n in f["rushed_ms"]:
                    line += f", {f['rushed_ms'][n]:.0f} ms without"
                told.append(line)
            if "hover_ms" in f:
                h = f["hover_ms"]
                told.append(
                    f"{head}  {CROWD:,} polygons of {CORNERS}: loaded in {f['load_s']:.2f} s, mouse step {h['mean']:.0f} ms mean, {h['median']:.0f} ms median"
                )
            if "start_s" in f:
                told.append(f"{head}  started in {f['start_s']:.2f} s")
            told += [f"{head}  FAULT: {fault}" for fault in f["errors"]]
    return told


def main() -> int:
    asked = argparse.ArgumentParser(description="Measure X-AnyLabeling and labelme.")
    asked.add_argument("--quick", action="store_true", help="2,000 pictures and few steps")
    asked.add_argument("--platforms", default="offscreen,xcb")
    asked.add_argument("--json", type=Path, help="write the figures to a file")
    given = asked.parse_args()
    result = measure(scratch_folder(), platforms=given.platforms.split(","), quick=given.quick)
    print("\n".join(lines(result)))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))
    return int(
        bool(result["missing"]) or any(f["errors"] for p in result["figures"].values() for f in p.values())
    )


if __name__ == "__main__":
    sys.exit(main())
