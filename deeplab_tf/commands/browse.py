"""Shows a converted data set: pictures under their labels, legend, class histogram.

  python datasets/browse.py --dataset_dir=OUT --output=page.html
  python datasets/browse.py --dataset_dir=OUT --output=sheet.png --splits=val
  python datasets/browse.py --dataset_dir=OUT --output=crops.html --augmented \
      --data.crop_size=321,321 --augment.photometric=0.5

Examples that the audit warns of come first, the others are spread over each split.
--augmented shows the crops that training with these settings will see.
"""

import io
import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import flags
from PIL import Image

from deeplab_tf import cli, files
from deeplab_tf.config import setting_flags
from deeplab_tf.data import dataset_info, records
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.data.tfrecord import read_records
from deeplab_tf.errors import UserError
from deeplab_tf.files import Values
from deeplab_tf.inference import contact_sheet
from deeplab_tf.report.browser import Card, html_page

FLAGS = flags.FLAGS
_ODD_AT_MOST = 12  # examples of a split that the audit warns of


def define_flags() -> None:
    """The flags of this command, and those of the configuration."""
    flags.DEFINE_string("dataset_dir", None, "Converted data set.", required=True)
    flags.DEFINE_string("output", None, "An .html or .png file.", required=True)
    flags.DEFINE_list("splits", [], "Splits to show; empty: all.")
    flags.DEFINE_integer("num_examples", 24, "Of each split.", lower_bound=1)
    flags.DEFINE_boolean("augmented", False, "Show training crops instead.")
    setting_flags.define_config(("data",))


def main() -> None:
    """Writes the page or the sheet."""
    output = pathlib.Path(FLAGS.output)
    if output.suffix not in (".html", ".png"):
        raise UserError(f"--output must end in .html or .png; received {output}.")
    info = dataset_info.load(FLAGS.dataset_dir)
    audit_path = pathlib.Path(FLAGS.dataset_dir) / "audit.json"
    audit = files.read_json(audit_path, "") if audit_path.exists() else {}
    if FLAGS.augmented:
        cards = {"What training sees": list(_crops(info))}
    else:
        cards = {
            split: list(_examples(info, split, audit))
            for split in FLAGS.splits or info.splits
        }
    with files.replacing(output) as temporary:
        if output.suffix == ".html":
            temporary.write_text(html_page(info, cards, audit), encoding="utf-8")
        else:
            every = [
                contact_sheet.Cell(
                    card.title,
                    contact_sheet.tiles(card.image, card.labels, info.colormap),
                )
                for section in cards.values()
                for card in section
            ]
            contact_sheet.draw(every, info).save(temporary)
    print(f"Wrote {output}.")


def _examples(info: DatasetInfo, split: str, audit: Values) -> Iterator[Card]:
    """The odd ones first, then as many spread over the split."""
    remarks = _remarks(split, audit)
    count = info.split(split).num_examples
    step = max(count / FLAGS.num_examples, 1)
    chosen = {int(i * step) for i in range(min(FLAGS.num_examples, count))}
    odd: list[Card] = []
    others: list[Card] = []
    for number, record in enumerate(_records(info, split)):
        example = records.decode_example(record)
        title = records.name_of(example)
        if title in remarks and len(odd) < _ODD_AT_MOST:
            odd.append(_card(info, title, example, remarks[title]))
        elif number in chosen:
            others.append(_card(info, title, example, ""))
    return iter([*odd, *others][: FLAGS.num_examples])


def _remarks(split: str, audit: Values) -> dict[str, str]:
    """What the audit says about examples, by name; repairs only if nothing is worse."""
    findings = [*audit.get("repairs", []), *audit.get("warnings", [])]
    return {f["example"]: f["kind"] for f in findings if f["split"] == split}


def _records(info: DatasetInfo, split: str) -> Iterator[bytes]:
    for path in dataset_info.shard_paths(FLAGS.dataset_dir, info, split):
        yield from read_records(path)


def _card(info: DatasetInfo, title: str, example: Values, remark: str) -> Card:
    label = example.get(records.LABEL)
    return Card(
        title=title,
        image=_pixels(info, example),
        labels=None if label is None else _decode(label),
        remark=remark,
    )


def _pixels(info: DatasetInfo, example: Values) -> np.ndarray:
    data = example[records.IMAGE]
    if not records.is_raw(info.channels, info.bits):
        return np.asarray(_image(data).convert("RGB"))
    size = example[records.HEIGHT], example[records.WIDTH], info.channels
    pixels = np.frombuffer(data, records.PIXEL_TYPES[info.bits]).reshape(size)
    return (pixels / (257 if info.bits == 16 else 1)).astype(np.uint8)


def _image(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    if image.mode.startswith("I"):  # 16 bits, of which the eye sees the upper 8
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image


def _decode(label: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(label)))


def _crops(info: DatasetInfo) -> Iterator[Card]:
    """The first crops of a training run with these settings."""
    # Pairs, for augment.mixing puts parts of one into the other.
    config = setting_flags.config_from_flags().replace(
        {"data.dataset_dir": FLAGS.dataset_dir, "train.batch_size": 2}
    )
    cli.import_tensorflow()
    from deeplab_tf.data import reading
    from deeplab_tf.network import backbones

    fill = backbones.get_spec(config.model.backbone).mean
    pairs = reading.read_crops(config, info, -(-FLAGS.num_examples // 2), fill=fill)
    crops = (
        crop
        for pair in pairs
        for crop in zip(pair["image"].numpy(), pair["labels"].numpy(), strict=True)
    )
    for number, (pixels, labels) in enumerate(
        itertools.islice(crops, FLAGS.num_examples)
    ):
        image = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
        yield Card(title=f"crop {number}", image=image, labels=labels)


def run() -> None:
    """The command line."""
    define_flags()
    cli.run(main, __doc__)


if __name__ == "__main__":
    run()
