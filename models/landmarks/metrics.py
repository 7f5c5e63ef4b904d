"""Errors of landmarks on labelled faces, as the papers state them.

All in percent of the distance between the outer corners of the eyes (landmarks 36 and 45)
of the ground truth.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from schemas.landmarks import OUTER_EYE_CORNERS

__all__ = ["LandmarkErrors", "nrmse_percent", "summarize_errors"]


def nrmse_percent(
    predicted: npt.NDArray[np.floating], truth: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """The error of each face: (N, 68, 2) and (N, 68, 2) to (N,).

    NRMSE is the papers' word; it is a mean: mean_j |x_j - p_j| / |p_36 - p_45|.

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"landmarks: got {predicted.shape}, expected {truth.shape} as the truth")
    distance = np.linalg.norm(predicted.astype(np.float64) - truth, axis=-1).mean(-1)
    right, left = OUTER_EYE_CORNERS
    interocular = np.linalg.norm(
        truth[..., right, :].astype(np.float64) - truth[..., left, :], axis=-1
    )
    return 100.0 * distance / interocular  # type: ignore[no-any-return]


@dataclasses.dataclass(frozen=True, slots=True)
class LandmarkErrors:
    """What a set of errors comes to.

    A face without a prediction counts as an error of infinity: it is in `missed`, in FR@8
    as a failure and in AUC@8 as 0; means and medians are over the faces with a prediction.

    auc8_percent: mean(max(0, 1 - e / 8)); fr8_percent: share of errors over 8.
    """

    predictions: int
    missed: int
    nrmse_mean: float
    nrmse_median: float
    auc8_percent: float
    fr8_percent: float


def summarize_errors(errors_percent: npt.NDArray[np.floating]) -> LandmarkErrors:
    """Mean, median, AUC@8 and FR@8 of (N,) errors; infinity is a missed face.

    Raises:
        ValueError: there are no errors to summarize, or no finite one.
    """
    errors = np.asarray(errors_percent, np.float64)
    finite = errors[np.isfinite(errors)]
    if not finite.size:
        raise ValueError(f"errors: got none that is finite among {errors.size}, expected some")
    return LandmarkErrors(
        predictions=finite.size,
        missed=errors.size - finite.size,
        nrmse_mean=float(finite.mean()),
        nrmse_median=float(np.median(finite)),
        auc8_percent=float(100 * np.maximum(0, 1 - errors / 8).mean()),
        fr8_percent=float(100 * (errors > 8).mean()),
    )
