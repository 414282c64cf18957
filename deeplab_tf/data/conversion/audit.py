"""What the examples of a data set add up to: a table, findings, audit.json."""

import collections
import dataclasses
from collections.abc import Iterable

import numpy as np

from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.errors import printable
from deeplab_tf.files import Json, Values

_NEARLY_ALL = 0.999  # of the pixels: then a label hardly says anything
_MAX_CROP = 769  # the largest crop of the published recipes
_STRIDE = 16
_PRINT_AT_MOST = 5  # findings of one kind on the screen; audit.json has them all
_LINE = 300  # characters of one of them
Fact = Values


@dataclasses.dataclass
class _Counts:
    """Running sums over one split."""

    has_labels: bool = True
    examples: int = 0
    bad: int = 0
    pixels: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(256, np.int64)
    )
    pictures: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(256, np.int64)
    )
    area: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(256, np.int64)
    )
    sizes: collections.Counter = dataclasses.field(default_factory=collections.Counter)


class Audit:
    """Collects the facts of every example; memory grows by a digest for each.

    Attributes:
      errors: findings that stop a conversion: dictionaries of split, example, kind,
        message.
      warnings: findings to look at.
      repairs: what was changed or is odd about a picture.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self._info = info
        self._splits: dict[str, _Counts] = {}
        self._first: dict[str, tuple[str, str]] = {}
        self.errors: list[dict[str, str]] = []
        self.warnings: list[dict[str, str]] = []
        self.repairs: list[dict[str, str]] = []

    def add(self, split: str, facts: Iterable[Fact]) -> None:
        """Counts the examples of one shard."""
        counts = self._splits.setdefault(split, _Counts())
        for fact in facts:
            name, image = fact["name"], fact["image"]
            if fact["fault"] is not None:
                self._find(self.errors, split, name, *fact["fault"])
                counts.bad += 1
                continue
            for kind, text in fact["notes"]:
                self._find(self.repairs, split, name, kind, f"{image}: {text}.")
            self._note_duplicate(split, name, image, fact["digest"])
            self._count(counts, split, fact)

    def _find(
        self, where: list[dict[str, str]], split: str, name: str, kind: str, text: str
    ) -> None:
        message = printable(text)
        where.append(
            {"split": split, "example": name, "kind": kind, "message": message}
        )

    def _note_duplicate(self, split: str, name: str, image: str, digest: str) -> None:
        first = self._first.setdefault(digest, (split, image))
        if first == (split, image):
            return
        kind = "duplicate" if first[0] == split else "leak"
        text = f"{image}: the same content as {first[1]} of split {first[0]!r}."
        self._find(self.warnings, split, name, kind, text)

    def _count(self, counts: _Counts, split: str, fact: Fact) -> None:
        height, width = fact["size"]
        counts.examples += 1
        counts.sizes[height, width] += 1
        if fact["pixels"] is None:
            counts.has_labels = False
            return
        present = {int(value): count for value, count in fact["pixels"].items()}
        for value, count in present.items():
            counts.pixels[value] += count
            counts.pictures[value] += 1
            counts.area[value] += height * width
        void = present.pop(self._info.ignore_label, 0)
        largest = max(present.values(), default=0)
        if void + largest > _NEARLY_ALL * height * width:
            names = [self._info.class_names[value] for value in present]
            what = f"hardly anything but {names[0]!r}" if names else "nothing but void"
            text = f"{fact['label']}: {what}."
            self._find(self.warnings, split, fact["name"], "near_empty", text)

    def finish(self) -> None:
        """Adds the findings about whole splits."""
        for split, counts in self._splits.items():
            if not counts.examples:
                self._find(self.errors, split, "", "empty", "no usable example.")
            elif counts.has_labels:
                absent = [
                    name
                    for value, name in enumerate(self._info.class_names)
                    if not counts.pixels[value]
                ]
                if absent:
                    text = f"classes that never occur: {', '.join(absent)}."
                    self._find(self.warnings, split, "", "absent_class", text)

    def has_empty_split(self) -> bool:
        """Whether a split has no example that can be used."""
        return any(not counts.examples for counts in self._splits.values())

    def split_facts(self, name: str) -> Json:
        """The arguments of `Split` that come from counting."""
        counts = self._splits[name]
        labelled, ignored = (
            counts.pixels[: self._info.num_classes].copy(),
            (self._info.ignore_label),
        )
        labelled[ignored:][:1] = 0  # where the ignored label has a class's number
        return {
            "num_examples": counts.examples,
            "has_labels": counts.has_labels,
            "class_pixels": tuple(labelled.tolist()) if counts.has_labels else (),
            "ignored_pixels": int(counts.pixels[ignored]),
            "max_size": _max_size(counts),
        }

    def to_dict(self) -> Json:
        """What audit.json holds."""
        return {
            "name": self._info.name,
            "splits": {
                name: self._split_report(counts)
                for name, counts in self._splits.items()
            },
            "errors": self.errors,
            "warnings": self.warnings,
            "repairs": self.repairs,
        }

    def _split_report(self, counts: _Counts) -> Json:
        share = counts.pixels / max(counts.pixels.sum(), 1)
        weights = _median_frequency_weights(counts, self._info.num_classes)
        return {
            "examples": counts.examples,
            "bad": counts.bad,
            "has_labels": counts.has_labels,
            "void_share": round(float(share[self._info.ignore_label]), 6),
            "classes": {
                name: {
                    "pixels": int(counts.pixels[value]),
                    "pixel_share": round(float(share[value]), 6),
                    "pictures": int(counts.pictures[value]),
                    "suggested_weight": weights[value],
                }
                for value, name in enumerate(self._info.class_names)
                if counts.has_labels
            },
            "sizes": {
                f"{height}x{width}": count
                for (height, width), count in counts.sizes.most_common(20)
            },
            "distinct_sizes": len(counts.sizes),
            "max_size": _max_size(counts),
            "suggested_crop_size": [_crop_side(side) for side in _max_size(counts)],
        }

    def table(self) -> str:
        """The report for the screen."""
        reports = {name: self._split_report(c) for name, c in self._splits.items()}
        lines = [_headline(name, report) for name, report in reports.items()]
        labelled = {name: r for name, r in reports.items() if r["has_labels"]}
        if labelled:
            lines += [
                "",
                _row("class", [f"{name}: pixels, pictures" for name in labelled]),
            ]
            for class_name in self._info.class_names:
                cells = [r["classes"][class_name] for r in labelled.values()]
                texts = [f"{c['pixel_share']:.3%} {c['pictures']:>9,}" for c in cells]
                lines.append(_row(class_name, texts))
        for title in ("repairs", "warnings", "errors"):
            lines += _summary(title, getattr(self, title))
        return "\n".join(lines)


def _headline(name: str, report: Json) -> str:
    height, width = report["max_size"]
    crop = ",".join(map(str, report["suggested_crop_size"]))
    void = (
        f", void {report['void_share']:.1%}" if report["has_labels"] else ", no labels"
    )
    return (
        f"{name}: {report['examples']:,} examples, {report['bad']} bad, largest "
        f"{height}x{width} (height x width), suggested crop {crop}{void}"
    )


def _row(name: str, cells: list[str]) -> str:
    return f"  {name:<20}" + "".join(f"{cell:>26}" for cell in cells)


def _median_frequency_weights(counts: _Counts, classes: int) -> list[float | None]:
    """Median frequency balancing (Eigen and Fergus 2015); None for an absent class.

    A class's frequency is its share of the pixels of the pictures where it occurs.
    """
    frequency = counts.pixels[:classes] / np.maximum(counts.area[:classes], 1)
    present = frequency > 0
    median = np.median(frequency[present]) if present.any() else 0.0
    return [round(float(median / f), 4) if f > 0 else None for f in frequency]


def _max_size(counts: _Counts) -> tuple[int, int]:
    heights = [size[0] for size in counts.sizes] or [0]
    widths = [size[1] for size in counts.sizes] or [0]
    return max(heights), max(widths)


def _crop_side(side: int) -> int:
    """The next multiple of the stride plus 1, as far as the recipes go."""
    return min(-(-max(side - 1, 32) // _STRIDE) * _STRIDE + 1, _MAX_CROP)


def _summary(title: str, findings: list[dict[str, str]]) -> list[str]:
    if not findings:
        return []
    lines = [f"{title}: {len(findings)}"]
    by_kind: dict[str, list[str]] = {}
    for finding in findings:
        text = f"[{finding['split']}] {finding['message']}"
        by_kind.setdefault(finding["kind"], []).append(text)
    for kind, texts in by_kind.items():
        lines.append(f"  {kind}: {len(texts)}")
        lines += [f"    {_shortened(text)}" for text in texts[:_PRINT_AT_MOST]]
        if len(texts) > _PRINT_AT_MOST:
            lines.append(f"    ... and {len(texts) - _PRINT_AT_MOST} more")
    return lines


def _shortened(text: str) -> str:
    return text if len(text) <= _LINE else text[: _LINE - 4] + " ..."


def make_split(facts: Values, shards: list[Json]) -> Split:
    """A split from its counts and its shards' side-cars."""
    return Split(
        **facts,
        shards=tuple(shard["file"] for shard in shards),
        shard_examples=tuple(shard["examples"] for shard in shards),
        shard_bytes=tuple(shard["bytes"] for shard in shards),
        sha256=tuple(shard["sha256"] for shard in shards),
    )
