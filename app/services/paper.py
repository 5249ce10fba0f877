"""A document on paper: one self-contained HTML page with its own style and figures in SVG, that prints well on A4.

No script and nothing from outside. Tables and headings are plain enough that Qt's rich text draws them too (PDF).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

INK, SECOND, LINE, PALE, ACCENT, GROUND = "#24211c", "#6d665a", "#dcd5c7", "#efeae0", "#a85f12", "#fffdf9"
TONES = ("#1f6fb2", "#2c8353", "#a85f12", "#7a4fb0", "#157f86", "#b83a34", "#6d665a", "#8a7a2f")
"""Colours of the parts of a figure; each part is also named."""
_FONTS = ("'Noto Sans CJK SC','Source Han Sans SC','Microsoft YaHei','PingFang SC','WenQuanYi Micro Hei',"
          "'Noto Sans','Segoe UI',sans-serif")  # fmt: skip
_STYLE = f"""
@page {{ size: A4; margin: 18mm 16mm 20mm 16mm; }}
* {{ box-sizing: border-box; }}
body {{ font-family: {_FONTS}; font-size: 10.5pt; line-height: 1.5; color: {INK}; background: #f5f2ec; margin: 0; }}
main {{ max-width: 178mm; margin: 0 auto; padding: 14mm 12mm; background: {GROUND}; }}
h1 {{ font-size: 21pt; line-height: 1.25; margin: 0 0 2mm 0; font-weight: 600; }}
h2 {{ font-size: 13pt; margin: 9mm 0 2mm 0; padding-top: 2mm; border-top: 0.4mm solid {INK}; font-weight: 600; break-after: avoid; }}
h3 {{ font-size: 10.5pt; margin: 5mm 0 1.5mm 0; font-weight: 600; break-after: avoid; }}
p {{ margin: 0 0 2mm 0; }}
.lead {{ color: {SECOND}; margin-bottom: 6mm; }}
.small, .formula {{ color: {SECOND}; font-size: 8.5pt; line-height: 1.4; }}
.mono {{ font-family: 'Noto Sans Mono CJK SC','DejaVu Sans Mono',Consolas,monospace; font-size: 8.5pt; word-break: break-all; }}
table {{ border-collapse: collapse; width: 100%; margin: 0 0 3mm 0; }}
td, th {{ text-align: left; vertical-align: top; padding: 1.4mm 2.5mm 1.4mm 0; border-bottom: 0.2mm solid {LINE}; }}
th {{ color: {SECOND}; font-weight: 400; font-size: 8.5pt; border-bottom: 0.3mm solid {SECOND}; }}
td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
tr {{ break-inside: avoid; }}
.tiles td {{ border: 0; padding: 0 6mm 0 0; width: 25%; }}
.figure {{ font-size: 19pt; line-height: 1.2; font-weight: 600; }}
.good {{ color: #2c8353; }} .warn {{ color: {ACCENT}; }}
svg {{ display: block; max-width: 100%; break-inside: avoid; }}
main > svg {{ margin: 3mm 0; }}
footer {{ margin-top: 10mm; padding-top: 2mm; border-top: 0.2mm solid {LINE}; color: {SECOND}; font-size: 8.5pt; }}
@media print {{ body {{ background: #fff; }} main {{ padding: 0; max-width: none; background: #fff; }} .page {{ break-before: page; }} }}
"""


def page(title: str, language: str, body: Sequence[str]) -> bytes:
    """The whole document. language: "zh_CN" or "en"; body: HTML made by the functions below."""
    lang = "zh-Hans" if language.startswith("zh") else "en"
    return (
        f'<!DOCTYPE html>\n<html lang="{lang}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    ).encode()


def text(value: object) -> str:
    """Any text as HTML."""
    return escape(str(value), quote=True)


def heading(title: str, level: int = 2, *, new_page: bool = False) -> str:
    """A heading; new_page: printed on top of a page."""
    return f"<h{level}{' class=' + chr(34) + 'page' + chr(34) if new_page else ''}>{text(title)}</h{level}>"


def paragraph(value: str, kind: str = "") -> str:
    """A paragraph of plain text. kind: "", "lead", "small", "formula", "mono"."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{text(value)}</p>"


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    kind: str = "",
    wide: int = 0,
) -> str:
    """A table; cells are HTML already. numbers: columns that stand to the right; wide: width of the first one in per cent."""

    def cell(tag: str, i: int, value: str) -> str:
        how = ' class="n"' if i in numbers else f' width="{wide}%"' if wide and not i else ""
        return f"<{tag}{how}>{value}</{tag}>"

    top = (
        f"<thead><tr>{''.join(cell('th', i, text(h)) for i, h in enumerate(head))}</tr></thead>"
        if head
        else ""
    )
    lines = "".join(f"<tr>{''.join(cell('td', i, c) for i, c in enumerate(r))}</tr>\n" for r in rows)
    return f"<table{_class(kind)}>{top}<tbody>\n{lines}</tbody></table>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def tiles(figures: Sequence[tuple[str, str, str]]) -> str:
    """Large figures side by side: (caption, figure, what stands below)."""
    cells = "".join(
        f'<td><span class="small">{text(c)}</span><br><span class="figure">{text(f)}</span><br><span class="small">{text(b)}</span></td>'
        for c, f, b in figures
    )
    return f'<table class="tiles"><tbody><tr>{cells}</tr></tbody></table>'


# -- figures -----------------------------------------------------------------------------------------------------------


def svg(width: float, height: float, parts: Sequence[str], name: str) -> str:
    """A drawing; `name` says in words what it shows."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-label="{text(name)}">{"".join(parts)}</svg>'
    )


def _rect(x: float, y: float, w: float, h: float, colour: str, round_: float = 0) -> str:
    corner = f' rx="{round_:g}"' if round_ else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, w):.1f}" height="{h:.1f}"{corner} fill="{colour}"/>'
    )


def _label(
    x: float, y: float, value: str, colour: str = INK, *, size: float = 10, anchor: str = "start"
) -> str:
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" font-family="{_FONTS.replace(chr(39), "")}" fill="{colour}"{side}>{text(value)}</text>'


def interval(
    value: float | None, low: float | None, high: float | None, name: str, *, top: float = 1.0
) -> str:
    """A figure between 0 and `top` with its interval: a band and a dot on a line."""
    w, h = 120.0, 14.0
    parts = [_rect(0, 6, w, 2, LINE)]
    if value is not None:
        if low is not None and high is not None:
            parts.append(
                _rect(
                    w * min(1, low / top),
                    3.5,
                    max(2.0, w * (min(1, high / top) - min(1, low / top))),
                    7,
                    "#e8c99b",
                    3.5,
                )
            )
        parts.append(
            f'<circle cx="{min(w - 3, max(3.0, w * min(1, value / top))):.1f}" cy="7" r="3" fill="{ACCENT}"/>'
        )
    return svg(w, h, parts, name)


def bars(
    rows: Sequence[tuple[str, Sequence[float]]],
    parts: Sequence[str],
    name: str,
    *,
    width: float = 640,
    colours: Sequence[str] = TONES,
) -> str:
    """Lying bars, each of one or more parts: (name, figures); `parts` names them in the legend."""
    most = max((sum(v) for _, v in rows), default=0) or 1
    left, right, step = 170.0, 70.0, 20.0
    out, y = [], 0.0
    if len(parts) > 1:
        x = left
        for i, one in enumerate(parts):
            out += [
                _rect(x, 2, 9, 9, colours[i % len(colours)], 2),
                _label(x + 13, 10.5, one, SECOND, size=9.5),
            ]
            x += 26 + sum(10 if ord(c) > 0x2E80 else 5.6 for c in one)
        y = 20.0
    for label, values in rows:
        shown = label if len(label) <= 22 else label[:21] + "…"
        out.append(_label(left - 8, y + 12.5, shown, anchor="end"))
        out.append(_rect(left, y + 4, width - left - right, 11, PALE, 2))
        x = left
        for i, v in enumerate(values):
            w = (width - left - right) * v / most
            if v:
                out.append(_rect(x, y + 4, max(1.5, w), 11, colours[i % len(colours)], 2))
            x += w
        out.append(_label(width - right + 8, y + 12.5, f"{sum(values):,.0f}", SECOND))
        y += step
    told = "; ".join(
        f"{label}: " + ", ".join(f"{p} {v:,.0f}" for p, v in zip(parts, values, strict=True))
        for label, values in rows
    )
    return svg(width, y + 4, out, f"{name}. {told}")


def stacked(values: Sequence[tuple[str, float, str]], name: str, *, width: float = 640) -> str:
    """One bar of the whole width, cut into parts: (name, figure, colour)."""
    total = sum(v for _, v, _ in values) or 1
    out, x, at = [], 0.0, 0.0
    for label, v, colour in values:
        w = width * v / total
        if v:
            out.append(_rect(x, 0, max(1.5, w - 1), 14, colour, 2))
        said = f"{label} {v:,.0f} ({v / total:.0%})"
        out += [_rect(at, 24, 9, 9, colour, 2), _label(at + 13, 32.5, said, SECOND, size=9.5)]
        at += 30 + sum(10 if ord(c) > 0x2E80 else 5.6 for c in said)
        x += w
    return svg(width, 38, out, f"{name}: " + ", ".join(f"{label} {v:,.0f}" for label, v, _ in values))
