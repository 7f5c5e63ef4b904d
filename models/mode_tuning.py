"""Tunes `models.mode_smoother` on training tracks, each mode of motion by itself."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.mode_smoother import SmootherParameters, smooth_modes
from models.stabilizer_loss import LossWeights
from models.track_batch import TrackBatch

__all__ = ["run_mode_smoother", "tune_mode_smoother"]

Array = npt.NDArray[np.float64]

#: Agilities to choose from, s^-3; the least keeps the smoother's memory within its lookahead.
_CHOICES: Final = np.geomspace(30.0, 3e7, 25)


def run_mode_smoother(batch: TrackBatch, parameters: SmootherParameters) -> Array:
    """(B, T, 68, 2): whole tracks through the smoother, without its bound on memory."""
    modes = _modes(batch.raw, parameters.eigenvectors)
    smooth = _smooth(batch, modes, parameters.agility)
    return (smooth @ parameters.eigenvectors.T).reshape(batch.raw.shape)


def tune_mode_smoother(
    batch: TrackBatch, eigenvectors: Array, weights: LossWeights
) -> SmootherParameters:
    """The agility of each mode with the least loss.

    The loss is Eq. 11 with Eq. 15 for its smoothness and without its time-delay term (a
    smoother has no delay): a sum over modes, so each is tuned alone and the best is found.
    """
    modes, truth = _modes(batch.raw, eigenvectors), _modes(batch.truth, eigenvectors)
    frames, lengths = batch.frames[..., None], batch.lengths.sum()
    losses = []
    for agility in _CHOICES:
        smooth = _smooth(batch, modes, np.full(len(eigenvectors), agility))
        euclid = ((smooth - truth) ** 2 * frames).sum((0, 1)) / lengths
        bend = np.diff(smooth, n=2, axis=1) / 2
        rough = (bend**2 * frames[:, 2:]).sum((0, 1)) / (lengths - 2 * len(batch))
        losses.append(euclid + weights.smooth * rough)
    return SmootherParameters(eigenvectors, _CHOICES[np.argmin(losses, axis=0)])


def _modes(landmarks: Array, eigenvectors: Array) -> Array:
    return landmarks.reshape(*landmarks.shape[:2], -1) @ eigenvectors


def _smooth(batch: TrackBatch, modes: Array, agility: Array) -> Array:
    """(B, T, 136); the padding repeats the last frame, so each track is cut out before."""
    smooth = modes.copy()
    for length in np.unique(batch.lengths):
        which = batch.lengths == length
        steps = np.broadcast_to((1 / batch.fps[which])[None, :, None], (length, which.sum(), 1))
        own = np.swapaxes(modes[which, :length], 0, 1)
        smooth[which, :length] = np.swapaxes(smooth_modes(own, steps, agility)[0], 0, 1)
    return smooth
