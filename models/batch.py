"""Many pictures through one model: the core shared by the desk, the command line and the cluster.

One whole chain (read, decode, letterbox or tile, run, boxes) per thread. With batches a chain fills one batch while others
run theirs, so a device is fed without queues between the stages. Decoded pictures never wait, so memory is flat; only
references and finished boxes do. See DECISIONS.md for figures.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

import cv2
import numpy as np

from annotation.core import AnnotationSet
from annotation.errors import InvalidInput, LamproomError
from models import postprocess, preprocess, tiling
from models import recipe as recipes
from models.card import ModelCard
from models.found import Found
from models.heads import HEADS
from models.preprocess import Placement
from models.reader import Reader, open_reader
from models.recipe import Recipe
from models.session import Array, Session, open_session

Ref = TypeVar("Ref")
WINDOW = 64
"""Pictures under way or waiting for the caller: enough to hide a slow write, small enough to forget on a kill."""
STAGES = ("read", "decode", "prepare", "run", "boxes")
Decode = Callable[[bytes], Array]
Shrink = Callable[[bytes, int], "tuple[Array, tuple[int, int]] | None"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the machine is used; never changes what is found on a CPU.

    Attributes:
        chains: threads side by side, each with whole pictures.
        threads: inside one run.
        sessions: opened, shared by the chains in turn.
        batch: pictures or tiles of one run.
    """

    chains: int
    threads: int = 1
    sessions: int = 1
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """One picture's predictions, or why there are none.

    Attributes:
        id: as given with the item.
        wh: the picture's size after orientation; (0, 0) with a problem.
        annotations: origin "model", scored, in source pixels, labels as the recipe maps them, else as the model calls them.
        problem: one line, or None.
        vector: float32 (d,) of a model that embeds.
    """

    id: int
    wh: tuple[int, int]
    annotations: AnnotationSet
    problem: str | None = None
    vector: Array | None = None

    @property
    def half(self) -> bytes:
        """The vector as it is kept: float16, little-endian, its cosines changed by less than 0.001; b"" when there is none."""
        return b"" if self.vector is None else np.asarray(self.vector, "<f2").tobytes()


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


@dataclass(slots=True)
class _Picture:
    """A picture in hand: its windows and what each gave."""

    key: int
    ref: object
    pixels: Array | None
    wh: tuple[int, int]
    windows: list[tiling.Window]
    parts: list[Found] = field(default_factory=list)
    problem: str | None = None


def predict(
    items: Iterable[tuple[int, Ref]],
    read: Callable[[Ref], bytes],
    model: Path,
    card: ModelCard,
    *,
    decode: Decode,
    recipe: Recipe = recipes.PLAIN,
    provider: str = "cpu",
    plan: Plan | None = None,
    shrink: Shrink | None = None,
    path_of: Callable[[Ref], str] | None = None,
    cancel: threading.Event | None = None,
) -> Run[Ref]:
    """Open the model and return a Run: iterate it for the results, in the order of the items.

    Args:
        items: (id, reference); pulled by the thread that iterates, a window ahead, so it may page a database.
        read: bytes of a reference; called from several threads at once.
        decode: bytes -> uint8 (h, w, 3) BGR, upright, at full scale (fewer pixels lose boxes); from several threads too.
            A LamproomError or OSError of either is that picture's problem; anything else is a bug and is raised.
        plan: how the machine is used; by default one chain on each core that this process may use.
        shrink: (bytes, least longer side in px) -> a smaller picture and the whole's (w, h), or None where it cannot; used
            when the recipe allows reduced decoding.
        path_of: path of a reference, for the recipe's regions.
        cancel: once set, the iteration ends after the pictures in hand.

    Raises:
        InvalidInput: the file is not the card's, or the recipe does not fit the model.
        Unavailable: the provider is missing.
    """
    recipes.checked(recipe, labels=card.labels)
    if card.family not in HEADS:
        raise InvalidInput(
            f"there is no family {card.family!r}", where=card.name, remedy=f"one of {', '.join(HEADS)}"
        )
    plan = plan or Plan(usable_cores())
    sessions = [
        open_session(model, card, provider=provider, threads=plan.threads) for _ in range(plan.sessions)
    ]
    reader = (
        open_reader(card, model, provider=provider, threads=plan.threads) if card.task == "read" else None
    )
    return Run(
        items,
        read,
        decode,
        sessions,
        recipe,
        plan,
        reader=reader,
        shrink=shrink,
        path_of=path_of,
        cancel=cancel,
    )


def usable_cores() -> int:
    """Cores this process may run on: inside a container or a Slurm task fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Run(Generic[Ref]):
    """Predictions under way. Iterate once; `close()`, leaving a `with` block or the end stops every thread."""

    def __init__(
        self,
        items: Iterable[tuple[int, Ref]],
        read: Callable[[Ref], bytes],
        decode: Decode,
        sessions: Sequence[Session],
        recipe: Recipe,
        plan: Plan,
        *,
        reader: Reader | None,
        shrink: Shrink | None,
        path_of: Callable[[Ref], str] | None,
        cancel: threading.Event | None,
    ) -> None:
        self.session = sessions[0]
        self.recipe, self.plan = recipe, plan
        self._rules = postprocess.rules(self.session.card, recipe)
        self._items, self._read, self._decode = iter(items), read, decode
        self._shrink = shrink if recipe.reduced and reader is None else None
        self._path_of = path_of
        self._reader = reader
        self._cancel = cancel or threading.Event()
        self._stop = threading.Event()
        self._todo: queue.SimpleQueue[tuple[int, int, Ref] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[int, Result | BaseException]] = queue.SimpleQueue()
        self._spent = [dict.fromkeys(STAGES, 0.0) for _ in range(plan.chains)]
        self._threads = [
            threading.Thread(
                target=self._work, args=(sessions[i % len(sessions)], spent), name=f"predict-{i}", daemon=True
            )
            for i, spent in enumerate(self._spent)
        ]
        self._window = max(WINDOW, 2 * plan.chains * plan.batch)
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
        """What really ran, as a prediction's activity keeps it besides the model's digest; thresholds in millionths."""
        return {
            "file": self.session.card.onnx_sha256,
            "runtime": self.session.runtime,
            "provider": self.session.provider,
            "options": dict(self.session.options),
            "plan": [self.plan.chains, self.plan.threads, self.plan.sessions, self.plan.batch],
            "score_micro": round(self._rules.score * 1_000_000),
            "iou_micro": round(self._rules.iou * 1_000_000),
            "decode_scale": "reduced" if self._shrink else 1,
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
                while not exhausted and sent - given < self._window:
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

    def _work(self, session: Session, spent: dict[str, float]) -> None:
        chain = _Chain(session, self._rules, self.plan.batch, spent)
        while (item := self._todo.get()) is not None and not self._stop.is_set():
            taken = [item]
            while len(taken) < self.plan.batch:
                try:
                    more = self._todo.get_nowait()
                except queue.Empty:
                    break
                if more is None:  # the end of another chain
                    self._todo.put(None)
                    break
                taken.append(more)
            try:
                pictures = [self._load(key, ref, spent) for _, key, ref in taken]
                chain.run(pictures)
                for (place, _, ref), picture in zip(taken, pictures, strict=True):
                    self._done.put((place, self._settled(ref, picture, session.card, spent)))
            except (
                BaseException
            ) as error:  # a bug or a lost device: carried to the caller's thread and raised there
                self._done.put((item[0], error))

    def _load(self, key: int, ref: Ref, spent: dict[str, float]) -> _Picture:
        clock = time.perf_counter
        t0 = clock()
        problem = None
        pixels, wh = None, (0, 0)
        try:
            data = self._read(ref)
            t1 = clock()
            spent["read"] += t1 - t0
            small = None
            if self._shrink is not None and self.recipe.tiling is None:
                small = self._shrink(data, max(self.session.card.input_wh))
            if small is not None:
                pixels, wh = small
            else:
                pixels = self._decode(data)
                wh = (pixels.shape[1], pixels.shape[0])
            spent["decode"] += clock() - t1
        except LamproomError as error:
            problem = error.line
        except OSError as error:
            problem = f"cannot read the file: {error.strerror or error}"
        except (MemoryError, cv2.error):
            problem = "too large to decode"
        if problem is not None or pixels is None:
            return _Picture(key, ref, None, (0, 0), [], problem=problem)
        plan = self.recipe.tiling
        return _Picture(key, ref, pixels, wh, tiling.windows(wh, plan) if plan else [(0, 0, *wh)])

    def _settled(self, ref: Ref, picture: _Picture, card: ModelCard, spent: dict[str, float]) -> Result:
        if picture.problem is not None:
            return Result(picture.key, (0, 0), (), picture.problem)
        t0 = time.perf_counter()
        path = self._path_of(ref) if self._path_of is not None else ""
        found = postprocess.settled(picture.parts, picture.windows, picture.wh, self._rules, path=path)
        if self._reader is not None and picture.pixels is not None:
            found = self._reader.read(picture.pixels, found, least=self._rules.score)
        picture.pixels = None
        shapes = postprocess.to_annotations(found, card, self._rules.labels, picture.wh)
        spent["boxes"] += time.perf_counter() - t0
        return Result(picture.key, picture.wh, shapes, vector=found.vector)


class _Chain:
    """One thread's buffers, and the way of some pictures' windows through the network."""

    def __init__(
        self, session: Session, using: postprocess.Rules, batch: int, spent: dict[str, float]
    ) -> None:
        self._session, self._using, self._spent = session, using, spent
        card = session.card
        # A model that fixes its batch gets that many; one whose input's size follows the picture gets one.
        self._size = card.batch or (1 if card.loose or card.resize == "pad" else batch)
        self._decode = HEADS[card.family].decode
        self._card = card  # at the size of the input in hand
        self._wh = (0, 0)
        self._canvas = self._batch = np.empty(0, np.uint8)

    def run(self, pictures: Sequence[_Picture]) -> None:
        """Fill `parts` of every picture."""
        slots = [(picture, window) for picture in pictures for window in picture.windows]
        for first in range(0, len(slots), self._size):
            self._some(slots[first : first + self._size])

    def _some(self, slots: Sequence[tuple[_Picture, tiling.Window]]) -> None:
        clock = time.perf_counter
        card = self._session.card
        t0 = clock()
        x0, y0, x1, y1 = slots[0][1]
        self._demand(preprocess.size_for(card, (x1 - x0, y1 - y0)))
        places = []
        for i, (picture, window) in enumerate(slots):
            assert picture.pixels is not None
            whole = len(picture.windows) == 1
            placement = preprocess.place(
                picture.pixels, card, self._canvas, window=None if whole else window, wh=picture.wh
            )
            preprocess.fill(self._batch[i], self._canvas, card)
            places.append(placement)
        t1 = clock()
        # What is not full is padded only where the model fixes the batch.
        outputs = self._session.run(self._batch if card.batch > 1 else self._batch[: len(slots)])
        t2 = clock()
        for (picture, _), placement, one in zip(slots, places, outputs, strict=False):
            picture.parts.append(_read_out(self._decode, one, self._card, placement, self._using))
        self._spent["prepare"] += t1 - t0
        self._spent["run"] += t2 - t1
        self._spent["boxes"] += clock() - t2

    def _demand(self, wh: tuple[int, int]) -> None:
        if wh != self._wh:
            card = self._session.card
            self._wh = wh
            self._card = replace(card, input_wh=wh)
            self._canvas = np.empty((wh[1], wh[0], 3), np.uint8)
            self._batch = np.zeros(card.shape(self._size, wh), card.input_dtype)


def _read_out(
    decode: Callable[..., Found],
    outputs: Mapping[str, Array],
    card: ModelCard,
    placement: Placement,
    using: postprocess.Rules,
) -> Found:
    """What one window gave, in source pixels."""
    return placement.back(decode(outputs, card, score=using.score, iou=using.iou))
