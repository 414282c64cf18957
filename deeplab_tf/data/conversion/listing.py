"""Finds the files of a source: folders, name lists, pairs of picture and label."""

import pathlib
from collections.abc import Iterator

from deeplab_tf.data.conversion.contents import read_contents, read_lines
from deeplab_tf.data.conversion.samples import INDICES, Coding, FileSample
from deeplab_tf.errors import UserError


def find_root(source_dir: str, landmark: str, *below: str) -> pathlib.Path:
    """The folder that holds `landmark`: source_dir or one of the folders below it.

    Raises:
      UserError: source_dir is missing or holds no such folder.
    """
    if not source_dir:
        raise UserError("--source_dir must name the folder of the data set.")
    root = pathlib.Path(source_dir)
    for candidate in (root, *(root / part for part in below)):
        if (candidate / landmark).exists():
            return candidate
    raise UserError(f"--source_dir={source_dir}: holds no {landmark!r}.")


def read_names(folder: pathlib.Path, split: str) -> list[str]:
    """The lines of folder/<split>.txt."""
    path = folder / f"{split}.txt"
    if not path.is_file():
        lists = sorted(p.stem for p in folder.glob("*.txt"))
        raise UserError(
            f"{path}: there is no such list; splits here: {', '.join(lists) or 'none'}."
        )
    return read_lines(path)


def list_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Picture files below a folder, by path without ending, sorted."""
    files: dict[str, pathlib.Path] = {}
    for path in map(folder.joinpath, read_contents(folder).images):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            raise UserError(f"{path}: {files[name].name} has the same name; keep one.")
        files[name] = path
    return files


def pair_files(
    images: pathlib.Path,
    labels: pathlib.Path | None,
    coding: Coding = INDICES,
) -> Iterator[FileSample]:
    """Pairs the pictures of two folders by name, in order of names.

    What is in one folder alone is yielded too: the audit then reports what is missing.

    Args:
      images: folder of pictures.
      labels: folder of labels; None for a split without labels.
      coding: of the labels.
    """
    for folder in (images, *([labels] if labels else [])):
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder.")
    pictures = list_files(images)
    if labels is None:
        for name, path in pictures.items():
            yield FileSample(name=name, image_path=str(path), label_path=None)
        return
    found = list_files(labels)
    for name in sorted(pictures.keys() | found.keys()):
        yield FileSample(
            name=name,
            image_path=str(pictures.get(name, images / f"{name}.jpg")),
            label_path=str(found.get(name, labels / f"{name}.png")),
            coding=coding,
        )
