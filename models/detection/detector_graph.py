"""The face detector's network as an ONNX graph: `network.py` without torch, for inference.

image (1, H, W, 3) uint8, H and W multiples of 64 -> four maps (1, 5, H / stride, W / stride)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy.typing as npt
import onnx

from models.detection.weights_file import NEUTRAL_GREY, PIXEL_SCALE, DetectorConfig
from models.onnx_builder import GraphBuilder

#: Residual bodies of two plain 3x3 convolutions; the others are two separable ones a block.
_PLAIN_STAGES: Final = (0, 1)


def detector_graph(tensors: Mapping[str, npt.NDArray[Any]], config: DetectorConfig) -> bytes:
    """The network of these tensors as an ONNX model.

    Args:
        tensors: of a file of `save_detector_weights`.
        config: of the network.

    Raises:
        KeyError, ValueError: the tensors belong to another network.
    """
    shape = (1, "height", "width", 3)
    graph = GraphBuilder(tensors, {"image": (onnx.TensorProto.UINT8, shape)})
    x = graph.pixels("image", [NEUTRAL_GREY], [PIXEL_SCALE])
    for layer in range(2):
        x = _unit(graph, x, f"stem.{layer}", stride=2)
    down = []
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
    levels: list[str] = []
    up = ""
    for level, beside in reversed(list(enumerate(down))):
        lateral = _unit(graph, beside, f"laterals.{level}")
        up = graph.apply("Add", lateral, graph.enlarged_twice(up)) if up else lateral
        head = _separable(graph, up, f"heads.{level}.0")
        head = _separable(graph, head, f"heads.{level}.1")
        levels.insert(0, graph.convolution(head, f"heads.{level}.2"))
    return graph.model(levels)


def _unit(graph: GraphBuilder, x: str, name: str, *, stride: int = 1) -> str:
    """`ConvNormRelu`; the shape of its weight gives the number of groups."""
    weight = graph.tensor(f"{name}.0.weight")
    groups = weight.shape[0] if weight.shape[1] == 1 else 1
    return graph.convolution(x, f"{name}.0", f"{name}.1", stride=stride, groups=groups, relu=True)


def _separable(graph: GraphBuilder, x: str, name: str, *, stride: int = 1) -> str:
    """`separable`: a depthwise 3x3, then a 1x1."""
    return _unit(graph, _unit(graph, x, f"{name}.0", stride=stride), f"{name}.1")
