"""The motion of a real face as changes of an animation's pose.

How much each number of a pose moves each landmark is known; the changes that move a real
face's landmarks best, in the sense of least squares, are its motion. Whose face it is drops
out: only differences between frames count.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
import numpy.typing as npt

from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX
from models.synthesis.expression_mesh import ExpressionMesh
from models.synthesis.face_animation import head_map, similarity
from models.synthesis.face_motion import Pose
from schemas.landmarks import LANDMARK_COUNT

Array = npt.NDArray[np.float64]

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


def changes_of_pose(track_px: npt.NDArray[np.floating]) -> Array:
    """How a face's pose differs from that in its last frame: (T, 68, 2) px to (T, 10)."""
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
