"""Is the model any good? The evaluations that were made, the figures of one as charts, and what pre-labelling saved.

A click on a class, a cell of the confusion, a picture or a reason opens those pictures in the gallery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QVBoxLayout, QWidget

from annotation.errors import NotFound
from app.desktop import theme, widgets
from app.desktop.charts import Bar, Lying
from app.desktop.desk import Desk
from app.desktop.evaluation.curves import Calibration, Curves, Line, Sureness
from app.desktop.evaluation.parts import Tile, Worst, toned
from app.desktop.evaluation.plots import Cell, ClassBars, Heat, Legend, Precision
from app.desktop.panels.flow import Flow
from app.desktop.said import ago
from app.desktop.widgets import Elided, Row, button, column, frame, label, number, row
from app.events import Event, Finished, Work
from app.i18n import tr
from app.services.report import yard

_SHOWN = 14
"""Classes in the bars; the confusion shows fewer."""
_MIXED = 8
_WORST = 12


class Evaluation(QWidget):
    """See the module. `pictures` asks for a query to be shown in the gallery, `asked` for the sheet."""

    pictures = Signal(str)
    asked = Signal()

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.kept: list[Any] = []
        self.report: dict[str, Any] | None = None
        self.accepted: dict[str, Any] | None = None
        self._activity = 0
        self._ticket = 0
        self._code: str | None = None
        self._notes: dict[str, str] = {}
        line = row(self, gap=0)
        line.addWidget(self._side())
        inner = QWidget()
        box = column(inner, gap=16, margins=(28, 24, 28, 28))
        box.addLayout(self._head())
        self.quiet = self._nothing()
        box.addWidget(self.quiet)
        self.sheet = QWidget()
        self._figures(column(self.sheet, gap=16))
        box.addWidget(self.sheet)
        box.addStretch()
        line.addWidget(widgets.scroll(inner), 1)
        desk.dataset_changed.connect(self._other)
        desk.opened.connect(self._other)
        desk.schema_changed.connect(self.retranslate)
        desk.theme_changed.connect(self.retranslate)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _side(self) -> QWidget:
        side = frame("left")
        side.setFixedWidth(252)
        box = column(side, gap=8, margins=(12, 20, 12, 12))
        box.addWidget(label("Evaluations", "head"))
        inner = QWidget()
        self._list = column(inner, gap=2)
        self._list.setAlignment(Qt.AlignmentFlag.AlignTop)
        box.addWidget(widgets.scroll(inner), 1)
        return side

    def _head(self) -> QVBoxLayout:
        head = column(gap=4)
        line = row(gap=8)
        self.titles = [label(kind="title"), label(kind="title", tone="blue")]
        for made in self.titles:
            line.addWidget(made)
        line.addStretch()
        self.ask_button = button("Evaluate a model…", self.asked.emit, kind="primary", icon="model")
        line.addWidget(self.ask_button)
        head.addLayout(line)
        self.about = label(kind="second", wrap=True)
        head.addWidget(self.about)
        self.warned = label(kind="second", tone="accent", wrap=True)
        head.addWidget(self.warned)
        return head

    def _nothing(self) -> QWidget:
        card = frame("card")
        inside = column(card, gap=4, margins=(24, 20, 24, 20))
        inside.addWidget(label("No evaluation yet", "head"))
        about = "A model is judged on pictures whose labels are complete: accepted in review, labelled, or your gold set."
        inside.addWidget(label(about, "second", wrap=True))
        return card

    def _figures(self, box: QVBoxLayout) -> None:
        tiles = row(gap=12)
        self.tiles = {
            key: Tile(text)
            for key, text in (("ap", "AP 0.50–0.95"), ("ap50", "AP at 0.50"), ("ap75", "AP at 0.75"),
                              ("ar100", "Recall (AR)"), ("ece", "Calibration error"))
        }  # fmt: skip
        for tile in self.tiles.values():
            tiles.addWidget(tile, 1)
        box.addLayout(tiles)
        self.bars, self.heat, self.curves, self.sure = ClassBars(), Heat(), Curves(), Calibration()
        self.bars.looked.connect(self._follow)
        self.bars.picked.connect(self.open_class)
        self.heat.told.connect(lambda said: self._note("heat", said))
        self.sure.told.connect(lambda said: self._note("sure", said))
        self.heat.picked.connect(lambda cell: self.open_class(cell[0] or cell[1]))
        self.saved = Lying(Lying.row_px)
        grid = QGridLayout()
        grid.setSpacing(16)
        self._caption: dict[str, Any] = {}
        copy = button(
            "Copy best thresholds",
            self.copy_thresholds,
            kind="link",
            tip="As the [scores] of a recipe for pre-labelling",
        )
        charts: tuple[tuple[str, str, QWidget, tuple[QWidget, ...]], ...] = (
            ("bars", "Average precision by class", self.bars, ()), ("heat", "Confusion of classes", self.heat, ()),
            ("curves", "Precision and recall", self.curves, (copy,)), ("sure", "Calibration of the scores", self.sure, ()),
        )  # fmt: skip
        for place, (key, text, chart, more) in enumerate(charts):
            grid.addWidget(self._card(key, text, chart, *more), place // 2, place % 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        box.addLayout(grid)
        self._covers = QWidget()
        self._flow = Flow(gap=10)
        self._covers.setLayout(self._flow)
        self._all_worst = button("Open in the gallery", self.open_worst, kind="link")
        box.addWidget(self._card("worst", "Worst pictures", self._covers, self._all_worst))
        self._left = QWidget()
        self._left_box = column(self._left, gap=2)
        box.addWidget(self._card("left", "Pictures that do not count", self._left))
        holder = QWidget()
        inside = column(holder, gap=8)
        self.legend = Legend()
        inside.addWidget(self.legend)
        inside.addWidget(self.saved)
        self.formula = label(kind="small", wrap=True)
        inside.addWidget(self.formula)
        box.addWidget(self._card("saved", "What pre-labelling saved", holder))

    def _card(self, key: str, text: str, inner: QWidget, *more: QWidget) -> QWidget:
        card = frame("card")
        card.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        inside = column(card, gap=10, margins=(20, 16, 20, 16))
        line = row(gap=8)
        line.addWidget(label(text, "head"))
        note = Elided("", "second")
        self._caption[key] = note
        line.addWidget(note, 1)
        for one in more:
            line.addWidget(one)
        inside.addLayout(line)
        inside.addWidget(inner)
        inside.addStretch()
        return card

    # --- what there is -----------------------------------------------------------------------------------------------

    def _other(self) -> None:
        self.kept, self.report, self.accepted, self._activity = [], None, None, 0
        self.retranslate()
        self.read()

    def showEvent(self, event) -> None:
        self.read()
        super().showEvent(event)

    def read(self, activity: int = 0) -> None:
        """Read the evaluations of the dataset again, and show this one (0: the one shown, else the newest)."""
        self._ticket += 1
        ticket, ws, data = self._ticket, self.desk.ws, self.desk.dataset
        if ws is None or data is None or not self.isVisible():
            return

        def work() -> list[Any]:
            from app.services import evaluation

            return evaluation.kept(ws, data.name)

        def done(found: list[Any]) -> None:
            if ticket != self._ticket:
                return
            self.kept = found
            wanted = activity or self._activity
            known = {k.activity_id for k in found}
            self.choose(wanted if wanted in known else found[0].activity_id if found else 0)

        self.desk.ask(work, done)

    def choose(self, activity: int) -> None:
        """Show an evaluation."""
        self._activity = activity
        self.report = next((dict(k.report) for k in self.kept if k.activity_id == activity), None)
        self.accepted = None
        self.retranslate()
        self._read_accepted()

    def _read_accepted(self) -> None:
        """Count what became of the predictions, step by step behind everything else: a million rows take a minute."""
        ws, data, report = self.desk.ws, self.desk.dataset, self.report
        if ws is None or data is None or report is None:
            return
        model = report["models"][-1]["name"]
        work: list[Work] = []

        def step() -> Event | None:
            if not work:
                from app.services import acceptance

                work.append(acceptance.run(ws, data.name, model))
            try:
                return next(work[0], None)
            except NotFound:  # the model was taken off the list
                return None

        def done(event: Event | None) -> None:
            if report is not self.report:
                work[0].close()
            elif isinstance(event, Finished):
                self.accepted = dict(event.result)
                self._show_saved()
            elif event is not None:
                self.desk.tasks.readers.submit(step, done, self.desk.fault, key="acceptance", behind=True)

        self.desk.tasks.readers.submit(step, done, self.desk.fault, key="acceptance", behind=True)

    # --- drawing it --------------------------------------------------------------------------------------------------

    def retranslate(self) -> None:
        """Everything again, in the language and theme in use."""
        data, report = self.desk.dataset, self.report
        self.ask_button.setEnabled(data is not None and data.n_assets > 0)
        widgets.clear(self._list)
        for one in self.kept:
            self._list.addWidget(self._line(one))
        self.quiet.setVisible(report is None)
        self.sheet.setVisible(report is not None)
        if report is None:
            self._entitle([tr("Evaluation")])
            self.about.setText("")
            self.warned.setText("")
            self.warned.hide()
            return
        self._show_head(report)
        self._show_classes(report)
        self._show_mixed(report)
        self._follow(None)
        self._show_worst(report)
        self._show_left(report)
        self._show_saved()
        widgets.repaint_icons(self)

    def _entitle(self, names: Sequence[str]) -> None:
        """The models' names, of two each in its colour."""
        for made, name in zip(self.titles, [*names, ""], strict=False):
            made.setText(name)
            made.setVisible(bool(name))
        toned(self.titles[0], "accent" if len(names) > 1 else "")

    def _line(self, one: Any) -> QWidget:
        models = one.report["models"]
        ap = models[-1]["coco"]["ap"]
        made = Row(
            " · ".join(m["name"] for m in models),
            under=f"{ago(one.at_ms)} · {yard(one.report)}",
            count="–" if ap is None else f"{ap:.3f}",
        )
        made.setChecked(one.activity_id == self._activity)
        made.clicked.connect(lambda _=False, n=one.activity_id: self.choose(n))
        return made

    def _show_head(self, report: Mapping[str, Any]) -> None:
        models = report["models"]
        self._entitle([m["name"] for m in models])
        out = sum(x["n"] for x in report["pictures"]["left_out"])
        parts = [
            tr(
                "{n} pictures judged against {against}",
                n=number(report["pictures"]["counted"]),
                against=yard(report),
            ),
            tr("the model was run for it")
            if report["source"] == "fresh"
            else tr("what the record says it said"),
            tr("{n} pictures left out", n=number(out)) if out else "",
        ]
        if report["unasked"]:
            some = ", ".join(self.desk.label_name(u["label"]) for u in report["unasked"][:6])
            text = (
                "classes the model does not know, not judged: {classes}"
                if len(models) == 1
                else "classes that not both models know, not judged: {classes}"
            )
            parts.append(tr(text, classes=some))
        self.about.setText(" · ".join(p for p in parts if p))
        weak = [m["lowest"] for m in models if m["lowest"] is not None and m["lowest"] > 0.05]
        told = [tr("the weakest prediction has score {score}: what was never written cannot be counted, so AP is a lower bound", score=f"{max(weak):.2f}")] if weak else []  # fmt: skip
        found = report["difference"]
        if found and found["ap"]:
            value, low, high, above = found["ap"]
            told.insert(0, tr("{second} − {first}: AP {value} ({low} … {high} in 95 % of {n} draws; better in {above} %)",
                              first=models[0]["name"], second=models[1]["name"], value=f"{value:+.3f}", low=f"{low:+.3f}",
                              high=f"{high:+.3f}", n=found["draws"], above=round(100 * above)))  # fmt: skip
        self.warned.setText("\n".join(told))
        self.warned.setVisible(bool(told))
        for key, tile in self.tiles.items():
            values = [m["ece"] if key == "ece" else m["coco"][key] for m in models]
            below = ""
            if key in ("ap", "ap50") and len(models) == 1 and models[0][key]:
                below = tr(
                    "{low} … {high} in 95 % of draws",
                    low=f"{models[0][key][1]:.3f}",
                    high=f"{models[0][key][2]:.3f}",
                )
            tile.show_figures(values, below)

    def _show_classes(self, report: Mapping[str, Any]) -> None:
        models = report["models"]
        by_code = [{c["label"]: c for c in m["classes"]} for m in models]
        codes = [c["label"] for c in models[0]["classes"] if c["truth"]]
        rows = []
        for code in codes[:_SHOWN]:
            figures = []
            for found in by_code:
                c = found.get(code)
                interval = c["interval"] if c else None
                figures.append(tuple(interval[:3]) if interval else None)
            rows.append(
                Precision(
                    code,
                    self.desk.label_name(code),
                    self._colour(code),
                    tuple(figures),
                    by_code[0][code]["truth"],
                )
            )
        self.bars.show_rows(rows)
        self._caption["bars"].setText(tr("{n} more", n=len(codes) - _SHOWN) if len(codes) > _SHOWN else "")

    def _colour(self, code: str) -> str:
        known = self.desk.schema.label(code) if self.desk.schema else None
        return known.color if known else "#98a1ac"

    def _show_mixed(self, report: Mapping[str, Any]) -> None:
        cells = [Cell(x["true"], x["said"], x["n"]) for x in report["models"][-1]["confusion"]]
        weight: dict[str, int] = {}
        for c in cells:
            for code in {c.true, c.said} - {""}:
                weight[code] = weight.get(code, 0) + c.n
        codes = sorted(weight, key=lambda code: (-weight[code], code))[:_MIXED]
        inside = [c for c in cells if {c.true, c.said} <= {*codes, ""}]
        self.heat.show_cells(codes, inside, self.desk.label_name)
        named = report["models"][-1]["name"] if len(report["models"]) > 1 else ""
        more = tr("{n} more", n=len(weight) - _MIXED) if len(weight) > _MIXED else ""
        self._notes["heat"] = " · ".join(x for x in (named, more) if x)
        self._note("heat")

    def _follow(self, code: object) -> None:
        """The curves of one class, or of all."""
        report = self.report
        if report is None:
            return
        known = {c["label"] for m in report["models"] for c in m["classes"]}
        self._code = code if isinstance(code, str) and code in known else None
        lines, sure = [], []
        for m in report["models"]:
            chosen = [c for c in m["classes"] if c["label"] == self._code] if self._code else m["classes"]
            drawn = [c["curve"] for c in chosen if c["curve"]]
            if drawn:
                steps = tuple(sum(column) / len(drawn) for column in zip(*drawn, strict=True))
                best = chosen[0]["best"] if self._code else None
                ring = (best["score"], best["recall"], best["precision"]) if best else None
                lines.append(Line(m["name"], steps, ring))
            bins = (chosen[0]["bins"] or []) if self._code and chosen else m["bins"]
            ece = chosen[0]["ece"] if self._code and chosen else m["ece"]
            sure.append(Sureness(m["name"], tuple((b[0], b[1], b[2]) for b in bins), ece))
        self.curves.show_lines(lines)
        self.sure.show_models(sure)
        name = self.desk.label_name(self._code) if self._code else tr("mean of all classes")
        self._caption["curves"].setText(f"{name} · IoU {report['iou']:g}")
        errors = [f"{s.ece:.3f}" for s in sure if s.ece is not None]
        told = self.desk.label_name(self._code) if self._code else tr("all classes")
        self._notes["sure"] = f"{told} · ECE {' · '.join(errors)}" if errors else told
        self._note("sure")

    def _note(self, key: str, said: str = "") -> None:
        """What a plot says of the place looked at, else of the whole."""
        self._caption[key].setText(said or self._notes.get(key, ""))

    def _show_worst(self, report: Mapping[str, Any]) -> None:
        widgets.clear(self._flow)
        worst = report["models"][-1]["worst"]
        for found in worst[:_WORST]:
            made = Worst(self.desk, found)
            made.clicked.connect(lambda _=False: self.open_worst())
            self._flow.addWidget(made)
        self._all_worst.setVisible(bool(worst))
        self._caption["worst"].setText(
            tr("{n} pictures", n=number(len(worst))) if worst else tr("no picture with a fault")
        )

    def _show_left(self, report: Mapping[str, Any]) -> None:
        widgets.clear(self._left_box)
        found = report["pictures"]["left_out"]
        for x in found:
            made = Row(tr(x["reason"]), count=number(x["n"]), bar=False)
            made.setCheckable(False)
            made.setToolTip(tr("Open in the gallery"))
            made.clicked.connect(lambda _=False, ids=x["pictures"]: self._open(ids))
            self._left_box.addWidget(made)
        if not found:
            self._left_box.addWidget(label("Every picture counts.", "second"))

    def _show_saved(self) -> None:
        t = theme.current()
        tones = (("kept", t.green), ("moved", t.blue), ("relabelled", t.violet), ("rejected", t.red), ("undecided", t.second),
                 ("missed", t.accent))  # fmt: skip
        found = self.accepted
        rows = found["classes"][:_SHOWN] if found else []
        bars = [
            Bar(self.desk.label_name(c["label"]), tuple((c[key], colour, tr(key)) for key, colour in tones))
            for c in rows
        ]
        self.saved.setFixedHeight(max(1, len(bars)) * Lying.row_px)
        self.saved.show_bars(
            bars,
            name=tr("What pre-labelling saved"),
            empty=tr("Nothing of this model is in the record of the dataset.") if self.report else "",
        )
        total = found["total"] if found else None
        lines = []
        self.legend.show_parts(
            [(colour, f"{tr(key)} {number(total[key])}") for key, colour in tones] if total and rows else []
        )
        if total:
            if total["saved"] is not None:
                lines.append(tr("not drawn by hand: {share} % of the objects = (kept + moved + relabelled) ÷ (kept + moved + relabelled + missed)", share=round(100 * total["saved"], 1)))  # fmt: skip
                lines.append(tr("never touched: {share} % of the objects = kept ÷ (kept + moved + relabelled + missed)", share=round(100 * total["untouched"], 1)))  # fmt: skip
            if total["moved_iou"] is not None:
                lines.append(
                    tr(
                        "what was moved overlaps with where it was by {iou} on average",
                        iou=f"{total['moved_iou']:.2f}",
                    )
                )
        self.formula.setText("\n".join(lines))
        self._caption["saved"].setText(found["model"] if found else "")

    def copy_thresholds(self) -> None:
        """The best threshold of each class, as a recipe, on the clipboard."""
        if self.report is not None:
            from app.services import report

            QGuiApplication.clipboard().setText(report.proposal(self.report, len(self.report["models"]) - 1))
            self._caption["curves"].setText(tr("copied"))

    # --- into the gallery --------------------------------------------------------------------------------------------

    def open_class(self, code: object) -> None:
        """The pictures on which a class was missed or invented most often."""
        if self.report is None or not isinstance(code, str):
            return
        found = next((c for c in self.report["models"][-1]["classes"] if c["label"] == code), None)
        if found and found["worst"]:
            self._open(found["worst"])
        else:
            self.pictures.emit(f"class:{code}")

    def open_worst(self) -> None:
        """All worst pictures."""
        if self.report is not None:
            self._open([w["picture"] for w in self.report["models"][-1]["worst"]])

    def _open(self, ids: Sequence[int]) -> None:
        if ids:
            from app.services import evaluation

            self.pictures.emit(evaluation.pictures_query(ids))
