"""How long the command line takes to answer: `lamproom --help` in at most 0.4 s, beside a bare interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15
BAR_S = 0.4


def seconds(*line: str) -> list[float]:
    """Wall time of each run, warm."""
    taken = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, *line], check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return sorted(taken[1:])


def main() -> int:
    bare, help_ = seconds("-c", "pass"), seconds("-m", "app", "--help")
    p50 = statistics.median(help_)
    fine = p50 <= BAR_S
    print(
        f"bare interpreter {statistics.median(bare) * 1000:.0f} ms; --help p50 {p50 * 1000:.0f} ms, worst of {RUNS} {help_[-1] * 1000:.0f} ms"
    )
    print(
        f"{'pass' if fine else 'MISS'}  --help p50 {p50:.3f} s (bar <= {BAR_S} s; {p50 / statistics.median(bare):.1f} x the bare interpreter)"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
