"""The track table: one row per face per frame."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from schemas.columns import Column, to_schema
from schemas.landmarks import LANDMARK_COUNT

__all__ = ["BOX_SOURCES", "TRACK_COLUMNS", "TRACK_SCHEMA"]

#: Where a row's box comes from.
BOX_SOURCES: Final = ("detected", "interpolated", "given")

_COORDINATES: Final = pa.list_(pa.field("item", pa.float32(), nullable=False), LANDMARK_COUNT)
_BOX: Final = pa.list_(pa.field("item", pa.float32(), nullable=False), 4)

TRACK_COLUMNS: Final = (
    Column("video_id", pa.string(), "", "the video, as in the videos table"),
    Column("face_id", pa.int32(), "", "a face of the video: 0, 1, ... by first pts, then x"),
    Column("frame_index", pa.int64(), "frames", "place of the frame among those annotated, from 0"),
    Column("pts", pa.int64(), "time_base", "presentation timestamp, as stored in the video"),
    Column("pts_seconds", pa.float64(), "s", "the same in seconds"),
    Column("box_xyxy_px", _BOX, "px", "the face's box: left, top, right, bottom"),
    Column("box_source", pa.string(), "", "detected, interpolated or given"),
    Column("score", pa.float32(), "0..1", "the detector's score; between detections interpolated"),
    Column("x", _COORDINATES, "px", "stabilized landmarks, x to the right"),
    Column("y", _COORDINATES, "px", "stabilized landmarks, y down"),
    Column("x_raw", _COORDINATES, "px", "the network's landmarks, x"),
    Column("y_raw", _COORDINATES, "px", "the network's landmarks, y"),
    Column("spread_px", _COORDINATES, "px", "expected distance of each from the truth, or NaN"),
)

TRACK_SCHEMA: Final = to_schema(TRACK_COLUMNS)
