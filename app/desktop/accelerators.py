"""Accelerators: every provider, how it stands on this computer, what it lacks, and the order in which jobs try them.

Nothing counts as working until its self-test passed here, with the runtime that is installed now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication, QPushButton, QVBoxLayout, QWidget

from app import i18n
from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.overlaid import Overlaid
from app.desktop.said import ago
from app.desktop.tasks import Pool
from app.desktop.widgets import Dot, Elided, Pill, button, column, frame, label, look, row
from app.i18n import tr

if TYPE_CHECKING:
    from app.services.accelerators import Accelerator

SIGNS = {
    "ready": ("green", "Runs here"),
    "note": ("accent", "Runs, with fewer bits"),
    "fault": ("red", "Does not run"),
    "stale": ("accent", "Tested with another runtime"),
    "never": ("second", "Never run on this hardware"),
    "absent": ("second", "Not installed"),
}
"""Tone and words of each state."""


class Accelerators(Overlaid):
    """See the module."""

    def __init__(self, parent: QWidget, desk: Desk) -> None:
        super().__init__(parent, min(940, parent.width() - 48))
        self.desk = desk
        self._pool = Pool(desk.tasks.courier, 1, "lamproom-selftest")
        self._rows: list[Accelerator] = []
        self._finding: Any = None
        self._waiting: list[str] = []
        self._open: set[str] = set()
        self._gone = False
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 24, 0, 24)
        outer.addStretch(1)
        outer.addWidget(self.card, 30, Qt.AlignmentFlag.AlignHCenter)
        outer.addStretch(1)
        inside = column(self.card, gap=12, margins=(28, 22, 28, 18))
        head = row(gap=12)
        texts = column(gap=4)
        texts.addWidget(label("Accelerators", "title"))
        texts.addWidget(
            label(
                "Where models run. Nothing counts as working until its self-test passed on this computer.",
                "second",
                wrap=True,
            )
        )
        head.addLayout(texts, 1)
        self.build = Pill()
        head.addWidget(self.build, 0, Qt.AlignmentFlag.AlignTop)
        inside.addLayout(head)
        self.banner = frame("wrong")
        self._banner = column(self.banner, gap=6, margins=(16, 12, 16, 12))
        self.banner.hide()
        inside.addWidget(self.banner)
        held = QWidget()
        self._list = column(held, gap=8, margins=(0, 0, 8, 0))
        inside.addWidget(widgets.scroll(held), 1)
        inside.addWidget(widgets.rule())
        foot = row(gap=8)
        words = column(gap=2)
        self.order = label(kind="strong")
        self.about = label(kind="small", wrap=True)
        words.addWidget(self.order)
        words.addWidget(self.about)
        foot.addLayout(words, 1)
        self.all = button("Test all", self.test_all, icon="verify")
        foot.addWidget(self.all)
        self.shut = button("Close", self.finish, kind="primary")
        foot.addWidget(self.shut)
        inside.addLayout(foot)
        self.card.setMinimumHeight(min(720, parent.height() - 48))
        desk.setting_changed.connect(self._setting)

    def present(self) -> None:
        """Show it and look what is installed."""
        self.retranslate()
        self.show()
        self.raise_()
        self.shut.setFocus(Qt.FocusReason.OtherFocusReason)
        self._read()

    def finish(self) -> None:
        """Close; a test under way ends by itself and is kept."""
        if self._gone:
            return
        self._gone = True
        self.desk.setting_changed.disconnect(self._setting)
        self._pool.close(seconds=0)
        super().finish()

    # --- what is known ---------------------------------------------------------------------------------------------

    def _read(self) -> None:
        def work() -> Any:
            from app.services import accelerators, doctor

            finding = doctor.runtime()
            return finding, accelerators.listing()

        self._pool.submit(work, self._known, self._failed, key="listing")

    def _known(self, found: Any) -> None:
        if self._gone:
            return
        self._finding, self._rows = found
        self.retranslate()

    def _failed(self, fault: BaseException) -> None:
        """The runtime itself does not load: the banner says why."""
        if self._gone:
            return
        self.desk.fault(fault)
        self._pool.submit(self._look, self._only_finding, self.desk.fault, key="finding")

    @staticmethod
    def _look() -> Any:
        from app.services import doctor

        return doctor.runtime()

    def _only_finding(self, finding: Any) -> None:
        self._known((finding, []))

    # --- testing ---------------------------------------------------------------------------------------------------

    def test_all(self) -> None:
        """Test every installed provider, one after the other."""
        for one in self._rows:
            if one.state != "absent":
                self.test(one.name)

    def test(self, name: str) -> None:
        """Test a provider in a child process; the list says what was found."""
        if name in self._waiting:
            return
        self._waiting.append(name)
        self.retranslate()

        def work() -> Any:
            from app.services import accelerators

            accelerators.test(name)
            return accelerators.listing()

        def done(found: list[Accelerator]) -> None:
            if self._gone:
                return
            self._waiting.remove(name)
            self._rows = found
            self.retranslate()

        def failed(fault: BaseException) -> None:
            self.desk.fault(fault)
            if self._gone:
                return
            self._waiting.remove(name)
            self.retranslate()

        self._pool.submit(work, done, failed, key=name, behind=True)

    # --- the order -------------------------------------------------------------------------------------------------

    def chosen(self) -> tuple[str, ...]:
        """The providers that jobs try, in order."""
        from app.services import accelerators

        return accelerators.order(str(self.desk.values.get("provider") or "cpu"))

    def use(self, name: str) -> None:
        """Put a provider at the end of the order, or take it out; the last one stays."""
        now = list(self.chosen())
        if name in now:
            now.remove(name)
        else:
            now.append(name)
        if now:
            self.desk.put_setting("provider", ",".join(now))
        self.retranslate()

    def _setting(self, key: str) -> None:
        if key == "provider":
            self.retranslate()

    # --- drawing ---------------------------------------------------------------------------------------------------

    def retranslate(self) -> None:
        """The list again, with the focus where it was."""
        focus = self.focusWidget()
        spoken = focus.accessibleName() if focus is not None else ""
        widgets.clear(self._list)
        here = next((r.build for r in self._rows if r.build), "")
        self.build.set(here or tr("looking…"), "second")
        self._show_finding()
        installed = [r for r in self._rows if r.state != "absent"]
        offered = [r for r in self._rows if r.state == "absent" and r.offered]
        others = [r for r in self._rows if r.state == "absent" and not r.offered]
        for one in installed:
            self._list.addWidget(self._installed(one))
        if offered:
            self._caption(tr("There are packages for this computer"))
            for one in offered:
                self._list.addWidget(self._absent(one))
        if others:
            self._caption(tr("Not for this computer"))
            names = label(kind="second", wrap=True)
            names.setText(" · ".join(one.row.title for one in others))
            self._list.addWidget(names)
        self._list.addStretch()
        self.all.setEnabled(bool(installed) and not self._waiting)
        self._show_order()
        widgets.repaint_icons(self)
        if spoken:
            buttons = list[QPushButton](self.card.findChildren(QPushButton))
            again = next((one for one in buttons if one.accessibleName() == spoken), None)
            if again is not None and again.isEnabled():
                again.setFocus(Qt.FocusReason.OtherFocusReason)

    def _caption(self, text: str) -> None:
        made = label(kind="caption")
        made.setText(text)
        made.setContentsMargins(0, 10, 0, 2)
        self._list.addWidget(made)

    def _show_finding(self) -> None:
        widgets.clear(self._banner)
        wrong = self._finding is not None and self._finding.state != "good"
        self.banner.setVisible(wrong)
        if not wrong:
            return
        said = label(kind="strong", wrap=True)
        said.setText(_sentence(self._finding.said))
        self._banner.addWidget(said)
        line = row(gap=8)
        remedy = label(kind="second", wrap=True)
        remedy.setText(i18n.tr_sentence(self._finding.remedy))
        remedy.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        line.addWidget(remedy, 1)
        text = self._finding.remedy
        line.addWidget(button("Copy", lambda: QApplication.clipboard().setText(text), icon="copy"))
        self._banner.addLayout(line)

    def _show_order(self) -> None:
        from app.services import accelerators

        names = self.chosen()
        self.order.setText(tr("Jobs run on {names}", names=" → ".join(accelerators.title(n) for n in names)))
        self.about.setText(
            tr("The first that passes its self-test is used; each that is passed over is said and recorded.")
            if len(names) > 1
            else tr("Nothing else is ever tried: a job stops when it fails.")
        )

    def _head(self, one: Accelerator, tone: str, words: str) -> Any:
        """Sign, names and state; what follows goes to the right."""
        line = row(gap=10)
        line.addWidget(Dot(tone))
        name = label(kind="head")
        name.setText(one.row.title)
        line.addWidget(name)
        code = label(kind="small")
        code.setText(one.name)
        line.addWidget(code)
        line.addWidget(Pill(words, tone))
        line.addStretch()
        return line

    def _installed(self, one: Accelerator) -> QWidget:
        from app.services import accelerators

        made = frame("card")
        box = column(made, gap=6, margins=(18, 12, 14, 12))
        testing = one.name in self._waiting
        tone, words = ("accent", "Being tested…") if testing else SIGNS[one.state]
        head = self._head(one, tone, tr(words))
        at = self.chosen().index(one.name) + 1 if one.name in self.chosen() else 0
        use = look(QPushButton(tr("In use · {n}", n=at) if at else tr("Use")), "choice")
        use.setCheckable(True)
        use.setChecked(bool(at))
        use.setAccessibleName(tr("Use {name}", name=one.row.title))
        use.clicked.connect(lambda _=False, name=one.name: self.use(name))
        head.addWidget(use)
        test = button("", lambda: self.test(one.name), icon="verify")
        test.setText(tr("Test it"))  # not said by its property, which would take the name away again
        test.setAccessibleName(tr("Test {name}", name=one.row.title))
        test.setEnabled(not testing)
        head.addWidget(test)
        box.addLayout(head)
        if one.trial is not None:
            said, remedy = accelerators.sentence(one.trial)
            box.addWidget(self._line(_sentence(said), "text"))
            if remedy:
                box.addWidget(self._line("→ " + i18n.tr_sentence(remedy), "second"))
            facts = [one.trial.device, one.trial.driver, one.trial.build, ago(one.trial.date * 1000)]
            box.addWidget(Elided(" · ".join(f for f in facts if f), "small"))
        else:
            box.addWidget(self._line(tr("Installed, but nothing has been run on it yet."), "second"))
        self._faults(one, box)
        return made

    def _absent(self, one: Accelerator) -> QWidget:
        made = frame("card")
        box = column(made, gap=4, margins=(18, 10, 14, 10))
        tone, words = SIGNS["absent"]
        head = self._head(one, tone, tr(words))
        box.addLayout(head)
        ways = []
        for package in one.row.packages:
            way = tr("plug-in, sits beside the runtime") if package.module else tr("replaces the runtime")
            ways.append(f"{package.distribution} ({way})")
        box.addWidget(self._line(" · ".join(ways), "second"))
        self._faults(one, box)
        return made

    def _faults(self, one: Accelerator, box: QVBoxLayout) -> None:
        """What users reported of it, behind a link."""
        if not one.row.known:
            return
        shown = one.name in self._open
        link = look(QPushButton(tr("Known faults: {n}", n=len(one.row.known))), "link")
        link.setAccessibleName(tr("Known faults of {name}", name=one.row.title))
        link.setCursor(Qt.CursorShape.PointingHandCursor)
        link.clicked.connect(lambda _=False, name=one.name: self._turn(name))
        box.addWidget(link, 0, Qt.AlignmentFlag.AlignLeft)
        if not shown:
            return
        inset = frame("inset")
        inner = column(inset, gap=8, margins=(14, 10, 14, 10))
        for known in one.row.known:
            inner.addWidget(self._line(_sentence(known.said), "text"))
            inner.addWidget(self._line("→ " + i18n.tr_sentence(known.remedy), "second"))
            inner.addWidget(Elided(known.source, "small"))
        box.addWidget(inset)

    def _turn(self, name: str) -> None:
        self._open ^= {name}
        self.retranslate()

    def _line(self, text: str, kind: str) -> QWidget:
        made = label(kind=kind, wrap=True)
        made.setText(text)
        made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        return made

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and isinstance(
            focus := self.focusWidget(), QPushButton
        ):
            focus.click()
            event.accept()
            return
        super().keyPressEvent(event)


def _sentence(text: str) -> str:
    """In the language in use, with a capital where it has one."""
    said = i18n.tr_sentence(text)
    return said[:1].upper() + said[1:]
