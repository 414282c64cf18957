"""How much faster our two layers are than Keras' own, in one run.

    python benchmarks/layers.py [--repeats=20] [--steps=6]

Each pair is timed in turns, so that a busy machine slows both; the ratios are of
medians. The training step is MobileNetV2 DeepLabv3+ at 257x257, batch 8, as it is and
as the same graph with Keras' BatchNormalization and DepthwiseConv2D in it; its peak
memory is that of a process of its own. Prints JSON.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import DeepLabV3Plus
from deeplab_tf.network.layers import batch_norm, depthwise

MAP = (8, 33, 33, 728)
RATES = (2, 6, 12, 18)


def medians(
    functions: Mapping[str, Callable[[], Any]], repeats: int
) -> dict[str, float]:
    """Median milliseconds of each function, called in turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for name in functions:
        functions[name]()
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def compare(functions: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Any]:
    found = medians(functions, repeats)
    rounded = {f"{name}_ms": round(value, 2) for name, value in found.items()}
    return {**rounded, "ratio": round(found["keras"] / found["ours"], 2)}


def layer_functions(rate: int, backward: bool) -> dict[str, Callable[[], Any]]:
    generator = np.random.default_rng(0)
    x, upstream = (
        tf.constant(generator.normal(size=MAP).astype(np.float32)) for _ in range(2)
    )
    functions = {}
    for name, kind, keywords in (
        ("ours", depthwise.AtrousDepthwiseConv2D, {"training": backward}),
        ("keras", keras.layers.DepthwiseConv2D, {}),
    ):
        layer = kind(3, dilation_rate=rate, padding="same", use_bias=False)
        layer.build(MAP)
        functions[name] = _call(layer, keywords, x, upstream if backward else None)
    return functions


def _call(
    layer: keras.layers.Layer, keywords: dict[str, Any], x: tf.Tensor, upstream: Any
) -> Callable[[], Any]:
    @tf.function
    def forward(x: tf.Tensor) -> Any:
        return layer(x, **keywords)

    @tf.function
    def both(x: tf.Tensor, upstream: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, **keywords)
        return tape.gradient(y, [x, layer.kernel.value], upstream)

    if upstream is None:
        return lambda: forward(x)
    return lambda: both(x, upstream)


def network(stock: bool) -> keras.Model:
    model = DeepLabV3Plus("mobilenet_v2", num_classes=21)
    return stock_layers(model) if stock else model


def stock_layers(model: keras.Model) -> keras.Model:
    """The same graph with Keras' own layers in it, and other weights."""
    return keras.models.clone_model(model, clone_function=_stock)


def _stock(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Keras' layer in place of ours."""
    settings = layer.get_config()
    if isinstance(layer, batch_norm.BatchNormalization):
        settings.pop("frozen")
        return keras.layers.BatchNormalization.from_config(settings)
    if isinstance(layer, depthwise.AtrousDepthwiseConv2D):
        return keras.layers.DepthwiseConv2D.from_config(settings)
    return layer.__class__.from_config(settings)


def training_step(stock: bool) -> Callable[[], Any]:
    model = network(stock)
    optimizer = keras.optimizers.SGD(0.007, momentum=0.9)
    optimizer.build(model.trainable_variables)
    generator = np.random.default_rng(0)
    images = tf.constant(generator.uniform(0, 255, (8, 257, 257, 3)), tf.float32)
    labels = tf.constant(generator.integers(0, 21, (8, 257, 257)), tf.int32)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return step


def peak_memory(name: str) -> float:
    """Megabytes that a process of its own took for three training steps."""
    command = [sys.executable, __file__, f"--memory_of={name}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="calls of a layer")
    parser.add_argument("--steps", type=int, default=6, help="training steps")
    parser.add_argument("--memory_of", choices=("ours", "keras"), help="internal")
    arguments = parser.parse_args()
    if arguments.memory_of:
        step = training_step(arguments.memory_of == "keras")
        for _ in range(3):
            step()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    results: dict[str, Any] = {"map": MAP}
    for rate in RATES:
        for kind, backward in (("forward", False), ("forward_and_backward", True)):
            functions = layer_functions(rate, backward)
            results[f"rate_{rate}_{kind}"] = compare(functions, arguments.repeats)
    results["training_step"] = compare(
        {"ours": training_step(False), "keras": training_step(True)}, arguments.steps
    )
    for name in ("ours", "keras"):
        results["training_step"][f"{name}_peak_mb"] = round(peak_memory(name))
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
