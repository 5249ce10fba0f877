"""The desk in its real window, part by part: `desk_*.py` here, each on every platform and scaling it is worth measuring on.

usage: ./dev bench desk [-- --only objects,…] [--soak] [--peers] [--offscreen]

Parts run in processes of their own: offscreen and, where Xvfb is installed, on an X server of our own, at 100 and 200 %.
`--soak` adds the hour of scripted work. `--peers` measures X-AnyLabeling and labelme in the same run (see peers.py); their
figures of an earlier run are used as long as they are there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import peers

HERE = Path(__file__).resolve().parent
RUNS: dict[str, tuple[tuple[str, float], ...]] = {
    "objects": (("offscreen", 1), ("xcb", 1), ("xcb", 2)),
    "brush": (("offscreen", 1), ("xcb", 1)),
    "pictures": (("offscreen", 1), ("xcb", 1)),
    "gallery": (("offscreen", 1), ("xcb", 1)),
    "soak": (("offscreen", 1),),
}
"""Part -> the platforms and scale factors it runs on."""


@contextlib.contextmanager
def screen(scale: float) -> Iterator[str]:
    """An X server of our own, large enough for a desk of 1,920 x 1,200 at this scaling."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{round(1920 * scale)}x{round(1200 * scale)}x24", "-nolisten",
         "tcp", "-noreset"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    try:
        with os.fdopen(read) as said:
            yield f":{said.readline().strip()}"
    finally:
        server.terminate()
        server.wait(10)


def run(part: str, platform: str, scale: float, extra: Sequence[str]) -> int:
    """One part on one platform; its exit code."""
    env = {
        **os.environ,
        "QT_QPA_PLATFORM": platform,
        "QT_SCALE_FACTOR": f"{scale:g}",
        "QT_LOGGING_RULES": "*.debug=false",
    }
    with contextlib.ExitStack() as stack:
        if platform == "xcb":
            env["DISPLAY"] = stack.enter_context(screen(scale))
            env["XDG_SESSION_TYPE"] = "x11"
        line = [sys.executable, str(HERE / f"desk_{part}.py"), *extra]
        return subprocess.run(line, env=env, check=False).returncode


def main() -> int:
    """All parts; 0 when every bar is met."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--only", default=",".join(part for part in RUNS if part != "soak"))
    asked.add_argument("--soak", action="store_true")
    asked.add_argument("--peers", action="store_true")
    asked.add_argument("--offscreen", action="store_true", help="no X server")
    given = asked.parse_args()
    kept = peers.scratch_folder() / "figures.json"
    if given.peers:
        found = peers.measure(peers.scratch_folder())
        kept.write_text(json.dumps(found, indent=1))
        print("\n".join(peers.lines(found)), flush=True)
    good = True
    for part in [*given.only.split(","), *(["soak"] if given.soak else [])]:
        extra = ["--peers", str(kept)] if part in ("objects", "pictures") else []
        for platform, scale in RUNS[part]:
            if platform == "xcb" and (given.offscreen or shutil.which("Xvfb") is None):
                print(f"NOT MEASURED: {part} under Xvfb", flush=True)
                continue
            good &= run(part, platform, scale, extra) == 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
