"""A Hugging Face dataset: Parquet files, one a video, and the README that says so.

TO/README.md                 which files are the split `train`
TO/data/{stem}.parquet       a row a face a frame, by frame, then face; columns as in the tracks

datasets.load_dataset("TO", split="train")
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.arrow_tables import fixed_lists, write_parquet
from pipeline.exports.exported_video import ExportedVideo
from transforms.storage.atomic_files import Folder, write_bytes

_README: Final = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
task_categories:
- keypoint-detection
tags:
- facial-landmarks
---

# Facial landmark tracks

68-point facial landmark tracks, a row a face a frame, made by facetracks. `x` and `y` are pixels
of the upright frame in iBUG order, the centre of the top-left pixel at (0, 0); `spread_px` is the
expected distance of each landmark from the truth; `frame_index` counts from 0; `pts` is the video's
own timestamp.
"""


def write_huggingface_dataset(videos: Iterable[ExportedVideo], to: Folder) -> int:
    """Writes the dataset, its README last; returns the number of files."""
    files = 1
    for video in videos:
        write_parquet(str(to / "data" / f"{video.stem}.parquet"), _table(video))
        files += 1
    write_bytes(str(to / "README.md"), _README.encode())
    return files


def _table(video: ExportedVideo) -> pa.Table:
    yaw, pitch, roll = video.pose_deg.T
    columns = {
        "video_id": pa.array([video.video_id] * len(video), pa.string()),
        "uri": pa.array([video.uri] * len(video), pa.string()),
        "face_id": pa.array(video.face_id),
        "frame_index": pa.array(video.frame_index),
        "pts": pa.array(video.pts),
        "pts_seconds": pa.array(video.pts_seconds),
        "score": _floats(video.score),
        "box_xyxy_px": fixed_lists(video.boxes_xyxy_px.astype(np.float32)),
        "x": fixed_lists(video.landmarks_px[..., 0].astype(np.float32)),
        "y": fixed_lists(video.landmarks_px[..., 1].astype(np.float32)),
        "spread_px": fixed_lists(video.spread_px.astype(np.float32)),
        "yaw_deg": _floats(yaw),
        "pitch_deg": _floats(pitch),
        "roll_deg": _floats(roll),
    }
    return pa.table(columns)


def _floats(values: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(values.astype(np.float32))
