"""The data sets of the released models, as their weights know them."""

from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.data.sources import ade20k, cityscapes, voc2012

VOC = voc2012.INFO
CITYSCAPES = cityscapes.INFO
ADE20K = ade20k.INFO("", released_classes=True)

# Number of classes -> (data set, size that pictures were padded to in evaluation).
_BY_CLASSES: dict[int, tuple[DatasetInfo, tuple[int, int]]] = {
    VOC.num_classes: (VOC, (513, 513)),
    CITYSCAPES.num_classes: (CITYSCAPES, (1025, 2049)),
    ADE20K.num_classes: (ADE20K, (513, 513)),
}


def guess(num_classes: int) -> DatasetInfo:
    """The data set with that many classes, or one with numbers for names."""
    if num_classes in _BY_CLASSES:
        return _BY_CLASSES[num_classes][0]
    names = tuple(f"class_{number}" for number in range(num_classes))
    return DatasetInfo(name=f"{num_classes}_classes", class_names=names)


def padded_size(num_classes: int) -> tuple[int, ...]:
    """Height, width to which that data set's pictures were padded; empty: unknown."""
    return _BY_CLASSES[num_classes][1] if num_classes in _BY_CLASSES else ()
