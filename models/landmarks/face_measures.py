"""Measures from landmarks: openings of eyes and mouth, visibility, rates of movement."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.landmarks.head_pose import pose_rotation

Array = npt.NDArray[np.float64]

#: Rates of change are computed from rows at most this far apart in time.
NEIGHBOUR_SECONDS: Final = 0.25
#: Expected distance from the truth, over the longer side of the face's box, above which a landmark
#: counts as hidden: about a tenth of the interocular distance, the usual failure threshold.
_UNSURE: Final = 0.05

_RIGHT_EYE: Final = 36
_LEFT_EYE: Final = 42
_MOUTH_CORNERS: Final = (60, 64)
_LIP_PAIRS: Final = ((61, 67), (62, 66), (63, 65))


def eye_openings(landmarks_px: npt.NDArray[np.floating]) -> Array:
    """The eye aspect ratios of the right and the left eye: (..., 68, 2) to (..., 2).

    Height over width, the mean of two heights: Soukupova and Cech, "Real-time eye blink detection
    using facial landmarks", CVWW 2016, equation 1. About 0.3 for an open eye; nan where the
    corners of an eye coincide.
    """
    eyes = [
        _aspect(landmarks_px, ((eye + 1, eye + 5), (eye + 2, eye + 4)), (eye, eye + 3))
        for eye in (_RIGHT_EYE, _LEFT_EYE)
    ]
    return np.stack(eyes, -1)


def mouth_opening(landmarks_px: npt.NDArray[np.floating]) -> Array:
    """The same ratio of the inner lips, of three heights: (..., 68, 2) to (...); 0 is shut."""
    return _aspect(landmarks_px, _LIP_PAIRS, _MOUTH_CORNERS)


def visible_share(
    landmarks_px: npt.NDArray[np.floating],
    spread_px: npt.NDArray[np.floating],
    boxes_xyxy_px: npt.NDArray[np.floating],
    frame_size_px: tuple[int, int] | None,
) -> Array:
    """The share of landmarks that are in the frame and confidently predicted: (N,).

    Args:
        landmarks_px: (N, 68, 2).
        spread_px: (N, 68) expected distance from the truth; nan counts as confident.
        boxes_xyxy_px: (N, 4). A landmark is confident if its spread is at most 5 % of the longer
            side of the box.
        frame_size_px: width and height of the frame; None if unknown: then no landmark counts as
            outside.
    """
    sides = (boxes_xyxy_px[:, 2:] - boxes_xyxy_px[:, :2]).max(1)
    seen = ~(spread_px > _UNSURE * sides[:, None])
    if frame_size_px is not None:
        high = np.array(frame_size_px) - 0.5
        seen &= ((landmarks_px >= -0.5) & (landmarks_px <= high)).all(-1)
    return np.asarray(seen.mean(1), np.float64)


def rate_of_change(values: Array, seconds: Array, track: npt.NDArray[np.integer]) -> Array:
    """Rate of change along a track, per second: (N, D) to (N,), the norm of the change.

    A central difference where both neighbours are near, else a one-sided one.
    nan for a row without a neighbour in its track within NEIGHBOUR_SECONDS.

    Args:
        values: in order of track, then time.
        seconds: (N,) of each row.
        track: (N,) rows with equal numbers form one track without gaps.
    """
    before, after = _neighbours(seconds, track)
    change = np.linalg.norm(values[after] - values[before], axis=-1)
    return _over_time(change, seconds, before, after)


def turn_rate_deg(pose_deg: Array, seconds: Array, track: npt.NDArray[np.integer]) -> Array:
    """Angular speed of the head in degrees per second, about any axis: (N, 3) poses to (N,).

    The angle of the rotation between neighbours as in `rate_of_change`.
    """
    before, after = _neighbours(seconds, track)
    rotation = pose_rotation(pose_deg)
    between = rotation[after] @ np.swapaxes(rotation[before], 1, 2)
    # By the distance of the rotations: arccos of the trace is inaccurate for small angles.
    half_sine = np.linalg.norm(between - np.eye(3), axis=(1, 2)) / np.sqrt(8)
    angle = np.rad2deg(2 * np.arcsin(np.clip(half_sine, 0, 1)))
    return _over_time(angle, seconds, before, after)


def _aspect(
    points: npt.NDArray[np.floating], heights: tuple[tuple[int, int], ...], width: tuple[int, int]
) -> Array:
    points = np.asarray(points, np.float64)

    def apart(pair: tuple[int, int]) -> Array:
        return np.asarray(
            np.linalg.norm(points[..., pair[0], :] - points[..., pair[1], :], axis=-1)
        )

    across = apart(width)
    down = np.stack([apart(pair) for pair in heights]).mean(0)
    return _divided(down, across)


def _neighbours(
    seconds: Array, track: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(N,) the row before and the row after, or the row itself where there is none."""
    rows = np.arange(len(seconds))
    joined = (track[1:] == track[:-1]) & (np.diff(seconds) <= NEIGHBOUR_SECONDS)
    before, after = rows.copy(), rows.copy()
    before[1:][joined] -= 1
    after[:-1][joined] += 1
    return before, after


def _over_time(
    change: Array, seconds: Array, before: npt.NDArray[np.intp], after: npt.NDArray[np.intp]
) -> Array:
    return _divided(change, seconds[after] - seconds[before])


def _divided(part: Array, whole: Array) -> Array:
    """part / whole; nan where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0))
