"""Each preset fits the data set that it is for, as datasets/convert.py writes it."""

import pytest

from deeplab_tf.config import presets
from deeplab_tf.config.presets import PRESETS
from deeplab_tf.data import sources
from deeplab_tf.released import zoo

# Largest height and width of the images: as made up, as the publishers tell, as
# resized for training.
SIZES = {
    "shapes": (200, 200),
    "camvid": (360, 480),
    "voc2012": (500, 500),
    "cityscapes": (1024, 2048),
    "ade20k": (513, 513),
}
# mIoU on val as published (Chen et al. 2018, tables 5 and 7; the model zoo).
PUBLISHED = {
    "voc_xception_65": ("0.7979", "0.8139"),
    "cityscapes_xception_65": ("0.7879", "0.8042"),
    "ade20k_xception_65": ("0.4565",),
}


# Trained here, so what they expect is measured.
MEASURED = ("demo", "camvid_mobilenet_v2")


@pytest.fixture(params=PRESETS)
def name(request):
    return request.param


def test_its_splits_are_those_that_are_converted(name):
    data = presets.get(name).data
    splits = sources.open_source(PRESETS[name].dataset, "", {}).splits()
    assert {data.train_split, data.eval_split} == set(splits)


def test_its_weights_are_of_its_network_and_have_not_seen_val(name):
    config, dataset = presets.get(name), PRESETS[name].dataset
    if name == "demo":
        assert not config.train.init_checkpoint
        return
    fitting = zoo.best(config.model.backbone, config.model.depth_multiplier, dataset)
    start = config.train.init_checkpoint.removeprefix(zoo.PREFIX)
    assert start in fitting
    if name in MEASURED:  # from another data set
        assert zoo.get(start).dataset != dataset
        return
    # The paper's, not a network that somebody trained on the data set before.
    assert zoo.get(start).about.endswith("; ImageNet")
    assert config.train.init_checkpoint in presets.WEIGHTS
    assert f"{zoo.get(start).megabytes} MB" in presets.WEIGHTS


def test_its_crop_is_cells_of_its_stride_and_no_larger_than_an_image(name):
    config = presets.get(name)
    stride = config.model.output_stride
    for side, largest in zip(
        config.data.crop_size, SIZES[PRESETS[name].dataset], strict=True
    ):
        assert (side - 1) % stride == 0
        assert side <= -(-largest // stride) * stride + 1


def test_it_evaluates_images_at_least_as_large_as_its_crop(name):
    """Else the image pooling sees less in evaluation than it saw in training."""
    config = presets.get(name)
    padded = config.model.padded_size
    assert padded in ((), config.data.crop_size)
    whole = SIZES[PRESETS[name].dataset]
    sides = zip(padded or whole, config.data.crop_size, strict=True)
    assert all(side >= crop for side, crop in sides)


def test_it_says_what_is_published_and_that_nobody_trained_it(name):
    expects = PRESETS[name].expects
    if name in MEASURED:
        assert expects.startswith("val 0.")
        assert "Not trained here" not in expects
        return
    assert expects.endswith("Not trained here")
    assert all(figure in expects for figure in PUBLISHED[name])
