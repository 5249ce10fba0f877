"""The frame: top bar, places, status line, palette and sheets; keys from ACTIONS. No rules live here."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, QLibraryInfo, QObject, QRect, QSize, Qt, QTranslator, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QColor,
    QFontMetrics,
    QGuiApplication,
    QKeySequence,
    QPainter,
    QShortcut,
)
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton, QSizePolicy, QStackedWidget, QWidget

from app import i18n
from app.desktop import actions, icons, theme, widgets
from app.desktop import palette as palettes
from app.desktop.accelerators import Accelerators
from app.desktop.activity import Activity, summary
from app.desktop.annotate import Annotate
from app.desktop.desk import Desk
from app.desktop.dropping import Drops
from app.desktop.evaluation.page import Evaluation
from app.desktop.faultbar import FaultBar
from app.desktop.gallery.page import Gallery
from app.desktop.helpsheet import HelpSheet, ManualSheet
from app.desktop.home import Home
from app.desktop.keysheet import KeySheet
from app.desktop.lamp import Lamp
from app.desktop.layout import Layout
from app.desktop.overlaid import Overlaid
from app.desktop.palette import Palette
from app.desktop.preferences import Preferences
from app.desktop.sheets import Sheets
from app.desktop.start import Start
from app.desktop.tour import Tour, is_demo
from app.desktop.versioned.passphrase import Asker
from app.desktop.versions import Versions
from app.desktop.widgets import (
    Dot,
    Elided,
    Meter,
    Painted,
    Tool,
    button,
    column,
    draw_key,
    frame,
    label,
    look,
    number,
    row,
    say,
)
from app.i18n import tr

PLACES = ("overview", "gallery", "annotate", "review", "versions", "evaluation")


class Search(Painted):
    """Looks like a search line, opens the palette."""

    def __init__(self) -> None:
        super().__init__(28)
        self.setMinimumWidth(120)
        self.setMaximumWidth(252)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        say(self, "Search actions, classes, pictures…")

    def sizeHint(self) -> QSize:
        return QSize(252, 28)

    def draw(self, p: QPainter) -> None:
        t = theme.current()
        p.setPen(QColor(t.second if self._hot else t.line))
        p.setBrush(QColor(t.raised))
        p.drawRoundedRect(self.rect().adjusted(0, 0, -1, -1), theme.RADIUS, theme.RADIUS)
        p.drawPixmap(10, 6, icons.pixmap("search", t.second, 16))
        p.setFont(theme.font(12))
        p.setPen(QColor(t.second))
        key = actions.key("palette")
        wide = QFontMetrics(theme.font(10, bold=True)).horizontalAdvance(key) + 10
        room = QRect(34, 0, self.width() - wide - 50, 28)
        text = QFontMetrics(p.font()).elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        p.drawText(room, Qt.AlignmentFlag.AlignVCenter, text)
        draw_key(p, QRect(self.width() - wide - 6, 5, wide, 18), key)


class Window(QWidget):
    """The one window of the desk."""

    palette_opened = Signal()

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk: Desk = desk
        self.setObjectName("desk")
        self.setWindowTitle("灯房 Lamproom")
        self.setMinimumSize(1080, 640)
        self.resize(1440, 900)
        self.palette_sheet: Palette | None = None
        self.sheets: Sheets
        self.annotate: Annotate
        self.gallery: Gallery
        self.evaluation: Evaluation
        self._qt_texts: QTranslator | None = None
        self._shortcuts: list[QShortcut] = []
        whole = column(self, gap=0)
        self.top = self._top()
        whole.addWidget(self.top)
        self.body = QWidget()
        inside = column(self.body, gap=0)
        self.stack = QStackedWidget()
        inside.addWidget(self.stack)
        whole.addWidget(self.body, 1)
        self.bottom = self._status()
        whole.addWidget(self.bottom)

        self.sheets = Sheets(self, desk)
        self.asker = Asker(self)
        self.start = Start()
        self.home = Home(
            desk, {"annotate": lambda: self.go("annotate"), "pictures": self.sheets.add_pictures}
        )
        self.gallery = Gallery(desk)
        self.annotate = Annotate(desk)
        self.versions = Versions(desk, self.sheets)
        self.evaluation = Evaluation(desk)
        self.places: dict[str, QWidget] = {
            "overview": self.home,
            "gallery": self.gallery,
            "annotate": self.annotate,
            "versions": self.versions,
            "evaluation": self.evaluation,
        }
        for page in (self.start, *self.places.values()):
            self.stack.addWidget(page)
        self.activity = Activity(self.body, desk)
        self.body.installEventFilter(self)
        self.drops: Drops = Drops(self, self.sheets.dropped, lambda: desk.ws is not None)
        self.layout_: Layout = Layout(self)
        self.tour: Tour | None = None
        self._over: Overlaid | None = None

        self._bind()
        self._connect()
        self._opened()
        theme.scale(int(desk.values["text_percent"]))
        self.apply_theme()
        self.apply_language()
        self.layout_.restore()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _top(self) -> QWidget:
        bar = frame("top")
        bar.setFixedHeight(theme.BAR_PX)
        line = row(bar, gap=8, margins=(12, 0, 12, 0))
        line.addWidget(Lamp(24))
        name = label("Lamproom", "head")
        line.addWidget(name)
        self.title = Elided("", "second")
        self.title.setMinimumWidth(100)
        self.title.setMaximumWidth(220)
        self.title.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        line.addSpacing(4)
        line.addWidget(self.title)
        line.addSpacing(24)
        self._places: dict[str, QPushButton] = {}
        for place in PLACES:
            action = actions.BY_ID[f"place.{place}"]
            made = button(action.text, lambda place=place: self.go(place), kind="place")
            made.setCheckable(True)
            made.setToolTip(actions.key(action.id))
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self._places[place] = made
            line.addWidget(made)
            line.addSpacing(16)
        line.addStretch(1)
        self.search: Search = Search()
        self.search.clicked.connect(self.show_palette)
        line.addWidget(self.search)
        line.addSpacing(8)
        self.language = button(
            "中 / EN", self.switch_language, kind="flat", tip="Switch the language (Ctrl L)"
        )
        self.language.setObjectName("language")
        self.look_button = button(
            "", self.switch_theme, kind="flat", icon="theme", tip="Dark or light (Ctrl Shift L)"
        )
        self.look_button.setFixedWidth(36)
        line.addWidget(self.language)
        line.addWidget(self.look_button)
        self.person = label(kind="second")
        line.addSpacing(4)
        line.addWidget(self.person)
        return bar

    def _status(self) -> QWidget:
        bar = frame("bottom")
        bar.setFixedHeight(theme.STATUS_PX)
        line = row(bar, gap=8, margins=(12, 0, 12, 0))
        self.dot = Dot("green")
        line.addWidget(self.dot)
        self.saved = label(kind="second")
        self.saved.setObjectName("saved")
        line.addWidget(self.saved)
        line.addSpacing(24)
        self.place_text = label(kind="second")
        self.place_text.setMinimumWidth(300)
        line.addWidget(self.place_text)
        line.addSpacing(24)
        self.provider = label(kind="second")
        line.addWidget(self.provider)
        line.addSpacing(16)
        self.model = label(kind="second")
        line.addWidget(self.model)
        line.addStretch(1)
        self.task_meter = Meter("accent")
        self.task_meter.setFixedWidth(140)
        line.addWidget(self.task_meter)
        self.task_text = look(QPushButton(), "link")
        self.task_text.clicked.connect(lambda: self.toggle_activity())
        line.addWidget(self.task_text)
        self.task_cancel = button("Cancel", self._cancel_task, kind="link")
        line.addWidget(self.task_cancel)
        self.trouble = look(QPushButton(), "link")
        self.trouble.clicked.connect(lambda: self.toggle_activity())
        line.addWidget(self.trouble)
        return bar

    def _connect(self) -> None:
        desk, doc = self.desk, self.desk.document
        desk.opened.connect(self._opened)
        desk.counted.connect(self._status_text)
        desk.dataset_changed.connect(self._title)
        desk.language_changed.connect(self.apply_language)
        desk.theme_changed.connect(self.apply_theme)
        desk.keys_changed.connect(self._keys_changed)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_scheme)
        desk.setting_changed.connect(self._setting)
        desk.counted.connect(self._first_steps)
        desk.problems_changed.connect(self._troubles)
        desk.report_asked.connect(self.sheets.report)
        desk.tasks.started.connect(self._task_began)
        desk.tasks.ended.connect(lambda _: self._task_text())
        doc.saving.connect(self._status_text)
        doc.opened.connect(self._place_text)
        self.annotate.canvas.zoomed.connect(lambda _: self._place_text())
        self.annotate.pointed.connect(self._pointed)
        self.annotate.sheet_made.connect(self.sheets.hold)
        self.annotate.picture_changed.connect(self._place_text)
        self.annotate.smart.said.connect(self.model.setText)
        self.home.picked.connect(self.show_dataset)
        self.gallery.opened.connect(self.show_asset)
        self.evaluation.pictures.connect(self.show_query)
        self.evaluation.asked.connect(lambda: self.trigger(actions.BY_ID["evaluate"]))
        self.activity.picture.connect(self.show_asset)
        self.start.open_asked.connect(lambda place: self.open_workspace(place))
        self.start.create_asked.connect(lambda place, schema: self.open_workspace(place, create=schema))

    def _bind(self) -> None:
        for old in self._shortcuts:
            old.setEnabled(False)
            old.deleteLater()
        self._shortcuts = []
        for action in actions.ACTIONS:
            home = self if action.place == "any" else self.places[action.place]
            reach = (
                Qt.ShortcutContext.WindowShortcut
                if action.place == "any"
                else Qt.ShortcutContext.WidgetWithChildrenShortcut
            )
            for keys in actions.keys_of(action.id):
                made = QShortcut(QKeySequence(keys), home)
                made.setContext(reach)
                made.setAutoRepeat(action.repeat)
                made.activated.connect(lambda action=action: self.trigger(action))
                self._shortcuts.append(made)

    def trigger(self, action: actions.Action) -> None:
        """Run an action unless a sheet asks something, or it needs a workspace and there is none."""
        if action.id == "palette" and self.palette_sheet is not None:
            self.palette_sheet.finish()
        elif not self.covered and self.can(action):
            action.run(self)

    @property
    def covered(self) -> bool:
        """A sheet, the palette or a chooser has the keys."""
        found = list[Overlaid](self.body.findChildren(Overlaid))
        return any(one.isVisible() and one.takes_keys for one in found)

    def can(self, action: actions.Action) -> bool:
        """Whether an action can be done now."""
        if self.desk.ws is None and not action.free:
            return False
        return action.when is None or action.when(self)

    # --- places --------------------------------------------------------------------------------------------------

    def go(self, place: str) -> None:
        """Show a place."""
        if self.desk.ws is None:
            return
        page = "annotate" if place == "review" else place  # the same page with the reviewer's side and bar
        self.stack.setCurrentWidget(self.places[page])
        for name, made in self._places.items():
            made.setChecked(name == place)
        if page == "annotate":
            self.annotate.set_mode("review" if place == "review" else "label")
            self.annotate.ensure_picture()
        self.refocus()
        self._place_text()

    @property
    def place(self) -> str:
        """The page shown, "" on the start screen; Review is a mode of Annotate."""
        now = self.stack.currentWidget()
        return next((name for name, page in self.places.items() if page is now), "")

    def refocus(self) -> None:
        """Give the keys to what they are for in this place."""
        targets: dict[str, QWidget] = {
            "annotate": self.annotate.canvas,
            "gallery": self.gallery.grid,
            "": self.start.place,
        }
        targets.get(self.place, self.stack).setFocus(Qt.FocusReason.OtherFocusReason)

    def show_dataset(self, dataset_id: int) -> None:
        """Look at a dataset's pictures."""
        self.desk.choose_dataset(dataset_id)
        self.go("gallery")

    def show_query(self, text: str) -> None:
        """Look at the pictures that meet a query."""
        self.go("gallery")
        self.gallery.show_objects(False)
        self.gallery.ask(text)

    def show_asset(self, asset_id: int) -> None:
        """Annotate a picture."""
        self.go("annotate")
        self.annotate.open(asset_id)

    # --- workspace -----------------------------------------------------------------------------------------------

    def open_workspace(self, location: str, *, create: str = "") -> None:
        """Open a workspace, or make one with the label schema named by `create`."""
        self.start.tell("")
        self.desk.open_workspace(
            location, create=bool(create), schema_name=create or "coal_mine", on_error=self.start.tell
        )

    def leave_workspace(self) -> None:
        """Back to the start screen."""
        self.desk.leave()

    def _opened(self) -> None:
        ws = self.desk.ws
        for made in (*self._places.values(), self.search):
            made.setVisible(ws is not None)
        self.start.show_recent(self.desk.recent)
        self._title()
        if ws is None:
            self.stack.setCurrentWidget(self.start)
            self.person.setText("")
            self.refocus()
        else:
            self.person.setText(ws.person.name)
            self.go("overview")
        self._status_text()
        self._task_text()
        self._troubles()

    def _title(self) -> None:
        ws, data = self.desk.ws, self.desk.dataset
        parts = [ws.name if ws else "", data.name if data else ""]
        self.title.setText(" · ".join(p for p in parts if p))
        self.title.setToolTip(ws.location if ws else "")

    # --- status line ---------------------------------------------------------------------------------------------

    def _status_text(self) -> None:
        doc, ws = self.desk.document, self.desk.ws
        if ws is None:
            self.dot.set_tone("second")
            self.saved.setText(tr("No workspace is open"))
        elif doc.pending:
            self.dot.set_tone("accent")
            self.saved.setText(tr("Saving…"))
        else:
            self.dot.set_tone("green")
            self.saved.setText(tr("Saved r{revision}", revision=number(doc.revision)))
        kind = "" if ws is None else tr("Server") if "://" in ws.location else tr("This computer")
        names = str(self.desk.values.get("provider") or "cpu").upper().split(",")
        runs = tr("Inference: {where}", where=" → ".join(names)) if ws else ""
        self.provider.setText(" · ".join(p for p in (kind, runs) if p))

    _at = (math.nan, math.nan)

    def _pointed(self, x: float, y: float) -> None:
        self._at = (x, y)
        self._place_text()

    def _place_text(self) -> None:
        wh = self.annotate.canvas.picture_wh
        if self.place != "annotate" or wh is None:
            self.place_text.setText("")
            return
        text = f"{wh[0]} × {wh[1]} · {round(100 * self.annotate.canvas.scale)} %"
        if not math.isnan(self._at[0]):
            text += f" · x {self._at[0]:.1f} y {self._at[1]:.1f}"
        self.place_text.setText(text)

    def _task_began(self, task) -> None:
        task.moved.connect(self._task_text)
        self._task_text()

    def _task_text(self) -> None:
        running = self.desk.tasks.running
        self.task_meter.setVisible(bool(running))
        self.task_cancel.setVisible(bool(running))
        if running:
            task = running[-1]
            self.task_meter.set_share(task.share)
            share = f" {round(100 * task.share)} %" if task.share is not None else ""
            self.task_text.setText(f"{task.caption}{share}")
            self.task_text.setToolTip(summary(task))
        elif self.desk.tasks.past and self.desk.ws is not None:
            task = self.desk.tasks.past[0]
            self.task_text.setText(f"{task.caption} · {_short(summary(task))}")
            self.task_text.setToolTip(summary(task))
        else:
            self.task_text.setText(tr("Tasks") if self.desk.ws is not None else "")

    def _cancel_task(self) -> None:
        if self.desk.tasks.running:
            self.desk.tasks.running[-1].cancel()

    def _troubles(self) -> None:
        n = len(self.desk.problems)
        self.trouble.setVisible(n > 0)
        self.trouble.setText(tr("Problems {n}", n=number(n)))
        self.trouble.setStyleSheet(f"color: {theme.current().red}")

    def toggle_activity(self) -> None:
        """Show or hide tasks and problems."""
        self.activity.place()
        self.activity.setVisible(not self.activity.isVisible())
        self.activity.raise_()

    # --- palette -------------------------------------------------------------------------------------------------

    def show_palette(self) -> None:
        """Everything by name."""
        made = Palette(
            self.body,
            palettes.entries(self),
            lambda text, told: palettes.pictures(self, text, told),
            self.desk.memory.get("recent", []),
            lambda used: palettes.remember(self, used),
        )
        self.palette_sheet = made

        def gone() -> None:
            self.palette_sheet = None
            self.refocus()

        made.closed.connect(gone)
        made.present()
        self.palette_opened.emit()

    def run(self, action: actions.Action) -> None:
        """Do an action from anywhere: its place is shown first."""
        if action.place != "any" and self.place != action.place:
            self.go(action.place)
        action.run(self)

    def go_to_picture(self) -> None:
        """Ask for a picture's number or name: in the gallery to go there, else to annotate it."""
        if self.place == "gallery":
            self.gallery.go_to()
            return
        self.go("annotate")
        self.annotate.jumps.go_to()

    # --- sheets --------------------------------------------------------------------------------------------------

    def _present(self, made: Overlaid) -> None:
        if self._over is not None:
            self._over.finish()
        self._over = made

        def gone() -> None:
            if self._over is made:
                self._over = None
            self.refocus()

        made.closed.connect(gone)
        made.present()

    def show_settings(self) -> None:
        """What a person may choose."""
        self._present(Preferences(self.body, self))

    def show_accelerators(self) -> None:
        """Where models run, and whether it works here."""
        self._present(Accelerators(self.body, self.desk))

    def show_keys(self) -> None:
        """Every key, to change it."""
        self._present(KeySheet(self.body, self.desk))

    def show_over(self, made: Overlaid) -> None:
        """Show a sheet that was made elsewhere, instead of the one that is open."""
        self._present(made)

    def show_help(self) -> None:
        """The keys of this place."""
        self._present(HelpSheet(self.body, self))

    def show_manual(self) -> None:
        """The manual, at its contents."""
        self._present(ManualSheet(self.body))

    def show_tour(self) -> None:
        """The first steps, by hand."""
        if self.tour is None and self.desk.ws is not None:
            self.tour = Tour(self)
            self.tour.closed.connect(self._toured)
            self.tour.begin()

    def _toured(self) -> None:
        self.tour = None
        self.desk.memory.put("toured", True)
        self.refocus()

    def _first_steps(self) -> None:
        """The first workspace of drawn scenes that a person opens shows them around; nobody is asked twice."""
        ws = self.desk.ws
        if ws is not None and self.first_time and is_demo(ws) and self.desk.datasets:
            self.first_time = False
            if not self.desk.memory.get("toured", False):
                self.show_tour()

    first_time = False
    """Set by `main.run`: a window under test or script shows nobody around."""

    def tell_fault(self, line: str, report: str) -> None:
        """The program was at fault: one line, and a report to take away."""
        self.desk.trouble(tr("a fault of the program: {fault}; your work is saved", fault=line))
        if self._bar is None:
            self._bar = FaultBar(self)
        self._bar.say(line, report)

    _bar: FaultBar | None = None

    def _keys_changed(self) -> None:
        self._bind()
        for place, made in self._places.items():
            made.setToolTip(actions.key(f"place.{place}"))
        for tool in list[Tool](self.findChildren(Tool)):
            if tool.action_id:
                tool.key = actions.key(tool.action_id)
                tool.updateGeometry()
        widgets.retranslate(self)

    def _system_scheme(self) -> None:
        if self.desk.values.get("theme") == "system":
            self.desk.set_theme("system")

    def _setting(self, key: str) -> None:
        if key == "provider":
            self._status_text()
        if key == "text_percent":
            theme.scale(int(self.desk.values[key]))
            self.apply_theme()
            widgets.retranslate(self)

    # --- language and theme --------------------------------------------------------------------------------------

    def switch_language(self) -> None:
        """zh_CN or en, at once."""
        self.desk.set_language("en" if i18n.language() == "zh_CN" else "zh_CN")

    def switch_theme(self) -> None:
        """Dark or light, at once."""
        self.desk.set_theme("light" if theme.current().name == "dark" else "dark")

    def apply_theme(self) -> None:
        """Draw everything from the tokens of the theme."""
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        app.setPalette(theme.palette(theme.current()))
        app.setStyleSheet(theme.sheet(theme.current()))
        widgets.repaint_icons(self)
        self._troubles()
        widget: QWidget
        for widget in self.findChildren(QWidget):
            QWidget.update(widget)

    def apply_language(self) -> None:
        """Look every text up again, Qt's own too."""
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        if self._qt_texts is not None:
            app.removeTranslator(self._qt_texts)
            self._qt_texts = None
        if i18n.language() == "zh_CN":
            texts = QTranslator(self)
            if texts.load("qtbase_zh_CN", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)):
                app.installTranslator(texts)
                self._qt_texts = texts
        self.sheets.close()
        self.setWindowTitle(tr("Lamproom"))
        widgets.retranslate(self)
        self._title()
        self._status_text()
        self._place_text()
        self._task_text()
        self._troubles()

    # --- Qt ------------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.body and event.type() == QEvent.Type.Resize:
            self.activity.place()
        return False

    def sizeHint(self) -> QSize:
        return QSize(1440, 900)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Hide at once, then end the work: every gesture is committed before the process ends."""
        child: Overlaid
        for child in self.body.findChildren(Overlaid):
            child.finish()
        focus = self.focusWidget()
        if isinstance(focus, QLineEdit):
            focus.clearFocus()  # an attribute being typed is a gesture too
        self.annotate.canvas.tool.cancel()
        self.annotate.eye.finish()
        self.layout_.keep()
        self.hide()
        self.annotate.canvas.worker.close()
        if self._qt_texts is not None:
            QApplication.removeTranslator(self._qt_texts)
            self._qt_texts = None
        self.annotate.smart.close()
        self.asker.close()
        self.desk.close()
        event.accept()


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
