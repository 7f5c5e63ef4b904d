"""Training faces made of labelled stills: windows in motion, and other expressions.

still -- FaceAnimation(pose) --> pictures, with the exact places of the landmarks -- cut_patch -->

windows:      in the last frame any expression; in those before it what a real face, tracked
              through as many frames, did to get there
expressions:  shut and squinting eyes, wide and pressed lips. Photographs rarely show them; here
              they are as frequent as others.
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
from models.synthesis.face_animation import FaceAnimation, animate_still
from models.synthesis.face_motion import Pose, RandomMotion
from models.synthesis.track_motion import changes_of_pose, moved_pose

#: Side of a picture, in sides of the crops that are cut of it: the face's box fills a third.
_FRAME_CROPS: Final = 4
_STILL_CROPS: Final = 3.5
#: Animating a still takes as long as rendering three pictures of it.
_USES_A_STILL: Final = 3
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
        stills: that can be animated, at least one; three windows of each that is drawn.
        tracks_px: (frames, 68, 2) px each: real motions to draw from. Where there is none,
            motions are made up.
        count: windows.
        frames: of a window, at least 2.
        crop_size_px: see `cut_patch`.
        seed: of all random numbers.
    """
    rng = np.random.default_rng([seed, count])
    size_px = _FRAME_CROPS * crop_size_px
    for number, (still, animation) in enumerate(_animations(stills, count, rng)):
        track = tracks_px[int(rng.integers(len(tracks_px)))] if tracks_px else None
        name = f"{still.name} (animated {number})"
        shown = [
            cut_patch(_rendered(name, animation, pose, size_px), crop_size_px=crop_size_px)
            for pose in _poses(track, frames, rng)
        ]
        yield dataclasses.replace(shown[-1], earlier=tuple(shown[:-1]))


def expressive_stills(
    stills: Sequence[LabelledFace], *, count: int, crop_size_px: int, seed: int
) -> Iterator[LabelledFace]:
    """Yields `count` faces, three of each still that is drawn; else as `animated_windows`."""
    rng = np.random.default_rng([seed, count])
    size_px = round(_STILL_CROPS * crop_size_px)
    for number, (still, animation) in enumerate(_animations(stills, count, rng)):
        name = f"{still.name} (expression {number})"
        face = _rendered(name, animation, _expression(rng), size_px)
        right = still.labels_right_px / interocular_px(still.landmarks_px)
        right_px = float(right * interocular_px(face.landmarks_px))
        yield cut_patch(
            dataclasses.replace(face, labels_right_px=right_px), crop_size_px=crop_size_px
        )


def _animations(
    stills: Sequence[LabelledFace], count: int, rng: np.random.Generator
) -> Iterator[tuple[LabelledFace, FaceAnimation]]:
    """Yields `count` stills, in random order, with their animations; each a few times in a row."""
    drawn = rng.permutation(len(stills))
    for first in range(0, count, _USES_A_STILL):
        still = stills[drawn[first // _USES_A_STILL % len(stills)]]
        animated = still, animate_still(still)
        yield from [animated] * min(_USES_A_STILL, count - first)


def _rendered(name: str, animation: FaceAnimation, pose: Pose, size_px: int) -> LabelledFace:
    landmarks = animation.landmarks(pose, size_px).astype(np.float32)
    picture = animation.render(pose, size_px)
    return LabelledFace.from_landmarks(name, picture, landmarks, FaceOrigin())


def _poses(
    track_px: npt.NDArray[np.floating] | None, frames: int, rng: np.random.Generator
) -> list[Pose]:
    motion = RandomMotion(rng, _MOTION_SECONDS)
    last = rng.uniform(frames / _FPS, _MOTION_SECONDS)
    if track_px is None:
        return [motion.pose(last - ago / _FPS) for ago in reversed(range(frames))]
    return [moved_pose(motion.pose(last), change) for change in changes_of_pose(track_px)]


def _expression(rng: np.random.Generator) -> Pose:
    """A pose whose eyes are open, anything between, or shut, a third each; the mouth likewise."""
    blink = rng.choice([rng.uniform(0, 0.3), rng.uniform(0.3, 0.9), rng.uniform(0.95, 1.0)])
    mouth = rng.choice([rng.uniform(-1, -0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.5, 1.3)])
    yaw, pitch, roll = rng.normal(0, [8.0, 5.0, 5.0]).clip([-18, -11, -14], [18, 11, 14])
    return Pose(
        yaw_deg=float(yaw),
        pitch_deg=float(pitch),
        roll_deg=float(roll),
        mouth_open=float(mouth),
        mouth_narrow=float(rng.uniform(-0.3, 0.9)),
        brow_raise=float(rng.choice([0.0, rng.uniform(0, 1)])),
        blink=float(blink),
    )
