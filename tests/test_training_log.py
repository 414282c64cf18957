"""What a run tells while it goes on."""

import types

import pytest

from deeplab_tf.config import Config
from deeplab_tf.training import log


@pytest.mark.parametrize(("days", "told"), [(0.5, False), (2, True)])
def test_a_run_of_days_is_told_what_would_be_shorter(
    tmp_path, capsys, monkeypatch, days, told
):
    """After a few steps, and once."""
    seconds = iter(range(0, 1000, 10))
    monkeypatch.setattr(log.time, "perf_counter", lambda: float(next(seconds)))
    steps = int(days * 24 * 3600 / 10)
    config = Config().replace({"train.steps": steps, "train.eval_steps": 0})
    run = types.SimpleNamespace(path=tmp_path, config=config)
    with log.RunLog(run, 0) as logged:
        for step in range(1, 20):
            logged.advance(step, 0.5)
    err = capsys.readouterr().err
    assert err.count("at 10.00 s: about 48.0 hours") == told
    assert err.count("Shorter: --train.minutes=720") == told
