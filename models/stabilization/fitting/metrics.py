"""Metrics of stabilized tracks: error, stability, lag (FHR, "Ablation Study")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.stabilization.fitting.track_batch import TrackBatch
from schemas.landmarks import OUTER_EYE_CORNERS

#: What a percent of NRMSE above the limit costs, in percent of stability. No filter gains as
#: much stability by it, so the limit holds.
_STRICTNESS: Final = 100.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StabilityScores:
    """Means over tracks, each track counting once.

    nrmse_percent: mean |x - p| over the true distance of the outer eye corners.
    stability_percent: mean |dx - dp| over the same, from the second frame on.
    lag_frames: by how many frames x follows p: the shift along p's motion that fits x best,
        to first order; over all frames of all tracks.
    jitter_percent: root mean square of the second difference of x - p, over the same.
    """

    nrmse_percent: float
    stability_percent: float
    lag_frames: float
    jitter_percent: float


class TuningCost:
    """The criterion by which every stabilizer is tuned: best stability without loss of accuracy.

        cost = stability + 100 max(0, e),   e = mean over tracks of NRMSE - NRMSE of the raw track
                                                + one standard error of this mean

    The standard error, because a filter that was found on some tracks to be just as accurate as
    the raw ones may not be on others. NRMSE counts as it is, and without each track's constant
    error, which no filter can change and beside which what a filter does change hardly shows;
    each over the quieter half of the tracks and over the noisier half, since what a filter wins
    where there is much to smooth does not excuse what it spoils where there is little. The worst
    of the four is e.

    Args:
        batch: the tracks to tune on.
    """

    def __init__(self, batch: TrackBatch) -> None:
        self._batch, self._unbiased = batch, batch.without_bias()
        self._raw = _nrmse_by_track(batch, batch.raw)
        self._raw_unbiased = _nrmse_by_track(self._unbiased, batch.raw)
        halves = np.array_split(np.argsort(self._raw_unbiased, kind="stable"), 2)
        self._halves = [half for half in halves if len(half)]

    def __call__(self, stabilized: Array) -> float:
        """The cost of (B, T, 68, 2) stabilized tracks, in percent."""
        more = _nrmse_by_track(self._batch, stabilized) - self._raw
        unbiased = _nrmse_by_track(self._unbiased, stabilized) - self._raw_unbiased
        limits = [_at_most(rise[half]) for rise in (more, unbiased) for half in self._halves]
        above = max(0.0, *limits)
        return score_tracks(self._batch, stabilized).stability_percent + _STRICTNESS * above


def score_tracks(batch: TrackBatch, stabilized: Array) -> StabilityScores:
    """Scores of (B, T, 68, 2) stabilized tracks, in the units of the batch."""
    eyes, valid = _eye_distance(batch), batch.frames
    off = stabilized - batch.truth
    change = np.linalg.norm(np.diff(off, axis=1), axis=-1).mean(-1) / eyes[:, 1:]
    bend = np.diff(off, n=2, axis=1)
    jitter = (bend**2).sum(-1).mean(-1) / eyes[:, 2:] ** 2
    speed = (batch.truth[:, 2:] - batch.truth[:, :-2]) / 2
    along = ((off[:, 1:-1] * speed).sum((-1, -2)) * valid[:, 2:]).sum()
    power = ((speed**2).sum((-1, -2)) * valid[:, 2:]).sum()
    return StabilityScores(
        nrmse_percent=float(_nrmse_by_track(batch, stabilized).mean()),
        stability_percent=float(_percent(change, valid[:, 1:]).mean()),
        lag_frames=float(-along / power) if power > 0 else 0.0,
        jitter_percent=float(np.sqrt(100 * _percent(jitter, valid[:, 2:]).mean())),
    )


def _at_most(values: Array) -> float:
    """The mean and its standard error."""
    return float(values.mean() + values.std() / np.sqrt(max(1, len(values) - 1)))


def _nrmse_by_track(batch: TrackBatch, stabilized: Array) -> Array:
    error = np.linalg.norm(stabilized - batch.truth, axis=-1).mean(-1)
    return _percent(error / _eye_distance(batch), batch.frames)


def _eye_distance(batch: TrackBatch) -> Array:
    """(B, T): of the true outer eye corners."""
    right, left = OUTER_EYE_CORNERS
    return np.asarray(np.linalg.norm(batch.truth[:, :, right] - batch.truth[:, :, left], axis=-1))


def _percent(values: Array, valid: npt.NDArray[np.bool_]) -> Array:
    """(B,): 100 times the mean of each track's (B, T) values."""
    return np.asarray(100 * (values * valid).sum(1) / valid.sum(1))
