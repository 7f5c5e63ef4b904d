"""Head motion and speech of the sample: one pose for every moment.

A ten-second loop, so that a clip may have any length: looking around with a few fast
turns and nods, two stretches of speech, blinks, raised brows. All of it is a plain
function of time, so the same time is always the same pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.interpolate import PchipInterpolator

LOOP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Pose:
    """Head and face at one moment; the default is the photograph as it is.

    Turning right (the face's own) is positive yaw, looking down positive pitch, and the
    head falling clockwise in the image positive roll. Lengths are photograph pixels.
    """

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    head_shift_xy_px: tuple[float, float] = (0.0, 0.0)
    head_scale: float = 1.0
    camera_shift_xy_px: tuple[float, float] = (0.0, 0.0)
    camera_roll_deg: float = 0.0
    camera_zoom: float = 1.0
    #: -1 is lips pressed together, 0 the photograph's smile, 1 wide open.
    mouth_open: float = 0.0
    #: Corners of the mouth drawn in; below 0 a broader smile.
    mouth_narrow: float = 0.0
    brow_raise: float = 0.0
    #: 1 is closed eyes.
    blink: float = 0.0


# seconds, yaw, pitch, roll (degrees), shift x, shift y (px)
_HEAD_KEYS: Final = (
    (0.0, 0, 0, 0, 0, 0),
    (0.8, 3, -2, -2, 2, 0),
    (1.6, -6, 2, 3, -4, 1),
    (2.3, -9, 3, 4, -7, 2),
    (2.55, 11, -1, -5, 8, -1),
    (3.2, 13, -2, -6, 10, 0),
    (4.0, 2, 0, 0, 1, 0),
    (4.6, 0, 9, 0, 0, 5),
    (4.85, -1, -6, 1, 0, -4),
    (5.1, 0, 8, 0, 0, 5),
    (5.4, -1, -1, 0, -1, 0),
    (6.2, -14, -3, 7, -10, 0),
    (6.9, -15, -2, 8, -11, 1),
    (7.15, 5, 2, -3, 4, 0),
    (7.9, 6, -6, -10, 7, -3),
    (8.6, 1, -5, -12, 3, -2),
    (9.2, -4, 3, 5, -4, 2),
    (10.0, 0, 0, 0, 0, 0),
)
_HEAD: Final = PchipInterpolator([key[0] for key in _HEAD_KEYS], [key[1:] for key in _HEAD_KEYS])

#: Starts and stops of speech, seconds.
_SPEECH: Final = ((0.5, 3.5), (4.9, 8.1))
_BLINKS: Final = (1.2, 3.72, 5.3, 7.0, 9.0)
_BLINK_CLOSING_SECONDS: Final = 0.10
_BLINK_OPENING_SECONDS: Final = 0.20
#: Moments and widths of raised brows, seconds.
_BROWS: Final = ((2.6, 0.35), (6.4, 0.5), (8.4, 0.3))


def pose_at(seconds: float) -> Pose:
    """The pose at a time of the loop; any finite time, in seconds."""
    t = seconds % LOOP_SECONDS
    yaw, pitch, roll, shift_x, shift_y = (float(v) for v in _HEAD(t))

    def sway(cycles: int, phase: float) -> float:
        return float(np.sin(2 * np.pi * (cycles * t / LOOP_SECONDS + phase)))

    voice = max(plateau(t, start, stop, 0.3) for start, stop in _SPEECH)
    # Two incommensurable syllable rates make openings of different size.
    syllables = 0.42 + 0.38 * sway(43, 0.1) + 0.35 * sway(27, 0.4)
    shapes = 0.45 + 0.35 * sway(17, 0.2) + 0.25 * sway(31, 0.7)
    return Pose(
        yaw_deg=yaw + 0.7 * sway(7, 0.3),
        pitch_deg=pitch + 0.6 * sway(11, 0.6) + 0.8 * voice * sway(22, 0.1),
        roll_deg=roll + 0.5 * sway(5, 0.8),
        head_shift_xy_px=(shift_x + 0.4 * sway(9, 0.2), shift_y + 0.3 * sway(13, 0.5)),
        head_scale=1 + 0.05 * sway(2, 0.0),
        camera_shift_xy_px=(3 * sway(1, 0.1), 2 * sway(2, 0.35)),
        camera_roll_deg=1.5 * sway(1, 0.6),
        camera_zoom=1 + 0.06 * sway(1, 0.85),
        mouth_open=float(np.clip(voice * syllables, -1, 1)),
        mouth_narrow=voice * shapes - 0.25 * (1 - voice) * max(0.0, sway(3, 0.1)),
        brow_raise=max(float(np.exp(-(((t - at) / wide) ** 2))) for at, wide in _BROWS),
        blink=max(blink(t - at) for at in _BLINKS),
    )


def plateau(t: float, start: float, stop: float, ramp: float) -> float:
    """1 inside [start, stop], 0 outside, with smooth ramps inside."""
    inside = float(np.clip(min(t - start, stop - t) / ramp, 0, 1))
    return inside * inside * (3 - 2 * inside)


def blink(since_closed_seconds: float) -> float:
    """1 at the moment the eye is closed; closing is faster than opening."""
    length = _BLINK_CLOSING_SECONDS if since_closed_seconds < 0 else _BLINK_OPENING_SECONDS
    open_part = min(abs(since_closed_seconds) / length, 1.0)
    return 0.5 + 0.5 * float(np.cos(np.pi * open_part))
