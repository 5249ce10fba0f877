"""Rules of publishing and lineage: a hub proves itself without the workspace, and everything leads back to its source."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from annotation.core import Box
from annotation.errors import Conflict, InvalidInput, NotFound
from app.events import Warned
from app.services import bulk, export, gate, labelling, lineage, publish, versions
from app.services.gate import Ask, Tag
from app.services.workspace import Workspace
from app.verbs.parts import app
from storage import lineage as stored
from storage import record
from storage.hub import folder
from storage.queries import Query
from tests.app.sealed import Sealed, run, sealed


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    w = sealed(ws, tmp_path / "2号面")
    w.box(w.assets[0])
    w.box(w.assets[1], origin="model", score=0.9)
    run(bulk.accept(ws, Query(w.data)))
    versions.freeze(ws, "face-3", tag="v1")
    return w


def test_a_hub_is_outside_the_house_for_partners_and_training_unless_one_says_otherwise(
    world: Sealed, tmp_path: Path
) -> None:
    gate.set_tag(world.ws, "version", "face-3@v1", Tag("internal", ("research",)))
    with pytest.raises(InvalidInput) as refused:
        run(publish.run(world.ws, "face-3@v1", tmp_path / "hub"))
    assert "this is for partners" in refused.value.what and "this is for training" in refused.value.what
    run(export.run(world.ws, "face-3@v1", "coco", tmp_path / "out", ask=Ask(purpose="research")))
    run(publish.run(world.ws, "face-3@v1", tmp_path / "hub", ask=Ask("internal", "research")))


@pytest.mark.parametrize("verb", [["export"], ["publish"], ["shuttle", "pack"]])
def test_what_may_leave_is_asked_in_the_same_words_by_every_way_out(verb: list[str]) -> None:
    found: Any = typer.main.get_command(app)
    for word in verb:
        found = found.commands[word]
    said = {p.name: p.opts for p in found.params}
    assert [said[name] for name in ("audience", "purpose", "override")] == [
        ["--audience"],
        ["--purpose"],
        ["--override"],
    ]


def test_a_published_version_is_verified_without_the_workspace(world: Sealed, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    done, warned = run(publish.run(world.ws, "face-3@v1", hub))
    assert warned == [] and (done.result["assets"], done.result["annotations"]) == (8, 2)
    world.ws.close()
    for path in world.paths:
        path.unlink()
    proved, warned = run(versions.verify(hub, "face-3@v1"))
    assert warned == [] and proved.result["sound"]
    assert (proved.result["root"], proved.result["key"]) == (done.result["root"], done.result["key"])
    documents = hub / "datasets" / "face-3" / "v1"
    assert tomllib.loads((documents / "schema.toml").read_text())
    card = (documents / "card.md").read_text()
    assert (
        "face-3@v1" in card
        and str(done.result["root"]) in card
        and "安全员" not in card
        and "None" not in card
    )


def test_publishing_again_writes_nothing_even_after_more_work(world: Sealed, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    run(publish.run(world.ws, "face-3@v1", hub))
    before = {p: p.stat().st_mtime_ns for p in hub.rglob("*") if p.is_file()}
    world.box(world.assets[4])
    done, _ = run(publish.run(world.ws, "face-3@v1", hub))
    assert done.result["objects_written"] == 0
    assert {p: p.stat().st_mtime_ns for p in hub.rglob("*") if p.is_file()} == before


def test_a_flipped_byte_in_the_hub_is_named_by_its_key(world: Sealed, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    run(publish.run(world.ws, "face-3@v1", hub))
    with world.ws.db.read() as conn:
        b3 = bytes(
            conn.exec_driver_sql(f"SELECT blake3 FROM asset WHERE id = {world.assets[5]}").scalar_one()
        ).hex()
    path = folder.object_path(hub, b3)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done, warned = run(versions.verify(hub, "face-3@v1"))
    assert [w.where for w in warned] == ["2号面/0005.jpg"] and done.problems == 1
    assert run(versions.verify(hub, "face-3@v1", bytes_too=False))[0].problems == 0
    path.unlink()
    done, _ = run(publish.run(world.ws, "face-3@v1", hub))
    assert done.result["objects_written"] == 1 and run(versions.verify(hub, "face-3@v1"))[0].result["sound"]


def test_changed_media_are_named_and_nothing_is_published(world: Sealed, tmp_path: Path) -> None:
    world.paths[2].write_bytes(b"something else")
    hub, warned = tmp_path / "hub", []
    with pytest.raises(InvalidInput, match="1 of 8 assets"):
        for event in publish.run(world.ws, "face-3@v1", hub):
            warned += [event.where] if isinstance(event, Warned) else []
    assert warned == ["2号面/0002.jpg"]
    with pytest.raises(NotFound, match="not published"):
        list(versions.verify(hub, "face-3@v1"))


def test_a_tag_of_another_workspace_is_not_overwritten(world: Sealed, tmp_path: Path) -> None:
    from app.services import workspace

    run(publish.run(world.ws, "face-3@v1", tmp_path / "hub"))
    with workspace.create(str(tmp_path / "other")) as ws:
        other = sealed(ws, tmp_path / "elsewhere", 2)
        other.box(other.assets[0])
        versions.freeze(ws, "face-3", tag="v1")
        with pytest.raises(Conflict, match="already with another content"):
            run(publish.run(ws, "face-3@v1", tmp_path / "hub"))
    assert run(versions.verify(tmp_path / "hub", "face-3@v1"))[0].result["sound"]


def test_verify_of_a_folder_that_is_no_hub_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no hub"):
        list(versions.verify(tmp_path, "face-3@v1"))


# -- lineage ---------------------------------------------------------------------------------------------------------


def _reach(found: lineage.Lineage, start: str) -> set[str]:
    """Types of all nodes that edges lead to."""
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for e in found.edges:
            if e.source == here and e.target not in seen:
                seen.add(e.target)
                todo.append(e.target)
    return {n.type for n in found.nodes if n.id in seen}


@pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_an_accepted_prediction_leads_back_to_model_person_and_file(world: Sealed) -> None:
    page = labelling.load(world.ws, world.assets[1])
    labelling.save(world.ws, page, (replace(page.annotations[0], shape=Box(1, 2, 30, 40)),), verb="move")
    found = lineage.trace(world.ws, "2号面/0001.jpg")
    assert lineage.trace(world.ws, str(world.assets[1])) == found
    assert lineage.trace(world.ws, "0001.jpg") == found
    assert {n.id for n in found.nodes} >= {e.source for e in found.edges} | {e.target for e in found.edges}
    moved = next(n for n in found.of_type("annotation") if n.facts["verb"] == "move")
    assert _reach(found, moved.id) >= {"model", "prelabel", "person", "software", "file", "ingest"}
    assert [n.facts["sha256"] for n in found.of_type("model")] == ["07" * 32]
    assert [n.title for n in found.of_type("person")] == ["安全员"]
    assert [n.facts["score"] for n in found.of_type("annotation") if n.facts["origin"] == "model"] == [0.9]


def test_lineage_follows_undo_to_the_row_it_brought_back(world: Sealed) -> None:
    world.erase(world.assets[0])
    labelling.undo(world.ws, labelling.load(world.ws, world.assets[0]))
    found = lineage.trace(world.ws, str(world.assets[0]))
    assert [n.facts["verb"] for n in found.of_type("annotation")] == ["draw", "delete"]


def test_a_version_leads_back_to_sources_models_people_schema_and_counts_them(world: Sealed) -> None:
    found = lineage.trace(world.ws, "face-3@v1")
    assert found.nodes[0].title == "face-3@v1"
    assert {"source", "ingest", "prelabel", "model", "person", "schema", "dataset", "freeze"} <= _reach(
        found, found.subject
    )
    assert [e.n for e in found.edges if e.relation == "used" and e.target == "source.2号面"] == [8]
    influence = {e.target: e.n for e in found.edges if e.relation == "wasInfluencedBy"}
    assert sum(n or 0 for t, n in influence.items() if t.startswith("activity.")) == 2
    assert sum(n or 0 for t, n in influence.items() if t.startswith("hand.")) == 2
    assert json.loads(json.dumps(found.to_json()))["subject"] == found.subject


def test_what_cannot_be_traced_is_refused_with_a_remedy(world: Sealed) -> None:
    for what in ("nothing.jpg", "999999", "face-3@v9", "ab" * 32):
        with pytest.raises(NotFound):
            lineage.trace(world.ws, what)
    sealed(world.ws, world.source.parent / "other", 1, dataset="second")
    with pytest.raises(InvalidInput, match="2 pictures have that path"):
        lineage.trace(world.ws, "0000.jpg")


def test_the_published_prov_document_is_whole_and_names_no_folder_of_this_machine(
    world: Sealed, tmp_path: Path
) -> None:
    ws = world.ws
    with ws.db.write() as conn:
        sources = [str(world.source).encode().hex()]
        activity = record.start_activity(
            conn,
            "import",
            ws.person.id,
            {"sources": sources, "file": str(world.source / "a.json")},
            open_=False,
        )
        record.link(conn, activity, "used", "file", str(world.source / "a.json"))
        conn.exec_driver_sql(f"UPDATE asset SET activity_id = {activity}")
    hub = tmp_path / "hub"
    run(publish.run(ws, "face-3@v1", hub))
    text = (hub / "datasets" / "face-3" / "v1" / "lineage.json").read_text()
    document = json.loads(text)
    assert "2号面" in text and "a.json" in text
    assert str(tmp_path) not in text and str(tmp_path).encode().hex() not in text
    known = {n for kind in ("entity", "activity", "agent") for n in document[kind]}
    used = {
        v
        for relation, ends in stored.ENDS.items()
        for e in document.get(relation, {}).values()
        for v in (e[ends[0]], e[ends[1]])
    }
    assert used <= known
    assert all(n.startswith("lr:") and n.isascii() for n in known)


def test_folders_whose_names_are_no_utf8_take_exports_and_hubs(world: Sealed, tmp_path: Path) -> None:
    named = os.fsencode(tmp_path) + b"/\xb5\xbc\xb3\xf6"  # 导出 in GBK
    for at in (b"-hub", b"-coco"):
        target = Path(os.fsdecode(named + at))
        work = (
            publish.run(world.ws, "face-3@v1", target)
            if at == b"-hub"
            else export.run(world.ws, "face-3@v1", "coco", target)
        )
        done, _ = run(work)
        assert done.problems == 0 and target.is_dir()


def test_a_publishing_that_waits_does_not_hold_up_the_next_freeze(world: Sealed, tmp_path: Path) -> None:
    run(publish.run(world.ws, "face-3@v1", tmp_path / "hub", later=True))
    assert versions.freeze(world.ws, "face-3", tag="v2").ref == "face-3@v2"
