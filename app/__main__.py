"""`python -m app` and the `lamproom` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code is 0 done, 1 the person's fault, 2 usage, 3 done in part."""
    try:
        from app import cli

        return cli.main(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # while the modules load: nothing was begun
        return 130


if __name__ == "__main__":
    sys.exit(main())
