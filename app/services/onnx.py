"""The ONNX models of a workspace: add, list, show, remove. Files are copied in under their digests.

A detector is one file, or a folder when its weights lie beside it; a promptable model is a pair, encoder and decoder, and a reader a pair of
finder and recogniser, whose identity is both digests together.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from annotation import canonical
from annotation.errors import InvalidInput, LamproomError, NotFound, Unavailable
from app.services.workspace import Workspace
from models import card as cards
from models import demo, external, promptable, reader, session
from models.card import ModelCard
from models.heads.look import Question as Question  # the desk asks without importing models
from models.promptable import PairCard
from models.recognise import Recognised, recognise
from models.recognise import Unrecognised as Unrecognised
from storage import files
from storage.db import now_ms

DEMO_NAME = "demo"
MAX_NAME = 200


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
    return _add(ws, file, found.card, called(name, found.card.name))


def add_demo(ws: Workspace, *, name: str = DEMO_NAME) -> ModelRow:
    """The demonstration detector that comes with the product (drawn scenes; not for safety use)."""
    return _add(ws, demo.path(), demo.card(), called(name, DEMO_NAME))


def look_pair(encoder: Path, decoder: Path, *, name: str | None = None) -> PairCard:
    """What a promptable pair is. Nothing is kept.

    Raises:
        InvalidInput: broken, no SAM-shaped pair.
    """
    return promptable.recognise(encoder, decoder, name=name)


def look_reader(boxes: Path, text: Path, *, name: str | None = None) -> Recognised:
    """What a reader is and why. Nothing is kept.

    Raises:
        InvalidInput: broken, no such pair.
    """
    return reader.recognise(boxes, text, name=name)


def add_pair(ws: Workspace, encoder: Path, decoder: Path, *, name: str | None = None) -> PairRow:
    """Recognise a promptable pair from its two files and copy them into the workspace.

    Raises:
        InvalidInput: broken, no SAM-shaped pair, or the name is taken by another model.
    """
    card = look_pair(encoder, decoder, name=name)
    title = called(name, card.name)
    demand_free(ws, title, card.sha256, encoder)
    for file, sha256 in ((encoder, card.encoder_sha256), (decoder, card.decoder_sha256)):
        _keep(ws, file, sha256)
    _note(ws, title, card.sha256, card.to_json())
    return pair(ws, title)


def add_reader(ws: Workspace, boxes: Path, text: Path, *, name: str | None = None) -> ModelRow:
    """Recognise a reader (a finder of text lines and a recogniser of lines) and copy both files into the workspace.

    Raises:
        InvalidInput: broken, no such pair, or the name is taken by another model.
    """
    card = look_reader(boxes, text, name=name).card
    title = called(name, card.name)
    demand_free(ws, title, card.sha256, boxes)
    for file in (boxes, text):
        _keep(ws, file, session.identify(file).sha256)
    _note(ws, title, card.sha256, card.to_json())
    return show(ws, title)


def _add(ws: Workspace, file: Path, card: ModelCard, name: str) -> ModelRow:
    demand_free(ws, name, card.sha256, file)
    _keep(ws, file, card.sha256)
    _note(ws, name, card.sha256, card.to_json())
    return show(ws, name)


def adopt(
    ws: Workspace, name: str, card: ModelCard | PairCard, bodies: Mapping[str, Path]
) -> ModelRow | PairRow:
    """Keep a model whose card is known already, as of a pack: the .onnx file of each digest is copied in.

    Raises:
        InvalidInput: the name is taken by another model. Unavailable: a file is not what its digest says.
    """
    for sha256, file in bodies.items():
        demand_free(ws, name, card.sha256, file)
        _keep(ws, file, sha256)
    _note(ws, name, card.sha256, card.to_json())
    return pair(ws, name) if isinstance(card, PairCard) else show(ws, name)


def called(name: str | None, default: str) -> str:
    """What a model is called: the given name; else its own, without what can be in no name.

    Raises:
        InvalidInput: it can be none, as `../x`.
    """
    own = files.NOT_IN_NAMES.sub("-", canonical.nfc(default)).strip(" .") or "model"
    title = canonical.nfc(name).strip() if name else own
    if len(title) > MAX_NAME or not files.can_name(title):
        raise InvalidInput(f"{name!r} is no name for a model", remedy="letters, digits, spaces, - and _")
    return title


def demand_free(ws: Workspace, name: str, sha256: str, file: Path) -> None:
    """Refuse a name that another model has; InvalidInput."""
    if any(known == name and other.hex() != sha256 for known, other, _, _ in _rows(ws)):
        raise InvalidInput(f"another model is called {name!r}", where=str(file), remedy="give --name")


def _keep(ws: Workspace, file: Path, sha256: str) -> None:
    """Copy a model in, flushed, under its digest: all of its files or nothing."""
    if _whole(_path(ws, sha256), sha256):
        return
    folder = ws.folder / "models"
    mine = secrets.token_hex(6)
    staged, old = folder / f".{sha256}.{mine}.part", folder / f".{sha256}.{mine}.old"
    try:
        body = session.identify(file)
        _clear(folder)
        staged.mkdir()
        copied = external.copy(file, body, staged, name=f"{sha256}.onnx")
        if session.identify(copied).sha256 != sha256:
            raise Unavailable("the file changed while it was copied", where=str(file), remedy="try again")
        files.sync_tree(staged)
        if not body.files:
            copied.replace(folder / copied.name)
        else:
            target = folder / sha256
            if target.exists():  # something of it was lost: the whole takes its place
                target.rename(old)
            staged.rename(target)
        files.sync_folder(folder)
    except OSError as error:
        if _whole(_path(ws, sha256), sha256):
            return  # another process was faster with the same model
        raise Unavailable(
            f"the model cannot be copied into the workspace: {error.strerror}",
            where=str(file),
            remedy="make room or choose another folder",
        ) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def pieces(row: ModelRow) -> dict[str, Path]:
    """Every file that another machine needs to open the model, by its name in a folder of models; first the one that is opened.

    Raises:
        InvalidInput, Unavailable: a file is missing or damaged.
    """
    others = (external.neighbour(row.path, d) for _, d in row.card.parts if d != row.card.onnx_sha256)
    found: dict[str, Path] = {}
    for path in (row.path, *others):
        folder = f"{path.stem}/" if path.parent.name == path.stem else ""
        names = (path.name, *(name for name, _ in external.identify(path).files))
        found |= {f"{folder}{name}": path.parent / name for name in names}
    return found


def _whole(path: Path, sha256: str) -> bool:
    """Whether the model lies there, complete and unchanged."""
    try:
        return path.is_file() and session.identify(path).sha256 == sha256
    except LamproomError:
        return False


def _clear(folder: Path) -> None:
    """Remove what processes that were killed while copying left a day ago."""
    for left in (*folder.glob(".*.part"), *folder.glob(".*.old")):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)


def _path(ws: Workspace, sha256: str) -> Path:
    """Where a model's .onnx file lies."""
    return external.place(ws.folder / "models", sha256)


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
            known = cards.from_json(card.encode(), where=name)
            whole = [_path(ws, digest) for _, digest in known.parts] or [_path(ws, known.sha256)]
            here = all(path.is_file() for path in whole)
            out.append(ModelRow(name, sha256.hex(), known, _path(ws, known.onnx_sha256), here, added))
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


def size_bytes(row: ModelRow | PairRow) -> int:
    """Bytes of the model's files on this machine, weights beside them included; 0 = none is here."""
    parts = [row.path] if isinstance(row, ModelRow) else [row.encoder, row.decoder]
    found = [
        f for part in parts if part.is_file() for f in (part, *(part.parent / n for n, _ in _files(row)))
    ]
    return sum(f.stat().st_size for f in found if f.is_file())


def _files(row: ModelRow | PairRow) -> tuple[tuple[str, str], ...]:
    return row.card.files if isinstance(row, ModelRow) else ()


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
