"""Tracks of three videos: a variable rate, a rotated video, several faces."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from schemas.landmarks import LANDMARK_COUNT
from schemas.tracks import TRACK_SCHEMA

#: A video whose tracks have the pose; those of the others have an older version.
POSED = "crowd.mkv"
#: video_id -> width, height, turn, pts in milliseconds of all frames, frames of each face.
VIDEOS = {
    "uneven.mp4": (640, 480, 0, [0, 40, 200, 210, 1210], [[0, 1, 2, 3, 4]]),
    "turned/phone 1.mov": (1080, 1920, 90, [1400, 1433, 1467], [[0, 1, 2]]),
    "crowd.mkv": (320, 240, 0, [0, 40, 80, 120, 160, 200], [[0, 1, 2, 5], [1, 2, 3], [2]]),
}


def track_table(video_id: str) -> pa.Table:
    """Rows by face, then frame, as in a track file; every row has different numbers."""
    width, height, _, times, faces = VIDEOS[video_id]
    rng = np.random.default_rng(len(video_id))
    rows = []
    for face, frames in enumerate(faces):
        for frame in frames:
            points = rng.uniform(0.1, 0.9, (4, LANDMARK_COUNT))
            points *= np.array([width, height, width, height])[:, None]
            rows.append(
                {
                    "video_id": video_id, "face_id": face, "frame_index": frame,
                    "pts": times[frame], "pts_seconds": times[frame] / 1000,
                    "box_xyxy_px": [10.25 + face, 20.5, 0.8 * width, 0.7 * height],
                    "box_source": "detected", "score": 0.5 + 0.01 * frame,
                    "x": points[0], "y": points[1], "x_raw": points[2], "y_raw": points[3],
                    "spread_px": np.full(LANDMARK_COUNT, np.nan),
                }
            )  # fmt: skip
            if video_id == POSED:
                rows[-1] |= {"yaw_deg": 20.0 + frame, "pitch_deg": -5.0, "roll_deg": 3.0}
    known = [TRACK_SCHEMA.field(name) for name in rows[0]]
    return pa.Table.from_pylist(rows, schema=pa.schema(known))
