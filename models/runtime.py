"""onnxruntime's providers on this machine: what is installed, plug-ins registered, and how a session is put on one."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import io
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.errors import Unavailable
from models import providers

try:
    import onnxruntime as ort
except ImportError as error:
    raise Unavailable(
        f"onnxruntime cannot be loaded: {error}", remedy="`lamproom doctor` says what is wrong"
    ) from error
if not hasattr(ort, "InferenceSession"):  # what is left when one of two builds in a folder was uninstalled
    raise Unavailable(
        "onnxruntime is only half there: its module is empty",
        remedy="`lamproom doctor` prints the commands that mend it",
    )

_LOCK = threading.Lock()
_TURNS: Mapping[str, threading.Lock] = {
    name: threading.Lock() for name, row in providers.PROVIDERS.items() if row.serial
}


@dataclass(frozen=True, slots=True)
class Way:
    """How a session comes onto a provider; made by `prepare`.

    Attributes:
        wanted: our name, with a device where one was named.
        real: onnxruntime's name, the first of a session that really runs there.
        options: the provider's own.
    """

    wanted: str
    real: str
    options: Mapping[str, str]
    sparing: bool
    _devices: tuple[Any, ...] = ()

    def settle(self, settings: Any) -> dict[str, Any]:
        """Put the provider into a session's settings; the further arguments of the session are returned."""
        if self.sparing:
            settings.enable_mem_pattern = False
        if self._devices:
            settings.add_provider_for_devices(list(self._devices), dict(self.options))
            return {}
        return {"providers": [(self.real, dict(self.options))]}


@functools.cache
def built_in() -> tuple[str, ...]:
    """onnxruntime's names of the providers of the installed build, before any plug-in is registered."""
    return tuple(ort.get_available_providers())


def installed() -> tuple[str, ...]:
    """Our names of what is installed, built in or as a plug-in. Whether it runs, only its self-test says."""
    return tuple(
        name
        for name, row in providers.PROVIDERS.items()
        if row.real in built_in() or _module(name) is not None
    )


def build(wanted: str = "cpu") -> str:
    """The installed build and, for a plug-in, that: "onnxruntime 1.31.1 + onnxruntime-ep-openvino 1.8.1"."""
    text = f"{getattr(ort, 'package_name', 'onnxruntime')} {ort.__version__}"
    name, _ = providers.split(wanted)
    module = _module(name)
    if providers.PROVIDERS[name].real in built_in() or module is None:
        return text
    plain = next(p.plain for p in providers.PROVIDERS[name].packages if p.module == module)
    try:
        return f"{text} + {plain} {importlib.metadata.version(plain)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{text} + {plain}"


def library(wanted: str) -> Path | None:
    """The provider's own shared library: a plug-in's, or that in the build's folder; None where it is linked in."""
    name, _ = providers.split(wanted)
    row = providers.PROVIDERS[name]
    if row.real not in built_in() and (module := _module(name)) is not None:
        with contextlib.suppress(Exception):  # the plug-in's own code: any fault of it is said on registering
            return Path(importlib.import_module(module).get_library_path())
        return None
    file = row.files.get(_platform())
    path = Path(ort.__file__).parent / "capi" / file if file else None
    return path if path is not None and path.is_file() else None


def wanted_libraries(wanted: str) -> tuple[str, ...]:
    """The vendor's libraries that the provider asks of this machine, by the table."""
    name, _ = providers.split(wanted)
    return tuple(providers.PROVIDERS[name].libraries.get(_platform(), ()))


def prepare(wanted: str, *, threads: int = 1) -> Way:
    """Make a provider ready for a session: its variables, the vendor's libraries, its plug-in.

    Raises:
        InvalidInput: the name is unknown.
        Unavailable: it is not installed, or its plug-in does not load or finds no device.
    """
    name, device = providers.split(wanted)
    row = providers.PROVIDERS[name]
    plugin = row.real not in built_in() and _module(name) is not None
    known = (*built_in(), row.real) if plugin else built_in()
    real, _ = providers.pick(wanted, known)
    options = providers.options(wanted, threads=threads, plugin=plugin)
    with _LOCK:
        os.environ.update(row.environment)
        if row.preload:
            preload()
        devices = _devices(name) if plugin else ()
    if plugin:
        devices = tuple(d for d in devices if _is_device(d, device))
        if not devices:
            raise Unavailable(
                "the plug-in finds no device here that it can use",
                where=wanted,
                remedy=row.known[0].remedy if row.known else "",
            )
    return Way(wanted, real, options, row.sparing, devices)


@functools.cache
def preload() -> None:
    """Let onnxruntime load NVIDIA's libraries from the Python packages that bring them, where those are installed."""
    if importlib.util.find_spec("nvidia") is not None and hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            ort.preload_dlls(directory="")


def turn(wanted: str) -> contextlib.AbstractContextManager[object]:
    """Hold this while a session runs: some providers bear only one run at a time in a process."""
    return _TURNS.get(wanted.partition(":")[0], _FREE)


def shares(inner: Any) -> Mapping[str, int]:
    """How many nodes of the graph each provider took, by onnxruntime's name; empty where the runtime does not tell.

    The session must have been opened with `RECORD`.
    """
    told: dict[str, int] = {}
    with contextlib.suppress(Exception):  # younger than some builds; it is a report, not a condition
        for part in inner.get_provider_graph_assignment_info():
            told[str(part.ep_name)] = told.get(str(part.ep_name), 0) + len(part.get_nodes())
    return told


RECORD = ("session.record_ep_graph_assignment_info", "1")
"""The session setting that `shares` needs."""
_FREE = contextlib.nullcontext()


def _platform() -> str:
    return "linux" if sys.platform.startswith("linux") else sys.platform


@functools.cache
def _module(name: str) -> str | None:
    """The import name of a provider's plug-in, if that is installed."""
    for package in providers.PROVIDERS[name].packages:
        if package.module and importlib.util.find_spec(package.module) is not None:
            return package.module
    return None


@functools.cache
def _devices(name: str) -> tuple[Any, ...]:
    """Register a plug-in and return its devices."""
    module = _module(name)
    assert module is not None
    try:
        path = str(importlib.import_module(module).get_library_path())
        ort.register_execution_provider_library(name, path)
        real = providers.PROVIDERS[name].real
        return tuple(d for d in ort.get_ep_devices() if d.ep_name == real)
    except Exception as error:  # the plug-in's and the runtime's exceptions share no base class but this
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Unavailable(f"the plug-in does not load: {line[:200]}", where=name) from error


def _is_device(found: Any, wanted: str) -> bool:
    told = {str(v).casefold() for k, v in dict(found.ep_metadata).items() if k.endswith("device")}
    return wanted.casefold() in told | {found.device.type.name.casefold()}
