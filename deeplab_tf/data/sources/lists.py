"""List files: train.txt, val.txt with lines "picture label", or "picture".

Paths are relative to the folder of the list. A line of one path, where the folder has
pictures and masks of one name (images/a.jpg, masks/a.png), may be just that name.
"""

import pathlib
import re
from collections.abc import Iterator, Mapping

from deeplab_tf.data.conversion.contents import Contents, is_image, read_lines
from deeplab_tf.data.conversion.mask_classes import read_masks
from deeplab_tf.data.conversion.pairing import Names, Pair, find_pairs
from deeplab_tf.data.conversion.reading import Reading, example_name
from deeplab_tf.data.conversion.samples import FileSample
from deeplab_tf.data.conversion.splits import split_named, usual_name
from deeplab_tf.errors import UserError

TITLE = "list files with lines 'picture label'"
GENERAL = 2
_NOT_LISTS = re.compile(r"(class.*|labels|names|label.*|readme.*|license.*)", re.I)


def clues(contents: Contents) -> dict[str, bool]:
    """A train.txt, in whatever spelling, that lists pictures."""
    lists = _lists(contents)
    return {
        "train.txt": any(usual_name(stem) == "train" for stem in lists),
        "lines with pictures": any(
            _names_images(contents, path) for path in lists.values()
        ),
    }


def _lists(contents: Contents) -> dict[str, pathlib.Path]:
    """List files by name; those of one folder, the highest that has a train.txt."""
    paths = [path for path in contents.files if path.lower().endswith(".txt")]
    trains = [p for p in paths if split_named(pathlib.PurePath(p).stem) == "train"]
    if not trains:
        return {}
    folder = pathlib.PurePath(min(trains, key=lambda p: (p.count("/"), p))).parent
    return {
        pathlib.PurePath(path).stem: contents.root / path
        for path in paths
        if pathlib.PurePath(path).parent == folder
        and not _NOT_LISTS.fullmatch(pathlib.PurePath(path).stem)
    }


def _names_images(contents: Contents, path: pathlib.Path) -> bool:
    try:
        lines = read_lines(path)
    except UserError:
        return True  # a list, by its name, that `read` will complain of
    first = re.split(r"[\s,]+", lines[0])[0] if lines else ""
    return is_image(first) or contents.find_image(first) is not None


def read(contents: Contents) -> Reading:
    """The examples of each list."""
    pairs = {p.name.rsplit("/", 1)[-1]: p for p in find_pairs(contents, Names())}
    splits = {
        usual_name(stem): list(_samples(contents, pairs, path))
        for stem, path in _lists(contents).items()
    }
    return read_masks(contents, splits, "pictures and masks in lists")


def _samples(
    contents: Contents, pairs: Mapping[str, Pair], path: pathlib.Path
) -> Iterator[FileSample]:
    for number, line in enumerate(read_lines(path), start=1):
        names = _parts(path.parent, line)
        if len(names) > 2:
            raise UserError(
                f"{path}, line {number}: must be 'picture label'; received {line!r}."
            )
        if len(names) == 1 and not (path.parent / names[0]).is_file():
            yield _by_name(contents, pairs, path, number, names[0])
        else:
            label = names[1] if len(names) == 2 else None
            yield listed(path.parent, names[0], label)


def _parts(folder: pathlib.Path, line: str) -> list[str]:
    """Picture and label of a line, apart by a tab, a comma or blanks.

    Blanks may also be part of the names: then the files that are there decide.
    """
    for separator in ("\t", ","):
        if separator in line:
            return [part.strip() for part in line.split(separator)]
    words = line.split()
    if len(words) <= 2 or (folder / line).is_file():
        return [line] if (folder / line).is_file() else words
    for cut in range(1, len(words)):
        parts = [" ".join(words[:cut]), " ".join(words[cut:])]
        if all((folder / part).is_file() for part in parts):
            return parts
    return words


def _by_name(
    contents: Contents,
    pairs: Mapping[str, Pair],
    path: pathlib.Path,
    number: int,
    name: str,
) -> FileSample:
    """The pair of that name in the folder."""
    bare = example_name(name) if is_image(name) else name
    pair = pairs.get(bare.rsplit("/", 1)[-1])
    if pair and pair.image:
        label = contents.path(pair.label) if pair.label else None
        image = contents.path(pair.image)
        return FileSample(name=bare, image_path=image, label_path=label)
    if is_image(name):
        return listed(path.parent, name, None)  # the audit says that it is missing
    raise UserError(f"{path}, line {number}: there is no picture {name!r}.")


def listed(folder: pathlib.Path, image: str, label: str | None) -> FileSample:
    """An example by the paths of a list or a table."""
    image, label = image.replace("\\", "/"), label and label.replace("\\", "/")
    return FileSample(
        name=example_name(image),
        image_path=str(folder / image),
        label_path=str(folder / label) if label else None,
    )
