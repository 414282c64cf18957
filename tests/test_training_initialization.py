"""Starting from other weights: what is taken, what is not, and that it is told."""

import dataclasses
import json
import re

import h5py
import keras
import numpy as np
import pytest
import released_variables
import tiny_run

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.files import CACHE_VARIABLE
from deeplab_tf.network.deeplab import build_model, fit_input_channels
from deeplab_tf.released import variable_names, zoo
from deeplab_tf.training import initialization, loop, weight_sources

OTHERS = DatasetInfo(name="others", class_names=tuple("abcde"))


def odd_folder(tmp_path_factory):
    """Its name means something to glob."""
    folder = tmp_path_factory.mktemp("files") / "[exp] 1*\\"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.open_run(str(tiny_run.write(odd_folder(tmp_path_factory))))


@pytest.fixture(scope="module")
def trained(run):
    return runs.load_model(run)


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
    folder = odd_folder(tmp_path_factory)
    trained.save(folder / "model.keras")
    trained.save_weights(folder / "model.weights.h5")
    return folder


def values(model):
    return {v.path: np.asarray(v) for v in model.weights}


def fresh(run, info=None, settings=None):
    keras.utils.set_random_seed(9)
    config = run.config.replace(settings or {})
    info = info or run.info
    model = build_model(config.model, info.num_classes, channels=info.channels)
    return model, config, info


def test_run_folder_gives_every_weight(run, trained):
    model, config, info = fresh(run)
    listing = initialization.initialize(model, str(run.path), config, info)
    want = values(trained)
    assert listing.loaded == tuple(want)
    assert not listing.skipped
    assert not listing.unused
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, want[path])


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_keras_files_go_by_layer_names(run, trained, files, name):
    """Without the decoder the places of the layers in the file are other ones."""
    model, config, info = fresh(run, settings={"model.decoder_strides": ()})
    listing = initialization.initialize(model, str(files / name), config, info)
    want = values(trained)
    assert not listing.skipped
    assert {path.split(".")[0] for path in listing.unused} == {"decoder"}
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, want[path])


def test_other_number_of_classes_keeps_its_own_classifier(run, trained):
    model, config, info = fresh(run, OTHERS)
    before, want = values(model), values(trained)
    listing = initialization.initialize(model, str(run.path), config, info)
    assert set(listing.skipped) == {"logits/kernel", "logits/bias"}
    assert "source has 3 classes instead of 5: logits/kernel" in str(listing)
    for path, value in values(model).items():
        expected = before if path in listing.skipped else want
        np.testing.assert_array_equal(value, expected[path])


def test_other_names_of_as_many_classes_keep_their_own_classifier(run):
    info = dataclasses.replace(run.info, class_names=("sky", "road", "car"))
    model, config, info = fresh(run, info)
    listing = initialization.initialize(model, str(run.path), config, info)
    assert set(listing.skipped.values()) == {"the source has other classes"}


def test_a_data_set_that_grew_keeps_its_classes_by_name(run, trained):
    """In another order, and with one more, which begins as likely as the others."""
    old = run.info.class_names
    names = (old[2], "new", old[0], old[1])
    info = DatasetInfo(name="grown", class_names=names)
    model, config, info = fresh(run, info)
    listing = initialization.initialize(model, str(run.path), config, info)
    assert not listing.skipped
    assert listing.adapted["logits/bias"] == "3 of 4 classes by name, new: new"
    picture = np.float32(tiny_run.pictures(65, 80))
    logits, want = (np.asarray(m(picture, training=False)) for m in (model, trained))
    np.testing.assert_allclose(logits[..., [2, 3, 0]], want, atol=1e-5)
    bias, kernel = (values(model)[f"logits/{part}"] for part in ("bias", "kernel"))
    np.testing.assert_allclose(bias[1], bias[[0, 2, 3]].mean(), atol=1e-6)
    assert 0 < np.abs(kernel[..., 1] - kernel[..., [0, 2, 3]].mean(-1)).max() < 0.03


def test_few_classes_in_common_are_taken_for_others(run):
    names = (run.info.class_names[0], "b", "c", "d")
    info = DatasetInfo(name="others", class_names=names)
    model, config, info = fresh(run, info)
    listing = initialization.initialize(model, str(run.path), config, info)
    assert set(listing.skipped) == {"logits/kernel", "logits/bias"}


def released(run, tmp_path, names=lambda name: True):
    """A TF1 checkpoint of random values for the run's model; path and values."""
    model, config, _ = fresh(run)
    variables = variable_names.released_variables(model, config.model)
    rng = np.random.default_rng(3)
    tensors = {
        name: rng.random(tuple(variable.shape), np.float32)
        for name, variable in variables.items()
        if names(name)
    }
    path = released_variables.write(tmp_path / "model.ckpt", tensors)
    return path, {variables[name].path: value for name, value in tensors.items()}


def test_released_checkpoint_gives_every_weight(run, tmp_path):
    path, want = released(run, tmp_path)
    model, config, info = fresh(run)
    listing = initialization.initialize(model, path, config, info)
    assert not listing.skipped
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, want[name])


def test_released_backbone_alone_leaves_the_head(run, tmp_path):
    path, want = released(run, tmp_path, lambda name: name.startswith("Mobilenet"))
    model, config, info = fresh(run)
    listing = initialization.initialize(model, path, config, info)
    assert set(listing.loaded) == set(want)
    assert {name.split(".")[0].split("/")[0] for name in listing.skipped} == {
        "aspp",
        "decoder",
        "logits",
    }


def test_new_run_starts_from_the_weights_and_keeps_the_listing(
    shallow_resnet, tmp_path
):
    run = runs.open_run(str(tiny_run.write(tmp_path / "old", tiny_run.FEW_LAYERS)))
    settings = {
        "data.crop_size": (33, 33),
        "optimizer.learning_rate": 1e-12,
        "train.init_checkpoint": str(run.path),
        "train.steps": 1,
        "train.batch_size": 2,
        "train.eval_steps": 0,
    }
    config = run.config.replace(settings)
    loop.train(config, str(tmp_path / "new"))
    told = json.loads((tmp_path / "new" / initialization.FILE_NAME).read_text())
    want = values(runs.load_model(run))
    assert (told["skipped"], set(told["loaded"])) == ({}, set(want))
    model = runs.load_model(runs.open_run(str(tmp_path / "new")))
    for name, value in values(model).items():
        if "moving" not in name:
            np.testing.assert_allclose(value, want[name], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_input_channels_adapt_the_first_kernel(run, trained, channels):
    model, config, info = fresh(run, dataclasses.replace(run.info, channels=channels))
    listing = initialization.initialize(model, str(run.path), config, info)
    first = "mobilenet_v2.conv/kernel"
    assert list(listing.adapted) == [first]
    assert f"3 input channels made to fit {channels}" in str(listing)
    want = fit_input_channels(values(trained)[first], channels)
    np.testing.assert_array_equal(values(model)[first], want)


def test_new_parts_keep_their_initial_values(run):
    model, config, info = fresh(run, settings={"model.atrous_rates": (2, 5)})
    listing = initialization.initialize(model, str(run.path), config, info)
    assert all("atrous_5" in path for path in listing.skipped)
    assert set(listing.skipped.values()) == {"the source lacks them"}
    assert all("atrous_3" in path for path in listing.unused)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model.depth_multiplier": 0.5}, "shapes differ: mobilenet_v2.conv/kernel"),
        (
            {"model.backbone": "mobilenet_v3_small", "model.depth_multiplier": 1.0},
            "source lacks them: mobilenet_v3_small.conv/kernel",
        ),
    ],
)
def test_another_backbone_is_refused(run, settings, words):
    model, config, info = fresh(run, settings=settings)
    before = values(model)
    with pytest.raises(UserError, match=words):
        initialization.initialize(model, str(run.path), config, info)
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, before[path])


@pytest.mark.parametrize("name", ["nothing.keras", "cut.keras", "cut.weights.h5"])
def test_damaged_file_is_named(run, files, tmp_path, name):
    if name.startswith("cut"):
        whole = files / name.replace("cut", "model")
        (tmp_path / name).write_bytes(whole.read_bytes()[:5000])
    model, config, info = fresh(run)
    with pytest.raises(UserError, match=name):
        initialization.initialize(model, str(tmp_path / name), config, info)


def test_new_atrous_branches_begin_without_weight(run, tmp_path):
    """A released MobileNetV2 has none; with them the first output is the same."""
    alone = {"model.atrous_rates": (), "model.decoder_strides": ()}
    old, config, info = fresh(run, settings=alone)
    tiny_run.randomize(old)
    old.save(tmp_path / "old.keras")
    model, config, info = fresh(run, settings={"model.decoder_strides": ()})
    source = str(tmp_path / "old.keras")
    listing = initialization.initialize(model, source, config, info)
    assert "aspp.projection/kernel: 32 inputs of new branches begin at 0" in str(
        listing
    )
    assert all("atrous_" in path for path in listing.skipped)
    picture = np.float32(tiny_run.pictures(65, 80))
    logits, want = (np.asarray(m(picture, training=False)) for m in (model, old))
    np.testing.assert_allclose(logits, want, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("separable", [True, False])
def test_a_new_decoder_begins_by_passing_its_map_on(run, tmp_path, separable):
    old, config, info = fresh(run, settings={"model.decoder_strides": ()})
    tiny_run.randomize(old)
    old.save(tmp_path / "old.keras")
    settings = {
        "model.decoder_strides": (8, 4),
        "model.decoder_channels": config.model.aspp_channels,
        "model.decoder_separable": separable,
    }
    model, config, info = fresh(run, settings=settings)
    source = str(tmp_path / "old.keras")
    listing = initialization.initialize(model, source, config, info)
    assert "decoder.stride_4.conv_2" in str(listing)
    picture = np.float32(tiny_run.pictures(65, 80))
    logits, want = (np.asarray(m(picture, training=False)) for m in (model, old))
    np.testing.assert_allclose(logits, want, atol=1e-4 * np.abs(want).max())


def test_a_narrower_decoder_keeps_its_random_kernels(run, tmp_path):
    old, config, info = fresh(run, settings={"model.decoder_strides": ()})
    old.save(tmp_path / "old.keras")
    narrow = {
        "model.decoder_strides": (4,),
        "model.decoder_channels": config.model.aspp_channels // 2,
    }
    model, config, info = fresh(run, settings=narrow)
    source = str(tmp_path / "old.keras")
    assert not initialization.initialize(model, source, config, info).adapted


def test_branches_are_not_mistaken_for_others(run, tmp_path):
    """Without the image's mean the first inputs are other ones."""
    alone = {"model.atrous_rates": (), "model.image_pooling": False}
    old, *_ = fresh(run, settings=alone)
    old.save(tmp_path / "old.keras")
    model, config, info = fresh(run)
    source = str(tmp_path / "old.keras")
    listing = initialization.initialize(model, source, config, info)
    assert not listing.adapted
    assert listing.skipped["aspp.projection/kernel"] == "their shapes differ"


@pytest.mark.parametrize(
    ("cached", "dataset", "source", "told"),
    [
        ([], "mine", "", "mIoU 0.29 instead of 0.43.*voc_trainaug fetches 23 MB"),
        (["coco_voc_trainaug", "ade20k_train"], "mine", "coco_voc_trainaug", "takes"),
        (["ade20k_train"], "mine", "ade20k_train", "voc_trainaug fetches a better"),
        (["ade20k_train"], "ade20k", "ade20k_train", "takes"),
        (["coco_voc_trainval"], "mine", "coco_voc_trainval", "takes"),
        # It has seen what a run on VOC is scored on.
        (["coco_voc_trainval"], "voc2012", "", "finds no weights in the cache"),
    ],
)
def test_auto_takes_the_best_of_the_cache(
    cached, dataset, source, told, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    for name in cached:
        zoo.cached(zoo.get(f"mobilenetv2_{name}")).touch()
    config = Config().replace({"train.init_checkpoint": "auto"})
    info = DatasetInfo(name=dataset, class_names=("a", "b"))
    resolved = weight_sources.resolve(config, info)
    wanted = f"zoo:mobilenetv2_{source}" if source else ""
    assert resolved.train.init_checkpoint == wanted
    assert re.search(f"init_checkpoint=auto .*{told}", capsys.readouterr().err)


def test_auto_says_where_nothing_was_released(capsys):
    info = DatasetInfo(name="mine", class_names=("a", "b"))
    for settings in ({"model.backbone": "resnet_18"}, {"model.normalization": "group"}):
        config = Config().replace({**settings, "train.init_checkpoint": "auto"})
        resolved = weight_sources.resolve(config, info)
        assert resolved.train.init_checkpoint == ""
        assert "none were released for" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["link", "external", "virtual"])
def test_weights_in_another_file_are_refused(run, tmp_path, kind):
    """HDF5 would read any file of the machine as weights."""
    secret, path = tmp_path / "secret.h5", tmp_path / "model.weights.h5"
    with h5py.File(secret, "w") as file:
        file["layers/x/vars/0"] = np.zeros(4, np.float32)
    with h5py.File(path, "w") as file:
        if kind == "link":
            file["layers"] = h5py.ExternalLink(str(secret), "layers")
        elif kind == "external":
            part = [(str(secret), 0, 16)]
            file.create_dataset("layers/x/vars/0", (4,), "f4", external=part)
        else:
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource(str(secret), "layers/x/vars/0", (4,))
            file.create_virtual_dataset("layers/x/vars/0", layout)
    model, config, info = fresh(run)
    with pytest.raises(
        UserError, match=r"model\.weights\.h5: is refused.*another file"
    ):
        initialization.initialize(model, str(path), config, info)
