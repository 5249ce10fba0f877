"""Two journeys in a real window of an X server (xdotool): label mine pictures from nothing, correct predicted ones.

By mouse and keys only, the record is read afterwards. Four more journeys by Qt's events are in test_journeys_desk.py.
A few pictures in the suite; with --whole twenty and seventy, each journey in two languages and themes.
JOURNEY_PICTURES=folder keeps pictures of every journey for people to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from annotation.core import Annotation, Box
from app.services import browse, jobs, labelling, onnx, workspace
from tests.support import journey
from tests.support.journey import Tale
from tests.support.person import Person, until

pytestmark = pytest.mark.gui


@pytest.fixture
def sitting(screen: str, tmp_path: Path, tale: Tale) -> Iterator[Person]:
    """A person at a desk on an empty workspace."""
    workspace.create(str(tmp_path / "W"), person="07").close()
    made = Person(screen, tmp_path / "W", tale.language)
    yield made
    made.close()


def keep(person: Person, tale: Tale, step: str) -> None:
    if (file := tale.shot(step)) is not None:
        person.picture(file)


def bring_pictures(person: Person, folder: Path, name: str, n: int) -> None:
    """Add a folder of pictures by its key and the sheet, and go to the canvas."""

    def there() -> bool:
        with person.record() as ws:
            return any(d.name == name and d.n_assets == n for d in browse.datasets(ws))

    def bring() -> None:
        person.keys("Escape", "ctrl+i")
        person.type(str(folder))
        person.keys("Tab", "Tab", "Tab", "ctrl+a")
        person.type(name)
        person.keys("Return")

    person.until(bring, there, 20)
    person.keys("ctrl+3")


def submit(person: Person, name: str) -> None:
    """The picture goes to review."""

    def gone() -> bool:
        with person.record() as ws:
            return journey.rows(ws)[name].review == "submitted"

    person.until(lambda: person.keys("ctrl+Return"), gone)


def best(found: list[Annotation], wanted: Annotation) -> float:
    """How well the nearest object of that class lies."""
    return max((journey.iou(a, wanted) for a in found if a.label == wanted.label), default=0.0)


def lies(found: list[Annotation], wanted: Annotation) -> bool:
    """Whether an object of that class has every side within two pixels, however small it is."""
    a = wanted.shape
    assert isinstance(a, Box)
    sides = ("x0", "y0", "x1", "y1")
    return any(
        b.label == wanted.label and all(abs(getattr(b.shape, s) - getattr(a, s)) <= 2 for s in sides)
        for b in found
    )


# --- in a real window --------------------------------------------------------------------------------------------


def test_label_mine_pictures_from_nothing(
    sitting: Person, tmp_path: Path, tale: Tale, whole: bool, real: Path | None
) -> None:
    n = 20 if whole else 3
    truth = journey.mine_pictures(real, tmp_path / "night shift", n)
    digit = {"person": "1", "helmet": "2"}
    wanted = {name: [a for a in seen if a.label in digit] for name, seen in truth.items()}
    bring_pictures(sitting, tmp_path / "night shift", "face-07", n)
    with sitting.record() as ws:
        rows = journey.rows(ws)
    sitting.look(next(iter(rows.values())).asset_id)
    keep(sitting, tale, "begin")
    for i, (name, row) in enumerate(rows.items()):
        for k, a in enumerate(wanted[name]):
            assert isinstance(a.shape, Box)
            box, at = a.shape, row.asset_id

            def draw(label: str = a.label, box: Box = box) -> None:
                # A helmet begins where the person around it has a corner: let go of that one first.
                sitting.keys("Escape", digit[label], "r")
                sitting.pull(box.x0, box.y0, box.x1, box.y1)

            sitting.until(draw, lambda at=at, k=k: len(sitting.stored(at)) == k + 1)  # type: ignore[misc]
            if a.label == "person":  # how the helmet is worn has to be said
                sitting.until(
                    lambda: sitting.keys("alt+1"),
                    lambda at=at: any(dict(x.attributes).get("helmet_worn") for x in sitting.stored(at)),  # type: ignore[misc]
                )
        if i == n // 2:
            keep(sitting, tale, "at work")
        submit(sitting, name)
    keep(sitting, tale, "submitted")
    sitting.keys("ctrl+1")
    sitting.x("sleep", 1)
    keep(sitting, tale, "overview")
    sitting.leave()

    with sitting.record() as ws:
        journey.untroubled(ws)
        for name, row in journey.rows(ws).items():
            found = list(labelling.load(ws, row.asset_id).annotations)
            assert (row.review, row.assignee) == ("submitted", "07")
            assert len(found) == len(wanted[name]) and {a.origin for a in found} <= {"human"}
            assert [a for a in wanted[name] if not lies(found, a)] == [], found
            assert {h.agent for h in labelling.history(ws, asset_id=row.asset_id)} <= {"07"}
        done = journey.verbs(ws, "07")
        assert done["draw box"] == sum(map(len, wanted.values())) and done["review: submitted"] == n
    tale.gestures = sitting.gestures
    tale.told(n, sitting.repeats)


def test_correct_predicted_pictures(
    sitting: Person, tmp_path: Path, tale: Tale, whole: bool, shared: Path
) -> None:
    n = 70 if whole else 3
    model = shared / "models" / "yolox_nano.onnx"
    truth = journey.worker_frames(shared, tmp_path / "hall", n)
    bring_pictures(sitting, tmp_path / "hall", "hall", n)
    with sitting.record() as ws:
        first = next(iter(journey.rows(ws).values())).asset_id
    sitting.look(first)
    sitting.keys("ctrl+k")
    sitting.type("tjmx" if tale.language == "zh_CN" else "add a model")
    keep(sitting, tale, "palette")
    sitting.keys("Return")
    sitting.type(str(model))
    sitting.keys("Return")  # look at it; once it is known the same key adds it

    def added() -> bool:
        with sitting.record() as ws:
            return bool(onnx.listing(ws))

    sitting.until(lambda: sitting.keys("ctrl+Return"), added, 20)
    keep(sitting, tale, "pre-label")

    def begun() -> bool:
        with sitting.record() as ws:
            return any(j.kind == "prelabel" for j in jobs.listing(ws))

    def predicted() -> bool:
        with sitting.record() as ws:
            return any(j.kind == "prelabel" and j.ended_ms for j in jobs.listing(ws))

    sitting.until(lambda: sitting.keys("ctrl+Return"), begun, 20)
    until(predicted, 180)
    with sitting.record() as ws:
        rows = journey.rows(ws)
        proposed = {
            name: _waiting(list(labelling.load(ws, r.asset_id).annotations)) for name, r in rows.items()
        }
    assert sum(any(a.label == "person" for a in found) for found in proposed.values()) > 0.8 * n
    sitting.keys("v", "Escape")
    corrected = 0
    for i, (name, row) in enumerate(rows.items()):
        step = "in hand" if i == n // 3 else ""
        corrected += confirm(sitting, row.asset_id, truth[name], tale, step)
        submit(sitting, name)
    keep(sitting, tale, "done")
    sitting.leave()

    with sitting.record() as ws:
        journey.untroubled(ws)
        for name, row in journey.rows(ws).items():
            found = list(labelling.load(ws, row.asset_id).annotations)
            assert (row.review, row.n_pred) == ("submitted", 0)
            assert {(a.label, a.origin, dict(a.attributes).get("helmet_worn")) for a in found} <= {("person", "human", "proper")}  # fmt: skip
            assert all(best(found, a) > NEAR - 0.05 for a in truth[name] if a.label == "person")
            happened = labelling.history(ws, asset_id=row.asset_id)
            assert any(h.model for h in happened) == bool(proposed[name])
    print(f"{sum(map(len, proposed.values()))} predictions, {corrected} boxes mended or drawn")
    tale.gestures = sitting.gestures
    tale.told(n, sitting.repeats)


NEAR = 0.75
"""Overlap from which a person leaves a box as it is."""


def _waiting(found: list[Annotation]) -> list[Annotation]:
    """Predictions in the order in which Enter takes them in hand."""
    return sorted((a for a in found if a.origin == "model"), key=lambda a: -(a.score or 0.0))


def confirm(person: Person, asset: int, truth: tuple[Annotation, ...], tale: Tale, step: str) -> int:
    """Accept, mend or reject every prediction of the open picture and draw who is missing. Returns how many boxes were moved or drawn."""  # fmt: skip
    people = [a for a in truth if a.label == "person"]
    moved, in_hand = 0, False
    while waiting := _waiting(person.stored(asset)):
        now = waiting[0]
        if not in_hand:
            person.keys("Return")
            if step:
                keep(person, tale, step)
        right = max(
            (p for p in people if now.label == "person"), key=lambda p: journey.iou(p, now), default=None
        )

        def one() -> Annotation | None:
            return next((a for a in person.stored(asset) if a.uid == now.uid), None)  # noqa: B023

        if right is None or journey.iou(right, now) < 0.3:
            person.until(lambda: person.keys("x"), lambda: one() is None)
            in_hand = True
            continue
        if journey.iou(right, now) < NEAR:
            mend(person, one, right)
            moved += 1
        person.until(lambda: person.keys("alt+1"), lambda: _helmet(one()) == "proper")
        people.remove(right)
        in_hand = False
    for missing in people:
        box, before = missing.shape, len(person.stored(asset))
        assert isinstance(box, Box)

        def draw(box: Box = box) -> None:
            person.keys("1", "r")
            person.pull(box.x0, box.y0, box.x1, box.y1)

        person.until(draw, lambda before=before: len(person.stored(asset)) == before + 1)  # type: ignore[misc]
        person.until(
            lambda: person.keys("alt+1"),
            lambda: all(_helmet(a) == "proper" for a in person.stored(asset)),
        )
        person.keys("v", "Escape")
        moved += 1
    return moved


def _helmet(a: Annotation | None) -> object:
    return None if a is None else dict(a.attributes).get("helmet_worn")


def mend(person: Person, one: Callable[[], Annotation | None], right: Annotation) -> None:
    """Pull two corners of the object in hand to where they belong."""
    for end in (0, 1):
        now = one()
        assert now is not None and isinstance(now.shape, Box) and isinstance(right.shape, Box)
        a, b = now.shape, right.shape
        here, there = ((a.x0, a.y0), (b.x0, b.y0)) if end == 0 else ((a.x1, a.y1), (b.x1, b.y1))
        if max(abs(here[0] - there[0]), abs(here[1] - there[1])) > 2:
            person.until(lambda: person.pull(*here, *there), lambda: one() != now)  # noqa: B023
