"""One video's tracks as exporters read them: arrays of rows, in order of frame, then face."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.arrow_tables import list_rows
from schemas.errors import OutputError, UsageError
from schemas.landmarks import LANDMARK_COUNT
from schemas.tracks import RAW_COLUMNS
from transforms.storage.atomic_files import file_stem
from transforms.storage.output_tables import OutputFolder
from transforms.storage.parquet_reading import read_parquet

_STATUS: Final = (
    "video_id", "uri", "status", "width", "height", "average_fps", "frames_decoded",
)  # fmt: skip
_POSE: Final = ("yaw_deg", "pitch_deg", "roll_deg")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ExportedVideo:
    """A video and the N rows of its tracks, sorted by frame_index, then face_id.

    Coordinates are pixels of the upright frame; the centre of the top-left pixel is at (0, 0).
    """

    video_id: str
    uri: str
    width_px: int
    height_px: int
    average_fps: float | None
    frames: int  # that were annotated
    frame_index: npt.NDArray[np.int64]  # (N,), among those annotated, from 0
    pts: npt.NDArray[np.int64]  # (N,)
    pts_seconds: Array  # (N,)
    face_id: npt.NDArray[np.int32]  # (N,)
    score: Array  # (N,)
    boxes_xyxy_px: Array  # (N, 4)
    landmarks_px: Array  # (N, 68, 2)
    spread_px: Array  # (N, 68), NaN where it is not known
    pose_deg: Array  # (N, 3): yaw, pitch, roll; NaN where it is not known

    def __len__(self) -> int:
        return len(self.pts)

    def __repr__(self) -> str:
        return f"ExportedVideo({self.video_id!r}, rows={len(self)})"

    @property
    def stem(self) -> str:
        """The video_id as a file name."""
        return file_stem(self.video_id)

    def by_frame(self) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
        """(frame_index, rows) of every frame that has rows."""
        frames, starts = np.unique(self.frame_index, return_index=True)
        rows = np.split(np.arange(len(self)), starts[1:]) if len(frames) else []
        yield from zip(frames.tolist(), rows, strict=True)

    def by_face(self) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
        """(face_id, rows by time) of every face."""
        for face in np.unique(self.face_id).tolist():
            yield face, np.flatnonzero(self.face_id == face)


def exported_videos(
    output: str, video_ids: Collection[str] | None = None, *, raw: bool = False
) -> Iterator[ExportedVideo]:
    """The videos of an output that have tracks, one at a time.

    Args:
        output: the output location of a run, a path or any fsspec URL.
        video_ids: only these; None is all.
        raw: the network's landmarks instead of the stabilized ones.

    Raises:
        OutputError: a table cannot be read.
        UsageError: a video that was asked for has no tracks, or no video is there at all.
    """
    folder = OutputFolder(output)
    missing = set(video_ids or ())
    empty = True
    for status in folder.status_tables(list(_STATUS)):
        for row in status.to_pylist():
            empty = False
            if row["width"] is None or (video_ids is not None and row["video_id"] not in video_ids):
                continue
            file = folder.stored_tracks(row["video_id"])
            try:
                table = read_parquet(pa.BufferReader(file.read_bytes()))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise OutputError(f"{file}: cannot be read as tracks: {error}") from error
            missing.discard(row["video_id"])
            yield _exported(row, table, raw=raw)
    if empty:
        raise UsageError(f"{output}: got no videos/*.parquet, expected the output of annotate")
    if missing:
        raise UsageError(f"{output}: got no tracks of {', '.join(sorted(missing))}")


def _exported(status: dict[str, Any], table: pa.Table, *, raw: bool) -> ExportedVideo:
    table = table.sort_by([("frame_index", "ascending"), ("face_id", "ascending")])
    known = set(table.column_names)

    def numbers(name: str) -> Array:
        if name not in known:
            return np.full(len(table), np.nan)
        return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False))

    def lists(name: str, length: int) -> Array:
        if name not in known:
            return np.full((len(table), length), np.nan)
        return list_rows(table, name, length)

    names = RAW_COLUMNS if raw else ("x", "y")
    if not known.issuperset(names):
        raise UsageError(
            f"{status['video_id']}: raw landmarks are the columns x_raw and y_raw; got tracks of "
            "`annotate --no-raw`, expected tracks annotated without that option"
        )
    return ExportedVideo(
        video_id=status["video_id"],
        uri=status["uri"],
        width_px=status["width"],
        height_px=status["height"],
        average_fps=status["average_fps"],
        frames=status["frames_decoded"],
        frame_index=table["frame_index"].to_numpy(),
        pts=table["pts"].to_numpy(),
        pts_seconds=table["pts_seconds"].to_numpy(),
        face_id=table["face_id"].to_numpy(),
        score=numbers("score"),
        boxes_xyxy_px=lists("box_xyxy_px", 4),
        landmarks_px=np.stack([lists(name, LANDMARK_COUNT) for name in names], axis=-1),
        spread_px=lists("spread_px", LANDMARK_COUNT),
        pose_deg=np.stack([numbers(name) for name in _POSE], axis=-1),
    )
