"""The ONNX models of a workspace: add, list, show, remove. Files are copied in, each named by its digest.

A detector is one file; a promptable model is a pair, encoder and decoder, whose identity is both digests together.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from annotation import canonical
from annotation.errors import InvalidInput, NotFound, Unavailable
from app.services.workspace import Workspace
from models import card as cards
from models import demo, promptable, session
from models.card import ModelCard
from models.promptable import PairCard
from models.recognise import Recognised, recognise
from storage.db import now_ms

DEMO_NAME = "demo"


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model of the workspace. `path` is its file here; `present` False = the file must be added on this machine."""

    name: str
    sha256: str
    card: ModelCard
    path: Path
    present: bool
    added_ms: int


@dataclass(frozen=True, slots=True)
class PairRow:
    """A promptable model of the workspace. `present` False = one of its files must be added on this machine."""

    name: str
    sha256: str
    card: PairCard
    encoder: Path
    decoder: Path
    present: bool
    added_ms: int


def look(file: Path, *, name: str | None = None, answers: Mapping[str, str] | None = None) -> Recognised:
    """What an ONNX file is, why it is taken for that, and what it cannot tell. Nothing is kept.

    Raises:
        InvalidInput: broken, of no kind we know, or a question needs an answer.
    """
    return recognise(file, name=name, answers=answers)


def add(
    ws: Workspace, file: Path, *, name: str | None = None, answers: Mapping[str, str] | None = None
) -> ModelRow:
    """Recognise an ONNX model from the file itself and copy it into the workspace.

    Raises:
        InvalidInput: as `look`, or the name is taken by another file.
    """
    return keep(ws, file, look(file, name=name, answers=answers), name=name)


def keep(ws: Workspace, file: Path, found: Recognised, *, name: str | None = None) -> ModelRow:
    """Copy a model that was looked at into the workspace.

    Raises:
        InvalidInput: the name is taken by another file. Unavailable: the file changed since.
    """
    return _add(ws, file, found.card, canonical.nfc(name or found.card.name))


def add_demo(ws: Workspace, *, name: str = DEMO_NAME) -> ModelRow:
    """The demonstration detector that comes with the product (drawn scenes; not for safety use)."""
    return _add(ws, demo.path(), demo.card(), name)


def add_pair(ws: Workspace, encoder: Path, decoder: Path, *, name: str | None = None) -> PairRow:
    """Recognise a promptable pair from its two files and copy them into the workspace.

    Raises:
        InvalidInput: broken, no SAM-shaped pair, or the name is taken by another model.
    """
    card = promptable.recognise(encoder, decoder, name=name)
    title = canonical.nfc(name or card.name)
    _demand_free(ws, title, card.sha256, encoder)
    for file, sha256 in ((encoder, card.encoder_sha256), (decoder, card.decoder_sha256)):
        _keep(ws, file, sha256)
    _note(ws, title, card.sha256, card.to_json())
    return pair(ws, title)


def _add(ws: Workspace, file: Path, card: ModelCard, name: str) -> ModelRow:
    _demand_free(ws, name, card.sha256, file)
    _keep(ws, file, card.sha256)
    _note(ws, name, card.sha256, card.to_json())
    return show(ws, name)


def _demand_free(ws: Workspace, name: str, sha256: str, file: Path) -> None:
    if any(known == name and other.hex() != sha256 for known, other, _, _ in _rows(ws)):
        raise InvalidInput(f"another model is called {name!r}", where=str(file), remedy="give --name")


def _keep(ws: Workspace, file: Path, sha256: str) -> None:
    """Copy a file in, flushed, under its digest."""
    target = _path(ws, sha256)
    if target.exists():
        return
    staged = target.with_suffix(f".{os.getpid()}.part")
    shutil.copyfile(file, staged)
    with staged.open("rb+") as copied:
        os.fsync(copied.fileno())
    if session.file_sha256(staged) != sha256:
        staged.unlink()
        raise Unavailable("the file changed while it was copied", where=str(file), remedy="try again")
    staged.replace(target)


def _path(ws: Workspace, sha256: str) -> Path:
    return ws.folder / "models" / f"{sha256}.onnx"


def _note(ws: Workspace, name: str, sha256: str, card: bytes) -> None:
    with ws.db.write() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO onnx_model (name, sha256, card, added_ms) VALUES (:n, :s, :c, :t) "
                "ON CONFLICT (name) WHERE removed_ms IS NULL DO NOTHING"
            ),
            {"n": name, "s": bytes.fromhex(sha256), "c": card.decode(), "t": now_ms()},
        )


def _rows(ws: Workspace) -> list[tuple[str, bytes, str, int]]:
    """(name, digest, card, added) of every model, oldest first."""
    with ws.db.read() as conn:
        rows = conn.exec_driver_sql(
            "SELECT name, sha256, card, added_ms FROM onnx_model WHERE removed_ms IS NULL ORDER BY id"
        ).all()
    return [(r[0], bytes(r[1]), r[2], r[3]) for r in rows]


def _is_pair(card: str) -> bool:
    return bool(json.loads(card).get("task") == "promptable")


def listing(ws: Workspace) -> list[ModelRow]:
    """Detectors, oldest first."""
    out = []
    for name, sha256, card, added in _rows(ws):
        if not _is_pair(card):
            path, digest = _path(ws, sha256.hex()), sha256.hex()
            known = cards.from_json(card.encode(), where=name)
            out.append(ModelRow(name, digest, known, path, path.is_file(), added))
    return out


def pairs(ws: Workspace) -> list[PairRow]:
    """Promptable models, oldest first."""
    out = []
    for name, sha256, card, added in _rows(ws):
        if _is_pair(card):
            known = promptable.from_json(card.encode(), where=name)
            one, other = _path(ws, known.encoder_sha256), _path(ws, known.decoder_sha256)
            here = one.is_file() and other.is_file()
            out.append(PairRow(name, sha256.hex(), known, one, other, here, added))
    return out


def pair(ws: Workspace, name: str) -> PairRow:
    """The promptable model of this name; NotFound."""
    for row in pairs(ws):
        if row.name == name:
            return row
    raise NotFound(
        f"there is no promptable model {name!r}", remedy="`lamproom models add ENCODER --decoder DECODER`"
    )


def show(ws: Workspace, name: str) -> ModelRow:
    """The model of this name; NotFound."""
    for row in listing(ws):
        if row.name == name:
            return row
    raise NotFound(f"there is no model {name!r}", remedy="`lamproom models add FILE.onnx --name NAME`")


def remove(ws: Workspace, name: str) -> None:
    """Take the model off the list; NotFound. Its predictions and its files stay: lineage still names it."""
    if not any(row.name == name for row in pairs(ws)):
        show(ws, name)
    with ws.db.write() as conn:
        conn.execute(
            sa.text("UPDATE onnx_model SET removed_ms = :t WHERE name = :n AND removed_ms IS NULL"),
            {"n": name, "t": now_ms()},
        )
