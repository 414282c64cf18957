"""The released models by name: where they are, what they were measured at.

Source: the model zoo page of the released code (research/deeplab). The figures are
its own; the settings are those of its single-scale measurement.
"""

import dataclasses
import hashlib
import os
import pathlib
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from deeplab_tf.errors import UserError, unknown

PREFIX = "zoo:"
ADDRESS = "http://download.tensorflow.org/models/"
CACHE_VARIABLE = "DEEPLAB_TF_CACHE"
_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A released archive.

    Attributes:
      archive: file name below `ADDRESS`.
      about: backbone, what it was trained on.
      miou: the published figure in percent with its split and settings; empty for a
        backbone alone.
      settings: dotted leaves of Config that the variables do not tell.
      sha384: hexadecimal digest of the archive, where somebody published it (Intel's
        Open Model Zoo); empty: the archive's own checksums are all there is.
    """

    archive: str
    about: str
    miou: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sha384: str = ""


_OS8 = {"model.output_stride": 8}
_ADE_SMALL = {"model.padded_size": (257, 257)}

MODELS: Mapping[str, Entry] = {
    "mobilenetv2_dm05_coco_voc_trainaug": Entry(
        archive="deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01.tar.gz",
        about="MobileNetV2 of half width; ImageNet, COCO, VOC trainaug",
        miou="70.19 val, output stride 16",
    ),
    "mobilenetv2_dm05_coco_voc_trainval": Entry(
        archive="deeplabv3_mnv2_dm05_pascal_trainval_2018_10_01.tar.gz",
        about="MobileNetV2 of half width; ImageNet, COCO, VOC trainaug and val",
        miou="71.83 test, output stride 8",
        settings=_OS8,
    ),
    "mobilenetv2_coco_voc_trainaug": Entry(
        archive="deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz",
        about="MobileNetV2; ImageNet, COCO, VOC trainaug",
        miou="75.32 val, output stride 16; 77.33 at 8, scales 0.5..1.75 and flip",
        sha384="d3f2b27bb00c485ca45d68731f7198a23926cb865dd010fc444bcad9158e33413"
        "cd60da2588a9be3ff1e8c9b4557362b",
    ),
    "mobilenetv2_coco_voc_trainval": Entry(
        archive="deeplabv3_mnv2_pascal_trainval_2018_01_29.tar.gz",
        about="MobileNetV2; ImageNet, COCO, VOC trainaug and val",
        miou="80.25 test, output stride 8, scales 0.5..1.75 and flip",
        settings=_OS8,
    ),
    "xception65_coco_voc_trainaug": Entry(
        archive="deeplabv3_pascal_train_aug_2018_01_04.tar.gz",
        about="Xception-65 with decoder; ImageNet, COCO, VOC trainaug",
        miou="82.20 val, output stride 16; 83.58 at 8, scales 0.5..1.75 and flip",
    ),
    "xception65_coco_voc_trainval": Entry(
        archive="deeplabv3_pascal_trainval_2018_01_04.tar.gz",
        about="Xception-65 with decoder; ImageNet, COCO, VOC trainaug and val",
        miou="87.80 test, output stride 8, scales 0.5..1.75 and flip",
        settings=_OS8,
    ),
    "mobilenetv2_coco_cityscapes_trainfine": Entry(
        archive="deeplabv3_mnv2_cityscapes_train_2018_02_05.tar.gz",
        about="MobileNetV2; ImageNet, COCO, Cityscapes train",
        miou="70.71 val, output stride 16; 73.57 at 8, scales 0.75..1.25 and flip",
    ),
    "xception65_cityscapes_trainfine": Entry(
        archive="deeplabv3_cityscapes_train_2018_02_06.tar.gz",
        about="Xception-65 with decoder; ImageNet, Cityscapes train",
        miou="78.79 val, output stride 16; 80.42 at 8, scales 0.75..1.25 and flip",
    ),
    "xception71_dpc_cityscapes_trainfine": Entry(
        archive="deeplab_cityscapes_xception71_trainfine_2018_09_08.tar.gz",
        about="Xception-71, dense prediction cell, decoder; ImageNet, COCO, Cityscapes "
        "train",
        miou="80.31 val, output stride 16",
    ),
    "xception71_dpc_cityscapes_trainval": Entry(
        archive="deeplab_cityscapes_xception71_trainvalfine_2018_09_08.tar.gz",
        about="Xception-71, dense prediction cell, decoder; ImageNet, COCO, Cityscapes "
        "train, val and coarse",
        miou="82.66 test, output stride 8, scales 0.75..2 and flip",
        settings=_OS8,
    ),
    "mobilenetv2_ade20k_train": Entry(
        archive="deeplabv3_mnv2_ade20k_train_2018_12_03.tar.gz",
        about="MobileNetV2 with decoder; ImageNet, ADE20K at 257 pixels",
        miou="32.04 val, output stride 16",
        settings=_ADE_SMALL,
    ),
    "xception65_ade20k_train": Entry(
        archive="deeplabv3_xception_ade20k_train_2018_05_29.tar.gz",
        about="Xception-65 with decoder; ImageNet, ADE20K at 513 pixels",
        miou="45.65 val, output stride 8, scales 0.5..1.75 and flip",
        settings=_OS8,
    ),
    "xception_41_imagenet": Entry(
        archive="xception_41_2018_05_09.tar.gz",
        about="backbone Xception-41; ImageNet",
    ),
    "xception_65_imagenet": Entry(
        archive="deeplabv3_xception_2018_01_04.tar.gz",
        about="backbone Xception-65; ImageNet",
    ),
    "xception_65_imagenet_coco": Entry(
        archive="xception_65_coco_pretrained_2018_10_02.tar.gz",
        about="backbone Xception-65; ImageNet, COCO",
    ),
    "xception_71_imagenet": Entry(
        archive="xception_71_2018_05_09.tar.gz",
        about="backbone Xception-71; ImageNet",
    ),
    "resnet_v1_50_beta_imagenet": Entry(
        archive="resnet_v1_50_2018_05_04.tar.gz",
        about="backbone ResNet-50 beta; ImageNet",
    ),
    "resnet_v1_101_beta_imagenet": Entry(
        archive="resnet_v1_101_2018_05_04.tar.gz",
        about="backbone ResNet-101 beta; ImageNet",
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

    A broken download goes on where it stopped. The cache is the folder that the
    environment variable DEEPLAB_TF_CACHE names, else ~/.cache/deeplab_tf.

    Args:
      name: of an entry.
      address: where the archives lie.

    Raises:
      UserError: no such entry, no network, or the archive is not the released one.
    """
    entry = get(name)
    path = _cache_dir() / entry.archive
    if path.exists():
        return path
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        _download(address + entry.archive, part)
    except OSError as error:  # urllib's errors are OSErrors
        raise UserError(
            f"zoo:{name.removeprefix(PREFIX)}: cannot fetch {address}{entry.archive} "
            f"({error}). Without network, put the file at {path} or give its path."
        ) from None
    _check(part, entry)
    os.replace(part, path)
    return path


def _cache_dir() -> pathlib.Path:
    default = pathlib.Path.home() / ".cache" / "deeplab_tf"
    return pathlib.Path(os.environ.get(CACHE_VARIABLE) or default)


def _download(address: str, part: pathlib.Path) -> None:
    """Fetches what `part` lacks yet."""
    have = part.stat().st_size if part.exists() else 0
    print(f"Fetching {address}", file=sys.stderr)
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is lacking
            return
        raise
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
        expected = response.headers.get("Content-Length")
    if expected is not None and response.status == 200:
        _require_length(part, int(expected))
    if expected is not None and response.status == 206:
        _require_length(part, have + int(expected))


def _require_length(part: pathlib.Path, expected: int) -> None:
    if part.stat().st_size != expected:
        raise OSError(f"{part.stat().st_size} of {expected} bytes came; run again")


def _check(part: pathlib.Path, entry: Entry) -> None:
    """Removes an archive that is not whole or not the released one, and says so."""
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha384").hexdigest()
    problem = ""
    if entry.sha384 and digest != entry.sha384:
        problem = f"its SHA-384 is {digest} instead of {entry.sha384}"
    try:
        with tarfile.open(part) as archive:
            archive.getmembers()  # reads to the end, past gzip's checksum
    except (tarfile.TarError, OSError, EOFError) as error:
        problem = f"it is no archive ({error})"
    if problem:
        part.unlink()
        raise UserError(f"{entry.archive}: {problem}; fetch it again.")
