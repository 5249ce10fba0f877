"""How each model uses this machine best: measured once per model, provider and machine, kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from annotation import canonical
from annotation.errors import LamproomError
from app.services import browse
from app.services.onnx import ModelRow
from app.services.workspace import Workspace
from models import calibrate, session
from models.batch import Plan, usable_cores
from models.calibrate import Calibration
from models.recipe import Recipe
from storage import files, media, queries
from storage.db import now_ms
from storage.queries import Query

SAMPLE = 4
"""Pictures that are tried: the time of one hardly depends on what it shows."""
LEAST_PICTURES = 200
"""Below this a job is over before a better plan would have paid for its measuring."""
MAX_FILE = 1_000_000


def kept(row: ModelRow, provider: str, recipe: Recipe) -> Calibration | None:
    """What was measured for this model on this machine, or None."""
    found = _read().get(_key(row, provider, recipe))
    try:
        return msgspec.convert(found["calibration"], Calibration) if isinstance(found, dict) else None
    except (msgspec.ValidationError, KeyError):
        return None  # of another version, or damaged: it is measured anew


def measure(ws: Workspace, row: ModelRow, query: Query, provider: str, recipe: Recipe) -> Calibration:
    """Try the plans on some of the query's pictures and keep the result. Takes two or three seconds.

    Raises:
        InvalidInput, Unavailable: the model does not run on the provider.
    """
    sample = []
    with ws.db.read() as conn:
        ids = queries.asset_ids(conn, query, after=0, limit=64)
        places = queries.places(conn, ids[:: max(1, len(ids) // SAMPLE)][:SAMPLE])
    for place in places.values():
        try:
            sample.append(browse.bytes_at(ws.folder, place))
        except LamproomError:
            continue  # the job will say so
    found = calibrate.calibrate(
        row.path, row.card, sample, decode=media.decode, recipe=recipe, provider=provider
    )
    if found.tried:
        _keep(_key(row, provider, recipe), found)
    return found


def plan_for(ws: Workspace, row: ModelRow, query: Query, provider: str, recipe: Recipe, total: int) -> Plan:
    """The plan for a job of `total` pictures: kept, else measured, else (for a small job) the simplest.

    Raises:
        As `measure`.
    """
    found = kept(row, provider, recipe)
    if found is None and total >= LEAST_PICTURES:
        found = measure(ws, row, query, provider, recipe)
    return found.plan if found is not None else calibrate.candidates(row.card, provider, usable_cores())[0]


def file() -> Path:
    """Where the figures are kept; may be deleted at any time."""
    return Path(platformdirs.user_cache_dir("lamproom", appauthor=False)) / "plans.json"


def _key(row: ModelRow, provider: str, recipe: Recipe) -> str:
    """Model, provider, runtime, machine, and what of the recipe changes the work done for a picture."""
    facts = {
        "model": row.sha256, "provider": provider, "runtime": session.runtime(provider), "machine": _machine(), "cores": usable_cores(),
        "tiles": recipe.tiling is not None, "reduced": recipe.reduced,
    }  # fmt: skip
    return hashlib.sha256(canonical.encode(facts)).hexdigest()


def _machine() -> str:
    """The processor's name where the system tells it: one cache may be shared by machines that mount one home."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model", "Hardware")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return f"{platform.machine()} {platform.processor()}"


def _read() -> Mapping[str, Any]:
    try:
        data = file().read_bytes()
        found = json.loads(data) if len(data) <= MAX_FILE else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(key: str, found: Calibration) -> None:
    """Add to the file; the oldest go when it grows. A cache that cannot be written is no fault of the job."""
    entry = {"at_ms": now_ms(), "calibration": msgspec.to_builtins(found)}
    every = {**_read(), key: entry}
    newest = sorted(every.items(), key=lambda kv: kv[1].get("at_ms", 0) if isinstance(kv[1], dict) else 0)[
        -500:
    ]
    try:
        file().parent.mkdir(parents=True, exist_ok=True)
        files.write(file(), json.dumps(dict(newest), sort_keys=True).encode())
    except OSError:
        return


def forget() -> None:
    """Throw all figures away: the next jobs measure anew."""
    file().unlink(missing_ok=True)
