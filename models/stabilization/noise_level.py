"""The current jitter of a track, relative to the tracks that a filter was fitted on.

A network's errors are larger on small, dark and blurred faces, so a constant Gamma_noise (Eq. 6)
smooths quiet tracks too much and noisy ones too little. Changes between frames in the modes that
move most are motion; their third differences are mostly jitter:

    f_t = mean over the first J modes of log(d_t^2 / (20 s_t jitter) + 0.02)
    l_t = l_{t-2} + max(0.2, 1 / (n + 2)) (f_t - l_{t-2}),   l = 0 at a track's start
    Gamma_noise of frame t  =  exp(l_t) Gamma_noise,   |l_t| at most 3

with d the third difference (of unit noise its variance is 20), s the squared size of the face
and n the differences so far. The logarithm limits the effect of a jump of the head.
Only every other frame is used: levels change slowly, and it takes half the time.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

_ORDER: Final = 3
_EVERY: Final = 2
#: Row p: the third difference of four frames of which the newest is at place p.
_DIFFERENCES: Final = np.stack([np.roll([1.0, -1.0, 3.0, -3.0], p) for p in range(4)])
#: Its variance, of independent noise of variance 1: 1 + 9 + 9 + 1.
_OF_DIFFERENCE: Final = 20.0
#: Share of the jitter that bounds the level of repeated frames from below.
_MIN_SHARE: Final = 0.02
_RATE: Final = 0.2
#: n + 2, in a track of so many frames, is frames // _EVERY + _COUNT_AT_START.
_COUNT_AT_START: Final = 2 - _ORDER // _EVERY
_FARTHEST: Final = 3.0

Array = npt.NDArray[np.float64]


class NoiseLevel:
    """Follows l_t of N tracks side by side.

    Args:
        jitter: (J,) variances of the fitted tracks' noise in their first J modes, for a face of
            size 100; none: the level stays 0.
        tracks: N.
    """

    def __init__(self, jitter: Array, tracks: int) -> None:
        self._unit = 1.0 / np.sqrt(_OF_DIFFERENCE * jitter)
        self._share = np.full(len(jitter), 1.0 / max(1, len(jitter)))
        self._level = np.zeros((tracks, 1))
        self._noise = np.ones((tracks, 1))  # exp(l_t)
        self._frames = np.zeros((tracks, 1), np.int64)  # of each track, since it started
        self._newest = 0  # place in `_past`
        self._past = np.zeros((len(_DIFFERENCES), tracks, len(jitter)))

    def follow(self, modes: Array, size2: Array) -> Array:
        """(N, 1): exp(l_t), from the next frame's (N, 136) modes and (N, 1) squared sizes."""
        if not len(self._unit):
            return self._noise
        past = self._past
        newest = self._newest = (self._newest + 1) % len(_DIFFERENCES)
        np.multiply(modes[:, : len(self._unit)], self._unit, out=past[newest])
        self._frames += 1
        looked_at = (self._frames > _ORDER) & (self._frames % _EVERY == 0)
        if looked_at.any():
            squares = np.dot(_DIFFERENCES[newest], past.reshape(len(past), -1))
            squares = squares.reshape(past.shape[1:])  # (N, J)
            squares *= squares
            squares += _MIN_SHARE * size2
            now = np.dot(np.log(squares, out=squares), self._share)[:, None] - np.log(size2)
            rate = np.maximum(_RATE, 1.0 / (self._frames // _EVERY + _COUNT_AT_START))
            self._level += rate * looked_at * (now - self._level)
            self._noise = np.exp(np.clip(self._level, -_FARTHEST, _FARTHEST))
        return self._noise

    def follow_alone(self, modes: Array, size2: float) -> float:
        """The same of one track, from (136,) modes, with as few NumPy calls as possible."""
        count = len(self._unit)
        if not count:
            return 1.0
        newest = self._newest = (self._newest + 1) % len(_DIFFERENCES)
        np.multiply(modes[:count], self._unit, out=self._past[newest, 0])
        frames = self._frames.item() + 1
        self._frames[0, 0] = frames
        if frames % _EVERY == 0 and frames > _ORDER:
            squares = np.dot(_DIFFERENCES[newest], self._past[:, 0])
            squares *= squares
            squares += _MIN_SHARE * size2
            now = float(np.log(squares, out=squares).dot(self._share)) - math.log(size2)
            level = self._level.item()
            level += max(_RATE, 1.0 / (frames // _EVERY + _COUNT_AT_START)) * (now - level)
            self._level[0, 0] = level
            self._noise[0, 0] = math.exp(min(max(level, -_FARTHEST), _FARTHEST))
        return self._noise.item()

    def restart(self, which: npt.NDArray[np.bool_]) -> None:
        """Starts tracks anew with their next frame; `which` is (N,)."""
        self._level[which] = 0.0
        self._noise[which] = 1.0
        self._frames[which] = 0


def running_noise(modes: Array, size2: Array, jitter: Array) -> Array:
    """(B, T): exp(l_t) along (B, T, 136) modes of tracks, whose squared sizes are (B, T)."""
    level = NoiseLevel(jitter, len(modes))
    frames = [level.follow(modes[:, t], size2[:, t, None]).copy() for t in range(modes.shape[1])]
    return np.concatenate(frames, axis=1)


def centred_jitter(
    modes: Array, size2: Array, frames: npt.NDArray[np.bool_], jitter: Array
) -> Array:
    """The (J,) jitter, scaled so that the mean of l_t over the tracks of `running_noise` is 0.

    `frames` is (B, T), true where a frame counts.
    """
    for _ in range(3):
        noise = running_noise(modes, size2, jitter)[frames]
        jitter = jitter * np.exp(np.log(noise).mean())
    return jitter
