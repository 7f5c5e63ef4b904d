"""WebDataset: tar shards, a sample a face of a video.

    TO/tracks-000000.tar
        000000_0.json              video_id, uri, face_id, frame size
        000000_0.landmarks_px.npy  (T, 68, 2) float32; the other arrays likewise, T rows by time
        000000_1.json              the next face of the same video

Keys are numbers, as WebDataset cuts names at their first dot. A shard ends with the video that
makes it larger than about 256 MiB.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.exports.exported_video import ExportedVideo
from pipeline.exports.text_files import json_text
from transforms.storage.atomic_files import Folder, atomic_file

__all__ = ["write_webdataset"]

_SHARD_BYTES: Final = 256 << 20


def write_webdataset(
    videos: Iterable[ExportedVideo], to: Folder, *, shard_bytes: int = _SHARD_BYTES
) -> int:
    """Writes the shards; returns how many."""
    left = enumerate(iter(videos))
    waiting = next(left, None)
    shards = 0
    while waiting is not None:
        with _shard(to / f"tracks-{shards:06d}.tar") as shard:
            while waiting is not None and shard.offset < shard_bytes:
                for name, content in _samples(*waiting):
                    _add(shard, name, content)
                waiting = next(left, None)
        shards += 1
    return shards


@contextlib.contextmanager
def _shard(file: Folder) -> Iterator[Any]:
    with atomic_file(str(file)) as path, tarfile.open(path, "w") as shard:
        yield shard


def _samples(number: int, video: ExportedVideo) -> Iterator[tuple[str, bytes]]:
    for face, rows in video.by_face():
        key = f"{number:06d}_{face}"
        said = {
            "video_id": video.video_id,
            "uri": video.uri,
            "face_id": face,
            "width_px": video.width_px,
            "height_px": video.height_px,
        }
        yield f"{key}.json", json_text(said)
        arrays: dict[str, npt.NDArray[Any]] = {
            "frame_index": video.frame_index,
            "pts_seconds": video.pts_seconds,
            "score": video.score.astype(np.float32),
            "boxes_xyxy_px": video.boxes_xyxy_px.astype(np.float32),
            "landmarks_px": video.landmarks_px.astype(np.float32),
            "spread_px": video.spread_px.astype(np.float32),
            "yaw_pitch_roll_deg": video.pose_deg.astype(np.float32),
        }
        for name, values in arrays.items():
            yield f"{key}.{name}.npy", _npy(values[rows])


def _npy(values: npt.NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()


def _add(shard: Any, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # dated 1970: the same tracks give the same bytes
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))
