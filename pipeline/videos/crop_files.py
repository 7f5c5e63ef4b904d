"""What crops are written to: clips with sound, pictures, or WebDataset shards.

clips        TO/face_0_000012.mp4            a run of frames from 12 on; starts at 0 s
pictures     TO/face_0/000012.png
webdataset   TO/crops-000000.tar             0_000012.png and 0_000012.json a frame
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.reports.overlay import encode_image
from pipeline.tar_shards import TarShards
from pipeline.text_files import json_text, rounded
from pipeline.videos.track_file import TrackRows
from pipeline.videos.upright_frames import check_sound, opened_sound
from pipeline.videos.video_writer import VideoWriter
from schemas.records import Segment
from transforms.storage.atomic_files import Folder, atomic_file, write_bytes

Image = npt.NDArray[np.uint8]


class CropFiles(Protocol):
    """Files that crops are written to, one crop a row of the tracks, in order of pts."""

    def write(self, run: int, row: int, image: Image) -> tuple[str, int]:
        """Writes the crop of a row of a run; returns its file and its index there."""
        ...

    def __exit__(self, *error: Any) -> None:
        """Ends what is open; publishes none of it after an error."""
        ...


class PictureFiles:
    """A PNG a crop."""

    def __init__(self, to: Folder, tracks: TrackRows) -> None:
        self._to, self._tracks = to, tracks

    def write(self, run: int, row: int, image: Image) -> tuple[str, int]:
        """Writes face_{id}/{frame}.png."""
        folder = f"face_{self._tracks.face_id[row]}"
        name = f"{self._tracks.frame_index[row]:06d}.png"
        write_bytes(str(self._to / folder / name), encode_image(image, ".png"))
        return f"{folder}/{name}", 0

    def __exit__(self, *error: Any) -> None:
        pass


class ShardFiles:
    """Samples of WebDataset: a PNG and its JSON."""

    def __init__(self, to: Folder, tracks: TrackRows, transforms: npt.NDArray[np.float64]) -> None:
        self._tracks, self._transforms = tracks, transforms
        self._shards = TarShards(to, "crops")
        self._in_shard: dict[str, int] = {}

    def write(self, run: int, row: int, image: Image) -> tuple[str, int]:
        """Adds {id}_{frame}.png and .json to the shard."""
        tracks = self._tracks
        key = f"{tracks.face_id[row]}_{tracks.frame_index[row]:06d}"
        record = {
            "face_id": int(tracks.face_id[row]),
            "frame_index": int(tracks.frame_index[row]),
            "pts_seconds": float(tracks.pts_seconds[row]),
            "crop_to_image": self._transforms[row].tolist(),
            "landmarks_px": rounded(tracks.landmarks_px[row]),
        }
        sample = [(f"{key}.png", encode_image(image, ".png")), (f"{key}.json", json_text(record))]
        shard = self._shards.add(sample)
        index = self._in_shard[shard] = self._in_shard.get(shard, -1) + 1
        return shard, index

    def __exit__(self, *error: Any) -> None:
        self._shards.__exit__(*error)


class ClipFiles:
    """An MP4 a run, at the source's times less that of its first frame, with the source's sound."""

    def __init__(
        self, to: Folder, tracks: TrackRows, whole: Segment, runs: list[list[int]], size_px: int
    ) -> None:
        self._to, self._tracks, self._whole, self._runs = to, tracks, whole, runs
        self._size_px = size_px
        check_sound(whole)
        self._open: dict[int, tuple[ExitStack, VideoWriter, int]] = {}

    def write(self, run: int, row: int, image: Image) -> tuple[str, int]:
        """Adds a frame to face_{id}_{first frame}.mp4; the last one of a run publishes it."""
        first = self._runs[run][0]
        frame = self._tracks.frame_index[first]
        name = f"face_{self._tracks.face_id[first]}_{frame:06d}.mp4"
        if run not in self._open:
            self._open[run] = self._start(run, row, name)
        stack, out, index = self._open[run]
        out.write(int(self._tracks.pts[row]), image)
        self._open[run] = stack, out, index + 1
        if row == self._runs[run][-1]:
            self._open.pop(run)[0].close()
        return name, index

    def _start(self, run: int, row: int, name: str) -> tuple[ExitStack, VideoWriter, int]:
        whole, pts = self._whole, int(self._tracks.pts[row])
        stop_pts = int(self._tracks.pts[self._runs[run][-1]]) + whole.metadata.step_pts
        with ExitStack() as stack:
            part = stack.enter_context(atomic_file(str(self._to / name)))
            sound = stack.enter_context(opened_sound(whole))
            out = VideoWriter(
                part, ".mp4", whole.metadata, self._size_px, self._size_px,
                sound=sound, range_pts=(pts, stop_pts), shift_pts=pts,
            )  # fmt: skip
            stack.enter_context(out)
            return stack.pop_all(), out, 0

    def __exit__(self, *error: Any) -> None:
        for stack, _, _ in self._open.values():
            stack.__exit__(*error)
