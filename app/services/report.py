"""The report of an evaluation: its figures as plain JSON values, and the thresholds it proposes.

What a report holds is kept in the lineage as it is, so a key never changes its meaning; "format" would rise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotation import evaluation, resample
from annotation.evaluation import Tally
from annotation.resample import Interval
from app.i18n import tr
from models.card import ModelCard
from models.recipe import quoted

FORMAT = 1
LISTED = 200
"""Pictures that a report names: the worst, those of a class, those left out for one reason."""
CURVES = 200
"""Classes with their curve, calibration and pictures in a report, those with most truth first."""


@dataclass(slots=True)
class Told:
    """What one model said, beside its tally.

    Attributes:
        score: the working threshold, or one for each class. lowest: of its predictions. said: how many of classes that
            are judged; others: of other classes. provenance: of a fresh run.
    """

    score: float | list[float]
    lowest: float = 1.0
    said: int = 0
    others: dict[str, int] = field(default_factory=dict)
    provenance: Mapping[str, object] | None = None


def model(
    name: str, sha256: str, card: ModelCard, tally: Tally, told: Told, names: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """One model's part.

    Args:
        names: label code -> the model's own names of it.
    """
    found = evaluation.figures(tally)
    spread = resample.spread([tally])
    ranked = sorted(range(len(found.classes)), key=lambda k: -found.classes[k].truth)
    shown = [k for k in ranked if found.classes[k].truth or len(tally.marks[k].scores)]
    worst = tally.worst(most=LISTED)
    cost = tally.costs
    return {
        "name": name,
        "sha256": sha256,
        "task": card.task,
        "score": told.score if isinstance(told.score, float) else sorted(set(told.score)),
        "lowest": told.lowest if told.said else None,
        "said": told.said,
        "beyond": sum(m.crowded for m in tally.marks),
        "other_classes": dict(sorted(told.others.items(), key=lambda x: -x[1])[:LISTED]),
        "ran": dict(told.provenance) if told.provenance else None,
        "coco": dict(zip(evaluation.COCO_NAMES, found.coco, strict=True)),
        "ap": _interval(spread.ap[""]),
        "ap50": _interval(spread.ap50[""]),
        "draws": spread.draws,
        "ece": found.ece,
        "bins": _bins(found.bins),
        "classes": [
            {
                "label": (c := found.classes[k]).label, "names": list(names[c.label]), "truth": c.truth, "said": c.said, "hits": c.hits,
                "ap": c.ap, "ap50": c.ap50, "ap75": c.ap75, "small": c.small, "medium": c.medium, "large": c.large,
                "ar": list(c.ar), "interval": _interval(spread.ap[c.label]), "ece": c.ece,
                "best": dict(zip(("score", "f1", "precision", "recall"), c.best, strict=True)) if c.best else None,
                "curve": [round(v, 5) for v in c.curve] if c.curve and place < CURVES else None,
                "bins": _bins(c.bins) if place < CURVES else None,
                "worst": [tally.keys[i] for i in tally.worst(k, most=LISTED)] if place < CURVES else [],
            }
            for place, k in enumerate(shown)
        ],
        "confusion": [
            {"true": _name(tally, t), "said": _name(tally, s), "n": count}
            for (t, s), count in sorted(tally.confusion.items(), key=lambda x: (-x[1], x[0]))
        ],
        "worst": [
            {"picture": tally.keys[i], "cost": round(float(cost[i]), 4), "missed": tally.n_missed[i],
             "false": tally.n_false[i], "off": round(tally.apart[i], 4)}
            for i in worst
        ],
    }  # fmt: skip


def _name(tally: Tally, place: int) -> str:
    return "" if place == evaluation.NOTHING else tally.classes[place]


def _bins(bins: Sequence[evaluation.Bin]) -> list[list[float]]:
    return [[b.n, round(b.score, 5), round(b.right, 5)] for b in bins]


def _interval(found: Interval | None) -> list[float] | None:
    return None if found is None else [found.value, found.low, found.high, found.above]


def difference(tallies: Sequence[Tally]) -> dict[str, Any]:
    """The second model minus the first."""
    spread = resample.spread(tallies)
    codes = [
        code for code, marks in zip(tallies[0].classes, tallies[0].marks, strict=True) if len(marks.truth)
    ]
    return {
        "ap": _interval(spread.ap[""]), "ap50": _interval(spread.ap50[""]), "draws": spread.draws,
        "classes": [{"label": code, "ap": _interval(spread.ap[code]), "ap50": _interval(spread.ap50[code])} for code in codes],
    }  # fmt: skip


def yard(report: Mapping[str, Any]) -> str:
    """What a report was judged against, in words."""
    kind, name = report["against"]["kind"], report["against"]["name"]
    return {
        "accepted": tr("truth that an inspector accepted"),
        "labelled": tr("truth of labelled pictures"),
        "version": tr("version {name}", name=name),
        "filter": tr("saved filter {name}", name=name),
        "dataset": tr("dataset {name}", name=name),
    }[kind]


def proposal(report: Mapping[str, Any], place: int = 0) -> str:
    """The best threshold of each class as the [scores] of a recipe, in TOML; classes without one are left as they are."""
    one = report["models"][place]
    lines = [
        f"# Best F1 at an overlap of {report['iou']:g}: {report['dataset']} r{report['dataset_revision']}, {quoted(one['name'])}",
        "[scores]",
    ]
    for c in one["classes"]:
        if best := c["best"]:
            told = f"# F1 {best['f1']:.3f}, precision {best['precision']:.3f}, recall {best['recall']:.3f}"
            lines += [f"{quoted(name)} = {best['score']:.6f}  {told}" for name in c["names"]]
    return "\n".join(lines) + "\n"
