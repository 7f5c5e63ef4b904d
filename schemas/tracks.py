"""The track table: one row per face per frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from schemas.columns import Column, to_schema
from schemas.landmarks import LANDMARK_COUNT

#: Incremented with every change of the columns. Files without a version have version 1, whose
#: last column is `spread_px`. Later columns are nullable: they are null in rows of older files.
TRACK_SCHEMA_VERSION: Final = 2
#: Key of the version in the metadata of a Parquet file.
SCHEMA_VERSION_KEY: Final = b"facetracks.schema_version"

#: Coordinates are written in steps of 1/64 px: they are off by 0.008 px at most.
COORDINATE_STEPS: Final = 64

_COORDINATES: Final = pa.list_(pa.field("item", pa.float32(), nullable=False), LANDMARK_COUNT)
_BOX: Final = pa.list_(pa.field("item", pa.float32(), nullable=False), 4)

#: Columns added later, with the version that added them.
ADDED_SINCE: Final[dict[str, int]] = {}


def _added(name: str, kind: pa.DataType, unit: str, meaning: str) -> Column:
    """A column that version 1 did not have."""
    ADDED_SINCE[name] = 2
    return Column(name, kind, unit, meaning, nullable=True)


TRACK_COLUMNS: Final = (
    Column("video_id", pa.string(), "", "the video, as in the videos table"),
    Column("face_id", pa.int32(), "", "the face's number: 0, 1, ... by first pts, then x"),
    Column("frame_index", pa.int64(), "frames", "index among the annotated frames, from 0"),
    Column("pts", pa.int64(), "time_base", "presentation timestamp, as stored in the video"),
    Column("pts_seconds", pa.float64(), "s", "the same in seconds"),
    Column("box_xyxy_px", _BOX, "px", "the face's box: left, top, right, bottom"),
    Column("box_source", pa.string(), "", "detected, interpolated or given"),
    Column("score", pa.float32(), "0..1", "the detector's score; interpolated between detections"),
    Column("x", _COORDINATES, "px", "stabilized landmarks, x to the right"),
    Column("y", _COORDINATES, "px", "stabilized landmarks, y down"),
    Column("x_raw", _COORDINATES, "px", "the network's landmarks, x; absent with --no-raw", True),
    Column("y_raw", _COORDINATES, "px", "the network's landmarks, y; absent with --no-raw", True),
    Column("spread_px", _COORDINATES, "px", "expected error of each landmark, or NaN"),
    _added("blur", pa.float32(), "0..1", "of the face in its crop: 0 sharp, 1 blurred, or NaN"),
    _added("cut_off", pa.float32(), "0..1", "share of the box's area outside the picture"),
    _added("shot", pa.int32(), "", "number of the shot: 0, 1, ...; a cut begins the next one"),
    _added("yaw_deg", pa.float32(), "deg", "head pose: turned to its own right, or NaN"),
    _added("pitch_deg", pa.float32(), "deg", "head pose: looking down, or NaN"),
    _added("roll_deg", pa.float32(), "deg", "head pose: leaning clockwise in the picture, or NaN"),
)

TRACK_SCHEMA: Final = to_schema(TRACK_COLUMNS).with_metadata(
    {SCHEMA_VERSION_KEY: str(TRACK_SCHEMA_VERSION)}
)

#: The network's landmarks, which `--no-raw` leaves out.
RAW_COLUMNS: Final = ("x_raw", "y_raw")
#: Measures of a row, by which rows are judged and selected.
QUALITY_COLUMNS: Final = ("score", "blur", "cut_off", "yaw_deg", "pitch_deg", "roll_deg")
#: Columns that a track file may lack; read_tracks has nulls for them.
OPTIONAL_COLUMNS: Final = frozenset({*RAW_COLUMNS, *ADDED_SINCE})


@dataclass(frozen=True, slots=True)
class TrackFormat:
    """How much of a row track files keep.

    full_precision: unrounded numbers; otherwise rounded: coordinates to 1/64 px,
        `spread_px` to 3 %, head pose to 1/64 degree, `blur` and `cut_off` to 1/1024.
    raw: whether `x_raw` and `y_raw` are written.
    """

    full_precision: bool = False
    raw: bool = True

    @property
    def schema(self) -> pa.Schema:
        """The columns of a file, in their order."""
        fields = [f for f in TRACK_SCHEMA if self.raw or f.name not in RAW_COLUMNS]
        return pa.schema(fields, TRACK_SCHEMA.metadata)
