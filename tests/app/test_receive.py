"""Rules of receiving: a version arrives whole or not at all, rebuilds to the signed root, and its receipt goes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotation.core import Box, Polygon
from annotation.errors import Conflict, InvalidInput, NotFound
from app.events import Progress
from app.services import (
    auditing,
    bulk,
    export,
    labelling,
    lineage,
    publish,
    receipts,
    receive,
    splitting,
    versions,
    workspace,
)
from app.services import keys as key_rows
from app.services.workspace import Workspace
from storage import keys, queries, seal
from storage.hub import reading
from storage.hub.folder import FolderStore
from storage.queries import Query
from tests.app.sealed import Sealed, run, sealed


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    """A version with boxes, an accepted prediction, a polygon, attributes and splits, published to a folder."""
    w = sealed(ws, tmp_path / "2号面")
    for i in (0, 1, 5):
        w.box(w.assets[i])
    w.box(w.assets[2], origin="model", score=0.9)
    run(bulk.accept(ws, Query(w.data)))
    page = labelling.load(ws, w.assets[3])
    from annotation.core import Annotation

    shape = Polygon((((10.0, 10.0, 60.0, 10.5, 40.0, 50.25),),))
    labelling.save(ws, page, (Annotation("large_coal", shape, {"z_note": "块"}),), verb="draw")
    run(splitting.run(ws, "face-3", splitting.Rule((0.5, 0.25, 0.25), groups=())))
    versions.freeze(ws, "face-3", tag="v1")
    run(publish.run(ws, "face-3@v1", tmp_path / "hub"))
    return w


@pytest.fixture
def hub(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "hub")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Workspace]:
    with workspace.create(str(tmp_path / "O"), person="接收员") as opened:
        yield opened


def fingerprint(ws: Workspace) -> str:
    return seal.fingerprint(keys.public_key(ws))


def exported(ws: Workspace, out: Path) -> dict[str, bytes]:
    run(export.run(ws, "face-3@v1", "coco", out, accept_losses=True, pictures="copy"))
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_a_received_version_has_the_root_its_lineage_and_the_identical_coco_file(
    world: Sealed, hub: FolderStore, other: Workspace, tmp_path: Path
) -> None:
    done, warned = run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws)))
    assert warned == [] and (done.result["assets"], done.result["annotations"]) == (8, 5)
    mine = versions.find(other, "face-3@v1")
    assert mine.root == versions.find(world.ws, "face-3@v1").root == done.result["root"]
    assert mine.public == keys.public_key(world.ws).hex()
    proved, warned = run(versions.verify(other, "face-3@v1"))
    assert warned == [] and proved.result["sound"]
    first = exported(world.ws, tmp_path / "a")
    world.ws.close()
    for path in world.paths:
        path.unlink()
    second = exported(other, tmp_path / "b")
    assert len(first) == len(second) >= 8 + 3
    for name in first:
        if name != export.REPORT:
            assert first[name] == second[name], name
    told = lineage.trace(other, "face-3@v1")
    assert any(n.kind == "activity" and n.type == "receive" for n in told.nodes)
    documents = receive.documents_folder(other, "face-3", "v1")
    assert json.loads((documents / "lineage.json").read_text())["entity"]


def test_a_received_version_can_be_worked_on_and_frozen_again(
    world: Sealed, hub: FolderStore, other: Workspace
) -> None:
    run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws)))
    with other.db.read() as conn:
        data = queries.dataset(conn, "face-3")
        asset = queries.asset_ids(conn, Query(data.id))[0]
    page = labelling.load(other, asset)
    labelling.save(other, page, page.annotations[:-1], verb="delete")
    versions.freeze(other, "face-3", tag="v2")
    run(versions.build(other, versions.find(other, "face-3@v2")))
    assert versions.diff(other, "face-3@v1", "face-3@v2").annotations_removed == 1


def test_receiving_again_does_nothing(world: Sealed, hub: FolderStore, other: Workspace) -> None:
    run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws)))
    done, _ = run(receive.run(other, hub, "face-3@v1"))
    assert done.result["already"] is True
    with pytest.raises(NotFound):
        run(receive.run(other, hub, "face-3@v9"))


@pytest.mark.parametrize("stop", [4])
def test_an_interrupted_receiving_goes_on_where_it_stopped(
    world: Sealed, hub: FolderStore, other: Workspace, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "PART", 1)
    work = receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws))
    taken = 0
    for event in work:
        taken += isinstance(event, Progress) and event.note == "pictures"
        if taken == stop:
            break
    work.close()
    with pytest.raises(NotFound):
        versions.find(other, "face-3@v1")
    run(receive.run(other, hub, "face-3@v1"))
    assert versions.find(other, "face-3@v1").root == versions.find(world.ws, "face-3@v1").root


def test_a_key_nobody_here_trusts_is_refused_until_its_fingerprint_is_told(
    world: Sealed, hub: FolderStore, other: Workspace
) -> None:
    with pytest.raises(InvalidInput, match="nobody here trusts") as refused:
        run(receive.run(other, hub, "face-3@v1"))
    assert fingerprint(world.ws) in refused.value.what
    with pytest.raises(InvalidInput, match="another key"):
        run(receive.run(other, hub, "face-3@v1", trust="0123:4567:89ab:cdef:0123:4567:89ab:cdef"))
    with other.db.read() as conn:
        assert queries.datasets(conn) == []
    key_rows.trust(other, keys.public_key(world.ws))
    run(receive.run(other, hub, "face-3@v1"))


@pytest.mark.parametrize("what", ["media", "chunk", "root", "document"])
def test_one_wrong_byte_anywhere_is_named_and_no_version_is_received(
    world: Sealed, hub: FolderStore, other: Workspace, tmp_path: Path, what: str
) -> None:
    folder = tmp_path / "hub" / "datasets" / "face-3" / "v1"
    root = reading.load(hub, "face-3", "v1").root
    with world.ws.db.read() as conn:
        asset = bytes(
            conn.exec_driver_sql("SELECT blake3 FROM asset ORDER BY id DESC LIMIT 1").scalar_one()
        ).hex()
    path = {
        "media": tmp_path / "hub" / "objects" / asset[:2] / asset,
        "chunk": tmp_path / "hub" / "objects" / root.chunks[0].sets.b3[:2] / root.chunks[0].sets.b3,
        "root": folder / "root.json",
        "document": folder / "schema.toml",
    }[what]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(InvalidInput):
        run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws)))
    with pytest.raises(NotFound):
        versions.find(other, "face-3@v1")


def test_names_that_are_taken_here_are_refused_before_anything_is_written(
    world: Sealed, hub: FolderStore, other: Workspace, tmp_path: Path
) -> None:
    sealed(other, tmp_path / "elsewhere", n=2, dataset="face-3")
    with pytest.raises(Conflict, match="dataset 'face-3'"):
        run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws)))
    with workspace.create(str(tmp_path / "P"), person="B") as third:
        sealed(third, tmp_path / "x" / "2号面", n=2, dataset="own")
        with pytest.raises(Conflict, match="source '2号面'"):
            run(receive.run(third, hub, "face-3@v1", trust=fingerprint(world.ws)))
        with third.db.read() as conn:
            assert [d.name for d in queries.datasets(conn)] == ["own"]


def test_another_schema_of_the_same_name_is_not_overwritten(
    world: Sealed, hub: FolderStore, tmp_path: Path
) -> None:
    with workspace.create(str(tmp_path / "G"), schema="grotto", person="B") as third:
        run(receive.run(third, hub, "face-3@v1", trust=fingerprint(world.ws)))
        assert versions.find(third, "face-3@v1").schema_code == "coal_mine"


def test_the_receipt_goes_back_and_is_kept(
    world: Sealed, hub: FolderStore, other: Workspace, tmp_path: Path
) -> None:
    done, _ = run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws)))
    got, warned = run(receipts.collect(world.ws, hub, "face-3@v1"))
    assert warned == [] and (got.result["receipts"], got.result["new"]) == (1, 1)
    ((place, receipt),) = receipts.kept(world.ws, "face-3@v1")
    assert (place, receipt.person, receipt.assets, receipt.objects) == (hub.where, "接收员", 8, 5)
    assert receipt.public == keys.public_key(other)
    again, _ = run(receipts.collect(world.ws, hub, "face-3@v1"))
    assert again.result["new"] == 0
    assert [e.verb for e in auditing.listing(world.ws)][-1] == "receipt"
    # By hand, on a stick:
    file = Path(str(done.result["receipt"]))
    assert receipts.take(world.ws, file).body == receipt.body
    assert len(receipts.kept(world.ws, "face-3@v1")) == 1
    forged = tmp_path / "receipt.json"
    forged.write_bytes(file.read_bytes().replace(b'"assets":8', b'"assets":9'))
    (tmp_path / "receipt.sig").write_bytes(file.with_suffix(".sig").read_bytes())
    with pytest.raises(InvalidInput, match="signature"):
        receipts.take(world.ws, forged)


def test_a_received_shape_is_what_was_drawn(world: Sealed, hub: FolderStore, other: Workspace) -> None:
    run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws)))
    with other.db.read() as conn:
        data = queries.dataset(conn, "face-3")
        assets = queries.asset_ids(conn, Query(data.id))
    mine = {a.uid: a for i in assets for a in labelling.load(other, i).annotations}
    theirs = {a.uid: a for i in world.assets for a in labelling.load(world.ws, i).annotations}
    assert mine == theirs and any(isinstance(a.shape, Box) for a in mine.values())
