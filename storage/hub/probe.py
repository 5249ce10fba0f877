"""What an S3 server really does, found out with objects of a few bytes: not what its name or its manual says."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from contextlib import suppress

from annotation.errors import LamproomError, Unavailable
from storage.hub.store import Abilities
from storage.hub.wire import Wire

GOOD, OTHER = b"lamproom asks", b"lamproom lies"
_FALSE_MD5 = base64.b64encode(hashlib.md5(OTHER, usedforsecurity=False).digest()).decode()
_FALSE_SHA256 = base64.b64encode(hashlib.sha256(OTHER).digest()).decode()


def probe(wire: Wire) -> Abilities:
    """Try every ability on names of its own, which are taken away again.

    Raises:
        Unavailable, InvalidInput, NotFound: it cannot be reached, refuses us, or does not keep what it takes.
    """
    name = f".lamproom-probe/{secrets.token_hex(8)}"
    used = [name, f"{name}-new"]
    try:
        wire.ask("PUT", name, body=GOOD)
        round_trip_s = 60.0
        for _ in range(2):
            begin = time.monotonic()
            kept = wire.ask("GET", name, accept=(404,)).body
            round_trip_s = min(round_trip_s, time.monotonic() - begin)
        if kept != GOOD:
            raise Unavailable(
                "the hub takes objects and does not keep them",
                where=wire.where,
                remedy="have the server looked after",
            )
        md5 = _refuses(wire, name, {"Content-MD5": _FALSE_MD5})
        sha256 = _refuses(wire, name, {"x-amz-checksum-sha256": _FALSE_SHA256})
        return Abilities(
            create_only=_creates_once(wire, name),
            checks_md5=md5,
            checks_sha256=sha256,
            multipart=_takes_parts(wire, name, md5=md5, sha256=sha256),
            range=_reads_ranges(wire, name),
            lists=_lists(wire, name),
            round_trip_s=round_trip_s,
        )
    finally:
        for key in used:
            with suppress(LamproomError):
                wire.ask("DELETE", key, once=True)


def _refuses(wire: Wire, name: str, headers: dict[str, str]) -> bool:
    """Whether bytes with a false digest are refused, for that reason and not for the header."""
    return 400 <= wire.ask("PUT", name, body=GOOD, headers=headers, once=True).status < 500


def _creates_once(wire: Wire, name: str) -> bool:
    only = {"If-None-Match": "*"}
    first = wire.ask("PUT", f"{name}-new", body=GOOD, headers=only, once=True).status
    second = wire.ask("PUT", f"{name}-new", body=OTHER, headers=only, once=True).status
    return (
        200 <= first < 300 and second in (409, 412) and wire.ask("GET", f"{name}-new", once=True).body == GOOD
    )


def _reads_ranges(wire: Wire, name: str) -> bool:
    answer = wire.ask("GET", name, headers={"Range": "bytes=2-5"}, once=True)
    return answer.body == GOOD[2:6]


def _lists(wire: Wire, name: str) -> bool:
    query = {"list-type": "2", "prefix": wire.address.prefix + name}
    answer = wire.ask("GET", query=query, once=True)
    return answer.status == 200 and f"<Key>{wire.address.prefix}{name}</Key>".encode() in answer.body


def _takes_parts(wire: Wire, name: str, *, md5: bool, sha256: bool) -> bool:
    """Whether objects can be sent in parts that can be listed, and parts are looked at as closely as whole objects."""
    begun = wire.ask("POST", name, query={"uploads": ""}, once=True)
    start, end = begun.body.find(b"<UploadId>"), begun.body.find(b"</UploadId>")
    if begun.status != 200 or start < 0 or end < start:
        return False
    upload = begun.body[start + 10 : end].decode(errors="replace")
    query = {"partNumber": "1", "uploadId": upload}
    try:
        false = (
            {"x-amz-checksum-sha256": _FALSE_SHA256}
            if sha256
            else {"Content-MD5": _FALSE_MD5}
            if md5
            else None
        )
        if false and wire.ask("PUT", name, query=query, body=GOOD, headers=false, once=True).status < 400:
            return False
        if wire.ask("PUT", name, query=query, body=GOOD, once=True).status != 200:
            return False
        listed = wire.ask("GET", name, query={"uploadId": upload}, once=True)
        under_way = wire.ask("GET", query={"uploads": "", "prefix": wire.address.prefix + name}, once=True)
        return (
            listed.status == 200 and b"<PartNumber>1</PartNumber>" in listed.body and under_way.status == 200
        )
    finally:
        wire.ask("DELETE", name, query={"uploadId": upload}, once=True)
