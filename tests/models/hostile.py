"""Hostile and broken ONNX files, each made by the `onnx` package: what a person may be handed on a USB stick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.models.toys import SIDE, Array, columns, toy_model

WEIGHTS = "weights.bin"


def outside(
    folder: Path,
    model: onnx.ModelProto | None = None,
    *,
    location: str = WEIGHTS,
    file: str = "model.onnx",
    least: int = 64,
    entries: Mapping[str, str] | None = None,
) -> Path:
    """A model with every weight of `least` bytes and more in the file `location` beside it.

    Args:
        entries: written over what each tensor says of its place (location, offset, length).
    """
    model = model or toy_model(columns((1, 2, 3, 4, 0.5)), metadata={"names": "['a', 'b']"})
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / location
    held = bytearray()
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) < least:
            continue
        say = {"location": location, "offset": str(len(held)), "length": str(len(tensor.raw_data))}
        held += tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {**say, **(entries or {})}.items():
            tensor.external_data.add(key=key, value=value)
    if entries is None or "location" not in entries:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bytes(held))
    path = folder / file
    path.write_bytes(model.SerializeToString())
    return path


def single(
    nodes: Sequence[Any],
    constants: Mapping[str, Array] | None = None,
    *,
    shape: Sequence[int | str] = (1, 3, SIDE, SIDE),
    opsets: Mapping[str, int] | None = None,
    ir: int = 8,
) -> onnx.ModelProto:
    """A model from `images` to `out`."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in (opsets or {"": 13}).items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir)


def endless(value: float) -> onnx.ModelProto:
    """A detector whose boxes are all this value: NaN or infinity."""
    return toy_model(np.full_like(columns(), value))


def declared(dims: Sequence[int], *, sparse: bool = False) -> onnx.ModelProto:
    """A detector that also declares a weight of these sides with hardly a byte of it."""
    model = toy_model(columns())
    if sparse:
        values = helper.make_tensor("big", TensorProto.FLOAT, [1], [1.0])
        where = helper.make_tensor("big_at", TensorProto.INT64, [1], [0])
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, where, list(dims)))
    else:
        model.graph.initializer.append(
            TensorProto(name="big", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"\0" * 16)
        )
    return model


def foreign() -> onnx.ModelProto:
    """A detector with an operator that only somebody's plug-in knows."""
    model = toy_model(columns(), output="before")
    model.graph.node.append(helper.make_node("LampNms", ["before"], ["out"], domain="com.example.lamps"))
    model.graph.output[0].name = "out"
    model.opset_import.append(helper.make_opsetid("com.example.lamps", 1))
    return model
