"""Lineage read from the record, in the words of W3C PROV: what a thing was made from, by which activity, by whom; and back.

`graph` holds the values, `pictures` and `sets` go back in time, `forward` goes on from a thing, `prov` writes for others.
"""

from storage.lineage.forward import (
    from_annotation,
    from_asset,
    from_dataset,
    from_model,
    from_package,
    from_version,
    merged,
    of_activity,
    of_model,
    of_package,
    package_refs,
)
from storage.lineage.graph import Direction, Edge, Lineage, Node
from storage.lineage.pictures import of_annotation, of_asset, origins
from storage.lineage.prov import ENDS, from_prov, public, to_prov, without_names
from storage.lineage.sets import of_dataset, of_version

__all__ = [
    "ENDS",
    "Direction",
    "Edge",
    "Lineage",
    "Node",
    "from_annotation",
    "from_asset",
    "from_dataset",
    "from_model",
    "from_package",
    "from_prov",
    "from_version",
    "merged",
    "of_activity",
    "of_annotation",
    "of_asset",
    "of_dataset",
    "of_model",
    "of_package",
    "of_version",
    "origins",
    "package_refs",
    "public",
    "to_prov",
    "without_names",
]
