"""Redacted copies: what is covered, one picture before and after, the name of the new dataset; then a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QDoubleSpinBox, QGridLayout, QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop.models.asking import Combo, Segments
from app.desktop.models.camera import CameraView
from app.desktop.overlaid import Sheet
from app.desktop.rights.parts import Many, picture_now, scopes
from app.desktop.tasks import Task
from app.desktop.widgets import button, column, label, number, row, say
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.window import Window
    from app.services.gate import Tag
    from app.services.redaction import Preview

Wanted = tuple[tuple[str, ...], str, tuple[str, ...], float, float]
"""Classes, a model, its classes, margin and score."""
SHOWN_PX = 900
"""Longer side of a previewed picture."""
SOON_MS = 350
SHOWN_CLASSES = 24
SEEING = ("detect", "segment", "pose", "obb")
"""Tasks of models that tell where something is."""


class RedactSheet(Sheet):
    """See the module. models: (name, classes) of those that look at pictures and are on this machine."""

    def __init__(self, window: Window, models: list[tuple[str, tuple[str, ...]]]) -> None:
        super().__init__(
            window.body,
            "Redacted copies",
            "Copies with regions filled black and without metadata, each proved by its pixels. Your files are not touched.",
            "Make the copies",
            self._go,
            width=max(900, min(1160, window.body.width() - 48)),
        )
        self.window_, self.desk = window, window.desk
        assert self.desk.dataset is not None
        self.data = self.desk.dataset
        self.models = dict(models)
        self.scopes = {s.code: s for s in scopes(window)}
        self.pictures: list[int] = []
        self.at = 0
        self._wanted = picture_now(window)
        self._ticket = 0
        self._soon = QTimer(self, singleShot=True, interval=SOON_MS)
        self._soon.timeout.connect(self._preview)
        across = row(gap=28)
        form = self._form()
        form.setFixedWidth(400)
        across.addWidget(form)
        across.addLayout(self._sides(), 1)
        self.body.addLayout(across)
        self._choose_model()
        self._read_pictures()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _form(self) -> QWidget:
        held = QWidget()
        outer, self.body = self.body, column(held, gap=12)
        self.scope = Segments(
            [(s.code, s.shown) for s in self.scopes.values()], next(iter(self.scopes)), spoken=tr("Pictures"), columns=3
        )  # fmt: skip
        self.scope.chosen.connect(lambda _: self._read_pictures())
        self.field("Pictures", self.scope)
        known = sorted(self.desk.facets.values(), key=lambda f: -(f.n_human + f.n_import + f.n_model))
        options = [
            (f.label, f"{self.desk.label_name(f.label)} {number(f.n_human + f.n_import + f.n_model)}")
            for f in known[:SHOWN_CLASSES]
        ]
        self.classes = Many(options, spoken=tr("Cover objects of"), columns=3)
        self.classes.changed.connect(self._changed)
        if options:
            self.field("Cover objects of", self.classes, note="Drawn, imported or predicted.")
        self.model = say(Combo(), spoken="Look once more with a model")
        self.model.addItem(tr("No model"), "")
        for name in self.models:
            self.model.addItem(name, name)
        self.model.activated.connect(lambda _: self._choose_model())
        self.model_classes = Many([], spoken=tr("Of its classes"), columns=3)
        self.model_classes.changed.connect(self._changed)
        self.field("Look once more with a model", self.model)
        self.body.addWidget(self.model_classes)
        numbers = QGridLayout()
        numbers.setHorizontalSpacing(12)
        numbers.setVerticalSpacing(4)
        self.margin = self._number(
            "Margin", 0.0, 2.0, 0.1, "Added on every side, as a share of the longer side"
        )
        self.score = self._number(
            "Score from", 0.0, 1.0, 0.2, "Low on purpose: covering too much is the lesser fault"
        )
        for i, (caption, spin) in enumerate((("Margin", self.margin), ("Score from", self.score))):
            numbers.addWidget(label(caption, "caption"), 0, i)
            numbers.addWidget(spin, 1, i)
        self.body.addLayout(numbers)
        self.bare = Many([("bare", tr("Only metadata: places, times and devices go, nothing is covered"))])
        self.bare.changed.connect(self._changed)
        self.body.addWidget(self.bare)
        self.name = self.text_field("New dataset", f"{self.data.name}-open", hint="A name that is not taken")
        self.name.textChanged.connect(lambda _: self._check())
        self.visibility = Segments(
            [("", tr("as the originals")), *((v, tr(v)) for v in ("public", "partners", "internal"))],
            "", spoken=tr("Who may see the copies"),
        )  # fmt: skip
        self.field("Who may see the copies", self.visibility)
        self.body.addStretch()
        self.body = outer
        return held

    def _number(self, spoken: str, low: float, high: float, value: float, tip: str) -> QDoubleSpinBox:
        made = QDoubleSpinBox()
        made.setRange(low, high)
        made.setSingleStep(0.05)
        made.setDecimals(2)
        made.setValue(value)
        for part in (made, made.lineEdit()):
            part.setAccessibleName(tr(spoken))
        made.setToolTip(tr(tip))
        made.valueChanged.connect(lambda _: self._changed())
        return made

    def _sides(self) -> Any:
        box = column(gap=8)
        self.views = CameraView(), CameraView()
        for view, caption in zip(self.views, ("Before", "After"), strict=True):
            view.setMinimumSize(360, 180)
            view.setAccessibleName(tr(caption))
            box.addWidget(label(caption, "caption"))
            box.addWidget(view, 1)
        foot = row(gap=8)
        self.told = label(kind="second", wrap=True)
        foot.addWidget(self.told, 1)
        foot.addWidget(button("Another picture", self.turn, icon="next"))
        box.addLayout(foot)
        return box

    # --- which pictures ------------------------------------------------------------------------------------------

    def _read_pictures(self) -> None:
        ws, scope = self.desk.ws, self.scopes[self.scope.value]
        wanted = self._wanted
        if ws is None:
            return

        def work() -> list[int]:
            from app.services import browse

            ids = [r.asset_id for r in browse.page(ws, scope.query, limit=200)]
            return [wanted, *(i for i in ids if i != wanted)] if wanted in ids else ids

        def came(ids: list[int]) -> None:
            self.pictures, self.at = ids, 0
            self._changed()

        self.desk.ask(work, self.while_open(came))

    def turn(self) -> None:
        """Preview the next picture."""
        if self.pictures:
            self.at = (self.at + 1) % len(self.pictures)
            self._preview()

    # --- the recipe ----------------------------------------------------------------------------------------------

    def _choose_model(self) -> None:
        labels = self.models.get(str(self.model.currentData()), ())
        self.model_classes.offer([(c, c) for c in labels[:SHOWN_CLASSES]])
        self.model_classes.setVisible(bool(labels))
        self._changed()

    def recipe(self) -> Wanted:
        """As the form says: what a recipe is made of. The service, which loads the models' libraries, makes it elsewhere."""
        name = str(self.model.currentData() or "")
        return (
            self.classes.values, name, self.model_classes.values if name else (),
            round(self.margin.value(), 3), round(self.score.value(), 3),
        )  # fmt: skip

    def _changed(self) -> None:
        self._check()
        self._soon.start()

    def _check(self) -> None:
        something = bool(self.classes.values or self.model.currentData() or self.bare.values)
        self.verb.setEnabled(something and bool(self.name.text().strip()))
        self.show_fault("")

    def _preview(self) -> None:
        ws = self.desk.ws
        if ws is None or self.gone:
            return
        if not self.pictures:
            self.told.setText(tr("No picture"))
            return
        self._ticket += 1
        ticket, asset_id, recipe = self._ticket, self.pictures[self.at], self.recipe()
        self.told.setText(tr("Looking at one picture…"))

        def work() -> tuple[Preview, QImage, QImage, list[tuple[int, int, int, int]]]:
            from app.services import redaction

            found = redaction.preview(ws, asset_id, redaction.Recipe(*recipe))
            return found, _image(found.before), _image(found.after), _bounds(found.regions)

        def came(got: tuple[Preview, QImage, QImage, list[tuple[int, int, int, int]]]) -> None:
            if ticket != self._ticket:
                return
            found, before, after, boxes = got
            h, w = found.before.shape[:2]
            for view, image in zip(self.views, (before, after), strict=True):
                view.show_picture(image, (w, h))
            self.views[0].tiles = boxes
            n = len(found.regions)
            self.told.setText(
                tr("{n} regions are covered in this picture", n=number(n)) if n
                else tr("Nothing is covered in this picture; its metadata goes.")
            )  # fmt: skip

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            if ticket == self._ticket:
                self.told.setText(i18n.tr_fault(fault))

        self.desk.tasks.readers.submit(
            work, self.while_open(came), self.while_open(failed), key="redact preview"
        )

    # --- deeds ---------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        ws, data, recipe = self.desk.ws, self.data.name, self.recipe()
        into, shown, bare = self.name.text().strip(), self.visibility.value, bool(self.bare.values)
        query = self.scopes[self.scope.value].query
        window = self.window_
        if ws is None:
            return
        if any(d.name == into for d in self.desk.datasets):
            self.show_fault(tr("There is a dataset {name} already.", name=into))
            return

        def work() -> Any:
            from app.services import gate, listing, redaction

            tag: Tag | None = gate.Tag(shown) if shown else None
            where = listing.text_of(ws, query)
            return redaction.run(
                ws, data, into, redaction.Recipe(*recipe), where=where, tag=tag, metadata_only=bare
            )

        self.finish()
        self.desk.start(
            lambda: tr("Redact · {name}", name=f"{data} → {into}"),
            work,
            lambda task: _ended(window, task, into),
        )


def _ended(window: Window, task: Task, into: str) -> None:
    """What came of it, one click from the copies."""
    if task.state == "finished" and not window.covered:
        sheet = RedactedSheet(window, into, task.result)
        window.sheets.hold(sheet)
        sheet.present(sheet.verb)


class RedactedSheet(Sheet):
    """What a redaction made; the button leads to the copies."""

    def __init__(self, window: Window, into: str, result: dict[str, object]) -> None:
        super().__init__(window.body, "Redacted copies", "", "Show the copies", self._go, width=480)
        say(self.cancel, "Close")
        self.window_, self.into = window, into
        figures = row(gap=32)
        for key, caption in (
            ("pictures", "copies"), ("covered", "with something covered"), ("regions", "regions"), ("left_out", "left out"),
        ):  # fmt: skip
            box = column(gap=0)
            n = int(str(result.get(key) or 0))
            shown = label(kind="figure", tone="red" if key == "left_out" and n else "")
            shown.setText(number(n))
            box.addWidget(shown)
            box.addWidget(label(caption, "second"))
            figures.addLayout(box)
        figures.addStretch()
        self.body.addLayout(figures)
        if int(str(result.get("left_out") or 0)):
            self.body.addWidget(
                label("What was left out is named in the list of problems; it was not passed on.", "second", wrap=True)
            )  # fmt: skip

    def _go(self) -> None:
        found = next((d.id for d in self.window_.desk.datasets if d.name == self.into), None)
        self.finish()
        if found is not None:
            self.window_.show_dataset(found)


def show(window: Window) -> None:
    """Open the form over the window."""
    desk = window.desk
    ws = desk.ws
    if ws is None or desk.dataset is None:
        return

    def read() -> list[tuple[str, tuple[str, ...]]]:
        from app.services import onnx

        return [
            (m.name, tuple(m.card.labels)) for m in onnx.listing(ws) if m.present and m.card.task in SEEING
        ]

    def known(models: list[tuple[str, tuple[str, ...]]]) -> None:
        if desk.ws is not ws or desk.dataset is None:
            return
        made = RedactSheet(window, models)
        window.sheets.hold(made)
        made.present(made.name)

    desk.ask(read, known)


def _image(pixels: Any) -> QImage:
    """A picture of BGR bytes for the screen, with its own memory; smaller where it is large."""
    h, w = pixels.shape[:2]
    image = QImage(pixels.tobytes(), w, h, 3 * w, QImage.Format.Format_BGR888).copy()
    if max(h, w) <= SHOWN_PX:
        return image
    smooth = Qt.TransformationMode.SmoothTransformation
    return image.scaled(SHOWN_PX, SHOWN_PX, Qt.AspectRatioMode.KeepAspectRatio, smooth)


def _bounds(shapes: Any) -> list[tuple[int, int, int, int]]:
    """The boxes of shapes, for their outlines."""
    from annotation import geometry

    found = (geometry.bbox(s) for s in shapes)
    return [(round(b.x0), round(b.y0), round(b.x1), round(b.y1)) for b in found if b is not None]
