"""Parts of the sheets about rights: several choices at once, which pictures are meant, a tag in a line of words."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QWidget

from app.desktop.models.running import chosen_pictures
from app.desktop.widgets import label, look, number
from app.i18n import tr, tr_sentence
from app.services.browse import Query

if TYPE_CHECKING:
    from app.desktop.desk import Desk
    from app.desktop.window import Window
    from app.services.gate import Tag

TONES = {"public": "green", "partners": "blue", "internal": "accent", "closed": "red"}
"""Colour roles of who may see a thing."""


class Many(QWidget):
    """Buttons side by side of which any number is chosen."""

    changed = Signal()

    def __init__(
        self,
        options: Sequence[tuple[str, str]],
        chosen: Sequence[str] = (),
        *,
        spoken: str = "",
        columns: int = 4,
    ) -> None:
        super().__init__()
        self._spoken, self._columns = spoken, columns
        self.made: dict[str, QPushButton] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(6)
        self.offer(options, chosen)

    def offer(self, options: Sequence[tuple[str, str]], chosen: Sequence[str] = ()) -> None:
        """Other buttons."""
        for old in self.made.values():
            self._grid.removeWidget(old)
            old.hide()
            old.deleteLater()
        self.made = {}
        for i, (code, shown) in enumerate(options):
            one = look(QPushButton(shown), "choice")
            one.setCheckable(True)
            one.setChecked(code in chosen)
            one.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            one.setAccessibleName(f"{self._spoken}: {shown}" if self._spoken else shown)
            one.clicked.connect(lambda _=False: self.changed.emit())
            self.made[code] = one
            self._grid.addWidget(one, i // self._columns, i % self._columns)
        self._grid.setColumnStretch(self._columns, 1)

    @property
    def values(self) -> tuple[str, ...]:
        """The codes that are chosen, in their order."""
        return tuple(code for code, one in self.made.items() if one.isChecked())

    def choose(self, codes: Sequence[str]) -> None:
        """Choose these without telling."""
        for code, one in self.made.items():
            one.setChecked(code in codes)


def who(visibility: str) -> str:
    """Who may see a thing; "closed" says what it means."""
    return tr("never leaves") if visibility == "closed" else tr(visibility)


def said(tag: Tag) -> str:
    """A tag in a line."""
    parts = [who(tag.visibility)]
    if tag.purposes:
        parts.append(
            tr("nothing that all tags allow")
            if tag.purposes == ("none",)
            else ", ".join(map(tr, tag.purposes))
        )
    if tag.expires_ms is not None:
        parts.append(tr("until {day}", day=day(tag.expires_ms)))
    if tag.place:
        parts.append(tr("place not published"))
    if tag.note:
        parts.append(tag.note)
    return " · ".join(parts)


_CODES = re.compile(r"\b(public|partners|internal|closed|training|evaluation|research|display)\b")


def reason(what: str) -> str:
    """Why something may not leave, with the names of audiences and purposes in the language in use too."""
    return _CODES.sub(lambda m: tr(m[1]), tr_sentence(what))


def day(ms: int) -> str:
    """The local day of a moment, as 2027-06-30."""
    return time.strftime("%Y-%m-%d", time.localtime(ms / 1000))


def moment(ms: int) -> str:
    """The local day and minute of a moment."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ms / 1000))


@dataclass(frozen=True, slots=True)
class Scope:
    """Pictures of the dataset that are meant: "chosen", "filter" or "all"; `query` finds them."""

    code: str
    shown: str
    query: Query


def scopes(window: Window) -> list[Scope]:
    """What can be meant now: what is chosen in the gallery first, then the filter in hand, then the whole dataset."""
    desk: Desk = window.desk
    data = desk.dataset
    if data is None:
        return []
    out = []
    if chosen := chosen_pictures(window):
        where = f"picture:{','.join(map(str, chosen))}"
        out.append(
            Scope(
                "chosen",
                tr("The {n} chosen pictures", n=number(len(chosen))),
                Query(data.id, where=where),
            )
        )
    bare = Query(data.id)
    if desk.query is not None and desk.query.dataset_id == data.id and desk.query != bare:
        out.append(Scope("filter", tr("The filter in hand"), desk.query))
    return [*out, Scope("all", tr("The whole dataset"), bare)]


def picture_now(window: Window) -> int | None:
    """The picture in hand: the open one, or the current one of the gallery."""
    if window.place == "gallery":
        return window.gallery.asset_now()
    return window.desk.document.asset_id


def line(text: str, kind: str = "", *, tone: str = "") -> QWidget:
    """A label whose text is data, wrapped."""
    made = label(kind=kind, tone=tone, wrap=True)
    made.setText(text)
    return made
