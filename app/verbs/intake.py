"""Verbs that bring in: media, annotations of other tools, schemas, models and their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotation.errors import NotFound
from app import console
from app.console import Outcome
from app.i18n import tr, tr_sentence
from app.verbs.parts import (
    Dataset,
    app,
    arg,
    models_app,
    opened,
    opt,
    schema_app,
    verb,
    when,
)

if TYPE_CHECKING:
    from app.services.onnx import Question


@verb(
    app,
    "ingest",
    "Register pictures of folders, archives or file lists in a dataset; the files are only read.",
)
def ingest(
    ctx: typer.Context,
    sources: Annotated[list[Path], arg("Folders, pictures, .zip or .tar archives.")],
    dataset: Dataset,
    file_list: Annotated[
        bool, opt("The sources are text files that name one file a line.", "--list")
    ] = False,
) -> Outcome:
    from app.services import ingest as service

    with opened(ctx) as ws:
        return console.drive(ctx.obj, service.run(ws, sources, dataset=dataset, file_list=file_list))


@verb(app, "relink", "Tell where a moved source folder lies now; files are recognised by digest.")
def relink(
    ctx: typer.Context,
    root: Annotated[str, arg("The source's code, as in the paths of `lamproom lineage`.")],
    folder: Annotated[Path, arg("Where it lies now.")],
) -> Outcome:
    from app.services import ingest as service

    with opened(ctx) as ws:
        return console.drive(ctx.obj, service.relink(ws, root, folder))


@verb(app, "import", "Take annotations of another tool into a dataset; what they are is found out.")
def import_(
    ctx: typer.Context,
    what: Annotated[
        list[str],
        arg("The file, folder or .zip; before it, if you will, a format such as coco.", metavar="[FORMAT] PATH"),
    ],
    dataset: Dataset,
    strict: Annotated[bool, opt("Refuse classes that the label schema does not know.", "--strict")] = False,
    classes: Annotated[
        Path | None, opt("A TOML or JSON file: class of the file = label of the schema, or false to leave it out.", "--map")
    ] = None,
    pictures: Annotated[
        Path | None,
        opt("Where the file's own pictures lie: those that no name leads to are known by their bytes.", "--pictures"),
    ] = None,
    predictions: Annotated[
        bool, opt("Keep predictions of the file as predictions; otherwise they are left out.", "--predictions")
    ] = False,
    model: Annotated[str, opt("What the model of these predictions is called (default: the file's name).", "--model")] = "",
    report: Annotated[
        Path | None, opt("Write a table (CSV) of everything that matched no picture, and why.", "--report")
    ] = None,
    dry_run: Annotated[bool, opt("Say what would be done, write nothing.", "--dry-run")] = False,
) -> Outcome:  # fmt: skip
    from app.services import imports

    if len(what) > 2:
        raise typer.BadParameter(tr("give a format and one path, or one path"))
    wish = imports.Wish(
        what[0] if len(what) == 2 else "", strict, imports.read_map(classes) if classes is not None else {},
        predictions or bool(model), model, pictures,
    )  # fmt: skip
    path = Path(what[-1])
    with opened(ctx) as ws:
        if dry_run:
            return _looked(imports.look(ws, path, dataset=dataset, wish=wish))
        return console.drive(
            ctx.obj, imports.import_labels(ws, path, dataset=dataset, wish=wish, report=report)
        )


_BECOMES = {"name": "by name", "decided": "by you", "dropped": "Left out", "new": "a new label"}


def _looked(found: Any) -> Outcome:
    """What an import would do, as data and as a table of classes."""
    rows = [
        [
            c.name,
            c.n,
            c.predictions,
            tr(_BECOMES[c.how]),
            c.code or (f"{c.proposed}?" if c.proposed else ""),
        ]
        for c in found.classes
    ]
    counts = {
        how: found.by.get(how, 0)
        for how in ("path", "size", "digest", "unmatched", "ambiguous", "wrong_size")
    }
    told = {
        "format": found.format, "why": found.why, "pictures": found.pictures, "matched": found.matched, "by": counts,
        "objects": found.objects, "predictions": found.predictions, "scored": found.scored, "lists": dict(found.lists),
        "classes": [{"name": c.name, "objects": c.n, "predictions": c.predictions, "how": c.how, "label": c.code,
                     "proposed": c.proposed} for c in found.classes],
    }  # fmt: skip
    head = tr("{format}: {why}", format=found.format, why=tr_sentence(found.why))
    pictures = tr("{n} of {total} pictures are in the dataset", n=found.matched, total=found.pictures)
    table = console.table(("class", "objects", "predictions", "becomes", "label"), rows)
    return Outcome(told, found.pictures - found.matched, text=f"{head}\n{pictures}\n\n{table}")


# --- schemas -----------------------------------------------------------------------------------------------------


@verb(
    schema_app,
    "list",
    "Versions of the workspace's schemas; without a workspace, the schemas that are shipped.",
)
def schema_list(ctx: typer.Context) -> Outcome:
    if not ctx.obj.workspace:
        from annotation import labels

        shipped = [labels.load(name) for name in labels.BUILTIN]
        rows = [
            {"code": s.code, "zh": s.title_zh, "en": s.title_en, "labels": len(s.labels)} for s in shipped
        ]
        return Outcome(
            {"shipped": rows},
            text=console.table(("code", "zh", "en", "labels"), [list(r.values()) for r in rows]),
        )
    from app.services import schema

    with opened(ctx) as ws:
        rows = [
            {
                "code": v.code,
                "version": v.number,
                "labels": v.n_labels,
                "current": v.died is None,
                "digest": v.digest,
            }
            for v in schema.versions(ws)
        ]
    return Outcome(
        {"versions": rows},
        text=console.table(
            ("code", "version", "labels", "current", "digest"), [list(r.values()) for r in rows]
        ),
    )


@verb(schema_app, "show", "A schema as TOML: of the workspace, or a shipped one.")
def schema_show(ctx: typer.Context, code: Annotated[str | None, arg("The schema's code.")] = None) -> Outcome:
    from annotation import labels

    if ctx.obj.workspace:
        from app.services import schema as service

        with opened(ctx) as ws:
            found = service.current(ws, code)
    else:
        found = labels.load(code or "coal_mine")
    text = labels.dumps(found)
    return Outcome({"code": found.code, "version": found.version, "toml": text}, text=text.rstrip("\n"))


@verb(schema_app, "check", "Read a schema file and name every fault in it.")
def schema_check(file: Annotated[Path, arg("A TOML file.")]) -> Outcome:
    from annotation import labels

    found = labels.load(_file(file))
    return Outcome({"file": str(file), "code": found.code, "labels": len(found.labels)})


@verb(schema_app, "apply", "Make a schema file the current version; undone like any step.")
def schema_apply(ctx: typer.Context, file: Annotated[Path, arg("A TOML file.")]) -> Outcome:
    from annotation import labels
    from app.services import schema as service

    found = labels.load(_file(file))
    with opened(ctx) as ws:
        changes = service.apply(ws, found)
        number = next(
            v.number for v in reversed(service.versions(ws)) if v.code == found.code and v.died is None
        )
    return Outcome(
        {"code": found.code, "version": number, "labels": len(found.labels), **console.revision(changes)}
    )


def _file(path: Path) -> str:
    # A bare name would mean a shipped schema.
    if not path.is_file():
        raise NotFound("there is no such file", where=str(path))
    return str(path.absolute())


# --- models ------------------------------------------------------------------------------------------------------


def _model(row: Any) -> dict[str, object]:
    card = row.card
    return {
        "name": row.name, "task": card.task, "sha256": row.sha256, "family": card.family, "input_wh": list(card.input_wh), "labels": list(card.labels),
        "score": card.score, "iou": card.iou, "producer": card.producer, "licence": card.licence, "note": card.note,
        "present": row.present, "added": when(row.added_ms),
    }  # fmt: skip


def _pair(row: Any) -> dict[str, object]:
    card = row.card
    return {
        "name": row.name, "task": card.task, "sha256": row.sha256, "dialect": card.dialect, "why": tr_sentence(card.why), "encoder": card.encoder_sha256,
        "decoder": card.decoder_sha256, "input_px": card.side_px, "producer": card.producer, "licence": card.licence,
        "present": row.present, "added": when(row.added_ms),
    }  # fmt: skip


@verb(
    models_app,
    "add",
    "Recognise an ONNX model, a promptable pair (SAM) or a model pack from its file and copy it into the workspace.",
)
def models_add(
    ctx: typer.Context,
    file: Annotated[
        Path | None, arg("The .onnx file, of a pair the encoder, or a .lrmodel pack; left out with --demo.")
    ] = None,
    name: Annotated[str | None, opt("What to call it (default: the file's name).", "--name")] = None,
    decoder: Annotated[Path | None, opt("The decoder of a promptable pair.", "--decoder")] = None,
    recogniser: Annotated[
        Path | None,
        opt("The recogniser of a reader; the file itself then finds lines of text.", "--recogniser"),
    ] = None,
    demo: Annotated[bool, opt("The demonstration detector that comes with the program.", "--demo")] = False,
    answer: Annotated[
        list[str] | None,
        opt(
            "What the file cannot tell, as KEY=VALUE (labels=A,B,… or size=640x480); may be repeated.",
            "--answer",
        ),
    ] = None,
    trust: Annotated[
        str, opt("Fingerprint of the key that signed the pack, as its maker told you.", "--trust")
    ] = "",
    dry_run: Annotated[bool, opt("Say what it is and why; keep nothing.", "--dry-run")] = False,
) -> Outcome:
    from app.services import onnx, packs

    answers = answered(answer)
    if demo and dry_run:
        raise typer.BadParameter(tr("--demo has nothing to find out: leave out --dry-run"))
    if (file is None) != demo or (file is None and (decoder is not None or recogniser is not None)):
        raise typer.BadParameter(tr("give a file or --demo"))
    if answers and (file is None or decoder or recogniser or packs.is_pack(file)):
        raise typer.BadParameter(tr("--answer is for a single .onnx file"))
    with opened(ctx) as ws:
        if file is None:
            return Outcome(_model(onnx.add_demo(ws, name=name or onnx.DEMO_NAME)))
        if packs.is_pack(file):
            looked = packs.told(packs.look(ws, file))
            if dry_run:
                return Outcome(looked)
            row = packs.take(ws, file, name=name, trust=trust)
            return Outcome(
                {
                    **(_pair(row) if row.card.task == "promptable" else _model(row)),
                    "key": looked["key"],
                    "tested": looked["tested"],
                }
            )
        if recogniser is not None:
            if dry_run:
                read = onnx.look_reader(file, recogniser, name=name)
                return Outcome(_card(read.card, why=[tr_sentence(reason) for reason in read.why]))
            return Outcome(_model(onnx.add_reader(ws, file, recogniser, name=name)))
        if decoder is not None:
            if dry_run:
                two = onnx.look_pair(file, decoder, name=name)
                return Outcome(
                    {
                        "name": two.name,
                        "task": two.task,
                        "dialect": two.dialect,
                        "why": two.why,
                        "input_px": two.side_px,
                    }
                )
            return Outcome(_pair(onnx.add_pair(ws, file, decoder, name=name)))
        found = onnx.look(file, name=name, answers=answers)
        told: dict[str, object] = {
            "why": [tr_sentence(reason) for reason in found.why],
            "asked": [{"key": q.key, "text": tr_sentence(q.text), "choices": list(q.choices), "taken": q.proposal} for q in found.asks],
        }  # fmt: skip
        if dry_run:
            return _with_questions(_card(found.card, **told), found.asks)
        return _with_questions({**_model(onnx.keep(ws, file, found, name=name)), **told}, found.asks)


def _card(card: Any, **more: object) -> dict[str, object]:
    """What a model is, before it is kept."""
    return {
        "name": card.name, "task": card.task, "family": card.family, "input_wh": list(card.input_wh), "labels": list(card.labels), **more
    }  # fmt: skip


def _with_questions(result: dict[str, object], asked: Sequence[Question]) -> Outcome:
    """A model for people: its questions a line each, with what was taken, as `--answer` takes it."""
    facts = {k: v for k, v in result.items() if k != "asked"}
    lines = [console.pairs(facts)]
    if asked:
        lines.append(tr("what the file cannot tell; say otherwise with --answer KEY=VALUE:"))
    for q in asked:
        choices = f" [{', '.join(q.choices)}]" if q.choices else ""
        lines.append(f"  {q.key}={q.proposal}  {tr_sentence(q.text)}{choices}")
    return Outcome(result, text="\n".join(lines))


def answered(given: list[str] | None) -> dict[str, str]:
    """Answers of the line by key; a usage error where one is no KEY=VALUE."""
    out = {}
    for one in given or ():
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise typer.BadParameter(tr("an answer is KEY=VALUE"))
        out[key.strip()] = value.strip()
    return out


@verb(models_app, "list", "The models of the workspace.")
def models_list(ctx: typer.Context) -> Outcome:
    from app.services import onnx

    with opened(ctx) as ws:
        found, pairs = onnx.listing(ws), onnx.pairs(ws)
    rows = [*(_model(row) for row in found), *(_pair(row) for row in pairs)]
    shown: list[list[Any]] = [
        [
            m.name,
            m.card.task,
            m.card.family,
            list(m.card.input_wh),
            len(m.card.labels),
            m.sha256[:12],
            m.present,
        ]
        for m in found
    ]
    shown += [
        [m.name, m.card.task, m.card.dialect, [m.card.side_px] * 2, "", m.sha256[:12], m.present]
        for m in pairs
    ]
    return Outcome(
        {"models": rows},
        text=console.table(("name", "task", "family", "input", "classes", "sha256", "file is here"), shown),
    )


@verb(models_app, "show", "One model: input, classes, thresholds, licence.")
def models_show(ctx: typer.Context, name: Annotated[str, arg("The model's name.")]) -> Outcome:
    from app.services import onnx

    with opened(ctx) as ws:
        pair = next((row for row in onnx.pairs(ws) if row.name == name), None)
        return Outcome(_model(onnx.show(ws, name)) if pair is None else _pair(pair))


@verb(models_app, "remove", "Take a model off the list; its predictions and their lineage stay.")
def models_remove(ctx: typer.Context, name: Annotated[str, arg("The model's name.")]) -> Outcome:
    from app.services import onnx

    with opened(ctx) as ws:
        onnx.remove(ws, name)
    return Outcome({"removed": name})
