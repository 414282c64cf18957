import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset
import tiny_run

from deeplab_tf import files, runs
from deeplab_tf.config.options import EvaluateOptions
from deeplab_tf.data import dataset_info, reading
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import (
    evaluate,
    evaluate_run,
    image_scores,
    metrics,
    significance,
)
from deeplab_tf.evaluation.boundary import BoundaryCounter
from deeplab_tf.evaluation.calibration import CalibrationCounter
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.training import log

pytestmark = pytest.mark.usefixtures("shallow_resnet")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.open_run(
        tiny_run.write(tmp_path_factory.mktemp("evaluation"), tiny_run.FEW_LAYERS)
    )


@pytest.fixture(scope="module")
def model(run):
    return runs.load_model(run)


def evaluate_val(run, predict, **options):
    folder = run.config.data.dataset_dir
    return evaluate.evaluate(predict, folder, run.info, "val", **options)


def examples(run):
    split = reading.read_split(run.config.data.dataset_dir, run.info, "val", "")
    return [{key: y.numpy() for key, y in example.items()} for example in split]


def test_scores_equal_those_of_keras_logits(run, model):
    matrix = np.zeros([3, 3], np.int64)
    call = tf.function(model, reduce_retracing=True)
    for example in examples(run):
        logits = call(np.float32(example["image"][None]))[0].numpy()
        valid = example["labels"] != tiny_dataset.VOID
        np.add.at(matrix, (example["labels"][valid], logits.argmax(-1)[valid]), 1)
    result = evaluate_val(run, make_predictor(model))
    assert result["confusion_matrix"] == matrix.tolist()
    assert result["miou"] == metrics.scores(matrix).miou
    assert result["num_images"] == 4
    assert set(result["per_class_iou"]) == {"ground", "red", "blue"}


def test_details_equal_counting_all_at_once(run, model):
    predict = make_predictor(model, frozen=True)
    result = evaluate_val(run, predict, detailed=True)
    counters = BoundaryCounter(3, 255), CalibrationCounter(3, 255)
    matrices = []
    for example in examples(run):
        labels, confidence = predict.labels_and_confidence(example["image"][None])
        truth = example["labels"].astype(np.uint8)
        counters[0].update(truth, labels[0])
        counters[1].update(truth, labels[0], confidence[0])
        matrices.append(metrics.confusion_matrix(truth, labels[0], 3, 255))
    names = run.info.class_names
    assert result["boundary"] == counters[0].result(names)
    assert result["calibration"] == counters[1].result(names)
    pixels = np.stack([metrics.class_pixels(matrix) for matrix in matrices])
    assert result["miou_interval"] == significance.interval(pixels)
    kept = image_scores.class_pixels(result["pictures"], 3)
    np.testing.assert_array_equal(kept, pixels)
    plain = evaluate_val(run, predict)
    assert plain["confusion_matrix"] == result["confusion_matrix"]


def test_two_replicas_and_batches_equal_one_device(run, model, tmp_path):
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        mirrored = build_model(run.config.model, 3)
        mirrored.set_weights(model.get_weights())
    expected = evaluate_val(run, make_predictor(model), detailed=True)
    replicated = make_predictor(mirrored, strategy=strategy)
    given = evaluate_val(run, replicated, detailed=True, batch_size=3)
    assert given["confusion_matrix"] == expected["confusion_matrix"]
    assert given["pictures"] == expected["pictures"]
    assert given["calibration"]["expected_calibration_error"] == pytest.approx(
        expected["calibration"]["expected_calibration_error"]
    )


def picture(height, width):
    return {"image": tf.zeros([height, width, 3], tf.uint8)}


def test_batches_are_of_one_size_and_hold_every_example():
    sizes = [(2, 3), (3, 2), (2, 3), (2, 3), (3, 2), (4, 4), (2, 3)]
    batches = list(
        evaluate.batch_by_size((picture(*size) for size in sizes), batch_size=2)
    )
    numbers = [[index for index, _ in batch] for batch in batches]
    assert numbers == [[0, 2], [1, 4], [3, 6], [5]]
    for batch in batches:
        assert len({tuple(example["image"].shape) for _, example in batch}) == 1


def test_few_pictures_wait_for_others_of_their_size():
    taken = 0

    def many_sizes():
        nonlocal taken
        for side in range(1, 60):
            taken += 1
            yield picture(side, 1)

    for given, batch in enumerate(evaluate.batch_by_size(many_sizes(), 4)):
        assert len(batch) == 1
        assert taken - given <= 8 * 4


def test_table_names_classes_and_totals(run, model):
    result = evaluate_val(run, make_predictor(model), detailed=True)
    text = evaluate.table(
        {**result, "per_class_iou": {**result["per_class_iou"], "blue": None}}
    )
    assert "absent" in text.split("blue")[1].splitlines()[0]
    for words in ("val: 4 pictures", "mIoU", "95 % interval", "boundary F1"):
        assert words in text


def test_a_split_without_labels_is_refused(run, model):
    splits = {"val": dataclasses.replace(run.info.splits["val"], has_labels=False)}
    info = dataclasses.replace(run.info, splits=splits)
    with pytest.raises(UserError, match="has no labels"):
        evaluate.evaluate(
            make_predictor(model), run.config.data.dataset_dir, info, "val"
        )


def test_a_label_that_is_no_class_stops_the_evaluation(run, model):
    info = dataclasses.replace(
        run.info, class_names=("ground", "red"), colormap=((0, 0, 0), (1, 1, 1))
    )
    narrow = keras.Model(model.input, model.output[..., :2])
    with pytest.raises(UserError, match=r"0\.\.1 or 255; received 2"):
        evaluate.evaluate(
            make_predictor(narrow), run.config.data.dataset_dir, info, "val"
        )


def test_more_classes_than_a_byte_holds_are_refused(tmp_path):
    """No label file and no shard could hold them, so no evaluation starts."""
    content = {"name": "many", "class_names": [f"c{i}" for i in range(300)]}
    (tmp_path / dataset_info.FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"must be 1 to 255 names; received"):
        dataset_info.load(tmp_path)


def test_all_void_pictures_score_nothing(tmp_path, run, model, capsys):
    """null in every table, log and comparison; never NaN, never an error."""
    rng = np.random.default_rng(0)
    image, labels = tiny_dataset.picture(rng)
    labels[:] = tiny_dataset.VOID
    with tf.io.TFRecordWriter(str(tmp_path / "val.tfrecord")) as writer:
        writer.write(tiny_dataset.example("void", image, labels))
    info = dataset_info.DatasetInfo(
        name="void",
        class_names=("a", "b", "c"),
        splits={"val": dataset_info.Split(num_examples=1, shards=("val.tfrecord",))},
    )
    result = evaluate.evaluate(
        make_predictor(model), str(tmp_path), info, "val", detailed=True
    )
    pictures = result.pop("pictures")
    assert pictures[0].miou is None
    assert pictures[0].suspect is None
    comparison = dataclasses.asdict(image_scores.compare(pictures, pictures, 3))
    assert set(comparison.values()) == {None}
    files.write_json(tmp_path / "val.json", result | {"comparison": comparison})
    read = json.loads((tmp_path / "val.json").read_text(), parse_constant=pytest.fail)
    scores = (*metrics.Scores.__annotations__, "miou_interval")
    assert {read[name] for name in scores if not name.startswith("per_class")} == {None}
    assert read["calibration"]["expected_calibration_error"] is None
    shown = evaluate.table(result | {"comparison": {**comparison, "run_dir": "x"}})
    assert "mIoU                        absent" in shown
    assert "not compared with x" in shown
    with log.RunLog(dataclasses.replace(run, path=tmp_path), 0) as logged:
        logged.evaluation(1, result, make_predictor(model))
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["miou"] is None
    assert "mIoU absent, pixel accuracy absent" in capsys.readouterr().err


def test_a_run_is_evaluated_and_compared(run, tmp_path):
    """What the eval command does: the result, and the same in the run folder."""
    result = evaluate_run(run, EvaluateOptions())
    path = run.path / "eval" / "val.json"
    assert result["path"] == path
    assert json.loads(path.read_text())["miou"] == result["miou"]
    expected = evaluate_val(run, make_predictor(runs.load_model(run)))
    assert result["confusion_matrix"] == expected["confusion_matrix"]
    assert len(image_scores.load(path.with_suffix(".pictures.jsonl"))) == 4
    again = evaluate_run(run, EvaluateOptions(compare_to=str(run.path), batch_size=2))
    assert again["comparison"]["difference"] == 0
    assert "against" in evaluate.table(again)
    with pytest.raises(UserError, match="either --saved_model or --tflite"):
        evaluate_run(run, EvaluateOptions(saved_model="a", tflite="b"))


def test_results_are_told_before_they_are_written_and_may_lie_elsewhere(run, tmp_path):
    """Of a run that nobody may write into, too; that is said before the measuring."""
    read_only = dataclasses.replace(run, path=tmp_path / "run")
    shutil.copytree(run.path, read_only.path)
    shutil.rmtree(read_only.path / "eval", ignore_errors=True)
    (read_only.path / "eval").touch()  # where no folder can be made, not even by root
    told = []
    with pytest.raises(UserError, match=r"run/eval: cannot be written .*--output"):
        evaluate_run(read_only, tell=told.append)
    assert told == []
    scores = tmp_path / "scores"
    options = EvaluateOptions(output=str(scores), details=False)

    def tell(result):
        told.append((result["miou"], list(scores.iterdir())))

    result = evaluate_run(read_only, options, tell)
    assert told == [(result["miou"], [])]
    assert result["path"] == scores / "val.json"
    assert json.loads(result["path"].read_text())["miou"] == result["miou"]
