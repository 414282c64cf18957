"""The frame of the report: one HTML text with its style, and the pieces it is made of.

Nothing is loaded from elsewhere and no script runs, so the file can be mailed, opened
from a disk, printed and read on a phone.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

_JPEG_QUALITY = 82

_STYLE = """
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1c2024;--soft:#5c646c;
--line:#e1e4e8;--heat:29,98,196;--bad:#c22f2f;
--s0:#1d62c4;--s1:#d1641b;--s2:#158259;--s3:#9440b8;--s4:#a8851a;--s5:#c23a6b}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1c2024;--ink:#e8eaed;
--soft:#a3abb3;--line:#343a41;--heat:96,158,240;--bad:#ff8a80;
--s0:#6ba5f5;--s1:#f29a5c;--s2:#4dbd91;--s3:#c78ce0;--s4:#d9b95c;--s5:#f08aae}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1100px;margin:0 auto;padding:24px 20px 64px}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 4px}
h2{font-size:1.25rem;margin:44px 0 10px;padding-top:14px;
border-top:1px solid var(--line)}
h3{font-size:1rem;margin:22px 0 8px}
p{margin:6px 0 12px;max-width:75ch}
.soft,figcaption{color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:14px 0;font-size:.92rem}
a{color:var(--s0)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:10px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;
padding:10px 14px}
.tile b{display:block;font-size:1.35rem;white-space:nowrap;
line-height:1.3;font-weight:600}
.tile span{color:var(--soft);font-size:.85rem}
.wide{overflow-x:auto;margin:8px 0 16px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid var(--line);
white-space:nowrap}
th{font-weight:600;color:var(--soft)}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;
background:var(--bg)}
td.text{text-align:left;white-space:normal;overflow-wrap:anywhere}
.matrix td,.matrix th{padding:3px 6px;text-align:center;font-size:.8rem}
.matrix th:first-child,.matrix td:first-child{text-align:right}
.matrix .up span{writing-mode:vertical-rl;transform:rotate(180deg)}
.words th{text-align:left}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:3px;
margin-right:.5em;border:1px solid var(--line);vertical-align:-.05em}
.bar{background:linear-gradient(to right,rgba(var(--heat),.28) var(--v),transparent 0)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:18px}
.chart{margin:0;max-width:640px}svg{width:100%;height:auto;display:block}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:.88rem}
.key{display:inline-block;width:18px;height:3px;margin-right:6px;vertical-align:middle}
.grid{stroke:var(--line)}.tick,.label{fill:var(--soft);font-size:12px}
.curve{fill:none;stroke-width:2;stroke-linejoin:round}
.dot{stroke:var(--card);stroke-width:1.5}
.reference{stroke:var(--soft);stroke-dasharray:4 4;stroke-width:1}
.curve.s0{stroke:var(--s0)}.curve.s1{stroke:var(--s1)}.curve.s2{stroke:var(--s2)}
.curve.s3{stroke:var(--s3)}.curve.s4{stroke:var(--s4)}.curve.s5{stroke:var(--s5)}
.dot.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}
.dot.s3{fill:var(--s3)}.dot.s4{fill:var(--s4)}.dot.s5{fill:var(--s5)}
.key.s0{background:var(--s0)}.key.s1{background:var(--s1)}.key.s2{background:var(--s2)}
.key.s3{background:var(--s3)}.key.s4{background:var(--s4)}.key.s5{background:var(--s5)}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(480px,1fr));
gap:16px}
.picture{margin:0}.picture img{width:100%;height:auto;display:block;border-radius:4px}
.picture figcaption{font-size:.86rem;margin-top:4px;overflow-wrap:anywhere}
details{margin:8px 0}summary{cursor:pointer;color:var(--s0)}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8rem}
@media(max-width:540px){.tick,.label{font-size:18px}
.charts,.pictures{grid-template-columns:1fr}
body{font-size:15px}main{padding:16px 12px 48px}
.tiles{grid-template-columns:1fr 1fr}}
@media print{:root{--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#ccc}
body{font-size:10pt;print-color-adjust:exact;-webkit-print-color-adjust:exact}
main{max-width:none;padding:0}nav,details:not([open]){display:none}
h2{break-after:avoid}.chart,.picture,.tile,tr{break-inside:avoid}
.wide{overflow:visible}.charts{grid-template-columns:1fr 1fr}
.pictures{grid-template-columns:1fr 1fr}}
"""


def document(title: str, sections: Sequence[tuple[str, str]], head: str) -> str:
    """The whole file: a head, links to the sections, and these.

    Args:
      title: of the page.
      sections: heading and content; those without content are left out.
      head: below the title.
    """
    shown = [(name, content) for name, content in sections if content]
    links = "".join(f'<a href="#{_anchor(name)}">{name}</a>' for name, _ in shown)
    body = "".join(
        f'<section id="{_anchor(name)}"><h2>{name}</h2>{content}</section>'
        for name, content in shown
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{html.escape(title)}</h1>"
        f"{head}<nav>{links}</nav>{body}</main></body></html>\n"
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]], css: str = "") -> str:
    """A table that scrolls by itself where the screen is narrow.

    Args:
      head: HTML of the column titles.
      rows: HTML of the cells; one that starts with "<td" is taken as it is.
      css: class of the table.
    """
    titles = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="{css}"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def bar(value: float | None) -> str:
    """A cell with a number in 0..1 and a bar of that length behind it."""
    if value is None:
        return '<td class="soft">absent</td>'
    return f'<td class="bar" style="--v:{100 * value:.1f}%">{value:.3f}</td>'


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where there is none."""
    return "&ndash;" if value is None else f"{value:.{digits}f}"


def tile(value: str, label: str) -> str:
    """A figure to see first."""
    return f'<div class="tile"><b>{value}</b><span>{label}</span></div>'


def swatch(color: Sequence[int]) -> str:
    """A small square in the class's colour."""
    return f'<i class="swatch" style="background:rgb{tuple(color)}"></i>'


def picture(pixels: np.ndarray, caption: str, alternative: str) -> str:
    """A picture inside of the page.

    Args:
      pixels: uint8 [H, W, 3].
      caption: HTML.
      alternative: what it shows, for those who do not see it.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width = pixels.shape[:2]
    return (
        f'<figure class="picture"><img src="data:image/jpeg;base64,{data}" '
        f'width="{width}" height="{height}" alt="{html.escape(alternative)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")
