"""Rules of redaction: sources untouched, regions proved by pixels, metadata gone, truth carried over, nothing passed on unseen."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from annotation import scenes
from annotation.core import Annotation, Box
from annotation.errors import Conflict, InvalidInput, NotFound
from app import cli
from app.services import auditing, gate, ingest, labelling, lineage, onnx, preview, redaction
from app.services.gate import Ask, Tag
from app.services.jobs import resume
from app.services.redaction import Recipe
from app.services.workspace import Workspace
from storage import media, policy, queries, record
from storage.queries import Query
from storage.versions import Filter
from tests.app.sealed import run

BOXES = {"a.jpg": Box(40, 30, 80, 70), "b.jpg": Box(10, 10, 40, 60)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two photographs with a place in their EXIF, a 16-bit picture and a turned one."""
    folder = tmp_path / "camera"
    folder.mkdir()
    rng = np.random.default_rng(4)
    for name in BOXES:
        pixels = cv2.GaussianBlur(rng.integers(60, 255, (96, 128, 3), dtype=np.uint8), (5, 5), 2)
        exif = Image.Exif()
        exif[0x010F] = "Maker"
        exif.get_ifd(0x8825)[2] = (40.0, 4.0, 12.0)
        Image.fromarray(pixels).save(folder / name, quality=92, exif=exif, comment=b"seam 3")
    said = PngInfo()
    said.add_text("Place", "cave 9")
    thermal = Image.fromarray(rng.integers(0, 65535, (96, 128), dtype=np.uint16))
    thermal.save(folder / "thermal.png", pnginfo=said)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)).save(folder / "turned.jpg", exif=exif)
    return folder


@pytest.fixture
def data(ws: Workspace, source: Path) -> int:
    run(ingest.run(ws, [source], dataset="d"))
    number = dataset(ws, "d")
    for asset, path in paths(ws, number).items():
        if path in BOXES:
            page = labelling.load(ws, asset)
            labelling.save(
                ws,
                page,
                (Annotation("person", BOXES[path]), Annotation("helmet", Box(1, 1, 9, 9))),
                verb="draw",
            )
    return number


def dataset(ws: Workspace, name: str) -> int:
    with ws.db.read() as conn:
        return queries.dataset(conn, name).id


def paths(ws: Workspace, number: int) -> dict[int, str]:
    with ws.db.read() as conn:
        ids = queries.asset_ids(conn, Query(number))
        return {i: p.path.rpartition("/")[2] for i, p in queries.places(conn, ids).items()}


def copies(ws: Workspace, name: str) -> dict[str, tuple[int, bytes]]:
    number = dataset(ws, name)
    with ws.db.read() as conn:
        found = queries.places(conn, queries.asset_ids(conn, Query(number)))
    return {
        p.path.rpartition("/")[2]: (i, media.read_asset(ws.folder, p.location, p.path, p.disk_path, p.blake3))
        for i, p in found.items()
    }


def test_copies_are_filled_bare_and_upright_and_sources_stay_as_they_were(
    ws: Workspace, source: Path, data: int
) -> None:
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in source.iterdir()}
    done, warned = run(redaction.run(ws, "d", "d-open", Recipe(("person",), margin=0.0)))
    assert warned == [] and {k: done.result[k] for k in ("pictures", "covered", "regions")} == {
        "pictures": 4, "covered": 2, "regions": 2,
    }  # fmt: skip
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in source.iterdir()} == before
    made = copies(ws, "d-open")
    assert set(made) == {"a.jpg", "b.jpg", "thermal.png", "turned.jpg"}
    for name, box in BOXES.items():
        old, new = media.decode(before[source / name][0]), media.decode(made[name][1])
        inside = new[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
        assert inside.max() <= 96 and inside[16:-16, 12:-12].max(initial=0) <= 12
        assert np.abs(old[80:, :].astype(int) - new[80:, :]).mean() < 6
    for _, data_ in made.values():
        with Image.open(io.BytesIO(data_)) as picture:
            assert not picture.getexif() and "comment" not in picture.info
        assert b"Maker" not in data_ and b"seam 3" not in data_ and b"cave 9" not in data_
    with Image.open(io.BytesIO(made["turned.jpg"][1])) as turned:
        assert turned.size == (96, 128)
    sixteen = cv2.imdecode(np.frombuffer(made["thermal.png"][1], np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(sixteen, cv2.imread(str(source / "thermal.png"), cv2.IMREAD_UNCHANGED))


def test_truth_split_and_review_are_carried_over_and_lead_back_to_the_original(
    ws: Workspace, data: int
) -> None:
    run(redaction.run(ws, "d", "d-open", Recipe(("person",))))
    asset = copies(ws, "d-open")["a.jpg"][0]
    page = labelling.load(ws, asset)
    assert sorted((a.label, a.shape) for a in page.annotations) == [
        ("helmet", Box(1, 1, 9, 9)),
        ("person", BOXES["a.jpg"]),
    ]
    original = next(i for i, p in paths(ws, data).items() if p == "a.jpg")
    assert {a.uid for a in page.annotations}.isdisjoint(
        {a.uid for a in labelling.load(ws, original).annotations}
    )
    with ws.db.read() as conn:
        assert policy.derived(conn, [asset]) == {asset: original}
    kinds = {n.title for n in lineage.trace(ws, str(asset)).nodes if n.kind == "activity"}
    assert "redact" in kinds


def test_what_cannot_be_read_is_left_out_and_named(ws: Workspace, source: Path, data: int) -> None:
    (source / "b.jpg").write_bytes(b"\xff\xd8 cut")
    done, warned = run(redaction.run(ws, "d", "d-open", Recipe(("person",))))
    assert [w.where for w in warned] == ["camera/b.jpg"] and done.problems == 1
    assert set(copies(ws, "d-open")) == {"a.jpg", "thermal.png", "turned.jpg"}


def test_a_copy_that_cannot_be_proved_is_left_out(
    ws: Workspace, data: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redaction.covering, "covered", lambda pixels, *_: pixels.copy())
    _, warned = run(redaction.run(ws, "d", "d-open", Recipe(("person",))))
    assert [w.where for w in warned] == ["camera/a.jpg", "camera/b.jpg"]
    assert all("could not be proved" in w.what for w in warned)


def test_what_a_model_finds_is_covered_too(ws: Workspace, tmp_path: Path) -> None:
    scene = scenes.draw(11)
    folder = tmp_path / "scenes"
    folder.mkdir()
    cv2.imwrite(str(folder / "s.png"), scene.picture)
    run(ingest.run(ws, [folder], dataset="d"))
    onnx.add_demo(ws)
    recipe = Recipe(model=onnx.DEMO_NAME, model_classes=("person",), margin=0.0, score=0.3)
    done, warned = run(redaction.run(ws, "d", "d-open", recipe))
    assert warned == [] and int(str(done.result["regions"])) >= 1
    new = media.decode(copies(ws, "d-open")["s.png"][1])
    people = [a.shape for a in scene.annotations if a.label == "person"]
    black = [
        float((new[int(b.y0) : int(b.y1), int(b.x0) : int(b.x1)] == 0).all(axis=2).mean()) for b in people
    ]  # type: ignore[union-attr]
    assert max(black) > 0.9


def test_a_face_that_a_detector_saw_is_not_seen_in_the_copy(
    ws: Workspace, shared: Path, tmp_path: Path
) -> None:
    """Real people, real weights."""
    yunet = next(iter(sorted((shared / "models").rglob("*yunet*.onnx"))), None)
    if yunet is None:
        pytest.skip("no YuNet weights")
    folder = tmp_path / "people"
    folder.mkdir()
    for picture in sorted((shared / "data" / "people-headwear-yolo").rglob("*.jpg"))[:8]:
        (folder / picture.name).write_bytes(picture.read_bytes())
    run(ingest.run(ws, [folder], dataset="d"))
    row = onnx.add(ws, yunet, name="faces")
    recipe = Recipe(model="faces", margin=0.15, score=0.5)
    done, _ = run(redaction.run(ws, "d", "d-open", recipe))
    assert int(str(done.result["regions"])) >= 3

    def faces(name: str) -> int:
        with ws.db.read() as conn:
            number = queries.dataset(conn, name).id
            found = list(queries.places(conn, queries.asset_ids(conn, Query(number))).items())
        return sum(
            sum((a.score or 0) >= 0.5 for a in shown.annotations)
            for shown in preview.predict(ws, found, row.path, row.card, floor=0.5)
        )

    assert faces("d") == done.result["regions"] and faces("d-open") == 0


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_interrupted_redaction_goes_on_and_doubles_nothing(
    ws: Workspace, data: int, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redaction, "PART", 1)
    monkeypatch.setattr(redaction, "THREADS", 1)
    work = redaction.run(ws, "d", "d-open", Recipe(("person",)))
    for _, event in zip(range(stop + 1), work, strict=False):
        del event
    work.close()
    with ws.db.read() as conn:
        from storage import jobs

        job = jobs.listing(conn, open_only=True)[0]
    run(resume(ws, job.id) if stop == 2 else redaction.run(ws, "d", "d-open", Recipe(("person",))))
    assert set(copies(ws, "d-open")) == {"a.jpg", "b.jpg", "thermal.png", "turned.jpg"}
    assert len(labelling.load(ws, copies(ws, "d-open")["a.jpg"][0]).annotations) == 2
    last = auditing.listing(ws)[-1]
    assert (last.verb, last.subject, last.detail["pictures"], last.detail["regions"]) == ("redact", "d", 4, 2)


def test_undo_takes_the_copies_out_as_one_step(ws: Workspace, data: int) -> None:
    done, _ = run(redaction.run(ws, "d", "d-open", Recipe(("person",))))
    labelling.undo_step(ws, int(str(done.result["step"])))
    assert copies(ws, "d-open") == {} and len(paths(ws, data)) == 4


def test_a_redacted_copy_of_an_unpublished_place_may_leave_where_its_original_may_not(
    ws: Workspace, data: int
) -> None:
    gate.set_tag(ws, "source", "camera", Tag("internal", ("research",), place="unpublished"))
    run(redaction.run(ws, "d", "d-same", Recipe(("person",))))
    run(redaction.run(ws, "d", "d-open", Recipe(("person",), margin=0.2), tag=Tag("partners")))

    def reasons(name: str) -> list[str]:
        with ws.db.read() as conn:
            rev = record.newest(conn)
        ask = Ask("partners", "training")
        found = gate.check(
            ws, dataset_id=dataset(ws, name), rev=rev, filter=Filter(), version_id=None, ask=ask
        )
        return [r.what for r in found]

    purpose = "may be used for research, and this is for training"
    inner = "may be seen by internal only, and this is for partners"
    assert reasons("d") == [
        inner,
        purpose,
        "it shows a place that is not published, and is not a redacted copy",
    ]
    assert reasons("d-same") == [inner, purpose]
    assert reasons("d-open") == [
        purpose
    ]  # who may see it is the copy's own tag, what for still the original's


def test_nothing_to_cover_unknown_words_and_a_taken_name_are_refused(ws: Workspace, data: int) -> None:
    for error, recipe, into in (
        (InvalidInput, Recipe(), "x"),
        (NotFound, Recipe(("ghost",)), "x"),
        (NotFound, Recipe(model="ghost"), "x"),
        (InvalidInput, Recipe(("person",), margin=9.0), "x"),
        (Conflict, Recipe(("person",)), "d"),
    ):
        with pytest.raises(error):
            run(redaction.run(ws, "d", into, recipe))
    with ws.db.read() as conn:
        assert [d.name for d in queries.datasets(conn)] == ["d"]


def test_the_verb_makes_copies_and_tags_them(
    ws: Workspace, data: int, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["-w", str(ws.folder), "redact", "d", "--into", "d-open"]
    assert cli.main(line) == 1
    assert "nothing is to be covered" in capsys.readouterr().err
    assert cli.main([*line, "--metadata-only", "--visibility", "partners"]) == 0
    (row,) = gate.listing(ws, "asset")
    assert (row.tag.visibility, row.n) == ("partners", 4)


def test_copies_can_be_opened_to_everybody_and_a_picture_that_needed_nothing_keeps_its_tag(
    ws: Workspace, data: int, tmp_path: Path
) -> None:
    """A PNG that has nothing to cover and no metadata comes out as it was: it is the original."""
    folder = tmp_path / "plain"
    folder.mkdir()
    cv2.imwrite(str(folder / "plain.png"), np.full((32, 32, 3), 90, np.uint8))
    run(ingest.run(ws, [folder], dataset="d"))
    plain = next(i for i, p in paths(ws, data).items() if p == "plain.png")
    for asset in paths(ws, data):
        gate.set_tag(ws, "asset", str(asset), Tag("closed"))
    run(redaction.run(ws, "d", "d-open", Recipe(("person",)), tag=Tag("public")))
    held = {name: gate.tag_of(ws, i).visibility for name, (i, _) in copies(ws, "d-open").items()}
    assert copies(ws, "d-open")["plain.png"][0] == plain
    assert held == {"a.jpg": "public", "b.jpg": "public", "thermal.png": "public", "turned.jpg": "public", "plain.png": "closed"}  # fmt: skip
