"""Writes a run as a LiteRT file (.tflite) of fixed picture sizes.

The file appears only after it was loaded again and agrees with the Keras model;
OUTPUT.proof.json says how well. `unzip OUTPUT run.json` gives the run's settings.

Examples:
  python export/to_tflite.py --run_dir=runs/voc --output=voc.tflite
  python export/to_tflite.py --run_dir=runs/voc --output=voc.tflite \\
      --quantize=int8 --input_size=257,257 --output_type=labels --max_miou_drop=0.01
"""

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.errors import UserError
from deeplab_tf.export import exporting

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("output", None, "File to write, .tflite.", required=True)
absl_flags.DEFINE_list(
    "input_size",
    None,
    "height,width of the picture, several times for several signatures: "
    "257,257,513,513. Default: data.crop_size.",
)
absl_flags.DEFINE_enum(
    "output_type", "logits", ["logits", "probabilities", "labels"], "What it gives."
)
absl_flags.DEFINE_enum(
    "quantize",
    "none",
    ["none", "float16", "dynamic", "int8", "int16x8"],
    "float16: half the size. dynamic: int8 weights. int8: all of it, for integer "
    "hardware and fast CPUs. int16x8: int8 weights, activations of 16 bits.",
)
absl_flags.DEFINE_integer(
    "calibration_pictures",
    100,
    "Training pictures from which int8 and int16x8 take the ranges of activations.",
    lower_bound=1,
)


def main() -> None:
    """Parses, converts, compares."""
    output = exporting.output_file(".tflite")
    sizes = parse_sizes(FLAGS.input_size)
    run, model = exporting.load()
    from deeplab_tf.export import proof
    from deeplab_tf.export.tflite import converter
    from deeplab_tf.inference import exported

    def calibration(size):
        examples = proof.sample(
            run,
            FLAGS.calibration_pictures,
            run.config.data.train_split,
            FLAGS.dataset_dir,
        )
        fill = exported.border(run.to_dict(), run.info.channels)
        return [exported.fit(image, size, fill)[0] for image, _ in examples]

    height, width = run.config.data.crop_size
    content = converter.convert(
        model,
        run,
        sizes or [(height, width)],
        output_type=FLAGS.output_type,
        quantize=FLAGS.quantize,
        calibration=calibration,
    )
    exact = FLAGS.quantize == "none"
    with exporting.proven(output, run, model, exact=exact) as path:
        path.write_bytes(content)


def parse_sizes(values: list[str] | None) -> list[tuple[int, int]]:
    """Pairs of height,width of at least 33 pixels; none where no flag is given."""
    values = values or []
    numbers = [int(value) for value in values if value.isdigit() and int(value) >= 33]
    if len(numbers) != len(values) or len(values) % 2:
        raise UserError(
            "--input_size must be height,width of at least 33 pixels each; received "
            f"{','.join(values)!r}."
        )
    return list(zip(numbers[::2], numbers[1::2], strict=True))


if __name__ == "__main__":
    exporting.define_flags()
    cli.run(main)
