"""Head pose: the rotation of a rigid mean face that projects to the landmarks.

    camera     x right, y down, z away; it looks at the middle of the landmarks from a distance of
               five times their extent: a face of 20 cm is a metre away
    yaw_deg    about y, above 0: the head turns to its own right, in the picture to the left
    pitch_deg  about x, above 0: it looks down
    roll_deg   about z, above 0: it leans clockwise in the picture
    zero       the mean face upright: the median pose of 300W's frontal faces

    R = Rz(roll) Ry(yaw) Rx(pitch); camera_xyz = R @ MEAN_FACE_xyz + translation

Angles are relative to the line from the camera to the face, so they depend neither on the place
of the face in the frame nor on the frame's size. Only nose and eyes are fitted, since expressions
hardly move them. The initial estimate is the least-squares affine camera, which is unique for
points that are not coplanar; so neighbouring frames cannot end in different minima.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.landmarks.mean_face import MEAN_FACE

_USED: Final = slice(27, 48)  # nose and eyes
_CAMERA_DISTANCE: Final = 5.0
_STEPS: Final = 12
#: Convergence: the largest last step of a solution, in radians and in extents of the face.
_SETTLED: Final = 1e-3
#: Steps after one below this change angles by 2e-4 degrees at most (the 52 shared clips); they are
#: stored in steps of 1/64 degree.
_AT_REST: Final = 1e-5
#: Faces that are solved together: few enough for their matrices to stay in the cache.
_BLOCK: Final = 512
#: Landmarks whose second singular value is this much smaller than the first lie on a line.
_FLAT: Final = 1e-3
_DAMPING: Final = 1e-9

Array = npt.NDArray[np.float64]


def head_pose(landmarks_px: npt.NDArray[np.floating], pixel_aspect: float = 1.0) -> Array:
    """Yaw, pitch and roll of each face in degrees: (N, 68, 2) to (N, 3) float64.

    Perspective-n-point by Gauss-Newton on the reprojection error. Every face is solved alone:
    equal landmarks give equal angles whatever the other frames are. nan where landmarks are
    missing or collinear, or where the iteration does not converge.

    Args:
        landmarks_px: in pixels of the upright frame.
        pixel_aspect: width over height of a pixel.
    """
    points = np.asarray(landmarks_px, np.float64) * [pixel_aspect, 1.0]
    pose = np.full((len(points), 3), np.nan)
    by_axis = np.ascontiguousarray(points.swapaxes(1, 2))  # a tenth of the time for min and max
    low, high = by_axis.min(2), by_axis.max(2)
    extent = (high - low).max(1)
    sound = np.isfinite(extent) & (extent > 0)
    points, extent = points[sound], extent[sound]
    middle = (low + high)[sound, None] / 2
    seen = (points - middle)[:, _USED] / (_CAMERA_DISTANCE * extent[:, None, None])
    model = MEAN_FACE[_USED] - MEAN_FACE[_USED].mean(0)
    with np.errstate(all="ignore"):  # failed solutions end as nan
        blocks = [_solved(seen[n : n + _BLOCK], model) for n in range(0, len(seen), _BLOCK)]
    pose[sound] = np.concatenate([np.empty((0, 3)), *blocks])
    return pose


def _solved(seen: Array, model: Array) -> Array:
    """(N, 3) angles of (N, P, 2) points of a (P, 3) model; nan where there are none."""
    rotation, translation, solid = _affine_guess(seen, model)
    step = np.full((len(seen), 6), np.inf)
    going = np.arange(len(seen))  # faces that have not converged
    for _ in range(_STEPS):
        step[going] = last = _gauss_newton_step(
            seen[going], model, rotation[going], translation[going]
        )
        rotation[going] = _rotation_about(last[:, :3]) @ rotation[going]
        translation[going] += last[:, 3:]
        going = going[~(np.abs(last).max(1) < _AT_REST)]
        if not len(going):
            break
    near = translation[:, 2]
    settled = (np.abs(step[:, :3]).max(1) < _SETTLED) & (
        np.abs(step[:, 3:]).max(1) < _SETTLED * near
    )
    angles = _angles_deg(rotation)
    angles[~(solid & settled & (near > 0))] = np.nan
    return angles


def pose_rotation(pose_deg: npt.NDArray[np.floating]) -> Array:
    """The rotations R of some poses: (..., 3) yaw, pitch, roll in degrees to (..., 3, 3)."""
    yaw, pitch, roll = np.moveaxis(np.deg2rad(np.asarray(pose_deg, np.float64)), -1, 0)
    zero = np.zeros_like(yaw)
    axes = (zero, zero, roll), (zero, yaw, zero), (pitch, zero, zero)
    rz, ry, rx = (_rotation_about(np.stack(axis, -1)) for axis in axes)
    return np.asarray(rz @ ry @ rx)


def _affine_guess(seen: Array, model: Array) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """(N, 3, 3) rotations, (N, 3) translations, and whether the points are not collinear.

    The least-squares affine camera, and the scaled rotation nearest to it.
    """
    middle = seen.mean(1)
    affine = np.swapaxes(seen - middle[:, None], 1, 2) @ np.linalg.pinv(model).T  # (N, 2, 3)
    left, sizes, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    rotation = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
    solid = sizes[:, 1] > _FLAT * sizes[:, 0]
    scale = np.where(solid, sizes.mean(1), 1.0)
    distance = 1 / scale[:, None]
    return rotation, np.concatenate([middle * distance, distance], 1), solid


def _gauss_newton_step(seen: Array, model: Array, rotation: Array, translation: Array) -> Array:
    """(N, 6): the rotation vector and the translation that bring the model nearer."""
    rx, ry, rz = np.matmul(rotation, model.T).swapaxes(0, 1)  # (N, P) each
    away = 1 / (rz + translation[:, 2:])
    u, v = (rx + translation[:, :1]) * away, (ry + translation[:, 1:2]) * away
    points = model.shape[0]
    jacobian = np.zeros((len(seen), 6, 2 * points))
    to_u, to_v = jacobian[..., :points], jacobian[..., points:]
    to_u[:, 0], to_u[:, 1], to_u[:, 2] = -u * ry * away, (rz + u * rx) * away, -ry * away
    to_v[:, 0], to_v[:, 1], to_v[:, 2] = -(rz + v * ry) * away, v * rx * away, rx * away
    to_u[:, 3] = to_v[:, 4] = away
    to_u[:, 5], to_v[:, 5] = -u * away, -v * away
    residual = np.concatenate([seen[..., 0] - u, seen[..., 1] - v], 1)
    normal = jacobian @ jacobian.swapaxes(1, 2)
    size = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    # Diverged solutions get any regular matrix.
    broken = ~np.isfinite(normal).all((1, 2), keepdims=True) | (size == 0)
    normal = np.where(broken, np.eye(6), normal + _DAMPING * size * np.eye(6))
    step: Array = np.linalg.solve(normal, jacobian @ residual[..., None])[..., 0]
    step[broken[:, 0, 0]] = np.nan
    return step


def _rotation_about(vectors: Array) -> Array:
    """(..., 3) rotation vectors in radians to (..., 3, 3) matrices (Rodrigues' formula)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    cross = np.stack([np.stack(row, -1) for row in rows], -2)
    half = np.sinc(angle / (2 * np.pi)) ** 2 / 2  # (1 - cos) / angle^2
    rotation: Array = np.eye(3) + np.sinc(angle / np.pi) * cross + half * (cross @ cross)
    return rotation


def _angles_deg(rotation: Array) -> Array:
    """(N, 3, 3) to (N, 3): yaw, pitch, roll of R = Rz Ry Rx."""
    r = rotation
    yaw = np.arctan2(-r[:, 2, 0], np.hypot(r[:, 0, 0], r[:, 1, 0]))
    pitch = np.arctan2(r[:, 2, 1], r[:, 2, 2])
    roll = np.arctan2(r[:, 1, 0], r[:, 0, 0])
    return np.asarray(np.rad2deg(np.stack([yaw, pitch, roll], 1)))
