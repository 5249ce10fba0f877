"""Tools that draw the outline for the person: scissors, GrabCut, magic wand, and segmentation by prompts.

Each shows what it found before it is made: Enter makes the object, Escape drops it. What takes longer than a frame runs on the
bench (a worker thread); a result that comes when nobody wants it any more is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPen, QPolygonF

from annotation import outline, raster
from annotation.core import Box, Mask, Polygon
from annotation.outline import NOTHING, Region, Scissors
from app.desktop import theme
from app.desktop.actions import keymap
from app.desktop.canvas import live
from app.desktop.canvas.tools.base import REACH_PX, START_PX, Tool
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

AWAY = Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ControlModifier
"""Either says "not this": some window managers keep Alt and the mouse for themselves."""
Point = tuple[float, float]
Shown = tuple[Region, Polygon | None]
"""What was found, and its outline to look at."""


class Bench(Protocol):
    """Where the work of these tools is done."""

    as_mask: bool
    """Objects are made as masks, else as polygons."""
    contiguous: bool
    """The wand takes only what is joined to the click."""

    def compute(self, work: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        """`work(picture)` on a worker; only the newest is kept, and only while its picture is open."""

    def segment(self, prompts: Any, before: Any, done: Callable[[list[Any]], None]) -> None:
        """Candidates of the promptable model for `prompts`."""

    def stop(self) -> bool:
        """Nobody waits for the result any more; True when somebody did."""

    @property
    def working(self) -> str:
        """What is being done now, in words; "" for nothing."""


class Idle:
    """A bench on which nothing is done: for a canvas without a desk."""

    as_mask = False
    contiguous = True
    working = ""

    def compute(self, work: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        """Nothing."""

    def segment(self, prompts: Any, before: Any, done: Callable[[list[Any]], None]) -> None:
        """Nothing."""

    def stop(self) -> bool:
        """Nothing is waited for."""
        return False


def shown(region: Region) -> Shown:
    """A region with its outline, made on the worker."""
    return region, outline.to_polygon(region)


class SmartTool(Tool):
    """Base: a region in hand that Enter makes an object of."""

    cursor = Qt.CursorShape.CrossCursor
    bench: Bench = Idle()

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.found: Shown = (NOTHING, None)

    @property
    def busy(self) -> bool:
        return bool(self.found[0].bits.size) or super().busy

    def kind(self) -> str:
        """The kind that is made: as the person chose, if the class may be drawn so, else the other."""
        label, chosen = self.canvas.label or "", "mask" if self.bench.as_mask else "polygon"
        other = "polygon" if self.bench.as_mask else "mask"
        usable = not self.canvas.allowed(label, chosen) and self.canvas.allowed(label, other)
        return other if usable else chosen

    def made(self) -> str:
        """What Enter will make, in words: said before it is made."""
        return tr("a mask") if self.kind() == "mask" else tr("a polygon")

    def enter(self) -> bool:
        region, polygon = self.found
        wh = self.canvas.picture_wh
        if polygon is None or wh is None:
            return super().busy
        shape = outline.to_mask(region, wh) if self.kind() == "mask" else polygon
        self.canvas.make(shape, verb=f"draw {self.kind()}: {self.name}")
        self.cancel()
        return True

    def cancel(self) -> bool:
        waited = self.bench.stop()
        had = self.busy or waited
        super().cancel()
        self.found = (NOTHING, None)
        self.canvas.update()
        return had

    def show(self, found: Shown) -> None:
        """Something was found."""
        self.found = found
        self.canvas.update()
        self.stepped()

    def paint(self, p: QPainter) -> None:
        if self.found[1] is not None:
            self.canvas.paint_shape(p, self.found[1], self.canvas.label_colour(), dashed=True)
        if self.bench.working:
            pill(p, self.canvas.width(), self.canvas.height(), self.bench.working)


def pill(p: QPainter, width: int, height: int, text: str) -> None:
    """What is being worked on, in the middle below."""
    p.setFont(theme.font(12))
    wide = QFontMetrics(p.font()).horizontalAdvance(text) + 32
    box = QRectF((width - wide) / 2, height - 52, wide, 30)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(12, 13, 16, 215))
    p.drawRoundedRect(box, 15, 15)
    p.setPen(QColor("#f2b43c"))
    p.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


class ScissorsTool(SmartTool):
    """Intelligent scissors: a click sets a seed on the edge, the way to the mouse follows edges, Enter closes."""

    name = "scissors"
    crosshair = True

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._parts: list[tuple[float, ...]] = []
        """Ways from seed to seed."""
        self._seeds: list[Point] = []
        self._scissors: Scissors | None = None
        self._mouse: Point | None = None

    @property
    def busy(self) -> bool:
        return bool(self._seeds) or super().busy

    def press(self, x: float, y: float, *, add: bool) -> None:
        if not self._seeds and self._grab(x, y):
            return
        x, y = self.canvas.inside(x, y)
        if self._seeds:
            near = REACH_PX / self.canvas.scale
            fx, fy = self._seeds[0]
            if len(self._seeds) >= 2 and max(abs(x - fx), abs(y - fy)) <= near:
                self.enter()
                return
            self._parts.append(self._way(x, y))
            x, y = self._parts[-1][-2:]
        self._seed((x, y), snap=not self._seeds)

    def _seed(self, at: Point, *, snap: bool) -> None:
        """Set a seed and build its ways; the first is put on the strongest edge near by."""
        self._seeds.append(at)
        self._scissors, self._mouse = None, at
        place = len(self._seeds) - 1
        scale = self.canvas.scale
        step = max(1, round(1 / scale)) if scale < 1 else 1
        reach = REACH_PX / scale

        def work(picture: outline.Picture) -> Scissors:
            point = outline.snap(picture, *at, reach_px=reach) if snap else at
            return Scissors(picture, point, step=step)

        def done(made: Scissors) -> None:
            if place < len(self._seeds) and self._seeds[place] == at:
                self._seeds[place], self._scissors = made.seed if snap else at, made
                self.canvas.update()

        self.bench.compute(work, done)
        self.canvas.update()

    def _way(self, x: float, y: float) -> tuple[float, ...]:
        """From the last seed to a point; straight while the ways are being built."""
        if self._scissors is None:
            return (*self._seeds[-1], x, y)
        return (*self._seeds[-1], *self._scissors.path(x, y)[2:])

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._handle is not None:
            super().move(x, y, square=square)
        elif self._seeds:
            self._mouse = self.canvas.inside(x, y)
            self.canvas.update()

    def release(self, x: float, y: float) -> None:
        if self._handle is not None:
            super().release(x, y)

    def double(self, x: float, y: float) -> None:
        self.enter()

    def enter(self) -> bool:
        if len(self._seeds) < 2:
            return bool(self._seeds)
        points = [v for part in (*self._parts, self._way(*self._seeds[0])) for v in part[:-2]]
        region_wh = self.canvas.picture_wh
        if len(points) < 6 or region_wh is None:
            return True
        polygon = Polygon(((tuple(points),),))
        kind = self.kind()
        shape = rastered(polygon, region_wh) if kind == "mask" else polygon
        self.canvas.make(shape, verb=f"draw {kind}: {self.name}")
        self.cancel()
        return True

    def back(self) -> bool:
        if not self._seeds:
            return False
        self._seeds.pop()
        if self._parts:
            self._parts.pop()
        if self._seeds:
            self._seed(self._seeds.pop(), snap=False)
        else:
            self.cancel()
        self.canvas.update()
        return True

    def cancel(self) -> bool:
        had = self.busy
        waited = super().cancel()
        self._parts, self._seeds, self._scissors, self._mouse = [], [], None, None
        return had or waited

    def hint(self, label: str) -> str:
        if not self._seeds:
            return tr(
                "Scissors: click on an edge · {label} · {key}: mask or polygon",
                label=label,
                key=keymap.key("smart.kind"),
            )
        return tr(
            "Click sets a point · Enter closes and makes {what} · Backspace takes one back", what=self.made()
        )

    def paint(self, p: QPainter) -> None:
        super().paint(p)
        if not self._seeds:
            return
        flat = [v for part in self._parts for v in part]
        flat += self._way(*self._mouse) if self._mouse else self._seeds[-1]
        pairs = zip(flat[0::2], flat[1::2], strict=True)
        line = QPolygonF([QPointF(*self.canvas.to_screen(x, y)) for x, y in pairs])
        live.outline(p, line, self.canvas.label_colour(), closed=False)
        for i, (x, y) in enumerate(self._seeds):
            live.handle(p, *self.canvas.to_screen(x, y), hot=i == 0 and len(self._seeds) > 1)


def rastered(polygon: Polygon, wh: tuple[int, int]) -> Mask:
    """A polygon as a mask of the picture."""
    return raster.to_mask(polygon, width=wh[0], height=wh[1])


class GrabCutTool(SmartTool):
    """GrabCut: drag a box, then draw strokes over what belongs to it, with Alt over what does not."""

    name = "grabcut"
    crosshair = True

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._box: Box | None = None
        self._drawn: Box | None = None
        self._strokes: list[tuple[list[Point], bool]] = []
        self._stroke: tuple[list[Point], bool] | None = None
        self.brush_px = 10.0
        """Width of a stroke on the screen."""

    @property
    def busy(self) -> bool:
        return self._drawn is not None or self._box is not None or super().busy

    def press(self, x: float, y: float, *, add: bool) -> None:
        x, y = self.canvas.inside(x, y)
        if self._box is None:
            if not self._grab(x, y):
                self._at = (x, y)
            return
        away = bool(self.canvas.modifiers & AWAY)
        self._stroke = ([(x, y)], not away)

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._handle is not None:
            super().move(x, y, square=square)
            return
        x, y = self.canvas.inside(x, y)
        if self._stroke is not None:
            self._stroke[0].append((x, y))
        elif self._at is not None:
            a, b = self._at
            self._drawn = Box(min(a, x), min(b, y), max(a, x), max(b, y))
        self.canvas.update()

    def release(self, x: float, y: float) -> None:
        if self._handle is not None:
            super().release(x, y)
            return
        if self._stroke is not None:
            self._strokes.append(self._stroke)
            self._stroke = None
            self._cut()
            return
        box, self._drawn, self._at = self._drawn, None, None
        scale = self.canvas.scale
        if box is not None and min(box.x1 - box.x0, box.y1 - box.y0) * scale >= START_PX:
            self._box = box
            self._cut()
        elif self._box is None:
            uid = self.canvas.object_at(x, y)
            self.canvas.document.select((uid,) if uid else ())

    def _cut(self) -> None:
        box, strokes = self._box, tuple((tuple(points), belongs) for points, belongs in self._strokes)
        if box is None:
            return
        brush = self.brush_px / self.canvas.scale
        self.bench.compute(
            lambda picture: shown(outline.grabcut(picture, box, strokes, brush_px=brush)), self.show
        )
        self.canvas.update()

    def wheel(self, step: float) -> bool:
        self.brush_px = min(max(self.brush_px * 1.2**step, 2.0), 80.0)
        self.canvas.update()
        return True

    def back(self) -> bool:
        if self._strokes:
            self._strokes.pop()
            self._cut()
            return True
        return self.cancel()

    def cancel(self) -> bool:
        had = self.busy
        self._box = self._drawn = self._stroke = None
        self._strokes = []
        return super().cancel() or had

    def hint(self, label: str) -> str:
        if self._box is None:
            return tr(
                "GrabCut: drag a box around it · {label} · {key}: mask or polygon",
                label=label,
                key=keymap.key("smart.kind"),
            )
        return tr(
            "Stroke: belongs · Alt and stroke: does not · Enter makes {what} · Esc drops it", what=self.made()
        )

    def paint(self, p: QPainter) -> None:
        super().paint(p)
        box = self._drawn or self._box
        if box is not None:
            a, b = self.canvas.to_screen(box.x0, box.y0)
            c, d = self.canvas.to_screen(box.x1, box.y1)
            p.setBrush(Qt.BrushStyle.NoBrush)
            for colour, width in ((QColor(20, 22, 26, 170), 3.0), (QColor("#ffffff"), 1.2)):
                p.setPen(QPen(colour, width, Qt.PenStyle.DashLine))
                p.drawRect(QRectF(QPointF(a, b), QPointF(c, d)))
        for points, belongs in (*self._strokes, *([self._stroke] if self._stroke else [])):
            colour = QColor(theme.DARK.green if belongs else theme.DARK.red)
            colour.setAlphaF(0.75)
            pen = QPen(colour, self.brush_px, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
            p.setPen(pen)
            line = [QPointF(*self.canvas.to_screen(x, y)) for x, y in points]
            if len(line) == 1:
                p.drawPoint(line[0])
            else:
                p.drawPolyline(QPolygonF(line))


class WandTool(SmartTool):
    """Magic wand: a flood fill from a click on the source's pixels; Shift adds, Alt takes away, the wheel is tolerance."""

    name = "wand"

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.tolerance = 24
        self._before: Region = NOTHING
        """What was in hand before the last click."""
        self._last: tuple[Point, str] | None = None
        self._past: list[Region] = []

    def press(self, x: float, y: float, *, add: bool) -> None:
        x, y = self.canvas.inside(x, y)
        way = "take" if self.canvas.modifiers & AWAY else "add" if add else "new"
        self._past.append(self._before)
        self._before = self.found[0] if way != "new" else NOTHING
        self._last = ((x, y), way)
        self._fill()

    def _fill(self) -> None:
        if self._last is None:
            return
        (x, y), way = self._last
        before, tolerance, joined = self._before, self.tolerance, self.bench.contiguous

        def work(picture: outline.Picture) -> Shown:
            new = outline.wand(picture, x, y, tolerance=tolerance, contiguous=joined, fill_px=3)
            if way == "take":
                return shown(outline.without(before, new))
            return shown(outline.joined(before, new) if way == "add" else new)

        self.bench.compute(work, self.show)

    def again(self) -> None:
        """The settings changed: fill the last click again."""
        self._fill()

    def move(self, x: float, y: float, *, square: bool) -> None:
        """Nothing is dragged."""

    def release(self, x: float, y: float) -> None:
        """A click is all there is."""

    def wheel(self, step: float) -> bool:
        self.tolerance = min(max(self.tolerance + round(step * 2), 0), 255)
        self._fill()
        self.canvas.update()
        return True

    def back(self) -> bool:
        if not self._past:
            return False
        self.bench.stop()
        self.show(shown(self._before))
        self._before, self._last = self._past.pop(), None
        return True

    def cancel(self) -> bool:
        self._before, self._last, self._past = NOTHING, None, []
        return super().cancel()

    def hint(self, label: str) -> str:
        if self.found[1] is None:
            ways = tr("joined pixels") if self.bench.contiguous else tr("all of the colour")
            return tr(
                "Wand: click · {label} · {ways}, {key} changes · Ctrl and wheel: tolerance",
                label=label,
                ways=ways,
                key=keymap.key("wand.contiguous"),
            )
        return tr(
            "Shift adds · Alt takes away · [ ] tolerance · Enter makes {what} · Esc drops it",
            what=self.made(),
        )

    def paint(self, p: QPainter) -> None:
        super().paint(p)
        if self.canvas.mouse is not None:
            at = self.canvas.mouse
            p.setFont(theme.font(11, bold=True))
            text = f"± {self.tolerance}"
            for colour, shift in ((QColor(0, 0, 0, 190), 1), (QColor("#ffffff"), 0)):
                p.setPen(colour)
                p.drawText(QPointF(at.x() + 14 + shift, at.y() - 8 + shift), text)


class PromptTool(SmartTool):
    """Segmentation by prompts: a click belongs, Alt or the right button does not, a drag is a box around it."""

    name = "prompt"

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.points: list[tuple[float, float, bool]] = []
        self.box: Box | None = None
        self._steps: list[str] = []
        self._drawn: Box | None = None
        self._down: tuple[float, float] | None = None
        self.candidates: list[Any] = []
        self.which = 0

    @property
    def busy(self) -> bool:
        return bool(self.points) or self.box is not None or self._drawn is not None or super().busy

    def press(self, x: float, y: float, *, add: bool) -> None:
        self._down = self.canvas.inside(x, y)

    def right(self, x: float, y: float) -> bool:
        if not self.busy:
            return False
        self._point(*self.canvas.inside(x, y), belongs=False)
        return True

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._down is None:
            return
        (a, b), (x, y) = self._down, self.canvas.inside(x, y)
        if self._drawn is not None or max(abs(x - a), abs(y - b)) * self.canvas.scale >= 2 * START_PX:
            self._drawn = Box(min(a, x), min(b, y), max(a, x), max(b, y))
            self.canvas.update()

    def release(self, x: float, y: float) -> None:
        down, drawn = self._down, self._drawn
        self._down = self._drawn = None
        if drawn is not None:
            self.box = drawn
            self._steps.append("box")
            self._ask()
        elif down is not None:
            away = bool(self.canvas.modifiers & AWAY)
            self._point(*down, belongs=not away)

    def _point(self, x: float, y: float, *, belongs: bool) -> None:
        self.points.append((x, y, belongs))
        self._steps.append("point")
        self._ask()

    def _ask(self) -> None:
        if not (self.box is not None or any(belongs for _, _, belongs in self.points)):
            self.candidates = []
            self.show((NOTHING, None))
            return
        # SAM is refined by the logits of the answer before, but only while the prompts grow.
        chosen = self.candidates[self.which][0].low if self.candidates and len(self._steps) > 1 else None
        self.bench.segment((tuple(self.points), self.box), chosen, self._came)
        self.canvas.update()

    def _came(self, candidates: list[Any]) -> None:
        """(candidate, shown) pairs, the likeliest first."""
        self.candidates, self.which = candidates, 0
        self.show(candidates[0][1] if candidates else (NOTHING, None))

    def cycle(self, by: int = 1) -> bool:
        """The next of the masks the model offers."""
        if len(self.candidates) < 2:
            return False
        self.which = (self.which + by) % len(self.candidates)
        self.show(self.candidates[self.which][1])
        return True

    def wheel(self, step: float) -> bool:
        return self.cycle(1 if step > 0 else -1)

    def back(self) -> bool:
        if not self._steps:
            return False
        if self._steps.pop() == "box":
            self.box = None
        else:
            self.points.pop()
        self.candidates = []
        self._ask()
        return True

    def cancel(self) -> bool:
        had = self.busy
        self.points, self.box, self._steps = [], None, []
        self._drawn = self._down = None
        self.candidates, self.which = [], 0
        return super().cancel() or had

    def hint(self, label: str) -> str:
        if self.found[1] is None:
            return tr(
                "Click on it or drag a box around it · {label} · {key}: mask or polygon",
                label=label,
                key=keymap.key("smart.kind"),
            )
        return tr(
            "Click belongs · Alt or right: does not · {key} next mask · Enter makes {what}",
            what=self.made(),
            key=keymap.key("prompt.next"),
        )

    def paint(self, p: QPainter) -> None:
        super().paint(p)
        box = self._drawn or self.box
        if box is not None:
            a, b = self.canvas.to_screen(box.x0, box.y0)
            c, d = self.canvas.to_screen(box.x1, box.y1)
            p.setBrush(Qt.BrushStyle.NoBrush)
            for colour, width in ((QColor(20, 22, 26, 170), 3.0), (QColor(theme.DARK.green), 1.4)):
                p.setPen(QPen(colour, width, Qt.PenStyle.DashLine))
                p.drawRect(QRectF(QPointF(a, b), QPointF(c, d)))
        for x, y, belongs in self.points:
            at = QPointF(*self.canvas.to_screen(x, y))
            p.setPen(QPen(QColor(20, 22, 26, 210), 2))
            p.setBrush(QColor(theme.DARK.green if belongs else theme.DARK.red))
            p.drawEllipse(at, 7, 7)
            p.setPen(QPen(QColor("#ffffff"), 2))
            p.drawLine(at + QPointF(-3, 0), at + QPointF(3, 0))
            if belongs:
                p.drawLine(at + QPointF(0, -3), at + QPointF(0, 3))
        if len(self.candidates) > 1 and not self.bench.working:
            score = self.candidates[self.which][0].score
            text = tr(
                "Mask {i} of {n} · {score}", i=self.which + 1, n=len(self.candidates), score=f"{score:.2f}"
            )
            pill(p, self.canvas.width(), self.canvas.height(), text)
