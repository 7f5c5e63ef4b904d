"""Weights of one landmark network as the start of another: 2D into 3D, plain into recurrent.

    the same shape            taken as it is
    2D into 3D convolution    the kernel in the middle tap of time, zeros before and after
    FC of one frame into      its weights on the last frame, zeros on those before
      that of three
    anything else             stays as it was initialized

The middle tap, not a third in each: time is padded with zeros, so thirds would give the last
frame, which is the one to predict, two thirds of its features. With the middle tap every frame
has exactly the 2D network's features, whatever the frames show, so 3D predicts what 2D does,
3DFCN what 2DFCN does, and 3DRNN what 2DRNN does. The zeros have gradients, so motion is
learned from there.

Where an LSTM takes the place of FC1, it is new, and so is the output that reads it: its inputs
mean something else. The decoder of the heatmap networks is kept behind a new ConvLSTM: what
it draws from features changes less than what a ConvLSTM has to learn.
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

__all__ = ["Inflation", "inflate"]

_COORDINATES: Final = frozenset({"2d", "3d", "2drnn", "3drnn"})
_FAMILIES: Final = (
    _COORDINATES,
    frozenset({"2dfcn", "3dfcn", "2dfcrnn", "3dfcrnn"}),
    frozenset({"hourglass"}),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Inflation:
    """What became of a network's layers, by name: taken as they were, inflated, or new."""

    taken: tuple[str, ...]
    inflated: tuple[str, ...]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        """For people: how many of each, and which are new."""
        new = ", ".join(self.fresh) or "none"
        return f"{len(self.taken)} layers taken, {len(self.inflated)} inflated; new: {new}"


@torch.no_grad()
def inflate(
    network: LandmarkNetwork, name: str, tensors: Mapping[str, Tensor], source: str
) -> Inflation:
    """Starts `network` from another's tensors, layer by layer; changes it in place.

    Args:
        network: freshly initialized.
        name: its name, of NETWORK_NAMES.
        tensors: floating tensors of a landmark network's state, of any precision.
        source: that network's name.

    Raises:
        UsageError: the two have no layer in common that could be taken.
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
    """The tensor as it is, or inflated to the shape; None where it does not fit."""
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
