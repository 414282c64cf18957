"""Options of what is done with a run, and their flags."""

import dataclasses
import os
import subprocess
import sys

import pytest
from conftest import ROOT

from deeplab_tf.config import options
from deeplab_tf.errors import UserError

KINDS = [
    options.EvaluateOptions,
    options.DrawOptions,
    options.SuggestOptions,
    options.ReviewOptions,
    options.ExploreOptions,
    options.ReportOptions,
    options.SavedModelOptions,
    options.TFLiteOptions,
    options.WebOptions,
]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (
            options.PredictOptions,
            {"tile_size": 64},
            "--tile_size must be greater than or equal",
        ),
        (options.PredictOptions, {"output_stride": 12}, "--output_stride must be 8"),
        (options.PredictOptions, {"scales": ()}, "--scales must be numbers"),
        (
            options.PredictOptions,
            {"scales": (1.0, 0.0)},
            "--scales.1 must be greater than 0",
        ),
        (options.PredictOptions, {"checkpoint": "first"}, "--checkpoint"),
        (
            options.DrawOptions,
            {"kinds": ("mask",)},
            "unknown --kinds.0 .mask.. Did you mean .masks",
        ),
        (options.ExploreOptions, {"scales": ((),)}, "--scales.0 must be numbers"),
        (options.ExploreOptions, {"output_strides": (8, 9)}, "--output_strides"),
        (options.TFLiteOptions, {"input_size": (65,)}, "--input_size must be height"),
        (options.TFLiteOptions, {"input_size": (65, 32)}, "of at least 33 pixels"),
        (options.ExportOptions, {"check_pictures": 0}, "--check_pictures"),
    ],
)
def test_what_is_not_allowed_is_told_as_a_flag(kind, values, message):
    with pytest.raises(UserError, match=message):
        kind(**values)


def test_sizes_are_pairs():
    given = options.TFLiteOptions(input_size=(257, 129, 65, 33))
    assert given.sizes == [(257, 129), (65, 33)]
    assert options.TFLiteOptions().sizes == []


CODE = """
import sys
from absl import flags
from deeplab_tf.config import options, setting_flags
kind = getattr(options, sys.argv[1])
setting_flags.define_options(kind)
flags.FLAGS(sys.argv[1:])
print(repr(setting_flags.options_from_flags(kind)))
assert "tensorflow" not in sys.modules
"""


def from_flags(kind, *flags):
    environment = {**os.environ, "PYTHONPATH": os.fspath(ROOT)}
    command = [sys.executable, "-c", CODE, kind.__name__, *flags]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_flags_give_what_python_gives():
    given = from_flags(
        options.ExploreOptions,
        *("--scales=0.5", "--scales=0.75,1", "--noflip", "--size=65,97"),
    )
    expected = options.ExploreOptions(
        scales=((0.5,), (0.75, 1.0)), flip=False, size=(65, 97)
    )
    assert given == repr(expected)
    given = from_flags(
        options.EvaluateOptions,
        *("--flip", "--nodetails", "--output_stride=8", "--checkpoint=latest"),
        *("--split=none", "--scales=1,1.5", "--batch_size=2"),
    )
    expected = options.EvaluateOptions(
        flip=True,
        details=False,
        output_stride=8,
        checkpoint="latest",
        scales=(1.0, 1.5),
        batch_size=2,
    )
    assert given == repr(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_a_flag(kind):
    """Without flags the options are the defaults, whatever their kind."""
    assert from_flags(kind) == repr(kind())
    assert all(field.metadata["help"] for field in dataclasses.fields(kind))
