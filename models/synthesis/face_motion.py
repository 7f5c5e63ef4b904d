"""Motions of a head and a face: one pose for every moment.

`pose_at`, the sample, is a ten-second loop, so that a clip may have any length: looking around with
a few fast turns and nods, two stretches of speech, blinks, raised brows. `RandomMotion` draws as
many different motions as a filter needs to learn from; the same generator state gives the same
motion. Both are plain functions of time, so the same time is always the same pose.
"""

from __future__ import annotations

import math
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


#: Standard deviations of yaw, pitch, roll (degrees), shift x and y (photograph px).
_HEAD_SPREAD: Final = np.array([9.0, 5.0, 6.0, 6.0, 3.0])
#: Widest pose: beyond it the photograph would tear.
_HEAD_LIMIT: Final = np.array([18.0, 11.0, 14.0, 14.0, 8.0])


class RandomMotion:
    """One motion: a pose for every moment of [0, seconds).

    A third of the motions are of a nearly still head. Heads move between poses in 0.15 to
    1.2 s and rest there for up to 1.5 s; mouths speak in stretches of syllables.

    Args:
        rng: source of all random numbers.
        seconds: how long the motion lasts.
    """

    def __init__(self, rng: np.random.Generator, seconds: float) -> None:
        liveliness = float(rng.choice([0.12, 0.6, 1.0], p=[0.33, 0.33, 0.34]))
        times, keys = [-1.0], [np.zeros(5)]
        while times[-1] < seconds + 1:
            pose = np.clip(rng.normal(0, 1, 5) * _HEAD_SPREAD, -_HEAD_LIMIT, _HEAD_LIMIT)
            times += [times[-1] + float(np.exp(rng.uniform(math.log(0.15), math.log(1.2))))]
            keys += [liveliness * pose]
            if rng.random() < 0.6:
                times += [times[-1] + rng.uniform(0.05, 1.5)]
                keys += [keys[-1] + liveliness * rng.normal(0, 0.05, 5) * _HEAD_SPREAD]
        self._head = PchipInterpolator(times, np.array(keys))
        self._sway = rng.uniform(0, 1, (5, 2))
        self._mirror = float(rng.choice([-1, 1]))
        self._zoom = rng.uniform(0, 0.08)
        self._camera_px = rng.uniform(0, 4, 2)
        self._syllables = np.column_stack([rng.uniform(1.5, 5.0, 4), rng.uniform(0, 1, 4)])
        self._loudness = rng.uniform(0.3, 1.0)
        self._speech = _stretches(rng, seconds)
        self._brows = rng.uniform(0, seconds, max(1, int(seconds / 4)))
        self._blinks = np.cumsum(rng.uniform(0.6, 5.0, int(seconds) + 2))

    def pose(self, seconds: float) -> Pose:
        """The pose at a moment."""
        t = seconds
        yaw, pitch, roll, shift_x, shift_y = (float(v) for v in self._head(t))

        def sway(index: int, hertz: float) -> float:
            rate, phase = self._sway[index]
            return math.sin(2 * math.pi * ((0.6 + 0.8 * rate) * hertz * t + phase))

        def syllable(index: int) -> float:
            hertz, phase = self._syllables[index]
            return math.sin(2 * math.pi * (hertz * t + phase))

        voice = max((plateau(t, *stretch, 0.2) for stretch in self._speech), default=0.0)
        voice *= self._loudness
        opening = 0.42 + 0.40 * syllable(0) + 0.35 * syllable(1)
        shape = 0.40 + 0.35 * syllable(2) + 0.25 * syllable(3)
        return Pose(
            yaw_deg=self._mirror * yaw,
            pitch_deg=pitch + 0.5 * voice * syllable(1),
            roll_deg=self._mirror * roll,
            head_shift_xy_px=(self._mirror * shift_x, shift_y),
            head_scale=1 + 0.03 * sway(0, 0.2),
            camera_shift_xy_px=(
                float(self._camera_px[0] * sway(1, 0.2)),
                float(self._camera_px[1] * sway(2, 0.15)),
            ),
            camera_roll_deg=1.5 * sway(3, 0.12),
            camera_zoom=1 + self._zoom * sway(4, 0.15),
            mouth_open=float(np.clip(voice * opening, -1, 1)),
            mouth_narrow=voice * shape,
            brow_raise=max(math.exp(-(((t - at) / 0.35) ** 2)) for at in self._brows),
            blink=max(blink(t - at) for at in self._blinks),
        )


def _stretches(rng: np.random.Generator, seconds: float) -> list[tuple[float, float]]:
    """Starts and stops of speech, 0.5 s and more each; both rests and speech are exponential."""
    found, t = [], rng.exponential(1.5) - 0.75
    while t < seconds:
        stop = t + 0.5 + rng.exponential(3.0)
        found.append((t, stop))
        t = stop + 0.2 + rng.exponential(1.5)
    return found
