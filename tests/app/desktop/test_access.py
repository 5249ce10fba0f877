"""Everything by keyboard and for everybody: names on every widget, focus that is seen, contrast, colours told apart, both languages."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QImage, QKeyEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QApplication,
    QLabel,
    QLineEdit,
    QScrollArea,
    QScrollBar,
    QWidget,
)

from annotation.schema import PALETTE
from app import i18n
from app.desktop import theme
from app.desktop.overlaid import Overlaid
from app.desktop.window import Window
from tests.app.desktop.conftest import Hand

PLACES = ("overview", "gallery", "annotate", "versions")
SHEETS = ("show_settings", "show_keys", "show_help", "show_manual", "show_palette", "show_accelerators")
INTERACTIVE = (QAbstractButton, QLineEdit, QAbstractSlider, QAbstractItemView)


# --- names -------------------------------------------------------------------------------------------------------


def nameless(root: QWidget) -> list[str]:
    """Widgets a person can act on that tell a screen reader nothing."""
    found = []
    for widget in root.findChildren(QWidget):
        if not widget.isVisible() or isinstance(widget, QScrollBar):
            continue
        if isinstance(widget, QAbstractScrollArea) and not isinstance(widget, QAbstractItemView):
            continue
        acts = isinstance(widget, INTERACTIVE) or widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        said = widget.accessibleName() or (
            widget.text() if isinstance(widget, QAbstractButton | QLabel) else ""
        )
        if acts and not said:
            found.append(f"{type(widget).__name__} {widget.objectName()} in {type(widget.parent()).__name__}")
    return found


@pytest.mark.parametrize("where", PLACES)
def test_everything_that_can_be_acted_on_has_an_accessible_name(hand: Hand, where: str) -> None:
    hand.open(2)
    hand.doc.select((hand.doc.annotations[0].uid,))
    hand.window.go(where)
    hand.settled()
    assert nameless(hand.window) == []


@pytest.mark.parametrize("sheet", SHEETS)
def test_everything_in_a_sheet_has_an_accessible_name_and_escape_closes_it(hand: Hand, sheet: str) -> None:
    hand.open(1)
    getattr(hand.window, sheet)()
    over = [o for o in hand.window.body.findChildren(Overlaid) if o.isVisible()]
    assert nameless(over[-1]) == []
    event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(QApplication.focusWidget() or over[-1], event)
    assert not over[-1].isVisible()
    assert hand.window.focusWidget() is hand.canvas  # the keys are back where they were


# --- focus -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", PLACES)
def test_tab_reaches_every_button_of_a_place(hand: Hand, where: str) -> None:
    hand.open(1)
    hand.window.go(where)
    hand.settled()
    stops = {
        w
        for w in hand.window.findChildren(QAbstractButton)
        if w.isVisible() and w.isEnabled() and w.focusPolicy() & Qt.FocusPolicy.TabFocus
    }
    # Not by nextInFocusChain(): it makes wrappers of Qt's inner widgets that outlive them.
    seen = set()
    for _ in range(3 * len(stops) + 60):
        hand.window.focusNextPrevChild(True)
        seen.add(hand.window.focusWidget())
    assert stops <= seen
    assert stops


def test_the_focus_can_be_seen(hand: Hand) -> None:
    hand.open(1)
    hand.window.go("overview")
    hand.settled()
    stops = [
        w
        for w in hand.window.top.findChildren(QAbstractButton)
        if w.isVisible() and w.focusPolicy() & Qt.FocusPolicy.TabFocus
    ]
    for widget in stops:
        widget.clearFocus()
        before = widget.grab().toImage()
        widget.setFocus(Qt.FocusReason.TabFocusReason)
        assert differs(before, widget.grab().toImage()), widget.accessibleName()


def differs(a: QImage, b: QImage) -> bool:
    return a != b


# --- colours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [theme.DARK, theme.LIGHT], ids=lambda t: t.name)
def test_every_pair_of_tokens_in_use_meets_wcag_aa(t: theme.Theme) -> None:
    grounds = {"background": t.background, "panel": t.panel, "raised": t.raised}
    wrong = []
    for name, ground in grounds.items():
        wrong += [(r, name, 0) for r in ("text", "second") if theme.contrast(getattr(t, r), ground) < 4.5]
    tinted = {
        "warned": theme.mix(t.panel, t.accent, 0.14),
        "wrong": theme.mix(t.panel, t.red, 0.18),
        "chosen": theme.mix(t.panel, t.accent, 0.18),
        "strong": t.strong,
    }
    for name, ground in tinted.items():
        if theme.contrast(t.text, ground) < 4.5:
            wrong.append(("text", name, round(theme.contrast(t.text, ground), 2)))
    for role in ("accent", "blue", "green", "red", "violet", "cyan"):
        for name in ("panel", "background"):
            need = 4.5 if name == "panel" else 3.0  # on the ground they are signs, on panels words
            if theme.contrast(getattr(t, role), grounds[name]) < need:
                wrong.append((role, name, round(theme.contrast(getattr(t, role), grounds[name]), 2)))
    if theme.contrast(t.on_accent, t.accent) < 4.5:
        wrong.append(("on_accent", "accent", round(theme.contrast(t.on_accent, t.accent), 2)))
    if theme.contrast(t.accent, t.panel) < 3 or theme.contrast(t.accent, t.background) < 3:
        wrong.append(("focus ring", "", 0))
    assert wrong == []


# Machado, Oliveira, Fernandes 2009: full severity, in linear RGB.
BLIND = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}  # fmt: skip


def lab(colour: str, eyes: str) -> tuple[float, float, float]:
    """CIE L*a*b* of a colour as these eyes see it."""
    rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
    r, g, b = (
        min(1.0, max(0.0, sum(m * v for m, v in zip(line, linear, strict=True)))) for line in BLIND[eyes]
    )
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883
    fx, fy, fz = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("eyes", list(BLIND))
def test_the_first_colours_of_classes_are_told_apart_by_every_eye(eyes: str) -> None:
    seen = [lab(c, eyes) for c in PALETTE[:12]]
    nearest = min(math.dist(a, b) for a, b in itertools.combinations(seen, 2))
    assert nearest >= 11  # the eight of Okabe and Ito keep 8 under the same measure


# --- language ----------------------------------------------------------------------------------------------------


def texts_of(window: Window) -> list[str]:
    found = []
    for widget in window.findChildren(QWidget):
        if not widget.isVisible():
            continue
        if isinstance(widget, QLabel | QAbstractButton):
            found += [widget.text(), widget.toolTip()]
        if isinstance(widget, QLineEdit):
            found.append(widget.placeholderText())
        if not isinstance(widget, QScrollArea):
            found.append(widget.accessibleName())
    return [t for t in found if t]


NAMES = re.compile(
    r"Lamproom|English|CVAT|X-AnyLabeling|GrabCut|SAM|ONNX|COCO|YOLO|Ctrl|Shift|Alt|Enter|Esc|Tab|Del|Menu|Home|Back(space)?|\bMB\b|CLAHE|EN\b"
)


@pytest.mark.parametrize("sheet", ["show_settings", "show_keys", "show_help"])
def test_no_english_is_left_in_a_chinese_sheet(hand: Hand, sheet: str) -> None:
    hand.open(2)
    hand.desk.set_language("zh_CN")
    getattr(hand.window, sheet)()
    over = next(o for o in hand.window.body.findChildren(Overlaid) if o.isVisible())
    plain = [
        t
        for t in texts_of(over)  # type: ignore[arg-type]
        if re.search("[A-Za-z]{3,}", NAMES.sub("", t)) and not re.search("[\u4e00-\u9fff]", t)
    ]
    over.finish()
    hand.desk.set_language("en")
    assert plain == []
    assert i18n.language() == "en"
