"""The data sets that the released models were trained on, as their weights know them.

The converters in `datasets/` hold the same names; a test compares them. They are
repeated here because the library imports nothing from there, and a released model
must be usable without its data.
"""

from deeplab_tf.data.dataset_info import DatasetInfo

# fmt: off
VOC = DatasetInfo(
    name="voc2012",
    class_names=(
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car",
        "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person",
        "pottedplant", "sheep", "sofa", "train", "tvmonitor",
    ),
)
CITYSCAPES = DatasetInfo(
    name="cityscapes",
    class_names=(
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light",
        "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car",
        "truck", "bus", "train", "motorcycle", "bicycle",
    ),
    colormap=(
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156),
        (190, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0),
        (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
        (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230),
        (119, 11, 32),
    ),
)
ADE20K = DatasetInfo(
    name="ade20k",
    class_names=(
        "other",
        "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed",
        "windowpane", "grass", "cabinet", "sidewalk", "person", "earth", "door",
        "table", "mountain", "plant", "curtain", "chair", "car", "water", "painting",
        "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat",
        "fence", "desk", "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion",
        "base", "box", "column", "signboard", "chest of drawers", "counter", "sand",
        "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path",
        "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway",
        "river", "bridge", "bookcase", "blind", "coffee table", "toilet", "flower",
        "book", "hill", "bench", "countertop", "stove", "palm", "kitchen island",
        "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus",
        "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight",
        "booth", "television receiver", "airplane", "dirt track", "apparel", "pole",
        "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster",
        "stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer",
        "plaything", "swimming pool", "stool", "barrel", "basket", "waterfall", "tent",
        "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank",
        "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher",
        "screen", "blanket", "sculpture", "hood", "sconce", "vase", "traffic light",
        "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor",
        "bulletin board", "shower", "radiator", "glass", "clock", "flag",
    ),
    ignore_label=0,
)
# fmt: on

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
