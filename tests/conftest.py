"""Devices and data that the tests share."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Two logical CPUs, so that every test process can run a mirrored strategy.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.fixture(scope="session")
def shared_dir() -> pathlib.Path:
    """Real pictures, labels and weights, where the machine has them."""
    path = pathlib.Path(os.environ.get("DEEPLAB_TEST_DATA", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no real data: {path} does not exist")
    return path
