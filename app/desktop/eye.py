"""The eye: how the open picture is seen, what it is compared with, and the instruments over it. Never what it is.

Looks, presets and comparison are kept in the settings by dataset; nothing here reaches the record, a tool or a model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QImage, QMouseEvent, QPainter
from PySide6.QtWidgets import QApplication

from annotation.errors import LamproomError
from app.desktop.canvas import compare, instruments
from app.desktop.canvas import look as looks
from app.desktop.canvas.camera import Camera
from app.desktop.canvas.layer import MODES
from app.desktop.canvas.look import PLAIN, Look
from app.desktop.canvas.pictures import Mips, to_image
from app.desktop.canvas.view import Canvas
from app.desktop.desk import Desk
from app.desktop.route import Route
from app.i18n import tr
from app.services import browse
from app.services.browse import Query

TOOLS = ("map", "loupe", "cross", "rulers", "grid", "keep")
"""Instruments by name: small map, loupe, cross-hair, rulers, pixel grid, view kept between pictures."""
BLINK_MS = 600
_SAVE_MS = 400
_NEXT_MS = 120
"""From a picture's opening to the looks of the next ones: by then they are decoded."""
_PRESETS_AT_MOST = 9


@dataclass(frozen=True, slots=True)
class Preset:
    """A look by name."""

    name: str
    look: Look


BUILT_IN = (
    Preset("Low light", Look(gamma=2.0, clahe=2.0, denoise=1)),
    Preset("Dust", Look(contrast=1.3, clahe=3.0, auto=True)),
    Preset("Thermal", Look(colour="inferno", auto=True)),
)


def preset_name(name: str) -> str:
    """A preset's name; those the desk brings follow the language."""
    known = {"Low light": tr("Low light"), "Dust": tr("Dust"), "Thermal": tr("Thermal")}
    return known.get(name, name)


class Eye(QObject):
    """See the module. Interface thread only."""

    changed = Signal()
    told = Signal(str)
    """Why there is nothing to compare with, a finished sentence."""
    """Look, presets, comparison or instruments changed."""
    seen = Signal()
    """Another picture, or more of it, is there to be looked at."""

    def __init__(self, desk: Desk, canvas: Canvas, route: Route) -> None:
        super().__init__(canvas)
        self.desk, self.canvas, self.layer, self.route = desk, canvas, canvas.layer, route
        self.layer.prepared.pool = desk.tasks.pictures
        self.look, self.on = PLAIN, False
        self.presets: list[Preset] = list(BUILT_IN)
        self.used = 0
        """Number of the preset in use, from 1; 0 = none."""
        self.rule = "name"
        """How the partner is found: "name", "marked", or the uid of a dataset whose picture at the same place it is."""
        self.marked: int | None = None
        self.partner_id: int | None = None
        self.partner_note = ""
        self.blinking: bool = False
        self.spelled = True
        """The tool row says the look in words; else the canvas does."""
        tools = desk.values.get("eye_tools")
        self.tools = {t for t in tools if t in TOOLS} if isinstance(tools, list) else set()
        self._marks: tuple[Query, list[int]] | None = None
        self._ticket = 0
        self._held = ""
        self._gripped = ""
        self._dataset = ""
        self._soon = QTimer(self, singleShot=True, interval=_SAVE_MS)
        self._soon.timeout.connect(self._store)
        self._next = QTimer(self, singleShot=True, interval=_NEXT_MS)
        self._next.timeout.connect(self._ahead)
        self._turns = QTimer(self, interval=BLINK_MS)
        self._turns.timeout.connect(lambda: self._blink(not self.layer.blinked))
        self._apply_tools()
        canvas.instruments.append(self._paint)
        canvas.installEventFilter(self)
        desk.dataset_changed.connect(self._load)
        desk.opened.connect(self._workspace)

    # --- look ----------------------------------------------------------------------------------------------------

    def show(self, look: Look, *, used: int = 0) -> None:
        """See the pictures of this dataset so."""
        self.look, self.used, self.on = look, used, True
        self._looked()

    def set(self, **change: Any) -> None:
        """Change part of the look."""
        self.show(replace(self.look, **change))

    def switch(self, on: bool | None = None) -> None:
        """The look on or off; a plain look is first given the first preset."""
        self.on = not self.on if on is None else on
        if self.on and self.look.plain and self.presets:
            self.look, self.used = self.presets[0].look, 1
        self._looked()

    def use(self, n: int) -> None:
        """Preset number `n`, from 1; once more: the original."""
        if not 1 <= n <= len(self.presets):
            return
        if self.on and self.used == n:
            self.switch(False)
        else:
            self.show(self.presets[n - 1].look, used=n)

    def auto(self) -> None:
        """The window from the picture's own samples, or no longer."""
        self.set(auto=not (self.on and self.look.auto), low=0.0, high=1.0)

    def plain(self) -> None:
        """Nothing is done to the picture."""
        self.look, self.used, self.on = PLAIN, 0, False
        self._looked()

    def keep(self, name: str) -> bool:
        """Keep the look as a preset of this dataset; a preset of that name is replaced. False when there is no room."""
        name = " ".join(name.split())[:40]
        at = next(
            (i for i, one in enumerate(self.presets) if name in (one.name, preset_name(one.name))), None
        )
        if not name or (at is None and len(self.presets) >= _PRESETS_AT_MOST):
            return False
        if at is None:
            self.presets.append(Preset(name, self.look))
            at = len(self.presets) - 1
        else:
            self.presets[at] = Preset(self.presets[at].name, self.look)
        self.used, self.on = at + 1, True
        self._looked()
        return True

    def drop(self, n: int) -> None:
        """Forget preset number `n`; with none left the desk's own come back."""
        if 1 <= n <= len(self.presets):
            del self.presets[n - 1]
            self.presets = self.presets or list(BUILT_IN)
            self.used = 0
            self._looked()

    @property
    def text(self) -> str:
        """The state in a few words, as the tool row says it."""
        if not self.on or self.look.plain:
            return tr("Look")
        if self.used:
            name = preset_name(self.presets[self.used - 1].name)
            return tr("Look · {name} {n}", name=name, n=self.used)
        return tr("Look · own")

    def _looked(self) -> None:
        self.layer.look = self.look if self.on else PLAIN
        self.canvas.update()
        self._soon.start()
        self.changed.emit()

    # --- keys that are held --------------------------------------------------------------------------------------

    def hold(self, what: str) -> None:
        """ "peek" at the original or "blink" the partner until the key is let go."""
        if self._held:
            return
        self._held = what
        app = QApplication.instance()
        assert app is not None
        app.installEventFilter(self)
        if what == "peek":
            self.layer.peek = True
            self.canvas.update()
        else:
            if self.layer.mode != "blink":
                self.compare("blink")
            self._blink(True)

    def let_go(self) -> None:
        """The held key was let go."""
        held, self._held = self._held, ""
        app = QApplication.instance()
        if app is not None and held:
            app.removeEventFilter(self)
        if held == "peek":
            self.layer.peek = False
            self.canvas.update()
        elif held:
            self._blink(False)

    # --- comparison ----------------------------------------------------------------------------------------------

    def compare(self, mode: str) -> None:
        """Compare the open picture with its partner: one of MODES."""
        if mode not in MODES or mode == self.layer.mode:
            return
        self.layer.mode, self.layer.blinked = mode, False
        if mode != "blink":
            self.blink_by_timer(False)
        if mode and self.layer.partner is None:
            self._find()
        self._rearranged()

    def next_mode(self) -> None:
        """Off, side by side, divider, in turns, off."""
        self.compare(MODES[(MODES.index(self.layer.mode) + 1) % len(MODES)])

    def blink_by_timer(self, on: bool) -> None:
        """Take turns by themselves."""
        self.blinking = on
        if on:
            self.compare("blink")
            self._turns.start()
        else:
            self._turns.stop()
            self.layer.blinked = False
            self.canvas.update()
        self.changed.emit()

    def find_by(self, rule: str) -> None:
        """Find partners so from now on."""
        self.rule = rule
        self._soon.start()
        self.changed.emit()
        if self.layer.mode:
            self._find()

    def look_on(self, which: str) -> None:
        """Which of two compared pictures the look is for: "" both, "open" or "partner"."""
        self.layer.look_on = which if which in ("open", "partner") else ""
        self._soon.start()
        self.canvas.update()
        self.changed.emit()

    def mark(self) -> None:
        """The open picture is what others are compared with."""
        self.marked = self.desk.document.asset_id
        self.find_by("marked")

    def nudge(self, dx: float, dy: float) -> None:
        """Move the partner by source pixels; kept for the dataset."""
        x, y = self.layer.shift
        self.layer.shift = (x + dx, y + dy)
        self._soon.start()
        self.canvas.update()
        self.changed.emit()

    def unshift(self) -> None:
        """The partner where its pixels say."""
        self.layer.shift = (0.0, 0.0)
        self.nudge(0.0, 0.0)

    def opened(self) -> None:
        """Another picture was opened: its partner is looked for when one is wanted."""
        self._ticket += 1
        self.partner_id, self.layer.partner, self.partner_note = None, None, ""
        found = self.route.row
        self.layer.names = (_short(found.path) if found else "", "")
        if self.layer.mode:
            self._find()
        if self.layer.look.slow:
            self._next.start()

    def _ahead(self) -> None:
        """Work the look out for the pictures that come next."""
        ratio = self.canvas.devicePixelRatioF()
        for asset_id in self.route.near()[:2]:
            if (found := self.desk.pictures.get(asset_id)) is not None:
                self.layer.prepared.ahead(found, self.canvas.scale * ratio, self.layer.look)

    def _find(self) -> None:
        self._ticket += 1
        ticket, ws, doc, rule = self._ticket, self.desk.ws, self.desk.document, self.rule
        now, here = doc.asset_id, self.route.row
        if ws is None or now is None:
            return
        self.layer.paired = True  # the panes keep their place while it is looked for
        place = self.route.position
        other = next((d for d in self.desk.datasets if d.uid == rule), None)
        path = here.path if here is not None else ""
        marked, known = self.marked, self._marks

        def work() -> tuple[int | None, Any]:
            if rule == "marked":
                return (marked if marked != now else None), known
            if other is None:
                wanted = path or browse.asset(ws, now).path
                return next(iter(browse.partners(ws, now, compare.candidates(wanted))), None), known
            query = Query(other.id)
            marks = known if known and known[0] == query else (query, browse.anchors(ws, query))
            rows = browse.rows_at(ws, query, marks[1], place, 1) if place is not None else []
            return (rows[0].asset_id if rows and rows[0].asset_id != now else None), marks

        def done(got: tuple[int | None, Any]) -> None:
            if ticket != self._ticket:
                return
            self.partner_id, self._marks = got
            if self.partner_id is None:
                self._alone(tr("No partner was found for this picture"))
            else:
                self._ask(ticket, self.partner_id)

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            if ticket == self._ticket:
                self._alone(fault.line)

        self.desk.ask(work, done, failed)

    def _ask(self, ticket: int, partner: int) -> None:
        ws = self.desk.ws

        def came(made: Mips) -> None:
            if ticket == self._ticket:
                self.layer.partner, self.layer.paired, self.partner_note = made, True, ""
                self._rearranged()

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            if ticket == self._ticket:
                self._alone(fault.line)

        def named(asset: browse.AssetRow) -> None:
            if ticket == self._ticket:
                self.layer.names = (self.layer.names[0], _short(asset.path))
                self.canvas.update()
                self.changed.emit()

        self.desk.pictures.ask(partner, came, failed, beside=True)
        if ws is not None:
            self.desk.ask(lambda: browse.asset(ws, partner), named)

    def _alone(self, note: str) -> None:
        self.layer.partner, self.layer.paired, self.partner_note = None, False, note
        self._rearranged()
        if note:
            self.told.emit(note)

    def _rearranged(self) -> None:
        """Panes came or went: the view follows."""
        if self.canvas.camera.fitted:
            self.canvas.fit()
        self.canvas.settled.ask()
        self.canvas.update()
        self.changed.emit()

    def _blink(self, on: bool) -> None:
        self.layer.blinked = on
        self.canvas.update()

    # --- instruments ---------------------------------------------------------------------------------------------

    def toggle(self, tool: str, on: bool | None = None) -> None:
        """An instrument of TOOLS on or off."""
        self.tools = self.tools ^ {tool} if on is None or on != (tool in self.tools) else self.tools
        self._apply_tools()
        self.desk.put_setting("eye_tools", sorted(self.tools))
        self.canvas.update()
        self.changed.emit()

    def zoom_to_object(self) -> None:
        """The selected objects, or the one under the mouse, fill half of the view."""
        doc = self.desk.document
        self.canvas.zoom_to(doc.selection or [u for u in (self.canvas.hovered,) if u])

    def one_to_one(self) -> None:
        """A pixel of the picture is a pixel of the screen, about the mouse."""
        at = self.canvas.mouse
        self.canvas.zoom(1.0 / (self.canvas.scale * self.canvas.devicePixelRatioF()), at)

    def values(self) -> list[str]:
        """What lies under the mouse: place, true samples, those of the partner."""
        canvas, mips = self.canvas, self.canvas.mips
        if canvas.mouse is None or mips is None:
            return []
        fx, fy = canvas.to_source(canvas.mouse.x(), canvas.mouse.y())
        x, y = int(fx // 1), int(fy // 1)
        lines = [f"x {x}  y {y}", _said(mips, x, y)]
        partner = self.layer.partner
        if self.layer.comparing and partner is not None and canvas.picture_wh is not None:
            w, h = canvas.picture_wh
            dx, dy = self.layer.shift
            px, py = (fx - dx) * partner.wh[0] / w, (fy - dy) * partner.wh[1] / h
            lines.append("⇄ " + _said(partner, int(px // 1), int(py // 1)))
        return lines

    def _apply_tools(self) -> None:
        self.canvas.crosshair = "cross" in self.tools
        self.layer.grid = "grid" in self.tools
        self.canvas.keep_view = "keep" in self.tools

    def _paint(self, p: QPainter) -> None:
        canvas, mips = self.canvas, self.canvas.mips
        wh, size = canvas.picture_wh, (canvas.width(), canvas.height())
        if wh is None or mips is None:
            return
        if "rulers" in self.tools:
            view = (self.layer.pane_width(size[0]), size[1])
            instruments.paint_rulers(p, view, canvas.camera, wh, canvas.mouse)
        if self.layer.peek or not (self.spelled or self.layer.look.plain):
            instruments.paint_pill(p, size[1] - 12, tr("Original") if self.layer.peek else self.text)
        if self._map_shown():
            seen = canvas.camera.seen((self.layer.pane_width(size[0]), size[1]))
            inner = (*canvas.inside(seen[0], seen[1]), *canvas.inside(seen[2], seen[3]))
            instruments.paint_map(p, instruments.map_rect(size, wh), wh, mips.levels[-1], inner)
        if "loupe" in self.tools and canvas.mouse is not None and not canvas.panning:
            lines = self.values()
            box = instruments.loupe_rect(size, canvas.mouse, len(lines))
            instruments.paint_loupe(p, box, self._cells(mips), lines)

    def _map_shown(self) -> bool:
        return "map" in self.tools and not self.canvas.camera.fitted and self.canvas.mips is not None

    def _cells(self, mips: Mips) -> QImage:
        """The source pixels around the mouse as the eye sees them, black outside."""
        canvas, n = self.canvas, instruments.LOUPE_CELLS
        made = QImage(n, n, QImage.Format.Format_RGB32)
        made.fill(Qt.GlobalColor.black)
        if canvas.mouse is None or not mips.whole:
            return made
        fx, fy = canvas.to_source(canvas.mouse.x(), canvas.mouse.y())
        left, top = int(fx // 1) - n // 2, int(fy // 1) - n // 2
        a, b = max(0, left), max(0, top)
        c, d = min(mips.wh[0], left + n), min(mips.wh[1], top + n)
        if a >= c or b >= d:
            return made
        look = self.layer.look_of(False)
        part = mips.pixels(0)[b:d, a:c]
        if not look.plain:
            window, span = self.layer.prepared.window(mips, look)
            deep = mips.deep[0][b:d, a:c] if mips.deep else None
            part = looks.apply(look, part, deep, window=window, span=span, slow=False)
        p = QPainter(made)
        p.drawImage(QPointF(a - left, b - top), to_image(part))
        p.end()
        return made

    # --- mouse and held keys -------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if self._held and (
            (kind == QEvent.Type.KeyRelease and not event.isAutoRepeat())  # type: ignore[attr-defined]
            or kind in (QEvent.Type.ApplicationDeactivate, QEvent.Type.WindowDeactivate)
        ):
            self.let_go()
        if watched is not self.canvas or not isinstance(event, QMouseEvent):
            return False
        if kind == QEvent.Type.MouseButtonPress and event.button() == Qt.MouseButton.LeftButton:
            return self._pressed(event.position())
        if kind == QEvent.Type.MouseMove:
            return self._moved(event.position())
        if kind == QEvent.Type.MouseButtonRelease and self._gripped:
            self._gripped = ""
            self.canvas.set_cursor()
            return True
        return False

    def _pressed(self, at: QPointF) -> bool:
        if self._map_shown() and self._map().contains(at):
            self._gripped = "map"
        elif self.layer.on_divider(at, self.canvas.width()):
            self._gripped = "divider"
        else:
            return False
        return self._moved(at)

    def _moved(self, at: QPointF) -> bool:
        canvas = self.canvas
        if self._gripped == "map" and canvas.picture_wh is not None:
            x, y = instruments.on_map(self._map(), canvas.picture_wh, at)
            view = (self.layer.pane_width(canvas.width()), canvas.height())
            scale = canvas.scale
            canvas.look_from(Camera(scale, view[0] / 2 - x * scale, view[1] / 2 - y * scale, fitted=False))
        elif self._gripped == "divider":
            self.layer.divider = min(max(at.x() / max(1, canvas.width()), 0.02), 0.98)
            canvas.update()
        elif self.layer.on_divider(at, canvas.width()) and not canvas.tool.busy:
            canvas.setCursor(Qt.CursorShape.SplitHCursor)
        elif canvas.cursor().shape() == Qt.CursorShape.SplitHCursor:
            canvas.set_cursor()
        if {"loupe", "rulers"} & self.tools:
            canvas.update()
        return bool(self._gripped)

    def _map(self) -> QRectF:
        assert self.canvas.picture_wh is not None
        return instruments.map_rect((self.canvas.width(), self.canvas.height()), self.canvas.picture_wh)

    # --- what is kept --------------------------------------------------------------------------------------------

    def _workspace(self) -> None:
        self.layer.prepared.forget()
        self._ticket += 1
        self.marked = self.partner_id = self.layer.partner = self._marks = None
        self.compare("")

    def _load(self) -> None:
        """The state kept for the dataset in hand."""
        if self._soon.isActive():
            self._store()
        self._dataset = self.desk.dataset.uid if self.desk.dataset else ""
        kept = _entries(self.desk.values.get("eyes")).get(self._dataset, {})
        found = [
            Preset(str(one[0])[:40], looks.from_text(json.dumps(one[1])))
            for one in kept.get("presets", ())
            if isinstance(one, list) and len(one) == 2
        ]
        self.presets = (found or list(BUILT_IN))[:_PRESETS_AT_MOST]
        self.look = looks.from_text(json.dumps(kept.get("look", {})))
        used = kept.get("used", 0)
        self.used = used if isinstance(used, int) and 0 <= used <= len(self.presets) else 0
        self.on = kept.get("on") is True
        rule = kept.get("rule", "name")
        self.rule = rule if isinstance(rule, str) and rule != "marked" else "name"
        which = kept.get("look_on", "")
        self.layer.look_on = which if which in ("open", "partner") else ""
        shift = kept.get("shift", (0, 0))
        fine = isinstance(shift, list) and len(shift) == 2 and all(isinstance(v, int | float) for v in shift)
        self.layer.shift = (float(shift[0]), float(shift[1])) if fine else (0.0, 0.0)
        self.layer.look = self.look if self.on else PLAIN
        self.canvas.update()
        self.changed.emit()

    def _store(self) -> None:
        self._soon.stop()
        if not self._dataset:
            return
        entries = _entries(self.desk.values.get("eyes"))
        entries.pop(self._dataset, None)
        state: dict[str, Any] = {
            "dataset": self._dataset,
            "on": self.on,
            "used": self.used,
            "look": json.loads(looks.to_text(self.look)),
            "rule": self.rule,
            "shift": list(self.layer.shift),
            "look_on": self.layer.look_on,
        }
        if tuple(self.presets) != BUILT_IN:
            state["presets"] = [[one.name, json.loads(looks.to_text(one.look))] for one in self.presets]
        kept = [json.dumps(one, ensure_ascii=False, sort_keys=True) for one in (*entries.values(), state)]
        self.desk.put_setting("eyes", kept[-200:])

    def finish(self) -> None:
        """The desk closes: what was changed last is kept."""
        if self._soon.isActive():
            self._store()
        self._turns.stop()
        self._next.stop()


def _entries(kept: object) -> dict[str, dict[str, Any]]:
    """The states by dataset; lines that are none are left out."""
    found: dict[str, dict[str, Any]] = {}
    for line in kept if isinstance(kept, list) else ():
        try:
            one = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(one, dict) and isinstance(one.get("dataset"), str):
            found[one["dataset"]] = one
    return found


def _said(mips: Mips, x: int, y: int) -> str:
    """The true samples at a place, in words."""
    found = mips.value(x, y)
    if found is None:
        return "–"
    bits = f" · {mips.kind.bits} bit" if mips.kind is not None and mips.kind.bits != 8 else ""
    numbers = [f"{v:.0f}" if v == int(v) else f"{v:.4g}" for v in found]
    names = ("",) if len(numbers) == 1 else ("R ", "G ", "B ")
    return "  ".join(name + one for name, one in zip(names, numbers, strict=False)) + bits


def _short(path: str) -> str:
    """The last two parts of a path."""
    return "/".join(path.split("/")[-2:])
