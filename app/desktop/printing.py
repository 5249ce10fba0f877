"""Documents as PDF: the program's own HTML pages drawn by Qt's rich text on A4, with figures in their full sharpness."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QMarginsF, QRectF, QSizeF, Qt, QUrl
from PySide6.QtGui import (
    QAbstractTextDocumentLayout,
    QFont,
    QFontDatabase,
    QGuiApplication,
    QImage,
    QPageLayout,
    QPageSize,
    QPainter,
    QPalette,
    QPdfWriter,
    QTextDocument,
)
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

from annotation.errors import InvalidInput
from app.desktop import theme

DPI = 96
"""Dots of a page in which the text is laid out; what is drawn is sharper."""
SHARP = 4
"""Dots of a figure for each of the page."""
MARGIN_MM = 16.0
FOOT_PX = 30
_SHEET = """
body, td, th, p, li { font-size: 9pt; color: #24211c; }
h1 { font-size: 19pt; font-weight: 600; margin-top: 0; margin-bottom: 2px; }
h2 { font-size: 12.5pt; font-weight: 600; margin-top: 22px; margin-bottom: 5px; }
h3 { font-size: 9.5pt; font-weight: 600; margin-top: 12px; margin-bottom: 4px; }
.lead { color: #6d665a; font-size: 11pt; margin-bottom: 10px; }
.small, .formula { color: #6d665a; font-size: 7.5pt; }
.mono { font-family: 'Noto Sans Mono CJK SC', 'DejaVu Sans Mono', monospace; font-size: 7.5pt; }
.figure { font-size: 17pt; font-weight: 600; }
th { color: #6d665a; font-size: 7.5pt; font-weight: 400; }
footer { color: #6d665a; font-size: 7.5pt; }
"""
_DRAWING = re.compile(r"<svg[^>]*width=\"([\d.]+)\" height=\"([\d.]+)\".*?</svg>", re.DOTALL)


def application() -> QGuiApplication:
    """The application there is, or one without a screen: fonts need one."""
    found = QGuiApplication.instance()
    if isinstance(found, QGuiApplication):
        return found
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    return QApplication([])


def pdf(html: bytes) -> bytes:
    """A page of `app.services.paper` as PDF, A4, with page numbers."""
    kept = application()
    out = QByteArray()
    buffer = QBuffer(out)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    writer = QPdfWriter(buffer)
    writer.setPageLayout(
        QPageLayout(QPageSize(QPageSize.PageSizeId.A4), QPageLayout.Orientation.Portrait,
                    QMarginsF(MARGIN_MM, MARGIN_MM, MARGIN_MM, MARGIN_MM), QPageLayout.Unit.Millimeter)
    )  # fmt: skip
    writer.setResolution(DPI * SHARP)
    writer.setCreator("Lamproom")
    text = html.decode()
    found = re.search(r"<title>(.*?)</title>", text)
    writer.setTitle(found[1] if found else "")
    area = writer.pageLayout().paintRectPixels(DPI)
    room = QSizeF(area.width(), area.height() - FOOT_PX)
    document = _document(text, room)
    painter = QPainter(writer)
    try:
        painter.scale(SHARP, SHARP)
        pages = document.pageCount()
        for page in range(pages):
            if page:
                writer.newPage()
            painter.save()
            painter.translate(0, -page * room.height())
            context: Any = QAbstractTextDocumentLayout.PaintContext()  # its stub lacks what it holds
            context.clip = QRectF(0, page * room.height(), room.width(), room.height())
            context.palette.setColor(QPalette.ColorRole.Text, Qt.GlobalColor.black)
            painter.setClipRect(context.clip)
            document.documentLayout().draw(painter, context)
            painter.restore()
            painter.setPen(Qt.GlobalColor.gray)
            painter.setFont(_font(8))
            painter.drawText(
                QRectF(0, room.height() + 8, room.width(), 20),
                int(Qt.AlignmentFlag.AlignRight),
                f"{page + 1} / {pages}",
            )
    finally:
        painter.end()
        buffer.close()
        del kept
    return bytes(out.data())


def _font(points: float) -> QFont:
    font = QFont()
    font.setFamilies(list(theme.FAMILIES))
    font.setPointSizeF(points)
    return font


def _document(text: str, room: QSizeF) -> QTextDocument:
    """The page as rich text; its drawings are pictures."""
    document = QTextDocument()
    document.setDocumentMargin(0)
    document.setDefaultFont(_font(9))
    document.setDefaultStyleSheet(_SHEET)
    number = 0
    there = set(QFontDatabase.families())
    family = next((f for f in theme.FAMILIES if f in there), "sans-serif")

    def picture(found: re.Match[str]) -> str:
        nonlocal number
        number += 1
        wide, high = float(found[1]), float(found[2])
        scale = min(1.0, room.width() / wide)
        image = QImage(
            round(wide * scale * SHARP),
            round(high * scale * SHARP),
            QImage.Format.Format_ARGB32_Premultiplied,
        )
        image.fill(Qt.GlobalColor.transparent)
        painter = QPainter(image)
        drawing = re.sub(
            r'font-family="[^"]*"', f'font-family="{family}"', found[0]
        )  # Qt's SVG takes one family, not a list
        QSvgRenderer(QByteArray(drawing.encode())).render(painter)
        painter.end()
        name = f"figure:{number}"
        document.addResource(QTextDocument.ResourceType.ImageResource.value, QUrl(name), image)
        return f'<img src="{name}" width="{wide * scale:.0f}" height="{high * scale:.0f}">'

    text = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    text = _DRAWING.sub(picture, text)
    text = text.replace("<table", '<table width="100%" cellspacing="0" cellpadding="4"')
    text = re.sub(r'<t([dh]) class="n"', r'<t\1 align="right"', text)
    text = re.sub(r"<th(?! align)", '<th align="left"', text).replace('<th align="left"ead', "<thead")
    text = text.replace("<td", '<td style="border-bottom: 1px solid #dcd5c7"')
    text = (
        text.replace('<h2 class="page"', '<h2 style="page-break-before: always"')
        .replace("<footer>", '<p class="small">')
        .replace("</footer>", "</p>")
    )
    document.setHtml(text)
    document.setPageSize(room)
    return document


def beside(files: list[Path]) -> list[Path]:
    """A PDF beside each HTML file, of the same name.

    Raises:
        InvalidInput: it cannot be written.
    """
    out = []
    for path in files:
        target = path.with_suffix(".pdf")
        try:
            target.write_bytes(pdf(path.read_bytes()))
        except OSError as error:
            raise InvalidInput(
                "the file cannot be written", where=str(target), remedy="name another place"
            ) from error
        out.append(target)
    return out
