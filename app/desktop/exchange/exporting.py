"""Export: of what, in which format, which part of it; what it would lose and whether it may leave, told before the button."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QCheckBox, QLineEdit, QPushButton, QSizePolicy, QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.exchange.lists import Figures
from app.desktop.exchange.words import TITLES, title, variant
from app.desktop.models.asking import Combo, Segments
from app.desktop.overlaid import Sheet
from app.desktop.tasks import Pool
from app.desktop.widgets import Meter, column, frame, label, look, number, row, say
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.services.export import Ask, Found, What

BODY_PX = 520
TYPING_MS = 450
LISTED = 12
LEAST_WORDS = 8
"""Characters of a reason, as the gate wants them."""
_AUDIENCES = ("internal", "partners", "public")
_PURPOSES = ("training", "evaluation", "research", "display")


def _dialects(name: str) -> tuple[str, ...]:
    from annotation import formats  # not with the desk: it takes longer than the rest of the sheet

    return tuple(formats.FORMATS[name].DIALECTS)


class Many(QWidget):
    """Buttons of which any may be chosen; none means all."""

    def __init__(
        self, options: Sequence[tuple[str, str]], changed: Callable[[], None], *, spoken: str
    ) -> None:
        super().__init__()
        line = row(self, gap=6)
        self.made: dict[str, QPushButton] = {}
        for code, shown in options:
            one = look(QPushButton(shown), "choice")
            one.setCheckable(True)
            one.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            one.setAccessibleName(f"{spoken}: {shown}")
            one.clicked.connect(lambda _=False: changed())
            self.made[code] = one
            line.addWidget(one)
        line.addStretch()

    @property
    def values(self) -> tuple[str, ...]:
        """The codes that are chosen."""
        return tuple(code for code, one in self.made.items() if one.isChecked())


class ExportSheet(Sheet):
    """See the module. Counting happens on a thread of its own and begins anew with every change."""

    def __init__(
        self,
        parent: QWidget,
        desk: Desk,
        versions: Sequence[str],
        begin: Callable[[str, Callable[[], Any]], None],
        *,
        tag: str = "",
    ) -> None:
        """Args: versions: tags, the newest first. begin: starts the work, called with its title. tag: chosen at first; "" = as it is now."""
        super().__init__(
            parent,
            "Export",
            "What the format cannot hold and what may not leave is told here, before a byte is written.",
            "Export",
            self._go,
            width=max(780, min(1200, parent.width() - 48)),
        )
        assert desk.dataset is not None
        self.desk, self.data, self._begin = desk, desk.dataset, begin
        self.found: Found | None = None
        self._ticket = 0
        self._stop = threading.Event()
        self._pool = Pool(desk.tasks.courier, 1, "lamproom-weigh")
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._typing.timeout.connect(self._weigh)
        self._tall = max(320, min(BODY_PX, parent.height() - 240))
        across = row(gap=28)
        across.addWidget(self._left(versions, tag))
        across.addWidget(self._right(), 1)
        self.body.addLayout(across)
        self.closed.connect(self._leave)
        self._variants()
        self._weigh()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _left(self, versions: Sequence[str], tag: str) -> QWidget:
        inner = QWidget()
        outer, self.body = self.body, column(inner, gap=14, margins=(0, 0, 12, 0))
        self.source = self._combo(
            "What", [("", tr("{name}, as it is now", name=self.data.name)), *((t, f"{self.data.name}@{t}") for t in versions)], tag
        )  # fmt: skip
        self.format = self._combo("Format", list(TITLES.items()), "coco", self._variants)
        self.dialect = self._combo("Variant", [], "")
        self.where = self.text_field(
            "Only pictures that meet this query", hint="class:helmet review:accepted"
        )
        self.where.textChanged.connect(lambda _: self._changed())
        self.classes = self.text_field("Only these classes", hint="Empty: all; several with commas")
        self.classes.textChanged.connect(lambda _: self._changed())
        self.splits = Many(
            [("train", tr("train")), ("val", tr("val")), ("test", tr("test"))],
            self._changed,
            spoken=tr("Splits"),
        )
        self.field("Only these splits", self.splits)
        self.accepted = self._tick("Only accepted pictures")
        self.predictions = self._tick("Also predictions that nobody accepted")
        self.ratio = self.text_field(
            "Split what has no split", hint="Empty: not at all; as 8:1:1",
            note="Near duplicates stay together. The dataset itself is not changed.",
        )  # fmt: skip
        self.ratio.textChanged.connect(lambda _: self._changed())
        self.stratified = self._tick("Every class in these shares")
        self.together = Many(
            [("camera", tr("camera")), ("place", tr("place")), ("time", tr("time"))], self._changed, spoken=tr("Together"),
        )  # fmt: skip
        self.field("Also together", self.together)
        self.crops = self._tick("One picture for each object")
        self.margin = say(QLineEdit("10"), spoken="Margin around an object in percent")
        self.margin.setFixedWidth(72)
        self.margin.textChanged.connect(lambda _: self._changed())
        self.around = QWidget()
        line = row(self.around, gap=8)
        line.addWidget(self.margin)
        line.addWidget(label("% of its longer side around it", "small"), 1)
        self.body.addWidget(self.around)
        self.body.addStretch()
        self.body = outer
        area = widgets.scroll(inner)
        area.setFixedSize(372, self._tall)
        return area

    def _right(self) -> QWidget:
        made = QWidget()
        outer, self.body = self.body, column(made, gap=12)
        self.figures = Figures()
        self.body.addWidget(self.figures)
        self.meter = Meter("accent", 3)
        self.body.addWidget(self.meter)
        self.said = label(kind="small", wrap=True)
        self.body.addWidget(self.said)
        self.head = label(kind="head")
        self.body.addWidget(self.head)
        held = QWidget()
        self._losses = column(held, gap=6, margins=(0, 0, 12, 0))
        self._losses.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.body.addWidget(widgets.scroll(held), 1)
        self.body.addWidget(self._gate())
        self.out = self.path_field("New folder", hint="A folder that does not exist yet")
        self.out.textChanged.connect(lambda _: self._check())
        self.pictures = Segments(
            [("link", tr("Link")), ("copy", tr("Copy")), ("none", tr("Leave out"))], "copy", spoken=tr("Pictures")
        )  # fmt: skip
        self.field("Pictures", self.pictures)
        self.body = outer
        made.setFixedHeight(self._tall)
        return made

    def _gate(self) -> QWidget:
        made = QWidget()
        box = column(made, gap=8)
        line = row(gap=20)
        self.audience = Segments([(a, tr(a)) for a in _AUDIENCES], "internal", spoken=tr("For whom"))
        self.audience.chosen.connect(lambda _: self._changed())
        self.purpose = Combo()
        self.purpose.addItem(tr("not said"), "")
        for one in _PURPOSES:
            self.purpose.addItem(tr(one), one)
        self.purpose.setAccessibleName(tr("What for"))
        self.purpose.activated.connect(lambda _: self._changed())
        for text, part in (("For whom", self.audience), ("What for", self.purpose)):
            side = column(gap=4)
            side.addWidget(label(text, "caption"))
            side.addWidget(part)
            side.addStretch()
            line.addLayout(side)
        line.addStretch()
        box.addLayout(line)
        self.refused = frame("warned")
        inside = column(self.refused, gap=6, margins=(14, 10, 14, 12))
        self.reasons = label(kind="second", wrap=True)
        inside.addWidget(self.reasons)
        self.override = say(
            QLineEdit(), hint="Your reason to let it leave all the same; it is kept under your name", spoken="Reason to let it leave"
        )  # fmt: skip
        self.override.textChanged.connect(lambda _: self._check())
        inside.addWidget(self.override)
        box.addWidget(self.refused)
        return made

    def _combo(
        self, text: str, options: Sequence[tuple[str, str]], value: str, changed: Callable[[], None] | None = None
    ) -> Combo:  # fmt: skip
        made = Combo()
        for code, shown in options:
            made.addItem(shown, code)
        made.setCurrentIndex(max(0, made.findData(value)))
        made.setAccessibleName(tr(text))
        if changed is not None:
            made.activated.connect(lambda _: changed())
        made.activated.connect(lambda _: self._changed())
        self.field(text, made)
        return made

    def _tick(self, text: str) -> QCheckBox:
        made = say(QCheckBox(), text)
        made.toggled.connect(lambda _: self._changed())
        self.body.addWidget(made)
        return made

    def _variants(self) -> None:
        dialects = _dialects(str(self.format.currentData()))
        self.dialect.clear()
        for one in dialects:
            self.dialect.addItem(variant(one) if one else tr("the only one"), one)
        self.dialect.setEnabled(len(dialects) > 1)

    # --- what is asked for ---------------------------------------------------------------------------------------

    @property
    def ref(self) -> str:
        """`dataset@tag`, or the dataset as it is now."""
        tag = str(self.source.currentData())
        return f"{self.data.name}@{tag}" if tag else self.data.name

    @property
    def code(self) -> str:
        """The format with its dialect."""
        name, dialect = str(self.format.currentData()), str(self.dialect.currentData() or "")
        return name if dialect in ("", _dialects(name)[0]) else f"{name}-{dialect}"

    def _what(self) -> What:
        """Raises InvalidInput for a ratio or margin that is none."""
        from annotation import splits
        from annotation.errors import InvalidInput
        from app.services.export import What
        from app.services.splitting import Rule

        ratio, margin = self.ratio.text().strip(), None
        rule = None
        if ratio:
            how = "stratified" if self.stratified.isChecked() else "random"
            rule = Rule(splits.ratio(ratio), how, ("near", *self.together.values))  # type: ignore[arg-type]
        if self.crops.isChecked():
            try:
                margin = float(self.margin.text().replace(",", ".")) / 100
            except ValueError:
                raise InvalidInput("the margin is no number", remedy="percent, such as 10") from None
        classes = tuple(c.strip() for c in self.classes.text().replace("，", ",").split(",") if c.strip())
        return What(
            self.where.text().strip(), classes, self.splits.values, ("accepted",) if self.accepted.isChecked() else (),
            self.predictions.isChecked() or None, rule, margin,
        )  # fmt: skip

    def _ask(self) -> Ask:
        from app.services.export import Ask

        reason = self.override.text().strip() if self.found is not None and self.found.refusals else ""
        return Ask(self.audience.value, str(self.purpose.currentData()), reason)

    # --- counting ------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._ticket += 1
        self._stop.set()
        self.found = None
        self._show()
        self._typing.start()

    def _weigh(self) -> None:
        """Count, look for losses and ask the gate, off this thread."""
        ws = self.desk.ws
        self._typing.stop()
        if ws is None:
            return
        self._ticket += 1
        self._stop.set()
        stop = self._stop = threading.Event()
        ticket, ref, code = self._ticket, self.ref, self.code
        self.found = None
        self.show_fault("")
        try:
            what, ask = self._what(), self._ask()
        except LamproomError as fault:
            self._show()
            self.show_fault(i18n.tr_fault(fault))
            return
        self._show()
        self.meter.show()
        self.meter.set_share(None)
        send, total = self.desk.tasks.courier.send, self.data.n_assets

        def told(done: int) -> bool:
            send(
                lambda: (
                    self.meter.set_share(done / max(1, total))
                    if not self.gone and ticket == self._ticket
                    else None
                )
            )
            return not stop.is_set()

        def work() -> Found:
            from app.services import export

            return export.weigh(ws, ref, code, what, ask=ask, told=told)

        def came(found: Found) -> None:
            if ticket == self._ticket:
                self.found = found
                self._show()

        def failed(fault: BaseException) -> None:
            if ticket != self._ticket:
                return
            if not isinstance(fault, LamproomError):
                raise fault
            self._show()
            self.head.setText(tr("This cannot be exported as it is."))
            self.show_fault(i18n.tr_fault(fault))

        self._pool.submit(work, self.while_open(came), self.while_open(failed))

    def _show(self) -> None:
        """Everything that depends on what is known."""
        found = self.found
        self.dialect.setEnabled(self.dialect.count() > 1)
        self.around.setVisible(self.crops.isChecked())
        ratio = bool(self.ratio.text().strip())
        self.stratified.setVisible(ratio)
        self.together.setEnabled(ratio)
        self.meter.hide()
        widgets.clear(self._losses)
        self.refused.setVisible(found is not None and bool(found.refusals))
        pictures = tr("crops") if self.crops.isChecked() else tr("pictures")
        self.figures.show_figures(
            [
                (pictures, found.pictures if found else 0, False),
                (tr("objects"), found.objects if found else 0, False),
                (tr("losses"), sum(x.n for x in found.losses) if found else 0, bool(found and found.losses)),
            ]
        )
        if found is None:
            self.said.setText("")
            self.head.setText(tr("Counting…"))
            self._check()
            return
        parts = [f"{tr(s) if s else tr('no split')} {number(n)}" for s, n in sorted(found.splits.items())] if len(found.splits) > 1 or "" not in found.splits else []  # fmt: skip
        parts += [tr("{n} pictures get another name", n=number(found.renamed))] * bool(found.renamed)
        parts += [tr("near duplicates were never looked for: see Cleaning")] * (not found.looked)
        self.said.setText(" · ".join(parts))
        self.head.setText(
            tr("What {format} cannot hold", format=title(str(self.format.currentData())))
            if found.losses
            else tr("Nothing is lost in this format.")
        )
        for one in found.losses[:LISTED]:
            line = frame("inset")
            inside = row(line, gap=12, margins=(12, 8, 12, 8))
            n = label(kind="strong")
            n.setText(number(one.n))
            n.setMinimumWidth(40)
            inside.addWidget(n)
            texts = column(gap=0)
            text = label(kind="", wrap=True)
            text.setText(tr_sentence(one.what))
            texts.addWidget(text)
            if one.example:
                example = widgets.Elided(tr("for example {path}", path=one.example), "small")
                example.setToolTip(one.example)
                texts.addWidget(example)
            inside.addLayout(texts, 1)
            self._losses.addWidget(line)
        self.reasons.setText(
            "\n".join(
                [tr("Its policy tags keep it in:")]
                + [f"· {number(r.n)} × {tr_sentence(r.what)} ({r.example})" for r in found.refusals[:4]]
            )
        )
        self._check()

    def _check(self) -> None:
        found = self.found
        answered = len(self.override.text().strip()) >= LEAST_WORDS
        ready = found is not None and found.pictures > 0 and (not found.refusals or answered)
        say(self.verb, "Export without these" if found is not None and found.losses else "Export")
        self.verb.setEnabled(ready and bool(self.out.text().strip()))

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
        ws = self.desk.ws
        if ws is None or self.found is None:
            return
        ref, code, target, how = (
            self.ref,
            self.code,
            Path(self.out.text().strip()).expanduser(),
            self.pictures.value,
        )
        what, ask = self._what(), self._ask()

        def work() -> Any:
            from app.services import export

            return export.run(ws, ref, code, target, what=what, ask=ask, accept_losses=True, pictures=how)

        self._begin(f"{ref} → {code}", work)
