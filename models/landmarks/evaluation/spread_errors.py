"""Calibration of the spread that a network predicts, over all landmarks of all faces.

| figure | value of a perfect spread |
| --- | --- |
| rank correlation with the distance to the labels | high; below 1, as it is an expectation |
| mean distance over mean spread, in each fifth of the spread | 1 |
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import scipy.stats

from models.landmarks.evaluation.face_errors import FaceErrors
from models.landmarks.metrics import interocular_px

_FIFTHS: Final = 5


@dataclasses.dataclass(frozen=True, slots=True)
class SpreadErrors:
    """How the spreads of a network compare with its errors.

    landmarks: how many were compared, over all faces.
    rank_correlation: Spearman's, of spread and distance, in units of each face's eyes.
    spread_percent, error_percent: means in each fifth of the spread, the smallest first, in
        percent of the distance of the outer eye corners.
    """

    landmarks: int
    rank_correlation: float
    spread_percent: tuple[float, ...]
    error_percent: tuple[float, ...]


def spread_scale(errors: FaceErrors) -> float:
    """The factor that makes the mean predicted spread the mean error; 1 without predictions.

    Errors are relative to the face's size, so each face has the same weight.
    """
    found = spread_errors(errors)
    if found is None:
        return 1.0
    return float(np.mean(found.error_percent) / np.mean(found.spread_percent))


def spread_errors(errors: FaceErrors) -> SpreadErrors | None:
    """Compares spreads with distances where both are known; None if none is."""
    length = interocular_px(errors.truth_px)[:, None]
    distance_px = np.linalg.norm(errors.predicted_px - errors.truth_px, axis=-1)
    spread, distance = 100 * errors.spread_px / length, 100 * distance_px / length
    known = np.isfinite(spread) & np.isfinite(distance)
    if known.sum() < _FIFTHS:
        return None
    spread, distance = spread[known], distance[known]
    fifths = np.array_split(np.argsort(spread, kind="stable"), _FIFTHS)
    return SpreadErrors(
        landmarks=len(spread),
        rank_correlation=float(scipy.stats.spearmanr(spread, distance).statistic),
        spread_percent=tuple(float(spread[fifth].mean()) for fifth in fifths),
        error_percent=tuple(float(distance[fifth].mean()) for fifth in fifths),
    )
