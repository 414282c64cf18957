"""The page of a data set: classes, what the audit found, pictures with labels."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.files import Json, Values
from deeplab_tf.inference import contact_sheet
from deeplab_tf.report import page

_FINDINGS = 20  # of a severity; the others stand in audit.json


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
    info: DatasetInfo, cards: Mapping[str, Sequence[Card]], audit: Values
) -> str:
    """A page that needs no other file.

    Args:
      info: names, colours and counts.
      cards: by the heading of their section.
      audit: content of audit.json; empty where there is none.
    """
    counted = {name: one for name, one in info.splits.items() if one.class_pixels}
    return page.render(
        "browser.html",
        title=info.name,
        info=info,
        heads=[
            f"{name}: {one.num_examples:,} examples" for name, one in counted.items()
        ],
        rows=[
            (name, [_share(split.class_pixels, value) for split in counted.values()])
            for value, name in enumerate(info.class_names)
        ],
        found=[
            finding
            for severity in ("errors", "warnings")
            for finding in audit.get(severity, [])[:_FINDINGS]
        ],
        groups=[
            (heading, [_drawn(card, info) for card in section])
            for heading, section in cards.items()
        ],
    )


def _share(class_pixels: Sequence[int], value: int) -> float:
    return class_pixels[value] / max(sum(class_pixels), 1)


def _drawn(card: Card, info: DatasetInfo) -> Json:
    tiles = contact_sheet.tiles(card.image, card.labels, info.colormap)
    sources = [page.jpeg(tile) for tile in tiles]
    return {"title": card.title, "remark": card.remark, "sources": sources}
