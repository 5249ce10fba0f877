"""The sheet that writes a version's quality report and data card into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.desktop import widgets
from app.desktop.overlaid import Sheet
from app.desktop.widgets import label
from app.events import Finished, Work
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.window import Window


def ask(window: Window, tag: str = "") -> Sheet | None:
    """Ask where to; tag: the version's, "" = the newest. Without a version, one is frozen first."""
    desk, ref = window.desk, window.sheets.version(tag)
    ws = desk.ws
    if ws is None or not ref:
        return None

    def go() -> None:
        out = Path(folder.text().strip()).expanduser()
        languages = {"both": ("zh", "en"), "zh": ("zh",), "en": ("en",)}[language()]
        also_pdf, with_names = paper() == "pdf", people() == "yes"

        def work() -> Work:
            from app.services import documents

            for event in documents.report(ws, ref, out, languages=languages, names=with_names):
                if isinstance(event, Finished) and also_pdf:
                    from app.desktop import printing

                    listed = event.result["files"]
                    assert isinstance(listed, list)
                    printing.beside([out / f for f in listed if f.endswith(".html")])
                yield event

        window.sheets.close()
        desk.start(lambda: tr("Report · {name}", name=ref), work)

    sheet = window.sheets.hold(
        Sheet(window.body, "Quality report and data card",
              "Each figure with its formula, sample size and interval; purpose, composition, people and limits of the version.",
              "Write", go)
    )  # fmt: skip
    named = label(kind="second")
    named.setText(ref)
    sheet.body.addWidget(named)
    folder = sheet.path_field("Folder", hint="Where the pages are written")
    language = sheet.choices(
        "Language", [("both", tr("Both languages")), ("zh", "中文"), ("en", "English")], "both"
    )
    paper = sheet.choices("Also as PDF", [("pdf", tr("Yes")), ("", tr("No"))], "pdf")
    people = sheet.choices("People's names", [("", tr("Only how many")), ("yes", tr("By name"))], "")
    sheet.verb.setEnabled(False)
    folder.textChanged.connect(lambda text: sheet.verb.setEnabled(bool(text.strip())))
    widgets.repaint_icons(sheet)
    sheet.present(folder)
    return sheet
