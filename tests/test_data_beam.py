"""Apache Beam writes the same shards, byte for byte."""

import json

import numpy as np
import pytest
from conversion_runs import contents, convert, save

SHAPES = ("--dataset=shapes", "--num_examples=32", "--num_shards=3")
TWO_PROCESSES = (
    "--beam_flags=--direct_running_mode=multi_processing",
    "--beam_flags=--direct_num_workers=2",
)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), TWO_PROCESSES])
def test_beam_writes_the_same_bytes(tmp_path, flags):
    pytest.importorskip("apache_beam", reason="the extra [beam] is not installed")
    convert(*SHAPES, f"--output_dir={tmp_path / 'local'}")
    convert(*SHAPES, f"--output_dir={tmp_path / 'beam'}", "--runner=beam", *flags)
    assert contents(tmp_path / "local") == contents(tmp_path / "beam")


@pytest.mark.slow
def test_beam_stops_on_a_bad_example_as_the_local_run_does(tmp_path):
    pytest.importorskip("apache_beam", reason="the extra [beam] is not installed")
    source = tmp_path / "source"
    rng = np.random.default_rng(0)
    for name in "ab":
        picture = rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
        save(source / "images" / "train" / f"{name}.png", picture)
        save(source / "labels" / "train" / f"{name}.png", picture[:, :, 0] % 3)
    (source / "classes.json").write_text(json.dumps({"class_names": ["x", "y"]}))
    done = convert(
        "--dataset=folder",
        f"--source_dir={source}",
        f"--output_dir={tmp_path / 'out'}",
        "--runner=beam",
        check=False,
    )
    assert done.returncode == 1
    assert "holds 2; allowed are 0..1" in done.stderr.splitlines()[-1]


def test_without_beam_the_remedy_is_named(tmp_path):
    try:
        import apache_beam  # noqa: F401
    except ImportError:
        done = convert(
            *SHAPES, f"--output_dir={tmp_path}", "--runner=beam", check=False
        )
        assert done.returncode == 1
        assert "pip install 'deeplab-tf[beam]'" in done.stderr
    else:
        pytest.skip("Apache Beam is installed")
