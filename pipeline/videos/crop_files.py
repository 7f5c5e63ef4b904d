"""What crops are written to: clips with sound, pictures, or WebDataset shards.

clips        TO/face_0_000012.mp4            a run of frames from 12 on; starts at 0 s
pictures     TO/face_0/000012.png
webdataset   TO/crops-000000.tar             0_000012.png and 0_000012.json a frame
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """A PNG a crop."""

    to: Folder
    tracks: TrackRows

    def write(self, run: int, row: int, image: Image) -> tuple[str, int]:
        """Writes face_{id}/{frame}.png."""
        folder = f"face_{self.tracks.face_id[row]}"
        name = f"{self.tracks.frame_index[row]:06d}.png"
        write_bytes(str(self.to / folder / name), encode_image(image, ".png"))
        return f"{folder}/{name}", 0


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """Samples of WebDataset: a PNG and its JSON."""

    shards: TarShards
    tracks: TrackRows
    transforms: npt.NDArray[np.float64]
    samples: Counter[str] = field(default_factory=Counter)  # in each shard

    def write(self, run: int, row: int, image: Image) -> tuple[str, int]:
        """Adds {id}_{frame}.png and .json to the shard."""
        tracks = self.tracks
        key = f"{tracks.face_id[row]}_{tracks.frame_index[row]:06d}"
        record = {
            "face_id": int(tracks.face_id[row]),
            "frame_index": int(tracks.frame_index[row]),
            "pts_seconds": float(tracks.pts_seconds[row]),
            "crop_to_image": self.transforms[row].tolist(),
            "landmarks_px": rounded(tracks.landmarks_px[row]),
        }
        sample = [(f"{key}.png", encode_image(image, ".png")), (f"{key}.json", json_text(record))]
        shard = self.shards.add(sample)
        self.samples[shard] += 1
        return shard, self.samples[shard] - 1


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """An MP4 a run, at the source's times less that of its first frame, with the source's sound.

    Clips that are unfinished when `stack` closes are not published after an error.
    """

    to: Folder
    tracks: TrackRows
    whole: Segment
    runs: list[list[int]]
    size_px: int
    stack: ExitStack
    unfinished: dict[int, tuple[ExitStack, VideoWriter, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_sound(self.whole)

    def write(self, run: int, row: int, image: Image) -> tuple[str, int]:
        """Adds a frame to face_{id}_{first frame}.mp4; the last one of a run publishes it."""
        first = self.runs[run][0]
        frame = self.tracks.frame_index[first]
        name = f"face_{self.tracks.face_id[first]}_{frame:06d}.mp4"
        if run not in self.unfinished:
            self.unfinished[run] = self._start(run, row, name)
        clip, out, index = self.unfinished[run]
        out.write(int(self.tracks.pts[row]), image)
        self.unfinished[run] = clip, out, index + 1
        if row == self.runs[run][-1]:
            self.unfinished.pop(run)[0].close()
        return name, index

    def _start(self, run: int, row: int, name: str) -> tuple[ExitStack, VideoWriter, int]:
        whole, pts = self.whole, int(self.tracks.pts[row])
        stop_pts = int(self.tracks.pts[self.runs[run][-1]]) + whole.metadata.step_pts
        clip = self.stack.enter_context(ExitStack())
        part = clip.enter_context(atomic_file(str(self.to / name)))
        sound = clip.enter_context(opened_sound(whole))
        out = VideoWriter(
            part, ".mp4", whole.metadata, self.size_px, self.size_px,
            sound=sound, range_pts=(pts, stop_pts), shift_pts=pts,
        )  # fmt: skip
        return clip, clip.enter_context(out), 0
