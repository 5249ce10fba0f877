"""Work off the interface thread: readers, the one ordered writer, and long tasks with progress and cancel.

Callbacks are given when work starts and always run on the interface thread; nothing is connected afterwards, because a
signal connected after a thread has begun can miss its end. LamproomError is the person's fault and goes to `error` or
the problem list; anything else is a bug and is re-raised on the interface thread, where the excepthook reports it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal

from annotation.errors import LamproomError
from app.events import Changes, Finished, Progress, Started, Warned, Work

log = logging.getLogger(__name__)
Done = Callable[[Any], None]
Failed = Callable[[BaseException], None]


class Courier(QObject):
    """Carries a call from any thread to the thread this object lives in, in order."""

    _sent = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._open = True
        self._sent.connect(self._run, Qt.ConnectionType.QueuedConnection)

    def send(self, call: Callable[[], None]) -> None:
        """Run `call` on the interface thread, soon."""
        if self._open:
            try:
                self._sent.emit(call)
            except RuntimeError:  # the C++ half is gone: the program is ending
                self._open = False

    def close(self) -> None:
        """Deliver nothing any more."""
        self._open = False

    def _run(self, call: Callable[[], None]) -> None:
        if self._open:
            call()


class Pool:
    """A few threads that take the newest request first, or the oldest when `ordered`.

    A request with a `key` replaces a waiting one of the same key; `wanted` is asked just before the work begins, so
    that what has left the screen costs nothing.
    """

    def __init__(self, courier: Courier, threads: int, name: str, *, ordered: bool = False) -> None:
        self._courier, self._ordered = courier, ordered
        self._waiting: deque[tuple[object, Callable[[], Any], Done, Failed, Callable[[], bool] | None]] = (
            deque()
        )
        self._lock = threading.Condition()
        self._closing = False
        self._busy = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        work: Callable[[], Any],
        done: Done,
        error: Failed,
        *,
        key: object = None,
        wanted: Callable[[], bool] | None = None,
        behind: bool = False,
    ) -> None:
        """Do `work` on a thread, then `done(result)` or `error(exception)` on the interface thread.

        behind: everything else that waits goes first: for long work done in many steps.
        """
        with self._lock:
            if self._closing:
                return
            if key is not None:
                for entry in self._waiting:
                    if entry[0] == key:
                        self._waiting.remove(entry)
                        break
            entry = (key, work, done, error, wanted)
            if behind and not self._ordered:
                self._waiting.appendleft(entry)
            else:
                self._waiting.append(entry)
            self._lock.notify_all()  # not notify(): it might wake one who waits for the end instead of a worker

    def drop(self, keep: Callable[[object], bool]) -> None:
        """Throw away waiting requests whose key `keep` refuses."""
        with self._lock:
            self._waiting = deque(entry for entry in self._waiting if keep(entry[0]))

    def wait(self, seconds: float = 10.0) -> bool:
        """Wait until nothing waits and nothing runs; False when that takes longer."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._waiting and not self._busy, seconds)

    @property
    def idle(self) -> bool:
        """True when nothing waits and nothing runs."""
        with self._lock:
            return not self._waiting and not self._busy

    def close(self, *, finish: bool = False, seconds: float = 5.0) -> bool:
        """Stop the threads; `finish` first does what waits. False when a thread did not end in time."""
        with self._lock:
            self._closing = True
            if not finish:
                self._waiting.clear()
            self._lock.notify_all()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._waiting and not self._closing:
                    self._lock.wait()
                if not self._waiting:
                    return
                entry = self._waiting.popleft() if self._ordered else self._waiting.pop()
                self._busy += 1
            _key, work, done, error, wanted = entry
            try:
                if wanted is None or wanted():
                    result = work()
                    self._courier.send(lambda result=result, done=done: done(result))  # type: ignore[misc]
            except BaseException as fault:  # carried to the interface thread, never lost here
                self._courier.send(lambda fault=fault, error=error: error(fault))  # type: ignore[misc]
            finally:
                with self._lock:
                    self._busy -= 1
                    self._lock.notify_all()
                result = None
                del entry, work, done, error, wanted


class Task(QObject):
    """One long piece of work: what it says, how far it is, and cancel."""

    moved = Signal()

    def __init__(self, titled: Callable[[], str], parent: QObject) -> None:
        super().__init__(parent)
        self.titled = titled
        """Its title in the language of the moment: a task outlives a switch of it."""
        self.title, self.note = "", ""
        self.done, self.total = 0, None  # type: int, int | None
        self.left_s: float | None = None
        self.state = "running"  # running, cancelling, finished, cancelled, failed
        self.fault = ""
        self.problems = 0
        self.warned: list[Warned] = []
        self.result: dict[str, object] = {}
        self.work: dict[str, object] = {}
        """How it runs, as the work last said."""
        self.job: str | None = None
        """Number of its job, which can be gone on with."""
        self.began = time.monotonic()
        self.ended: float | None = None
        self._stop = threading.Event()
        self.worker: threading.Thread | None = None

    @property
    def caption(self) -> str:
        """What it is called, in the language in use."""
        return self.titled()

    @property
    def alive(self) -> bool:
        """True until the work has ended in whatever way."""
        return self.state in ("running", "cancelling")

    @property
    def share(self) -> float | None:
        """0..1, or None while the total is unknown."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def seconds_left(self) -> float | None:
        """As the work itself says, else by the rate so far; None while nothing can be said."""
        if self.alive and self.left_s is not None:
            return self.left_s
        share = self.share
        spent = time.monotonic() - self.began
        if not self.alive or not share or spent < 2:
            return None
        return spent * (1 - share) / share

    def cancel(self) -> None:
        """Ask the work to stop at its next event; what it has committed stays."""
        if self.state == "running":
            self.state = "cancelling"
            self._stop.set()
            self.moved.emit()


class Tasks(QObject):
    """All threads of the desk: two readers, the writer, and one thread for each running task."""

    started = Signal(object)
    ended = Signal(object)
    changed = Signal(object)
    """Changes of a finished task or of a write."""

    _KEPT_WARNINGS = 500

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.courier = Courier(self)
        self.readers = Pool(self.courier, 2, "lamproom-read")
        self.pictures = Pool(self.courier, 2, "lamproom-picture")
        self.thumbs = Pool(self.courier, 2, "lamproom-thumb")
        self.far = Pool(self.courier, 1, "lamproom-far")
        """Questions to other machines: they may take seconds, and no reader waits behind them."""
        self.writer = Pool(self.courier, 1, "lamproom-write", ordered=True)
        self.running: list[Task] = []
        self.past: list[Task] = []

    def start(
        self,
        titled: Callable[[], str],
        work: Callable[[], Work],
        on_done: Callable[[Task], None] | None = None,
    ) -> Task:
        """Run a service's generator on its own thread; its Changes are announced when it ends.

        titled: gives the task's title; asked again whenever it is shown, so that it follows the language.
        """
        task = Task(titled, self)
        self.running.append(task)
        task.worker = threading.Thread(
            target=self._drive, args=(task, work, on_done), name=f"lamproom-task-{task.caption}", daemon=True
        )
        self.started.emit(task)
        task.worker.start()
        return task

    def let_go(self, close: Callable[[], object], error: Failed) -> None:
        """Cancel tasks, then run `close` once every write is done and no reader is at work any more."""
        pools = (self.readers, self.pictures, self.thumbs, self.far)
        for task in self.running:
            task.cancel()
        for pool in pools:
            pool.drop(lambda _: False)
        waiting = [task.worker for task in self.running if task.worker is not None]

        def work() -> None:
            for thread in waiting:
                thread.join()
            for pool in pools:
                pool.wait()
            close()

        self.writer.submit(work, lambda _: None, error)

    def close(self, seconds: float = 10.0) -> bool:
        """Cancel tasks, finish every write, end all threads. False when something did not end in time."""
        for task in self.running:
            task.cancel()
        clean = self.writer.close(finish=True, seconds=seconds)
        for pool in (self.readers, self.pictures, self.thumbs, self.far):
            clean = pool.close(seconds=seconds) and clean
        end = time.monotonic() + seconds
        for task in self.running:
            if task.worker is not None:
                task.worker.join(max(0.0, end - time.monotonic()))
                clean = clean and not task.worker.is_alive()
        self.courier.close()
        return clean

    def _drive(self, task: Task, work: Callable[[], Work], on_done: Callable[[Task], None] | None) -> None:
        """The task's thread. Events are gathered and shown ten times a second at most."""
        send = self.courier.send
        waiting: list[Any] = []
        shown = 0.0
        try:
            events = work()
            for event in events:
                waiting.append(event)
                now = time.monotonic()
                if now - shown > 0.1 or isinstance(event, Started | Finished):
                    send(lambda batch=tuple(waiting): self._show(task, batch))  # type: ignore[misc]
                    waiting.clear()
                    shown = now
                if task._stop.is_set() and not isinstance(event, Finished):
                    events.close()
                    send(lambda batch=tuple(waiting): self._show(task, batch))  # type: ignore[misc]
                    send(lambda: self._end(task, "cancelled", None, on_done))
                    return
            send(lambda batch=tuple(waiting): self._show(task, batch))  # type: ignore[misc]
            send(lambda: self._end(task, "finished", None, on_done))
        except BaseException as fault:  # carried to the interface thread
            send(lambda fault=fault: self._end(task, "failed", fault, on_done))  # type: ignore[misc]

    def _show(self, task: Task, events: tuple[Any, ...]) -> None:
        for event in events:
            match event:
                case Started(title=title, total=total, job=job):
                    task.title, task.total, task.job = title, total, job
                case Progress(done=done, total=total, note=note, left_s=left_s, work=work):
                    task.work = dict(work) if work is not None else task.work
                    task.done, task.note, task.left_s = done, note, left_s
                    task.total = total if total is not None else task.total
                case Warned():
                    task.problems += 1
                    if len(task.warned) < self._KEPT_WARNINGS:
                        task.warned.append(event)
                case Finished(result=result, changes=changes, problems=problems):
                    task.result = dict(result)
                    task.work |= {k: v for k, v in result.items() if v not in ("", {}, [])}
                    task.problems = max(task.problems, problems)
                    self.changed.emit(changes)
        task.moved.emit()

    def _end(
        self, task: Task, state: str, fault: BaseException | None, on_done: Callable[[Task], None] | None
    ) -> None:
        task.state, task.ended = state, time.monotonic()
        if task.worker is not None:
            task.worker.join(1.0)
        if fault is not None:
            task.fault = (
                fault.line if isinstance(fault, LamproomError) else f"{type(fault).__name__}: {fault}"
            )
        self.running.remove(task)
        self.past.insert(0, task)
        del self.past[20:]
        if state != "finished":  # what was committed before the end must be seen too
            self.changed.emit(Changes(everything=True))
        task.moved.emit()
        self.ended.emit(task)
        if on_done is not None:
            on_done(task)
        if fault is not None and not isinstance(fault, LamproomError):
            log.error("task %s failed", task.caption, exc_info=fault)
