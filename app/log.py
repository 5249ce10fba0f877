"""The log: one rotating file of this person, named categories, spans of time. Nothing of it appears on the screen."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

import platformdirs

CATEGORIES = ("cli", "desk", "ingest", "record", "models", "jobs", "hub", "sql")
"""Names for `--debug`; a module logs with `logging.getLogger("lamproom.<category>")`."""
_SIZE_BYTES, _KEPT = 2_000_000, 5


def folder() -> Path:
    """Where the log files of this person lie (made when first written to)."""
    return Path(platformdirs.user_log_dir("lamproom", appauthor=False))


def path() -> Path:
    """The log file written now."""
    return folder() / "lamproom.log"


def start(debug: Sequence[str] = ()) -> None:
    """Send what is logged to the file: warnings and worse of everything, everything of the categories in `debug`."""
    stop()
    folder().mkdir(parents=True, exist_ok=True)
    # Opened with the first line only: most runs log nothing.
    handler = RotatingFileHandler(
        path(), maxBytes=_SIZE_BYTES, backupCount=_KEPT, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    handler.set_name("lamproom")
    logging.getLogger().addHandler(handler)
    for name in debug:
        logging.getLogger(f"lamproom.{name}").setLevel(logging.DEBUG)


def stop() -> None:
    """Close the file."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if h.get_name() == "lamproom"]:
        root.removeHandler(handler)
        handler.close()


def report(error: BaseException, doing: str) -> Path:
    """Write an unexpected error with its traceback to the log and return the file's path."""
    if not any(h.get_name() == "lamproom" for h in logging.getLogger().handlers):
        start()
    logging.getLogger("lamproom").error("unexpected error in %s", doing, exc_info=error)
    return path()


@contextmanager
def span(category: str, what: str) -> Iterator[None]:
    """Log how long the block took, in milliseconds, when the category is being debugged."""
    logger = logging.getLogger(f"lamproom.{category}")
    if not logger.isEnabledFor(logging.DEBUG):
        yield
        return
    start_ns = time.perf_counter_ns()
    try:
        yield
    finally:
        logger.debug("%s took %.1f ms", what, (time.perf_counter_ns() - start_ns) / 1e6)
