"""Freeze a dataset in constant time, and find what was frozen."""

from __future__ import annotations

import msgspec

from annotation import canonical
from annotation.core import new_uid
from annotation.errors import Conflict, InvalidInput
from app.services.workspace import Workspace
from storage import audit, queries, record
from storage import db as database
from storage import versions as rows
from storage.versions import Filter, Version


def freeze(ws: Workspace, dataset: str, *, tag: str, filter: Filter | None = None) -> Version:
    """Pin a dataset as it is now. Constant time at any size; `build` writes the manifest after.

    Args:
        tag: the version's name within the dataset, for example "v1".
        filter: what enters; by default every item and only truth (no predictions).

    Raises:
        NotFound: no such dataset.
        Conflict: the tag exists, or a job is still writing to the dataset.
        InvalidInput: the dataset is empty, or the tag cannot be used.
    """
    tag = canonical.nfc(tag)
    if not 0 < len(tag) <= 64 or any(c in "@/\\" or c.isspace() or not c.isprintable() for c in tag):
        raise InvalidInput(
            "a tag is 1 to 64 characters without spaces, @, / and \\", where=tag, remedy="for example v1"
        )
    chosen = rows.parse_filter((filter or Filter()).to_json())
    with ws.db.write() as conn:
        database.freeze_lock(conn)
        data = queries.dataset(conn, dataset)
        if running := record.open_steps(conn, data.id):
            raise Conflict(
                f"a {running[0][1]} job is still writing to {data.name}", where=data.name,
                remedy="wait for it, or resume or cancel it: `lamproom jobs list`",
            )  # fmt: skip
        if any(v.tag == tag for v in rows.listing(conn, data.id)):
            raise Conflict(
                f"{data.name}@{tag} exists already", remedy="versions never change: take another tag"
            )
        if data.n_assets == 0:
            raise InvalidInput("the dataset is empty", where=data.name, remedy="ingest something first")
        uid = new_uid()
        told = {"dataset": data.name, "tag": tag, "filter": msgspec.json.decode(chosen.to_json())}
        activity = record.start_activity(conn, "freeze", ws.person.id, told, open_=False)
        record.link(conn, activity, "used", "dataset", data.name)
        record.link(conn, activity, "generated", "version", uid)
        rows.pin(
            conn, uid=uid, dataset_id=data.id, tag=tag, rev=record.newest(conn), filter=chosen, activity_id=activity,
            schema_version_id=rows.live_schema(conn, data.schema_code),
        )  # fmt: skip
        audit.append(
            conn,
            agent=ws.person.name,
            verb="freeze",
            subject=f"{data.name}@{tag}",
            detail={"filter": chosen.to_json()},
        )
        return rows.find(conn, data.name, tag)


def find(ws: Workspace, ref: str) -> Version:
    """The version `dataset@tag`.

    Raises:
        InvalidInput: not of that form. NotFound: there is none.
    """
    dataset, tag = split(ref)
    with ws.db.read() as conn:
        return rows.find(conn, dataset, tag)


def split(ref: str) -> tuple[str, str]:
    """Dataset and tag of `dataset@tag`; InvalidInput where it is none."""
    dataset, at, tag = ref.rpartition("@")
    if not at or not dataset or not tag:
        raise InvalidInput(
            "a version is named DATASET@TAG",
            where=ref,
            remedy="`lamproom freeze DATASET --tag TAG` makes one",
        )
    return dataset, tag


def listing(ws: Workspace, dataset: str | None = None) -> list[Version]:
    """Versions of a dataset (or of all), oldest first."""
    with ws.db.read() as conn:
        return rows.listing(conn, None if dataset is None else queries.dataset(conn, dataset).id)
