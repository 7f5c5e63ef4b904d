"""Rounding of track files: halves their size, with errors too small to see."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.tracks import COORDINATE_STEPS, TrackFormat

_COORDINATES: Final = ("box_xyxy_px", "x", "y", "x_raw", "y_raw")
_STEPS: Final = {
    "yaw_deg": 64, "pitch_deg": 64, "roll_deg": 64, "blur": 1024, "cut_off": 1024,
}  # fmt: skip
#: Binary digits of a spread, which is an estimate: 16 steps per octave are 3 %.
_SPREAD_DIGITS: Final = 5

Floats = npt.NDArray[np.float32]


def in_format(table: pa.Table, kept: TrackFormat) -> pa.Table:
    """Rows of TRACK_SCHEMA in the columns and precision of this format.

    Rounds to the nearest step, ties to even. NaN stays NaN.
    """
    if not kept.full_precision:
        for name in _COORDINATES:
            table = _mapped(table, name, lambda v: _in_steps(v, COORDINATE_STEPS))
        table = _mapped(table, "spread_px", _in_digits)
        for name, steps in _STEPS.items():
            table = _mapped(table, name, lambda v, n=steps: _in_steps(v, n))
    return table.select(kept.schema.names).cast(kept.schema)


def _in_steps(values: Floats, steps: int) -> Floats:
    """Rounded to multiples of 1/steps, a power of two: both operations are exact."""
    return np.asarray(np.rint(values * np.float32(steps)) / np.float32(steps), np.float32)


def _in_digits(values: Floats) -> Floats:
    """Rounded to `_SPREAD_DIGITS` significant binary digits."""
    fraction, exponent = np.frexp(values)
    scale = np.float32(1 << _SPREAD_DIGITS)
    return np.ldexp(np.rint(fraction * scale) / scale, exponent).astype(np.float32)


def _mapped(table: pa.Table, name: str, rounded: Any) -> pa.Table:
    """The table with one column of numbers, or lists of them, rounded."""
    place = table.schema.get_field_index(name)
    column = table.column(place).combine_chunks()
    lists = pa.types.is_fixed_size_list(column.type)
    numbers = column.flatten() if lists else column
    values = pa.array(rounded(numbers.to_numpy(zero_copy_only=False)), pa.float32())
    if lists:
        values = pa.FixedSizeListArray.from_arrays(values, type=column.type)
    return table.set_column(place, table.schema.field(place), values)
