"""A Hugging Face dataset: Parquet files, one a video, and the README that says so.

TO/README.md                 which files are the split `train`
TO/data/{stem}.parquet       a row a face a frame, by frame, then face; columns as in the tracks

datasets.load_dataset("TO", split="train")
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

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
    arrays = video.arrays()
    x, y = arrays["landmarks_px"].transpose(2, 0, 1)
    yaw, pitch, roll = arrays["yaw_pitch_roll_deg"].T
    numbers = ("face_id", "frame_index", "pts", "pts_seconds", "score")
    lists = {"box_xyxy_px": arrays["boxes_xyxy_px"], "x": x, "y": y}
    lists |= {"spread_px": arrays["spread_px"]}
    return pa.table(
        {
            "video_id": pa.array([video.video_id] * len(video), pa.string()),
            "uri": pa.array([video.uri] * len(video), pa.string()),
            **{name: arrays[name] for name in numbers},
            **{name: fixed_lists(values) for name, values in lists.items()},
            "yaw_deg": yaw,
            "pitch_deg": pitch,
            "roll_deg": roll,
        }
    )
