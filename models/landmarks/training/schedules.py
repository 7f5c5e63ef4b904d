"""Learning-rate schedules: pure functions of the progress and the validation errors.

The errors are the only state, so a resumed run gives the same result as an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Protocol


class Schedule(Protocol):
    """The factor of the maximum learning rate."""

    def factor(self, progress: float, validation_errors: Sequence[float]) -> float:
        """0 to 1, at `progress` through the run (0 to 1), after epochs that had these errors."""


@dataclasses.dataclass(frozen=True, slots=True)
class PlateauSchedule:
    """Reduced each time the validation error has not improved for a number of epochs.

    The local-motion paper's, section 4.2.
    """

    reduction: float = 0.1
    patience_epochs: int = 10

    def factor(self, progress: float, validation_errors: Sequence[float]) -> float:
        """See `Schedule`; whatever the progress is."""
        best, waited, factor = math.inf, 0, 1.0
        for error in validation_errors:
            best, waited = (error, 0) if error < best else (best, waited + 1)
            if waited == self.patience_epochs:
                factor, waited = factor * self.reduction, 0
        return factor


@dataclasses.dataclass(frozen=True, slots=True)
class CosineSchedule:
    """Up over the share `warm_up` of a run, then down to nothing along half a cosine."""

    warm_up: float = 0.02

    def factor(self, progress: float, validation_errors: Sequence[float]) -> float:
        """See `Schedule`; whatever the errors are."""
        if progress < self.warm_up:
            return (progress + 1e-3) / (self.warm_up + 1e-3)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
