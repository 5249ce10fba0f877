"""The quality report of a version as a page: each figure with formula, sample size and interval; zh or en, HTML.

It follows what the guidelines of the National Data Administration for high-quality datasets ask of such a report (every metric
with its formula and sample size); it is a record of figures and no certificate of conformity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from annotation.labels import LabelSchema
from app import i18n
from app.services import paper
from app.services.metric import Metric
from app.services.quality import CHECKED, SIDES, Quality
from storage.versions import Version

Say = Callable[..., str]
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("content", ("labelled", "human", "objects_per_picture", "required_missing")),
    ("review", ("accepted", "returned", "first_pass", "agreement", "class_agreement")),
    ("balance", ("evenness", "relative_side", "small")),
    ("leakage", ("leak_copies", "leak_folder", "leak_time")),
    ("pictures", ("blurred", "dark", "glare", "haze", "unreadable")),
)
_REVIEW_TONES = {"draft": paper.LINE, "submitted": "#1f6fb2", "accepted": "#2c8353", "returned": "#b83a34"}


def names(say: Say) -> dict[str, tuple[str, str]]:
    """Metric -> (name, formula) in a language."""
    return {
        "labelled": (say("Labelled share"), say("pictures with at least one true object / all pictures")),
        "human": (say("Drawn or confirmed by people"), say("true objects of human origin / all true objects")),
        "objects_per_picture": (say("Objects per picture"), say("true objects / pictures")),
        "required_missing": (say("Required attribute missing"), say("checked pictures with an object that lacks a required attribute / checked pictures")),
        "accepted": (say("Share accepted in review"), say("pictures in the state accepted / all pictures")),
        "returned": (say("Share returned"), say("decisions “returned” / decisions “accepted” or “returned”")),
        "first_pass": (say("Accepted at the first look"), say("pictures whose first decision was “accepted” / pictures with a decision")),
        "agreement": (say("Agreement between people"), say("objects one person made and another, who judged them, left exactly as they were / objects one person made and another judged, changed or deleted")),
        "class_agreement": (say("Agreement on the class"), say("the same objects whose class stayed (shape may differ) / the same objects")),
        "evenness": (say("Evenness of the classes"), say("Pielou: H / ln K, H = −Σ p ln p over the K classes that occur; 1 = all alike")),
        "relative_side": (say("Mean relative side of boxes"), say("mean of √(box area / picture area)")),
        "small": (say("Small boxes"), say("boxes of less than {a}² px / all boxes", a=SIDES[0])),
        "leak_copies": (say("Test pictures with a copy in train"), say("pictures of val and test in one group of exact, near or like copies with a picture of train / pictures of val and test")),
        "leak_folder": (say("Test pictures from a folder of train"), say("pictures of val and test whose folder also holds pictures of train / pictures of val and test")),
        "leak_time": (say("Test pictures taken within 60 s of train"), say("pictures of val and test taken within 60 s of one of train from the same folder / pictures of val and test whose time is known")),
        "blurred": (say("Blurred"), say("pictures of sharpness below 0.10 / measured pictures")),
        "dark": (say("Too dark"), say("pictures of brightness below 0.04 / measured pictures")),
        "glare": (say("Glare"), say("pictures with more than 20 % blown out / measured pictures")),
        "haze": (say("Haze or dust"), say("pictures with a veil above 0.30 / measured pictures")),
        "unreadable": (say("Trouble in reading"), say("pictures some work could not use / all pictures")),
        "model_accepted": (say("Predictions of use"), say("kept, moved or relabelled / predictions that people decided on")),
        "model_untouched": (say("Predictions taken as they were"), say("kept unchanged / predictions that people decided on")),
        "ap": (say("AP, mean over overlaps 0.50 to 0.95"), say("area under the precision-recall curve, COCO's 101 points")),
        "ap50": (say("AP at an overlap of 0.50"), say("area under the precision-recall curve, COCO's 101 points")),
    }  # fmt: skip


_TITLES = {
    "content": "Completeness", "review": "Review and agreement", "balance": "Balance and sizes", "leakage": "Leakage between splits",
    "pictures": "The pictures themselves",
}  # fmt: skip


def html(quality: Quality, version: Version, schema: LabelSchema, *, language: str) -> bytes:
    """The report of a version. language: "zh_CN" or "en"."""
    say = i18n.words(language)
    zh = language.startswith("zh")
    label = labels(schema, zh)
    known = names(say)
    body = [
        paper.heading(say("Quality report"), 1),
        paper.paragraph(version.ref, "lead"),
        paper.tiles([
            (say("Pictures"), f"{quality.metric('pictures').n:,}", ""),
            (say("Objects"), f"{quality.metric('objects').n:,}", say("{n} classes", n=len(quality.classes))),
            (known["labelled"][0], percent(quality.metric("labelled")), bounds(quality.metric("labelled"), say)),
            (known["accepted"][0], percent(quality.metric("accepted")), bounds(quality.metric("accepted"), say)),
        ]),
        paper.table((), [
            [paper.text(say("Frozen at revision")), f"{version.rev}"],
            [paper.text(say("Label schema")), paper.text(f"{version.schema_code}@{version.schema_number}")],
            [paper.text(say("Root digest, BLAKE3")), f'<span class="mono">{paper.text(version.root or "—")}</span>'],
        ]),
    ]  # fmt: skip
    for code, ids in SECTIONS:
        body.append(paper.heading(say(_TITLES[code])))
        body.append(_metrics(quality, ids, known, say))
        body += _figures(code, quality, label, say)
    body += _models(quality, label, known, say) + _evaluations(quality, known, say) + _faults(quality, say)
    body += [
        paper.heading(say("How the figures are made")),
        paper.paragraph(
            say(
                "Shares carry Wilson's interval at 95 % (Wilson, 1927). Means and indices carry the middle 95 % of {n} draws of the bootstrap over pictures with Poisson weights (Efron, 1979; Chamandy and others, 2012); average precision the bootstrap over pictures that its evaluation made.",
                n=200,
            ),
            "small",
        ),
        paper.paragraph(
            say(
                "An interval tells how far the figure could lie off if other pictures of the same kind had come. A dash means that the record does not know; the reason stands beside it."
            ),
            "small",
        ),
        paper.paragraph(
            say(
                "The figures are read from the record as it stood when the version was frozen. They follow what the guidelines of the National Data Administration for high-quality datasets ask of a report; they are no certificate."
            ),
            "small",
        ),
        f"<footer>Lamproom · {paper.text(version.ref)}</footer>",
    ]
    return paper.page(f"{say('Quality report')} {version.ref}", language, body)


def labels(schema: LabelSchema, zh: bool) -> Callable[[str], str]:
    """Class code -> its name."""

    def name(code: str) -> str:
        found = schema.label(code)
        return (found.name_zh if zh else found.name_en) or code if found else code

    return name


def percent(m: Metric) -> str:
    """A share for people; a dash where it is not known."""
    return "—" if m.value is None else f"{m.value:.1%}" if m.hits is not None else f"{m.value:.3f}"


def bounds(m: Metric, say: Say) -> str:
    """Its interval and sample in words."""
    n = say("n = {n}", n=f"{m.n:,}")
    if m.low is None or m.high is None:
        return n
    low, high = (f"{v:.1%}" if m.hits is not None else f"{v:.3f}" for v in (m.low, m.high))
    return f"[{low}, {high}] · {n}"


def _metrics(quality: Quality, ids: Sequence[str], known: Mapping[str, tuple[str, str]], say: Say) -> str:
    rows = []
    for m in quality.metrics:
        if m.id in ids and not m.about:
            name, formula = known[m.id]
            value = (
                paper.text(percent(m))
                if m.value is not None
                else f'— <span class="small">{paper.text(say(m.why))}</span>'
            )
            rows.append([
                f'{paper.text(name)}<br><span class="formula">{paper.text(formula)}</span>', value, _band(m, name, say),
                f"{m.n:,}<br><span class=\"small\">{paper.text(of(m, say))}</span>",
            ])  # fmt: skip
    return paper.table(
        (say("Metric and formula"), say("Value"), say("95 % interval"), say("Sample")),
        rows,
        numbers=(1, 3),
        wide=44,
    )


def of(m: Metric, say: Say) -> str:
    """What its sample is made of."""
    return say(
        {
            "pictures": "pictures",
            "objects": "objects",
            "decisions": "decisions",
            "predictions": "predictions",
            "files": "files",
        }[m.of]
    )


def _band(m: Metric, name: str, say: Say) -> str:
    if m.value is None:
        return ""
    method = {"wilson": say("Wilson"), "bootstrap": say("bootstrap")}.get(m.method, "")
    top = 1.0 if m.hits is not None or (m.high or m.value) <= 1 else max(m.high or 0, m.value) * 1.25
    told = (
        f"[{m.low:.1%}, {m.high:.1%}]"
        if m.hits is not None and m.low is not None
        else f"[{m.low:.3f}, {m.high:.3f}]"
        if m.low is not None
        else ""
    )
    return f'{paper.interval(m.value, m.low, m.high, f"{name} {percent(m)} {told}", top=top)}<span class="small">{told} {paper.text(method)}</span>'


def _figures(code: str, quality: Quality, label: Callable[[str], str], say: Say) -> list[str]:
    if code == "review" and quality.reviews:
        words = {
            "draft": say("draft"),
            "submitted": say("submitted"),
            "accepted": say("accepted"),
            "returned": say("returned"),
        }
        return [
            paper.stacked(
                [(words[k], n, _REVIEW_TONES[k]) for k, n in quality.reviews.items()], say("Review states")
            )
        ]
    if code == "leakage" and quality.splits:
        words = {"none": say("no split"), "train": "train", "val": "val", "test": "test"}
        tones = {"none": paper.LINE, "train": paper.TONES[0], "val": paper.TONES[2], "test": paper.TONES[1]}
        return [paper.stacked([(words[k], n, tones[k]) for k, n in quality.splits.items()], say("Splits")),
                paper.paragraph(say("The pictures come from {n} folders.", n=f"{quality.folders:,}"), "small")]  # fmt: skip
    if code == "balance" and quality.classes:
        shown = quality.classes[:30]
        kinds = [k for k in ("none", "train", "val", "test") if any(c["splits"].get(k) for c in shown)]
        words = {"none": say("no split"), "train": "train", "val": "val", "test": "test"}
        out = [
            paper.heading(say("Objects by class"), 3),
            paper.bars([(label(c["label"]), [c["splits"].get(k, 0) for k in kinds]) for c in shown], [words[k] for k in kinds], say("Objects by class")),
            paper.heading(say("Boxes by size"), 3),
            paper.bars([(label(c), list(n)) for c, n in list(quality.sizes.items())[:30]],
                       [say("small, under {a}² px", a=SIDES[0]), say("medium"), say("large, from {b}² px", b=SIDES[1])], say("Boxes by size"),
                       colours=(paper.TONES[4], paper.TONES[2], paper.TONES[3])),
        ]  # fmt: skip
        if len(quality.classes) > len(shown):
            out.append(
                paper.paragraph(say("… and {n} more classes", n=len(quality.classes) - len(shown)), "small")
            )
        return out
    return []


def _models(
    quality: Quality, label: Callable[[str], str], known: Mapping[str, tuple[str, str]], say: Say
) -> list[str]:
    if not quality.models:
        return []
    out = [paper.heading(say("What people made of the models' predictions"))]
    formulas = " ".join(f"{known[k][0]}: {known[k][1]}." for k in ("model_accepted", "model_untouched"))
    out.append(paper.paragraph(formulas, "formula"))
    by = {(m.id, m.about): m for m in quality.metrics}
    for model in quality.models:
        rows = []
        for about, shown, f in [(model["name"], say("all classes"), model["total"]),
                                *((f"{model['name']} · {c['label']}", label(c["label"]), c) for c in model["classes"])]:  # fmt: skip
            good, as_is = by[("model_accepted", about)], by[("model_untouched", about)]
            rows.append([
                paper.text(shown), *(f"{f[k]:,}" for k in ("kept", "moved", "relabelled", "rejected", "undecided", "missed")),
                f'{percent(good)}<br><span class="small">{paper.text(bounds(good, say))}</span>',
                f'{percent(as_is)}<br><span class="small">{paper.text(bounds(as_is, say))}</span>',
            ])  # fmt: skip
        out.append(paper.heading(f"{model['name']} · SHA-256 {model['sha256'][:16]}…", 3))
        out.append(paper.table((say("Class"), say("kept"), say("moved"), say("relabelled"), say("rejected"), say("undecided"), say("drawn by hand"),
                                known["model_accepted"][0], known["model_untouched"][0]), rows, numbers=range(1, 9)))  # fmt: skip
    return out


def _evaluations(quality: Quality, known: Mapping[str, tuple[str, str]], say: Say) -> list[str]:
    out = [paper.heading(say("Evaluations of models"))]
    if not quality.evaluations:
        return [
            *out,
            paper.paragraph(
                say("No model was judged against this version or on its dataset before it was frozen."),
                "small",
            ),
        ]
    by = {(m.id, m.about): m for m in quality.metrics}
    rows = []
    for e in quality.evaluations:
        against = " ".join(
            str(v)
            for v in (
                say(_YARDS.get(e["against"].get("kind"), "labelled truth")),
                e["against"].get("name") or "",
            )
            if v
        )
        for m in e["models"]:
            about = f"{m['name']} · #{e['activity']}"
            found = [by.get((k, about)) for k in ("ap", "ap50")]
            rows.append([paper.text(m["name"]), paper.text(against), *(f'{f.value:.3f}<br><span class="small">[{f.low:.3f}, {f.high:.3f}]</span>' if f and f.value is not None else "—" for f in found),
                         f"{e['pictures']:,} / {m['truth']:,}", f"{m['draws']:,}"])  # fmt: skip
    out.append(paper.paragraph(f"{known['ap'][0]}: {known['ap'][1]}.", "formula"))
    out.append(
        paper.table(
            (say("Model"), say("judged against"), "AP", "AP50", say("pictures / true objects"), say("draws")),
            rows,
            numbers=(2, 3, 4, 5),
        )
    )
    return out


_YARDS = {
    "version": "version",
    "accepted": "accepted pictures",
    "labelled": "labelled truth",
    "filter": "saved filter",
    "dataset": "dataset",
}


def issue_name(code: str, say: Say) -> str:
    """A rule of the problem list in words."""
    known = {
        "required": say("a required attribute is missing"), "value": say("an attribute has a value the schema does not allow"),
        "kind": say("a shape of a kind the class does not allow"), "stranger": say("a class the schema does not have, or retired"),
        "tiny": say("very small"), "duplicate": say("there twice"), "outside": say("beyond the picture's edge"),
        "crossing": say("an outline that crosses itself"), "blank": say("a caption without words"), "skeleton": say("keypoints that do not fit the template"),
    }  # fmt: skip
    return known.get(code, code)


def _faults(quality: Quality, say: Say) -> list[str]:
    m: Any = {x.id: x for x in quality.metrics if not x.about}
    issues = m["issues"]
    rows = [[paper.text(issue_name(code, say)), f"{n:,}"] for code, n in quality.issues.items()]
    out = [
        paper.heading(say("What was found and left out")),
        paper.table((say("What"), say("How many"), say("out of")), [
            [paper.text(say("Files of equal bytes left out at ingest")), f"{m['copies'].value:,.0f}", f"{m['copies'].n:,}"],
            [paper.text(say("Pictures that cleaning took out")), f"{m['cleaned'].value:,.0f}", f"{m['cleaned'].n:,}"],
            [paper.text(say("Pictures with an open remark")), f"{m['remarks'].value:,.0f}", f"{m['remarks'].n:,}"],
        ], numbers=(1, 2)),
        paper.heading(say("Rules of the problem list"), 3),
    ]  # fmt: skip
    told = say("All {n} objects were checked.", n=f"{issues.n:,}")
    if m["required_missing"].n < quality.metric("pictures").n:
        told = say(
            "A sample of about {p} pictures, chosen by the digests of their bytes, was checked: {n} objects.",
            p=f"{CHECKED:,}",
            n=f"{issues.n:,}",
        )
    out.append(paper.paragraph(told, "small"))
    out.append(
        paper.table((say("Rule"), say("Objects")), rows, numbers=(1,))
        if rows
        else paper.paragraph(say("No rule is broken."))
    )
    return out
