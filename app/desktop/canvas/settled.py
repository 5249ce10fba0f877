"""The settled objects as the view shows them: the scene, the overlay drawn of it, and what is taken out of it for now.

The view says how it stands (`Stand`); this asks the worker for a drawing, patches the one at hand so that a gesture
shows at once, and lays it into a paint event. It never touches the document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QPainter

from annotation import sets
from annotation.core import AnnotationSet
from app.desktop.canvas import overlay as overlays
from app.desktop.canvas import scene as scenes
from app.desktop.canvas.camera import Camera
from app.desktop.canvas.overlay import MARGIN, Overlay, Request, Style, Worker
from app.desktop.tasks import Courier

_PATCH_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Stand:
    """How the view stands: camera, size in widget pixels, device pixels a widget pixel, what is selected and hidden."""

    camera: Camera
    view: tuple[int, int]
    ratio: float
    selected: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    """Uids that are not drawn: hidden ones and those under the mouse."""
    hidden_labels: frozenset[str] = frozenset()


class Settled:
    """See the module. Interface thread only; drawing is the worker's."""

    def __init__(self, courier: Courier, stand: Callable[[], Stand], update: Callable[[], None]) -> None:
        self._stand, self._update = stand, update
        self.scene = scenes.EMPTY
        self.style = Style()
        self._overlay: Overlay | None = None
        self.worker = Worker(courier, self._drawn)

    @property
    def drawn(self) -> bool:
        """True when what is shown is what there is: nothing is being drawn for it."""
        made = self._overlay
        there = made is not None and made.request.scene is self.scene
        return (there or not self.scene.annotations) and self.worker.idle

    def clear(self) -> None:
        """Another picture: nothing is there yet."""
        self.scene, self._overlay = scenes.EMPTY, None

    def settle(self, annotations: AnnotationSet) -> None:
        """Other annotations: what changed is patched at once, the rest follows from the worker."""
        old, self.scene = self.scene, scenes.build(annotations, self.scene)
        fresh, gone = sets.difference(old.annotations, annotations)
        changed = {a.uid for a in fresh}.union(gone)
        if (
            self._overlay is not None
            and self._overlay.request.scene is old
            and len(changed) <= _PATCH_AT_MOST
        ):
            overlays.patch(self._overlay, self.scene, changed, hidden=self._stand().hidden)
        self.ask()
        self._update()

    def redraw(self, uids: set[str]) -> None:
        """Some objects come out of the drawing or go back into it, as the view's `hidden` says."""
        if self._overlay is not None:
            overlays.patch(self._overlay, self.scene, uids, hidden=self._stand().hidden)
            self._update()

    def ask(self) -> None:
        """Ask for a drawing of how things stand now."""
        s = self._stand()
        self.worker.ask(
            Request(
                self.scene,
                replace(self.style, hidden=s.hidden, hidden_labels=s.hidden_labels),
                s.camera.scale * s.ratio,
                s.camera.ox * s.ratio + MARGIN[0],
                s.camera.oy * s.ratio + MARGIN[1],
                (round(s.view[0] * s.ratio) + 2 * MARGIN[0], round(s.view[1] * s.ratio) + 2 * MARGIN[1]),
                s.selected,
                s.ratio,
            )
        )

    def follow(self) -> None:
        """The view moved: ask when the drawing at hand does not fit well enough any more."""
        if self._stale():
            self.ask()

    def _stale(self) -> bool:
        if self._overlay is None:
            return bool(self.scene.annotations)
        s, r = self._stand(), self._overlay.request
        if r.scale != s.camera.scale * s.ratio or r.ratio != s.ratio:
            return True
        dx = s.camera.ox * s.ratio - r.ox + MARGIN[0]
        dy = s.camera.oy * s.ratio - r.oy + MARGIN[1]
        return abs(dx) > 0.6 * MARGIN[0] or abs(dy) > 0.6 * MARGIN[1]

    def _drawn(self, made: Overlay) -> None:
        if made.request.scene is not self.scene:
            return  # a newer request is on its way
        hidden = self._stand().hidden
        if made.request.style.hidden != hidden:
            # Taken up or put back while this was drawn: mended before it is shown, or the object stands there twice.
            overlays.patch(made, self.scene, set(made.request.style.hidden ^ hidden), hidden=hidden)
        self._overlay = made
        self.follow()
        self._update()

    def paint(self, p: QPainter) -> None:
        """Lay the drawing over the picture: shifted when it has the view's scale, else stretched until a new one is there."""
        made = self._overlay
        if made is None:
            return
        s = self._stand()
        r, camera, ratio = made.request, s.camera, s.ratio
        if r.scale == camera.scale * ratio and r.ratio == ratio:
            at = QPointF(round(camera.ox * ratio - r.ox) / ratio, round(camera.oy * ratio - r.oy) / ratio)
            p.drawImage(at, made.image)
            return
        factor = camera.scale / r.scale
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        p.drawImage(
            QRectF(camera.ox - r.ox * factor, camera.oy - r.oy * factor, r.wh[0] * factor, r.wh[1] * factor),
            made.image,
        )
