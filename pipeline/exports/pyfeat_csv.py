"""py-feat's Fex table as CSV, a row a face a frame.

Frames count from 0; the face rectangle is left, top, width, height; angles are degrees with our
signs, empty where the tracks have none. Emotions and action units, which we do not have, are
absent. `Identity` is our face_id, `approx_time` the video's pts in seconds.
"""

from __future__ import annotations

import numpy as np

from pipeline.exports.exported_video import ExportedVideo
from pipeline.text_files import csv_text
from schemas.landmarks import LANDMARK_COUNT

_COLUMNS = (
    "FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore",
    *(f"{axis}_{i}" for axis in "xy" for i in range(LANDMARK_COUNT)),
    "Pitch", "Roll", "Yaw", "Identity", "input", "frame", "approx_time",
)  # fmt: skip


def pyfeat_csv(video: ExportedVideo) -> bytes:
    """The CSV of a video."""

    def row(i: int) -> list[object]:
        left, top, right, bottom = video.boxes_xyxy_px[i]
        yaw, pitch, roll = video.pose_deg[i]
        return [
            *(f"{side:.3f}" for side in (left, top, right - left, bottom - top)),
            f"{video.score[i]:.4f}",
            *(f"{coordinate:.3f}" for coordinate in video.landmarks_px[i].T.ravel()),
            *(f"{angle:.3f}" if np.isfinite(angle) else "" for angle in (pitch, roll, yaw)),
            video.face_id[i],
            video.uri,
            video.frame_index[i],
            f"{video.pts_seconds[i]:.6f}",
        ]

    return csv_text(_COLUMNS, map(row, range(len(video))))
