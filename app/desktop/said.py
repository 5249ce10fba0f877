"""How steps and times are said to a person, in the language in use."""

from __future__ import annotations

import time

from app.i18n import tr

VERBS = {
    "draw box": "Draw box",
    "draw polygon": "Draw polygon",
    "draw rotated_box": "Draw rotated box",
    "draw quad": "Draw quadrilateral",
    "draw ellipse": "Draw ellipse",
    "draw cuboid": "Draw cuboid",
    "draw polyline": "Draw polyline",
    "draw points": "Draw points",
    "draw keypoints": "Draw skeleton",
    "draw mask": "Draw mask",
    "add hole": "Draw hole",
    "add part": "Draw part",
    "paint": "Paint",
    "erase": "Erase",
    "reshape": "Reshape",
    "turn": "Turn",
    "snap": "Snap",
    "visibility": "Seen or hidden",
    "duplicate": "Duplicate",
    "cut": "Cut",
    "paste": "Paste",
    "copy from previous": "Copy from the picture before",
    "group": "Group",
    "ungroup": "Ungroup",
    "link": "Link",
    "unlink": "Remove links",
    "order": "Change the order",
    "union": "Union",
    "subtract": "Subtract",
    "intersect": "Intersect",
    "join": "Join",
    "split": "Split parts",
    "slice": "Slice",
    "convert": "Convert",
    "simplify": "Simplify",
    "fill holes": "Fill holes",
    "fit box": "Fit a box",
    "tag": "Tag the picture",
    "untag": "Take a tag away",
    "caption": "Caption",
    "move": "Move",
    "relabel": "Change class",
    "attribute": "Change attribute",
    "delete": "Delete",
    "accept": "Accept",
    "reject": "Reject",
    "restore": "Restore",
    "prelabel": "Pre-label",
    "import": "Import",
    "assign": "Assign",
    "remark": "Write a remark",
    "edit remark": "Change a remark",
    "delete remark": "Delete a remark",
    "resolve": "Resolve a remark",
    "reopen": "Open a remark again",
    "review: draft": "Back to draft",
    "review: submitted": "Submit",
    "review: accepted": "Accept the picture",
    "review: returned": "Return the picture",
    "schema": "Label schema",
    "ingest": "Add pictures",
    "draw polygon: scissors": "Draw polygon by scissors",
    "draw mask: scissors": "Draw mask by scissors",
    "draw polygon: grabcut": "Draw polygon by GrabCut",
    "draw mask: grabcut": "Draw mask by GrabCut",
    "draw polygon: wand": "Draw polygon by wand",
    "draw mask: wand": "Draw mask by wand",
    "draw polygon: prompt": "Draw polygon by prompts",
    "draw mask: prompt": "Draw mask by prompts",
    "copy forward": "Copy forward",
    "key frame": "Key frame",
    "no key frame": "No key frame any more",
    "delete track onward": "Delete the track onward",
    "split track": "Split the track",
    "join tracks": "Join tracks",
    "track: template": "Track by template",
    "track: flow": "Track by optical flow",
}


def verb_text(verb: str, op: int) -> str:
    """What was done, in the language in use."""
    done = tr(VERBS[verb]) if verb in VERBS else verb
    return tr("Undo: {what}", what=done) if op == 1 else tr("Redo: {what}", what=done) if op == 2 else done


def review_text(verb: str, op: int, assignee: str | None) -> str:
    """What happened to a picture as a member of a dataset."""
    what = verb_text(verb, op)
    return f"{what} → {assignee}" if verb == "assign" and assignee else what


def ago(at_ms: int) -> str:
    """How long ago, in a few words."""
    seconds = max(0, int(time.time() - at_ms / 1000))
    if seconds < 10:
        return tr("just now")
    if seconds < 60:
        return tr("{n} s ago", n=seconds)
    if seconds < 3600:
        return tr("{n} min ago", n=seconds // 60)
    if seconds < 20 * 3600:
        return time.strftime("%H:%M", time.localtime(at_ms / 1000))
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_ms / 1000))
