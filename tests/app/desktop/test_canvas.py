"""The canvas: every kind is drawn as what it is, what is locked or hidden is out of reach, and the view moves as it should."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from annotation import rle
from annotation.core import (
    Annotation,
    Box,
    Caption,
    Cuboid,
    Ellipse,
    Keypoints,
    Points,
    Polygon,
    Polyline,
    Quad,
    RotatedBox,
    Shape,
    Tag,
)
from app.desktop.canvas import camera as cameras
from app.desktop.canvas import chips, overlay, scene
from app.desktop.canvas.camera import Camera
from app.desktop.canvas.ground import Ground
from app.desktop.canvas.overlay import Request, Style
from tests.app.desktop.conftest import Hand

RED, GREEN = "#ff0000", "#00ff00"
STYLE = Style({"a": RED, "b": GREEN}, {"a": "Alpha", "b": "Beta"}, edges={"a": ((0, 1), (1, 2))})
WH = (200, 200)


def draw(*items: Annotation, scale: float = 1.0, **more: object) -> np.ndarray:
    request = Request(scene.build(items), STYLE, scale, 0.0, 0.0, WH, tags=False, **more)  # type: ignore[arg-type]
    return overlay.render(request).buffer


def one(shape: Shape, label: str = "a", **more: object) -> Annotation:
    return Annotation(label, shape, **more)  # type: ignore[arg-type]


def mask() -> Shape:
    pixels = np.zeros((200, 200), np.uint8)
    pixels[40:160, 40:160] = 1
    pixels[80:120, 80:120] = 0
    return rle.encode(pixels)


FILLED: dict[str, tuple[Shape, tuple[int, int], tuple[int, int]]] = {
    # shape, a place inside, a place outside of it (x, y)
    "box": (Box(40, 40, 160, 160), (100, 100), (20, 100)),
    "turned box": (RotatedBox(100, 100, 120, 40, 45), (130, 130), (130, 70)),
    "polygon with a hole": (
        Polygon((((40, 40, 160, 40, 160, 160, 40, 160), (80, 80, 120, 80, 120, 120, 80, 120)),)),
        (60, 100),
        (100, 100),
    ),
    "quad": (Quad((40, 40, 160, 60, 150, 160, 50, 150)), (100, 100), (180, 180)),
    "ellipse": (Ellipse(100, 100, 70, 30, 90), (100, 150), (150, 100)),
    "cuboid, its front": (
        Cuboid((40, 60, 120, 60, 120, 160, 40, 160, 80, 30, 170, 30, 170, 120, 80, 120)),
        (80, 110),
        (150, 70),
    ),
    "mask with a hole": (mask(), (60, 100), (100, 100)),
}


@pytest.mark.parametrize("name", FILLED)
def test_what_has_an_area_is_filled_inside_and_only_there(qapp, name: str) -> None:
    shape, (x, y), (ox, oy) = FILLED[name]
    made = draw(one(shape))
    assert 0 < made[y, x, 3] < 200
    assert made[oy, ox, 3] == 0
    assert made[:, :, 3].max() > 240  # an outline


@pytest.mark.parametrize("name", FILLED)
def test_a_click_takes_what_is_filled_and_not_what_is_not(name: str) -> None:
    shape, inner, outer = FILLED[name]
    made = scene.build((one(shape),))
    assert scene.hit(made, *inner, 1.0) == made.annotations[0].uid
    assert scene.hit(made, *outer, 1.0) == (made.annotations[0].uid if name == "cuboid, its front" else None)


def test_a_mask_seen_closely_is_filled_pixel_by_pixel(qapp) -> None:
    pixels = np.zeros((20, 20), np.uint8)
    pixels[3, 4] = pixels[4, 5] = 1
    made = draw(one(rle.encode(pixels)), scale=10.0)
    inner = made[:, :, 3] > 0
    for y, x in ((3, 4), (4, 5)):
        assert inner[10 * y : 10 * y + 10, 10 * x : 10 * x + 10].all()
    assert not inner[32, 55]


def test_a_line_is_open_and_begins_with_a_dot_and_ends_with_a_ring(qapp) -> None:
    made = draw(one(Polyline((30, 100, 100, 40, 170, 100))))
    assert made[100, 100, 3] == 0
    assert tuple(made[100, 30]) == (0, 0, 255, 255)
    assert made[100, 170, 2] < 60 < made[100, 170, 3]


def test_a_skeleton_shows_its_edges_and_tells_seen_from_hidden_from_absent(qapp) -> None:
    shape = Keypoints((30, 100, 100, 100, 170, 100), (2, 1, 0))
    made = draw(one(shape))
    assert tuple(made[100, 30]) == (0, 0, 255, 255)  # seen: full
    assert made[100, 100, 2] < 60  # hidden: hollow
    assert made[100, 65, 2] > 200  # their edge
    assert made[100, 140:200, 3].max() == 0  # absent: neither point nor edge
    dashed = draw(one(shape, origin="model", score=0.5))[100, 40:90, 2] > 200
    assert 0.2 < dashed.mean() < 0.9


def test_loose_points_keep_their_size_on_the_screen(qapp) -> None:
    for scale in (0.5, 4.0):
        made = draw(one(Points((100 / scale, 100 / scale))), scale=scale)
        assert 40 < (made[:, :, 3] > 0).sum() < 160


def test_what_is_ordered_on_top_is_drawn_last_and_taken_first(qapp) -> None:
    large = one(Box(20, 20, 180, 180), attributes={"@order": 1})
    small = one(Box(60, 60, 140, 140), "b")
    assert draw(large, small)[100, 100, 1] == 0  # red over green
    assert scene.hit(scene.build((large, small)), 100, 100, 1) == large.uid
    plain = replace(large, attributes={})
    assert draw(plain, small)[100, 100, 1] > 0
    assert scene.hit(scene.build((plain, small)), 100, 100, 1) == small.uid


def test_the_members_of_a_group_stand_in_one_dotted_frame(qapp) -> None:
    group = {"@group": "0" * 32}
    pair = (one(Box(40, 40, 60, 60), attributes=group), one(Box(120, 120, 160, 160), attributes=group))
    line = draw(*pair)[34, 40:160, 3] > 0
    assert 0.2 < line.mean() <= 1.0
    assert draw(*(replace(a, attributes={}) for a in pair))[34, 40:160, 3].max() == 0


def test_a_class_has_a_letter_beside_its_colour_where_there_is_no_room_for_its_name(qapp) -> None:
    items = [one(Box(5 + 9 * i, 5 + 9 * i, 45 + 9 * i, 45 + 9 * i), "ab"[i % 2]) for i in range(16)]
    crowd = (*items, *(one(Box(1, 1, 26, 26)) for _ in range(160)))
    made = overlay.render(Request(scene.build(crowd), STYLE, 1.0, 0.0, 0.0, WH))
    signed = {t.uid for t in made.tags}
    assert signed == {a.uid for a in items}


def everything(dice: random.Random, n: int = 24) -> tuple[Annotation, ...]:
    shapes = [shape for shape, _, _ in FILLED.values()] + [
        Polyline((30, 100, 100, 40, 170, 100)),
        Keypoints((30, 100, 100, 100, 170, 100), (2, 1, 2)),
        Points((60, 60, 140, 60)),
        Tag(),
    ]
    items = []
    for i in range(n):
        model = dice.random() < 0.3
        marks = {"@group": "0" * 32} if dice.random() < 0.2 else {}
        items.append(
            one(
                shapes[i % len(shapes)] if i < len(shapes) else box_of(dice),
                dice.choice("ab"),
                origin="model" if model else "human",
                score=0.5 if model else None,
                attributes=marks,
                uid=f"{i:032x}",
            )
        )
    return tuple(items)


def box_of(dice: random.Random) -> Box:
    x, y = dice.uniform(-20, 170), dice.uniform(-20, 170)
    return Box(x, y, x + dice.uniform(2, 60), y + dice.uniform(2, 60))


@pytest.mark.parametrize("seed", range(5))
def test_a_drawing_mended_after_any_change_equals_a_fresh_one(qapp, seed: int) -> None:
    dice = random.Random(seed)
    items = everything(dice)
    at = dice.choice(
        [i for i, a in enumerate(items) if not a.attributes]
    )  # a group's frame follows from the worker
    after = [*items]
    if dice.random() < 0.3:
        del after[at]
    else:
        after[at] = replace(items[at], shape=box_of(dice), label=dice.choice("ab"))
    request = Request(scene.build(items), STYLE, 1.0, 0.0, 0.0, WH, tags=False)
    made = overlay.render(request)
    new = scene.build(tuple(after), request.scene)
    overlay.patch(made, new, {items[at].uid})
    fresh = overlay.render(replace(request, scene=new)).buffer
    inner = np.s_[
        4:-4, 4:-4
    ]  # cv2 smooths less at the border of a buffer, and that of the view lies in the margin
    away = np.abs(made.buffer[inner].astype(int) - fresh[inner].astype(int)).max(2)
    assert away.max() <= 16
    assert (away > 0).mean() < 0.001
    assert (overlay.render(replace(request, scene=scene.build(tuple(after)))).buffer == fresh).all()


# --- what is out of reach ----------------------------------------------------------------------------------------------


@pytest.fixture
def boxed(hand: Hand) -> Iterator[tuple[Hand, Annotation]]:
    """Picture 1 with one box on it, Select in hand, nothing selected."""
    hand.open(1)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.key("v")
    (made,) = hand.stored().values()
    hand.doc.select(())
    yield hand, made


def test_what_is_locked_is_not_taken_by_the_mouse_and_not_changed_by_a_gesture(
    boxed: tuple[Hand, Annotation],
) -> None:
    hand, made = boxed
    hand.doc.lock([made.uid])
    hand.click(100, 100)
    assert hand.doc.selection == ()
    hand.doc.select((made.uid,))
    hand.key(Qt.Key.Key_Delete)
    assert hand.stored() == {made.uid: made}
    hand.doc.lock([made.uid], False)
    hand.key(Qt.Key.Key_Delete)
    assert hand.stored() == {}


def test_what_is_hidden_is_neither_drawn_nor_taken_until_all_is_shown(boxed: tuple[Hand, Annotation]) -> None:
    hand, made = boxed

    def inked() -> bool:
        hand.qtbot.waitUntil(lambda: hand.canvas.settled.drawn)
        found = hand.canvas.settled._overlay
        return found is not None and bool(found.buffer.any())

    assert inked()
    for hide in (lambda: hand.doc.hide([made.uid]), lambda: hand.doc.hide_labels([made.label])):
        hand.doc.select((made.uid,))
        hide()
        assert hand.doc.selection == ()
        hand.qtbot.waitUntil(lambda: not inked())
        hand.click(100, 100)
        assert hand.doc.selection == ()
        hand.doc.show_all()
        hand.qtbot.waitUntil(inked)
        hand.click(100, 100)
        assert hand.doc.selection == (made.uid,)


def test_a_drawing_that_arrives_during_a_drag_does_not_show_the_object_twice(
    boxed: tuple[Hand, Annotation],
) -> None:
    hand, _ = boxed
    hand.qtbot.waitUntil(lambda: hand.canvas.settled.drawn)
    settled = hand.canvas.settled
    before = settled._overlay
    assert before is not None
    late = overlay.render(before.request)  # as if it had been asked for before the drag began
    hand.press(100, 100)
    hand.move(140, 130)
    assert hand.canvas.has_live
    settled._drawn(late)
    assert settled._overlay is late
    tags = {t.uid for t in late.tags}
    assert not late.buffer.any()
    assert not tags
    hand.key(Qt.Key.Key_Escape)
    hand.release(140, 130)


def test_a_layer_that_fails_is_laid_aside_and_the_rest_is_painted(
    boxed: tuple[Hand, Annotation], caplog: pytest.LogCaptureFixture
) -> None:
    hand, _ = boxed
    seen: list[int] = []

    def broken(_p: QPainter) -> None:
        raise ValueError("no layer")

    def sound(_p: QPainter) -> None:
        seen.append(1)

    hand.canvas.layers += [broken, sound]
    hand.canvas.grab()
    hand.canvas.grab()
    assert broken not in hand.canvas.layers
    assert len(seen) >= 2
    assert caplog.text.count("left out") == 1
    hand.canvas.layers.remove(sound)


def test_a_chip_stands_for_what_belongs_to_the_whole_picture_and_a_click_chooses_it(hand: Hand) -> None:
    from app.desktop import document

    hand.open(1)
    tag, sentence = one(Tag(), "person"), one(Caption("两名矿工在采煤机旁"), "person")
    hand.doc.commit(document.put(tag, sentence), "draw tag")
    hand.settled()
    placed = {c.uid: c for c in chips.layout(hand.canvas)}
    assert set(placed) == {tag.uid, sentence.uid}
    assert not placed[tag.uid].box.intersects(placed[sentence.uid].box)
    assert "采煤机" in placed[sentence.uid].text
    QTest.mouseClick(hand.canvas, Qt.MouseButton.LeftButton, pos=placed[sentence.uid].box.center().toPoint())
    assert hand.doc.selection == (sentence.uid,)


# --- the view ----------------------------------------------------------------------------------------------------------


def test_a_zoom_keeps_the_point_under_the_cursor_and_a_push_leaves_a_strip_in_view() -> None:
    view, wh = (800, 600), (4000, 3000)
    found = cameras.fit(wh, view)
    x, y = found.to_source(300, 200)
    nearer = cameras.zoom(found, 2.5, (300, 200), wh, view)
    assert nearer.to_screen(x, y) == pytest.approx((300, 200))
    assert nearer.scale == pytest.approx(found.scale * 2.5)
    assert cameras.zoom(found, 1e9, (0, 0), wh, view).scale == cameras.LARGEST
    for dx, dy in ((1e6, 0), (-1e6, 0), (0, 1e6), (0, -1e6)):
        x0, y0, x1, y1 = cameras.pan(nearer, dx, dy, wh, view).seen(view)
        assert x0 < wh[0]
        assert x1 > 0
        assert y0 < wh[1]
        assert y1 > 0
    box = (1000.0, 1000.0, 1200.0, 1050.0)
    close = cameras.onto(box, view)
    assert close.to_screen(1100, 1025) == pytest.approx((400, 300))
    assert (box[2] - box[0]) * close.scale == pytest.approx(400)
    assert cameras.into_view(close, box, view) is close


def wheel(hand: Hand, turn: int, keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier, *,
          fine: QPoint | None = None, phase: Qt.ScrollPhase = Qt.ScrollPhase.NoScrollPhase) -> None:  # fmt: skip
    at = QPointF(hand.canvas.rect().center())
    event = QWheelEvent(
        at, QPointF(hand.canvas.mapToGlobal(at)), fine or QPoint(), QPoint(0, turn), Qt.MouseButton.NoButton, keys, phase,
        False,
    )  # fmt: skip
    QApplication.sendEvent(hand.canvas, event)


def test_the_wheel_zooms_two_fingers_push_and_with_ctrl_the_tool_is_asked_first(
    boxed: tuple[Hand, Annotation], monkeypatch: pytest.MonkeyPatch
) -> None:
    hand, _ = boxed
    canvas = hand.canvas
    before = canvas.scale
    wheel(hand, 120)
    assert canvas.scale == pytest.approx(before * 1.2)
    now = canvas.camera
    wheel(hand, -8, fine=QPoint(-10, -6), phase=Qt.ScrollPhase.ScrollUpdate)
    assert canvas.scale == now.scale
    assert (canvas.camera.ox - now.ox, canvas.camera.oy - now.oy) == pytest.approx((-10, -6))
    asked: list[float] = []
    monkeypatch.setattr(canvas.tool, "wheel", lambda step: not asked.append(step))
    now = canvas.camera
    wheel(hand, -120, Qt.KeyboardModifier.ControlModifier)
    assert asked == [-1.0]
    assert canvas.camera == now


def test_space_and_drag_pushes_the_picture_and_changes_nothing(boxed: tuple[Hand, Annotation]) -> None:
    hand, made = boxed
    canvas, now = hand.canvas, hand.canvas.camera
    QTest.keyPress(canvas, Qt.Key.Key_Space)
    a = QPoint(300, 200)
    for kind, at, held in (
        (QEvent.Type.MouseButtonPress, a, Qt.MouseButton.LeftButton),
        (QEvent.Type.MouseMove, a + QPoint(30, 20), Qt.MouseButton.LeftButton),
        (QEvent.Type.MouseButtonRelease, a + QPoint(30, 20), Qt.MouseButton.NoButton),
    ):
        button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
        event = QMouseEvent(
            kind, QPointF(at), QPointF(canvas.mapToGlobal(at)), button, held, Qt.KeyboardModifier.NoModifier
        )
        QApplication.sendEvent(canvas, event)
    QTest.keyRelease(canvas, Qt.Key.Key_Space)
    assert (canvas.camera.ox - now.ox, canvas.camera.oy - now.oy) == pytest.approx((30, 20))
    assert hand.stored() == {made.uid: made}


def test_the_view_is_kept_between_pictures_only_when_asked(hand: Hand) -> None:
    hand.open(1)
    hand.canvas.zoom(3.0)
    kept = hand.canvas.camera
    hand.open(2)
    assert hand.canvas.camera.fitted
    hand.open(1)
    hand.canvas.look_from(kept)
    hand.canvas.keep_view = True
    hand.open(2)
    assert hand.canvas.camera == kept


# --- a dense screen ----------------------------------------------------------------------------------------------------


def painted(camera: Camera, ratio: float, how) -> np.ndarray:
    image = QImage(round(120 * ratio), round(90 * ratio), QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(ratio)
    image.fill(0)
    p = QPainter(image)
    how(p, camera)
    p.end()
    raw = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)
    return raw.copy()


@pytest.mark.parametrize("ratio", [1.5, 2.0])
def test_a_pushed_ground_is_what_would_be_drawn_afresh(qapp, ratio: float) -> None:
    """What is shifted and what is drawn into the strips fit together to the pixel."""
    ground, where = Ground(), Camera(2.0, 10.0, 6.0)
    dice = random.Random(2)
    blobs = [
        (dice.randrange(60), dice.randrange(50), QColor(dice.randrange(256), 90, 160)) for _ in range(40)
    ]

    def compose(p: QPainter, _ratio: float) -> None:
        for x, y, colour in blobs:
            a, b = where.to_screen(x, y)
            p.fillRect(round(a), round(b), 10, 7, colour)

    def fresh(p: QPainter, camera: Camera) -> None:
        Ground().pushed(p, camera, (120, 90), ratio, compose)

    def pushed(p: QPainter, camera: Camera) -> None:
        ground.pushed(p, camera, (120, 90), ratio, compose)

    for dx, dy in ((0, 0), (4, 2), (-12, 6), (40, -30), (2, 0), (-200, 0)):
        where = replace(where, ox=where.ox + dx, oy=where.oy + dy)
        assert (painted(where, ratio, pushed) == painted(where, ratio, fresh)).all()
