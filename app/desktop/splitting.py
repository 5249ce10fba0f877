"""Train, val and test: a rule, what it would make of the pictures and of every class, and then one step that writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QRectF, Qt, QTimer
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QLineEdit, QSpinBox, QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop import theme, widgets
from app.desktop.charts import Bar, Chart
from app.desktop.models.asking import Segments
from app.desktop.overlaid import Sheet
from app.desktop.rights.parts import Many, line, scopes
from app.desktop.widgets import column, label, number, row, say
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.desktop.window import Window
    from app.services.splitting import Rule

SOON_MS = 350
ROLES = ("blue", "accent", "violet")
NAMES = ("train", "val", "test")
SHOWN = 40
BODY_PX = 430


class Shares(Chart):
    """Rows of three parts each, as shares of the row; thin lines stand where the rule wants the parts to end."""

    row_px = 26

    def __init__(self) -> None:
        super().__init__(self.row_px)
        self.wanted: tuple[float, float] = (0.0, 0.0)

    def show_shares(
        self, rows: list[tuple[str, tuple[int, int, int]]], wanted: tuple[float, float, float]
    ) -> None:
        """(name, figures of train, val and test) for each row; wanted: the shares of the rule."""
        self.wanted = (wanted[0], wanted[0] + wanted[1])
        self.setFixedHeight(max(1, len(rows)) * self.row_px)
        bars = [
            Bar(name, tuple((n, "", tr(what)) for n, what in zip(found, NAMES, strict=True)))
            for name, found in rows
        ]
        self.show_bars(bars, name=tr("Train, val and test by class"), empty=tr("No object is in it yet"))

    def draw(self, p: QPainter) -> None:
        """Name, three parts, three figures."""
        t = theme.current()
        left, figures = min(150, self.width() // 4), 190
        room = max(1, self.width() - left - figures - 12)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for i, b in enumerate(self.bars):
            y = i * self.row_px
            p.setFont(theme.font(12))
            p.setPen(QColor(t.text))
            name = QFontMetrics(p.font()).elidedText(b.name, Qt.TextElideMode.ElideRight, left - 8)
            p.drawText(QRectF(0, y, left - 8, self.row_px), int(Qt.AlignmentFlag.AlignVCenter), name)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.raised))
            p.drawRoundedRect(QRectF(left, y + 7, room, 12), 3, 3)
            x = float(left)
            for (n, _, _), role in zip(b.parts, ROLES, strict=True):
                wide = room * n / max(1, b.total)
                if n:
                    p.setBrush(QColor(getattr(t, role)))
                    p.drawRoundedRect(QRectF(x, y + 7, max(2.0, wide - 1), 12), 2, 2)
                x += wide
            p.setPen(QPen(QColor(t.text), 1))
            for at in self.wanted:
                if 0 < at < 1:
                    p.drawLine(round(left + room * at), y + 4, round(left + room * at), y + 22)
            p.setPen(QColor(t.second))
            for k, (n, _, _) in enumerate(b.parts):
                box = QRectF(self.width() - figures + k * figures / 3, y, figures / 3, self.row_px)
                p.drawText(box, int(right), number(n))


class SplitSheet(Sheet):
    """See the module."""

    def __init__(self, window: Window) -> None:
        super().__init__(
            window.body,
            "Train, val and test",
            "Whole groups go one way, so that no near duplicate crosses. One step, which undo takes back.",
            "Write the splits",
            self._go,
            width=max(880, min(1080, window.body.width() - 48)),
        )
        self.window_, self.desk = window, window.desk
        assert self.desk.dataset is not None
        self.data = self.desk.dataset.name
        self.scopes = {s.code: s for s in scopes(window)}
        self.result: dict[str, Any] | None = None
        self._ticket = 0
        self._soon = QTimer(self, singleShot=True, interval=SOON_MS)
        self._soon.timeout.connect(self._plan)
        across = row(gap=32)
        form = self._form()
        form.setFixedWidth(360)
        across.addWidget(form)
        side = QWidget()
        self._side = column(side, gap=12, margins=(0, 0, 10, 0))
        self._figures = column(gap=8)
        self._side.addLayout(self._figures)
        self.chart = Shares()
        self._side.addWidget(self.chart)
        self._notes = column(gap=6)
        self._side.addLayout(self._notes)
        self._side.addStretch()
        area = widgets.scroll(side)
        area.setFixedHeight(BODY_PX)
        across.addWidget(area, 1)
        self.body.addLayout(across)
        self._changed()

    def _form(self) -> QWidget:
        held = QWidget()
        outer, self.body = self.body, column(held, gap=14)
        self.scope = Segments(
            [(s.code, s.shown) for s in self.scopes.values()], next(iter(self.scopes)), spoken=tr("Pictures"), columns=2
        )  # fmt: skip
        self.field("Pictures", self.scope)
        self.ratio = say(QLineEdit("8:1:1"), spoken="Train : val : test")
        self.ratio.textEdited.connect(lambda _: self._changed())
        self.field(
            "Train : val : test", self.ratio, note="As 8:1:1 or 70:15:15; two numbers leave test empty."
        )
        self.how = Segments(
            [("random", tr("by chance")), ("stratified", tr("every class in these shares"))], "random", spoken=tr("How")
        )  # fmt: skip
        self.field("How", self.how)
        self.groups = Many(
            [("near", tr("near duplicates")), ("camera", tr("a camera (folder)")), ("place", tr("a place (source)")),
             ("time", tr("a stretch of time"))],
            ("near",), spoken=tr("What stays together"), columns=2,
        )  # fmt: skip
        self.field("What stays together", self.groups)
        self.seed = QSpinBox()
        self.seed.setRange(0, 1_000_000)
        for part in (self.seed, self.seed.lineEdit()):
            part.setAccessibleName(tr("Draw"))
        self.field(
            "Draw",
            self.seed,
            note="Another number, another draw; the same one gives the same splits anywhere.",
        )
        self.scope.chosen.connect(lambda _: self._changed())
        self.how.chosen.connect(lambda _: self._changed())
        self.groups.changed.connect(self._changed)
        self.seed.valueChanged.connect(lambda _: self._changed())
        self.body.addStretch()
        self.body = outer
        return held

    def rule(self) -> Rule:
        """As the form says.

        Raises:
            InvalidInput: the ratio cannot be read.
        """
        from annotation import splits
        from app.services.splitting import Rule

        how: Any = self.how.value
        return Rule(splits.ratio(self.ratio.text()), how, self.groups.values, self.seed.value())

    # --- what it would make --------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self.verb.setEnabled(False)
        self.result = None
        self._soon.start()

    def _plan(self) -> None:
        ws = self.desk.ws
        if ws is None or self.gone:
            return
        self._ticket += 1
        ticket, query, data = self._ticket, self.scopes[self.scope.value].query, self.data
        try:
            rule = self.rule()
        except LamproomError as fault:
            self.show_fault(i18n.tr_fault(fault))
            return
        self.show_fault("")

        def work() -> tuple[dict[str, Any], list[str]]:
            from app.events import Finished, Warned
            from app.services import listing, splitting

            warned, result = [], {}
            for event in splitting.run(ws, data, rule, where=listing.text_of(ws, query), dry_run=True):
                if isinstance(event, Warned):
                    warned.append(event.what)
                elif isinstance(event, Finished):
                    result = dict(event.result)
            return result, warned

        def came(got: tuple[dict[str, Any], list[str]]) -> None:
            if ticket == self._ticket:
                self.result = got[0]
                self._tell(got[0], got[1], rule)
                self.verb.setEnabled(bool(sum(got[0]["splits"].values())))

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            if ticket == self._ticket:
                self.show_fault(i18n.tr_fault(fault))

        self.desk.tasks.readers.submit(work, self.while_open(came), self.while_open(failed), key="split plan")

    def _tell(self, found: dict[str, Any], warned: list[str], rule: Rule) -> None:
        widgets.clear(self._figures)
        across = row(gap=28)
        total = sum(found["splits"].values())
        for name, role in zip(NAMES, ROLES, strict=True):
            n = found["splits"][name]
            box = column(gap=0)
            figure = label(kind="figure", tone=role)
            figure.setText(number(n))
            box.addWidget(figure)
            share = f" {100 * n / total:.1f} %" if total else ""
            box.addWidget(line(f"{tr(name)}{share}", "second"))
            across.addLayout(box)
        across.addStretch()
        self._figures.addLayout(across)
        text = tr(
            "{n} groups; the largest has {most} pictures",
            n=number(found["groups"]),
            most=number(found["largest_group"]),
        )
        self._figures.addWidget(line(text, "second"))
        self._figures.addWidget(label("Objects of each class", "caption"))
        classes = sorted(found["classes"].items(), key=lambda kv: -sum(kv[1]))
        self.chart.show_shares([(self.desk.label_name(c), tuple(n)) for c, n in classes[:SHOWN]], rule.shares)
        widgets.clear(self._notes)
        missing = [
            self.desk.label_name(c)
            for c, n in classes
            if any(s and not k for s, k in zip(rule.shares, n, strict=True))
        ]
        if missing:
            some = ", ".join(missing[:6]) + (" …" if len(missing) > 6 else "")
            self._notes.addWidget(line(tr("Not in every part: {names}", names=some), "second", tone="accent"))
        for what in warned:
            self._notes.addWidget(line(tr_sentence(what), "second", tone="accent"))

    # --- writing -------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        ws, data, query = self.desk.ws, self.data, self.scopes[self.scope.value].query
        if ws is None or self.result is None:
            return
        rule = self.rule()

        def work() -> Any:
            from app.services import listing, splitting

            return splitting.run(ws, data, rule, where=listing.text_of(ws, query))

        self.finish()
        self.desk.start(lambda: tr("Split · {name}", name=data), work)


def show(window: Window) -> None:
    """Open the sheet over the window."""
    if window.desk.ws is None or window.desk.dataset is None:
        return
    made = SplitSheet(window)
    window.sheets.hold(made)
    made.present(made.ratio)
