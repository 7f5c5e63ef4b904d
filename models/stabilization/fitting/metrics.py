"""Metrics of stabilized tracks: error, stability, lag (FHR, "Ablation Study"); jitter at rest.

Jitter at rest needs no ground truth. A landmark rests where its track, averaged over half a
second, hardly moves. There,

    step    |x_t - x_{t-1}|               what is left of motion, drift and jitter
    jitter  |x_{t+1} - 2 x_t + x_{t-1}|   how much the step changes: steady motion cancels

Both are means over landmarks and frames, in percent of the face's size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from models.face_box import face_size_px
from models.landmarks.metrics import interocular_px
from models.stabilization.fitting.track_batch import TrackBatch

#: What a percent of NRMSE above the limit costs, in percent of stability. No filter gains as
#: much stability by it, so the limit holds.
_STRICTNESS: Final = 100.0
_REST_WINDOW_SECONDS: Final = 0.5
#: Speed of the averaged landmark, percent of the face's size a second, that still is rest.
_REST_PERCENT: Final = 4.0

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


def tuning_cost(batch: TrackBatch) -> Callable[[Array], float]:
    """The criterion by which every stabilizer is tuned: best stability without loss of accuracy.

        cost = stability + 100 max(0, e),   e = mean over tracks of NRMSE - NRMSE of the raw track
                                                + one standard error of this mean

    The standard error is added because a filter that is just as accurate as the raw tracks on
    these may not be on others. NRMSE counts as it is, and without each track's constant
    error, which no filter can change and which hides small changes; each over the quieter half
    of the tracks and over the noisier half, so that a gain on noisy tracks does not hide a loss
    on quiet ones. The largest of the four is e.

    Returns: the cost of (B, T, 68, 2) stabilized tracks of the batch, in percent.
    """
    raw = [(truth, _nrmse_by_track(truth, batch.raw)) for truth in (batch, batch.without_bias())]
    halves = np.array_split(np.argsort(raw[1][1], kind="stable"), 2)

    def cost(stabilized: Array) -> float:
        rises = [_nrmse_by_track(truth, stabilized) - nrmse for truth, nrmse in raw]
        limits = [_at_most(rise[half]) for rise in rises for half in halves if len(half)]
        stability = score_tracks(batch, stabilized).stability_percent
        return stability + _STRICTNESS * max(0.0, *limits)

    return cost


def score_tracks(batch: TrackBatch, stabilized: Array) -> StabilityScores:
    """Scores of (B, T, 68, 2) stabilized tracks, in the units of the batch."""
    eyes, valid = interocular_px(batch.truth), batch.frames
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
    return _percent(error / interocular_px(batch.truth), batch.frames)


def _percent(values: Array, valid: npt.NDArray[np.bool_]) -> Array:
    """(B,): 100 times the mean of each track's (B, T) values."""
    return np.asarray(100 * (values * valid).sum(1) / valid.sum(1))


@dataclass(frozen=True, slots=True)
class RestScores:
    """Means of a track at rest; `landmark_frames` is how many landmarks of frames they are of."""

    landmark_frames: int
    step_percent: float
    jitter_percent: float


def resting(raw_px: Array, fps: float) -> npt.NDArray[np.bool_]:
    """(T - 2, 68): whether a landmark rests around each inner frame of a (T, 68, 2) track."""
    window = 2 * round(_REST_WINDOW_SECONDS * fps / 2) + 1
    average = uniform_filter1d(raw_px, window, axis=0, mode="nearest")
    speed = np.linalg.norm(np.diff(average, axis=0), axis=-1) * fps
    rests = speed < _REST_PERCENT / 100 * face_size_px(raw_px).mean()
    return np.asarray(rests[1:] & rests[:-1])


def score_rest(track_px: Array, rests: npt.NDArray[np.bool_]) -> RestScores:
    """Scores of a (T, 68, 2) track where `rests`, (T - 2, 68); NaN where nothing does."""
    percent = 100 / face_size_px(track_px).mean()
    steps = np.diff(track_px, axis=0)
    step = np.linalg.norm(steps[1:], axis=-1)[rests] * percent
    jitter = np.linalg.norm(np.diff(steps, axis=0), axis=-1)[rests] * percent
    count = int(rests.sum())
    if not count:
        return RestScores(0, float("nan"), float("nan"))
    return RestScores(count, float(step.mean()), float(jitter.mean()))
