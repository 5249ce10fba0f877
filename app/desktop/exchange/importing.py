"""Import labels: what the file is and why, which class becomes which label, which pictures it speaks of, before anything is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.exchange.classtable import ClassTable
from app.desktop.exchange.lists import Figures, Lists
from app.desktop.exchange.words import HOW, TITLES, WITHOUT, title
from app.desktop.models.asking import Combo, Segments
from app.desktop.overlaid import Sheet
from app.desktop.tasks import Pool, Task
from app.desktop.widgets import Meter, Pill, button, column, frame, label, number, row, say
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.services.imports import Look, Wish

BODY_PX = 500
TYPING_MS = 500


class ImportSheet(Sheet):
    """See the module. Reading happens on a thread of its own; Cancel leaves everything as it was."""

    def __init__(
        self, parent: QWidget, desk: Desk, begin: Callable[[Callable[[], Any]], None], *, file: str = ""
    ) -> None:
        """Args: begin: starts the work and closes the sheet. file: looked at at once."""
        super().__init__(
            parent,
            "Import labels",
            "The file is only read. What it is, which classes it has and which pictures it means is told before anything is written.",
            "Import labels",
            self._go,
            width=max(760, min(1180, parent.width() - 48)),
        )
        self.desk, self._begin = desk, begin
        self.found: Look | None = None
        self._ticket = 0
        self._stop = threading.Event()
        self._pool = Pool(desk.tasks.courier, 1, "lamproom-look")
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._typing.timeout.connect(self._look)
        self._tall = max(320, min(BODY_PX, parent.height() - 240))
        across = row(gap=28)
        across.addWidget(self._left())
        across.addWidget(self._right(), 1)
        self.body.addLayout(across)
        self.closed.connect(self._leave)
        self._show()
        if file:
            self.path.setText(file)
            self._typing.stop()
            self._look()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _left(self) -> QWidget:
        inner = QWidget()
        outer, self.body = self.body, column(inner, gap=14, margins=(0, 0, 12, 0))
        self.path = self.path_field(
            "File, folder or zip", hint="Drop it on the window, or choose it", files=True
        )
        self.path.textChanged.connect(lambda _: self._forget())
        self.known = frame("inset")
        inside = column(self.known, gap=6, margins=(14, 12, 14, 12))
        head = row(gap=8)
        self.format = label(kind="head")
        head.addWidget(self.format)
        head.addStretch()
        self.sure = Pill()
        head.addWidget(self.sure)
        inside.addLayout(head)
        self.why = label(kind="second", wrap=True)
        inside.addWidget(self.why)
        self.body.addWidget(self.known)
        self.other = Combo()
        self.other.addItem(tr("As it was recognised"), "")
        for code, shown in TITLES.items():
            self.other.addItem(shown, code)
        self.other.setAccessibleName(tr("Format"))
        self.other.activated.connect(lambda _: self._look())
        self.field("Format", self.other)
        self.pictures = self.path_field(
            "The file's own pictures", hint="Empty: found by path, name and size",
            note="Those that no name leads to are then known by their bytes.",
        )  # fmt: skip
        self.pictures.textChanged.connect(lambda _: self._typing.start())
        self.guessed = QWidget()
        inside = column(self.guessed, gap=4)
        inside.addWidget(label("Predictions in the file", "caption"))
        self.predictions = Segments(
            [("out", tr("Left out")), ("keep", tr("Kept as predictions"))], "out", spoken=tr("Predictions in the file")
        )  # fmt: skip
        self.predictions.chosen.connect(lambda _: self._show())
        inside.addWidget(self.predictions)
        self.scored = label(kind="small", wrap=True)
        inside.addWidget(self.scored)
        self.body.addWidget(self.guessed)
        self.body.addStretch()
        self.body = outer
        area = widgets.scroll(inner)
        area.setFixedSize(372, self._tall)
        return area

    def _right(self) -> QWidget:
        made = QWidget()
        box = column(made, gap=14)
        self.figures = Figures()
        box.addWidget(self.figures)
        self.how = label(kind="small", wrap=True)
        box.addWidget(self.how)
        head = row(gap=8)
        self.title = label("Classes", "head")
        head.addWidget(self.title)
        self.told = label(kind="second")
        head.addWidget(self.told, 1)
        self.turn = button("Pictures that were not found", self._turn, kind="link")
        head.addWidget(self.turn)
        box.addLayout(head)
        self.classes = ClassTable()
        self.classes.changed.connect(self._show)
        box.addWidget(self.classes, 1)
        self.lists = Lists()
        box.addWidget(self.lists, 1)
        self.empty = label(kind="second", wrap=True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        box.addWidget(self.empty, 1)
        self.meter = Meter("accent", 3)
        box.addWidget(self.meter)
        made.setFixedHeight(self._tall)
        return made

    # --- looking -------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Another file: what was known of the last one is void."""
        self._ticket += 1
        self._stop.set()
        self.found = None
        self.classes.forget()
        self.show_fault("")
        self._show()
        self._typing.start()

    def _wish(self) -> Wish:
        from app.services.imports import Wish

        own = self.pictures.text().strip()
        return Wish(
            str(self.other.currentData()), classes=self.classes.decisions, predictions=self.predictions.value == "keep",
            pictures=Path(own).expanduser() if own else None,
        )  # fmt: skip

    def _look(self) -> None:
        """Read the file with what is set, off this thread."""
        ws, data, text = self.desk.ws, self.desk.dataset, self.path.text().strip()
        self._typing.stop()
        if ws is None or data is None or not text:
            return
        self._ticket += 1
        self._stop.set()
        stop = self._stop = threading.Event()
        ticket, file, name, wish = self._ticket, Path(text).expanduser(), data.name, self._wish()
        send = self.desk.tasks.courier.send
        self.found = None
        self.show_fault("")
        self._show()
        self.meter.show()
        self.meter.set_share(None)
        self.empty.setText(tr("Reading the file…"))

        def told(n: int) -> bool:
            text = tr("Reading the file: {n} pictures", n=number(n))
            send(lambda: self.empty.setText(text) if not self.gone and ticket == self._ticket else None)
            return not stop.is_set()

        def work() -> Look:
            from app.services import imports

            return imports.look(ws, file, dataset=name, wish=wish, told=told)

        def came(found: Look) -> None:
            if ticket == self._ticket:
                self.found = found
                assert self.desk.schema is not None
                self.classes.show_classes(found.classes, self.desk.schema)
                self.lists.show_lists(found.by, found.lists)
                self._show()

        def failed(fault: BaseException) -> None:
            if ticket != self._ticket:
                return
            if not isinstance(fault, LamproomError):
                raise fault
            self._show()
            self.empty.setText(tr("It cannot be imported as it is; nothing was written."))
            self.show_fault(i18n.tr_fault(fault))

        self._pool.submit(work, self.while_open(came), self.while_open(failed))

    def _turn(self) -> None:
        """The classes, or the pictures without one, in turn."""
        lists = self.classes.isVisibleTo(self)
        self.classes.setVisible(not lists)
        self.lists.setVisible(lists)
        say(self.title, "Without a picture" if lists else "Classes")
        say(self.turn, "Back to the classes" if lists else "Pictures that were not found")
        self.told.setText("" if lists else self._told())

    def _show(self) -> None:
        """Everything that depends on what is known."""
        found = self.found
        for part in (self.known, self.figures, self.how, self.title, self.classes, self.told):
            part.setVisible(found is not None)
        self.lists.hide()
        self.empty.setVisible(found is None)
        self.guessed.setVisible(found is not None and self._predicted(found) > 0)
        self.meter.hide()
        self.turn.hide()
        self.verb.setEnabled(found is not None and found.matched > 0)
        if found is None:
            self.empty.setText(
                tr("Choose a file of annotations, a folder or a zip: from COCO, YOLO, VOC, CVAT, labelme, Label Studio and nine more.")
            )  # fmt: skip
            return
        without = sum(found.by.get(how, 0) for how in WITHOUT)
        self.format.setText(title(found.format))
        self.sure.set(tr("chosen by you") if self.other.currentData() else tr("recognised"), "blue")
        self.why.setText(tr_sentence(found.why))
        figures = [
            (tr("pictures are in the dataset"), found.matched, False),
            (tr("pictures were not found"), without, without > 0),
            (tr("objects"), found.objects, False),
        ]
        if self._predicted(found):
            figures.append((tr("predictions"), found.predictions + found.scored, False))
        self.figures.show_figures(figures)
        said = [f"{tr(HOW[how])} {number(n)}" for how in HOW if (n := found.by.get(how, 0))]
        self.how.setText(" · ".join(said))
        plain = sum(c.predictions for c in found.classes) == 0
        out = self.predictions.button("out")
        out.setText(tr("Taken as truth") if plain else tr("Left out"))
        out.setAccessibleName(f"{tr('Predictions in the file')}: {out.text()}")
        self.scored.setVisible(found.scored > 0)
        self.scored.setText(
            tr(
                "{n} objects carry a score: a model found them. They are truth unless kept as predictions.",
                n=number(found.scored),
            )
        )
        self.turn.setVisible(without > 0)
        say(self.title, "Classes")
        say(self.turn, "Pictures that were not found")
        self.told.setText(self._told())
        self.told.show()

    def _told(self) -> str:
        """The classes in one line."""
        n, new, dropped = (
            len(part)
            for part in (self.found.classes if self.found else (), self.classes.new, self.classes.dropped)
        )
        parts = [tr("{n} classes", n=number(n))]
        parts += [tr("{n} new labels", n=number(new))] * bool(new)
        parts += [tr("{n} left out", n=number(dropped))] * bool(dropped)
        return " · ".join(parts)

    def _predicted(self, found: Look) -> int:
        return sum(c.predictions for c in found.classes) + found.scored

    def retranslate(self) -> None:
        """Texts that hold data."""
        self._show()

    def _leave(self) -> None:
        self._ticket += 1
        self._typing.stop()
        self._stop.set()
        self._pool.close(seconds=0)

    # --- doing it ------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        ws, data, found = self.desk.ws, self.desk.dataset, self.found
        if ws is None or data is None or found is None:
            self._look()
            return
        file, name, wish = Path(self.path.text().strip()).expanduser(), data.name, self._wish()

        def work() -> Any:
            from app.services import imports

            return imports.import_labels(ws, file, dataset=name, wish=wish)

        self._begin(work)


class ImportedSheet(Sheet):
    """What an import did: figures, what was left over, and the way back."""

    def __init__(self, parent: QWidget, desk: Desk, task: Task) -> None:
        super().__init__(parent, "Labels are imported", "", "Close", self.finish, width=720)
        self.desk = desk
        told: Any = task.result
        self.cancel.hide()
        line = label(kind="second", wrap=True)
        schema = tr("schema {schema}", schema=told["schema"])
        line.setText(f"{title(str(told['format']))} → {told['dataset']} · {schema}")
        self.body.addWidget(line)
        self.figures = Figures()
        without = sum(told[how] for how in WITHOUT)
        self.figures.show_figures(
            [
                (tr("pictures matched"), told["matched"], False),
                (tr("objects taken in"), told["annotations"] + told["predictions"], False),
                (tr("were there already"), told["identical"], False),
                (tr("pictures without a match"), without, without > 0),
            ]
        )
        self.body.addWidget(self.figures)
        more = [
            (tr("{n} new labels: {names}", n=number(len(told["new_classes"])), names=", ".join(told["new_classes"][:6])), told["new_classes"]),
            (tr("{n} predictions, to be judged", n=number(told["predictions"])), told["predictions"]),
            (tr("{n} predictions left out", n=number(told["predictions_left_out"])), told["predictions_left_out"]),
            (tr("{n} objects of classes left out", n=number(told["dropped"])), told["dropped"]),
            (tr("{n} pictures got their split", n=number(told["splits"])), told["splits"]),
            (tr("{n} pictures got their review state", n=number(told["reviews"])), told["reviews"]),
        ]  # fmt: skip
        said = [text for text, n in more if n]
        self.more = label(kind="second", wrap=True)
        self.more.setText("\n".join(f"· {text}" for text in said))
        self.body.addWidget(self.more)
        self.more.setVisible(bool(said))
        self.lists = Lists()
        self.lists.setFixedHeight(220)
        self.body.addWidget(self.lists)
        self.lists.show_lists({how: told[how] for how in WITHOUT}, told["lists"])
        self._step = told["step"]
        if self._step is not None:
            self.body.addWidget(
                button("Take the import back", self._undo, kind="link"), 0, Qt.AlignmentFlag.AlignLeft
            )

    def _undo(self) -> None:
        self.finish()
        self.desk.undo_step(int(self._step))
