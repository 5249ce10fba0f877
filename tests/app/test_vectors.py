"""Vectors of an embedding model: kept by pre-labelling, here and through a job directory, and used to find like pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import sqlalchemy as sa
from onnx import TensorProto, helper, numpy_helper

from annotation.errors import NotFound
from app.events import Finished, Work
from app.services import cleaning, ingest, prelabel, workspace
from app.services import onnx as models_of
from app.services.orders import Course
from app.services.workspace import Workspace
from storage import likeness
from tests.models.toys import grey_png

GREYS = (10, 60, 110, 160, 210, 250)


def finish(work: Work) -> dict[str, object]:
    return next(dict(e.result) for e in work if isinstance(e, Finished))


def embedder(path: Path) -> Path:
    """(mean, 1) of a picture, to unit length: told for an embedding by its length."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["m", "last"], ["u"]),
        helper.make_node("Concat", ["u", "one"], ["two"], axis=1),
        helper.make_node("LpNormalization", ["two"], ["y"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([1]), "last"), numpy_helper.from_array(np.array([[-1.0]], np.float32), "one")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(onnx.ModelProto.SerializeToString(model))
    return path


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "in").mkdir()
    for i, grey in enumerate(GREYS):
        (tmp_path / "in" / f"{i}.png").write_bytes(grey_png(grey))
    with workspace.create(str(tmp_path / "W"), person="07") as found:
        list(ingest.run(found, [tmp_path / "in"], dataset="d"))
        row = models_of.add(found, embedder(tmp_path / "e.onnx"), name="e", answers={"range": "share"})
        assert row.card.task == "embed"
        yield found


def kept(ws: Workspace) -> list[np.ndarray]:
    with ws.db.read() as conn:
        rows = conn.execute(sa.text("SELECT vector FROM embedding ORDER BY asset_id")).scalars()
        return [np.frombuffer(bytes(r), "<f2").astype(float) for r in rows]


def expected() -> list[np.ndarray]:
    plain = [np.array([grey / 255, -1.0]) for grey in GREYS]
    return [v / np.linalg.norm(v) for v in plain]


def here(ws: Workspace) -> None:
    finish(prelabel.run(ws, "d", "e"))


def elsewhere(ws: Workspace) -> None:
    finish(prelabel.run(ws, "d", "e", course=Course(runner="local:1", shards=2)))


@pytest.mark.parametrize("way", [here, elsewhere])
def test_every_picture_keeps_its_vector_of_unit_length(
    ws: Workspace, way: Callable[[Workspace], None]
) -> None:
    way(ws)
    found = kept(ws)
    assert len(found) == len(GREYS)
    for one, other in zip(found, expected(), strict=True):
        assert one == pytest.approx(other, abs=2e-3)


def test_a_second_run_replaces_the_vectors(ws: Workspace) -> None:
    here(ws)
    with ws.db.write() as conn:
        conn.execute(sa.text("UPDATE embedding SET vector = :v"), {"v": b"\0\0\0\0"})
    finish(prelabel.run(ws, "d", "e", score=0.9))
    assert kept(ws)[0] == pytest.approx(expected()[0], abs=2e-3)


def test_a_dataset_without_vectors_of_its_own_is_told_so_whatever_others_have(
    ws: Workspace, tmp_path: Path
) -> None:
    list(prelabel.run(ws, "d", "e"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.png").write_bytes(grey_png(33))
    list(ingest.run(ws, [tmp_path / "other"], dataset="bare"))
    with pytest.raises(NotFound, match="no vectors"):
        list(cleaning.find(ws, "bare", cleaning.Wanted(("alike",))))
    assert not cleaning.overview(ws, 2).vectors and cleaning.overview(ws, 1).vectors
    *_, signs = likeness.signs(ws.db.read, [2])
    assert isinstance(signs, likeness.Signs)
    with ws.db.read() as conn:
        [digest] = likeness.models(conn, 1)
    places, vectors = likeness.vectors(ws.db.read, signs, digest)
    assert (len(places), vectors.shape) == (0, (0, 0))
