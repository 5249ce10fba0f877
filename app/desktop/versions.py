"""The versions of a dataset: frozen, sealed, and what can be done with each."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.lineage import report
from app.desktop.lineage import sheet as lineages
from app.desktop.said import ago
from app.desktop.sheets import Sheets
from app.desktop.versioned import compare, taking
from app.desktop.widgets import Elided, Pill, button, column, frame, label, number, row
from app.i18n import tr


class Versions(QWidget):
    """See the module."""

    def __init__(self, desk: Desk, sheets: Sheets) -> None:
        super().__init__()
        self.desk, self.sheets = desk, sheets
        self._rows: list[Any] = []
        self._ticket = 0
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        inner = QWidget()
        box = column(inner, gap=16, margins=(40, 28, 40, 28))
        head = row(gap=8)
        texts = column(gap=4)
        self.title = label(kind="title")
        texts.addWidget(self.title)
        texts.addWidget(
            label(
                "A version is the dataset at one moment, sealed: it can be proved, compared and handed on.",
                "second",
            )
        )
        head.addLayout(texts, 1)
        self.freeze = button("Freeze a version…", sheets.freeze, kind="primary", icon="freeze")
        self.export = button("Export…", sheets.export, icon="export")
        self.hubs = button("Hubs…", sheets.hubs, icon="hub")
        head.addWidget(self.hubs)
        head.addWidget(self.export)
        head.addWidget(self.freeze)
        box.addLayout(head)
        self._list = column(gap=12)
        box.addLayout(self._list)
        box.addStretch()
        whole.addWidget(widgets.scroll(inner))
        desk.dataset_changed.connect(self._read)
        desk.tasks.ended.connect(lambda _: self._read())
        desk.opened.connect(self._read)

    def showEvent(self, event) -> None:
        self._read()

    def _read(self) -> None:
        self._ticket += 1
        ticket, ws, data = self._ticket, self.desk.ws, self.desk.dataset
        if ws is None or data is None or not self.isVisible():
            self._rows = []
            self.retranslate()
            return

        def work() -> list[Any]:
            from app.services import versions

            return versions.log(ws, data.name, compare=False)

        def compared() -> list[Any]:
            from app.services import versions

            return versions.log(ws, data.name)

        def done(found: list[Any]) -> None:
            if ticket != self._ticket:
                return
            fresh = found != self._rows
            self._rows = found
            if fresh:
                self.retranslate()
            if any(x.since is None and x.parent and x.counts for x in found):
                self.desk.ask(compared, done, lambda _: None)

        self.desk.ask(work, done)

    def tags(self) -> list[str]:
        """The tags of the versions listed, oldest first."""
        return [line.version.tag for line in reversed(self._rows)]

    def retranslate(self) -> None:
        """The list again."""
        data = self.desk.dataset
        self.title.setText(data.name if data else tr("No dataset yet"))
        self.freeze.setEnabled(data is not None)
        self.export.setEnabled(data is not None)
        widgets.clear(self._list)
        if not self._rows:
            quiet = frame("card")
            inside = column(quiet, gap=4, margins=(24, 20, 24, 20))
            inside.addWidget(label("No version yet", "head"))
            inside.addWidget(
                label(
                    "Freeze one when the labels are good: it takes a moment at any size, and work goes on.",
                    "second",
                )
            )
            self._list.addWidget(quiet)
        for version in self._rows:
            self._list.addWidget(self._card(version))
        widgets.repaint_icons(self)

    def _card(self, line_: Any) -> QWidget:
        version = line_.version
        made = frame("card")
        texts = column(made, gap=4, margins=(20, 14, 16, 14))
        head = row(gap=12)
        tag = label(kind="head")
        tag.setText(version.tag)
        head.addWidget(tag)
        pill = Pill()
        if version.signature:
            pill.set(tr("sealed and signed"), "green")
        else:
            pill.set(tr("manifest not written yet"), "accent")
        head.addWidget(pill)
        for hub in dict.fromkeys(sent.hub for sent in line_.sent):
            sent_to = Pill()
            sent_to.set(tr("at {hub}", hub=hub), "blue")
            head.addWidget(sent_to)
        head.addStretch()
        texts.addLayout(head)
        about = Elided("", "second")
        about.setText(
            f"r{number(version.rev)} · {version.agent} · {ago(version.at_ms)} · "
            f"{version.schema_code}@{version.schema_number}"
        )
        texts.addWidget(about)
        if line_.counts is not None:
            held = Elided("", "second")
            held.setText(" · ".join(filter(None, [
                tr("{n} pictures", n=number(line_.counts.assets)), tr("{n} objects", n=number(line_.counts.objects)),
                since_text(line_.since, line_.parent),
            ])))  # fmt: skip
            texts.addWidget(held)
        if version.root:
            root = Elided(version.root, "small")
            root.setToolTip(version.root)
            texts.addWidget(root)
        deeds = row(gap=8, margins=(0, 8, 0, 0))
        texts.addLayout(deeds)
        tag_text = version.tag
        for text, run, icon in (
            ("Compare…", lambda tag: compare.show(self.sheets.window, tag), "versions"),
            ("Check out…", lambda tag: taking.ask(self.sheets.window, tag), "folder"),
            ("Verify", self.sheets.verify, "verify"),
            ("Rebuild", lambda tag: taking.rebuild(self.sheets.window, tag), "history"),
            ("Export…", self.sheets.export, "export"),
            ("Publish…", self.sheets.publish, "hub"),
            ("Report…", lambda tag: report.ask(self.sheets.window, tag), "report"),
            ("Lineage", self._lineage, "lineage"),
        ):
            deeds.addWidget(button(text, lambda run=run: run(tag_text), icon=icon))
        deeds.addStretch()
        return made

    def _lineage(self, tag: str) -> None:
        if self.desk.dataset is not None:
            lineages.show(self.sheets.window, f"version:{self.desk.dataset.name}@{tag}")


def since_text(since: Any, parent: str) -> str:
    """What changed since the version before, in a few words; "" while it is not known."""
    if since is None:
        return ""
    before = parent.rpartition("@")[2]
    if since.same:
        return tr("the same as {tag}", tag=before)
    told = [
        f"{sign}{number(n)} {tr(word)}"
        for sign, n, word in (
            ("+", since.assets_added, "pictures"), ("−", since.assets_removed, "pictures"), ("+", since.annotations_added, "objects"),
            ("−", since.annotations_removed, "objects"), ("~", since.annotations_changed, "objects"),
        )
        if n
    ]  # fmt: skip
    return tr(
        "since {tag}: {told}",
        tag=before,
        told=", ".join(told) or f"~{number(since.assets_changed)} {tr('pictures')}",
    )
