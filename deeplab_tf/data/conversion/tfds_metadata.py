"""features.json and dataset_info.json: TensorFlow Datasets reads the folder as it is.

  tfds.builder_from_directory(OUT).as_dataset(split="train")

gives image/encoded, image/filename and image/segmentation/class/encoded, decoded. The
two files are written here without loading that package, which takes seconds.
"""

from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.data.records import is_raw
from deeplab_tf.files import Json

_FEATURES = "tensorflow_datasets.core.features."
_TEMPLATE = "{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}"


def tfds_files(info: DatasetInfo) -> Json:
    """The contents of both files by name.

    Empty where that package could not read the records: pictures stored raw, or no
    split with labels; splits without labels are left out, since it wants all splits
    to hold the same features.
    """
    splits = {name: split for name, split in info.splits.items() if split.has_labels}
    if not splits or is_raw(info.channels, info.bits):
        return {}
    image = {
        "encoded": _image(info.channels, "uint8" if info.bits == 8 else "uint16"),
        "filename": {"pythonClassName": f"{_FEATURES}text_feature.Text", "text": {}},
        "segmentation": _group({"class": _group({"encoded": _image(1, "uint8")})}),
    }
    description = {
        "name": info.name,
        "version": "1.0.0",
        "fileFormat": "tfrecord",
        "citation": info.source,
        "splits": [
            {
                "name": name,
                "filepathTemplate": _TEMPLATE,
                "shardLengths": [str(n) for n in split.shard_examples],
            }
            for name, split in splits.items()
        ],
    }
    return {
        "features.json": _group({"image": _group(image)}),
        "dataset_info.json": description,
    }


def _image(channels: int, dtype: str) -> Json:
    return {
        "pythonClassName": f"{_FEATURES}image_feature.Image",
        "image": {
            "dtype": dtype,
            "shape": {"dimensions": ["-1", "-1", str(channels)]},
        },
    }


def _group(features: Json) -> Json:
    return {
        "pythonClassName": f"{_FEATURES}features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }
