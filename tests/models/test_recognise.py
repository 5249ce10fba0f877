"""What is read out of an ONNX file, and what is refused with which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from annotation.errors import InvalidInput, LamproomError, Unavailable
from models import card, session
from models.card import ModelCard
from models.heads.look import cells
from models.recognise import recognise
from tests.models.toys import CELLS, SIDE, Array, columns, rows, toy_model

Toy = Callable[..., Path]


def known(path: Path, **options: Any) -> ModelCard:
    return recognise(path, **options).card


def single(nodes: list[Any], constants: dict[str, Array]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def test_yolov8_is_the_transposed_output_without_objectness(toy: Toy) -> None:
    found = known(toy(columns(n=3)))
    assert (found.family, found.get("transposed"), found.get("objectness")) == ("yolo", 1, 0)
    assert (found.colour, found.std_micro, found.resize) == ("rgb", card.BYTE, "letterbox")
    assert found.labels == ("class_0", "class_1", "class_2")


def test_yolox_is_one_row_per_cell_with_objectness_as_offsets_to_the_grid(toy: Toy) -> None:
    found = known(toy(rows(5 + 2)))
    assert found.family == "yolox"
    assert (found.colour, found.std_micro, found.resize) == ("bgr", card.UNIT, "corner")


def test_yolox_with_decoding_in_the_graph_is_told_by_its_values(toy: Toy) -> None:
    table = rows(5 + 2)
    table[0, :, 0] = np.linspace(0, SIDE, CELLS)
    found = known(toy(table))
    assert (found.family, found.get("objectness"), found.resize) == ("yolo", 1, "corner")


def test_yolov5_has_three_rows_per_cell(toy: Toy) -> None:
    found = known(toy(rows(5 + 2, anchors=3)))
    assert (found.family, found.get("objectness"), found.get("transposed")) == ("yolo", 1, 0)
    assert (found.colour, found.std_micro) == ("rgb", card.BYTE)


def test_rows_without_objectness_are_told_by_the_number_of_names(toy: Toy) -> None:
    found = known(toy(rows(4 + 2), metadata={"names": "['a', 'b']"}))
    assert (found.family, found.get("transposed"), found.get("objectness")) == ("yolo", 0, 0)


def test_the_box_output_is_matched_by_shape_not_by_name_or_place(toy: Toy) -> None:
    extra = {"boxes": np.zeros((1, 7), np.float32), "output0": np.zeros((1, 3, 5), np.float32)}
    assert known(toy(columns(), extra=extra, output="features")).outputs == (("table", "features"),)


def test_names_come_from_a_python_or_json_literal(toy: Toy) -> None:
    for text in ("{0: 'person', 1: 'helmet'}", '{"0": "person", "1": "helmet"}', "['person', 'helmet']"):
        assert known(toy(columns(), metadata={"names": text})).labels == ("person", "helmet")


def test_eighty_classes_without_names_are_those_of_coco(toy: Toy) -> None:
    labels = known(toy(rows(85))).labels
    assert (len(labels), labels[0], labels[79], len(set(labels))) == (80, "person", "toothbrush", 80)


def test_two_classes_of_one_name_stay_two(toy: Toy) -> None:
    assert known(toy(columns(), metadata={"names": "['coal', 'coal']"})).labels == ("coal", "coal_1")
    three = known(toy(columns(n=3), metadata={"names": "['coal_2', 'coal', 'coal']"})).labels
    assert len(set(three)) == 3


def test_names_are_cleaned_of_control_characters(toy: Toy) -> None:
    names = repr(["a\x1b[31m\nb", "e\u0301"])
    assert known(toy(columns(), metadata={"names": names})).labels == ("a [31m b", "é")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ("__import__('os').abort()", "cannot be read"),
        ("{0: 'a'}", "gives 2 classes but 1 names"),
        ("{0: 'a', 2: 'b'}", "not numbered"),
        ("{0: 'a', 1: 7}", "not a list of texts"),
        ("[" * 5000, "cannot be read"),
        ("['" + "x" * 600_000 + "', 'b']", "longer than"),
    ],
    ids=["code", "too few", "gap", "number", "nested", "long"],
)
def test_names_that_make_no_sense_are_refused(toy: Toy, names: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        known(toy(columns(), metadata={"names": names}))


def test_a_free_input_takes_its_size_from_the_metadata(toy: Toy) -> None:
    shape = ("batch", 3, "h", "w")
    found = known(toy(columns(), shape=shape, metadata={"imgsz": "[64, 64]"}))
    assert (found.input_wh, found.dynamic_hw, found.batch) == ((64, 64), True, 0)


def test_the_input_need_not_be_square(toy: Toy) -> None:
    found = known(toy(columns(cells=cells(96, 64, (8, 16, 32))), shape=(1, 3, 64, 96)))
    assert (found.input_wh, found.dynamic_hw) == ((96, 64), False)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"shape": (999, 3, SIDE, SIDE)}, "batches of exactly 999"),
        ({"shape": (1, 5, SIDE, SIDE)}, "has 5 channels"),
        ({"shape": (1, SIDE)}, "0 inputs that can be a picture"),
        ({"shape": (1, 3, 32 * 200, 64)}, "64x6400"),
    ],
)
def test_inputs_that_are_no_picture_are_refused_by_name(
    toy: Toy, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        known(toy(columns(), **options))


def test_an_unknown_output_is_refused_with_what_was_found(toy: Toy) -> None:
    with pytest.raises(InvalidInput, match=r"it gives 1x300x3"):
        known(toy(np.zeros((1, 300, 3), np.float32)))


def test_a_card_survives_its_json_and_equal_cards_give_equal_bytes(toy: Toy) -> None:
    path = toy(columns(), metadata={"names": "['a', 'b']", "license": "Apache-2.0"})
    found = known(path, name="头灯")
    assert card.from_json(found.to_json()) == found == known(path, name="头灯")
    assert found.to_json() == known(path, name="头灯").to_json()
    assert (found.name, found.licence, len(found.sha256)) == ("头灯", "Apache-2.0", 64)


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 9999, b'{"name":1}', b"\xff", b"x" * 5_000_000])
def test_a_card_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        card.from_json(data)


def test_a_card_of_the_first_versions_is_still_read() -> None:
    old = {
        "name": "m", "family": "yolox", "sha256": "0" * 64, "labels": ["a", "b"], "input_name": "in", "output_name": "out",
        "input_wh": [64, 64], "task": "detect", "input_dtype": "float32", "dynamic_hw": False, "dynamic_batch": True,
        "colour": "bgr", "divisor": 1, "centred": False, "pad": 114, "transposed": False, "objectness": True,
        "decoded": False, "score_micro": 300000, "iou_micro": 450000, "producer": "", "licence": "", "note": "",
    }  # fmt: skip
    found = card.from_json(json.dumps(old).encode())
    assert (found.family, found.outputs, found.resize, found.batch) == (
        "yolox",
        (("table", "out"),),
        "corner",
        0,
    )
    assert found.std_micro == card.UNIT
    pixels = card.from_json(
        json.dumps({**old, "decoded": True, "divisor": 255, "dynamic_batch": False}).encode()
    )
    assert (pixels.family, pixels.get("objectness"), pixels.batch) == ("yolo", 1, 1)
    assert pixels.std_micro == card.BYTE
    assert card.from_json(pixels.to_json()) == pixels


def test_a_card_with_impossible_numbers_is_refused(toy: Toy) -> None:
    good = known(toy(columns())).to_json()
    for old, new in ((b'"std_micro":[255000000', b'"std_micro":[0'), (b"[64,64]", b"[64,99999]")):
        assert old in good
        with pytest.raises(InvalidInput):
            card.from_json(good.replace(old, new))


# -- hostile files ----------------------------------------------------------------------------------------------------


def test_a_truncated_model_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = toy_model(columns(), metadata={"names": "['a', 'b']"}).SerializeToString()
    for end in range(0, len(whole) - 1, 97):
        path = tmp_path / f"{end}.onnx"
        path.write_bytes(whole[:end])
        with pytest.raises(InvalidInput):
            known(path)


def test_a_damaged_model_is_refused_or_read_but_never_crashes(tmp_path: Path) -> None:
    whole = toy_model(columns(), metadata={"names": "['a', 'b']"}).SerializeToString()
    path = tmp_path / "damaged.onnx"
    refused = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 4):
            data[at] = rng.integers(256)
        path.write_bytes(data)
        try:
            known(path)
        except LamproomError as error:
            refused += 1
            assert "\n" not in error.line
    assert refused


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" * 9, b"PK\x03\x04" + b"\0" * 99, b"\x80" * 5000, b"\x08\x08"]
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(data)
    with pytest.raises(InvalidInput):
        known(path)


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        known(tmp_path / "none.onnx")


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    graph = onnx.GraphProto(name="g")
    for _ in range(30):
        graph = helper.make_graph([helper.make_node("If", ["c"], ["y"], then_branch=graph)], "g", [], [])
    path = tmp_path / "deep.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(InvalidInput, match="nested too deeply"):
        known(path)


def test_a_few_bytes_that_ask_for_gigabytes_or_terabytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.onnx"
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Expand", ["mean", "size"], ["big"]),
        helper.make_node("ReduceMean", ["big"], ["out"], keepdims=0),
    ]
    for size in (17 * 10**8, 10**13):  # the first, of 6.8 GB, many a machine could give
        path.write_bytes(single(nodes, {"size": np.array([size])}))
        with pytest.raises(InvalidInput, match="does not run"):
            known(path)


def test_a_model_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TRIAL_S", 0.2)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["x", "x"], ["y"])],
        "body",
        [
            info("i", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("x", TensorProto.FLOAT, []),
        ],
        [info("go_on", TensorProto.BOOL, []), info("y", TensorProto.FLOAT, [])],
    )
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Loop", ["", "yes", "mean"], ["out"], body=body),
    ]
    path = tmp_path / "endless.onnx"
    path.write_bytes(single(nodes, {"yes": np.array(True)}))
    with pytest.raises(InvalidInput, match=r"more than 0\.2 s"):
        known(path)


@pytest.mark.parametrize("old", [b"Identity", b"images", b"other"])
def test_a_refused_model_leaves_nothing_on_stdout(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], old: bytes
) -> None:
    whole = toy_model(columns(), extra={"other": np.zeros(3)}).SerializeToString()
    path = tmp_path / "bad.onnx"
    path.write_bytes(whole.replace(old, b"\xff" * len(old)))  # not UTF-8: its retry on the CPU would print
    with pytest.raises(InvalidInput, match=r"the runtime refuses|not UTF-8"):
        known(path)
    assert capfd.readouterr() == ("", "")
