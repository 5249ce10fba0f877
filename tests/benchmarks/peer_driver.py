"""Inside another tool's own Python process: starts its own main, then works it with key presses and mouse moves.

usage: PYTHON peer_driver.py PEER PLAN.json   (called by peers.py; nothing of Lamproom is imported here)

The tool's `main` runs unchanged up to its event loop; in place of the loop comes the plan. What is timed ends with the
canvas' own paint event, before the pixels travel to the screen: in the tool's favour. Answers are written to the file the
plan names after every measurement, so that a process stopped at its time limit still tells what it had measured.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

PEERS: dict[str, dict[str, Any]] = {
    "labelme": {
        "qt": "PySide6",
        "distribution": "labelme",
        "main": "labelme.__main__",
        "canvas": "labelme._widgets._canvas",
        "argv": ["labelme", "--logger-level", "error"],
    },
    "x-anylabeling": {
        "qt": "PyQt6",
        "distribution": "x-anylabeling-cvhub",
        "main": "anylabeling.app",
        "canvas": "anylabeling.views.labeling.widgets.canvas",
        "argv": ["xanylabeling", "--no-auto-update-check", "--logger-level", "error", "--work-dir", "{home}"],
    },
}  # fmt: skip
WINDOW = (1400, 860)
FOLDER_KEY, NEXT_KEY, EDIT_KEY = "Ctrl+U", "D", "Ctrl+J"
"""Both tools' own keys for: open a folder, next picture, edit mode."""


class Watch:
    """When the canvas has painted, and which picture; wraps the tool's own paint event."""

    def __init__(self, canvas_class: type) -> None:
        self.paints = 0
        self.shown: int | None = None
        self.at = 0.0
        self.waiting: Any = None
        inner = canvas_class.paintEvent  # type: ignore[attr-defined]

        def paint(canvas: Any, event: Any) -> None:
            inner(canvas, event)
            self.at = time.perf_counter()
            self.paints += 1
            pixmap = canvas.pixmap
            if pixmap is None or pixmap.isNull():
                return
            if pixmap.cacheKey() != self.shown:
                self.shown = pixmap.cacheKey()
                if self.waiting is not None:
                    self.waiting.quit()

        canvas_class.paintEvent = paint  # type: ignore[attr-defined]


class Driver:
    """The plan's measurements on the running tool."""

    def __init__(self, spec: dict[str, Any], plan: dict[str, Any]) -> None:
        self.core = importlib.import_module(f"{spec['qt']}.QtCore")
        self.gui = importlib.import_module(f"{spec['qt']}.QtGui")
        self.widgets = importlib.import_module(f"{spec['qt']}.QtWidgets")
        self.test = importlib.import_module(f"{spec['qt']}.QtTest").QTest
        self.plan, self.said = plan, {}  # type: dict[str, Any], dict[str, Any]
        self.watch: Watch

    def say(self, **values: Any) -> None:
        """Keep figures, now."""
        self.said.update(values)
        out = Path(self.plan["out"])
        part = out.with_suffix(".part")
        part.write_text(json.dumps(self.said))
        part.replace(out)

    def run(self) -> None:
        """In place of the event loop."""
        app = self.widgets.QApplication.instance()
        self.window = next(
            w for w in app.topLevelWidgets() if w.isVisible() and isinstance(w, self.widgets.QMainWindow)
        )
        self.window.showNormal()
        self.window.resize(*WINDOW)
        self.window.activateWindow()
        app.processEvents()
        self.say(start_s=time.monotonic() - self.plan["began"], platform=app.platformName())
        self.canvas = next(
            w for w in self.window.findChildren(self.widgets.QWidget) if type(w).__name__ == "Canvas"
        )
        self.test.qWait(500)
        self.open()
        if self.plan["what"] == "hover":
            self.hover()
        elif self.plan["what"] == "prelabel":
            self.prelabel()
        else:
            self.walk()
        if self.plan.get("shot"):
            self.window.grab().save(self.plan["shot"])
        self.say(finished=True)

    def press(self, keys: str) -> None:
        """Strike a key on the canvas, as a person would."""
        combined = self.gui.QKeySequence(keys)[0]
        target = self.canvas if self.canvas.isVisible() else self.window
        self.test.keyClick(target, combined.key(), combined.keyboardModifiers())

    def until_new(self, keys: str, limit_s: float) -> float:
        """Seconds from the key press until a picture that was not shown before is painted."""
        before, loop, guard = self.watch.shown, self.core.QEventLoop(), self.core.QTimer()
        guard.setSingleShot(True)
        guard.timeout.connect(loop.quit)
        self.watch.waiting = loop
        began = time.perf_counter()
        self.press(keys)
        if self.watch.shown == before:  # else it was painted inside the key press already
            guard.start(int(limit_s * 1000))
            (loop.exec if hasattr(loop, "exec") else loop.exec_)()
        self.watch.waiting = None
        guard.stop()
        if self.watch.shown == before:
            raise RuntimeError(f"no new picture within {limit_s:.0f} s of {keys}")
        return self.watch.at - began

    def open(self) -> None:
        """Open the folder by the tool's own dialog, answered at once."""
        folder = self.plan["folder"]
        self.widgets.QFileDialog.getExistingDirectory = staticmethod(lambda *_, **__: folder)
        self.say(open_s=self.until_new(FOLDER_KEY, self.plan["limit_s"]))
        self.test.qWait(1500)

    def walk(self) -> None:
        """From picture to picture, with each of the plan's pauses between two."""
        for name, pause in self.plan["pauses_ms"].items():
            steps = []
            for _ in range(self.plan["steps"]):
                steps.append(1000 * self.until_new(NEXT_KEY, 30))
                self.test.qWait(pause)
                self.say(**{name: steps})
        self.say(
            size=[self.canvas.pixmap.width(), self.canvas.pixmap.height()], title=self.window.windowTitle()
        )

    def hover(self) -> None:
        """Move the mouse over the open picture in edit mode, a step at a time, each until it is painted."""
        self.press(EDIT_KEY)
        self.test.qWait(300)
        self.say(shapes=len(self.canvas.shapes))
        app, size = self.widgets.QApplication.instance(), self.canvas.size()
        kinds, keys = self.core.Qt.MouseButton, self.core.Qt.KeyboardModifier.NoModifier
        side, steps, paints = min(size.width(), size.height()), [], 0
        for i in range(self.plan["steps"] + 2):
            at = self.core.QPointF(
                size.width() / 2 - side * 0.3 + i * 9.0, size.height() / 2 - side * 0.2 + i * 4.0
            )
            event = self.gui.QMouseEvent(
                self.core.QEvent.Type.MouseMove,
                at,
                self.canvas.mapToGlobal(at),
                kinds.NoButton,
                kinds.NoButton,
                keys,
            )
            before = self.watch.paints
            began = time.perf_counter()
            app.sendEvent(self.canvas, event)
            app.processEvents()
            if i >= 2:  # the first moves enter the canvas
                steps.append(1000 * (time.perf_counter() - began))
                paints += self.watch.paints > before
                self.say(hover_ms=steps, hover_paints=paints)

    def prelabel(self) -> None:
        """X-AnyLabeling's own run over all pictures, with the model of the plan's configuration file.

        Timed from the tenth picture done to the last, by its own thread's signals: the dialogs before and after cost it
        nothing.
        """
        names = importlib.import_module("anylabeling.views.labeling.utils.batch")
        names.BatchRangeDialog.exec = lambda _: self.widgets.QDialog.DialogCode.Accepted
        holder = next(
            w for w in self.window.findChildren(self.widgets.QWidget) if hasattr(w, "auto_labeling_widget")
        )
        manager = holder.auto_labeling_widget.model_manager
        holder.toggle_auto_labeling_widget()  # its own switch for the panel, which also allows the run
        manager.load_custom_model(self.plan["config"])
        self.until(
            lambda: (manager.loaded_model_config or {}).get("model") is not None, "the model was not loaded"
        )
        done: list[float] = []
        holder.actions.run_all_images.trigger()
        self.until(lambda: getattr(holder, "_batch_thread", None) is not None, "it did not begin")
        direct = self.core.Qt.ConnectionType.DirectConnection
        holder._batch_thread.progress_updated.connect(lambda *_: done.append(time.perf_counter()), direct)
        self.until(holder._batch_thread.isFinished, "it did not end")
        skip = 10
        self.say(
            pictures=holder.image_index if hasattr(holder, "image_index") else len(done),
            pictures_per_s=(len(done) - 1 - skip) / (done[-1] - done[skip]),
        )

    def until(self, true: Any, otherwise: str) -> None:
        """Let the tool work until something holds."""
        end = time.monotonic() + self.plan["limit_s"]
        while not true():
            if time.monotonic() > end:
                raise RuntimeError(otherwise)
            self.test.qWait(20)


def ultralytics(plan: dict[str, Any]) -> None:
    """Its own predict over a folder, labels written; timed from the tenth picture done to the last."""
    from ultralytics import YOLO, __version__

    model = YOLO(plan["model"], task="detect")
    said: dict[str, Any] = {"version": __version__}
    done: list[float] = []
    boxes = 0
    for result in model.predict(
        plan["folder"], stream=True, verbose=False, conf=plan["score"], iou=plan["iou"], imgsz=plan["side"],
        device="cpu", save_txt=True, save_conf=True, project=plan["home"], name="labels",
    ):  # fmt: skip
        done.append(time.perf_counter())
        boxes += len(result.boxes)
    skip = 10
    said |= {"pictures": len(done), "boxes": boxes, "finished": True}
    said["pictures_per_s"] = (len(done) - 1 - skip) / (done[-1] - done[skip])
    Path(plan["out"]).write_text(json.dumps(said))


def main() -> None:
    name, plan_file = sys.argv[1:]
    plan = json.loads(Path(plan_file).read_text())
    if name == "ultralytics":
        ultralytics(plan)
        return
    spec = PEERS[name]
    driver = Driver(spec, plan)
    driver.say(version=importlib.import_module("importlib.metadata").version(spec["distribution"]))
    driver.watch = Watch(importlib.import_module(spec["canvas"]).Canvas)
    driver.widgets.QApplication.exec = staticmethod(lambda *_: driver.run() or 0)
    sys.argv = [word.format(home=plan["home"]) for word in spec["argv"]]
    importlib.import_module(spec["main"]).main()


if __name__ == "__main__":
    main()
