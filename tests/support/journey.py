"""What journeys share: looks, counts, pictures of the screen for people to look at, the shared frames, checks of the record."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import cv2

from annotation import geometry, scenes
from annotation.core import Annotation, Box
from app.services import browse, labelling
from app.services.browse import ItemRow, Query
from app.services.workspace import Workspace

PICTURES = os.environ.get("JOURNEY_PICTURES", "")
"""A folder: pictures of every journey are put there."""
WH = (480, 270)
Truth = Mapping[str, tuple[Annotation, ...]]
"""File name to what is to be seen on it."""


@dataclass
class Tale:
    """One journey in one look, as it is told at its end."""

    name: str
    language: str
    theme: str
    began: float = field(default_factory=time.monotonic)
    shots: int = 0
    gestures: int = 0

    def shot(self, step: str) -> Path | None:
        """Where a picture of this moment goes; None when nobody wants any."""
        if not PICTURES:
            return None
        self.shots += 1
        folder = Path(PICTURES)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self.name}-{self.language[:2]}-{self.theme}-{self.shots}-{step}.png"

    def told(self, n: int, repeats: int = 0) -> None:
        """The figures."""
        minutes = (time.monotonic() - self.began) / 60
        print(
            f"journey {self.name} ({self.language}, {self.theme}): {n} pictures, {self.gestures} gestures, "
            f"{repeats} repeated, {minutes:.1f} min"
        )


# --- pictures ----------------------------------------------------------------------------------------------------


def mine_pictures(shared: Path | None, folder: Path, n: int) -> Truth:
    """`n` mine pictures of 480 x 270: the shared low-light ones as far as there are any, the rest drawn."""
    folder.mkdir(parents=True)
    truth: dict[str, tuple[Annotation, ...]] = {}
    place = shared / "data" / "minelike-lowlight-voc" if shared else None
    for file in sorted((place / "images").iterdir())[:n] if place else []:
        (folder / file.name).write_bytes(file.read_bytes())
        tree = ElementTree.parse(place / "annotations" / f"{file.stem}.xml")
        truth[file.name] = tuple(
            Annotation(
                o.findtext("name", ""),
                Box(*(float(o.findtext(f"bndbox/{side}", "0")) for side in ("xmin", "ymin", "xmax", "ymax"))),
            )
            for o in tree.iter("object")
        )
    for i in range(len(truth), n):
        scene = scenes.draw(300 + i, WH)
        name = f"drawn-{i:03d}.png"
        cv2.imwrite(str(folder / name), scene.picture)
        truth[name] = tuple(a for a in scene.annotations if isinstance(a.shape, Box))
    return truth


def worker_frames(shared: Path, folder: Path, n: int) -> Truth:
    """The first `n` frames of a worker in a hall, with the boxes made for them."""
    folder.mkdir(parents=True)
    place = shared / "data" / "video-worker-zone"
    told = json.loads((place / "instances.json").read_text(encoding="utf-8"))
    names = {c["id"]: c["name"] for c in told["categories"]}
    truth: dict[str, tuple[Annotation, ...]] = {}
    for image in told["images"][:n]:
        file = place / image["file_name"]
        (folder / file.name).write_bytes(file.read_bytes())
        boxes = [
            (names[a["category_id"]], a["bbox"]) for a in told["annotations"] if a["image_id"] == image["id"]
        ]
        truth[file.name] = tuple(Annotation(name, Box(x, y, x + w, y + h)) for name, (x, y, w, h) in boxes)
    return truth


def pictures(shared: Path | None, folder: Path, n: int) -> Truth:
    """`n` pictures with helmets in them: frames of the worker, or drawn scenes where there are none."""
    return worker_frames(shared, folder, n) if shared else mine_pictures(None, folder, n)


def film(folder: Path, n: int) -> dict[str, list[Box]]:
    """A drawn sequence of `n` frames of 640 x 360 with two people who walk; where each is on every frame."""
    folder.mkdir(parents=True)
    ground = cv2.convertScaleAbs(scenes.draw(40, (640, 360)).picture, alpha=0.45)
    way: dict[str, list[Box]] = {"a": [], "b": []}
    for i in range(n):
        picture = ground.copy()
        for who, x, y, vest in (
            ("a", 60 + 18 * i, 110, (40, 130, 235)),
            ("b", 540 - 22 * i, 190 + 3 * i, (70, 210, 120)),
        ):
            cv2.rectangle(picture, (x, y + 26), (x + 44, y + 86), vest, -1)
            for k in (34, 52, 70):
                cv2.line(picture, (x, y + k), (x + 44, y + k + 4), (225, 225, 225), 4)
            cv2.rectangle(picture, (x + 6, y + 86), (x + 38, y + 120), (90, 60, 50), -1)
            cv2.circle(picture, (x + 22, y + 14), 14, (30, 200, 240) if who == "a" else (220, 220, 220), -1)
            way[who].append(Box(x, y, x + 44, y + 120))
        cv2.imwrite(str(folder / f"{i + 1:06d}.png"), picture)
    return way


# --- the record ----------------------------------------------------------------------------------------------------


def rows(ws: Workspace) -> dict[str, ItemRow]:
    """The pictures of the only dataset, by file name."""
    (data,) = browse.datasets(ws)
    return {r.path.rsplit("/", 1)[-1]: r for r in browse.page(ws, Query(data.id), limit=10_000)}


def untroubled(ws: Workspace) -> None:
    """Nothing is in the problem list."""
    assert browse.problems(ws) == []


def verbs(ws: Workspace, agent: str) -> Counter[str]:
    """How often somebody did what, of what stands."""
    found: Counter[str] = Counter()
    before = None
    while page := labelling.steps(ws, before=before, limit=500):
        found.update(s.verb for s in page if s.agent == agent and s.stands and s.op == 0)
        before = page[-1].step
    return found


def iou(a: Annotation, b: Annotation) -> float:
    """Overlap of two boxes, 0..1."""
    return float(geometry.iou(geometry.boxes_array([a.shape]), geometry.boxes_array([b.shape]))[0, 0])
