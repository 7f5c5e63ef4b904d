"""The U-net as an ONNX graph: `networks/unet.py` and the reading of its maps without torch.

crops (B, S, S, 3) uint8 -> (B, L, 3) float32: x, y, spread
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx

from models.landmarks.card import LandmarkCard
from models.onnx_builder import GraphBuilder
from models.tensor_file import Tensors

_HALVINGS: Final = 5


def unet_graph(tensors: Tensors, card: LandmarkCard) -> tuple[bytes, int]:
    """The network of these tensors as an ONNX model in float32.

    Its output is (B, L, 3) float32: x, y in crop pixels by soft-argmax, and the expected
    distance in crop pixels, as `read_places_and_spreads` reads them.

    Args:
        tensors: of the network, by the names that `UNet` gives them.
        card: of the weights file.

    Returns: the model, and how many of its nodes `quantized` may make integer ones: all before
        the heatmaps.

    Raises:
        KeyError, ValueError: the tensors belong to another network.
    """
    size_px, blocks = card.crop_size_px, card.settings.get("blocks", 1)
    assert isinstance(blocks, int)  # checked by `card_from_metadata`
    graph = GraphBuilder(
        tensors, {"crops": (onnx.TensorProto.UINT8, ("crops", size_px, size_px, 3))}
    )
    x = graph.pixels("crops", card.pixel_mean_rgb, card.pixel_std_rgb)
    x = graph.convolution(x, "stem.0", "stem.1", stride=2, relu=True)
    seen = []
    for size in range(_HALVINGS - 1):
        x = graph.convolution(x, f"down.{size}.0", f"down.{size}.1", stride=2, relu=True)
        for block in range(blocks):
            x = _residual(graph, x, f"down.{size}.{3 + block}")
        seen.append(x)
    for size, skip in enumerate(reversed(seen[:-1])):
        lateral = graph.convolution(x, f"laterals.{size}.0", f"laterals.{size}.1")
        added = graph.apply("Add", graph.enlarged_twice(lateral), skip)
        x = _residual(graph, graph.apply("Relu", added), f"up.{size}")
    count = len(graph.tensor("output.bias")) // 2
    integer_nodes = graph.node_count
    maps = graph.convolution(x, "output")
    return graph.model([_read_maps(graph, maps, count, size_px, card.spread_scale)]), integer_nodes


def _residual(graph: GraphBuilder, x: str, name: str) -> str:
    change = graph.convolution(x, f"{name}.body.0", f"{name}.body.1", relu=True)
    change = graph.convolution(change, f"{name}.body.3", f"{name}.body.4")
    return graph.apply("Relu", graph.apply("Add", x, change))


def _read_maps(
    graph: GraphBuilder, maps: str, count: int, crop_size_px: int, spread_scale: float
) -> str:
    """(B, 2 L, h, w) maps to (B, L, 3) x, y, spread in crop pixels."""
    side = crop_size_px // 4
    flat = graph.apply("Reshape", maps, graph.constant(np.array([0, 2 * count, side * side])))
    places, log_spreads = graph.split(flat, [count, count], axis=1)  # (B, L, h w)
    share = graph.apply("Softmax", places, axis=-1)
    y, x = np.divmod(np.arange(side * side), side)
    centres = (np.stack([x, y], axis=1).astype(np.float32) + 0.5) * (crop_size_px / side) - 0.5
    points = graph.apply("MatMul", share, graph.constant(centres))  # (B, L, 2)
    mean = graph.apply(
        "ReduceSum", graph.apply("Mul", share, log_spreads), graph.constant(np.array([-1]))
    )
    scale = graph.constant(np.float32(spread_scale * crop_size_px))
    spread = graph.apply("Mul", graph.apply("Exp", mean), scale)
    return graph.apply("Concat", points, spread, axis=-1)
