"""The hub's side of a job: the version checked out and proved, the command run, the outputs named by digest. No workspace.

`lamproom hubjob run DIR` is the same on this machine, as a Slurm task, a Ray job and in a pod. Killed at any moment it leaves
nothing that counts; run again it does what is missing.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from annotation import canonical
from annotation.errors import InvalidInput, LamproomError, Unavailable
from app.events import Finished, Progress, Started, Work
from app.services import hubs, versions
from storage import db as database
from storage import files
from storage.hub import hubjob, reading
from storage.hub.hubjob import Done, Opened
from storage.hubs import Hub

TAIL = 4_000
ASK_S = 0.2


def run(folder: Path) -> Work:
    """Do what a job directory says.

    Raises:
        NotFound, InvalidInput: no such job, or its version is not what was ordered.
        Unavailable: the hub cannot be reached, or the command did not end well: the last of its log is told.
    """
    folder = folder.resolve()
    job = hubjob.load(folder)
    if hubjob.done(job) is not None:
        yield Started(f"job {job.spec.name}", 0)
        yield Finished({"job": job.spec.name, "already": True})
        return
    with files.alone(folder / ".lock", what="somebody runs this job"):
        begun = database.now_ms()
        said = {"at_ms": begun, "host": platform.node(), "pid": os.getpid()}
        files.write(folder / hubjob.STARTED, canonical.encode(said))
        try:
            yield from _data(job)
            yield from _command(job)
            done = _told(job, begun)
        except LamproomError as fault:
            said = {
                "at_ms": database.now_ms(),
                "host": platform.node(),
                "tail": _tail(job),
                "why": fault.line,
            }
            files.write(folder / hubjob.FAILED, canonical.encode(said))
            raise
        files.write(folder / hubjob.DONE, canonical.encode(msgspec.to_builtins(done)))
    yield Finished(
        {"job": job.spec.name, "already": False, "outputs": [w.path for w in done.outputs],
         "seconds": round((done.ended_ms - begun) / 1000, 1)}
    )  # fmt: skip


def _data(job: Opened) -> Work:
    """The version in data/, every byte proved; one that is there is not fetched again."""
    (wanted,) = job.spec.inputs
    said: Any = msgspec.json.decode(wanted.hub)
    hub = Hub(0, "", wanted.version, said["kind"], said["settings"], 0)
    dataset, _, tag = wanted.version.rpartition("@")
    with closing(hubs.plain(hub)) as store:
        found = reading.load(store, dataset, tag)
        if found.digest != wanted.root or found.faults:
            raise InvalidInput(
                "the hub holds another content than the job was ordered for", where=wanted.version,
                remedy="publish it again, then submit a new job",
            )  # fmt: skip
        target = job.folder / "data"
        if not target.exists():
            for event in versions.checkout(store, wanted.version, target):
                if not isinstance(event, Finished):
                    yield event
                elif event.problems:
                    shutil.rmtree(target)
                    raise InvalidInput(
                        f"{event.problems} pictures are not what was frozen", where=wanted.version,
                        remedy=f"`lamproom verify {wanted.version} --hub`",
                    )  # fmt: skip


def _command(job: Opened) -> Work:
    """Run it; Unavailable when it ends otherwise than with 0."""
    part = job.folder / "out.part"
    part.mkdir(exist_ok=True)
    places = {"data": str(job.folder / "data"), "out": str(part), "version": job.spec.inputs[0].version}
    words = [_filled(word, places) for word in job.spec.command]
    env = {**os.environ, **dict(job.spec.env), **{f"LAMPROOM_{k.upper()}": v for k, v in places.items()}}
    yield Started(f"job {job.spec.name}", None)
    begun = time.monotonic()
    with (job.folder / hubjob.LOG).open("ab") as log:
        try:
            child = subprocess.Popen(
                words, cwd=job.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        except OSError as error:
            raise Unavailable(f"the command cannot be started: {error.strerror}", where=words[0]) from error
        try:
            while (code := _ended(child)) is None:
                spent = time.monotonic() - begun
                yield Progress(0, None, f"{spent:.0f} s")
                if spent > 60 * job.spec.resources.minutes:
                    minutes = job.spec.resources.minutes
                    raise Unavailable(f"it ran longer than {minutes} minutes", where=job.spec.name)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    if code != 0:
        raise Unavailable(
            f"the command ended with {code}: {_tail(job)[-300:]}",
            where=job.spec.name,
            remedy="see its log.txt",
        )


def _ended(child: subprocess.Popen[bytes]) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return child.wait(ASK_S)
    return None


def _filled(word: str, places: dict[str, str]) -> str:
    """Our three words alone are filled in: a command may hold braces of its own."""
    for name, value in places.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _told(job: Opened, begun: int) -> Done:
    part, out = job.folder / "out.part", job.folder / "out"
    written = []
    for wanted in job.spec.outputs:
        found = hubjob.described(part / wanted.path, wanted.path, wanted.kind)
        if found is not None:
            written.append(found)
        elif wanted.required:
            raise Unavailable(
                f"the command did not write {wanted.path}", where=job.spec.name, remedy="see its log.txt"
            )
    files.sync_tree(part)
    if out.exists():  # of a run that was killed just before it said so
        shutil.rmtree(out)
    part.rename(out)
    return Done(database.now_ms(), 0, hubjob.DONE_FORMAT, platform.node(), job.digest, tuple(written), begun)


def _tail(job: Opened) -> str:
    try:
        data = (job.folder / hubjob.LOG).read_bytes()[-TAIL:]
    except OSError:
        return ""
    return data.decode(errors="replace").strip()
