"""A lineage as OpenLineage events: for each activity one START and one COMPLETE, as the file transport writes them, a line each.

Spec 2-0-2 (openlineage.io/spec). Jobs and datasets are in the namespace `lamproom:<workspace>`; runs carry the activity's uid.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from app.services.workspace import Workspace
from storage import lineage
from storage.lineage import Lineage, Node

PRODUCER = "urn:lamproom"
_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = {
    "schema": "1-2-0/SchemaDatasetFacet", "version": "1-0-1/DatasetVersionDatasetFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet", "documentation": "1-1-0/DocumentationDatasetFacet",
    "dataQualityMetrics": "1-0-3/DataQualityMetricsInputDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "jobType": "2-0-4/JobTypeJobFacet", "parent": "1-2-0/ParentRunFacet", "processing_engine": "1-1-1/ProcessingEngineRunFacet",
}  # fmt: skip
_ROWS = (
    ("key", "string", "source code and path of the picture"), ("sha256", "string", "SHA-256 of its bytes"),
    ("label", "string", "code of the class in the label schema"), ("kind", "string", "kind of shape"),
    ("bbox", "array<int>", "x0, y0, x1, y1 in 1/1000 px"), ("points", "array", "the shape's points in 1/1000 px"),
    ("attributes", "struct", "attributes of the object"), ("origin", "string", "human, model or import"),
    ("score", "int", "millionths, of predictions"), ("split", "string", "train, val or test"),
)  # fmt: skip
"""Fields of a dataset of labelled pictures: what the manifest holds."""
_DATA = frozenset(
    {
        "dataset",
        "version",
        "source",
        "file",
        "asset",
        "package",
        "copies",
        "model",
        "schema",
        "annotation",
        "receipt",
    }
)


def of_lineage(ws: Workspace, found: Lineage, *, names: bool = False) -> bytes:
    """The events of all activities that have an end, in the order of their beginning.

    Args:
        names: with people's names; without they are "person 1" …
    """
    known = found if names else lineage.without_names(found)
    inputs, outputs, parents = _ends(known)
    nodes = {n.id: n for n in known.nodes}
    space = f"lamproom:{ws.uid}"
    done = [n for n in known.nodes if n.kind == "activity" and "started" in n.facts and "ended" in n.facts]
    lines: list[bytes] = []
    for node in sorted(done, key=lambda n: (str(n.facts["started"]), n.id)):
        run: dict[str, Any] = {"runId": _run_id(ws.uid, node)}
        above = [nodes[p] for p in parents[node.id] if p in nodes and nodes[p].kind == "activity"]
        if above:
            run["facets"] = {"parent": _facet("parent", run={"runId": _run_id(ws.uid, above[0])},
                                              job={"namespace": space, "name": above[0].type})}  # fmt: skip
        engine = _engine(node)
        if engine:
            run.setdefault("facets", {})["processing_engine"] = _facet("processing_engine", **engine)
        job = {
            "namespace": space, "name": node.type.replace(" ", "_"),
            "facets": {"jobType": _facet("jobType", processingType="BATCH", integration="LAMPROOM", jobType=node.type.upper())},
        }  # fmt: skip
        base = {"run": run, "job": job, "producer": PRODUCER, "schemaURL": _EVENT}
        ins = [
            _dataset(space, nodes[i], n, "inputFacets")
            for i, n in inputs[node.id]
            if i in nodes and nodes[i].type in _DATA
        ]
        outs = [
            _dataset(space, nodes[i], n, "outputFacets")
            for i, n in outputs[node.id]
            if i in nodes and nodes[i].type in _DATA
        ]
        for kind, at in (("START", "started"), ("COMPLETE", "ended")):
            event = {
                **base,
                "eventType": kind,
                "eventTime": node.facts[at],
                "inputs": ins,
                "outputs": outs if kind == "COMPLETE" else [],
            }
            lines.append(
                json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(", ", ": ")).encode()
                + b"\n"
            )
    return b"".join(lines)


_Ends = Mapping[str, list[tuple[str, int | None]]]


def _ends(found: Lineage) -> tuple[_Ends, _Ends, Mapping[str, list[str]]]:
    """What each activity used, what it made or shaped, and of which it is a part."""
    kinds = {n.id: n.kind for n in found.nodes}
    inputs: dict[str, list[tuple[str, int | None]]] = defaultdict(list)
    outputs: dict[str, list[tuple[str, int | None]]] = defaultdict(list)
    parents: dict[str, list[str]] = defaultdict(list)
    for e in found.edges:
        if e.relation == "used":
            inputs[e.source].append((e.target, e.n))
        elif e.relation in ("wasGeneratedBy", "wasInfluencedBy") and kinds.get(e.target) == "activity":
            outputs[e.target].append((e.source, e.n))
        elif e.relation == "wasInformedBy":
            parents[e.source].append(e.target)
    return inputs, outputs, parents


def _run_id(workspace: str, node: Node) -> str:
    kept = node.facts.get("uid")
    return (
        str(uuid.UUID(str(kept)))
        if kept
        else str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:lamproom:{workspace}:{node.id}"))
    )


def _engine(node: Node) -> dict[str, str]:
    params = node.facts.get("params")
    runtime = params.get("runtime") if isinstance(params, Mapping) else None
    return (
        {"version": str(runtime), "name": str(params.get("provider") or "onnxruntime")}
        if runtime and isinstance(params, Mapping)
        else {}
    )


def _dataset(space: str, node: Node, n: int | None, own: str) -> dict[str, Any]:
    f = node.facts
    title = str(lineage.public(node.title)) or node.type
    facets: dict[str, Any] = {"dataSource": _facet("dataSource", name=space, uri=f"urn:{space}:{node.type}")}
    if node.type in ("dataset", "version"):
        facets["schema"] = _facet(
            "schema", fields=[{"name": a, "type": t, "description": d} for a, t, d in _ROWS]
        )
    mark = f.get("root") or f.get("sha256") or f.get("revision") or f.get("tag")
    if mark is not None:
        facets["version"] = _facet("version", datasetVersion=str(mark))
    if note := f.get("note"):
        facets["documentation"] = _facet("documentation", description=str(note))
    out: dict[str, Any] = {"namespace": space, "name": f"{node.type}/{title}", "facets": facets}
    size, rows = f.get("size_bytes"), n if n is not None else 1 if node.type in ("asset", "file") else None
    if own == "inputFacets" and rows is not None:
        more = {"bytes": size} if isinstance(size, int) else {}
        out[own] = {
            "dataQualityMetrics": _facet("dataQualityMetrics", rowCount=rows, columnMetrics={}, **more)
        }
    elif own == "outputFacets" and rows is not None:
        more = {"size": size} if isinstance(size, int) else {}
        out[own] = {"outputStatistics": _facet("outputStatistics", rowCount=rows, **more)}
    return out


def _facet(name: str, /, **values: Any) -> dict[str, Any]:
    path = _FACETS[name]
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{_SPEC}/facets/{path}.json#/$defs/{path.rpartition('/')[2]}",
        **values,
    }
