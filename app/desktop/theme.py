"""Every colour, size and font of the desk, and the one style sheet drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPalette

GRID = 4
"""Every distance is a multiple of this many pixels."""
RADIUS = 6
BAR_PX = 44
STATUS_PX = 28

FAMILIES = (
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "Microsoft YaHei UI",
    "Microsoft YaHei",
    "PingFang SC",
    "WenQuanYi Micro Hei",
    "Noto Sans",
    "Segoe UI",
    "DejaVu Sans",
)
"""One face with both scripts first: a Latin face with a Chinese fallback draws Chinese visibly heavier."""


@dataclass(frozen=True, slots=True)
class Theme:
    """One table of colour roles. `on_accent` is text on the accent; `well` is the ground under a picture."""

    name: str
    background: str
    panel: str
    raised: str
    line: str
    text: str
    second: str
    accent: str
    on_accent: str
    blue: str
    green: str
    red: str
    violet: str
    cyan: str
    well: str
    strong: str
    """A raised thing under the pointer."""


DARK = Theme(
    name="dark",
    background="#14161a",
    panel="#1b1e24",
    raised="#242830",
    line="#2f343d",
    text="#e7e9ec",
    second="#98a1ac",
    accent="#f2b43c",
    on_accent="#1b1608",
    blue="#5aa9e6",
    green="#58c08c",
    red="#e5665f",
    violet="#b58be0",
    cyan="#4fc3c7",
    well="#101215",
    strong="#2e333d",
)
LIGHT = Theme(
    name="light",
    background="#f5f2ec",
    panel="#fffdf9",
    raised="#efeae0",
    line="#dcd5c7",
    text="#24211c",
    second="#6d665a",
    accent="#a85f12",
    on_accent="#ffffff",
    blue="#1f6fb2",
    green="#2c8353",
    red="#b83a34",
    violet="#7a4fb0",
    cyan="#157f86",
    well="#e7e2d7",
    strong="#e5dece",
)
THEMES = {"dark": DARK, "light": LIGHT}

_current = DARK
_percent = 100


def current() -> Theme:
    """The theme in use."""
    return _current


def choose(name: str) -> Theme:
    """Make a theme current, "system": that of the system; the caller applies `palette` and `sheet` to the application."""
    global _current
    _current = THEMES[system() if name == "system" else name]
    return _current


def system() -> str:
    """The system's choice, "light" or "dark"; dark where it has none."""
    app = QGuiApplication.instance()
    hints = app.styleHints() if isinstance(app, QGuiApplication) else None
    light = hints is not None and hints.colorScheme() == Qt.ColorScheme.Light
    return "light" if light else "dark"


def scale(percent: int) -> None:
    """Size of all text, in per cent of the design's; the caller applies `sheet` again."""
    global _percent
    _percent = percent


def px(size: int) -> int:
    """A text size of the design at the size in force."""
    return round(size * _percent / 100)


def contrast(a: str, b: str) -> float:
    """WCAG contrast of two colours "#rrggbb", 1 to 21."""

    def light(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mix(a: str, b: str, share: float) -> str:
    """Colour between a and b; share 0 is a, 1 is b."""
    pairs = ((int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in pairs)


def ink_on(colour: str) -> str:
    """Black or white, whichever is better read on the colour."""
    return "#14161a" if contrast(colour, "#14161a") >= contrast(colour, "#ffffff") else "#ffffff"


def font(size: int = 13, *, bold: bool = False, weight: QFont.Weight | None = None) -> QFont:
    """The desk's face at a size of the design, in pixels."""
    face = QFont()
    face.setFamilies(list(FAMILIES))
    face.setPixelSize(round(size * _percent / 100))
    if weight is not None:
        face.setWeight(weight)
    elif bold:
        face.setWeight(QFont.Weight.Bold)
    return face


def palette(t: Theme) -> QPalette:
    """Qt's own roles, for what the style sheet does not reach."""
    p = QPalette()
    roles = {
        QPalette.ColorRole.Window: t.background,
        QPalette.ColorRole.WindowText: t.text,
        QPalette.ColorRole.Base: t.panel,
        QPalette.ColorRole.AlternateBase: t.raised,
        QPalette.ColorRole.Text: t.text,
        QPalette.ColorRole.Button: t.raised,
        QPalette.ColorRole.ButtonText: t.text,
        QPalette.ColorRole.BrightText: t.red,
        QPalette.ColorRole.Highlight: t.accent,
        QPalette.ColorRole.HighlightedText: t.on_accent,
        QPalette.ColorRole.ToolTipBase: t.raised,
        QPalette.ColorRole.ToolTipText: t.text,
        QPalette.ColorRole.PlaceholderText: t.second,
        QPalette.ColorRole.Link: t.blue,
        QPalette.ColorRole.Mid: t.line,
        QPalette.ColorRole.Dark: t.line,
    }
    for role, colour in roles.items():
        p.setColor(role, QColor(colour))
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText, QPalette.ColorRole.WindowText):
        p.setColor(QPalette.ColorGroup.Disabled, role, QColor(mix(t.second, t.panel, 0.4)))
    return p


def sheet(t: Theme) -> str:
    """The application's style sheet. Widgets choose a look by the dynamic property `look`."""
    faint = mix(t.second, t.panel, 0.45)
    tinted = mix(t.panel, t.accent, 0.16)
    return f"""
    * {{ font-family: {", ".join(f'"{f}"' for f in FAMILIES)}; font-size: {px(13)}px; color: {t.text}; outline: none; }}
    QWidget#desk, QWidget[look="ground"] {{ background: {t.background}; }}
    QLabel {{ background: transparent; }}
    QLabel[look="second"] {{ color: {t.second}; font-size: {px(12)}px; }}
    QLabel[look="caption"] {{ color: {t.second}; font-size: {px(12)}px; font-weight: 700; }}
    QLabel[look="small"] {{ color: {t.second}; font-size: {px(11)}px; }}
    QLabel[look="strong"] {{ font-weight: 700; }}
    QLabel[look="title"] {{ font-size: {px(19)}px; font-weight: 700; }}
    QLabel[look="head"] {{ font-size: {px(14)}px; font-weight: 700; }}
    QLabel[look="figure"] {{ font-size: {px(26)}px; font-weight: 700; }}
    QLabel[tone="accent"] {{ color: {t.accent}; }}
    QLabel[tone="green"] {{ color: {t.green}; }}
    QLabel[tone="red"] {{ color: {t.red}; }}
    QLabel[tone="blue"] {{ color: {t.blue}; }}
    QLabel[tone="violet"] {{ color: {t.violet}; }}
    QFrame[look="panel"] {{ background: {t.panel}; border: none; }}
    QFrame[look="left"] {{ background: {t.panel}; border: none; border-right: 1px solid {t.line}; }}
    QFrame[look="right"] {{ background: {t.panel}; border: none; border-left: 1px solid {t.line}; }}
    QFrame[look="top"] {{ background: {t.panel}; border: none; border-bottom: 1px solid {t.line}; }}
    QFrame[look="bottom"] {{ background: {t.panel}; border: none; border-top: 1px solid {t.line}; }}
    QFrame[look="card"] {{ background: {t.panel}; border: 1px solid {t.line}; border-radius: 8px; }}
    QFrame[look="card"][hot="true"]:hover {{ border: 1px solid {mix(t.line, t.accent, 0.6)}; }}
    QFrame[look="inset"] {{ background: {t.raised}; border: none; border-radius: {RADIUS}px; }}
    QFrame[look="rule"] {{ background: {t.line}; border: none; max-height: 1px; min-height: 1px; }}
    QFrame[look="float"] {{ background: {t.panel}; border: 1px solid {t.line}; border-radius: 10px; }}
    QLabel[look="bubble"] {{ background: {t.text}; color: {t.background}; border-radius: 8px; padding: 6px 12px; font-weight: 700; }}
    QFrame[look="warned"] {{ background: {mix(t.panel, t.accent, 0.14)}; border: none; border-radius: {RADIUS}px; }}
    QFrame[look="wrong"] {{ background: {mix(t.panel, t.red, 0.18)}; border: none; border-radius: {RADIUS}px; }}

    QPushButton {{ background: {t.raised}; border: 1px solid {t.line}; border-radius: {RADIUS}px; padding: 0 12px;
        min-height: 30px; font-weight: 500; }}
    QPushButton:hover {{ background: {t.strong}; }}
    QPushButton:focus {{ border: 1px solid {t.accent}; }}
    QPushButton:disabled {{ color: {faint}; background: {t.panel}; }}
    QPushButton[look="primary"] {{ background: {t.accent}; color: {t.on_accent}; border: 1px solid {t.accent}; font-weight: 700; }}
    QPushButton[look="primary"]:hover {{ background: {mix(t.accent, "#ffffff", 0.15)}; }}
    QPushButton[look="primary"]:focus {{ border: 2px solid {t.text}; }}
    QPushButton[look="primary"]:disabled {{ background: {t.raised}; color: {faint}; border: 1px solid {t.line}; }}
    QPushButton[look="danger"] {{ background: transparent; color: {t.red}; border: 1px solid {t.red}; }}
    QPushButton[look="flat"] {{ background: transparent; border: none; padding: 0 8px; }}
    QPushButton[look="flat"]:hover {{ background: {t.raised}; }}
    QPushButton[look="link"] {{ background: transparent; border: none; color: {t.blue}; padding: 0 4px; min-height: 20px; font-size: {px(12)}px; }}
    QPushButton[look="link"]:hover {{ text-decoration: underline; }}
    QPushButton[look="place"] {{ background: transparent; border: none; border-radius: 0; border-bottom: 2px solid transparent;
        padding: 2px 2px 0 2px; min-height: {BAR_PX - 5}px; color: {t.second}; font-weight: 500; }}
    QPushButton[look="place"]:hover {{ color: {t.text}; }}
    QPushButton[look="place"]:focus {{ color: {t.text}; background: {t.raised}; }}
    QPushButton[look="place"]:checked {{ color: {t.text}; border-bottom: 2px solid {t.accent}; font-weight: 700; }}
    QPushButton[look="choice"] {{ min-height: 24px; padding: 0 8px; font-size: {px(12)}px; }}
    QPushButton[look="choice"][keyed="true"] {{ padding: 0 14px 0 8px; text-align: left; }}
    QPushButton[look="choice"]:checked {{ background: {t.accent}; color: {t.on_accent}; border: 1px solid {t.accent}; font-weight: 700; }}
    QPushButton[look="flat"]:focus, QPushButton[look="link"]:focus {{ border: 1px solid {t.accent}; border-radius: {RADIUS}px; }}
    QPushButton[look="choice"]:checked:focus {{ border: 2px solid {t.text}; }}
    QPushButton[look="search"] {{ background: {t.raised}; border: 1px solid {t.line}; }}
    QPushButton[look="search"]:hover {{ border: 1px solid {t.second}; }}

    QLineEdit {{ background: {t.raised}; border: 1px solid {t.line}; border-radius: {RADIUS}px; padding: 0 10px;
        min-height: 32px; selection-background-color: {t.accent}; selection-color: {t.on_accent}; }}
    QLineEdit:focus {{ border: 1px solid {t.accent}; }}
    QLineEdit[look="bare"] {{ background: transparent; border: none; }}
    QLineEdit[wrong="true"] {{ border: 1px solid {t.red}; }}

    QListWidget, QListView, QTreeView, QTableView {{ background: transparent; border: none; }}
    QListWidget::item {{ border-radius: {RADIUS}px; padding: 0 8px; }}
    QListWidget::item:hover {{ background: {t.raised}; }}
    QListWidget::item:selected {{ background: {tinted}; color: {t.text}; }}
    QTreeView::item:selected, QListView::item:selected {{ background: {t.accent}; color: {t.on_accent}; }}
    QHeaderView::section {{ background: {t.panel}; border: none; border-bottom: 1px solid {t.line}; padding: 4px 8px; color: {t.second}; }}

    QScrollArea, QAbstractScrollArea {{ background: transparent; border: none; }}
    QScrollBar:vertical {{ background: transparent; width: 12px; margin: 2px; }}
    QScrollBar::handle:vertical {{ background: {t.line}; border-radius: 4px; min-height: 32px; }}
    QScrollBar::handle:vertical:hover {{ background: {t.second}; }}
    QScrollBar:horizontal {{ background: transparent; height: 12px; margin: 2px; }}
    QScrollBar::handle:horizontal {{ background: {t.line}; border-radius: 4px; min-width: 32px; }}
    QScrollBar::handle:horizontal:hover {{ background: {t.second}; }}
    QScrollBar::add-line, QScrollBar::sub-line, QScrollBar::add-page, QScrollBar::sub-page {{ background: none; border: none; width: 0; height: 0; }}

    QCheckBox {{ spacing: 8px; }}
    QCheckBox::indicator {{ width: 14px; height: 14px; border: 1px solid {t.second}; border-radius: 4px; background: {t.raised}; }}
    QCheckBox::indicator:checked {{ background: {t.accent}; border: 1px solid {t.accent}; }}
    QCheckBox:focus {{ color: {t.accent}; }}

    QSlider::groove:horizontal {{ height: 4px; background: {t.line}; border-radius: 2px; }}
    QSlider::sub-page:horizontal {{ background: {t.accent}; border-radius: 2px; }}
    QSlider::handle:horizontal {{ width: 14px; height: 14px; margin: -5px 0; border-radius: 7px; background: {t.accent}; }}
    QSlider::handle:horizontal:focus {{ background: {t.text}; }}
    QSplitter::handle {{ background: transparent; }}
    QSplitter::handle:hover {{ background: {t.accent}; }}
    QToolTip {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.line}; padding: 4px 8px; font-size: {px(12)}px; }}
    QMenu {{ background: {t.panel}; border: 1px solid {t.line}; border-radius: {RADIUS}px; padding: 4px; }}
    QMenu::item {{ padding: 6px 24px 6px 12px; border-radius: 4px; }}
    QMenu::item:selected {{ background: {t.raised}; }}
    QDialog {{ background: {t.background}; }}
    QPlainTextEdit[look="field"] {{ background: {t.raised}; border: 1px solid {t.line}; border-radius: {RADIUS}px; padding: 4px 6px; }}
    QPlainTextEdit[look="field"]:focus {{ border: 1px solid {t.accent}; }}
    QComboBox::drop-down {{ border: none; width: 22px; }}
    QSpinBox, QDoubleSpinBox {{ background: {t.raised}; border: 1px solid {t.line}; border-radius: {RADIUS}px; padding: 0 4px 0 8px; min-height: 28px; }}
    QSpinBox:focus, QDoubleSpinBox:focus {{ border: 1px solid {t.accent}; }}
    QSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::up-button, QDoubleSpinBox::down-button {{ border: none; background: transparent; width: 16px; }}
    QComboBox:focus {{ border: 1px solid {t.accent}; }}
    QComboBox {{ background: {t.raised}; border: 1px solid {t.line}; border-radius: {RADIUS}px; padding: 0 10px; min-height: 30px; }}
    QComboBox QAbstractItemView {{ background: {t.panel}; border: 1px solid {t.line}; }}
    """
