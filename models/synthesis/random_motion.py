"""Motions of a head and a face drawn at random: turns, nods, speech, blinks, and rest.

Where `models.synthesis.face_motion` is one fixed loop, this draws as many different motions as a
filter needs to learn from. The same generator state gives the same motion.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.interpolate import PchipInterpolator

from models.synthesis.face_motion import Pose, blink, plateau

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
