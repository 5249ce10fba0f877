"""Cleaning: what is like what, what leaves and what stays, one step that undo takes back whole, resumption after kill -9."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray

from annotation.core import Annotation, Box
from annotation.errors import Conflict, InvalidInput, NotFound
from app import cli
from app.events import Finished, Progress
from app.services import browse, cleaning, ingest, jobs, labelling, listing, measuring
from app.services.cleaning import Pass, Wanted
from app.services.workspace import Workspace
from storage import likeness, measures
from storage.queries import Query
from tests.app.conftest import draw, enrol

both = pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
Picture = NDArray[np.uint8]


def run(work: Any) -> Finished:
    (end,) = [e for e in work if isinstance(e, Finished)]
    return end


def scene(seed: int, wh: tuple[int, int] = (320, 240)) -> Picture:
    """A drawn scene: soft light and some shapes, no two alike."""
    rng = np.random.default_rng(seed)
    small = rng.integers(20, 230, (6, 8, 3), dtype=np.uint8)
    picture: Any = cv2.resize(small, wh, interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        x, y = (int(v) for v in rng.integers(0, 200, 2))
        colour = tuple(int(v) for v in rng.integers(0, 255, 3))
        cv2.rectangle(
            picture, (x, y), (x + int(rng.integers(10, 90)), y + int(rng.integers(10, 60))), colour, -1
        )
    out: Picture = np.clip(picture.astype(int) + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
    return out


def half(p: Picture) -> Picture:
    out: Any = cv2.resize(p, (p.shape[1] // 2, p.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return out


def coarse(p: Picture) -> Picture:
    out: Any = cv2.imdecode(cv2.imencode(".jpg", p, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    return out


def lit(p: Picture) -> Picture:
    return np.clip(p.astype(int) + 40, 0, 255).astype(np.uint8)


ALTERED: dict[str, Callable[[Picture], Picture]] = {"half": half, "jpeg 30": coarse, "+40": lit}


def put(folder: Path, pictures: dict[str, Picture]) -> list[Path]:
    out = []
    for name, picture in pictures.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
        out.append(path)
    return out


def fill(ws: Workspace, folder: Path, pictures: dict[str, Picture], dataset: str = "d") -> int:
    put(folder, pictures)
    run(ingest.run(ws, [folder], dataset=dataset))
    return browse.dataset(ws, dataset).id


def paths(ws: Workspace, data: int, where: str = "", sort: str = "") -> list[str]:
    view = listing.View(Query(data, where=where), sort=listing.Sort(sort))
    ids = [i for part in listing.ids(ws, view) for i in part.ids]
    found = [r.path for r in listing.pictures(ws, data, ids)]
    return found if sort else sorted(found)


def twins(n: int) -> dict[str, Picture]:
    """`n` scenes, each with three altered copies."""
    out = {}
    for i in range(n):
        p = scene(i)
        out[f"{i:03d}.jpg"] = p
        out |= {f"{i:03d} {name}.jpg": alter(p) for name, alter in ALTERED.items()}
    return out


# --- measures -----------------------------------------------------------------------------------------------------


def test_sharpness_falls_with_blur_and_not_with_darkness() -> None:
    p = scene(1)
    clear = measures.measure(p).sharpness
    assert measures.measure(cv2.GaussianBlur(p, (0, 0), 3)).sharpness < clear / 4
    assert abs(measures.measure((p * 0.3).astype(np.uint8)).sharpness - clear) < clear / 10


def test_haze_is_told_by_a_veil_and_glare_by_what_is_blown_out() -> None:
    p = scene(2)
    clear = measures.measure(p)
    veiled = measures.measure((p * 0.4 + 120).astype(np.uint8))
    assert veiled.haze > 300 > 200 > clear.haze and clear.glare == veiled.glare == 0
    blown = p.copy()
    blown[:, :160] = 255
    assert 450 < measures.measure(blown).glare < 550
    assert measures.measure((p * 0.2).astype(np.uint8)).haze < 200


def test_pictures_without_anything_in_them_are_near_only_as_bright_ones() -> None:
    def dull(level: int, seed: int) -> measures.Measured:
        noise = np.random.default_rng(seed).normal(0, 1.5, (90, 120, 3))
        return measures.measure(np.clip(level + noise, 0, 255).astype(np.uint8))

    def apart(a: measures.Measured, b: measures.Measured) -> int:
        return ((a.phash ^ b.phash) & (2**64 - 1)).bit_count()

    assert apart(dull(6, 1), dull(6, 2)) <= 2
    assert apart(dull(6, 1), dull(240, 2)) > 40


def test_a_picture_measured_before_there_was_a_perceptual_hash_is_measured_again(
    ws: Workspace, tmp_path: Path
) -> None:
    data, assets = enrol(ws, tmp_path / "p", draw(tmp_path / "p", 2), dataset="d")
    with ws.db.write() as conn:
        conn.execute(
            sa.text("INSERT INTO measure (asset_id, brightness, contrast, sharpness, dhash, descriptor) VALUES (:a, 1, 2, 3, 4, :d)"),
            {"a": assets[0], "d": bytes(64)},
        )  # fmt: skip
    assert measuring.waiting(ws, data) == 2
    assert run(measuring.run(ws, "d")).result["measured"] == 2
    assert measuring.waiting(ws, data) == 0
    assert paths(ws, data, "bright<0.01") == []


# --- groups --------------------------------------------------------------------------------------------------------


@both
def test_altered_copies_are_found_and_the_best_of_each_is_kept(ws: Workspace, tmp_path: Path) -> None:
    data = fill(ws, tmp_path / "src", twins(8))
    found = run(cleaning.find(ws, "d"))
    assert found.result["near"] == {"groups": 8, "surplus": 24}
    surplus = paths(ws, data, "duplicate:near")
    assert len(surplus) == 24 and all(f"{i:03d} half.jpg" in surplus for i in range(8))
    assert paths(ws, data, "grouped:yes") == paths(ws, data)
    assert len({p[:3] for p in paths(ws, data, "-duplicate:yes")}) == 8
    in_groups = paths(ws, data, sort="group")
    assert [p[:3] for p in in_groups[::4]] == [p[:3] for p in in_groups[3::4]]
    again = run(cleaning.find(ws, "d"))
    assert again.result["near"] == found.result["near"]


def test_the_one_to_keep_is_changed_by_a_person_and_only_it_stays(ws: Workspace, tmp_path: Path) -> None:
    data = fill(ws, tmp_path / "src", twins(1))
    run(cleaning.find(ws, "d"))
    (small,) = browse.page(ws, Query(data, where='path:"half"'))
    assert cleaning.keep(ws, data, small.asset_id) == 1
    assert cleaning.keep(ws, data, small.asset_id) == 0
    assert paths(ws, data, "-duplicate:near") == ["000 half.jpg"]
    member = cleaning.membership(ws, data, [small.asset_id])[small.asset_id]
    assert [(m.kind, m.kept, m.n) for m in member] == [("near", True, 4)]
    run(cleaning.exclude(ws, "d", [Pass("near", "duplicate:near")]))
    assert paths(ws, data) == ["000 half.jpg"]


def test_a_picture_in_no_group_cannot_be_chosen_of_one(ws: Workspace, tmp_path: Path) -> None:
    data, assets = enrol(ws, tmp_path / "p", draw(tmp_path / "p", 1))
    with pytest.raises(NotFound, match="in no group"):
        cleaning.keep(ws, data, assets[0])


def test_a_group_never_leaves_whole_whatever_left_before(ws: Workspace, tmp_path: Path) -> None:
    data = fill(ws, tmp_path / "src", twins(3))
    run(cleaning.find(ws, "d"))
    best = paths(ws, data, "-duplicate:near")
    run(cleaning.exclude(ws, "d", [Pass("a", f'path:"{p}"') for p in best]))
    assert len(paths(ws, data, "-duplicate:near")) == 3
    run(cleaning.exclude(ws, "d", [Pass("near", "duplicate:near")]))
    assert sorted(p[:3] for p in paths(ws, data)) == ["000", "001", "002"]


def test_pictures_of_a_dataset_compared_against_are_kept_there(ws: Workspace, tmp_path: Path) -> None:
    gold = fill(ws, tmp_path / "gold", {"a.jpg": half(scene(1)), "b.jpg": scene(2)}, "gold")
    data = fill(ws, tmp_path / "src", {"1.jpg": scene(1), "2.jpg": lit(scene(2)), "3.jpg": scene(3)})
    put(tmp_path / "gold", {"c.jpg": scene(4)})
    run(ingest.run(ws, [tmp_path / "gold"], dataset="gold"))
    run(ingest.run(ws, [tmp_path / "gold" / "c.jpg"], dataset="d"))
    run(cleaning.find(ws, "d", Wanted(against=("gold",))))
    what = cleaning.passes({}, ("exact", "near"), also=("gold",))
    assert {c.name: c.pictures for c in cleaning.count(ws, "d", what)} == {"also": 1, "exact": 0, "near": 2}
    assert run(cleaning.exclude(ws, "d", what)).result["by"] == {"also": 1, "near": 2}
    assert paths(ws, data) == ["3.jpg"] and len(paths(ws, gold)) == 3


def test_vectors_group_what_a_model_takes_for_the_same_and_ask_about_the_doubtful(
    ws: Workspace, tmp_path: Path
) -> None:
    data, assets = enrol(ws, tmp_path / "p", draw(tmp_path / "p", 5), dataset="d")
    angles = [0.0, 0.4, 0.62, 1.5, 1.6]  # cosines to the first: 1, .92, .81, .07, -.03
    with pytest.raises(NotFound, match="no vectors"):
        run(cleaning.find(ws, "d", Wanted(("alike",))))
    with ws.db.write() as conn:
        conn.execute(
            sa.text("INSERT INTO embedding (model_digest, asset_id, vector) VALUES (:m, :a, :v)"),
            [{"m": bytes(32), "a": a, "v": np.array([np.cos(x), np.sin(x)], "<f2").tobytes()} for a, x in zip(assets, angles, strict=True)],
        )  # fmt: skip
        conn.execute(sa.text("UPDATE asset SET width_px = 900 WHERE id = :a"), {"a": assets[0]})
    found = run(cleaning.find(ws, "d", Wanted(("alike",)))).result
    assert found["alike"] == {"groups": 2, "surplus": 2} and found["maybe"] == {"groups": 1, "surplus": 1}
    assert paths(ws, data, "duplicate:alike")[0] == "0001.jpg" and paths(ws, data, "duplicate:maybe") == [
        "0002.jpg"
    ]
    assert "0002.jpg" not in paths(ws, data, "duplicate:yes")


def signs(n: int, **kw: Any) -> likeness.Signs:
    zero = np.zeros(n, np.int64)
    values: dict[str, Any] = {
        "ids": np.arange(1, n + 1), "held": np.zeros(n, bool), "codes": np.zeros((n, 2), np.uint64), "taken": zero - 1,
        "descriptors": np.zeros((n, 64), np.uint8), "paths": [f"r/cam/img{i}.jpg" for i in range(1, n + 1)],
    }  # fmt: skip
    values |= dict.fromkeys(("pixels", "bytes", "light", "contrast", "sharp"), zero) | kw
    return likeness.Signs(**values)


def test_frames_go_in_the_order_people_give_them_and_folders_are_apart() -> None:
    have = signs(12, paths=[f"r/{'ab'[i % 2]}/img{i}.jpg" for i in (10, 2, 1, 3, 20, 4, 5, 6, 7, 8, 9, 11)])
    taker = likeness.thinned(have, every=3)
    kept = sorted(have.paths[i] for i in range(12) if taker[i] == i)
    assert kept == ["r/a/img2.jpg", "r/a/img8.jpg", "r/b/img1.jpg", "r/b/img7.jpg"]


def test_sequences_are_thinned_by_time_and_those_without_a_time_stay() -> None:
    have = signs(7, taken=np.array([0, 400, 900, 1000, 1900, 2100, -1]))
    assert likeness.thinned(have, apart_s=1).tolist() == [0, 0, 0, 3, 3, 5, 6]


def test_sequences_are_thinned_until_the_scene_changes() -> None:
    codes = np.array([0, 1, 3, 0xFF, 0xFF, 0xFFFF], np.uint64)
    have = signs(6, codes=np.stack([codes, codes], axis=1))
    assert likeness.thinned(have, scene=8).tolist() == [0, 0, 0, 3, 3, 5]


def test_a_camera_stands_still_only_as_long_as_all_is_like_the_first_frame() -> None:
    drift = np.array([500, 502, 504, 506, 508, 510, 512, 700, 700, 700, 700, 700, 900])
    taker = likeness.frozen(signs(13, light=drift), 5)
    assert taker[7:12].tolist() == [7] * 5 and (taker[:7] == np.arange(7)).all() and taker[12] == 12
    assert (likeness.frozen(signs(4), 5) == np.arange(4)).all()
    assert likeness.frozen(signs(5), 5).tolist() == [0] * 5


def test_a_stuck_camera_is_found_in_real_files(ws: Workspace, tmp_path: Path) -> None:
    still = scene(5)
    shots = {f"cam/{i}.jpg": scene(100 + i) for i in range(3)}
    for i in range(3, 11):  # the same picture with a grain that no eye sees
        shots[f"cam/{i}.jpg"] = np.clip(
            still.astype(int) + np.random.default_rng(i).integers(0, 2, still.shape), 0, 255
        ).astype(np.uint8)
    data = fill(ws, tmp_path / "src", shots)
    assert run(cleaning.find(ws, "d", Wanted(("frozen",)))).result["frozen"] == {"groups": 1, "surplus": 7}
    assert "cam/3.jpg" not in paths(ws, data, "duplicate:frozen")


def test_rules_that_contradict_each_other_are_refused(ws: Workspace, tmp_path: Path) -> None:
    enrol(ws, tmp_path / "p", draw(tmp_path / "p", 1), dataset="d")
    with pytest.raises(InvalidInput, match="one rule"):
        run(cleaning.find(ws, "d", Wanted((), every=2, scene=4)))
    with pytest.raises(InvalidInput, match="0 to 12"):
        run(cleaning.find(ws, "d", Wanted(near=30)))


# --- taking out ----------------------------------------------------------------------------------------------------


@both
def test_what_leaves_is_one_step_that_undo_brings_back_whole(ws: Workspace, tmp_path: Path) -> None:
    data = fill(ws, tmp_path / "src", twins(5))
    before = paths(ws, data)
    files = sorted(p.name for p in (tmp_path / "src").iterdir())
    run(cleaning.find(ws, "d"))
    done = run(cleaning.exclude(ws, "d", cleaning.passes({"dark": 0.01}, ("near",))))
    assert done.result["removed"] == 15 and done.result["by"] == {"near": 15}
    assert len(paths(ws, data)) == 5 == browse.dataset(ws, "d").n_assets
    assert sorted(p.name for p in (tmp_path / "src").iterdir()) == files
    (top, *_) = labelling.steps(ws)
    assert (top.step, top.verb, top.stands) == (done.result["step"], "clean", True)
    labelling.undo_step(ws, top.step)
    assert paths(ws, data) == before and browse.dataset(ws, "d").n_assets == 20
    assert len(paths(ws, data, "duplicate:near")) == 15


def test_what_a_person_worked_on_stays_and_is_counted_unless_asked_for(ws: Workspace, tmp_path: Path) -> None:
    data = fill(ws, tmp_path / "src", {f"{i}.jpg": (scene(i) * 0.02).astype(np.uint8) for i in range(4)})
    (first, *_) = browse.page(ws, Query(data))
    labelling.save(
        ws, labelling.load(ws, first.asset_id), (Annotation("person", Box(1, 1, 9, 9)),), verb="draw"
    )
    run(measuring.run(ws, "d"))
    what = cleaning.passes({"dark": 0.05})
    (said,) = cleaning.count(ws, "d", what)
    assert (said.pictures, said.held) == (4, 1)
    done = run(cleaning.exclude(ws, "d", what)).result
    assert (done["removed"], done["kept_labelled"]) == (3, 1)
    assert paths(ws, data) == [first.path]
    nothing = run(cleaning.exclude(ws, "d", what)).result
    assert (nothing["removed"], nothing["kept_labelled"], nothing["step"]) == (0, 1, None)
    assert run(cleaning.exclude(ws, "d", what, held=True)).result["removed"] == 1
    labelling.undo_step(ws, labelling.steps(ws)[0].step)
    assert len(labelling.load(ws, first.asset_id).annotations) == 1 and paths(ws, data) == [first.path]


def test_a_labelled_copy_is_the_one_that_is_kept(ws: Workspace, tmp_path: Path) -> None:
    data = fill(ws, tmp_path / "src", twins(1))
    (small,) = browse.page(ws, Query(data, where='path:"half"'))
    labelling.save(
        ws, labelling.load(ws, small.asset_id), (Annotation("person", Box(1, 1, 9, 9)),), verb="draw"
    )
    run(cleaning.find(ws, "d"))
    run(cleaning.exclude(ws, "d", [Pass("near", "duplicate:near")]))
    assert paths(ws, data) == ["000 half.jpg"]


def test_what_was_cleaned_out_stays_out_when_its_folder_is_read_again(ws: Workspace, tmp_path: Path) -> None:
    data = fill(ws, tmp_path / "src", twins(2))
    run(cleaning.find(ws, "d"))
    step = run(cleaning.exclude(ws, "d", [Pass("near", "duplicate:near")])).result["step"]
    left = paths(ws, data)
    put(tmp_path / "src", {"new.jpg": scene(50)})
    run(ingest.run(ws, [tmp_path / "src"], dataset="d"))
    assert paths(ws, data) == [*left, "new.jpg"]
    run(ingest.run(ws, [tmp_path / "src"], dataset="other"))
    assert len(paths(ws, browse.dataset(ws, "other").id)) == 9
    labelling.undo_step(ws, int(str(step)))
    run(ingest.run(ws, [tmp_path / "src"], dataset="d"))
    assert len(paths(ws, data)) == 9


def test_corrupt_pictures_are_remembered_and_leave_while_files_out_of_reach_stay(
    ws: Workspace, tmp_path: Path
) -> None:
    made = put(tmp_path / "src", {f"{i}.jpg": scene(i) for i in range(3)})
    data = fill(ws, tmp_path / "src", {})
    content = bytearray(made[0].read_bytes())
    content[len(content) // 2 :] = b"\xff\xd9"  # its end, much too early
    made[0].write_bytes(content)
    made[1].unlink()
    found = run(cleaning.find(ws, "d"))
    assert found.problems == 2
    assert paths(ws, data, "has:problem") == ["0.jpg"]
    run(cleaning.exclude(ws, "d", cleaning.passes({}, corrupt=True)))
    assert paths(ws, data) == ["1.jpg", "2.jpg"]


def test_nothing_leaves_while_a_search_is_not_at_its_end(ws: Workspace, tmp_path: Path) -> None:
    fill(ws, tmp_path / "src", twins(2))
    run(measuring.run(ws, "d"))
    work = cleaning.find(ws, "d")
    while not isinstance(next(work), Progress):
        pass
    with pytest.raises(Conflict, match="not at its end"):
        run(cleaning.exclude(ws, "d", [Pass("near", "duplicate:near")]))
    work.close()
    assert [j.state for j in jobs.listing(ws) if j.kind == "likeness"] == ["cancelled"]
    run(cleaning.exclude(ws, "d", [Pass("near", "duplicate:near")]))


@pytest.mark.parametrize(
    ("before", "after", "free"), [(("near",), ("exact", "near"), True), (("near",), ("exact",), False)]
)
def test_a_search_that_was_killed_is_replaced_by_one_that_finds_its_groups_anew(
    ws: Workspace, tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...], free: bool
) -> None:
    fill(ws, tmp_path / "src", twins(2))
    run(cleaning.find(ws, "d", Wanted(before)))
    with ws.db.write() as conn:  # as a process leaves it that was killed in its midst
        conn.exec_driver_sql("UPDATE job SET ended_ms = NULL, outcome = NULL WHERE kind = 'likeness'")
        conn.exec_driver_sql("UPDATE shard SET state = 0, until_ms = 0, position = first - 1")
    run(cleaning.find(ws, "d", Wanted(after)))
    with pytest.raises(Conflict, match="not at its end") if not free else nullcontext():
        run(cleaning.exclude(ws, "d", [Pass("near", "duplicate:near")]))
    states = [j.state for j in jobs.listing(ws) if j.kind == "likeness"]
    assert states == ["finished", "cancelled" if free else "waiting"]


def test_histograms_count_every_measured_picture_once_and_agree_with_the_query(
    ws: Workspace, tmp_path: Path
) -> None:
    data = fill(ws, tmp_path / "src", {f"{'ab'[i % 2]}{i}.jpg": scene(i) for i in range(6)})
    assert [v.known for v in list(cleaning.histograms(ws, data))[-1].values()] == [0] * 4
    run(measuring.run(ws, "d"))
    last = list(cleaning.histograms(ws, data))[-1]
    assert {(sum(v.n), v.known, v.whole) for v in last.values()} == {(6, 6, 6)}
    assert last["glare"].bars(50)[0] == 6 == sum(last["blurred"].bars(50))
    assert list(cleaning.histograms(ws, data, "path:b"))[-1]["dark"].whole == 3
    with ws.db.read() as conn:
        exact = conn.execute(sa.text("SELECT brightness FROM measure")).scalars().all()
    for value in (0.0, 0.5, 1.0, *(x / 1000 for x in exact)):
        for sign in "<>":
            n = len(paths(ws, data, f"bright{sign}{value:g}"))
            assert last["dark"].beyond(value, below=sign == "<") == n, (sign, value)


CHILD = """
import sys
from app.events import Progress
from app.services import cleaning, jobs, workspace
cleaning.BATCH_ROWS, cleaning.PAUSE_S, cleaning.listing.STRETCH = 3, 0.02, 10
ws = workspace.open(sys.argv[1])
open_ = [j.id for j in jobs.listing(ws) if j.kind == "clean"]
for event in jobs.resume(ws, open_[0]) if open_ else cleaning.exclude(ws, "d", cleaning.passes({"dark": 0.02}, ("near", "sequence"))):
    if isinstance(event, Progress):
        print(event.done, flush=True)
"""


def test_kill_9_at_random_moments_leaves_the_same_pictures_as_an_undisturbed_run(
    ws: Workspace, tmp_path: Path, whole: bool
) -> None:
    data = fill(ws, tmp_path / "src", twins(8))
    before = paths(ws, data)
    run(cleaning.find(ws, "d", Wanted(("near",), every=3)))
    what = cleaning.passes({"dark": 0.02}, ("near", "sequence"))
    calm = run(cleaning.exclude(ws, "d", what)).result
    undisturbed = paths(ws, data)
    labelling.undo_step(ws, int(str(calm["step"])))
    with ws.db.write() as conn:  # the child begins one of its own
        conn.exec_driver_sql("UPDATE job SET kind = 'done' WHERE kind = 'clean'")
    rng = random.Random(4)
    for n in range(3 if whole else 1):
        command = [sys.executable, "-c", CHILD, str(ws.folder)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        target = n * 7 + rng.randint(1, 6)
        assert any(int(line) >= target for line in child.stdout)
        child.kill()
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
    (job,) = [j for j in jobs.listing(ws) if j.kind == "clean"]
    assert job.state == "waiting" and job.step is not None
    done = run(jobs.resume(ws, job.id)).result
    assert (done["removed"], paths(ws, data)) == (calm["removed"], undisturbed)
    labelling.undo_step(ws, job.step)
    assert paths(ws, data) == before


# --- the command line -----------------------------------------------------------------------------------------------


def line(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """A command's result under --json."""
    code = cli.main([*words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == found["exit"]
    return found


def test_the_line_looks_counts_takes_out_and_is_undone(
    ws: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = fill(ws, tmp_path / "src", {**twins(3), "night.jpg": (scene(9) * 0.02).astype(np.uint8)})
    at = ("-w", ws.location)
    told = line(capsys, *at, "clean", "d")
    counts = {f["reason"]: f["pictures"] for f in told["found"]}
    assert (told["removed"], counts["near"], counts["dark"], counts["corrupt"]) == (0, 9, 1, 0)
    dry = line(capsys, *at, "clean", "d", "--near", "6", "--where", "path:000", "--dry-run")
    assert [f["pictures"] for f in dry["found"]] == [0, 3] and len(paths(ws, data)) == 13
    done = line(capsys, *at, "clean", "d", "--duplicates", "--dark", "0.04")
    assert (done["removed"], done["by"]) == (10, {"dark": 1, "near": 9})
    assert line(capsys, *at, "undo")["undone"] == done["step"] and len(paths(ws, data)) == 13
    thin = line(capsys, *at, "clean", "d", "--every", "4", "--where", "path:00")
    assert thin["removed"] == 9
    refused = line(capsys, *at, "clean", "d", "--every", "4", "--scene", "3")
    assert refused["exit"] == 1 and "one rule" in refused["error"]["what"]


# --- real pictures ---------------------------------------------------------------------------------------------------


def test_altered_copies_of_real_pictures_are_found_and_unlike_ones_are_not(shared: Path) -> None:
    """JPEG 30, half the size, +40 of light; every pair of different photographs is told apart."""
    photographs = [cv2.imread(str(p)) for p in sorted((shared / "data/people-headwear-yolo").rglob("*.jpg"))]
    real = [measures.measure(p) for p in photographs if p is not None]
    assert len(real) > 60

    def same(a: measures.Measured, b: measures.Measured) -> bool:
        bits = [((x ^ y) & (2**64 - 1)).bit_count() for x, y in ((a.phash, b.phash), (a.dhash, b.dhash))]
        return bits[0] <= likeness.RADIUS and bits[1] <= likeness.SECOND * likeness.RADIUS

    for name, alter in ALTERED.items():
        found = [same(a, measures.measure(alter(p))) for a, p in zip(real, photographs, strict=True)]
        assert all(found), (name, sum(found), len(found))
    assert not any(same(a, b) for i, a in enumerate(real) for b in real[:i])
