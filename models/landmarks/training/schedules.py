"""Learning-rate schedules: pure functions of the progress and the validation errors.

A schedule gives the factor of the maximum learning rate, 0 to 1, at `progress` through the run
(0 to 1), after epochs that had these errors. The errors are the only state, so a resumed run gives
the same result as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

Schedule: TypeAlias = Callable[[float, Sequence[float]], float]


def plateau(
    progress: float,
    validation_errors: Sequence[float],
    *,
    reduction: float = 0.1,
    patience_epochs: int = 10,
) -> float:
    """Reduced each time the validation error has not improved for a number of epochs.

    The local-motion paper's, section 4.2.
    """
    best, waited, factor = math.inf, 0, 1.0
    for error in validation_errors:
        best, waited = (error, 0) if error < best else (best, waited + 1)
        if waited == patience_epochs:
            factor, waited = factor * reduction, 0
    return factor


def cosine(progress: float, validation_errors: Sequence[float], *, warm_up: float = 0.02) -> float:
    """Up over the share `warm_up` of a run, then down to nothing along half a cosine."""
    if progress < warm_up:
        return (progress + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
