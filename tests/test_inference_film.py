import av
import numpy as np
import pytest
from test_inference_drawing import INFO, Stripes

from deeplab_tf.errors import UserError
from deeplab_tf.inference import coloring, film

SIZE = (50, 65)  # odd: films have even sides


def make_film(path, count=7, rate=5):
    """Frames of one grey each, ever lighter."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            grey = np.full((64, 48, 3), 20 + 30 * number, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        file.mux(stream.encode())
    return str(path)


def read(path):
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        return np.stack(frames), stream.average_rate


def test_every_frame_is_drawn_at_the_same_rate(tmp_path):
    path = make_film(tmp_path / "walk.mp4")
    kinds = ("masks", "overlays", "confidence")
    count = film.draw(path, Stripes(), INFO, str(tmp_path / "out"), kinds=kinds)
    assert count == 7
    names, colors = INFO.class_names, INFO.colormap
    legend = coloring.legend(range(3), names, colors, 2 * 48 + 4)
    heights = (64, 64 + legend.shape[0] + legend.shape[0] % 2, 64)
    for kind, width, height in zip(kinds, (48, 2 * 48 + 4, 48), heights, strict=True):
        frames, rate = read(tmp_path / "out" / kind / "walk.mp4")
        assert frames.shape == (7, height, width, 3)
        assert rate == 5
    overlays, _ = read(tmp_path / "out/overlays/walk.mp4")
    # The picture stands on the left: its greys come through the compression.
    greys = overlays[:, 8:56, 8:40].mean((1, 2, 3))
    np.testing.assert_allclose(greys, 20 + 30 * np.arange(7), atol=4)
    assert not list(tmp_path.rglob(".*"))


def test_a_limit_ends_it(tmp_path):
    path = make_film(tmp_path / "walk.mp4")
    options = {"limit": 3, "kinds": ["masks"]}
    assert film.draw(path, Stripes(), INFO, str(tmp_path), **options) == 3
    assert len(read(tmp_path / "masks/walk.mp4")[0]) == 3


def test_odd_sides_are_made_even():
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    even = film._even(pixels)
    assert even.shape == (50, 66, 3)
    np.testing.assert_array_equal(even[:, :65], pixels)


@pytest.mark.parametrize(
    ("content", "kinds", "message"),
    [
        (b"no film", ["masks"], "cannot be read as a film"),
        (None, ["masks"], "cannot be read as a film"),
        (b"", ["raw", "masks"], "--kinds=raw"),
    ],
)
def test_what_is_no_film_is_refused(tmp_path, content, kinds, message):
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        film.draw(str(path), Stripes(), INFO, str(tmp_path / "out"), kinds=kinds)
    assert not (tmp_path / "out").exists()
