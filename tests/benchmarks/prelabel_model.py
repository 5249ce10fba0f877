"""A detector of YOLOv8n's shape with random weights, written node by node: 3.2 M parameters, 8.7 G operations at 640 x 640.

The last layers are set by looking at some pictures, so that scores and boxes are spread as those of a trained network are:
with plain random weights either nothing or everything would pass the threshold, and post-processing would cost nothing real.
Figures of the architecture (widths, depths, strides): Ultralytics' public description of YOLOv8n; own code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
SIDE, CLASSES, BINS = 640, 80, 16
STRIDES = (8, 16, 32)
WANTED = 40
"""Cells of a picture that are to pass a threshold of 0.25, before overlaps are taken off."""
PARAMETERS, GFLOPS = 3.2e6, 8.7


class Writer:
    """Nodes and weights of a graph, added in the order they run."""

    def __init__(self, seed: int = 8) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}
        self.shape: dict[str, tuple[int, int, int]] = {}
        self.macs = 0
        self._rng = np.random.default_rng(seed)
        self._n = 0

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of one output; returns the output's name."""
        self._n += 1
        out = f"{kind.lower()}_{self._n}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def constant(self, value: Array) -> str:
        """Add a weight; returns its name."""
        self._n += 1
        name = f"weight_{self._n}"
        self.weights[name] = value
        return name

    def conv(self, x: str, out: int, k: int = 1, stride: int = 1, *, act: bool = True, name: str = "") -> str:
        """A convolution, and SiLU after it."""
        c, h, w = self.shape[x]
        # 1.7 makes up for what SiLU takes of the spread, so that deep layers still tell pictures apart.
        scale = (1.7 if act else 1.0) / np.sqrt(c * k * k)
        weight = self.constant((self._rng.standard_normal((out, c, k, k)) * scale).astype(np.float32))
        bias = self.constant((self._rng.standard_normal(out) * 0.1).astype(np.float32))
        y = self.node("Conv", [x, weight, bias], kernel_shape=[k, k], strides=[stride] * 2, pads=[k // 2] * 4)
        if name:
            self.weights[f"{name}.weight"], self.weights[f"{name}.bias"] = (
                self.weights.pop(weight),
                self.weights.pop(bias),
            )
            self.nodes[-1].input[1:] = [f"{name}.weight", f"{name}.bias"]
        h, w = -(-h // stride), -(-w // stride)
        self.macs += out * c * k * k * h * w
        if act:
            y = self.node("Mul", [y, self.node("Sigmoid", [y])])
        self.shape[y] = (out, h, w)
        return y

    def concat(self, parts: Sequence[str]) -> str:
        """Channels one after another."""
        y = self.node("Concat", parts, axis=1)
        self.shape[y] = (sum(self.shape[p][0] for p in parts), *self.shape[parts[0]][1:])
        return y

    def c2f(self, x: str, out: int, n: int, *, add: bool) -> str:
        """YOLOv8's block: split, n bottlenecks one after another, all of it joined."""
        half = out // 2
        y = self.conv(x, out)
        sizes = self.constant(np.array([half, half], np.int64))
        self._n += 1
        a, b = f"split_{self._n}_a", f"split_{self._n}_b"
        self.nodes.append(helper.make_node("Split", [y, sizes], [a, b], axis=1))
        self.shape[a] = self.shape[b] = (half, *self.shape[y][1:])
        parts = [a, b]
        for _ in range(n):
            z = self.conv(self.conv(parts[-1], half, 3), half, 3)
            if add:
                z, shape = self.node("Add", [parts[-1], z]), self.shape[z]
                self.shape[z] = shape
            parts.append(z)
        return self.conv(self.concat(parts), out)

    def sppf(self, x: str, out: int) -> str:
        """Pooled three times over, all of it joined."""
        parts = [self.conv(x, self.shape[x][0] // 2)]
        for _ in range(3):
            y = self.node("MaxPool", [parts[-1]], kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4)
            self.shape[y] = self.shape[parts[-1]]
            parts.append(y)
        return self.conv(self.concat(parts), out)

    def larger(self, x: str) -> str:
        """Twice as large, each pixel four times."""
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        y = self.node(
            "Resize", [x, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )  # fmt: skip
        c, h, w = self.shape[x]
        self.shape[y] = (c, 2 * h, 2 * w)
        return y


def _graph(side: int) -> tuple[Writer, list[str]]:
    """The network up to one table of (4 + classes, cells); the raw class scores of each scale are named too."""
    g = Writer()
    g.shape["images"] = (3, side, side)
    x = g.conv(g.conv("images", 16, 3, 2), 32, 3, 2)
    x = g.c2f(x, 32, 1, add=True)
    eighth = g.c2f(g.conv(x, 64, 3, 2), 64, 2, add=True)
    sixteenth = g.c2f(g.conv(eighth, 128, 3, 2), 128, 2, add=True)
    deep = g.sppf(g.c2f(g.conv(sixteenth, 256, 3, 2), 256, 1, add=True), 256)
    middle = g.c2f(g.concat([g.larger(deep), sixteenth]), 128, 1, add=False)
    fine = g.c2f(g.concat([g.larger(middle), eighth]), 64, 1, add=False)
    middle = g.c2f(g.concat([g.conv(fine, 64, 3, 2), middle]), 128, 1, add=False)
    coarse = g.c2f(g.concat([g.conv(middle, 128, 3, 2), deep]), 256, 1, add=False)
    boxes, scores, raw, cells = [], [], [], []
    for i, (x, stride) in enumerate(zip((fine, middle, coarse), STRIDES, strict=True)):
        n = side // stride
        box = g.conv(g.conv(g.conv(x, 64, 3), 64, 3), 4 * BINS, act=False, name=f"box{i}")
        cls = g.conv(g.conv(g.conv(x, CLASSES, 3), CLASSES, 3), CLASSES, act=False, name=f"cls{i}")
        raw += [box, cls]
        boxes.append(g.node("Reshape", [box, g.constant(np.array([1, 4 * BINS, n * n], np.int64))]))
        scores.append(g.node("Reshape", [cls, g.constant(np.array([1, CLASSES, n * n], np.int64))]))
        ys, xs = np.mgrid[0:n, 0:n] + 0.5
        cells.append(np.stack([xs.ravel(), ys.ravel(), np.full(n * n, stride)]))
    where = np.concatenate(cells, axis=1).astype(np.float32)
    table = g.node("Concat", boxes, axis=2)
    # The distance to each side is the mean of a distribution over 16 steps.
    bins = g.node("Reshape", [table, g.constant(np.array([1, 4, BINS, -1], np.int64))])
    steps = g.constant(np.arange(BINS, dtype=np.float32).reshape(1, 1, BINS, 1))
    mean = g.node(
        "ReduceSum",
        [
            g.node("Mul", [g.node("Softmax", [bins], axis=2), steps]),
            g.constant(np.array([2], np.int64)),
        ],
        keepdims=0,
    )
    halves = g.constant(np.array([2, 2], np.int64))
    g.nodes.append(helper.make_node("Split", [mean, halves], ["before", "after"], axis=1))
    centre, stride_of = g.constant(where[None, :2]), g.constant(where[None, 2:])
    low, high = g.node("Sub", [centre, "before"]), g.node("Add", [centre, "after"])
    middle_of = g.node("Mul", [g.node("Add", [low, high]), g.constant(np.array(0.5, np.float32))])
    size = g.node("Sub", [high, low])
    pixels = g.node("Mul", [g.node("Concat", [middle_of, size], axis=1), stride_of])
    chances = g.node("Sigmoid", [g.node("Concat", scores, axis=2)])
    g.nodes.append(helper.make_node("Concat", [pixels, chances], ["output0"], axis=1))
    return g, raw


def _model(g: Writer, outputs: Sequence[str], side: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        g.nodes,
        "yolov8n-shaped",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(v, k) for k, v in g.weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(
        model,
        {
            "names": str({i: f"class {i}" for i in range(CLASSES)}),
            "task": "detect",
            "stride": "32",
            "imgsz": f"[{side}, {side}]",
            "batch": "1",
        },
    )
    return model


def _spread(g: Writer, raw: Sequence[str], inputs: Sequence[Array], side: int) -> None:
    """Set the last layers' weights by what they give for some pictures."""
    session = ort.InferenceSession(
        _model(g, raw, side).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    given = [session.run(None, {"images": x}) for x in inputs]
    peak = np.tile(-0.9 * np.abs(np.arange(BINS) - 3.5), 4)
    logits = []
    for i in range(len(STRIDES)):
        for kind, j in (("box", 2 * i), ("cls", 2 * i + 1)):
            values = np.concatenate([out[j].reshape(out[j].shape[1], -1) for out in given], axis=1)
            factor = (1.2 if kind == "box" else 0.8) / np.maximum(values.std(axis=1), 1e-6)
            base = peak if kind == "box" else np.zeros(CLASSES)
            weight, bias = f"{kind}{i}.weight", f"{kind}{i}.bias"
            g.weights[bias] = ((g.weights[bias] - values.mean(axis=1)) * factor + base).astype(np.float32)
            g.weights[weight] = (g.weights[weight] * factor[:, None, None, None]).astype(np.float32)
            if kind == "cls":
                logits.append(
                    [
                        ((out[j][0].reshape(CLASSES, -1) - values.mean(axis=1)[:, None]) * factor[:, None]).max(axis=0)
                        for out in given
                    ]
                )  # fmt: skip
    # The bias that lets WANTED cells through in two pictures of three.
    tops = sorted(
        float(np.partition(np.concatenate([level[k] for level in logits]), -WANTED)[-WANTED])
        for k in range(len(inputs))
    )
    shift = float(np.log(0.25 / 0.75)) - tops[len(tops) // 3]
    for i in range(len(STRIDES)):
        g.weights[f"cls{i}.bias"] += np.float32(shift)


def _letterboxed(picture: Array, side: int) -> Array:
    h, w = picture.shape[:2]
    ratio = side / max(h, w)
    small = cv2.resize(picture, (round(w * ratio), round(h * ratio)))
    canvas = np.full((side, side, 3), 114, np.uint8)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    rgb: Array = np.ascontiguousarray(canvas[:, :, ::-1].transpose(2, 0, 1)[None], np.float32) / 255
    return rgb


def write(path: Path, pictures: Sequence[Array], *, side: int = SIDE) -> tuple[int, float]:
    """Write the model and return (parameters, G operations a picture).

    Args:
        pictures: uint8 (h, w, 3) BGR, a few, typical of what it will see.
    """
    g, raw = _graph(side)
    inputs = [_letterboxed(p, side) for p in pictures]
    _spread(g, raw, inputs, side)
    path.write_bytes(_model(g, ["output0"], side).SerializeToString())
    return sum(int(w.size) for k, w in g.weights.items() if w.ndim in (1, 4) and w.size > 4), 2e-9 * g.macs
