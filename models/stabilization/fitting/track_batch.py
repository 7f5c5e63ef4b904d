"""Batches of tracks in units of face size, for fitting and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.synthesis.motion_tracks import MotionTrack
from schemas.landmarks import LANDMARK_COUNT

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrackBatch:
    """B tracks, padded to T frames by their last one.

    Faces have size 100 (`models.face_box.face_size_px`), so a length is in percent
    of the distance of the outer eye corners of the face as seen from the front. The middle of
    the first true frame is the origin.

    truth, raw: (B, T, 68, 2) float64.
    lengths: (B,) frames that are not padding.
    fps: (B,) frames a second.
    """

    truth: Array
    raw: Array
    lengths: npt.NDArray[np.intp]
    fps: Array

    @classmethod
    def of(cls, tracks: Sequence[MotionTrack]) -> TrackBatch:
        """Stacks tracks.

        Raises:
            ValueError: there are none, or one is shorter than 3 frames.
        """
        lengths = np.array([len(track) for track in tracks], np.intp)
        if not len(lengths) or lengths.min() < 3:
            raise ValueError(f"tracks: got lengths {lengths.tolist()}, expected some, from 3 up")
        both = np.empty((2, len(tracks), lengths.max(), LANDMARK_COUNT, 2))
        for i, track in enumerate(tracks):
            px = np.stack([track.truth_px, track.raw_px]) - track.truth_px[0].mean(0)
            both[:, i, : len(track)] = px * (100 / track.size_px)
            both[:, i, len(track) :] = both[:, i, len(track) - 1, None]
        fps = np.array([track.fps for track in tracks])
        return cls(both[0], both[1], lengths, fps)

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"TrackBatch({len(self)} tracks, {int(self.lengths.sum())} frames)"

    @property
    def frames(self) -> npt.NDArray[np.bool_]:
        """(B, T): true where a frame is not padding."""
        return np.asarray(np.arange(self.truth.shape[1]) < self.lengths[:, None])

    def without_bias(self) -> TrackBatch:
        """The truth moved by each track's mean error, landmark by landmark.

        No filter can remove a constant difference between network and labels; in a sum of
        squares it would hide what a filter can change.
        """
        frames = self.frames[..., None, None]
        error = ((self.raw - self.truth) * frames).sum(1, keepdims=True)
        return replace(self, truth=self.truth + error / self.lengths[:, None, None, None])
