"""What train.precision=auto stands for."""

import pytest

from deeplab_tf.config import Config
from deeplab_tf.training import precision


def resolved(monkeypatch, *, half, **settings):
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: half)
    config = Config().replace({"train.precision": "auto", **settings})
    return precision.resolve(config).train.precision


@pytest.mark.parametrize(
    ("half", "found"), [(True, "mixed_bfloat16"), (False, "float32")]
)
def test_auto_follows_the_hardware(monkeypatch, half, found):
    assert resolved(monkeypatch, half=half) == found


def test_rounding_to_int8_wants_float32(monkeypatch):
    settings = {"train.quantize": "int8", "train.init_checkpoint": "run"}
    found = resolved(monkeypatch, half=True, **settings)
    assert found == "float32"


@pytest.mark.parametrize(
    ("flags", "half"),
    [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16 sse", True), ("avx512f", False)],
)
def test_what_linux_says_of_the_processor(tmp_path, flags, half):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: x\n\n" * 2)
    assert bool(precision._flags(path) & precision._FLAGS) == half
    assert precision._flags(tmp_path / "missing") == set()
