"""Tracks with ground truth, for fitting and evaluating stabilizers.

Three sources:
- animated stills (`models.synthesis.track_sets`), seen by our networks: exact truth;
- real faces' motion (teacher-labelled videos, smoothed) with errors drawn from the
  animated tracks: `real_motions`, `add_measured_errors`;
- labelled videos in the 300VW layout: `models.synthesis.face_clips`.

Lengths are in pixels; `TrackBatch` makes them comparable.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.signal import savgol_filter

from models.face_box import face_size_px
from schemas.errors import UsageError
from schemas.landmarks import FLIP_PERMUTATION, LANDMARK_COUNT

_SPREAD_LIMIT_PERCENT: Final = 1.5
#: Mean distance between frames, in sizes of the face, above which a new track starts.
_LEAP_SIZES: Final = 0.3
_SHAPE_COMPONENTS: Final = 10
_SMOOTHING_SECONDS: Final = 0.28
#: Rate that teacher-labelled videos are taken to have, and frames of the shortest stretch of one.
_FPS: Final = 25.0
_SHORTEST: Final = 60

Landmarks = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False)
class MotionTrack:
    """One face's track without gaps.

    name: whose face and motion.
    fps: frames a second.
    truth_px, raw_px: (T, 68, 2) float64; raw is a network's output.
    """

    name: str
    fps: float
    truth_px: Landmarks
    raw_px: Landmarks

    def __post_init__(self) -> None:
        shape = (len(self.truth_px), LANDMARK_COUNT, 2)
        if self.truth_px.shape != shape or self.raw_px.shape != shape:
            raise ValueError(
                f"{self.name}: got truth {self.truth_px.shape} and raw {self.raw_px.shape}, "
                "expected (T, 68, 2) of both"
            )

    def __len__(self) -> int:
        return len(self.truth_px)

    def __repr__(self) -> str:
        return f"MotionTrack({self.name!r}, {len(self)} frames at {self.fps:g}/s)"

    @property
    def size_px(self) -> float:
        """The true face's mean size."""
        return float(face_size_px(self.truth_px).mean())

    def part(self, start: int, stop: int) -> MotionTrack:
        """The frames [start, stop)."""
        return MotionTrack(self.name, self.fps, self.truth_px[start:stop], self.raw_px[start:stop])


def real_motions(labels: Path) -> list[MotionTrack]:
    """A teacher's labels of a video's faces, smoothed to serve as ground truth.

    Stretches where the teacher disagrees with itself (spread over 1.5 %) are left out; a
    skipped frame or a leap (another face) ends one. Smoothing is a Savitzky-Golay filter of
    third order over 0.28 s: it keeps blinks and syllables. `raw_px` is the truth itself
    until errors are added.

    Raises:
        UsageError: the file is not an .npz of such labels.
    """
    try:
        with np.load(labels, allow_pickle=False) as stored:
            face, frame = stored["face"], stored["frame_index"]
            landmarks, spread = stored["landmarks_px"], stored["spread_percent"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{labels}: not teacher labels in .npz: {error}") from error
    window = 2 * round(_SMOOTHING_SECONDS * _FPS / 2) + 1
    tracks = []
    for one in np.unique(face):
        rows = np.flatnonzero((face == one) & (spread < 2 * _SPREAD_LIMIT_PERCENT))
        rows = rows[np.argsort(frame[rows], kind="stable")]
        moved = np.linalg.norm(np.diff(landmarks[rows], axis=0), axis=-1).mean(-1)
        leaps = moved > _LEAP_SIZES * face_size_px(landmarks[rows][1:].astype(np.float64))
        for stretch in np.split(rows, np.flatnonzero((np.diff(frame[rows]) != 1) | leaps) + 1):
            if len(stretch) < _SHORTEST or np.median(spread[stretch]) > _SPREAD_LIMIT_PERCENT:
                continue
            smooth = savgol_filter(landmarks[stretch].astype(np.float64), window, 3, axis=0)
            tracks.append(MotionTrack(labels.stem, _FPS, smooth, smooth))
    return tracks


def add_measured_errors(
    motion: MotionTrack, measured: Sequence[MotionTrack], rng: np.random.Generator
) -> MotionTrack:
    """A true motion with the errors of a measured track, at the size of its face.

    Only errors that do not follow the measured track's own motion are added
    (`unexplained_errors`). They keep their order in time (from a random start, or backwards), so
    drift, correlation between landmarks and jitter stay as they were measured; half of them are
    mirrored. Where the measured track is too short it is continued backwards.
    """
    source = measured[int(rng.integers(len(measured)))]
    errors = unexplained_errors(source)
    if rng.random() < 0.5:
        errors = errors[:, FLIP_PERMUTATION] * [-1.0, 1.0]
    there_and_back = np.concatenate([errors, errors[::-1]])
    start = int(rng.integers(len(there_and_back)))
    order = (start + np.arange(len(motion))) % len(there_and_back)
    added = there_and_back[order] * face_size_px(motion.truth_px)[:, None, None]
    name = f"{motion.name} + errors of {source.name}"
    return MotionTrack(name, motion.fps, motion.truth_px, motion.truth_px + added)


def unexplained_errors(track: MotionTrack) -> Landmarks:
    """(T, 68, 2): errors in sizes of the face, without what its pose and expression explain.

    A network that opens a mouth half as far as it is open makes an error that moves as the
    mouth does. On another motion that would be noise, and a filter that learns from it would
    take mouths and blinks for noise. Left out is the best linear function of the main
    components of the true shape; the mean error stays.
    """
    size = face_size_px(track.truth_px)[:, None, None]
    errors = ((track.raw_px - track.truth_px) / size).reshape(len(track), -1)
    shape = (track.truth_px - track.truth_px.mean(1, keepdims=True)) / size
    shape = (shape - shape.mean(0)).reshape(len(track), -1)
    components = np.linalg.svd(shape, full_matrices=False)[0][:, :_SHAPE_COMPONENTS]
    off = errors - errors.mean(0)
    return np.asarray(errors - components @ (components.T @ off)).reshape(track.truth_px.shape)
