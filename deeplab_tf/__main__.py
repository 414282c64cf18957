"""Semantic segmentation with DeepLabv3+, from labelled images to a shipped model.

deeplab-tf COMMAND [--flags]
deeplab-tf COMMAND --help
"""

import runpy
import sys

from deeplab_tf import cli
from deeplab_tf.errors import unknown

# Name on the command line -> module and what it does, in the order of use.
COMMANDS = {
    "fit": ("fit", "a folder of labelled images -> a trained, proven, exported model"),
    "convert": ("commands.convert", "labelled images -> audited TFRecord shards"),
    "browse": ("commands.browse", "a page that shows a converted data set"),
    "describe": ("commands.describe", "dataset.json for TFRecords of others"),
    "train": ("train", "shards -> a run folder"),
    "eval": ("eval", "mIoU, boundaries and calibration of a run or an export"),
    "vis": ("vis", "masks and overlays of images or films"),
    "suggest": ("suggest", "the images that are worth labelling next, pre-labelled"),
    "review": ("review", "a page of labels that may be wrong, to decide on"),
    "report": ("report", "a page about a run, or several side by side"),
    "explore": ("explore", "what accuracy costs: strides, scales, flip"),
    "export": ("commands.export", "SavedModel, TFLite, ONNX or .keras of a run"),
    "web": ("commands.web", "a page that runs a run's network in the browser"),
    "import": ("import_tf1", "a run folder of a released TensorFlow 1 model"),
    "runs": ("commands.runs", "the runs in a folder, side by side"),
    "sweep": ("commands.sweep", "a run for each point of a grid of settings"),
    "launch": ("launch", "several worker processes on this machine"),
    "recalibrate": ("recalibrate", "batch norm statistics of a run, anew"),
}


def main() -> None:
    """Runs the command that is named first."""
    cli.open_standard_streams()
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        cli.guard(lambda: print(usage()))
        raise SystemExit(0 if arguments else 1)
    name, *rest = arguments
    if name not in COMMANDS:
        cli.stop(str(unknown("command", name, COMMANDS)))
    module = f"deeplab_tf.{COMMANDS[name][0]}"
    sys.argv = [f"deeplab-tf {name}", *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def usage() -> str:
    """The commands, one a line."""
    lines = [f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items()]
    return f"{__doc__}\n" + "\n".join(lines)


if __name__ == "__main__":
    main()
