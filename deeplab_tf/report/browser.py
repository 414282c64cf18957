"""Pictures with their labels as one HTML page or one contact sheet."""

import base64
import dataclasses
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.inference import contact_sheet

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem;
color:#222;background:#fafafa}
h1,h2{font-weight:600} .cards{display:flex;flex-wrap:wrap;gap:12px}
figure{margin:0;background:#fff;border:1px solid #ddd;border-radius:6px;padding:8px;
max-width:500px} figcaption{font-size:13px;color:#555;overflow-wrap:anywhere}
figure.odd{border-color:#c60} .why{color:#a40} img{vertical-align:top;margin-right:4px}
table{border-collapse:collapse} td,th{padding:2px 10px;text-align:left;font-size:14px}
.bar{height:12px;display:inline-block} .chip{width:14px;height:14px;
display:inline-block;border:1px solid #0003;border-radius:3px;vertical-align:-2px}
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """One example to be shown.

    Attributes:
      title: its name.
      image: uint8 [H, W, C].
      labels: [H, W], or None.
      remark: why it is shown; empty for one that was drawn by lot.
    """

    title: str
    image: np.ndarray
    labels: np.ndarray | None
    remark: str = ""


def html_page(
    info: DatasetInfo, cards: Mapping[str, Sequence[Card]], audit: Mapping[str, Any]
) -> str:
    """A page that needs no other file.

    Args:
      info: names, colours and counts.
      cards: by the heading of their section.
      audit: content of audit.json; empty where there is none.
    """
    parts = [f"<h1>{html.escape(info.name)}</h1><p>{html.escape(info.source)}</p>"]
    parts.append(_class_table(info))
    parts.append(_findings(audit))
    for heading, section in cards.items():
        figures = "".join(_figure(card, info) for card in section)
        parts.append(f"<h2>{html.escape(heading)}</h2><div class=cards>{figures}</div>")
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(info.name)}</title>"
        f"<style>{_STYLE}</style>" + "".join(parts)
    )


def _class_table(info: DatasetInfo) -> str:
    """Legend and histogram: a row for each class, a column for each split."""
    splits = {n: s for n, s in info.splits.items() if s.class_pixels}
    head = "".join(
        f"<th>{html.escape(name)}: {split.num_examples:,} examples"
        for name, split in splits.items()
    )
    rows = []
    for value, name in enumerate(info.class_names):
        color = "rgb({},{},{})".format(*info.colormap[value])
        cells = "".join(
            _bar(split.class_pixels[value] / max(sum(split.class_pixels), 1), color)
            for split in splits.values()
        )
        chip = f"<span class=chip style='background:{color}'></span>"
        rows.append(f"<tr><td>{chip} {html.escape(name)}{cells}")
    return f"<table><tr><th>class{head}{''.join(rows)}</table>"


def _bar(share: float, color: str) -> str:
    width = round(200 * share**0.5)  # by the root, so that rare classes are seen
    style = f"width:{width}px;background:{color}"
    return f"<td><span class=bar style='{style}'></span> {share:.2%}"


def _findings(audit: Mapping[str, Any]) -> str:
    found = [
        f"<li>{html.escape(finding['split'])}: {html.escape(finding['message'])}"
        for severity in ("errors", "warnings")
        for finding in audit.get(severity, [])[:20]
    ]
    return f"<h2>The audit warns</h2><ul>{''.join(found)}</ul>" if found else ""


def _figure(card: Card, info: DatasetInfo) -> str:
    images = "".join(
        f"<img alt='' src='data:image/jpeg;base64,{_jpeg(tile)}'>"
        for tile in contact_sheet.tiles(card.image, card.labels, info.colormap)
    )
    remark = f"<br><span class=why>{html.escape(card.remark)}</span>"
    caption = html.escape(card.title) + (remark if card.remark else "")
    kind = "odd" if card.remark else ""
    return f"<figure class='{kind}'>{images}<figcaption>{caption}</figcaption></figure>"


def _jpeg(tile: Image.Image) -> str:
    buffer = io.BytesIO()
    tile.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()
