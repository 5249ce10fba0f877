"""The heads that are no YOLO's against the figures of other implementations (data/heads.json says how they were made)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from annotation import rle
from annotation.core import Keypoints, Mask
from annotation.errors import InvalidInput
from models import postprocess, session
from models.card import ModelCard
from models.found import Found
from models.heads import HEADS
from models.recognise import recognise
from tests.models import head_tables as tables
from tests.models.test_yolo_heads import EXPORTED, FAMILIES, write
from tests.models.yolo_tables import SIDE, Array, wave

EXPECTED = json.loads((Path(__file__).parent / "data" / "heads.json").read_text())["cases"]


def read(path: Path, *, score: float, iou: float = 0.5, **answers: str) -> tuple[ModelCard, Found]:
    card = recognise(path, answers=answers).card
    outputs = session.open_session(path, card).run(np.zeros(card.shape(1), card.input_dtype))[0]
    return card, HEADS[card.family].decode(outputs, card, score=score, iou=iou)


def same(found: Found, rows: Sequence[Sequence[float]], *, px: float = 1e-3, score: float = 1e-5) -> None:
    """The same objects in the same order."""
    assert len(rows) == len(found) > 0
    want = np.array(rows)
    np.testing.assert_allclose(found.scores, want[:, 4], atol=score)
    np.testing.assert_array_equal(found.classes, want[:, 5])
    np.testing.assert_allclose(
        np.clip(found.boxes, -SIDE, 2 * SIDE), np.clip(want[:, :4], -SIDE, 2 * SIDE), atol=px
    )


NAMES = {"names": json.dumps(list("abcde"))}


@pytest.mark.parametrize(("case", "classes"), [("detr", 6), ("rtdetr", 5), ("deformable", 5)])
def test_queries_are_read_as_transformers_reads_them(case: str, classes: int, tmp_path: Path) -> None:
    boxes, logits = tables.queries(40, classes)
    for order in ((boxes, logits), (logits, boxes)):
        card, found = read(write(tmp_path / "m.onnx", order, metadata=NAMES), score=0.4)
        assert (card.family, card.get("spare"), len(card.labels)) == ("detr", int(case == "detr"), 5)
        same(found, EXPECTED[case], px=0.01)


def test_queries_in_one_table_are_read_as_in_two(tmp_path: Path) -> None:
    boxes, logits = tables.queries(40, 5)
    table = np.concatenate([boxes, logits], axis=2)
    _, found = read(write(tmp_path / "m.onnx", [table], metadata=NAMES), score=0.4)
    same(found, EXPECTED["rtdetr"], px=0.01)


def test_no_object_is_asked_where_no_names_tell_and_the_answer_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", tables.queries(40, 6))
    known = recognise(path)
    assert [q.key for q in known.asks] == ["no_object", "activation", "fit", "range"]
    assert len(known.card.labels) == 6
    card, found = read(path, score=0.4, no_object="yes")
    assert (len(card.labels), card.mean_micro[0]) == (5, 123_675_000)
    same(found, EXPECTED["detr"], px=0.01)


def test_nothing_is_asked_twice_and_every_wrong_answer_is_refused(tmp_path: Path) -> None:
    for case, (_, arrays) in FAMILIES.items():
        path = write(tmp_path / "m.onnx", arrays)
        asks = recognise(path).asks
        assert len({q.key for q in asks}) == len(asks), case
        for q in asks:
            with pytest.raises(InvalidInput):
                recognise(path, answers={q.key: "no such answer"})


def pico(strides: Sequence[int]) -> list[Array]:
    pairs = [tables.distances(stride, 3) for stride in strides]
    return [out[None] for pair in pairs for out in pair]


def test_distances_are_read_as_libreyolo_reads_them(tmp_path: Path) -> None:
    arrays = pico((8, 16, 32, 64))
    for order in (arrays, arrays[::-1], arrays[1::2] + arrays[::2]):
        card, found = read(write(tmp_path / "m.onnx", order), score=0.4)
        assert (card.family, card.get("sigmoid"), card.get("middle"), card.resize) == ("gfl", 1, 1, "stretch")
        same(found, EXPECTED["picodet"], px=0.01)


def test_distances_without_a_batch_axis_and_scores_past_their_sigmoid_are_the_same(tmp_path: Path) -> None:
    arrays = [1 / (1 + np.exp(-v)) if i % 2 == 0 else v for i, v in enumerate(pico((8, 16, 32, 64)))]
    loose = [v[0].astype(np.float32) if i % 3 else v.astype(np.float32) for i, v in enumerate(arrays)]
    card, found = read(write(tmp_path / "m.onnx", loose), score=0.4)
    assert card.get("sigmoid") == 0
    same(found, EXPECTED["picodet"], px=0.01)


def test_the_pixels_of_nanodet_plus_count_from_a_cells_corner(tmp_path: Path) -> None:
    parts = [np.concatenate(tables.distances(stride, 3), axis=1) for stride in (8, 16, 32, 64)]
    table = np.concatenate(parts)[None]
    card, found = read(
        write(tmp_path / "m.onnx", [table], metadata={"names": json.dumps(list("abc"))}), score=0.4, iou=1.0
    )
    _, others = read(write(tmp_path / "n.onnx", pico((8, 16, 32, 64))), score=0.4, iou=1.0)
    assert (card.get("middle"), card.colour, card.mean_micro[0]) == (0, "bgr", 103_530_000)
    inside = (found.boxes > 0).all(axis=1) & (others.boxes < SIDE).all(axis=1)
    apart = others.boxes[inside] - found.boxes[inside]
    assert len(apart) > 10
    # Half a cell of one of the strides, in x as in y.
    assert set(np.round(apart.ravel(), 3).tolist()) <= {4.0, 8.0, 16.0, 32.0}


def test_priors_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    boxes, logits = tables.priors(2500, 3)
    card, found = read(write(tmp_path / "m.onnx", [logits, boxes]), score=0.6, iou=0.45)
    assert (card.family, card.get("softmax"), len(card.labels)) == ("ssd", 1, 3)
    same(found, EXPECTED["ssd"], px=0.01)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_faces_are_opencvs(tmp_path: Path) -> None:
    grids = tables.face_grids()
    path = write(tmp_path / "m.onnx", list(grids.values()), names=list(grids))
    _, found = read(path, score=0.6, iou=0.3)
    card, marks = read(path, score=0.6, iou=0.3, give="landmarks")
    assert (card.family, card.task) == ("faces", "pose")
    boxes, scores, points = [], [], []
    for stride in (8, 16, 32):  # by the formulas of the paper, one cell after the other
        side = SIDE // stride
        for i in range(side * side):
            at = np.array([i % side, i // side], float)
            box, kps = grids[f"bbox_{stride}"][0, i].astype(float), grids[f"kps_{stride}"][0, i].astype(float)
            score = float(
                np.sqrt(float(grids[f"cls_{stride}"][0, i, 0]) * float(grids[f"obj_{stride}"][0, i, 0]))
            )
            if score >= 0.6:
                size = np.exp(box[2:]) * stride
                boxes.append([*((at + box[:2]) * stride - size / 2), *size])
                scores.append(score)
                points.append((kps.reshape(5, 2) + at) * stride)
    kept = list(np.array(cv2.dnn.NMSBoxes(boxes, scores, 0.6, 0.3)).ravel())
    kept.sort(key=lambda i: -scores[i])
    assert len(kept) == len(found) > 20
    np.testing.assert_allclose(found.scores, [scores[i] for i in kept], atol=1e-6)
    np.testing.assert_allclose(found.boxes[:, :2], [boxes[i][:2] for i in kept], atol=1e-4)
    assert marks.points is not None
    np.testing.assert_allclose(marks.points[..., :2], [points[i] for i in kept], atol=1e-4)


def shapes_of(found: Found, card: ModelCard) -> dict[int, Array]:
    made = postprocess.to_annotations(found, card, card.labels, (SIDE, SIDE))
    out = {}
    for i, one in enumerate(made):
        assert isinstance(one.shape, Mask)
        out[int(found.classes[i])] = rle.decode(one.shape).astype(bool)
    return out


def test_a_map_is_cut_where_torch_cuts_it(tmp_path: Path) -> None:
    card, found = read(write(tmp_path / "m.onnx", [tables.areas(4, 32, 32)]), score=0)
    runs = np.array(EXPECTED["semantic_runs"]).reshape(-1, 2)
    want = np.repeat(runs[:, 0], runs[:, 1]).reshape(SIDE, SIDE)
    mine = shapes_of(found, card)
    assert card.task == "semantic" and set(mine) == set(np.unique(want).tolist())
    for k, mask in mine.items():
        assert (mask & (want == k)).sum() / (mask | (want == k)).sum() > 0.97


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_a_map_of_class_numbers_is_taken_as_it_is(kind: Any, tmp_path: Path) -> None:
    grid = np.zeros((1, SIDE, SIDE), kind)
    grid[0, 10:30, 20:60], grid[0, 50:, 90:] = 1, 2
    path = write(tmp_path / "m.onnx", [grid], metadata={"names": "['background', 'belt', 'coal']"})
    card, found = read(path, score=0.5)
    assert card.get("background") == 0
    mine = shapes_of(found, card)
    assert set(mine) == {1, 2}
    for k, mask in mine.items():
        np.testing.assert_array_equal(mask, grid[0] == k)


def test_one_channel_is_a_map_of_one_class_before_its_sigmoid_or_after(tmp_path: Path) -> None:
    logits = tables.areas(1, SIDE, SIDE)
    for values in (logits, 1 / (1 + np.exp(-logits))):
        card, found = read(write(tmp_path / "m.onnx", [values.astype(np.float32)]), score=0.5)
        assert len(card.labels) == 1
        np.testing.assert_array_equal(shapes_of(found, card)[0], logits[0, 0] > 0)


def test_logits_of_classes_become_probabilities_and_vectors_unit_length(tmp_path: Path) -> None:
    logits = (wave(10, 4) * 8 - 4).astype(np.float32)
    up = np.exp(logits.astype(float))
    for values in (logits, (up / up.sum()).astype(np.float32)):
        card, found = read(write(tmp_path / "m.onnx", [values[None]]), score=0.05, task="classify")
        want = np.argsort(-up)[:5]
        want = want[(up / up.sum())[want] >= 0.05]
        np.testing.assert_array_equal(found.classes, want)
        np.testing.assert_allclose(found.scores, (up / up.sum())[want], atol=1e-6)
    vector = wave(64, 2).astype(np.float32) * 7
    card, found = read(write(tmp_path / "m.onnx", [vector[None, :, None, None]]), score=0.5, task="embed")
    assert (card.task, card.labels, len(found)) == ("embed", (), 0)
    assert found.vector is not None
    np.testing.assert_allclose(found.vector, vector / np.linalg.norm(vector), atol=1e-6)


def test_a_classifier_of_yolo_is_asked_nothing_for_its_metadata_tell_all(tmp_path: Path) -> None:
    shares = np.full((1, 4), 0.25, np.float32)
    named = {"names": "['a', 'b', 'c', 'd']", "stride": "1"}
    new = recognise(write(tmp_path / "m.onnx", [shares], metadata={**named, "task": "classify"}))
    assert (new.asks, new.card.resize, new.card.mean_micro, new.card.get("softmax")) == (
        (),
        "crop",
        (0, 0, 0),
        0,
    )
    five = recognise(write(tmp_path / "m.onnx", [shares * 9 - 1], metadata=named))
    assert (five.asks, five.card.mean_micro[0], five.card.get("softmax")) == ((), 123_675_000, 1)
    assert (new.card.get("plain"), five.card.get("plain")) == (0, 1)
    other = recognise(write(tmp_path / "m.onnx", [shares], metadata={"names": named["names"]}))
    assert [q.key for q in other.asks] == ["fit", "range"]


LISTS = (
    np.array([[10, 20, 50, 60], [5, 5, 9, 9], [0, 0, 30, 30], [9, 9, 9, 9]], np.float32),
    np.array([2, 1, 3, 1], np.int64),
    np.array([0.9, 0.3, 0.6, 0.8], np.float32),
)


def rows_of(found: Found) -> list[list[float]]:
    return [
        [*np.round(found.boxes[i], 3).tolist(), round(float(found.scores[i]), 3), int(found.classes[i])]
        for i in range(len(found))
    ]


def test_finished_objects_are_numbered_from_one_unless_told(tmp_path: Path) -> None:
    for order in itertools.permutations(LISTS):
        card, found = read(write(tmp_path / "m.onnx", order), score=0.5)
        assert (card.family, card.resize, card.std_micro[0]) == ("ready", "stretch", 255_000_000)
        assert rows_of(found) == [[10, 20, 50, 60, 0.9, 1], [0, 0, 30, 30, 0.6, 2]]
    path = write(tmp_path / "m.onnx", LISTS)
    assert [q.key for q in recognise(path).asks] == ["first_class", "classes"]
    _, found = read(path, score=0.5, first_class="0", classes="3")
    assert [row[5] for row in rows_of(found)] == [2]  # there is no class 3 of three


def test_masks_of_finished_objects_cover_the_input_and_points_are_kept(tmp_path: Path) -> None:
    masks = np.zeros((4, 1, SIDE, SIDE), np.float32)
    masks[0, 0, 22:40, 12:30] = 1
    masks[2, 0, 3:9, 3:9] = 0.9
    card, found = read(write(tmp_path / "m.onnx", [*LISTS, masks]), score=0.5)
    assert card.task == "segment"
    mine = shapes_of(found, card)
    np.testing.assert_array_equal(mine[1], masks[0, 0] > 0.5)
    np.testing.assert_array_equal(mine[2], masks[2, 0] > 0.5)
    marks = tables.spread(12, 3, 3, 0, SIDE).reshape(4, 3, 3)
    marks[..., 2] = [[1, 0, 7], [1, 1, 1], [0, 1, -3], [1, 1, 1]]
    card, found = read(write(tmp_path / "m.onnx", [marks, *LISTS]), score=0.5)
    assert card.task == "pose" and found.points is not None
    assert found.points[..., 2].tolist() == [[1, 0, 1], [0, 1, 0]]
    first = postprocess.to_annotations(found, card, card.labels, (SIDE, SIDE))[0].shape
    assert isinstance(first, Keypoints)
    assert first.visibility == (2, 1, 2)
    np.testing.assert_allclose(first.points, marks[0, :, :2].ravel(), atol=1e-4)


def sized(
    tmp_path: Path,
    wh: tuple[int, int],
    sizes: Mapping[str, int],
    nodes: list[Any],
    outputs: Sequence[tuple[str, int]],
    constants: Mapping[str, Array],
) -> Path:
    """A network whose boxes are in the size that another input tells it."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "sized",
        [info("images", TensorProto.FLOAT, [1, 3, wh[1], wh[0]]), *(info(n, t, [1, 2]) for n, t in sizes.items())],
        [info(n, t, None) for n, t in outputs],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


SHARES = np.array([[[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.5, 0.25]]], np.float32)


def test_rt_detr_as_exported_is_told_the_inputs_own_size(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Cast", ["orig_target_sizes"], ["real"], to=TensorProto.FLOAT),
        node("Concat", ["real", "real"], ["four"], axis=1),
        node("Mul", ["shares", "four"], ["boxes"]),
        node("Identity", ["kinds"], ["labels"]), node("Identity", ["sure"], ["scores"]),
    ]  # fmt: skip
    outputs = [("labels", TensorProto.INT64), ("boxes", TensorProto.FLOAT), ("scores", TensorProto.FLOAT)]
    constants = {"shares": SHARES, "kinds": np.array([[3, 0]]), "sure": np.array([[0.9, 0.6]], np.float32)}
    path = sized(tmp_path, (160, 96), {"orig_target_sizes": TensorProto.INT64}, nodes, outputs, constants)
    card, found = read(path, score=0.5)
    assert (card.family, card.feeds[0].values, card.resize) == ("ready", (160, 96), "stretch")
    assert rows_of(found) == [[40, 48, 120, 96, 0.9, 3], [0, 0, 80, 24, 0.6, 0]]
    assert [q.key for q in recognise(path).asks] == ["first_class", "classes", "fit", "range"]


@pytest.mark.parametrize("names", [("im_shape", "scale_factor"), ("scale_factor", "im_shape")])
def test_paddles_rt_detr_is_told_its_size_and_a_scale_of_one_whatever_they_are_called(
    names: tuple[str, str], tmp_path: Path
) -> None:
    size, scale = names
    node = helper.make_node
    nodes = [
        node("Div", [size, scale], ["raw"]), node("Add", ["raw", "half"], ["more"]), node("Floor", ["more"], ["hw"]),
        node("Gather", ["hw", "turned"], ["wh"], axis=1), node("Concat", ["wh", "wh"], ["four"], axis=1),
        node("Mul", ["shares", "four"], ["boxes"]), node("Concat", ["front", "boxes"], ["rows"], axis=1),
        node("Identity", ["two"], ["count"]),
    ]  # fmt: skip
    constants = {
        "half": np.array([0.5], np.float32), "turned": np.array([1, 0]), "shares": SHARES[0],
        "front": np.array([[3, 0.9], [0, 0.6]], np.float32), "two": np.array([2], np.int32),
    }  # fmt: skip
    outputs = [("rows", TensorProto.FLOAT), ("count", TensorProto.INT32)]
    inputs = {"im_shape": TensorProto.FLOAT, "scale_factor": TensorProto.FLOAT}
    path = sized(tmp_path, (160, 96), inputs, nodes, outputs, constants)
    card, found = read(path, score=0.5)
    assert {feed.name: feed.values for feed in card.feeds} == {size: (96, 160), scale: (1, 1)}
    assert rows_of(found) == [[40, 48, 120, 96, 0.9, 3], [0, 0, 80, 24, 0.6, 0]]
    assert (card.resize, card.mean_micro) == ("stretch", (0, 0, 0))


def test_paddles_rows_of_class_score_and_corners_are_divided_by_a_scale_of_one(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Concat", ["scale_factor", "scale_factor"], ["four"], axis=1), node("Div", ["pixels", "four"], ["boxes"]),
        node("Concat", ["front", "boxes"], ["rows"], axis=1), node("Identity", ["three"], ["count"]),
    ]  # fmt: skip
    constants = {
        "pixels": np.array([[40, 48, 120, 96], [0, 0, 80, 24], [0, 0, 9, 9]], np.float32),
        "front": np.array([[3, 0.9], [0, 0.6], [-1, 0.8]], np.float32), "three": np.array([3], np.int32),
    }  # fmt: skip
    outputs = [("count", TensorProto.INT32), ("rows", TensorProto.FLOAT)]
    path = sized(tmp_path, (160, 96), {"scale_factor": TensorProto.FLOAT}, nodes, outputs, constants)
    card, found = read(path, score=0.5)
    assert (card.family, card.feeds[0].values, card.mean_micro[0]) == ("ready", (1, 1), 123_675_000)
    assert rows_of(found) == [[40, 48, 120, 96, 0.9, 3], [0, 0, 80, 24, 0.6, 0]]


def test_three_inputs_beside_the_picture_are_refused(tmp_path: Path) -> None:
    inputs = dict.fromkeys("abc", TensorProto.FLOAT)
    nodes = [helper.make_node("Concat", ["a", "b", "c"], ["out"], axis=1)]
    with pytest.raises(InvalidInput, match="3 inputs beside the picture"):
        recognise(sized(tmp_path, (64, 64), inputs, nodes, [("out", TensorProto.FLOAT)], {}))


MORE: dict[str, tuple[str, list[Array]]] = {
    "picodet": ("gfl", pico((8, 16, 32, 64))),
    "nanodet": ("gfl", pico((8, 16, 32))),
    "rows of seven": ("ssd", [np.array([[0, 1, 0.9, 0.1, 0.1, 0.4, 0.4]] * 5, np.float32)[None, None]]),
    "priors": ("ssd", list(tables.priors(2500, 3))),
    "tensorflow": ("ssd", [SHARES, np.array([[1.0, 2.0]], np.float32), np.array([[0.9, 0.6]], np.float32), np.array([2.0], np.float32)]),
    "torchvision": ("ready", list(LISTS)),
    "paddle": ("ready", [np.array([[3, 0.9, 4, 5, 60, 70], [0, 0.6, 1, 2, 30, 40]], np.float32), np.array([2], np.int32)]),
    "detr as torch counts": ("detr", list(tables.queries(100, 92))),
    "as many queries as cells": ("detr", list(tables.queries(336, 7))),
    "class numbers": ("semantic", [np.ones((1, SIDE, SIDE), np.int64)]),
    "one area": ("semantic", [tables.areas(1, SIDE, SIDE)]),
    "embedding": ("whole", [wave(512, 3).astype(np.float32)[None]]),
    "classes and embedding": ("whole", [(lambda v: v / np.linalg.norm(v))(wave(64, 3) - 0.5).astype(np.float32)[None], np.linspace(-3, 3, 7, dtype=np.float32)[None]]),
}  # fmt: skip


@pytest.mark.parametrize("which", [*FAMILIES, *MORE])
def test_order_and_names_of_outputs_never_change_the_family(which: str, tmp_path: Path) -> None:
    family, arrays = (FAMILIES | MORE)[which]
    ways = list(itertools.permutations(range(len(arrays)))) if len(arrays) <= 3 else []
    n = len(arrays)
    ways += [
        tuple(range(n)),
        tuple(range(n))[::-1],
        tuple(np.argsort(wave(n, 5)).tolist()),
        tuple(np.argsort(wave(n, 8)).tolist()),
    ]
    names = [
        "scores",
        "boxes",
        "logits",
        "pred_boxes",
        "labels",
        "masks",
        "output0",
        "count",
        "cls_8",
        "dets",
        "x.1",
        "y",
        "z",
    ]
    found = []
    for i, way in enumerate(dict.fromkeys(ways)):
        called = [names[(k + i) % len(names)] for k in range(n)]
        card = recognise(write(tmp_path / "m.onnx", [arrays[k] for k in way], names=called)).card
        assert card.family == family
        # The same arrays have the same roles.
        found.append((card.head, {role: way[called.index(name)] for role, name in card.outputs}))
    twins = which == "faces"  # whose two scores may change places
    assert all(head == found[0][0] and (twins or roles == found[0][1]) for head, roles in found)


def test_an_exporters_mark_leaves_the_metadata_nothing_to_ask(tmp_path: Path) -> None:
    for case in ("v8 detect", "v8 segment", "v8 pose", "v8 obb", "ready"):
        names = {
            "names": "['a', 'b', 'c']",
            **EXPORTED,
            "task": {"v8 pose": "pose", "v8 obb": "obb"}.get(case, "detect"),
        }
        names |= {"kpt_shape": "[5, 3]"} if case == "v8 pose" else {}
        names["names"] = "['a']" if case == "v8 pose" else names["names"]
        assert recognise(write(tmp_path / "m.onnx", FAMILIES[case][1], metadata=names)).asks == (), case


def test_means_turn_with_the_channels(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", FAMILIES["v8 detect"][1])
    for told in ({}, {"family": "form"}):
        card = recognise(path, answers={**told, "range": "imagenet", "colour": "bgr"}).card
        assert (card.colour, card.mean_micro) == ("bgr", (103_530_000, 116_280_000, 123_675_000))


def test_sizes_below_nothing_are_asked_about(tmp_path: Path) -> None:
    table = FAMILIES["v8 detect"][1][0].copy()
    table[0, 2, ::3] *= -1
    path = write(tmp_path / "m.onnx", [table])
    asks = {q.key: q.proposal for q in recognise(path).asks}
    assert asks["box"] == "xyxy"
    assert [recognise(path, answers={"box": b}).card.get("corners") for b in ("xyxy", "cxcywh")] == [1, 0]
    marked = recognise(write(tmp_path / "m.onnx", [table], metadata=EXPORTED))
    assert (marked.asks, marked.card.get("corners")) == ((), 0)


def test_yolox_is_read_as_its_formulas_say_cell_by_cell(tmp_path: Path) -> None:
    [table] = FAMILIES["yolox raw"][1]
    table = table.copy()
    table[..., 2:4] = table[..., 2:4] / 3
    card, found = read(write(tmp_path / "m.onnx", [table]), score=0.3, iou=1.0)
    assert card.family == "yolox"
    want, i = [], 0
    for stride in (8, 16, 32):
        side = SIDE // stride
        for y, x in itertools.product(range(side), range(side)):
            dx, dy, lw, lh, sure, *shares = table[0, i].astype(float).tolist()
            i += 1
            if sure * max(shares) >= 0.3:
                cx, cy, w, h = (x + dx) * stride, (y + dy) * stride, np.exp(lw) * stride, np.exp(lh) * stride
                kind = shares.index(max(shares))
                want.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, sure * max(shares), kind])
    want.sort(key=lambda row: -row[4])
    assert len(want) > 20
    same(found, want)


def test_a_class_of_minus_one_is_no_object(tmp_path: Path) -> None:
    [rows] = FAMILIES["ready"][1]
    rows = rows.copy()
    rows[0, 1, 5] = -1
    card, found = read(write(tmp_path / "m.onnx", [rows]), score=0.01)
    _, all_of_them = read(write(tmp_path / "n.onnx", FAMILIES["ready"][1]), score=0.01)
    assert (card.family, len(found)) == ("yolo_ready", len(all_of_them) - 1)
