"""Tiles for large pictures and small objects, and regions of a fixed camera: two pages of the pre-label sheet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QLineEdit, QSpinBox, QWidget

from annotation import canonical
from app.desktop import widgets
from app.desktop.models.asking import Segments
from app.desktop.models.camera import CameraView, Ring
from app.desktop.widgets import button, column, label, number, row, say
from app.i18n import tr

if TYPE_CHECKING:
    from app.services.recipebook import Region, Tiling

MICRO = canonical.MICRO
OVERLAPS = (100_000, 200_000, 300_000, 500_000)


class TilesPage(QWidget):
    """Whether and how large pictures are cut, drawn on a picture of the dataset."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        box = column(self, gap=10)
        box.addWidget(
            label("Large pictures are cut into overlapping squares, so that small objects are seen; what is found in several is joined.", "second", wrap=True)
        )  # fmt: skip
        top = row(gap=16)
        self.on = Segments([("", tr("Whole pictures")), ("on", tr("In tiles"))], "", spoken=tr("Tiles"))
        top.addWidget(self.on)
        top.addWidget(label("Side", "caption"))
        self.side = QSpinBox()
        for part in (self.side, self.side.lineEdit()):
            part.setAccessibleName(tr("Side of a tile in pixels"))
        self.side.setRange(64, 16_384)
        self.side.setSingleStep(64)
        self.side.setValue(1280)
        self.side.setSuffix(" px")
        self.side.setFixedWidth(110)
        top.addWidget(self.side)
        top.addWidget(label("Overlap", "caption"))
        self.overlap = Segments(
            [(str(v), f"{v / MICRO:.1f}") for v in OVERLAPS], "200000", spoken=tr("Overlap")
        )
        top.addWidget(self.overlap)
        top.addStretch()
        box.addLayout(top)
        under = row(gap=16)
        self.whole = Segments(
            [("yes", tr("Also the whole picture")), ("no", tr("Tiles alone"))], "yes", spoken=tr("Tiles")
        )
        under.addWidget(self.whole)
        self.told = label(kind="second")
        under.addWidget(self.told, 1)
        box.addLayout(under)
        self.view = CameraView()
        box.addWidget(self.view, 1)
        for one in (self.on, self.overlap, self.whole):
            one.chosen.connect(lambda _: self._changed())
        self.side.valueChanged.connect(lambda _: self._changed())
        self._enable()

    def show_picture(self, image: QImage | None, wh: tuple[int, int], note: str = "") -> None:
        """The picture that the tiles are drawn on."""
        self.view.show_picture(image, wh, note)
        self._changed()

    def show_tiling(self, tiling: Tiling | None) -> None:
        """As a recipe says."""
        self.on.choose("on" if tiling is not None else "")
        if tiling is not None:
            self.side.setValue(tiling.side)
            near = min(OVERLAPS, key=lambda v: abs(v - tiling.overlap_micro))
            self.overlap.choose(str(near))
            self.whole.choose("yes" if tiling.whole else "no")
        self._changed()

    def tiling(self) -> Tiling | None:
        """What a recipe keeps."""
        if self.on.value != "on":
            return None
        from app.services.recipebook import Tiling

        return Tiling(self.side.value(), int(self.overlap.value), self.whole.value == "yes")

    def said(self) -> str:
        """For the list of pages."""
        return f"{self.side.value()} px" if self.on.value == "on" else "–"

    def _enable(self) -> None:
        for one in (self.side, self.overlap, self.whole):
            one.setEnabled(self.on.value == "on")

    def _changed(self) -> None:
        self._enable()
        tiling = self.tiling()
        cut: list[tuple[int, int, int, int]] = []
        if tiling is not None and self.view.wh[0]:
            from app.services import recipebook

            cut = recipebook.tiles(self.view.wh, tiling)
        self.view.tiles = cut
        self.view.update()
        w, h = self.view.wh
        if tiling is None or not w:
            self.told.setText("")
        elif len(cut) == 1:
            self.told.setText(tr("This picture of {w} × {h} is one tile.", w=w, h=h))
        else:
            self.told.setText(
                tr("This picture of {w} × {h}: {n} runs instead of one", w=w, h=h, n=number(len(cut)))
            )
        self.changed.emit()


class RegionsPage(QWidget):
    """Polygons by camera. `turn` asks for another picture: +1, -1."""

    changed = Signal()

    def __init__(self, turn: Callable[[int], None]) -> None:
        super().__init__()
        self._regions: list[Region] = []
        self.path = ""
        box = column(self, gap=10)
        box.addWidget(
            label("Of a fixed camera only part of the picture may count. Click corners, close with Enter or a double click.", "second", wrap=True)
        )  # fmt: skip
        top = row(gap=8)
        top.addWidget(label("Pictures", "caption"))
        self.pattern = say(QLineEdit(), hint="cam3/*", spoken="Pattern of the pictures' paths")
        self.pattern.setFixedWidth(240)
        self.pattern.textEdited.connect(lambda _: self._look())
        top.addWidget(self.pattern)
        self.keep = Segments(
            [("inside", tr("Inside counts")), ("outside", tr("Outside counts"))],
            "inside",
            spoken=tr("Region"),
        )
        self.keep.chosen.connect(lambda _: self._kept())
        top.addWidget(self.keep)
        top.addStretch()
        top.addWidget(button("", lambda: turn(-1), kind="flat", icon="previous", tip="Picture before"))
        top.addWidget(button("", lambda: turn(1), kind="flat", icon="next", tip="Picture after"))
        box.addLayout(top)
        self.view = CameraView(drawing=True)
        self.view.drawn.connect(self._drawn)
        box.addWidget(self.view, 1)
        foot = row(gap=8)
        self.told = label(kind="second")
        foot.addWidget(self.told, 1)
        self.less = button("Take the last polygon back", self._back, kind="link")
        self.clear = button("Remove this region", self._clear, kind="link")
        foot.addWidget(self.less)
        foot.addWidget(self.clear)
        box.addLayout(foot)
        self._listed = column(gap=2)
        box.addLayout(self._listed)
        self._look()

    def show_picture(self, path: str, image: QImage | None, wh: tuple[int, int], note: str = "") -> None:
        """Another picture; its folder is the camera, unless a pattern already fits."""
        import fnmatch

        self.path = path
        known = next((r.path for r in self._regions if fnmatch.fnmatchcase(path, r.path)), None)
        folder = path.rpartition("/")[0]
        self.pattern.setText(known or (f"{folder}/*" if folder else "*"))
        self.view.show_picture(image, wh, note)
        self._look()

    def show_regions(self, regions: tuple[Region, ...]) -> None:
        """As a recipe says."""
        self._regions = list(regions)
        self._look()
        self.changed.emit()

    def regions(self) -> tuple[Region, ...]:
        """What a recipe keeps."""
        return tuple(self._regions)

    def said(self) -> str:
        """For the list of pages."""
        return number(len(self._regions)) if self._regions else "–"

    def _now(self) -> Region | None:
        return next((r for r in self._regions if r.path == self.pattern.text().strip()), None)

    def _put(self, region: Region | None) -> None:
        pattern = self.pattern.text().strip()
        at = next((i for i, r in enumerate(self._regions) if r.path == pattern), len(self._regions))
        self._regions[at : at + 1] = [region] if region is not None and region.rings else []
        self._look()
        self.changed.emit()

    def _drawn(self, ring: Ring) -> None:
        from app.services.recipebook import Region

        now = self._now()
        pattern = self.pattern.text().strip() or "*"
        self.pattern.setText(pattern)
        keep: Literal["inside", "outside"] = "outside" if self.keep.value == "outside" else "inside"
        self._put(
            replace(now, rings=(*now.rings, ring)) if now is not None else Region(pattern, (ring,), keep)
        )

    def _kept(self) -> None:
        now = self._now()
        if now is not None:
            self._put(replace(now, keep="outside" if self.keep.value == "outside" else "inside"))
        self._look()

    def _back(self) -> None:
        now = self._now()
        if now is not None:
            self._put(replace(now, rings=now.rings[:-1]))

    def _clear(self) -> None:
        self._put(None)

    def _look(self) -> None:
        """The picture with the region in hand, and the others by name."""
        now = self._now()
        if now is not None:
            self.keep.choose(now.keep)
        self.view.inside = self.keep.value != "outside"
        self.view.rings = now.rings if now is not None else ()
        self.view.update()
        self.less.setVisible(now is not None)
        self.clear.setVisible(now is not None)
        self.told.setText(
            tr("{n} polygons for {path}", n=len(now.rings), path=now.path)
            if now is not None
            else tr("Everything counts here.")
        )
        widgets.clear(self._listed)
        for one in self._regions:
            if now is None or one.path != now.path:
                text = tr("{n} polygons for {path}", n=len(one.rings), path=one.path)
                made = button("", lambda path=one.path: self._choose(path), kind="link")
                made.setText(text)
                made.setAccessibleName(text)
                self._listed.addWidget(made)

    def _choose(self, path: str) -> None:
        self.pattern.setText(path)
        self._look()
