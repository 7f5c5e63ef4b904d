"""The face detector's network as an ONNX graph: `network.py` without torch, for inference.

image (1, 3, H, W) float32, 0 is `NEUTRAL_GREY`, -> four maps (1, 5, H / stride, W / stride)

H and W are multiples of 64. Pixels are divided by `PIXEL_SCALE` in the first convolution's weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx

from models.detection.weights_file import PIXEL_SCALE, DetectorConfig
from models.onnx_builder import GraphBuilder
from models.onnx_int8 import activation_ranges, quantized
from models.tensor_file import Tensors

_FIRST: Final = "stem.0.0.weight"
#: Residual bodies of two plain 3x3 convolutions; the others are two separable ones a block.
_PLAIN_STAGES: Final = (0, 1)


#: Later stages and the heads stay float32: they are fast, and errors there move boxes the most.
_LAST_INTEGER_STAGE: Final = 2
#: Name of the tensor with the activations' ranges in a weights file.
_RANGES: Final = "activation_ranges"


def detector_graph(tensors: Tensors, config: DetectorConfig) -> bytes:
    """The network of a file of `save_detector_weights` as an ONNX model.

    If the tensors include `activation_ranges`, the backbone computes in 8-bit integers.

    Raises:
        KeyError, ValueError: the tensors belong to another network.
    """
    weights = dict(tensors)
    ranges = weights.pop(_RANGES, None)
    graph, _ = _float_graph(weights, config)
    return graph if ranges is None else quantized(graph, ranges)


def calibrated(
    tensors: Tensors, config: DetectorConfig, images: Iterable[npt.NDArray[np.float32]]
) -> dict[str, npt.NDArray[Any]]:
    """The tensors with the ranges of the activations, which 8-bit inference needs.

    Args:
        images: of the training set, each (1, 3, H, W) as `image_planes` returns it.

    Raises:
        ValueError: there are no images.
    """
    weights = {name: tensor for name, tensor in tensors.items() if name != _RANGES}
    calls = ({"image": image} for image in images)
    graph, integer_nodes = _float_graph(weights, config)
    return {**weights, _RANGES: activation_ranges(graph, calls, integer_nodes)}


def _float_graph(tensors: Tensors, config: DetectorConfig) -> tuple[bytes, int]:
    """The graph in float32, and how many of its nodes `calibrated` makes integer ones."""
    shape = (1, 3, "height", "width")
    first = np.asarray(tensors[_FIRST], np.float32) / np.float32(PIXEL_SCALE)
    graph = GraphBuilder({**tensors, _FIRST: first}, {"image": (onnx.TensorProto.FLOAT, shape)})
    x = "image"
    for layer in range(2):
        x = _unit(graph, x, f"stem.{layer}", stride=2)
    down = []
    integer_nodes = 0
    for stage in range(len(config.stage_channels)):
        name = f"stages.{stage}"
        if stage in _PLAIN_STAGES:
            x = _unit(graph, x, f"{name}.0", stride=2)
            change = _unit(graph, x, f"{name}.1.body.0")
            x = graph.apply("Add", x, _unit(graph, change, f"{name}.1.body.1"))
        else:
            last = stage == len(config.stage_channels) - 1
            x = (_separable if last else _unit)(graph, x, f"{name}.0", stride=2)
            for block in (1, 2):
                x = graph.apply("Add", x, _separable(graph, x, f"{name}.{block}.body"))
        down.append(x)
        if stage == _LAST_INTEGER_STAGE:
            integer_nodes = graph.node_count
    levels: list[str] = []
    up = ""
    for level, beside in reversed(list(enumerate(down))):
        lateral = _unit(graph, beside, f"laterals.{level}")
        up = graph.apply("Add", lateral, graph.enlarged_twice(up)) if up else lateral
        head = _separable(graph, up, f"heads.{level}.0")
        head = _separable(graph, head, f"heads.{level}.1")
        levels.insert(0, graph.convolution(head, f"heads.{level}.2"))
    return graph.model(levels), integer_nodes


def _unit(graph: GraphBuilder, x: str, name: str, *, stride: int = 1) -> str:
    """`ConvNormRelu`; the shape of its weight gives the number of groups."""
    weight = graph.tensor(f"{name}.0.weight")
    groups = weight.shape[0] if weight.shape[1] == 1 else 1
    return graph.convolution(x, f"{name}.0", f"{name}.1", stride=stride, groups=groups, relu=True)


def _separable(graph: GraphBuilder, x: str, name: str, *, stride: int = 1) -> str:
    """`separable`: a depthwise 3x3, then a 1x1."""
    return _unit(graph, _unit(graph, x, f"{name}.0", stride=stride), f"{name}.1")
