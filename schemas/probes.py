"""The table of `facetracks probe`: a row an input, from its headers and a short sample."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from schemas.columns import Column, to_schema

_INT = pa.int64()
_FLOAT = pa.float64()

PROBE_COLUMNS: Final = (
    Column("video_id", pa.string(), "", "the video, as annotate names it"),
    Column("uri", pa.string(), "", "the input, as given or found"),
    Column("status", pa.string(), "", "sound, or broken: it cannot be read, or not all of it"),
    Column("reason", pa.string(), "", "why it is broken, as in the videos table", True),
    Column("message", pa.string(), "", "the same in words", True),
    Column("size_bytes", _INT, "bytes", "of the file, where the source reports it", True),
    Column("codec", pa.string(), "", "FFmpeg's name of the codec", True),
    Column("pixel_format", pa.string(), "", "FFmpeg's name of the pixel format", True),
    Column("width", pa.int32(), "px", "of the upright frame", True),
    Column("height", pa.int32(), "px", "of the upright frame", True),
    Column("rotation_deg", pa.int32(), "deg", "clockwise turn that makes frames upright", True),
    Column("mirrored", pa.bool_(), "", "whether they are mirrored left to right after it", True),
    Column("duration_seconds", _FLOAT, "s", "of the range to annotate, by the headers", True),
    Column("frames", _INT, "frames", "of it: duration times rate, or the header's count", True),
    Column("fps", _FLOAT, "1/s", "by the times of the first packets", True),
    Column("variable_rate", pa.bool_(), "", "whether frames of the sample differ in length", True),
    Column("segments", _INT, "", "segments that annotate cuts it into", True),
    Column("sampled_seconds", _FLOAT, "s", "how much of it was decoded"),
    Column("sampled_frames", _INT, "frames", "frames of the sample"),
    Column("sampled_repeats", _INT, "frames", "of these, repeats of the one before"),
    Column("sampled_faces", _INT, "rows", "faces on them, each on each of its frames"),
    Column("work_seconds", _FLOAT, "s", "estimated work of annotate on it"),
)

PROBE_SCHEMA: Final = to_schema(PROBE_COLUMNS)
