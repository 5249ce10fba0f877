"""Every benchmark, one after another, on a machine that says what it is. usage: ./dev bench [NAME…] [-- ARGS]

A benchmark is a script `bench_NAME.py` here that prints its figures beside its bars and exits with 1 when a bar is missed.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    names, extra = words[:cut], words[cut + 1 :]
    known = {p.stem.removeprefix("bench_"): p for p in sorted(HERE.glob("bench_*.py"))}
    unknown = [n for n in names if n not in known]
    if unknown:
        print(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    print(
        f"machine: {platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        flush=True,
    )
    ended: dict[str, tuple[int, float]] = {}
    for name in names or known:
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        code = subprocess.run([sys.executable, known[name], *extra], check=False).returncode
        ended[name] = (code, time.monotonic() - start)
    print("\n== all")
    for name, (code, seconds) in ended.items():
        print(f"{'pass' if code == 0 else 'MISS'}  {name}  {seconds:.0f} s")
    return int(any(code for code, _ in ended.values()))


if __name__ == "__main__":
    sys.exit(main())
