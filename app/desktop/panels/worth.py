"""Why a picture is worth labelling, said: a quiet line beside the open picture, and the words for tiles and lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QWidget

from app.desktop.desk import Desk
from app.desktop.widgets import Elided, row
from app.i18n import tr

if TYPE_CHECKING:
    from app.services.worth import Row, Weights


def words(desk: Desk, one: Row, weights: Weights) -> str:
    """The reasons of a row of the queue in one line."""
    from app.services import worth

    return " · ".join(worth.words(one.reason, weights, desk.label_name)) or tr("nothing stands out")


def ask(desk: Desk, assets: Sequence[int], came: Callable[[dict[int, str]], None], *, key: str = "") -> None:
    """Read why these pictures are in the queue; those that are not are left out of the answer."""
    ws, data = desk.ws, desk.dataset
    if ws is None or data is None:
        return

    def read() -> tuple[dict[int, Row], Weights]:
        from app.services import worth

        last = worth.latest(ws, data.id)
        return worth.rows(ws, data.id, assets), last.weights if last is not None else worth.Weights()

    def done(got: tuple[dict[int, Row], Weights]) -> None:
        if ws is desk.ws:
            came({asset: words(desk, one, got[1]) for asset, one in got[0].items()})

    more: dict[str, Any] = {"key": key} if key else {}
    desk.tasks.readers.submit(read, done, desk.fault, **more)


class Reason(QWidget):
    """The line beside the picture: while one follows the queue, or jumped there, and the open picture waits in it."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        line = row(self, margins=(16, 0, 16, 2))
        self.asked: int | None = None
        """A picture that was jumped to for what it is worth: it is said of it too."""
        self.text = Elided("", "small")
        line.addWidget(self.text, 1)
        self.hide()
        desk.document.opened.connect(self.read)
        desk.queried.connect(self.read)
        desk.schema_changed.connect(self.read)
        desk.tasks.ended.connect(lambda _: self.read())

    def retranslate(self) -> None:
        """Other words for the same reasons."""
        self.read()

    def read(self) -> None:
        """Say it of the picture that is open now."""
        now = self.desk.document.asset_id
        self.hide()
        if now is None or not self._wanted(now):
            return

        def came(found: dict[int, str]) -> None:
            if now == self.desk.document.asset_id and self._wanted(now):
                said = found.get(now, "")
                self.text.setText(tr("Why now: {reasons}", reasons=said))
                self.text.setToolTip(said.replace(" · ", "\n"))
                self.text.setAccessibleName(self.text.text())
                self.setVisible(bool(said))

        ask(self.desk, [now], came, key="worth reason")

    def _wanted(self, asset_id: int) -> bool:
        return self.desk.worth or self.asked == asset_id
