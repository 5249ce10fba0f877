"""A hub that is an S3-compatible store: one request an object, large ones in parts that survive a kill on either side."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, unescape

from defusedxml import DefusedXmlException, ElementTree
from urllib3.exceptions import HTTPError

from annotation.errors import NotFound, Unavailable
from storage.hub import probe
from storage.hub.store import PIECE, Abilities, Body, Found, Pace, Unfinished, Uploads, Wrong
from storage.hub.wire import Answer, Wire

LEAST_PART = 16 << 20
MOST_PARTS = 9_000
PARTS_AT_ONCE = 8
"""Parts on their way or in memory, of all objects together."""
_CONTENTS = re.compile(rb"<Contents>(.*?)</Contents>", re.DOTALL)
_KEY = re.compile(rb"<Key>([^<]*)</Key>")
_SIZE = re.compile(rb"<Size>([0-9]{1,18})</Size>")
_NEXT = re.compile(rb"<NextContinuationToken>([^<]+)</NextContinuationToken>")
_ENTITIES = {"&quot;": '"', "&apos;": "'", "&#34;": '"', "&#39;": "'"}
RESUMES = 5
"""Times an object is read on where its transfer broke off."""


def part_bytes(size: int) -> int:
    """Size of a part: follows from the object's alone, so that a later run cuts at the same places. 16 MiB up to 140 GiB."""
    least = -(-size // MOST_PARTS)
    return max(LEAST_PART, -(-least // PIECE) * PIECE)


class S3Store:
    """See the module and storage/hub/store.py."""

    near = False

    def __init__(self, wire: Wire, *, threads: int = 32) -> None:
        self.wire, self.threads = wire, threads
        self.where = wire.where
        self.pace = Pace()
        self._abilities: Abilities | None = None
        self._once = threading.Lock()
        self._slots = threading.BoundedSemaphore(PARTS_AT_ONCE)

    # -- asking

    def stat(self, key: str) -> Found | None:
        """See Store."""
        answer = self.wire.ask("HEAD", key, accept=(404,), pace=self.pace)
        if answer.status == 404:
            return None
        etag = answer.headers.get("etag", "").strip('"')
        return Found(int(answer.headers.get("content-length", "-1")), etag, _digests(answer, etag))

    def listing(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See Store."""
        own = len(self.wire.address.prefix)
        query = {"list-type": "2", "max-keys": "1000", "prefix": self.wire.address.prefix + prefix}
        while True:
            answer = self.wire.ask("GET", query=query, pace=self.pace)
            for key, size in _contents(answer, self.where):
                if not key.endswith("/"):
                    yield key[own:], size
            found = _NEXT.search(answer.body)
            token = unescape(found[1].decode()) if found else ""
            if not token or token == query.get("continuation-token"):
                return
            query["continuation-token"] = token

    def get(self, key: str, first: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See Store. A transfer that breaks off is gone on with where it stopped."""
        at, resumed = 0, 0
        while length is None or at < length:
            try:
                with self.wire.stream(key, first + at, None if length is None else length - at) as answer:
                    if answer is None:
                        return
                    honoured = answer.headers.get("content-range", "").startswith(f"bytes {first + at}-")
                    skip = (
                        0 if honoured else first + at
                    )  # a server without ranges begins at 0; some say 200 to a range
                    for piece in answer.stream(PIECE):
                        if skip:
                            skip, piece = max(0, skip - len(piece)), piece[skip:]
                        if length is not None:
                            piece = piece[: length - at]
                        at += len(piece)
                        if piece:
                            yield piece
                        if length is not None and at >= length:
                            break
                return
            except (HTTPError, OSError) as error:
                resumed += 1
                if resumed > RESUMES:
                    raise Unavailable(
                        f"the transfer breaks off: {error}", where=f"{self.where}: {key}"
                    ) from error

    # -- writing

    def put(
        self,
        key: str,
        source: bytes | Body,
        *,
        size: int,
        sha256: str = "",
        md5: str = "",
        create_only: bool = False,
        resume: Uploads | None = None,
    ) -> None:
        """See Store."""
        if isinstance(source, bytes):
            self._put(key, source, size, sha256, md5, create_only)
        elif self.abilities().multipart and size > LEAST_PART:
            self._in_parts(key, source, size, resume)
        else:  # in one request, read once before for its digests
            second, first = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
            for at in range(0, size, PIECE):
                piece = source.read(at, min(PIECE, size - at))
                second.update(piece)
                first.update(piece)
            source.proved()
            self._put(key, source, size, second.hexdigest(), first.hexdigest(), create_only)

    def _put(
        self, key: str, source: bytes | Body, size: int, sha256: str, md5: str, create_only: bool
    ) -> None:
        can = self.abilities()
        sha256 = sha256 or hashlib.sha256(source if isinstance(source, bytes) else b"").hexdigest()
        headers = {"If-None-Match": "*"} if create_only else {}
        if can.checks_sha256:
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        if can.checks_md5:
            known = bytes.fromhex(md5) if md5 else hashlib.md5(source, usedforsecurity=False).digest()  # type: ignore[arg-type]
            headers["Content-MD5"] = base64.b64encode(known).decode()
        self.wire.ask("PUT", key, headers=headers, body=source, size=size, sha256=sha256, pace=self.pace)

    def delete(self, key: str) -> None:
        """See Store."""
        self.wire.ask("DELETE", key, accept=(404,), pace=self.pace)

    # -- large objects

    def _in_parts(self, key: str, source: Body, size: int, resume: Uploads | None) -> None:
        upload, there = self._begun(key, size, resume)
        try:
            tags = self._parts(key, source, size, upload, there)
            source.proved()
        except Wrong:
            self.end(Unfinished(key, upload, None))
            if resume is not None:
                resume.ended(key)
            raise
        except NotFound:  # the server forgot it, or somebody else completed it
            if resume is not None:
                resume.ended(key)
            found = self.stat(key)
            if found is not None and found.size == size:
                return
            raise Unavailable(
                "the hub forgot an upload under way", where=f"{self.where}: {key}", remedy="publish again"
            ) from None
        self._complete(key, size, upload, tags)
        if resume is not None:
            resume.ended(key)

    def _begun(self, key: str, size: int, resume: Uploads | None) -> tuple[str, dict[int, tuple[str, int]]]:
        """An upload of this object and the parts it has: one that was begun before, by whoever, or a new one."""
        known = resume.known(key) if resume is not None else None
        candidates = [known[0]] if known else []
        candidates += [
            u.upload_id for u in self._uploads(key) if u.key == key and u.upload_id not in candidates
        ]
        for upload in candidates:
            try:
                return upload, self._listed(key, upload)
            except NotFound:
                continue
        answer = _xml(self.wire.ask("POST", key, query={"uploads": ""}, pace=self.pace), self.where)
        upload = answer.findtext("UploadId", "")
        if resume is not None:
            resume.begun(key, upload, part_bytes(size))
        return upload, {}

    def _listed(self, key: str, upload: str) -> dict[int, tuple[str, int]]:
        """Parts that the server has: number -> (tag, bytes)."""
        found: dict[int, tuple[str, int]] = {}
        query = {"uploadId": upload}
        while True:
            page = _xml(self.wire.ask("GET", key, query=query, pace=self.pace), self.where)
            for part in page.iter("Part"):
                number, size = part.findtext("PartNumber", ""), part.findtext("Size", "")
                if number.isdigit() and size.isdigit():
                    found[int(number)] = part.findtext("ETag", "").strip('"'), int(size)
            marker = page.findtext("NextPartNumberMarker", "")
            if page.findtext("IsTruncated") != "true" or marker in ("", query.get("part-number-marker")):
                return found
            query["part-number-marker"] = marker

    def _parts(
        self, key: str, source: Body, size: int, upload: str, there: dict[int, tuple[str, int]]
    ) -> list[str]:
        """Send the parts that are not there yet; the tags of all, in order."""
        each = part_bytes(size)
        count = -(-size // each)
        tags: list[str | Future[str]] = []
        with ThreadPoolExecutor(min(count, PARTS_AT_ONCE), "hub-part") as workers:
            try:
                for number in range(1, count + 1):
                    at = (number - 1) * each
                    self._slots.acquire()
                    try:
                        data = source.read(at, min(each, size - at))
                        tag, n = there.get(number, ("", 0))
                        if n == len(data) and tag == hashlib.md5(data, usedforsecurity=False).hexdigest():
                            tags.append(tag)
                            self._slots.release()
                            continue
                        future = workers.submit(self._part, key, upload, number, data)
                    except BaseException:
                        self._slots.release()
                        raise
                    future.add_done_callback(lambda _: self._slots.release())
                    tags.append(future)
                    for made in tags:
                        if isinstance(made, Future) and made.done():
                            made.result()
                return [made.result() if isinstance(made, Future) else made for made in tags]
            except BaseException:
                workers.shutdown(wait=True, cancel_futures=True)
                raise

    def _part(self, key: str, upload: str, number: int, data: bytes) -> str:
        can = self.abilities()
        second = hashlib.sha256(data)
        headers = {}
        if can.checks_sha256:
            headers["x-amz-checksum-sha256"] = base64.b64encode(second.digest()).decode()
        elif can.checks_md5:
            headers["Content-MD5"] = base64.b64encode(
                hashlib.md5(data, usedforsecurity=False).digest()
            ).decode()
        answer = self.wire.ask(
            "PUT", key, query={"partNumber": str(number), "uploadId": upload}, headers=headers, body=data,
            sha256=second.hexdigest(), pace=self.pace,
        )  # fmt: skip
        return answer.headers.get("etag", "").strip('"')

    def _complete(self, key: str, size: int, upload: str, tags: list[str]) -> None:
        parts = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>&quot;{escape(tag)}&quot;</ETag></Part>"
            for n, tag in enumerate(tags, 1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = self.wire.ask(
            "POST", key, query={"uploadId": upload}, body=body, accept=(404,), pace=self.pace
        )
        found = self.stat(key)
        if answer.code or found is None or found.size != size:  # a fault may come with status 200
            raise Unavailable(
                f"the hub did not put the parts together: {answer.code or 'no object of that size'}",
                where=f"{self.where}: {key}", remedy="publish again: the parts are kept",
            )  # fmt: skip

    def _uploads(self, prefix: str) -> Iterator[Unfinished]:
        own = len(self.wire.address.prefix)
        query = {"uploads": "", "prefix": self.wire.address.prefix + prefix}
        while True:
            page = _xml(self.wire.ask("GET", query=query, pace=self.pace), self.where)
            for item in page.iter("Upload"):
                key = item.findtext("Key", "")
                yield Unfinished(
                    key[own:], item.findtext("UploadId", ""), _age_s(item.findtext("Initiated", ""))
                )
            marker = page.findtext("NextKeyMarker", "")
            if page.findtext("IsTruncated") != "true" or marker in ("", query.get("key-marker")):
                return
            query["key-marker"] = marker
            query["upload-id-marker"] = page.findtext("NextUploadIdMarker", "")

    def abandoned(self) -> Iterator[Unfinished]:
        """See Store."""
        return self._uploads("")

    def end(self, upload: Unfinished) -> None:
        """See Store."""
        self.wire.ask(
            "DELETE", upload.key, query={"uploadId": upload.upload_id}, accept=(404,), pace=self.pace
        )

    # -- the rest

    def abilities(self) -> Abilities:
        """See Store."""
        with self._once:
            if self._abilities is None:
                self._abilities = probe.probe(self.wire)
            return self._abilities

    def settle(self) -> None:
        """See Store: what a server took it keeps by itself."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See Store: a server cannot tell. Two publishers write the same bytes; the root is created by one of them."""
        yield

    def close(self) -> None:
        """See Store."""
        self.wire.close()


def _contents(answer: Answer, where: str) -> Iterator[tuple[str, int]]:
    """Names and sizes of a listing. Read by pattern, five times as fast as by a parser; by one when that does not fit."""
    found = _CONTENTS.findall(answer.body)
    pairs = [(_KEY.search(one), _SIZE.search(one)) for one in found]
    if len(found) != answer.body.count(b"<Contents") or not all(k and n for k, n in pairs):
        for item in _xml(answer, where).iter("Contents"):
            if (size := item.findtext("Size", "")).isdigit():
                yield item.findtext("Key", ""), int(size)
        return
    for named, sized in pairs:
        assert named is not None and sized is not None
        name = named[1].decode(errors="replace")
        yield (unescape(name, _ENTITIES) if "&" in name else name), int(sized[1])


def _xml(answer: Answer, where: str) -> Element:
    """An answer without its namespaces."""
    try:
        tree: Any = ElementTree.fromstring(answer.body)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise Unavailable(f"the hub's answer cannot be read: {error}", where=where) from error
    for item in tree.iter():
        item.tag = item.tag.rpartition("}")[2]
    return tree  # type: ignore[no-any-return]


def _digests(answer: Answer, etag: str) -> dict[str, str]:
    found = {}
    if len(etag) == 32 and set(etag) <= set("0123456789abcdef"):
        found["md5"] = etag
    if text := answer.headers.get("x-amz-checksum-sha256"):
        try:
            found["sha256"] = base64.b64decode(text, validate=True).hex()
        except ValueError:
            pass
    return found


def _age_s(text: str) -> float | None:
    try:
        begun = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    begun = begun if begun.tzinfo else begun.replace(tzinfo=UTC)
    return max(time.time() - begun.timestamp(), 0.0)
