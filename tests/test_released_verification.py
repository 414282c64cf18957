"""The comparison with a frozen graph finds no difference, and finds one."""

import numpy as np
import pytest
import released_graph

from deeplab_tf.errors import UserError
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.released import checkpoints, importer, verification
from deeplab_tf.released.frozen_graph import FrozenGraph

LARGE_PICTURE = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
PICTURE = LARGE_PICTURE[:50, :65]


def opened(path):
    """(frozen graph, our network at its settings, the network's section)."""
    released = checkpoints.read(str(path))
    config, info = importer.settings(released, {})
    network = build_model(config.model, info.num_classes)
    importer.assign(network, config, released)
    graph = FrozenGraph(checkpoints.read_graph(str(path)), str(path))
    return graph, network, config.model


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A graph of the released operations and names, with random weights."""
    path = tmp_path_factory.mktemp("graph") / "frozen_inference_graph.pb"
    graph = released_graph.graph_def(released_graph.values())
    path.write_bytes(graph.SerializeToString())
    return opened(path)


def check(parts, picture):
    graph, network, model = parts
    result = verification.compare(graph, network, model, [picture])
    assert result.is_close()
    assert result.rows[-1].relative < 1e-5
    assert result.pixels == picture.shape[0] * picture.shape[1]
    # 52 batch norms of the backbone but one, three of the head, logits, at size.
    assert len(result.rows) == 52 - 1 + 3 + 2
    assert f"{result.equal_labels} of {result.pixels} pixels" in str(result)


def test_a_graph_of_the_released_operations_is_ours(imported):
    check(imported, PICTURE)
    _, _, model = imported
    assert (model.depth_multiplier, model.output_stride) == (0.5, 8)


def test_released_model_is_ours(shared_dir):
    folder = shared_dir / "weights/frozen_mnv2_dm05_voc"
    check(opened(folder / "frozen_inference_graph_513.pb"), LARGE_PICTURE)


def test_a_changed_layer_is_the_first_that_differs(imported):
    graph, network, model = imported
    norm = network.get_layer("aspp.conv_1x1.batch_norm")
    before = np.asarray(norm.beta)
    norm.beta.assign(before + 0.5)
    try:
        result = verification.compare(graph, network, model, [PICTURE])
    finally:
        norm.beta.assign(before)
    different = [row.layer for row in result.rows if row.relative > 1e-4]
    assert different == [
        "aspp.conv_1x1.batch_norm",
        "aspp.projection.batch_norm",
        "logits",
        "logits at size",
    ]
    assert not result.is_close()


def test_picture_beyond_the_graph_is_refused(imported):
    graph, network, model = imported
    large = np.zeros((66, 20, 3), np.uint8)
    with pytest.raises(UserError, match="at most 65x65; received 66x20"):
        verification.compare(graph, network, model, [large])


def test_no_picture_is_refused(imported):
    graph, network, model = imported
    with pytest.raises(UserError, match="give --images"):
        verification.compare(graph, network, model, [])
