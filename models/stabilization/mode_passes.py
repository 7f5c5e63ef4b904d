"""Kalman forward and Rauch-Tung-Striebel backward, on many independent modes at once.

A mode has a position and a speed; white acceleration changes the speed. Lengths are such
that the measurement's variance is 1: what comes out does not depend on that unit.

The loops over frames are sequential, so the time of a frame is that of its NumPy calls. Terms that
do not depend on the frame before are computed for all frames at once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

#: Variance of the speed at a track's start: (deviations of the measurement a second)^2.
_START_SPEED: Final = 2500.0
_STEP_SECONDS: Final = (1e-3, 1.0)
#: Frames whose terms are computed at once: they stay in the cache until they are used.
_BLOCK: Final = 16
#: Each thread keeps buffers for this many frames.
_KEPT_FRAMES: Final = 512
_ROOM: Final = threading.local()

Array = npt.NDArray[np.float64]


@dataclass(slots=True)
class Moments:
    """Means of position and speed, and their covariance's three different entries, a mode.

    means: (2, D). covariances: (3, D), of positions, of both, of speeds; or (3,) where all
    modes have the same.
    """

    means: Array
    covariances: Array


def smooth_modes(
    modes: Array, steps: Array, agility: Array, before: Moments | None, count: int
) -> tuple[Array, Array, Moments]:
    """Smoothed positions and speeds of (T, D) measurements, and the state after `count` frames.

    Args:
        modes: (T, D).
        steps: (T,) seconds since the frame before; the first counts only with `before`.
            Steps of no time or backwards count as 1 ms, those over a second as one.
        agility: (T, D) density of the acceleration in the step to each frame.
        before: the filter's state that an earlier call returned.
        count: number of frames after which the state is returned.
    """
    steps = np.clip(steps, *_STEP_SECONDS)
    predicted, filtered = _room(len(modes), modes.shape[1])
    _forward(modes, steps, agility, before, predicted, filtered)
    smooth = np.empty((len(modes), 2, modes.shape[1]))
    smooth[-1] = state = filtered[-1, :2]
    parts = np.empty((2, 2, modes.shape[1]))
    for stop in range(len(modes) - 1, 0, -_BLOCK):
        start = max(0, stop - _BLOCK)
        after = slice(start + 1, stop + 1)
        gain, rest = _backward_terms(predicted[after], filtered[start:stop], steps[after])
        block = smooth[start:stop]
        for gain_t, rest_t, smooth_t in zip(gain[::-1], rest[::-1], block[::-1], strict=True):
            np.multiply(gain_t, state, out=parts)
            np.add(parts[:, 0], parts[:, 1], out=smooth_t)
            smooth_t += rest_t
            state = smooth_t
    means = filtered[count - 1, :2].copy()
    means[0] += modes[count - 1]
    smooth[:, 0] += modes
    return smooth[:, 0], smooth[:, 1], Moments(means, filtered[count - 1, 2:].copy())


def _room(frames: int, count: int) -> tuple[Array, Array]:
    """Two (T, 5, D) buffers that the thread reuses: allocating pages costs more than the steps."""
    room: Array | None = getattr(_ROOM, "room", None)
    if room is None or room.shape[1] < frames or room.shape[3] != count:
        room = np.empty((2, frames, 5, count))
        if frames <= _KEPT_FRAMES:
            _ROOM.room = room
    return room[0, :frames], room[1, :frames]


def _forward(
    modes: Array,
    steps: Array,
    agility: Array,
    before: Moments | None,
    predicted: Array,
    filtered: Array,
) -> None:
    """Computes the (T, 5, D) predicted and filtered state of each frame.

    Of the five, the first is the position minus the frame's measurement, the second the speed,
    the rest their covariances.
    """
    frames, count = modes.shape
    state = np.empty((5, count))
    if before is None:
        filtered[0, :2], filtered[0, 2:] = 0.0, [[1.0], [0.0], [_START_SPEED]]
        predicted[0] = state = filtered[0]
    else:
        state[:2], state[2:] = before.means, before.covariances
        state[0] -= modes[0]
    total, gains = np.empty(count), np.empty((2, count))
    for start in range(before is None, frames, _BLOCK):
        block = slice(start, min(start + _BLOCK, frames))
        turns, added = _forward_terms(modes, steps, agility, block)
        for turn, more, ahead, now in zip(
            turns, added, predicted[block], filtered[block], strict=True
        ):
            np.dot(turn, state, out=ahead)
            ahead += more
            np.add(ahead[2], 1.0, out=total)
            np.divide(ahead[2:4], total, out=now[2:4])
            np.multiply(now[2:4], ahead[0], out=gains)
            np.subtract(ahead[:2], gains, out=now[:2])
            np.multiply(now[3], ahead[3], out=total)
            np.subtract(ahead[4], total, out=now[4])
            state = now


def _forward_terms(modes: Array, steps: Array, agility: Array, block: slice) -> tuple[Array, Array]:
    """(B, 5, 5) F and (B, 5, D) b of  ahead_t = F_t now_t-1 + b_t  for the frames of a block."""
    step = steps[block]
    added = np.zeros((len(step), 5, modes.shape[1]))
    first = block.start == 0  # whose measurement the state before it has already
    added[first:, 0] = modes[block.start + first - 1 : block.stop - 1]
    added[first:, 0] -= modes[block.start + first : block.stop]
    np.multiply(agility[block], step[:, None], out=added[:, 4])
    np.multiply(added[:, 4], step[:, None] / 2, out=added[:, 3])
    np.multiply(added[:, 3], step[:, None] / 1.5, out=added[:, 2])
    turns = np.tile(np.eye(5), (len(step), 1, 1))
    turns[:, 0, 1] = turns[:, 3, 4] = step
    turns[:, 2, 3] = 2 * step
    turns[:, 2, 4] = step**2
    return turns, added


def _backward_terms(predicted: Array, filtered: Array, steps: Array) -> tuple[Array, Array]:
    """G (B, 2, 2, D) and b (B, 2, D) of  smooth_t = G_t smooth_t+1 + b_t.

    `predicted` and `steps` are of the frames after those of `filtered`.
    """
    _, _, positions, both, speeds = np.moveaxis(predicted, 1, 0)
    # G = P F^T (P ahead)^-1, of 2x2 matrices.
    of = filtered[:, 2:5]
    now = np.empty((len(steps), 2, 2, filtered.shape[2]))
    np.multiply(of[:, 1:], steps[:, None, None], out=now[:, :, 0])
    now[:, :, 0] += of[:, :2]
    now[:, :, 1] = of[:, 1:]
    scale = positions * speeds
    scale -= both * both
    np.divide(1.0, scale, out=scale)
    inverse = np.stack([speeds * scale, both * -scale, positions * scale], axis=1)
    gain = np.empty_like(now)
    part = np.empty((len(steps), 2, filtered.shape[2]))
    rest = filtered[:, :2].copy()
    for column in (0, 1):
        np.multiply(now[:, :, 0], inverse[:, None, column], out=gain[:, :, column])
        np.multiply(now[:, :, 1], inverse[:, None, column + 1], out=part)
        gain[:, :, column] += part
        np.multiply(gain[:, :, column], predicted[:, None, column], out=part)
        rest -= part
    return gain, rest


def smooth_speeds(
    modes: Array, steps: Array, agility: float, before: Moments | None, count: int
) -> tuple[Array, Moments]:
    """The speeds of `smooth_modes`, (T, D), with the same agility in all modes at all times.

    All modes have the same covariances then, so the gains are numbers.
    """
    steps = np.clip(steps, *_STEP_SECONDS)
    turn, gain, back, covariances = _shared_gains(steps, agility, before)
    filtered = gain[:, :, None] * modes[:, None]
    if before is None:
        filtered[0, 0], filtered[0, 1] = modes[0], 0.0
    else:
        filtered[0] += turn[0] @ before.means
    part = np.empty_like(filtered[0])
    for turn_t, before_t, now in zip(turn[1:], filtered[:-1], filtered[1:], strict=True):
        np.dot(turn_t, before_t, out=part)
        now += part
    ahead = np.tile(np.eye(2), (len(steps) - 1, 1, 1))
    ahead[:, 0, 1] = steps[1:]
    smooth = filtered.copy()
    smooth[:-1] -= back @ (ahead @ filtered[:-1])
    for back_t, after, now in zip(back[::-1], smooth[:0:-1], smooth[-2::-1], strict=True):
        np.dot(back_t, after, out=part)
        now += part
    return smooth[:, 1], Moments(filtered[count - 1].copy(), covariances[count - 1].copy())


def _shared_gains(
    steps: Array, agility: float, before: Moments | None
) -> tuple[Array, Array, Array, Array]:
    """(T, 2, 2) and (T, 2) of  m_t = A_t m_t-1 + K_t z_t,  (T-1, 2, 2) G, (T, 3) covariances."""
    turns, gains, backs, covariances = [], [], [], []
    if before is None:
        positions, both, speeds = 1.0, 0.0, _START_SPEED
        turns.append(((0.0, 0.0), (0.0, 0.0)))
        gains.append((1.0, 0.0))
        covariances.append((positions, both, speeds))
        steps = steps[1:]
    else:
        positions, both, speeds = before.covariances.tolist()
    for step in steps.tolist():
        first, second = positions + step * both, both + step * speeds  # P F^T, one column
        p = first + step * second + step**3 / 3 * agility
        b = second + step**2 / 2 * agility
        s = speeds + step * agility
        scale = 1.0 / (p * s - b * b)
        backs.append(
            (
                ((first * s - both * b) * scale, (both * p - first * b) * scale),
                ((second * s - speeds * b) * scale, (speeds * p - second * b) * scale),
            )
        )
        gain, speed_gain = p / (p + 1.0), b / (p + 1.0)
        turns.append(((1.0 - gain, (1.0 - gain) * step), (-speed_gain, 1.0 - speed_gain * step)))
        gains.append((gain, speed_gain))
        positions, both, speeds = gain, speed_gain, s - speed_gain * b
        covariances.append((positions, both, speeds))
    within = backs if before is None else backs[1:]  # none of them leads out of the frames
    back = np.array(within).reshape(-1, 2, 2)
    return np.array(turns), np.array(gains), back, np.array(covariances)
