"""Many pictures through one model: the core shared by the desk, the command line and the cluster.

One whole chain (read, decode, letterbox, run, boxes) per thread, one-threaded inside, on one shared session. Decoded
pictures never wait in a queue, so memory is flat; only references and finished boxes do. See DECISIONS.md for figures.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

import cv2
import numpy as np

from annotation.core import AnnotationSet
from annotation.errors import InvalidInput, LamproomError
from models import postprocess, preprocess
from models.card import ModelCard
from models.session import Array, Session, open_session

Ref = TypeVar("Ref")
WINDOW = 64
"""Pictures under way or waiting for the caller: enough to hide a slow write, small enough to forget on a kill."""
STAGES = ("read", "decode", "prepare", "run", "boxes")


@dataclass(frozen=True, slots=True)
class Result:
    """One picture's predictions, or why there are none.

    Attributes:
        id: as given with the item.
        wh: the picture's size after orientation; (0, 0) with a problem.
        annotations: origin "model", scored, boxes in source pixels, labels as the model calls them.
        problem: one line, or None.
    """

    id: int
    wh: tuple[int, int]
    annotations: AnnotationSet
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """How a run went.

    Attributes:
        busy: share of all threads' time spent in each stage, and in "wait" for the caller.
        bottleneck: the stage with the largest share.
    """

    done: int
    problems: int
    seconds: float
    pictures_per_s: float
    threads: int
    busy: Mapping[str, float]
    bottleneck: str


def predict(
    items: Iterable[tuple[int, Ref]],
    read: Callable[[Ref], bytes],
    model: Path,
    card: ModelCard,
    *,
    decode: Callable[[bytes], Array],
    score: float | None = None,
    iou: float | None = None,
    provider: str = "cpu",
    threads: int | None = None,
    cancel: threading.Event | None = None,
) -> Run[Ref]:
    """Open the model and return a Run: iterate it for the results, in the order of the items.

    Args:
        items: (id, reference); pulled by the thread that iterates, a window ahead, so it may page a database.
        read: bytes of a reference; called from several threads at once.
        decode: bytes -> uint8 (h, w, 3) BGR, upright, at full scale (fewer pixels lose boxes); from several threads too.
            A LamproomError or OSError of either is that picture's problem; anything else is a bug and is raised.
        score, iou: thresholds 0..1; the card's by default.
        threads: chains side by side; by default as many as this process may use cores.
        cancel: once set, the iteration ends after the pictures in hand.

    Raises:
        InvalidInput: the file is not the card's, or a threshold is not in 0..1.
        Unavailable: the provider is missing.
    """
    score = card.score if score is None else score
    iou = card.iou if iou is None else iou
    for what, value in (("score", score), ("iou", iou)):
        if not 0 <= value <= 1:
            raise InvalidInput(f"{value} is not between 0 and 1", where=what)
    chains = max(1, threads if threads is not None else usable_cores())
    session = open_session(model, card, provider=provider, threads=1)
    return Run(items, read, decode, session, score=score, iou=iou, threads=chains, cancel=cancel)


def usable_cores() -> int:
    """Cores this process may run on: inside a container or a Slurm task fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Run(Generic[Ref]):
    """Predictions under way. Iterate once; `close()`, leaving a `with` block or the end stops every thread."""

    def __init__(
        self,
        items: Iterable[tuple[int, Ref]],
        read: Callable[[Ref], bytes],
        decode: Callable[[bytes], Array],
        session: Session,
        *,
        score: float,
        iou: float,
        threads: int,
        cancel: threading.Event | None,
    ) -> None:
        self.session = session
        self.score, self.iou = score, iou
        self._items, self._read, self._decode = iter(items), read, decode
        self._cancel = cancel or threading.Event()
        self._stop = threading.Event()
        self._todo: queue.SimpleQueue[tuple[int, int, Ref] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[int, Result | BaseException]] = queue.SimpleQueue()
        self._spent = [dict.fromkeys(STAGES, 0.0) for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._work, args=(spent,), name=f"predict-{i}", daemon=True)
            for i, spent in enumerate(self._spent)
        ]
        self._count = self._problems = 0
        self._started = self._ended = 0.0
        self._results = self._iterate()

    def __iter__(self) -> Iterator[Result]:
        return self._results

    def __next__(self) -> Result:
        return next(self._results)

    def __enter__(self) -> Run[Ref]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def provenance(self) -> dict[str, object]:
        """What a prediction's activity keeps besides the model's digest; thresholds in millionths."""
        return {
            "runtime": self.session.runtime,
            "provider": self.session.provider,
            "options": dict(self.session.options),
            "score_micro": round(self.score * 1_000_000),
            "iou_micro": round(self.iou * 1_000_000),
            "decode_scale": 1,
        }

    def close(self) -> None:
        """Stop: pictures in hand are finished and dropped, the threads end. May be called again."""
        self._results.close()
        self._shut()

    def report(self) -> Report:
        """Counts, rate and where the threads' time went, up to now."""
        until = self._ended or time.perf_counter()
        seconds = max(until - self._started, 1e-9) if self._started else 0.0
        total = max(seconds * len(self._spent), 1e-9)
        busy = {stage: sum(spent[stage] for spent in self._spent) / total for stage in STAGES}
        busy["wait"] = max(0.0, 1 - sum(busy.values())) if seconds else 0.0
        return Report(
            self._count,
            self._problems,
            seconds,
            self._count / seconds if seconds else 0.0,
            len(self._spent),
            busy,
            max(busy, key=lambda stage: busy[stage]),
        )

    def _iterate(self) -> Generator[Result, None, None]:
        """Keep the window full, hand the results out in order. Everything but the chains runs in the caller's thread."""
        self._started = time.perf_counter()
        for thread in self._threads:
            thread.start()
        early: dict[int, Result | BaseException] = {}
        sent = given = 0
        exhausted = False
        try:
            while not self._cancel.is_set():
                while not exhausted and sent - given < WINDOW:
                    item = next(self._items, None)
                    if item is None:
                        exhausted = True
                    else:
                        self._todo.put((sent, *item))
                        sent += 1
                if given == sent:
                    return
                while given not in early:
                    place, outcome = self._done.get()
                    early[place] = outcome
                result = early.pop(given)
                if isinstance(result, BaseException):
                    raise result
                given += 1
                self._count += 1
                self._problems += result.problem is not None
                yield result
        finally:
            self._shut()

    def _shut(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                self._todo.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if self._started and not self._ended:
            self._ended = time.perf_counter()

    def _work(self, spent: dict[str, float]) -> None:
        card = self.session.card
        w, h = card.input_wh
        canvas = np.empty((h, w, 3), np.uint8)
        batch = np.empty((1, 3, h, w), card.input_dtype)
        while (item := self._todo.get()) is not None and not self._stop.is_set():
            place, key, ref = item
            try:
                outcome: Result | BaseException = self._one(key, ref, canvas, batch, spent)
            except BaseException as error:  # a bug: carried to the caller's thread and raised there
                outcome = error
            self._done.put((place, outcome))

    def _one(self, key: int, ref: Ref, canvas: Array, batch: Array, spent: dict[str, float]) -> Result:
        clock = time.perf_counter
        card = self.session.card
        t0 = clock()
        try:
            data = self._read(ref)
            t1 = clock()
            spent["read"] += t1 - t0
            picture = self._decode(data)
        except LamproomError as error:
            return Result(key, (0, 0), (), error.line)
        except OSError as error:
            return Result(key, (0, 0), (), f"cannot read the file: {error.strerror or error}")
        except (MemoryError, cv2.error):
            return Result(key, (0, 0), (), "too large to decode")
        t2 = clock()
        placement = preprocess.letterbox(picture, card, canvas)
        preprocess.fill(batch, canvas, card)
        t3 = clock()
        output = self.session.run(batch)
        t4 = clock()
        found = postprocess.to_annotations(output, card, placement, score=self.score, iou=self.iou)
        spent["decode"] += t2 - t1
        spent["prepare"] += t3 - t2
        spent["run"] += t4 - t3
        spent["boxes"] += clock() - t4
        return Result(key, placement.wh, found)
