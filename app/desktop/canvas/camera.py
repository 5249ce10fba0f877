"""Where the picture stands in the view: a frozen transform and the moves it knows. Pure functions, no widget.

Screen means widget pixels; source means pixels of the picture. A view is (width, height) in widget pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]
Rect = tuple[float, float, float, float]
"""x0, y0, x1, y1."""

LARGEST = 64.0
_FIT_PX = 24
_KEPT_PX = 48.0
"""However far the picture is pushed aside, so much of it stays in view: the rest of the view is outside it."""


@dataclass(frozen=True, slots=True)
class Camera:
    """screen = source * scale + (ox, oy). `fitted` = the whole picture is in view and follows the view's size."""

    scale: float = 1.0
    ox: float = 0.0
    oy: float = 0.0
    fitted: bool = True

    def to_screen(self, x: float, y: float) -> Point:
        """Source pixels to widget pixels."""
        return x * self.scale + self.ox, y * self.scale + self.oy

    def to_source(self, x: float, y: float) -> Point:
        """Widget pixels to source pixels."""
        return (x - self.ox) / self.scale, (y - self.oy) / self.scale

    def seen(self, view: tuple[int, int]) -> Rect:
        """The part of the plane in view, in source pixels."""
        return (*self.to_source(0, 0), *self.to_source(*view))


def fit(wh: tuple[int, int], view: tuple[int, int]) -> Camera:
    """The whole picture in view, with a little air around it."""
    w, h = wh
    room = (max(1, view[0] - 2 * _FIT_PX), max(1, view[1] - 2 * _FIT_PX))
    scale = min(room[0] / w, room[1] / h, LARGEST)
    return Camera(scale, (view[0] - w * scale) / 2, (view[1] - h * scale) / 2)


def zoom(camera: Camera, factor: float, at: Point, wh: tuple[int, int], view: tuple[int, int]) -> Camera:
    """Larger by `factor`, the point under `at` (screen) stays where it is."""
    x, y = camera.to_source(*at)
    least = min(view[0] / wh[0], view[1] / wh[1], 1.0) / 4
    scale = min(max(camera.scale * factor, least), LARGEST)
    return Camera(scale, at[0] - x * scale, at[1] - y * scale, fitted=False)


def pan(camera: Camera, dx: float, dy: float, wh: tuple[int, int], view: tuple[int, int]) -> Camera:
    """Moved by widget pixels; a strip of the picture stays in view."""
    w, h = wh[0] * camera.scale, wh[1] * camera.scale
    keep_x, keep_y = min(_KEPT_PX, view[0] / 2), min(_KEPT_PX, view[1] / 2)
    ox = min(max(camera.ox + dx, keep_x - w), view[0] - keep_x)
    oy = min(max(camera.oy + dy, keep_y - h), view[1] - keep_y)
    return Camera(camera.scale, ox, oy, fitted=False)


def onto(box: Rect, view: tuple[int, int], *, share: float = 0.5, least: float = 0.0) -> Camera:
    """A rectangle of the source in the middle, filling `share` of the view; at least at the scale `least`."""
    x0, y0, x1, y1 = box
    wide, high = max(1.0, x1 - x0), max(1.0, y1 - y0)
    scale = min(max(min(view[0] * share / wide, view[1] * share / high), least), LARGEST)
    return Camera(
        scale, view[0] / 2 - (x0 + x1) / 2 * scale, view[1] / 2 - (y0 + y1) / 2 * scale, fitted=False
    )


def into_view(camera: Camera, box: Rect, view: tuple[int, int]) -> Camera:
    """The same scale, a rectangle of the source in the middle, unless all of it is in view already."""
    a, b = camera.to_screen(*box[:2])
    c, d = camera.to_screen(*box[2:])
    if a >= 0 and b >= 0 and c <= view[0] and d <= view[1]:
        return camera
    dx, dy = view[0] / 2 - (a + c) / 2, view[1] / 2 - (b + d) / 2
    return Camera(camera.scale, camera.ox + dx, camera.oy + dy, fitted=False)
