"""A version to send: media and chunk objects in memory or on disk, signed with a key of its own."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import manifest, seal
from storage.hub import package as packages
from storage.hub import publish, reading
from storage.hub.package import Package
from storage.hub.publish import Plan, Sent
from storage.hub.store import Store
from storage.manifest import Fact, SchemaRef

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@dataclass
class Made:
    """See the module. reads: keys whose bytes were asked for."""

    package: Package
    objects: dict[str, bytes]
    media: dict[str, bytes | Path]
    reads: list[str] = field(default_factory=list)

    def get(self, b3: str) -> bytes:
        return self.objects[b3]

    def read_media(self, fact: Fact) -> Iterator[bytes]:
        self.reads.append(fact.key)
        data = self.media[fact.asset]
        yield data if isinstance(data, bytes) else data.read_bytes()

    def place(self, fact: Fact) -> Path | None:
        data = self.media[fact.asset]
        return data if isinstance(data, Path) else None

    def send(self, hub: Store, plan: Plan | None = None) -> list[Sent]:
        return list(
            publish.publish(hub, self.package, self.get, self.read_media, plan or Plan(place=self.place))
        )

    def faults(self, hub: Store) -> list[str]:
        published = reading.load(hub, self.package.dataset, self.package.tag)
        return [f"{f.where}: {f.what}" for c in reading.verify(hub, published) for f in c.faults]


def made(
    media: Iterable[tuple[str, bytes | Path]],
    *,
    dataset: str = "掘进面-3",
    tag: str = "v1",
    kind: str = "image/jpeg",
) -> Made:
    """A version of (name, bytes or file), without annotations."""
    objects: dict[str, bytes] = {}
    kept: dict[str, bytes | Path] = {}

    def put(data: bytes) -> str:
        objects[blake3(data).hexdigest()] = data
        return blake3(data).hexdigest()

    entries = []
    for name, source in media:
        data = source if isinstance(source, bytes) else source.read_bytes()
        b3 = blake3(data).hexdigest()
        kept[b3] = source
        entries.append(
            manifest.entry(
                Fact(b3, f"r/{name}", kind, hashlib.sha256(data).hexdigest(), len(data), (4, 3)), []
            )
        )
    documents = {"schema.toml": b"# schema", "lineage.json": b"{}", "card.md": "# 面".encode()}
    schema = SchemaRef(blake3=blake3(documents["schema.toml"]).hexdigest(), code="coal_mine", number=1)
    chunks = manifest.write(sorted(entries, key=lambda e: e.key), put)
    root = manifest.root_bytes(manifest.root(chunks, dataset=dataset, schema=schema))
    said = packages.package_bytes(dataset, tag, root, documents)
    package = Package(dataset, tag, root, KEY.sign(root), seal.public_bytes(KEY), documents, KEY.sign(said))
    return Made(package, objects, kept)


def pictures(n: int, *, seed: int = 0, size: int = 3_000) -> list[tuple[str, bytes]]:
    """`n` files of random bytes, about `size` each."""
    chance = random.Random(seed)
    return [
        (f"面/{seed}-{i:04d}.jpg", chance.randbytes(size // 2 + chance.randrange(size))) for i in range(n)
    ]
