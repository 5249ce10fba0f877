"""Add a model: what it is and why, what only a person can know, and ten pictures of the dataset before anything is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QKeyEvent
from PySide6.QtWidgets import QSlider, QWidget

from annotation import canonical
from annotation.errors import InvalidInput, LamproomError
from app import i18n
from app.desktop import widgets
from app.desktop.canvas.pictures import to_image
from app.desktop.desk import Desk
from app.desktop.models import words
from app.desktop.models.asking import Form, Names
from app.desktop.models.grid import PreviewGrid
from app.desktop.models.packing import is_pack
from app.desktop.overlaid import Sheet
from app.desktop.tasks import Pool
from app.desktop.widgets import Meter, Pill, button, column, frame, label, number, row, say
from app.i18n import tr, tr_sentence
from app.services import browse

if TYPE_CHECKING:
    from app.services.onnx import Recognised, Unrecognised

BODY_PX = 520
LARGE_PX = 1400


class AddSheet(Sheet):
    """See the module. Everything happens on other threads; Cancel keeps nothing."""

    def __init__(
        self,
        parent: QWidget,
        desk: Desk,
        *,
        added: Callable[[str, bool, str], None],
        pack: Callable[[str], None],
        file: str = "",
    ) -> None:
        """Args: added: told the model's name, whether it is a promptable pair, and its task. pack: takes a model pack in. file: looked at at once."""
        super().__init__(
            parent,
            "Add a model",
            "What it is is read from the file itself; it is tried on ten pictures of the dataset before it is kept.",
            "Look at the model",
            self._go,
            width=max(720, min(1240, parent.width() - 48)),
        )
        self.desk, self._added, self._pack = desk, added, pack
        self.found: Recognised | None = None
        self.unknown: Unrecognised | None = None
        self._form_only = False
        self._ticket = 0
        self._stop = threading.Event()
        self._pool = Pool(desk.tasks.courier, 1, "lamproom-preview")
        across = row(gap=24)
        across.addWidget(self._left())
        across.addWidget(self._right(), 1)
        self.body.addLayout(across)
        self.closed.connect(self._leave)
        self._show()
        if file:
            self.path.setText(file)
            self._look()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _left(self) -> QWidget:
        inner = QWidget()
        outer, self.body = self.body, column(inner, gap=14, margins=(0, 0, 12, 0))
        self.path = self.path_field(
            "ONNX file", hint="model.onnx, or encoder.onnx", files=True, folders=False
        )
        self.decoder = self.path_field(
            "Second file: decoder, or recogniser of text",
            hint="Empty unless the model comes in two files",
            files=True,
            folders=False,
        )
        self.name = self.text_field("Name", hint="Empty: the file's name")
        self.path.textChanged.connect(lambda _: self._forget())
        self.decoder.textChanged.connect(lambda _: self._forget())
        self.known = frame("inset")
        inside = column(self.known, gap=6, margins=(14, 12, 14, 12))
        head = row(gap=8)
        self.kind = label(kind="head")
        head.addWidget(self.kind)
        head.addStretch()
        self.family = Pill()
        head.addWidget(self.family)
        inside.addLayout(head)
        self.facts = label(kind="second", wrap=True)
        inside.addWidget(self.facts)
        self.why = label(kind="small", wrap=True)
        inside.addWidget(self.why)
        self.other = button("It is something else…", self._say_myself, kind="link")
        inside.addWidget(self.other, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self.known)
        self.form = Form()
        self.form.changed.connect(self._look)
        self.body.addWidget(self.form)
        self.names = Names()
        self.names.changed.connect(self._look)
        self.body.addWidget(self.names)
        self.body.addStretch()
        self.body = outer
        area = widgets.scroll(inner)
        area.setFixedSize(404, BODY_PX)
        return area

    def _right(self) -> QWidget:
        made = QWidget()
        box = column(made, gap=10)
        head = row(gap=12)
        head.addWidget(label("Preview", "head"))
        self.told = label(kind="second")
        head.addWidget(self.told, 1)
        self.again = button("Try again", self._try, kind="link")
        head.addWidget(self.again)
        box.addLayout(head)
        self.grid = PreviewGrid(self.desk.thumbs, self._large)
        self.grid.tallied.connect(self._tell)
        box.addWidget(self.grid, 1)
        self.meter = Meter("accent", 3)
        box.addWidget(self.meter)
        foot = row(gap=12)
        foot.addWidget(label("Lowest score", "caption"))
        self.slider = say(QSlider(Qt.Orientation.Horizontal), spoken="Lowest score")
        self.slider.setRange(5, 95)
        self.slider.setValue(25)
        self.slider.valueChanged.connect(self._slid)
        foot.addWidget(self.slider, 1)
        self.least = label(kind="strong")
        self.least.setFixedWidth(40)
        foot.addWidget(self.least)
        box.addLayout(foot)
        made.setFixedHeight(BODY_PX)
        return made

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter after an answer tries it; it does not add the model."""
        plain = not event.modifiers() & Qt.KeyboardModifier.ControlModifier
        answered = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and plain
        if answered and self.form.isAncestorOf(self.focusWidget()):
            self._look()
            event.accept()
            return
        super().keyPressEvent(event)

    # --- looking -------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Another file: what was known of the last one is void."""
        self._ticket += 1
        self._stop.set()
        self.found = self.unknown = None
        self._form_only = False
        self.form.ask(())
        self.grid.begin((), ())
        self.grid.end()
        self.show_fault("")
        self._show()

    def _go(self) -> None:
        if is_pack(self.path.text().strip()):
            self._pack(self.path.text().strip())
        elif self.decoder.text().strip():
            self._add_pair()
        elif self.found is not None:
            self._keep()
        else:
            self._look()

    def _answers(self) -> dict[str, str]:
        said = {**self.form.answers, **self.names.answer} if self.found or self.unknown else {}
        return {**said, "family": "form"} if self._form_only else said

    def _say_myself(self) -> None:
        self._form_only = True
        self.form.ask(())
        self._look()

    def _look(self) -> None:
        """Recognise the file with the answers as they stand, off this thread."""
        file = Path(self.path.text().strip()).expanduser()
        if not self.path.text().strip() or self.decoder.text().strip():
            return
        self._ticket += 1
        ticket, answers = self._ticket, self._answers()
        self._stop.set()
        self.show_fault("")
        self.verb.setEnabled(False)
        self.told.setText(tr("Reading the model…"))

        def work() -> Any:
            from app.services import onnx

            return onnx.look(file, answers=answers)

        self._pool.submit(
            work, lambda found: self._looked(ticket, found), lambda fault: self._failed(ticket, fault)
        )

    def _looked(self, ticket: int, found: Recognised) -> None:
        if ticket != self._ticket:
            return
        first = self.found is None
        self.found, self.unknown = found, None
        if first:
            self.slider.setValue(round(found.card.score * 100))
        self.form.ask(found.asks)
        self.names.show_names(found.card.labels)
        self._show()
        self._try()

    def _failed(self, ticket: int, fault: BaseException) -> None:
        if ticket != self._ticket:
            return
        if not isinstance(fault, LamproomError):
            self._show()
            raise fault
        from app.services.onnx import Unrecognised

        self.found = None
        if isinstance(fault, Unrecognised):
            self.unknown = fault
            self.form.ask(fault.asks)
            self.grid.end(tr("Answer what is asked on the left; then ten pictures are tried."))
        else:
            if not self.form.answers:
                self.unknown = None
            self.show_fault(i18n.tr_fault(fault))
            self.grid.end(tr("There is nothing to show."))
        self._show()

    def _show(self) -> None:
        """Everything that depends on what is known."""
        found, unknown = self.found, self.unknown
        pair = bool(self.decoder.text().strip())
        self.known.setVisible(found is not None or unknown is not None)
        self.form.setVisible(found is not None or unknown is not None)
        self.names.setVisible(found is not None and bool(found.card.labels))
        self.other.setVisible(found is not None and not self._form_only)
        self.family.setVisible(found is not None)
        if found is not None:
            card = found.card
            self.kind.setText(tr(words.TASKS[card.task]))
            self.family.set(card.family, "blue")
            self.facts.setText(words.facts(card))
            self.why.setText("\n".join(f"· {tr_sentence(line)}" for line in found.why))
            if not self.name.text():
                self.name.setPlaceholderText(card.name)
        elif unknown is not None:
            self.kind.setText(tr("Which output is what?"))
            self.facts.setText(tr_sentence(unknown.what))
            self.why.setText("\n".join(words.output(i, out) for i, out in enumerate(unknown.outputs, 1)))
        text = (
            "Add the model"
            if found is not None or pair
            else "Try these answers"
            if unknown is not None
            else "Look at the model"
        )
        say(self.verb, text)
        self.verb.setEnabled(bool(self.path.text().strip()))
        self.again.setVisible(found is not None)
        self.meter.set_share(0.0)
        self._slid(self.slider.value())

    def retranslate(self) -> None:
        """Texts that hold data."""
        self._show()

    # --- the preview ---------------------------------------------------------------------------------------------

    def _try(self) -> None:
        """Run the model on ten pictures; a run that is under way ends."""
        ws, data, found = self.desk.ws, self.desk.dataset, self.found
        self._stop.set()
        if ws is None or found is None:
            return
        if data is None or not data.n_assets:
            self.grid.end(tr("There are no pictures yet to try it on. It can be added all the same."))
            self.told.setText("")
            return
        if found.card.task in words.NOT_DRAWN:
            self.grid.end(tr("What this kind of model gives is not drawn: nothing to preview."))
            self.told.setText("")
            return
        stop = self._stop = threading.Event()
        file, card, ticket = Path(self.path.text().strip()).expanduser(), found.card, self._ticket
        send = self.desk.tasks.courier.send
        query = browse.Query(data.id)

        def here(call: Callable[[], None]) -> None:
            """Back on the interface thread, unless the sheet went on to something else."""
            send(lambda: call() if not stop.is_set() and ticket == self._ticket else None)

        def work() -> None:
            from app.services import preview

            pictures = preview.spread(ws, query)
            here(lambda: self.grid.begin([i for i, _ in pictures], card.labels))
            for shown in preview.predict(ws, pictures, file, card, cancel=stop):
                here(lambda shown=shown: self.grid.put(shown))  # type: ignore[misc]

        def done(_: None) -> None:
            if not stop.is_set() and ticket == self._ticket:
                self.grid.end()
                self._tell()

        def failed(fault: BaseException) -> None:
            if stop.is_set() or ticket != self._ticket:
                return
            self.grid.end(tr("It could not be tried."))
            if not isinstance(fault, LamproomError):
                raise fault
            self.show_fault(i18n.tr_fault(fault))

        self.grid.hold()
        self.told.setText(tr("Trying it on ten pictures…"))
        self.meter.set_share(None)
        self._pool.submit(work, done, failed)

    def _large(self, asset_id: int, came: Callable[[QImage], None]) -> None:
        ws = self.desk.ws
        if ws is not None:
            self.desk.tasks.pictures.submit(
                lambda: to_image(browse.picture(ws, asset_id, max_side_px=LARGE_PX)),
                self.while_open(came),
                lambda _: None,
            )

    def _slid(self, value: int) -> None:
        self.least.setText(f"{value / 100:.2f}")
        self.grid.set_least(value / 100)

    def _tell(self) -> None:
        pictures, objects, none = self.grid.tally()
        total = len(self.grid._cells) or 1
        self.meter.set_share(pictures / total if self.grid.busy else 0.0)
        if pictures and self.found is not None:
            said = tr(
                "{objects} objects in {pictures} pictures", objects=number(objects), pictures=number(pictures)
            )
            self.told.setText(said + (" · " + tr("{n} pictures without any", n=number(none)) if none else ""))
        elif not self.grid.busy:
            self.told.setText("")

    # --- keeping -------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        ws, found = self.desk.ws, self.found
        if ws is None or found is None:
            return
        file, title = Path(self.path.text().strip()).expanduser(), self.name.text().strip() or None
        score = round(self.slider.value() * canonical.MICRO / 100)
        if (
            round(found.card.score * 100) != self.slider.value()
        ):  # the person moved it: it is the model's from now on
            found = replace(found, card=replace(found.card, score_micro=score))
        task = found.card.task
        self._stop.set()
        self.verb.setEnabled(False)

        def work() -> Any:
            from app.services import onnx

            return onnx.keep(ws, file, found, name=title)

        self._pool.submit(work, lambda kept: self._added(kept.name, False, task), self._refused)

    def _add_pair(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return
        encoder, decoder = (Path(edit.text().strip()).expanduser() for edit in (self.path, self.decoder))
        title = self.name.text().strip() or None
        self.verb.setEnabled(False)

        def work() -> Any:
            from app.services import onnx

            try:
                return onnx.add_pair(ws, encoder, decoder, name=title).name, True, "promptable"
            except InvalidInput as fault:  # no promptable model: a finder of lines with its recogniser?
                try:
                    return onnx.add_reader(ws, encoder, decoder, name=title).name, False, "read"
                except InvalidInput:
                    raise fault from None

        self._pool.submit(work, lambda kept: self._added(*kept), self._refused)

    def _refused(self, fault: BaseException) -> None:
        self.verb.setEnabled(True)
        if not isinstance(fault, LamproomError):
            raise fault
        self.show_fault(i18n.tr_fault(fault))

    def _leave(self) -> None:
        self._ticket += 1
        self._stop.set()
        self._pool.close(seconds=0)
