"""Devices and data that the tests share."""

import collections
import os
import pathlib
import typing
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf

if typing.TYPE_CHECKING:
    from deeplab_tf.runs import Run

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Two logical CPUs, so that every test process can run a mirrored strategy.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what was skipped, and how to get it."""
    reasons = collections.Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        if isinstance(report.longrepr, tuple)
        else "no reason"
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        parts = (f"{count} ({reason})" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"skipped: {'; '.join(parts)}")


@pytest.fixture(scope="module")
def shallow_resnet() -> Iterator[None]:
    """Makes ResNet-18 shallow until the end of the file that uses this."""
    import shallow

    with shallow.resnet_18():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, shallow_resnet: None) -> "Run":
    """A run with a shallow ResNet-18; files that need another one make their own."""
    import tiny_run

    from deeplab_tf import runs

    folder = tmp_path_factory.mktemp("run")
    return runs.open_run(tiny_run.write(folder, tiny_run.FEW_LAYERS))


@pytest.fixture(scope="session")
def shared_dir() -> pathlib.Path:
    """Real pictures, labels and weights, where the machine has them."""
    path = pathlib.Path(os.environ.get("DEEPLAB_TEST_DATA", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(
            "real pictures and released weights are not there: set DEEPLAB_TEST_DATA "
            "to a folder with data/ and weights/"
        )
    return path
