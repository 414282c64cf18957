"""The released models' data sets are those that the converters write."""

import importlib

import pytest

from deeplab_tf.released import class_lists


@pytest.mark.parametrize("classes", [21, 19, 151])
def test_names_and_colours_are_the_converters(classes):
    info = class_lists.guess(classes)
    source = importlib.import_module(f"deeplab_tf.data.sources.{info.name}")
    theirs = source.INFO
    if classes == 151:
        theirs = source.INFO("", released_classes=True)
    assert info.class_names == theirs.class_names
    assert info.colormap == theirs.colormap
    assert info.ignore_label == theirs.ignore_label
    assert class_lists.padded_size(classes)


def test_other_numbers_of_classes_have_numbers_for_names():
    assert class_lists.guess(3).class_names == ("class_0", "class_1", "class_2")
    assert class_lists.padded_size(3) == ()
