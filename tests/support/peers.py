"""Foreign tools that read and write what we do, each in a Python environment of its own; never dependencies.

Environments are `<folder>/<name>/bin/python`; the folder is LAMPROOM_PEERS, or `.cache/peers` of the checkout.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(
    os.environ.get("LAMPROOM_PEERS") or Path(__file__).resolve().parents[2] / ".cache" / "peers"
)  # read here: a test's own environment holds nothing of ours


def peer(name: str) -> Path:
    """The interpreter of a peer's environment; skips the test loudly where there is none."""
    python = FOLDER / name / "bin" / "python"
    if not python.exists():
        pytest.skip(
            f"no environment of the peers {name!r} (./dev peers makes it): foreign tools were not asked"
        )
    return python


def ask(python: Path, program: str, *args: str | Path, timeout: float = 120) -> Any:
    """What a small program for a peer's interpreter prints last: one line of JSON. It sees `sys.argv[1:]` = args."""
    done = subprocess.run(
        [python, "-W", "ignore", "-c", program, *map(str, args)],
        capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
