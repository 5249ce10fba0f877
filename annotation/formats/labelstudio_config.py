"""Label Studio's labelling interface, as far as annotations need it: which value holds the picture, which controls there
are, the points of skeletons; https://labelstud.io/tags. Read where it lies beside the tasks, written with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotation.errors import InvalidInput
from annotation.formats import xmlite
from annotation.formats.xmlite import written

FILE = "label_config.xml"
MAX_LOOK = 50
PREFIX = "attr_"
"""Of the names of controls that hold attributes, so that none is called like a tool."""


@dataclass(frozen=True, slots=True)
class Config:
    """objects: picture tag -> its value ("$image"). controls: name -> (tag, its choices). points: point label -> place."""

    objects: Mapping[str, str] = field(default_factory=dict)
    controls: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    points: Mapping[str, int] = field(default_factory=dict)


def root(path: Path) -> bool:
    """Whether a file is a labelling interface."""
    return path.suffix.lower() == ".xml" and xmlite.root(path) == "View"


def beside(tasks: Path) -> Config:
    """The interface in the folder of a file of tasks: the one whose name ends alike (`data_obb.json` and
    `label_config_obb.xml`), or the only one; nothing known where it cannot be told or read."""
    found = [file for file in sorted(tasks.parent.glob("*.xml"))[:MAX_LOOK] if root(file)]
    ending = tasks.stem.partition("_")[2]
    named = [file for file in found if ending and file.stem.endswith(f"_{ending}")]
    plain = [file for file in found if file.stem in ("label_config", "config", "labelling_config")]
    chosen = named or (found if len(found) == 1 else [] if ending else plain)
    if not chosen:
        return Config()
    try:
        return _config(xmlite.load(chosen[0]))
    except InvalidInput:
        return Config()


def _config(view: xmlite.Element) -> Config:
    objects: dict[str, str] = {}
    controls: dict[str, tuple[str, tuple[str, ...]]] = {}
    points: dict[str, int] = {}
    for element in view.iter():
        name = element.get("name") or ""
        if element.get("toName") and name:
            inner = [part for part in element if part.tag in ("Label", "Choice", "BrushLabel")]
            choices = [(part.get("alias") or part.get("value") or "").strip() for part in inner]
            controls[name] = element.tag, tuple(choices)
            if element.tag == "KeyPointLabels":
                for n, (part, choice) in enumerate(zip(inner, choices, strict=True)):
                    place = part.get("model_index") or ""
                    points[choice] = int(place) if place.isdecimal() and len(place) < 6 else n
        elif element.tag in ("Image", "Video", "HyperText", "Text", "Audio", "Chat") and name:
            objects[name] = (element.get("valueList") or element.get("value") or "").strip()
    return Config(objects, controls, points)


def text(
    labels: Sequence[tuple[str, str]],
    tools: Iterable[str],
    attributes: Mapping[str, str],
    choices: Mapping[str, Sequence[str]],
    relations: Iterable[str],
) -> bytes:
    """The interface for tasks that were written.

    Args:
        labels: (code, colour) of every class.
        tools: tags such as RectangleLabels that are needed; each gets all classes.
        attributes: code -> "choice", "flag", "number" or "text".
        choices: the values of choices, by attribute.
        relations: names of relations.
    """
    lines = ["<View>", '<Image name="image" value="$image" zoom="true"/>']
    for tool in sorted(set(tools)):
        name = control(tool)
        if tool == "Choices":
            lines.append(f'<Choices name="{name}" toName="image" choice="multiple">')
            lines += [f'<Choice value="{written(code)}"/>' for code, _ in labels]
        elif tool == "TextArea":
            lines.append(f'<TextArea name="{name}" toName="image" maxSubmissions="100">')
        else:
            lines.append(f'<{tool} name="{name}" toName="image">')
            lines += [f'<Label value="{written(code)}" background="{colour}"/>' for code, colour in labels]
        lines.append(f"</{tool}>")
    for code, kind in sorted(attributes.items()):
        head = f'name="{PREFIX}{written(code)}" toName="image" perRegion="true"'
        if kind in ("choice", "flag"):
            values = ("true", "false") if kind == "flag" else choices.get(code, ())
            inner = "".join(f'<Choice value="{written(value)}"/>' for value in values)
            lines.append(f'<Choices {head} choice="single">{inner}</Choices>')
        elif kind == "number":
            lines.append(f"<Number {head}/>")
        else:
            lines.append(f"<TextArea {head}/>")
    if found := sorted(set(relations)):
        inner = "".join(f'<Relation value="{written(name)}"/>' for name in found)
        lines.append(f"<Relations>{inner}</Relations>")
    return ("\n".join([*lines, "</View>"]) + "\n").encode()


def control(tool: str) -> str:
    """The name of the control that a tag gets."""
    return {"Choices": "tags", "TextArea": "caption"}.get(tool, tool.removesuffix("Labels").lower())
