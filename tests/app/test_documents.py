"""Rules of a version's documents: figures with sample and interval, pages that stand alone, Croissant that its reader opens."""

from __future__ import annotations

import hashlib
import html.parser
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotation import shares
from annotation.errors import InvalidInput
from app import cli
from app.services import about, croissant, documents, publish, qualityreport, versions
from app.services.documents import Known
from app.services.leakage import NEAR_S, Leakage
from app.services.quality import Quality
from storage.lineage import without_names
from tests.support import peers, whole
from tests.support.whole import DATASET, REF, Whole


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    found = whole.build(tmp_path_factory.mktemp("whole"))
    yield found
    found.ws.close()


@pytest.fixture(scope="module")
def known(made: Whole) -> Known:
    version, root = versions.load(made.ws, versions.find(made.ws, REF))
    return ended(documents.known(made.ws, version, root))


@pytest.fixture(scope="module")
def quality(known: Known) -> Quality:
    return known.quality


def ended(work: Any) -> Any:
    """What a generator returns."""
    try:
        while True:
            next(work)
    except StopIteration as end:
        return end.value


# -- figures ---------------------------------------------------------------------------------------------------------


def test_wilson_s_interval_is_that_of_the_book_and_stays_within_0_and_1() -> None:
    low, high = shares.wilson(15, 20) or (0, 0)
    assert (round(low, 4), round(high, 4)) == (0.5313, 0.8881)
    for hits, n in ((0, 1), (1, 1), (0, 10_000), (10_000, 10_000), (1, 10_000)):
        low, high = shares.wilson(hits, n) or (2, -1)
        assert 0 <= low <= hits / n <= high <= 1
    assert shares.wilson(0, 0) is None


def test_bootstrap_draws_of_a_stream_hold_the_figure_and_are_equal_for_equal_seeds() -> None:
    rng = np.random.default_rng(1)
    rows = rng.poisson(3.0, (2000, 1)).astype(float)
    made = []
    for parts in (1, 8):
        draws = shares.Draws(1, seed=7)
        for part in np.array_split(rows, parts):
            draws.add(part)
        made.append(draws)
        low, high = draws.bounds(draws.drawn[:, 0] / draws.n) or (0, 0)
        mean, error = rows.mean(), rows.std() / np.sqrt(len(rows))
        # A Poisson weighted sum also varies in how many it draws: its spread is that of the mean square.
        assert (
            low < mean < high
            and high - low < 8 * np.sqrt((rows**2).mean() / len(rows))
            and high - low > 2 * error
        )
    again = shares.Draws(1, seed=7)
    again.add(rows)
    assert (again.drawn == made[0].drawn).all()


def test_evenness_is_one_for_equal_classes_and_unknown_for_a_single_one() -> None:
    assert shares.evenness(np.array([5.0, 5, 5]))[0] == pytest.approx(1.0)
    assert shares.evenness(np.array([98.0, 1, 1]))[0] < 0.15
    assert np.isnan(shares.evenness(np.array([4.0, 0]))[0]) and np.isnan(
        shares.evenness(np.array([0.0, 0]))[0]
    )


def test_every_figure_has_a_sample_an_interval_or_a_reason_why_it_is_not_known(quality: Quality) -> None:
    for m in quality.metrics:
        if m.value is None:
            assert m.why, m
        elif m.hits is not None:
            assert m.n > 0 and m.low is not None and m.high is not None and m.method == "wilson", m
            assert m.low <= m.value <= m.high
        elif m.method == "bootstrap":
            assert m.low is not None and m.high is not None and m.low <= m.high, m


def test_the_figures_are_those_of_the_record(quality: Quality) -> None:
    def share(id: str, about: str = "") -> tuple[int | None, int]:
        m = quality.metric(id, about)
        return m.hits, m.n

    assert (quality.metric("pictures").n, quality.metric("objects").n) == (
        10,
        sum(c["objects"] for c in quality.classes),
    )
    assert share("accepted") == (9, 10) and share("returned") == (1, 10) and share("first_pass") == (9, 10)
    hits, n = share("agreement")
    assert n is not None and hits == n - 1  # 王芳 moved one object that 李明 had accepted
    assert share("class_agreement") == (n, n)
    assert share("leak_folder") == (2, 2) and quality.metric("leak_time").why
    assert (quality.metric("copies").value, quality.metric("cleaned").value) == (1, 1)
    assert [m["name"] for m in quality.models] == ["demo"]
    good = quality.metric("model_accepted", "demo")
    assert good.n == quality.models[0]["total"]["kept"] + quality.models[0]["total"]["moved"] > 20
    assert quality.evaluations[0]["pictures"] == 10


def test_test_pictures_near_in_time_to_training_ones_are_found_within_their_folder_only() -> None:
    folder = np.array([0, 0, 0, 1, 1], np.int32)
    taken = np.array([0, NEAR_S * 1000, 10 * NEAR_S * 1000, 0, 5 * NEAR_S * 1000], np.int64)
    held = np.array([True, False, True, True, False])
    assert Leakage._moments(folder, taken, held, ~held) == 1


def test_a_test_picture_with_a_near_copy_in_train_is_counted(tmp_path: Path) -> None:
    from app.services import cleaning
    from app.services import schema as schemas
    from app.services.quality import measure

    made = whole.build(tmp_path, 4, published=False)
    ws = made.ws
    with ws.db.write() as conn:  # as if two pictures of different splits had been found to be near
        conn.exec_driver_sql("DELETE FROM likeness")
        near = cleaning.LIKENESS.index("near")
        for group, pair in ((1, (made.assets[3], made.assets[0])), (2, (made.assets[1], made.assets[2]))):
            for rank, asset in enumerate(pair):
                conn.exec_driver_sql(
                    "INSERT INTO likeness (dataset_id, kind, asset_id, group_id, rank) "
                    f"VALUES (1, {near}, {asset}, {group}, {rank})"
                )
    version = versions.find(ws, REF)
    found: Quality = whole.run(measure(ws, version, schemas.at(ws, version.schema_version_id))).result[
        "quality"
    ]  # type: ignore[assignment]
    leak = found.metric("leak_copies")
    assert (leak.hits, leak.n) == (1, 1)
    ws.close()


def test_a_version_without_any_picture_has_documents_too(made: Whole, tmp_path: Path) -> None:
    chosen = versions.Filter(splits=("val",))
    version = versions.freeze(made.ws, DATASET, tag="none", filter=chosen)
    whole.run(documents.report(made.ws, version.ref, tmp_path))
    figures = json.loads((tmp_path / "quality.json").read_text(encoding="utf-8"))["metrics"]
    assert {
        m["value"] for m in figures if m["id"] in ("labelled", "accepted", "evenness", "objects_per_picture")
    } == {None}
    version, root = versions.load(made.ws, versions.find(made.ws, version.ref))
    assert ended(documents.made(made.ws, version, root))["records.jsonl"] == b""


# -- pages -----------------------------------------------------------------------------------------------------------


class Balanced(html.parser.HTMLParser):
    """Counts open tags and outward references."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "rect", "circle"):
            self.open.append(tag)
        self.outside += [f"{tag} {k}" for k, _ in attrs if k in ("src", "href", "onload", "style")]
        if tag in ("script", "link", "iframe", "object", "img"):
            self.outside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("kind", ["report", "card"])
def test_a_page_stands_alone_prints_and_names_nobody(
    known: Known, made: Whole, kind: str, language: str
) -> None:
    data = known.report(language) if kind == "report" else known.card(language)
    text = data.decode()
    page = Balanced()
    page.feed(text)
    assert page.open == [] and page.outside == []
    assert "@media print" in text and "@page" in text and "url(" not in text and "@import" not in text
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == []
    assert str(made.folder) not in text and "李明" not in text and "王芳" not in text
    assert ("质量报告" in text or "数据卡" in text) == (language == "zh")
    if language == "en":
        bare = re.sub(r"font-family=\"[^\"]*\"|<style>.*?</style>", "", text, flags=re.S).replace(REF, "")
        assert not re.search("[\u4e00-\u9fff]", bare)


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_every_metric_of_the_report_is_told_with_its_formula(known: Known, language: str) -> None:
    from app import i18n

    text = known.report(language[:2]).decode()
    for name, formula in qualityreport.names(i18n.words(language)).values():
        assert qualityreport.paper.text(formula) in text, name
    assert "10" in text and ("Wilson" in text)


def test_names_are_in_the_card_when_they_are_asked_for(known: Known) -> None:
    card = known.card("zh", names=True).decode()
    assert "李明" in card and "王芳" in card


def test_what_people_say_of_a_dataset_is_kept_and_told_in_its_language(made: Whole, tmp_path: Path) -> None:
    file = tmp_path / "about.toml"
    file.write_text(
        'licence = "CC-BY-4.0"\n[zh]\npurpose = "训练检测器 <b>"\n[en]\npurpose = "To train"\n',
        encoding="utf-8",
    )
    kept = about.put(made.ws, DATASET, file)
    assert (about.said(kept, "purpose", "zh_CN"), about.said(kept, "purpose", "en")) == (
        "训练检测器 <b>",
        "To train",
    )
    assert about.said(kept, "licence", "en") == "CC-BY-4.0" and about.get(made.ws, DATASET) == kept
    whole.run(documents.report(made.ws, REF, tmp_path / "out"))
    assert "训练检测器 &lt;b&gt;" in (tmp_path / "out/card.zh.html").read_text(encoding="utf-8")
    for wrong in ("[zh]\nlicence = 'x'", "colour = 'red'", "purpose = 3", "purpose = "):
        file.write_text(wrong, encoding="utf-8")
        with pytest.raises(InvalidInput):
            about.put(made.ws, DATASET, file)
    assert about.get(made.ws, DATASET) == kept


def test_the_verb_writes_pages_and_pdfs(
    made: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "R"
    assert (
        cli.main(
            ["-w", made.ws.location, "report", REF, "--out", str(out), "--pdf", "--lang", "zh", "--json"]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["files"] == ["card.zh.html", "card.zh.pdf", "quality.json", "report.zh.html", "report.zh.pdf"]
    data = (out / "report.zh.pdf").read_bytes()
    assert data.startswith(b"%PDF-") and data.count(b"/Type /Page\n") >= 2 and b"/FontFile" in data
    assert json.loads((out / "quality.json").read_text())["version"] == REF
    assert cli.main(["-w", made.ws.location, "report", REF, "--out", str(out), "--lang", "fr"]) == 1


# -- the package -----------------------------------------------------------------------------------------------------


def test_a_package_holds_all_documents_signed_and_equal_records_give_equal_ones(made: Whole) -> None:
    folder = made.hub / "datasets" / DATASET / "v1"
    there = {p.name for p in folder.iterdir()}
    assert there >= {"croissant.json", "openlineage.jsonl", "report.zh.html", "report.en.html", "card.zh.html", "card.en.html",
                     "records.jsonl", "lineage.json", "card.md", "schema.toml"}  # fmt: skip
    listed = {f["name"] for f in json.loads((folder / "package.json").read_text())["files"]}
    assert {"croissant.json", "report.zh.html"} <= listed
    assert whole.run(versions.verify(made.hub, REF)).result["sound"]
    version, root = versions.load(made.ws, versions.find(made.ws, REF))
    first, again = (ended(documents.made(made.ws, version, root)) for _ in range(2))
    assert first == again
    for name, data in first.items():
        text = data.decode()
        assert str(made.folder) not in text and "李明" not in text and "王芳" not in text, name


def test_a_package_with_names_has_them(made: Whole, tmp_path: Path) -> None:
    whole.run(publish.run(made.ws, REF, tmp_path / "hub", way=publish.Way(names=True)))
    folder = tmp_path / "hub/datasets" / DATASET / "v1"
    for name in ("lineage.json", "card.zh.html", "card.md", "openlineage.jsonl"):
        if name != "openlineage.jsonl":
            assert "李明" in (folder / name).read_text(encoding="utf-8"), name


def test_names_are_hidden_in_every_fact_of_a_lineage(known: Known) -> None:
    hidden = without_names(known.origin)
    assert "李明" not in json.dumps(hidden.to_json(), ensure_ascii=False)
    assert {n.title for n in hidden.of_type("person")} == {"person 1", "person 2"}


def test_croissant_names_every_file_by_its_digest(made: Whole) -> None:
    folder = made.hub / "datasets" / DATASET / "v1"
    doc = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
    assert doc["conformsTo"] == "http://mlcommons.org/croissant/1.1" and doc["version"] == "1.0.0"
    for file in doc["distribution"]:
        assert hashlib.sha256((folder / file["contentUrl"]).read_bytes()).hexdigest() == file["sha256"], file[
            "name"
        ]
    lines = [json.loads(x) for x in (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 10 and all((made.hub / x["object"]).is_file() for x in lines)


def test_lines_that_grow_too_large_are_left_out_of_the_package(made: Whole) -> None:
    from storage import blobs

    _, root = versions.load(made.ws, versions.find(made.ws, REF))
    assert croissant.records(root, lambda b3: blobs.get(made.ws.folder, b3), most=500) is None


READ = """
import json, logging, sys
import mlcroissant as mlc
ds = mlc.Dataset(jsonld=sys.argv[1])
assert not ds.metadata.ctx.issues.errors, ds.metadata.ctx.issues.report()
plain = lambda v: v.decode() if isinstance(v, bytes) else {k: plain(x) for k, x in v.items()} if isinstance(v, dict) else [plain(x) for x in v] if isinstance(v, list) else v
print(json.dumps({"warnings": sorted(map(str, ds.metadata.ctx.issues.warnings)), "pictures": [plain(r) for r in ds.records("pictures")], "classes": len(list(ds.records("classes")))}))
"""


def test_mlcroissant_validates_a_package_and_reads_its_records(made: Whole) -> None:
    path = made.hub / "datasets" / DATASET / "v1" / "croissant.json"
    told = peers.ask(peers.peer("lineage"), READ, path)
    assert len(told["pictures"]) == 10 and told["classes"] > 20
    second = next(r for r in told["pictures"] if r["pictures/path"] == "cam-1/002.jpg")
    assert (second["pictures/width"], second["pictures/height"], second["pictures/split"]) == (
        480,
        270,
        "train",
    )
    with_box = second["pictures/annotations"][0]
    assert with_box["pictures/annotations/label"] and len(with_box["pictures/annotations/bbox"]) == 4


def test_mlcroissant_reads_what_a_native_export_wrote(made: Whole) -> None:
    told = peers.ask(peers.peer("lineage"), READ, made.native / croissant.FILE)
    read = [r for r in told["pictures"] if r["pictures/path"]]
    lines = (made.native / "annotations.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    objects = sum(len(r["pictures/annotations"] or ()) for r in read)
    assert (len(read), objects) == (10, sum(len(json.loads(x)["annotations"]) for x in lines))
