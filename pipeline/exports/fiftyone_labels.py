"""FiftyOne: a FiftyOneVideoLabelsDataset, whose labels are in ETA's VideoLabels format.

    TO/manifest.json            which labels belong to which video
    TO/labels/{stem}.json       frames from 1; a face is an object with its box, and keypoints

Coordinates are shares of the frame's width and height, from the corner of its top-left pixel:
(x + 0.5) / width. Videos are not copied: the manifest names them by their uri.

    fiftyone.Dataset.from_dir("TO", dataset_type=fiftyone.types.FiftyOneVideoLabelsDataset)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.exports.exported_video import ExportedVideo
from pipeline.text_files import json_text, rounded
from transforms.storage.atomic_files import Folder, write_bytes

_DATASET: Final = "eta.core.datasets.LabeledVideoDataset"
_DIGITS: Final = 8


def write_fiftyone_labels(videos: Iterable[ExportedVideo], to: Folder) -> int:
    """Writes the dataset, the manifest last; returns the number of files."""
    index = []
    for video in videos:
        labels = f"labels/{video.stem}.json"
        frames = {str(frame + 1): _frame(video, frame, rows) for frame, rows in video.by_frame()}
        content = {"attrs": {"attrs": []}, "frames": frames}
        write_bytes(str(to / labels), json_text(content))
        # Read as relative to the dataset unless it is absolute.
        place = video.uri if "://" in video.uri else str(Path(video.uri).absolute())
        index.append({"data": place, "labels": labels})
    manifest = {"type": _DATASET, "description": "facetracks", "index": index}
    write_bytes(str(to / "manifest.json"), json_text(manifest))
    return len(index) + 1


def _frame(video: ExportedVideo, frame: int, rows: npt.NDArray[np.intp]) -> dict[str, Any]:
    size = np.array([video.width_px, video.height_px], np.float64)
    faces, points = [], []
    for row in rows.tolist():
        corners = rounded((video.boxes_xyxy_px[row].reshape(2, 2) + 0.5) / size, _DIGITS)
        face = int(video.face_id[row])
        faces.append(
            {
                "label": "face",
                "index": face,
                "confidence": round(float(video.score[row]), 4),
                "bounding_box": {
                    "top_left": dict(zip("xy", corners[0], strict=True)),
                    "bottom_right": dict(zip("xy", corners[1], strict=True)),
                },
            }
        )
        points.append(
            {
                "name": "landmarks",
                "label": "face",
                "index": face,
                "points": rounded((video.landmarks_px[row] + 0.5) / size, _DIGITS),
            }
        )
    return {
        "frame_number": frame + 1,
        "objects": {"objects": faces},
        "keypoints": {"keypoints": points},
    }
