"""Pictures of the manual: drawn by the desk itself in tests; `--manual` writes them anew, else they must be there and small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QWidget

PICTURES = Path(__file__).resolve().parents[2] / "app/manual/pictures"
AT_MOST = 260_000
"""Bytes of one picture."""


def photograph(widget: QWidget, name: str, *, write: bool, width: int = 1120) -> None:
    """Keep a widget as `name` in at most `width` pixels, or check the one that is there.

    A name in .jpg is for pictures that are mostly photograph; a .png gets 208 colours.
    """
    target = PICTURES / name
    if write:
        for _ in range(3):
            QApplication.processEvents()  # layouts settle
        image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
        rgb = rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)
        small = Image.fromarray(rgb)
        if small.width > width:
            small = small.resize((width, round(width * small.height / small.width)), Image.Resampling.LANCZOS)
        if target.suffix == ".jpg":
            small.save(target, quality=80, optimize=True)
        else:
            _few_colours(rgb, small).save(target, optimize=True)
    assert target.stat().st_size <= AT_MOST, name


def _few_colours(rgb: np.ndarray, small: Image.Image) -> Image.Image:
    """`small` in 208 colours, chosen with `rgb` as it was before it was made small."""
    # The desk's own flat colours first, or rare ones (a class, a warning) would be lost among the picture's.
    seen = sorted(Image.fromarray(rgb).getcolors(1 << 24) or [], reverse=True)
    bright = [one for one in seen if max(one[1]) - min(one[1]) > 70]
    flat = seen[:40] + bright[:48]
    drawn = small.quantize(120, dither=Image.Dither.NONE).getpalette() or []
    table = Image.new("P", (1, 1))
    table.putpalette([v for _, colour in flat for v in colour] + drawn[: 3 * 120])
    return small.quantize(palette=table, dither=Image.Dither.NONE)
