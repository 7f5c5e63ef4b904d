"""One video's tracks as exporters read them: arrays of rows, in order of frame, then face."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.videos.track_file import TrackRows, track_table
from schemas.errors import OutputError, UsageError
from transforms.storage.atomic_files import file_stem
from transforms.storage.output_tables import OutputFolder

#: Columns of the videos table -> fields of an ExportedVideo.
_FIELDS: Final = {
    "video_id": "video_id",
    "uri": "uri",
    "width": "width_px",
    "height": "height_px",
    "average_fps": "average_fps",
    "frames_decoded": "frames",
}
_ORDER: Final = [("frame_index", "ascending"), ("face_id", "ascending")]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, repr=False)
class ExportedVideo(TrackRows):
    """A video and the N rows of its tracks, sorted by frame_index, then face_id.

    Coordinates are pixels of the upright frame; the centre of the top-left pixel is at (0, 0).
    """

    video_id: str
    uri: str
    width_px: int
    height_px: int
    average_fps: float | None
    frames: int  # that were annotated

    @cached_property
    def score(self) -> Array:
        """(N,), NaN where it is not known."""
        return self.quality.get("score", np.full(len(self), np.nan))

    @cached_property
    def pose_deg(self) -> Array:
        """(N, 3): yaw, pitch, roll; NaN where it is not known."""
        unknown = np.full(len(self), np.nan)
        angles = [self.quality.get(f"{name}_deg", unknown) for name in ("yaw", "pitch", "roll")]
        return np.stack(angles, axis=-1)

    @property
    def stem(self) -> str:
        """The video_id as a file name."""
        return file_stem(self.video_id)

    def arrays(self) -> dict[str, Any]:
        """Arrays of rows by their names: whole numbers, float64 seconds, and float32."""
        measures = {
            "score": self.score,
            "boxes_xyxy_px": self.boxes_xyxy_px,
            "landmarks_px": self.landmarks_px,
            "spread_px": self.spread_px,
            "yaw_pitch_roll_deg": self.pose_deg,
        }
        keys = ("frame_index", "pts", "pts_seconds", "face_id")
        return {name: getattr(self, name) for name in keys} | {
            name: values.astype(np.float32) for name, values in measures.items()
        }

    def by_frame(self) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
        """(frame_index, rows) of every frame that has rows."""
        frames, starts = np.unique(self.frame_index, return_index=True)
        rows = np.split(np.arange(len(self)), starts[1:]) if len(frames) else []
        yield from zip(frames.tolist(), rows, strict=True)


def exported_videos(
    output: str, video_ids: Collection[str] | None = None, *, raw: bool = False
) -> Iterator[ExportedVideo]:
    """The videos of an output that have tracks, or these of them, one at a time.

    raw: with the network's landmarks instead of the stabilized ones.

    Raises OutputError if there is no videos table or a table cannot be read, UsageError if a video
    that was asked for has no tracks.
    """
    folder = OutputFolder(output)
    missing = set(video_ids or ())
    for status in folder.status_tables(list(_FIELDS)):
        for row in status.to_pylist():
            if row["width"] is None or (video_ids is not None and row["video_id"] not in video_ids):
                continue
            tracks = folder.stored_tracks(row["video_id"])
            try:
                table = track_table(pa.BufferReader(tracks.read_bytes()), raw=raw)
                fields = {field: row[column] for column, field in _FIELDS.items()}
                video = ExportedVideo.of(table.sort_by(_ORDER), **fields)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, pa.ArrowException) as error:
                raise OutputError(f"{tracks}: cannot be read as tracks: {error}") from error
            if raw:
                video.need_raw(f"{video.video_id}: an export of raw landmarks")
                video = replace(video, landmarks_px=video.raw_landmarks_px)
            missing.discard(video.video_id)
            yield video
    if missing:
        raise UsageError(f"{output}: got no tracks of {', '.join(sorted(missing))}")
