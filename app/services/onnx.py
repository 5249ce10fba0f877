"""The ONNX models of a workspace: add a file, list, show, remove. The file is copied in, named by its digest."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from annotation import canonical
from annotation.errors import InvalidInput, NotFound, Unavailable
from app.services.workspace import Workspace
from models import card as cards
from models import demo
from models.card import ModelCard
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


def add(ws: Workspace, file: Path, *, name: str | None = None) -> ModelRow:
    """Recognise an ONNX detector from the file itself and copy it into the workspace.

    Raises:
        InvalidInput: broken, not a detector we know, or the name is taken by another file.
    """
    card = cards.recognise(file, name=name)
    return _add(ws, file, card, canonical.nfc(name or card.name))


def add_demo(ws: Workspace, *, name: str = DEMO_NAME) -> ModelRow:
    """The demonstration detector that comes with the product (drawn scenes; not for safety use)."""
    return _add(ws, demo.path(), demo.card(), name)


def _add(ws: Workspace, file: Path, card: ModelCard, name: str) -> ModelRow:
    for known in listing(ws):
        if known.name == name and known.sha256 != card.sha256:
            raise InvalidInput(f"another model is called {name!r}", where=str(file), remedy="give --name")
    target = ws.folder / "models" / f"{card.sha256}.onnx"
    if not target.exists():
        staged = target.with_suffix(f".{os.getpid()}.part")
        shutil.copyfile(file, staged)
        with staged.open("rb+") as copied:
            os.fsync(copied.fileno())
        if cards.recognise(staged, name=name).sha256 != card.sha256:
            staged.unlink()
            raise Unavailable("the file changed while it was copied", where=str(file), remedy="try again")
        staged.replace(target)
    with ws.db.write() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO onnx_model (name, sha256, card, added_ms) VALUES (:n, :s, :c, :t) "
                "ON CONFLICT (name) WHERE removed_ms IS NULL DO NOTHING"
            ),
            {"n": name, "s": bytes.fromhex(card.sha256), "c": card.to_json().decode(), "t": now_ms()},
        )
    return show(ws, name)


def listing(ws: Workspace) -> list[ModelRow]:
    """Models, oldest first."""
    with ws.db.read() as conn:
        rows = conn.exec_driver_sql(
            "SELECT name, sha256, card, added_ms FROM onnx_model WHERE removed_ms IS NULL ORDER BY id"
        ).all()
    out = []
    for name, sha256, card, added in rows:
        path = ws.folder / "models" / f"{bytes(sha256).hex()}.onnx"
        out.append(
            ModelRow(
                name,
                bytes(sha256).hex(),
                cards.from_json(card.encode(), where=name),
                path,
                path.is_file(),
                added,
            )
        )
    return out


def show(ws: Workspace, name: str) -> ModelRow:
    """The model of this name; NotFound."""
    for row in listing(ws):
        if row.name == name:
            return row
    raise NotFound(f"there is no model {name!r}", remedy="`lamproom models add FILE.onnx --name NAME`")


def remove(ws: Workspace, name: str) -> ModelRow:
    """Take the model off the list. Its predictions and its file stay: lineage still names it."""
    row = show(ws, name)
    with ws.db.write() as conn:
        conn.execute(
            sa.text("UPDATE onnx_model SET removed_ms = :t WHERE name = :n AND removed_ms IS NULL"),
            {"n": name, "t": now_ms()},
        )
    return row
