"""What the verbs share: groups, options, the workspace of the line, the pictures a person means."""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from annotation.errors import InvalidInput, NotFound
from app import i18n, settings
from app.console import Outcome
from app.i18n import tr

if TYPE_CHECKING:
    from app.services.browse import Query
    from app.services.workspace import Workspace


def _language() -> str:
    """The environment's explicit wish, else the person's setting, else the system's language."""
    chosen = ""
    if not os.environ.get("LAMPROOM_LANG"):
        with suppress(
            InvalidInput
        ):  # a broken settings file is told by the line that runs, not while modules load
            chosen = str(settings.get("language"))
    return chosen or i18n.guess()


i18n.use(_language())  # the help texts below are made while this module loads


_HEADINGS = ("Usage:", "Options:", "Commands:", "Arguments:", "Show this message and exit.")


def _translated(text: str) -> str:
    for heading in _HEADINGS:
        text = text.replace(heading, tr(heading))
    return text


class Verb(TyperCommand):
    """A verb whose help speaks the person's language."""

    def get_help(self, ctx: Any) -> str:
        return _translated(super().get_help(ctx))


class Group(TyperGroup):
    """A group of verbs whose help speaks the person's language."""

    def get_help(self, ctx: Any) -> str:
        return _translated(super().get_help(ctx))


def group(help: str) -> typer.Typer:
    """A group of verbs."""
    return typer.Typer(
        cls=Group, help=tr(help), rich_markup_mode=None, add_completion=False, no_args_is_help=True
    )


app = group("Lamproom turns raw media into sealed, traceable training data.")
schema_app = group("Label schemas: the classes of a workspace and their versions.")
models_app = group("ONNX models of a workspace.")
recipes_app = group("Recipes: how a model is used; kept by name.")
review_app = group("Accept or reject predictions in bulk; one step, undone as one.")
jobs_app = group("Machine work: what runs, what was interrupted.")
hubjob_app = group("Work at a hub on a published version: training, evaluation; submit, follow, collect.")
shuttle_app = group("Disks that are carried: pack a version, check, bring into a hub folder.")
policy_app = group(
    "What may leave: tags of visibility, purpose, time and place on sources, pictures and versions."
)
audit_app = group(
    "The audit log: who let what leave, and who changed rights; every line seals the one before."
)
for _word, _sub in (
    ("schema", schema_app),
    ("models", models_app),
    ("recipes", recipes_app),
    ("review", review_app),
    ("jobs", jobs_app),
    ("hubjob", hubjob_app),
    ("shuttle", shuttle_app),
    ("policy", policy_app),
    ("audit", audit_app),
):
    app.add_typer(_sub, name=_word)


def verb(
    group: typer.Typer, name: str, help: str
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Make a function a verb of the group."""
    return group.command(name, cls=Verb, help=tr(help), short_help=tr(help))


def opt(help: str, *names: str, **kw: Any) -> Any:
    """An option, with translated help."""
    return typer.Option(*names, help=tr(help), show_default=False, **kw)


def arg(help: str, **kw: Any) -> Any:
    """An argument, with translated help."""
    return typer.Argument(help=tr(help), show_default=False, **kw)


Dataset = Annotated[str, opt("The dataset's name.", "--dataset")]
Reference = Annotated[str, arg("A version, DATASET@TAG.", metavar="DATASET@TAG")]
Label = Annotated[str | None, opt("Only this label, by code or name.", "--label")]
State = Annotated[
    str | None, opt("Only pictures in this state: unlabelled, predicted or labelled.", "--state")
]
Text = Annotated[str, opt("Only pictures with this in their path.", "--text")]
Where = Annotated[
    str,
    opt(
        'Only what meets this query, for example "class:helmet score<0.5"; the manual has its words.',
        "--where",
    ),
]
Audience = Annotated[str, opt("Who will have it: public, partners or internal.", "--audience", metavar="WHO")]
Purpose = Annotated[
    str, opt("What for: training, evaluation, research or display.", "--purpose", metavar="WHAT")
]
Override = Annotated[
    str,
    opt("Your reason to let it leave against its policy tags; it is logged.", "--override", metavar="REASON"),
]
MinScore = Annotated[
    float | None, opt("Only predictions of at least this score (0 to 1).", "--min-score", min=0.0, max=1.0)
]
MaxScore = Annotated[
    float | None, opt("Only predictions of at most this score (0 to 1).", "--max-score", min=0.0, max=1.0)
]


@contextmanager
def opened(ctx: typer.Context) -> Iterator[Workspace]:
    """The workspace of the line, closed at the end."""
    from app.services import workspace

    location = ctx.obj.workspace
    if not location:
        raise NotFound("no workspace was named", remedy="-w DIR, or set LAMPROOM_WORKSPACE")
    _ask_here()
    with workspace.open(location, person=str(settings.get("person")) or None) as ws:
        yield ws


def _ask_here() -> None:
    """In a terminal a person is asked for the passphrase of the keys; a script gives it by the environment."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    from app.services import keys

    def ask(asked: keys.Asked) -> str | None:
        if asked.wrong:
            print(tr("That is not the passphrase."), file=sys.stderr)
        if not asked.new:
            return getpass.getpass(tr("Passphrase of the workspace's keys: "), stream=sys.stderr) or None
        print(
            tr(
                "The workspace's keys are sealed with a passphrase. Without it they are lost: keep it elsewhere too."
            ),
            file=sys.stderr,
        )
        while word := getpass.getpass(tr("New passphrase: "), stream=sys.stderr):
            if word == getpass.getpass(tr("Once more: "), stream=sys.stderr):
                return word
            print(tr("The two differ."), file=sys.stderr)
        return None

    keys.ask_by(ask)


def query_of(ws: Workspace, dataset: str, *, state: str | None = None, label: str | None = None, origin: str | None = None,
             text: str = "", where: str = "", min_score: float | None = None, max_score: float | None = None) -> Query:  # fmt: skip
    """The pictures of a dataset that the options mean. NotFound, InvalidInput for names that are none."""
    from app.services import browse, listing, schema

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
    listing.parse(
        where, listing.names(ws, data.id)
    )  # a query that cannot be read is told before anything begins
    return browse.Query(
        data.id,
        state=state,
        label=code,
        origin=origin,
        text=text,
        where=where,
        min_score=min_score,
        max_score=max_score,
        me=ws.person.id,
    )


def when(ms: int) -> str:
    """A time of the record as local text."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000))
