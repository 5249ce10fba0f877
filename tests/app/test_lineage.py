"""Rules of lineage: from a published picture back to camera, copies, model and every hand; and on to what holds it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from prov.model import ProvDocument

from annotation.errors import InvalidInput, NotFound
from app import cli, i18n
from app.services import lineage, lineagetext, openlineage, versions
from app.services.lineage import Lineage
from app.services.workspace import Workspace
from storage import headers
from tests.support import peers, whole
from tests.support.whole import DATASET, REF, Whole


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    found = whole.build(tmp_path_factory.mktemp("whole"))
    yield found
    found.ws.close()


@pytest.fixture
def ws(made: Whole) -> Workspace:
    return made.ws


def reach(found: Lineage, start: str) -> set[str]:
    """Ids of all nodes that edges lead to."""
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for e in found.edges:
            if e.source == here and e.target not in seen:
                seen.add(e.target)
                todo.append(e.target)
    return seen


# -- back ------------------------------------------------------------------------------------------------------------


def test_a_picture_leads_to_its_camera_and_to_the_copy_that_was_left_out(ws: Workspace) -> None:
    found = lineage.trace(ws, "cam-1/000.jpg")
    (camera,) = found.of_type("camera")
    assert (camera.title, camera.facts["known_by"]) == ("KBA Mining KBA-12", "EXIF")
    (copies,) = found.of_type("copies")
    assert copies.facts["files"] == ["cam-1/copy-of-000.jpg"] and copies.facts["kind"] == "exact"
    assert {camera.id, copies.id} <= reach(found, found.subject)


def test_a_left_out_copy_is_found_by_its_own_path(ws: Workspace) -> None:
    assert lineage.trace(ws, "cam-1/copy-of-000.jpg") == lineage.trace(ws, "cam-1/000.jpg")


def test_a_picture_knows_the_near_ones_that_cleaning_took_out(ws: Workspace) -> None:
    with ws.db.read() as conn:
        left = conn.exec_driver_sql(
            "SELECT path FROM asset WHERE id NOT IN (SELECT asset_id FROM item WHERE died IS NULL)"
        ).scalar_one()
    kept = "near-001.jpg" if left == "001.jpg" else "001.jpg"
    (group,) = lineage.trace(ws, kept).of_type("likeness")
    assert (group.facts["kind"], group.facts["removed"]) == ("near", 1)
    assert (
        group.facts["others"]
        == [{"path": f"cam-1/{left}", "asset_id": 2 if left == "001.jpg" else 13, "removed": True}]
        or left
    )
    gone = lineage.trace(ws, str(left))
    assert any(
        n.facts.get("verb") == "clean" and n.facts.get("left") == DATASET for n in gone.of_type("revision")
    )


def test_every_hand_that_touched_an_object_is_told_with_verb_person_and_time(made: Whole) -> None:
    found = lineage.trace(made.ws, str(made.assets[1]))
    rows = [n for n in found.of_type("annotation") if n.facts.get("verb") == "move"]
    (moved,) = rows
    reached = reach(found, moved.id)
    hands = {(n.facts["verb"], p.title) for n in found.of_type("revision") if n.id in reached for e in found.edges
             if e.source == n.id and e.relation == "wasAssociatedWith" for p in found.nodes if p.id == e.target}  # fmt: skip
    assert {("move", "王芳"), ("accept", "李明")} <= hands
    assert any(verb == "prelabel" and "demo" in who for verb, who in hands)
    assert all("T" in str(n.facts["started"]) for n in found.of_type("revision"))
    reviews = [
        n.facts["verb"] for n in found.of_type("revision") if str(n.facts["verb"]).startswith("review")
    ]
    assert reviews == ["review: submitted", "review: accepted"]


def test_an_object_leads_to_the_provider_that_really_ran_the_model(made: Whole) -> None:
    page = lineage.trace(made.ws, str(made.assets[1]))
    uid = next(n.facts["uid"] for n in page.of_type("annotation") if n.facts.get("verb") == "move")
    found = lineage.trace(made.ws, f"object:{uid}")
    assert found.subject.startswith("annotation.")
    (run,) = found.of_type("prelabel run")
    assert run.id in reach(found, found.subject) and "cpu" in str(run.facts["params"]).lower()
    (model,) = [n for n in found.of_type("model") if n.kind == "entity"]
    assert model.title == "demo" and model.id in reach(found, found.subject)


def test_a_fixed_camera_is_known_by_the_region_that_a_recipe_has_for_it(made: Whole) -> None:
    (camera,) = lineage.trace(made.ws, str(made.assets[1])).of_type("camera")
    assert camera.facts["known_by"] == "region of a recipe"


def test_a_version_names_what_was_left_out_who_did_what_and_the_evaluations(made: Whole) -> None:
    found = lineage.trace(made.ws, REF)
    (evaluated,) = found.of_type("evaluate")
    params = evaluated.facts["params"]
    assert (
        params["pictures"] == 10
        and params["models"][0]["name"] == "demo"
        and "curve" not in json.dumps(params)
    )  # type: ignore[index]
    assert {n.facts["n"] for n in found.of_type("copies")} == {1} and len(found.of_type("clean")) == 1
    hands = {(n.facts["verb"], n.facts["n"]) for n in found.of_type("revisions")}
    assert {("review: accepted", 9), ("review: returned", 1), ("draw", 1), ("move", 1)} <= hands
    assert {n.title for n in found.of_type("person")} == {"李明", "王芳"}


def test_a_dataset_a_model_a_package_and_an_activity_have_a_lineage_too(made: Whole) -> None:
    ws = made.ws
    assert {"ingest", "source", "schema"} <= {n.type for n in lineage.trace(ws, DATASET).nodes}
    model = lineage.trace(ws, "model:demo")
    assert model.subject.startswith("model.")
    root = versions.find(ws, REF).root
    package = lineage.trace(ws, str(root))
    assert package.subject.startswith("package.") and {"publish", "version", "source"} <= {
        n.type for n in package.nodes
    }
    (evaluated,) = lineage.trace(ws, REF).of_type("evaluate")
    assert lineage.trace(ws, f"activity:{evaluated.id.removeprefix('activity.')}").subject == evaluated.id


# -- forward ---------------------------------------------------------------------------------------------------------


def test_a_picture_leads_on_to_versions_exports_packages_and_their_hub(made: Whole) -> None:
    found = lineage.trace(made.ws, str(made.assets[1]), "forward")
    assert {"version", "dataset", "export", "publish", "package", "hub", "evaluate"} <= {
        n.type for n in found.nodes
    }
    titles = {n.title for n in found.of_type("package")}
    assert any("coco" in t for t in titles) and any(
        str(versions.find(made.ws, REF).root) in t for t in titles
    )
    assert all(found.subject in reach(found, n.id) for n in found.of_type("package"))


def test_a_picture_that_left_before_the_freeze_is_in_no_version(ws: Workspace) -> None:
    with ws.db.read() as conn:
        gone = conn.exec_driver_sql(
            "SELECT id FROM asset WHERE id NOT IN (SELECT asset_id FROM item WHERE died IS NULL)"
        ).scalar_one()
    assert [n.type for n in lineage.trace(ws, str(gone), "forward").nodes] == ["asset"]


def test_a_model_leads_on_to_jobs_datasets_and_the_versions_that_came_after(ws: Workspace) -> None:
    found = lineage.trace(ws, "demo", "forward")
    assert {"prelabel", "dataset", "version", "evaluate"} <= {n.type for n in found.nodes}


def test_a_model_made_by_a_job_leads_back_to_the_version_it_was_trained_on(tmp_path: Path) -> None:
    from storage import record

    made = whole.build(tmp_path, 3, published=False)
    with made.ws.db.write() as conn:
        version = versions.find(made.ws, REF)
        job = record.start_activity(conn, "train", made.ws.person.id, {}, open_=False)
        record.link(conn, job, "used", "version", version.uid)
        sha = conn.exec_driver_sql("SELECT sha256 FROM onnx_model").scalar_one()
        record.link(conn, job, "generated", "model", bytes(sha).hex())
    back = lineage.trace(made.ws, "model:demo")
    assert {"train", "version", "source", "person"} <= {
        n.type for n in back.nodes if n.id in reach(back, back.subject)
    }
    onward = lineage.trace(made.ws, str(made.assets[0]), "forward")
    assert [n.title for n in onward.of_type("model") if n.kind == "entity"] == ["demo"]
    made.ws.close()


def test_a_redacted_copy_leads_back_to_its_original_and_the_original_on_to_the_copy(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from app.services import redaction

    made = whole.build(tmp_path, 3, published=False)
    request.addfinalizer(made.ws.close)
    whole.run(redaction.run(made.ws, DATASET, "open", redaction.Recipe(("person",))))
    whole.run(versions.build(made.ws, versions.freeze(made.ws, "open", tag="v1")))
    onward = lineage.trace(made.ws, "cam-1/000.jpg", "forward")
    (copy,) = [n for n in onward.of_type("asset") if n.id != onward.subject]
    assert "open@v1" in {n.title for n in onward.of_type("version")}
    back = lineage.trace(made.ws, str(copy.facts["asset_id"]))
    assert {"redact", "camera", "ingest"} <= {n.type for n in back.nodes if n.id in reach(back, back.subject)}
    assert "cam-1/000.jpg" in {n.title for n in back.of_type("file")}


# -- names -----------------------------------------------------------------------------------------------------------


def test_what_is_not_there_is_refused_and_a_word_says_which_of_several_is_meant(ws: Workspace) -> None:
    for what in (
        "model:nothing",
        "object:" + "0" * 32,
        "package:nothing",
        "activity:999999",
        "dataset:x",
        "ab" * 32,
    ):
        with pytest.raises(NotFound):
            lineage.trace(ws, what)


def test_digests_and_copies_are_found_by_index(ws: Workspace) -> None:
    with ws.db.read() as conn:
        for sql, index in (
            ("SELECT id FROM asset WHERE sha256 = x'00'", "ix_asset_sha256"),
            ("SELECT id FROM seen_file WHERE asset_id = 1", "ix_seen_file_asset_id"),
        ):
            plan = " ".join(str(r) for r in conn.execute(sa.text(f"EXPLAIN QUERY PLAN {sql}")))
            assert index in plan


def test_exif_that_cannot_be_read_names_no_camera() -> None:
    for data in (
        b"",
        b"\xff\xd8" + whole.EXIF[:20],
        b"II*\0\xff\xff\xff\xff",
        b"Exif\0\0" + b"MM\0*" + b"\xff" * 40,
    ):
        assert headers.camera(data) == {}
    assert headers.camera(whole.EXIF) == {"make": "KBA Mining", "model": "KBA-12"}


# -- for others ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["back", "forward"])
@pytest.mark.parametrize("what", [REF, "cam-1/002.jpg", "model:demo", DATASET])
def test_prov_json_goes_through_the_prov_library_and_comes_back_equal(
    ws: Workspace, what: str, direction: lineage.Direction
) -> None:
    text = lineage.prov(ws, lineage.trace(ws, what, direction)).decode()
    first = ProvDocument.deserialize(content=text, format="json")
    again = ProvDocument.deserialize(content=first.serialize(format="json"), format="json")
    told = len(lineage.trace(ws, what, direction).nodes)
    assert first == again and len(list(first.get_records())) >= told


def test_what_goes_out_names_nobody_unless_asked(made: Whole) -> None:
    found = lineage.trace(made.ws, REF)
    for data in (lineage.prov(made.ws, found, names=False), openlineage.of_lineage(made.ws, found)):
        assert b"\xe6\x9d\x8e" not in data and "李明" not in data.decode() and "\\u674e" not in data.decode()
        assert str(made.folder).encode() not in data
    assert "李明" in lineage.prov(made.ws, found).decode()


def test_each_activity_is_one_run_that_begins_and_completes(made: Whole) -> None:
    found = lineage.trace(made.ws, REF)
    events = [json.loads(line) for line in openlineage.of_lineage(made.ws, found).splitlines()]
    runs: dict[str, list[str]] = {}
    for e in events:
        assert uuid.UUID(e["run"]["runId"]) and e["eventTime"].endswith("Z")
        runs.setdefault(e["run"]["runId"], []).append(e["eventType"])
    assert set(map(tuple, runs.values())) == {("START", "COMPLETE")}
    assert {"ingest", "freeze", "evaluate"} <= {e["job"]["name"] for e in events}
    (frozen,) = [e for e in events if e["job"]["name"] == "freeze" and e["eventType"] == "COMPLETE"]
    (out,) = frozen["outputs"]
    assert out["facets"]["version"]["datasetVersion"] == versions.find(made.ws, REF).root
    assert {"schema", "dataSource"} <= set(out["facets"])


EVENTS = """
import json, sys
from openlineage.client import event_v2, facet_v2, serde
from openlineage.client.generated import base
kinds = {
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet, "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
    "dataSource": facet_v2.datasource_dataset.DatasourceDatasetFacet, "documentation": facet_v2.documentation_dataset.DocumentationDatasetFacet,
    "dataQualityMetrics": facet_v2.data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet,
    "outputStatistics": facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet, "parent": facet_v2.parent_run.ParentRunFacet,
    "processing_engine": facet_v2.processing_engine_run.ProcessingEngineRunFacet,
}
def facets(given):
    out = {}
    for name, value in (given or {}).items():
        cls = kinds[name]
        rest = {k: v for k, v in value.items() if k not in ("_producer", "_schemaURL")}
        if name == "parent":
            rest = {"run": facet_v2.parent_run.Run(**rest["run"]), "job": facet_v2.parent_run.Job(**rest["job"])}
        made = cls(**rest, producer=value["_producer"])
        assert value["_schemaURL"] == cls._get_schema(), (value["_schemaURL"], cls._get_schema())
        out[name] = made
    return out
n = 0
for line in open(sys.argv[1], encoding="utf-8"):
    e = json.loads(line)
    assert e["schemaURL"] == base.RunEvent._get_schema(), base.RunEvent._get_schema()
    made = event_v2.RunEvent(
        eventTime=e["eventTime"], producer=e["producer"], eventType=event_v2.RunState[e["eventType"]],
        run=event_v2.Run(runId=e["run"]["runId"], facets=facets(e["run"].get("facets"))),
        job=event_v2.Job(namespace=e["job"]["namespace"], name=e["job"]["name"], facets=facets(e["job"].get("facets"))),
        inputs=[event_v2.InputDataset(d["namespace"], d["name"], facets=facets(d.get("facets")), inputFacets=facets(d.get("inputFacets"))) for d in e["inputs"]],
        outputs=[event_v2.OutputDataset(d["namespace"], d["name"], facets=facets(d.get("facets")), outputFacets=facets(d.get("outputFacets"))) for d in e["outputs"]],
    )
    told = json.loads(serde.Serde.to_json(made))
    assert told["run"]["runId"] == e["run"]["runId"] and told["eventType"] == e["eventType"]
    assert [d["name"] for d in told["inputs"]] == [d["name"] for d in e["inputs"]]
    n += 1
print(json.dumps(n))
"""


def test_openlineage_s_own_classes_take_every_event(made: Whole, tmp_path: Path) -> None:
    python = peers.peer("lineage")
    for i, direction in enumerate(("back", "forward")):
        path = tmp_path / f"{i}.jsonl"
        data = openlineage.of_lineage(made.ws, lineage.trace(made.ws, REF, direction))  # type: ignore[arg-type]
        path.write_bytes(data)
        assert peers.ask(python, EVENTS, path) == len(data.splitlines()) > 2


def test_a_received_version_tells_the_lineage_it_was_published_with(
    made: Whole, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from app.services import receive, workspace
    from storage.hub.folder import FolderStore

    key = str(next(n.title for n in lineage.trace(made.ws, REF).of_type("key")))
    ws = workspace.create(str(tmp_path / "B"), person="接收者")
    request.addfinalizer(ws.close)
    whole.run(receive.run(ws, FolderStore(made.hub), REF, trust=key))
    found = lineage.trace(ws, REF)
    elsewhere = {n.type for n in found.nodes if n.id.startswith("elsewhere.")}
    assert {"version", "model", "prelabel run", "evaluate", "revisions", "person"} <= elsewhere
    assert {"cam-1", "demo"} <= {n.title for n in found.nodes if n.id in reach(found, found.subject)}
    assert "李明" not in json.dumps(found.to_json(), ensure_ascii=False)
    assert "receive" in {n.type for n in found.nodes}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"entity": {"a": 3}}',
        b'{"entity": []}',
        b"\xff\xfe",
        b'{"entity": {' + b"[" * 5000,
    ],
)
def test_a_foreign_lineage_that_is_none_is_refused(data: bytes) -> None:
    from storage.lineage import from_prov

    with pytest.raises(InvalidInput):
        from_prov(data, mark="x")


def test_a_lineage_comes_back_from_prov_with_its_nodes_edges_and_facts(ws: Workspace) -> None:
    from storage.lineage import from_prov

    found = lineage.trace(ws, REF)
    again = from_prov(lineage.prov(ws, found), mark="x")
    assert [(n.kind, n.type, n.title) for n in again.nodes if n.kind == "entity"] == [
        (n.kind, n.type, n.title) for n in found.nodes if n.kind == "entity"
    ]
    assert len(again.edges) == len(found.edges) and again.of_type("ingest")[0].facts["params"]


# -- in words --------------------------------------------------------------------------------------------------------


def test_the_tree_tells_every_node_of_the_line_in_both_languages(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = lineage.trace(ws, "cam-1/000.jpg")
    for language, words in (
        ("en", ("derived from file", "camera KBA Mining", "review: accepted")),
        ("zh_CN", ("源自 文件", "相机 KBA Mining", "质检：通过")),
    ):
        monkeypatch.setattr(i18n, "_current", language)
        said = lineagetext.text(found)
        assert all(w in said for w in words), said
        assert "wasDerivedFrom" not in said and said.count("\n") < 60


def test_a_large_fan_is_counted_instead_of_listed(ws: Workspace) -> None:
    nodes = [
        lineage.Node("s", "entity", "asset", "s"),
        *(lineage.Node(f"a{i}", "entity", "file", f"f{i}") for i in range(500)),
    ]
    edges = [lineage.Edge("wasDerivedFrom", "s", f"a{i}") for i in range(500)]
    rows = list(lineagetext.tree(Lineage("s", tuple(nodes), tuple(edges))))
    assert len(rows) == 1 + lineagetext.FAN + 1 and rows[-1].hidden == 500 - lineagetext.FAN


def test_the_verb_writes_prov_and_events_beside_the_tree(
    made: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prov, events = tmp_path / "p.json", tmp_path / "e.jsonl"
    line = ["-w", made.ws.location, "lineage", REF, "--prov", str(prov), "--openlineage", str(events)]
    assert cli.main(line) == 0
    assert (
        "cam-1" in capsys.readouterr().out
        and json.loads(prov.read_text())["entity"]
        and events.read_bytes().count(b"\n") > 3
    )
    assert cli.main(line) == 1 and "already" in capsys.readouterr().err
    assert cli.main(["-w", made.ws.location, "lineage", REF, "--back", "--forward"]) == 1
    assert cli.main(["-w", made.ws.location, "lineage", REF, "--forward", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["direction"] == "forward"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(InvalidInput):
        lineage.save(tmp_path / "a", b"other")
    assert (tmp_path / "a").read_bytes() == b"mine"


@pytest.mark.postgres
def test_lineage_and_figures_are_the_same_on_a_server(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    from app.services import documents

    server = request.getfixturevalue("postgres")
    url = server.create()
    try:
        made = whole.build(tmp_path, 4, url=url)
        for what, direction in (
            (REF, "back"),
            (REF, "forward"),
            (str(made.assets[1]), "back"),
            (str(made.assets[1]), "forward"),
            ("model:demo", "forward"),
            (DATASET, "back"),
        ):
            assert lineage.trace(made.ws, what, direction).nodes  # type: ignore[arg-type]
        done = whole.run(documents.report(made.ws, REF, tmp_path / "R"))
        assert len(done.result["files"]) == 5  # type: ignore[arg-type]
        made.ws.close()
    finally:
        server.drop(url)
