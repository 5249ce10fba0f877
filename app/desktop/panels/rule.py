"""The rule of the class in hand, beside the work: text, a good and a bad example, where it comes from."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLabel, QScrollArea, QSizePolicy, QWidget

from annotation.schema import Example, Label
from app import i18n
from app.desktop import theme, widgets
from app.desktop.canvas import shapes
from app.desktop.canvas.pictures import to_image
from app.desktop.desk import Desk
from app.desktop.painted import painted
from app.desktop.widgets import column, frame, label
from app.i18n import tr


class Sample(QWidget):
    """An example of the rule: a picture of the schema's, else a schematic drawing of how the outline should lie or not."""

    def __init__(self, good: bool) -> None:
        super().__init__()
        self.good, self.colour, self.kind = good, "#98a1ac", "box"
        self.picture: QImage | None = None
        self.setFixedHeight(64)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_label(self, one: Label) -> None:
        """Draw in the class's colour and with its kind of shape."""
        self.colour = one.color
        self.kind = "box" if "box" in one.kinds else "polygon"
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(88, 64)

    def paintEvent(self, event: QPaintEvent) -> None:
        t = theme.current()
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.background))
            p.drawRoundedRect(self.rect(), 4, 4)
            if self.picture is not None:
                self._draw_picture(p, t)
                return
            middle = QRectF(self.rect()).center()
            faint = theme.contrast(self.colour, t.background) < 1.6
            p.setBrush(QColor(t.second if faint else self.colour))
            p.setOpacity(0.55)
            body = [(-8, -17), (5, -19), (15, -6), (11, 14), (-3, 18), (-14, 8)]
            p.drawPolygon([QPoint(int(middle.x() + x), int(middle.y() + y)) for x, y in body])
            p.setOpacity(1.0)
            p.setPen(QPen(QColor(t.green if self.good else t.red), 2))
            p.setBrush(Qt.BrushStyle.NoBrush)
            if self.kind == "polygon":
                grow = 1.15 if self.good else 1.0
                shift = 0 if self.good else 10
                p.drawPolygon(
                    [QPoint(int(middle.x() + x * grow + shift), int(middle.y() + y * grow)) for x, y in body]
                )
            elif self.good:
                p.drawRect(QRectF(middle.x() - 16, middle.y() - 21, 33, 41))
            else:
                p.drawRect(QRectF(middle.x() - 28, middle.y() - 26, 50, 52))

    def _draw_picture(self, p: QPainter, t: theme.Theme) -> None:
        assert self.picture is not None
        scale = min(self.width() / self.picture.width(), self.height() / self.picture.height())
        w, h = self.picture.width() * scale, self.picture.height() * scale
        box = QRectF((self.width() - w) / 2, (self.height() - h) / 2, w, h)
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        p.drawImage(box, self.picture)
        p.setPen(QPen(QColor(t.green if self.good else t.red), 2))
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.drawRect(box.adjusted(1, 1, -1, -1))


class Rule(QWidget):
    """The rule of the class in hand: text, a good and a bad example, where it comes from."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._pictures: dict[Example, QImage | None] = {}
        box = column(self, gap=8)
        self.head = label(kind="caption")
        self.head.setContentsMargins(8, 0, 0, 0)
        box.addWidget(self.head)
        inset = frame("inset")
        inside = column(inset, gap=8, margins=(12, 12, 12, 12))
        self.text = label(wrap=True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        inside.addWidget(self._scrolled(self.text))
        pair = widgets.row(gap=8)
        self.examples = []
        for good, text, tone in ((True, "Right", "green"), (False, "Wrong", "red")):
            one = column(gap=4)
            shown = Sample(good)
            self.examples.append(shown)
            one.addWidget(shown)
            caption = label(text, "small", tone=tone)
            caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
            one.addWidget(caption)
            pair.addLayout(one)
        inside.addLayout(pair)
        self.source = label(kind="small", wrap=True)
        inside.addWidget(self.source)
        box.addWidget(inset)
        desk.label_changed.connect(self.retranslate)
        desk.schema_changed.connect(self.retranslate)
        desk.document.selected.connect(self.retranslate)
        desk.document.changed.connect(self.retranslate)  # the selected object may have got another class

    def _scrolled(self, text: QLabel) -> QScrollArea:
        """A long rule scrolls, so that the classes above keep their room."""
        area = widgets.scroll(text)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setMaximumHeight(96)
        area.setSizeAdjustPolicy(QScrollArea.SizeAdjustPolicy.AdjustToContents)
        return area

    def _label(self) -> Label | None:
        chosen = {a.label for a in self.desk.document.chosen()}
        code = chosen.pop() if len(chosen) == 1 else self.desk.label
        return self.desk.schema.label(code) if self.desk.schema and code else None

    def retranslate(self) -> None:
        """Show the class of what is selected, else the class in hand."""
        one = self._label()
        self.setVisible(one is not None)
        if one is None:
            return
        language = i18n.language()
        self.head.setText(tr("Rule · {label}", label=one.name(language)))
        self.text.setText(one.rule(language) or tr("No rule is written for this class yet."))
        self.source.setText(one.source.line(language))
        self.source.setVisible(bool(self.source.text()))
        for shown in self.examples:
            shown.show_label(one)
            self._picture(one, shown)

    def _picture(self, one: Label, shown: Sample) -> None:
        """The newest example of that kind, when the workspace holds its picture."""
        ws = self.desk.ws
        wanted = next((e for e in reversed(one.examples) if e.good is shown.good), None)
        shown.setToolTip(wanted.note(i18n.language()) if wanted else tr("A drawing, not a picture"))
        if wanted is None or ws is None:
            shown.picture = None
            return
        if wanted in self._pictures:
            shown.picture = self._pictures[wanted]
            return

        def work():
            from app.services import schema

            return schema.example_picture(ws, wanted)

        def done(found) -> None:
            self._pictures[wanted] = to_image(found) if found is not None else None
            now = self._label()
            if now is not None and wanted in now.examples:
                shown.picture = self._pictures[wanted]
                shown.update()

        self.desk.tasks.readers.submit(work, done, self.desk.fault, key=("example", shown.good))

    def add_example(self, good: bool) -> None:
        """Make the selected object an example of its class's rule, with a little air around: a new schema version."""
        doc, ws, known = self.desk.document, self.desk.ws, self.desk.schema
        chosen = doc.chosen()
        if ws is None or known is None or doc.asset is None or len(chosen) != 1:
            self.desk.trouble(tr("Select one object first"))
            return
        box = shapes.bounds(chosen[0].shape)
        if box is None:
            return
        air = max(box[2] - box[0], box[3] - box[1]) * 0.4 + 8
        part = (round(box[0] - air), round(box[1] - air), round(box[2] + air), round(box[3] + air))
        made, code, label_code = Example(good, doc.asset.blake3, part), known.code, chosen[0].label

        def work():
            from app.services import schema

            return schema.add_example(ws, code, label_code, made)

        def done(changes) -> None:
            self.desk.tasks.changed.emit(changes)
            self.desk.read_schema()

        self.desk.tasks.writer.submit(work, done, self.desk.fault)
