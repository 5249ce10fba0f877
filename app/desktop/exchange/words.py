"""Names of formats and their variants as people read them."""

from __future__ import annotations

from types import MappingProxyType

from app.i18n import tr

TITLES = MappingProxyType(
    {
        "native": "Lamproom", "coco": "COCO", "yolo": "YOLO", "voc": "Pascal VOC", "cvat": "CVAT", "labelme": "labelme",
        "datumaro": "Datumaro", "labelstudio": "Label Studio", "dota": "DOTA", "kitti": "KITTI", "mot": "MOT", "wider": "WIDER FACE",
        "icdar": "ICDAR", "masks": "Mask PNG", "table": "CSV",
    }
)  # fmt: skip
"""In the order of the list: what is asked for most first."""
_VARIANTS = MappingProxyType(
    {
        "instances": "objects", "panoptic": "panoptic", "captions": "captions", "detect": "boxes", "segment": "polygons",
        "pose": "keypoints", "obb": "rotated boxes", "classify": "folders by class", "images": "images", "video": "video",
        "labelme": "labelme", "xanylabeling": "X-AnyLabeling", "mot": "MOT boxes", "mots": "MOTS masks", "boxes": "boxes",
        "masks": "masks", "index": "class numbers", "palette": "colours", "instance": "one number an object", "full": "everything",
        "2015": "ICDAR 2015", "2013": "ICDAR 2013", "2017": "ICDAR 2017", "ppocr": "PPOCRLabel", "recognition": "lines for a reader",
    }
)  # fmt: skip
HOW = MappingProxyType(
    {"path": "by path", "size": "by name and size", "digest": "by their bytes", "unmatched": "not in the dataset",
     "ambiguous": "several fit", "wrong_size": "another size"}
)  # fmt: skip
WITHOUT = ("unmatched", "ambiguous", "wrong_size")


def title(name: str) -> str:
    """A format's name."""
    return TITLES.get(name, name)


def variant(dialect: str) -> str:
    """A dialect in words."""
    return tr(_VARIANTS.get(dialect, dialect))
