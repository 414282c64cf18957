"""The released models by name: where they are, what they were measured at.

Source: the model zoo page of the released code (research/deeplab). The figures are
its own; the settings are those of its single-scale measurement.
"""

import dataclasses
import pathlib
import sys
import tarfile
from collections.abc import Mapping

from deeplab_tf import files
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.files import Values

PREFIX = "zoo:"
# The bucket behind download.tensorflow.org, by https.
ADDRESS = "https://storage.googleapis.com/download.tensorflow.org/models/"
_TIMEOUT_SECONDS = 30  # of silence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A released archive.

    Attributes:
      archive: file name below `ADDRESS`.
      megabytes: its size.
      about: backbone, what it was trained on.
      backbone: the name that it has here.
      depth_multiplier: of the backbone.
      dataset: whose classes it tells apart; empty for a backbone alone.
      saw_val: whether it was trained on that data set's val split, too.
      miou: the published figure in percent with its split and settings; empty for a
        backbone alone.
      settings: dotted leaves of Config that the variables do not tell.
      digest: as "sha384:..." of the archive, where somebody published it (Intel's Open
        Model Zoo); None: TLS and the archive's own checksum are all there is.
    """

    archive: str
    megabytes: float
    about: str
    backbone: str
    depth_multiplier: float = 1.0
    dataset: str = ""
    saw_val: bool = False
    miou: str = ""
    settings: Values = dataclasses.field(default_factory=dict)
    digest: str | None = None


_OS8 = {"model.output_stride": 8}
_ADE_SMALL = {"model.padded_size": (257, 257)}

# Of one backbone, the better start for other pictures comes first.
MODELS: Mapping[str, Entry] = {
    "mobilenetv2_dm05_coco_voc_trainaug": Entry(
        archive="deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01.tar.gz",
        megabytes=7.6,
        about="MobileNetV2 of half width; ImageNet, COCO, VOC trainaug",
        backbone="mobilenet_v2",
        depth_multiplier=0.5,
        dataset="voc2012",
        miou="70.19 val, output stride 16",
    ),
    "mobilenetv2_dm05_coco_voc_trainval": Entry(
        archive="deeplabv3_mnv2_dm05_pascal_trainval_2018_10_01.tar.gz",
        megabytes=7.6,
        about="MobileNetV2 of half width; ImageNet, COCO, VOC trainaug and val",
        backbone="mobilenet_v2",
        depth_multiplier=0.5,
        dataset="voc2012",
        saw_val=True,
        miou="71.83 test, output stride 8",
        settings=_OS8,
    ),
    "mobilenetv2_coco_voc_trainaug": Entry(
        archive="deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz",
        megabytes=23,
        about="MobileNetV2; ImageNet, COCO, VOC trainaug",
        backbone="mobilenet_v2",
        dataset="voc2012",
        miou="75.32 val, output stride 16; 77.33 at 8, scales 0.5..1.75 and flip",
        digest="sha384:d3f2b27bb00c485ca45d68731f7198a23926cb865dd010fc444bcad9158e3"
        "3413cd60da2588a9be3ff1e8c9b4557362b",
    ),
    "mobilenetv2_coco_voc_trainval": Entry(
        archive="deeplabv3_mnv2_pascal_trainval_2018_01_29.tar.gz",
        megabytes=23,
        about="MobileNetV2; ImageNet, COCO, VOC trainaug and val",
        backbone="mobilenet_v2",
        dataset="voc2012",
        saw_val=True,
        miou="80.25 test, output stride 8, scales 0.5..1.75 and flip",
        settings=_OS8,
    ),
    "xception65_coco_voc_trainaug": Entry(
        archive="deeplabv3_pascal_train_aug_2018_01_04.tar.gz",
        megabytes=439,
        about="Xception-65 with decoder; ImageNet, COCO, VOC trainaug",
        backbone="xception_65",
        dataset="voc2012",
        miou="82.20 val, output stride 16; 83.58 at 8, scales 0.5..1.75 and flip",
    ),
    "xception65_coco_voc_trainval": Entry(
        archive="deeplabv3_pascal_trainval_2018_01_04.tar.gz",
        megabytes=439,
        about="Xception-65 with decoder; ImageNet, COCO, VOC trainaug and val",
        backbone="xception_65",
        dataset="voc2012",
        saw_val=True,
        miou="87.80 test, output stride 8, scales 0.5..1.75 and flip",
        settings=_OS8,
    ),
    "mobilenetv2_coco_cityscapes_trainfine": Entry(
        archive="deeplabv3_mnv2_cityscapes_train_2018_02_05.tar.gz",
        megabytes=23,
        about="MobileNetV2; ImageNet, COCO, Cityscapes train",
        backbone="mobilenet_v2",
        dataset="cityscapes",
        miou="70.71 val, output stride 16; 73.57 at 8, scales 0.75..1.25 and flip",
    ),
    "xception65_cityscapes_trainfine": Entry(
        archive="deeplabv3_cityscapes_train_2018_02_06.tar.gz",
        megabytes=439,
        about="Xception-65 with decoder; ImageNet, Cityscapes train",
        backbone="xception_65",
        dataset="cityscapes",
        miou="78.79 val, output stride 16; 80.42 at 8, scales 0.75..1.25 and flip",
    ),
    "xception71_dpc_cityscapes_trainfine": Entry(
        archive="deeplab_cityscapes_xception71_trainfine_2018_09_08.tar.gz",
        megabytes=445,
        about="Xception-71, dense prediction cell, decoder; ImageNet, COCO, Cityscapes "
        "train",
        backbone="xception_71",
        dataset="cityscapes",
        miou="80.31 val, output stride 16",
    ),
    "xception71_dpc_cityscapes_trainval": Entry(
        archive="deeplab_cityscapes_xception71_trainvalfine_2018_09_08.tar.gz",
        megabytes=446,
        about="Xception-71, dense prediction cell, decoder; ImageNet, COCO, Cityscapes "
        "train, val and coarse",
        backbone="xception_71",
        dataset="cityscapes",
        saw_val=True,
        miou="82.66 test, output stride 8, scales 0.75..2 and flip",
        settings=_OS8,
    ),
    "mobilenetv2_ade20k_train": Entry(
        archive="deeplabv3_mnv2_ade20k_train_2018_12_03.tar.gz",
        megabytes=24.8,
        about="MobileNetV2 with decoder; ImageNet, ADE20K at 257 pixels",
        backbone="mobilenet_v2",
        dataset="ade20k",
        miou="32.04 val, output stride 16",
        settings=_ADE_SMALL,
    ),
    "xception65_ade20k_train": Entry(
        archive="deeplabv3_xception_ade20k_train_2018_05_29.tar.gz",
        megabytes=439,
        about="Xception-65 with decoder; ImageNet, ADE20K at 513 pixels",
        backbone="xception_65",
        dataset="ade20k",
        miou="45.65 val, output stride 8, scales 0.5..1.75 and flip",
        settings=_OS8,
    ),
    "xception_41_imagenet": Entry(
        archive="xception_41_2018_05_09.tar.gz",
        megabytes=288,
        about="backbone Xception-41; ImageNet",
        backbone="xception_41",
    ),
    "xception_65_imagenet_coco": Entry(
        archive="xception_65_coco_pretrained_2018_10_02.tar.gz",
        megabytes=292,
        about="backbone Xception-65; ImageNet, COCO",
        backbone="xception_65",
    ),
    "xception_65_imagenet": Entry(
        archive="deeplabv3_xception_2018_01_04.tar.gz",
        megabytes=447,
        about="backbone Xception-65; ImageNet",
        backbone="xception_65",
    ),
    "xception_71_imagenet": Entry(
        archive="xception_71_2018_05_09.tar.gz",
        megabytes=474,
        about="backbone Xception-71; ImageNet",
        backbone="xception_71",
    ),
    "resnet_v1_50_beta_imagenet": Entry(
        archive="resnet_v1_50_2018_05_04.tar.gz",
        megabytes=274,
        about="backbone ResNet-50 beta; ImageNet",
        backbone="resnet_50_beta",
    ),
    "resnet_v1_101_beta_imagenet": Entry(
        archive="resnet_v1_101_2018_05_04.tar.gz",
        megabytes=477,
        about="backbone ResNet-101 beta; ImageNet",
        backbone="resnet_101_beta",
    ),
}


def get(name: str) -> Entry:
    """The entry of a name, with or without `PREFIX`; UserError for another name."""
    name = name.removeprefix(PREFIX)
    if name not in MODELS:
        raise unknown("released model", name, MODELS)
    return MODELS[name]


def fetch(name: str, address: str = ADDRESS) -> pathlib.Path:
    """The archive's path in the cache; downloads it where it is not there yet.

    The cache is the folder that the environment variable DEEPLAB_TF_CACHE names, else
    ~/.cache/deeplab_tf.

    Args:
      name: of an entry.
      address: where the archives lie.

    Raises:
      UserError: no such entry, no network, or the archive is not the released one.
    """
    entry = get(name)
    path = cached(entry)
    if path.exists():
        return path
    print(f"Fetching {address}{entry.archive} ({entry.megabytes} MB)", file=sys.stderr)
    with files.replacing(path) as temporary:
        try:
            _download(address + entry.archive, entry.digest, temporary)
        except Exception as error:  # servers and what stands before them say anything
            if getattr(error, "errno", None) is not None:
                raise  # the disk
            raise UserError(
                f"{PREFIX}{name.removeprefix(PREFIX)}: cannot fetch {address}"
                f"{entry.archive} ({error}). Without network, put the file at {path} "
                "or give its path."
            ) from None
    return path


def cached(entry: Entry) -> pathlib.Path:
    """Where its archive lies once it is fetched."""
    return files.cache() / entry.archive


def best(backbone: str, depth_multiplier: float, dataset: str) -> tuple[str, ...]:
    """The names of the weights that fit a backbone, the best to start from first.

    Those of the data set itself come first, and of it none that has seen the val
    split: a score on that would tell nothing.
    """
    fitting = [
        name
        for name, entry in MODELS.items()
        if (entry.backbone, entry.depth_multiplier) == (backbone, depth_multiplier)
        and not (entry.saw_val and entry.dataset == dataset)
    ]
    return tuple(sorted(fitting, key=lambda name: MODELS[name].dataset != dataset))


def table() -> str:
    """All models in lines: name, size, whether it is in the cache, figure, about."""
    width = max(map(len, MODELS))
    lines = [f"{'name':<{width}}      MB  cached  about; mIoU in percent"]
    for name, entry in MODELS.items():
        here = "yes" if cached(entry).exists() else "-"
        told = f"{entry.about}; {entry.miou}" if entry.miou else entry.about
        lines.append(f"{name:<{width}}  {entry.megabytes:6}  {here:<6}  {told}")
    return "\n".join(lines)


def _download(url: str, digest: str | None, path: pathlib.Path) -> None:
    """Fetches an archive; an error for what is none, which some servers send."""
    import pooch  # with what it needs, a third of a second

    pooch.get_logger().setLevel("ERROR")
    downloader = pooch.HTTPDownloader(
        timeout=_TIMEOUT_SECONDS, progressbar=sys.stderr.isatty()
    )
    # pooch.retrieve would leave a file of another name where its process is killed.
    downloader(url, str(path), None)
    if digest:
        algorithm, _, expected = digest.partition(":")
        found = pooch.file_hash(str(path), algorithm)
        if found != expected:
            raise ValueError(f"expected {algorithm} {expected}, received {found}")
    with tarfile.open(path) as archive:
        archive.getmembers()  # reads to the end
