"""Rules of receiving: a version arrives whole or not at all, rebuilds to the signed root, and its receipt goes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from annotation import canonical
from annotation.core import Box, Polygon
from annotation.errors import Conflict, InvalidInput, LamproomError, NotFound
from app.events import Progress, Warned
from app.services import (
    arrival,
    auditing,
    bulk,
    export,
    jobs,
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
from storage import jobs as job_rows
from storage import keys, manifest, queries, register, seal
from storage import receipts as receipt_rows
from storage.hub import package, reading
from storage.hub.folder import FolderStore
from storage.manifest import Entry, Fact, Object, SchemaRef
from storage.queries import Query
from tests.app.sealed import Sealed, run, sealed
from tests.storage.hub.sets import KEY


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


# --- hostile versions: signed by a key that is trusted, and still not to be believed -----------------------------------


def forged(folder: Path, world: Sealed, entries: Sequence[Entry], **documents: bytes) -> FolderStore:
    """A hub with a version of these entries, soundly signed by KEY."""
    hub = FolderStore(folder)

    def put(data: bytes) -> str:
        b3 = blake3(data).hexdigest()
        hub.put(package.object_key(b3), data, size=len(data))
        return b3

    for path in world.paths:
        put(path.read_bytes())
    texts = dict(reading.load(FolderStore(world.source.parent / "hub"), "face-3", "v1").documents)
    texts = {**{n: texts[n] for n in package.DOCUMENTS}, **{f"{n}.toml": d for n, d in documents.items()}}
    schema = SchemaRef(blake3=blake3(texts["schema.toml"]).hexdigest(), code="coal_mine", number=1)
    chunks = list(manifest.write(sorted(entries, key=lambda e: e.key), put))
    root = manifest.root_bytes(manifest.root(chunks, dataset="forged", schema=schema))
    said = package.package_bytes("forged", "v1", root, texts)
    made = package.Package(
        "forged", "v1", root, KEY.sign(root), seal.public_bytes(KEY), texts, KEY.sign(said)
    )
    prefix = package.version_prefix("forged", "v1")
    files = {**package.files_of(made, seal.public_pem(seal.public_bytes(KEY))), "root.json": root}
    hub.put(package.MARKER, package.marker_bytes(), size=len(package.marker_bytes()))
    for name, data in files.items():
        hub.put(prefix + name, data, size=len(data))
    return hub


def entry(path: Path, key: str, *objects: Object, **changed: object) -> Entry:
    """An entry of a real picture (160 x 96)."""
    data = path.read_bytes()
    fact = Fact(
        blake3(data).hexdigest(), key, "image/jpeg", hashlib.sha256(data).hexdigest(), len(data), (160, 96)
    )
    return manifest.entry(msgspec.structs.replace(fact, **changed), objects)


def box(number: int = 1, **changed: object) -> Object:
    made = Object(
        kind="box", label="person", origin="human", uid=f"{number:032x}", bbox=(1000, 1000, 9000, 9000)
    )
    return msgspec.structs.replace(made, **changed)


def untouched(ws: Workspace) -> bool:
    """Nothing of a version is in the record, and no job waits."""
    with ws.db.read() as conn:
        here = queries.datasets(conn), job_rows.listing(conn), register.roots(conn)
        return not any(here) and conn.exec_driver_sql("SELECT count(*) FROM asset").scalar_one() == 0


HOSTILE: dict[str, tuple[str, list[tuple[str, tuple[Object, ...], dict[str, object]]]]] = {
    "a name that leaves its folder": ("a plain relative path", [("r/../../x.jpg", (), {})]),
    "the folder of the documents": ("none that a source gives", [(".documents/x.jpg", (), {})]),
    "a name that forges a line of a log": ("none that a source gives", [("r/a\nb.jpg", (), {})]),
    "a name that turns its direction": ("none that a source gives", [("r/a\u202egpj.exe", (), {})]),
    "a name no file system takes": ("too long", [("r/" + "面" * 90 + ".jpg", (), {})]),
    "a file that is a folder too": ("also the name of a folder", [("r/a.jpg", (), {}), ("r/a.jpg/b.jpg", (), {})]),
    "a terabyte": ("no picture's", [("r/a.jpg", (), {"size": 1 << 40})]),
    "a digest in capitals": ("wrong form", [("r/a.jpg", (), {"sha256": "A" * 64})]),
    "no width": ("not announced", [("r/a.jpg", (), {"wh": None})]),
    "a label that is none": ("no code of a label", [("r/a.jpg", (box(label="Person; DROP"),), {})]),
    "an origin that is none": ("as the record writes it", [("r/a.jpg", (box(origin="god"),), {})]),
    "a uid in capitals": ("as the record writes it", [("r/a.jpg", (box(uid="AB" * 16),), {})]),
    "a score of two": ("millionths", [("r/a.jpg", (box(score=2_000_000),), {})]),
    "a list in an attribute": (
        "attributes", [("r/a.jpg", (box(attributes=msgspec.Raw(b'{"a":[1]}')),), {})],
    ),
    "a box inside out": ("", [("r/a.jpg", (box(bbox=(9000, 9000, 1000, 1000)),), {})]),
    "one object on two pictures": ("in it twice", [("r/a.jpg", (box(7),), {}), ("r/b.jpg", (box(7),), {})]),
}  # fmt: skip


def test_a_version_that_no_record_could_have_frozen_is_refused_before_anything_is_written(
    world: Sealed, other: Workspace, tmp_path: Path
) -> None:
    trust = seal.fingerprint(seal.public_bytes(KEY))
    for n, (name, (said, rows)) in enumerate(HOSTILE.items()):
        entries = [
            entry(path, key, *objects, **changed)
            for path, (key, objects, changed) in zip(world.paths, rows, strict=False)
        ]
        hub = forged(tmp_path / f"forged{n}", world, entries)
        warned: list[str] = []
        with pytest.raises(InvalidInput, match="nothing was received"):
            for event in receive.run(other, hub, "forged@v1", trust=trust):
                warned += [event.what] if isinstance(event, Warned) else []
        assert any(said in w for w in warned), (name, warned)
        assert untouched(other), name


def test_a_schema_that_is_none_is_refused_before_anything_is_written(
    world: Sealed, other: Workspace, tmp_path: Path
) -> None:
    for n, text in enumerate((b"labels = 3", b"\xff\xfe", b"x = " + b"[" * 2000)):
        hub = forged(tmp_path / f"forged{n}", world, [entry(world.paths[0], "r/a.jpg")], schema=text)
        with pytest.raises(LamproomError):
            run(receive.run(other, hub, "forged@v1", trust=seal.fingerprint(seal.public_bytes(KEY))))
        assert untouched(other)


def test_a_picture_of_another_size_or_type_than_was_signed_is_refused(world: Sealed, tmp_path: Path) -> None:
    trust = seal.fingerprint(seal.public_bytes(KEY))
    for n, changed in enumerate(({"wh": (96, 160)}, {"media_type": "image/png"})):
        hub = forged(tmp_path / f"forged{n}", world, [entry(world.paths[0], "r/a.jpg", **changed)])
        with (
            workspace.create(str(tmp_path / f"N{n}"), person="B") as ws,
            pytest.raises(InvalidInput, match="another size or type"),
        ):
            run(receive.run(ws, hub, "forged@v1", trust=trust))


def test_names_that_differ_by_capitals_are_received_where_the_disk_tells_them_apart(
    world: Sealed, other: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [entry(world.paths[0], "r/A.jpg"), entry(world.paths[1], "r/a.jpg")]
    hub = forged(tmp_path / "forged", world, rows)
    trust = seal.fingerprint(seal.public_bytes(KEY))
    with monkeypatch.context() as patch:
        patch.setattr(arrival, "_tells_case", lambda _: False)
        with pytest.raises(InvalidInput, match="nothing was received"):
            run(receive.run(other, hub, "forged@v1", trust=trust))
        assert untouched(other)
    done, _ = run(receive.run(other, hub, "forged@v1", trust=trust))
    assert done.result["assets"] == 2


def test_a_hub_that_never_stops_sending_is_left() -> None:
    with pytest.raises(InvalidInput, match="not those that were frozen"):
        arrival.bounded(repeat(b"x" * 1000), 5_000, "r/a.jpg")
    with pytest.raises(InvalidInput):
        arrival.bounded(iter([b"xx"]), 3, "r/a.jpg")


# --- half-way ---------------------------------------------------------------------------------------------------------


def spoiled(world: Sealed, hub: FolderStore) -> tuple[Path, bytes]:
    """The last picture's object, damaged at the hub; and what it was."""
    with world.ws.db.read() as conn:
        b3 = bytes(
            conn.exec_driver_sql("SELECT blake3 FROM asset ORDER BY id DESC LIMIT 1").scalar_one()
        ).hex()
    path = hub.path(package.object_key(b3))
    good = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(good[:2000] + bytes([good[2000] ^ 1]) + good[2001:])
    return path, good


def test_a_damaged_picture_stops_it_and_it_goes_on_when_the_hub_is_mended(
    world: Sealed, hub: FolderStore, other: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "PART", 2)
    path, good = spoiled(world, hub)
    with pytest.raises(InvalidInput, match="not those that were frozen") as told:
        run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws), source={"hub": hub.where}))
    (row,) = jobs.listing(other)
    assert row.state == "waiting" and row.done == 6 and f"jobs cancel {row.id}" in told.value.remedy
    path.write_bytes(good)
    run(jobs.resume(other, row.id))
    assert versions.find(other, "face-3@v1").root == versions.find(world.ws, "face-3@v1").root


def test_a_cancelled_receiving_is_undone_as_one_step_and_can_be_begun_anew(
    world: Sealed, hub: FolderStore, other: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "PART", 2)
    path, good = spoiled(world, hub)
    with pytest.raises(InvalidInput):
        run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws)))
    path.write_bytes(good)
    (row,) = jobs.listing(other)
    jobs.cancel(other, row.id)
    with pytest.raises(Conflict, match="dataset 'face-3'") as refused:
        run(receive.run(other, hub, "face-3@v1"))
    assert f"undo {row.step}" in refused.value.remedy
    assert row.step is not None
    labelling.undo_step(other, row.step)
    done, _ = run(receive.run(other, hub, "face-3@v1"))
    assert done.result["already"] is False
    assert versions.find(other, "face-3@v1").root == versions.find(world.ws, "face-3@v1").root
    with other.db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM asset").scalar_one() == 8


def test_what_was_changed_here_before_it_was_whole_is_no_version(
    world: Sealed, hub: FolderStore, other: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealing = receive._sealed

    def changed(*args: object, **kw: object) -> Iterator[object]:
        with other.db.read() as conn:
            asset = queries.asset_ids(conn, Query(queries.dataset(conn, "face-3").id))[0]
        labelling.save(other, labelling.load(other, asset), (), verb="delete")
        yield from sealing(*args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(receive, "_sealed", changed)
    with pytest.raises(Conflict, match="changed here"):
        run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws)))
    with pytest.raises(NotFound):
        versions.find(other, "face-3@v1")


def test_a_receiver_killed_before_its_receipt_leaves_it_at_the_next_call_and_one_alone(
    world: Sealed, hub: FolderStore, other: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(receive.receipts, "leave", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(receive.run(other, hub, "face-3@v1", trust=fingerprint(world.ws)))
    assert versions.find(other, "face-3@v1").root and jobs.listing(other)[0].state == "finished"
    for _ in range(2):
        done, _ = run(receive.run(other, hub, "face-3@v1"))
        assert done.result["already"] is True
    got, _ = run(receipts.collect(world.ws, hub, "face-3@v1"))
    assert (got.result["receipts"], got.result["new"]) == (1, 1)
    assert canonical.nfc(receipts.kept(world.ws, "face-3@v1")[0][1].person) == "接收员"


def test_objects_that_are_here_already_are_told_before_anything_is_written(
    world: Sealed, other: Workspace, tmp_path: Path
) -> None:
    own = sealed(other, tmp_path / "mine", n=1, dataset="own")
    uid = own.box(own.assets[0])
    hub = forged(tmp_path / "forged", world, [entry(world.paths[3], "r/a.jpg", box(uid=uid))])
    with pytest.raises(Conflict, match="in this workspace already"):
        run(receive.run(other, hub, "forged@v1", trust=seal.fingerprint(seal.public_bytes(KEY))))
    with other.db.read() as conn:
        assert [d.name for d in queries.datasets(conn)] == ["own"] and job_rows.listing(conn) == []


def test_a_sound_receipt_of_another_content_is_no_receipt_of_this_one(
    world: Sealed, hub: FolderStore, tmp_path: Path
) -> None:
    data = receipt_rows.body(
        version="face-3@v1", root="0" * 64, assets=8, objects=5, size=9, at_ms=1, receiver="x", person="y",
        public=seal.public_bytes(KEY),
    )  # fmt: skip
    receipt_rows.leave(hub, "face-3", "v1", receipt_rows.opened(data, KEY.sign(data)))
    got, warned = run(receipts.collect(world.ws, hub, "face-3@v1"))
    assert (got.result["receipts"], got.result["faults"]) == (0, 1) and "another version" in warned[0].what
    (tmp_path / "r.json").write_bytes(data)
    (tmp_path / "r.sig").write_bytes(KEY.sign(data))
    with pytest.raises(InvalidInput, match="another content"):
        receipts.take(world.ws, tmp_path / "r.json")
    assert receipts.kept(world.ws, "face-3@v1") == []
