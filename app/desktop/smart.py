"""The bench of the smart tools: pixels of the open picture, one worker, the promptable model and pictures encoded ahead.

Nothing here is done on the interface thread. A result belongs to a ticket; leaving the picture, Escape or a newer request makes
the ticket void. Encoding of the open picture goes before everything; the next pictures are encoded only when it is done.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from annotation.errors import LamproomError
from app.desktop.canvas.tools.smart import SmartTool
from app.desktop.canvas.view import Canvas
from app.desktop.desk import Desk
from app.desktop.tasks import Pool
from app.i18n import tr, tr_fault
from app.services import browse

if TYPE_CHECKING:
    from app.services.onnx import PairRow

EMBEDDINGS_BYTES = 256_000_000
"""Memory for encoded pictures: 60 of SAM's, 15 of SAM 2's."""
AHEAD = 3
"""Pictures encoded ahead."""


class Smart(QObject):
    """See the module. Interface thread only, but for what is said to run on a worker."""

    changed = Signal()
    """What is being worked on, or how results are made."""
    refused = Signal(str)
    """Why nothing was found, a finished sentence."""
    said = Signal(str)
    """The line about the promptable model for the status line; "" when there is none in hand."""

    def __init__(self, desk: Desk, canvas: Canvas, ahead: Callable[[], list[int]], parent: QObject) -> None:
        super().__init__(parent)
        self.desk, self.canvas, self._next = desk, canvas, ahead
        self.as_mask = bool(desk.values.get("smart_mask"))
        self.contiguous = True
        self.working = ""
        self.row: PairRow | None = None
        self._pool = Pool(desk.tasks.courier, 1, "lamproom-smart")
        self._ahead = Pool(desk.tasks.courier, 1, "lamproom-ahead")
        self._ticket = 0
        self._source: tuple[Any, int, Any] | None = None  # workspace, picture, pixels; belongs to the worker
        self._era = 0  # of model and workspace: what is made for an earlier one is thrown away
        self._pair: Any = None
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._stop: Any = None
        self._ahead_now: tuple[int, Any] | None = None
        self._left = 0
        for tool in canvas.tools.values():
            if isinstance(tool, SmartTool):
                tool.bench = self
        desk.document.opened.connect(self._opened)
        desk.opened.connect(self._workspace)
        canvas.tool_changed.connect(self._tooled)

    # --- work on the pixels --------------------------------------------------------------------------------------

    def compute(self, work: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        """`work(picture)` on the worker, `done(result)` here, unless the ticket is void by then."""
        self._run(
            lambda ws, asset, _era: work(self._pixels(ws, asset)),
            done,
            tr("Looking for the outline… · Esc stops"),
        )

    def _run(self, work: Callable[[Any, int, int], Any], done: Callable[[Any], None], working: str) -> None:
        """`work(workspace, picture, era)` on the worker."""
        ws, asset, era = self.desk.ws, self.desk.document.asset_id, self._era
        if ws is None or asset is None:
            return
        self._ticket += 1
        ticket = self._ticket
        self._say(working)

        def came(result: Any) -> None:
            if ticket == self._ticket:
                self._say("")
                done(result)

        def failed(fault: BaseException) -> None:
            if ticket == self._ticket:
                self._say("")
            if type(fault).__name__ == "Stopped":  # somebody pressed Escape
                return
            if era != self._era:  # the workspace was closed under it
                return
            if isinstance(fault, LamproomError) and ticket == self._ticket:
                self.refused.emit(tr_fault(fault))
            self.desk.fault(fault)

        self._pool.submit(
            lambda: work(ws, asset, era), came, failed, key="smart", wanted=lambda: ticket == self._ticket
        )

    def stop(self) -> bool:
        """Escape: nobody waits for the result any more."""
        waited = bool(self.working)
        self._ticket += 1
        if self._stop is not None:
            self._stop.set()
        self._say("")
        return waited

    def _say(self, text: str) -> None:
        if text != self.working:
            self.working = text
            self.changed.emit()
            self.canvas.update()

    def _pixels(self, ws: Any, asset: int) -> Any:
        """The picture's source pixels, decoded on the worker and kept for the next click. Worker thread."""
        held = self._source
        if held is None or held[0] is not ws or held[1] != asset:
            self._source = None  # never two of a hundred megabytes
            held = self._source = (ws, asset, browse.picture(ws, asset))
        return held[2]

    def toggle_mask(self) -> None:
        """Make masks, or polygons."""
        self.as_mask = not self.as_mask
        self.desk.put_setting("smart_mask", self.as_mask)
        self.changed.emit()

    def toggle_contiguous(self) -> None:
        """The wand takes what is joined to the click, or every pixel of the colour."""
        self.contiguous = not self.contiguous
        tool = self.canvas.tools["wand"]
        if self.canvas.tool is tool:
            tool.again()  # type: ignore[attr-defined]
        self.changed.emit()

    def cycle(self) -> None:
        """The next mask that the model offers."""
        if self.canvas.tool.name == "prompt":
            self.canvas.tool.cycle()  # type: ignore[attr-defined]

    # --- the promptable model ------------------------------------------------------------------------------------

    def segment(self, prompts: Any, before: Any, done: Callable[[list[Any]], None]) -> None:
        """Candidates for the prompts; the picture is encoded first when it is not."""
        points, box = prompts
        known = self.desk.document.asset_id in self._kept
        if known and self._stop is not None:
            self._stop.set()  # an answer nobody waits for: the prompts have changed. An encoding goes on, it is needed
        self._run(
            lambda ws, asset, era: self._answer(ws, asset, era, points, box, before),
            lambda found: self._answered(found, done),
            self._words(encoding=not known),
        )

    def _words(self, *, encoding: bool) -> str:
        """What the model is doing, for the person who waits."""
        provider = self._provider().upper()
        if self.row is None:
            return tr("The model encodes the picture on {provider}… · Esc stops", provider=provider)
        if not encoding:
            return tr("{name} segments… · Esc stops", name=self.row.name)
        return tr(
            "{name} encodes the picture on {provider}… · Esc stops", name=self.row.name, provider=provider
        )

    def _answered(self, found: list[Any], done: Callable[[list[Any]], None]) -> None:
        done(found)
        self._status()
        self._encode_ahead()

    def _answer(self, ws: Any, asset: int, era: int, points: Any, box: Any, before: Any) -> list[Any]:
        """Worker thread."""
        from app.services import smart

        stop = self._stop = smart.stopper()
        pair = self._open(ws, era)
        embedding = self._kept.get(asset)
        if embedding is None:
            embedding = pair.encode(self._pixels(ws, asset), stop=stop)
            self._keep(asset, embedding, era)
        return smart.segment(pair, embedding, points, box, before=before, stop=stop)

    def _open(self, ws: Any, era: int) -> Any:
        """The open pair; the first one of the workspace when none was chosen. The one worker thread.

        Opened outside the lock, which the interface thread takes too: a model may take seconds.
        """
        from app.services import onnx, smart

        with self._lock:
            if self._pair is not None and era == self._era:
                return self._pair
        rows = [row for row in onnx.pairs(ws) if row.present]
        chosen = next((r for r in rows if r.name == self.desk.values.get("smart_model")), None)
        row = chosen or (rows[-1] if rows else None)
        if row is None:
            raise LamproomError(
                "this workspace has no promptable model",
                remedy="add an encoder and a decoder with “Add a model…”",
            )
        threads = max(1, (os.cpu_count() or 2) - 1)
        made = smart.open_pair(row, provider=self._provider(), threads=threads)
        with self._lock:
            if era == self._era:
                self._pair, self.row = made, row
        return made

    def _provider(self) -> str:
        """The first of the chosen providers: a person waits for an answer, so that nothing else is tried behind it."""
        return str(self.desk.values.get("provider") or "cpu").split(",")[0].strip()

    def _keep(self, asset: int, embedding: Any, era: int) -> None:
        """Remember an embedding and drop the oldest ones; not one of another model or workspace. Any thread."""
        with self._lock:
            if era != self._era:
                return
            self._kept[asset] = embedding
            now = self.desk.document.asset_id
            if now is not None and now in self._kept:
                self._kept.move_to_end(now)  # the open picture is the last to go
            total = sum(one.size_bytes for one in self._kept.values())
            while total > EMBEDDINGS_BYTES and len(self._kept) > 1:
                _, old = self._kept.popitem(last=False)
                total -= old.size_bytes

    @property
    def encoded(self) -> list[int]:
        """Pictures that are encoded, oldest first."""
        with self._lock:
            return list(self._kept)

    def use(self, name: str) -> None:
        """Take another promptable model in hand."""
        self.desk.put_setting("smart_model", name)
        self._forget()

    def _forget(self) -> None:
        self.stop()
        self._leave_ahead(())
        with self._lock:
            self._era += 1
            self._kept.clear()
            self._pair, self.row = None, None
        self._status()

    # --- the next pictures ---------------------------------------------------------------------------------------

    def _encode_ahead(self) -> None:
        """Encode the next pictures while the prompt tool is in hand and nothing else is to be encoded."""
        ws, pair = self.desk.ws, self._pair
        if ws is None or pair is None or self.canvas.tool.name != "prompt":
            self._left = 0
            return
        # As many as fit beside the open picture: more would push each other out for ever.
        size = max((one.size_bytes for one in self._kept.values()), default=1)
        room = min(AHEAD, max(0, EMBEDDINGS_BYTES // size - 1))
        wanted = [asset for asset in self._next()[:room] if asset not in self._kept]
        self._left = len(wanted)
        self._status()
        if not wanted or self._ahead_now is not None:
            return
        from app.services import smart

        asset, stop, era = wanted[0], smart.stopper(), self._era
        self._ahead_now = (asset, stop)

        def work() -> None:
            _gently()
            self._keep(asset, pair.encode(browse.picture(ws, asset), stop=stop), era)

        def done(_: Any) -> None:
            self._ahead_now = None
            self._encode_ahead()

        def failed(fault: BaseException) -> None:
            self._ahead_now = None
            if type(fault).__name__ == "Stopped" or era != self._era:
                self._encode_ahead()
            elif not isinstance(fault, LamproomError):
                raise fault  # a picture that cannot be read says so when it is opened
            else:
                self._left = 0
                self._status()

        self._ahead.submit(work, done, failed, wanted=lambda: not stop.is_set)

    def _leave_ahead(self, keep: tuple[int, ...] | list[int]) -> None:
        """Stop the encoding of a picture that is not among these."""
        if self._ahead_now is not None and self._ahead_now[0] not in keep:
            self._ahead_now[1].set()

    def _status(self) -> None:
        """What the status line says of the model."""
        if self.row is None or self.canvas.tool.name != "prompt":
            self.said.emit("")
            return
        text = f"{self.row.name} · {self._provider().upper()}"
        if self._left:
            text = tr("{model} · encoding {n} ahead", model=text, n=self._left)
        elif self.desk.document.asset_id in self._kept:
            text = tr("{model} · picture encoded", model=text)
        self.said.emit(text)

    # --- where we are --------------------------------------------------------------------------------------------

    def _opened(self) -> None:
        self.stop()
        now = self.desk.document.asset_id
        self._leave_ahead([now] if now is not None else [])
        if self.canvas.tool.name == "prompt" and self._pair is not None and now is not None:
            self._warm(now)
        self._status()

    def _tooled(self, name: str) -> None:
        self.stop()
        now = self.desk.document.asset_id
        if name == "prompt" and now is not None:
            self._warm(now)
        elif name != "prompt":
            self._leave_ahead(())
        self._status()

    def _warm(self, now: int) -> None:
        """Encode the open picture before the first click."""
        if now in self._kept:
            self._encode_ahead()
            return

        def work(ws: Any, asset: int, era: int) -> None:
            from app.services import onnx, smart

            if self._pair is None and not any(row.present for row in onnx.pairs(ws)):
                return  # the first click says that there is none
            stop = self._stop = smart.stopper()
            pair = self._open(ws, era)
            if asset not in self._kept:
                self._keep(asset, pair.encode(self._pixels(ws, asset), stop=stop), era)

        def done(_: Any) -> None:
            self._status()
            self._encode_ahead()

        self._run(work, done, self._words(encoding=True))

    def _workspace(self) -> None:
        self._source = None
        self._forget()

    def close(self) -> None:
        """End the threads."""
        self.stop()
        self._leave_ahead(())
        self._pool.close()
        self._ahead.close()


def _gently() -> None:
    """Work of this thread gives way to everything else, where the system lets one thread have a priority of its own."""
    if sys.platform == "linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        except OSError:
            return
