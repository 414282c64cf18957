"""Films in, masks and overlays as films out; needs PyAV, the extra [video]."""

import contextlib
import importlib.util
import itertools
import pathlib
import types
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from deeplab_tf import cli, files
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.inference import drawing
from deeplab_tf.inference.predictor import Predictor

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
# Compression changes colours a little, so class numbers cannot be kept in a film.
_KINDS = ("masks", "overlays", "confidence")


def is_film(path: str) -> bool:
    """Whether the name is that of a film."""
    return path.lower().endswith(SUFFIXES)


def draw(
    path: str,
    predict: Predictor,
    info: DatasetInfo,
    output_dir: str,
    *,
    limit: int | None = None,
    kinds: Sequence[str] = ("masks", "overlays"),
) -> int:
    """Predicts frame by frame and writes KIND/NAME.mp4 for each kind.

    Args:
      path: of the film.
      predict: labels the frames.
      info: colours.
      output_dir: folder of the kinds' folders.
      limit: at most so many frames; None: all.
      kinds: "masks", "overlays", "confidence".

    Returns:
      The number of frames.

    Raises:
      UserError: PyAV is missing, the file is no film, or a kind cannot be a film.
    """
    other = [kind for kind in kinds if kind not in _KINDS]
    if other:
        raise UserError(
            f"--kinds={','.join(other)}: of a film {', '.join(_KINDS)} can be drawn."
        )
    frames = itertools.islice(_frames(path), limit)
    rate, first = next(frames, (0, None))
    if first is None:
        raise UserError(f"{path}: has no frames.")
    count, name = 0, f"{pathlib.Path(path).stem}.mp4"
    with contextlib.ExitStack() as stack:
        films = {
            kind: stack.enter_context(
                _writer(pathlib.Path(output_dir, kind, name), rate)
            )
            for kind in kinds
        }
        pictures = itertools.chain([first], (picture for _, picture in frames))
        for picture in cli.bar(pictures, "draw", limit):
            count += 1
            labels, confidence = predict.labels_and_confidence(picture[None])
            drawn = drawing.Drawn(
                image=picture,
                labels=None,
                predictions=labels[0],
                confidence=None if confidence is None else confidence[0],
                info=info,
                # Every frame has one height, so the legend does not follow the frame.
                legend=range(info.num_classes),
            )
            for kind, write in films.items():
                write(drawing.KINDS[kind](drawn))
    return count


def _frames(path: str) -> Iterator[tuple[Fraction, np.ndarray]]:
    """Yields frames a second with each frame, uint8 RGB [H, W, 3]."""
    av = _pyav()
    try:
        with av.open(path) as film:
            stream = film.streams.video[0]
            for frame in film.decode(stream):
                yield stream.average_rate, frame.to_ndarray(format="rgb24")
    except (OSError, IndexError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a film ({error}).") from None


@contextlib.contextmanager
def _writer(
    path: pathlib.Path, rate: Fraction | int
) -> Iterator[Callable[[Image.Image | None], None]]:
    """Yields a function that appends a picture."""
    av = _pyav()
    with files.replacing(path) as temporary, av.open(str(temporary), "w") as film:
        streams: list[Any] = []  # one, opened when the size is known

        def write(picture: Image.Image | None) -> None:
            if picture is None:
                raise UserError("the model gives no confidence; draw other --kinds.")
            pixels = _even(np.asarray(picture.convert("RGB")))
            if not streams:
                height, width = pixels.shape[:2]
                # yuv420p is what every player takes.
                options = {"height": height, "width": width, "pix_fmt": "yuv420p"}
                streams.append(film.add_stream("libx264", rate, **options))
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            film.mux(streams[0].encode(frame))

        yield write
        for stream in streams:
            film.mux(stream.encode())


def _even(pixels: np.ndarray) -> np.ndarray:
    """Sides made even by repeating the last row and column, as the format wants."""
    height, width = pixels.shape[:2]
    return np.pad(pixels, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")


def _pyav() -> types.ModuleType:
    if importlib.util.find_spec("av") is None:
        raise UserError("films need PyAV: pip install 'deeplab-tf[video]'.")
    import av

    return av
