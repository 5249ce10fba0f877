"""Every table of the record (design: annotations, items and schema versions are append-only, born and died).

No `from __future__ import annotations` here: SQLModel reads the annotations at run time. Table classes do not validate,
so values are checked before a row is built. Every constraint is named, because Alembic's batch mode drops unnamed ones.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    text,
)
from sqlmodel import Field, SQLModel

BigKey = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key that is SQLite's rowid."""

ORIGINS = ("human", "model", "import")
"""Origin of an annotation, stored as its place in this tuple."""
KINDS = (
    "box", "rotated_box", "polygon", "polyline", "points", "keypoints", "mask", "tag", "quad", "ellipse", "cuboid",
    "caption",
)  # fmt: skip
"""Kind of shape, stored as its place in this tuple. Append only."""
MEDIA = ("image", "page", "video", "audio", "cloud", "mesh")
"""Kind of asset, stored as its place in this tuple. Append only."""
SPLITS = ("", "train", "val", "test")
"""Split of an item, stored as its place in this tuple. Append only."""
REVIEWS = ("draft", "submitted", "accepted", "returned")
"""Review state of an item, stored as its place in this tuple."""
ITEM_STATES = ("unlabelled", "predicted", "labelled")
"""What an item holds now: nothing; predictions waiting; truth only. Derived, kept by the writer, never in a manifest."""
LIKENESS = ("exact", "near", "alike", "maybe", "frozen", "sequence")
"""How pictures of a group are like each other, stored as its place in this tuple: equal bytes; a near perceptual hash;
near vectors of an embedding model; perhaps near ones, to be asked; one camera that shows the same for a while; frames of a
sequence between two that are kept. Append only."""
SCOPES = ("source", "asset", "version")
"""What a policy tag is about, stored as its place in this tuple. Append only."""
OPS = ("do", "undo", "redo")
SHARD_STATES = ("open", "leased", "done")
SEEN = ("duplicate", "archive", "quarantined", "ignored")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Record(SQLModel):
    """Base of every table: one metadata with a naming convention."""

    metadata = MetaData(naming_convention=NAMING)


def _key() -> Column[int]:
    return Column(BigKey, primary_key=True, autoincrement=True)


def _big(**kw: object) -> Column[int]:
    return Column(BigInteger, nullable=bool(kw.pop("null", False)), **kw)  # type: ignore[arg-type]


def _ref(target: str, *, null: bool = False) -> Column[int]:
    return Column(BigInteger, ForeignKey(target), nullable=null)


def _bytes(n: int | None = None, *, null: bool = False) -> Column[bytes]:
    return Column(LargeBinary(n), nullable=null)


class Meta(Record, table=True):
    """Facts of the workspace: uid, created_ms, name, writer (the version that made it)."""

    key: str = Field(primary_key=True)
    value: str


class Agent(Record, table=True):
    """Who acts: kind person, software, model or hub; `name` is unique within the kind."""

    id: int | None = Field(default=None, sa_column=_key())
    kind: str
    name: str
    __table_args__ = (Index("uq_agent_kind_name", "kind", "name", unique=True),)


class Activity(Record, table=True):
    """One W3C PROV activity. `ended_ms` NULL = still running: its steps are open."""

    id: int | None = Field(default=None, sa_column=_key())
    uid: bytes = Field(sa_column=_bytes(16))
    kind: str
    agent_id: int = Field(sa_column=_ref("agent.id"))
    model_digest: bytes | None = Field(default=None, sa_column=_bytes(32, null=True))
    params: str
    started_ms: int = Field(sa_column=_big())
    ended_ms: int | None = Field(default=None, sa_column=_big(null=True))
    __table_args__ = (
        Index("uq_activity_uid", "uid", unique=True),
        Index(
            "ix_activity_open",
            "id",
            sqlite_where=text("ended_ms IS NULL"),
            postgresql_where=text("ended_ms IS NULL"),
        ),
    )


class Link(Record, table=True):
    """A PROV edge between an activity and an entity that is not an annotation row.

    role: "used" or "generated"; entity: "dataset", "version", "model", "schema", "file", "package"; ref: its name or digest.
    """

    id: int | None = Field(default=None, sa_column=_key())
    activity_id: int = Field(sa_column=_ref("activity.id"))
    role: str
    entity: str
    ref: str
    __table_args__ = (
        Index("ix_link_entity_ref", "entity", "ref"),
        Index("ix_link_activity_id", "activity_id"),
    )


class SourceRoot(Record, table=True):
    """A folder that media came from. `code` enters manifests and never changes; `location` may move."""

    id: int | None = Field(default=None, sa_column=_key())
    code: str
    location: bytes = Field(sa_column=_bytes())
    __table_args__ = (Index("uq_source_root_code", "code", unique=True),)
    __tablename__ = "source_root"


class Asset(Record, table=True):
    """One media object. Immutable facts, but for `disk_path` and `mtime_ns`, which follow the disk.

    width_px, height_px are *after* orientation. path: NFC, '/', an archive member as `archive.zip!/inner/name`.
    path_hash: first 8 bytes of BLAKE3(root code NUL path), signed. disk_path: raw bytes where they differ from path.
    """

    id: int | None = Field(default=None, sa_column=_key())
    uid: bytes = Field(sa_column=_bytes(16))
    kind: int
    blake3: bytes = Field(sa_column=_bytes(32))
    sha256: bytes = Field(sa_column=_bytes(32))
    size_bytes: int = Field(sa_column=_big())
    width_px: int | None = None
    height_px: int | None = None
    orientation: int = 1
    media_type: str
    taken_ms: int | None = Field(default=None, sa_column=_big(null=True))
    source_root_id: int = Field(sa_column=_ref("source_root.id"))
    path: str
    path_hash: int = Field(sa_column=_big())
    disk_path: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    mtime_ns: int = Field(sa_column=_big())
    activity_id: int = Field(sa_column=_ref("activity.id"))
    __table_args__ = (
        Index("uq_asset_uid", "uid", unique=True),
        Index("ix_asset_blake3", "blake3"),
        Index("ix_asset_sha256", "sha256"),
        Index("ix_asset_path_hash", "path_hash"),
    )


class SeenFile(Record, table=True):
    """A file that is no asset of its own: an exact duplicate, an archive, a quarantined or an ignored file."""

    id: int | None = Field(default=None, sa_column=_key())
    source_root_id: int = Field(sa_column=_ref("source_root.id"))
    path: str
    path_hash: int = Field(sa_column=_big())
    size_bytes: int = Field(sa_column=_big())
    mtime_ns: int = Field(sa_column=_big())
    state: int
    asset_id: int | None = Field(default=None, sa_column=_ref("asset.id", null=True))
    reason: str | None = None
    activity_id: int = Field(sa_column=_ref("activity.id"))
    __tablename__ = "seen_file"
    __table_args__ = (
        Index("ix_seen_file_path_hash", "path_hash"),
        Index("ix_seen_file_state", "state", "id"),
        Index(
            "ix_seen_file_asset_id",
            "asset_id",
            sqlite_where=text("asset_id IS NOT NULL"),
            postgresql_where=text("asset_id IS NOT NULL"),
        ),
    )


class Problem(Record, table=True):
    """A picture of the record that some work could not use: what was wrong, found by which activity."""

    id: int | None = Field(default=None, sa_column=_key())
    asset_id: int = Field(sa_column=_ref("asset.id"))
    activity_id: int = Field(sa_column=_ref("activity.id"))
    what: str
    at_ms: int = Field(sa_column=_big())
    __table_args__ = (Index("uq_problem_asset_what", "asset_id", "what", unique=True),)


class Dataset(Record, table=True):
    """A named set of assets. Its name enters versions and never changes; schema names a line of SchemaVersion."""

    id: int | None = Field(default=None, sa_column=_key())
    uid: bytes = Field(sa_column=_bytes(16))
    name: str
    schema_code: str
    created_ms: int = Field(sa_column=_big())
    __table_args__ = (Index("uq_dataset_name", "name", unique=True),)


class SchemaVersion(Record, table=True):
    """One version of a label schema: its TOML as canonical text. Append-only, one live row a code."""

    id: int | None = Field(default=None, sa_column=_key())
    code: str
    number: int
    body: str
    blake3: bytes = Field(sa_column=_bytes(32))
    same_as: int | None = Field(default=None, sa_column=_big(null=True))
    born: int = Field(sa_column=_big())
    died: int | None = Field(default=None, sa_column=_big(null=True))
    __tablename__ = "schema_version"
    __table_args__ = (
        CheckConstraint("died IS NULL OR died > born", name="interval"),
        Index(
            "uq_schema_version_live",
            "code",
            unique=True,
            sqlite_where=text("died IS NULL"),
            postgresql_where=text("died IS NULL"),
        ),
        Index("ix_schema_version_born", "born"),
        Index(
            "ix_schema_version_died",
            "died",
            sqlite_where=text("died IS NOT NULL"),
            postgresql_where=text("died IS NOT NULL"),
        ),
    )


class Label(Record, table=True):
    """A label's code and its number in the rows. Codes are never reused or renamed."""

    id: int | None = Field(default=None, sa_column=_key())
    code: str
    __table_args__ = (Index("uq_label_code", "code", unique=True),)


class Item(Record, table=True):
    """An asset's membership of a dataset, its split, review state and the person it is with: append-only.

    state, n_truth, n_pred are derived from the live annotations, kept by the writer in the same transaction.
    """

    id: int | None = Field(default=None, sa_column=_key())
    dataset_id: int = Field(sa_column=_ref("dataset.id"))
    asset_id: int = Field(sa_column=_ref("asset.id"))
    split: int = 0
    review: int = 0
    assignee_id: int | None = Field(default=None, sa_column=_ref("agent.id", null=True))
    state: int = 0
    n_truth: int = 0
    n_pred: int = 0
    same_as: int | None = Field(default=None, sa_column=_big(null=True))
    born: int = Field(sa_column=_big())
    died: int | None = Field(default=None, sa_column=_big(null=True))
    __table_args__ = (
        CheckConstraint("died IS NULL OR died > born", name="interval"),
        Index(
            "uq_item_live",
            "dataset_id",
            "asset_id",
            unique=True,
            sqlite_where=text("died IS NULL"),
            postgresql_where=text("died IS NULL"),
        ),
        Index(
            "ix_item_state",
            "dataset_id",
            "state",
            "asset_id",
            sqlite_where=text("died IS NULL"),
            postgresql_where=text("died IS NULL"),
        ),
        Index(
            "ix_item_review",
            "dataset_id",
            "review",
            "assignee_id",
            "asset_id",
            sqlite_where=text("died IS NULL AND (review <> 0 OR assignee_id IS NOT NULL)"),
            postgresql_where=text("died IS NULL AND (review <> 0 OR assignee_id IS NOT NULL)"),
        ),
        Index("ix_item_asset_id", "asset_id"),
        Index("ix_item_born", "born"),
        Index(
            "ix_item_died",
            "died",
            sqlite_where=text("died IS NOT NULL"),
            postgresql_where=text("died IS NOT NULL"),
        ),
    )


class AnnotationRow(Record, table=True):
    """One version of one object. Coordinates are integers of 1/1000 px; geometry is canonical JSON, NULL for a box.

    uid: the object, stable through every edit. from_id: the row this one was edited or accepted from.
    same_as: the first row with this very content (copies made by undo, redo, restore).
    """

    id: int | None = Field(default=None, sa_column=_key())
    uid: bytes = Field(sa_column=_bytes(16))
    asset_id: int = Field(sa_column=_ref("asset.id"))
    label_id: int = Field(sa_column=_ref("label.id"))
    kind: int
    x0: int | None = Field(default=None, sa_column=_big(null=True))
    y0: int | None = Field(default=None, sa_column=_big(null=True))
    x1: int | None = Field(default=None, sa_column=_big(null=True))
    y1: int | None = Field(default=None, sa_column=_big(null=True))
    geometry: str | None = None
    attributes: str | None = None
    score_micro: int | None = None
    origin: int
    activity_id: int = Field(sa_column=_ref("activity.id"))
    from_id: int | None = Field(default=None, sa_column=_big(null=True))
    same_as: int | None = Field(default=None, sa_column=_big(null=True))
    born: int = Field(sa_column=_big())
    died: int | None = Field(default=None, sa_column=_big(null=True))
    __tablename__ = "annotation"
    __table_args__ = (
        CheckConstraint("died IS NULL OR died > born", name="interval"),
        Index("ix_annotation_asset_id_died", "asset_id", "died"),
        Index(
            "uq_annotation_live",
            "uid",
            unique=True,
            sqlite_where=text("died IS NULL"),
            postgresql_where=text("died IS NULL"),
        ),
        Index("ix_annotation_born", "born"),
        Index(
            "ix_annotation_died",
            "died",
            sqlite_where=text("died IS NOT NULL"),
            postgresql_where=text("died IS NOT NULL"),
        ),
        Index(  # the recycle bin: what people lost, not the predictions that every run replaces
            "ix_annotation_deleted",
            "died",
            "id",
            sqlite_where=text("died IS NOT NULL AND origin <> 1"),
            postgresql_where=text("died IS NOT NULL AND origin <> 1"),
        ),
        Index(
            "ix_annotation_label",
            "label_id",
            "asset_id",
            sqlite_where=text("died IS NULL"),
            postgresql_where=text("died IS NULL"),
        ),
    )


class Remark(Record, table=True):
    """One version of a remark on a picture, pinned to a place (1/1000 px) or an object, or an answer to another remark.

    uid: stable through edit and resolve. agent_id: who wrote it first. Append-only, like annotations.
    """

    id: int | None = Field(default=None, sa_column=_key())
    uid: bytes = Field(sa_column=_bytes(16))
    asset_id: int = Field(sa_column=_ref("asset.id"))
    object_uid: bytes | None = Field(default=None, sa_column=_bytes(16, null=True))
    parent: bytes | None = Field(default=None, sa_column=_bytes(16, null=True))
    x: int | None = Field(default=None, sa_column=_big(null=True))
    y: int | None = Field(default=None, sa_column=_big(null=True))
    body: str
    resolved: int = 0
    agent_id: int = Field(sa_column=_ref("agent.id"))
    at_ms: int = Field(sa_column=_big())
    same_as: int | None = Field(default=None, sa_column=_big(null=True))
    born: int = Field(sa_column=_big())
    died: int | None = Field(default=None, sa_column=_big(null=True))
    __table_args__ = (
        CheckConstraint("died IS NULL OR died > born", name="interval"),
        Index(
            "uq_remark_live",
            "uid",
            unique=True,
            sqlite_where=text("died IS NULL"),
            postgresql_where=text("died IS NULL"),
        ),
        Index("ix_remark_asset_id_died", "asset_id", "died"),
        Index(
            "ix_remark_open",
            "asset_id",
            sqlite_where=text("died IS NULL AND resolved = 0 AND parent IS NULL"),
            postgresql_where=text("died IS NULL AND resolved = 0 AND parent IS NULL"),
        ),
        Index("ix_remark_born", "born"),
        Index(
            "ix_remark_died",
            "died",
            sqlite_where=text("died IS NOT NULL"),
            postgresql_where=text("died IS NOT NULL"),
        ),
    )


class SavedQuery(Record, table=True):
    """A selection of pictures under a name, shared by everybody: the text of storage.search. Not part of the record."""

    id: int | None = Field(default=None, sa_column=_key())
    dataset_id: int = Field(sa_column=_ref("dataset.id"))
    name: str
    body: str
    agent_id: int = Field(sa_column=_ref("agent.id"))
    at_ms: int = Field(sa_column=_big())
    __tablename__ = "saved_query"
    __table_args__ = (Index("uq_saved_query_name", "dataset_id", "name", unique=True),)


class Measure(Record, table=True):
    """What a picture looks like, measured once from its pixels: shares in 1/1000, two 64-bit hashes, a descriptor.

    Derived from the bytes alone, so it is no part of the record and can be made again. phash, glare and haze are NULL in
    rows of before they were measured: such a picture counts as not measured.
    """

    asset_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("asset.id"), primary_key=True, autoincrement=False)
    )
    brightness: int
    contrast: int
    sharpness: int
    dhash: int = Field(sa_column=_big())
    descriptor: bytes = Field(sa_column=_bytes())
    phash: int | None = Field(default=None, sa_column=_big(null=True))
    glare: int | None = None
    haze: int | None = None
    __table_args__ = (
        Index("ix_measure_brightness", "brightness", "asset_id"),
        Index("ix_measure_sharpness", "sharpness", "asset_id"),
    )


def _part(target: str) -> Column[int]:
    """A reference that is part of the primary key."""
    return Column(BigInteger, ForeignKey(target), primary_key=True, autoincrement=False)


class Likeness(Record, table=True):
    """Pictures of a dataset that are like each other: groups by kind (place in LIKENESS); rank 0 is the one to keep.

    Derived, found again by the next search: no part of the record.
    """

    dataset_id: int = Field(sa_column=_part("dataset.id"))
    kind: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    asset_id: int = Field(sa_column=_part("asset.id"))
    group_id: int = Field(sa_column=_big())
    rank: int
    __table_args__ = (Index("ix_likeness_group", "dataset_id", "kind", "group_id", "rank"),)


class Embedding(Record, table=True):
    """A picture's vector by an embedding model: unit length, float16, little-endian. Derived: no part of the record."""

    model_digest: bytes = Field(sa_column=Column(LargeBinary(32), primary_key=True))
    asset_id: int = Field(sa_column=_part("asset.id"))
    vector: bytes = Field(sa_column=_bytes())


class Worth(Record, table=True):
    """How much labelling a picture of a dataset now is worth, 0..1000, and why (JSON). Derived: no part of the record."""

    dataset_id: int = Field(sa_column=_part("dataset.id"))
    asset_id: int = Field(sa_column=_part("asset.id"))
    value: int
    reason: str
    __table_args__ = (Index("ix_worth_value", "dataset_id", "value", "asset_id"),)


class Change(Record, table=True):
    """One transaction; rev is the revision. step = rev of the step's first change; inverts = the step undone."""

    rev: int | None = Field(default=None, sa_column=_key())
    step: int = Field(sa_column=_big())
    op: int = 0
    inverts: int | None = Field(default=None, sa_column=_big(null=True))
    verb: str
    activity_id: int = Field(sa_column=_ref("activity.id"))
    agent_id: int = Field(sa_column=_ref("agent.id"))
    dataset_id: int | None = Field(default=None, sa_column=_ref("dataset.id", null=True))
    asset_id: int | None = Field(default=None, sa_column=_ref("asset.id", null=True))
    at_ms: int = Field(sa_column=_big())
    __table_args__ = (
        Index(
            "ix_change_asset",
            "asset_id",
            "rev",
            sqlite_where=text("asset_id IS NOT NULL"),
            postgresql_where=text("asset_id IS NOT NULL"),
        ),
        Index(
            "ix_change_step", "step", sqlite_where=text("step <> rev"), postgresql_where=text("step <> rev")
        ),
        Index(
            "ix_change_inverts",
            "inverts",
            sqlite_where=text("inverts IS NOT NULL"),
            postgresql_where=text("inverts IS NOT NULL"),
        ),
        Index("ix_change_activity", "activity_id"),
    )


class Counter(Record, table=True):
    """Live counts a screen shows. label_id 0 counts items by state; else annotations by origin (state 0)."""

    dataset_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    label_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    origin: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    state: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    n: int = Field(sa_column=_big())


class DatasetVersion(Record, table=True):
    """A frozen dataset: a pin. root is filled when the manifest has been built.

    statement: canonical JSON that ties the root to the head of the audit log (`audit_seq`, `audit_head`) it was sealed under.
    """

    id: int | None = Field(default=None, sa_column=_key())
    uid: bytes = Field(sa_column=_bytes(16))
    dataset_id: int = Field(sa_column=_ref("dataset.id"))
    tag: str
    rev: int = Field(sa_column=_big())
    schema_version_id: int = Field(sa_column=_ref("schema_version.id"))
    filter: str = "{}"
    activity_id: int = Field(sa_column=_ref("activity.id"))
    root: bytes | None = Field(default=None, sa_column=_bytes(32, null=True))
    signature: bytes | None = Field(default=None, sa_column=_bytes(64, null=True))
    at_ms: int = Field(sa_column=_big())
    audit_seq: int | None = Field(default=None, sa_column=_big(null=True))
    audit_head: bytes | None = Field(default=None, sa_column=_bytes(32, null=True))
    statement: str | None = None
    statement_signature: bytes | None = Field(default=None, sa_column=_bytes(64, null=True))
    __tablename__ = "dataset_version"
    __table_args__ = (Index("uq_dataset_version_tag", "dataset_id", "tag", unique=True),)


class OnnxModel(Record, table=True):
    """A model known to the workspace: an ONNX file by digest and its card (canonical JSON)."""

    id: int | None = Field(default=None, sa_column=_key())
    name: str
    sha256: bytes = Field(sa_column=_bytes(32))
    card: str
    removed_ms: int | None = Field(default=None, sa_column=_big(null=True))
    added_ms: int = Field(sa_column=_big())
    __tablename__ = "onnx_model"
    __table_args__ = (
        Index(
            "uq_onnx_model_name",
            "name",
            unique=True,
            sqlite_where=text("removed_ms IS NULL"),
            postgresql_where=text("removed_ms IS NULL"),
        ),
    )


class Job(Record, table=True):
    """Machine work, cut into shards. step = the record's step it writes to (NULL until the first change).

    priority: of jobs that wait, the highest goes first; 0 unless somebody says otherwise.
    """

    id: int | None = Field(default=None, sa_column=_key())
    uid: bytes = Field(sa_column=_bytes(16))
    kind: str
    activity_id: int = Field(sa_column=_ref("activity.id"))
    dataset_id: int | None = Field(default=None, sa_column=_ref("dataset.id", null=True))
    params: str
    step: int | None = Field(default=None, sa_column=_big(null=True))
    done: int = Field(default=0, sa_column=_big())
    total: int | None = Field(default=None, sa_column=_big(null=True))
    started_ms: int = Field(sa_column=_big())
    ended_ms: int | None = Field(default=None, sa_column=_big(null=True))
    outcome: str | None = None
    priority: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    __table_args__ = (
        Index("uq_job_uid", "uid", unique=True),
        Index(
            "ix_job_open",
            "id",
            sqlite_where=text("ended_ms IS NULL"),
            postgresql_where=text("ended_ms IS NULL"),
        ),
    )


class Shard(Record, table=True):
    """A piece of a job: assets `first`..`last` by id. `position` = last asset id whose result is committed.

    Leased by (owner, until_ms) with a fence that only grows; a write with an old fence is refused.
    """

    id: int | None = Field(default=None, sa_column=_key())
    job_id: int = Field(sa_column=_ref("job.id"))
    first: int = Field(sa_column=_big())
    last: int = Field(sa_column=_big())
    position: int = Field(sa_column=_big())
    state: int = 0
    owner: str | None = None
    until_ms: int = Field(default=0, sa_column=_big())
    fence: int = Field(default=0, sa_column=_big())
    __table_args__ = (
        Index("ix_shard_job_id", "job_id", "id"),
        Index(
            "ix_shard_work",
            "job_id",
            "state",
            "id",
            sqlite_where=text("state < 2"),
            postgresql_where=text("state < 2"),
        ),
    )


class HubRow(Record, table=True):
    """A place that versions are sent to: kind "folder", "s3" or "shuttle"; settings are canonical JSON, never a secret."""

    id: int | None = Field(default=None, sa_column=_key())
    uid: bytes = Field(sa_column=_bytes(16))
    name: str
    kind: str
    settings: str
    added_ms: int = Field(sa_column=_big())
    removed_ms: int | None = Field(default=None, sa_column=_big(null=True))
    __tablename__ = "hub"
    __table_args__ = (
        Index(
            "uq_hub_name",
            "name",
            unique=True,
            sqlite_where=text("removed_ms IS NULL"),
            postgresql_where=text("removed_ms IS NULL"),
        ),
    )


class Upload(Record, table=True):
    """A multipart upload under way: the server's name for it, so that a killed client goes on or ends it."""

    id: int | None = Field(default=None, sa_column=_key())
    hub_id: int = Field(sa_column=_ref("hub.id"))
    key: str
    upload_id: str
    part_bytes: int = Field(sa_column=_big())
    at_ms: int = Field(sa_column=_big())
    __table_args__ = (Index("uq_upload_hub_id_key", "hub_id", "key", unique=True),)


class Receipt(Record, table=True):
    """The other side's signed word that a version arrived whole: `body` is canonical JSON, to the letter."""

    id: int | None = Field(default=None, sa_column=_key())
    version_id: int = Field(sa_column=_ref("dataset_version.id"))
    hub: str
    at_ms: int = Field(sa_column=_big())
    body: bytes = Field(sa_column=_bytes())
    signature: bytes = Field(sa_column=_bytes(64))
    public: bytes = Field(sa_column=_bytes(32))
    __table_args__ = (Index("ix_receipt_version_id", "version_id"),)


class Policy(Record, table=True):
    """What may be done with a source, an asset or a version (SCOPES): `tag` is canonical JSON. One live row a thing."""

    id: int | None = Field(default=None, sa_column=_key())
    scope: int
    ref_id: int = Field(sa_column=_big())
    tag: str
    agent_id: int = Field(sa_column=_ref("agent.id"))
    at_ms: int = Field(sa_column=_big())
    ended_ms: int | None = Field(default=None, sa_column=_big(null=True))
    __table_args__ = (
        Index(
            "uq_policy_live",
            "scope",
            "ref_id",
            unique=True,
            sqlite_where=text("ended_ms IS NULL"),
            postgresql_where=text("ended_ms IS NULL"),
        ),
    )


class Derivation(Record, table=True):
    """An asset made from another one by a recorded step (redaction); `recipe` is canonical JSON."""

    asset_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("asset.id"), primary_key=True, autoincrement=False)
    )
    from_id: int = Field(sa_column=_ref("asset.id"))
    activity_id: int = Field(sa_column=_ref("activity.id"))
    recipe: str
    __table_args__ = (Index("ix_derivation_from_id", "from_id"),)


class Audit(Record, table=True):
    """One line of the audit log (storage/audit.py): digest = BLAKE3 over prev and the canonical line."""

    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    at_ms: int = Field(sa_column=_big())
    agent: str
    verb: str
    subject: str
    detail: str
    prev: bytes = Field(sa_column=_bytes(32))
    digest: bytes = Field(sa_column=_bytes(32))
