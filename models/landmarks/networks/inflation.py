"""Initializes one landmark network from the weights of another: 2D to 3D, plain to recurrent.

    the same shape            copied
    2D into 3D convolution    the kernel in the middle tap of time, zeros before and after
    FC of one frame into      its weights on the last frame, zeros on those before
      that of three
    anything else             keeps its random initialization

The middle tap, not a third in each: time is padded with zeros, so thirds would give the last
frame, whose landmarks are predicted, two thirds of its features. With the middle tap every frame
has exactly the 2D network's features, so 3D, 3DFCN and 3DRNN start with the predictions of 2D,
2DFCN and 2DRNN. The zeros have gradients, so the network can learn motion.

Where an LSTM replaces FC1, it is new, and so is the output layer, whose inputs have another
meaning. The decoder of the heatmap networks is kept behind a new ConvLSTM.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from models.landmarks.networks.coordinate_network import FEATURE_CHANNELS, WINDOW_FRAMES
from models.landmarks.networks.landmark_network import LandmarkNetwork
from schemas.errors import UsageError

_COORDINATES: Final = frozenset({"2d", "3d", "2drnn", "3drnn"})
_FAMILIES: Final = (
    _COORDINATES,
    frozenset({"2dfcn", "3dfcn", "2dfcrnn", "3dfcrnn"}),
    frozenset({"hourglass"}),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Inflation:
    """Names of a network's layers that were copied, inflated, or left new."""

    taken: tuple[str, ...]
    inflated: tuple[str, ...]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        new = ", ".join(self.fresh) or "none"
        return f"{len(self.taken)} layers taken, {len(self.inflated)} inflated; new: {new}"


@torch.no_grad()
def inflate(
    network: LandmarkNetwork, name: str, tensors: Mapping[str, Tensor], source: str
) -> Inflation:
    """Initializes `network` from another's tensors, layer by layer, in place.

    Args:
        network: freshly initialized.
        name: its name, of NETWORK_NAMES.
        tensors: floating tensors of a landmark network's state, of any precision.
        source: that network's name.

    Raises:
        UsageError: no layer of the two networks matches.
    """
    if not any({name, source} <= family for family in _FAMILIES) or (
        source.startswith("3d") and name.startswith("2d")
    ):
        raise UsageError(f"{name}: cannot start from weights of {source}")
    other_inputs = name in _COORDINATES and name.endswith("rnn") != source.endswith("rnn")
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            layer, _, part = key.rpartition(".")
            layers[layer][part] = tensor
    taken: list[str] = []
    inflated: list[str] = []
    fresh: list[str] = []
    for layer, parts in layers.items():
        given = {part: tensors.get(f"{layer}.{part}") for part in parts}
        fitted = {
            part: new
            for part, tensor in parts.items()
            if (new := _fitted(given[part], tensor.shape)) is not None
        }
        if len(fitted) < len(parts) or (layer == "output" and other_inputs):
            fresh.append(layer)
            continue
        for part, new in fitted.items():
            parts[part].copy_(new)
        same = all(new is given[part] for part, new in fitted.items())
        (taken if same else inflated).append(layer)
    if not taken:
        raise UsageError(f"{name}: no layer has the size of its counterpart in the {source} given")
    return Inflation(tuple(taken), tuple(inflated), tuple(fresh))


def _fitted(given: Tensor | None, shape: torch.Size) -> Tensor | None:
    """The tensor, inflated to the shape if needed; None where it does not fit."""
    if given is None or given.shape == shape:
        return given
    if len(shape) == 5 and given.shape == (*shape[:2], *shape[3:]):  # kernels: O, I, T, H, W
        kernel = given.new_zeros(shape)
        kernel[:, :, shape[2] // 2] = given
        return kernel
    if given.ndim == 2 and shape == (len(given), WINDOW_FRAMES * given.shape[1]):  # FC1
        of_frame = given.reshape(len(given), FEATURE_CHANNELS, -1)  # (O, C, H W)
        before = torch.zeros_like(of_frame)
        return torch.stack([before, before, of_frame], dim=2).flatten(1)  # (O, C T H W)
    return None
