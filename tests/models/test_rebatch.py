"""A free batch is given only where batches give exactly what single pictures give."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models import demo, rebatch, recognise, session
from models.card import ModelCard
from tests.models.hostile import WEIGHTS, outside
from tests.models.toys import CELLS, SIDE, Array, columns, toy_model

Nodes = list[Any]


def shaped(
    nodes: Nodes,
    constants: Mapping[str, Array],
    *,
    opset: int = 13,
    ir: int = 8,
    listed: bool = False,
) -> onnx.ModelProto:
    """A detector of (1, 6, cells) whose nodes make `out` of `images`; `listed` = its weights stand among the inputs."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 6, CELLS])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
        value_info=[helper.make_tensor_value_info("flat", TensorProto.FLOAT, [1, 3 * SIDE * SIDE])],
    )
    if listed:
        for name, value in constants.items():
            kind = helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype)
            graph.input.append(helper.make_tensor_value_info(name, kind, np.shape(value)))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    helper.set_model_props(
        model, {"names": "['a', 'b']"}
    )  # its rows are no scores, so names say what they are
    return model


def pooled(
    first: int = 1, *, shape: list[int] | None = None, **options: Any
) -> tuple[Nodes, dict[str, Array]]:
    """A small exact network: pool, convolve, reshape by a constant; sums of few terms in one order."""
    rng = np.random.default_rng(1)
    weight = rng.normal(0, 0.1, (6, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["all"]),
        helper.make_node("Reshape", ["all", "shape"], ["rows"], **options),
        helper.make_node("Slice", ["rows", "zero", "cells", "two"], ["out"]),
    ]
    return nodes, {
        "weight": weight,
        "shape": np.array(shape or [first, 6, -1]),
        "zero": np.array([0]),
        "cells": np.array([CELLS]),
        "two": np.array([2]),
    }


def known(folder: Path, model: onnx.ModelProto) -> tuple[Path, ModelCard]:
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path, recognise.recognise(path).card


def spread(folder: Path, model: onnx.ModelProto, **options: Any) -> rebatch.Freed:
    path, card = known(folder, model)
    before = path.read_bytes()
    found = rebatch.free(path, card, folder / "free.onnx", **options)
    assert path.read_bytes() == before
    assert (found.path is not None) == (folder / "free.onnx").exists()
    return found


@pytest.mark.parametrize(
    "how", ["-1 left", "0 as it comes", "node", "value_ints", "int64_data", "allowzero", "old"]
)
def test_a_model_whose_shapes_hold_the_batch_takes_several_pictures_exactly(tmp_path: Path, how: str) -> None:
    shape = [1, 6, SIDE * SIDE] if how == "-1 left" else None
    nodes, constants = pooled(shape=shape, **({"allowzero": 1} if how == "allowzero" else {}))
    if how in ("node", "value_ints"):
        value = constants.pop("shape")
        said = {"value": numpy_helper.from_array(value)} if how == "node" else {"value_ints": value.tolist()}
        nodes.insert(0, helper.make_node("Constant", [], ["shape"], **said))
    opset = 14 if how == "allowzero" else 13
    model = shaped(nodes, constants, opset=opset, ir=3 if how == "old" else 8, listed=how == "old")
    if how == "int64_data":
        tensor = next(t for t in model.graph.initializer if t.name == "shape")
        tensor.CopyFrom(helper.make_tensor("shape", TensorProto.INT64, [3], [1, 6, -1]))
    found = spread(tmp_path, model)
    assert found.why == "batches of 2, 5, 16 give what single pictures give, bit for bit"
    assert found.path is not None
    assert found.card is not None
    assert found.card.batch == 0
    onnx.checker.check_model(str(found.path))
    opened = session.open_session(found.path, found.card)
    batch = rebatch.samples(found.card, 7)
    assert len({part.tobytes() for part in batch}) == 7
    assert len(opened.run(batch)) == 7


def test_a_shape_without_the_batch_stays_right(tmp_path: Path) -> None:
    nodes, constants = pooled()
    nodes[1:1] = [
        helper.make_node("Reshape", ["bias", "bias_shape"], ["bias_row"]),
        helper.make_node("Add", ["all", "bias_row"], ["raised"]),
    ]
    nodes[3].input[0] = "raised"
    constants |= {"bias": np.arange(6, dtype=np.float32), "bias_shape": np.array([1, 6, 1, 1])}
    assert spread(tmp_path, shaped(nodes, constants)).path is not None


def test_a_constant_that_also_means_something_else_keeps_its_value_there(tmp_path: Path) -> None:
    nodes, constants = pooled(shape=[1, 6, SIDE * SIDE])
    nodes += [
        helper.make_node("Cast", ["shape"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["real"], ["most"], keepdims=0),
        helper.make_node("Mul", ["before", "most"], ["out"]),
    ]
    nodes[2].output[0] = "before"
    path, card = known(tmp_path, shaped(nodes, constants))
    found = rebatch.free(path, card, tmp_path / "free.onnx")
    assert found.path is not None


def test_a_model_that_mixes_its_pictures_is_refused_with_the_difference(tmp_path: Path) -> None:
    nodes, constants = pooled()
    nodes += [
        helper.make_node("ReduceMean", ["before"], ["level"], axes=[0], keepdims=1),
        helper.make_node("Add", ["before", "level"], ["out"]),
    ]
    nodes[2].output[0] = "before"
    found = spread(tmp_path, shaped(nodes, constants))
    assert found.why.startswith("batches of 2 differ from single pictures by up to ")
    assert found.path is None


def test_the_smallest_difference_is_one(tmp_path: Path) -> None:
    nodes, constants = pooled()
    nodes += [
        helper.make_node("Shape", ["images"], ["sides"]),
        helper.make_node("Cast", ["sides"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["real", "zero"], ["pictures"]),
        helper.make_node("Mul", ["pictures", "tiny"], ["drift"]),
        helper.make_node("Add", ["before", "drift"], ["out"]),
    ]
    nodes[2].output[0] = "before"
    constants["tiny"] = np.array([1e-3], np.float32)
    found = spread(tmp_path, shaped(nodes, constants))
    assert found.why.startswith("batches of 2 differ from single pictures by up to 0.001")


def test_a_model_that_fixes_its_batch_elsewhere_is_refused_with_the_runtimes_reason(tmp_path: Path) -> None:
    nodes, constants = pooled()
    nodes += [
        helper.make_node("Split", ["before"], ["out"], axis=0, split=[1]),
    ]
    nodes[2].output[0] = "before"
    found = spread(tmp_path, shaped(nodes, constants, opset=11))
    assert found.why.startswith("it does not run so: ")
    assert "\n" not in found.why


def test_an_output_that_does_not_grow_is_refused(tmp_path: Path) -> None:
    found = spread(tmp_path, toy_model(columns(), shape=(1, 3, SIDE, SIDE)))
    assert found.why == "its output 'out' does not grow with the batch"


def test_a_free_or_another_fixed_batch_is_said(tmp_path: Path) -> None:
    path, card = known(tmp_path, toy_model(columns(), shape=("n", 3, SIDE, SIDE)))
    assert rebatch.rewritten(path, card) == "its batch is free already"


def test_weights_beside_the_model_serve_the_free_one_too(tmp_path: Path) -> None:
    path = outside(tmp_path, shaped(*pooled()))
    before = hashlib.sha256((tmp_path / WEIGHTS).read_bytes()).hexdigest()
    card = recognise.recognise(path).card
    found = rebatch.free(path, card, tmp_path / "free.onnx")
    assert found.card is not None
    assert found.card.files == ((WEIGHTS, before),) == card.files
    assert found.card.sha256 != card.sha256


def test_the_demonstration_detector_takes_batches() -> None:
    assert isinstance(rebatch.rewritten(demo.path(), demo.card()), bytes)


def test_real_yolox_takes_batches_exactly(shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / "yolox_nano.onnx"
    found = rebatch.free(path, recognise.recognise(path).card, tmp_path / "free.onnx")
    assert found.path is not None, found.why
