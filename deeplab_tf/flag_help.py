"""What --help shows: the flags of a command under their headings."""

import shutil
import textwrap

from absl import flags

FLAGS = flags.FLAGS

# Flag -> heading of its group in --help, and whether --help shows it or --helpfull
# alone. Flags without one are the command's own.
_GROUPS: dict[str, tuple[str, bool]] = {}
_OWN = "The command itself."


def group(name: str, heading: str, *, shown: bool = True) -> None:
    """Sets the heading above a flag, and whether it is shown by --helpfull alone."""
    _GROUPS[name] = heading, shown


def write(doc: str, *, full: bool) -> str:
    """The command's own text, and its flags under their headings."""
    groups: dict[str, list[str]] = {_OWN: []}
    absls: list[str] = []
    hidden = 0
    for name in FLAGS:
        flag = FLAGS[name]
        if str(FLAGS.find_module_defining_flag(name)).startswith("absl."):
            absls += [_describe(flag)] if name == flag.name else []  # no short name
            continue
        heading, shown = _GROUPS.get(name, (_OWN, True))
        hidden += not (shown or full)
        if shown or full:
            groups.setdefault(heading, []).append(_describe(flag))
    groups |= {"What absl gives every command.": absls} if full else {}
    parts = [doc.strip(), *("\n".join([h, *lines]) for h, lines in groups.items())]
    parts += [f"--helpfull shows {hidden} more flags."] if hidden else []
    return "\n\n".join(parts)


def _describe(flag: flags.Flag) -> str:
    """A flag, what it does, its choices and its default."""
    choices = getattr(flag.parser, "enum_values", ())
    text = flag.help or ""
    text = text.partition(">: ")[2] if choices else text
    first, *others = text.strip().split("\n")
    if choices:
        first += f" One of {', '.join(choices)}."
    if flag.default not in (None, "", []):
        default = str(flag.default_as_str).strip("'")
        first += f" Default: {default}."
    name = f"  --{'[no]' if flag.boolean else ''}{flag.name}: "
    width = max(50, min(shutil.get_terminal_size().columns, 100))
    wrap = textwrap.TextWrapper(
        width, subsequent_indent=" " * 6, break_on_hyphens=False, break_long_words=False
    )
    return "\n".join(
        map(wrap.fill, [name + first, *(" " * 6 + o.strip() for o in others)])
    )
