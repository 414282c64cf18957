"""Pairs pictures and masks by their paths, however folders and files are called.

A path has a role, picture or mask, by the first folder or else the end of the name that
tells it; what is left without the words of roles and splits is the example's name, and
is the same for both.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping

from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.samples import Coding, FileSample
from deeplab_tf.data.conversion.splits import split_named
from deeplab_tf.errors import UserError

IMAGE_WORDS = frozenset(
    ["images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "pics"]
)
# fmt: off
LABEL_WORDS = frozenset((
    "labels", "label", "masks", "mask", "annotations", "annotation", "annots",
    "annot", "gt", "gts", "groundtruth", "segmentations", "segmentation", "seg",
    "segs", "segmaps", "trimaps", "labelmaps", "segmentationclass", "lbl", "lbls",
    "msk", "msks", "ann", "anns",
))
# fmt: on
# Words that tell a role only as the whole name of a folder.
# fmt: off
_IMAGE_FOLDERS = frozenset((
    "input", "inputs", "x", "rgb", "raw", "original", "originals", "src", "source",
    "data", "color", "photo", "picture", "pic", "frames", "jpg", "jpeg", "jpegs",
))
_LABEL_FOLDERS = frozenset((
    "output", "outputs", "y", "target", "targets", "truth", "ground_truth",
    "ground-truth",
))
_DRAWINGS = frozenset((
    "overlay", "overlays", "visualization", "visualizations", "visualisation",
    "preview", "previews", "vis", "viz", "segmentationobject",
    "segmentationclassvisualization",
))
# fmt: on
_GLUED = re.compile(r"(.+?)(images?|imgs?|masks?|labels?|annot(?:ation)?s?)")
_LABEL_END = re.compile(
    r"(.+)[_\-. ](?:masks?|msk|labels?|lbl|labelids|gt|seg|segmentation|annotation|"
    r"annot?|ground_?truth|l)",
    re.IGNORECASE,
)
_CURE = "say which is meant by --label_folder=NAME or --label_suffix=_END"
_STEM_WORDS = IMAGE_WORDS | LABEL_WORDS | {"sat", "rgb", "l", "ground", "truth"}


@dataclasses.dataclass(frozen=True)
class Place:
    """What a path tells.

    Attributes:
      path: below the source folder.
      is_label: its role, by a folder; None: no folder tells.
      folders: without the words of roles and splits.
      stem: of the file.
      split: by a folder, or "".
    """

    path: str
    is_label: bool | None
    folders: tuple[str, ...]
    stem: str
    split: str

    @property
    def name(self) -> str:
        """Folders and stem."""
        return "/".join((*self.folders, self.stem))


@dataclasses.dataclass
class Pair:
    """One example: either path may be missing."""

    name: str
    split: str
    image: str | None = None
    label: str | None = None


@dataclasses.dataclass(frozen=True)
class Names:
    """How the user says that files are called, where it cannot be seen.

    Attributes:
      label_suffix: what a label's name has more than its picture's.
      image_folder: the folder of the pictures.
      label_folder: the folder of the labels.
    """

    label_suffix: str = ""
    image_folder: str = ""
    label_folder: str = ""

    def __bool__(self) -> bool:
        return bool(self.label_suffix or self.image_folder or self.label_folder)


def find_pairs(contents: Contents, names: Names) -> list[Pair]:
    """The examples, in order of split and name.

    Raises:
      UserError: two pictures or two labels have the same name.
    """
    told = (_place(path, names) for path in contents.images)
    places = _with_other_splits([place for place in told if place])
    images = [p for p in places if p.is_label is False]
    rest = [p for p in places if p.is_label is None]
    beside, others = _side_by_side(rest, names)
    pairs: dict[tuple[str, str], Pair] = {}
    # Where a folder is called images, a picture elsewhere is something else.
    for place in images or others:
        _put(contents, pairs, place, "image", place.name)
    for place in beside:
        _put(contents, pairs, place, "label", _bare(place, names))
    for place in (p for p in places if p.is_label):
        exact = (place.split, place.name) in pairs and not names.label_suffix
        name = place.name if exact else _bare(place, names)
        _put(contents, pairs, place, "label", name)
    _join_left_over(pairs)
    return sorted(pairs.values(), key=lambda pair: (pair.split, pair.name))


def _put(
    contents: Contents,
    pairs: dict[tuple[str, str], Pair],
    place: Place,
    what: str,
    name: str,
) -> None:
    pair = pairs.setdefault((place.split, name), Pair(name, place.split))
    before = getattr(pair, what)
    if before is not None:
        cure = "keep one" if what == "image" else _CURE
        raise UserError(
            f"{contents.path(place.path)}: {before} has the same name; {cure}."
        )
    setattr(pair, what, place.path)


def _place(path: str, names: Names) -> Place | None:
    """None for drawings of masks, which are neither pictures nor masks."""
    *folders, file = path.split("/")
    stem = os.path.splitext(file)[0]
    if any(folder.lower() in _DRAWINGS for folder in folders):
        return None
    role: bool | None = None
    kept: list[str] = []
    for folder in folders:
        told, rest = (None, folder) if role is not None else _role(folder, names)
        role = told if role is None else role
        if rest:
            kept.append(rest)
    if role is None:
        role, kept = _weak_role(kept)
    split, below = _split(kept)
    return Place(path, role, tuple(below), stem, split)


def _role(folder: str, names: Names) -> tuple[bool | None, str]:
    """The role that a folder's name tells, and the name without that word."""
    if names.label_folder or names.image_folder:
        if folder == names.label_folder:
            return True, ""
        if folder == names.image_folder:
            return False, ""
        if names.label_folder and names.image_folder:
            return None, folder
    lower = folder.lower()
    if lower in _LABEL_FOLDERS:
        return True, ""
    words = re.split(r"[_\-. ]+", lower)
    glued = _GLUED.fullmatch(lower)
    if glued and (split_named(glued[1]) or glued[2].startswith("annot")):
        words = list(glued.groups())
    for table, role in ((LABEL_WORDS, True), (IMAGE_WORDS, False)):
        if table & set(words):
            both = LABEL_WORDS | IMAGE_WORDS
            return role, "_".join(word for word in words if word not in both)
    return None, folder


def tells_nothing(folder: str) -> bool:
    """Whether a folder's name says neither a role nor a split: a wrapper's."""
    weak = folder.lower() in _IMAGE_FOLDERS
    return not weak and _role(folder, Names())[0] is None and not split_named(folder)


def _weak_role(folders: list[str]) -> tuple[bool | None, list[str]]:
    weak = [n for n, folder in enumerate(folders) if folder.lower() in _IMAGE_FOLDERS]
    if not weak:
        return None, folders
    return False, folders[: weak[-1]] + folders[weak[-1] + 1 :]


def _split(folders: list[str]) -> tuple[str, list[str]]:
    """The first folder that names a split, and the others."""
    for number, folder in enumerate(folders):
        split = split_named(folder)
        if split:
            return split, folders[:number] + folders[number + 1 :]
    return "", folders


def _with_other_splits(places: list[Place]) -> list[Place]:
    """Where some first folders are splits, the others are splits too: train_extra."""
    if not any(place.split for place in places):
        return places
    return [
        dataclasses.replace(p, split=p.folders[0], folders=p.folders[1:])
        if not p.split and p.folders
        else p
        for p in places
    ]


def _side_by_side(places: list[Place], names: Names) -> tuple[list[Place], list[Place]]:
    """Masks among pictures in one folder, by the end of their names; and the others."""
    known = {(place.split, place.name) for place in places}
    labels = [
        place
        for place in places
        if _bare(place, names) != place.name
        and (place.split, _bare(place, names)) in known
    ]
    taken = {place.path for place in labels}
    return labels, [place for place in places if place.path not in taken]


def _bare(place: Place, names: Names) -> str:
    """A label's name without what tells that it is one."""
    if names.label_suffix:
        return place.name.removesuffix(names.label_suffix)
    match = _LABEL_END.fullmatch(place.stem)
    return "/".join((*place.folders, match[1] if match else place.stem))


def _join_left_over(pairs: dict[tuple[str, str], Pair]) -> None:
    """Joins img_1 and mask_1: names that differ by the words of their roles."""
    lonely = [
        pair for pair in pairs.values() if (pair.image is None) != (pair.label is None)
    ]
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in lonely:
        groups.setdefault((pair.split, _without_words(pair.name)), []).append(pair)
    for group in groups.values():
        images = [pair for pair in group if pair.image]
        labels = [pair for pair in group if pair.label]
        if len(images) == len(labels) == 1:
            images[0].label = labels[0].label
            del pairs[labels[0].split, labels[0].name]


def _without_words(name: str) -> str:
    *folders, stem = name.split("/")
    words = [w for w in re.split(r"[_\-. ]+", stem.lower()) if w not in _STEM_WORDS]
    return "/".join((*folders, "_".join(words)))


def make_samples(
    contents: Contents, pairs: Iterable[Pair], coding: Coding
) -> dict[str, list[FileSample]]:
    """Examples by split; a split of which no picture has a label is one without labels.

    What is missing of a pair is expected where its neighbours' is; the audit tells.
    """
    splits: dict[str, list[Pair]] = {}
    for pair in pairs:
        splits.setdefault(pair.split, []).append(pair)
    samples = {}
    for split, members in splits.items():
        models = _models(members)
        samples[split] = [_sample(contents, pair, models, coding) for pair in members]
    return samples


def _models(pairs: Iterable[Pair]) -> Mapping[str, Pair]:
    """A complete pair of each folder of pictures, and one of all under ""."""
    whole = [pair for pair in pairs if pair.image and pair.label]
    models = {os.path.dirname(pair.image or ""): pair for pair in reversed(whole)}
    return {"": whole[0], **models} if whole else {}


def _sample(
    contents: Contents, pair: Pair, models: Mapping[str, Pair], coding: Coding
) -> FileSample:
    model = models.get(os.path.dirname(pair.image or "")) or models.get("")
    image, label = pair.image, pair.label
    if model and label is None:
        label = _expected(model.label or "", model.name, pair.name)
    if image is None:
        expected = _expected(model.image or "", model.name, pair.name) if model else ""
        image = str(pathlib.PurePath(expected or pair.name).with_suffix(".jpg"))
    return FileSample(
        name=pair.name,
        image_path=contents.path(image),
        label_path=None if label is None else contents.path(label),
        coding=coding,
    )


def _expected(path: str, name: str, other: str) -> str:
    """A neighbour's path with another name."""
    head, found, tail = path.rpartition(name)
    if found:
        return head + other + tail
    stem, ending = os.path.basename(other), os.path.splitext(path)[1]
    return os.path.join(os.path.dirname(path), stem + ending)
