"""Two track tables compared, as every promise about equal outputs means it."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from schemas.tracks import TRACK_SCHEMA

__all__ = ["COORDINATES", "TOLERANCE_PX", "assert_same_tracks", "numbers_of"]

COORDINATES: Final = (
    "box_xyxy_px", "score", "x", "y", "x_raw", "y_raw", "spread_px", "blur", "cut_off",
    "yaw_deg", "pitch_deg", "roll_deg",
)  # fmt: skip
TOLERANCE_PX: Final = 0.01


def assert_same_tracks(one: pa.Table, other: pa.Table) -> None:
    """Equal ids, frames and flags, row for row; coordinates within 0.01 px."""
    for name in TRACK_SCHEMA.names:
        if name not in COORDINATES:
            assert one[name].equals(other[name]), name
    for name in COORDINATES:
        numbers = [numbers_of(table[name]) for table in (one, other)]
        np.testing.assert_allclose(*numbers, rtol=0, atol=TOLERANCE_PX, err_msg=name)


def numbers_of(column: pa.ChunkedArray) -> np.ndarray:
    """The numbers of a column of floats or of lists of them, flat."""
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False)
