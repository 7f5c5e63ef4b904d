"""Runs stabilizers over many tracks, and tunes the offline smoother on them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from models.stabilization.fitting.track_batch import TrackBatch
from models.stabilization.mode_smoother import ModeSmoother, SmootherParameters
from models.stabilization.stabilizers import Stabilizer, stabilize_track

Array = npt.NDArray[np.float64]

_REST_AGILITY: Final = (3.0, 10.0, 30.0)
_AGILITY_GAIN: Final = (4.0, 8.0, 16.0)
_MIN_JITTER: Final = 1e-6


def run_mode_smoother(batch: TrackBatch, parameters: SmootherParameters) -> Array:
    """(B, T, 68, 2): each track as a whole through the smoother; the padding stays as it is."""
    frames = batch.raw.shape[1]
    return run_stabilizer(batch, lambda: ModeSmoother(parameters, chunk=frames + 1, lookahead=0))


def run_stabilizer(batch: TrackBatch, new: Callable[[], Stabilizer]) -> Array:
    """(B, T, 68, 2): each track through a stabilizer of its own; the padding stays as it is."""
    steadied = batch.raw.copy()
    for track, (length, fps) in enumerate(zip(batch.lengths, batch.fps, strict=True)):
        raw, seconds = batch.raw[track, :length], np.arange(length) / fps
        steadied[track, :length] = stabilize_track(new(), seconds, raw)
    return steadied


def measured_jitter(batch: TrackBatch, eigenvectors: Array) -> Array:
    """(136,): half the mean square change of the error of each mode, of the median track.

    The median, because a network that does not follow a mouth errs by the mouth's motion.
    """
    changes = np.diff(batch.raw - batch.truth, axis=1).reshape(len(batch), -1, len(eigenvectors))
    squares = (changes @ eigenvectors) ** 2 * batch.frames[:, 1:, None]
    each = squares.sum(1) / (batch.lengths - 1)[:, None]
    return np.asarray(np.median(each, axis=0) / 2)


def tune_mode_smoother(
    batch: TrackBatch, eigenvectors: Array, jitter: Array, cost_of: Callable[[Array], float]
) -> SmootherParameters:
    """Searches what is left, beside the (136,) jitter of each mode, on a small grid."""
    start = SmootherParameters(eigenvectors, np.maximum(jitter, _MIN_JITTER))
    choices = [
        dataclasses.replace(start, rest_agility=rest, agility_gain=gain)
        for rest, gain in itertools.product(_REST_AGILITY, _AGILITY_GAIN)
    ]
    costs = [cost_of(run_mode_smoother(batch, choice)) for choice in choices]
    return choices[int(np.argmin(costs))]
