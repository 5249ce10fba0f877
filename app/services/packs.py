"""Model packs: send a model out as one signed file, take one in after its signature, its digests and its test.

Whose packs are taken: storage/trust.py. What came with a model (manifest, licence, test picture) is kept beside it, so
that it can be sent on and its class mapping is used.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotation import canonical, scenes
from annotation.core import Box
from annotation.errors import InvalidInput, LamproomError, NotFound, Unavailable
from annotation.outline import Picture
from app.services import keys as key_rows
from app.services import onnx
from app.services.onnx import ModelRow, PairRow
from app.services.orders import recipe_for
from app.services.workspace import Workspace
from models import card as cards
from models import external, pack, promptable, reader, sample, session
from models import recipe as recipes
from models.pack import Manifest, Opened
from models.recipe import PLAIN, Recipe
from models.sample import Result
from storage import files, keys, media, seal
from storage import trust as trusts
from storage.trust import Standing

SCENES = 24
"""Drawn scenes that are tried when no test picture is given."""
SCENE_WH = (960, 540)


@dataclass(frozen=True, slots=True)
class Looked:
    """A pack before anything of it is kept. `trust`: whose key signed it, for this workspace."""

    opened: Opened
    fingerprint: str
    trust: Standing

    @property
    def manifest(self) -> Manifest:
        """What it holds."""
        return self.opened.manifest


# --- out ---------------------------------------------------------------------------------------------------------


def export(
    ws: Workspace,
    name: str,
    target: Path,
    *,
    picture: Path | None = None,
    licence: Path | None = None,
    licence_name: str = "",
    recipe: Path | None = None,
    schema: str = "",
) -> Manifest:
    """Write a model of the workspace as a pack, signed with this workspace's key.

    Args:
        target: the file; ".lrmodel" is added where it has another ending.
        picture: the model is tried on it and it goes out with the pack; by default a drawn scene in which the model finds
            something, or the one that the model came with. Its metadata (place, camera) are left out.
        licence: the licence's text; only a model that came in a pack has one already.
        licence_name: by default the card's, or that of the pack it came in.
        recipe: TOML; thresholds, tiles, and the mapping of classes to the label schema.
        schema: code of the label schema that the mapping speaks of.

    Raises:
        NotFound: no such model or file. InvalidInput: no licence, no picture in which it finds anything, or a wrong recipe.
        Conflict: the target is there. Unavailable: the model's files are not here, or the target cannot be written.
    """
    row = _row(ws, name)
    if not row.present:
        raise Unavailable("its file is not on this machine", where=name, remedy="add the model here again")
    target = target if target.suffix == pack.SUFFIX else target.with_name(target.name + pack.SUFFIX)
    came = origin(ws, row.sha256)
    text, called = _licence(licence, licence_name, row, came, ws)
    using = _using(recipe, row, came)
    data, expected = _tried(ws, row, picture, came)
    key = keys.signing_key(ws)
    kind, parts = _parts(row)

    def manifest(listed: tuple[pack.Part, ...], licence_file: pack.File, picture_file: pack.File) -> Manifest:
        return Manifest(
            name=row.name, kind=kind, sha256=row.sha256,
            card=json.loads(row.card.to_json()), parts=listed, licence=called, licence_text=licence_file,
            picture=picture_file, expected=expected, runtime=f"{session.runtime()}, cpu",
            public=seal.public_bytes(key).hex(),
            recipe=recipes.to_plain(using), schema=schema or (came.schema if came and recipe is None else ""),
        )  # fmt: skip

    return pack.write(target, manifest, parts, licence=text, picture=data, sign=key.sign)


def _row(ws: Workspace, name: str) -> ModelRow | PairRow:
    pair = next((row for row in onnx.pairs(ws) if row.name == name), None)
    return onnx.show(ws, name) if pair is None else pair


def _parts(row: ModelRow | PairRow) -> tuple[pack.Kind, dict[str, Path]]:
    """What kind of model it is for a pack, and the .onnx file of each role."""
    if isinstance(row, PairRow):
        return "pair", {"encoder": row.encoder, "decoder": row.decoder}
    if row.card.parts:
        return "reader", {role: external.neighbour(row.path, sha256) for role, sha256 in row.card.parts}
    return "model", {"model": row.path}


def _licence(
    file: Path | None, called: str, row: ModelRow | PairRow, came: Manifest | None, ws: Workspace
) -> tuple[bytes, str]:
    """Text and name."""
    if file is not None:
        text = _text(file)
        called = called or row.card.licence or text.strip().splitlines()[0].strip()[:200]
        return text.encode(), canonical.nfc(called)
    if came is None:
        raise InvalidInput(
            "a model goes out with the text of its licence", where=row.name, remedy="--licence FILE"
        )
    return _beside(ws, row.sha256, "licence.txt").read_bytes(), canonical.nfc(called or came.licence)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()[: pack.MAX_LICENCE + 1]
    except OSError as error:
        raise NotFound(f"cannot be opened: {error.strerror}", where=str(file)) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("not a text file", where=str(file)) from error
    if not text.strip() or len(data) > pack.MAX_LICENCE:
        raise InvalidInput("an empty licence, or one of more than 2 MB", where=str(file))
    return text


def _using(file: Path | None, row: ModelRow | PairRow, came: Manifest | None) -> Recipe:
    if file is None:
        return recipes.from_plain(came.recipe) if came is not None else PLAIN
    if isinstance(row, PairRow):
        raise InvalidInput("a promptable pair has no recipe", where=row.name)
    return recipes.checked(recipe_for(file), where=str(file), labels=row.card.labels)


def _tried(
    ws: Workspace, row: ModelRow | PairRow, file: Path | None, came: Manifest | None
) -> tuple[bytes, Result]:
    """A test picture as PNG, and what the model gives for it."""
    candidates: list[tuple[bytes, Box | None]]
    if file is not None:
        try:
            candidates = [(_png(media.decode(file.read_bytes())), None)]
        except OSError as error:
            raise NotFound(f"cannot be opened: {error.strerror}", where=str(file)) from error
    elif came is not None:
        box = _box(came.expected) if came.expected.prompt else None
        candidates = [(_beside(ws, row.sha256, "picture.png").read_bytes(), box)]
    elif row.card.task == "read":
        candidates = [(_png(_sheet()), None)]
    else:
        candidates = [(b"", None)] * SCENES
    best: tuple[bytes, Result] | None = None
    for i, (data, box) in enumerate(candidates):
        if not data:
            scene = scenes.draw(i, SCENE_WH)
            data, boxes = (
                _png(scene.picture),
                [a.shape for a in scene.annotations if isinstance(a.shape, Box)],
            )
            box = max(boxes, key=lambda b: (b.x1 - b.x0) * (b.y1 - b.y0), default=None)
        found = _run(row, data, box)
        # Of the drawn scenes the first with three objects and more, else that with most of them.
        if found and (best is None or len(found.objects) > len(best[1].objects)):
            best = data, found
        if best is not None and (isinstance(row, PairRow) or len(best[1].objects) > 2 or best[1].vector):
            break
    if best is None:
        raise InvalidInput(
            "it finds nothing in the test picture, so that a test would prove nothing", where=row.name,
            remedy="give one in which it finds something: --picture FILE",
        )  # fmt: skip
    return best


def _run(row: ModelRow | PairRow, data: bytes, box: Box | None) -> Result:
    if isinstance(row, ModelRow):
        return sample.of_model(row.path, row.card, data, decode=media.decode)
    picture = media.decode(data)
    return sample.of_pair(row.encoder, row.decoder, row.card, picture, box or _middle(picture))


def _sheet() -> Picture:
    """Three lines of print for a reader."""
    sheet = np.full((360, 720, 3), 255, np.uint8)
    for i, line in enumerate(("LAMPROOM 2026", "No. 4 SHAFT, 358 m", "lamp 0127 returned")):
        cv2.putText(
            sheet, line, (40, 90 + 100 * i), cv2.FONT_HERSHEY_SIMPLEX, 1.8, (20, 20, 20), 3, cv2.LINE_AA
        )
    return sheet


def _middle(picture: Picture) -> Box:
    """A box around the middle half of a picture: what is asked about when nothing is known of it."""
    h, w = picture.shape[:2]
    return Box(float(w // 4), float(h // 4), float(w - w // 4), float(h - h // 4))


def _box(expected: Result) -> Box:
    x0, y0, x1, y1 = (value / canonical.PX for value in expected.prompt)
    return Box(x0, y0, x1, y1)


def _png(picture: Picture) -> bytes:
    data = cv2.imencode(".png", picture)[1].tobytes()
    if len(data) > pack.MAX_PICTURE:
        raise InvalidInput("the test picture is too large", remedy="take one of at most 20 megapixels")
    return data


# --- in ----------------------------------------------------------------------------------------------------------


def is_pack(file: Path) -> bool:
    """Whether a file is meant as a pack: by its ending, as nothing else is called so."""
    return file.suffix.lower() == pack.SUFFIX


def look(ws: Workspace, file: Path) -> Looked:
    """What a pack says it holds and who signed it. Nothing is kept, nothing is run.

    Raises:
        InvalidInput: no pack, damaged, changed. Unavailable: it cannot be read.
    """
    opened = pack.read(file, verify=seal.holds)
    public = bytes.fromhex(opened.manifest.public)
    return Looked(opened, seal.fingerprint(public), trusts.standing(ws, public))


def take(ws: Workspace, file: Path, *, name: str | None = None, trust: str = "") -> ModelRow | PairRow:
    """Take a model in from a pack: signature, digests and the test must all hold, else nothing of it is kept.

    Args:
        name: what to call it here; by default as the pack does.
        trust: the fingerprint of an unknown key, as its owner told it; from then on it is trusted.

    Raises:
        InvalidInput: no pack, damaged, changed, signed by a key that is not trusted, or the test gives something else.
        Unavailable: no room, or a file cannot be read.
    """
    looked = look(ws, file)
    if looked.trust == "unknown" and not trusts.same(trust, bytes.fromhex(looked.manifest.public)):
        what = (
            f"it is signed by another key, {looked.fingerprint}, than the one you trust"
            if trust
            else f"it is signed by the unknown key {looked.fingerprint}"
        )
        raise InvalidInput(
            what, where=str(file), remedy="compare it with what its maker says, then --trust FINGERPRINT"
        )
    manifest = looked.manifest
    title = onnx.called(name, manifest.name)
    onnx.demand_free(ws, title, manifest.sha256, file)
    staged = ws.folder / "models" / f".{manifest.sha256}.{secrets.token_hex(6)}.part"
    try:
        staged.mkdir()
        parts = pack.unpack(looked.opened, staged)
        row = _staged(manifest, title, parts, staged, where=str(file))
        _proved(row, manifest, staged, where=str(file))
        bodies = {part.sha256: parts[part.role] for part in manifest.parts}
        with _came(ws, looked.opened, staged):
            taken = onnx.adopt(ws, title, row.card, bodies)
        if looked.trust == "unknown":
            key_rows.trust(ws, bytes.fromhex(manifest.public))
    except OSError as error:
        raise Unavailable(
            f"the model cannot be copied into the workspace: {error.strerror}", where=str(file),
            remedy="make room or choose another folder",
        ) from error  # fmt: skip
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return taken


def _staged(
    manifest: Manifest, title: str, parts: dict[str, Path], staged: Path, *, where: str
) -> ModelRow | PairRow:
    """The pack's model as a row of files that lie in the staging folder, if card and files belong together."""
    for part in manifest.parts:
        if session.identify(parts[part.role]).sha256 != part.sha256:
            raise InvalidInput("its files are not what its manifest says", where=where)
    data = canonical.encode(manifest.card)
    digests = tuple(part.sha256 for part in manifest.parts)
    belongs: bool
    row: ModelRow | PairRow
    if manifest.kind != "pair":
        card = cards.from_json(data, where=where)
        row = ModelRow(title, manifest.sha256, card, parts[manifest.parts[0].role], True, 0)
        named = tuple((part.role, part.sha256) for part in manifest.parts)
        set_of = (named, reader.identity(named)) if manifest.kind == "reader" else ((), digests[0])
        belongs = (card.parts, card.sha256) == set_of and card.sha256 == manifest.sha256
        recipes.checked(recipes.from_plain(manifest.recipe, where=where), where=where, labels=card.labels)
    else:
        pair = promptable.from_json(data, where=where)
        row = PairRow(title, manifest.sha256, pair, parts["encoder"], parts["decoder"], True, 0)
        belongs = (pair.encoder_sha256, pair.decoder_sha256) == digests and pair.sha256 == manifest.sha256
        belongs = belongs and promptable.identity(*digests) == manifest.sha256
    if not belongs:
        raise InvalidInput("its card is not that of its files", where=where)
    return row


def _proved(row: ModelRow | PairRow, manifest: Manifest, staged: Path, *, where: str) -> None:
    """Run the test; refuse what gives anything else than the maker saw."""
    data = (staged / manifest.picture.name).read_bytes()
    try:
        got = _run(row, data, _box(manifest.expected) if manifest.expected.prompt else None)
    except LamproomError as error:
        raise InvalidInput(f"its test cannot be run: {error.line}", where=where) from error
    if problem := sample.differs(manifest.expected, got):
        raise InvalidInput(
            f"its test gives something else than its maker saw: {problem}", where=where,
            remedy="ask its maker; the runtimes may be too far apart",
        )  # fmt: skip


# --- what came with a model --------------------------------------------------------------------------------------


def origin(ws: Workspace, sha256: str) -> Manifest | None:
    """The manifest of the pack that a model came in; None for one that was added from its own files."""
    try:
        return pack.manifest_of(_beside(ws, sha256, "manifest.json").read_bytes(), where=sha256)
    except (OSError, InvalidInput):
        return None


def recipe(ws: Workspace, name: str) -> Recipe:
    """How the model's maker says it is used, the plain recipe when it did not come in a pack; NotFound.

    But for where it runs: that is this machine's matter, and falling back to another device a person's word.
    """
    came = origin(ws, _row(ws, name).sha256)
    return PLAIN if came is None else replace(recipes.from_plain(came.recipe, where=name), providers=())


def _beside(ws: Workspace, sha256: str, name: str) -> Path:
    return ws.folder / "models" / f"{sha256}.pack" / name


@contextmanager
def _came(ws: Workspace, opened: Opened, staged: Path) -> Iterator[None]:
    """Keep manifest, signature, licence and picture beside the model; when the block fails all is as before."""
    fresh = staged / "pack"
    fresh.mkdir()
    (fresh / "manifest.json").write_bytes(opened.data)
    (fresh / "signature").write_bytes(opened.signature)
    shutil.copyfile(staged / opened.manifest.licence_text.name, fresh / "licence.txt")
    shutil.copyfile(staged / opened.manifest.picture.name, fresh / "picture.png")
    files.sync_tree(fresh)
    target, old = _beside(ws, opened.manifest.sha256, "manifest.json").parent, staged / "old"
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    files.sync_folder(target.parent)
    try:
        yield
    except BaseException:
        target.rename(fresh)
        if old.exists():
            old.rename(target)
        raise


def told(looked: Looked) -> dict[str, Any]:
    """A pack for people and scripts."""
    m = looked.manifest
    return {
        "name": m.name, "kind": m.kind, "sha256": m.sha256, "licence": m.licence, "bytes": m.size_bytes, "schema": m.schema,
        "key": looked.fingerprint, "trust": looked.trust, "tested": len(m.expected.objects) or len(m.expected.vector),
        "runtime": m.runtime,
    }  # fmt: skip
