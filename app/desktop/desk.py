"""What all places of the desk share: the workspace, the dataset and class in hand, tasks, problems, language, theme.

Views subscribe and draw; nothing here touches a widget.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from annotation.errors import LamproomError
from annotation.schema import Label, LabelSchema
from app import i18n, settings
from app.desktop import theme
from app.desktop.canvas.overlay import Style
from app.desktop.canvas.pictures import Pictures
from app.desktop.document import Document
from app.desktop.gallery.thumbnails import Thumbnails
from app.desktop.memory import Memory
from app.desktop.tasks import Task, Tasks
from app.events import Changes, Finished, Started, Work
from app.i18n import tr
from app.services import browse, labelling, review, schema, workspace
from app.services.browse import DatasetRow, LabelCount, Query, Totals
from app.services.review import Standing
from app.services.workspace import Workspace

log = logging.getLogger("lamproom.desk")

STATES = ("unlabelled", "predicted", "labelled")
_KEPT_PROBLEMS = 500


@dataclass(frozen=True, slots=True)
class Trouble:
    """A line of the problem list: what, where, and the picture it leads to."""

    what: str
    where: str = ""
    asset_id: int | None = None
    at: float = 0.0


REST_MS = 5_000
"""From a gesture to the next checkpoint."""


class Desk(QObject):
    """See the module. Interface thread only."""

    opened = Signal()
    """A workspace was opened, or none is open any more."""
    counted = Signal()
    """Datasets, totals or label counts were read again."""
    dataset_changed = Signal()
    schema_changed = Signal()
    label_changed = Signal()
    queried = Signal()
    """Another selection of pictures is looked at."""
    problems_changed = Signal()
    language_changed = Signal()
    theme_changed = Signal()
    keys_changed = Signal()
    setting_changed = Signal(str)
    report_asked = Signal(object)
    """How a task went or goes is to be shown."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.tasks = Tasks(self)
        self.document = Document(self.tasks, self)
        self.thumbs = Thumbnails(self.tasks.thumbs, lambda i: browse.thumbnail(self._open(), i), self)
        self.pictures = Pictures(
            self.tasks.pictures,
            lambda i, least_px: browse.glance(self._open(), i, least_px=least_px),
            lambda i, data: browse.whole(self._open(), i, data),
        )
        self.ws: Workspace | None = None
        self.opening = False
        self.totals: Totals | None = None
        self.datasets: list[DatasetRow] = []
        self.dataset: DatasetRow | None = None
        self.schema: LabelSchema | None = None
        self.facets: dict[str, LabelCount] = {}
        self.standings: list[Standing] = []
        """Pictures of the dataset by review state, person and content."""
        self.query: Query | None = None
        self.worth = False
        """The order is that of the queue of what is worth labelling."""
        self.label: str | None = None
        self.problems: list[Trouble] = []
        self.values = _settings(self)
        self.pictures.budget_bytes = int(self.values["picture_cache_mb"]) << 20
        self.memory = Memory(self)
        self._soon = QTimer(self, singleShot=True, interval=150)
        self._soon.timeout.connect(self._count)
        self._counting = self._again = False
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._settle)
        self.tasks.changed.connect(self._changed)
        self.tasks.ended.connect(self._ended)
        self.document.saved.connect(self._changed)
        self.document.saved.connect(lambda _: self._rest.isActive() or self._rest.start())
        self.document.faulted.connect(lambda line, asset: self.trouble(line, asset_id=asset))

    def _settle(self) -> None:
        """A gesture never folds the log of writes back itself; a reader does, a few seconds later."""
        if self.ws is not None:
            self.tasks.readers.submit(self.ws.settle, lambda _: None, self.fault)

    # --- workspace -----------------------------------------------------------------------------------------------

    def open_workspace(
        self,
        location: str,
        *,
        create: bool = False,
        schema_name: str = "coal_mine",
        on_error: Callable[[str], None],
    ) -> None:
        """Open or make a workspace on a reader thread; `on_error` gets the one line when it cannot be."""
        if self.opening:
            return
        self.opening = True
        person = str(self.values.get("person") or "") or None

        def work() -> Workspace:
            if create:
                return workspace.create(location, schema=schema_name, person=person, seated=True)
            return workspace.open(location, person=person, seated=True)

        def failed(fault: BaseException) -> None:
            self.opening = False
            on_error(
                i18n.tr_fault(fault)
                if isinstance(fault, LamproomError)
                else f"{type(fault).__name__}: {fault}"
            )
            if not isinstance(fault, LamproomError):
                raise fault

        self.tasks.readers.submit(work, self._opened, failed)

    def _opened(self, ws: Workspace) -> None:
        self.opening = False
        self.leave()
        self.ws = self.document.ws = ws
        recent = [ws.location, *(r for r in self._recent() if r != ws.location)][:8]
        self.put_setting("recent", recent)
        self.opened.emit()
        self._count()

    def leave(self) -> None:
        """Close the open workspace, if there is one; its writes are finished first."""
        if self.ws is None:
            return
        old, self.ws, self.document.ws = self.ws, None, None
        self.document.open(None)
        self.thumbs.forget()
        self.pictures.forget()
        self.dataset = self.query = self.schema = self.label = self.totals = None
        self.datasets, self.facets, self.standings, self.problems = [], {}, [], []
        self._counting = self._again = False
        self.tasks.let_go(old.close, self.fault)
        self.opened.emit()

    def close(self) -> bool:
        """End everything: every gesture is committed, every task cancelled, every thread joined."""
        self.memory.write()
        clean = self.tasks.close()
        ws, self.ws = self.ws, None
        if ws is not None:
            ws.close()
        return clean

    def _open(self) -> Workspace:
        if self.ws is None:
            raise LamproomError("no workspace is open")
        return self.ws

    def _recent(self) -> list[str]:
        found = self.values.get("recent")
        return [str(r) for r in found] if isinstance(found, list) else []

    @property
    def recent(self) -> list[str]:
        """Workspaces opened last, newest first."""
        return self._recent()

    # --- what is looked at ---------------------------------------------------------------------------------------

    def choose_dataset(self, dataset_id: int) -> None:
        """Take a dataset in hand and look at all its pictures."""
        found = next((d for d in self.datasets if d.id == dataset_id), None)
        if found is None or (self.dataset is not None and self.dataset.id == dataset_id):
            return
        self.dataset, self.facets, self.standings = found, {}, []
        self.document.open(None)
        self.dataset_changed.emit()
        self.look_at(Query(found.id))
        self.read_schema()
        self._count()

    def look_at(self, query: Query, *, worth: bool = False) -> None:
        """Look at other pictures of the dataset; `worth`: the ones worth labelling first come first, everywhere."""
        if (query, worth) != (self.query, self.worth):
            self.query, self.worth = query, worth
            self.queried.emit()

    def narrow(self, **change: Any) -> None:
        """Change part of the query."""
        if self.query is not None:
            self.look_at(replace(self.query, **change))

    def choose_label(self, code: str | None) -> None:
        """The class that is drawn next."""
        if code != self.label:
            self.label = code
            self.label_changed.emit()

    def labels(self) -> list[Label]:
        """Classes that can be drawn, those with keys first."""
        if self.schema is None:
            return []
        known = [label for label in self.schema.labels if not label.abstract and not label.retired_to]
        return sorted(known, key=lambda label: (not label.key, label.key == "0", label.key or ""))

    def label_name(self, code: str) -> str:
        """A class's name in the language in use."""
        found = self.schema.label(code) if self.schema else None
        return found.name(i18n.language()) if found else code

    def style(self) -> Style:
        """Colours and names for the canvas."""
        if self.schema is None:
            return Style()
        return Style(
            {label.code: label.color for label in self.schema.labels},
            {label.code: label.name(i18n.language()) for label in self.schema.labels},
            keys={label.code: label.key for label in self.schema.labels if label.key},
            edges={
                label.code: tuple(found.edges)
                for label in self.schema.labels
                if (found := getattr(label, "skeleton", None)) is not None
            },
        )

    def read_schema(self) -> None:
        """Take the current version of the dataset's label schema in hand."""
        ws, data = self.ws, self.dataset
        if ws is None or data is None:
            return

        def done(found: LabelSchema) -> None:
            if self.dataset is None or self.dataset.id != data.id:
                return
            if self.schema is not None and found == self.schema:
                return
            self.schema = found
            if self.label is None or found.label(self.label) is None:
                first = self.labels()
                self.label = first[0].code if first else None
                self.label_changed.emit()
            self.schema_changed.emit()

        self.tasks.readers.submit(
            lambda: schema.current(ws, data.schema_code), done, self.fault, key="schema"
        )

    # --- counts --------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the counts again, soon; many calls make one reading."""
        if self.ws is not None and not self._soon.isActive():
            self._soon.start()

    def _count(self) -> None:
        ws, data = self.ws, self.dataset
        if ws is None:
            return
        if self._counting:
            self._again = True
            return
        self._counting = True

        def work() -> tuple[Any, ...]:
            found = browse.facets(ws, data.id) if data is not None else []
            standing = review.standings(ws, data.id) if data is not None else []
            return browse.totals(ws), browse.datasets(ws), found, browse.problems(ws), standing

        self.tasks.readers.submit(
            work, lambda got: self._counts(ws, data, *got), self._count_failed, key="counts"
        )

    def _count_failed(self, fault: BaseException) -> None:
        self._counting = False
        self.fault(fault)

    def _counts(
        self,
        ws: Workspace,
        data: DatasetRow | None,
        totals: Totals,
        datasets: list[DatasetRow],
        facets: list[LabelCount],
        problems: list[browse.Problem],
        standings: list[Standing],
    ) -> None:
        self._counting = False
        if ws is self.ws:
            self.totals, self.datasets = totals, datasets
            self.document.revision = max(self.document.revision, totals.revision)
            if self.dataset is not None:
                self.dataset = next((d for d in datasets if d.id == self.dataset.id), self.dataset)
                if data is not None and data.id == self.dataset.id:
                    self.facets = {f.label: f for f in facets}
                    self.standings = standings
            kept = [t for t in self.problems if t.at]
            self.problems = kept + [Trouble(p.what, p.where, p.asset_id) for p in problems]
            self.counted.emit()
            self.problems_changed.emit()
            if self.dataset is None and datasets:
                self.choose_dataset(datasets[-1].id)
        if self._again:
            self._again = False
            self._count()

    def _changed(self, changes: Changes) -> None:
        self.document.revision = max(self.document.revision, changes.revision)
        if changes.everything or (
            self.document.asset_id in changes.assets and self.sender() is not self.document
        ):
            self.document.reload()
            self.read_schema()
        self.refresh()

    # --- tasks and problems --------------------------------------------------------------------------------------

    def start(
        self,
        titled: Callable[[], str],
        work: Callable[[], Work],
        on_done: Callable[[Task], None] | None = None,
    ) -> Task:
        """Begin long work; see `Tasks.start`."""
        return self.tasks.start(titled, work, on_done)

    def ask(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        error: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Read something on a reader thread."""
        self.tasks.readers.submit(work, done, error or self.fault)

    def ask_far(
        self, work: Callable[[], Any], done: Callable[[Any], None], error: Callable[[BaseException], None]
    ) -> None:
        """Ask another machine on the thread that waits for them."""
        self.tasks.far.submit(work, done, error)

    def undo_step(
        self,
        step: int,
        *,
        skip_changed: bool = False,
        failed: Callable[[BaseException], None] | None = None,
    ) -> Task:
        """Take back any step, also a whole task's: a task of its own, so that no gesture waits behind it.

        failed: told on the interface thread why it could not be done, as well as the problem list.
        """
        ws = self._open()

        def work() -> Work:
            yield Started("Undo")
            try:
                done = labelling.undo_step(ws, step, skip_changed=skip_changed)
            except BaseException as fault:
                if failed is not None:
                    self.tasks.courier.send(lambda fault=fault: failed(fault))  # type: ignore[misc]
                raise
            yield Finished({}, done)

        return self.start(lambda: tr("Undo: {what}", what=f"r{step}"), work)

    def _ended(self, task: Task) -> None:
        if task.state == "failed":
            self.trouble(task.fault, where=task.caption)
        for warned in task.warned[:100]:
            self.trouble(warned.what, where=warned.where)
        self.refresh()

    def trouble(self, what: str, *, where: str = "", asset_id: int | None = None) -> None:
        """A line for the problem list."""
        self.problems.insert(0, Trouble(i18n.tr_sentence(what), where, asset_id, time.time()))
        del self.problems[_KEPT_PROBLEMS:]
        self.problems_changed.emit()

    def forget_problems(self) -> None:
        """Clear the lines of this sitting; files put aside stay listed."""
        self.problems = [t for t in self.problems if not t.at]
        self.problems_changed.emit()

    def fault(self, error: BaseException) -> None:
        """What went wrong on a thread: the person's fault is listed, a bug is raised here."""
        if not isinstance(error, LamproomError):
            raise error
        self.trouble(i18n.tr_fault(error))

    # --- language, theme, settings -------------------------------------------------------------------------------

    def set_language(self, code: str) -> None:
        """Switch everything to zh_CN or en."""
        if code != i18n.language():
            i18n.use(code)
            self.put_setting("language", code)
            self.language_changed.emit()

    def set_theme(self, name: str) -> None:
        """Switch everything to "dark", "light" or what the system has."""
        before = theme.current()
        if name != self.values.get("theme"):
            self.put_setting("theme", name)
        if theme.choose(name) is not before:
            self.theme_changed.emit()

    def put_setting(self, key: str, value: Any) -> None:
        """Remember a choice; a settings file that cannot be written is a listed problem, not an end."""
        self.values[key] = value
        self.setting_changed.emit(key)
        try:
            settings.put(key, value)
        except LamproomError as error:
            self.fault(error)
        except OSError as error:
            self.trouble(tr("the settings cannot be written: {error}", error=error))


def _settings(desk: Desk) -> dict[str, Any]:
    try:
        return dict(settings.load())
    except LamproomError as error:
        desk.problems.append(Trouble(i18n.tr_fault(error), at=time.time()))
        return {key: setting.default for key, setting in settings.SETTINGS.items()}
