"""The videos table: exactly one row for every input, whatever became of it."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from schemas.columns import Column, to_schema

_INT = pa.int64()
_FLOAT = pa.float64()
_RANGES = pa.list_(pa.list_(pa.int64(), 2))

VIDEO_COLUMNS: Final = (
    Column("video_id", pa.string(), "", "names the track file: tracks/{video_id}.parquet"),
    Column("uri", pa.string(), "", "the input, as given or found"),
    Column("status", pa.string(), "", "ok, partial (some frames are missing) or failed"),
    Column("reason", pa.string(), "", "why it is not ok, or no_face; null if neither", True),
    Column("message", pa.string(), "", "the reason in words", True),
    Column("width", pa.int32(), "px", "of the upright frame, as stored (no aspect scaling)", True),
    Column("height", pa.int32(), "px", "of the upright frame", True),
    Column("rotation_deg", pa.int32(), "deg", "clockwise turn that makes frames upright", True),
    Column("mirrored", pa.bool_(), "", "whether rotated frames are mirrored left to right", True),
    Column("sample_aspect_ratio", pa.string(), "", "width:height of an upright pixel", True),
    Column("stream_index", pa.int32(), "", "the annotated stream, as FFmpeg counts", True),
    Column("streams", pa.int32(), "", "video streams of the file, including cover pictures", True),
    Column("codec", pa.string(), "", "FFmpeg's name of the codec", True),
    Column("pixel_format", pa.string(), "", "FFmpeg's name of the pixel format", True),
    Column("time_base", pa.string(), "s", "seconds per pts unit, a fraction", True),
    Column("duration_seconds", _FLOAT, "s", "of the decoded frames, the last one included", True),
    Column("average_fps", _FLOAT, "1/s", "of the decoded frames, by their timestamps", True),
    Column("frames_expected", _INT, "frames", "as the container states it; may be wrong", True),
    Column("frames_decoded", _INT, "frames", "frames returned by the decoder"),
    Column("repeats", _INT, "frames", "of these, repeats of the previous one: they have its rows"),
    Column("lost_pts", _RANGES, "time_base", "[start, stop) of frames that are lost or damaged"),
    Column("packets_bad", _INT, "packets", "packets that the decoder rejected"),
    Column("faces", _INT, "", "distinct face_id in the tracks"),
    Column("face_frames", _INT, "rows", "rows in the track file"),
    Column("segments", _INT, "", "segments the video was cut into"),
    Column("segments_failed", _INT, "", "segments without output"),
    Column("elapsed_seconds", _FLOAT, "s", "work spent on the video, over all workers"),
    Column("decode_seconds", _FLOAT, "s", "of that, decoding frames"),
    Column("detect_seconds", _FLOAT, "s", "of that, finding faces"),
    Column("crop_seconds", _FLOAT, "s", "of that, cropping faces"),
    Column("align_seconds", _FLOAT, "s", "of that, the landmark network"),
    Column("stabilize_seconds", _FLOAT, "s", "of that, joining, numbering and filtering"),
    Column("write_seconds", _FLOAT, "s", "of that, writing tracks"),
    Column("config_hash", pa.string(), "", "hash of what the tracks depend on"),
)

VIDEO_SCHEMA: Final = to_schema(VIDEO_COLUMNS)
