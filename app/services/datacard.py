"""The data card of a version: what it is for, what it is made of and how, by whom, its limits and rights, how to verify it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.labels import LabelSchema
from app import i18n
from app.services import about as abouts
from app.services import paper
from app.services.about import About
from app.services.lineagetext import day
from app.services.quality import Quality
from app.services.qualityreport import Say, labels, percent
from storage.lineage import Lineage
from storage.policy import FREE, Tag
from storage.versions import Version

FEW = 30
"""Objects of a class below which a card says that it is rare."""
_ROLES = (
    (
        "labeller",
        ("draw", "move", "label", "attribute", "reshape", "relabel", "delete", "edit", "paste", "import"),
    ),
    ("confirmer", ("accept", "reject")),
    ("inspector", ("review: accepted", "review: returned")),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card is written from. digest: of the root, BLAKE3 hex; key: fingerprint; size: media bytes."""

    version: Version
    schema: LabelSchema
    quality: Quality
    origin: Lineage
    about: About
    tag: Tag = FREE
    digest: str = ""
    key: str = ""
    size: int = 0
    media_types: Mapping[str, int] | None = None


def html(facts: Facts, *, language: str, names: bool = False) -> bytes:
    """The card. language: "zh_CN" or "en"; names: with people's names, not only how many they were."""
    say = i18n.words(language)
    v, q = facts.version, facts.quality
    label = labels(facts.schema, language.startswith("zh"))

    def told(field: str) -> str:
        return abouts.said(facts.about, field, language)

    body = [
        paper.heading(say("Data card"), 1),
        paper.paragraph(v.ref, "lead"),
        paper.tiles([
            (say("Pictures"), f"{q.metric('pictures').n:,}", size(facts.size)),
            (say("Objects"), f"{q.metric('objects').n:,}", say("{n} classes", n=len(q.classes))),
            (say("Labelled share"), percent(q.metric("labelled")), ""),
            (say("Share accepted in review"), percent(q.metric("accepted")), ""),
        ]),
        paper.heading(say("Purpose")),
        paper.paragraph(told("purpose") or say("Nobody has written down what this dataset is for.")),
        paper.heading(say("Composition")),
        _composition(facts, label, say),
        paper.heading(say("Collection")),
    ]  # fmt: skip
    if text := told("collection"):
        body.append(paper.paragraph(text))
    body += [
        _collection(facts, say),
        paper.heading(say("Processing")),
        _processing(facts, say),
        paper.heading(say("Models")),
    ]
    body += [
        _models(facts, say),
        paper.heading(say("People")),
        _people(facts, say, names=names),
        paper.heading(say("Known limits")),
    ]
    body += [
        f"<ul>{''.join(f'<li>{paper.text(x)}</li>' for x in limits(facts, label, say, told('limits')))}</ul>"
    ]
    body += [
        paper.heading(say("Rights")),
        _rights(facts, say, language),
        paper.heading(say("Identity and how to verify it")),
    ]
    body += _identity(facts, say)
    body.append(f"<footer>Lamproom · {paper.text(v.ref)}</footer>")
    return paper.page(f"{say('Data card')} {v.ref}", language, body)


def size(n: int) -> str:
    """Bytes for people."""
    value, unit = float(n), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _composition(facts: Facts, label: Any, say: Say) -> str:
    q = facts.quality
    rows = [
        [paper.text(label(c["label"])), f"{c['objects']:,}", f"{c['pictures']:,}"] for c in q.classes[:40]
    ]
    out = paper.table((say("Class"), say("Objects"), say("Pictures")), rows, numbers=(1, 2))
    splits = ", ".join(f"{say('no split') if k == 'none' else k} {n:,}" for k, n in q.splits.items())
    more = [say("Splits: {splits}.", splits=splits)]
    if facts.media_types:
        more.append(
            say(
                "Files: {types}.", types=", ".join(f"{t} {n:,}" for t, n in sorted(facts.media_types.items()))
            )
        )
    more.append(
        say("Predictions that nobody accepted are in it.") if facts.version.filter.predictions
        else say("Predictions that nobody accepted are not in it.")
    )  # fmt: skip
    return out + paper.paragraph(" ".join(more), "small")


def _collection(facts: Facts, say: Say) -> str:
    sources = facts.origin.of_type("source")
    counts = {e.target: e.n for e in facts.origin.edges if e.relation == "wasDerivedFrom" and e.n is not None}
    times = sorted(
        str(n.facts["started"])[:10] for n in facts.origin.of_type("ingest") if "started" in n.facts
    )
    rows = [[paper.text(n.title), f"{counts.get(n.id) or 0:,}"] for n in sources]
    when = ""
    if times:
        span = times[0] if times[0] == times[-1] else f"{times[0]} – {times[-1]}"
        when = paper.paragraph(say("Registered in the base: {span}.", span=span), "small")
    return paper.table((say("Source"), say("Pictures")), rows, numbers=(1,)) + when


def _processing(facts: Facts, say: Say) -> str:
    q = facts.quality
    steps = [
        say("{n} files of equal bytes were left out at ingest.", n=f"{q.metric('copies').value or 0:,.0f}"),
        say("{n} pictures were taken out in cleaning.", n=f"{q.metric('cleaned').value or 0:,.0f}"),
    ]
    for model in q.models:
        f = model["total"]
        steps.append(say("{name} pre-labelled: {kept} predictions were kept, {changed} changed, {rejected} rejected by people.", name=model["name"],
                         kept=f"{f['kept']:,}", changed=f"{f['moved'] + f['relabelled']:,}", rejected=f"{f['rejected']:,}"))  # fmt: skip
    imports = facts.origin.of_type("import")
    if imports:
        steps.append(say("{n} imports of labels from other tools are part of it.", n=len(imports)))
    return f"<ol>{''.join(f'<li>{paper.text(s)}</li>' for s in steps)}</ol>"


def _models(facts: Facts, say: Say) -> str:
    models = [n for n in facts.origin.of_type("model") if n.kind == "entity"]
    if not models:
        return paper.paragraph(say("No model took part."))
    ran = {n.id: n for n in facts.origin.nodes if n.type in ("prelabel run", "prelabel")}
    by: dict[str, set[str]] = defaultdict(set)
    for e in facts.origin.edges:
        if e.relation == "used" and e.source in ran:
            params: Any = ran[e.source].facts.get("params") or {}
            if ran[e.source].type == "prelabel run" and params.get("provider"):
                by[e.target].add(str(params["provider"]))
    rows = [
        [paper.text(n.title), f'<span class="mono">{paper.text(n.facts.get("sha256", ""))}</span>', paper.text(", ".join(sorted(by[n.id])) or "—"),
         paper.text(n.facts.get("licence") or "—")]
        for n in models
    ]  # fmt: skip
    return paper.table((say("Model"), "SHA-256", say("ran on"), say("Licence")), rows)


def roles(origin: Lineage) -> dict[str, dict[str, int]]:
    """Role -> person's title -> objects or pictures, of the hands in a version's lineage."""
    people = {n.id: n.title for n in origin.of_type("person")}
    hands = {n.id: n for n in origin.of_type("revisions")}
    out: dict[str, dict[str, int]] = {}
    for e in origin.edges:
        if e.relation == "wasAssociatedWith" and e.source in hands and e.target in people:
            verb = str(hands[e.source].facts.get("verb"))
            role = next((r for r, verbs in _ROLES if verb in verbs), None)
            if role is None and hands[e.source].facts.get("what") == "objects":
                role = "labeller"
            if role is not None:
                n = hands[e.source].facts.get("n")
                one = out.setdefault(role, defaultdict(int))
                one[people[e.target]] += n if isinstance(n, int) else 0
    return out


def _people(facts: Facts, say: Say, *, names: bool) -> str:
    words = {
        "labeller": say("drew or changed objects"),
        "confirmer": say("confirmed predictions"),
        "inspector": say("judged pictures in review"),
    }
    units = {"labeller": say("objects"), "confirmer": say("objects"), "inspector": say("pictures")}
    found = roles(facts.origin)
    rows = [
        [paper.text(words[role]), f"{len(found[role]):,}", f"{sum(found[role].values()):,} {paper.text(units[role])}",
         *([paper.text(", ".join(sorted(found[role])))] if names else [])]
        for role, _ in _ROLES if role in found
    ]  # fmt: skip
    if not rows:
        return paper.paragraph(say("The record names nobody."))
    head = (
        say("Role"),
        say("People"),
        say("Work that is in this version"),
        *((say("Names"),) if names else ()),
    )
    note = "" if names else paper.paragraph(say("Names are not given here; the base keeps them."), "small")
    return paper.table(head, rows, numbers=(1, 2)) + note


def limits(facts: Facts, label: Any, say: Say, written: str = "") -> list[str]:
    """What a user should know before trusting it: what people wrote, then what the figures show."""
    q = facts.quality
    out = [written] if written else []
    rare = [label(c["label"]) for c in q.classes if c["objects"] < FEW]
    if rare:
        shown = ", ".join(rare[:12]) + (" …" if len(rare) > 12 else "")
        out.append(say("Fewer than {n} objects: {classes}.", n=FEW, classes=shown))
    for id, line in (
        (
            "leak_copies",
            say("{p} of the pictures for testing have a copy or near copy among those for training."),
        ),
        (
            "leak_folder",
            say(
                "{p} of the pictures for testing come from a folder that pictures for training come from too."
            ),
        ),
        ("required_missing", say("{p} of the checked pictures have objects that lack a required attribute.")),
        ("blurred", say("{p} of the measured pictures are blurred.")),
        ("dark", say("{p} of the measured pictures are very dark.")),
    ):
        m = q.metric(id)
        if m.value:
            out.append(line.format(p=f"{m.value:.1%}"))
    if q.metric("leak_copies").why and q.splits.get("train"):
        out.append(say("It was not checked whether near copies lie in different splits."))
    if not q.metric("agreement").n:
        out.append(say("No object was judged by two people, so nothing is known of their agreement."))
    if (share := q.metric("labelled").value) is not None and share < 1:
        out.append(
            say(
                "{p} of the pictures hold no object: they may be empty or not yet labelled.",
                p=f"{1 - share:.1%}",
            )
        )
    return out or [say("None are known.")]


def _rights(facts: Facts, say: Say, language: str) -> str:
    tag = facts.tag
    visible = {
        "public": say("public"),
        "partners": say("partners"),
        "internal": say("internal"),
        "closed": say("closed, it does not leave"),
    }
    purposes = {
        "training": say("training"),
        "evaluation": say("evaluation"),
        "research": say("research"),
        "display": say("display"),
    }

    def told(field: str) -> str:
        return abouts.said(facts.about, field, language)

    rows: list[Sequence[str]] = [
        [
            paper.text(say("Licence")),
            paper.text(told("licence") or say("none was named: ask before you use it")),
        ],
        [paper.text(say("Who may see it")), paper.text(visible.get(tag.visibility, tag.visibility))],
        [
            paper.text(say("What it may be used for")),
            paper.text(", ".join(purposes.get(p, p) for p in tag.purposes) or say("no limit is set")),
        ],
    ]
    if tag.expires_ms is not None:
        rows.append([paper.text(say("Until")), day(tag.expires_ms)])
    if tag.place:
        rows.append(
            [
                paper.text(say("Place")),
                paper.text(say("where the pictures were taken is not to be known outside")),
            ]
        )
    for field, name in (("citation", say("Citation")), ("publisher", say("Publisher")), ("contact", say("Contact")), ("url", say("Web page")),
                        ("sensitive", say("Personal or sensitive content"))):  # fmt: skip
        if text := told(field):
            rows.append([paper.text(name), paper.text(text)])
    return paper.table((), rows)


def _identity(facts: Facts, say: Say) -> list[str]:
    v = facts.version
    return [
        paper.table((), [
            [paper.text(say("Version")), paper.text(v.ref)],
            [paper.text(say("Root digest, BLAKE3")), f'<span class="mono">{paper.text(facts.digest)}</span>'],
            [paper.text(say("Fingerprint of the signing key")), f'<span class="mono">{paper.text(facts.key)}</span>'],
            [paper.text(say("Label schema")), paper.text(f"{v.schema_code}@{v.schema_number} (schema.toml)")],
        ]),
        paper.paragraph(say("With Lamproom, every byte of a copy in a hub:"), "small"),
        paper.paragraph(f"lamproom verify --hub HUB {v.ref}", "mono"),
        paper.paragraph(say("Without it, the signature over the root, which names every other byte by its digest:"), "small"),
        paper.paragraph("openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in root.json -sigfile root.sig", "mono"),
    ]  # fmt: skip
