"""WebDataset: tar shards, a sample a face of a video.

    TO/tracks-000000.tar
        000000_0.json              video_id, uri, face_id, frame size
        000000_0.landmarks_px.npy  (T, 68, 2) float32; the other arrays likewise, T rows by time
        000000_1.json              the next face of the same video

Keys are numbers, as WebDataset cuts names at their first dot. A shard is of about
256 MiB.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.exports.exported_video import ExportedVideo
from pipeline.tar_shards import TarShards
from pipeline.text_files import json_text
from transforms.storage.atomic_files import Folder


def write_webdataset(videos: Iterable[ExportedVideo], to: Folder) -> int:
    """Writes the shards; returns how many."""
    with TarShards(to, "tracks") as shards:
        for number, video in enumerate(videos):
            for sample in _samples(number, video):
                shards.add(sample)
    return len(shards.files)


def _samples(number: int, video: ExportedVideo) -> Iterator[list[tuple[str, bytes]]]:
    """Names and contents, a list a face."""
    arrays = {name: a for name, a in video.arrays().items() if name not in ("pts", "face_id")}
    for face, rows in video.by_face():
        key = f"{number:06d}_{face}"
        record = {
            "video_id": video.video_id,
            "uri": video.uri,
            "face_id": face,
            "width_px": video.width_px,
            "height_px": video.height_px,
        }
        files = [(f"{key}.{name}.npy", _npy(values[rows])) for name, values in arrays.items()]
        yield [(f"{key}.json", json_text(record)), *files]


def _npy(values: npt.NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()
