"""Model packs: made on one workspace, taken in on another after signature, digests and test, and by no other way."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import onnx as onnx_format
import pytest

from annotation import canonical, scenes
from annotation.errors import Conflict, InvalidInput, LamproomError, NotFound, Unavailable
from app import cli
from app.services import keys, onnx, orders, packs, workspace
from app.services.workspace import Workspace
from models import demo, pack, promptable, sample, session
from models.pack import Manifest
from models.recipe import PLAIN
from models.sample import Result, Seen
from storage import seal
from storage.keys import signing_key
from tests.models import test_reader, toy_pairs
from tests.models.hostile import outside
from tests.models.toys import columns, toy_model

LICENCE = "Apache License 2.0\n\nthe whole text\n"


@pytest.fixture
def licence(tmp_path: Path) -> Path:
    path = tmp_path / "LICENCE"
    path.write_text(LICENCE, encoding="utf-8")
    return path


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace of somebody else."""
    with workspace.create(str(tmp_path / "other"), person="someone") as ws:
        yield ws


@pytest.fixture
def made(ws: Workspace, tmp_path: Path, licence: Path) -> Path:
    """A pack of the demonstration detector."""
    onnx.add_demo(ws, name="灯")
    packs.export(ws, "灯", tmp_path / "demo.lrmodel", licence=licence)
    return tmp_path / "demo.lrmodel"


def kept(ws: Workspace) -> tuple[list[str], list[str], list[str]]:
    names = [row.name for row in onnx.listing(ws)] + [row.name for row in onnx.pairs(ws)]
    folder = ws.folder / "models"
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
    return names, files, keys.trusted(ws)


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, files: dict[str, bytes], *, kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def signed(
    path: Path, ws: Workspace, change: Callable[[dict[str, Any]], None], files: dict[str, bytes] | None = None
) -> Path:
    """The pack with a changed manifest, signed anew with the workspace's own key: what a hostile maker could send."""
    held = {**entries(path), **(files or {})}
    manifest = json.loads(held["manifest.json"])
    change(manifest)
    key = signing_key(ws)
    manifest["public"] = seal.public_bytes(key).hex()
    held["manifest.json"] = canonical.encode(manifest)
    held["signature"] = key.sign(pack.SIGNED + held["manifest.json"])
    return written(path, held)


def refused(ws: Workspace, path: Path, match: str, **options: Any) -> None:
    before = kept(ws)
    options.setdefault("name", "fresh")  # a name that is taken would be refused anyway
    with pytest.raises(LamproomError, match=match) as error:
        packs.take(ws, path, **options)
    assert "\n" not in error.value.line
    assert kept(ws) == before


def test_a_pack_made_here_is_taken_in_elsewhere_after_its_key_is_trusted(
    ws: Workspace, other: Workspace, made: Path
) -> None:
    key = keys.fingerprint(ws)
    looked = packs.look(other, made)
    assert (looked.trust, looked.fingerprint) == ("unknown", key)
    refused(other, made, f"signed by the unknown key {key} .*--trust FINGERPRINT")
    refused(other, made, f"signed by another key, {key}", trust="0000:0000")
    row = packs.take(other, made, trust=key.upper().replace(":", " "))
    assert isinstance(row, onnx.ModelRow)
    origin = onnx.show(ws, "灯")
    assert (row.name, row.sha256, row.card, row.present) == ("灯", origin.sha256, origin.card, True)
    session.open_session(row.path, row.card)
    assert packs.look(other, made).trust == "trusted"
    assert packs.look(ws, made).trust == "own"
    assert [k.fingerprint for k in keys.trusted(other)] == [key]
    keys.forget(other, key)
    assert packs.look(other, made).trust == "unknown"
    with pytest.raises(NotFound, match="no trusted key"):
        keys.forget(other, key)


def test_any_tool_can_look_into_a_pack_and_find_all_that_belongs_to_the_model(
    ws: Workspace, made: Path
) -> None:
    held = entries(made)
    sha256 = onnx.show(ws, "灯").sha256
    assert list(held) == [
        "manifest.json",
        "signature",
        "licence.txt",
        "test/picture.png",
        f"{sha256}/{sha256}.onnx",
    ]
    assert held["licence.txt"].decode() == LICENCE
    assert held[f"{sha256}/{sha256}.onnx"] == demo.path().read_bytes()
    told = json.loads(held["manifest.json"])
    assert (told["name"], told["sha256"], told["licence"]) == ("灯", sha256, "Apache-2.0")
    assert told["expected"]["objects"]
    assert told["runtime"].startswith("onnxruntime ")


def test_equal_packs_have_equal_bytes(ws: Workspace, made: Path, tmp_path: Path, licence: Path) -> None:
    packs.export(ws, "灯", tmp_path / "again", licence=licence)
    assert (tmp_path / "again.lrmodel").read_bytes() == made.read_bytes()
    with pytest.raises(Conflict, match="such a file already"):
        packs.export(ws, "灯", made, licence=licence)


def test_weights_beside_the_model_travel_with_it(
    ws: Workspace, other: Workspace, tmp_path: Path, licence: Path
) -> None:
    path = outside(tmp_path / "m", onnx_format.load(str(demo.path())), location="part/w.bin", least=512)
    row = onnx.add(ws, path, name="outside")
    packs.export(ws, "outside", tmp_path / "o.lrmodel", licence=licence)
    shutil.rmtree(path.parent)
    taken = packs.take(other, tmp_path / "o.lrmodel", trust=keys.fingerprint(ws))
    assert isinstance(taken, onnx.ModelRow)
    assert taken.card == row.card
    assert (taken.path.parent / "part/w.bin").is_file()
    session.open_session(taken.path, taken.card)


def test_a_promptable_pair_travels_with_both_halves_and_its_weights(
    ws: Workspace, other: Workspace, tmp_path: Path, licence: Path
) -> None:
    halves = [
        outside(
            tmp_path / "p",
            onnx_format.load(str(half)),
            location=f"{half.stem}.data",
            file=half.name,
            least=512,
        )
        for half in toy_pairs.write(tmp_path)
    ]
    row = onnx.add_pair(ws, *halves, name="sam")
    manifest = packs.export(ws, "sam", tmp_path / "sam.lrmodel", licence=licence, licence_name="MIT")
    assert (manifest.kind, manifest.licence, len(manifest.expected.prompt)) == ("pair", "MIT", 4)
    taken = packs.take(other, tmp_path / "sam.lrmodel", trust=keys.fingerprint(ws), name="sam 2")
    assert isinstance(taken, onnx.PairRow)
    assert (taken.name, taken.sha256) == ("sam 2", row.sha256)
    promptable.open_pair(taken.encoder, taken.decoder, taken.card)


def test_a_dry_run_keeps_neither_a_pair_nor_a_reader_nor_the_demonstration(
    ws: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder, decoder = toy_pairs.write(tmp_path)
    finder = test_reader.finder(tmp_path / "f.onnx")
    recogniser = test_reader.recogniser(tmp_path / "r.onnx")
    add = ["-w", ws.location, "models", "add", "--dry-run"]
    assert cli.main([*add, str(encoder), "--decoder", str(decoder)]) == 0
    assert cli.main([*add, str(finder), "--recogniser", str(recogniser)]) == 0
    assert "promptable" in (said := capsys.readouterr().out) and "read" in said
    assert cli.main([*add, "--demo"]) == 2
    assert (onnx.listing(ws), onnx.pairs(ws)) == ([], [])


def test_a_reader_of_text_travels_with_both_files(
    ws: Workspace, other: Workspace, tmp_path: Path, licence: Path
) -> None:
    finder = outside(
        tmp_path / "o", onnx_format.load(str(test_reader.finder(tmp_path / "f.onnx"))), file="f.onnx", least=1
    )
    row = onnx.add_reader(ws, finder, test_reader.recogniser(tmp_path / "r.onnx"), name="reader")
    page = np.zeros((200, 400, 3), np.uint8)
    page[40:90, 60:300] = 255
    cv2.imwrite(str(tmp_path / "page.png"), page)
    manifest = packs.export(
        ws, "reader", tmp_path / "r.lrmodel", licence=licence, picture=tmp_path / "page.png"
    )
    assert manifest.kind == "reader"
    assert [seen.text for seen in manifest.expected.objects] != [""]
    taken = packs.take(other, tmp_path / "r.lrmodel", trust=keys.fingerprint(ws))
    assert (taken.sha256, taken.card, taken.present) == (row.sha256, row.card, True)


def test_class_mapping_and_thresholds_come_along_and_are_used(
    ws: Workspace, other: Workspace, tmp_path: Path, licence: Path
) -> None:
    onnx.add_demo(ws)
    recipe = tmp_path / "r.toml"
    recipe.write_text('score = 0.5\n[map]\nperson = "worker"\nlarge_coal = ""\n', encoding="utf-8")
    packs.export(ws, "demo", tmp_path / "d.lrmodel", licence=licence, recipe=recipe, schema="coal_mine")
    packs.take(other, tmp_path / "d.lrmodel", trust=keys.fingerprint(ws))
    found = packs.recipe(other, "demo")
    assert (found.score_micro, found.target("person"), found.target("large_coal")) == (500_000, "worker", "")
    assert orders.recipe_for(None, base=found).target("person") == "worker"
    assert packs.recipe(ws, "demo") == PLAIN
    packs.export(
        other, "demo", tmp_path / "on.lrmodel"
    )  # licence, picture and mapping of the pack it came in
    sent = packs.look(other, tmp_path / "on.lrmodel").manifest
    assert (sent.recipe, sent.schema, sent.licence) == (
        packs.look(ws, tmp_path / "d.lrmodel").manifest.recipe,
        "coal_mine",
        "Apache-2.0",
    )
    wrong = tmp_path / "w.toml"
    wrong.write_text('[map]\ndragon = "x"\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match="no class dragon"):
        packs.export(ws, "demo", tmp_path / "x.lrmodel", licence=licence, recipe=wrong)
    assert not (tmp_path / "x.lrmodel").exists()


def test_a_picture_of_ones_own_goes_out_without_its_metadata(
    ws: Workspace, tmp_path: Path, licence: Path
) -> None:
    onnx.add_demo(ws)
    shot = tmp_path / "shot.jpg"
    data = cv2.imencode(".jpg", scenes.draw(3).picture)[1].tobytes()
    exif = b"Exif\0\0GPS 39.9N 116.4E"
    shot.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    packs.export(ws, "demo", tmp_path / "d.lrmodel", licence=licence, picture=shot)
    held = entries(tmp_path / "d.lrmodel")
    assert b"GPS" not in held["test/picture.png"]
    assert np.array_equal(
        cv2.imdecode(np.frombuffer(held["test/picture.png"], np.uint8), 1),
        cv2.imdecode(np.frombuffer(data, np.uint8), 1),
    )


def test_what_cannot_be_sent_is_said_and_leaves_no_file(ws: Workspace, tmp_path: Path, licence: Path) -> None:
    onnx.add_demo(ws)
    target = tmp_path / "x.lrmodel"
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.zeros((90, 160, 3), np.uint8))
    for match, options in (
        ("the text of its licence", {}),
        ("cannot be opened", {"licence": tmp_path / "none"}),
        ("not a text file", {"licence": demo.path()}),
        ("finds nothing in the test picture", {"licence": licence, "picture": blank}),
        ("cannot be opened", {"licence": licence, "picture": tmp_path / "none.png"}),
    ):
        with pytest.raises(LamproomError, match=match):
            packs.export(ws, "demo", target, **options)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        packs.export(ws, "nobody", target, licence=licence)
    onnx.show(ws, "demo").path.unlink()
    with pytest.raises(Unavailable, match="not on this machine"):
        packs.export(ws, "demo", target, licence=licence)
    assert [p.name for p in tmp_path.iterdir() if "x.lrmodel" in p.name] == []


# --- changed, damaged, forged ------------------------------------------------------------------------------------


def test_one_changed_byte_is_refused_or_meant_nothing(ws: Workspace, made: Path, tmp_path: Path) -> None:
    whole = made.read_bytes()
    bad = tmp_path / "bad.lrmodel"
    want = onnx.show(ws, "灯").sha256
    refusals = 0
    places = np.random.default_rng(5).integers(0, len(whole), 12).tolist()
    for at in (*places, 0, 40, 3000, len(whole) - 1):
        bad.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        try:
            row = packs.take(ws, bad, name="twice")
        except LamproomError:
            refusals += 1
            assert [r.name for r in onnx.listing(ws)] == ["灯"]
        else:  # a byte of the zip's own book-keeping, such as a time
            assert row.sha256 == want
            onnx.remove(ws, "twice")
    assert refusals > len(places)


def test_a_pack_that_was_cut_short_is_refused(ws: Workspace, made: Path, tmp_path: Path) -> None:
    whole = made.read_bytes()
    bad = tmp_path / "bad.lrmodel"
    for end in (0, 10, 21, 22, 100, 5000, len(whole) // 2, len(whole) - 1):
        bad.write_bytes(whole[:end])
        refused(ws, bad, "cut short or damaged")


@pytest.mark.parametrize("name", ["licence.txt", "test/picture.png", ".onnx"])
def test_a_file_that_was_exchanged_under_the_signature_is_refused(
    ws: Workspace, made: Path, name: str
) -> None:
    held = entries(made)
    name = next(n for n in held if n.endswith(name))
    held[name] = held[name][:-1] + bytes([held[name][-1] ^ 1])
    refused(ws, written(made, held), f"{name} is not what was signed")


def test_a_manifest_that_was_changed_or_signed_by_somebody_else_is_refused(
    ws: Workspace, other: Workspace, made: Path
) -> None:
    held = entries(made)
    changed = {**held, "manifest.json": held["manifest.json"].replace(b"Apache-2.0", b"Public-1.0")}
    refused(ws, written(made, changed), "the pack was changed or forged")
    forged = {
        **held,
        "signature": signing_key(other).sign(pack.SIGNED + held["manifest.json"]),
    }
    refused(ws, written(made, forged), "the pack was changed or forged")
    bare = {**held, "signature": signing_key(ws).sign(held["manifest.json"])}
    refused(ws, written(made, bare), "the pack was changed or forged")  # signed for another purpose


def test_a_test_that_gives_something_else_is_refused_and_says_what(ws: Workspace, made: Path) -> None:
    def moved(manifest: dict[str, Any]) -> None:
        manifest["expected"]["objects"][0]["box"][0] += 9000

    refused(
        ws,
        signed(made, ws, moved),
        r"its test gives something else .* with score 0\.\d\d at \d+, \d+ is not found again",
    )

    def fewer(manifest: dict[str, Any]) -> None:
        manifest["expected"]["objects"][0]["box"][0] -= 9000
        manifest["expected"]["objects"].pop(0)

    refused(ws, signed(made, ws, fewer), "is found besides")


def test_a_model_that_is_none_or_does_not_run_is_refused_like_any_other(
    ws: Workspace, made: Path, tmp_path: Path
) -> None:
    def exchange(data: bytes) -> None:
        held = entries(made)
        old = next(n for n in held if n.endswith(".onnx"))
        sha256 = hashlib.sha256(data).hexdigest()
        files = {n: v for n, v in held.items() if n != old} | {f"{sha256}/{sha256}.onnx": data}

        def change(manifest: dict[str, Any]) -> None:
            manifest["sha256"] = manifest["card"]["sha256"] = manifest["parts"][0]["sha256"] = sha256
            manifest["parts"][0]["files"] = [{"name": f"{sha256}.onnx", "size": len(data), "sha256": sha256}]

        signed(written(made, files), ws, change)

    exchange(b"GIF89a" * 99)
    refused(ws, made, "damaged or not ONNX|truncated or not ONNX")
    exchange(toy_model(columns()).SerializeToString())
    refused(ws, made, "its test cannot be run|its test gives something else")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda m: m.update(surplus=1), "not sound"),
        (lambda m: m.update(version=2), r"a pack of version 2; .*newer Lamproom"),
        (lambda m: m.update(kind="pair"), "not sound"),
        (lambda m: m.update(sha256="0" * 64), "its card is not that of its files"),
        (lambda m: m.update(sha256="../" * 20 + "abcd"), "not sound"),
        (lambda m: m["parts"][0].update(role="../up"), "not sound"),
        (lambda m: m["parts"][0]["files"][0].update(name="../../evil.onnx"), "not sound"),
        (
            lambda m: m["parts"][0]["files"].append({"name": "../evil", "size": 0, "sha256": "0" * 64}),
            "outside its folder",
        ),
        (
            lambda m: m["parts"][0]["files"].append({"name": "w.bin", "size": 0, "sha256": "0" * 64}),
            "not sound",
        ),
        (lambda m: m["parts"][0]["files"][0].update(size=10**15), "not sound"),
        (lambda m: m["parts"][0]["files"][0].update(size=-1), "not sound"),
        (lambda m: m["parts"].append(m["parts"][0]), "not sound"),
        (lambda m: m["card"].update(sha256="0" * 64), "its card is not that of its files"),
        (lambda m: m["card"].update(family="nobody"), "there is no family 'nobody'"),
        (lambda m: m["card"].update(input_wh=[99999, 99999]), "numbers out of range"),
        (lambda m: m["card"].update(labels=[]), "no classes"),
        (lambda m: m["card"].update(labels=["one"]), "its test"),
        (lambda m: m["card"].update(outputs=[["table", "nothing"]]), "its test cannot be run"),
        (lambda m: m["licence_text"].update(name="/etc/passwd"), "not sound"),
        (lambda m: m["picture"].update(size=10**9), "not sound"),
        (lambda m: m.update(expected={"objects": [], "vector": [], "prompt": [], "least": 0}), "not sound"),
        (lambda m: m.update(recipe={"score_micro": 10**12}), "not between 0 and 1"),
        (lambda m: m.update(recipe={"mapping": [["dragon", "x"]]}), "no class dragon"),
    ],
)
def test_a_manifest_that_asks_for_anything_else_is_refused_even_when_it_is_signed(
    ws: Workspace, made: Path, change: Callable[[dict[str, Any]], None], complaint: str
) -> None:
    refused(ws, signed(made, ws, change), complaint)


def test_files_that_the_manifest_does_not_name_and_odd_zips_are_refused(
    ws: Workspace, made: Path, tmp_path: Path
) -> None:
    held = entries(made)
    bad = tmp_path / "bad.lrmodel"
    refused(ws, written(bad, {**held, "../../evil": b"x"}), "does not hold the files it names")
    refused(
        ws,
        written(bad, {n: v for n, v in held.items() if n != "licence.txt"}),
        "not a model pack|does not hold",
    )
    refused(ws, written(bad, held, kind=zipfile.ZIP_DEFLATED), "compressed or encrypted")
    refused(ws, written(bad, dict(reversed(held.items()))), "not a model pack")
    refused(ws, written(bad, {str(i): b"" for i in range(5000)}), "not a model pack")
    refused(ws, written(bad, {"x" * 60000: b"", **{str(i): b"" for i in range(5)}}), "not a model pack")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(made, "a") as archive:
        archive.writestr("manifest.json", held["manifest.json"])
    refused(ws, made, "not a model pack")
    refused(ws, tmp_path / "none.lrmodel", "cannot read the pack")


def test_a_bomb_is_refused_by_its_directory_before_anything_is_read(ws: Workspace, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.lrmodel"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b"0" * 200_000_000)
        for name in ("signature", "licence.txt", "test/picture.png", "model/x.onnx"):
            archive.writestr(name, b"x")
    assert bomb.stat().st_size < 1_000_000
    refused(ws, bomb, "compressed or encrypted|not a model pack")


def test_a_taken_name_or_a_full_disk_leaves_nothing(
    ws: Workspace, other: Workspace, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.fingerprint(ws)
    outer = toy_model(columns((32, 32, 16, 16, 0.9)), metadata={"names": "['a', 'b']"})
    path = made.with_name("toy.onnx")
    path.write_bytes(outer.SerializeToString())
    onnx.add(other, path, name="灯")
    refused(other, made, "another model is called", trust=key, name=None)
    monkeypatch.setattr(pack.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 10**6))
    refused(other, made, "bytes are needed", trust=key, name="other")
    monkeypatch.undo()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packs.files, "sync_tree", full)
    refused(other, made, "No space left", trust=key, name="other")


def test_what_came_with_a_pack_stays_only_when_the_model_does(
    ws: Workspace, other: Workspace, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.fingerprint(ws)
    taken = packs.take(other, made, name="first", trust=key)
    beside = other.folder / "models" / f"{taken.sha256}.pack" / "signature"
    beside.write_bytes(b"of before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packs.onnx, "adopt", full)
    refused(other, made, "No space left", name="first")
    assert beside.read_bytes() == b"of before"
    refused(ws, made, "No space left", name="灯")
    assert packs.origin(ws, taken.sha256) is None


def test_a_list_of_keys_that_cannot_be_read_is_said_and_never_taken_as_empty(
    other: Workspace, made: Path
) -> None:
    (other.folder / "keys/trusted.json").write_bytes(b"{")
    with pytest.raises(InvalidInput, match="trusted keys cannot be read"):
        packs.look(other, made)


# --- the comparison ----------------------------------------------------------------------------------------------


def seen(score: int = 900_000, x: int = 10_000, label: str = "person", **more: Any) -> Seen:
    return Seen(label, score, (x, 0, x + 5000, 9000), **more)


def test_results_agree_within_a_pixel_and_a_hundredth_and_differ_beyond() -> None:
    want = Result((seen(), seen(x=500_000), seen(255_000, x=90_000)), least=250_000)
    assert sample.differs(want, want) == ""
    near = Result((seen(905_000, x=500_900), seen(x=9_200), seen(255_000, x=90_000)), least=250_000)
    assert sample.differs(want, near) == ""
    at_the_threshold = replace(want, objects=want.objects[:2])
    assert sample.differs(want, at_the_threshold) == sample.differs(at_the_threshold, want) == ""
    for change in (seen(915_000), seen(x=12_000), seen(label="helmet"), seen(text="x"), seen(area=99)):
        assert "not found again" in sample.differs(want, replace(want, objects=(change, *want.objects[1:])))
    assert "found besides" in sample.differs(want, replace(want, objects=(seen(x=1), *want.objects)))
    assert sample.differs(Result(vector=(1, 2)), Result(vector=(1, 1999))) == ""
    assert "differs by up to" in sample.differs(Result(vector=(1, 2)), Result(vector=(1, 9000)))
    assert "numbers instead of" in sample.differs(Result(vector=(1, 2)), Result(vector=(1,)))


def test_of_more_objects_than_are_kept_the_weakest_may_change() -> None:
    many = tuple(seen(900_000 - i, x=20_000 * i) for i in range(sample.MAX_OBJECTS + 1))
    assert sample.differs(Result(many[:-1]), Result(many[1:])) != "" or many
    assert (
        sample.differs(Result(many[:-1]), Result((*many[:-2], many[-1])))
        == f"{sample._told(many[-2])} is not found again"
    )


def test_a_manifest_reads_back_as_it_was_written(ws: Workspace, made: Path) -> None:
    manifest = packs.look(ws, made).manifest
    assert pack.manifest_of(manifest.to_json(), where="") == manifest
    assert msgspec.convert(json.loads(manifest.to_json()), Manifest) == manifest


# --- the command line --------------------------------------------------------------------------------------------


def test_the_command_line_sends_shows_and_takes_in(
    ws: Workspace, other: Workspace, tmp_path: Path, licence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*line: str, on: Workspace) -> tuple[int, dict[str, Any], str]:
        code = cli.main(["-w", on.location, "--json", *line])
        got = capsys.readouterr()
        return code, json.loads(got.out) if got.out.strip() else {}, got.err

    assert run("models", "add", "--demo", on=ws)[0] == 0
    file = str(tmp_path / "d.lrmodel")
    code, told, _ = run("models", "export", "demo", file, "--licence", str(licence), on=ws)
    assert (code, told["licence"]) == (0, "Apache-2.0")
    code, looked, _ = run("models", "add", file, "--dry-run", on=other)
    assert (code, looked["trust"], looked["key"]) == (0, "unknown", told["key"])
    code, _, said = run("models", "add", file, on=other)
    assert code == 1
    assert told["key"] in said
    code, taken, _ = run("models", "add", file, "--trust", told["key"], on=other)
    assert (code, taken["sha256"], taken["key"]) == (0, told["sha256"], told["key"])
    code, listed, _ = run("keys", "show", on=other)
    assert [row["key"] for row in listed["trusted"]] == [told["key"]]
    assert run("keys", "forget", told["key"], on=other)[0] == 0
