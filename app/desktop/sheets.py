"""The questions long work asks before it starts; each starts a task and is gone. Services are imported on the task's own
thread, so that neither the start of the desk nor a frame waits for onnxruntime."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QLineEdit

from app.desktop.desk import Desk
from app.desktop.evaluation import form as evaluate
from app.desktop.exchange import opening as exchange
from app.desktop.hubs import opening as hubs
from app.desktop.log import Bin, Steps
from app.desktop.models import packing
from app.desktop.models.adding import AddSheet
from app.desktop.models.machine import JobsSheet, ReportSheet
from app.desktop.models.prelabelling import PrelabelSheet
from app.desktop.models.running import chosen_pictures
from app.desktop.models.shelf import ShelfSheet
from app.desktop.overlaid import Sheet
from app.desktop.schema_editor import Editor
from app.desktop.tasks import Task
from app.desktop.widgets import label, number
from app.events import Finished, Started
from app.i18n import tr
from app.services.browse import Query

if TYPE_CHECKING:
    from app.desktop.window import Window


class Sheets:
    """Builds the sheets over a window."""

    def __init__(self, window: Window, desk: Desk) -> None:
        self.window, self.desk = window, desk
        self.open: Sheet | None = None

    def close(self) -> None:
        """Take the open sheet away."""
        if self.open is not None:
            self.open.finish()

    def _sheet(
        self, title: str, about: str, verb: str, run: Callable[[], None], *, width: int = 560
    ) -> Sheet:
        return self.hold(Sheet(self.window.body, title, about, verb, run, width=width))

    def hold(self, made: Sheet) -> Sheet:
        """Make a sheet the open one: no key acts under it, and another sheet closes it."""
        self.close()
        self.open = made

        def gone() -> None:
            if self.open is made:
                self.open = None
            self.window.refocus()

        made.closed.connect(gone)
        return made

    def _dataset(self) -> str | None:
        if self.desk.dataset is None:
            if self.desk.ws is not None:
                self.add_pictures()
            return None
        return self.desk.dataset.name

    def _start(
        self, titled: Callable[[], str], work: Callable, done: Callable[[Task], None] | None = None
    ) -> None:
        self.close()
        self.desk.start(titled, work, done)

    # --- in ------------------------------------------------------------------------------------------------------

    def add_pictures(self, source: str = "") -> None:
        """Register the pictures of a folder, a zip or a tar in a dataset."""
        ws = self.desk.ws
        if ws is None:
            return

        def go() -> None:
            source, name = Path(folder.text().strip()).expanduser(), dataset.text().strip()
            if not source.exists():
                sheet.show_fault(tr("There is no such folder or file: {path}", path=source))
                return

            def work():
                from app.services import ingest

                return ingest.run(ws, [source], dataset=name)

            self._start(lambda: tr("Add pictures · {name}", name=name), work, lambda task: self._added(name))

        sheet = self._sheet(
            "Add pictures",
            "Pictures are registered where they lie; your files are only read, never changed.",
            "Add pictures",
            go,
        )
        folder = sheet.path_field(
            "Folder, zip or tar",
            value=source,
            hint="Where the pictures are",
            files=True,
            note="Folders below it are taken too.",
        )
        now = self.desk.dataset.name if self.desk.dataset else ""
        dataset = sheet.text_field("Dataset", now, hint="A new name makes a new dataset")
        self._need(sheet, folder, dataset)
        sheet.present(folder)

    def _added(self, name: str) -> None:
        def chosen() -> None:
            self.desk.counted.disconnect(chosen)
            for data in self.desk.datasets:
                if data.name == name:
                    self.desk.choose_dataset(data.id)

        self.desk.counted.connect(chosen)
        self.desk.refresh()

    def import_labels(self, file: str = "") -> None:
        """Bring in the labels of another tool."""
        if self._dataset() is not None:
            exchange.take_in(self, file)

    def dropped(self, path: str) -> None:
        """Whatever was dropped on the window."""
        exchange.dropped(self, path)

    # --- models --------------------------------------------------------------------------------------------------

    def add_model(self, file: str = "") -> None:
        """Look at an ONNX model, or a promptable pair, and copy it into the workspace."""
        if self.desk.ws is None:
            return
        if packing.is_pack(file):
            take = packing.TakeSheet(self.window.body, self.desk, file, lambda _: self.models())
            self.hold(take)
            take.present(take.cancel)
            return

        def added(title: str, pair: bool, task: str) -> None:
            self.close()
            if pair:
                self.window.annotate.smart.use(title)
                self.window.go("annotate")
                self.window.annotate.set_tool("prompt")
            elif self.desk.dataset is not None and task != "embed":
                self.prelabel(title)

        sheet = AddSheet(self.window.body, self.desk, added=added, pack=self.add_model, file=file)
        self.hold(sheet)
        sheet.present(sheet.path)

    def models(self) -> None:
        """The models of the workspace."""
        if self.desk.ws is None:
            return

        def prompt(name: str) -> None:
            self.close()
            self.window.annotate.smart.use(name)
            self.window.go("annotate")
            self.window.annotate.set_tool("prompt")

        deeds: dict[str, Callable[[str], object]] = {
            "add": self.add_model,
            "prelabel": self.prelabel,
            "prompt": prompt,
            "evaluate": lambda _: evaluate.ask(self.window),
            "pack": self.write_pack,
        }
        sheet = ShelfSheet(self.window.body, self.desk, deeds)
        self.hold(sheet)
        sheet.present(sheet.verb)

    def write_pack(self, model: str) -> None:
        """A model as one signed file for another workspace."""
        sheet = packing.SendSheet(self.window.body, self.desk, model, "")
        self.hold(sheet)
        sheet.present(sheet.folder)

    def report(self, task: Task) -> None:
        """How a piece of machine work goes, or went."""
        sheet = ReportSheet(self.window.body, self.desk, task)
        self.hold(sheet)
        sheet.present(sheet.verb)

    def jobs(self) -> None:
        """Machine work of the workspace: what waits, what was done."""
        if self.desk.ws is not None:
            sheet = JobsSheet(self.window.body, self.desk)
            self.hold(sheet)
            sheet.present(sheet.verb)

    def choose_promptable(self) -> None:
        """Which promptable model the prompt tool uses."""
        ws = self.desk.ws
        if ws is None:
            return

        def read():
            from app.services import onnx

            return [row for row in onnx.pairs(ws) if row.present]

        def known(rows) -> None:
            if not rows:
                self.add_model()
                return

            def go() -> None:
                self.close()
                self.window.annotate.smart.use(chosen())
                self.window.annotate.set_tool("prompt")

            now = str(self.desk.values.get("smart_model") or rows[-1].name)
            sheet = self._sheet(
                "Promptable model", "Click or drag a box; the model draws the mask.", "Use this model", go
            )
            names = [(row.name, row.name) for row in rows]
            chosen = sheet.choices("Model", names, now if now in [r.name for r in rows] else rows[-1].name)
            sheet.present(sheet.verb)

        self.desk.ask(read, known)

    def copy_forward(self) -> None:
        """Copy what is selected, or everything, to the next pictures of the queue."""
        if self.desk.document.asset_id is None:
            return

        def go() -> None:
            n = chosen()
            self.close()
            self.window.annotate.sequence.copy_forward(int(n))

        n = len(self.desk.document.selection) or len(self.desk.document.annotations)
        sheet = self._sheet(
            "Copy to the next pictures",
            "One step that can be undone. Left out where the same object is already.",
            "Copy",
            go,
        )
        line = label(kind="second")
        line.setText(tr("{n} objects of this picture", n=number(n)))
        sheet.body.addWidget(line)
        chosen = sheet.choices("Pictures", [(v, v) for v in ("1", "5", "10", "20", "50", "100", "500")], "10")
        sheet.verb.setEnabled(n > 0)
        sheet.present(sheet.verb)

    def prelabel(self, model: str = "") -> None:
        """Let a model propose objects on the dataset."""
        ws, data = self.desk.ws, self._dataset()
        if ws is None or data is None:
            return
        chosen = chosen_pictures(self.window)

        def read():
            from app.services import onnx

            if not onnx.listing(ws):
                onnx.add_demo(ws)
            return [row for row in onnx.listing(ws) if row.present and row.card.task != "embed"]

        def known(rows) -> None:
            if not rows or self.desk.dataset is None:
                self.models()
                return
            sheet = PrelabelSheet(self.window.body, self.desk, rows, chosen, self._start, model=model)
            self.hold(sheet)
            sheet.present(sheet.model)

        self.desk.ask(read, known)

    def accept_all(self) -> None:
        """Accept the dataset's predictions from a score on, as one step."""
        ws, data = self.desk.ws, self.desk.dataset
        if ws is None or data is None:
            self._dataset()
            return

        def go() -> None:
            least, query = score(), Query(data.id, label=label_code() or None)
            self.desk.put_setting("accept_score", least)

            def work():
                from app.services import bulk

                return bulk.accept(ws, query, min_score=least)

            self._start(lambda: tr("Accept predictions · {name}", name=data.name), work)

        sheet = self._sheet(
            "Accept predictions",
            "All predictions of the dataset from this score on become truth, as one step that can be undone.",
            "Accept predictions",
            go,
        )
        score = sheet.share("Lowest score", float(self.desk.values["accept_score"]))
        known = [(c, self.desk.label_name(c)) for c, f in self.desk.facets.items() if f.n_model]
        label_code = sheet.choices("Classes", [("", tr("All")), *known[:11]], "")
        sheet.present(sheet.verb)

    # --- out -----------------------------------------------------------------------------------------------------

    def version(self, tag: str = "") -> str:
        """A version of the open dataset as `dataset@tag`, without a tag the newest; "" and the sheet that freezes one where there is none."""
        data = self.desk.dataset
        if self.desk.ws is None or data is None:
            return ""
        if tag := tag or data.last_tag or "":
            return f"{data.name}@{tag}"
        self.freeze()
        return ""

    def freeze(self) -> None:
        """Seal the dataset as a version."""
        ws, data = self.desk.ws, self._dataset()
        if ws is None or data is None:
            return

        def go() -> None:
            name = tag.text().strip()

            def work():
                from app.services import keys, versions

                keys.fingerprint(ws)  # a version that could not be signed is not pinned either
                yield from versions.build(ws, versions.freeze(ws, data, tag=name))

            self._start(lambda: tr("Freeze · {name}", name=f"{data}@{name}"), work)

        last = self.desk.dataset.last_tag if self.desk.dataset else None
        sheet = self._sheet(
            "Freeze a version",
            "The dataset as it is now gets a name, a manifest and a signature. Work goes on meanwhile.",
            "Freeze",
            go,
        )
        tag = sheet.text_field("Version", _next_tag(last), hint="v1", note="A version never changes again.")
        self._need(sheet, tag)
        sheet.present(tag)

    def export(self, tag: str = "") -> None:
        """Write the dataset or a version for another tool; what the format cannot hold is told first."""
        if self._dataset() is not None:
            exchange.give_out(self, tag)

    def publish(self, tag: str = "") -> None:
        """Send a version to a hub."""
        hubs.publish(self, tag)

    def hubs(self, name: str = "") -> None:
        """The hubs of the workspace."""
        hubs.show(self, name)

    def add_hub(self) -> None:
        """Name another hub; then the list shows it."""
        hubs.add(self)

    def verify(self, tag: str) -> None:
        """Check every byte of a version."""
        ws, data = self.desk.ws, self._dataset()
        if ws is None or data is None:
            return

        def work():
            from app.services import versions

            return versions.verify(ws, f"{data}@{tag}", bytes_too=True)

        self._start(lambda: tr("Verify · {name}", name=f"{data}@{tag}"), work)

    def _need(self, sheet: Sheet, *edits: QLineEdit) -> None:
        """The button can be pressed once every field holds something."""

        def check() -> None:
            sheet.verb.setEnabled(all(edit.text().strip() for edit in edits))
            sheet.show_fault("")

        for edit in edits:
            edit.textChanged.connect(lambda _: check())
        check()

    # --- the label schema ----------------------------------------------------------------------------------------

    def edit_schema(self) -> None:
        """Change the label schema of the dataset; what it would do is said before it is done."""
        ws, schema = self.desk.ws, self.desk.schema
        if ws is None or schema is None:
            return

        def go() -> None:
            draft, retired = made.draft, [i for i in made.found or () if i.what == "retired" and i.n]

            def work():
                from app.services import impact
                from app.services import schema as schemas

                yield Started("Label schema")
                changes = schemas.apply(ws, draft, base=schema)
                if retired:
                    yield from impact.forward(ws, draft.code)
                else:
                    yield Finished({}, changes)

            self._start(lambda: tr("Label schema"), work, lambda _: self.desk.read_schema())

        sheet = self._sheet(
            "Label schema",
            "Changes become the next version; earlier versions stay. Classes are added or retired, never removed.",
            "Apply",
            go,
            width=980,
        )
        made = Editor(self.desk, schema)
        made.setFixedHeight(560)
        sheet.body.addWidget(made)
        made.changed.connect(lambda: sheet.verb.setEnabled(made.ready))
        sheet.verb.setEnabled(False)
        sheet.present(made.wanted)

    # --- what was done -------------------------------------------------------------------------------------------

    def log(self) -> None:
        """Every step of the workspace, with its undo."""
        if self.desk.ws is None:
            return
        sheet = self._sheet(
            "Everything that was done",
            "Newest first. Bulk work is undone whole; a redo brings it back.",
            "Close",
            lambda: sheet.finish(),
            width=720,
        )
        sheet.cancel.hide()
        made = Steps(self.desk, sheet.show_fault)
        sheet.body.addWidget(made)
        sheet.present(made.wanted)

    def recycle_bin(self) -> None:
        """Objects that were deleted in the dataset, to bring back."""
        ws = self.desk.ws
        if ws is None or self._dataset() is None:
            return

        def go() -> None:
            rows = made.rows()

            def work():
                from app.services import labelling

                yield Started("Restore", len(rows))
                yield Finished({"objects": len(rows)}, labelling.restore(ws, rows))

            self._start(lambda: tr("Restore · {n}", n=number(len(rows))), work)

        sheet = self._sheet(
            "Recycle bin",
            "What was deleted by hand, newest first. Tick what shall come back; it is one step.",
            "Restore",
            go,
            width=640,
        )
        made = Bin(self.desk, lambda: sheet.verb.setEnabled(bool(made.chosen)))
        sheet.verb.setEnabled(False)
        sheet.body.addWidget(made)
        sheet.present()


def _next_tag(last: str | None) -> str:
    """v1, v2 … after the last one; today's date after any other tag."""
    if not last:
        return "v1"
    head = last.rstrip("0123456789")
    digits = last[len(head) :]
    return f"{head}{int(digits) + 1}" if digits else f"{last}-{time.strftime('%Y%m%d')}"
