"""What may leave, at the desk: tags set and told, refusals that lead to the pictures, redacted copies, the log proved, splits tried first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from PySide6.QtWidgets import QLabel, QPushButton

from app.desktop import actions
from app.desktop.hubs.publishing import PublishSheet
from app.desktop.rights.auditlog import AuditSheet
from app.desktop.rights.redacting import RedactedSheet, RedactSheet
from app.desktop.rights.tags import TagsSheet
from app.desktop.splitting import SplitSheet
from app.services import auditing, bulk, gate, versions
from app.services.browse import Query
from tests.app.desktop.conftest import Hand
from tests.app.desktop.test_access import nameless


def opened(hand: Hand, action: str, kind: type):
    hand.window.trigger(actions.BY_ID[action])
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, kind))
    return hand.window.sheets.open


def texts(widget) -> str:
    return "\n".join(w.text() for w in widget.findChildren(QLabel) if w.isVisibleTo(widget))


def ended(hand: Hand, n: int = 1) -> None:
    hand.qtbot.waitUntil(lambda: len(hand.desk.tasks.past) >= n, timeout=30_000)
    assert hand.desk.tasks.past[0].state == "finished", hand.desk.tasks.past[0].fault


def test_a_picture_is_tagged_and_the_sheet_tells_what_holds_and_whence(hand: Hand) -> None:
    ws = hand.desk.ws
    assert ws is not None
    gate.set_tag(ws, "source", gate.sources(ws)[0], gate.Tag("partners", ("training",)))
    hand.open(2)
    sheet = opened(hand, "tags", TagsSheet)
    sheet.subject.button("picture").click()
    hand.qtbot.waitUntil(lambda: "from its source" in texts(sheet))
    assert nameless(sheet) == []
    sheet.visibility.button("internal").click()
    sheet.expires.setText("2027-06-31")
    sheet.go()
    hand.qtbot.waitUntil(lambda: "is no day" in sheet.fault.text())
    assert gate.tag_of(ws, 2).visibility == "partners"
    sheet.expires.setText("2027-06-30")
    sheet.place.button("unpublished").click()
    sheet.note.setText("visitors")
    sheet.go()
    hand.qtbot.waitUntil(lambda: len(sheet.rows) == 2 and "its own tag" in texts(sheet))
    held = gate.tag_of(ws, 2)
    assert (held.visibility, held.purposes, held.place) == ("internal", ("training",), "unpublished")
    assert held.expires_ms == gate.day_begins("2027-06-30")
    sheet.subject.button("all").click()
    hand.qtbot.waitUntil(lambda: "4 pictures" in texts(sheet))
    sheet.free.click()  # of the whole dataset: the source's tag stays
    hand.qtbot.waitUntil(lambda: gate.tag_of(ws, 2).visibility == "partners")


def test_what_the_gate_keeps_in_is_counted_and_one_click_shows_it(hand: Hand) -> None:
    ws = hand.desk.ws
    assert ws is not None
    gate.set_tag(ws, "asset", "2", gate.Tag("internal"))
    gate.set_tag(ws, "asset", "4", gate.Tag("internal"))
    list(versions.build(ws, versions.freeze(ws, "face", tag="v1")))
    hand.window.sheets.publish("v1")
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, PublishSheet))
    sheet = hand.window.sheets.open
    hand.qtbot.waitUntil(
        lambda: sheet.gate.isVisibleTo(sheet)
    )  # a hub is outside the house: asked for partners
    next(b for b in sheet.findChildren(QPushButton) if b.text() == "internal").click()
    hand.qtbot.waitUntil(lambda: not sheet.gate.isVisibleTo(sheet))
    next(b for b in sheet.findChildren(QPushButton) if b.text() == "public").click()
    hand.qtbot.waitUntil(lambda: sheet.gate.isVisibleTo(sheet))
    assert nameless(sheet) == []
    assert [(r.n, r.pictures) for r in sheet.gate.reasons] == [(2, (2, 4))]
    next(b for b in sheet.gate.findChildren(QPushButton)).click()
    hand.qtbot.waitUntil(lambda: hand.window.place == "gallery" and hand.window.sheets.open is None)
    hand.qtbot.waitUntil(lambda: hand.desk.query is not None and hand.desk.query.where == "picture:2,4")


def test_redacted_copies_are_previewed_made_and_one_click_away(hand: Hand) -> None:
    hand.open(2)
    sheet = opened(hand, "redact", RedactSheet)
    assert nameless(sheet) == [] and not sheet.verb.isEnabled()
    sheet.classes.made["person"].click()
    hand.qtbot.waitUntil(lambda: "2 regions" in sheet.told.text())
    before, after = (view.image for view in sheet.views)
    assert before is not None and after is not None and len(sheet.views[0].tiles) == 2
    assert after.pixelColor(150, 200).getRgb()[:3] == (0, 0, 0) != before.pixelColor(150, 200).getRgb()[:3]
    sheet.visibility.button("partners").click()
    sheet.go()
    ended(hand)
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, RedactedSheet))
    hand.qtbot.waitUntil(lambda: any(d.name == "face-open" for d in hand.desk.datasets))
    hand.window.sheets.open.go()
    hand.qtbot.waitUntil(lambda: hand.desk.dataset is not None and hand.desk.dataset.name == "face-open")


def test_the_log_is_filtered_and_a_changed_line_is_told_in_plain_words(hand: Hand) -> None:
    ws = hand.desk.ws
    assert ws is not None
    gate.set_tag(ws, "asset", "2", gate.Tag("internal", note="visitors"))
    list(versions.build(ws, versions.freeze(ws, "face", tag="v1")))
    sheet = opened(hand, "audit", AuditSheet)
    hand.qtbot.waitUntil(lambda: len(sheet.shown) == 2)
    hand.qtbot.waitUntil(lambda: "internal · visitors" in texts(sheet))
    assert nameless(sheet) == []
    sheet.verb_box.setCurrentIndex(sheet.verb_box.findData("tag"))
    sheet.retranslate()
    assert [e.verb for e in sheet.shown] == ["tag"]
    sheet.go()
    hand.qtbot.waitUntil(lambda: sheet.state.text() == "sound")
    hand.qtbot.waitUntil(lambda: "face@v1 → 2" in texts(sheet))
    with ws.db.write() as conn:
        conn.execute(sa.text("UPDATE audit SET subject = 'asset 3' WHERE seq = 1"))
    sheet.go()
    hand.qtbot.waitUntil(lambda: sheet.state.text() == "1 faults")
    hand.qtbot.waitUntil(lambda: "line 1: the line was changed after it was written" in texts(sheet))
    assert [e.seq for e in auditing.listing(ws)] == [1, 2]


def test_a_split_is_seen_before_it_is_written(hand: Hand) -> None:
    ws, data = hand.desk.ws, hand.desk.dataset
    assert ws is not None and data is not None
    list(bulk.accept(ws, Query(data.id), min_score=0.5))
    sheet = opened(hand, "dataset.split", SplitSheet)
    hand.qtbot.waitUntil(lambda: sheet.verb.isEnabled())
    assert nameless(sheet) == []
    assert sum(sheet.result["splits"].values()) == 5 and sum(sheet.result["classes"]["person"]) == 2
    assert "person: " in sheet.chart.accessibleDescription()
    sheet.ratio.setText("3")
    sheet.ratio.textEdited.emit("3")
    hand.qtbot.waitUntil(lambda: "is no ratio" in sheet.fault.text())
    assert not sheet.verb.isEnabled()
    sheet.ratio.setText("3:1:1")
    sheet.ratio.textEdited.emit("3:1:1")
    hand.qtbot.waitUntil(lambda: sheet.verb.isEnabled())
    planned = sheet.result["splits"]
    assert bulk_splits(ws) == {0: 5}
    sheet.go()
    ended(hand)
    written = bulk_splits(ws)
    assert [written.get(i, 0) for i in (1, 2, 3)] == [planned[n] for n in ("train", "val", "test")]


def bulk_splits(ws) -> dict[int, int]:
    """Pictures by the number of their split in the record."""
    with ws.db.read() as conn:
        rows = conn.execute(sa.text("SELECT split, count(*) FROM item WHERE died IS NULL GROUP BY split"))
        return {r[0]: r[1] for r in rows}


@pytest.mark.parametrize(("language", "theme"), (("en", "light"), ("zh_CN", "dark")))
def test_the_manual_shows_the_tags(
    language: str, theme: str, photograph: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--manual"):
        photograph(None, f"rights-{language[:2]}.png")  # there, and small; no window is made for that
        return
    hand: Hand = request.getfixturevalue("hand")
    ws = hand.desk.ws
    assert ws is not None
    hand.desk.set_language(language)
    hand.desk.set_theme(theme)
    gate.set_tag(ws, "source", gate.sources(ws)[0], gate.Tag("partners", ("training", "evaluation")))
    gate.set_tag(
        ws,
        "asset",
        "2",
        gate.Tag("internal", (), gate.day_begins("2027-06-30"), "unpublished", "来访者 visitors"),
    )
    hand.open(2)
    sheet = opened(hand, "tags", TagsSheet)
    sheet.subject.button("picture").click()
    hand.qtbot.waitUntil(lambda: sheet.note.text() != "" and len(sheet.rows) == 2)
    photograph(sheet.card, f"rights-{language[:2]}.png")
