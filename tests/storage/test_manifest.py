"""Rules of the manifest: one root for one content, chunk borders by key, incremental equals full, proof finds faults."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import rfc8785
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.errors import InvalidInput, NotFound
from storage import manifest, proof
from storage.manifest import Entry, Fact, Object, Root, SchemaRef

GOLDEN_CHUNKS, GOLDEN_ROOT = 3, "a7eaa46f892f58dbb60759d672f212dd928b61abfd1d3a69c7bb6d760fe536e3"
SCHEMA = SchemaRef(blake3="0" * 64, code="coal_mine", number=1)


class Store:
    """Objects in memory, counting what is read and written."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads = 0
        self.writes = 0

    def put(self, data: bytes) -> str:
        self.writes += 1
        name = blake3(data).hexdigest()
        self.objects[name] = data
        return name

    def get(self, name: str) -> bytes:
        self.reads += 1
        try:
            return self.objects[name]
        except KeyError:
            raise NotFound("no such object", where=name) from None


def one(name: str, seed: int = 0, n: int = 2, split: str = "") -> Entry:
    r = random.Random(f"{name}{seed}")
    objects = [
        Object(
            attributes=msgspec.Raw('{"helmet":"未戴"}'.encode()) if r.random() < 0.3 else None,
            bbox=(r.randrange(10**6), 0, 1, r.randrange(10**6)),
            kind="polygon",
            label="person",
            origin="human",
            points=msgspec.Raw(b"[1,2,3,4,5,6]") if r.random() < 0.3 else None,
            uid=f"{r.getrandbits(128):032x}",
        )
        for _ in range(n)
    ]
    data = blake3(name.encode())
    fact = Fact(
        asset=data.hexdigest(), key=f"r/{name}", media_type="image/jpeg", sha256="0" * 64, size=7, wh=(4, 3)
    )
    return manifest.entry(fact, objects, split)


def built(entries: list[Entry], store: Store, tmp: Path, run_bytes: int = manifest.RUN_BYTES) -> Root:
    with manifest.Sorter(tmp, run_bytes=run_bytes) as sorter:
        sorter.add(entries)
        return manifest.root(manifest.write(sorter.merged(), store.put), dataset="面-3", schema=SCHEMA)


def faults(root: Root, store: Store) -> list[str]:
    return [f.what for c in proof.check(root, store.get) for f in c.faults]


def test_every_line_and_root_is_canonical_for_an_rfc8785_library(tmp_path: Path) -> None:
    store = Store()
    root = built([one(f'图 {i}/\u00e9\n"x.jpg', split="train") for i in range(400)], store, tmp_path)
    for data in (
        manifest.root_bytes(root),
        *(line for d in store.objects.values() for line in d.split(b"\n")[:-1]),
    ):
        assert rfc8785.dumps(msgspec.json.decode(data)) == data


def test_20000_shuffled_entries_sorted_through_runs_give_the_root_of_the_plain_order(tmp_path: Path) -> None:
    entries = [one(f"{i % 40:02}/{i}.jpg", n=i % 3) for i in range(20_000)]
    plain = built(entries, Store(), tmp_path)
    random.Random(1).shuffle(entries)
    shuffled = built(
        entries, Store(), tmp_path, run_bytes=60_000
    )  # some 250 runs: more than are merged at once
    assert manifest.root_bytes(shuffled) == manifest.root_bytes(plain)
    assert plain.counts.assets == 20_000 and 40 < len(plain.chunks) < 150
    assert list(tmp_path.iterdir()) == []


def test_two_entries_of_one_key_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"r/a.*same name"):
        built([one("a"), one("b"), one("a", 2)], Store(), tmp_path)


_names = st.integers(0, 3_000).map(lambda i: f"{i % 7}/{i}")


@settings(max_examples=60, deadline=None)
@given(
    st.sets(_names, max_size=900), st.sets(_names, max_size=60), st.sets(_names, max_size=60), st.booleans()
)
def test_incremental_root_equals_the_full_root_over_added_removed_and_changed_keys(
    tmp_path_factory: pytest.TempPathFactory, old: set[str], touched: set[str], gone: set[str], borders: bool
) -> None:
    if borders:  # aim at the keys where chunks end: the cut moves when such a key comes or goes
        gone |= {n for n in old if manifest.is_border(f"r/{n}".encode())}
    tmp = tmp_path_factory.getbasetemp()
    store = Store()
    before = built([one(n) for n in old], store, tmp)
    now = {n: one(n) for n in old - gone} | {n: one(n, 1) for n in touched}
    changed = sorted((one(n).key, now.get(n)) for n in touched | gone)
    rewritten = manifest.rewrite(before, changed, store.get, store.put)
    after = manifest.root(rewritten, dataset="面-3", schema=SCHEMA)
    assert after == built(list(now.values()), Store(), tmp)
    assert faults(after, store) == []
    found = {d.key: (d.before, d.after) for d in manifest.diff(before, after, store.get, store.get)}
    expected = {}
    for n in touched | gone:
        pair = (one(n) if n in old else None, now.get(n))
        if pair[0] != pair[1]:
            expected[f"r/{n}"] = pair
    assert found == expected


def test_chunks_without_a_changed_key_are_neither_read_nor_written(tmp_path: Path) -> None:
    store = Store()
    root = built([one(f"{i}") for i in range(5_000)], store, tmp_path)
    store.reads = store.writes = 0
    changed = one("777", 9)
    after = manifest.root(
        manifest.rewrite(root, [(changed.key, changed)], store.get, store.put), dataset="面-3", schema=SCHEMA
    )
    assert (store.reads, store.writes) == (3, 3)
    assert sum(a != b for a, b in zip(root.chunks, after.chunks, strict=True)) == 1
    touched = next(b for a, b in zip(root.chunks, after.chunks, strict=True) if a != b)
    assert touched.facts in [c.facts for c in root.chunks], "an edit of labels keeps the facts chunk"
    store.reads = 0
    assert [d.key for d in manifest.diff(root, after, store.get, store.get)] == ["r/777"]
    assert store.reads == 5  # of twins the keys are read once
    assert manifest.find(after, "r/777", store.get) == changed
    assert manifest.find(after, "r/nothing", store.get) is None


def test_every_flipped_byte_of_a_stored_object_is_found(tmp_path: Path) -> None:
    store = Store()
    root = built([one(f"{i}") for i in range(300)], store, tmp_path)
    assert faults(root, store) == []
    r = random.Random(3)
    for name in list(store.objects):
        good = store.objects[name]
        for _ in range(10):
            at = r.randrange(len(good))
            store.objects[name] = good[:at] + bytes([good[at] ^ (1 << r.randrange(8))]) + good[at + 1 :]
            assert faults(root, store)
        store.objects[name] = good
        del store.objects[name]
        assert any("cannot be read" in f for f in faults(root, store))
        store.objects[name] = good


def _forged(entries: list[Entry], store: Store) -> Root:
    """A root whose digests all hold, over entries in the order given: only the rules can object."""
    return manifest.root([manifest._store(entries, store.put)], dataset="d", schema=SCHEMA)


def test_a_well_digested_manifest_that_breaks_a_rule_is_refused() -> None:
    a, b = sorted((one("a"), one("b")), key=lambda e: e.key)
    empty = blake3(b"[]").hexdigest()
    cases = {
        "rising byte order": [b, a],
        "canonical form": [replace(a, facts=a.facts.replace(b",", b", ", 1))],
        "plain relative path": [one("../../etc/passwd")],
        "those the digest names": [replace(a, set=b"[]")],
        "are announced": [replace(a, labels=b'{"n":1,"set":"%s"}' % empty.encode(), set=b"[]")],
        "split 'other'": [one("a", split="other")],
        "canonical list": [
            replace(a, set=b"[1.5]", labels=b'{"n":1,"set":"%s"}' % blake3(b"[1.5]").hexdigest().encode())
        ],
    }
    for words, entries in cases.items():
        store = Store()
        assert any(words in f for f in faults(_forged(entries, store), store)), words
    border = next(e for e in (one(f"{i}") for i in range(5_000)) if manifest.is_border(e.key))
    store = Store()
    assert any("ended here" in f for f in faults(_forged([border, one("z")], store), store))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[" * 100_000, b'\xff{"format":1}', b'{"chunks":[],"counts":{"assets":0,"objects":0}}'],
)
def test_a_foreign_root_is_refused_with_a_named_problem(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        manifest.load(data)


def test_a_root_with_spaces_or_of_another_format_is_refused(tmp_path: Path) -> None:
    data = manifest.root_bytes(built([one("a")], Store(), tmp_path))
    assert manifest.root_bytes(manifest.load(data)) == data
    with pytest.raises(InvalidInput, match="canonical"):
        manifest.load(data.replace(b",", b", ", 1))
    with pytest.raises(InvalidInput, match="not known"):
        manifest.load(data.replace(b"manifest-1", b"manifest-9"))


def test_media_of_another_length_or_content_is_a_fault() -> None:
    fact = msgspec.structs.replace(
        msgspec.json.decode(one("a").facts, type=Fact), sha256="a" * 64, asset=blake3(b"1234567").hexdigest()
    )
    assert "bytes long" in str(proof.media_fault(fact, lambda _: [b"12", b"3"]))
    assert "bytes long" in str(proof.media_fault(fact, lambda _: [b"1" * 9]))
    assert "not those" in str(proof.media_fault(fact, lambda _: [b"1234568"]))

    def absent(_: Fact) -> list[bytes]:
        raise FileNotFoundError(2, "No such file")

    assert "cannot be read" in str(proof.media_fault(fact, absent))


def test_no_foreign_bytes_make_the_proof_fail_otherwise_than_by_a_named_fault(tmp_path: Path) -> None:
    """500 forged chunks whose digests hold: whatever is in them is judged, nothing raises."""
    r = random.Random(11)
    store = Store()
    root = built([one(f"{i}") for i in range(40)], store, tmp_path)
    pieces = [
        b"\\ud800",
        b"null",
        b"1e9",
        b"-1",
        b"[" * 3000,
        b"{}",
        b'"',
        b"\xff",
        b"\n",
        b"99999999999999999999",
        b"../",
        b"\x00",
    ]
    for _ in range(500):
        chunk = root.chunks[0]
        name = r.choice(["facts", "labels", "sets"])
        data = bytearray(store.objects[getattr(chunk, name).b3])
        for _ in range(r.randrange(1, 4)):
            at = r.randrange(len(data))
            data[at : at + r.randrange(6)] = r.choice(pieces)
        forged = manifest.Part(b3=store.put(bytes(data)), bytes=len(data))
        bad = msgspec.structs.replace(chunk, **{name: forged})
        found = faults(msgspec.structs.replace(root, chunks=(bad, *root.chunks[1:])), store)
        assert found or name == "facts" or forged == getattr(chunk, name), (
            "facts are judged by the media bytes"
        )
    head = manifest.root_bytes(root)
    for _ in range(500):
        data = bytearray(head)
        at = r.randrange(len(data))
        data[at : at + r.randrange(6)] = r.choice(pieces)
        try:
            other = manifest.load(bytes(data))
        except InvalidInput:
            continue
        faults(other, store)  # dataset and schema are judged by the signature


def test_the_encoding_of_released_manifests_never_changes(tmp_path: Path) -> None:
    """A golden root: if this fails, every published version would get another digest. Change FORMAT instead."""
    root = built(
        [one(f"图/{i}", n=i % 3, split=("", "train", "val")[i % 3]) for i in range(1_000)], Store(), tmp_path
    )
    assert (len(root.chunks), root.counts.objects) == (GOLDEN_CHUNKS, 999)
    assert blake3(manifest.root_bytes(root)).hexdigest() == GOLDEN_ROOT


def test_a_chunk_ends_where_the_low_byte_of_the_first_two_digest_bytes_is_zero() -> None:
    keys = [f"k{i}".encode() for i in range(3_000)]
    assert [manifest.is_border(k) for k in keys] == [
        int.from_bytes(blake3(k).digest()[:2], "big") & 0xFF == 0 for k in keys
    ]
    assert any(map(manifest.is_border, keys))


def test_taking_out_the_key_where_a_chunk_ends_joins_it_to_the_next_untouched_chunk(tmp_path: Path) -> None:
    names = [f"{i}" for i in range(3_000)]
    store = Store()
    before = built([one(n) for n in names], store, tmp_path)
    gone = next(n for n in names if manifest.is_border(f"r/{n}".encode()))
    rewritten = manifest.rewrite(before, [(f"r/{gone}".encode(), None)], store.get, store.put)
    after = manifest.root(rewritten, dataset="面-3", schema=SCHEMA)
    assert len(after.chunks) == len(before.chunks) - 1
    assert after == built([one(n) for n in names if n != gone], Store(), tmp_path)
