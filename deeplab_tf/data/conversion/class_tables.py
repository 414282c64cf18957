"""The files beside masks that name the classes, as tools and data sets write them.

labelmap.txt            CVAT        road:128,64,128::
label_colors.txt        CamVid      128 64 128 road
class_dict.csv          Kaggle      name,r,g,b
_classes.csv            Roboflow    Pixel Value, Class
id2label.json           Transformers {"0": "road"}
class_names.txt, classes.txt, labels.txt, names.txt     one name a line, from 0; where
                        the first is __ignore__, it is void and the second is 0
"""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping

from deeplab_tf.data.conversion import classes_file
from deeplab_tf.data.conversion.contents import (
    Contents,
    read_lines,
    read_table,
)
from deeplab_tf.data.conversion.samples import Coding, Color
from deeplab_tf.data.dataset_info import IGNORE_LABEL, DatasetInfo
from deeplab_tf.errors import UserError

VOID_NAMES = frozenset({"__ignore__", "ignore", "void", "unlabeled", "unlabelled"})
_NUMBER = r"\d{1,3}"


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """Names of the classes by what stands in the masks.

    Attributes:
      file: where it was read, below the source folder.
      values: raw value -> name; empty for a table of colours.
      colors: RGB -> name.
    """

    file: str
    values: Mapping[int, str] = dataclasses.field(default_factory=dict)
    colors: Mapping[Color, str] = dataclasses.field(default_factory=dict)

    def classes(self) -> "Classes":
        """Numbers for the names, in their order; a void name gets none."""
        names = list((self.values or self.colors).values())
        classes = Classes.of(names)
        coding = Coding.of(
            values={raw: classes.number(name) for raw, name in self.values.items()},
            colors={rgb: classes.number(name) for rgb, name in self.colors.items()},
        )
        if self.values and IGNORE_LABEL not in self.values:
            coding = Coding((*coding.values, (IGNORE_LABEL, IGNORE_LABEL)))
        shown = {name: rgb for rgb, name in reversed(list(self.colors.items()))}
        colormap = tuple(shown[name] for name in classes.names) if shown else ()
        return dataclasses.replace(classes, coding=coding, colormap=colormap)


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of a layout.

    Attributes:
      names: of the classes, from 0.
      void: names that count nowhere.
      coding: of the masks, where there are masks.
      colormap: a colour for each class, or none.
      ground: label of what no region covers, where the labels are regions.
    """

    names: tuple[str, ...]
    void: tuple[str, ...] = ()
    coding: Coding = dataclasses.field(default_factory=Coding)
    colormap: tuple[Color, ...] = ()
    ground: int = 0

    @classmethod
    def of(cls, names: Iterable[str]) -> "Classes":
        """From names in order; those that mean void are set apart."""
        distinct = list(dict.fromkeys(names))
        void = tuple(name for name in distinct if name.lower() in VOID_NAMES)
        kept = tuple(name for name in distinct if name not in void)
        return cls(names=kept, void=void)

    @classmethod
    def with_background(cls, names: Iterable[str]) -> "Classes":
        """The same, for regions drawn on a ground: class 0 is the background."""
        names = list(dict.fromkeys(names))
        ground = next((n for n in names if is_background(n)), "background")
        return cls.of([ground, *(n for n in names if n != ground)])

    @classmethod
    def for_regions(cls, contents: Contents, found: Iterable[str]) -> "Classes":
        """For regions with these names: those of classes.json, or with a background.

        By classes.json the classes keep their numbers whatever occurs. What no region
        covers is the background where that is one of them, else void.
        """
        if classes_file.FILE_NAME not in contents.files:
            return cls.with_background(found)
        path = contents.root / classes_file.FILE_NAME
        info, _ = classes_file.read_classes(path, "regions")
        classes = cls.of([*info.class_names, *found])
        grounds = [n for n, name in enumerate(classes.names) if is_background(name)]
        same = classes.names == info.class_names
        return dataclasses.replace(
            classes,
            colormap=info.colormap if same else (),
            ground=grounds[0] if grounds else IGNORE_LABEL,
        )

    def number(self, name: str) -> int:
        """The class of a name; void: the ignored label."""
        return IGNORE_LABEL if name in self.void else self.names.index(name)

    @property
    def numbers(self) -> dict[str, int]:
        """The class of every name."""
        return {name: self.number(name) for name in (*self.names, *self.void)}

    def info(self, name: str, source: str) -> DatasetInfo:
        """The data set's facts."""
        return DatasetInfo(
            name=name, class_names=self.names, colormap=self.colormap, source=source
        )

    def notes(self) -> list[str]:
        """What is to be said about void names."""
        if not self.void:
            return []
        names = ", ".join(repr(name) for name in self.void)
        return [f"{names} is taken as void ({IGNORE_LABEL}), which counts nowhere."]


def is_background(name: str) -> bool:
    """Whether a class is what lies around the others."""
    return name.lower().strip("_ ") == "background"


def find_table(contents: Contents) -> ClassTable | None:
    """The table of classes of a folder: the highest one, by the order above.

    Raises:
      UserError: a table is there, but cannot be read.
    """
    for pattern, read in _READERS.items():
        found = contents.named(pattern)
        if found:
            file = min(found, key=lambda path: (path.count("/"), path))
            table = read(contents, file)
            if table:
                return table
    return None


def _labelmap(contents: Contents, file: str) -> ClassTable:
    path = contents.root / file
    colors: dict[Color, str] = {}
    for line in read_lines(path):
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"(.*?):(\d+),(\d+),(\d+):.*", line)
        if not match:
            raise UserError(
                f"{path}: must be as 'road:128,64,128::'; received {line!r}."
            )
        red, green, blue = map(int, match.groups()[1:])
        colors[red, green, blue] = match[1]
    return ClassTable(file, colors=colors)


def _label_colors(contents: Contents, file: str) -> ClassTable | None:
    colors: dict[Color, str] = {}
    for line in read_lines(contents.root / file):
        match = re.fullmatch(
            rf"({_NUMBER})[\s,]+({_NUMBER})[\s,]+({_NUMBER})[\s,]+(.+)", line
        )
        if match:
            red, green, blue = map(int, match.groups()[:3])
            colors[red, green, blue] = match[4].strip()
    return ClassTable(file, colors=colors) if colors else None


def _class_dict(contents: Contents, file: str) -> ClassTable | None:
    columns, rows = read_table(contents.root / file)
    name = next((c for c in columns if c in ("name", "class", "class_name")), None)
    red, green, blue = (
        next((c for c in columns if c in (word, word[0])), None)
        for word in ("red", "green", "blue")
    )
    if not (name and red and green and blue):
        return None
    try:
        colors = {(int(r[red]), int(r[green]), int(r[blue])): r[name] for r in rows}
    except ValueError as error:
        raise UserError(f"{contents.root / file}: {error}.") from None
    return ClassTable(file, colors=colors)


def _pixel_values(contents: Contents, file: str) -> ClassTable | None:
    columns, rows = read_table(contents.root / file)
    value = next((c for c in columns if c in ("pixel value", "value", "id")), None)
    name = next((c for c in columns if c in ("class", "name", "class name")), None)
    if not (value and name):
        return None
    try:
        return ClassTable(file, values={int(row[value]): row[name] for row in rows})
    except ValueError as error:
        raise UserError(f"{contents.root / file}: {error}.") from None


def _id2label(contents: Contents, file: str) -> ClassTable | None:
    content = contents.json(file)
    if isinstance(content, dict) and isinstance(content.get("id2label"), dict):
        content = content["id2label"]
    if not isinstance(content, dict) or not content:
        return None
    try:
        values = {int(raw): str(name) for raw, name in content.items()}
    except ValueError:
        return None
    return ClassTable(file, values=dict(sorted(values.items())))


def _name_list(contents: Contents, file: str) -> ClassTable | None:
    names = read_lines(contents.root / file)
    numbered = [re.fullmatch(r"(\d+)\s*[:,;\t ]\s*(\S.*)", line) for line in names]
    if all(numbered):
        return ClassTable(file, values={int(m[1]): m[2] for m in numbered if m})
    if any("/" in name or is_listed_image(name) for name in names):
        return None  # a list of files
    first = -1 if names[0] == "__ignore__" else 0
    return ClassTable(file, values=dict(enumerate(names, start=first)))


def is_listed_image(line: str) -> bool:
    """Whether a line of a list names an image."""
    return pathlib.PurePath(line.split()[0]).suffix.lower() in (".jpg", ".jpeg", ".png")


_READERS: dict[str, Callable[[Contents, str], ClassTable | None]] = {
    r"labelmap\.txt": _labelmap,
    r"label_?colou?rs\.txt": _label_colors,
    r"(label_)?class_dict(_seg)?\.csv": _class_dict,
    r"_classes\.csv": _pixel_values,
    r".*id2label.*\.json": _id2label,
    r"(class_names|classes|labels|names|label_names)\.txt": _name_list,
}
