"""What a folder is, by the clues that each source looks for."""

import pathlib
from collections.abc import Mapping, Sequence

from deeplab_tf.data.conversion.contents import Contents, read_contents
from deeplab_tf.data.conversion.pairing import tells_nothing
from deeplab_tf.data.sources._files import call, load, names, options_of
from deeplab_tf.errors import UserError


def recognise(source_dir: str, options: Sequence[str] = ()) -> tuple[str, str]:
    """Finds out what a folder is.

    Args:
      source_dir: the folder.
      options: that were given: it is a source that has them.

    Returns:
      The source's name, and the folder where it lies: the one given, or the only one
      in it, as archives are packed.

    Raises:
      UserError: no source, or more than one, recognises it.
    """
    if not source_dir:
        raise UserError(
            "--source_dir must name a folder; only --dataset=shapes needs none."
        )
    root = pathlib.Path(source_dir)
    contents = _unwrapped(read_contents(root))
    clues = _clues(contents)
    able = [name for name in clues if set(options) <= set(options_of(name))]
    found = [name for name, seen in clues.items() if all(seen.values())]
    found = [name for name in found if name in able] or found
    if options and not found:  # what was told may be what is not seen
        found = able[:1]
    exact = [name for name in found if not _generality(name)]
    found = exact or found[:1]
    if not found:
        raise _unrecognised(root, contents, clues)
    if len(found) > 1:
        kinds = " or ".join(f"--dataset={n} ({load(n).TITLE})" for n in found)
        raise UserError(f"{root}: may be several things; say which: {kinds}.")
    return found[0], str(contents.root)


def _unwrapped(contents: Contents) -> Contents:
    """Without the folders that archives put around everything."""
    top = {path.partition("/")[0] for path in contents.files}
    if len(top) == 1 and tells_nothing(min(top)):
        inner = contents.root / min(top)
        return _unwrapped(read_contents(inner)) if inner.is_dir() else contents
    return contents


def _clues(contents: Contents) -> dict[str, dict[str, bool]]:
    """The clues of every source that can be recognised; GENERAL ones come last."""
    able = [name for name in names() if hasattr(load(name), "clues")]
    able.sort(key=_generality)
    # What cannot be asked is not passed over: its labels would be.
    return {name: call(load(name).clues, {}, contents) for name in able}


def _generality(name: str) -> int:
    """How much else a source's clues fit: 0 for those that know their own."""
    return getattr(load(name), "GENERAL", 0)


def _unrecognised(
    root: pathlib.Path, contents: Contents, clues: Mapping[str, Mapping[str, bool]]
) -> UserError:
    def share(name: str) -> tuple[float, int]:
        """Of its clues that are there; the more general source is nearer."""
        seen = sum(clues[name].values()) / len(clues[name])
        return seen, _generality(name)

    nearest = sorted(clues, key=share, reverse=True)[:2]
    lines = []
    for name in nearest:
        lacks = [what for what, seen in clues[name].items() if not seen]
        lines.append(f"{name} ({load(name).TITLE}) lacks {', '.join(lacks)}")
    return UserError(
        f"{root}: is no layout that is known. It holds {_inventory(contents)}. "
        f"Nearest: {'; '.join(lines)}. Looked for: {', '.join(clues)}; docs/labels.md "
        "shows each."
    )


def _inventory(contents: Contents) -> str:
    """The kinds of files in a folder, in a few words."""
    endings: dict[str, int] = {}
    for path in contents.files:
        ending = pathlib.PurePath(path).suffix.lower() or "(no ending)"
        endings[ending] = endings.get(ending, 0) + 1
    most = sorted(endings.items(), key=lambda item: -item[1])[:4]
    top = sorted({path.split("/")[0] for path in contents.files if "/" in path})[:6]
    kinds = ", ".join(f"{count} {ending}" for ending, count in most) or "no files"
    return kinds + (f" in {', '.join(f'{name}/' for name in top)}" if top else "")
