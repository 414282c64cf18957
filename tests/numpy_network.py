"""The layers of the networks in plain NumPy, float64, for tests to compare with."""

import numpy as np


def same_padding(length, size, stride, rate):
    """TensorFlow's SAME: just enough zeros, the odd one at the end."""
    extent = (size - 1) * rate + 1
    total = max((-(-length // stride) - 1) * stride + extent - length, 0)
    return total // 2, total - total // 2


def taps(x, size, stride, rates, padding):
    """Yields (row, column of the kernel, the pixels of x that it meets)."""
    if padding == "same":
        margins = [
            same_padding(length, size, stride, rate)
            for length, rate in zip(x.shape[1:3], rates, strict=True)
        ]
    else:
        margins = [(padding, padding)] * 2
    x = np.pad(x, [(0, 0), *margins, (0, 0)])
    height, width = (
        (length - (size - 1) * rate - 1) // stride + 1
        for length, rate in zip(x.shape[1:3], rates, strict=True)
    )
    for i in range(size):
        for j in range(size):
            top, left = i * rates[0], j * rates[1]
            rows = slice(top, top + (height - 1) * stride + 1, stride)
            columns = slice(left, left + (width - 1) * stride + 1, stride)
            yield i, j, x[:, rows, columns]


def resize(x, size):
    """Linear interpolation along each axis, the corner pixels' centres aligned."""
    for axis, length in zip((1, 2), size, strict=True):
        source = x.shape[axis]
        at = np.arange(length) * ((source - 1) / max(length - 1, 1))
        low = np.minimum(at.astype(int), source - 1)
        high = np.minimum(low + 1, source - 1)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def window_mean(x, window):
    """Mean over the window at each place where it fits."""
    height, width = (
        min(length, size) for length, size in zip(x.shape[1:3], window, strict=True)
    )
    return np.stack(
        [
            np.stack(
                [
                    x[:, i : i + height, j : j + width].mean((1, 2))
                    for j in range(x.shape[2] - width + 1)
                ],
                axis=1,
            )
            for i in range(x.shape[1] - height + 1)
        ],
        axis=1,
    )


def grid_mean(x, parts):
    """Mean over parts x parts pieces, cut by floor and ceil."""
    rows, columns = (
        [
            slice(
                int(np.floor(i * length / parts)),
                int(np.ceil((i + 1) * length / parts)),
            )
            for i in range(parts)
        ]
        for length in x.shape[1:3]
    )
    return np.stack(
        [np.stack([x[:, r, c].mean((1, 2)) for c in columns], axis=1) for r in rows],
        axis=1,
    )


ACTIVATIONS = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
}


class Network:
    """Blocks by name, on the weights of a Keras model."""

    def __init__(self, model, epsilon):
        self.weights = {
            weight.path: weight.numpy().astype(np.float64) for weight in model.weights
        }
        self.epsilon = epsilon

    def block(self, x, name, activation="relu", *, stride=1, rate=1, padding="same"):
        """Ordinary or depthwise convolution, batch norm, activation."""
        y = self.convolve(x, name, stride=stride, rate=rate, padding=padding)
        return ACTIVATIONS[activation](self.normalize(y, f"{name}.batch_norm"))

    def convolve(self, x, name, *, stride=1, rate=1, padding="same"):
        kernel = self.weights[f"{name}/kernel"]
        rates = rate if isinstance(rate, tuple) else (rate, rate)
        met = taps(x, kernel.shape[0], stride, rates, padding)
        if name.endswith("depthwise"):
            y = sum(pixels * kernel[i, j, :, 0] for i, j, pixels in met)
        else:
            y = sum(pixels @ kernel[i, j] for i, j, pixels in met)
        return y + self.weights.get(f"{name}/bias", 0)

    def normalize(self, x, name):
        gamma, beta, mean, variance = (
            self.weights[f"{name}/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + self.epsilon) * gamma + beta

    def separable(self, x, name, *, between="relu", after="relu", **depthwise):
        x = self.block(x, f"{name}.depthwise", between, **depthwise)
        return self.block(x, f"{name}.pointwise", after)


def randomize(model, seed=0):
    """Weights of every layer far from their initial ones, moving statistics too."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        shape = weight.shape
        if weight.path.endswith(("gamma", "moving_variance")):
            value = generator.uniform(0.5, 1.5, shape)
        elif weight.path.endswith("kernel"):
            fan_in = np.prod(shape[:2]) * (1 if shape[3] == 1 else shape[2])
            value = generator.standard_normal(shape, np.float32) * np.sqrt(2 / fan_in)
        else:
            value = generator.normal(0, 0.3, shape)
        weight.assign(value)
