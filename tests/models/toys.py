"""Toy ONNX detectors made on the spot: a few kilobytes each, with outputs that are known exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
SIDE = 64
CELLS = 8 * 8 + 4 * 4 + 2 * 2


def toy_model(
    table: Array,
    *,
    slope: Array | None = None,
    shape: Sequence[int | str] = (1, 3, SIDE, SIDE),
    metadata: Mapping[str, str] | None = None,
    extra: Mapping[str, Array] | None = None,
    output: str = "out",
    per_picture: bool = False,
) -> onnx.ModelProto:
    """A model whose output is `table + slope * mean(input)`; `extra` are further, constant outputs.

    per_picture: the batch is free, and each picture's output comes of its own mean.
    """
    slope = np.zeros_like(table) if slope is None else slope
    constants = {"table": table, "slope": slope, **{f"{k}_value": v for k, v in (extra or {}).items()}}
    constants |= {"rows": np.array([-1, 1, 1], np.int64)} if per_picture else {}
    shape = ("batch", *shape[1:]) if per_picture else shape
    means = (
        [
            helper.make_node("ReduceMean", ["images"], ["each"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Reshape", ["each", "rows"], ["mean"]),
        ]
        if per_picture
        else [helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0)]
    )
    nodes = [
        *means,
        helper.make_node("Mul", ["mean", "slope"], ["part"]),
        helper.make_node("Add", ["part", "table"], [output]),
        *(helper.make_node("Identity", [f"{name}_value"], [name]) for name in extra or {}),
    ]
    outputs = [*(extra or {}), output]  # the box output comes last: place must not matter
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [
            numpy_helper.from_array(v if v.dtype == np.int64 else v.astype(np.float32), k)
            for k, v in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    return model


def columns(*boxes: tuple[float, ...], n: int = 2, cells: int = CELLS) -> Array:
    """A YOLOv8 output (1, 4+n, cells): rows of (cx, cy, w, h, score per class …), the other cells empty."""
    table = np.zeros((1, 4 + n, cells), np.float32)
    for i, box in enumerate(boxes):
        table[0, : len(box), i] = box
    return table


def rows(n_columns: int, *, anchors: int = 1) -> Array:
    """An empty output with one row per cell (YOLOX) or three (YOLOv5)."""
    return np.zeros((1, CELLS * anchors, n_columns), np.float32)


def grey_png(value: int, wh: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    """A picture in one grey, by default of the toys' input size."""
    return bytes(cv2.imencode(".png", np.full((wh[1], wh[0], 3), value, np.uint8))[1])
