"""Rules of versions: a pin never changes, equal content gives equal roots, a build resumes, verify names every fault."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from annotation.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.events import Warned
from app.services import bulk, labelling, versions
from app.services.versions import Filter
from app.services.versions.differing import Label
from app.services.workspace import Workspace
from storage import blobs, manifest, record, register
from storage import versions as rows
from storage.queries import Query
from tests.app.sealed import Sealed, many, run, sealed

BOTH = pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    w = sealed(ws, tmp_path / "2号面 正面")
    for asset in w.assets[:5]:
        w.box(asset)
    return w


def build(ws: Workspace, tag: str, dataset: str = "face-3", **kw: object) -> dict[str, object]:
    version = versions.freeze(ws, dataset, tag=tag, **kw)  # type: ignore[arg-type]
    return dict(run(versions.build(ws, version))[0].result)


@BOTH
def test_a_version_holds_the_state_of_its_freeze_whatever_happens_after(world: Sealed) -> None:
    ws = world.ws
    version = versions.freeze(ws, "face-3", tag="v1")
    world.box(world.assets[0], 60)
    world.erase(world.assets[1])
    world.leave(world.assets[2])
    world.join(world.assets[3], split=1)
    result = run(versions.build(ws, version))[0].result
    assert (result["assets"], result["annotations"]) == (8, 5)
    again = versions.freeze(ws, "face-3", tag="now")
    result = run(versions.build(ws, again))[0].result
    assert (result["assets"], result["annotations"]) == (7, 4)
    assert [v.tag for v in versions.listing(ws, "face-3")] == ["v1", "now"]


@BOTH
def test_unchanged_content_frozen_twice_has_one_root_and_an_edit_undone_restores_it(world: Sealed) -> None:
    ws = world.ws
    first = build(ws, "v1")
    assert build(ws, "v2")["root"] == first["root"]
    page = labelling.load(ws, world.assets[0])
    labelling.save(ws, page, (), verb="delete")
    changed = build(ws, "v3")
    assert changed["root"] != first["root"]
    assert labelling.undo(ws, labelling.load(ws, world.assets[0])) is not None
    assert build(ws, "v4")["root"] == first["root"]


def test_incremental_manifest_equals_the_full_one_over_random_histories(ws: Workspace) -> None:
    """2,000 assets in some eight chunks; members come and go, splits and annotations change, old roots are rebuilt."""
    w = many(ws, 2_000)
    r = random.Random(7)
    out: set[int] = set()
    roots: dict[str, object] = {"v0": build(ws, "v0", "large")["root"]}

    def work(step: int) -> None:
        for _ in range(12):
            asset = r.choice(w.assets[step::17])  # one folder: its keys are neighbours
            match r.randrange(4):
                case 0 if asset in out:
                    w.join(asset)
                    out.remove(asset)
                case 0:
                    w.leave(asset)
                    out.add(asset)
                case 1 if asset not in out:
                    w.join(asset, split=r.randrange(4))
                case 2:
                    w.erase(asset)
                case _:
                    w.box(asset, r.randrange(90))

    for step in range(1, 6):
        work(step)
        version = versions.freeze(ws, "large", tag=f"v{step}")
        work(step)  # after the pin and before the manifest
        result = run(versions.build(ws, version))[0].result
        roots[f"v{step}"] = result["root"]
        assert 0 < int(str(result["chunks_reused"])) < int(str(result["chunks"]))
    for tag, root in roots.items():  # afresh, after all later changes, without anything of the earlier builds
        assert _full_root(ws, versions.find(ws, f"large@{tag}")) == root


def test_a_manifest_built_after_further_changes_is_that_of_the_pin(world: Sealed) -> None:
    ws, (a, b, c, *_) = world.ws, world.assets
    build(ws, "v0")
    for asset in (a, b, c):
        world.box(asset, 60)
    version = versions.freeze(ws, "face-3", tag="v1")
    world.leave(a)
    world.join(b, split=2)
    world.erase(c)
    result = run(versions.build(ws, version))[0].result
    assert result["assets"] == 8
    assert result["root"] == _full_root(ws, version)


def _full_root(ws: Workspace, version: versions.Version) -> str:
    store: dict[str, bytes] = {}

    def put(data: bytes) -> str:
        name = blake3(data).hexdigest()
        store[name] = data
        return name

    entries = []
    for page in rows.member_pages(ws.db, version.dataset_id, version.rev, version.filter, limit=300):
        with ws.db.read() as conn:
            entries += list(rows.entries(conn, page, version.rev, predictions=version.filter.predictions))
    random.Random(1).shuffle(entries)
    with manifest.Sorter(ws.folder, run_bytes=100_000) as sorter:
        sorter.add(entries)
        with ws.db.read() as conn:
            code, number, _, digest = rows.schema_at(conn, version.schema_version_id)
        schema = manifest.SchemaRef(digest.hex(), code, number)
        root = manifest.root(manifest.write(sorter.merged(), put), dataset=version.dataset, schema=schema)
    return blake3(manifest.root_bytes(root)).hexdigest()


def test_predictions_enter_only_when_asked_for(world: Sealed) -> None:
    ws = world.ws
    before = build(ws, "v1")
    world.box(world.assets[6], origin="model", score=0.8)
    assert build(ws, "v2")["root"] == before["root"]
    world.box(world.assets[6])  # the same page is read again, its prediction still stays out
    assert build(ws, "v3")["annotations"] == 6
    with_guesses = build(ws, "guesses", filter=Filter(predictions=True))
    assert with_guesses["annotations"] == 7
    run(bulk.accept(ws, Query(world.data)))
    assert build(ws, "v4")["annotations"] == 7


def test_a_filter_by_split_takes_those_items_only_and_an_unknown_one_is_refused(world: Sealed) -> None:
    world.join(world.assets[0], split=1)
    assert build(world.ws, "train", filter=Filter(splits=("train",)))["assets"] == 1
    with pytest.raises(InvalidInput, match="split 'trian' is not known"):
        versions.freeze(world.ws, "face-3", tag="x", filter=Filter(splits=("trian",)))


@BOTH
def test_a_dataset_that_a_job_is_writing_to_cannot_be_frozen(world: Sealed) -> None:
    ws = world.ws
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "prelabel", ws.person.id, {})
    with record.change(
        ws.db, agent_id=ws.person.id, activity_id=activity, verb="prelabel", dataset_id=world.data
    ):
        pass
    with pytest.raises(Conflict, match=r"prelabel job is still writing.*lamproom jobs"):
        versions.freeze(ws, "face-3", tag="v1")
    with ws.db.write() as conn:
        record.end_activity(conn, activity)
    versions.freeze(ws, "face-3", tag="v1")


def test_a_tag_is_given_once_and_must_be_a_plain_word(world: Sealed) -> None:
    versions.freeze(world.ws, "face-3", tag="第一版")
    with pytest.raises(Conflict, match="exists already"):
        versions.freeze(world.ws, "face-3", tag="第一版")
    for bad in ("", "a b", "a@b", "../x", "x" * 65, "a\tb"):
        with pytest.raises(InvalidInput):
            versions.freeze(world.ws, "face-3", tag=bad)


def test_what_does_not_exist_is_named_with_a_remedy(world: Sealed) -> None:
    with pytest.raises(NotFound, match="no dataset"):
        versions.freeze(world.ws, "nothing", tag="v1")
    versions.freeze(world.ws, "face-3", tag="v1")
    with pytest.raises(NotFound, match="it has v1"):
        versions.find(world.ws, "face-3@v9")
    with pytest.raises(InvalidInput, match="DATASET@TAG"):
        versions.find(world.ws, "face-3")
    for asset in world.assets:
        world.leave(asset)
    with pytest.raises(InvalidInput, match="empty"):
        versions.freeze(world.ws, "face-3", tag="v2")


@BOTH
def test_verify_finds_a_sound_version_sound_and_reads_every_media_byte(world: Sealed) -> None:
    build(world.ws, "v1")
    done, warned = run(versions.verify(world.ws, "face-3@v1"))
    assert warned == [] and done.problems == 0
    assert (done.result["assets"], done.result["sound"], done.result["media_checked"]) == (8, True, True)


def test_verify_builds_what_was_only_frozen(world: Sealed) -> None:
    versions.freeze(world.ws, "face-3", tag="v1")
    assert run(versions.verify(world.ws, "face-3@v1"))[0].result["sound"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda p: p.write_bytes(p.read_bytes()[:-1]),
        lambda p: p.write_bytes(bytes([p.read_bytes()[0] ^ 1]) + p.read_bytes()[1:]),
        lambda p: p.unlink(),
    ],
    ids=["shorter", "flipped", "missing"],
)
def test_verify_names_each_source_file_that_is_not_what_was_frozen(
    world: Sealed, harm: Callable[[Path], None]
) -> None:
    build(world.ws, "v1")
    harm(world.paths[3])
    done, warned = run(versions.verify(world.ws, "face-3@v1"))
    assert [w.where for w in warned] == ["2号面 正面/0003.jpg"] and done.problems == 1
    assert run(versions.verify(world.ws, "face-3@v1", bytes_too=False))[0].problems == 0


def test_verify_finds_a_damaged_chunk_and_a_foreign_signature(world: Sealed, tmp_path: Path) -> None:
    ws = world.ws
    build(ws, "v1")
    version, root = versions.load(ws, versions.find(ws, "face-3@v1"))
    path = blobs.path_of(ws.folder, root.chunks[0].labels.b3)
    good = path.read_bytes()
    path.write_bytes(good.replace(b"1", b"2", 1))
    assert run(versions.verify(ws, "face-3@v1"))[0].problems
    path.write_bytes(good)
    other = Ed25519PrivateKey.generate()
    with ws.db.write() as conn:
        conn.exec_driver_sql("UPDATE dataset_version SET signature = NULL")
        conn.exec_driver_sql("UPDATE dataset_version SET root = NULL")
        rows.seal(
            conn,
            version.id,
            root=bytes.fromhex(version.root or ""),
            signature=other.sign(manifest.root_bytes(root)),
        )
    _, warned = run(versions.verify(ws, "face-3@v1"))
    assert [w.what for w in warned] == ["the signature of the manifest does not hold"]


class Killed(BaseException):
    pass


def test_a_build_killed_at_any_object_goes_on_to_the_same_root(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(ws, 1_500)
    version = versions.freeze(ws, "large", tag="v1")
    expected, real = _full_root(ws, version), blobs.put
    for survives in (0, 1, 5, 9, 14):
        left = survives

        def put(folder: Path, data: bytes, **how: bool) -> str:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(folder, data, **how)

        monkeypatch.setattr(blobs, "put", put)
        with pytest.raises(Killed):
            run(versions.build(ws, version))
        assert versions.find(ws, "large@v1").root is None
    monkeypatch.setattr(blobs, "put", real)
    (ws.folder / "staging" / "sort-left-by-a-kill").mkdir()
    assert run(versions.build(ws, version))[0].result["root"] == expected
    assert [p.name for p in (ws.folder / "staging").iterdir()] == ["build.lock"]


def test_building_again_gives_the_sealed_root_and_a_record_changed_from_outside_is_noticed(
    world: Sealed,
) -> None:
    ws = world.ws
    first = build(ws, "v1")
    version = versions.find(ws, "face-3@v1")
    assert run(versions.build(ws, version))[0].result["root"] == first["root"]
    with ws.db.write() as conn:
        conn.exec_driver_sql("UPDATE annotation SET x0 = x0 + 1")
    with pytest.raises(Unavailable, match="changed from outside"):
        run(versions.build(ws, version))


@BOTH
def test_diff_counts_assets_and_annotations_by_label(world: Sealed) -> None:
    ws = world.ws
    versions.freeze(ws, "face-3", tag="a")
    world.box(world.assets[7], label="helmet")
    world.erase(world.assets[0])
    page = labelling.load(ws, world.assets[1])
    labelling.save(ws, page, (replace(page.annotations[0], label="helmet"),), verb="relabel")
    world.leave(world.assets[6])
    versions.freeze(ws, "face-3", tag="b")
    d = versions.diff(ws, "face-3@a", "face-3@b")
    assert (d.assets_added, d.assets_removed, d.assets_changed) == (0, 1, 3)
    assert (d.annotations_added, d.annotations_removed, d.annotations_changed) == (1, 1, 1)
    assert d.by_label == {"helmet": Label(added=1, gained=1), "person": Label(removed=1, lost=1)}
    assert d.how == {"relabelled": 1}
    assert [(p.key, p.kind) for p in d.examples] == [
        ("2号面 正面/0000.jpg", "changed"), ("2号面 正面/0001.jpg", "changed"),
        ("2号面 正面/0006.jpg", "removed"), ("2号面 正面/0007.jpg", "changed"),
    ]  # fmt: skip
    assert d.steps == 4
    assert versions.diff(ws, "face-3@b", "face-3@b").same


def test_two_assets_of_one_name_are_refused_when_the_manifest_is_built(world: Sealed) -> None:
    ws = world.ws
    with ws.db.write() as conn:
        conn.exec_driver_sql(f"UPDATE asset SET path = '0001.jpg' WHERE id = {world.assets[0]}")
    version = versions.freeze(ws, "face-3", tag="v1")
    with pytest.raises(InvalidInput, match=r"0001\.jpg.*same name"):
        run(versions.build(ws, version))


def test_a_second_build_at_the_same_time_is_told_so(world: Sealed) -> None:
    version = versions.freeze(world.ws, "face-3", tag="v1")
    work = versions.build(world.ws, version)
    next(work)
    with pytest.raises(Conflict, match="being built"):
        next(versions.build(world.ws, version))
    work.close()
    assert not [e for e in versions.build(world.ws, version) if isinstance(e, Warned)]


@BOTH
def test_an_asset_that_left_before_does_not_take_away_its_successor_of_the_same_name(world: Sealed) -> None:
    """An incremental build gives the root of a full one when work goes on in another dataset with the old state of a file."""
    ws, (old, new, *_) = world.ws, world.assets
    with ws.db.write() as conn:
        conn.exec_driver_sql(
            f"UPDATE asset SET path = (SELECT path FROM asset WHERE id = {old}) WHERE id = {new}"
        )
    world.leave(old)
    build(ws, "v1")
    world.box(old, 70)
    version = versions.freeze(ws, "face-3", tag="v2")
    root = run(versions.build(ws, version))[0].result
    assert root["assets"] == 7
    assert versions.diff(ws, "face-3@v1", "face-3@v2").same


def test_a_dataset_that_everybody_left_since_is_still_read_page_by_page(ws: Workspace) -> None:
    world = many(ws, 23)
    with ws.db.read() as conn:
        before = record.newest(conn)
    for asset in world.assets[:3] + world.assets[4:]:
        world.leave(asset)
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        with ws.db.read() as conn:
            page, after = rows.members(conn, world.data, before, after=after, limit=5)
        assert len(page) <= 10
        seen += [m.asset_id for m in page]
    assert seen == world.assets


def test_a_sample_of_a_source_is_spread_over_its_own_files(ws: Workspace) -> None:
    one = many(ws, 40)
    with ws.db.write() as conn:
        root = conn.exec_driver_sql("SELECT id FROM source_root").scalar_one()
        other = conn.exec_driver_sql(
            "INSERT INTO source_root (code, location) VALUES ('other', x'2f78') RETURNING id"
        ).scalar_one()
        conn.exec_driver_sql(f"UPDATE asset SET source_root_id = {other} WHERE id > {one.assets[7]}")
        found = [c.asset_id for c in register.sample(conn, root, 8)]
    assert len(found) >= 7 and set(found) <= set(one.assets[:8])


def test_a_version_that_cannot_be_signed_is_not_pinned(
    world: Sealed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from app import cli

    monkeypatch.delenv("LAMPROOM_KEYS")
    line = ["-w", str(world.ws.folder), "freeze", "face-3", "--tag", "v1"]
    assert cli.main(line) == 1
    assert "keys protect" in capsys.readouterr().err and versions.listing(world.ws) == []
    assert cli.main(["-w", str(world.ws.folder), "keys", "protect", "--none"]) == 0
    assert cli.main(line) == 0
