"""Who else has a SQLite record open: a job that is alone with it need not make way after every hundred rows."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

ASK_EVERY_S = 0.2


class Presence:
    """A shared lock on a file beside the record, held while it is open; the system drops it however the process ends.

    Args:
        seated: a person sits in this process, so that its own jobs are never alone.
    """

    def __init__(self, record: Path, *, seated: bool = False) -> None:
        self._seated = seated
        self._file: BinaryIO | None = None
        self._asked, self._alone = 0.0, False
        with suppress(OSError):
            self._file = record.with_name(f"{record.name}-open").open("ab")
            self._share()

    def alone(self) -> bool:
        """Whether nobody else had the record open a moment ago. Where that cannot be known (Windows), no."""
        if self._seated or self._file is None or os.name == "nt":
            return False
        now = time.monotonic()
        if now - self._asked >= ASK_EVERY_S:
            self._asked, self._alone = now, self._ask()
        return self._alone

    def close(self) -> None:
        """Leave."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _ask(self) -> bool:
        import fcntl

        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._share()
            return False
        self._share()
        return True

    def _share(self) -> None:
        if self._file is not None and os.name != "nt":
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_SH)
