"""The gallery: what is looked at as chips, the grid, and what can be done with the chosen pictures."""

from __future__ import annotations

import time

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.gallery.grid import Grid
from app.desktop.gallery.rows import Rows
from app.desktop.panels.classes import Queues
from app.desktop.widgets import Meter, Row, button, column, frame, label, look, number, row, say
from app.i18n import tr

_ORIGINS = (("human", "By people"), ("model", "By models"), ("import", "Imported"))


class Gallery(QWidget):
    """See the module."""

    opened = Signal(int)

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.rows = Rows(desk.tasks.readers, self)
        self.grid = Grid(self.rows, desk.thumbs)
        self._asked_at = 0.0
        self._took_ms = 0
        self._typing = QTimer(self, singleShot=True, interval=250)
        self._typing.timeout.connect(lambda: desk.narrow(text=self.text.text().strip()))
        self._build()
        self.rows.faulted.connect(desk.fault)
        self.rows.counted.connect(self._counted)
        self.grid.opened.connect(self.opened)
        self.grid.chosen.connect(self._chosen)
        desk.queried.connect(self._queried)
        desk.opened.connect(self._queried)
        desk.counted.connect(self._counts)
        desk.schema_changed.connect(self._counts)
        desk.dataset_changed.connect(self._counts)
        desk.tasks.ended.connect(lambda _: self.rows.refresh())
        desk.document.saved.connect(lambda _: self._stale())
        self._fresh = True

    def _build(self) -> None:
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        left = frame("left")
        left.setFixedWidth(248)
        box = column(left, gap=8, margins=(8, 12, 8, 12))
        box.addWidget(_caption("Datasets"))
        self._sets = QWidget()
        self._sets_box = column(self._sets, gap=2)
        sets = widgets.scroll(self._sets)
        sets.setMaximumHeight(200)
        self._sets_area = sets
        box.addWidget(sets)
        box.addSpacing(8)
        box.addWidget(_caption("Queue"))
        box.addWidget(Queues(self.desk))
        box.addSpacing(8)
        box.addWidget(_caption("Classes"))
        self._labels = QWidget()
        self._labels_box = column(self._labels, gap=2)
        self._labels_box.addStretch()
        box.addWidget(widgets.scroll(self._labels), 1)
        whole.addWidget(left)

        middle = QVBoxLayout()
        middle.setContentsMargins(0, 16, 0, 0)
        middle.setSpacing(4)
        around = row(margins=(16, 0, 16, 0))
        bar = frame("card")
        bar.setFixedHeight(40)
        line = row(bar, gap=8, margins=(12, 0, 12, 0))
        self._chips = row(gap=8)
        line.addLayout(self._chips)
        self.text = say(look(QLineEdit(), "bare"), hint="Find by path or name")
        self.text.textEdited.connect(lambda _: self._typing.start())
        self.text.installEventFilter(self)
        line.addWidget(self.text, 1)
        self.found = label(kind="second")
        line.addWidget(self.found)
        around.addWidget(bar)
        middle.addLayout(around)
        middle.addWidget(self.grid, 1)
        whole.addLayout(middle, 1)

        self.chosen_bar = frame("float")
        self.chosen_bar.setParent(self)
        inside = row(self.chosen_bar, gap=8, margins=(20, 8, 12, 8))
        self.chosen_text = label(kind="strong")
        inside.addWidget(self.chosen_text)
        inside.addSpacing(16)
        inside.addWidget(button("Annotate", self._open_first, kind="primary"))
        inside.addWidget(button("Clear", self.grid.clear_selection, kind="flat"))
        self.chosen_bar.hide()

    def retranslate(self) -> None:
        """Texts that are made of data."""
        self._counts()
        self._counted()
        self._chosen()
        self._note()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.text and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if event.key() == Qt.Key.Key_Escape:
                self.text.clear()
                self.desk.narrow(text="")
                self.grid.setFocus()
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Down):
                self._typing.stop()
                self.desk.narrow(text=self.text.text().strip())
                self.grid.setFocus()
                return True
        return False

    def resizeEvent(self, event) -> None:
        self._place()

    def showEvent(self, event) -> None:
        if not self._fresh:
            self._fresh = True
            self.rows.refresh()
        self.grid.setFocus()

    def _stale(self) -> None:
        """An annotation was saved: read again when the gallery is looked at."""
        if self.isVisible():
            self.rows.refresh()
        else:
            self._fresh = False

    def _queried(self) -> None:
        self._asked_at = time.perf_counter()
        self._fresh = True
        query = self.desk.query
        self.rows.set_query(self.desk.ws, query)
        if query is not None and not self.text.hasFocus():
            self.text.setText(query.text)
        self._fill_chips()
        self._mark_labels()
        self._note()

    def _note(self) -> None:
        data, query = self.desk.dataset, self.desk.query
        if data is None:
            text = tr("No dataset yet. Ctrl+I adds a folder of pictures.")
        elif query is not None and (query.state or query.label or query.origin or query.text):
            text = tr("No picture fits. Take a condition away above.")
        else:
            text = tr("This dataset is empty. Ctrl+I adds a folder of pictures.")
        self.grid.note = text
        self.grid.viewport().update()

    def _fill_chips(self) -> None:
        widgets.clear(self._chips)
        query = self.desk.query
        if query is None:
            return
        names = {"unlabelled": "To label", "predicted": "To confirm", "labelled": "Labelled"}
        chips: list[tuple[str, dict[str, None]]] = []
        if query.state:
            chips.append((tr(names[query.state]), {"state": None}))
        if query.label:
            chips.append((tr("class: {label}", label=self.desk.label_name(query.label)), {"label": None}))
        if query.origin:
            chips.append((tr(dict(_ORIGINS)[query.origin]), {"origin": None}))
        for text, change in chips:
            made = look(QPushButton(f"{text}  ×"), "choice")
            made.setChecked(False)
            made.setToolTip(tr("Take this condition away"))
            made.clicked.connect(lambda _=False, change=change: self.desk.narrow(**change))
            self._chips.addWidget(made)

    def _counts(self) -> None:
        widgets.clear(self._sets_box)
        for data in self.desk.datasets:
            made = Row(data.name, count=number(data.n_assets))
            made.setChecked(self.desk.dataset is not None and data.id == self.desk.dataset.id)
            made.clicked.connect(lambda _=False, one=data.id: self._dataset(one))
            self._sets_box.addWidget(made)
        self._sets_area.setFixedHeight(min(200, max(32, 34 * len(self.desk.datasets))))
        widgets.clear(self._labels_box)
        counts = {c: f.n_human + f.n_import + f.n_model for c, f in self.desk.facets.items()}
        most = max(counts.values(), default=0)
        self._label_rows: dict[str, Row] = {}
        for code, n in sorted(counts.items(), key=lambda kv: -kv[1]):
            if not n:
                continue
            found = self.desk.schema.label(code) if self.desk.schema else None
            made = Row(
                self.desk.label_name(code), count=number(n), swatch=found.color if found else "#98a1ac"
            )
            made.clicked.connect(lambda _=False, code=code: self._label(code))
            self._label_rows[code] = made
            held = QWidget()
            inside = column(held, gap=0)
            inside.addWidget(made)
            meter = Meter("second", 4)
            meter.set_share(n / most)
            beside = row(margins=(36, 0, 12, 4))
            beside.addWidget(meter)
            inside.addLayout(beside)
            self._labels_box.addWidget(held)
        if not self._label_rows:
            quiet = label("No objects yet.", "second")
            quiet.setContentsMargins(12, 0, 0, 0)
            self._labels_box.addWidget(quiet)
        self._labels_box.addStretch()
        self._mark_labels()
        self._note()

    def _mark_labels(self) -> None:
        now = self.desk.query.label if self.desk.query else None
        for code, made in getattr(self, "_label_rows", {}).items():
            made.setChecked(code == now)

    def _dataset(self, dataset_id: int) -> None:
        self.desk.choose_dataset(dataset_id)
        self._counts()

    def _label(self, code: str) -> None:
        now = self.desk.query.label if self.desk.query else None
        self.desk.narrow(label=None if now == code else code)
        self._mark_labels()

    def _counted(self) -> None:
        if not self.rows.known:
            self.found.setText("")
            return
        if self._asked_at:
            self._took_ms = round(1000 * (time.perf_counter() - self._asked_at))
            self._asked_at = 0.0
        self.found.setText(tr("{n} pictures · {ms} ms", n=number(self.rows.count), ms=self._took_ms))

    def _chosen(self) -> None:
        n = len(self.grid.selection)
        self.chosen_bar.setVisible(n > 1)
        self.chosen_text.setText(tr("{n} pictures chosen", n=number(n)))
        self._place()

    def _place(self) -> None:
        self.chosen_bar.adjustSize()
        left = 248 + (self.width() - 248 - self.chosen_bar.width()) // 2
        self.chosen_bar.move(left, self.height() - self.chosen_bar.height() - 16)
        self.chosen_bar.raise_()

    def _open_first(self) -> None:
        found = self.grid.chosen_ids()
        if found:
            self.opened.emit(found[0])


def _caption(text: str):
    made = label(text, "caption")
    made.setContentsMargins(8, 0, 0, 0)
    return made
