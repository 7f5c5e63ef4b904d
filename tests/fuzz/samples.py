"""Valid files to damage, and files generated from significant tokens."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from schemas.records import (
    FrameGeometry,
    Seam,
    Segment,
    SegmentLandmarks,
    SegmentRows,
    SegmentStats,
    SegmentWindows,
    StreamMetadata,
    Video,
)
from schemas.tracks import TRACK_SCHEMA
from schemas.videos import VIDEO_SCHEMA
from transforms.decoding.messages import Plan, encode_answer
from transforms.storage.record_codec import pack_landmarks, pack_windows

__all__ = ["SAMPLES", "Samples", "made_up_tables", "made_up_text"]

_LANDMARKS: Final = 68
_COLUMNS: Final = {
    "manifest": ("uri", "video_id", "start_seconds", "stop_seconds", "boxes", "other"),
    "boxes": (
        "frame_index", "pts", "pts_seconds", "x0", "y0", "x1", "y1", "box_xyxy_px", "video_id",
    ),
    "tracks": tuple(TRACK_SCHEMA.names),
    "videos": ("video_id", "uri", "status", "message", "reason"),
}  # fmt: skip
_WORDS: Final = (
    "", " ", "a.mp4", "b.mp4", "../x.mp4", "/abs/c.mp4", "clip.mp4", "http://127.0.0.1/c.mp4",
    "::", "zip://a::b", "file://", "s3://", "://", "memory://c.mp4", "memory:", "nope://x", "*",
    "[", "[a", "%00", "\x00", "é", "\ud800", "0", "1", "2.5", "-1", "nan", "inf", "1e400", "007",
    "1e-400", "true", "null", "None", "2026-11-21", "12:00", "a,b", '"', "'", "\n", "\t", "#",
    "//", ".", "..", "~", "$HOME",
)  # fmt: skip
_NUMBERS: Final = (0, 1, 2, -1, 0.5, 1e308, float("inf"), float("nan"), 2**31, 2**63 - 1, -(2**63))


@dataclass(frozen=True)
class Samples:
    """Contents of valid files, by reader, and the segment of the packed records."""

    segment: Segment
    manifests: dict[str, list[bytes]]
    boxes: dict[str, list[bytes]]
    tracks: list[bytes]
    videos: list[bytes]
    plans: list[bytes]
    windows: list[bytes]
    landmarks: list[bytes]


def made_up_text(kind: str) -> st.SearchStrategy[bytes]:
    """CSV or JSON lines with right and wrong columns and values, and text that is neither."""
    columns = _COLUMNS["boxes" if kind == "boxes" else "manifest"]
    word = st.sampled_from(_WORDS) | st.sampled_from(_NUMBERS).map(str) | st.text(max_size=8)
    names = st.lists(st.sampled_from(columns) | word, min_size=1, max_size=7)
    if kind == ".jsonl":
        value = st.recursive(
            st.none() | st.booleans() | st.sampled_from(_NUMBERS) | word,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(word, inner, max_size=2),
            max_leaves=4,
        )
        row = st.dictionaries(st.sampled_from(columns) | word, value, max_size=6)
        lines = st.lists(row.map(json.dumps) | value.map(json.dumps) | word, max_size=5)
        text = lines.map("\n".join)
    else:
        rows = st.lists(st.lists(word, min_size=1, max_size=7), max_size=5)
        text = st.tuples(names, rows).map(lambda t: "\n".join(",".join(r) for r in [t[0], *t[1]]))
    return text.map(lambda t: t.encode("utf-8", "surrogatepass")) | st.binary(max_size=64)


@st.composite
def made_up_tables(draw: st.DrawFn, kind: str) -> bytes:
    """A Parquet file with columns of that kind, of right and wrong types and lengths."""
    names = draw(st.lists(st.sampled_from(_COLUMNS[kind]), unique=True, max_size=12))
    if draw(st.booleans()):
        names = list(_COLUMNS[kind])
    rows = draw(st.integers(0, 4))
    columns = {name: draw(_column(rows, _width(name))) for name in names}
    return parquet_bytes(pa.table(columns))


@st.composite
def _column(draw: st.DrawFn, rows: int, width: int) -> pa.Array:
    floats = st.sampled_from([float(n) for n in _NUMBERS]) | st.floats(width=32)
    lists = st.lists(floats | st.none(), min_size=width, max_size=width)
    uneven = st.lists(floats, max_size=3)
    kinds: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
        (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
        (pa.uint64(), st.integers(0, 2**64 - 1)),
        (pa.int8(), st.integers(-128, 127)),
        (pa.float64(), floats),
        (pa.float32(), st.floats(width=32)),
        (pa.string(), st.sampled_from([w for w in _WORDS if w != "\ud800"])),
        (pa.binary(), st.binary(max_size=4)),
        (pa.bool_(), st.booleans()),
        (pa.null(), st.none()),
        (pa.timestamp("us"), st.integers(-(2**63), 2**63 - 1)),
        (pa.date32(), st.integers(-(2**31), 2**31 - 1)),
        (pa.list_(pa.float32()), uneven),
        (pa.list_(pa.float32(), width), lists),
        (pa.list_(pa.float64(), width), lists),
        (pa.list_(pa.string()), st.lists(st.sampled_from(["a", "1"]), max_size=2)),
        (pa.struct([("a", pa.int64())]), st.fixed_dictionaries({"a": st.integers(0, 3)})),
        (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a.mp4", "detected"])),
    ]
    kind, value = draw(st.sampled_from(kinds))
    value = value | st.none() if draw(st.booleans()) else value
    values = draw(st.lists(value, min_size=rows, max_size=rows))
    return pa.array(values, kind)


def _width(name: str) -> int:
    return 4 if name == "box_xyxy_px" else _LANDMARKS


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    """The table as a Parquet file."""
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def _samples() -> Samples:
    metadata = StreamMetadata(
        "h264", "yuv420p", Fraction(1, 25), Fraction(25), 100, 4.0, Fraction(1), 100
    )
    video = Video("clip.mp4", "/in/clip.mp4")
    segment = Segment(video, metadata, 0, 2, None, None, 50)
    rows = SegmentRows(
        frame_pts=np.arange(3, dtype=np.int64),
        frame=np.array([0, 1, 2], np.int32),
        track=np.zeros(3, np.int32),
        boxes_xyxy_px=np.tile(np.array([1, 2, 30, 40], np.float32), (3, 1)),
        box_source=np.array([0, 1, 0], np.uint8),
        scores=np.ones(3, np.float32),
        blur=np.full(3, 0.5, np.float32),
        cut_off=np.zeros(3, np.float32),
        cuts_pts=np.array([2], np.int64),
        lost_pts=np.array([[5, 7]], np.int64),
    )
    geometry = FrameGeometry(160, 120, 90, Fraction(4, 3))
    seam = Seam(50, np.zeros(1, np.int32), rows.boxes_xyxy_px[:1])
    windows = SegmentWindows(
        segment, geometry, rows, seam,
        crops=np.zeros((3, 8, 8, 3), np.uint8),
        windows=np.array([[0, 0, 0], [0, 0, 1], [0, 1, 2]], np.int32),
        affines=np.tile(np.eye(2, 3), (3, 1, 1)),
        stats=SegmentStats(0.1, 0.2, 0.3, 0.4, 1),
    )  # fmt: skip
    points = np.zeros((3, _LANDMARKS, 2), np.float32)
    landmarks = SegmentLandmarks(
        segment, geometry, rows, seam, points, points[..., 0], SegmentStats()
    )
    second = Segment(video, metadata, 1, 2, 40, 50, None)
    whole = Segment(video, metadata, 0, 1)
    manifest = [
        {"uri": "a.mp4", "video_id": "a", "start_seconds": 0.5, "stop_seconds": 2.0, "boxes": None},
        {"uri": "/abs/b.mp4", "video_id": None, "start_seconds": None, "stop_seconds": None,
         "boxes": "boxes.csv"},
    ]  # fmt: skip
    box_table = pa.table(
        {
            "frame_index": [0, 1, 2],
            "x0": [1.0, 2.0, 3.0],
            "y0": [1.0, 2.0, 3.0],
            "x1": [10.0, 20.0, 30.0],
            "y1": [10.0, 20.0, 30.0],
        }
    )
    tracks = _track_table(4)
    blank = {f.name: None if f.nullable else 0 for f in VIDEO_SCHEMA}
    words = {"video_id": "clip.mp4", "uri": "/in/clip.mp4", "status": "ok", "config_hash": "0"}
    row = blank | words | {"lost_pts": [[1, 2]]}
    return Samples(
        segment=segment,
        manifests={
            ".csv": [b"uri,video_id,start_seconds,boxes\na.mp4,a,0.5,\n/abs/b.mp4,,,boxes.csv\n"],
            ".jsonl": ["\n".join(json.dumps(r) for r in manifest).encode()],
            ".parquet": [parquet_bytes(pa.Table.from_pylist(manifest))],
        },
        boxes={
            ".csv": [
                b"frame_index,x0,y0,x1,y1\n0,1,2,30,40\n1,1,2,31,41\n",
                b"pts_seconds,video_id,x0,y0,x1,y1\n0.04,clip.mp4,1,2,30,40\n0.08,b,1,2,31,41\n",
            ],
            ".parquet": [parquet_bytes(box_table), parquet_bytes(tracks)],
        },
        tracks=[parquet_bytes(tracks), parquet_bytes(tracks, compression="none")],
        videos=[parquet_bytes(pa.Table.from_pylist([row], schema=VIDEO_SCHEMA))],
        plans=[encode_answer(Plan.of([segment, second])), encode_answer(Plan.of([whole]))],
        windows=[pack_windows(windows)],
        landmarks=[pack_landmarks(landmarks)],
    )


def _track_table(rows: int) -> pa.Table:
    points = [[float(i)] * _LANDMARKS for i in range(rows)]
    columns: dict[str, list[Any]] = {
        "video_id": ["clip.mp4"] * rows,
        "face_id": [0] * rows,
        "frame_index": list(range(rows)),
        "pts": list(range(rows)),
        "pts_seconds": [i / 25 for i in range(rows)],
        "box_xyxy_px": [[1.0, 2.0, 30.0, 40.0]] * rows,
        "box_source": ["detected"] * rows,
        "score": [0.9] * rows,
        "blur": [0.5] * rows,
        "cut_off": [0.0] * rows,
        "shot": [0] * rows,
    } | dict.fromkeys(("x", "y", "x_raw", "y_raw", "spread_px"), points)
    columns |= dict.fromkeys(("yaw_deg", "pitch_deg", "roll_deg"), [0.0] * rows)
    return pa.table(columns, schema=TRACK_SCHEMA)


SAMPLES: Final = _samples()
