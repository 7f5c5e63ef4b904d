"""The tables of `facetracks derive`: measures of each row of the tracks, and blinks."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from schemas.columns import Column, to_schema
from schemas.tracks import SCHEMA_VERSION_KEY, TRACK_COLUMNS

#: Of both tables; incremented when their columns or their computation change.
DERIVED_SCHEMA_VERSION: Final = 1

_KEYS: Final = ("video_id", "face_id", "frame_index", "pts", "pts_seconds")
_F32: Final = pa.float32()

DERIVED_COLUMNS: Final = (
    *(column for column in TRACK_COLUMNS if column.name in _KEYS),
    Column("right_eye_opening", _F32, "", "height over width of the right eye (its own right)"),
    Column("left_eye_opening", _F32, "", "height over width of the left eye"),
    Column("mouth_opening", _F32, "", "height over width of the inner lips"),
    Column("mouth_movement", _F32, "1/s", "change of mouth_opening per second, or NaN"),
    Column("head_turn_deg_s", _F32, "deg/s", "rotation of the head per second, or NaN"),
    Column("head_shift_s", _F32, "1/s", "movement per second, in face sizes, or NaN"),
    Column("visibility", _F32, "0..1", "share of landmarks in the picture with a small error"),
)

BLINK_COLUMNS: Final = (
    Column("video_id", pa.string(), "", "the video, as in the videos table"),
    Column("face_id", pa.int32(), "", "the face, as in the tracks"),
    Column("start_pts", pa.int64(), "time_base", "first frame whose eyes are closing"),
    Column("stop_pts", pa.int64(), "time_base", "first frame whose eyes are open again"),
    Column("start_seconds", pa.float64(), "s", "start_pts in seconds"),
    Column("stop_seconds", pa.float64(), "s", "stop_pts in seconds"),
    Column("lowest_seconds", pa.float64(), "s", "time of the smallest opening"),
    Column("depth", _F32, "0..1", "missing share of the baseline opening at that time"),
)

_VERSION: Final = {SCHEMA_VERSION_KEY: str(DERIVED_SCHEMA_VERSION)}
DERIVED_SCHEMA: Final = to_schema(DERIVED_COLUMNS).with_metadata(_VERSION)
BLINK_SCHEMA: Final = to_schema(BLINK_COLUMNS).with_metadata(_VERSION)
