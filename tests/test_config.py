import dataclasses
import json

import pytest

from deeplab_tf.config import SCHEMA, Config, iterate_leaves, presets
from deeplab_tf.errors import UserError
from deeplab_tf.network import backbones


def test_json_round_trip():
    config = Config().replace(
        {"model.atrous_rates": [1, 2], "optimizer.weight_decay": None, "train.seed": 7}
    )
    text = json.dumps(config.to_dict())
    assert Config.from_dict(json.loads(text), "run.json") == config
    assert config.model.atrous_rates == (1, 2)


def test_every_leaf_has_help_text_and_survives_replacement():
    for section, field in iterate_leaves():
        assert field.metadata["help"].endswith((".", "!")), field.name
        name = f"{section}.{field.name}"
        assert Config().replace({name: Config().leaves()[name]}) == Config()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model.backbne", 1, "Did you mean 'model.backbone'?"),
        ("model.backbone", "xception_66", "Did you mean 'xception_65'?"),
        ("model.output_stride", 12, "8, 16, 32; received 12"),
        ("model.dropout", 1.0, "less than 1; received 1.0"),
        ("model.dropout", "0.1", "a valid number; received '0.1'"),
        (
            "model.atrous_rates",
            [6, "x"],
            "atrous_rates.1 must be a valid integer; received 'x'",
        ),
        ("model.decoder_strides", [4, 8], "descending"),
        ("model.dropout", float("nan"), "a finite number; received nan"),
        ("model.dense_prediction_cell", [{"op": "con"}], "Allowed: conv, pyramid"),
        ("data.crop_size", [513], "height,width"),
        ("augment.min_scale", 3.0, "at least augment.min_scale (3.0); received 2.0"),
        ("train.frozen_stride", 4, "0 without train.init_checkpoint"),
        ("train.steps", 0, "greater than 0; received 0"),
        ("train.steps", True, "a valid integer; received True"),
    ],
)
def test_wrong_values_are_refused_in_one_line(name, value, message):
    with pytest.raises(UserError) as caught:
        Config().replace({name: value})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema": SCHEMA + 1}, "schema must be"),
        ({"model": 3}, "model must be an object; received 3"),
        ({"modle": {"backbone": "x"}}, "unknown setting"),
        ({"train": {"batch": 3}}, "unknown setting 'train.batch'"),
    ],
)
def test_strange_json_names_its_file(values, message):
    with pytest.raises(UserError, match=r"here\.json: ") as caught:
        Config.from_dict(values, "here.json")
    assert message in str(caught.value)


def test_difference_lists_each_leaf_that_differs():
    other = Config().replace({"train.steps": 5, "model.output_stride": 8})
    assert Config().difference(other) == [
        "model.output_stride: 16 -> 8",
        f"train.steps: {Config().train.steps} -> 5",
    ]
    assert Config().difference(Config()) == []


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().train.steps = 3


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_are_valid(name):
    assert presets.get(name) != Config()
    assert presets.PRESETS[name].expects


@pytest.mark.parametrize("name", backbones.MODULES)
def test_every_backbone_has_a_spec(name):
    spec = backbones.get_spec(name)
    assert len(spec.mean) == 3
    assert spec.source


def test_unknown_backbone_lists_the_choices():
    with pytest.raises(UserError, match="mobilenet_v2"):
        backbones.get_spec("vgg")
