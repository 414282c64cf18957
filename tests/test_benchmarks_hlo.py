"""What benchmarks/hlo_counts.py reads from programs whose counts are known."""

import hlo_counts
import pytest
import tensorflow as tf

IMAGE = tf.zeros([1, 64, 64, 32])
KERNEL = tf.zeros([3, 3, 32, 32])
PIXELS = 64 * 64


def summary(function):
    compiled = tf.function(function, jit_compile=True)
    lowered = compiled.experimental_get_compiler_ir(IMAGE, KERNEL)
    return hlo_counts.summary(hlo_counts.read(lowered(stage="hlo_serialized")))


def spread_input(image, kernel):
    size = [1, 128, 128, 32]
    return tf.nn.conv2d_transpose(image, kernel, size, strides=2)


def depthwise(image, kernel):
    return tf.nn.depthwise_conv2d(image, kernel[..., :1], [1, 1, 1, 1], "SAME")


@pytest.mark.parametrize(
    ("function", "kind", "work"),
    [
        (lambda i, k: tf.nn.conv2d(i, k, 1, "SAME"), None, 32 * 32),
        (lambda i, k: tf.nn.conv2d(i, k, 1, "SAME", dilations=2), "rhs_dilate", 32**2),
        # Of 128 x 128 pixels each sees 9 taps of which 3 in 4 are on zeros.
        (spread_input, "lhs_dilate", 32 * 32),
        (depthwise, "grouped", 32),
    ],
)
def test_convolutions(function, kind, work):
    found = summary(function)["convolutions"]
    assert found["convolution"] == 1
    kinds = {"rhs_dilate", "lhs_dilate", "grouped"}
    assert {name for name in kinds if found.get(name)} == ({kind} if kind else set())
    assert found["gflop"] == pytest.approx(2 * PIXELS * 9 * work / 1e9, abs=0.006)


def test_a_step_is_the_body_of_the_loop():
    def three_times(image, kernel):
        for _ in tf.range(3):
            image = tf.nn.conv2d(image, kernel, 1, "SAME")
        return tf.matmul(
            image, image, transpose_b=True
        )  # after the loop, so of no step

    found = summary(three_times)
    assert found["in_a_loop"]
    assert found["convolutions"].get("dot") is None
    assert found["convolutions"]["convolution"] == 1


def test_what_moves_data():
    found = summary(lambda i, k: (tf.transpose(i, [0, 3, 1, 2]), k))
    assert found["transposes"] == {"number": 1, "megabytes": PIXELS * 32 * 4 / 2**20}
    assert not found["transfers"]
    assert not found["custom_calls"]
