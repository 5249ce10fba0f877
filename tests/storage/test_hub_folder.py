"""Rules of a folder hub: only what is missing is written, the root comes last, and it proves itself alone."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from annotation.errors import Conflict, InvalidInput, NotFound
from storage import files, manifest, seal
from storage.hub import folder, reading
from storage.hub import package as packages
from storage.hub import publish as publishing
from storage.hub.folder import FolderStore
from storage.hub.package import Package
from storage.hub.publish import Sent
from storage.manifest import Entry, Fact, Object, SchemaRef


class Source:
    """A version to publish: media and chunk objects in memory."""

    def __init__(
        self, key: Ed25519PrivateKey, names: Iterable[str] = (), dataset: str = "掘进面-3", tag: str = "v1"
    ) -> None:
        self.key, self.dataset, self.tag = key, dataset, tag
        self.media: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.names = list(names) or [f"a/{i}.jpg" for i in range(60)]

    def put(self, data: bytes) -> str:
        name = blake3(data).hexdigest()
        self.objects[name] = data
        return name

    def get(self, name: str) -> bytes:
        return self.objects[name]

    def read_media(self, fact: Fact) -> Iterator[bytes]:
        self.reads.append(fact.key)
        data = self.media[fact.asset]
        yield data[:5]
        yield data[5:]

    def entry(self, name: str, n: int = 1) -> Entry:
        data = f"bytes of {name}".encode()
        b3 = blake3(data).hexdigest()
        self.media[b3] = data
        fact = Fact(b3, f"r/{name}", "image/jpeg", hashlib.sha256(data).hexdigest(), len(data), (4, 3))
        uid = random.Random(name).getrandbits(128)
        objects = [Object(bbox=(0, 0, 1, i), kind="box", label="person", origin="human", uid=f"{uid + i:032x}")
                   for i in range(n)]  # fmt: skip
        return manifest.entry(fact, objects)

    def package(self, entries: Iterable[Entry] | None = None) -> Package:
        entries = entries if entries is not None else (self.entry(n) for n in self.names)
        documents = {"schema.toml": b"# schema", "lineage.json": b"{}", "card.md": "# 面".encode()}
        schema = SchemaRef(blake3=blake3(documents["schema.toml"]).hexdigest(), code="coal_mine", number=1)
        chunks = manifest.write(sorted(entries, key=lambda e: e.key), self.put)
        root = manifest.root_bytes(manifest.root(chunks, dataset=self.dataset, schema=schema))
        key = self.key
        statement = packages.package_bytes(self.dataset, self.tag, root, documents)
        return Package(
            self.dataset,
            self.tag,
            root,
            key.sign(root),
            seal.public_bytes(key),
            documents,
            key.sign(statement),
        )

    def send(self, hub: Path, package: Package | None = None) -> list[Sent]:
        return list(
            publishing.publish(FolderStore(hub), package or self.package(), self.get, self.read_media)
        )


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(Ed25519PrivateKey.generate())


def faults(hub: Path, source: Source, *, bytes_too: bool = True) -> list[str]:
    published = reading.load(FolderStore(hub), source.dataset, source.tag)
    return [
        f"{f.where}: {f.what}"
        for c in reading.verify(FolderStore(hub), published, bytes_too=bytes_too)
        for f in c.faults
    ]


def tree(hub: Path) -> dict[str, int]:
    return {str(p.relative_to(hub)): p.stat().st_mtime_ns for p in hub.rglob("*") if p.is_file()}


def test_a_published_version_verifies_from_the_folder_alone(tmp_path: Path, source: Source) -> None:
    hub = tmp_path / "hub"
    last = source.send(hub)[-1]
    assert (last.done, last.total) == (60, 60) and last.objects > 60
    assert faults(hub, source) == []
    assert reading.listing(FolderStore(hub)) == [("掘进面-3", "v1")]
    assert (hub / "datasets" / "掘进面-3" / "v1" / "root.json").is_file()
    assert list((hub / "staging").iterdir()) == []


def test_publishing_again_reads_no_media_and_writes_nothing(tmp_path: Path, source: Source) -> None:
    hub = tmp_path / "hub"
    source.send(hub)
    before, source.reads = tree(hub), []
    assert source.send(hub)[-1].objects == 0
    assert source.reads == [] and tree(hub) == before


def test_a_later_version_sends_only_the_difference(tmp_path: Path, source: Source) -> None:
    hub = tmp_path / "hub"
    source.send(hub)
    later = Source(source.key, tag="v2")
    entries = [later.entry(n, 2 if n == "a/7.jpg" else 1) for n in [*later.names, "b/new.jpg"]]
    package = later.package(entries)
    last = later.send(hub, package)[-1]
    assert later.reads == ["r/b/new.jpg"]
    assert last.objects <= 1 + 3 + 3  # the picture, its chunk, the chunk of the edit
    assert faults(hub, later) == faults(hub, source) == []


class Killed(BaseException):
    pass


def test_a_publisher_killed_at_any_write_leaves_no_root_and_is_resumed(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.names = source.names[:10]
    package, real = source.package(), files.write
    total = 1 + 10 + 3 * len(manifest.load(package.root).chunks) + 8  # marker, media, chunks, documents
    for survives in range(0, total, 2):
        hub, left = tmp_path / f"hub{survives}", survives

        def write(path: Path, data: bytes, *, staging: Path | None = None, **kw: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                ((staging or path.parent) / f".lamproom{path.name}.part").write_bytes(b"half")
                raise Killed
            real(path, data, staging=staging, **kw)  # type: ignore[arg-type]

        monkeypatch.setattr(files, "write", write)
        with pytest.raises(Killed):
            source.send(hub, package)
        monkeypatch.setattr(files, "write", real)
        with pytest.raises(NotFound):
            reading.load(FolderStore(hub), source.dataset, source.tag)
        for path in (hub / "objects").glob("*/*"):
            assert blake3(path.read_bytes()).hexdigest() == path.name
        source.send(hub, package)
        assert faults(hub, source) == []
        assert list((hub / "staging").iterdir()) == []


def test_media_that_changed_since_the_freeze_are_all_named_and_no_root_is_written(
    tmp_path: Path, source: Source
) -> None:
    package = source.package()
    for name in ("a/3.jpg", "a/5.jpg"):
        source.media[blake3(f"bytes of {name}".encode()).hexdigest()] = b"something else"
    sent: list[Sent] = []
    with pytest.raises(InvalidInput, match="2 of 60"):
        sent.extend(publishing.publish(FolderStore(tmp_path / "hub"), package, source.get, source.read_media))
    hub = tmp_path / "hub"
    with pytest.raises(NotFound):
        reading.load(FolderStore(hub), source.dataset, source.tag)
    assert not (hub / "datasets" / "掘进面-3" / "v1" / "root.json").exists()
    assert len(list((hub / "objects").glob("*/*"))) == 58, "no chunk is there before all its media are"


def test_faults_are_named_while_the_publisher_runs(tmp_path: Path, source: Source) -> None:
    package = source.package()
    source.media[blake3(b"bytes of a/3.jpg").hexdigest()] = b"short"
    seen: list[str] = []
    with pytest.raises(InvalidInput):
        for sent in publishing.publish(FolderStore(tmp_path / "hub"), package, source.get, source.read_media):
            seen += [f.where for f in sent.faults]
    assert seen == ["r/a/3.jpg"]


def test_every_flipped_or_missing_file_of_a_hub_is_found(tmp_path: Path, source: Source) -> None:
    source.names = source.names[:30]
    hub = tmp_path / "hub"
    source.send(hub)
    for path in [p for p in hub.rglob("*") if p.is_file() and not p.name.startswith((".", "lamproom-hub"))]:
        good = path.read_bytes()
        path.write_bytes(bytes([good[0] ^ 4]) + good[1:])
        try:
            assert faults(hub, source), path
        except InvalidInput:
            assert path.name == "root.json"
        path.unlink()
        try:
            assert faults(hub, source), path
        except NotFound:
            assert path.name == "root.json"
        path.write_bytes(good)
    assert faults(hub, source) == []


def test_the_root_of_one_tag_does_not_pass_under_another(tmp_path: Path, source: Source) -> None:
    hub = tmp_path / "hub"
    source.send(hub)
    base = hub / "datasets" / "掘进面-3"
    (base / "v1").rename(base / "v2")
    source.tag = "v2"
    assert any("package of 掘进面-3@v1" in f for f in faults(hub, source))


def test_another_content_under_a_published_tag_is_refused(tmp_path: Path, source: Source) -> None:
    hub = tmp_path / "hub"
    source.send(hub)
    before = tree(hub)
    with pytest.raises(Conflict, match="new tag"):
        source.send(hub, source.package([source.entry("a/1.jpg", 3)]))
    assert tree(hub) == before


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, source: Source) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InvalidInput, match="no hub"):
        source.send(tmp_path)
    assert not folder.is_hub(tmp_path)


def test_a_second_publisher_at_the_same_time_is_told_so(tmp_path: Path, source: Source) -> None:
    first = publishing.publish(FolderStore(tmp_path / "hub"), source.package(), source.get, source.read_media)
    next(first)
    with pytest.raises(Conflict, match="somebody is publishing"):
        source.send(tmp_path / "hub")
    first.close()
    source.send(tmp_path / "hub")


def test_an_object_name_of_a_foreign_root_cannot_leave_the_hub(tmp_path: Path, source: Source) -> None:
    hub = tmp_path / "hub"
    source.send(hub)
    root = manifest.load(source.package().root)
    bad = msgspec.structs.replace(root.chunks[0].facts, b3="../../../../etc/passwd")
    forged = msgspec.structs.replace(root, chunks=(msgspec.structs.replace(root.chunks[0], facts=bad),))
    published = replace(reading.load(FolderStore(hub), source.dataset, source.tag), root=forged)
    found = [f.what for c in reading.verify(FolderStore(hub), published) for f in c.faults]
    assert any("not named by a digest" in f for f in found)


@pytest.mark.skipif(os.name == "nt", reason="named pipes of POSIX")
def test_a_pipe_or_link_in_a_foreign_hub_is_not_opened(tmp_path: Path, source: Source) -> None:
    hub = tmp_path / "hub"
    source.send(hub)
    one, two = list((hub / "objects").glob("*/*"))[:2]
    one.unlink()
    os.mkfifo(one)
    two.unlink()
    two.symlink_to("/dev/zero")
    assert sum("plain file" in f for f in faults(hub, source)) == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("掘进面-3", "掘进面-3"),
        ("..", "%2E%2E"),
        ("../../etc", "%2E.%2F..%2Fetc"),
        ("a/b\\c", "a%2Fb%5Cc"),
        ("CON", "%43ON"),
        ("aux.v1", "%61ux.v1"),
        ("x.", "x%2E"),
        ("", "%"),
        ("50%", "50%25"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_any_name_becomes_a_file_name_that_stays_in_its_folder(name: str, expected: str) -> None:
    assert packages.safe_name(name) == expected


def test_long_names_stay_apart_and_short_enough_for_any_disk() -> None:
    a, b = packages.safe_name("面" * 300), packages.safe_name("面" * 300 + "b")
    assert a != b and len(a.encode()) <= 200


def test_objects_of_a_publisher_killed_before_its_flush_are_flushed_by_the_next(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, synced = tmp_path / "hub", set[Path]()

    def sync(where: Path) -> None:
        if where.parent.name == "objects":
            raise Killed
        synced.add(where)

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_folder", sync)
        with pytest.raises(Killed):
            source.send(hub)
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_folder", synced.add)
        source.send(hub)
    assert {*(hub / "objects").iterdir(), hub / "objects"} <= synced
