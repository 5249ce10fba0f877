"""Edits: pure, reversible, and never a shape that the record cannot hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import edits, labels, marks, rows
from annotation.core import (
    Annotation,
    AnnotationSet,
    Box,
    Mask,
    Points,
    Polygon,
    Quad,
    RotatedBox,
    Shape,
    Tag,
)
from annotation.errors import InvalidInput, NotFound
from tests.annotation.strategies import annotations, boxes, patient, polygons, shapes

SCHEMA = labels.load("coal_mine")
SQUARE = (0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0)


def uid(n: int) -> str:
    return f"{n:032x}"


def one(shape: Shape, n: int = 1, label: str = "person", **attributes: str | int | bool) -> Annotation:
    return Annotation(label, shape, attributes, uid=uid(n))


def only(found: AnnotationSet) -> Shape:
    assert len(found) == 1
    return found[0].shape


def row(n: int) -> AnnotationSet:
    return tuple(one(Box(i, 0, i + 1, 1), i) for i in range(1, n + 1))


sets = st.lists(annotations(st.just("person"), shapes), max_size=4, unique_by=lambda a: a.uid).map(
    lambda found: edits.add((), *found)
)


def test_a_set_stays_in_the_order_of_uids() -> None:
    found = edits.add((), *(one(Box(0, 0, 1, 1), n) for n in (3, 1, 2)))
    assert [a.uid for a in found] == [uid(1), uid(2), uid(3)]
    assert [a.uid for a in edits.remove(found, [uid(2)])] == [uid(1), uid(3)]


def test_an_object_is_added_once_and_must_be_there_to_be_changed() -> None:
    found = (one(Tag()),)
    with pytest.raises(InvalidInput):
        edits.add(found, one(Tag()))
    for call in (
        lambda: edits.remove(found, [uid(9)]),
        lambda: edits.replace(found, one(Tag(), 9)),
        lambda: edits.move(found, [uid(9)], 1, 1),
        lambda: edits.rotate(found, [uid(9)], 1),
        lambda: edits.relabel(found, [uid(9)], "person", schema=SCHEMA),
        lambda: edits.find(found, uid(9)),
        lambda: edits.group(found, [uid(1), uid(9)]),
        lambda: edits.link(found, uid(1), uid(9), "on"),
        lambda: edits.reorder(found, [uid(9)], "top"),
        lambda: edits.duplicate(found, [uid(9)], 1, 1),
    ):
        with pytest.raises(NotFound):
            call()


@patient
@given(sets, st.floats(-99, 99), st.floats(-99, 99))
def test_every_edit_leaves_its_argument_alone_and_gives_what_the_record_gives_back(
    before: AnnotationSet, dx: float, dy: float
) -> None:
    copy = tuple(before)
    uids = [a.uid for a in before]
    turnable = [a.uid for a in before if not isinstance(a.shape, Box)]
    for after in (
        edits.move(before, uids, dx, dy),
        edits.rotate(before, turnable, dx),
        edits.scale(before, uids, 1 + abs(dx), 1 + abs(dy)),
        edits.duplicate(before, uids, dx, dy)[0],
        edits.reorder(before, uids[:2], "raise"),
    ):
        assert before == copy
        assert [a.uid for a in after] == sorted(a.uid for a in after)
        for a in after:
            assert rows.snapped(a.shape) == a.shape


@patient
@given(st.one_of(boxes(), polygons), st.integers(-9999, 9999), st.integers(-9999, 9999))
def test_moving_there_and_back_gives_the_same_set(shape: Shape, dx: int, dy: int) -> None:
    before = edits.add((), one(shape))
    there = edits.move(before, [uid(1)], dx / 1000, dy / 1000)
    assert edits.move(there, [uid(1), uid(1)], -dx / 1000, -dy / 1000) == before


def test_several_objects_turn_and_grow_around_their_common_middle() -> None:
    found = (one(Quad(SQUARE)), one(Points((30, 5)), 2))
    assert edits.middle(found, [uid(1), uid(2)]) == (15, 5)
    turned = edits.rotate(found, [uid(1), uid(2)], 180)
    assert turned[1].shape == Points((0, 5))
    assert turned[0].shape == Quad((30, 10, 20, 10, 20, 0, 30, 0))
    assert edits.scale(found, [uid(2)], 2, 2, (0, 0))[1].shape == Points((60, 10))


def test_a_vertex_is_put_in_and_taken_out_of_one_object() -> None:
    found = (one(Box(0, 0, 10, 10)), one(Polygon(((SQUARE,),)), 2))
    more = edits.insert_vertex(found, uid(2), (0, 0), 5, -2)
    assert edits.delete_vertex(more, uid(2), (0, 1)) == found


def test_tags_stay_where_they_are_and_masks_stop_at_the_border() -> None:
    assert only(edits.move((one(Tag()),), [uid(1)], 5, 5)) == Tag()
    pixel = Mask(3, 3, (4, 1, 4))
    assert only(edits.move((one(pixel),), [uid(1)], 1, 0)) == Mask(3, 3, (7, 1, 1))
    assert only(edits.move((one(pixel),), [uid(1)], 99, -99)) == Mask(3, 3, (6, 1, 2))


def test_another_label_keeps_what_it_knows_and_brings_its_defaults() -> None:
    a = Annotation(
        "person", Box(0, 0, 1, 1), {"unsure": True, "posture": "sitting", "occlusion": "most"}, uid=uid(1)
    )
    (b,) = edits.relabel((a,), [uid(1)], "helmet", schema=SCHEMA)
    assert b.label == "helmet"
    assert dict(b.attributes) == {
        "unsure": True,
        "occlusion": "most",
        "helmet_color": "unknown",
        "cap_lamp": "unknown",
        "truncated": False,
    }
    assert (b.uid, b.shape) == (a.uid, a.shape)
    odd = Annotation("person", Box(0, 0, 1, 1), {"occlusion": "perhaps"}, uid=uid(1))
    assert edits.relabel((odd,), [uid(1)], "helmet", schema=SCHEMA)[0].attributes["occlusion"] == "none"
    for label in ("nobody", "personnel"):
        with pytest.raises(NotFound):
            edits.relabel((a,), [uid(1)], label, schema=SCHEMA)


# ---------------------------------------------------------------------------------------------------------------
# Groups, links, order, copies


def test_a_group_is_made_of_two_and_dissolved_for_all() -> None:
    found = edits.group(row(4), [uid(1), uid(2), uid(3)])
    assert edits.members(found, [uid(2)]) == {uid(1), uid(2), uid(3)}
    assert edits.members(found, [uid(4)]) == {uid(4)}
    assert edits.ungroup(found, [uid(2)]) == row(4)
    with pytest.raises(InvalidInput, match="two"):
        edits.group(found, [uid(1), uid(1)])


def test_links_are_made_once_taken_away_and_go_with_the_object_they_lead_to() -> None:
    found = edits.link(row(3), uid(1), uid(2), "戴着")
    assert edits.link(found, uid(1), uid(2), "戴着") == found
    found = edits.link(edits.link(found, uid(1), uid(2), "near"), uid(1), uid(3), "near")
    assert marks.links(found[0]) == (("戴着", uid(2)), ("near", uid(2)), ("near", uid(3)))
    assert marks.links(edits.unlink(found, uid(1), uid(2))[0]) == (("near", uid(3)),)
    assert marks.links(edits.unlink(found, uid(1), uid(2), "near")[0]) == (("戴着", uid(2)), ("near", uid(3)))
    assert marks.links(edits.remove(found, [uid(2)])[0]) == (("near", uid(3)),)
    with pytest.raises(InvalidInput, match="itself"):
        edits.link(found, uid(1), uid(1), "on")


def drawn(found: AnnotationSet) -> list[str]:
    return [a.uid for a in sorted(found, key=lambda a: (marks.order(a), a.uid))]


@patient
@given(st.data(), st.integers(1, 7), st.sampled_from(("top", "raise", "lower", "bottom")))
def test_the_chosen_are_drawn_where_they_were_sent_and_all_others_keep_their_sequence(
    data: st.DataObject, n: int, place: edits.Place
) -> None:
    orders = data.draw(st.lists(st.integers(-2, 2), min_size=n, max_size=n))
    before = tuple(marks.with_mark(a, "@order", o) for a, o in zip(row(n), orders, strict=True))
    chosen = data.draw(st.sets(st.sampled_from([a.uid for a in before])))
    was = drawn(before)
    after = edits.reorder(before, chosen, place)
    now = drawn(after)
    assert [u for u in now if u not in chosen] == [u for u in was if u not in chosen]
    assert [u for u in now if u in chosen] == [u for u in was if u in chosen]
    mine, others = [u for u in was if u in chosen], [u for u in was if u not in chosen]
    if mine and others:
        at = now.index(mine[0])
        assert now[at : at + len(mine)] == mine, "the chosen stay together"
        want = {
            "top": len(others),
            "bottom": 0,
            "raise": min(len(others), sum(u in others for u in was[: was.index(mine[-1])]) + 1),
            "lower": max(0, sum(u in others for u in was[: was.index(mine[0])]) - 1),
        }[place]
        assert at == want
    else:
        assert after == before


def test_sending_one_to_the_top_or_bottom_changes_no_other_object() -> None:
    before = row(5)
    for place in ("top", "bottom"):
        after = edits.reorder(before, [uid(3)], place)  # type: ignore[arg-type]
        assert [a.uid for a, b in zip(after, before, strict=True) if a != b] == [uid(3)]


def test_copies_are_a_persons_own_objects_with_groups_and_links_among_themselves() -> None:
    found = edits.link(edits.group(row(3), [uid(1), uid(2)]), uid(1), uid(2), "on")
    found = edits.link(found, uid(1), uid(3), "near")
    found = edits.change(found, [uid(1)], lambda a: marks.with_mark(a, "@track", uid(77)))
    after, new = edits.duplicate(found, [uid(1), uid(2)], 5, 6)
    assert len(after) == 5
    first, second = (edits.find(after, u) for u in new)
    assert first.shape == Box(6, 6, 7, 7)
    assert marks.group(first) == marks.group(second) != marks.group(found[0])
    assert set(marks.links(first)) == {("on", second.uid), ("near", uid(3))}
    assert marks.track(first) is None
    assert after[:3] == found
    guess = Annotation("person", RotatedBox(0, 0, 1, 1, 0), score=0.5, origin="model", uid=uid(1))
    copies, (name,) = edits.duplicate((guess,), [uid(1)], 0, 0)
    copy = edits.find(copies, name)
    assert (copy.origin, copy.score) == ("human", None)
