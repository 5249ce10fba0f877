"""Rules of the figures: a day's output counts what people made, not what they took back; scores fall into their bars."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from annotation.core import Annotation, Box
from app.services import figures, labelling
from app.services.workspace import Workspace
from tests.app.conftest import draw, enrol
from tests.app.desktop.conftest import predict

both = pytest.mark.parametrize("ws", ["folder", "postgresql"], indirect=True)


@both
def test_a_days_output_counts_objects_and_pictures_of_each_person_and_no_undo(
    ws: Workspace, tmp_path: Path
) -> None:
    data, assets = enrol(ws, tmp_path / "p", draw(tmp_path / "p", 3))
    for a in assets[:2]:
        page = labelling.load(ws, a)
        page = labelling.save(
            ws, page, tuple(Annotation("person", Box(1, 1, 9 + i, 9)) for i in range(2)), verb="draw box"
        )
        labelling.undo(ws, page)
        labelling.redo(ws, page)
    (made,) = figures.output(ws, data)
    assert (made.day, made.person, made.objects, made.pictures) == (time.strftime("%Y-%m-%d"), "安全员", 4, 2)
    later = int(time.time() * 1000) + 40 * 86_400_000
    assert figures.output(ws, data, now_ms=later) == []


def test_scores_fall_into_their_bars(ws: Workspace, tmp_path: Path) -> None:
    data, assets = enrol(ws, tmp_path / "p", draw(tmp_path / "p", 2))
    predict(
        ws, assets[0], tuple(("person", Box(1, 1, 9, 9 + i), s) for i, s in enumerate((0.0, 0.049, 0.5, 1.0)))
    )
    found = figures.scores(ws, data)
    assert (found[0], found[10], found[19], sum(found)) == (2, 1, 1, 4)
