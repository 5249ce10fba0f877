"""Recipes of a workspace by name: TOML files in its folder `recipes`, for the desk, the command line and people alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation import canonical
from annotation.errors import InvalidInput, LamproomError, NotFound, Unavailable
from app.services.orders import recipe_for
from app.services.workspace import Workspace
from models import recipe as recipes
from models.recipe import PLAIN as PLAIN  # the desk builds recipes without importing models
from models.recipe import Recipe
from models.recipe import Region as Region
from models.recipe import Tiling as Tiling
from models.tiling import windows as cut
from storage import files

MAX_NAME = 80


@dataclass(frozen=True, slots=True)
class Kept:
    """A recipe of the workspace. `recipe` None: its file cannot be read, and `fault` says why."""

    name: str
    path: Path
    recipe: Recipe | None
    fault: str = ""


def listing(ws: Workspace) -> list[Kept]:
    """Every recipe, by name; one that a person broke in an editor is listed with its fault."""
    out = []
    for path in sorted(_folder(ws).glob("*.toml")):
        if not path.name.startswith("."):
            try:
                out.append(Kept(path.stem, path, recipe_for(path)))
            except LamproomError as error:
                out.append(Kept(path.stem, path, None, error.line))
    return out


def load(ws: Workspace, name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        NotFound: there is none. InvalidInput: its file says what cannot be.
    """
    path = _path(ws, name)
    if not path.is_file():
        raise NotFound(f"there is no recipe {name!r}", remedy="`lamproom recipes list` names them")
    return recipe_for(path)


def save(ws: Workspace, name: str, recipe: Recipe) -> Path:
    """Keep a recipe under a name; one of that name is replaced.

    Raises:
        InvalidInput: no name for a file, or numbers out of range. Unavailable: it cannot be written.
    """
    path = _path(ws, name)
    text = recipes.to_toml(recipes.checked(recipe))
    try:
        path.parent.mkdir(exist_ok=True)
        files.write(path, text.encode())
    except OSError as error:
        raise Unavailable(f"cannot be written: {error.strerror}", where=str(path)) from error
    return path


def told(ws: Workspace, name: str) -> tuple[str, dict[str, Any]]:
    """A recipe as TOML and as plain values; faults as in `load`."""
    found = load(ws, name)
    return recipes.to_toml(found), recipes.to_plain(found)


def take(ws: Workspace, name: str, file: Path) -> Path:
    """Keep the recipe of a TOML file under a name; as it means, not as it is spelt.

    Raises:
        NotFound, InvalidInput, Unavailable: the file or the name is none, or it cannot be written.
    """
    return save(ws, name, recipe_for(file))


def _folder(ws: Workspace) -> Path:
    return ws.folder / "recipes"


def _path(ws: Workspace, name: str) -> Path:
    title = canonical.nfc(name).strip()
    if len(title) > MAX_NAME or not files.can_name(title):
        raise InvalidInput(f"{name!r} is no name for a recipe", remedy="letters, digits, spaces, - and _")
    return _folder(ws) / f"{title}.toml"


def tiles(wh: tuple[int, int], tiling: Tiling) -> list[tuple[int, int, int, int]]:
    """x0, y0, x1, y1 of the tiles a picture of (w, h) px is cut into; the whole picture last where it is looked at too."""
    return cut(wh, tiling)
