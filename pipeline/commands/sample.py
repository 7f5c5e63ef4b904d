"""`facetracks sample`: a real-looking clip of a talking face with exact landmarks.

The clip is an animated photograph (see models/synthesis/face_animation.py), so the landmarks of
every frame are known, not labelled. That makes it a test that anybody can run offline:
annotate the clip and compare.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.crop_quality import cut_off_share
from models.face_box import box_from_landmarks
from models.landmarks.datasets.labelled_face import FaceOrigin
from models.landmarks.evaluation.face_errors import FaceErrors
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_motion import Pose, pose_at
from pipeline.arrow_tables import fixed_lists, write_parquet
from pipeline.data.labelled_tracks import matched_faces
from pipeline.videos.track_file import read_track_file
from pipeline.videos.video_writer import bt709_frame, declare_bt709
from schemas.errors import UsageError
from schemas.landmarks import COORDINATE_CONVENTION, LANDMARK_COUNT, LANDMARK_LAYOUT
from schemas.tracks import TRACK_SCHEMA
from transforms.storage.atomic_files import atomic_file

FRAMES_PER_SECOND: Final = 25


def run(args: argparse.Namespace) -> int:
    """Runs `facetracks sample`; returns the exit status."""
    truth = write_sample(args.out, seconds=args.seconds, size_px=args.size)
    print(f"clip   {args.out}\ntruth  {truth}")
    return 0


def write_sample(path: str | Path, *, seconds: float = 10.0, size_px: int = 512) -> Path:
    """Writes the clip and its truth; returns the path of the truth, PATH.truth.parquet.

    The same arguments give the same pixels and the same truth.

    Raises:
        UsageError: no scikit-image, not an .mp4, a size or length that makes no clip.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise UsageError(f"sample: got {path.name!r} to write, expected a name that ends in .mp4")
    if size_px < 64 or size_px % 2:
        raise UsageError(f"sample: got a size of {size_px} px, expected an even number from 64 up")
    frames = round(seconds * FRAMES_PER_SECOND)
    if frames < 1:
        raise UsageError(f"sample: got {seconds:g} seconds, expected one frame (0.04) or more")
    animation = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    poses = [pose_at(i / FRAMES_PER_SECOND) for i in range(frames)]
    landmarks = np.stack([animation.landmarks(pose, size_px) for pose in poses])
    truth = path.with_name(f"{path.stem}.truth.parquet")
    with atomic_file(str(path)) as clip_part:
        _encode(clip_part, (animation.render(pose, size_px) for pose in poses), size_px)
        table = _truth_table(path.name, landmarks, poses, size_px, *_stored_pts(clip_part))
        write_parquet(str(truth), table)
    return truth


def _encode(path: Path, frames: Iterator[npt.NDArray[np.uint8]], size_px: int) -> None:
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width = stream.height = size_px
        stream.options = {"crf": "18", "preset": "medium", "threads": "1"}
        declare_bt709(stream)
        for rgb in frames:
            container.mux(stream.encode(bt709_frame(rgb)))
        container.mux(stream.encode(None))


def _stored_pts(path: Path) -> tuple[list[int], Fraction]:
    """The pts of every frame in display order, as a reader will find them, and their unit."""
    with av.open(path, format="mp4") as container:
        stream = container.streams.video[0]
        pts = sorted(p.pts for p in container.demux(stream) if p.pts is not None)
        return pts, stream.time_base


def _truth_table(
    video_id: str,
    landmarks: npt.NDArray[np.float64],
    poses: list[Pose],
    size_px: int,
    pts: list[int],
    time_base: Fraction,
) -> pa.Table:
    """Head pose is that of the animation, whose zero is the photograph; blur is not known."""
    rows = len(landmarks)
    if len(pts) != rows:
        raise RuntimeError(f"{video_id}: the clip holds {len(pts)} frames, expected {rows}")
    x, y = (fixed_lists(landmarks[..., axis]) for axis in (0, 1))
    boxes = box_from_landmarks(landmarks)
    turned = [(p.yaw_deg, p.pitch_deg, p.roll_deg + p.camera_roll_deg) for p in poses]
    yaw, pitch, roll = np.array(turned, np.float32).T
    table = pa.table(
        [
            pa.array([video_id] * rows),
            pa.array(np.zeros(rows, np.int32)),
            pa.array(np.arange(rows)),
            pa.array(pts, pa.int64()),
            pa.array([float(p * time_base) for p in pts]),
            fixed_lists(boxes),
            pa.array(["given"] * rows),
            pa.array(np.ones(rows, np.float32)),
            x,
            y,
            x,
            y,
            fixed_lists(np.zeros((rows, LANDMARK_COUNT))),
            pa.nulls(rows, pa.float32()),
            pa.array([cut_off_share(box, size_px, size_px) for box in boxes], pa.float32()),
            pa.array(np.zeros(rows, np.int32)),
            yaw,
            pitch,
            roll,
        ],
        names=TRACK_SCHEMA.names,
    ).cast(TRACK_SCHEMA)
    about = {
        "time_base": str(time_base),
        "landmark_layout": LANDMARK_LAYOUT,
        "coordinate_convention": COORDINATE_CONVENTION,
    }
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **about})


def compare_with_truth(
    tracks_parquet: str | Path, truth_parquet: str | Path
) -> tuple[FaceErrors, FaceErrors]:
    """Errors of the raw, and of the stabilized landmarks of tracks of a one-face clip.

    Frames of the truth of `write_sample` are found by pts. Where a frame has several faces, the one
    whose landmarks' middle is nearest counts.

    Raises:
        UsageError: the truth has no rows, or no frame of it has a face in the tracks.
    """
    expected, got = read_track_file(str(truth_parquet)), read_track_file(str(tracks_parquet))
    truth, rows_by_pts = expected.landmarks_px, got.by_pts()
    places = []
    for pts, points in zip(expected.pts.tolist(), truth, strict=True):
        rows = rows_by_pts.get(pts, [])
        gaps = np.linalg.norm(got.landmarks_px[rows].mean(1) - points.mean(0), axis=-1)
        places.append(rows[gaps.argmin()] if rows else -1)
    if max(places, default=-1) < 0:
        raise UsageError(
            f"{tracks_parquet}: got {len(rows_by_pts)} frames with faces, none of them among "
            f"the {len(expected)} of {truth_parquet}; expected tracks of the same clip"
        )
    origins = [FaceOrigin(video=str(truth_parquet), frame=frame) for frame in range(len(truth))]
    return matched_faces(got, places, origins, truth)
