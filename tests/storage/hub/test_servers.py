"""Rules of every server: what it can do is found out, what is missing is sent and nothing else, what lies there is proved."""

from __future__ import annotations

import random
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from annotation.errors import Conflict, InvalidInput, LamproomError, NotFound, Unavailable
from storage.hub import package as packages
from storage.hub import reading
from storage.hub.publish import Plan
from storage.hub.s3 import LEAST_PART, S3Store, part_bytes
from storage.hub.store import Unfinished
from storage.hub.wire import Address, Wire
from tests.storage.hub.conftest import Server
from tests.storage.hub.sets import made, pictures


@pytest.fixture(params=["weed_server", "moto_server", "rclone_server"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


def test_a_strong_server_is_seen_to_check_and_a_weaker_one_not_to(weed_server: Server) -> None:
    can = weed_server.store().abilities()
    assert (can.create_only, can.checks_md5, can.checks_sha256, can.multipart, can.range, can.lists) == (
        True,
    ) * 6
    assert not can.weak and 0 < can.round_trip_s < 5


def test_a_version_sent_to_any_server_verifies_there_and_sends_nothing_again(server: Server) -> None:
    hub, version = server.store(prefix="数据/"), made(pictures(30))
    last = version.send(hub)[-1]
    assert (last.done, last.total, last.objects) == (30, 30, last.of_objects) and last.objects > 30
    assert version.faults(hub) == []
    assert reading.listing(hub) == [("掘进面-3", "v1")]
    version.reads.clear()
    assert version.send(hub)[-1].objects == 0 and version.reads == []


def test_another_content_under_a_published_tag_is_refused_by_any_server(server: Server) -> None:
    hub = server.store()
    made(pictures(3)).send(hub)
    with pytest.raises(Conflict, match="already with another content"):
        made(pictures(4, seed=1)).send(hub)


@pytest.mark.parametrize("n", [12, 60], ids=["asked one by one", "by listing"])
def test_what_was_damaged_cut_or_taken_away_is_named_and_sent_again(server: Server, n: int) -> None:
    hub, version = server.store(), made(pictures(n))
    version.send(hub)
    first, second, third, *_ = version.media
    data = version.media[first]
    assert isinstance(data, bytes)
    hub.put(packages.object_key(first), data[:-1] + b"!", size=len(data))
    hub.delete(packages.object_key(second))
    hub.put(packages.object_key(third), b"cut", size=3)
    faults = version.faults(hub)
    assert len(faults) == 3 and sum("not those that were frozen" in f for f in faults) == 1
    hub.delete(packages.object_key(first))
    assert version.send(hub)[-1].objects == 3 and version.faults(hub) == []


def test_a_range_of_an_object_is_what_was_asked_for(server: Server) -> None:
    hub, data = server.store(), random.Random(1).randbytes(100_000)
    hub.put("objects/x", data, size=len(data))
    for first, length in ((0, None), (0, 10), (99_990, 100), (5_000, 20_000), (99_999, 1)):
        assert b"".join(hub.get("objects/x", first, length)) == data[first:][:length]
    with pytest.raises(NotFound):
        b"".join(hub.get("objects/y"))
    assert hub.stat("objects/y") is None
    found = hub.stat("objects/x")
    assert found is not None and found.size == len(data)


def test_a_listing_gives_every_name_with_its_size_over_all_pages(weed_server: Server) -> None:
    hub = weed_server.store(prefix="p/q/", threads=16)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(16) as workers:
        list(
            workers.map(lambda i: hub.put(f"objects/{i % 16:02x}/{i:04d}", b"x" * i, size=i), range(1, 1_103))
        )
    assert dict(hub.listing("objects/")) == {f"objects/{i % 16:02x}/{i:04d}": i for i in range(1, 1_103)}


def test_a_large_file_goes_in_parts_and_a_resumed_one_sends_only_the_rest(
    weed_server: Server, tmp_path: Path
) -> None:
    size = 2 * LEAST_PART + 12_345
    assert part_bytes(size) == LEAST_PART and part_bytes(1 << 40) <= 128 << 20
    path = tmp_path / "large.mp4"
    path.write_bytes(random.Random(2).randbytes(size))
    version, hub = made([("large.mp4", path)], kind="video/mp4"), weed_server.store()
    (b3,) = version.media
    key = packages.object_key(b3)
    data = path.read_bytes()
    begun = hub.wire.ask("POST", key, query={"uploads": ""})
    upload = begun.body.split(b"<UploadId>")[1].split(b"<")[0].decode()
    hub._part(key, upload, 2, data[LEAST_PART : 2 * LEAST_PART])
    sent: list[str] = []
    real = hub._part

    def counted(key: str, upload: str, number: int, data: bytes) -> str:
        sent.append(f"{upload} {number}")
        return real(key, upload, number, data)

    hub._part = counted  # type: ignore[method-assign]
    version.send(hub)
    assert sorted(sent) == [f"{upload} 1", f"{upload} 3"]
    assert version.faults(hub) == [] and list(hub.abandoned()) == []


def test_an_upload_whose_source_changed_is_ended_and_named(weed_server: Server, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    path.write_bytes(random.Random(3).randbytes(LEAST_PART + 5))
    version, hub = made([("large.mp4", path)], kind="video/mp4"), weed_server.store()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"changed")
    with pytest.raises(InvalidInput, match="1 of 1 assets"):
        version.send(hub)
    assert list(hub.abandoned()) == []


def test_uploads_that_nobody_ended_are_seen_and_can_be_ended(weed_server: Server) -> None:
    hub = weed_server.store()
    hub.wire.ask("POST", "objects/ab/x", query={"uploads": ""})
    (found,) = hub.abandoned()
    assert found.key == "objects/ab/x" and found.age_s is not None and found.age_s < 3_600
    hub.end(found)
    hub.end(Unfinished("objects/ab/x", found.upload_id, None))
    assert list(hub.abandoned()) == []


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        ({"access": "nobody"}, "does not know the access key"),
        ({"secret": "wrong"}, "does not accept the secret key"),
    ],
)
def test_wrong_keys_are_told_apart_in_one_line(weed_server: Server, ask: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        weed_server.store(**ask).abilities()  # type: ignore[arg-type]
    assert "lampsecret" not in caught.value.line and "\n" not in caught.value.line


def test_a_bucket_that_is_not_there_is_named(moto_server: Server) -> None:
    with pytest.raises(NotFound, match="no such bucket"):
        moto_server.store(bucket="nobody-made-this").abilities()


def test_a_server_that_is_not_there_or_speaks_no_tls_is_unreachable_and_not_a_traceback(
    weed_server: Server,
) -> None:
    for address in ("http://127.0.0.1:9", f"https://127.0.0.1:{weed_server.port}"):
        with pytest.raises(Unavailable) as caught:
            S3Store(Wire(Address(address, "bucket"), "a", "b", patience_s=0.2)).abilities()
        assert isinstance(caught.value, LamproomError) and "bucket" in caught.value.line


def test_small_files_in_packs_are_read_verified_and_not_sent_again(server: Server) -> None:
    hub, version = server.store(), made(pictures(60))
    if not (hub.abilities().range and hub.abilities().lists):
        pytest.skip("this server cannot hold packs")
    last = version.send(hub, Plan(pack=True, pack_bytes=60_000))[-1]
    packs = [k for k, _ in hub.listing("packs/")]
    assert last.objects == last.of_objects and len([k for k in packs if k.endswith(".index")]) > 1
    assert not list(hub.listing("objects/"))
    assert version.faults(hub) == []
    assert version.send(hub, Plan(pack=True))[-1].objects == 0
    assert version.send(hub)[-1].objects == 0, "without packs, what lies in them is there too"


def test_a_changed_model_costs_its_changed_part_and_reads_back_whole(
    weed_server: Server, tmp_path: Path
) -> None:
    data = random.Random(7).randbytes(9 << 20)
    one, two = tmp_path / "one.ply", tmp_path / "two.ply"
    one.write_bytes(data)
    two.write_bytes(data[: 4 << 20] + b"a vertex moved" + data[4 << 20 :])
    hub, plan = weed_server.store(), {"cut_bytes": 1 << 20}
    first = made([("面.ply", one)], kind="model/ply")
    whole = first.send(hub, Plan(place=first.place, **plan))[-1].size
    second = made([("面.ply", two)], tag="v2", kind="model/ply")
    part = second.send(hub, Plan(place=second.place, **plan))[-1].size
    assert whole > len(data) and part < whole / 3
    assert first.faults(hub) == second.faults(hub) == []
    assert not {key for key, size in hub.listing("objects/") if size > 5 << 20}
    assert second.send(hub, Plan(place=second.place, **plan))[-1].objects == 0
    (b3,) = second.media
    pieces = [key for key, _ in hub.listing(packages.pieces_key(b3))]
    hub.delete(pieces[0])
    assert second.send(hub, Plan(place=second.place, **plan))[-1].objects > 0 and second.faults(hub) == []


def test_clocks_that_are_apart_are_named_with_the_minutes(
    weed_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    import botocore.auth

    real = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **kw: real(*a, **kw) - timedelta(minutes=47)
    )
    with pytest.raises(InvalidInput, match="minutes apart"):
        weed_server.store(bucket="any-bucket").abilities()


def test_a_certificate_that_nobody_vouches_for_is_named_and_its_authority_can_be_given(
    tmp_path: Path,
) -> None:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made_cert = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, None)
    )  # fmt: skip
    pem = tmp_path / "ca.pem"
    pem.write_bytes(made_cert.public_bytes(Encoding.PEM))
    both = tmp_path / "both.pem"
    both.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem.read_bytes())

    class No(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), No)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        for ca, says in (("", "certificate is not trusted"), (str(pem), "not allowed to do this")):
            wire = Wire(
                Address(f"https://127.0.0.1:{server.server_port}", "bucket", ca=ca), "a", "b", patience_s=5
            )
            with pytest.raises(LamproomError, match=says):
                S3Store(wire).abilities()
            wire.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
