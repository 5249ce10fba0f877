"""The command line: one verb a use case, thin shells on app.services; nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from annotation.errors import InvalidInput, LamproomError, NotFound, Unavailable
from app import console, i18n, log, settings
from app.console import Call, Outcome
from app.i18n import tr

if TYPE_CHECKING:
    from app.services.browse import Query
    from app.services.workspace import Workspace

i18n.use(i18n.guess())  # the help texts below are made while this module loads

VERSION = "0.1.0"
GLOBAL_FLAGS = ("--json",)
GLOBAL_OPTIONS = ("-w", "--workspace", "--debug")
_HEADINGS = ("Usage:", "Options:", "Commands:", "Arguments:", "Show this message and exit.")


def _translated(text: str) -> str:
    for heading in _HEADINGS:
        text = text.replace(heading, tr(heading))
    return text


class _Verb(TyperCommand):
    def get_help(self, ctx: Any) -> str:
        return _translated(super().get_help(ctx))


class _Group(TyperGroup):
    def get_help(self, ctx: Any) -> str:
        return _translated(super().get_help(ctx))


def _group(help: str) -> typer.Typer:
    return typer.Typer(
        cls=_Group, help=tr(help), rich_markup_mode=None, add_completion=False, no_args_is_help=True
    )


app = _group("Lamproom turns raw media into sealed, traceable training data.")
schema_app = _group("Label schemas: the classes of a workspace and their versions.")
models_app = _group("ONNX models of a workspace.")
review_app = _group("Accept or reject predictions in bulk; one step, undone as one.")
jobs_app = _group("Machine work: what runs, what was interrupted.")
for _word, _sub in (
    ("schema", schema_app),
    ("models", models_app),
    ("review", review_app),
    ("jobs", jobs_app),
):
    app.add_typer(_sub, name=_word)


def _verb(
    group: typer.Typer, name: str, help: str
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    return group.command(name, cls=_Verb, help=tr(help), short_help=tr(help))


def _opt(help: str, *names: str, **kw: Any) -> Any:
    return typer.Option(*names, help=tr(help), show_default=False, **kw)


def _arg(help: str, **kw: Any) -> Any:
    return typer.Argument(help=tr(help), show_default=False, **kw)


Dataset = Annotated[str, _opt("The dataset's name.", "--dataset")]
Reference = Annotated[str, _arg("A version, DATASET@TAG.", metavar="DATASET@TAG")]
Label = Annotated[str | None, _opt("Only this label, by code or name.", "--label")]
State = Annotated[
    str | None, _opt("Only pictures in this state: unlabelled, predicted or labelled.", "--state")
]
Text = Annotated[str, _opt("Only pictures with this in their path.", "--text")]
MinScore = Annotated[
    float | None, _opt("Only predictions of at least this score (0 to 1).", "--min-score", min=0.0, max=1.0)
]
MaxScore = Annotated[
    float | None, _opt("Only predictions of at most this score (0 to 1).", "--max-score", min=0.0, max=1.0)
]


# --- the whole command line --------------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; nothing but an exit code leaves this function."""
    for stream in (sys.stdout, sys.stderr):
        # A path may hold bytes that are no text; \udcxx is also valid JSON.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    call = Call(json="--json" in argv)
    doing = " ".join(argv[:2])
    try:
        _speak()
        outcome = typer.main.get_command(app).main(
            _hoisted(argv), prog_name="lamproom", standalone_mode=False, obj=call
        )
        code = (
            console.deliver(call, _name(argv), outcome) if isinstance(outcome, Outcome) else int(outcome or 0)
        )
        sys.stdout.flush()
        return code
    except LamproomError as fault:
        return console.refuse(call, fault)
    except KeyboardInterrupt:
        print(tr("interrupted; `lamproom jobs resume` goes on with the work"), file=sys.stderr)
        return console.INTERRUPTED
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader left; the interpreter's last flush must not fail
        return console.FAULT
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):
            return _usage(error)
        if isinstance(error, typer.Abort):
            return console.INTERRUPTED
        return console.bug(call, error, log.report(error, doing))
    finally:
        log.stop()


def _speak() -> None:
    """The environment's explicit wish, else the person's setting, else the system's language."""
    chosen = str(settings.get("language"))
    if chosen and not os.environ.get("LAMPROOM_LANG"):
        i18n.use(chosen)


def _hoisted(argv: Sequence[str]) -> list[str]:
    """The line with the global options first: they may stand anywhere, as in `prelabel --dataset D --json`."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*front, *rest, "--", *words]
        if word in GLOBAL_FLAGS or word.startswith(("--workspace=", "--debug=")):
            front.append(word)
        elif word in GLOBAL_OPTIONS:
            front += [word, *(w for w in [next(words, None)] if w is not None)]
        else:
            rest.append(word)
    return front + rest


def _name(argv: Sequence[str]) -> str:
    """The verb of a line, with its sub-verb: for the result."""
    words = _hoisted(argv)
    while words and words[0].startswith("-"):
        words = words[2 if words[0] in GLOBAL_OPTIONS else 1 :]
    group = words[0] if words else ""
    return " ".join(words[:2]) if group in ("schema", "models", "review", "jobs") else group


def _usage(error: Any) -> int:
    """A command line that cannot be read: one line, and where help is."""
    said = str(error.format_message()).strip()
    path = error.ctx.command_path if getattr(error, "ctx", None) is not None else "lamproom"
    if not said or type(error).__name__ == "NoArgsIsHelpError":  # no verb at all: the help itself
        print(said or error.ctx.get_help(), file=sys.stderr)
    else:
        print(
            console.clean(f"{path}: {i18n.tr_sentence(' '.join(said.split()))} ({path} --help)"),
            file=sys.stderr,
        )
    return console.USAGE


@app.callback(invoke_without_command=False)
def _everywhere(
    ctx: typer.Context,
    workspace: Annotated[
        str | None,
        _opt("The workspace: a folder or a postgresql:// address (or LAMPROOM_WORKSPACE).", "-w", "--workspace", metavar="DIR|URL"),
    ] = None,
    as_json: Annotated[bool, _opt("Print one JSON object on stdout.", "--json")] = False,
    debug: Annotated[list[str] | None, _opt("Log everything of a category; may be repeated.", "--debug", metavar="|".join(log.CATEGORIES))] = None,
    version: Annotated[bool, _opt("Print the version and exit.", "--version", is_eager=True, callback=lambda wanted: _version(wanted))] = False,
) -> None:  # fmt: skip
    call: Call = ctx.obj
    call.workspace = workspace or os.environ.get("LAMPROOM_WORKSPACE") or None
    call.json, call.debug = as_json, debug or []
    log.start(call.debug)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"lamproom {VERSION}")
        raise typer.Exit


@contextmanager
def _open(ctx: typer.Context) -> Iterator[Workspace]:
    """The workspace of the line, closed at the end."""
    from app.services import workspace

    location = ctx.obj.workspace
    if not location:
        raise NotFound("no workspace was named", remedy="-w DIR, or set LAMPROOM_WORKSPACE")
    with workspace.open(location, person=str(settings.get("person")) or None) as ws:
        yield ws


def _query(ws: Workspace, dataset: str, *, state: str | None = None, label: str | None = None, origin: str | None = None,
           text: str = "", min_score: float | None = None, max_score: float | None = None) -> Query:  # fmt: skip
    from app.services import browse, schema

    data = browse.dataset(ws, dataset)
    if state is not None and state not in ("unlabelled", "predicted", "labelled"):
        raise InvalidInput(f"there is no state {state!r}", remedy="unlabelled, predicted or labelled")
    code = None
    if label is not None:
        code = schema.current(ws, data.schema_code).resolve(label)
        if code is None:
            raise NotFound(
                f"there is no label {label!r}",
                where=data.schema_code,
                remedy="`lamproom schema show` lists them",
            )
    return browse.Query(
        data.id, state=state, label=code, origin=origin, text=text, min_score=min_score, max_score=max_score
    )


def _when(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000))


# --- workspace ---------------------------------------------------------------------------------------------------


@_verb(app, "init", "Make a workspace: a folder, or the tables in an empty PostgreSQL database.")
def init(
    location: Annotated[str, _arg("A new folder, or a postgresql:// address.", metavar="DIR|URL")],
    schema: Annotated[
        str, _opt("A shipped label schema (coal_mine, grotto) or a TOML file.", "--schema")
    ] = "coal_mine",
    name: Annotated[str | None, _opt("The workspace's name (default: the folder's).", "--name")] = None,
) -> Outcome:
    from app.services import workspace

    with workspace.create(
        location, schema=schema, name=name, person=str(settings.get("person")) or None
    ) as ws:
        return Outcome({"workspace": ws.location, "name": ws.name, "uid": ws.uid, "schema": schema})


@_verb(app, "status", "What the workspace holds.")
def status(ctx: typer.Context) -> Outcome:
    from app.services import browse

    with _open(ctx) as ws:
        totals, rows = browse.totals(ws), browse.datasets(ws)
    keys = ("name", "schema_code", "n_assets", "n_unlabelled", "n_predicted", "n_labelled", "last_tag")
    datasets = [{key: getattr(row, key) for key in keys} for row in rows]
    result = {
        "workspace": ws.location, "name": ws.name, "revision": totals.revision, "assets": totals.assets,
        "truth": totals.truth, "predictions": totals.predictions, "datasets": datasets,
    }  # fmt: skip
    head = ("dataset", "schema", "pictures", "unlabelled", "predicted", "labelled", "last version")
    shown = console.pairs({k: v for k, v in result.items() if k != "datasets"})
    return Outcome(result, text=shown + "\n\n" + console.table(head, [list(d.values()) for d in datasets]))


@_verb(app, "log", "Steps of everybody, newest first.")
def log_(
    ctx: typer.Context,
    limit: Annotated[int, _opt("How many.", "--limit", min=1, max=10_000)] = 20,
    asset: Annotated[int | None, _opt("The history of one picture, by its id, instead.", "--asset")] = None,
) -> Outcome:
    from app.services import labelling

    with _open(ctx) as ws:
        if asset is not None:
            events = [
                {"revision": h.rev, "at": _when(h.at_ms), "who": h.agent, "verb": h.verb, "model": h.model, "label": h.label, "object": h.uid}
                for h in labelling.history(ws, asset_id=asset, limit=limit)
            ]  # fmt: skip
            head = ("revision", "time", "who", "verb", "model", "label", "object")
            return Outcome(
                {"asset": asset, "history": events},
                text=console.table(head, [list(e.values()) for e in events]),
            )
        steps = [
            {"step": s.step, "at": _when(s.at_ms), "who": s.agent, "verb": s.verb, "of": s.inverts,
             "state": "open" if s.open else "done" if s.stands else "undone"}
            for s in labelling.steps(ws, limit=limit)
        ]  # fmt: skip
    shown = [[*list(s.values())[:-1], tr(str(s["state"]))] for s in steps]
    return Outcome(
        {"steps": steps}, text=console.table(("step", "time", "who", "verb", "inverts", "state"), shown)
    )


@_verb(app, "undo", "Undo a step (default: your own newest one that stands); undoing an undo is redo.")
def undo(
    ctx: typer.Context,
    step: Annotated[int | None, _arg("The step's number, from `lamproom log`.", metavar="[STEP]")] = None,
    skip_changed: Annotated[
        bool, _opt("Leave alone what was changed since, instead of refusing.", "--skip-changed")
    ] = False,
) -> Outcome:
    from app.services import labelling

    with _open(ctx) as ws:
        if step is None:
            newest = labelling.last_step(ws)
            if newest is None:
                raise NotFound("there is nothing of yours to undo", where=ws.person.name)
            step = newest.step
        changes = labelling.undo_step(ws, step, skip_changed=skip_changed)
    return Outcome({"undone": step, **console.revision(changes)})


# --- media in ----------------------------------------------------------------------------------------------------


@_verb(
    app,
    "ingest",
    "Register pictures of folders, archives or file lists in a dataset; the files are only read.",
)
def ingest(
    ctx: typer.Context,
    sources: Annotated[list[Path], _arg("Folders, pictures, .zip or .tar archives.")],
    dataset: Dataset,
    file_list: Annotated[
        bool, _opt("The sources are text files that name one file a line.", "--list")
    ] = False,
) -> Outcome:
    from app.services import ingest as service

    with _open(ctx) as ws:
        return console.drive(ctx.obj, service.run(ws, sources, dataset=dataset, file_list=file_list))


@_verb(app, "relink", "Tell where a moved source folder lies now; files are recognised by digest.")
def relink(
    ctx: typer.Context,
    root: Annotated[str, _arg("The source's code, as in the paths of `lamproom lineage`.")],
    folder: Annotated[Path, _arg("Where it lies now.")],
) -> Outcome:
    from app.services import ingest as service

    with _open(ctx) as ws:
        return console.drive(ctx.obj, service.relink(ws, root, folder))


@_verb(app, "import", "Take annotations of another tool into a dataset: coco, yolo or native.")
def import_(
    ctx: typer.Context,
    format: Annotated[str, _arg("coco, yolo or native.", metavar="FORMAT")],
    path: Annotated[Path, _arg("The file or folder.")],
    dataset: Dataset,
    strict: Annotated[bool, _opt("Refuse classes that the label schema does not know.", "--strict")] = False,
) -> Outcome:
    from app.services import ingest as service

    with _open(ctx) as ws:
        return console.drive(ctx.obj, service.import_labels(ws, format, path, dataset=dataset, strict=strict))


# --- schemas -----------------------------------------------------------------------------------------------------


@_verb(
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

    with _open(ctx) as ws:
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


@_verb(schema_app, "show", "A schema as TOML: of the workspace, or a shipped one.")
def schema_show(
    ctx: typer.Context, code: Annotated[str | None, _arg("The schema's code.")] = None
) -> Outcome:
    from annotation import labels

    if ctx.obj.workspace:
        from app.services import schema as service

        with _open(ctx) as ws:
            found = service.current(ws, code)
    else:
        found = labels.load(code or "coal_mine")
    text = labels.dumps(found)
    return Outcome({"code": found.code, "version": found.version, "toml": text}, text=text.rstrip("\n"))


@_verb(schema_app, "check", "Read a schema file and name every fault in it.")
def schema_check(file: Annotated[Path, _arg("A TOML file.")]) -> Outcome:
    from annotation import labels

    found = labels.load(_file(file))
    return Outcome({"file": str(file), "code": found.code, "labels": len(found.labels)})


@_verb(schema_app, "apply", "Make a schema file the current version; undone like any step.")
def schema_apply(ctx: typer.Context, file: Annotated[Path, _arg("A TOML file.")]) -> Outcome:
    from annotation import labels
    from app.services import schema as service

    found = labels.load(_file(file))
    with _open(ctx) as ws:
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
        "name": row.name, "sha256": row.sha256, "family": card.family, "input_wh": list(card.input_wh), "labels": list(card.labels),
        "score": card.score, "iou": card.iou, "producer": card.producer, "licence": card.licence, "note": card.note,
        "present": row.present, "added": _when(row.added_ms),
    }  # fmt: skip


@_verb(models_app, "add", "Recognise an ONNX detector from its file and copy it into the workspace.")
def models_add(
    ctx: typer.Context,
    file: Annotated[Path | None, _arg("The .onnx file; left out with --demo.")] = None,
    name: Annotated[str | None, _opt("What to call it (default: the file's name).", "--name")] = None,
    demo: Annotated[bool, _opt("The demonstration detector that comes with the program.", "--demo")] = False,
) -> Outcome:
    from app.services import onnx

    if (file is None) != demo:
        raise typer.BadParameter(tr("give a file or --demo"))
    with _open(ctx) as ws:
        row = (
            onnx.add(ws, file, name=name)
            if file is not None
            else onnx.add_demo(ws, name=name or onnx.DEMO_NAME)
        )
    return Outcome(_model(row))


@_verb(models_app, "list", "The models of the workspace.")
def models_list(ctx: typer.Context) -> Outcome:
    from app.services import onnx

    with _open(ctx) as ws:
        found = onnx.listing(ws)
    rows = [_model(row) for row in found]
    shown = [
        [m.name, m.card.family, list(m.card.input_wh), len(m.card.labels), m.sha256[:12], m.present]
        for m in found
    ]
    return Outcome(
        {"models": rows},
        text=console.table(("name", "family", "input", "classes", "sha256", "file is here"), shown),
    )


@_verb(models_app, "show", "One model: input, classes, thresholds, licence.")
def models_show(ctx: typer.Context, name: Annotated[str, _arg("The model's name.")]) -> Outcome:
    from app.services import onnx

    with _open(ctx) as ws:
        return Outcome(_model(onnx.show(ws, name)))


@_verb(models_app, "remove", "Take a model off the list; its predictions and their lineage stay.")
def models_remove(ctx: typer.Context, name: Annotated[str, _arg("The model's name.")]) -> Outcome:
    from app.services import onnx

    with _open(ctx) as ws:
        return Outcome({"removed": onnx.remove(ws, name).name})


@_verb(
    app,
    "prelabel",
    "Predict on every picture of a dataset; interrupted, the same line goes on where it stopped.",
)
def prelabel(
    ctx: typer.Context,
    dataset: Dataset,
    model: Annotated[str, _opt("A model's name, from `lamproom models list`.", "--model")],
    score: Annotated[float | None, _opt("Lowest score that is kept (default: the model's).", "--score", min=0.0, max=1.0)] = None,
    iou: Annotated[float | None, _opt("Overlap above which the weaker of two boxes goes (default: the model's).", "--iou", min=0.0, max=1.0)] = None,
    provider: Annotated[str | None, _opt("Where it runs: cpu or another provider of `lamproom doctor`.", "--provider")] = None,
    classes: Annotated[list[str] | None, _opt("Only this class of the model; may be repeated.", "--class")] = None,
    state: State = None,
    threads: Annotated[int | None, _opt("Threads (default: all cores).", "--threads", min=1, max=256)] = None,
    strict: Annotated[bool, _opt("Refuse classes that the label schema does not know.", "--strict")] = False,
) -> Outcome:  # fmt: skip
    from app.services import prelabel as service

    with _open(ctx) as ws:
        work = service.run(
            ws, dataset, model, score=score, iou=iou, provider=provider or str(settings.get("provider")), threads=threads,
            classes=classes or None, state=state, strict=strict,
        )  # fmt: skip
        return console.drive(ctx.obj, work)


# --- review ------------------------------------------------------------------------------------------------------


def _review(ctx: typer.Context, verb: str, dataset: str, label: str | None, state: str | None, text: str,
            min_score: float | None, max_score: float | None) -> Outcome:  # fmt: skip
    from app.services import review

    act = review.accept if verb == "accept" else review.reject
    with _open(ctx) as ws:
        query = _query(
            ws, dataset, state=state, label=label, text=text, min_score=min_score, max_score=max_score
        )
        return console.drive(ctx.obj, act(ws, query))


@_verb(review_app, "accept", "Make the predictions that match truth.")
def review_accept(ctx: typer.Context, dataset: Dataset, label: Label = None, state: State = None, text: Text = "",
                  min_score: MinScore = None, max_score: MaxScore = None) -> Outcome:  # fmt: skip
    return _review(ctx, "accept", dataset, label, state, text, min_score, max_score)


@_verb(review_app, "reject", "Close the predictions that match; the next run does not bring them back.")
def review_reject(ctx: typer.Context, dataset: Dataset, label: Label = None, state: State = None, text: Text = "",
                  min_score: MinScore = None, max_score: MaxScore = None) -> Outcome:  # fmt: skip
    return _review(ctx, "reject", dataset, label, state, text, min_score, max_score)


# --- jobs --------------------------------------------------------------------------------------------------------


@_verb(jobs_app, "list", "Machine work, newest first.")
def jobs_list(
    ctx: typer.Context, limit: Annotated[int, _opt("How many.", "--limit", min=1, max=10_000)] = 50
) -> Outcome:
    from app.services import jobs

    with _open(ctx) as ws:
        rows = jobs.listing(ws, limit=limit)
    return Outcome(
        {"jobs": [_job(r) for r in rows]}, text=console.table(_JOB, [list(_job(r).values()) for r in rows])
    )


_JOB = ("job", "kind", "dataset", "done", "total", "state", "started")


def _job(row: Any) -> dict[str, object]:
    return {"job": row.id, "kind": row.kind, "dataset": row.dataset, "done": row.done, "total": row.total,
            "state": row.state, "started": _when(row.started_ms)}  # fmt: skip


@_verb(jobs_app, "resume", "Go on with an interrupted job (default: every one that nobody works on).")
def jobs_resume(
    ctx: typer.Context, job: Annotated[int | None, _arg("The job's number.", metavar="[JOB]")] = None
) -> Outcome:
    from app.services import jobs

    with _open(ctx) as ws:
        if job is not None:
            return console.drive(ctx.obj, jobs.resume(ws, job))
        waiting = [
            row.id
            for row in jobs.listing(ws)
            if row.state == "waiting" and row.kind in ("ingest", "prelabel")
        ]
        done = [console.drive(ctx.obj, jobs.resume(ws, number)) for number in reversed(waiting)]
    return Outcome(
        {"resumed": [dict(d.result) for d in done]},
        sum(d.problems for d in done),
        tuple(w for d in done for w in d.warnings),
        sum(d.n_warnings for d in done),
        text=tr("{n} jobs went on to their end", n=len(done)),
    )


@_verb(jobs_app, "cancel", "End a job for good; what it has written stays and can be undone.")
def jobs_cancel(ctx: typer.Context, job: Annotated[int, _arg("The job's number.")]) -> Outcome:
    from app.services import jobs

    with _open(ctx) as ws:
        ended = jobs.cancel(ws, job)
    return Outcome({"cancelled": ended.id, "kind": ended.kind})


# --- versions out ------------------------------------------------------------------------------------------------


@_verb(app, "freeze", "Seal a dataset as a version; takes the same moment at any size.")
def freeze(
    ctx: typer.Context,
    dataset: Annotated[str, _arg("The dataset's name.", metavar="DATASET")],
    tag: Annotated[str, _opt("The version's tag.", "--tag")],
    splits: Annotated[
        list[str] | None, _opt("Only this split (train, val or test); may be repeated.", "--split")
    ] = None,
    reviews: Annotated[list[str] | None, _opt("Only this review state; may be repeated.", "--review")] = None,
    predictions: Annotated[bool, _opt("Also predictions that nobody accepted.", "--predictions")] = False,
) -> Outcome:
    from app.services import versions

    with _open(ctx) as ws:
        chosen = versions.Filter(predictions, tuple(splits or ()), tuple(reviews or ()))
        version = versions.freeze(ws, dataset, tag=tag, filter=chosen)
        return console.drive(ctx.obj, versions.build(ws, version))


@_verb(app, "verify", "Check every byte of a version against its signed manifest.")
def verify(
    ctx: typer.Context,
    reference: Reference,
    hub: Annotated[
        Path | None, _opt("Check the copy in this hub folder; needs no workspace.", "--hub")
    ] = None,
    quick: Annotated[bool, _opt("Check the manifest, not the media.", "--quick")] = False,
) -> Outcome:
    from app.services import versions

    if hub is not None:
        return console.drive(ctx.obj, versions.verify(hub, reference, bytes_too=not quick))
    with _open(ctx) as ws:
        return console.drive(ctx.obj, versions.verify(ws, reference, bytes_too=not quick))


@_verb(app, "diff", "What differs between two versions.")
def diff(ctx: typer.Context, a: Reference, b: Reference) -> Outcome:
    from app.services import versions

    with _open(ctx) as ws:
        return Outcome(asdict(versions.diff(ws, a, b)))


@_verb(
    app,
    "export",
    "Write a version or a dataset for another tool: coco, yolo or native; losses are listed first.",
)
def export(
    ctx: typer.Context,
    format: Annotated[str, _arg("coco, yolo or native.", metavar="FORMAT")],
    reference: Annotated[
        str, _arg("A version DATASET@TAG, or a DATASET as it is now.", metavar="DATASET[@TAG]")
    ],
    out: Annotated[Path, _arg("A new folder.")],
    pictures: Annotated[str, _opt("link, copy or none.", "--pictures")] = "link",
    accept_losses: Annotated[
        bool, _opt("Write although the format cannot hold everything.", "--accept-losses")
    ] = False,
) -> Outcome:
    from app.services import export as service

    with _open(ctx) as ws:
        return console.drive(
            ctx.obj, service.run(ws, reference, format, out, accept_losses=accept_losses, pictures=pictures)
        )


@_verb(app, "publish", "Send a version to a hub folder: only what is missing there, the root last.")
def publish(
    ctx: typer.Context,
    reference: Reference,
    hub: Annotated[Path, _opt("The hub folder.", "--hub")],
) -> Outcome:
    from app.services import publish as service

    with _open(ctx) as ws:
        return console.drive(ctx.obj, service.run(ws, reference, hub))


@_verb(app, "lineage", "Where a version or a picture comes from, back to the source files.")
def lineage(
    ctx: typer.Context,
    what: Annotated[str, _arg("A version DATASET@TAG, or a picture by its number, path or digest.")],
) -> Outcome:
    from app.services import lineage as service

    with _open(ctx) as ws:
        found = service.trace(ws, what)
    titles = {n.id: n.title for n in found.nodes}
    nodes = console.table(
        ("kind", "what", "title"),
        [[n.kind, n.type, n.title] for n in found.nodes],
    )
    edges = console.table(
        ("what", "relation", "from", "objects"),
        [[titles[e.source], e.relation, titles[e.target], e.n] for e in found.edges],
    )
    return Outcome(found.to_json(), text=f"{nodes}\n\n{edges}")


# --- the program itself ------------------------------------------------------------------------------------------


@_verb(app, "doctor", "Check this machine and, with -w, a workspace; says what to do about what is wrong.")
def doctor(
    ctx: typer.Context,
    migrate: Annotated[
        bool, _opt("Bring a workspace of an older version up to date, after a backup.", "--migrate")
    ] = False,
) -> Outcome:
    from app.services import doctor as service

    if migrate:
        if not ctx.obj.workspace:
            raise NotFound("no workspace was named", remedy="-w DIR, or set LAMPROOM_WORKSPACE")
        return Outcome(service.migrate(ctx.obj.workspace))
    found = service.examine(ctx.obj.workspace)
    marks = {"good": "✓", "note": "·", "bad": "✗"}
    lines = [
        f"{marks[f.state]} {tr(f.name)}: {i18n.tr_sentence(f.said)}"
        + (f"  → {i18n.tr_sentence(f.remedy)}" if f.remedy else "")
        for f in found
    ]
    rows = [{"name": f.name, "state": f.state, "said": f.said, "remedy": f.remedy} for f in found]
    bad = sum(f.state == "bad" for f in found)
    return Outcome({"findings": rows}, bad, text="\n".join(lines))


@_verb(
    app,
    "demo",
    "The whole line on 200 drawn scenes: ingest, pre-label, score, accept, freeze, export, publish, verify.",
)
def demo(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, _arg("A new folder (default: lamproom-demo here).", metavar="[DIR]")
    ] = None,
    scenes: Annotated[int, _opt("How many scenes.", "--scenes", min=10, max=5000)] = 200,
    desk: Annotated[
        bool, _opt("Open the desk at the end when there is a display.", "--desk/--no-desk")
    ] = True,
) -> Outcome:
    from app.services import demo as service

    outcome = console.drive(ctx.obj, service.run(folder, n_scenes=scenes))
    if outcome.problems == 0 and desk and not ctx.obj.json and _desk_opens():
        print(_demo_report(outcome.result))
        return _desk(str(outcome.result["workspace"]))
    return Outcome(
        outcome.result,
        outcome.problems,
        outcome.warnings,
        outcome.n_warnings,
        text=_demo_report(outcome.result),
    )


def _demo_report(result: Mapping[str, Any]) -> str:
    """The result as a person reads it: steps, figures per class, where things lie."""
    steps = console.table(
        ("step", "seconds", "what"), [[tr(s["step"]), s["seconds"], s["what"]] for s in result["steps"]]
    )
    labels = console.table(
        ("class", "drawn", "predicted", "precision", "recall", "average precision"),
        [
            [s["label"], s["truth"], s["predicted"], s["precision"], s["recall"], s["ap"]]
            for s in result["score"]
        ],
    )
    return "\n".join(
        [
            steps, "", tr("Against the exact labels, IoU 0.5, predictions of score {s} and more:", s=result["accept_score"]), labels, "",
            tr("Drawn scenes; demonstration; not for safety use."),
            tr("{seconds} s in all. Contact sheet: {path}", seconds=result["seconds"], path=result["contact_sheet"]),
            tr("Look at it: lamproom -w {path} gui", path=result["workspace"]),
        ]
    )  # fmt: skip


@_verb(app, "gui", "Open the desk.")
def gui(ctx: typer.Context) -> Outcome:
    return _desk(ctx.obj.workspace)


def _desk_opens() -> bool:
    """There is a display, and Qt starts."""
    from app.services import doctor

    return doctor.has_display() and doctor.qt_fault() is None


def _desk(location: str | None) -> Outcome:
    # onnxruntime is loaded before Qt: on Windows the other order finds the wrong DLLs.
    from app.services import doctor, prelabel  # noqa: F401

    if not doctor.has_display():
        raise Unavailable("there is no display", remedy="run it in a desktop session, or set DISPLAY")
    if (fault := doctor.qt_fault()) is not None:
        raise fault
    from app.desktop import main as desktop

    code = desktop.run(location)
    return Outcome({"closed": True}, problems=int(code != 0), text="")
