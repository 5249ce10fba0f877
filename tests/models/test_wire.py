"""What an ONNX file asks for is read and judged before any runtime sees it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from annotation.errors import InvalidInput
from models import external, protobuf, session, wire
from tests.models import hostile
from tests.models.hostile import outside, single
from tests.models.toys import SIDE, columns, toy_model

IDENTITY = helper.make_node("Identity", ["images"], ["out"])


def outline(model: onnx.ModelProto) -> wire.Outline:
    return wire.outline(memoryview(model.SerializeToString()), where="m.onnx")


def test_the_outline_tells_opsets_operators_inputs_outputs_and_weights() -> None:
    made = outline(toy_model(columns(), shape=("batch", 3, SIDE, SIDE)))
    assert (made.ir, made.opsets) == (8, {"": 13})
    assert made.ops == {("", "ReduceMean"), ("", "Mul"), ("", "Add")}
    assert made.inputs == (wire.Put("images", TensorProto.FLOAT, (None, 3, SIDE, SIDE)),)
    assert [put.name for put in made.outputs] == ["out"]
    assert (made.files, made.weights) == ({}, 2 * 4 * columns().size)


def test_weights_that_older_files_list_among_the_inputs_are_none() -> None:
    model = single([helper.make_node("Add", ["images", "w"], ["out"])], {"w": np.float32(1)})
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, []))
    assert [put.name for put in outline(model).inputs] == ["images"]


@pytest.mark.parametrize("kind", sorted(set(wire._BITS) - {wire._STRING}))
def test_a_weight_of_any_kind_is_read_raw_and_in_its_own_field(kind: int) -> None:
    for raw in (True, False):
        if raw:
            count = 4
            size = (count * wire._BITS[kind] + 7) // 8
            tensor = TensorProto(name="w", data_type=kind, dims=[count], raw_data=b"\1" * size)
        else:
            tensor = helper.make_tensor("w", kind, [4], [1, 1, 1, 1])
        model = single([IDENTITY])
        model.graph.initializer.append(tensor)
        assert outline(model).weights == (4 * wire._BITS[kind] + 7) // 8


def test_strings_in_weights_are_counted() -> None:
    model = single([IDENTITY])
    model.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [2], ["a", "b"]))
    outline(model)
    model.graph.initializer[0].dims[0] = 3
    with pytest.raises(InvalidInput, match="is declared"):
        outline(model)


def test_operators_that_the_model_itself_defines_are_no_foreign_ones() -> None:
    model = single([helper.make_node("Twice", ["images"], ["out"], domain="own")], opsets={"": 18, "own": 1})
    body = [helper.make_node("Add", ["x", "x"], ["y"])]
    model.functions.append(
        helper.make_function("own", "Twice", ["x"], ["y"], body, [helper.make_opsetid("", 18)])
    )
    assert outline(model).ops == {("", "Add")}


def test_weights_in_other_files_are_found_in_constants_branches_functions_and_sparse_ones() -> None:
    def away(name: str) -> TensorProto:
        tensor = TensorProto(name="t", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=name)
        return tensor

    branch = helper.make_graph([helper.make_node("Constant", [], ["c"], value=away("b.bin"))], "b", [], [])
    nodes = [
        IDENTITY,
        helper.make_node("Constant", [], ["k"], value=away("a.bin")),
        helper.make_node("If", ["k"], ["y"], then_branch=branch, else_branch=branch),
    ]
    model = single(nodes)
    model.functions.append(
        helper.make_function("own", "F", [], ["z"], [helper.make_node("Constant", [], ["z"], value=away("c.bin"))], [])
    )  # fmt: skip
    sparse = onnx.SparseTensorProto(values=away("d.bin"), dims=[2])
    model.graph.sparse_initializer.append(sparse)
    assert outline(model).files == dict.fromkeys(("a.bin", "b.bin", "c.bin", "d.bin"), 8)


def test_a_file_is_as_long_as_the_last_weight_in_it_needs(tmp_path: Path) -> None:
    path = outside(tmp_path)
    found = wire.outline(memoryview(path.read_bytes()), where="")
    assert found.files == {hostile.WEIGHTS: 2 * 4 * columns().size}


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (hostile.declared([2_500_000_000]), r"a weight of 10\.0 GB is declared, but 16 B of it are there"),
        (hostile.declared([100_000, 100_000, 100_000]), r"a weight of 4000000\.0 GB is declared"),
        (
            hostile.declared([2_500_000_000], sparse=True),
            r"sparse weights unpack to 10\.0 GB; 268\.4 MB at most",
        ),
        (hostile.declared([-4]), "damaged"),
        (hostile.declared([1] * 70), "damaged"),
        (hostile.foreign(), r"the operator 'LampNms' of 'com\.example\.lamps'"),
        (
            single([helper.make_node("EPContext", ["images"], ["out"], domain="com.microsoft")]),
            "compiled for one device",
        ),
        (single([IDENTITY], shape=(1, 3, 0, 64)), r"its input 'images' has a side of zero \(1x3x0x64\)"),
        (toy_model(columns(), metadata={"x" * 5: "ok"}, output="o" * 2000), "longer than 1024 bytes"),
    ],
    ids=["10 GB", "many TB", "sparse", "negative", "rank", "foreign", "compiled", "zero side", "long name"],
)
def test_what_must_not_reach_the_runtime_is_refused_by_name(model: onnx.ModelProto, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint) as refused:
        outline(model)
    assert "\n" not in refused.value.line


@pytest.mark.parametrize("field", ["Identity", "images", "out_", "names", "coal_"])
def test_names_that_are_not_utf8_are_refused(field: str) -> None:
    model = toy_model(columns(), metadata={"names": "coal_"}, extra={"out_": np.zeros(3)})
    data = model.SerializeToString().replace(field.encode(), b"\xc3\x28" + b"x" * (len(field) - 2))
    with pytest.raises(InvalidInput, match="names are not UTF-8"):
        wire.outline(memoryview(data), where="")


def test_two_halves_that_protobuf_would_merge_into_a_hostile_whole_are_refused() -> None:
    honest = TensorProto(data_type=1, dims=[1], raw_data=b"\0" * 4)
    rest = TensorProto(data_location=TensorProto.EXTERNAL)
    rest.external_data.add(key="location", value="/etc/passwd")
    halves = [protobuf.piece(5, half.SerializeToString()) for half in (honest, rest)]
    kind = protobuf.piece(1, b"value") + protobuf.piece(20, 4)

    def model(*tensors: bytes) -> bytes:
        node = protobuf.piece(2, b"c") + protobuf.piece(4, b"Constant")
        return protobuf.piece(7, protobuf.piece(1, node + protobuf.piece(5, kind + b"".join(tensors))))

    merged = onnx.ModelProto.FromString(model(*halves)).graph.node[0].attribute[0].t
    assert merged.external_data[0].value == "/etc/passwd"
    wire.outline(memoryview(model(halves[0])), where="")
    for data in (model(*halves), model(halves[0]) + model(halves[0])):
        with pytest.raises(InvalidInput, match="damaged"):
            wire.outline(memoryview(data), where="")


def test_a_place_said_twice_is_refused() -> None:
    model = hostile.declared([4])
    tensor = model.graph.initializer[-1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for value in ("weights.bin", "/etc/passwd"):
        tensor.external_data.add(key="location", value=value)
    with pytest.raises(InvalidInput, match="damaged"):
        outline(model)


def test_what_is_written_field_by_field_reads_back() -> None:
    data = protobuf.piece(1, 300) + protobuf.piece(2, b"ab") + protobuf.piece(16, 2**64 - 1)
    found = [
        (n, v if isinstance(v, int) else bytes(v or b"")) for n, v in protobuf.fields(memoryview(data), [9])
    ]
    assert found == [(1, 300), (2, b"ab"), (16, 2**64 - 1)]


def test_the_real_protobuf_library_reads_our_fields() -> None:
    value = protobuf.piece(1, b"\xe7\x81\xaf".decode().encode()) + protobuf.piece(2, b"v")
    read = onnx.StringStringEntryProto.FromString(value)
    assert (read.key, read.value) == ("灯", "v")


def test_an_opset_or_format_newer_than_the_runtime_is_refused_with_both_numbers(tmp_path: Path) -> None:
    ir, opset = session._newest()
    assert ir >= session.OLDEST[0]
    assert opset >= session.OLDEST[1]
    path = tmp_path / "new.onnx"
    path.write_bytes(single([IDENTITY], opsets={"": opset}, ir=ir).SerializeToString())
    session.inspect(path)
    assert session.identify(path).outline.opsets == {"": opset}
    path.write_bytes(single([IDENTITY], opsets={"": opset + 1}).SerializeToString())
    with pytest.raises(
        InvalidInput, match=rf"it needs opset {opset + 1}; onnxruntime \S+ knows up to {opset} "
    ):
        session.identify(path)
    path.write_bytes(single([IDENTITY], opsets={"": 13}, ir=ir + 1).SerializeToString())
    with pytest.raises(InvalidInput, match=rf"IR version {ir + 1}; onnxruntime \S+ knows up to {ir} "):
        session.identify(path)


def _bombs(folder: Path) -> list[Path]:
    """Files of a few hundred bytes, and one of a hundred thousand small parts."""
    made: list[tuple[str, Any]] = [
        ("sparse", hostile.declared([10**9], sparse=True)),
        ("dims", hostile.declared([10**6, 10**6])),
    ]
    paths = []
    for name, model in made:
        paths.append(folder / f"{name}.onnx")
        paths[-1].write_bytes(model.SerializeToString())
    names = b"".join(
        protobuf.piece(11, protobuf.piece(1, b"%d" % i + b"n" * 900)) for i in range(wire.MAX_NAMES + 1)
    )
    ops = b"".join(
        protobuf.piece(1, protobuf.piece(4, b"%d" % i + b"o" * 900)) for i in range(wire.MAX_NAMES + 1)
    )
    dims = protobuf.piece(5, protobuf.piece(1, b"\1" * 3_000_000))
    parts = b"".join([protobuf.piece(5, protobuf.piece(1, 1))] * 100_000)
    for name, graph in (("names", names), ("ops", ops), ("packed", dims), ("parts", parts)):
        paths.append(folder / f"{name}.onnx")
        paths[-1].write_bytes(protobuf.piece(7, graph))
    return paths


_CHILD = """
import resource, sys
from pathlib import Path
from annotation.errors import InvalidInput
from models import external, wire
external.identify(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 96 * 2**20,) * 2)
for path in sys.argv[2:]:
    try:
        external.identify(Path(path))
    except InvalidInput as error:
        print(error.what)
    else:
        raise SystemExit(f"{path} was taken")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space through /proc and setrlimit")
def test_judging_a_hostile_file_takes_less_than_96_mb_whatever_it_declares(
    tmp_path: Path, toy: Callable[..., Path]
) -> None:
    bombs = _bombs(tmp_path)
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(toy(columns())), *map(str, bombs)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    *said, grown = child.stdout.splitlines()
    assert len(said) == len(bombs)
    assert int(grown) < 96


def test_a_model_of_two_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(external.MAX_BYTES)
    with pytest.raises(InvalidInput, match="2 GB"):
        external.identify(path)


def test_arrays_of_the_onnx_package_pass_unchanged() -> None:
    for dtype in (np.float32, np.float16, np.float64, np.int64, np.int8, np.uint8, np.bool_, np.complex64):
        model = single([IDENTITY])
        model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 3), dtype), "w"))
        assert outline(model).weights == 6 * np.dtype(dtype).itemsize
