"""What export/README.md says of every file, checked on the file itself."""

from typing import Any

from deeplab_tf.errors import UserError
from deeplab_tf.export.tflite import inspection
from deeplab_tf.inference.exported import Export
from deeplab_tf.runs import Run

# The outputs that the formats of any size give; that of a .tflite is an option.
_OUTPUTS = {
    "SavedModel": {"labels", "probabilities", "logits"},
    "ONNX": {"labels", "logits"},
    "Keras": {"logits"},
}


def require(export: Export, run: Run, options: Any) -> None:
    """Raises UserError unless the export is what its users are told that it is."""
    runner = export.runner
    promised = {
        "run.json": (export.run, run.to_dict()),
        "channels": (runner.channels, run.info.channels),
    }
    if export.format in _OUTPUTS:
        promised["outputs"] = ({*runner.names}, _OUTPUTS[export.format])
    else:
        promised["outputs"] = ({*runner.names}, {options.output_type})
        if options.sizes:
            promised["sizes"] = ({*runner.sizes}, {*options.sizes})
    wrong = [name for name, (found, told) in promised.items() if found != told]
    if export.format == "TFLite":
        content = export.path.read_bytes()
        wrong += inspection.broken_promises(
            content, options.output_type, options.quantize
        )
    if wrong:
        raise UserError(
            f"the {export.format} file was not written, for it is not what "
            f"export/README.md says: {', '.join(wrong)}."
        )
