"""Training faces made of labelled stills: windows in motion, and other expressions.

still -- FaceAnimation(pose) --> pictures, with the exact places of the landmarks -- cut_patch -->

windows:      in the last frame any expression; in those before it what a real face, tracked
              through as many frames, did to get there
expressions:  shut and squinting eyes, wide and pressed lips. Photographs rarely show them; here
              they are as frequent as others.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.landmarks.datasets.labelled_face import FaceOrigin, LabelledFace
from models.landmarks.metrics import interocular_px
from models.landmarks.training.augmentation import cut_patch
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX
from models.synthesis.expression_mesh import ExpressionMesh
from models.synthesis.face_animation import FaceAnimation, animate_still, head_map, similarity
from models.synthesis.face_motion import Pose, RandomMotion
from schemas.landmarks import LANDMARK_COUNT

Array = npt.NDArray[np.float64]

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


#: yaw, pitch, roll (degrees), shift x, y (photograph px), log size, mouth open, mouth narrow,
#: raised brows, closed eyes: how far they usually are from rest, and the widest that an
#: animation bears.
_USUAL: Final = np.array([9.0, 5.0, 6.0, 6.0, 3.0, 0.05, 0.4, 0.4, 0.5, 0.5])
_LOWEST: Final = np.array([-20.0, -12.0, -15.0, -16.0, -9.0, -0.1, -1.0, -0.5, -0.3, 0.0])
_HIGHEST: Final = np.array([20.0, 12.0, 15.0, 16.0, 9.0, 0.1, 1.0, 1.0, 1.2, 1.0])
#: Where the landmarks' derivatives are taken: lips apart and lids not yet shut.
_MIDDLE: Final = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.2, 0.2, 0.3])
#: Of a tracked landmark, in photograph px, of a face whose outer eye corners are 65 px apart.
_NOISE_PX: Final = 1.0


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


def changes_of_pose(track_px: npt.NDArray[np.floating]) -> Array:
    """How a face's pose differs from that in its last frame: (T, 68, 2) px to (T, 10).

    How much each number of a pose moves each landmark is known; the changes that move a real
    face's landmarks best, in the sense of least squares, are its motion. Whose face it is drops
    out: only differences between frames count.
    """
    track = track_px.astype(np.float64)
    affine = similarity(track[-1], ASTRONAUT_LANDMARKS_PX)
    upright = track @ affine[:, :2].T + affine[:, 2]
    steps = (upright - upright[-1]).reshape(len(track), -1)
    jacobian = _landmarks_by_pose()
    normal = jacobian.T @ jacobian + np.diag((_NOISE_PX / _USUAL) ** 2)
    return np.linalg.solve(normal, jacobian.T @ steps.T).T


def moved_pose(pose: Pose, change: Array) -> Pose:
    """The pose with (10,) added to its head and face, as far within the limits of the animation."""
    return _pose(np.clip(_values(pose) + change, _LOWEST, _HIGHEST))


@functools.cache
def _landmarks_by_pose() -> Array:
    """(136, 10): derivatives of a face's landmarks, in photograph px."""
    mesh = ExpressionMesh(ASTRONAUT_LANDMARKS_PX)

    def landmarks(values: Array) -> Array:
        pose = _pose(values)
        return head_map(mesh.move(pose)[:LANDMARK_COUNT], pose).reshape(-1)

    steps = np.diag(0.1 * _USUAL)
    changes = [landmarks(_MIDDLE + step) - landmarks(_MIDDLE - step) for step in steps]
    return np.asarray(np.column_stack(changes) / (2 * steps.sum(0)))


def _values(pose: Pose) -> Array:
    turn, log_size = (pose.yaw_deg, pose.pitch_deg, pose.roll_deg), np.log(pose.head_scale)
    face = pose.mouth_open, pose.mouth_narrow, pose.brow_raise, pose.blink
    return np.array([*turn, *pose.head_shift_xy_px, log_size, *face])


def _pose(values: Array) -> Pose:
    yaw, pitch, roll, x, y, log_size, opening, narrow, raised, blink = values.tolist()
    head = yaw, pitch, roll, (x, y), float(np.exp(log_size))
    return Pose(*head, mouth_open=opening, mouth_narrow=narrow, brow_raise=raised, blink=blink)
