"""Model files as people bring them: hostile and broken ones leave nothing behind, weights beside the file come along."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx as onnx_format
import pytest
from onnx import TensorProto, helper

from annotation.errors import InvalidInput, LamproomError
from app.services import batching, onnx
from app.services.workspace import Workspace
from models import demo, promptable, rebatch, sample, session
from storage import media
from tests.models import hostile, test_reader, toy_pairs
from tests.models.hostile import WEIGHTS, outside, single
from tests.models.toys import CELLS, SIDE, columns, rows, toy_model

IDENTITY = helper.make_node("Identity", ["images"], ["out"])


def kept(ws: Workspace) -> tuple[list[str], list[str]]:
    """What the workspace holds of models: rows, and files."""
    names = [row.name for row in onnx.listing(ws)] + [row.name for row in onnx.pairs(ws)]
    folder = ws.folder / "models"
    return names, sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.mark.parametrize("name", ("../x", "a/b", "a\\b", ".hidden", "two\nlines", "\x7f", " ", "x" * 201))
def test_a_model_is_given_no_name_that_could_be_a_path_or_is_not_seen(
    ws: Workspace, tmp_path: Path, name: str
) -> None:
    path = saved(tmp_path / "m.onnx", toy_model(columns((32, 32, 16, 16, 0.9))))
    for add in (lambda: onnx.add(ws, path, name=name), lambda: onnx.add_demo(ws, name=name)):
        with pytest.raises(InvalidInput, match="no name for a model"):
            add()
    assert kept(ws) == ([], [])


def test_a_model_whose_file_is_called_oddly_gets_a_name_that_can_be_one(
    ws: Workspace, tmp_path: Path
) -> None:
    path = saved(tmp_path / ".a\\b:c.onnx", toy_model(columns((32, 32, 16, 16, 0.9))))
    assert onnx.add(ws, path).name == "a-b-c"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_folder_or_a_pipe_is_refused_at_once(ws: Workspace, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "folder.onnx").mkdir()
    for name in ("pipe.onnx", "folder.onnx"):
        with pytest.raises(InvalidInput, match="no plain file"):
            onnx.add(ws, tmp_path / name)
    assert kept(ws) == ([], [])


def saved(path: Path, model: onnx_format.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def _missing(folder: Path) -> Path:
    path = outside(folder)
    (path.parent / WEIGHTS).unlink()
    return path


def _short(folder: Path) -> Path:
    path = outside(folder)
    os.truncate(path.parent / WEIGHTS, 40)
    return path


def _linked(folder: Path) -> Path:
    path = outside(folder / "in")
    (path.parent / WEIGHTS).rename(folder / "out.bin")
    (path.parent / WEIGHTS).symlink_to(folder / "out.bin")
    return path


def _escaping(folder: Path) -> Path:
    (folder / WEIGHTS).write_bytes(bytes(9999))
    return outside(folder / "in", entries={"location": f"../{WEIGHTS}"})


def _cut(folder: Path) -> Path:
    path = saved(folder / "m.onnx", toy_model(columns(), metadata={"names": "['a', 'b']"}))
    path.write_bytes(path.read_bytes()[:-40])
    return path


def _garbled(folder: Path) -> Path:
    data = toy_model(columns(), metadata={"names": "['coal', 'b']"}).SerializeToString()
    path = folder / "m.onnx"
    path.write_bytes(data.replace(b"coal", b"\xff\xfe\xfd\xfc"))
    return path


def _from(make: Callable[[], onnx_format.ModelProto]) -> Callable[[Path], Path]:
    return lambda folder: saved(folder / "m.onnx", make())


CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "wrong metadata: too few names": (
        _from(lambda: toy_model(columns(), metadata={"names": "{0: 'a'}"})),
        "gives 2 classes but 1 names",
    ),
    "wrong metadata: code": (
        _from(lambda: toy_model(columns(), metadata={"names": "__import__('os').abort()"})),
        "cannot be read",
    ),
    "NaN": (_from(lambda: hostile.endless(np.nan)), "its output 'out' holds no numbers"),
    "infinity": (_from(lambda: hostile.endless(np.inf)), "its output 'out' holds no numbers"),
    "weights missing": (_missing, "are missing"),
    "weights cut short": (_short, "cut short"),
    "weights linked": (_linked, "are a link"),
    "weights elsewhere": (_escaping, "outside its folder"),
    "10 GB declared": (_from(lambda: hostile.declared([2_500_000_000])), r"10\.0 GB is declared"),
    "10 GB sparse": (_from(lambda: hostile.declared([2_500_000_000], sparse=True)), r"unpack to 10\.0 GB"),
    "10 GB when run": (
        _from(
            lambda: single(
                [
                    helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
                    helper.make_node("ConstantOfShape", ["size"], ["big"]),
                    helper.make_node("ReduceMax", ["big"], ["top"], keepdims=0),
                    helper.make_node("Add", ["mean", "top"], ["out"]),
                ],
                {"size": np.array([2_500_000_000])},
            )
        ),
        "does not run",
    ),
    "custom operator": (_from(hostile.foreign), "not part of ONNX"),
    "unknown operator": (
        _from(lambda: single([helper.make_node("Lamp", ["images"], ["out"])])),
        "the runtime refuses the model: .*Lamp",
    ),
    "opset too new": (_from(lambda: single([IDENTITY], opsets={"": 999})), "it needs opset 999"),
    "no classes": (_from(lambda: toy_model(columns(*[(32, 20, 16, 16)] * CELLS, n=0))), "it has no classes: all it gives is 1x"),
    "no classes, with objectness": (_from(lambda: toy_model(rows(5) + np.float32([32, 20, 16, 16, 0.5]))), "it has no classes: all it gives is 1x"),
    "zero side": (_from(lambda: single([IDENTITY], shape=(1, 3, 0, SIDE))), "a side of zero"),
    "wrong rank": (_from(lambda: single([IDENTITY], shape=(1, 1, 3, SIDE, SIDE))), "0 inputs that can be a picture"),
    "no input": (
        _from(
            lambda: helper.make_model(
                helper.make_graph(
                    [helper.make_node("Constant", [], ["out"], value_float=1.0)], "g", [],
                    [helper.make_tensor_value_info("out", TensorProto.FLOAT, [])],
                ),
                opset_imports=[helper.make_opsetid("", 13)],
                ir_version=8,
            )
        ),
        "input",
    ),
    "cut short": (_cut, "truncated or not ONNX"),
    "not UTF-8": (_garbled, "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_or_broken_model_is_refused_by_name_and_nothing_of_it_is_kept(
    ws: Workspace, tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make, complaint = CASES[case]
    before = kept(ws)
    with pytest.raises(InvalidInput, match=complaint) as refused:
        onnx.add(ws, make(tmp_path))
    assert "\n" not in refused.value.line
    assert kept(ws) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize(
    "case", ["weights missing", "custom operator", "opset too new", "cut short", "not UTF-8"]
)
def test_half_a_pair_that_is_broken_leaves_nothing_of_the_other(
    ws: Workspace, tmp_path: Path, case: str, half: int
) -> None:
    files = list(toy_pairs.write(tmp_path))
    (tmp_path / "bad").mkdir()
    files[half] = CASES[case][0](tmp_path / "bad")
    before = kept(ws)
    with pytest.raises(InvalidInput, match=CASES[case][1]):
        onnx.add_pair(ws, files[0], files[1])
    assert kept(ws) == before


def test_weights_beside_the_model_are_kept_with_it_under_one_digest(ws: Workspace, tmp_path: Path) -> None:
    path = outside(tmp_path / "from", location="part/weights.bin")
    row = onnx.add(ws, path, name="outside")
    shutil.rmtree(path.parent)
    again = onnx.show(ws, "outside")
    assert again == row
    assert again.present
    assert again.path == ws.folder / "models" / row.sha256 / f"{row.sha256}.onnx"
    body = session.identify(again.path)
    assert body.sha256 == row.sha256
    assert [name for name, _ in body.files] == ["part/weights.bin"]
    opened = session.open_session(again.path, again.card)
    (found,) = opened.run(np.zeros((1, 3, SIDE, SIDE), np.float32))
    assert found["table"][:5, 0].tolist() == [1, 2, 3, 4, 0.5]
    assert kept(ws)[1] == [
        row.sha256,
        *(f"{row.sha256}/{n}" for n in (f"{row.sha256}.onnx", "part", "part/weights.bin")),
    ]


def test_the_same_weights_beside_or_inside_are_two_models_and_both_stay(
    ws: Workspace, tmp_path: Path
) -> None:
    inside = saved(
        tmp_path / "m.onnx", toy_model(columns((1, 2, 3, 4, 0.5)), metadata={"names": "['a', 'b']"})
    )
    one, other = onnx.add(ws, inside, name="inside"), onnx.add(ws, outside(tmp_path / "o"), name="outside")
    assert one.sha256 != other.sha256
    assert one.path.name == f"{one.sha256}.onnx"
    assert onnx.add(ws, outside(tmp_path / "o2"), name="outside") == other


def test_a_model_whose_weights_were_lost_is_mended_by_adding_it_again(ws: Workspace, tmp_path: Path) -> None:
    path = outside(tmp_path)
    row = onnx.add(ws, path, name="m")
    (row.path.parent / WEIGHTS).unlink()
    with pytest.raises(LamproomError, match="are missing"):
        session.open_session(row.path, row.card)
    onnx.add(ws, path, name="m")
    session.open_session(row.path, row.card)
    os.truncate(row.path, 10)
    onnx.add(ws, path, name="m")
    session.open_session(row.path, row.card)


def test_a_full_disk_leaves_nothing_and_is_said(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        real(source, target)
        if target.name == WEIGHTS:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    before = kept(ws)
    with pytest.raises(LamproomError, match="No space left"):
        onnx.add(ws, outside(tmp_path))
    assert kept(ws) == before


def test_weights_that_change_while_they_are_copied_are_refused(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = outside(tmp_path)
    real = shutil.copyfile

    def changed(source: Path, target: Path) -> None:
        real(source, target)
        if target.name == WEIGHTS:
            target.write_bytes(bytes(target.stat().st_size))

    monkeypatch.setattr(shutil, "copyfile", changed)
    before = kept(ws)
    with pytest.raises(LamproomError, match="changed while it was copied"):
        onnx.add(ws, path)
    assert kept(ws) == before


def test_a_pair_keeps_the_weights_beside_its_halves(ws: Workspace, tmp_path: Path) -> None:
    encoder, decoder = toy_pairs.write(tmp_path)
    (tmp_path / "out").mkdir()
    parts = []
    for half, name in ((encoder, "e"), (decoder, "d")):
        model = onnx_format.load(str(half))
        parts.append(outside(tmp_path / "out", model, location=f"{name}.data", file=half.name, least=512))
    row = onnx.add_pair(ws, *parts, name="sam")
    shutil.rmtree(tmp_path / "out")
    promptable.open_pair(row.encoder, row.decoder, row.card)
    assert row.present
    assert row.encoder.parent.name == row.card.encoder_sha256


def test_what_a_killed_process_left_is_removed_a_day_later(ws: Workspace, tmp_path: Path) -> None:
    left, fresh = (ws.folder / "models" / f".{i}.part" for i in range(2))
    for folder in (left, fresh):
        folder.mkdir()
        (folder / "half.bin").write_bytes(b"x")
    os.utime(left, (1, 1))
    onnx.add(ws, outside(tmp_path))
    assert (left.exists(), fresh.exists()) == (False, True)


def test_a_reader_keeps_the_weights_beside_its_files_and_travels_as_a_folder_of_models(
    ws: Workspace, tmp_path: Path
) -> None:
    files = [
        outside(
            tmp_path / "from",
            onnx_format.load(str(made)),
            location=f"{made.stem}.data",
            file=made.name,
            least=least,
        )
        for made, least in (
            (test_reader.finder(tmp_path / "f.onnx"), 1),
            (test_reader.recogniser(tmp_path / "r.onnx"), 16),
        )
    ]
    row = onnx.add_reader(ws, *files, name="reader")
    shutil.rmtree(tmp_path / "from")
    assert onnx.show(ws, "reader").present
    page = np.zeros((200, 400, 3), np.uint8)
    page[40:90, 60:300] = 255
    data = cv2.imencode(".png", page)[1].tobytes()
    here = sample.of_model(row.path, row.card, data, decode=media.decode)
    assert here.objects
    for name, source in (pieces := onnx.pieces(row)).items():
        target = tmp_path / "there" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    assert len(pieces) == 4
    there = tmp_path / "there" / next(iter(pieces))
    assert sample.of_model(there, row.card, data, decode=media.decode) == here


# --- batches -----------------------------------------------------------------------------------------------------


def test_a_free_batch_is_proved_once_noted_and_never_replaces_the_model(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = onnx.add_demo(ws)
    before = row.path.read_bytes()
    found = batching.freed(ws, row)
    assert found.path is not None
    assert found.card is not None
    assert found.path.name == f"{row.sha256}.{found.card.sha256}.onnx"
    assert (found.card.batch, row.path.read_bytes()) == (0, before)
    assert [r.name for r in onnx.listing(ws)] == [row.name]
    monkeypatch.setattr(rebatch, "free", lambda *a, **k: pytest.fail("proved again"))
    assert batching.freed(ws, row.name) == found
    session.open_session(found.path, found.card)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_on_a_processor_a_job_starts_without_proving_a_batch(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    row = onnx.add_demo(ws)
    monkeypatch.setattr(rebatch, "free", lambda *a, **k: pytest.fail("proved at a job's start"))
    assert batching.fitting(ws, row, provider) == row


def test_a_damaged_note_or_a_lost_file_is_made_anew(ws: Workspace) -> None:
    row = onnx.add_demo(ws)
    found = batching.freed(ws, row)
    assert found.path is not None
    row.path.with_suffix(".batch.json").write_bytes(b"{")
    assert batching.freed(ws, row) == found
    found.path.unlink()
    assert batching.freed(ws, row) == found
    assert found.path.is_file()


def test_why_a_batch_is_not_free_is_noted_too(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = onnx.add(
        ws, saved(tmp_path / "m.onnx", toy_model(columns(), metadata={"names": "['a', 'b']"})), name="m"
    )
    found = batching.freed(ws, row)
    assert (found.path, found.why) == (None, "its output 'out' does not grow with the batch")
    monkeypatch.setattr(rebatch, "free", lambda *a, **k: pytest.fail("tried again"))
    assert batching.freed(ws, row) == found


def test_a_model_with_weights_beside_it_gets_its_free_batch_in_the_same_folder(
    ws: Workspace, tmp_path: Path
) -> None:
    path = outside(tmp_path, onnx_format.load(str(demo.path())), least=512)
    row = onnx.add(ws, path, name="m")
    found = batching.freed(ws, row)
    assert found.path is not None
    assert found.path.parent == row.path.parent
    assert found.card is not None
    session.open_session(found.path, found.card)
