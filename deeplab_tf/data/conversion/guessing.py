"""The classes of masks that nobody has named: by the values or colours that occur."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from deeplab_tf.data.conversion.class_tables import Classes
from deeplab_tf.data.conversion.labels import Look, look
from deeplab_tf.data.conversion.samples import Coding, Color, Sample, SampleError
from deeplab_tf.data.dataset_info import IGNORE_LABEL
from deeplab_tf.errors import UserError

_AT_MOST = 255  # classes
_RING_WIDTH = 6  # pixels to the nearest other value
_RING_TRIES = 12  # masks that are looked at
_SHOWN = 12


@dataclasses.dataclass
class _Found:
    """What occurs in all masks together."""

    counts: collections.Counter[int] = dataclasses.field(
        default_factory=collections.Counter
    )
    palette: dict[int, Color] = dataclasses.field(default_factory=dict)
    in_colors: set[bool] = dataclasses.field(default_factory=set)
    examples: list[np.ndarray] = dataclasses.field(default_factory=list)
    fault: str = ""  # of the first that cannot be read


def guess_classes(samples: Iterable[Sample]) -> tuple[Classes, list[str]]:
    """Classes, coding and colours, and what is to be said about them.

    Raises:
      UserError: there are no readable masks, or they hold too many values or colours.
    """
    found = _look_at(samples)
    total = sum(found.counts.values())
    if not total:
        raise UserError(
            f"no mask can be read, so the classes are unknown: {found.fault}"
            if found.fault
            else "there are no masks, so the classes are unknown; write classes.json, "
            'as {"class_names": ["background", "road"]}.'
        )
    if len(found.counts) > _AT_MOST:
        kind = "colours" if True in found.in_colors else "values"
        raise UserError(
            f"the masks hold {len(found.counts):,} {kind}, too many for classes: they "
            "were smoothed, or saved as JPEG, or are no masks. Save them as PNG "
            "without smoothing, or name the colours that count in classes.json."
        )
    if True not in found.in_colors:
        return _by_values(found, is_grey_rgb=False)
    if all(_is_grey(code) for code in found.counts):
        return _by_values(_as_values(found), is_grey_rgb=True)
    return _by_colors(found)


def _look_at(samples: Iterable[Sample]) -> _Found:
    found = _Found()
    for sample in samples:
        try:
            content = sample.label()
            one = None if content is None else look(content, sample.label_name)
        except SampleError as error:  # the audit will tell of them all
            found.fault = found.fault or str(error)
            continue
        if one is not None:
            _add(found, one)
    if found.in_colors == {True, False}:  # numbers among colours are their greys
        for value in [v for v in found.counts if v in found.palette or v < 256]:
            found.counts[value * 0x010101] += found.counts.pop(value)
    return found


def _add(found: _Found, one: Look) -> None:
    found.counts.update(one.counts)
    found.in_colors.add(one.in_colors)
    for value, color in one.palette.items():
        if value in one.counts:
            found.palette.setdefault(value, color)
    if len(found.examples) < _RING_TRIES:
        found.examples.append(one.codes)


def _is_grey(code: int) -> bool:
    return code % 0x010101 == 0


def _as_values(found: _Found) -> _Found:
    counts = {code // 0x010101: n for code, n in found.counts.items()}
    codes = [code & 255 for code in found.examples]
    return dataclasses.replace(
        found, counts=collections.Counter(counts), examples=codes
    )


def _by_values(found: _Found, is_grey_rgb: bool) -> tuple[Classes, list[str]]:
    values = sorted(found.counts)
    void = [IGNORE_LABEL] if _is_void(values) else []
    kept = [value for value in values if value not in void]
    names = _value_names(kept)
    numbers = {raw: number for number, raw in enumerate(kept)}
    numbers |= dict.fromkeys(void, IGNORE_LABEL)
    if is_grey_rgb:
        coding = Coding.of(colors={(v, v, v): n for v, n in numbers.items()})
    elif kept == list(range(len(kept))):
        coding = Coding()
    else:
        coding = Coding.of(values=numbers)
    colors = [found.palette.get(value) for value in kept]
    distinct = None not in colors and len(set(colors)) == len(colors)
    classes = Classes(
        names=tuple(names),
        coding=coding,
        colormap=tuple(c for c in colors if c) if distinct else (),
    )
    return classes, _value_notes(found, kept, names, void)


def _is_void(values: Sequence[int]) -> bool:
    """Whether 255 is void: beside the numbers of classes, not beside other greys."""
    others = [value for value in values if value != IGNORE_LABEL]
    return (
        IGNORE_LABEL in values
        and bool(others)
        and others != [0]
        and max(others) < 2 * len(others) + 32
    )


def _value_names(kept: Sequence[int]) -> list[str]:
    if len(kept) == 2 and kept[0] == 0:
        return ["background", "foreground"]
    return [f"class_{value}" for value in kept]


def _value_notes(
    found: _Found, kept: Sequence[int], names: Sequence[str], void: Sequence[int]
) -> list[str]:
    total = sum(found.counts.values())
    shares = [f"{v} ({found.counts[v] / total:.1%})" for v in (*kept, *void)]
    notes = [f"values found in the masks: {_some(shares)}."]
    if list(kept) == [0, IGNORE_LABEL]:
        notes.append(
            "the masks hold 0 and 255 alone: taken as two classes. Where 255 is void, "
            'say so in classes.json: {"class_names": ["only"], "values": {"0": "only", '
            '"255": "ignore"}}.'
        )
    if void:
        notes.append("255 is taken as void, which counts nowhere.")
    notes += [
        f"value {value} only rings objects: perhaps it is void. If so, write "
        f'classes.json with "values": {{"{value}": "ignore"}} and the others by name.'
        for value in kept
        if len(kept) > 2 and _only_rings(found.examples, value)
    ]
    text = ", ".join(f'"{value}": "{n}"' for value, n in zip(kept, names, strict=True))
    listed = ", ".join(f'"{name}"' for name in names)
    return [
        *notes,
        "the names are invented; to name the classes, write classes.json: "
        f'{{"class_names": [{listed}], "values": {{{text}}}}}.',
    ]


def _by_colors(found: _Found) -> tuple[Classes, list[str]]:
    codes = sorted(found.counts)
    colors = [(code >> 16, code >> 8 & 255, code & 255) for code in codes]
    names = [f"color_{code:06x}" for code in codes]
    if codes[0] == 0:
        names[0] = "background"
    coding = Coding.of(colors={rgb: number for number, rgb in enumerate(colors)})
    total = sum(found.counts.values())
    shares = [
        f"{r},{g},{b} ({found.counts[code] / total:.1%})"
        for code, (r, g, b) in zip(codes, colors, strict=True)
    ]
    table = ", ".join(
        f'"{r},{g},{b}": "{name}"'
        for (r, g, b), name in zip(colors, names, strict=True)
    )
    notes = [
        f"colours found in the masks: {_some(shares)}.",
        "the names are invented; to name the classes, write classes.json: "
        f'{{"class_names": [...], "colors": {{{table}}}}}; "ignore" makes one void.',
    ]
    classes = Classes(names=tuple(names), coding=coding, colormap=tuple(colors))
    return classes, notes


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


def _only_rings(examples: Sequence[np.ndarray], value: int) -> bool:
    """Whether a value is thin everywhere and lies between two others."""
    pixels = between = 0
    for labels in examples:
        inside = labels == value
        if not inside.any():
            continue
        if (~_spread(~inside, _RING_WIDTH)).any():
            return False  # thick somewhere
        near = np.zeros(labels.shape, np.int32)
        for other in np.unique(labels[~inside]):
            near += _spread(labels == other, _RING_WIDTH)
        pixels += int(inside.sum())
        between += int((near[inside] >= 2).sum())
    return pixels > 0 and between > 0.9 * pixels


def _spread(mask: np.ndarray, distance: int) -> np.ndarray:
    """Every pixel within that distance of the mask, along both axes."""
    for axis in (0, 1):
        wide = mask.copy()
        for step in range(1, distance + 1):
            for shift in (step, -step):
                moved = np.roll(mask, shift, axis)
                edge = [slice(None)] * 2
                edge[axis] = slice(0, step) if shift > 0 else slice(-step, None)
                moved[tuple(edge)] = False
                wide |= moved
        mask = wide
    return mask
