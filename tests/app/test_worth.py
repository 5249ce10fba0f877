"""The queue of what is worth labelling first: its parts on real predictions, its reasons, what leaves it, resumption."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx as onnx_format
import pytest
import sqlalchemy as sa

from annotation import scenes
from annotation.core import Annotation, Box
from annotation.errors import Conflict, InvalidInput, NotFound
from app import cli, i18n
from app.events import Finished, Progress
from app.services import browse, ingest, jobs, labelling, listing, measuring, onnx, prelabel, review, worth
from app.services.workspace import Workspace
from app.services.worth import Ask, Weights
from storage.queries import Query, Sort
from tests.app.conftest import draw, enrol
from tests.models.toys import columns, toy_model

both = pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
PERSON = (16, 32, 16, 16, 0.9, 0.0)
HELMET = (48, 34, 16, 16, 0.0, 0.55)
FIRST = columns(PERSON, HELMET)
SECOND = columns((16, 32, 16, 16, 0.5, 0.0), (44, 14, 12, 8, 0.0, 0.8))  # less sure; another helmet


def run(work: Any) -> dict[str, Any]:
    (end,) = [e for e in work if isinstance(e, Finished)]
    return dict(end.result)


def model(ws: Workspace, folder: Path, name: str, table: Any) -> str:
    path = folder / f"{name}.onnx"
    onnx_format.save(toy_model(table, metadata={"names": "{0: 'person', 1: 'helmet'}"}), str(path))
    return onnx.add(ws, path, name=name).name


@pytest.fixture
def assets(ws: Workspace, tmp_path: Path) -> list[int]:
    """Six pictures of dataset d."""
    return enrol(ws, tmp_path, draw(tmp_path / "p", 6, wh=(160, 80)), dataset="d")[1]


def data_of(ws: Workspace) -> int:
    return browse.dataset(ws, "d").id


def queue(ws: Workspace) -> list[int]:
    return [row.asset_id for row in worth.queue(ws, data_of(ws), 1000)]


def reason(ws: Workspace, asset: int) -> dict[str, Any]:
    return dict(worth.rows(ws, data_of(ws), [asset])[asset].reason)


def label(ws: Workspace, asset: int, *names: str) -> None:
    """Finish a picture by hand: what was predicted goes, these are drawn."""
    drawn = tuple(Annotation(n, Box(1 + i, 1, 30, 30)) for i, n in enumerate(names or ("person",)))
    labelling.save(ws, labelling.load(ws, asset), drawn, verb="draw")


@both
def test_two_models_give_every_part_its_due_and_the_reasons_say_so(
    ws: Workspace, tmp_path: Path, assets: list[int]
) -> None:
    one, two = model(ws, tmp_path, "one", FIRST), model(ws, tmp_path, "two", SECOND)
    for asset in assets[:2]:
        label(ws, asset, *(["person"] * 9))
    run(prelabel.run(ws, "d", one))
    run(prelabel.run(ws, "d", two, where="-has:truth"))
    for asset in assets[:2]:
        page = labelling.load(ws, asset)
        labelling.reject(ws, page, [a.uid for a in page.annotations if a.origin == "model"])
    done = run(worth.run(ws, Ask("d", one, two)))
    assert (done["pictures"], done["models"], done["not_seen_by_both"]) == (4, ["one", "two"], 0)
    assert sorted(queue(ws)) == assets[2:]
    why = reason(ws, assets[2])
    assert (
        why["p"][0] == 910
    )  # the helmet at 0.55: 1 - 0.05 / 0.5; the person's 0.2 closes a tenth of what is left
    assert why["p"][1] == 870  # the helmet of `two` 0.8, of `one` 0.55 by half, the person's 0.4 by a quarter
    assert (
        why["p"][2] == 495
    )  # no helmet among 18 persons: 1 - 2 * 1 / 20, times 0.55; the person is not rare
    assert (why["u"], why["d"], why["r"]) == ([["helmet", 550]], [1, 1, 0], ["helmet", 0, 18])
    said = worth.words(why, Weights(), str.upper)
    assert said[:2] == ["HELMET 0.55: unsure", "the two models disagree on 2 objects"]
    assert "HELMET is rare: 0 of 18" in said
    assert worth.words(why, Weights(0, 1, 0, 0), str) == ["the two models disagree on 2 objects"]


def test_what_was_labelled_or_handed_in_leaves_the_queue_at_once(
    ws: Workspace, tmp_path: Path, assets: list[int]
) -> None:
    run(prelabel.run(ws, "d", model(ws, tmp_path, "one", FIRST)))
    run(worth.run(ws, Ask("d")))
    data = data_of(ws)
    assert worth.count(ws, data) == 6
    first, second, *rest = queue(ws)
    label(ws, first)
    review.judge(ws, data, [second], "submitted")
    assert queue(ws) == rest and worth.count(ws, data) == 4
    assert first not in worth.rows(ws, data, [first, second])
    view = listing.View(Query(data), sort=Sort("worth", True))
    ordered = [i for part in listing.ids(ws, view) for i in part.ids]
    assert ordered == [*rest, *sorted((first, second))]  # without a place in the queue, at the end
    labelling.undo_step(ws, labelling.steps(ws)[1].step)
    assert len(queue(ws)) == 5


def test_a_model_that_did_not_look_at_a_picture_does_not_disagree_there(
    ws: Workspace, tmp_path: Path, assets: list[int]
) -> None:
    one, two = model(ws, tmp_path, "one", FIRST), model(ws, tmp_path, "two", SECOND)
    run(prelabel.run(ws, "d", one))
    run(prelabel.run(ws, "d", two, where='path:"0000"'))
    done = run(worth.run(ws, Ask("d", one, two)))
    assert done["not_seen_by_both"] == 5
    assert reason(ws, assets[0])["p"][1] > 0
    assert {reason(ws, a)["p"][1] for a in assets[1:]} == {0}


def test_thresholds_of_classes_and_a_query_are_heard(
    ws: Workspace, tmp_path: Path, assets: list[int]
) -> None:
    one = model(ws, tmp_path, "one", FIRST)
    run(prelabel.run(ws, "d", one))
    run(worth.run(ws, Ask("d", one, thresholds={"helmet": 0.1}, where='path:"0003" or path:"0004"')))
    assert queue(ws) == [assets[3], assets[4]]
    assert reason(ws, assets[3])["p"][0] == 550  # helmet 1 - 0.45 / 0.9 = 0.5, then the person's 0.2 by half


def test_other_weights_order_the_same_findings_anew(ws: Workspace, tmp_path: Path, assets: list[int]) -> None:
    run(prelabel.run(ws, "d", model(ws, tmp_path, "one", FIRST)))
    run(worth.run(ws, Ask("d", weights=Weights(1, 0, 0, 0))))
    before = {a: reason(ws, a)["p"] for a in assets}
    assert queue(ws) == assets  # all are equally unsure: the order of ids
    run(worth.again(ws, "d", Weights(0, 0, 0, 1)))
    assert {a: reason(ws, a)["p"] for a in assets} == before
    by_look = sorted(assets, key=lambda a: (-before[a][3], a))
    assert queue(ws) == by_look
    latest = worth.latest(ws, data_of(ws))
    assert latest is not None and (latest.models, latest.weights) == (("one",), Weights(0, 0, 0, 1))


def test_the_first_ten_of_tried_weights_are_those_the_job_would_put_first(
    ws: Workspace, tmp_path: Path, assets: list[int]
) -> None:
    run(prelabel.run(ws, "d", model(ws, tmp_path, "one", FIRST)))
    run(worth.run(ws, Ask("d")))
    *_, parts = worth.parts(ws, data_of(ws))
    assert isinstance(parts, worth.Parts)
    for by in (Weights(), Weights(1, 0, 0, 0), Weights(0, 0, 0, 3)):
        run(worth.again(ws, "d", by))
        rows = worth.queue(ws, data_of(ws), 4)
        assert parts.first(by, 4) == [(r.asset_id, r.value) for r in rows]


def test_without_predictions_what_pictures_look_like_is_told_alone(ws: Workspace, assets: list[int]) -> None:
    done = run(worth.run(ws, Ask("d")))
    assert (done["models"], done["weights"]) == (
        [],
        {"uncertainty": 0, "disagreement": 0, "rarity": 0, "diversity": 1},
    )
    assert reason(ws, queue(ws)[0])["p"][3] == 1000


def test_vectors_of_an_embedding_model_are_taken_before_the_measures(
    ws: Workspace, assets: list[int]
) -> None:
    with ws.db.write() as conn:
        for i, asset in enumerate(assets):
            v = np.zeros(8, "<f2")
            v[0 if i < 5 else 3] = 1
            conn.execute(
                sa.text("INSERT INTO embedding (model_digest, asset_id, vector) VALUES (:m, :a, :v)"),
                {"m": b"e" * 32, "a": asset, "v": v.tobytes()},
            )
    label(ws, assets[0])
    done = run(worth.run(ws, Ask("d")))
    assert done["not_measured"] == 0
    assert {a: reason(ws, a)["p"][3] for a in assets[1:]} == {
        **dict.fromkeys(assets[1:5], 0),
        assets[5]: 1000,
    }
    assert worth.words(reason(ws, assets[5]), Weights(), str) == ["unlike anything labelled yet"]
    assert not (ws.folder / "thumbs").exists() or not jobs_of(ws, "measure")


def jobs_of(ws: Workspace, kind: str) -> list[str]:
    return [j.state for j in jobs.listing(ws) if j.kind == kind]


def test_what_cannot_be_asked_is_refused_by_name(
    ws: Workspace, tmp_path: Path, assets: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worth, "STRETCH", 2)
    one, two = model(ws, tmp_path, "one", FIRST), model(ws, tmp_path, "two", SECOND)
    with pytest.raises(NotFound, match="nothing was looked at"):
        run(worth.again(ws, "d", Weights()))
    run(prelabel.run(ws, "d", one))
    run(prelabel.run(ws, "d", two))
    with pytest.raises(InvalidInput, match="2 models predicted"):
        run(worth.run(ws, Ask("d")))
    with pytest.raises(InvalidInput, match="never disagrees with itself"):
        run(worth.run(ws, Ask("d", one, one)))
    with pytest.raises(InvalidInput, match="needs a first"):
        run(worth.run(ws, Ask("d", other=two)))
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        run(worth.run(ws, Ask("d", one, threshold=1.0)))
    with pytest.raises(NotFound, match="no label 'unicorn'"):
        run(worth.run(ws, Ask("d", one, thresholds={"unicorn": 0.5})))
    run(measuring.run(ws, "d"))
    work = worth.run(ws, Ask("d", one))
    while not isinstance(next(work), Progress):
        pass
    with pytest.raises(Conflict):
        run(worth.run(ws, Ask("d", two)))
    work.close()
    with pytest.raises(Conflict, match="not at its end"):
        run(worth.again(ws, "d", Weights()))
    run(worth.run(ws, Ask("d", two)))
    assert jobs_of(ws, "worth") == ["finished", "cancelled"]


# --- resumption -------------------------------------------------------------------------------------------------------

CHILD = """
import sys
from app.events import Progress
from app.services import jobs, workspace, worth
worth.STRETCH, worth.PAUSE_S = 2, 0.02
ws = workspace.open(sys.argv[1])
for event in worth.run(ws, worth.Ask("d", "one")):
    if isinstance(event, Progress):
        print(event.done, flush=True)
"""


def stored(ws: Workspace) -> list[tuple[int, int, str]]:
    with ws.db.read() as conn:
        return [
            tuple(r) for r in conn.exec_driver_sql("SELECT asset_id, value, reason FROM worth ORDER BY 1")
        ]


def test_kill_9_at_random_moments_leaves_the_rows_of_an_undisturbed_run(
    ws: Workspace, tmp_path: Path
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 24), dataset="d")
    run(prelabel.run(ws, "d", model(ws, tmp_path, "one", FIRST)))
    run(worth.run(ws, Ask("d", "one")))
    undisturbed = stored(ws)
    with ws.db.write() as conn:
        conn.exec_driver_sql("DELETE FROM worth")
    rng = random.Random(7)
    for n in range(2):
        command = [sys.executable, "-c", CHILD, str(ws.folder)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        target = n * 8 + rng.randint(1, 8)
        assert any(int(line) >= target for line in child.stdout)
        child.kill()
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
    assert 0 < len(stored(ws)) < 24
    newest = jobs.listing(ws)[0]
    assert (newest.kind, newest.state) == ("worth", "waiting") and newest.done == len(stored(ws))
    assert run(jobs.resume(ws, newest.id))["pictures"] == 24
    assert stored(ws) == undisturbed


def test_what_was_labelled_while_it_waited_changes_no_other_row_of_the_job(
    ws: Workspace, tmp_path: Path, assets: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worth, "STRETCH", 2)
    run(prelabel.run(ws, "d", model(ws, tmp_path, "one", FIRST)))
    run(worth.run(ws, Ask("d", "one")))
    undisturbed = stored(ws)
    work = worth.run(ws, Ask("d", "one"))
    while not isinstance(event := next(work), Progress) or not event.done:
        pass
    work.close()
    label(ws, assets[-1])
    run(jobs.resume(ws, jobs.listing(ws)[0].id))
    assert stored(ws) == [row for row in undisturbed if row[0] in {r[0] for r in stored(ws)}]
    assert len(stored(ws)) == 5 and len(queue(ws)) == 5


# --- on the line ------------------------------------------------------------------------------------------------------


def test_the_verb_orders_lists_and_speaks(
    ws: Workspace,
    tmp_path: Path,
    assets: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(prelabel.run(ws, "d", model(ws, tmp_path, "one", FIRST)))
    line = ["-w", str(ws.folder), "worth", "d"]
    assert cli.main([*line, "--list"]) == 0
    assert "Nothing was looked at yet" in capsys.readouterr().out
    assert cli.main([*line, "--model", "one", "--weights", "uncertainty=3,diversity=1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["left"], len(told["queue"]), told["weights"]["rarity"]) == (6, 6, 0)
    assert told["queue"][0]["why"][0] == "safety helmet 0.55: unsure"
    i18n.use("zh_CN")
    assert cli.main([*line, "--list", "--top", "2"]) == 0
    out = capsys.readouterr().out
    assert "有 6 张图片待标注" in out and "安全帽 0.55：不确定" in out and len(out.splitlines()) == 5
    assert cli.main([*line, "--weights", "beauty=1"]) == 1
    assert cli.main([*line, "--reorder", "--weights", "diversity=1", "--top", "0"]) == 0


# --- does it help? ----------------------------------------------------------------------------------------------------


def test_rare_classes_are_reached_earlier_than_by_chance_on_drawn_scenes(
    ws: Workspace, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Drawn scenes and the demonstration detector, no photographs: a person labels ten at a time in the order of worth."""
    if not request.config.getoption("--whole"):
        pytest.skip("a minute: with --whole")
    common, rare, made = 190, 10, {}
    seed = 900_000
    folder = tmp_path / "scenes"
    folder.mkdir()
    while common or rare:
        seed += 1
        one = scenes.draw(seed, (480, 270))
        is_rare = any(a.label == "large_coal" for a in one.annotations)
        if (is_rare and not rare) or (not is_rare and not common):
            continue
        rare, common = rare - is_rare, common - (not is_rare)
        cv2.imwrite(str(folder / f"{seed}.jpg"), one.picture)
        made[f"{seed}.jpg"] = one.annotations
    run(ingest.run(ws, [folder], dataset="d"))
    onnx.add_demo(ws)
    run(prelabel.run(ws, "d", "demo"))
    data = data_of(ws)
    paths = {row.asset_id: row.path for row in browse.page(ws, Query(data), limit=1000)}
    wanted = {a for a, p in paths.items() if any(x.label == "large_coal" for x in made[p])}
    found: list[int] = []
    labelled = 0
    while len(found) < len(wanted):
        run(worth.run(ws, Ask("d", "demo")))
        for row in worth.queue(ws, data, 10):
            labelled += 1
            if row.asset_id in wanted:
                found.append(labelled)
            page = labelling.load(ws, row.asset_id)
            labelling.save(ws, page, made[row.path] or (Annotation("person", Box(0, 0, 9, 9)),), verb="draw")
    n, k = len(paths), len(wanted)
    half, by_chance = found[k // 2 - 1], (k // 2) * (n + 1) / (k + 1)
    print(f"drawn scenes, {k} of {n} with a lump of coal: half of them after {half} pictures, by chance after {by_chance:.0f}; all after {found[-1]}, by chance after {k * (n + 1) / (k + 1):.0f}")  # fmt: skip
    assert half < 0.6 * by_chance
