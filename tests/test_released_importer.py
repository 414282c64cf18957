"""Released models become runs: every family, every variable, and what is refused."""

import json
import tarfile

import numpy as np
import pytest
import released_variables
from released_variables import Variables

from deeplab_tf import files, runs
from deeplab_tf.data import dataset_info
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.network.backbones import MODULES
from deeplab_tf.released import checkpoints, importer, zoo

RATES = (6, 12, 18)
LARGE = [
    name
    for name in MODULES
    if name.endswith(("65", "71")) or "50" in name or "101" in name
]


def released(name, *, classes=21, multiplier=1.0, cell=False, **head):
    variables = Variables()
    cin, tap = released_variables.backbone(variables, name, multiplier)
    if cell:
        released_variables.cell_head(variables, cin, tap, classes)
    else:
        released_variables.head(variables, cin, tap, classes, **head)
    return variables


def imported(variables, folder, given=None, extra=None):
    """Writes the checkpoint, imports it; returns the run and the values by path."""
    tensors = released_variables.fill(variables)
    path = released_variables.write(folder / "model.ckpt", {**tensors, **(extra or {})})
    run = importer.import_model(
        checkpoints.read(path), str(folder / "run"), given or {}
    )
    values = {ours: tensors[theirs] for theirs, (ours, _) in variables.items()}
    return run, values


def assert_equal_weights(run, values):
    model = runs.load_model(run)
    assert {variable.path for variable in model.weights} == set(values)
    for variable in model.weights:
        np.testing.assert_array_equal(variable, values[variable.path])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in LARGE else ())
        for name in MODULES
    ],
)
def test_every_backbone_round_trips(name, tmp_path):
    variables = released(name, rates=RATES, decoder=True)
    run, values = imported(variables, tmp_path)
    model = run.config.model
    assert (model.backbone, model.atrous_rates) == (name, RATES)
    assert (model.decoder_strides, model.low_level_channels) == ((4,), 48)
    assert (run.info.name, run.info.num_classes) == ("voc2012", 21)
    assert_equal_weights(run, values)


@pytest.mark.parametrize("multiplier", [0.35, 0.5, 1.4])
def test_multiplier_of_mobilenet_is_recognised(multiplier, tmp_path):
    variables = released("mobilenet_v2", multiplier=multiplier)
    run, values = imported(variables, tmp_path)
    assert run.config.model.depth_multiplier == multiplier
    assert run.config.model.atrous_rates == run.config.model.decoder_strides == ()
    assert_equal_weights(run, values)


def test_plain_convolutions_and_widths_are_recognised(tmp_path):
    variables = released(
        "resnet_18_beta", rates=RATES, decoder=True, separable=False, width=64
    )
    run, values = imported(variables, tmp_path)
    model = run.config.model
    assert (model.aspp_separable, model.decoder_separable) == (False, False)
    assert (model.aspp_channels, model.decoder_channels) == (64, 64)
    assert_equal_weights(run, values)


def test_dense_prediction_cell_is_recognised(tmp_path):
    variables = released("mobilenet_v2", classes=19, cell=True)
    run, values = imported(variables, tmp_path)
    assert run.config.model.context == "dense_prediction_cell"
    assert run.info.name == "cityscapes"
    assert run.config.model.padded_size == (1025, 2049)
    assert_equal_weights(run, values)


@pytest.mark.parametrize("name", ["resnet_50_beta", "resnet_50"])
def test_unit_rates_of_beta_weights(name):
    variables = Variables()
    released_variables.backbone(variables, name)
    released_variables.head(variables, 2048, 256, 21)
    config, _ = importer.settings(as_read(variables), {})
    beta = name.endswith("beta")
    assert config.model.multi_grid == ((1, 2, 4) if beta else ())


def test_averages_are_preferred_and_the_rest_is_left_out_by_rule(tmp_path):
    variables = released("mobilenet_v2", multiplier=0.25)
    averaged = "MobilenetV2/Conv/weights"
    _, shape = variables[averaged]
    average = np.full(shape, 2.5, np.float32)
    extra = {
        "global_step": np.int64(30000),
        "aspp0/weights/Momentum": np.zeros(3, np.float32),
        f"{averaged}/ExponentialMovingAverage": average,
        "MobilenetV2/Conv_1/weights": np.zeros((1, 1, 80, 8), np.float32),
        "MobilenetV2/Logits/Conv2d_1c_1x1/biases": np.zeros(5, np.float32),
    }
    run, values = imported(variables, tmp_path, extra=extra)
    values["mobilenet_v2.conv/kernel"] = average
    assert_equal_weights(run, values)
    told = json.loads((run.path / "run.json").read_text())["provenance"]["imported"]
    assert set(told["ignored"]) == (set(extra) | {averaged}) - {
        f"{averaged}/ExponentialMovingAverage"
    }


def as_read(variables, source="model.ckpt"):
    """What reading a checkpoint of the variables gives."""
    tensors = released_variables.fill(variables)
    return checkpoints.Released(source=source, tensors=tensors)


def test_flags_override_what_was_recognised():
    given = {"model.output_stride": 8, "model.padded_size": ()}
    checkpoint = as_read(released("mobilenet_v2", multiplier=0.25))
    config, _ = importer.settings(checkpoint, {})
    assert (config.model.output_stride, config.model.padded_size) == (16, (513, 513))
    config, _ = importer.settings(checkpoint, given)
    assert (config.model.output_stride, config.model.padded_size) == (8, ())


def test_the_zoo_tells_what_the_variables_do_not(tmp_path, monkeypatch):
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path / "cache"))
    name = "zoo:mobilenetv2_ade20k_train"
    variables = released("mobilenet_v2", classes=151, multiplier=0.25)
    prefix = released_variables.write(
        tmp_path / "model.ckpt", released_variables.fill(variables)
    )
    (tmp_path / "cache").mkdir()
    with tarfile.open(tmp_path / "cache" / zoo.get(name).archive, "w:gz") as file:
        for ending in (".index", ".data-00000-of-00001"):
            file.add(prefix + ending, f"model/model.ckpt{ending}")
    config, info = importer.settings(importer.fetch(name), {})
    assert info.name == "ade20k"
    assert config.model.padded_size == (257, 257)


def test_a_data_set_gives_the_names(tmp_path):
    names = tuple(f"thing {number}" for number in range(7))
    dataset_info.save(DatasetInfo(name="things", class_names=names), tmp_path)
    variables = released("mobilenet_v2", classes=7, multiplier=0.25)
    given = {"data.dataset_dir": str(tmp_path)}
    config, info = importer.settings(as_read(variables), given)
    assert info.class_names == names
    assert config.model.padded_size == ()
    _, unknown = importer.settings(as_read(variables), {})
    assert unknown.class_names[:2] == ("class_0", "class_1")


def broken(change):
    """The variables of a small model with one change, as read from a file."""
    checkpoint = as_read(released("mobilenet_v2", multiplier=0.25))
    change(checkpoint.tensors)
    return checkpoint


def rename(tensors, old, new):
    tensors[new] = tensors.pop(old)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("aspp0/BatchNorm/beta"), "lacks aspp0/BatchNorm/beta"),
        (
            lambda t: t.update({"aspp0/biases": np.zeros(3)}),
            "has aspp0/biases besides",
        ),
        (
            lambda t: t.update({"aspp0/weights": np.zeros((1, 1, 80, 9))}),
            r"aspp0/weights is \[1, 1, 80, 9\] instead of \[1, 1, 80, 256\]",
        ),
        (
            lambda t: rename(t, "concat_projection/weights", "decoder/weights"),
            "head has no concat_projection",
        ),
    ],
)
def test_unfitting_variables_are_named(change, words, tmp_path):
    with pytest.raises(UserError, match=words):
        importer.import_model(broken(change), str(tmp_path / "run"), {})
    assert not (tmp_path / "run").exists()


def test_a_detection_model_is_refused():
    tensors = {"FeatureExtractor/MobilenetV2/Conv/weights": np.zeros((3, 3, 3, 32))}
    checkpoint = checkpoints.Released(source="ssd.ckpt", tensors=tensors)
    with pytest.raises(UserError, match=r"ssd\.ckpt: is no released DeepLab model.*Fe"):
        importer.settings(checkpoint, {})


def test_a_backbone_alone_says_what_it_is_good_for():
    variables = Variables()
    released_variables.backbone(variables, "resnet_18_beta")
    with pytest.raises(UserError, match=r"--train.init_checkpoint=r\.ckpt"):
        importer.settings(as_read(variables, "r.ckpt"), {})


def test_a_run_is_not_overwritten(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="holds a run already"):
        importer.import_model(broken(lambda tensors: None), str(tmp_path), {})


def test_data_set_of_other_classes_is_refused(tmp_path):
    dataset_info.save(DatasetInfo(name="two", class_names=("a", "b")), tmp_path)
    with pytest.raises(UserError, match="has 21 classes, but the data set 'two'"):
        importer.settings(
            broken(lambda tensors: None), {"data.dataset_dir": str(tmp_path)}
        )
