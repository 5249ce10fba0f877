"""Rules of what may leave: the strictest tag holds, a refusal names every reason, an override is answered for in the log."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from annotation.errors import InvalidInput, NotFound
from app import cli
from app.services import auditing, gate, versions
from app.services.gate import FREE, Ask, Tag
from app.services.workspace import Workspace
from storage import audit, policy, record
from storage import versions as rows
from storage.policy import Held, strictest
from storage.queries import Query
from storage.versions import Filter
from tests.app.sealed import Sealed, run, sealed

DAY = 86_400_000


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    return sealed(ws, tmp_path / "2号面", n=4)


def reasons(w: Sealed, ask: Ask, *, version_id: int | None = None) -> list[tuple[str, int]]:
    with w.ws.db.read() as conn:
        rev = record.newest(conn)
    found = gate.check(w.ws, dataset_id=w.data, rev=rev, filter=Filter(), version_id=version_id, ask=ask)
    return [(r.what, r.n) for r in found]


def demand(w: Sealed, ask: Ask) -> None:
    with w.ws.db.read() as conn:
        rev = record.newest(conn)
    gate.demand(
        w.ws, "face-3", dataset_id=w.data, rev=rev, filter=Filter(), version_id=None, ask=ask, verb="export"
    )


def log(w: Sealed) -> list[tuple[str, str]]:
    return [(e.verb, e.subject) for e in auditing.listing(w.ws)]


def test_where_nothing_is_tagged_everything_may_leave(world: Sealed) -> None:
    assert reasons(world, Ask("public", "training")) == []


def test_a_source_tag_holds_for_every_picture_of_it_and_a_picture_tag_for_that_one(world: Sealed) -> None:
    gate.set_tag(world.ws, "source", "2号面", Tag("partners"))
    assert reasons(world, Ask("partners")) == []
    assert reasons(world, Ask("public")) == [("may be seen by partners only, and this is for public", 4)]
    gate.set_tag(world.ws, "asset", str(world.assets[1]), Tag("internal"))
    assert reasons(world, Ask("partners")) == [("may be seen by internal only, and this is for partners", 1)]
    gate.set_tag(world.ws, "source", "2号面", FREE)
    assert reasons(world, Ask("public")) == [("may be seen by internal only, and this is for public", 1)]


def test_what_is_closed_goes_to_nobody(world: Sealed) -> None:
    gate.set_tag(world.ws, "asset", "0002.jpg", Tag("closed"))
    assert reasons(world, Ask("internal")) == [("may be seen by closed only, and this is for internal", 1)]


def test_a_purpose_that_was_not_said_is_no_allowed_one(world: Sealed) -> None:
    gate.set_pictures(world.ws, Query(world.data), Tag(purposes=("research", "training")))
    assert reasons(world, Ask("public", "training")) == []
    assert reasons(world, Ask("public")) == [
        ("may be used for research, training, and this is for no purpose that was said", 4)
    ]
    gate.set_tag(world.ws, "source", "2号面", Tag(purposes=("display",)))
    assert reasons(world, Ask("public", "training")) == [
        ("may be used for nothing that all its tags allow, and this is for training", 4)
    ]


def test_a_day_that_has_come_ends_it(world: Sealed) -> None:
    from storage.db import now_ms

    gate.set_tag(world.ws, "asset", "0000.jpg", Tag(expires_ms=now_ms() + DAY))
    assert reasons(world, Ask("public")) == []
    gate.set_tag(world.ws, "asset", "0000.jpg", Tag(expires_ms=now_ms() - 1))
    assert reasons(world, Ask("public")) == [("the time it may be used for has ended", 1)]


def test_an_unpublished_place_leaves_as_a_redacted_copy_alone() -> None:
    tag = Tag(place="unpublished")
    assert policy.refusals(Held(tag, False), audience="internal", purpose="", now_ms=0) == []
    assert policy.refusals(Held(tag, False), audience="partners", purpose="", now_ms=0) == [
        "it shows a place that is not published, and is not a redacted copy"
    ]
    assert policy.refusals(Held(tag, True), audience="public", purpose="", now_ms=0) == []


def test_a_tag_of_the_version_holds_for_all_of_it(world: Sealed) -> None:
    version = versions.freeze(world.ws, "face-3", tag="v1")
    gate.set_tag(world.ws, "version", "face-3@v1", Tag("internal"))
    assert reasons(world, Ask("partners"), version_id=version.id) == [
        ("may be seen by internal only, and this is for partners", 4)
    ]
    assert reasons(world, Ask("partners")) == []


def test_the_strictest_of_two_tags_is_no_opener_than_either() -> None:
    a, b = (
        Tag("partners", ("training", "research"), 5, "", "甲"),
        Tag("internal", ("research",), 9, "unpublished", "乙"),
    )
    for both in (strictest((a, b)), strictest((b, a))):
        assert (both.visibility, both.purposes, both.expires_ms, both.place) == (
            "internal",
            ("research",),
            5,
            "unpublished",
        )
    assert strictest(()) == FREE and strictest((a, FREE)) == a


def test_a_refusal_names_every_reason_and_an_answer_lets_it_through_and_is_kept(world: Sealed) -> None:
    gate.set_tag(world.ws, "source", "2号面", Tag("internal", ("research",)))
    with pytest.raises(InvalidInput) as refused:
        demand(world, Ask("partners", "training"))
    assert (
        "4 × may be seen by internal only" in refused.value.what
        and "4 × may be used for research" in refused.value.what
    )
    assert "override" not in dict(log(world))
    with pytest.raises(InvalidInput, match="too short"):
        demand(world, Ask("partners", "training", "ok"))
    demand(world, Ask("partners", "training", "agreed by the mine's director, letter 2026-14"))
    entry = auditing.listing(world.ws)[-1]
    assert (entry.verb, entry.subject, entry.agent) == ("override", "face-3", "安全员")
    assert entry.detail["answer"] == "agreed by the mine's director, letter 2026-14"
    assert len(entry.detail["reasons"]) == 2  # type: ignore[arg-type]


def test_setting_a_tag_is_logged_and_setting_it_again_is_nothing(world: Sealed) -> None:
    assert gate.set_tag(world.ws, "source", "2号面", Tag("internal")) == 1
    assert gate.set_tag(world.ws, "source", "2号面", Tag("internal")) == 0
    assert gate.set_tag(world.ws, "source", "2号面", FREE) == 1
    assert log(world) == [("tag", "source 2号面")] * 2
    assert gate.listing(world.ws) == []


@pytest.mark.parametrize(
    ("tag", "said"),
    [(Tag("secret"), "visibility"), (Tag(purposes=("war",)), "purpose"), (Tag(place="here"), "place")],
)
def test_a_word_that_is_not_known_is_refused(world: Sealed, tag: Tag, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        gate.set_tag(world.ws, "source", "2号面", tag)


def test_what_is_not_there_cannot_be_tagged(world: Sealed) -> None:
    for scope, name in (("source", "x"), ("asset", "x.jpg"), ("version", "face-3@v9")):
        with pytest.raises(NotFound):
            gate.set_tag(world.ws, scope, name, Tag("internal"))
    with pytest.raises(InvalidInput, match="no policy tags"):
        gate.set_tag(world.ws, "person", "A", Tag("internal"))


# --- the log against signed versions --------------------------------------------------------------------------------


def stated(w: Sealed, tag: str) -> None:
    """A version sealed under the log's head, as the builder does."""
    version = versions.freeze(w.ws, "face-3", tag=tag)
    run(versions.build(w.ws, version))
    with w.ws.db.read() as conn:
        now = rows.find(conn, "face-3", tag)
        told = audit.statements(conn)
    assert now.root and any(s.ref == now.ref and s.root == now.root for s in told)


def test_a_cut_tail_of_the_log_is_found_by_a_version_signed_after_it(world: Sealed) -> None:
    gate.set_tag(world.ws, "source", "2号面", Tag("internal"))
    gate.set_tag(world.ws, "source", "2号面", FREE)
    stated(world, "v1")
    done, warned = run(auditing.verify(world.ws))
    assert done.result["sound"] and done.result["anchors"] == 1 and warned == []
    with world.ws.db.write() as conn:
        conn.execute(sa.text("DELETE FROM audit WHERE seq >= 2"))
    done, warned = run(auditing.verify(world.ws))
    assert not done.result["sound"]
    assert "a signed version names this line, and it is gone" in [w.what for w in warned]


def test_a_statement_changed_with_the_log_is_no_anchor(world: Sealed) -> None:
    gate.set_tag(world.ws, "source", "2号面", Tag("internal"))
    stated(world, "v1")
    with world.ws.db.write() as conn:
        conn.execute(sa.text("UPDATE dataset_version SET statement = replace(statement, 'v1', 'v2')"))
    done, warned = run(auditing.verify(world.ws))
    assert [w.what for w in warned] == ["the signature of its statement does not hold"] and done.problems == 1


def test_the_verbs_set_list_show_and_prove(world: Sealed, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["-w", str(world.ws.folder)]
    assert (
        cli.main(
            [*line, "policy", "set", "source", "2号面", "--visibility", "internal", "--expires", "2030-01-01"]
        )
        == 0
    )
    assert (
        cli.main(
            [*line, "policy", "set", "pictures", "face-3", "--purpose", "research", "--where", "path:0001"]
        )
        == 0
    )
    capsys.readouterr()
    assert cli.main([*line, "policy", "list"]) == 0
    out = capsys.readouterr().out
    assert "2号面" in out and "internal" in out and "2030-01-01" in out and "research" in out
    assert cli.main([*line, "--json", "policy", "show", "0001.jpg"]) == 0
    assert '"purposes":["research"]' in capsys.readouterr().out.replace(" ", "")
    assert cli.main([*line, "audit", "list"]) == 0
    assert "source 2号面" in capsys.readouterr().out
    assert cli.main([*line, "audit", "verify"]) == 0
    with world.ws.db.write() as conn:
        conn.execute(sa.text("UPDATE audit SET agent = 'X' WHERE seq = 1"))
    assert cli.main([*line, "audit", "verify"]) == 3
    assert "the line was changed after it was written" in "".join(capsys.readouterr())
    assert cli.main([*line, "policy", "set", "source", "2号面", "--expires", "tomorrow"]) == 1
    assert "is no day" in capsys.readouterr().err


def derive(w: Sealed, copy: int, original: int) -> None:
    with w.ws.db.write() as conn:
        activity = record.start_activity(conn, "redact", w.ws.person.id, {}, open_=False)
        policy.derive(conn, [(copy, original, activity, "{}")])


def test_what_holds_for_an_original_holds_for_a_copy_of_its_copy(world: Sealed) -> None:
    first, second, third, _ = world.assets
    derive(world, second, first)
    derive(world, third, second)
    gate.set_tag(world.ws, "asset", str(first), Tag("closed", ("research",), 7))
    assert gate.tag_of(world.ws, third) == Tag("closed", ("research",), 7)
    gate.set_tag(
        world.ws, "asset", str(second), Tag("partners")
    )  # opens it and what is made of it; not what for
    assert gate.tag_of(world.ws, third) == Tag("partners", ("research",), 7)
    derive(world, first, third)  # a ring, as no redaction makes it, ends too
    assert gate.tag_of(world.ws, first).purposes == ("research",)


def test_a_version_is_not_taken_out_past_its_tags(world: Sealed, tmp_path: Path) -> None:
    versions.freeze(world.ws, "face-3", tag="v1")
    gate.set_tag(world.ws, "asset", str(world.assets[0]), Tag("closed"))
    line = ["-w", str(world.ws.folder), "checkout", "face-3@v1", str(tmp_path / "out")]
    with pytest.raises(InvalidInput, match="may be seen by closed only"):
        run(versions.checkout(world.ws, "face-3@v1", tmp_path / "out"))
    assert cli.main(line) == 1 and not (tmp_path / "out").exists()
    assert cli.main([*line, "--override", "for the mine's own archive"]) == 0
    assert any(e.verb == "override" and e.detail["to"] == "checkout" for e in auditing.listing(world.ws))


def test_a_log_edited_into_nonsense_is_named_line_by_line(world: Sealed) -> None:
    version = versions.freeze(world.ws, "face-3", tag="v1")
    run(versions.build(world.ws, version))
    gate.set_tag(world.ws, "source", "2号面", Tag("internal"))
    with world.ws.db.write() as conn:
        conn.exec_driver_sql(
            "UPDATE audit SET detail = '{', prev = 'text' WHERE seq = (SELECT max(seq) FROM audit)"
        )
        conn.exec_driver_sql("UPDATE link SET ref = 'no hex' WHERE entity = 'key'")
    done, warned = run(auditing.verify(world.ws))
    assert done.result["sound"] is False and len(warned) >= 2
    assert auditing.listing(world.ws)[-1].detail == {"text": "{"}


def test_only_what_leaves_is_asked_about(world: Sealed) -> None:
    gate.set_tag(world.ws, "asset", str(world.assets[0]), Tag("closed"))
    with world.ws.db.read() as conn:
        rev = record.newest(conn)
    state = {
        "dataset_id": world.data,
        "rev": rev,
        "filter": Filter(),
        "version_id": None,
        "ask": Ask("public"),
    }
    assert [r.n for r in gate.check(world.ws, **state)] == [1]  # type: ignore[arg-type]
    assert gate.check(world.ws, **state, wanted=lambda i: i != world.assets[0]) == []  # type: ignore[arg-type]


def test_the_statement_of_another_version_is_no_anchor(world: Sealed) -> None:
    for tag in ("v1", "v2"):
        run(versions.build(world.ws, versions.freeze(world.ws, "face-3", tag=tag)))
    assert run(auditing.verify(world.ws))[1] == []
    with world.ws.db.write() as conn:
        conn.exec_driver_sql(
            "UPDATE dataset_version SET (statement, statement_signature) = "
            "(SELECT statement, statement_signature FROM dataset_version WHERE tag = 'v1') WHERE tag = 'v2'"
        )
    _, warned = run(auditing.verify(world.ws))
    assert [(w.what, w.where) for w in warned] == [("its statement speaks of another version", "face-3@v2")]
