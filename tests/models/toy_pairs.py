"""SAM-shaped pairs made on the spot: the true names and shapes of four exporters, with a colour rule for a network.

A mask is what looks like the clicked place and is not too far from it, so a test can see that points, boxes, the mask
fed back and the picture all matter. Labels as SAM has them: 1 belongs, 0 does not, 2 and 3 corners of a box, -1 filler.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIDE, GRID, LOW, CHANNELS = 1024, 64, 256, 256
FAR_PX = 300.0
"""How far from a click a mask reaches, in pixels of the input."""
SCORES = (0.95, 0.7, 0.9, 0.4)
LOOSE = (1.0, 0.4, 1.6, 2.4)
"""How different a colour may be, for each of the candidates."""

Array = np.ndarray[Any, Any]


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._n = 0

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        self._n += 1
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), f"c{self._n}"))
        return f"c{self._n}"

    def op(self, kind: str, *inputs: str, out: str = "", **options: Any) -> str:
        self._n += 1
        name = out or f"t{self._n}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **options))
        return name

    def model(self, inputs: list[tuple[str, int, list[Any]]], outputs: list[str]) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "toy",
            [helper.make_tensor_value_info(n, kind, shape) for n, kind, shape in inputs],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(made.SerializeToString())


def encoder(dialect: str) -> bytes:
    """Mean colours of cells of 16 px, in 256 channels as the real ones have them."""
    g = _Graph()
    weight = np.zeros((CHANNELS, 3, 1, 1), np.float32)
    weight[np.arange(CHANNELS), np.arange(CHANNELS) % 3] = 1.0
    shape: list[Any] = [1, 3, SIDE, SIDE]
    name = {
        "sam1": "input_image",
        "edge": "image",
        "sam2": "image",
        "efficient": "batched_images",
        "hwc": "input_image",
    }[dialect]
    source = name
    if dialect == "hwc":  # samexporter's --use-preprocess: pixels in, normalised and padded inside
        shape = ["image_height", "image_width", 3]
        mean = g.const([123.675, 116.28, 103.53])
        std = g.const([58.395, 57.12, 57.375])
        planes = g.op("Transpose", g.op("Div", g.op("Sub", name, mean), std), perm=[2, 0, 1])
        planes = g.op("Unsqueeze", planes, g.const([0], np.int64))
        have = g.op("Shape", planes)
        missing = g.op("Sub", g.const([1, 3, SIDE, SIDE], np.int64), have)
        source = g.op("Pad", planes, g.op("Concat", g.const([0, 0, 0, 0], np.int64), missing, axis=0))
    elif dialect == "efficient":
        shape = ["batch", 3, "height", "width"]
        scaled = g.op("Resize", name, "", "", g.const([1, 3, SIDE, SIDE], np.int64), mode="linear")
        source = g.op("Mul", g.op("Sub", scaled, g.const(0.45)), g.const(4.4))
    cells = g.op("AveragePool", source, kernel_shape=[16, 16], strides=[16, 16])
    out = "image_embed" if dialect == "sam2" else "image_embeddings"
    outputs = [out]
    g.op("Conv", cells, g.const(weight), out=out)
    if dialect == "sam2":
        for i, (channels, side) in enumerate(((32, 256), (64, 128))):
            fine = g.op("AveragePool", source, kernel_shape=[SIDE // side] * 2, strides=[SIDE // side] * 2)
            part = np.zeros((channels, 3, 1, 1), np.float32)
            part[np.arange(channels), np.arange(channels) % 3] = 1.0
            outputs.insert(i, g.op("Conv", fine, g.const(part), out=f"high_res_feats_{i}"))
    return g.model([(name, TensorProto.FLOAT, shape)], outputs)


def decoder(dialect: str, *, channels: int = CHANNELS) -> bytes:
    """See the module."""
    g = _Graph()
    dialect = "sam1" if dialect == "hwc" else dialect
    f, i64 = TensorProto.FLOAT, TensorProto.INT64
    k = {"sam1": 4, "edge": 4, "sam2": 3, "efficient": 3}[dialect]
    embed = "image_embed" if dialect == "sam2" else "image_embeddings"
    inputs: list[tuple[str, int, list[Any]]] = [(embed, f, [1, channels, GRID, GRID])]
    if dialect == "sam2":
        inputs += [("high_res_feats_0", f, [1, 32, 256, 256]), ("high_res_feats_1", f, [1, 64, 128, 128])]
    if dialect == "efficient":
        coords, labels = "batched_point_coords", "batched_point_labels"
        inputs += [(coords, f, [1, 1, "n", 2]), (labels, f, [1, 1, "n"]), ("orig_im_size", i64, [2])]
        size = g.op("Cast", "orig_im_size", to=TensorProto.FLOAT)
        flipped = g.op("Gather", size, g.const([1, 0], np.int64))
        points = g.op("Div", g.op("Squeeze", coords, g.const([1], np.int64)), flipped)
        points = g.op("Mul", points, g.const(float(SIDE)))
        marks = g.op("Squeeze", labels, g.const([1], np.int64))
    else:
        points, marks = "point_coords", "point_labels"
        inputs += [(points, f, [1, "n", 2]), (marks, f, [1, "n"])]
    if dialect in ("sam1", "sam2"):
        inputs += [("mask_input", f, [1, 1, LOW, LOW]), ("has_mask_input", f, [1])]
    if dialect == "sam1":
        inputs.append(("orig_im_size", f, [2]))
    # What the picture looks like everywhere, and at each point.
    three = g.op("Slice", embed, *(g.const(v, np.int64) for v in ([0], [3], [1])))
    if dialect == "sam2":
        wide = g.op("Slice", "high_res_feats_0", *(g.const(v, np.int64) for v in ([0], [3], [1])))
    else:
        wide = g.op("Resize", three, "", "", g.const([1, 3, LOW, LOW], np.int64), mode="linear")
    grid = g.op(
        "Unsqueeze", g.op("Sub", g.op("Mul", points, g.const(2 / SIDE)), g.const(1.0)), g.const([1], np.int64)
    )
    at = g.op("GridSample", wide, grid, mode="bilinear", padding_mode="border", align_corners=0)  # 1,3,1,n
    at = g.op("Unsqueeze", g.op("Transpose", at, perm=[0, 3, 1, 2]), g.const([4], np.int64))  # 1,n,3,1,1
    at = g.op("Reshape", at, g.const([1, -1, 3, 1, 1], np.int64))
    unlike = g.op(
        "ReduceMax",
        g.op("Abs", g.op("Sub", g.op("Unsqueeze", wide, g.const([1], np.int64)), at)),
        axes=[2],
        keepdims=0,
    )
    near = (np.arange(LOW, dtype=np.float32) + 0.5) * SIDE / LOW
    gx, gy = g.const(near.reshape(1, 1, 1, LOW)), g.const(near.reshape(1, 1, LOW, 1))
    px = g.op(
        "Unsqueeze",
        g.op("Slice", points, *(g.const(v, np.int64) for v in ([0], [1], [2]))),
        g.const([3], np.int64),
    )
    py = g.op(
        "Unsqueeze",
        g.op("Slice", points, *(g.const(v, np.int64) for v in ([1], [2], [2]))),
        g.const([3], np.int64),
    )
    far = g.op("Max", g.op("Abs", g.op("Sub", gx, px)), g.op("Abs", g.op("Sub", gy, py)))
    fits = g.op(
        "Sub",
        g.const(1.0),
        g.op(
            "Add",
            g.op("Mul", unlike, g.const(2.0)),
            g.op("Pow", g.op("Div", far, g.const(FAR_PX)), g.const(4.0)),
        ),
    )
    mark = g.op("Reshape", marks, g.const([1, -1, 1, 1], np.int64))
    low = g.const(-9.0)

    def those(value: float, what: str) -> str:
        return g.op(
            "ReduceMax", g.op("Where", g.op("Equal", mark, g.const(value)), what, low), axes=[1], keepdims=1
        )

    inside = g.op(
        "Min",
        g.op("Sub", gx, those(2.0, px)), g.op("Sub", those(3.0, px), gx),
        g.op("Sub", gy, those(2.0, py)), g.op("Sub", those(3.0, py), gy),
    )  # fmt: skip
    boxed = g.op("ReduceMax", g.op("Cast", g.op("Equal", mark, g.const(2.0)), to=f), axes=[1], keepdims=1)
    box = g.op("Where", g.op("Greater", boxed, g.const(0.5)), g.op("Div", inside, g.const(50.0)), low)
    logit = g.op("Min", g.op("Max", those(1.0, fits), box), g.op("Neg", those(0.0, fits)))
    if dialect in ("sam1", "sam2"):
        logit = g.op("Add", logit, g.op("Mul", "mask_input", g.op("Mul", "has_mask_input", g.const(0.5))))
    shift = g.const(np.array(LOOSE[:k], np.float32).reshape(1, k, 1, 1) - 1)
    maps = g.op("Add", logit, shift)
    scores = np.array(SCORES[:k], np.float32)
    if dialect == "edge":
        outputs = ["scores", "masks"]
        g.op("Identity", g.const(scores[None]), out="scores")
        g.op("Identity", maps, out="masks")
    elif dialect == "efficient":
        outputs = ["output_masks", "iou_predictions", "low_res"]
        sizes = g.op("Concat", g.const([1, k], np.int64), "orig_im_size", axis=0)
        large = g.op("Resize", maps, "", "", sizes, mode="linear")
        g.op("Unsqueeze", large, g.const([1], np.int64), out="output_masks")
        g.op("Identity", g.const(scores[None, None]), out="iou_predictions")
        g.op("Unsqueeze", maps, g.const([1], np.int64), out="low_res")
    elif dialect == "sam2":
        outputs = ["masks", "iou_predictions"]
        g.op("Identity", maps, out="masks")
        g.op("Identity", g.const(scores[None]), out="iou_predictions")
    else:
        outputs = ["masks", "iou_predictions", "low_res_masks"]
        sizes = g.op("Concat", g.const([1, k], np.int64), g.op("Cast", "orig_im_size", to=i64), axis=0)
        g.op(
            "Resize", maps, "", "", sizes, mode="linear", out="masks"
        )  # like the real one: wrong on other shapes
        g.op("Identity", g.const(scores[None]), out="iou_predictions")
        g.op("Identity", maps, out="low_res_masks")
    return g.model(inputs, outputs)


def write(folder: Path, dialect: str = "sam1") -> tuple[Path, Path]:
    """Both files of a pair."""
    one, other = folder / f"{dialect}.encoder.onnx", folder / f"{dialect}.decoder.onnx"
    one.write_bytes(encoder(dialect))
    other.write_bytes(decoder(dialect))
    return one, other
