"""A job at a hub: what is to run on a published version, where its results lie, and how three schedulers are told.

    spec.json          what was ordered: command, resources, inputs by digest, outputs expected; canonical, named by its digest
    started.json       who runs it now (for the eye alone)
    data/              the version, checked out and proved byte by byte before the command begins
    out/               the outputs; renamed from out.part when the command ended well
    done.json          written last: exit code, host, and the digest of every output. Finished means that this is there and true
    failed.json        the last run that did not end well
    log.txt            what the command said
    job.sbatch, ray-job.json, kueue-job.json   the same order for Slurm, Ray Jobs and Kubernetes with Kueue

A killed run leaves nothing that counts; it is run again. Sources: sbatch(1) of Slurm 22.05, the Ray Jobs REST API
(POST /api/jobs/), Kubernetes batch/v1 Job with Kueue's label kueue.x-k8s.io/queue-name.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from blake3 import blake3

from annotation import canonical
from annotation.errors import InvalidInput, LamproomError, NotFound, Unavailable
from storage import files
from storage.hub.package import is_digest
from storage.hub.store import PIECE

FORMAT = "lamproom-hubjob-1"
DONE_FORMAT = "lamproom-hubjob-done-1"
SPEC, DONE, FAILED, STARTED, LOG = "spec.json", "done.json", "failed.json", "started.json", "log.txt"
KINDS = ("model", "metrics", "predictions", "file")
MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}\Z")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}\Z")

Kind = Literal["model", "metrics", "predictions", "file"]


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published version by its root's BLAKE3. hub: kind and settings of its hub as canonical JSON, without secrets."""

    hub: str
    root: str
    version: str


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that the command writes below out/. required: without it the job is not finished."""

    kind: Kind
    path: str
    required: bool = True


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it needs; minutes: it is ended after."""

    cpus: int = 1
    gpus: int = 0
    memory_mb: int = 4096
    minutes: int = 60


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """spec.json. command: {data}, {out} and {version} stand for the folders and the version's name; models: SHA-256."""

    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    format: str
    image: str
    inputs: tuple[Input, ...]
    models: tuple[str, ...]
    name: str
    outputs: tuple[Output, ...]
    purpose: str
    resources: Resources
    uid: str


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An output as it was written."""

    b3: str
    bytes: int
    kind: Kind
    path: str
    sha256: str


class Done(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """done.json. job: BLAKE3 of spec.json."""

    ended_ms: int
    exit: int
    format: str
    host: str
    job: str
    outputs: tuple[Written, ...]
    started_ms: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A job directory: its spec and the BLAKE3 of spec.json."""

    folder: Path
    spec: Spec
    digest: str


def checked(spec: Spec) -> Spec:
    """The spec, if it can be run as it stands.

    Raises:
        InvalidInput: a name, path, number or placeholder that cannot be.
    """

    def demand(sound: bool, what: str, remedy: str) -> None:
        if not sound:
            raise InvalidInput(what, where=spec.name[:80], remedy=remedy)

    demand(
        bool(_NAME.match(spec.name)), f"{spec.name[:60]!r} cannot be a job's name", "letters, digits, . _ -"
    )
    demand(0 < len(spec.command) <= 256 and all(0 < len(w) <= 4096 and "\0" not in w for w in spec.command),
           "the command is empty or too long", 'command = ["python", "train.py", "{data}", "{out}"]')  # fmt: skip
    demand(all(_ENV.match(k) and len(v) <= 4096 and "\0" not in v and "\n" not in v for k, v in spec.env),
           "an environment variable that cannot be", "NAME = \"value\" of one line")  # fmt: skip
    r = spec.resources
    demand(0 < r.cpus <= 4096 and 0 <= r.gpus <= 1024 and 64 <= r.memory_mb <= 1 << 24 and 0 < r.minutes <= 100_000,
           "resources that cannot be", "cpus from 1, gpus from 0, memory_mb from 64, minutes from 1")  # fmt: skip
    demand(bool(spec.outputs) and any(o.required for o in spec.outputs), "nothing is expected of the job",
           "name at least one output: finished is counted from results")  # fmt: skip
    demand(len(spec.inputs) == 1 and all(is_digest(i.root) and "@" in i.version for i in spec.inputs),
           "it is ordered on no version", "one published version, by its root")  # fmt: skip
    paths = [o.path for o in spec.outputs]
    demand(len(set(paths)) == len(paths) and all(map(_is_inside, paths)), "an output's path cannot be",
           "a plain path below out/, each once")  # fmt: skip
    demand(
        re.fullmatch(r"[\w./:@-]{0,300}", spec.image) is not None,
        "an image's name that cannot be",
        "host/name:tag",
    )
    return spec


def _is_inside(path: str) -> bool:
    parts = path.split("/")
    return not {"", ".", ".."} & set(parts) and "\\" not in path and "\0" not in path and len(path) <= 300


# --- the directory --------------------------------------------------------------------------------------------------


def make(folder: Path, spec: Spec, *, run: Sequence[str], options: Sequence[str] = ()) -> Opened:
    """A new job directory, written whole beside its place and renamed.

    Args:
        run: the command that runs a job directory ("@" stands for the directory). options: for sbatch, `--name=value`.

    Raises:
        InvalidInput: the spec cannot be run. Unavailable: the folder cannot be written.
    """
    data = canonical.encode(msgspec.to_builtins(checked(spec)))
    staged = folder.with_name(f".{folder.name}.part")
    try:
        (staged / "out").mkdir(parents=True)
        (staged / "out").rmdir()
        files.write(staged / SPEC, data)
        for name, text in rendered(spec, folder, run=run, options=options).items():
            files.write(staged / name, text)
        staged.rename(folder)
        files.sync_folder(folder.parent)
    except OSError as error:
        raise Unavailable(
            f"the job's folder cannot be written: {error.strerror or error}", where=str(folder)
        ) from error
    return Opened(folder, spec, blake3(data).hexdigest())


def load(folder: Path, *, digest: str = "") -> Opened:
    """A job directory.

    Args:
        digest: what spec.json must be, where it is known.

    Raises:
        NotFound: there is none. InvalidInput: it cannot be read, or is another one.
    """
    data = _read(folder / SPEC)
    if data is None:
        raise NotFound(
            "there is no job of a hub here", where=str(folder), remedy="`lamproom hubjob submit` makes one"
        )
    try:
        spec = msgspec.json.decode(data, type=Spec)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"spec.json cannot be read: {str(error)[:200]}", where=str(folder)) from error
    found = blake3(data).hexdigest()
    if spec.format != FORMAT or (digest and digest != found):
        raise InvalidInput("it is another job than was submitted", where=str(folder))
    return Opened(folder, checked(spec), found)


def done(job: Opened) -> Done | None:
    """The results, proved: the digest of every output that the job names. None when they are not there.

    Raises:
        InvalidInput: they are there and not what they say.
    """
    data = _read(job.folder / DONE)
    if data is None:
        return None
    where = str(job.folder)
    try:
        said = msgspec.json.decode(data, type=Done)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"done.json cannot be read: {str(error)[:200]}", where=where) from error
    if (said.format, said.job) != (DONE_FORMAT, job.digest):
        raise InvalidInput("the results are of another job", where=where)
    kinds = {o.path: o.kind for o in job.spec.outputs}
    written = {w.path: w for w in said.outputs}
    lacking = [o.path for o in job.spec.outputs if o.required and o.path not in written]
    if lacking:
        raise InvalidInput(f"the results lack {lacking[0]}", where=where, remedy="run the job again")
    for path, w in written.items():
        if kinds.get(path) != w.kind or described(job.folder / "out" / path, path, w.kind) != w:
            raise InvalidInput(
                f"{path} is not the file that the job wrote", where=where, remedy="run the job again"
            )
    return said


def failed(folder: Path) -> Mapping[str, Any] | None:
    """What the last run that did not end well said: exit, host, tail of its log."""
    try:
        data = _read(folder / FAILED)
        return None if data is None else msgspec.json.decode(data, type=dict[str, Any])
    except LamproomError as fault:
        return {"why": fault.line}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"why": ""}


def described(path: Path, name: str, kind: Kind) -> Written | None:
    """Size and digests of an output by its path below the folder of outputs; None when it is no plain file there."""
    first, second, n = blake3(), hashlib.sha256(), 0
    try:
        if not path.is_file() or any(p.is_symlink() for p in [path, *path.parents][: name.count("/") + 2]):
            return None
        with open(path, "rb", opener=files.plainly) as stream:
            while piece := stream.read(PIECE):
                first.update(piece)
                second.update(piece)
                n += len(piece)
    except OSError:
        return None
    return Written(first.hexdigest(), n, kind, name, second.hexdigest())


def _read(path: Path) -> bytes | None:
    try:
        return files.read_plain(path, MAX_BYTES)
    except NotFound:
        return None


# --- the schedulers -------------------------------------------------------------------------------------------------


def rendered(
    spec: Spec, folder: Path, *, run: Sequence[str], options: Sequence[str] = ()
) -> dict[str, bytes]:
    """The order as each scheduler wants it, by file name."""
    return {
        "job.sbatch": _sbatch(spec, folder, run, options).encode(),
        "ray-job.json": msgspec.json.format(msgspec.json.encode(_ray(spec, folder)), indent=2) + b"\n",
        "kueue-job.json": msgspec.json.format(msgspec.json.encode(_kueue(spec, folder)), indent=2) + b"\n",
    }


def _sbatch(spec: Spec, folder: Path, run: Sequence[str], options: Sequence[str]) -> str:
    r = spec.resources
    lines = [
        f"--job-name={spec.name}", f"--cpus-per-task={r.cpus}", f"--time={r.minutes}", f"--mem={r.memory_mb}M",
        *([f"--gres=gpu:{r.gpus}"] if r.gpus else []), *options,
    ]  # fmt: skip
    words = " ".join(shlex.quote(str(folder)) if w == "@" else shlex.quote(w) for w in run)
    inside = (
        f"srun --container-image={shlex.quote(spec.image)} --container-mounts={shlex.quote(f'{folder}:{folder}')} "
        if spec.image
        else ""
    )
    code = shlex.quote(
        os.pathsep.join(
            filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")])
        )
    )
    return "\n".join(
        [
            "#!/bin/sh",
            *(f"#SBATCH {line}" for line in lines),
            f"export PYTHONPATH={code}",
            f"exec {inside}{words}",
            "",
        ]
    )


def _ray(spec: Spec, folder: Path) -> dict[str, object]:
    """The body of POST /api/jobs/ ; the folder must be one that the cluster sees."""
    r = spec.resources
    return {
        "entrypoint": f"lamproom hubjob run {shlex.quote(str(folder))}", "submission_id": f"{spec.name}-{spec.uid[-12:]}",
        "entrypoint_num_cpus": r.cpus, "entrypoint_num_gpus": r.gpus, "entrypoint_memory": r.memory_mb << 20,
        "runtime_env": {"env_vars": dict(spec.env), **({"image_uri": spec.image} if spec.image else {})},
        "metadata": {"purpose": spec.purpose, "version": spec.inputs[0].version, "root": spec.inputs[0].root},
    }  # fmt: skip


def _kueue(spec: Spec, folder: Path) -> dict[str, object]:
    """A batch/v1 Job that waits until Kueue admits it. What a cluster alone knows is named in capitals: queue and claim."""
    r = spec.resources
    name = re.sub(r"[^a-z0-9-]+", "-", spec.name.lower()).strip("-")[:40] or "job"
    asked = {
        "cpu": str(r.cpus),
        "memory": f"{r.memory_mb}Mi",
        **({"nvidia.com/gpu": str(r.gpus)} if r.gpus else {}),
    }
    container = {
        "name": "job", "image": spec.image or "LAMPROOM_IMAGE", "command": ["lamproom", "hubjob", "run", "/work"],
        "env": [{"name": k, "value": v} for k, v in sorted(spec.env)],
        "resources": {"requests": asked, "limits": asked},
        "volumeMounts": [{"name": "work", "mountPath": "/work", "subPath": folder.name}],
    }  # fmt: skip
    pod = {
        "restartPolicy": "Never", "containers": [container],
        "volumes": [{"name": "work", "persistentVolumeClaim": {"claimName": "WORK_CLAIM"}}],
    }  # fmt: skip
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": f"{name}-{spec.uid[-12:]}", "labels": {"kueue.x-k8s.io/queue-name": "LOCAL_QUEUE"},
                     "annotations": {"lamproom/version": spec.inputs[0].version, "lamproom/root": spec.inputs[0].root}},
        "spec": {"suspend": True, "backoffLimit": 0, "activeDeadlineSeconds": 60 * r.minutes, "template": {"spec": pod}},
    }  # fmt: skip
