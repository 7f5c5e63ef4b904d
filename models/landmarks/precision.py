"""Whether a network may compute in bfloat16 or int8: only if its accuracy does not change."""

from __future__ import annotations

import dataclasses
from typing import Final

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
