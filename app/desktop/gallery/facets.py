"""The left side: datasets, saved filters, and what there is of everything under the query, each a click away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QWidget

from app import i18n
from app.desktop import theme, widgets
from app.desktop.desk import Desk
from app.desktop.gallery.cells import REVIEW_TONES
from app.desktop.painted import painted
from app.desktop.widgets import Meter, Row, column, frame, label, number, row
from app.i18n import tr
from app.services import listing
from app.services.listing import EVERYTHING, Names, Node, Saved, Tally, Term, View

MOST = 14
"""Values of one facet; the rest is found by typing."""
_SECTIONS = (
    ("state", "State"), ("review", "Review"), ("class", "Classes"), ("attribute", ""), ("origin", "Origin"),
    ("score", "Score"), ("by", "By whom"), ("month", "Taken"), ("duplicate", "More than once"), ("kind", "Shape"), ("split", "Split"),
)  # fmt: skip
_TONES = {"predicted": "accent", "labelled": "green", "model": "accent", "human": "green", **REVIEW_TONES}
_VALUE_TEXT = {
    "unlabelled": "To label", "predicted": "To confirm", "labelled": "Labelled", "draft": "Draft", "submitted": "Submitted",
    "accepted": "Accepted", "returned": "Returned", "human": "By people", "model": "By models", "import": "Imported",
    "exact": "Equal bytes", "near": "Near copies", "alike": "Alike to a model", "maybe": "Perhaps alike: look", "frozen": "Stuck camera",
    "sequence": "Between kept frames", "train": "Training", "val": "Validation", "test": "Test", "none": "No split",
}  # fmt: skip


class Bars(QWidget):
    """Counts as bars over a range; a click or a drag asks for a part of it, in positions of the bars."""

    asked = Signal(int, int)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.values: list[int] = []
        self.chosen: tuple[int, int] | None = None
        self.ends = ("", "")
        self._from = -1
        self._to = -1
        self.setFixedHeight(64)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        widgets.say(self, tip=name)

    def show_values(
        self, values: Sequence[int], chosen: tuple[int, int] | None, ends: tuple[str, str]
    ) -> None:
        """Counts, the first and last bar asked for, and what stands at both ends."""
        self.values, self.chosen, self.ends = list(values), chosen, ends
        self.setAccessibleDescription(", ".join(str(v) for v in values))
        self.update()

    def _at(self, x: float) -> int:
        inner = max(1, self.width() - 24)
        return min(max(int((x - 12) / inner * len(self.values)), 0), len(self.values) - 1)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._paint(p)

    def _paint(self, p: QPainter) -> None:
        if not self.values:
            return
        t = theme.current()
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setPen(Qt.PenStyle.NoPen)
        most, n = max(*self.values, 1), len(self.values)
        wide = (self.width() - 24) / n
        span = (min(self._from, self._to), max(self._from, self._to)) if self._from >= 0 else self.chosen
        for i, value in enumerate(self.values):
            high = 40 * value / most
            inside = span is None or span[0] <= i <= span[1]
            p.setBrush(
                QColor(
                    t.accent
                    if inside and span is not None
                    else theme.mix(t.panel, t.accent if inside else t.second, 0.55 if inside else 0.3)
                )
            )
            p.drawRoundedRect(
                QRectF(
                    12 + i * wide + 1,
                    42 - max(high, 2 if value else 1),
                    max(1.0, wide - 2),
                    max(high, 2 if value else 1),
                ),
                1.5,
                1.5,
            )
        p.setFont(theme.font(11))
        p.setPen(QColor(t.second))
        p.drawText(QRectF(12, 46, 100, 16), Qt.AlignmentFlag.AlignLeft, self.ends[0])
        p.drawText(QRectF(self.width() - 112, 46, 100, 16), Qt.AlignmentFlag.AlignRight, self.ends[1])
        if self.hasFocus():
            p.setPen(QColor(t.accent))
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.drawRoundedRect(QRectF(self.rect()).adjusted(4.5, 0.5, -4.5, -0.5), 4, 4)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self.values:
            self._from = self._to = self._at(event.position().x())
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._from >= 0:
            self._to = self._at(event.position().x())
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._from >= 0:
            first, last = sorted((self._from, self._to))
            self._from = self._to = -1
            self.asked.emit(first, last)
            self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the part asked for by one bar, Return takes it away."""
        now = self.chosen or (0, len(self.values) - 1)
        if event.key() == Qt.Key.Key_Left and self.values:
            self.asked.emit(max(0, now[0] - 1), max(0, now[1] - 1))
        elif event.key() == Qt.Key.Key_Right and self.values:
            self.asked.emit(min(len(self.values) - 1, now[0] + 1), min(len(self.values) - 1, now[1] + 1))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.chosen:
            self.asked.emit(*self.chosen)
        else:
            super().keyPressEvent(event)


class Facets(QWidget):
    """See the module. `asked` carries the text of the query that a click means."""

    asked = Signal(str)
    counted = Signal()

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.view: View | None = None
        self.node: Node = EVERYTHING
        self.names = Names()
        self.tally = Tally()
        self.share = 0.0
        self._ticket = 0
        self._fresh = True
        self._soon = QTimer(self, singleShot=True, interval=250)
        self._soon.timeout.connect(self._count)
        self._saved: list[Saved] = []
        self._bodies: dict[str, QWidget] = {}
        self._held: dict[str, QWidget] = {}
        self._rows: dict[tuple[str, str], Row] = {}
        self._meters: dict[tuple[str, str], Meter] = {}
        left = frame("left")
        outer = row(self)
        outer.addWidget(left)
        self.setFixedWidth(248)
        box = column(left, gap=0, margins=(0, 0, 0, 0))
        inner = QWidget()
        self._box = column(inner, gap=4, margins=(8, 12, 8, 12))
        area = widgets.scroll(inner)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        box.addWidget(area, 1)
        self.progress = Meter("accent", 3)
        self.progress.setAccessibleName("counting")
        box.addWidget(self.progress)
        for name, caption in (("sets", "Datasets"), ("saved", "Saved filters"), *_SECTIONS):
            head = label(caption, "caption") if caption else None
            held = QWidget()
            inside = column(held, gap=2, margins=(0, 0, 0, 8))
            if head is not None:
                head.setContentsMargins(8, 0, 0, 2)
                inside.addWidget(head)
            body = QWidget()
            column(body, gap=2)
            inside.addWidget(body)
            self._bodies[name], self._held[name] = body, held
            self._box.addWidget(held)
        self._box.addStretch()
        self._histogram = Bars("Score")
        self._months = Bars("Taken")
        self._histogram.asked.connect(self._score)
        self._months.asked.connect(self._month)
        self._bodies["score"].layout().addWidget(self._histogram)  # type: ignore[union-attr]
        self._bodies["month"].layout().addWidget(self._months)  # type: ignore[union-attr]
        self._month_names: list[str] = []
        desk.counted.connect(self._datasets)
        desk.dataset_changed.connect(self._datasets)
        desk.dataset_changed.connect(self.read_saved)
        desk.opened.connect(self._datasets)

    # --- what is counted -----------------------------------------------------------------------------------------

    def show_view(self, view: View | None, node: Node, names: Names) -> None:
        """Count something else."""
        self.view, self.node, self.names = view, node, names
        self.tally, self.share = Tally(), 0.0
        self._ticket += 1
        self._fill()
        self.recount()

    def recount(self) -> None:
        """Count again, when it is looked at."""
        self._fresh = False
        if self.isVisible():
            self._soon.start()

    def showEvent(self, event) -> None:
        if not self._fresh:
            self._soon.start()

    def hideEvent(self, event) -> None:
        if not self._fresh or self.share < 1:
            self._ticket += 1  # nobody looks: leave the cores to others
            self._fresh = False

    def _count(self) -> None:
        self._ticket += 1
        ticket, ws, view = self._ticket, self.desk.ws, self.view
        self._fresh = True
        if ws is None or view is None:
            return
        self._go_on(ticket, listing.tally(ws, view))

    def _go_on(self, ticket: int, steps: Iterator[tuple[Tally, float]]) -> None:
        def done(got: tuple[Tally, float] | None) -> None:
            if ticket != self._ticket or got is None:
                return
            self.tally, self.share = got
            self._fill()
            if self.share < 1:
                self._go_on(ticket, steps)

        def failed(fault: BaseException) -> None:
            if ticket == self._ticket:
                self.share = 1.0
                self.progress.hide()
                self.desk.fault(fault)

        self.desk.tasks.readers.submit(lambda: next(steps, None), done, failed, behind=True)

    # --- what it shows -------------------------------------------------------------------------------------------

    def retranslate(self) -> None:
        """Names of data in the language in use."""
        self._rows.clear()
        self._meters.clear()
        for name in [n for n in self._bodies if n.startswith("attribute.")]:
            del self._bodies[name], self._held[name]
        for name in self._bodies:
            if name not in ("score", "month"):
                widgets.clear(self._bodies[name].layout())  # type: ignore[arg-type]
        self.progress.setAccessibleName(tr("Counting"))
        self._datasets()
        self._fill()
        self._fill_saved()

    def _fill(self) -> None:
        self.progress.setVisible(self.view is not None and self.share < 1)
        self.progress.set_share(self.share)
        plain = self.node == EVERYTHING and self.view is not None and not self.view.objects
        for name, _ in _SECTIONS:
            if name == "attribute":
                self._fill_attributes()
            elif name not in ("score", "month"):
                counts = self.tally.of(name)
                if plain and name == "class":
                    counts = {
                        c: f.n_human + f.n_import + f.n_model
                        for c, f in self.desk.facets.items()
                        if f.n_human + f.n_import + f.n_model
                    } or counts
                elif plain and name == "state" and self.desk.dataset is not None:
                    data = self.desk.dataset
                    counts = {
                        "unlabelled": data.n_unlabelled,
                        "predicted": data.n_predicted,
                        "labelled": data.n_labelled,
                    }
                self._fill_rows(name, name, counts, meters=name == "class")
        self._fill_bars()
        self.counted.emit()

    def _fill_attributes(self) -> None:
        body = self._bodies["attribute"]
        known = self.names.attributes()
        wanted = [c for c in self.tally.attributes() if c in known and known[c].type in ("choice", "flag")][
            :6
        ]
        asked = [
            x.key
            for x in listing.conjuncts(self.node)
            if isinstance(x, Term) and x.field == "attribute" and x.key in known
        ]
        for code in dict.fromkeys([*asked, *wanted]):
            key = f"attribute.{code}"
            if key not in self._bodies:
                held = QWidget()
                inside = column(held, gap=2, margins=(0, 0, 0, 8))
                a = known[code]
                head = label(kind="caption")
                head.setText(a.name_zh if i18n.language().startswith("zh") else a.name_en)
                head.setContentsMargins(8, 0, 0, 2)
                inside.addWidget(head)
                made = QWidget()
                column(made, gap=2)
                inside.addWidget(made)
                self._bodies[key], self._held[key] = made, held
                body.layout().addWidget(held)  # type: ignore[union-attr]
            self._fill_rows(key, key, self.tally.of(key))
        for key in [k for k in self._bodies if k.startswith("attribute.")]:
            shown = key.removeprefix("attribute.") in (*asked, *wanted)
            self._held[key].setVisible(shown)
        self._held["attribute"].setVisible(bool(asked or wanted))

    def _fill_rows(self, name: str, facet: str, counts: dict[str, int], *, meters: bool = False) -> None:
        """Rows of one facet: kept where they are while only counts change."""
        body = self._bodies[name]
        field, _, key = facet.partition(".")
        asked = {
            v
            for x in listing.conjuncts(self.node)
            if isinstance(x, Term) and (x.field, x.key) == (field, key) and x.op == ":"
            for v in x.values
        }
        if field in ("state", "review", "origin"):
            order = [v for v, _ in listing.FIELDS[field].values]
            shown = [v for v in order if v in counts or v in asked or field == "state"]
        else:
            shown = [
                *[v for v in counts if v in asked],
                *[v for v in asked if v not in counts],
                *[v for v in counts if v not in asked],
            ][:MOST]
        if field == "review" and shown == ["draft"]:
            shown = []
        if field == "split" and shown == ["none"]:
            shown = []
        if (field in ("kind", "by")) and len(shown) < 2 and not asked:
            shown = []
        have = [k[1] for k in self._rows if k[0] == facet]
        if set(have) != set(shown) or (
            field not in ("state", "review", "origin") and have != shown and self.share >= 1
        ):
            widgets.clear(body.layout())  # type: ignore[arg-type]
            for k in [k for k in self._rows if k[0] == facet]:
                del self._rows[k]
                self._meters.pop(k, None)
            for value in shown:
                self._add_row(body, facet, value, meter=meters)
        most = max(counts.values(), default=1) or 1
        for value in shown:
            made = self._rows[facet, value]
            n = counts.get(value, 0)
            made.count = number(n) if n or self.share >= 1 else ""
            made.tone = _TONES.get(value, "") if n and field in ("state", "review") else ""
            made.setChecked(value in asked)
            made.setAccessibleName(f"{made.text()} {made.count}")
            made.update()
            if (meter := self._meters.get((facet, value))) is not None:
                meter.set_share(n / most)
        self._held[name].setVisible(bool(shown))

    def _add_row(self, body: QWidget, facet: str, value: str, *, meter: bool) -> None:
        field, _, key = facet.partition(".")
        swatch = ""
        if field == "class":
            found = self.desk.schema.label(value) if self.desk.schema else None
            swatch = found.color if found else "#98a1ac"
        made = Row(self._name(field, key, value), swatch=swatch, height=30)
        made.setToolTip(tr("Click: only these. Ctrl click: these too."))
        term = Term(field, ":", (value,), key)
        made.clicked.connect(lambda _=False, term=term: self._toggle(term))
        self._rows[facet, value] = made
        held = QWidget()
        inside = column(held, gap=0)
        inside.addWidget(made)
        if meter:
            bar = Meter("second", 4)
            bar.setAccessibleName(made.text())
            self._meters[facet, value] = bar
            beside = row(margins=(36, 0, 12, 4))
            beside.addWidget(bar)
            inside.addLayout(beside)
        body.layout().addWidget(held)  # type: ignore[union-attr]

    def _name(self, field: str, key: str, value: str) -> str:
        zh = i18n.language().startswith("zh")
        if field == "class":
            return self.desk.label_name(value)
        if value in _VALUE_TEXT and field in ("state", "review", "origin", "split", "duplicate"):
            return tr(_VALUE_TEXT[value])
        if field == "kind":
            return dict(listing.FIELDS["kind"].values)[value][0] if zh else value.replace("_", " ")
        if field == "attribute" and (a := self.names.attributes().get(key)) is not None:
            for c in a.choices:
                if c.code == value:
                    return c.name_zh if zh else c.name_en
            return tr("yes") if value == "yes" else tr("no") if value == "no" else value
        return value

    def _fill_bars(self) -> None:
        bars = [self.tally.n["score", str(i)] for i in range(listing.SCORE_BARS)]
        asked = next(
            (x for x in listing.conjuncts(self.node) if isinstance(x, Term) and x.field == "score"), None
        )
        chosen = None
        if asked is not None and asked.op == "..":
            low, high = (float(v) if v else d for v, d in zip(asked.values, (0.0, 1.0), strict=True))
            chosen = (
                round(low * listing.SCORE_BARS),
                max(round(low * listing.SCORE_BARS), round(high * listing.SCORE_BARS) - 1),
            )
        elif asked is not None:
            at = min(listing.SCORE_BARS - 1, int(float(asked.values[0]) * listing.SCORE_BARS))
            chosen = (
                (0, max(0, at - 1))
                if asked.op.startswith("<")
                else (at, listing.SCORE_BARS - 1)
                if asked.op.startswith(">")
                else (at, at)
            )
        self._histogram.show_values(bars, chosen, ("0", "1"))
        self._held["score"].setVisible(sum(bars) > 0 or asked is not None)
        months = sorted(v for f, v in self.tally.n if f == "month")
        self._month_names = months
        values = [self.tally.n["month", m] for m in months]
        date = next(
            (
                x
                for x in listing.conjuncts(self.node)
                if isinstance(x, Term) and x.field == "date" and x.op == ".."
            ),
            None,
        )
        span = (
            (months.index(date.values[0]), months.index(date.values[1]))
            if date is not None and set(date.values) <= set(months)
            else None
        )
        self._months.show_values(values, span, (months[0], months[-1]) if months else ("", ""))
        self._held["month"].setVisible(len(months) > 1)

    # --- clicks --------------------------------------------------------------------------------------------------

    def _toggle(self, term: Term) -> None:
        add = bool(QApplication.keyboardModifiers() & Qt.KeyboardModifier.ControlModifier)
        self.asked.emit(listing.show(listing.toggled(self.node, term, add=add), self.names))

    def _score(self, first: int, last: int) -> None:
        n = listing.SCORE_BARS
        low, high = (f"{x / n:.2f}".rstrip("0").rstrip(".") for x in (first, last + 1))
        self._toggle(Term("score", "..", (low, high)))

    def _month(self, first: int, last: int) -> None:
        if last < len(self._month_names):
            self._toggle(Term("date", "..", (self._month_names[first], self._month_names[last])))

    # --- datasets and saved filters ------------------------------------------------------------------------------

    def _datasets(self) -> None:
        body = self._bodies["sets"]
        now = self.desk.dataset.id if self.desk.dataset is not None else None
        widgets.clear(body.layout())  # type: ignore[arg-type]
        for data in self.desk.datasets[-12:]:
            made = Row(data.name, count=number(data.n_assets))
            made.setChecked(data.id == now)
            made.clicked.connect(lambda _=False, one=data.id: self.desk.choose_dataset(one))
            body.layout().addWidget(made)  # type: ignore[union-attr]
        self._held["sets"].setVisible(bool(self.desk.datasets))
        if self.node == EVERYTHING:
            self._fill()

    def read_saved(self) -> None:
        """Read the dataset's saved filters."""
        ws, data = self.desk.ws, self.desk.dataset
        if ws is None or data is None:
            return

        def done(found: list[Saved]) -> None:
            self._saved = found
            self._fill_saved()

        self.desk.tasks.readers.submit(
            lambda: listing.saved(ws, data.id), done, self.desk.fault, key="saved filters"
        )

    def _fill_saved(self) -> None:
        body = self._bodies["saved"]
        widgets.clear(body.layout())  # type: ignore[arg-type]
        for one in self._saved:
            made = Row(one.name, height=30)
            made.setToolTip(f"{one.text}\n{one.who}")
            made.clicked.connect(lambda _=False, text=one.text: self.asked.emit(text))
            line = QWidget()
            inside = row(line, gap=0)
            inside.addWidget(made, 1)
            away = widgets.button(
                "",
                lambda name=one.name: self._forget(name),
                kind="flat",
                icon="close",
                tip="Throw this filter away",
            )
            away.setFixedSize(26, 26)
            inside.addWidget(away)
            body.layout().addWidget(line)  # type: ignore[union-attr]
        self._held["saved"].setVisible(bool(self._saved))
        widgets.repaint_icons(body)

    def _forget(self, name: str) -> None:
        ws, data = self.desk.ws, self.desk.dataset
        if ws is not None and data is not None:
            self.desk.tasks.writer.submit(
                lambda: listing.forget(ws, data.id, name), lambda _: self.read_saved(), self.desk.fault
            )
