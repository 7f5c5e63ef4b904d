"""Losses of landmark networks: coordinates by the metric itself, heatmaps by their squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from models.networks.heatmap_codecs import encode_heatmaps
from models.networks.hourglass import StackedHourglass
from models.networks.landmark_network import LandmarkNetwork
from schemas.landmarks import OUTER_EYE_CORNERS

__all__ = ["LandmarkLoss", "heatmap_loss", "landmark_loss", "normalized_distance"]

#: (normalized windows (B, T, 3, S, S), landmarks (B, L, 2) in crop units) to a scalar.
LandmarkLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def landmark_loss(network: LandmarkNetwork, sigma_px: float) -> LandmarkLoss:
    """The loss that `network` is trained by: `normalized_distance`, or `heatmap_loss`.

    A stacked hourglass is compared after every stack (FHR, "Training Setting").

    Args:
        network: any network of either paper.
        sigma_px: of the heatmaps that heatmap networks are compared with, in heatmap pixels.
    """
    if network.heatmap_stride is None:
        return lambda windows, truth: normalized_distance(network(windows), truth)
    if isinstance(network, StackedHourglass):
        return lambda windows, truth: heatmap_loss(network.all_stacks(windows), truth, sigma_px)
    return lambda windows, truth: heatmap_loss(network(windows)[:, None], truth, sigma_px)


def normalized_distance(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean over landmarks and samples of the distance over the interocular distance.

    Profiles, whose eyes nearly coincide, are bounded to twice the median weight of a batch.

    Args:
        predicted, truth: (B, L, 2), in any one unit.
    """
    right, left = OUTER_EYE_CORNERS
    interocular = (truth[:, right] - truth[:, left]).norm(dim=-1)  # (B,)
    interocular = interocular.clamp(min=interocular.median() / 2)
    distance = ((predicted - truth).square().sum(-1) + 1e-8).sqrt()  # (B, L)
    normalized: Tensor = distance.mean(-1) / interocular
    return normalized.mean()


def heatmap_loss(heatmaps: Tensor, truth: Tensor, sigma_px: float) -> Tensor:
    """Squared distance to the encoded heatmaps (FHR Eq. 2), relative to an empty prediction.

    1 where nothing is predicted and 0 where all is, whatever the size of the maps is.

    Args:
        heatmaps: (B, N, L, h, w) of N stacks.
        truth: (B, L, 2) in crop units.
        sigma_px: heatmap pixels.
    """
    height, width = heatmaps.shape[-2:]
    size = truth.new_tensor([width, height])
    wanted = encode_heatmaps((truth + 0.5) * size - 0.5, height, width, sigma_px)[:, None]
    return (heatmaps - wanted).square().mean() / wanted.square().mean()
