"""py-feat's Fex table as CSV, a row a face a frame.

Frames count from 0; the face rectangle is left, top, width, height; angles are degrees with our
signs, empty where the tracks have none. Emotions and action units, which we do not have, are
absent. `Identity` is our face_id, `approx_time` the video's pts in seconds.
"""

from __future__ import annotations

import numpy as np

from pipeline.exports.exported_video import ExportedVideo
from pipeline.exports.text_files import csv_text
from schemas.landmarks import LANDMARK_COUNT
from transforms.storage.atomic_files import Folder, write_bytes

_COLUMNS = (
    "FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore",
    *(f"x_{i}" for i in range(LANDMARK_COUNT)),
    *(f"y_{i}" for i in range(LANDMARK_COUNT)),
    "Pitch", "Roll", "Yaw", "Identity", "input", "frame", "approx_time",
)  # fmt: skip


def write_pyfeat_csv(video: ExportedVideo, to: Folder) -> int:
    """Writes {stem}.csv; returns 1, the number of files."""

    def row(i: int) -> list[object]:
        left, top, right, bottom = video.boxes_xyxy_px[i]
        yaw, pitch, roll = video.pose_deg[i]
        return [
            *(f"{side:.3f}" for side in (left, top, right - left, bottom - top)),
            f"{video.score[i]:.4f}",
            *(f"{x:.3f}" for x in video.landmarks_px[i, :, 0]),
            *(f"{y:.3f}" for y in video.landmarks_px[i, :, 1]),
            *(f"{angle:.3f}" if np.isfinite(angle) else "" for angle in (pitch, roll, yaw)),
            video.face_id[i],
            video.uri,
            video.frame_index[i],
            f"{video.pts_seconds[i]:.6f}",
        ]

    rows = (row(i) for i in range(len(video)))
    write_bytes(str(to / f"{video.stem}.csv"), csv_text(_COLUMNS, rows))
    return 1
