"""The ablation's table: means, differences seed by seed, the decoder's gain by band."""

import ablation_table
import pytest


def result(miou, bands):
    return {
        "miou": miou,
        "trimap": {"widths": [1, 2], "miou": bands},
        "giga_multiply_adds": 0.5,
        "parameters": 1_000_000,
        "steps": 10,
        "minutes": 1.0,
    }


FOUND = {
    "decoder": {0: result(0.8, [0.5, 0.7]), 1: result(0.9, [0.6, 0.85])},
    "no_decoder": {0: result(0.7, [0.3, 0.5]), 1: result(0.7, [0.2, 0.7])},
    "two_taps": {1: result(0.95, [0.65, 0.8])},
}


def test_the_gain_in_a_band_is_beside_that_over_all_pixels():
    gains = ablation_table.gains(FOUND)
    assert gains[1] == pytest.approx([0.2 - 0.1, 0.4 - 0.2])
    assert gains[2] == pytest.approx([0.2 - 0.1, 0.15 - 0.2])
    assert ablation_table.gains({"decoder": FOUND["decoder"]}) == {}


def test_differences_are_of_the_same_seed(tmp_path):
    text = ablation_table.render(FOUND)
    rows = {line.split(" | ")[0][2:]: line.split(" | ") for line in text.splitlines()}
    assert rows["taps at 8 and 4"][1:5] == ["1", "0.9500", "0.0500", "0.0500"]
    assert rows["bilinear upsampling, no decoder"][2] == "0.7000 ± 0.0000"
    assert rows["bilinear upsampling, no decoder"][3] == "-0.1500 ± 0.0707"
    assert "1: 0.1500 ± 0.0707; 2: 0.0250 ± 0.1061" in text
    ablation_table.draw(tmp_path / "trimap.svg", FOUND)
    assert b"</svg>" in (tmp_path / "trimap.svg").read_bytes()
