"""The YOLO heads against the figures of their own exporters (data/yolo_heads.json says how they were made), and against confusion."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from annotation import rle
from annotation.core import Mask
from annotation.errors import InvalidInput
from models import postprocess, session
from models.card import ModelCard
from models.found import Found, nms
from models.heads import HEADS
from models.heads.look import cells
from models.recognise import Recognised, recognise
from tests.models import yolo_tables
from tests.models.yolo_tables import CLASSES, SIDE, Array, cases, dense, points, wave

EXPECTED = json.loads((Path(__file__).parent / "data" / "yolo_heads.json").read_text())["cases"]
CASES = cases()
EXPORTED = {"stride": "32", "task": "detect"}


def write(
    path: Path,
    outputs: Sequence[Array],
    *,
    names: Sequence[str] = (),
    metadata: dict[str, str] | None = None,
    wh: tuple[int, int] = (SIDE, SIDE),
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """A network that takes a picture and gives these arrays."""
    names = names or [f"out{i}" for i in range(len(outputs))]
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"{name}_is"], [name]) for name in names],
        "constants",
        [helper.make_tensor_value_info("x", dtype, [1, 3, wh[1], wh[0]])],
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in zip(names, outputs, strict=True)],
        [numpy_helper.from_array(np.ascontiguousarray(v), f"{n}_is") for n, v in zip(names, outputs, strict=True)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    path.write_bytes(model.SerializeToString())
    return path


def read(path: Path, *, score: float = 0.25, iou: float = 0.45, **answers: str) -> tuple[ModelCard, Found]:
    card = recognise(path, answers=answers).card
    outputs = session.open_session(path, card).run(np.zeros(card.shape(1), card.input_dtype))[0]
    return card, HEADS[card.family].decode(outputs, card, score=score, iou=iou)


@pytest.mark.parametrize("case", list(CASES))
def test_what_is_found_is_what_the_exporters_own_code_finds(case: str, tmp_path: Path) -> None:
    card, found = read(write(tmp_path / "m.onnx", CASES[case]))
    told = EXPECTED[case]
    assert card.family == ("yolo_anchors" if case == "v5 raw" else "yolo")
    assert len(found) == len(told["scores"])
    assert found.classes.tolist() == told["classes"]
    np.testing.assert_allclose(found.scores, told["scores"], atol=1e-5)
    if "boxes" in told:
        np.testing.assert_allclose(found.boxes, told["boxes"], atol=1e-3)
    if "points" in told:
        assert found.points is not None
        np.testing.assert_allclose(found.points, told["points"], atol=1e-3)
    if "quads" in told:
        assert found.quads is not None
        for mine, theirs in zip(found.quads, np.array(told["quads"]), strict=True):
            # They begin at another corner and go the other way round.
            ways = [np.roll(way, k, axis=0) for k in range(4) for way in (theirs, theirs[::-1])]
            assert min(float(np.abs(way - mine).max()) for way in ways) < 1e-3
    if "masks" in told:
        shares = [overlap(card, found, i, text) for i, text in enumerate(told["masks"])]
        assert np.mean(shares) > 0.99
        assert np.min(shares) > 0.9


def overlap(card: ModelCard, found: Found, i: int, text: str) -> float:
    """Intersection over union of one object's mask with COCO's compressed one, without the box's rim.

    There a pixel counts for them by its corner, for us by its centre.
    """
    counts = rle.from_text(text)
    theirs = np.repeat(np.arange(len(counts)) % 2, counts).reshape(SIDE, SIDE).T.astype(bool)
    shapes = postprocess.to_annotations(found.take(np.array([i])), card, card.labels, (SIDE, SIDE))
    mine = np.zeros((SIDE, SIDE), bool)
    if shapes:
        assert isinstance(shapes[0].shape, Mask)
        mine = rle.decode(shapes[0].shape).astype(bool)
    x0, y0, x1, y1 = found.boxes[i].clip(0, SIDE)
    inside = np.s_[int(y0) + 1 : max(0, int(y1) - 1), int(x0) + 1 : max(0, int(x1) - 1)]
    either = int((mine | theirs)[inside].sum())
    return float((mine & theirs)[inside].sum() / either) if either else 1.0


@pytest.mark.parametrize("case", list(CASES))
def test_neither_names_nor_order_of_outputs_matter(case: str, tmp_path: Path) -> None:
    arrays = CASES[case]
    seen = set()
    for order in itertools.permutations(range(len(arrays))):
        for names in itertools.permutations(["boxes", "scores", "output0"][: len(arrays)]):
            path = write(tmp_path / "m.onnx", [arrays[i] for i in order], names=names)
            card = recognise(path, name="m").card
            role = {role: arrays[order[list(names).index(name)]].shape for role, name in card.outputs}
            seen.add((replace(card, outputs=(), sha256=""), tuple(sorted(role.items()))))
    assert len(seen) == 1


READY = np.zeros((1, 20, 6), np.float32)
READY[0, :3] = [(10, 12, 60, 70, 0.9, 2), (5, 5, 25, 25, 0.5, 0), (30, 5, 35, 25, 0.2, 1)]
NAMES = {"names": "['a', 'b', 'c']", **EXPORTED}


def boxes_of(found: Found) -> list[list[float]]:
    return [[*map(float, box), round(float(s), 3), int(c)] for box, s, c in zip(found.boxes, found.scores, found.classes, strict=True)]  # fmt: skip


def test_ready_rows_are_taken_as_they_are_strongest_first(tmp_path: Path) -> None:
    card, found = read(write(tmp_path / "m.onnx", [READY[:, ::-1]], metadata=NAMES))
    assert card.family == "yolo_ready"
    assert boxes_of(found) == [[10, 12, 60, 70, 0.9, 2], [5, 5, 25, 25, 0.5, 0]]


def test_rows_of_zeros_are_no_detections_at_any_score(tmp_path: Path) -> None:
    _, found = read(write(tmp_path / "m.onnx", [READY], metadata=NAMES), score=0.0)
    assert len(found) == 3


def test_a_ready_model_that_found_nothing_in_the_trial_is_known_by_its_names(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", [np.zeros((1, 300, 6), np.float32)], metadata=NAMES)
    assert recognise(path).card.family == "yolo_ready"


def test_a_class_number_beyond_the_names_is_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", [READY], metadata={**NAMES, "names": "['a', 'b']"})
    assert boxes_of(read(path)[1]) == [[5, 5, 25, 25, 0.5, 0]]


def test_the_number_of_classes_is_asked_where_nothing_tells_it(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", [READY], metadata=EXPORTED)
    known = recognise(path)
    assert [(q.key, q.proposal) for q in known.asks] == [("classes", "80")]
    assert len(recognise(path, answers={"classes": "7"}).card.labels) == 7
    assert recognise(path, answers={"labels": "x,y,z"}).card.labels == ("x", "y", "z")
    with pytest.raises(InvalidInput, match="no number of classes"):
        recognise(path, answers={"classes": "2"})  # class 2 was seen


def test_ready_oriented_boxes_have_centre_size_and_angle(tmp_path: Path) -> None:
    rows = np.zeros((1, 9, 7), np.float32)
    rows[0, 0] = (50, 40, 30, 10, 0.8, 1, np.pi / 2 + 0.25)
    card, found = read(write(tmp_path / "m.onnx", [rows], metadata={**NAMES, "task": "obb"}))
    assert (card.task, card.get("angle")) == ("obb", 1)
    assert found.quads is not None
    sides = np.linalg.norm(np.diff(found.quads[0], axis=0), axis=1)
    np.testing.assert_allclose(sides, [10, 30, 10], atol=1e-4)  # turned by a quarter: what was across is down
    np.testing.assert_allclose(found.quads[0].mean(axis=0), [50, 40], atol=1e-4)


def test_ready_poses_and_masks_carry_their_numbers(tmp_path: Path) -> None:
    rows = np.concatenate([READY, np.zeros((1, 20, 9), np.float32)], axis=2)
    rows[0, 0, 6:] = [11, 13, 0.9, 20, 30, 0.1, 40, 50, 0.7]
    card, found = read(
        write(tmp_path / "m.onnx", [rows], metadata={**NAMES, "task": "pose", "kpt_shape": "[3, 3]"})
    )
    assert card.task == "pose" and found.points is not None
    np.testing.assert_allclose(found.points[0], [[11, 13, 0.9], [20, 30, 0.1], [40, 50, 0.7]], atol=1e-6)
    rows = np.concatenate([READY, np.ones((1, 20, 4), np.float32)], axis=2)
    card, found = read(write(tmp_path / "m.onnx", [yolo_tables.prototypes(4), rows], metadata=NAMES))
    assert card.task == "segment" and found.masks is not None
    np.testing.assert_array_equal(found.masks[0] > 0.5, yolo_tables.prototypes(4)[0].sum(axis=0) > 0)


def test_rows_with_the_pictures_number_have_class_before_score(tmp_path: Path) -> None:
    rows = np.array([[0, 10, 12, 60, 70, 2, 0.9], [0, 5, 5, 25, 25, 0, 0.5]], np.float32)
    for value in (rows, rows[:0]):
        card, found = read(write(tmp_path / "m.onnx", [value], metadata=NAMES))
        assert (card.family, card.loose) == ("yolo_ready", ("rows",))
        assert len(found) == len(value)
    assert boxes_of(read(write(tmp_path / "m.onnx", [rows], metadata=NAMES))[1])[0] == [
        10,
        12,
        60,
        70,
        0.9,
        2,
    ]


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float32])
def test_a_count_says_how_many_boxes_scores_and_classes_are_meant(kind: Any, tmp_path: Path) -> None:
    parts = [np.array([[2]], np.int32), READY[..., :4], READY[..., 4] * 0.98, READY[..., 5].astype(kind)]
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)):
        card, found = read(write(tmp_path / "m.onnx", [parts[i] for i in order], metadata=NAMES), score=0.1)
        assert card.family == "yolo_ready"
        assert [row[5] for row in boxes_of(found)] == [2, 0]


def test_key_points_and_angles_are_told_by_their_values_without_metadata(tmp_path: Path) -> None:
    grid = cells(SIDE, SIDE, (8, 16, 32))
    flat = np.delete(points(grid, 6), np.s_[2::3], axis=1)
    for extra, head in (
        (points(grid, 5), {"points": 5, "dims": 3}),
        (flat, {"points": 6, "dims": 2}),
        (yolo_tables.angles(grid), {"angle": 1}),
    ):
        path = write(tmp_path / "m.onnx", [np.concatenate([dense(grid), extra], axis=1).T[None]])
        card = recognise(path).card
        assert (dict(card.head), len(card.labels)) == ({"transposed": 1, **head}, CLASSES)


def test_a_pose_of_two_numbers_a_point_is_told_by_the_metadata(tmp_path: Path) -> None:
    grid = cells(SIDE, SIDE, (8, 16, 32))
    table = np.concatenate([dense(grid), points(grid, 4)], axis=1).T[None]
    card = recognise(
        write(tmp_path / "m.onnx", [table], metadata={"kpt_shape": "[6, 2]", "task": "pose"})
    ).card
    assert (card.get("points"), card.get("dims"), len(card.labels)) == (6, 2, CLASSES)


def test_an_objectness_of_one_everywhere_is_yolov6_and_a_learned_one_yolox(tmp_path: Path) -> None:
    grid = cells(SIDE, SIDE, (8, 16, 32))
    learned = dense(grid, first=5)
    card, found = read(write(tmp_path / "m.onnx", [learned[None]]))
    assert (card.family, card.resize, card.colour, card.std_micro[0]) == ("yolo", "corner", "bgr", 1_000_000)
    always = learned.copy()
    always[:, 4] = 1
    card, more = read(write(tmp_path / "m.onnx", [always[None]]))
    assert (card.family, card.resize, card.colour, card.std_micro[0]) == (
        "yolo",
        "letterbox",
        "rgb",
        255_000_000,
    )
    assert len(more) > len(found)


def test_tables_of_corners_are_told_from_tables_of_centres(tmp_path: Path) -> None:
    centres = dense(cells(SIDE, SIDE, (8, 16, 32)))
    corners = centres.copy()
    corners[:, :2] = centres[:, :2] - centres[:, 2:4] / 2
    corners[:, 2:4] = centres[:, :2] + centres[:, 2:4] / 2
    _, told = read(write(tmp_path / "m.onnx", [centres.T[None]]))
    card, found = read(write(tmp_path / "m.onnx", [corners.T[None]]))
    assert card.get("corners") == 1
    np.testing.assert_allclose(found.boxes, told.boxes, atol=1e-3)


@pytest.mark.parametrize("down", [False, True])
def test_boxes_and_scores_apart_are_read_as_when_together(down: bool, tmp_path: Path) -> None:
    table = dense(cells(SIDE, SIDE, (8, 16, 32)))
    _, told = read(write(tmp_path / "m.onnx", [table.T[None]]))
    scores = table[:, 4:]
    parts = [table[None, :, :4], (scores.T if down else scores)[None]]
    for order in (parts, parts[::-1]):
        card, found = read(write(tmp_path / "m.onnx", order))
        assert (card.family, len(card.labels)) == ("yolo", CLASSES)
        np.testing.assert_array_equal(found.boxes, told.boxes)


def test_anchors_are_asked_and_their_answer_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", CASES["v5 raw"], metadata=EXPORTED)
    known = recognise(path)
    assert [q.key for q in known.asks] == ["anchors"]
    told = [float(v) * 2 for v in known.asks[0].proposal.split(",")]
    _, usual = read(path, iou=1.0)
    _, twice = read(path, iou=1.0, anchors=",".join(map(str, told)))
    sizes = [np.sort(f.boxes[:, 2] - f.boxes[:, 0]) for f in (usual, twice)]
    np.testing.assert_allclose(sizes[1], sizes[0] * 2, rtol=1e-6)
    for wrong in ("1,2,3", "a,b", ",".join(["0"] * 18)):
        with pytest.raises(InvalidInput, match="are no anchors"):
            recognise(path, answers={"anchors": wrong})


def test_raw_heads_before_they_are_turned_give_the_same(tmp_path: Path) -> None:
    five = CASES["v5 raw"]
    four = [v.transpose(0, 1, 4, 2, 3).reshape(1, -1, *v.shape[2:4]) for v in five]
    _, told = read(write(tmp_path / "m.onnx", five))
    card, found = read(write(tmp_path / "m.onnx", four))
    assert card.get("flat") == 1
    np.testing.assert_array_equal(found.boxes, told.boxes)


def test_raw_heads_after_their_sigmoid_give_the_same(tmp_path: Path) -> None:
    raw = CASES["v5 raw"]
    _, told = read(write(tmp_path / "m.onnx", raw))
    card, found = read(write(tmp_path / "m.onnx", [(1 / (1 + np.exp(-v))).astype(np.float32) for v in raw]))
    assert card.get("sigmoid") == 1
    np.testing.assert_allclose(found.boxes, told.boxes, atol=1e-3)


def test_halves_and_other_shapes_of_input_are_read(tmp_path: Path) -> None:
    table = dense(cells(160, 96, (8, 16, 32))).T[None]
    path = write(tmp_path / "m.onnx", [table.astype(np.float16)], wh=(160, 96), dtype=TensorProto.FLOAT16)
    card, found = read(path)
    assert (card.input_dtype, card.input_wh) == ("float16", (160, 96))
    assert len(found) > 50


def test_how_a_picture_is_fitted_is_known_for_one_exporter_and_asked_for_the_others(tmp_path: Path) -> None:
    table = CASES["v8 detect"]
    assert recognise(write(tmp_path / "m.onnx", table, metadata=EXPORTED)).asks == ()
    path = write(tmp_path / "m.onnx", table)
    assert [(q.key, q.proposal) for q in recognise(path).asks] == [
        ("fit", "letterbox"),
        ("range", "share"),
        ("colour", "rgb"),
    ]
    assert recognise(path, answers={"fit": "stretch"}).card.resize == "stretch"
    assert recognise(path, answers={"range": "byte"}).card.std_micro == (1_000_000,) * 3
    with pytest.raises(InvalidInput, match="no answer to fit"):
        recognise(path, answers={"fit": "magic"})


def test_one_number_as_the_size_in_the_metadata_is_a_square(tmp_path: Path) -> None:
    model = onnx.load_from_string(write(tmp_path / "m.onnx", CASES["v8 detect"]).read_bytes())
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side{axis}"
    helper.set_model_props(model, {"imgsz": str(SIDE)})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert recognise(tmp_path / "m.onnx").card.input_wh == (SIDE, SIDE)


def test_a_network_gone_wild_gives_no_boxes_of_no_size_and_none_without_end(tmp_path: Path) -> None:
    table = dense(cells(SIDE, SIDE, (8, 16, 32)))
    table[::3, 2] = -5
    table[1::3, 3] = np.inf
    table[:, 4:] = 0.9
    _, found = read(write(tmp_path / "m.onnx", [table.T[None]], metadata=EXPORTED))
    assert len(found)
    assert np.isfinite(found.boxes).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


def test_a_cell_whose_score_is_no_number_gives_nothing_even_beside_a_sure_class(tmp_path: Path) -> None:
    table = dense(cells(SIDE, SIDE, (8, 16, 32)))
    path = write(tmp_path / "m.onnx", [table.T[None]], metadata=EXPORTED)
    card, _ = read(path)
    table[:, 4:] = 0.0
    table[0, 5] = 0.9
    for beside, n in ((0.1, 1), (np.nan, 0)):
        table[0, 4] = beside
        assert len(HEADS[card.family].decode({"table": table.T}, card, score=0.25, iou=0.5)) == n


def test_suppression_keeps_what_the_plain_rule_keeps() -> None:
    def plain(boxes: Array, classes: Array, iou: float) -> list[int]:
        kept: list[int] = []
        for i, a in enumerate(boxes):
            for j in kept:
                b = boxes[j]
                w, h = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
                both = max(w, 0) * max(h, 0)
                whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
                if classes[i] == classes[j] and both > iou * whole:
                    break
            else:
                kept.append(i)
        return kept

    for n in (0, 1, 2, 255, 256, 257, 600):
        corner = np.stack([wave(n, 1), wave(n, 2)], axis=1) * 200
        boxes = np.concatenate([corner, corner + 5 + 40 * np.stack([wave(n, 3), wave(n, 4)], axis=1)], axis=1)
        classes = (wave(n, 5) * 3).astype(np.int64)
        assert nms(boxes, classes, 0.45).tolist() == plain(boxes, classes, 0.45)


def test_the_strongest_class_of_a_cell_is_the_only_one(tmp_path: Path) -> None:
    table = np.zeros((1, 4 + 3, cells(SIDE, SIDE, (8, 16, 32))), np.float32)
    table[0, :, 5] = [40, 40, 20, 20, 0.5, 0.8, 0.6]
    assert boxes_of(read(write(tmp_path / "m.onnx", [table]))[1]) == [[30, 30, 50, 50, 0.8, 1]]


Known = Callable[[Path], Recognised]
G = cells(SIDE, SIDE, (8, 16, 32))


def _shares(n: int, seed: float) -> Array:
    return np.stack([wave(n, seed + i) for i in range(4)], axis=1).astype(np.float32)[None]


def _faces() -> list[Array]:
    out = []
    for stride in (8, 16, 32):
        n = (SIDE // stride) ** 2
        out += [wave(n * k, stride + k).astype(np.float32).reshape(1, n, k) for k in (1, 4, 10)]
        out.append(wave(n, stride).astype(np.float32).reshape(1, n, 1))
    return out


FAMILIES: dict[str, tuple[str, list[Array]]] = {
    **{case: ("yolo_anchors" if case == "v5 raw" else "yolo", arrays) for case, arrays in CASES.items()},
    "yolox raw": ("yolox", [np.concatenate([np.stack([wave(G, i) * 6 - 3 for i in range(4)], axis=1), dense(G)[:, 4:], dense(G)[:, 4:5]], axis=1)[None].astype(np.float32)]),
    "apart, scores downwards": ("yolo", [np.tile(dense(G)[:, 4:], 4).T[None], dense(G)[None, :, :4]]),
    "yolox decoded": ("yolo", [dense(G, first=5)[None]]),
    "ready": ("yolo_ready", [READY]),
    "ready pose": ("yolo_ready", [np.concatenate([READY, np.tile(points(20, 3), 1)[None]], axis=2)]),
    "count": ("yolo_ready", [np.array([[2]], np.int32), READY[..., :4], READY[..., 4], READY[..., 5].astype(np.int64)]),
    "numbered": ("yolo_ready", [np.zeros((0, 7), np.float32)]),
    "three lists": ("ready", [READY[..., :4], READY[..., 4], READY[..., 5].astype(np.int64)]),
    "detr": ("detr", [_shares(100, 3), (np.stack([wave(100, 30 + i) for i in range(5)], axis=1) * 8 - 6).astype(np.float32)[None]]),
    "detr in one": ("detr", [np.concatenate([_shares(100, 3)[0], np.stack([wave(100, 30 + i) for i in range(5)], axis=1)], axis=1)[None].astype(np.float32)]),
    "faces": ("faces", _faces()),
    "semantic": ("semantic", [(wave(5 * 32 * 32, 4) * 8 - 4).astype(np.float32).reshape(1, 5, 32, 32)]),
    "classes": ("whole", [(wave(10, 4) * 8 - 4).astype(np.float32)[None]]),
}  # fmt: skip


@pytest.mark.parametrize("which", list(FAMILIES))
def test_every_family_is_taken_for_itself_and_no_other(which: str, tmp_path: Path) -> None:
    family, arrays = FAMILIES[which]
    assert recognise(write(tmp_path / "m.onnx", arrays)).card.family == family
