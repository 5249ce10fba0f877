"""What the desk remembers from one sitting to the next and nobody sets: layout, where one was, what was used last.

A JSON file beside the settings; a broken or absent one is an empty memory. Not in the settings, which hold choices.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer

from app import settings

log = logging.getLogger("lamproom.desk")

REST_MS = 2_000
"""From a change to the file."""


class Memory(QObject):
    """Values of JSON by name. Interface thread only."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._values = _read()
        self._soon = QTimer(self, singleShot=True, interval=REST_MS)
        self._soon.timeout.connect(self.write)

    def get(self, name: str, default: Any = None) -> Any:
        """What was put under the name; `default` when there is nothing of that type."""
        found = self._values.get(name, default)
        return found if default is None or isinstance(found, type(default)) else default

    def put(self, name: str, value: Any) -> None:
        """Remember a value, soon also on the disk."""
        if self._values.get(name) != value:
            self._values[name] = value
            self._soon.start()

    def write(self) -> None:
        """Put it on the disk now, if anything changed. A disk that refuses costs the memory, nothing else."""
        if not self._soon.isActive() and self.sender() is not self._soon:
            return
        self._soon.stop()
        target = file()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, staged = tempfile.mkstemp(dir=target.parent, prefix=".desk-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as out:
                    json.dump(self._values, out, ensure_ascii=False, indent=1, sort_keys=True)
                Path(staged).replace(target)
            except BaseException:
                Path(staged).unlink(missing_ok=True)
                raise
        except OSError as error:
            log.warning("the desk's memory cannot be written: %s", error)


def file() -> Path:
    """Where it is kept."""
    return settings.file().with_name("desk.json")


def _read() -> dict[str, Any]:
    try:
        found = json.loads(file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("the desk's memory is not readable and begins anew: %s", error)
        return {}
    return found if isinstance(found, dict) else {}
