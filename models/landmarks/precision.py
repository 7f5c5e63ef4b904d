"""May a network compute in half the precision? Only where nobody would see it in the errors."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt

from models.landmarks.metrics import nrmse_percent
from models.landmarks.model import LandmarkModel

__all__ = ["NRMSE_SHIFT_LIMIT_PERCENT", "PrecisionCheck", "check_precision"]

NRMSE_SHIFT_LIMIT_PERCENT: Final = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class PrecisionCheck:
    """Mean NRMSE of a reference set, in percent, by the reference and by the candidate."""

    reference_nrmse: float
    candidate_nrmse: float

    @property
    def accepted(self) -> bool:
        """Whether the error moves by less than NRMSE_SHIFT_LIMIT_PERCENT, up or down."""
        return abs(self.candidate_nrmse - self.reference_nrmse) < NRMSE_SHIFT_LIMIT_PERCENT


def check_precision(
    reference: LandmarkModel,
    candidate: LandmarkModel,
    crops: npt.NDArray[np.uint8],
    windows: npt.NDArray[np.intp],
    truth_px: npt.NDArray[np.floating],
) -> PrecisionCheck:
    """Compares two forms of one network on labelled windows.

    Args:
        reference: in float32.
        candidate: in bfloat16, say.
        crops, windows: see `LandmarkModel.predict`.
        truth_px: (M, 68, 2) crop pixels.
    """
    errors = [
        float(nrmse_percent(model.predict(crops, windows), truth_px).mean())
        for model in (reference, candidate)
    ]
    return PrecisionCheck(*errors)
