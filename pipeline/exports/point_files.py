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


def npz(video: ExportedVideo) -> bytes:
    """The .npz of a video, which needs no pickle."""
    content = io.BytesIO()
    np.savez_compressed(content, video_id=np.array(video.video_id), **video.arrays())
    return content.getvalue()
