"""The probe of the providers' self-test: a model of a few kilobytes that shows with how many bits a provider computes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 32


def make() -> bytes:
    """x (1, 32, 8, 8) -> "conv", its 1x1 convolution with the unit matrix, and "matmul", the same by a matrix product.

    With 1 + 2^-k in channel k both give it back exactly in float32; a provider that rounds to b bits gives 1 for k > b.
    """
    unit = np.eye(CHANNELS, dtype=np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["conv"]),
        helper.make_node("Reshape", ["x", "flat"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["columns"], perm=[1, 0]),
        helper.make_node("MatMul", ["columns", "unit"], ["matmul"]),
    ]
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, 8, 8])],
        [
            helper.make_tensor_value_info("conv", TensorProto.FLOAT, [1, CHANNELS, 8, 8]),
            helper.make_tensor_value_info("matmul", TensorProto.FLOAT, [64, CHANNELS]),
        ],
        [
            numpy_helper.from_array(unit[:, :, None, None], "kernel"),
            numpy_helper.from_array(unit, "unit"),
            numpy_helper.from_array(np.array([CHANNELS, 64], np.int64), "flat"),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6, producer_name="lamproom"
    )
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
