"""The last table of `make demo`: what a run scores, and whether its exports agree.

Example:
  python benchmarks/agreement.py --run_dir=demo/run --saved_model=demo/saved_model \\
      --tflite=demo/model.tflite --pictures=demo/pictures
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags

from deeplab_tf import cli, files

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("saved_model", None, "Folder of a SavedModel.")
absl_flags.DEFINE_string("tflite", None, "A .tflite file.")
absl_flags.DEFINE_string("pictures", None, "Folder that vis has drawn.")
absl_flags.DEFINE_integer("limit", 20, "Pictures to compare.", lower_bound=1)
absl_flags.DEFINE_bool("json", False, "Print JSON instead of a table.")


def main() -> None:
    cli.import_tensorflow()
    paths = [path for path in (FLAGS.saved_model, FLAGS.tflite) if path]
    result = measure(FLAGS.run_dir, paths, FLAGS.limit)
    if FLAGS.pictures:
        drawn = sorted(pathlib.Path(FLAGS.pictures).glob("overlays/*.png"))
        result["pictures"] = [str(path) for path in drawn[:4]]
    print(json.dumps(result, indent=2) if FLAGS.json else table(result))


def measure(run_dir: str, paths: Sequence[str], limit: int) -> dict[str, Any]:
    """What the run scores, and how many pixels of each export are as in Keras."""
    from deeplab_tf import runs
    from deeplab_tf.export import proof
    from deeplab_tf.export.agreement import compare
    from deeplab_tf.inference import exported

    run = runs.open_run(run_dir)
    model = runs.load_model(run)
    examples = proof.sample(run, limit)
    result = {"run_dir": run_dir, **scores(run), "exports": {}}
    for path in paths:
        opened = exported.open_export(path)
        agreement = compare(model, opened, examples, run.info)
        result["exports"][path] = {
            "format": opened.format,
            "num_bytes": opened.num_bytes,
            "pixel_agreement": agreement.pixel_agreement,
            "max_difference": agreement.max_difference,
            "num_pictures": agreement.num_pictures,
        }
    return result


def scores(run: Any) -> dict[str, Any]:
    """mIoU on the run's evaluation split, as the eval command has written it."""
    split = run.config.data.eval_split
    path = run.path / "eval" / f"{split}.json"
    if not path.exists():
        return {}
    evaluation = files.read_json(path, "run the eval command anew.")
    return {"split": split, "miou": evaluation["miou"]}


def table(result: dict[str, Any]) -> str:
    rows = [("run", result["run_dir"])]
    if "miou" in result:
        rows.append((f"mIoU on {result['split']}", f"{result['miou']:.4f}"))
    for path, export in result["exports"].items():
        rows.append((f"{export['format']}, {export['num_bytes'] / 1e6:.1f} MB", path))
        rows.append(
            (
                "  pixels as in Keras",
                f"{export['pixel_agreement']:.4%} of {export['num_pictures']} pictures",
            )
        )
    rows += [("pictures to look at", path) for path in result.get("pictures", [])]
    return "\n".join(f"{name:<24} {value}" for name, value in rows)


if __name__ == "__main__":
    cli.define_run_dir()
    cli.run(main)
