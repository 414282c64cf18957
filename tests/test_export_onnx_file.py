"""What is done to a converted graph; no package of the extra [onnx] is needed."""

from types import SimpleNamespace

import pytest
from numpy_network import same_padding

from deeplab_tf.export import onnx_file


class Attributes(list):
    """The part of protobuf's lists that is used."""

    def add(self):
        self.append(SimpleNamespace(INTS=7, ints=[]))
        return self[-1]


def convolution(**attributes):
    named = {"strides": {"ints": [1, 1]}, **attributes}
    found = [SimpleNamespace(name=name, **value) for name, value in named.items()]
    return SimpleNamespace(op_type="Conv", attribute=Attributes(found))


def test_padding_of_atrous_convolutions_is_in_numbers():
    sizes, rates = (3, 5), (2, 4)
    node = convolution(
        auto_pad={"s": b"SAME_UPPER"},
        dilations={"ints": [*rates]},
        kernel_shape={"ints": [*sizes]},
    )
    onnx_file._pad_explicitly(SimpleNamespace(node=[node]))
    found = {attribute.name: attribute for attribute in node.attribute}
    assert "auto_pad" not in found
    (top, bottom), (left, right) = (
        same_padding(33, size, 1, rate) for size, rate in zip(sizes, rates, strict=True)
    )
    assert found["pads"].ints == [top, left, bottom, right]
    assert found["pads"].type == found["pads"].INTS


@pytest.mark.parametrize(("padding", "rate"), [(b"SAME_UPPER", 1), (b"VALID", 2)])
def test_other_convolutions_stay(padding, rate):
    node = convolution(
        auto_pad={"s": padding},
        dilations={"ints": [rate, rate]},
        kernel_shape={"ints": [3, 3]},
    )
    before = [*node.attribute]
    onnx_file._pad_explicitly(SimpleNamespace(node=[node]))
    assert [*node.attribute] == before
