"""The loss that stabilizers are trained and tuned by (FHR, Eq. 11-15).

Lengths are in units of a face of size 100, which makes the three terms of one order of
magnitude, as the paper asks, whatever the size of the face in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.stabilization.track_batch import TrackBatch
from schemas.landmarks import LANDMARK_COUNT

__all__ = ["LossWeights", "StabilizerLoss"]

#: |dp|^2 at which the time-delay term fades out: landmarks that move by half a unit a frame.
#: Without it a still face, whose direction of motion means nothing, would dominate.
_STILL: Final = LANDMARK_COUNT * 0.5**2


@dataclass(frozen=True, slots=True)
class LossWeights:
    """lambda_1 (smoothness), lambda_2 (time delay), lambda_3 (freedom along the path)."""

    smooth: float = 1.0
    delay: float = 10.0
    midpoint: float = 1.0


class StabilizerLoss:
    """L = L_reg + lambda_1 L_tm of stabilized tracks, against their truth.

    Args:
        batch: the tracks.
        weights: the lambdas; `midpoint` may be infinite (Eq. 15).
        dtype: of the computation.
    """

    def __init__(
        self,
        batch: TrackBatch,
        weights: LossWeights = LossWeights(),
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.weights = weights
        frames = torch.from_numpy(batch.frames).to(dtype)
        self._lengths = torch.from_numpy(batch.lengths).to(dtype)
        self._truth = torch.from_numpy(batch.truth).to(dtype).flatten(2)  # (B, T, 136)
        self._later = frames[:, 1:]  # t >= 2
        self._inner = frames[:, 2:]  # t of which t + 1 is there, counted from 2
        changes = self._truth.diff(dim=1)
        self._pseudo_inverse = changes / (changes.square().sum(-1, keepdim=True) + _STILL)

    def rotate(self, basis: Tensor) -> None:
        """From now on takes (B, T, 136) in this orthonormal basis; the loss is the same."""
        self._truth = self._truth @ basis
        self._pseudo_inverse = self._pseudo_inverse @ basis

    def __call__(self, stabilized: Tensor | npt.NDArray[np.float64]) -> Tensor:
        """The loss of (B, T, 136) or (B, T, 68, 2) landmarks, a scalar."""
        x = torch.as_tensor(stabilized).to(self._truth.dtype)
        x = x.reshape(self._truth.shape)
        off = (x - self._truth)[:, 1:]  # (B, T-1, 136)
        euclid = (off.square().sum(-1) * self._later).sum() / self._lengths.sum()
        delayed = (self._pseudo_inverse * off).sum(-1).square()
        delay = (delayed * self._later).sum() / (self._lengths - 1).sum()
        rough = (self._roughness(x) * self._inner).sum() / (self._lengths - 2).sum()
        return euclid + self.weights.delay * delay + self.weights.smooth * rough

    def _roughness(self, x: Tensor) -> Tensor:
        """(B, T-2): Eq. 13 of each frame with its best q, in closed form."""
        before, now, after = x[:, :-2], x[:, 1:-1], x[:, 2:]
        if np.isinf(self.weights.midpoint):
            return (now - (before + after) / 2).square().sum(-1)
        step, chord = now - after, before - after
        stiffness = self.weights.midpoint
        along = (step * chord).sum(-1) + stiffness / 2
        q = along / (chord.square().sum(-1) + stiffness + 1e-12)
        aside = (step - q[..., None] * chord).square().sum(-1)
        return aside + stiffness * (q - 0.5).square()
