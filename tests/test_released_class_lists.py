"""The released models' data sets, by the number of their classes."""

import pytest

from deeplab_tf.released import class_lists


@pytest.mark.parametrize(
    ("classes", "name", "first", "last", "ignored"),
    [
        (21, "voc2012", "background", "tvmonitor", 255),
        (19, "cityscapes", "road", "bicycle", 255),
        (151, "ade20k", "other", "flag", 0),
    ],
)
def test_a_number_of_classes_tells_the_data_set(classes, name, first, last, ignored):
    info = class_lists.guess(classes)
    assert (info.name, info.num_classes) == (name, classes)
    assert (info.class_names[0], info.class_names[-1]) == (first, last)
    assert info.ignore_label == ignored
    assert class_lists.padded_size(classes)


def test_other_numbers_of_classes_have_numbers_for_names():
    assert class_lists.guess(3).class_names == ("class_0", "class_1", "class_2")
    assert class_lists.padded_size(3) == ()
