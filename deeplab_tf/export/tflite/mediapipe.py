"""Whether MediaPipe's ImageSegmenter takes a file: on phones and in browsers."""

from collections.abc import Sequence

from ai_edge_litert import schema_py_generated as schema

_CHANNELS = 3


def obstacles(content: bytes) -> list[str]:
    """Why MediaPipe's ImageSegmenter refuses a .tflite file of ours, in words.

    Source: MediaPipe, tasks/cc/vision/image_segmenter/image_segmenter_graph.cc.

    Returns:
      Empty: it takes the file, gives its class names, and confidences that sum to one.
    """
    model = schema.Model.GetRootAs(content, 0)
    found = []
    if model.SubgraphsLength() > 1:
        found.append("it takes one size, so give one --input_size")
    graph = model.Subgraphs(0)
    if graph.Tensors(graph.Outputs(0)).ShapeLength() != 4:
        found.append("it reads scores, so give another --output_type than labels")
    channels = int(graph.Tensors(graph.Inputs(0)).Shape(3))
    if channels != _CHANNELS:
        found.append(f"it gives {_CHANNELS} channels, and the network takes {channels}")
    return found


def describe(found: Sequence[str]) -> str:
    """What `obstacles` found, as a line to read."""
    if found:
        return f"MediaPipe's ImageSegmenter does not take it: {'; '.join(found)}."
    return "MediaPipe's ImageSegmenter takes it."
