"""Writes an export, which gets its name only once it is proven."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from deeplab_tf import files, runs
from deeplab_tf.config.options import EXPORTS, ExportOptions
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.export import keras_file, onnx_file, proof, saved_model
from deeplab_tf.export.tflite import converter, sizes
from deeplab_tf.export.web import site
from deeplab_tf.files import Json
from deeplab_tf.inference import exported
from deeplab_tf.runs import Run

Options = Any  # of the kind that config.options.EXPORTS has for the format
Writer = Callable[[keras.Model, Run, pathlib.Path, Options], None]


@dataclasses.dataclass(frozen=True)
class Format:
    """How a format is written.

    Attributes:
      suffix: of its file; empty: it is a folder.
      write: writes the model to a path as the options want it.
      model: the file inside of the folder that holds the model; empty: the export is
        opened as it is.
      mark: a file by which a folder is known, and may be replaced.
    """

    suffix: str
    write: Writer
    model: str = ""
    mark: str = ""


def write(
    run: Run,
    format: str,
    path: str | os.PathLike[str],
    options: ExportOptions | None = None,
) -> Json:
    """Writes a run in a format, proves it against Keras, and says how good it is.

    Args:
      run: the run.
      format: "saved_model", "tflite", "onnx", "keras" or "web".
      path: the file, or the folder of a SavedModel or a page. It appears once the
        export is proven; what stood there before stays otherwise.
      options: of the format's kind in `config.options.EXPORTS`; None: its defaults.

    Returns:
      What PATH.proof.json holds: see `proof.report`.

    Raises:
      UserError: the path or an option does not suit the format, or the export is worse
        than Keras; then nothing is written.

    Example:
      >>> run = runs.open_run("runs/voc")
      >>> write(run, "tflite", "voc.tflite", TFLiteOptions(quantize="int8"))
    """
    if format not in FORMATS:
        raise unknown("export format", format, FORMATS)
    options = options or EXPORTS[format]()
    if not isinstance(options, EXPORTS[format]):
        raise UserError(
            f"the options of {format} must be {EXPORTS[format].__name__}; received "
            f"{type(options).__name__}."
        )
    output = _output(pathlib.Path(path), FORMATS[format])
    files.check_writable(output.parent, "give another place to write to.")
    model = runs.load_model(
        run, output_stride=options.output_stride, checkpoint=options.checkpoint
    )
    with files.replacing(output) as temporary:
        FORMATS[format].write(model, run, temporary, options)
        written = temporary / FORMATS[format].model
        report = proof.prove(written, output, model, run, options)
    files.write_json(f"{output}.proof.json", report)
    return report


def _output(path: pathlib.Path, format: Format) -> pathlib.Path:
    """The path, which must suit the format."""
    suffix = format.suffix
    if suffix and (path.suffix != suffix or path.is_dir()):
        raise UserError(f"--output must be a file FILE{suffix}; received {path}.")
    if not suffix and path.exists() and not (path / format.mark).exists():
        raise UserError(
            f"--output_dir={path} exists and is no earlier export: it has no "
            f"{format.mark}."
        )
    return path


def _saved_model(
    model: keras.Model, run: Run, path: pathlib.Path, options: Options
) -> None:
    saved_model.save(
        model,
        run,
        path,
        scales=options.scales,
        flip=options.flip,
        max_pixels=options.max_pixels,
    )


def _convert(
    model: keras.Model, run: Run, options: Options, taken: Sequence[exported.Size]
) -> bytes:
    """The content of a .tflite file that takes images of some sizes."""

    def calibration(size: exported.Size) -> list[np.ndarray]:
        examples = proof.sample(
            run,
            options.calibration_pictures,
            run.config.data.train_split,
            options.dataset_dir,
        )
        fill = exported.border(run.to_dict(), run.info.channels)
        return [exported.fit(image, size, fill)[0] for image, _ in examples]

    return converter.convert(
        model,
        run,
        taken,
        output_type=options.output_type,
        quantize=options.quantize,
        calibration=calibration,
    )


def _tflite(model: keras.Model, run: Run, path: pathlib.Path, options: Options) -> None:
    taken = options.sizes or [sizes.default(run, options)]
    path.write_bytes(_convert(model, run, options, taken))


def _web(model: keras.Model, run: Run, path: pathlib.Path, options: Options) -> None:
    site.check(run)
    (size,) = options.sizes or [sizes.default(run, options)]
    content = _convert(model, run, options, [size])
    site.save(content, run, path, size=size, quantize=options.quantize)


def _onnx(model: keras.Model, run: Run, path: pathlib.Path, options: Options) -> None:
    path.write_bytes(onnx_file.convert(model, run))


def _keras(model: keras.Model, run: Run, path: pathlib.Path, options: Options) -> None:
    keras_file.save(model, run, path)


FORMATS: Mapping[str, Format] = {
    "saved_model": Format("", _saved_model, mark="saved_model.pb"),
    "tflite": Format(".tflite", _tflite),
    "onnx": Format(".onnx", _onnx),
    "keras": Format(".keras", _keras),
    "web": Format("", _web, model=site.MODEL_FILE, mark=site.MARK),
}
