"""DeepLabV3Plus(weights=...): the source's network, its weights where they fit."""

import numpy as np
import pytest
import released_variables
import tiny_run
from released_variables import Variables

import deeplab_tf
from deeplab_tf import runs
from deeplab_tf.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.open_run(str(tiny_run.write(tmp_path_factory.mktemp("run"))))


@pytest.fixture(scope="module")
def trained(run):
    return values(runs.load_model(run))


def values(model):
    return {variable.path: np.asarray(variable) for variable in model.weights}


def differing(model, trained):
    return {
        path
        for path, value in values(model).items()
        if not np.array_equal(value, trained.get(path))
    }


@pytest.mark.parametrize("num_classes", [None, 3])
def test_a_run_gives_its_network_and_every_weight(run, trained, num_classes):
    model = deeplab_tf.DeepLabV3Plus(weights=run.path, num_classes=num_classes)
    assert not differing(model, trained)


def test_other_classes_get_a_classifier_of_their_own_and_it_is_told(
    run, trained, capsys
):
    model = deeplab_tf.DeepLabV3Plus(weights=run.path, num_classes=5, output_stride=8)
    assert model.output_shape[-1] == 5
    assert differing(model, trained) == {"logits/kernel", "logits/bias"}
    told = capsys.readouterr().err
    assert told.count("the source has 3 classes instead of 5") == 1
    assert model.get_layer("padding").stride == 8


def test_another_backbone_is_refused(run):
    with pytest.raises(UserError, match="its backbone is not resnet_18"):
        deeplab_tf.DeepLabV3Plus(
            "resnet_18", weights=run.path, depth_multiplier=1.0, num_classes=3
        )


def test_a_released_backbone_and_a_released_model(tmp_path):
    backbone, whole = Variables(), Variables()
    released_variables.backbone(backbone, "mobilenet_v2", 0.35)
    cin, tap = released_variables.backbone(whole, "mobilenet_v2", 0.35)
    released_variables.head(whole, cin, tap, 21)
    for variables, folder in ((backbone, "backbone"), (whole, "whole")):
        tensors = released_variables.fill(variables)
        path = released_variables.write(tmp_path / folder / "model.ckpt", tensors)
        model = deeplab_tf.DeepLabV3Plus(weights=path, num_classes=4, aspp_channels=256)
        ours = {ours: tensors[name] for name, (ours, _) in variables.items()}
        differ = differing(model, ours)
        assert not [path for path in differ if path.startswith("mobilenet_v2.")]
        assert {"logits/kernel", "logits/bias"} <= differ
        # 513 x 513 is the size of VOC's images.
        assert model.get_layer("padding").least == ()
    assert differ == {"logits/kernel", "logits/bias"}
