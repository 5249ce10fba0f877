"""All 2,000 hostile inputs and 50 kill -9 of each kind, through the command line: the suite's samples in full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUITES = ("tests/e2e/test_hostile.py", "tests/e2e/test_kill.py")


def main() -> int:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--whole", *SUITES, *sys.argv[1:]], cwd=ROOT, check=False
    )
    print(
        f"{'pass' if done.returncode == 0 else 'MISS'}  2,000 hostile inputs, 50 kills each of ingest, prelabel, edit and export"
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
