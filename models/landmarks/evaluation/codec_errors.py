"""Errors of the heatmap codecs on synthetic heatmaps with known landmarks."""

from __future__ import annotations

import dataclasses
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from models.landmarks.networks.heatmap_codecs import decode_heatmaps, encode_heatmaps
from schemas.choices import GAUSSIAN_CODECS, SIGMA_PX

#: Errors of networks are correlated between neighbouring pixels, so the noise is blurred.
_NOISE_BLUR_PX: Final = 0.7
_NOISE_BLUR_RADIUS_PX: Final = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Disturbance:
    """How heatmaps differ from the Gaussians of Eq. 1 that the codecs expect.

    name: its label in tables.
    noise: standard deviation of the noise before it is blurred; a heatmap's peak is 1.
    sigma_px: true standard deviation of the Gaussians; codecs assume SIGMA_PX.
    at_edge: landmarks within 3 px of the left and upper edges, instead of well inside.
    """

    name: str
    noise: float = 0.0
    sigma_px: float = SIGMA_PX
    at_edge: bool = False


DISTURBANCES: Final = (
    Disturbance("none"),
    Disturbance("noise 0.01", noise=0.01),
    Disturbance("noise 0.05", noise=0.05),
    Disturbance("true sigma 2.5", sigma_px=2.5),
    Disturbance("noise 0.01, at the edge", noise=0.01, at_edge=True),
    Disturbance("true sigma 2.5, at the edge", sigma_px=2.5, at_edge=True),
)


def codec_errors_px(disturbance: Disturbance, *, count: int, seed: int = 0) -> dict[str, float]:
    """Mean distance of the decoded from the true landmarks, in pixels of 64x64 heatmaps."""
    heatmaps, landmarks = disturbed_heatmaps(disturbance, count=count, size_px=64, seed=seed)
    return {
        codec: float((decode_heatmaps(heatmaps, codec) - landmarks).norm(dim=-1).mean())
        for codec in GAUSSIAN_CODECS
    }


def disturbed_heatmaps(
    disturbance: Disturbance, *, count: int, size_px: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Heatmaps (N, S, S) float32 and their landmarks (N, 2)."""
    generator = torch.Generator().manual_seed(seed)
    low, high = (-0.5, 3.0) if disturbance.at_edge else (0.2 * size_px, 0.8 * size_px)
    landmarks = low + (high - low) * torch.rand(count, 2, generator=generator)
    heatmaps = encode_heatmaps(landmarks, size_px, size_px, disturbance.sigma_px)
    padded = size_px + 2 * _NOISE_BLUR_RADIUS_PX
    noise = _blurred(torch.randn(count, padded, padded, generator=generator))
    return heatmaps + disturbance.noise * noise, landmarks


def _blurred(noise: Tensor) -> Tensor:
    """Blurred noise without its padding; the standard deviation is not restored."""
    at = torch.arange(-_NOISE_BLUR_RADIUS_PX, _NOISE_BLUR_RADIUS_PX + 1.0)
    kernel = (-0.5 * (at / _NOISE_BLUR_PX).square()).exp()
    kernel = kernel / kernel.sum()
    along_x = functional.conv2d(noise.unsqueeze(1), kernel.view(1, 1, 1, -1))
    return functional.conv2d(along_x, kernel.view(1, 1, -1, 1)).squeeze(1)
