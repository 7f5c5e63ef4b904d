"""Comparison of two track tables: the definition of equal outputs."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from schemas.tracks import COORDINATE_STEPS, TRACK_SCHEMA

__all__ = ["COORDINATES", "TOLERANCE_PX", "assert_same_tracks", "numbers_of"]

COORDINATES: Final = (
    "box_xyxy_px", "score", "x", "y", "x_raw", "y_raw", "spread_px", "blur", "cut_off",
    "yaw_deg", "pitch_deg", "roll_deg",
)  # fmt: skip
TOLERANCE_PX: Final = 0.01
#: Rounding can turn the smallest difference into a whole step.
_STEP_PX: Final = 1 / COORDINATE_STEPS
_SPREAD_STEP: Final = 1 / 16


def assert_same_tracks(one: pa.Table, other: pa.Table, *, full_precision: bool = False) -> None:
    """Equal ids, frames and flags, row for row; coordinates within 0.01 px.

    Rounded ones may differ by one step, unless the tables were written with `--full-precision`.
    """
    for name in TRACK_SCHEMA.names:
        if name not in COORDINATES:
            assert one[name].equals(other[name]), name
    for name in COORDINATES:
        numbers = [numbers_of(table[name]) for table in (one, other)]
        atol = TOLERANCE_PX if full_precision else _STEP_PX
        rtol = _SPREAD_STEP if name == "spread_px" and not full_precision else 0
        np.testing.assert_allclose(*numbers, rtol=rtol, atol=atol, err_msg=name)


def numbers_of(column: pa.ChunkedArray) -> np.ndarray:
    """The numbers of a column of floats or of lists of them, flat."""
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False)
