"""iBUG .pts files, one a face a frame, and NumPy's .npz, one a video.

TO/{stem}/face_{id}/annot/000001.pts    as in 300-VW: frames from 1; pixels from 1
TO/{stem}.npz                           arrays of rows, by frame, then face; pixels as ours
"""

from __future__ import annotations

import io

import numpy as np

from pipeline.exports.exported_video import ExportedVideo
from schemas.landmarks import LANDMARK_COUNT
from transforms.storage.atomic_files import Folder, write_bytes


def write_pts(video: ExportedVideo, to: Folder) -> int:
    """Writes a file a row; returns how many."""
    for row in range(len(video)):
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in (video.landmarks_px[row] + 1).tolist())
        text = f"version: 1\nn_points: {LANDMARK_COUNT}\n{{\n{lines}\n}}\n"
        folder = to / video.stem / f"face_{video.face_id[row]}" / "annot"
        write_bytes(str(folder / f"{video.frame_index[row] + 1:06d}.pts"), text.encode())
    return len(video)


def write_npz(video: ExportedVideo, to: Folder) -> int:
    """Writes {stem}.npz, which needs no pickle; returns 1, the number of files."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        video_id=np.array(video.video_id),
        frame_index=video.frame_index,
        pts=video.pts,
        pts_seconds=video.pts_seconds,
        face_id=video.face_id,
        score=video.score.astype(np.float32),
        boxes_xyxy_px=video.boxes_xyxy_px.astype(np.float32),
        landmarks_px=video.landmarks_px.astype(np.float32),
        spread_px=video.spread_px.astype(np.float32),
        yaw_pitch_roll_deg=video.pose_deg.astype(np.float32),
    )
    write_bytes(str(to / f"{video.stem}.npz"), content.getvalue())
    return 1
