"""Why a version may not leave: each reason with its count, one click from the pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from app.desktop import widgets
from app.desktop.rights.parts import line
from app.desktop.rights.parts import reason as said
from app.desktop.widgets import button, column, frame, label, number, row
from app.i18n import tr

if TYPE_CHECKING:
    from app.services.gate import Reason


class Refusals(QWidget):
    """See the module. Hidden while nothing keeps it in. show: is given a query that finds the pictures of a reason."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show
        self.reasons: Sequence[Reason] = ()
        self._box = column(self, gap=6)
        self.hide()

    def tell(self, reasons: Sequence[Reason]) -> None:
        """Other reasons; none hides it."""
        self.reasons = reasons
        self.retranslate()

    def retranslate(self) -> None:
        """The reasons in the language in use."""
        widgets.clear(self._box)
        self.setVisible(bool(self.reasons))
        if not self.reasons:
            return
        self._box.addWidget(label("Policy tags keep it in", "caption", tone="red"))
        for reason in self.reasons:
            box = frame("wrong")
            across = row(box, gap=12, margins=(14, 6, 8, 6))
            n = label(kind="head")
            n.setText(number(reason.n))
            across.addWidget(n)
            across.addWidget(line(said(reason.what)), 1)
            text = tr("Show the pictures")
            if len(reason.pictures) < reason.n:
                text = tr("Show the first {n}", n=number(len(reason.pictures)))
            query = f"picture:{','.join(map(str, reason.pictures))}"
            made = button("", lambda query=query: self._show(query), kind="link")
            made.setText(text)
            made.setAccessibleName(f"{text}: {said(reason.what)}")
            across.addWidget(made)
            self._box.addWidget(box)
        self._box.addWidget(
            label("Leave them out, redact them, say another audience or purpose, or answer for it below.", "small", wrap=True)
        )  # fmt: skip
