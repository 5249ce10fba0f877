"""Rules of going from picture to picture: the route asks nothing per step, what comes next is decoded, large ones in two looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from annotation.core import Annotation, Box
from annotation.errors import InvalidInput
from app.desktop import route as routes
from app.desktop.canvas.pictures import Pictures
from app.desktop.route import Route
from app.services import browse, ingest, labelling, review, workspace
from app.services.browse import Glance, Query
from app.services.workspace import Workspace
from storage import media
from tests.app.desktop.conftest import Hand, furnish


class Now:
    """A pool that works at once; `held` keeps the work until `run`."""

    def __init__(self) -> None:
        self.held = False
        self.jobs: list = []
        self.done: list = []

    def submit(self, work, done, error, *, key=None, wanted=None) -> None:
        self.jobs.append((key, work, done, error))
        if not self.held:
            self.run()

    def run(self, n: int = 10_000) -> None:
        while self.jobs and n:
            n -= 1
            key, work, done, error = self.jobs.pop()
            self.done.append(key)
            try:
                got = work()
            except Exception as fault:
                error(fault)
            else:
                done(got)

    def drop(self, keep) -> None:
        self.jobs = [job for job in self.jobs if keep(job[0])]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace of 260 small pictures."""
    place = tmp_path_factory.mktemp("long")
    folder = place / "pictures"
    folder.mkdir()
    for i in range(260):
        colour = (i % 256, i // 256, 7)
        cv2.imwrite(str(folder / f"{i:04d}.png"), np.full((8, 8, 3), colour, np.uint8))
    ws = workspace.create(str(place / "W"), person="07")
    for _ in ingest.run(ws, [folder], dataset="face"):
        pass
    yield ws
    ws.close()


def ids(ws: Workspace) -> list[int]:
    return [row.asset_id for row in browse.page(ws, Query(1), limit=1000)]


def test_a_walk_from_end_to_end_meets_every_picture_at_its_position(long: Workspace, qapp) -> None:
    every = ids(long)
    assert len(every) == 260
    route = Route(Now())  # type: ignore[arg-type]
    route.look_at(long, Query(1))
    route.refresh()
    route.now_at(every[0])
    route.read_on()
    seen = [route.now]
    while (found := route.neighbour(1)) is not None:
        route.now_at(found.asset_id)
        route.read_on()
        seen.append(route.now)
        assert (route.position, route.total) == (len(seen) - 1, 260)
        assert len(route.rows) <= 4 * routes.REACH
    assert seen == every
    while (found := route.neighbour(-1)) is not None:
        route.now_at(found.asset_id)
        route.read_on()
        seen.pop()
        assert route.position == len(seen) - 1
    assert len(seen) == 1


def test_a_jump_into_the_middle_knows_its_position_from_the_anchors(
    long: Workspace, qapp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browse, "ANCHOR_EVERY", 50)
    found = browse.anchors
    monkeypatch.setattr(browse, "anchors", lambda ws, query: found(ws, query, 50))
    every = ids(long)
    route = Route(Now())  # type: ignore[arg-type]
    route.look_at(long, Query(1))
    for at in (199, 0, 149, 150, 259):
        route.now_at(every[at])
        route.read_on()
        assert (route.position, route.row.asset_id if route.row else 0) == (at, every[at])


def test_a_step_among_rows_at_hand_asks_the_record_nothing(long: Workspace, qapp) -> None:
    every, pool = ids(long), Now()
    route = Route(pool)  # type: ignore[arg-type]
    route.look_at(long, Query(1))
    route.now_at(every[130])
    route.read_on()
    pool.done.clear()
    for _ in range(routes.REACH - routes.SPARE - 1):
        found = route.neighbour(1)
        assert found is not None
        route.now_at(found.asset_id)
        route.read_on()
    assert pool.done == []


def test_what_is_decoded_ahead_lies_in_the_direction_of_travel(long: Workspace, qapp) -> None:
    every = ids(long)
    route = Route(Now())  # type: ignore[arg-type]
    route.look_at(long, Query(1))
    for at in (100, 101):
        route.now_at(every[at])
        route.read_on()
    assert route.near() == [*every[102:106], every[100]]
    route.now_at(every[100])
    assert route.near() == [*reversed(every[96:100]), every[101]]


def test_a_picture_that_left_the_selection_is_passed_over_and_not_counted(tmp_path: Path, qapp) -> None:
    place = furnish(tmp_path)
    ws = workspace.open(str(place), person="07")
    route = Route(Now())  # type: ignore[arg-type]
    route.look_at(ws, Query(1, state="unlabelled"))
    route.refresh()
    here = [row.asset_id for row in route.rows]
    route.now_at(here[0])
    route.read_on()
    page = labelling.load(ws, here[1])
    labelling.save(ws, page, (Annotation("person", Box(1, 1, 20, 20)),), verb="draw box")
    route.changed_row(here[1])
    found = route.neighbour(1)
    assert found is not None
    assert found.asset_id == here[2]
    route.now_at(here[2])
    assert route.position == 1
    ws.close()


@pytest.mark.parametrize("committed_first", [False, True])
@pytest.mark.parametrize("read_before", [False, True])
def test_the_number_is_right_when_a_picture_is_judged_while_it_is_read(
    tmp_path: Path, qapp, committed_first: bool, read_before: bool
) -> None:
    ws = workspace.open(str(furnish(tmp_path)), person="07")
    pool = Now()
    route = Route(pool)  # type: ignore[arg-type]
    route.look_at(ws, Query(1, review="draft"))
    pool.held = True
    route.refresh()
    pool.run(1)
    ((_key, work, done, _error),) = pool.jobs
    pool.jobs.clear()
    one = route.rows[0].asset_id
    early = work()
    route.judged(one, "submitted")
    review.judge(ws, 1, [one], "submitted")
    if committed_first:
        route.changed_row(one, judged=True)
    done(early if read_before else work())
    if not committed_first:
        route.changed_row(one, judged=True)
    pool.run()
    assert route.total == 4
    ws.close()


# --- decoding ----------------------------------------------------------------------------------------------------


def picture(side: int = 8) -> media.Picture:
    return media.Picture(np.full((side, side, 4), 255, np.uint8), None, media.Kind(8, "colour", False, False))


def whole(_id: int, _px: int) -> Glance:
    return Glance(picture(), None, (8, 8), b"")


def small(_id: int, _px: int) -> Glance:
    return Glance(None, np.full((4, 4, 4), 255, np.uint8), (8, 8), b"bytes")


def test_a_large_picture_is_shown_reduced_and_then_whole_from_the_same_bytes() -> None:
    given: list[bytes] = []

    def finish(_id: int, data: bytes) -> media.Picture:
        given.append(data)
        return picture()

    pictures, seen = Pictures(Now(), small, finish), []  # type: ignore[arg-type]
    pictures.ask(1, lambda made: seen.append((made.whole, made.wh)), pytest.fail)
    assert seen == [(False, (8, 8)), (True, (8, 8))]
    assert given == [b"bytes"]
    assert pictures.array(1) is not None


def test_tools_get_no_pixels_of_a_reduced_picture() -> None:
    pool = Now()
    pictures = Pictures(pool, small, lambda *_: picture())  # type: ignore[arg-type]
    pool.held = True
    pictures.ask(1, lambda _: None, pytest.fail)
    pool.run(1)
    assert pictures.get(1) is not None
    assert pictures.array(1) is None
    pool.run()
    assert pictures.array(1) is not None


def test_large_neighbours_wait_reduced_and_only_the_one_looked_at_is_decoded_whole() -> None:
    finished: list[int] = []

    def finish(asset_id: int, _data: bytes) -> media.Picture:
        finished.append(asset_id)
        return picture()

    pictures = Pictures(Now(), small, finish)  # type: ignore[arg-type]
    pictures.ask(1, lambda _: None, pytest.fail)
    pictures.read_ahead(1, [2, 3])
    assert finished == [1]
    assert pictures.get(2) is not None
    pictures.ask(2, lambda _: None, pytest.fail)
    assert finished == [1, 2]


def test_what_comes_next_waits_for_what_is_looked_at_and_is_dropped_when_left_behind() -> None:
    pool = Now()
    pool.held = True
    pictures = Pictures(pool, whole, lambda *_: picture())  # type: ignore[arg-type]
    pictures.ask(1, lambda _: None, pytest.fail)
    pictures.read_ahead(1, [2, 3, 4])
    assert [job[0] for job in pool.jobs] == [("picture", 1)]
    pool.run(1)
    assert [job[0] for job in pool.jobs] == [("picture", 2), ("picture", 3)]
    pictures.ask(9, lambda _: None, pytest.fail)
    pictures.read_ahead(9, [10])
    assert [job[0] for job in pool.jobs] == [("picture", 9)]
    pool.run()
    assert pool.done == [("picture", 1), ("picture", 9), ("picture", 10)]


def test_pictures_are_kept_within_the_budget_of_bytes_but_never_the_one_looked_at() -> None:
    pictures = Pictures(Now(), whole, lambda *_: picture(), budget_bytes=3 * 8 * 8 * 4)  # type: ignore[arg-type]
    for i in range(1, 20):
        pictures.ask(i, lambda _: None, pytest.fail)
        pictures.read_ahead(i, [i + 1])
        assert pictures._bytes == sum(m.size_bytes for m in pictures._kept.values()) <= 3 * 256
        assert pictures.get(i) is not None
    pictures.budget_bytes = 1
    pictures.ask(30, lambda _: None, pytest.fail)
    assert pictures.get(30) is not None


def test_a_fault_behind_the_first_look_is_told_and_another_ask_tries_again() -> None:
    faults: list[BaseException] = []
    tried: list[int] = []

    def finish(asset_id: int, _data: bytes) -> media.Picture:
        tried.append(asset_id)
        raise InvalidInput("damaged")

    pictures = Pictures(Now(), small, finish)  # type: ignore[arg-type]
    for _ in range(2):
        pictures.ask(1, lambda _: None, faults.append)
    assert len(faults) == len(tried) == 2


def test_a_held_key_never_waits_and_ends_on_a_picture_that_is_shown(hand: Hand) -> None:
    hand.open(1)
    hand.qtbot.waitUntil(lambda: len(hand.window.annotate.route.rows) == 5)
    for _ in range(12):
        hand.key(Qt.Key.Key_D)
    assert hand.doc.asset_id == 5
    hand.qtbot.waitUntil(lambda: hand.ready(5))
    hand.qtbot.waitUntil(lambda: "5 of 5" in hand.window.annotate.where.text())


def test_the_strip_follows_the_open_picture(hand: Hand, qtbot: QtBot) -> None:
    hand.open(2)
    qtbot.waitUntil(lambda: len(hand.window.annotate.strip._rows) == 5)
    hand.key(Qt.Key.Key_D)
    assert hand.window.annotate.strip._current == 3
