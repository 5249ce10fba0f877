"""A model tried on ten pictures of a dataset before anything of it is kept: for the eye at the desk, as JPEGs on the command line."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation import geometry
from annotation.core import Annotation, AnnotationSet
from annotation.errors import Conflict, NotFound, Unavailable
from annotation.schema import PALETTE
from app.events import Finished, Progress, Started, Warned, Work
from app.services import browse, onnx
from app.services.workspace import Workspace
from models import batch
from models import recipe as recipes
from models.card import ModelCard
from models.recipe import PLAIN, Recipe
from storage import files, media, queries
from storage.queries import Place, Query

PICTURES = 10
FLOOR = 0.05
"""Lowest score that is asked for: a person moves the threshold over what was found, without another run."""
MAX_SIDE_PX = 1920
"""Longer side of a JPEG that is written."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the model found in one picture.

    Attributes:
        wh: the picture's size after orientation; (0, 0) with a problem.
        annotations: with scores, in source pixels, strongest first.
        problem: one line, or None.
    """

    asset_id: int
    path: str
    wh: tuple[int, int]
    annotations: AnnotationSet
    problem: str | None = None


def spread(ws: Workspace, query: Query, n: int = PICTURES) -> list[tuple[int, Place]]:
    """At most `n` pictures of a query, drawn evenly by id from the whole: the first thousand may all be of one camera."""
    with ws.db.read() as conn:
        span = queries.span(conn, query.dataset_id)
        if span is None:
            return []
        step = max(1, (span[1] - span[0] + 1) // n)
        ids: dict[int, None] = {}
        for start in range(span[0], span[1] + 1, step):
            ids.update(dict.fromkeys(queries.asset_ids(conn, query, after=start - 1, limit=1)))
        if len(ids) < n:  # ids with gaps, or a query that meets few
            ids.update(dict.fromkeys(queries.asset_ids(conn, query, after=0, limit=n)))
        chosen = sorted(list(ids)[:n])
        places = queries.places(conn, chosen)
    return [(i, places[i]) for i in chosen if i in places]


def predict(
    ws: Workspace,
    pictures: list[tuple[int, Place]],
    file: Path,
    card: ModelCard,
    *,
    recipe: Recipe = PLAIN,
    provider: str = "cpu",
    floor: float = FLOOR,
    cancel: threading.Event | None = None,
) -> Iterator[Shown]:
    """What a model says about some pictures, one by one. Nothing is kept, neither of the model nor of what it found.

    Args:
        pictures: of `spread`.
        file: the model's file, wherever it lies.
        floor: the lowest score, 0..1, whatever the recipe says of the whole.
        cancel: once set, the iteration ends.

    Raises:
        InvalidInput, Unavailable: the model cannot be run.
    """
    using = recipes.narrowed(recipe, score=min(floor, card.score))
    paths = {asset: place.path for asset, place in pictures}
    with batch.predict(
        pictures,
        partial(browse.bytes_at, ws.folder),
        file,
        card,
        decode=media.decode,
        recipe=using,
        provider=provider,
        path_of=lambda place: place.path,
        cancel=cancel,
    ) as run:
        for found in run:
            yield Shown(found.id, paths[found.id], found.wh, found.annotations, found.problem)


def run(
    ws: Workspace,
    dataset: str,
    model: str,
    out: Path,
    *,
    answers: Mapping[str, str] | None = None,
    recipe: Recipe = PLAIN,
    score: float | None = None,
    provider: str = "cpu",
) -> Work:
    """Ten pictures of a dataset with what a model finds in them drawn, as JPEGs in a new folder.

    Args:
        model: an ONNX file that need not be in the workspace, or a name from `lamproom models list`.
        answers: to what the file cannot tell; only for a file.
        score: the lowest that is drawn; by default the recipe's, then the model's.

    Raises:
        NotFound: no such dataset or model. InvalidInput: not a model we know. Conflict: the folder is there.
    """
    data = browse.dataset(ws, dataset)
    file = Path(model).expanduser()
    if file.is_file():
        card = onnx.look(file, answers=answers).card
    else:
        row = onnx.show(ws, model)
        if not row.present:
            raise Unavailable(
                "this machine does not have the model's file", where=model, remedy="add it here"
            )
        file, card = row.path, row.card
    recipes.checked(recipe, where=model, labels=card.labels)
    if out.exists():
        raise Conflict("it exists already", where=str(out), remedy="name a new folder")
    whole = recipe.score_micro
    least = score if score is not None else whole / recipes.MICRO if whole is not None else card.score
    pictures = spread(ws, Query(data.id))
    if not pictures:
        raise NotFound("the dataset has no pictures", where=dataset)
    yield Started(f"preview {data.name} · {card.name}", len(pictures))
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise Unavailable(f"cannot be written: {error.strerror}", where=str(out)) from error
    places = dict(pictures)
    written: list[dict[str, object]] = []
    problems = 0
    for shown in predict(ws, pictures, file, card, recipe=recipe, provider=provider, floor=min(least, FLOOR)):
        if shown.problem is not None:
            problems += 1
            yield Warned(shown.problem, shown.path)
            continue
        kept = [a for a in shown.annotations if (a.score or 0.0) >= least]
        picture = draw(media.decode(browse.bytes_at(ws.folder, places[shown.asset_id])), kept, card.labels)
        name = f"{len(written) + 1:02d}-{_safe(shown.path)}.jpg"
        files.write(out / name, cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
        written.append({"file": name, "picture": shown.path, "objects": len(kept)})
        yield Progress(len(written) + problems, len(pictures))
    yield Finished(
        {"model": card.name, "out": str(out), "score": least, "pictures": written}, problems=problems
    )


def draw(
    picture: NDArray[np.uint8], found: AnnotationSet | list[Annotation], labels: tuple[str, ...]
) -> NDArray[np.uint8]:
    """A copy of a picture (uint8 h, w, 3 BGR) of at most MAX_SIDE_PX with boxes, classes and scores; a class has one colour."""
    h, w = picture.shape[:2]
    scale = min(1.0, MAX_SIDE_PX / max(h, w))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    made: NDArray[np.uint8] = np.ascontiguousarray(
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture.copy()
    )
    thick = max(1, round(max(size) / 640))
    text = max(0.4, max(size) / 1600)
    index = {name: i for i, name in enumerate(labels)}
    for one in reversed(found):  # the strongest on top
        i = index.get(one.label, 0)
        colour = _bgr(PALETTE[i % len(PALETTE)])
        # OpenCV draws ASCII only; a class it cannot write is told by its number.
        name = one.label if one.label.isascii() else f"class {i}"
        said = f"{name} {one.score or 0:.2f}"
        box = geometry.bbox(one.shape)
        (tw, th), _ = cv2.getTextSize(said, cv2.FONT_HERSHEY_SIMPLEX, text, thick)
        x0, y0 = (0, 0) if box is None else (round(box.x0 * scale), round(box.y0 * scale))
        if box is not None:
            cv2.rectangle(
                made, (x0, y0), (round(box.x1 * scale), round(box.y1 * scale)), colour, thick, cv2.LINE_AA
            )
        top = max(y0, th + 6)
        cv2.rectangle(made, (x0, top - th - 6), (x0 + tw + 6, top), colour, -1)
        cv2.putText(
            made, said, (x0 + 3, top - 4), cv2.FONT_HERSHEY_SIMPLEX, text, (20, 20, 20), thick, cv2.LINE_AA
        )
    return made


def _bgr(colour: str) -> tuple[int, int, int]:
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)


def _safe(path: str) -> str:
    """A file name out of a picture's path."""
    stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return re.sub(r"[^\w.-]+", "_", stem)[:60] or "picture"
