"""How the sheets of import and export are opened over the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.desktop.dropping import MODEL_ENDINGS
from app.desktop.exchange.exporting import ExportSheet
from app.desktop.exchange.importing import ImportedSheet, ImportSheet
from app.desktop.tasks import Task
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.sheets import Sheets


def dropped(sheets: Sheets, path: str) -> None:
    """A file or folder dropped on the window: a model, annotations, or pictures, as it says itself."""
    if Path(path).suffix.lower() in MODEL_ENDINGS:
        sheets.add_model(path)
        return

    def work() -> bool:
        from annotation import formats
        from annotation.errors import InvalidInput

        if Path(path).suffix.lower() == ".zip":  # what is in it is known once it is unpacked
            return any(is_text(name) for name in _names(Path(path)))
        try:
            formats.guess(Path(path))
        except InvalidInput:
            return False
        return True

    def known(labels: bool) -> None:
        if labels and sheets.desk.dataset is not None:
            sheets.import_labels(path)
        else:
            sheets.add_pictures(path)

    sheets.desk.ask(work, known)


def is_text(name: str) -> bool:
    """Whether a file's name is one of annotations."""
    return Path(name).suffix.lower() in (".json", ".xml", ".yaml", ".yml", ".csv", ".jsonl", ".txt")


def _names(path: Path) -> list[str]:
    """Some names in a zip; none of what is no zip."""
    import zipfile

    try:
        if path.stat().st_size > 2**30:
            return []
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()[:2000]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return []


def take_in(sheets: Sheets, file: str = "") -> None:
    """Labels of another tool for the open dataset."""
    desk, data = sheets.desk, sheets.desk.dataset
    if desk.ws is None or data is None:
        return
    name = data.name

    def begin(work: Callable[[], Any]) -> None:
        sheets.close()
        desk.start(lambda: tr("Import labels · {name}", name=name), work, done)

    def done(task: Task) -> None:
        if task.state == "finished" and sheets.open is None:
            told = ImportedSheet(sheets.window.body, desk, task)
            sheets.hold(told)
            told.present(told.verb)

    sheet = ImportSheet(sheets.window.body, desk, begin, file=file)
    sheets.hold(sheet)
    sheet.present(sheet.path)


def give_out(sheets: Sheets, tag: str = "") -> None:
    """The open dataset or a version of it for another tool."""
    desk, data = sheets.desk, sheets.desk.dataset
    if desk.ws is None or data is None:
        return
    ws, name = desk.ws, data.name

    def read() -> list[str]:
        from app.services import versions

        return [v.tag for v in reversed(versions.listing(ws, name))]

    def begin(title: str, work: Callable[[], Any]) -> None:
        sheets.close()
        desk.start(lambda: tr("Export · {name}", name=title), work)

    def known(tags: list[str]) -> None:
        if desk.dataset is None:
            return
        sheet = ExportSheet(sheets.window.body, desk, tags, begin, tag=tag)
        sheets.hold(sheet)
        sheet.present(sheet.out)

    desk.ask(read, known)
