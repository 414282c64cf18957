"""A frozen graph as the released export writes it, by TensorFlow's own operations.

MobileNetV2 of half width with image pooling and a 1x1, output stride 8, pictures padded
to 65x65: the network of `deeplabv3_mnv2_dm05_pascal_*`, with random weights.
"""

import numpy as np
import released_variables
import tensorflow as tf

tf1 = tf.compat.v1
CLASSES, SIDE, STRIDE, MULTIPLIER = 21, 65, 8, 0.5
# (bottlenecks, stride of the first) of the paper's table 2.
ROWS = ((1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1))
HEIGHT_AND_WIDTH = [1, 2]


def values(seed=0):
    """Random values as after training, by released name."""
    variables = released_variables.Variables()
    channels, tap = released_variables.mobilenet_v2(variables, MULTIPLIER)
    released_variables.head(variables, channels, tap, CLASSES)
    rng = np.random.default_rng(seed)
    draw = {
        "gamma": lambda shape: rng.uniform(0.5, 1.5, shape),
        "moving_variance": lambda shape: rng.uniform(0.5, 2.0, shape),
        "weights": lambda shape: rng.normal(0, (2 / np.prod(shape[:3])) ** 0.5, shape),
        "depthwise_weights": lambda shape: rng.normal(0, 0.4, shape),
    }
    return {
        name: np.float32(
            draw.get(name.rsplit("/")[-1], lambda shape: rng.normal(0, 0.2, shape))(
                shape
            )
        )
        for name, (_, shape) in variables.items()
    }


class Writer:
    """Applies layers under their released names."""

    def __init__(self, tensors):
        self._tensors = tensors

    def constant(self, name):
        return tf1.constant(self._tensors[name], name=name)

    def norm(self, x, scope):
        parts = [
            self.constant(f"{scope}/BatchNorm/{p}") for p in released_variables.NORM
        ]
        name = f"{scope}/BatchNorm/FusedBatchNorm"
        epsilon = 1e-3 if scope.startswith("Mobilenet") else 1e-5
        return tf1.nn.fused_batch_norm(
            x, *parts, epsilon=epsilon, is_training=False, name=name
        )[0]

    def conv(self, x, scope, stride=1):
        kernel = self.constant(f"{scope}/weights")
        x = tf1.nn.conv2d(x, kernel, stride, "SAME", name=f"{scope}/Conv2D")
        return self.norm(x, scope)

    def depthwise(self, x, scope, stride, rate):
        kernel = self.constant(f"{scope}/depthwise_weights")
        strides, rates = [1, stride, stride, 1], [rate, rate]
        x = tf1.nn.depthwise_conv2d(x, kernel, strides, "SAME", rate=rates)
        return self.norm(x, scope)

    def backbone(self, x):
        x = tf.nn.relu6(self.conv(x, "MobilenetV2/Conv", 2))
        reached, rate, number = 2, 1, 0
        for count, first in ROWS:
            for repeat in range(count):
                stride, lost = (first if repeat == 0 else 1), 1
                if reached == STRIDE:
                    stride, lost = 1, stride
                reached *= stride
                suffix = f"_{number}" if number else ""
                scope = f"MobilenetV2/expanded_conv{suffix}"
                y = tf.nn.relu6(self.conv(x, f"{scope}/expand")) if number else x
                y = tf.nn.relu6(self.depthwise(y, f"{scope}/depthwise", stride, rate))
                y = self.conv(y, f"{scope}/project")
                x = x + y if repeat else y
                rate, number = rate * lost, number + 1
        return x

    def head(self, x):
        window = (SIDE - 1) // STRIDE + 1
        pooled = tf1.nn.avg_pool2d(x, [window, window], 1, "VALID")
        pooled = tf.nn.relu(self.conv(pooled, "image_pooling"))
        pooled = resized(pooled, [window, window])
        branches = [pooled, tf.nn.relu(self.conv(x, "aspp0"))]
        x = tf.nn.relu(self.conv(tf.concat(branches, -1), "concat_projection"))
        kernel = self.constant("logits/semantic/weights")
        x = tf1.nn.conv2d(x, kernel, 1, "SAME")
        bias = self.constant("logits/semantic/biases")
        return tf1.nn.bias_add(x, bias, name="logits/semantic/BiasAdd")


def resized(x, size):
    return tf1.image.resize_bilinear(x, size, align_corners=True)


def graph_def(tensors):
    """From `ImageTensor` to `SemanticPredictions`."""
    with tf1.Graph().as_default() as graph:
        image = tf1.placeholder(tf.uint8, [1, None, None, 3], name="ImageTensor")
        size = tf.shape(image)
        more = [tf.maximum(SIDE - size[axis], 0) for axis in HEIGHT_AND_WIDTH]
        grey = tf.cast(image, tf.float32) - 127.5
        x = tf.pad(grey, [[0, 0], [0, more[0]], [0, more[1]], [0, 0]]) / 127.5
        x.set_shape([1, SIDE, SIDE, 3])
        writer = Writer(tensors)
        logits = resized(writer.head(writer.backbone(x)), [SIDE, SIDE])
        labels = tf.argmax(logits, -1)[:, : size[1], : size[2]]
        tf.identity(labels, name="SemanticPredictions")
    return graph.as_graph_def()
