"""How a model uses this machine best, measured in a second or two on some of the pictures instead of guessed."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from annotation.core import AnnotationSet
from models import batch
from models.batch import Decode, Plan
from models.card import ModelCard
from models.providers import on_processor
from models.recipe import PLAIN, Recipe

LEAST_S = 0.25
"""A plan's turn takes about this long."""
TURNS = 3
"""Plans take turns, and the best turn of each counts: what else runs on the machine would else choose the plan."""
BETTER = 1.05
"""A plan that is more complicated must be this much faster than the simplest, and on a processor not cost more of it."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The plan taken, its rate in pictures a second without reading and writing, and every plan's rate that was tried.

    A rate of 0 = on the CPU the plan changed what was found, so it was not taken.
    """

    plan: Plan
    rate: float
    tried: tuple[tuple[Plan, float], ...]


def candidates(card: ModelCard, provider: str, cores: int) -> list[Plan]:
    """The plans worth trying, simplest first."""
    if provider == "cpu":
        plans = [Plan(cores)]
        if cores > 1:
            plans += [Plan(1, threads=cores), Plan(cores, sessions=cores)]
        if card.batch == 0 and not card.loose:
            plans.append(Plan(cores, batch=4))
        return plans
    if on_processor(provider):
        # Its own threads serve all chains of a session: with one thread a second chain only waits.
        return list(
            dict.fromkeys((Plan(cores, threads=cores), Plan(1, threads=cores), Plan(cores, sessions=cores)))
        )
    # A device runs one thing at a time; more chains decode while it works.
    plans = [Plan(2), Plan(max(2, cores))]
    if card.batch == 0 and not card.loose:
        plans += [Plan(max(2, cores), batch=b) for b in (4, 8, 16)]
    return list(dict.fromkeys(plans))


def calibrate(
    model: Path,
    card: ModelCard,
    pictures: Sequence[bytes],
    *,
    decode: Decode,
    recipe: Recipe = PLAIN,
    provider: str = "cpu",
    cores: int | None = None,
) -> Calibration:
    """Try each candidate on the pictures, over and over, in short turns.

    Args:
        pictures: bytes of some pictures; what cannot be decoded costs next to nothing and tells nothing.

    Raises:
        As `batch.predict`.
    """
    plans = candidates(card, provider, cores or batch.usable_cores())
    if len(plans) == 1 or not pictures:
        return Calibration(plans[0], 0.0, ())
    rates, costs = dict.fromkeys(plans, 0.0), dict.fromkeys(plans, math.inf)
    first: list[AnnotationSet] = []
    changing: set[Plan] = set()
    for _ in range(TURNS):
        for plan in plans:
            if plan in changing:
                continue
            rate, cost, found = _tried(model, card, pictures, decode, recipe, provider, plan)
            plain = [tuple(replace(a, uid="") for a in one) for one in found]
            first = first or plain
            if provider == "cpu" and plain != first:
                # Other sums in another order: the same picture must give the same boxes, however it was run.
                changing.add(plan)
            rates[plan], costs[plan] = max(rates[plan], rate), min(costs[plan], cost)
    simple = plans[0]
    fair = [
        plan for plan in plans
        if plan not in changing and (not _by_processor(provider) or costs[plan] <= costs[simple] * BETTER)
    ]  # fmt: skip
    best = max(fair, key=lambda plan: rates[plan] / (1 if plan == simple else BETTER))
    tried = tuple((plan, 0.0 if plan in changing else rates[plan]) for plan in plans)
    return Calibration(best, rates[best], tried)


def _by_processor(provider: str) -> bool:
    return provider == "cpu" or on_processor(provider)


def _tried(
    model: Path,
    card: ModelCard,
    pictures: Sequence[bytes],
    decode: Decode,
    recipe: Recipe,
    provider: str,
    plan: Plan,
) -> tuple[float, float, list[AnnotationSet]]:
    """Pictures a second, processor seconds a picture, and what was found in each of the first round."""
    n = len(pictures)
    items = ((i, i % n) for i in range(1_000_000))
    found: list[AnnotationSet] = []
    with batch.predict(
        items, lambda i: pictures[i], model, card, decode=decode, recipe=recipe, provider=provider, plan=plan
    ) as run:
        start, spent, count = 0.0, 0.0, 0
        for result in run:
            if len(found) < n:
                found.append(result.annotations)
            # The first window's worth warms up and fills the chains.
            if result.id == max(n, plan.chains * plan.batch):
                start, spent = time.perf_counter(), time.process_time()
            elif start:
                count += 1
                if time.perf_counter() - start > LEAST_S and count >= 2 * plan.chains * plan.batch:
                    break
        seconds, cost = time.perf_counter() - start, time.process_time() - spent
    return count / seconds, cost / max(count, 1), found
