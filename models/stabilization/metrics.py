"""How good stabilized tracks are: error, stability, lag (FHR, "Ablation Study")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.stabilization.track_batch import TrackBatch
from schemas.landmarks import OUTER_EYE_CORNERS

__all__ = ["StabilityScores", "score_tracks", "trade_off"]

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


def score_tracks(batch: TrackBatch, stabilized: Array) -> StabilityScores:
    """Scores of (B, T, 68, 2) stabilized tracks, in the units of the batch."""
    right, left = OUTER_EYE_CORNERS
    eyes = np.linalg.norm(batch.truth[:, :, right] - batch.truth[:, :, left], axis=-1)  # (B, T)
    off = stabilized - batch.truth
    valid = batch.frames
    error = np.linalg.norm(off, axis=-1).mean(-1) / eyes
    change = np.linalg.norm(np.diff(off, axis=1), axis=-1).mean(-1) / eyes[:, 1:]
    bend = np.diff(off, n=2, axis=1)
    jitter = (bend**2).sum(-1).mean(-1) / eyes[:, 2:] ** 2
    speed = (batch.truth[:, 2:] - batch.truth[:, :-2]) / 2
    along = ((off[:, 1:-1] * speed).sum((-1, -2)) * valid[:, 2:]).sum()
    power = ((speed**2).sum((-1, -2)) * valid[:, 2:]).sum()
    return StabilityScores(
        nrmse_percent=_percent(error, valid),
        stability_percent=_percent(change, valid[:, 1:]),
        lag_frames=float(-along / power) if power > 0 else 0.0,
        jitter_percent=100 * float(np.sqrt(_percent(jitter, valid[:, 2:]) / 100)),
    )


def trade_off(unbiased: TrackBatch, stabilized: Array) -> float:
    """NRMSE times stability: the one number that hyper-parameters are chosen by.

    A share less of either is worth as much as of the other. `unbiased` is the batch without its
    constant errors, beside which what a filter changes would hardly count.
    """
    scores = score_tracks(unbiased, stabilized)
    return scores.nrmse_percent * scores.stability_percent


def _percent(values: Array, valid: npt.NDArray[np.bool_]) -> float:
    each = (values * valid).sum(1) / valid.sum(1)
    return 100 * float(each.mean())
