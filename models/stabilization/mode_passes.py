"""Kalman forward and Rauch-Tung-Striebel backward, on many independent modes at once.

A mode has a position and a speed; white acceleration changes the speed. Lengths are such
that the measurement's variance is 1: what comes out does not depend on that unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Moments", "smooth_modes"]

#: Variance of the speed at a track's start: (deviations of the measurement a second)^2.
_START_SPEED: Final = 2500.0
_STEP_SECONDS: Final = (1e-3, 1.0)

Array = npt.NDArray[np.float64]


@dataclass(slots=True)
class Moments:
    """Means of position and speed, and their covariance's three different entries, a mode."""

    position: Array
    speed: Array
    positions: Array
    both: Array
    speeds: Array


def smooth_modes(
    modes: Array, steps: Array, agility: Array, before: Moments | None, count: int
) -> tuple[Array, Array, Moments]:
    """Smoothed positions and speeds of (T, D) measurements, and the state after `count` frames.

    Args:
        modes: (T, D).
        steps: (T,) seconds since the frame before; the first counts only with `before`.
            Steps of no time or backwards count as 1 ms, those over a second as one.
        agility: (T, D) density of the acceleration in the step to each frame.
        before: the filter's state that an earlier call gave back.
        count: after how many frames the state is wanted.
    """
    steps = np.clip(steps, *_STEP_SECONDS)
    filtered: list[Moments] = []
    predicted: list[Moments] = []
    for z, step, agile in zip(modes, steps.tolist(), agility, strict=True):
        if before is None:
            ahead = before = _start(z)
        else:
            ahead = _predict(before, step, agile)
            before = _update(ahead, z)
        predicted.append(ahead)
        filtered.append(before)
    positions, speeds = np.empty_like(modes), np.empty_like(modes)
    position, speed = filtered[-1].position, filtered[-1].speed
    positions[-1], speeds[-1] = position, speed
    for t in range(len(modes) - 2, -1, -1):
        now, ahead, step = filtered[t], predicted[t + 1], steps[t + 1]
        # G = P F^T (P ahead)^-1, of 2x2 matrices, times what the future says otherwise.
        off_position, off_speed = position - ahead.position, speed - ahead.speed
        determinant = ahead.positions * ahead.speeds - ahead.both**2
        u = (ahead.speeds * off_position - ahead.both * off_speed) / determinant
        v = (ahead.positions * off_speed - ahead.both * off_position) / determinant
        position = now.position + (now.positions + step * now.both) * u + now.both * v
        speed = now.speed + (now.both + step * now.speeds) * u + now.speeds * v
        positions[t], speeds[t] = position, speed
    return positions, speeds, filtered[count - 1]


def _start(z: Array) -> Moments:
    one, zero = np.ones_like(z), np.zeros_like(z)
    return Moments(z, zero, one, zero, _START_SPEED * one)


def _predict(m: Moments, step: float, agility: Array) -> Moments:
    speeds = m.speeds + step * agility
    both = m.both + step * m.speeds + step**2 / 2 * agility
    positions = m.positions + step * (2 * m.both + step * m.speeds) + step**3 / 3 * agility
    return Moments(m.position + step * m.speed, m.speed, positions, both, speeds)


def _update(m: Moments, z: Array) -> Moments:
    total = m.positions + 1.0
    gain, speed_gain = m.positions / total, m.both / total
    innovation = z - m.position
    return Moments(
        m.position + gain * innovation,
        m.speed + speed_gain * innovation,
        gain,
        speed_gain,
        m.speeds - speed_gain * m.both,
    )
