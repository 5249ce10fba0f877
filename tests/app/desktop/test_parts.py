"""Parts of the desk without a window: the pool's order, the scene's hit test, the overlay's drawing, shapes."""

from __future__ import annotations

import ast
import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QAbstractScrollArea, QWidget
from pytestqt.qtbot import QtBot

from annotation.core import Annotation, Box, Polygon
from app import desktop
from app.desktop.canvas import ink, overlay, scene, shapes
from app.desktop.canvas.overlay import Request, Style
from app.desktop.painted import painted
from app.desktop.tasks import Courier, Pool

STYLE = Style({"a": "#ff0000", "b": "#00ff00"}, {"a": "Alpha", "b": "Beta"})


@pytest.fixture
def courier(qapp) -> Iterator[Courier]:
    made = Courier()
    yield made
    made.close()


@pytest.mark.parametrize(("ordered", "expected"), [(False, [0, 4, 3, 2, 1]), (True, [0, 1, 2, 3, 4])])
def test_a_reader_takes_the_newest_request_first_and_the_writer_the_oldest(
    qtbot: QtBot, courier: Courier, ordered: bool, expected: list[int]
) -> None:
    pool = Pool(courier, 1, "lamproom-test", ordered=ordered)
    hold, begun, done = threading.Event(), threading.Event(), []

    def first() -> int:
        begun.set()
        assert hold.wait(10)
        return 0

    pool.submit(first, done.append, done.append)
    assert begun.wait(10)
    for i in range(1, 5):
        pool.submit(lambda i=i: i, done.append, done.append)
    hold.set()
    qtbot.waitUntil(lambda: len(done) == 5)
    assert done == expected
    assert pool.close()


def test_a_request_of_the_same_key_replaces_the_one_that_waits(qtbot: QtBot, courier: Courier) -> None:
    pool = Pool(courier, 1, "lamproom-test")
    hold, begun, done = threading.Event(), threading.Event(), []

    def first() -> int:
        begun.set()
        assert hold.wait(10)
        return 0

    pool.submit(first, done.append, done.append)
    assert begun.wait(10)
    for i in range(1, 4):
        pool.submit(lambda i=i: i, done.append, done.append, key="same")
    pool.submit(lambda: 9, done.append, done.append, wanted=lambda: False)
    hold.set()
    assert pool.wait()
    qtbot.waitUntil(lambda: len(done) == 2)
    assert done == [0, 3]
    assert pool.close()


def test_a_closing_writer_finishes_what_waits(qtbot: QtBot, courier: Courier) -> None:
    pool = Pool(courier, 1, "lamproom-test", ordered=True)
    seen: list[int] = []
    for i in range(50):
        pool.submit(lambda i=i: seen.append(i), lambda _: None, lambda _: None)
    assert pool.close(finish=True)
    assert seen == list(range(50))


def objects(*items: tuple[str, object, str]) -> tuple[Annotation, ...]:
    return tuple(
        Annotation(label, shape, origin=origin, score=0.5 if origin == "model" else None)  # type: ignore[arg-type]
        for label, shape, origin in items
    )


def test_a_click_takes_the_smallest_object_and_keeps_the_one_in_hand() -> None:
    large, small = objects(("a", Box(0, 0, 100, 100), "human"), ("b", Box(40, 40, 60, 60), "human"))
    made = scene.build((large, small))
    assert scene.hit(made, 50, 50, 1) == small.uid
    assert scene.hit(made, 50, 50, 1, prefer=[large.uid]) == large.uid
    assert scene.hit(made, 10, 10, 1) == large.uid
    assert scene.hit(made, 102, 50, 1) is None
    assert scene.hit(made, 100.5, 50, 1) == large.uid


def test_a_hole_of_a_polygon_does_not_hide_the_polygon() -> None:
    ring, hole = (
        (0.0, 0.0, 100.0, 0.0, 100.0, 100.0, 0.0, 100.0),
        (40.0, 40.0, 60.0, 40.0, 60.0, 60.0, 40.0, 60.0),
    )
    (one,) = objects(("a", Polygon(((ring, hole),)), "human"))
    made = scene.build((one,))
    assert scene.hit(made, 10, 50, 1) == one.uid
    assert scene.build((one,), made).rings[0] is made.rings[0]


def drawn(items: tuple[Annotation, ...], **more: object) -> overlay.Overlay:
    request = Request(scene.build(items), STYLE, 1.0, 0.0, 0.0, (200, 200), tags=False, **more)  # type: ignore[arg-type]
    return overlay.render(request)


def edge(made: overlay.Overlay) -> np.ndarray:
    return made.buffer[50, 20:120, 3] > 200


def test_truth_is_drawn_solid_and_a_prediction_dashed(qapp) -> None:
    solid = edge(drawn(objects(("a", Box(20, 50, 120, 150), "human"))))
    dashed = edge(drawn(objects(("a", Box(20, 50, 120, 150), "model"))))
    assert solid.all()
    assert 0.3 < dashed.mean() < 0.9
    chosen = objects(("a", Box(20, 50, 120, 150), "model"))
    made = drawn(chosen, selected=frozenset({chosen[0].uid}))
    colours = made.buffer[50, 20:120, 2] > 200
    assert 0.3 < colours.mean() < 0.9


def test_the_overlay_is_premultiplied_everywhere(qapp) -> None:
    made = drawn(
        objects(
            ("a", Box(20, 50, 120, 150), "human"), ("b", Polygon((((30, 30, 90, 40, 60, 120),),)), "model")
        )
    )
    assert (made.buffer[:, :, :3] <= made.buffer[:, :, 3:4]).all()


def test_a_patched_overlay_equals_a_fresh_one(qapp) -> None:
    items = objects(
        *[("a", Box(10 + 17 * i, 10 + 11 * i, 50 + 17 * i, 60 + 11 * i), "human") for i in range(8)]
    )
    moved = Annotation("b", Box(90, 20, 150, 70), uid=items[3].uid)
    after = (*items[:3], moved, *items[4:])
    made = drawn(items)
    overlay.patch(made, scene.build(after), {moved.uid})
    assert (made.buffer == drawn(after).buffer).all()


def test_tags_do_not_overlap_and_are_shortened_before_they_hide_an_object(qapp) -> None:
    items = objects(*[("a", Box(30 + 4 * i, 60 + 3 * i, 90 + 4 * i, 140 + 3 * i), "model") for i in range(6)])
    made = overlay.render(Request(scene.build(items), STYLE, 1.0, 0.0, 0.0, (200, 200)))
    boxes = np.array([t.rect for t in made.tags if t.ink.shape[0] > 14], np.float32)
    assert len(boxes)
    assert (np.triu(ink.covered(boxes, boxes), 1) == 0).all()


def test_far_zoom_draws_nothing_wrong_and_raises_nothing(qapp) -> None:
    items = objects(("a", Box(0, 0, 100_000, 100_000), "model"), ("b", Box(10, 10, 30, 30), "human"))
    for scale in (0.001, 64.0):
        overlay.render(Request(scene.build(items), STYLE, scale, -5000.0, -5000.0, (300, 300)))


def test_five_thousand_selected_objects_are_drawn_in_well_under_a_second(qapp) -> None:
    rng = np.random.default_rng(0)
    at = rng.uniform(0, 1500, (5000, 2))
    items = objects(*[("a", Box(x, y, x + 20, y + 20), "human") for x, y in at.tolist()])
    start = time.process_time()
    overlay.render(
        Request(scene.build(items), STYLE, 1.0, 0.0, 0.0, (1600, 1600), frozenset(a.uid for a in items))
    )
    assert time.process_time() - start < 1.5


def test_a_small_polygon_keeps_three_vertices() -> None:
    triangle = Polygon((((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),),))
    assert shapes.delete_vertices(triangle, [(0, 1)]) is None
    four = shapes.insert_vertex(triangle, (0, 2), 0.0, 9.0)
    assert isinstance(four, Polygon)
    assert four.parts[0][0] == (0.0, 0.0, 9.0, 0.0, 9.0, 9.0, 0.0, 9.0)
    assert shapes.delete_vertices(four, [(0, 3)]) == triangle


def test_a_fault_while_a_widget_paints_itself_is_logged_and_goes_no_further(
    qtbot: QtBot, caplog: pytest.LogCaptureFixture
) -> None:
    from app.desktop import widgets

    class Broken(widgets.Painted):
        def draw(self, p: object) -> None:
            raise ValueError("no paint")

    broken = Broken(20)
    qtbot.addWidget(broken)
    broken.grab()
    assert "painting Broken" in caplog.text


def test_a_copied_workspace_names_nothing_of_the_one_it_was_copied_from(furnished: Path, place: Path) -> None:
    with contextlib.closing(sqlite3.connect(place / "record.db")) as raw:
        text = "\n".join(raw.iterdump()).lower()
    for old in (str(furnished), str(furnished).encode().hex()):
        assert old.lower() not in text
        assert old.encode().hex() not in text  # a column of bytes
    assert (place.parent / "pictures").as_posix().encode().hex() in text


@pytest.mark.parametrize("base", (QWidget, QAbstractScrollArea))
def test_a_broken_paint_event_is_logged_and_what_comes_after_is_still_painted(
    qtbot: QtBot, caplog: pytest.LogCaptureFixture, base: type[QWidget]
) -> None:
    class Torn(base):  # type: ignore[misc, valid-type]
        after = False

        def paintEvent(self, event: object) -> None:
            with painted(self) as p:
                p.fillRect(0, 0, 5, 5, QColor("red"))
                raise ValueError("no paint")
            self.after = True

    torn = Torn()
    qtbot.addWidget(torn)
    torn.resize(40, 40)
    image = torn.grab().toImage()
    assert torn.after and "painting Torn" in caplog.text
    at = 0 if base is QWidget else torn.viewport().y()
    assert image.pixelColor(at + 2, at + 2) == QColor("red")


def test_every_paint_event_of_the_desk_is_guarded() -> None:
    found = 0
    for file in Path(desktop.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or node.name != "paintEvent":
                continue
            if len(node.body) == 1 and ast.get_docstring(node) is not None:
                continue  # paints nothing
            found += 1
            assert "painted(self)" in ast.unparse(node), f"{file.name}:{node.lineno}"
    assert found > 25
