"""The manual's pictures of review, history and the label schema."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytestqt.qtbot import QtBot

from app.desktop.schema_editor import Editor
from app.services import labelling, remarks, review, workspace
from tests.app.desktop.conftest import Hand

both = pytest.mark.parametrize(("language", "theme"), (("en", "light"), ("zh_CN", "dark")))


def scene(hand: Hand) -> None:
    """Work of two people: a submitted picture with remarks, an answer and some history."""
    assert hand.desk.ws is not None
    ws = hand.desk.ws
    page = labelling.load(ws, 2)
    page = labelling.accept(ws, page, [a.uid for a in page.annotations])
    labelling.save(ws, page, page.annotations[:-1], verb="delete")
    review.judge(ws, 1, [1, 2, 3], "submitted")
    other = workspace.open(ws.location, person="小王")
    try:
        review.judge(other, 1, [4, 5], "submitted")
        remarks.add(other, 2, "这里漏了安全帽", x=150, y=70)
        remarks.add(other, 2, "远处还有一人，是否标注？", x=390, y=160)
        head = remarks.listing(other, 2)[0]
        remarks.add(ws, 2, "已补", parent=head.uid)
    finally:
        other.close()
    hand.desk.refresh()


@both
def test_the_manual_shows_review_history_and_the_label_schema(
    hand: Hand, qtbot: QtBot, language: str, theme: str, photograph: Callable[..., None]
) -> None:
    short = language[:2]
    hand.desk.set_language(language)
    hand.desk.set_theme(theme)
    scene(hand)
    hand.window.go("review")
    annotate = hand.window.annotate
    qtbot.waitUntil(lambda: hand.doc.asset_id == 1 and hand.doc.loaded)
    annotate.open(2)
    qtbot.waitUntil(lambda: hand.ready(2) and len(annotate.remarks.found) == 3)
    qtbot.waitUntil(lambda: all(annotate.strip.thumbs.peek(r.asset_id) for r in annotate.rows))
    qtbot.waitUntil(lambda: bool(annotate.reviewing.bar.about.text()) and hand.desk.tasks.pictures.idle)
    photograph(hand.window, f"review-{short}.png")
    history = annotate.history
    qtbot.waitUntil(lambda: any(e.objects for e in history._events))
    at = next(i for i, e in enumerate(history._events) if e.objects)
    line = history._box.itemAt(at).widget()
    history._look(line)
    qtbot.waitUntil(lambda: history._sides is not None and history._sides.isVisible())
    photograph(hand.window, f"history-{short}.png")
    history._look(None)
    hand.window.sheets.edit_schema()
    editor = hand.window.findChild(Editor)
    assert editor is not None
    editor.choose("helmet")
    editor.successor.setText("person")
    editor._retire()
    qtbot.waitUntil(lambda: editor.ready)
    photograph(hand.window, f"schema-{short}.png")
