"""Truth and predictions of an evaluation as COCO files, so that its figures can be checked with COCO's own program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from annotation import geometry, raster, rle
from annotation.core import Annotation, Keypoints, Mask
from annotation.overlap import CROWD, By
from storage import files
from storage.queries import ItemRow


class Writer:
    """Collects one model's predictions (and the truth) while pictures come; `done` writes `truth.json` and `MODEL.json`."""

    def __init__(self, folder: Path, classes: Sequence[str], model: str) -> None:
        self._folder, self._ids = folder, {code: i for i, code in enumerate(classes, 1)}
        safe = re.sub(r"[^\w.-]+", "_", model).strip("._") or "model"
        self._name = safe = safe if safe.casefold() != "truth" else "model"
        n = 1
        while (
            folder / f"{self._name}.json"
        ).exists():  # of a model whose name differs in what no file is called
            n += 1
            self._name = f"{safe}-{n}"
        self._parts: dict[str, IO[str]] = {}
        for key in ("images", "truth", "said"):
            self._parts[key] = TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - `close` closes it
        self._n = 0

    def add(self, item: ItemRow, given: Sequence[Annotation], found: Sequence[Annotation], by: By) -> None:
        """One picture that counts."""
        self._line("images", {"id": item.asset_id, "file_name": item.path, "width": item.width_px or 0, "height": item.height_px or 0})  # fmt: skip
        for a in given:
            if (row := _row(a, item, by)) is not None:
                self._n += 1  # from 1: COCO's program takes 0 for none
                extra = {"id": self._n, "image_id": item.asset_id, "category_id": self._ids[a.label], "iscrowd": int(a.attributes.get(CROWD) is True)}  # fmt: skip
                self._line("truth", row | extra)
        for a in found:
            if (row := _row(a, item, by)) is not None:
                row.pop("area")
                self._line(
                    "said",
                    row | {"image_id": item.asset_id, "category_id": self._ids[a.label], "score": a.score},
                )

    def done(self) -> None:
        """Put both files in their place."""
        self._folder.mkdir(parents=True, exist_ok=True)
        categories = json.dumps(
            [{"id": i, "name": code} for code, i in self._ids.items()], ensure_ascii=False
        )
        parts = (("images", '{"images": ['), ("truth", '], "annotations": ['))
        files.write(self._folder / "truth.json", self._joined(parts, f'], "categories": {categories}}}\n'))
        files.write(self._folder / f"{self._name}.json", self._joined((("said", "["),), "]\n"))
        self.close()

    def close(self) -> None:
        """Let go of what was collected."""
        for out in self._parts.values():
            out.close()

    def _line(self, key: str, row: dict[str, Any]) -> None:
        out = self._parts[key]
        out.write((",\n" if out.tell() else "") + json.dumps(row, ensure_ascii=False))

    def _joined(self, parts: Sequence[tuple[str, str]], end: str) -> Iterator[bytes]:
        for key, head in parts:
            yield head.encode()
            yield from _pieces(self._parts[key])
        yield end.encode()


def _pieces(file: IO[str]) -> Iterator[bytes]:
    file.flush()
    file.seek(0)
    while piece := file.read(1 << 20):
        yield piece.encode()


def _row(a: Annotation, item: ItemRow, by: By) -> dict[str, Any] | None:
    """Box, area and, for masks, runs of an object; None for what COCO cannot compare."""
    shape = a.shape
    box = geometry.bbox(shape)
    if box is None or (not isinstance(shape, Keypoints | Mask) and geometry.outline(shape) is None):
        return None
    out: dict[str, Any] = {
        "bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
        "area": geometry.area(shape),
    }
    if isinstance(shape, Keypoints):
        out["area"] = geometry.area(box)
    if by == "mask" and item.width_px and item.height_px:
        mask = raster.to_mask(shape, width=item.width_px, height=item.height_px)
        out["segmentation"] = {"size": [mask.h, mask.w], "counts": rle.to_text(mask.counts)}
        out["area"] = float(sum(mask.counts[1::2]))
    return out
