"""200 kill -9 of the desk at random moments of scripted work: everything the status line had called saved is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    suite = "tests/e2e/test_desk_kill.py"
    line = [sys.executable, "-m", "pytest", "-q", "-s", "-n0", "--whole", suite, *sys.argv[1:]]
    done = subprocess.run(line, cwd=ROOT, check=False)
    print(
        f"{'pass' if done.returncode == 0 else 'MISS'}  200 kills of the desk, nothing called saved was lost"
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
