"""Rerun: one .rrd a video, with the timelines `frame` (from 0) and `time` (pts in seconds).

    faces/{id}/landmarks    Points2D
    faces/{id}/box          Boxes2D

Rerun's pixels start at the corner of the top-left one, so half a pixel is added to ours. A face is
cleared after its last row before a gap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.exports.exported_video import ExportedVideo
from schemas.errors import UsageError
from transforms.storage.atomic_files import Folder, atomic_file

_HALF_PIXEL = 0.5


def write_rerun_recording(video: ExportedVideo, to: Folder) -> int:
    """Writes {stem}.rrd; returns 1. Raises UsageError if rerun-sdk is not installed."""
    try:
        import rerun as rr
    except ImportError as error:
        raise UsageError(
            "rerun: the package rerun-sdk is missing; pip install 'facetracks[rerun]'"
        ) from error
    with atomic_file(str(to / f"{video.stem}.rrd")) as path:
        recording = rr.RecordingStream("facetracks", recording_id=video.stem)
        recording.save(str(path))
        for face, rows in video.by_face():
            _log_face(rr, recording, f"faces/{face}", video, rows)
        recording.flush()
        recording.disconnect()
    return 1


def _log_face(
    rr: Any, recording: Any, entity: str, video: ExportedVideo, rows: npt.NDArray[np.intp]
) -> None:
    frames, seconds = video.frame_index[rows], video.pts_seconds[rows]
    times = _times(rr, frames, seconds)
    points = video.landmarks_px[rows] + _HALF_PIXEL
    columns = rr.Points2D.columns(positions=points.reshape(-1, 2))
    lengths = [points.shape[1]] * len(rows)
    rr.send_columns(
        f"{entity}/landmarks", times, columns.partition(lengths=lengths), recording=recording
    )
    low, high = (video.boxes_xyxy_px[rows].reshape(-1, 2, 2) + _HALF_PIXEL).swapaxes(0, 1)
    boxes = rr.Boxes2D.columns(centers=(low + high) / 2, half_sizes=(high - low) / 2)
    rr.send_columns(f"{entity}/box", times, boxes, recording=recording)
    ends = np.flatnonzero(np.append(np.diff(frames) > 1, True))
    step = 1 / video.average_fps if video.average_fps else 0.0
    gone = _times(rr, frames[ends] + 1, seconds[ends] + step)
    clears = rr.Clear.columns(is_recursive=[True] * len(ends))
    rr.send_columns(entity, gone, clears, recording=recording)


def _times(rr: Any, frames: npt.NDArray[np.int64], seconds: npt.NDArray[np.float64]) -> list[Any]:
    return [rr.TimeColumn("frame", sequence=frames), rr.TimeColumn("time", duration=seconds)]
