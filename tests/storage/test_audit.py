"""The audit log: a chain that shows every edit, gap and cut tail."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from storage import audit
from tests.storage.conftest import World


def write(world: World, *subjects: str) -> list[audit.Entry]:
    out = []
    for subject in subjects:
        with world.db.write() as conn:
            out.append(audit.append(conn, agent="甲", verb="publish", subject=subject, detail={"bytes": 7}))
    return out


def faults(world: World, anchors: dict[int, bytes] | None = None) -> list[tuple[int, str]]:
    with world.db.read() as conn:
        return [(f.seq, f.what) for f in audit.verify(conn, anchors)]


def test_an_untouched_log_is_sound_and_every_line_seals_the_one_before(world: World) -> None:
    a, b, c = write(world, "d@v1", "d@v2", "d@v3")
    assert a.prev == audit.BEGIN and (b.prev, c.prev) == (a.digest, b.digest)
    with world.db.read() as conn:
        assert audit.head(conn) == (3, c.digest)
        assert [e.subject for e in audit.entries(conn, after=1)] == ["d@v2", "d@v3"]
    assert faults(world, {2: b.digest, 3: c.digest}) == []


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit SET subject = 'd@v9' WHERE seq = 2",
        "UPDATE audit SET agent = '乙' WHERE seq = 2",
        "UPDATE audit SET detail = '{\"bytes\":8}' WHERE seq = 2",
        "UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 2",
    ],
)
def test_a_changed_line_is_named(world: World, sql: str) -> None:
    write(world, "d@v1", "d@v2", "d@v3")
    with world.db.write() as conn:
        conn.execute(sa.text(sql.replace(":", "\\:")))
    assert faults(world) == [(2, "the line was changed after it was written")]


def test_a_line_taken_out_of_the_middle_is_missed(world: World) -> None:
    write(world, "d@v1", "d@v2", "d@v3")
    with world.db.write() as conn:
        conn.execute(sa.text("DELETE FROM audit WHERE seq = 2"))
    assert faults(world) == [
        (2, "1 lines are missing before line 3"),
        (3, "the line does not follow the one before it"),
    ]


def test_a_cut_tail_is_missed_by_what_was_signed_later(world: World) -> None:
    _, b, c = write(world, "d@v1", "d@v2", "d@v3")
    with world.db.write() as conn:
        conn.execute(sa.text("DELETE FROM audit WHERE seq > 1"))
    assert faults(world) == []  # the chain alone cannot know
    assert faults(world, {2: b.digest, 3: c.digest}) == [
        (2, "a signed version names this line, and it is gone"),
        (3, "a signed version names this line, and it is gone"),
    ]


def test_a_tail_written_anew_is_not_what_was_signed(world: World) -> None:
    _, b = write(world, "d@v1", "d@v2")
    with world.db.write() as conn:
        conn.execute(sa.text("DELETE FROM audit WHERE seq = 2"))
    write(world, "d@v3")  # the same deed in the same millisecond would be the same line
    assert faults(world, {2: b.digest}) == [(2, "a signed version names another line here")]


def test_a_line_is_there_only_if_its_deed_was_committed(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.db.write() as conn:
        audit.append(conn, agent="A", verb="publish", subject="d@v1")
        raise ZeroDivisionError
    with world.db.read() as conn:
        assert audit.head(conn) == (0, audit.BEGIN)


def test_writers_at_the_same_time_make_one_chain(world: World) -> None:
    threads = [
        threading.Thread(target=write, args=(world, *(f"{n}-{i}" for i in range(5)))) for n in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    with world.db.read() as conn:
        assert audit.head(conn)[0] == 20
    assert faults(world) == []
