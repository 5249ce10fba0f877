"""Where the shards of a job run: processes of this machine, a Slurm array, Ray. Each is told to begin, asked, and stopped.

None of them is believed: a shard is done when its results are there (storage/hub/jobdir.py). What is started is kept as a
plain ticket with the job, so that another process can ask for it or stop it later.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from annotation.errors import InvalidInput, Unavailable
from models.batch import usable_cores
from storage.hub import jobdir

Ticket = dict[str, Any]
"""What was started, as plain JSON values."""
CODE = Path(__file__).resolve().parents[2]
MOST_TASKS = 1000
"""Tasks of one Slurm array: its usual limit."""
ASK_S = 30


@dataclass(frozen=True, slots=True)
class Way:
    """How workers are started.

    Attributes:
        width: workers side by side, where the runner decides that. threads: of each; None = its share of the cores.
        options: for the scheduler, each `--name=value`. nice: how much they give way to other programs.
        address: of a Ray cluster; "" = one of this machine.
    """

    width: int = 1
    threads: int | None = None
    options: tuple[str, ...] = ()
    nice: int = 0
    address: str = ""


class Runner(Protocol):
    """One way to run shards."""

    def demand(self) -> None:
        """Raise Unavailable unless this machine can start it."""

    def submit(self, folder: Path, shards: Sequence[int]) -> Ticket:
        """Begin these shards of a job directory; returns at once."""

    def alive(self, ticket: Ticket) -> set[int] | None:
        """The shards that still run or wait to run; None when nobody can say just now."""

    def cancel(self, ticket: Ticket) -> None:
        """Stop what of it still runs; nothing when all has ended."""


def line(folder: Path, shards: Sequence[int | str], *, threads: int | None, nice: int) -> list[str]:
    """The command of a worker."""
    out = [sys.executable, "-m", "app", "worker", str(folder)]
    for shard in shards:
        out += ["--shard", str(shard)]
    if threads:
        out += ["--threads", str(threads)]
    return [*out, "--nice", str(nice)] if nice else out


def environment() -> dict[str, str]:
    """This process' environment, with the code it runs, so that a checkout needs no installation."""
    known = os.environ.get("PYTHONPATH", "")
    parts = [str(CODE), *(p for p in known.split(os.pathsep) if p and p != str(CODE))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(parts)}


# --- this machine --------------------------------------------------------------------------------------------------


class Local:
    """Processes of this machine; each does its share of the shards with the model opened once."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def demand(self) -> None:
        return

    def submit(self, folder: Path, shards: Sequence[int]) -> Ticket:
        width = max(1, min(self._way.width, len(shards)))
        threads = self._way.threads or max(1, usable_cores() // width)
        started = []
        for i in range(width):
            mine = list(shards[i::width])
            with jobdir.log_path(folder, mine[0]).open("ab") as log:
                child = subprocess.Popen(
                    line(folder, mine, threads=threads, nice=self._way.nice),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment(),
                )
            self._children[child.pid] = child
            started.append([child.pid, _born(child.pid), mine])
        return {"runner": "local", "host": platform.node(), "processes": started}

    def alive(self, ticket: Ticket) -> set[int] | None:
        if ticket["host"] != platform.node():
            return set()  # of another machine: nobody here can tell; its results count all the same
        return {
            shard for pid, born, shards in ticket["processes"] if self._runs(pid, born) for shard in shards
        }

    def cancel(self, ticket: Ticket) -> None:
        if ticket["host"] != platform.node():
            return
        for pid, born, _ in ticket["processes"]:
            if self._runs(pid, born):
                with suppress(OSError):
                    os.kill(pid, 15)
        for pid, _, _ in ticket["processes"]:
            if (child := self._children.pop(pid, None)) is not None:
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()

    def _runs(self, pid: int, born: str) -> bool:
        if (child := self._children.get(pid)) is not None:
            return child.poll() is None
        return bool(born) and _born(pid) == born


def _born(pid: int) -> str:
    """The kernel's start time of a living process, which with its id names it for good; "" when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


# --- Slurm ---------------------------------------------------------------------------------------------------------

SBATCH = (
    "account", "begin", "clusters", "comment", "constraint", "cores-per-socket", "cpus-per-gpu", "cpus-per-task", "deadline",
    "dependency", "exclude", "exclusive", "gpus", "gpus-per-task", "gres", "hold", "licenses", "mem", "mem-per-cpu",
    "mem-per-gpu", "nice", "nodelist", "oversubscribe", "partition", "priority", "qos", "reservation", "requeue", "no-requeue",
    "time", "time-min", "tmp", "wckey",
)  # fmt: skip
"""Options of sbatch that say where, when and how large; none that names a file, a user or a command."""
_OPTION = re.compile(r"--([a-z][a-z-]*)(=([\w.,:;@%/+*|&()\[\]-]*))?\Z")


def options(given: Sequence[str]) -> tuple[str, ...]:
    """Options for sbatch, each checked. They are passed as arguments, never through a shell.

    Raises:
        InvalidInput: an option that is none, or one that Lamproom sets itself.
    """
    out = []
    for one in given:
        found = _OPTION.match(one.strip())
        if found is None or found[1] not in SBATCH:
            raise InvalidInput(
                f"sbatch is not given the option {one[:60]!a}",
                remedy="--partition=NAME, --time=HH:MM:SS, --mem=8G and their like; one each",
            )
        out.append(found[0])
    return tuple(out)


class Slurm:
    """One array task a shard. Asked by squeue alone: what is not in the queue any more has ended, somehow."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._options = options(way.options)

    def demand(self) -> None:
        for name in ("sbatch", "squeue", "scancel"):
            if shutil.which(name) is None:
                raise Unavailable(
                    f"there is no {name} here", remedy="start the job on a machine that submits to Slurm"
                )

    def submit(self, folder: Path, shards: Sequence[int]) -> Ticket:
        if len(shards) > MOST_TASKS or max(shards) > MOST_TASKS:
            raise InvalidInput(f"more than {MOST_TASKS} shards", remedy="give --shards")
        script = folder / "worker.sh"
        words = line(folder, ["@"], threads=self._way.threads, nice=self._way.nice)
        command = " ".join('"$SLURM_ARRAY_TASK_ID"' if w == "@" else shlex.quote(w) for w in words)
        script.write_text(
            f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(environment()['PYTHONPATH'])}\nexec {command}\n",
            encoding="utf-8",
        )
        said = _asked(
            "sbatch", "--parsable", f"--array={_ranges(shards)}", "--job-name=lamproom", f"--chdir={folder}",
            f"--output={str(folder).replace('%', '%%')}/log/%4a.txt", "--open-mode=append", *self._options, str(script),
        )  # fmt: skip
        number, _, cluster = said.stdout.strip().partition(";")
        if said.returncode or not number.isdigit():
            raise Unavailable(
                f"Slurm did not take the job: {_last(said.stderr)}", remedy="see the options given to sbatch"
            )
        return {"runner": "slurm", "job": int(number), "cluster": cluster, "shards": list(shards)}

    def alive(self, ticket: Ticket) -> set[int] | None:
        said = _asked(
            "squeue", *_there(ticket), "--noheader", "--array", f"--jobs={int(ticket['job'])}", "--format=%K"
        )
        if said.returncode == 0:  # of a named cluster a line with its name comes first
            return {int(word) for word in said.stdout.split("\n") if word.strip().isdigit()}
        return (
            set() if "nvalid job id" in said.stderr else None
        )  # forgotten, or the controller does not answer

    def cancel(self, ticket: Ticket) -> None:
        _asked("scancel", *_there(ticket), str(int(ticket["job"])))


def program() -> tuple[str, ...]:
    """The words that start this program on any node that sees the same files."""
    return (sys.executable, "-m", "app")


def demand_slurm() -> None:
    """Raise Unavailable unless this machine submits to Slurm."""
    Slurm(Way()).demand()


def begin_script(script: Path, folder: Path) -> Ticket:
    """Submit one script, whose own lines say what it needs.

    Raises:
        Unavailable: Slurm does not take it.
    """
    said = _asked(
        "sbatch",
        "--parsable",
        f"--chdir={folder}",
        f"--output={str(folder).replace('%', '%%')}/slurm.txt",
        str(script),
    )
    number, _, cluster = said.stdout.strip().partition(";")
    if said.returncode or not number.isdigit():
        raise Unavailable(
            f"Slurm did not take the job: {_last(said.stderr)}", remedy="see its resources and options"
        )
    return {"runner": "slurm", "job": int(number), "cluster": cluster}


def script_state(ticket: Ticket) -> str | None:
    """ "waiting", "running" or "gone" of a submitted script; None when nobody can say just now."""
    said = _asked("squeue", *_there(ticket), "--noheader", f"--jobs={int(ticket['job'])}", "--format=%T")
    if said.returncode == 0:
        states = {word.strip() for word in said.stdout.split("\n")} & {
            "PENDING", "CONFIGURING", "SUSPENDED", "RUNNING", "COMPLETING", "REQUEUED"
        }  # fmt: skip
        return "gone" if not states else "running" if states & {"RUNNING", "COMPLETING"} else "waiting"
    return "gone" if "nvalid job id" in said.stderr else None


def cancel_script(ticket: Ticket) -> None:
    """Stop a submitted script; nothing when it has ended."""
    _asked("scancel", *_there(ticket), str(int(ticket["job"])))


def _there(ticket: Ticket) -> tuple[str, ...]:
    """The option that names the cluster an array was sent to; none for this machine's own."""
    return (f"--clusters={ticket['cluster']}",) if ticket.get("cluster") else ()


def _asked(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=ASK_S, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", "no answer")
    except OSError as error:
        raise Unavailable(f"{words[0]} cannot be started: {error.strerror}") from error


def _ranges(shards: Sequence[int]) -> str:
    """1,2,3,7 as 1-3,7."""
    out: list[list[int]] = []
    for shard in sorted(shards):
        if out and shard == out[-1][1] + 1:
            out[-1][1] = shard
        else:
            out.append([shard, shard])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in out)


def _last(text: str) -> str:
    lines = [one for one in text.splitlines() if one.strip()]
    return lines[-1][:200] if lines else "no reason given"


# --- Ray -----------------------------------------------------------------------------------------------------------


class Ray:
    """One Ray task a shard, each a process of its own on whatever node Ray chooses. Ends with the process that began it."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._tasks: dict[int, Any] = {}

    def demand(self) -> None:
        try:
            self._ray()
        except ImportError as error:
            raise Unavailable("Ray is not installed", remedy='pip install "lamproom[ray]"') from error

    def _ray(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers of every start
        import ray

        return ray

    def submit(self, folder: Path, shards: Sequence[int]) -> Ticket:
        ray = self._ray()
        if not ray.is_initialized():
            where: dict[str, Any] = {"address": self._way.address} if self._way.address else {
                "num_cpus": usable_cores(), "include_dashboard": False, "_node_ip_address": "127.0.0.1",
            }  # fmt: skip
            ray.init(log_to_driver=False, logging_level="ERROR", **where)
        begin = ray.remote(num_cpus=self._way.threads or 1, max_retries=0)(_on_ray)
        for shard in shards:
            words = line(folder, [shard], threads=self._way.threads or 1, nice=self._way.nice)
            log = str(jobdir.log_path(folder, shard))
            self._tasks[shard] = begin.remote(words, log, environment()["PYTHONPATH"])
        return {"runner": "ray", "shards": list(shards), "host": platform.node(), "pid": os.getpid()}

    def alive(self, ticket: Ticket) -> set[int] | None:
        mine = {self._tasks[s]: s for s in ticket["shards"] if s in self._tasks}
        if not mine:
            return set()
        _, running = self._ray().wait(list(mine), num_returns=len(mine), timeout=0)
        return {mine[ref] for ref in running}

    def cancel(self, ticket: Ticket) -> None:
        if self._tasks:
            ray = self._ray()
            for shard in ticket["shards"]:
                if (task := self._tasks.pop(shard, None)) is not None:
                    ray.cancel(task, force=True)
            if not self._tasks:
                ray.shutdown()


def _on_ray(words: list[str], log: str, path: str) -> int:
    """Runs on a node of the cluster: the worker as a process of its own, ended with the task."""
    with open(log, "ab") as out:  # noqa: PTH123 - sent to the node by value, with nothing of ours
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": path}
        )
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


RUNNERS: Mapping[str, Callable[[Way], Runner]] = {"local": Local, "slurm": Slurm, "ray": Ray}


def chosen(spec: str, *, threads: int | None = None, given: Sequence[str] = (), nice: int = 0) -> Runner:
    """The runner of "local:4", "slurm", "ray" or "ray:HOST:PORT".

    Raises:
        InvalidInput: there is no such runner, or an option that is none.
    """
    kind, _, rest = spec.partition(":")
    if kind not in RUNNERS or (kind == "local" and rest and not (rest.isdigit() and 0 < int(rest) <= 1024)):
        raise InvalidInput(f"there is no runner {spec[:60]!r}", remedy="local:4, slurm or ray")
    if kind == "slurm" and rest:
        raise InvalidInput(f"there is no runner {spec[:60]!r}", remedy="options go to --sbatch")
    width = int(rest) if kind == "local" and rest else usable_cores()
    address = rest if kind == "ray" else ""
    return RUNNERS[kind](Way(width, threads, tuple(given), nice, address))
