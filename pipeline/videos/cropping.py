"""Crops the faces of a video along their tracks, with the transforms that map back."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.crops import image_to_crop
from pipeline.arrow_tables import fixed_lists, write_parquet
from pipeline.tar_shards import TarShards
from pipeline.videos.crop_files import ClipFiles, CropFiles, PictureFiles, ShardFiles
from pipeline.videos.crop_plan import CropFilter, crop_transforms, kept_rows, runs_of
from pipeline.videos.track_file import TrackRows
from pipeline.videos.upright_frames import pixel_aspect, tracked_frames, whole_video
from schemas.choices import CROP_FORMATS
from schemas.errors import UsageError
from transforms.decoding.child_pool import kept_children
from transforms.storage.atomic_files import Folder, file_stem

_MIN_PX: Final = 16
_MAX_PX: Final = 4096


@dataclass(frozen=True, slots=True)
class CropSummary:
    """What was written.

    Attributes:
        crops: how many crops.
        files: files that hold them.
        table: the Parquet beside them.
    """

    crops: int
    files: int
    table: str


@kept_children()
def crop(
    video: str,
    tracks: TrackRows,
    to: str,
    *,
    format: str = "mp4",  # noqa: A002
    size_px: int = 256,
    margin: float = 0.3,
    keep_rotation: bool = False,
    limits: CropFilter | None = None,
    min_frames: int = 1,
    progress: bool = False,
) -> CropSummary:
    """Writes the faces of a video as clips or frames, each face upright and of constant size.

        crop("talk.mp4", read_track_file("OUT/tracks/talk.mp4.parquet"), "faces")

    Beside the crops, {video}.crops.parquet has a row per crop: `file`; `index_in_file`, its frame
    in the clip or sample in the shard, from 0; `crop_to_image` (2, 3), flat, which maps its pixels
    to those of the upright frame; and `x`, `y`, its landmarks in the crop. It is written last.
    What a crop shows beyond the frame repeats the frame's nearest pixel.

    Args:
        video: a path or a URL.
        tracks: its tracks.
        to: the folder to write, a path or a URL.
        format: mp4 (a clip for each stretch of frames without a gap, with its sound), png, or
            webdataset.
        size_px: the side of a crop, even.
        margin: on each side, as a share of the median longer side of a track's boxes.
        keep_rotation: leaves the head's roll; otherwise the eyes are level.
        limits: which rows; None is all.
        min_frames: shorter stretches of frames are left out.
        progress: whether a bar on stderr counts the frames.

    Raises:
        VideoError: the video cannot be opened, or holds no frame.
        UsageError: sizes or forms that cannot be, a limit of a column that the tracks lack, no row
            within the limits, or most faces of the tracks are at no frame of this video.
    """
    _check(format, size_px, margin)
    runs = runs_of(tracks, kept_rows(tracks, limits or CropFilter()), min_frames)
    if not runs:
        raise UsageError(f"{video}: got no row of {len(tracks)} within the limits, expected some")
    run_of = {row: number for number, run in enumerate(runs) for row in run}
    by_pts: dict[int, list[int]] = defaultdict(list)
    for row in run_of:
        by_pts[int(tracks.pts[row])].append(row)
    whole = whole_video(video, tracks.stream_index, tracks.range_seconds)
    first, frames = tracked_frames(whole, by_pts, progress=progress)
    transforms = crop_transforms(
        tracks,
        size_px=size_px,
        margin=margin,
        pixel_aspect=float(pixel_aspect(whole.metadata, first)),
        keep_rotation=keep_rotation,
    )
    folder = Folder(to)
    written: list[tuple[int, str, int]] = []
    with ExitStack() as stack:
        files: CropFiles
        if format == "mp4":
            files = ClipFiles(folder, tracks, whole, runs, size_px, stack)
        elif format == "png":
            files = PictureFiles(folder, tracks)
        else:
            shards = stack.enter_context(TarShards(folder, "crops"))
            files = ShardFiles(shards, tracks, transforms)
        for pts, pixels in frames:
            for row in by_pts.get(pts, []):
                image = pixels.sample(transforms[row], size_px, size_px)
                written.append((row, *files.write(run_of[row], row, image)))
    table = folder / f"{file_stem(PurePosixPath(video).name)}.crops.parquet"
    write_parquet(str(table), _table(tracks, transforms, written))
    return CropSummary(len(written), len({name for _, name, _ in written}), str(table))


def _table(
    tracks: TrackRows, transforms: npt.NDArray[np.float64], written: list[tuple[int, str, int]]
) -> pa.Table:
    rows = [row for row, _, _ in written]
    points = [image_to_crop(tracks.landmarks_px[row], transforms[row]) for row in rows]
    x, y = np.stack(points).transpose(2, 0, 1) if rows else np.zeros((2, 0, 68))
    return pa.table(
        {
            "file": pa.array([name for _, name, _ in written], pa.string()),
            "index_in_file": pa.array([index for _, _, index in written], pa.int64()),
            "face_id": tracks.face_id[rows],
            "frame_index": tracks.frame_index[rows],
            "pts": tracks.pts[rows],
            "pts_seconds": tracks.pts_seconds[rows],
            "crop_to_image": fixed_lists(transforms[rows].reshape(-1, 6)),
            "x": fixed_lists(x.astype(np.float32)),
            "y": fixed_lists(y.astype(np.float32)),
        }
    )


def _check(crop_format: str, size_px: int, margin: float) -> None:
    if crop_format not in CROP_FORMATS:
        raise UsageError(f"format: got {crop_format!r}, expected one of {', '.join(CROP_FORMATS)}")
    if not _MIN_PX <= size_px <= _MAX_PX or size_px % 2:
        raise UsageError(
            f"size: got {size_px} px, expected an even number from {_MIN_PX} to {_MAX_PX}"
        )
    if not 0 <= margin < np.inf:
        raise UsageError(f"margin: got {margin}, expected 0 or more")
