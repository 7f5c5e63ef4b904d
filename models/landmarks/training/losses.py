"""Losses of landmark networks: squared error or normalized distance.

Coordinates use either; heatmaps use the squared error, or the distance where soft-argmax decodes
them, since it is differentiable. Unlabelled landmarks are NaN in the truth and are ignored.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Final, Literal

import torch
from torch import Tensor

from models.landmarks.networks.heatmap_codecs import (
    encode_heatmaps,
    soft_argmax,
    soft_argmax_spread,
)
from models.landmarks.networks.hourglass import StackedHourglass
from models.landmarks.networks.landmark_network import LandmarkNetwork
from schemas.landmarks import OUTER_EYE_CORNERS

#: Centres of the target Gaussians: the landmarks, or the pixels that contain them.
HeatmapCentres = Literal["fractional", "integer"]

#: Weight of a nat of the divergence from the Gaussian, relative to an interocular distance.
_SHAPE_WEIGHT: Final = 0.01
#: Weight of a nat of the spread's likelihood, relative to an interocular distance.
_SPREAD_WEIGHT: Final = 0.005
#: Weight of lids and inner lips, which move seldom and contribute little to the mean.
_MOVING_WEIGHT: Final = 2.0
_MOVING: Final = (37, 38, 40, 41, 43, 44, 46, 47, 60, 61, 62, 63, 64, 65, 66, 67)
#: Pairs of upper and lower landmarks whose distance is an opening of eyes or mouth, and its weight.
_OPENINGS: Final = ((37, 41), (38, 40), (43, 47), (44, 46), (61, 67), (62, 66), (63, 65))
_OPENING_WEIGHT: Final = 1.3
#: An eye's opening error has weight 1 + this * exp(-opening / scale), in interocular distances.
_SHUT_EYE_WEIGHT: Final = 3.0
_EYE_OPENING_SCALE: Final = 0.03
_EYE_OPENINGS: Final = 4  # the first of the pairs


@dataclasses.dataclass(frozen=True, slots=True)
class LandmarkLoss:
    """The loss of a network.

    forward: normalized windows (B, T, 3, S, S) to the output to compare.
    compare: output and landmarks (B, L, 2) in crop units to a scalar.
    """

    forward: Callable[[Tensor], Tensor]
    compare: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, windows: Tensor, truth: Tensor, *, bfloat16: bool = False) -> Tensor:
        """The loss; `bfloat16` applies to the network, not to the comparison."""
        with torch.autocast(windows.device.type, torch.bfloat16, enabled=bfloat16):
            output = self.forward(windows)
        return self.compare(output.float(), truth)


def landmark_loss(
    network: LandmarkNetwork,
    codec: str,
    sigma_px: float,
    coordinate_loss: Literal["squares", "distance"] = "distance",
    heatmap_centres: HeatmapCentres = "fractional",
) -> LandmarkLoss:
    """The loss of `network`, which depends on how its output will be decoded.

    A stacked hourglass is compared after every stack (FHR, "Training Setting").

    Args:
        network: any network of either paper.
        codec: that will decode its heatmaps, one of CODECS.
        sigma_px: of the heatmaps that heatmap networks are compared with, in heatmap pixels.
        coordinate_loss: how coordinates are compared.
        heatmap_centres: of the heatmaps that squares are compared with.
    """
    if network.heatmap_stride is None:
        squares = coordinate_loss == "squares"
        return LandmarkLoss(network, squared_distance if squares else normalized_distance)
    if network.makes_spread:
        return LandmarkLoss(network, functools.partial(spread_loss, sigma_px=sigma_px))
    compare = (
        functools.partial(soft_argmax_loss, sigma_px=sigma_px)
        if codec == "soft_argmax"
        else functools.partial(heatmap_loss, sigma_px=sigma_px, centres=heatmap_centres)
    )
    if isinstance(network, StackedHourglass):
        return LandmarkLoss(network.all_stacks, compare)
    return LandmarkLoss(lambda windows: network(windows)[:, None], compare)


def squared_distance(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean of the squares (local-motion paper, Eq. 1, over coordinates too).

    Args:
        predicted, truth: (B, L, 2), in any one unit.
    """
    known = truth.isfinite()
    squares = (predicted - truth.where(known, predicted)).square()
    return squares.sum() / known.sum()


def normalized_distance(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean over landmarks and samples of the distance over the interocular distance.

    Args:
        predicted, truth: (B, L, 2), in any one unit; the outer corners of the eyes are known.
    """
    _, distance, known = _compared(predicted, truth)
    normalized: Tensor = distance.sum(-1) / known.sum(-1) / _interocular(truth)
    return normalized.mean()


def _compared(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets (B, L, 2), distances (B, L), whether the landmark is known (B, L); 0 where not."""
    known = truth.isfinite().all(-1)
    offset = predicted - truth.where(known[..., None], predicted)
    return offset, (offset.square().sum(-1) + 1e-8).sqrt() * known, known


def _interocular(truth: Tensor) -> Tensor:
    """The distance of the outer eye corners, (B, L, 2) to (B,); at least half the batch's median.

    Profiles, whose eyes nearly coincide, thus weigh at most twice as much as the median face.
    """
    right, left = OUTER_EYE_CORNERS
    interocular: Tensor = (truth[:, right] - truth[:, left]).norm(dim=-1)
    return interocular.clamp(min=interocular.median() / 2)


def heatmap_loss(
    heatmaps: Tensor, truth: Tensor, sigma_px: float, centres: HeatmapCentres = "fractional"
) -> Tensor:
    """Squared distance to the encoded heatmaps (FHR Eq. 2), relative to an empty prediction.

    1 for an empty prediction and 0 for a perfect one, whatever the size of the maps.

    Args:
        heatmaps: (B, N, L, h, w) of N stacks.
        truth: (B, L, 2) in crop units.
        sigma_px: heatmap pixels.
        centres: "fractional", the landmarks themselves (FHR); "integer", the pixels that they
            lie in, as in conventional heatmap regression, which FHR is compared with (Table 1).
    """
    height, width = heatmaps.shape[-2:]
    known = truth.isfinite().all(-1)[:, None, :, None, None]  # (B, 1, L, 1, 1)
    truth_px = _heatmap_px(truth.nan_to_num(), heatmaps)
    if centres == "integer":
        truth_px = truth_px.round()
    wanted = encode_heatmaps(truth_px, height, width, sigma_px)[:, None]
    return ((heatmaps - wanted).square() * known).mean() / (wanted.square() * known).mean()


def soft_argmax_loss(heatmaps: Tensor, truth: Tensor, sigma_px: float) -> Tensor:
    """`normalized_distance` of the soft-argmax, and the shape of the softmax (Nibali et al. 2018).

    The shape is compared by the Kullback-Leibler divergence from a Gaussian about the truth;
    landmarks outside of the map have none.

    Args:
        heatmaps: (B, N, L, h, w) of N stacks.
        truth: (B, L, 2) in crop units.
        sigma_px: heatmap pixels.
    """
    truth_px = _heatmap_px(truth, heatmaps)
    predicted_px, log_share = soft_argmax(heatmaps)  # (B, N, L, 2), (B, N, L, h, w)
    stacks = heatmaps.shape[1]
    distance = normalized_distance(
        predicted_px.flatten(0, 1), truth_px.repeat_interleave(stacks, dim=0)
    )
    return distance + _SHAPE_WEIGHT * _shape_divergence(log_share, truth_px, sigma_px)


def spread_loss(maps: Tensor, truth: Tensor, sigma_px: float) -> Tensor:
    """`soft_argmax_loss` of maps with spreads, with more weight on eyes and mouth.

    Adds the error of the openings of eyes and mouth, most of all of shut eyes, and the likelihood
    of each distance d under an exponential distribution, d / spread + log spread, whose best
    spread is the expected distance. The distance is detached: the likelihood trains spreads only.

    Args:
        maps: (B, 2 L, h, w), places and log spreads in units of the crop's side.
        truth: (B, L, 2) in crop units.
        sigma_px: of the shape, heatmap pixels.
    """
    places, log_spreads = maps.chunk(2, dim=1)  # (B, L, h, w)
    truth_px = _heatmap_px(truth, places)
    predicted_px, log_share = soft_argmax(places)  # (B, L, 2), (B, L, h, w)
    offset, distance_px, known = _compared(predicted_px, truth_px)
    interocular = _interocular(truth_px)[:, None]
    weight = known.to(distance_px.dtype)
    weight[:, _MOVING] *= _MOVING_WEIGHT
    upper, lower = (list(rows) for rows in zip(*_OPENINGS, strict=True))
    opening = (offset[:, upper] - offset[:, lower]).square().sum(-1)  # (B, pairs)
    true_opening = (truth_px[:, upper] - truth_px[:, lower]).norm(dim=-1) / interocular
    counts = 1 + _SHUT_EYE_WEIGHT * (-true_opening / _EYE_OPENING_SCALE).exp()
    counts[:, _EYE_OPENINGS:] = 1.0
    counts = counts.nan_to_num()  # of unlabelled ones, whose offset is 0
    log_spread = soft_argmax_spread(log_spreads, log_share.detach()).log()  # (B, L)
    log_spread = log_spread + math.log(maps.shape[-1])
    likelihood = distance_px.detach() * (-log_spread).exp() + log_spread
    loss: Tensor = (
        (distance_px * weight / interocular).sum() / weight.sum()
        + _OPENING_WEIGHT * ((opening + 1e-8).sqrt() * counts / interocular).mean()
        + _SHAPE_WEIGHT * _shape_divergence(log_share[:, None], truth_px, sigma_px)
        + _SPREAD_WEIGHT * (likelihood * known).sum() / known.sum()
    )
    return loss


def _shape_divergence(log_share: Tensor, truth_px: Tensor, sigma_px: float) -> Tensor:
    """Mean Kullback-Leibler divergence of softmaxes from a Gaussian about the truth, in nats.

    Landmarks outside of the map have no shape and count as 0.

    Args:
        log_share: (B, N, L, h, w) of N stacks.
        truth_px: (B, L, 2) heatmap pixels.
    """
    height, width = log_share.shape[-2:]
    wanted = encode_heatmaps(truth_px.nan_to_num(), height, width, sigma_px)[:, None]
    wanted = wanted / wanted.sum((-1, -2), keepdim=True).clamp(min=1e-6)
    divergence = (wanted.xlogy(wanted) - wanted * log_share).sum((-1, -2))  # (B, N, L)
    far = truth_px.new_tensor([width - 0.5, height - 0.5])
    inside = ((truth_px > -0.5) & (truth_px < far)).all(-1)[:, None]
    mean: Tensor = (divergence * inside).mean()
    return mean


def _heatmap_px(truth: Tensor, heatmaps: Tensor) -> Tensor:
    """Crop units to (x, y) heatmap pixels."""
    height, width = heatmaps.shape[-2:]
    return (truth + 0.5) * truth.new_tensor([width, height]) - 0.5
