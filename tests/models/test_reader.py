"""Readers: lines are found, laid straight and spelt; against PaddleOCR's figures where its weights are at hand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from annotation.core import Quad
from annotation.errors import InvalidInput
from app.events import Finished
from app.services import browse, ingest, labelling, prelabel, workspace
from app.services import onnx as models_of
from models import reader
from models.reader import spelt

LETTERS = "甲乙丙"
WEIGHTS = os.environ.get("LAMPROOM_OCR")  # read before the tests clear the environment


def finder(path: Path, *, name: str = "anything") -> Path:
    """White is text: the mean of the channels, from -1..1 to 0..1, so that islands of white are lines."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Add", ["m", "one"], ["a"]),
        helper.make_node("Div", ["a", "two"], [name]),
    ]
    return _write(path, nodes, {"one": np.float32(1), "two": np.float32(2)}, ["n", 3, "h", "w"], name, {})


def recogniser(path: Path, *, letters: str = LETTERS) -> Path:
    """Steps of 8 px: the grey of a step tells its letter, 0 the blank; one class more for the space."""
    centres = np.linspace(-1, 1, len(letters) + 2).astype(np.float32).reshape(1, 1, -1)
    nodes = [
        helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[32, 8], strides=[32, 8]),
        helper.make_node("ReduceMean", ["p"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["m", "last"], ["u"]),
        helper.make_node("Sub", ["u", "centres"], ["d"]),
        helper.make_node("Abs", ["d"], ["e"]),
        helper.make_node("Mul", ["e", "sharp"], ["s"]),
        helper.make_node("Softmax", ["s"], ["y"], axis=2),
    ]
    constants = {"last": np.array([2]), "centres": centres, "sharp": np.float32(-60)}
    return _write(path, nodes, constants, ["n", 3, 32, "w"], "y", {"character": "\n".join(letters) + "\n"})


def _write(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, object], shape: list[object], out: str, metadata: dict[str, str]) -> Path:  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def test_repeats_and_blanks_are_left_out_of_the_text() -> None:
    steps = np.eye(5)[[0, 1, 1, 0, 1, 2, 2, 3, 4, 0]] * 0.8
    assert spelt(steps, tuple(LETTERS)) == ("甲甲乙丙", pytest.approx(0.8))
    assert spelt(np.eye(5)[[0, 0]], tuple(LETTERS)) == ("", 0.0)


@pytest.mark.parametrize("turned", [False, True])
def test_the_two_files_may_be_given_in_either_order(tmp_path: Path, turned: bool) -> None:
    files = finder(tmp_path / "a.onnx"), recogniser(tmp_path / "b.onnx")
    card = reader.recognise(*(reversed(files) if turned else files), name="读").card
    assert (card.task, card.family, card.labels, card.get("height")) == ("read", "dbnet", ("text",), 32)
    assert card == reader.recognise(*files, name="读").card


def test_what_is_no_reader_is_refused_by_name(tmp_path: Path) -> None:
    one, two = finder(tmp_path / "a.onnx"), recogniser(tmp_path / "b.onnx")
    with pytest.raises(InvalidInput, match="neither file holds its characters"):
        reader.recognise(one, one)
    with pytest.raises(InvalidInput, match="no finder of text lines"):
        reader.recognise(two, two)


def test_lines_are_read_in_batch_and_kept_with_their_text(tmp_path: Path) -> None:
    page = np.zeros((800, 900, 3), np.uint8)
    # Letters by the grey of 64 px; text must be over 0.3 of the map everywhere, so no letter is darker than that.
    for row, greys in ((100, (170, 212)), (400, (212, 170, 212))):
        for i, grey in enumerate(greys):
            page[row : row + 60, 100 + 90 * i : 190 + 90 * i] = grey
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "page.png"), page)
    files = finder(tmp_path / "a.onnx"), recogniser(tmp_path / "b.onnx")
    with workspace.create(str(tmp_path / "W"), person="07") as ws:
        list(ingest.run(ws, [tmp_path / "in"], dataset="d"))
        row = models_of.add_reader(ws, *files, name="reader")
        assert row.present
        done = next(dict(e.result) for e in prelabel.run(ws, "d", "reader") if isinstance(e, Finished))
        [data] = browse.datasets(ws)
        [asset] = [r.asset_id for r in browse.page(ws, browse.Query(data.id), after=0, limit=9)]
        found = labelling.load(ws, asset).annotations
    assert done["predictions"] == len(found) == 2
    for a in found:
        assert isinstance(a.shape, Quad)
        assert a.label == "text"
        assert a.attributes["transcript"]
    assert len({a.attributes["transcript"] for a in found}) == 2


def test_paddles_weights_read_drawn_vertical_pages(tmp_path: Path, shared: Path) -> None:
    folder = Path(WEIGHTS or tmp_path / "none")
    finder_, reader_ = (next(folder.glob(f"*_{kind}_*.onnx"), None) for kind in ("det", "rec"))
    if finder_ is None or reader_ is None:
        pytest.skip(
            "no PaddleOCR weights (set LAMPROOM_OCR to the folder with *_det_*.onnx and *_rec_*.onnx)"
        )
    shutil.copytree(shared / "data" / "archive-pages" / "synthetic-zh-vertical", tmp_path / "in")
    with workspace.create(str(tmp_path / "W"), person="07") as ws:
        list(ingest.run(ws, [tmp_path / "in"], dataset="d"))
        models_of.add_reader(ws, finder_, reader_, name="reader")
        list(prelabel.run(ws, "d", "reader"))
        [data] = browse.datasets(ws)
        rows = browse.page(ws, browse.Query(data.id), after=0, limit=9)
        texts = [
            str(a.attributes["transcript"]) for r in rows for a in labelling.load(ws, r.asset_id).annotations
        ]
    assert len(texts) == 27
    assert texts.count("记于昙曜五窟前") >= 3
