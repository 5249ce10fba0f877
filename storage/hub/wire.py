"""Requests to an S3 server: signed by botocore, carried by one urllib3 pool, tried again with patience, refused in one line.

Signature: AWS Signature Version 4, always over the SHA-256 of the body, so a server that looks at it finds what was
changed on the way. What boto3, obstore and this cost side by side is in storage/DECISIONS.md.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from annotation.errors import Conflict, InvalidInput, LamproomError, NotFound, Unavailable
from storage.hub.store import Body, Pace

NOTHING = hashlib.sha256(b"").hexdigest()
MAX_ANSWER = 64 << 20
"""Bytes of an answer that is no object: a listing or a fault."""
CHANGED_TRIES = 4
"""Times a body is sent when the server says that other bytes arrived."""
_SLICE = 1 << 16
_CHANGED = {
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "IncompleteBody",
    "InvalidDigest",
}
_LATER = {
    "SlowDown",
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
    "ServerBusy",
}
_FULL = re.compile(r"no space|disk full|insufficient storage|storage ?full|quota", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a bucket is. prefix ends with '/' or is empty; virtual: the bucket is part of the host's name; ca: a PEM file."""

    endpoint: str
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    virtual: bool = False
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. `code` is its word for a fault, "" when there is none."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    code: str = ""
    message: str = ""


class _Signer(S3SigV4Auth):  # type: ignore[misc]
    """Takes the body's SHA-256 as it is known, and does not read the body."""

    def payload(self, request: Any) -> str:
        return str(request.context["sha256"])


class _Slices:
    """A body handed to the socket slice by slice, no faster than the pace allows."""

    def __init__(self, source: bytes | Body, size: int, pace: Pace) -> None:
        self._source, self._size, self._pace, self._at = source, size, pace, 0

    def read(self, n: int = -1) -> bytes:
        n = min(_SLICE if n < 0 else min(n, _SLICE), self._size - self._at)
        if n <= 0:
            return b""
        self._pace.take(n)
        source = self._source
        data = source[self._at : self._at + n] if isinstance(source, bytes) else source.read(self._at, n)
        self._at += n
        return data


class Wire:
    """One bucket, seen through signed requests; for several threads at once."""

    def __init__(
        self,
        address: Address,
        access: str,
        secret: str,
        *,
        token: str = "",
        threads: int = 32,
        patience_s: float = 60.0,
    ) -> None:
        host = urlsplit(address.endpoint)
        if host.scheme not in ("http", "https") or not host.netloc or host.path.strip("/") or host.query:
            raise InvalidInput(
                "this is no address of a server", where=address.endpoint,
                remedy="for example https://s3.example.org or http://10.0.0.5:8333",
            )  # fmt: skip
        self.address, self.where = address, f"{address.endpoint}/{address.bucket}"
        self._patience_s = patience_s
        self._signer = _Signer(Credentials(access, secret, token or None), "s3", address.region)
        self._pool = urllib3.PoolManager(
            maxsize=threads, retries=False, timeout=urllib3.Timeout(connect=10, read=120), blocksize=_SLICE,
            ca_certs=address.ca or None,
        )  # fmt: skip
        base = (
            f"{host.scheme}://{address.bucket}.{host.netloc}"
            if address.virtual
            else f"{host.scheme}://{host.netloc}"
        )
        self._base = base if address.virtual else f"{base}/{quote(address.bucket)}"

    def close(self) -> None:
        """Close every connection."""
        self._pool.clear()

    def ask(
        self,
        method: str,
        key: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body = b"",
        size: int | None = None,
        sha256: str = "",
        accept: Sequence[int] = (),
        pace: Pace | None = None,
        once: bool = False,
    ) -> Answer:
        """One request, tried again while that may help.

        Args:
            key: of an object below the prefix; None = the bucket itself.
            sha256: of the body where it is known; a `Body` needs it. size: of a `Body`.
            accept: statuses besides 2xx that are answers and no faults. once: whatever it says is the answer.

        Raises:
            InvalidInput: the server refuses us. Unavailable: it cannot be reached or goes on failing.
            NotFound: 404 that is not accepted. Conflict: 409 or 412 that is not accepted.
        """
        length = size if size is not None else len(body) if isinstance(body, bytes) else body.size
        digest = sha256 or (hashlib.sha256(body).hexdigest() if isinstance(body, bytes) and body else NOTHING)
        deadline, tried, changed = time.monotonic() + self._patience_s, 0, 0
        while True:
            if pace is not None and pace.stopped:
                pace.take(0)
            paced = (
                pace is not None
                and length > 0
                and (pace.limit or pace.closed_s or not isinstance(body, bytes))
            )
            sent: Any = (
                _Slices(body, length, pace or Pace())
                if paced or not isinstance(body, bytes)
                else body or None
            )
            fault: LamproomError
            try:
                with self._sent(method, key, query, headers, sent, length, digest) as response:
                    answer = _answer(response)
                if once or 200 <= answer.status < 300 or answer.status in accept:
                    return answer
                fault = self._refused(answer, key)
                if answer.code in _CHANGED:
                    changed += 1
                    if changed >= CHANGED_TRIES:
                        raise fault
                elif not (answer.status >= 500 or answer.status in (408, 429) or answer.code in _LATER):
                    raise fault
            except (HTTPError, OSError) as error:
                fault = self._unreachable(error)
                if once or _is_final(error):
                    raise fault from error
            tried += 1
            rest = min(0.1 * 2**tried, 8.0) * random.uniform(0.5, 1.0)
            if time.monotonic() + rest > deadline:
                raise fault
            (pace or Pace()).pause(rest)

    @contextmanager
    def stream(self, key: str, first: int, length: int | None) -> Iterator[Any]:
        """The open answer of a GET: `.status` 200 or 206, `.stream()`. Tried again until its head is there.

        Raises:
            NotFound: there is no such object.
        """
        headers = (
            {}
            if not first and length is None
            else {"Range": f"bytes={first}-{'' if length is None else first + length - 1}"}
        )
        deadline, tried = time.monotonic() + self._patience_s, 0
        while True:
            try:
                with self._sent("GET", key, None, headers, None, 0, NOTHING) as response:
                    if response.status in (200, 206):
                        yield response
                        return
                    answer = _answer(response)
                    if answer.status == 416:  # a range behind the end
                        yield None
                        return
                    fault = self._refused(answer, key)
                    if answer.status < 500 and answer.status not in (408, 429):
                        raise fault
            except (HTTPError, OSError) as error:
                fault = self._unreachable(error)
                if _is_final(error):
                    raise fault from error
            tried += 1
            rest = min(0.1 * 2**tried, 8.0) * random.uniform(0.5, 1.0)
            if time.monotonic() + rest > deadline:
                raise fault
            Pace().pause(rest)

    @contextmanager
    def _sent(self, method: str, key: str | None, query: Mapping[str, str] | None, headers: Mapping[str, str] | None,
              body: Any, length: int, digest: str) -> Iterator[Any]:  # fmt: skip
        path = "/" if key is None else "/" + quote(self.address.prefix + key, safe="/-_.~")
        url = self._base if path == "/" and not self.address.virtual else self._base + path
        if query:
            url += "?" + "&".join(
                f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(query.items())
            )
        request = AWSRequest(method, url, headers=dict(headers or {}))
        request.context["sha256"] = digest
        self._signer.add_auth(request)
        head = dict(request.headers.items())
        if body is not None or method in ("PUT", "POST"):
            head["Content-Length"] = str(length)
        response = self._pool.request(
            method, url, body=body, headers=head, preload_content=False, redirect=False, decode_content=False
        )
        try:
            yield response
            response.drain_conn()
        except BaseException:
            response.close()  # what is left of the answer is not read for the sake of the connection
            raise
        finally:
            response.release_conn()

    def _refused(self, answer: Answer, key: str | None) -> LamproomError:
        code, where = answer.code, self.where
        told = f"{answer.status} {code}".strip()
        remedies = "`lamproom hub add` again with the right keys"
        if code in ("InvalidAccessKeyId",):
            return InvalidInput("the hub does not know the access key", where=where, remedy=remedies)
        if code == "SignatureDoesNotMatch":
            return InvalidInput("the hub does not accept the secret key", where=where, remedy=remedies)
        if code == "RequestTimeTooSkewed" or (answer.status == 403 and _skew_s(answer) > 900):
            return InvalidInput(
                f"the clock of this machine and that of the hub are {round(_skew_s(answer) / 60)} minutes apart",
                where=where, remedy="set the clock that is wrong",
            )  # fmt: skip
        if code in ("AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"):
            return InvalidInput(
                f"the bucket is in another region: {answer.message[:200]}",
                where=where,
                remedy="give its region: --region",
            )
        if code == "NoSuchBucket":
            return NotFound(
                "there is no such bucket", where=where, remedy="make it at the hub, or name another"
            )
        if answer.status in (401, 403):
            return InvalidInput(
                f"the key is not allowed to do this ({told})",
                where=where,
                remedy="ask for read, write and list on the bucket",
            )
        if answer.status == 507 or _FULL.search(f"{code} {answer.message}"):
            return Unavailable("the hub's disk is full", where=where, remedy="make room, then publish again")
        if code in _CHANGED:
            return Unavailable(
                f"the bytes are changed on their way to the hub ({told})", where=where,
                remedy="check the line and what stands between; use https",
            )  # fmt: skip
        if answer.status == 404:
            return NotFound("it is missing", where=key or where)
        if answer.status in (409, 412):
            return Conflict("there is something of this name already", where=key or where)
        if answer.status >= 500:
            return Unavailable(
                f"the hub fails: {told}",
                where=where,
                remedy="its disk may be full or its parts down; try again later",
            )
        return InvalidInput(
            f"the hub refuses the request: {told} {answer.message[:200]}".rstrip(), where=where
        )

    def _unreachable(self, error: Exception) -> LamproomError:
        reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        if isinstance(reason, SSLError):
            return Unavailable(
                "the hub's certificate is not trusted", where=self.where,
                remedy="give the authority's certificate: --ca FILE; or use an address it is made for",
            )  # fmt: skip
        text = str(reason).rsplit(": ", 1)[-1][:160]
        return Unavailable(
            f"the hub cannot be reached: {text}", where=self.where, remedy="check address, network and server"
        )


def _is_final(error: Exception) -> bool:
    reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    return isinstance(reason, SSLError)


def _answer(response: Any) -> Answer:
    data = response.read(MAX_ANSWER + 1)
    if len(data) > MAX_ANSWER:
        raise Unavailable(f"the hub's answer is larger than {MAX_ANSWER} bytes")
    headers = {k.lower(): v for k, v in response.headers.items()}
    code = message = ""
    if b"<Error>" in data[:400]:
        code, message = _tag(data, b"Code"), _tag(data, b"Message")
    elif response.status >= 400 and not data:  # an answer to HEAD has no body
        code = {403: "Forbidden", 404: ""}.get(response.status, "")
    return Answer(response.status, headers, data, code, message)


def _tag(data: bytes, name: bytes) -> str:
    found = re.search(rb"<%b>([^<]{0,500})</%b>" % (name, name), data)
    return found[1].decode(errors="replace") if found else ""


def _skew_s(answer: Answer) -> float:
    try:
        there = parsedate_to_datetime(answer.headers.get("date", ""))
        return abs((datetime.now(UTC) - there).total_seconds())
    except (ValueError, TypeError):
        return 0.0
