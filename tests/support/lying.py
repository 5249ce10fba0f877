"""A proxy before a real server that lies: flips a byte on the way, says yes and keeps nothing, breaks off. Loopback only."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Change = Callable[[str, str, bytes], bytes]
"""(method, path, body) -> the body that goes on; one that is shorter: the connection breaks off instead."""
Say = Callable[[str, str], "tuple[int, bytes] | None"]
"""(method, path) -> the status and body that the client is told, and the server is not asked; None: it is."""


@dataclass
class Proxy:
    """See the module. up: what becomes of bodies on their way to the server; down: of those on their way back."""

    port: int = 0
    up: Change = field(default=lambda method, path, body: body)
    down: Change = field(default=lambda method, path, body: body)
    say: Say = field(default=lambda method, path: None)


@contextmanager
def lying(server_port: int) -> Iterator[Proxy]:
    """A proxy that tells the truth until it is told otherwise."""
    proxy, guard = Proxy(), threading.Lock()
    open_: set[socket.socket] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            with guard:
                open_.add(self.connection)

        def finish(self) -> None:
            with guard:
                open_.discard(self.connection)
            with suppress(OSError):
                super().finish()

        def log_message(self, *_: object) -> None:
            pass

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if (said := proxy.say(self.command, self.path)) is not None:
                self._answer(said[0], {"ETag": '"0"'}, said[1])
                return
            sent = proxy.up(self.command, self.path, body)
            if len(sent) < len(body):  # broken off
                self.close_connection = True
                return
            # The signature covers the client's host, which names this proxy: it is handed on as it is.
            there = HTTPConnection("127.0.0.1", server_port, timeout=60)
            there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                there.putheader(name, value)
            there.endheaders(sent or None)
            answer = there.getresponse()
            data = answer.read()
            there.close()
            if self.command != "HEAD":
                data = proxy.down(self.command, self.path, data)
            self._answer(answer.status, dict(answer.getheaders()), data)

        def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response_only(status)
            length = headers.get("Content-Length") if self.command == "HEAD" else str(len(data))
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            if length is not None:
                self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # every thread has ended when the proxy has

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away is no fault of the proxy."""

    server = Server(("127.0.0.1", 0), Handler)
    proxy.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        with guard:
            for connection in open_:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        server.server_close()
        thread.join()
