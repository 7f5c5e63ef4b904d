"""Tunes `models.stabilization.mode_smoother` on training tracks."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

from models.stabilization.loss import StabilizerLoss
from models.stabilization.mode_smoother import SmootherParameters, smooth_track
from models.stabilization.track_batch import TrackBatch

__all__ = ["measured_jitter", "run_mode_smoother", "tune_mode_smoother"]

Array = npt.NDArray[np.float64]

_FIRST_AGILITY: Final = (1e4, 3e4, 1e5)
_AGILITY_GAIN: Final = (4.0, 8.0, 16.0)
_LEAST_JITTER: Final = 1e-6


def run_mode_smoother(batch: TrackBatch, parameters: SmootherParameters) -> Array:
    """(B, T, 68, 2): whole tracks through the smoother; the padding stays as it is."""
    smooth = batch.raw.copy()
    for track, (length, fps) in enumerate(zip(batch.lengths, batch.fps, strict=True)):
        seconds = np.arange(length) / fps
        smooth[track, :length] = smooth_track(batch.raw[track, :length], seconds, parameters)
        smooth[track, length:] = smooth[track, length - 1]
    return smooth


def measured_jitter(batch: TrackBatch, eigenvectors: Array) -> Array:
    """(136,): half the mean square change of the error of each mode, of the median track.

    The median, because a network that does not follow a mouth errs by the mouth's motion.
    """
    changes = np.diff(batch.raw - batch.truth, axis=1).reshape(len(batch), -1, len(eigenvectors))
    squares = (changes @ eigenvectors) ** 2 * batch.frames[:, 1:, None]
    each = squares.sum(1) / (batch.lengths - 1)[:, None]
    return np.asarray(np.median(each, axis=0) / 2)


def tune_mode_smoother(
    batch: TrackBatch, eigenvectors: Array, loss_of: StabilizerLoss
) -> SmootherParameters:
    """Measures the jitter of each mode, then searches what is left on a small grid."""
    jitter = measured_jitter(batch, eigenvectors)
    start = SmootherParameters(eigenvectors, np.maximum(jitter, _LEAST_JITTER))
    choices = [
        dataclasses.replace(start, first_agility=first, agility_gain=gain)
        for first, gain in itertools.product(_FIRST_AGILITY, _AGILITY_GAIN)
    ]
    losses = [float(loss_of(run_mode_smoother(batch, choice))) for choice in choices]
    return choices[int(np.argmin(losses))]
