"""OpenFace 2's CSV of several faces, a row a face a frame.

Frames count from 1, timestamps are the video's pts in seconds, pixels are as ours. Columns follow
the wiki of OpenFace, "Output Format"; those that we do not have (gaze, translation, 3D points,
action units) are absent. pose_R* are radians about x (right), y (down) and z (away) with
R = Rx Ry Rz; empty where the tracks have no pose. `confidence` is the detector's score.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from pipeline.exports.exported_video import ExportedVideo
from pipeline.text_files import csv_text
from schemas.landmarks import LANDMARK_COUNT

_COLUMNS = (
    "frame", "face_id", "timestamp", "confidence", "success", "pose_Rx", "pose_Ry", "pose_Rz",
    *(f"{axis}_{i}" for axis in "xy" for i in range(LANDMARK_COUNT)),
)  # fmt: skip


def openface_csv(video: ExportedVideo) -> bytes:
    """The CSV of a video."""
    pose = openface_pose_rad(video.pose_deg)
    rows = (
        [
            video.frame_index[i] + 1,
            video.face_id[i],
            f"{video.pts_seconds[i]:.6f}",
            f"{video.score[i]:.4f}",
            1,
            *(f"{angle:.5f}" if np.isfinite(angle) else "" for angle in pose[i]),
            *(f"{coordinate:.3f}" for coordinate in video.landmarks_px[i].T.ravel()),
        ]
        for i in range(len(video))
    )
    return csv_text(_COLUMNS, rows)


def openface_pose_rad(pose_deg: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, 3) yaw, pitch, roll of R = Rz(roll) Ry(yaw) Rx(pitch) to (N, 3) Rx, Ry, Rz; NaN stays."""
    known = np.isfinite(pose_deg).all(1)
    pose = np.full(pose_deg.shape, np.nan)
    if known.any():
        turns = Rotation.from_euler("ZYX", pose_deg[known][:, [2, 0, 1]], degrees=True)
        pose[known] = turns.as_euler("XYZ")
    return pose
