"""A real Slurm on loopback for the tests: munged, slurmctld and slurmd of Debian's packages, gone at the end.

Everything lies in one short-named folder of its own (a Unix socket's path is limited) and ends by process id.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@dataclass(frozen=True, slots=True)
class Slurm:
    """A cluster of one node. `conf` is what SLURM_CONF must name for sbatch and its sisters."""

    conf: Path
    node: str

    def ask(self, *line: str) -> str:
        """The output of one of Slurm's commands."""
        env = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": _PATH}
        done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=30, check=False)
        return done.stdout.strip() or done.stderr.strip()


def missing() -> list[str]:
    """Programs of Slurm that this machine lacks."""
    return [name for name in NEEDED if shutil.which(name, path=_PATH) is None]


def _ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _conf(folder: Path, node: str, user: str) -> str:
    controller, daemon = _ports(2)
    return f"""
ClusterName=loopback
SlurmctldHost={socket.gethostname()}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={daemon}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.log
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2,batch_sched_delay=0
MinJobAge=300
KillWait=2
NodeName={node} NodeAddr=127.0.0.1 NodeHostname={socket.gethostname()} CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=short Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def running() -> Iterator[Slurm]:
    """Start the cluster and wait until its node takes jobs.

    Raises:
        RuntimeError: it does not come up here; with what its logs say.
    """
    folder = Path(tempfile.mkdtemp(prefix="lr-sl-"))
    folder.chmod(0o711)  # munged demands that everybody may pass to its socket
    user, node = getpass.getuser(), "pit1"
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o400)
    conf = folder / "slurm.conf"
    conf.write_text(_conf(folder, node, user))
    env = {**os.environ, "SLURM_CONF": str(conf), "PATH": _PATH}
    children: list[subprocess.Popen[bytes]] = []
    cluster = Slurm(conf, node)

    def start(*line: str | Path) -> subprocess.Popen[bytes]:
        log = (folder / f"{line[0]}.out").open("ab")
        with log:
            child = subprocess.Popen(
                [str(x) for x in line], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=folder
            )
        children.append(child)
        return child

    try:
        start(
            "munged", "--foreground", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed",
        )  # fmt: skip
        _wait(lambda: (folder / "munge.socket").exists(), children, folder)
        start("slurmctld", "-D", "-f", conf)
        start("slurmd", "-D", "-f", conf, "-N", node)
        _wait(lambda: cluster.ask("sinfo", "-h", "-o", "%T").startswith("idle"), children, folder)
        yield cluster
    finally:
        for child in reversed(children):
            if child.poll() is None:
                child.terminate()
        for child in reversed(children):
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(ready: object, children: list[subprocess.Popen[bytes]], folder: Path) -> None:
    until = time.monotonic() + 60
    while not ready():  # type: ignore[operator]
        dead = [child for child in children if child.poll() is not None]
        if dead or time.monotonic() > until:
            said = "\n".join(
                f"{p.name}: {p.read_text(errors='replace')[-800:]}" for p in sorted(folder.glob("*.log")) + sorted(folder.glob("*.out"))
            )  # fmt: skip
            raise RuntimeError(f"Slurm does not come up on loopback:\n{said}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            children[0].wait(0.1)
