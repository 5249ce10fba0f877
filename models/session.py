"""Look into an ONNX file, open it on a provider, say what really runs. Here and in runtime.py alone is onnxruntime known."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from annotation.errors import InvalidInput, LamproomError, Unavailable
from models import external, protobuf, providers
from models import runtime as engine
from models.external import Body

if TYPE_CHECKING:
    from models.card import ModelCard

OLDEST = (10, 22)
"""(IR version, opset) that onnxruntime 1.22 knows, the oldest that we run on."""

MAX_MEMORY = 6 * 1024**3
"""Bytes that all sessions of the process may hold on the CPU: a few hostile bytes can ask for a tensor of any size."""
TRIAL_S = 60.0
"""A trial run that takes longer is ended: a loop in the graph need not ever end."""
COMPILE_S = 3600.0
"""The same elsewhere than on the CPU: TensorRT and MIGraphX compile the model at its first run, for minutes and more."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as the model declares it; a free dimension is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class Stop:
    """Ends a run from another thread, between two nodes of the graph; one for each piece of work."""

    def __init__(self) -> None:
        self._options = ort.RunOptions()
        self._options.log_severity_level = 4

    def set(self) -> None:
        """End the run now or before it begins."""
        self._options.terminate = True

    @property
    def is_set(self) -> bool:
        """True once it was asked to end."""
        return bool(self._options.terminate)


class Stopped(Exception):
    """The run was ended by its `Stop`: nobody wants its result any more."""


@dataclass(frozen=True, slots=True)
class Bare:
    """An open file on a provider, whatever it holds. `run` may be called from several threads at once."""

    path: Path
    provider: str
    options: Mapping[str, str]
    _inner: Any

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs' names, as declared."""
        return tuple(str(t.name) for t in self._inner.get_inputs())

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs' names, as declared."""
        return tuple(str(t.name) for t in self._inner.get_outputs())

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str], *, stop: Stop | None = None
    ) -> list[Array]:
        """The named outputs.

        Raises:
            Stopped: by `stop`.
            InvalidInput: the model does not run on this input.
            Unavailable: the device failed.
        """
        stop = stop or Stop()
        try:
            with engine.turn(self.provider):
                found: list[Array] = self._inner.run(list(outputs), dict(feeds), stop._options)
        except Exception as error:  # onnxruntime's own exceptions share no base class but this
            if stop.is_set:
                raise Stopped from error
            raise _failed(self.provider, self.path.name, error) from error
        if stop.is_set:
            raise Stopped
        return found


@dataclass(frozen=True, slots=True)
class Session:
    """An open model. `run` may be called from several threads at once.

    Attributes:
        provider: our name of the provider that really runs.
        runtime: "onnxruntime 1.31.1".
        options: the provider's options and the session's threads, as recorded with every prediction.
    """

    card: ModelCard
    provider: str
    runtime: str
    options: Mapping[str, str]
    _inner: Any

    def run(self, batch: Array) -> list[dict[str, Array]]:
        """The card's outputs by role, for each picture of a batch of the card's input shape, batch axis taken off.

        Raises:
            Unavailable: the device failed; what was done before stays.
        """
        n = len(batch)
        feeds = _feeds(self.card, batch)
        names = [name for _, name in self.card.outputs]
        try:
            with engine.turn(self.provider):
                values: list[Array] = self._inner.run(names, feeds)
        except Exception as error:  # onnxruntime's own exceptions share no base class but this
            raise _failed(self.provider, self.card.name, error) from error
        roles = [role for role, _ in self.card.outputs]
        loose = self.card.loose
        return [
            {role: v if role in loose else v[i] for role, v in zip(roles, values, strict=True)}
            for i in range(n)
        ]


def runtime(provider: str = "cpu") -> str:
    """The installed build, with the provider's plug-in where there is one, as recorded with every prediction."""
    return engine.build(provider)


def available() -> tuple[str, ...]:
    """Our names of the providers that are installed; whether they run here only a self-test tells."""
    return engine.installed()


def demand(provider: str) -> None:
    """Refuse a provider that the installed runtime lacks, as opening a session would, before anything is begun.

    Raises:
        InvalidInput: the name is unknown. Unavailable: the runtime lacks it.
    """
    engine.prepare(provider)


def identify(path: Path) -> Body:
    """What a model's files are: its digest (of all of them), its weights' files, and what it asks for.

    Raises:
        InvalidInput: broken, hostile, weights missing, or it asks for more than the installed runtime has.
        Unavailable: a file cannot be read.
    """
    body = external.identify(path)
    asked = body.outline.opsets.get("", 0)
    ir, opset = OLDEST
    if asked > opset or body.outline.ir > ir:
        ir, opset = _newest()
    if asked > opset:
        raise InvalidInput(
            f"it needs opset {asked}; {runtime()} knows up to {opset}",
            where=str(path),
            remedy=f"export it with opset {min(opset, 17)} or install a newer runtime",
        )
    if body.outline.ir > ir:
        raise InvalidInput(
            f"it is of ONNX's IR version {body.outline.ir}; {runtime()} knows up to {ir}",
            where=str(path),
            remedy="export it with an older onnx package or install a newer runtime",
        )
    return body


@functools.cache
def _newest() -> tuple[int, int]:
    """The newest (IR version, opset) that the installed runtime opens, found by opening models of one node."""

    def opens(ir: int, opset: int) -> bool:
        side = protobuf.piece(2, protobuf.piece(1, protobuf.piece(1, 1)))
        kind = protobuf.piece(2, protobuf.piece(1, protobuf.piece(1, 1) + side))
        node = protobuf.piece(1, b"x") + protobuf.piece(2, b"y") + protobuf.piece(4, b"Identity")
        puts = [(number, protobuf.piece(1, name) + kind) for number, name in ((11, b"x"), (12, b"y"))]
        graph = protobuf.piece(1, node) + protobuf.piece(2, b"g")
        graph += b"".join(protobuf.piece(number, put) for number, put in puts)
        model = protobuf.piece(1, ir) + protobuf.piece(7, graph) + protobuf.piece(8, protobuf.piece(2, opset))
        settings = ort.SessionOptions()
        settings.log_severity_level = 4
        try:
            ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"], enable_fallback=0)
        except Exception:  # onnxruntime's own exceptions share no base class but this
            return False
        return True

    ir, opset = OLDEST
    while ir < 64 and opens(ir + 1, opset):
        ir += 1
    while opset < 256 and opens(ir, opset + 1):
        opset += 1
    return ir, opset


def inspect(path: Path) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], dict[str, str], str, Any]:
    """What a file declares: inputs, outputs, metadata, producer; and a plain CPU session for a trial run.

    Call `identify` first: it refuses what must not reach the runtime.

    Raises:
        InvalidInput: the runtime refuses the file.
    """
    inner = _open(path, engine.prepare("cpu"), threads=1, constant_folding=False)
    try:
        meta = inner.get_modelmeta()
        return (
            tuple(_tensor(t) for t in inner.get_inputs()),
            tuple(_tensor(t) for t in inner.get_outputs()),
            dict(meta.custom_metadata_map),
            str(meta.producer_name),
            inner,
        )
    except UnicodeDecodeError as error:
        raise InvalidInput("its names are not UTF-8", where=str(path), remedy="export it again") from error


def open_session(path: Path, card: ModelCard, *, provider: str = "cpu", threads: int = 1) -> Session:
    """Open a model on a provider, run it once, and say what really runs.

    Args:
        path: the ONNX file; its digest must be the card's.
        threads: threads *inside* one run. One is best when several threads each call `run` (see DECISIONS.md).

    Raises:
        InvalidInput: another file than the card's, or the runtime refuses it.
        Unavailable: the provider is missing or did not take the model.
    """
    bare = open_bare(path, card.onnx_sha256, provider=provider, threads=threads)
    told = {**bare.options, "threads": str(threads)}
    session = Session(card, provider, runtime(provider), told, bare._inner)
    feeds = _feeds(card, np.zeros(card.shape(max(1, card.batch)), card.input_dtype))
    if provider == "cpu":
        trial_of(bare._inner, feeds, where=str(path))
        return session
    try:
        with engine.turn(provider):
            trial_of(bare._inner, feeds, where=str(path), seconds=COMPILE_S)
    except InvalidInput as error:
        raise Unavailable(
            f"the provider does not take the model: {error.what}", where=provider,
            remedy="`lamproom doctor` tests the provider; the cpu runs every model",
        ) from error  # fmt: skip
    return session


def open_bare(path: Path, sha256: str, *, provider: str = "cpu", threads: int = 1) -> Bare:
    """Open a file on a provider; its digest must be `sha256`. Nothing is run yet.

    Raises:
        InvalidInput: another file, or the runtime refuses it.
        Unavailable: the provider is missing or did not take the model.
    """
    if identify(path).sha256 != sha256:
        raise InvalidInput(
            "not the file this card was made for", where=str(path), remedy="add the model again"
        )
    way = engine.prepare(provider, threads=threads)
    inner = _open(path, way, threads=threads)
    really = inner.get_providers()[0]
    if really != way.real:
        raise Unavailable(
            f"the provider did not start; {really} would run instead",
            where=provider,
            remedy="choose the provider cpu or repair the device's driver",
        )
    return Bare(path, provider, way.options, inner)


def share(opened: Bare) -> float:
    """Part of the graph's nodes that the provider itself took, 0..1; -1 where the runtime does not tell."""
    told = engine.shares(opened._inner)
    real = providers.PROVIDERS[providers.split(opened.provider)[0]].real
    return told.get(real, 0) / sum(told.values()) if told else -1.0


def trial_of(
    inner: Any, feeds: Mapping[str, Array], *, where: str, seconds: float | None = None
) -> list[Array]:
    """All outputs for one set of inputs; a model that cannot run, or not in a minute, is the file's fault."""
    seconds = TRIAL_S if seconds is None else seconds
    options = ort.RunOptions()
    options.log_severity_level = 4
    watch = threading.Timer(seconds, setattr, (options, "terminate", True))
    watch.name = "trial-watch"
    watch.start()
    try:
        outputs: list[Array] = inner.run(None, dict(feeds), options)
    except Exception as error:
        late = options.terminate
        what = (
            f"it runs for more than {seconds:g} s"
            if late
            else f"the model does not run: {_first_line(error)}"
        )
        raise InvalidInput(what, where=where) from error
    finally:
        watch.cancel()
        watch.join()
    return outputs


def demand_numbers(outputs: Iterable[tuple[str, Array]], *, where: str) -> None:
    """Refuse a trial run's (name, output) with NaN, or without one finite number: it would give nonsense, or nothing, for ever.

    Infinity beside numbers is let through: some networks say "none" so, and boxes that are not finite are dropped one by one.
    """
    for name, output in outputs:
        if (
            output.dtype.kind == "f"
            and output.size
            and (np.isnan(output).any() or not np.isfinite(output).any())
        ):
            raise InvalidInput(
                f"its output {name!r} holds no numbers (NaN or infinite) for a plain picture",
                where=where,
                remedy="export it again in float32",
            )


def _feeds(card: ModelCard, batch: Array) -> dict[str, Array]:
    """All inputs for a batch (n, …)."""
    picture = batch[0] if card.layout == "chw" else batch
    return {card.input_name: picture, **{f.name: f.array(len(batch)) for f in card.feeds}}


def _open(path: Path, way: engine.Way, *, threads: int, constant_folding: bool = True) -> Any:
    _limit_memory()
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4  # its log goes to stderr past our log and names no file
    settings.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # spinning burns the desk's cores
    settings.add_session_config_entry("session.use_env_allocators", "1")
    settings.add_session_config_entry(*engine.RECORD)
    if not constant_folding:
        # A few bytes of "constant of shape 10^12" would be folded, that is allocated, on loading.
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        # Its "fallback" would print to stdout and run on the CPU instead.
        return ort.InferenceSession(str(path), settings, **way.settle(settings), enable_fallback=0)
    except Exception as error:  # onnxruntime's own exceptions share no base class but this
        if way.wanted != "cpu":
            raise Unavailable(
                f"the provider does not take the model: {_first_line(error)}",
                where=way.wanted,
                remedy="`lamproom doctor` tests the provider; the cpu runs every model",
            ) from error
        raise InvalidInput(f"the runtime refuses the model: {_first_line(error)}", where=str(path)) from error


@functools.cache
def _limit_memory() -> None:
    """One allocator for all sessions, with a limit; beyond it a run fails with an exception."""
    kind = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(kind, ort.OrtArenaCfg({"max_mem": MAX_MEMORY}))


def _failed(provider: str, where: str, error: Exception) -> LamproomError:
    """A run's failure: on the CPU the model's own; elsewhere the device may be lost, and the job can be resumed."""
    if provider == "cpu":
        return InvalidInput(f"the model does not run: {_first_line(error)}", where=where)
    return Unavailable(
        f"the provider failed while it worked: {_first_line(error)}",
        where=provider,
        remedy="what is done stays; go on with the job when the device works, or begin it anew on another",
    )


def _first_line(error: Exception) -> str:
    """The runtime's own words without its error code and source lines."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
    text = re.sub(
        r"^\S*/onnxruntime/\S+\.(?:cc|h):\d+ .*?\) ", "", text
    )  # the signature of the function that threw
    return re.sub(r"\S*onnxruntime_src/.*", "", text).strip()[:200]


def _tensor(declared: Any) -> Tensor:
    shape = tuple(d if isinstance(d, int) and d > 0 else None for d in declared.shape)
    return Tensor(str(declared.name), shape, str(declared.type))
