"""A model's variant with a free batch: made once, proved for each provider, kept beside the model under its own digest.

What was proved, or why not, is noted beside it, so that a job asks once and then knows. Predictions go on naming the original.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotation import canonical
from annotation.errors import LamproomError
from app.services import onnx
from app.services.onnx import ModelRow
from app.services.workspace import Workspace
from models import external, providers, rebatch, session
from models.rebatch import Freed
from storage import files


def freed(ws: Workspace, model: str | ModelRow, *, provider: str = "cpu") -> Freed:
    """The model's variant for any number of pictures a run, or why there is none; takes some seconds the first time.

    Raises:
        NotFound: there is no such model. InvalidInput, Unavailable: its file or the provider cannot be used.
    """
    row = onnx.show(ws, model) if isinstance(model, str) else model
    noted = _noted(row.path)
    place = f"{provider}, {session.runtime(provider)}"
    known = noted["proofs"].get(place)
    if known is not None and not known["exact"]:
        return Freed(None, None, known["why"])
    path = _derived(row, noted["derived"])
    body = None if known is None else _whole(path, noted["derived"])
    if known is None or body is None:
        return _proved(row, noted, place, provider)
    card = replace(row.card, sha256=body.sha256, files=body.files, batch=0)
    return Freed(path, card, known["why"])


def fitting(ws: Workspace, row: ModelRow, provider: str) -> ModelRow:
    """The model as a provider takes it best: on a device with a free batch, where that is proved; else as it is.

    On a processor batches gain nothing, so nothing is proved there. The row keeps its own digest: predictions name that.

    Raises:
        As `freed`.
    """
    if (
        provider == "cpu"
        or providers.on_processor(provider)
        or row.card.batch != 1
        or row.card.loose
        or row.card.parts
    ):
        return row
    found = freed(ws, row, provider=provider)
    return row if found.path is None or found.card is None else replace(row, path=found.path, card=found.card)


def _proved(row: ModelRow, noted: dict[str, Any], place: str, provider: str) -> Freed:
    staged = row.path.with_name(f".{row.sha256}.{secrets.token_hex(6)}.onnx")
    try:
        found = rebatch.free(row.path, row.card, staged, provider=provider)
        if found.path is not None and found.card is not None:
            target = _derived(row, found.card.sha256)
            files.write(target, staged.read_bytes())
            noted["derived"] = found.card.sha256
            found = replace(found, path=target)
    finally:
        staged.unlink(missing_ok=True)
    noted["proofs"][place] = {"exact": found.path is not None, "why": found.why}
    files.write(
        _note(row.path), canonical.encode({"derived": noted["derived"], "proofs": _listed(noted["proofs"])})
    )
    return found


def _whole(path: Path, sha256: str) -> external.Body | None:
    """The derived model, if it is the one that was proved; a damaged one is made anew."""
    try:
        body = external.identify(path)
    except LamproomError:
        return None
    return body if body.sha256 == sha256 else None


def _derived(row: ModelRow, sha256: str) -> Path:
    return row.path.with_name(f"{row.sha256}.{sha256}.onnx")


def _note(path: Path) -> Path:
    return path.with_suffix(".batch.json")


def _noted(path: Path) -> dict[str, Any]:
    """What is noted beside a model; a note that is none counts as absent."""
    try:
        read = json.loads(_note(path).read_bytes())
        proofs = {p["place"]: {"exact": bool(p["exact"]), "why": str(p["why"])} for p in read["proofs"]}
        return {"derived": str(read["derived"]), "proofs": proofs}
    except (OSError, ValueError, KeyError, TypeError):
        return {"derived": "", "proofs": {}}


def _listed(proofs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"place": place, **proof} for place, proof in sorted(proofs.items())]
