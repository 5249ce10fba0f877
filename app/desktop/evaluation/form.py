"""What is asked before a model is judged: which model, beside which other, what is true, and whether it runs now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import i18n
from app.desktop.overlaid import Sheet
from app.i18n import tr
from app.services import listing

if TYPE_CHECKING:
    from app.desktop.tasks import Task
    from app.desktop.window import Window

_MOST = 8
"""Names of one sort that are offered; the command line takes any."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What there is to choose from: models (name, task), tags of versions, saved filters, other datasets."""

    models: tuple[tuple[str, str], ...]
    yards: tuple[tuple[str, str], ...]


def ask(window: Window, model: str = "") -> None:
    """Show the sheet; the task it starts ends on the page."""
    desk = window.desk
    ws, data = desk.ws, desk.dataset
    if ws is None or data is None or data.n_assets == 0:
        window.sheets.add_pictures()
        return

    def read() -> _Known:
        from app.services import browse, onnx, versions

        models = [(m.name, m.card.task) for m in onnx.listing(ws) if m.card.task not in ("embed", "read")]
        tags = [v.ref for v in reversed(versions.listing(ws, data.name))][:_MOST]
        saved = [s.name for s in listing.saved(ws, data.id)][:_MOST]
        others = [d.name for d in browse.datasets(ws) if d.id != data.id][:_MOST]
        yards = [("accepted", tr("Accepted in review")), ("labelled", tr("Labelled pictures"))]
        yards += [(t, t) for t in tags]
        yards += [(s, tr("Filter {name}", name=s)) for s in saved]
        yards += [(d, tr("Dataset {name}", name=d)) for d in others if d not in saved]
        return _Known(tuple(models), tuple(yards))

    def known(found: _Known) -> None:
        if not found.models:
            window.sheets.add_model()
            return
        _show(window, data.name, found, model)

    desk.ask(read, known)


def _show(window: Window, data: str, found: _Known, model: str) -> None:
    desk = window.desk
    ws = desk.ws
    if ws is None:
        return

    def go() -> None:
        names = tuple(dict.fromkeys(n for n in (first(), second()) if n))
        against, fresh, where, overlap = (
            yard() or None,
            source() == "fresh",
            only.text().strip(),
            float(iou()),
        )
        try:
            listing.parse(where, window.gallery.names)
        except listing.Misread as fault:
            sheet.show_fault(i18n.tr_fault(fault))
            return

        def work() -> Any:
            from app.services import evaluation

            return evaluation.evaluate(ws, evaluation.Ask(data, names, against, where, fresh, iou=overlap))

        def done(task: Task) -> None:
            if task.state == "finished" and isinstance(number := task.result.get("activity"), int):
                window.evaluation.read(number)

        window.sheets.close()
        window.go("evaluation")
        desk.start(lambda: tr("Evaluate · {name} · {model}", name=data, model=" · ".join(names)), work, done)

    sheet = window.sheets.hold(
        Sheet(
            window.body,
            "Evaluate a model",
            "What the model says is set against complete labels. Nothing of the dataset is changed; the figures are kept.",
            "Evaluate",
            go,
            width=640,
        )
    )
    options = [(n, n) for n, _ in found.models]
    first = sheet.choices("Model", options, model or options[-1][0])
    second = sheet.choices("Beside it", [("", tr("No other")), *options], "")
    yard = sheet.choices("What is true", [("", tr("As the dataset has it")), *found.yards], "")
    source = sheet.choices(
        "What the model says",
        [("record", tr("What is in the record")), ("fresh", tr("Run it now, into memory"))],
        "record" if desk.dataset is not None and _was_prelabelled(window) else "fresh",
    )
    iou = sheet.choices("Right from an overlap of", [(v, v) for v in ("0.5", "0.75", "0.9")], "0.5")
    only = sheet.text_field("Only pictures that meet", hint="A query as in the gallery; empty: all")
    sheet.present(sheet.verb)


def _was_prelabelled(window: Window) -> bool:
    """Predictions wait on the dataset: a person has just pre-labelled it."""
    return any(f.n_model for f in window.desk.facets.values())
