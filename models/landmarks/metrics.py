"""Errors of landmarks on labelled faces, as the papers state them.

The distance of a prediction to the labels, averaged over the landmarks of a face, in pixels
or in percent of one of two lengths of the ground truth:

| normalization | length | used in |
| --- | --- | --- |
| interocular | between the eyes' outer corners (36, 45) | Local motion Table 6, FHR Tables 1, 3-6 |
| box-diagonal | of the landmarks' bounding box | Local motion Tables 1-5 |

The two are not comparable, so every figure names its normalization.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from schemas.landmarks import OUTER_EYE_CORNERS

Normalization = Literal["interocular", "box-diagonal"]
NORMALIZATIONS: Final[tuple[Normalization, ...]] = get_args(Normalization)


def mean_distance_px(
    predicted: npt.NDArray[np.floating], truth: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """The mean distance of each face's landmarks: (N, L, 2) and (N, L, 2) to (N,).

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"landmarks: got {predicted.shape}, expected {truth.shape} as the truth")
    distances = np.linalg.norm(predicted.astype(np.float64) - truth, axis=-1)
    return distances.mean(-1)  # type: ignore[no-any-return]


def interocular_px(landmarks_px: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The distance of the outer eye corners of (..., 68, 2) landmarks: (...)."""
    right, left = OUTER_EYE_CORNERS
    return np.linalg.norm(  # type: ignore[no-any-return]
        landmarks_px[..., right, :].astype(np.float64) - landmarks_px[..., left, :], axis=-1
    )


def box_diagonal_px(landmarks_px: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The diagonal of the bounding box of (..., 68, 2) landmarks: (...).

    NaN where labels lack landmarks: the box of some landmarks is not that of all.
    """
    extent = np.ptp(landmarks_px.astype(np.float64), axis=-2)
    return np.linalg.norm(extent, axis=-1)  # type: ignore[no-any-return]


#: The length of each normalization.
NORMALIZING_PX: Final[
    Mapping[Normalization, Callable[[npt.NDArray[np.floating]], npt.NDArray[np.float64]]]
] = {"interocular": interocular_px, "box-diagonal": box_diagonal_px}


def nrmse_percent(
    predicted: npt.NDArray[np.floating], truth: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """The error of each face, interocular: (N, 68, 2) and (N, 68, 2) to (N,).

    NRMSE is the papers' word; it is a mean: mean_j |x_j - p_j| / |p_36 - p_45|.

    Raises:
        ValueError: the shapes differ.
    """
    return 100.0 * mean_distance_px(predicted, truth) / interocular_px(truth)


@dataclasses.dataclass(frozen=True, slots=True)
class LandmarkErrors:
    """Summary of a set of errors in percent.

    A face without a prediction counts as an error of infinity: it is in `missed`, in FR as a
    failure and in AUC as 0; mean and median are over the faces with a prediction, and NaN
    where there is none.

    auc8_percent: mean(max(0, 1 - e / 8)), the area under the curve of cumulated errors.
    fr8_percent: share of errors over 8. The same at 4.
    """

    predictions: int
    missed: int
    nrmse_mean: float
    nrmse_median: float
    auc8_percent: float
    fr8_percent: float
    auc4_percent: float
    fr4_percent: float


def summarize_errors(errors_percent: npt.NDArray[np.floating]) -> LandmarkErrors:
    """Mean, median, AUC and FR at 8 and 4 of (N,) errors; infinity is a missed face.

    Raises:
        ValueError: there are no errors to summarize, or one is NaN.
    """
    errors = np.asarray(errors_percent, np.float64)
    if not errors.size or np.isnan(errors).any():
        raise ValueError(f"errors: got {errors.size} with NaN among them or none, expected some")
    finite = errors[np.isfinite(errors)]
    return LandmarkErrors(
        predictions=finite.size,
        missed=errors.size - finite.size,
        nrmse_mean=float(finite.mean()) if finite.size else float("nan"),
        nrmse_median=float(np.median(finite)) if finite.size else float("nan"),
        auc8_percent=_auc_percent(errors, 8),
        fr8_percent=float(100 * (errors > 8).mean()),
        auc4_percent=_auc_percent(errors, 4),
        fr4_percent=float(100 * (errors > 4).mean()),
    )


def _auc_percent(errors: npt.NDArray[np.float64], limit_percent: float) -> float:
    return float(100 * np.maximum(0, 1 - errors / limit_percent).mean())


#: A network may compute in bfloat16 or int8 if its mean error moves by less, in percent.
NRMSE_SHIFT_LIMIT_PERCENT: Final = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class PrecisionCheck:
    """Mean NRMSE of one network on a reference set, in percent: in float32 and in another one."""

    reference_nrmse: float
    candidate_nrmse: float

    @property
    def accepted(self) -> bool:
        """Whether the error moves by less than NRMSE_SHIFT_LIMIT_PERCENT, up or down."""
        return abs(self.candidate_nrmse - self.reference_nrmse) < NRMSE_SHIFT_LIMIT_PERCENT

    def __str__(self) -> str:
        verdict = "good enough" if self.accepted else "not good enough"
        return (
            f"NRMSE {self.reference_nrmse:.3f} becomes {self.candidate_nrmse:.3f} %: {verdict} "
            f"(limit {NRMSE_SHIFT_LIMIT_PERCENT})"
        )
