"""Out of the base: formats, versions, the road to the hub, verification. Each section is a script hub_NAME.py beside this.

usage: ./dev bench hub [-- SECTION… [ARGS]]    ARGS after a section's name go to it; without a section all are run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run the sections one after another; 1 when a bar of any is missed."""
    known = {p.stem.removeprefix("hub_"): p for p in sorted(HERE.glob("hub_*.py"))}
    asked: dict[str, list[str]] = {}
    for word in sys.argv[1:]:
        if word in known:
            asked[word] = []
        elif asked:
            next(reversed(asked.values())).append(word)
        else:
            print(f"there is no section {word!r}; there are {', '.join(known)}", file=sys.stderr)
            return 2
    missed = []
    for name, extra in (asked or {name: [] for name in known}).items():
        print(f"\n-- {name}", flush=True)
        start = time.monotonic()
        code = subprocess.run([sys.executable, known[name], *extra], check=False).returncode
        print(f"-- {name}: {'pass' if code == 0 else 'MISS'}, {time.monotonic() - start:.0f} s", flush=True)
        missed += [name] * bool(code)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
