"""Jitter of landmarks at rest, on real video without ground truth.

A landmark rests where its track, averaged over half a second, hardly moves. There,

    step    |x_t - x_{t-1}|               what is left of motion, drift and jitter
    jitter  |x_{t+1} - 2 x_t + x_{t-1}|   how much the step changes: steady motion cancels

Both are means over landmarks and frames, in percent of the face's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from models.face_size import face_size_px

_WINDOW_SECONDS: Final = 0.5
#: Speed of the averaged landmark, percent of the face's size a second, that still is rest.
_REST_PERCENT: Final = 4.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RestScores:
    """Means of a track at rest; `landmark_frames` is how many landmarks of frames they are of."""

    landmark_frames: int
    step_percent: float
    jitter_percent: float


def resting(raw_px: Array, fps: float) -> npt.NDArray[np.bool_]:
    """(T - 2, 68): whether a landmark rests around each inner frame of a (T, 68, 2) track."""
    window = 2 * round(_WINDOW_SECONDS * fps / 2) + 1
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
