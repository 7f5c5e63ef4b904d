"""Training windows of animated stills: motion for multi-frame networks, from stills.

still -- FaceAnimation --> frames, with the exact places of the landmarks -- cut_patch --> window
              |
poses: in the last frame any expression; in those before it what a real face, tracked
through as many frames, did to get there
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.landmarks.datasets.labelled_face import FaceOrigin, LabelledFace
from models.landmarks.metrics import interocular_px
from models.landmarks.training.augmentation import cut_patch
from models.synthesis.animated_clips import animate_still
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_motion import Pose
from models.synthesis.random_motion import RandomMotion
from models.synthesis.track_motion import changes_of_pose, moved_pose

#: Side of a frame, in sides of the crops that are cut of it: the face's box fills a third.
_FRAME_CROPS: Final = 4
#: Making a still's animation takes as long as rendering a window of it.
_WINDOWS_A_STILL: Final = 3
_SMALLEST_BOX_PX: Final = 60.0
#: Distance of the outer eye corners over the longer side of the box; 0.62 seen from the front.
_FRONTAL: Final = 0.48
_FPS: Final = 25.0
_MOTION_SECONDS: Final = 10.0


def can_be_animated(face: LabelledFace) -> bool:
    """Whether a still is large enough and seen from the front, and all of its landmarks known."""
    side = float((face.box_xyxy_px[2:] - face.box_xyxy_px[:2]).max())
    frontal = interocular_px(face.landmarks_px) > _FRONTAL * side
    return bool(frontal and side >= _SMALLEST_BOX_PX and np.isfinite(face.landmarks_px).all())


def animated_windows(
    stills: Sequence[LabelledFace],
    tracks_px: Sequence[npt.NDArray[np.floating]],
    *,
    count: int,
    frames: int,
    crop_size_px: int,
    seed: int,
) -> Iterator[LabelledFace]:
    """Yields `count` windows as patches, rendered as they are taken (0.3 s each).

    Args:
        stills: that can be animated, at least one; a few windows of each that is drawn.
        tracks_px: (frames, 68, 2) px each: real motions to draw from. Where there is none,
            motions are made up.
        count: windows.
        frames: of a window, at least 2.
        crop_size_px: see `cut_patch`.
        seed: of all random numbers.
    """
    rng = np.random.default_rng([seed, count])
    drawn = rng.permutation(len(stills))
    animation: FaceAnimation | None = None
    for number in range(count):
        still = stills[drawn[number // _WINDOWS_A_STILL % len(stills)]]
        if animation is None or number % _WINDOWS_A_STILL == 0:
            animation = animate_still(still)
        track = tracks_px[int(rng.integers(len(tracks_px)))] if tracks_px else None
        shown = [
            _frame(f"{still.name} (animated {number})", animation, pose, crop_size_px)
            for pose in _poses(track, frames, rng)
        ]
        yield dataclasses.replace(shown[-1], earlier=tuple(shown[:-1]))


def _poses(
    track_px: npt.NDArray[np.floating] | None, frames: int, rng: np.random.Generator
) -> list[Pose]:
    motion = RandomMotion(rng, _MOTION_SECONDS)
    last = rng.uniform(frames / _FPS, _MOTION_SECONDS)
    if track_px is None:
        return [motion.pose(last - ago / _FPS) for ago in reversed(range(frames))]
    return [moved_pose(motion.pose(last), change) for change in changes_of_pose(track_px)]


def _frame(name: str, animation: FaceAnimation, pose: Pose, crop_size_px: int) -> LabelledFace:
    size_px = _FRAME_CROPS * crop_size_px
    landmarks = animation.landmarks(pose, size_px).astype(np.float32)
    face = LabelledFace.from_landmarks(
        name, animation.render(pose, size_px), landmarks, FaceOrigin()
    )
    return cut_patch(face, crop_size_px=crop_size_px)
