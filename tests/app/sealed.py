"""A dataset of real files with their true digests, and short words for what tests of versions do to it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from blake3 import blake3

from annotation.core import Annotation, Box
from app.events import Event, Finished, Warned, Work
from app.services import labelling
from app.services.versions import Version
from app.services.workspace import Workspace
from storage import record, register
from storage.record import ItemEdit
from tests.app.conftest import draw, enrol
from tests.support.gestures import gesture


def run(work: Work) -> tuple[Finished, list[Warned]]:
    """Run work to its end: (its result, its warnings)."""
    events: list[Event] = list(work)
    last = events[-1]
    assert isinstance(last, Finished)
    return last, [e for e in events if isinstance(e, Warned)]


@dataclass
class Sealed:
    """A workspace with pictures on disk."""

    ws: Workspace
    source: Path
    data: int
    assets: list[int]
    paths: list[Path] = field(default_factory=list)

    def box(
        self,
        asset: int,
        x: float = 10,
        *,
        label: str = "person",
        origin: str = "human",
        score: float | None = None,
    ) -> str:
        """Draw one box; its uid."""
        a = Annotation(label, Box(x, 10, x + 30, 50), origin="human")
        if origin == "human":
            page = labelling.load(self.ws, asset)
            labelling.save(self.ws, page, (*page.annotations, a), verb="draw")
            return a.uid
        with self.ws.db.write() as conn:
            numbers = record.label_ids(conn, [label])
            me = record.agent(conn, "software", "lamproom")
            activity = record.start_activity(
                conn, "prelabel", me.id, {"provider": "cpu"}, open_=False, model_digest=b"\x07" * 32
            )
        a = Annotation(label, a.shape, origin="model", score=score or 0.5, uid=a.uid)
        content = labelling.content(a, asset, numbers[label], origin="model")
        gesture(
            self.ws.db, [record.Edit(opens=content)], agent_id=me.id, activity_id=activity, verb="prelabel"
        )
        return a.uid

    def erase(self, asset: int) -> None:
        """Delete every annotation of a page."""
        labelling.save(self.ws, labelling.load(self.ws, asset), (), verb="delete")

    def _item(self, asset: int, opens: tuple[int, int] | None) -> None:
        with self.ws.db.read() as conn:
            live = conn.execute(
                sa.text("SELECT id FROM item WHERE dataset_id = :d AND asset_id = :a AND died IS NULL"),
                {"d": self.data, "a": asset},
            ).scalar()
        with record.change(self.ws.db, agent_id=self.ws.person.id, activity_id=self.ws.session(), verb="item",
                           dataset_id=self.data, assets=[asset]) as draft:  # fmt: skip
            draft.enrol([ItemEdit(self.data, asset, closes=live, opens=opens)])

    def leave(self, asset: int) -> None:
        """Take an asset out of the dataset."""
        self._item(asset, None)

    def join(self, asset: int, split: int = 0) -> None:
        """Put an asset in, or give it another split."""
        self._item(asset, (split, 0))


def sealed(ws: Workspace, source: Path, n: int = 8, *, dataset: str = "face-3") -> Sealed:
    """`n` drawn JPEGs in a dataset."""
    paths = draw(source, n)
    data, assets = enrol(ws, source, paths, dataset=dataset)
    with ws.db.write() as conn:
        for asset, path in zip(assets, paths, strict=True):
            bytes_ = path.read_bytes()
            root = conn.exec_driver_sql(f"SELECT source_root_id FROM asset WHERE id = {asset}").scalar_one()
            conn.execute(
                sa.text(
                    "UPDATE asset SET blake3 = :b, sha256 = :s, size_bytes = :n, path_hash = :h WHERE id = :i"
                ),
                {
                    "h": register.path_hash(root, path.relative_to(source).as_posix()),
                    "b": blake3(bytes_).digest(),
                    "s": hashlib.sha256(bytes_).digest(),
                    "n": len(bytes_),
                    "i": asset,
                },
            )
    return Sealed(ws, source, data, assets, paths)


def many(ws: Workspace, n: int, *, dataset: str = "large") -> Sealed:
    """`n` assets without files: for manifests alone."""
    names = [Path("/nowhere") / f"{i % 17:02d}" / f"{i:06d}.jpg" for i in range(n)]
    data, assets = enrol(ws, Path("/nowhere"), names, dataset=dataset)
    return Sealed(ws, Path("/nowhere"), data, assets, names)


def root_of(version: Version, finished: Finished) -> str:
    assert finished.result["version"] == version.ref
    return str(finished.result["root"])
