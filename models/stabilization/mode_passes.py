"""Kalman forward and Rauch-Tung-Striebel backward, on many independent modes at once.

A mode has a position and a speed; white acceleration changes the speed. Lengths are such
that the measurement's variance is 1: what comes out does not depend on that unit.

The backward pass is Bierman's form of it (Int. J. Control 18, 1973), which inverts no covariance.
m is the filtered position minus the measurement z, p its variance, b its covariance with the speed;
u and v are 0 at the last frame:

    smooth_t - z_t = m_t - p_t u_t - b_t v_t
    u_t-1 = u_t + smooth_t - z_t
    v_t-1 = v_t + step_t u_t-1

The loops over frames are sequential, so the time of a frame is that of its NumPy calls. Terms that
do not depend on the frame before are computed for several frames at once.
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
) -> tuple[Array, Moments]:
    """Smoothed positions of (T, D) measurements, and the state after `count` frames.

    Args:
        modes: (T, D).
        steps: (T,) seconds since the frame before; the first counts only with `before`.
            Steps of no time or backwards count as 1 ms, those over a second as one.
        agility: (T, D) density of the acceleration in the step to each frame.
        before: the filter's state that an earlier call returned.
        count: number of frames after which the state is returned.
    """
    steps = np.clip(steps, *_STEP_SECONDS)
    filtered = _room(*modes.shape)
    _forward(modes, steps, agility, before, filtered)
    smooth = np.empty_like(modes)
    adjoint, part = np.zeros((2, modes.shape[1])), np.empty((2, modes.shape[1]))
    u, v = adjoint
    for step, position, variances, smooth_t in zip(
        steps[::-1].tolist(),
        filtered[::-1, 0],
        filtered[::-1, 4:1:-2],
        smooth[::-1],
        strict=True,
    ):
        np.multiply(variances, adjoint, out=part)
        np.subtract(position, part[0], out=smooth_t)
        smooth_t -= part[1]
        u += smooth_t
        np.multiply(u, step, out=part[0])
        v += part[0]
    smooth += modes
    state = filtered[count - 1]
    means = state[:2].copy()
    means[0] += modes[count - 1]
    return smooth, Moments(means, state[[4, 2, 3]])


def _room(frames: int, count: int) -> Array:
    """A (T, 5, D) buffer that the thread reuses: allocating pages costs more than the steps."""
    room: Array | None = getattr(_ROOM, "room", None)
    if room is None or len(room) < frames or room.shape[2] != count:
        room = np.empty((frames, 5, count))
        if frames <= _KEPT_FRAMES:
            _ROOM.room = room
    return room[:frames]


def _forward(
    modes: Array, steps: Array, agility: Array, before: Moments | None, filtered: Array
) -> None:
    """Computes the (T, 5, D) filtered state of each frame.

    Of the five, the first is the position minus the frame's measurement, the second the speed;
    then the covariance of both, the speed's variance and the position's variance.
    """
    frames, count = modes.shape
    if before is None:
        filtered[0] = [[0.0], [0.0], [0.0], [_START_SPEED], [1.0]]
        state = filtered[0]
    else:
        state = np.concatenate([before.means, before.covariances[[1, 2, 0]]])
        state[0] -= modes[0]
    ahead, total, gained = np.empty((5, count)), np.empty(count), np.empty((2, 2, count))
    pairs, covariances = ahead[:4].reshape(gained.shape), ahead[4:1:-2]
    firsts = pairs[:, :1]  # (2, 1, D) position, and its covariance with the speed
    for start in range(before is None, frames, _BLOCK):
        block = slice(start, min(start + _BLOCK, frames))
        turns, added = _forward_terms(modes, steps, agility, block)
        now = filtered[block]
        now_pairs = now[:, :4].reshape(len(now), *gained.shape)
        for turn, more, now_t, gain, pairs_t in zip(
            turns, added, now, now[:, 4:1:-2], now_pairs, strict=True
        ):
            np.dot(turn, state, out=ahead)
            ahead += more
            np.add(ahead[4], 1.0, out=total)
            np.divide(covariances, total, out=gain)  # is the filtered covariance, too
            np.multiply(gain, firsts, out=gained)
            np.subtract(pairs, gained, out=pairs_t)
            state = now_t


def _forward_terms(modes: Array, steps: Array, agility: Array, block: slice) -> tuple[Array, Array]:
    """(B, 5, 5) F and (B, 5, D) b of  ahead_t = F_t now_t-1 + b_t  for the frames of a block."""
    step = steps[block]
    added = np.zeros((len(step), 5, modes.shape[1]))
    first = block.start == 0  # whose measurement the state before it has already
    added[first:, 0] = modes[block.start + first - 1 : block.stop - 1]
    added[first:, 0] -= modes[block.start + first : block.stop]
    np.multiply(agility[block], step[:, None], out=added[:, 3])
    np.multiply(added[:, 3], step[:, None] / 2, out=added[:, 2])
    np.multiply(added[:, 2], step[:, None] / 1.5, out=added[:, 4])
    turns = np.tile(np.eye(5), (len(step), 1, 1))
    turns[:, 0, 1] = turns[:, 2, 3] = step
    turns[:, 4, 2] = 2 * step
    turns[:, 4, 3] = step**2
    return turns, added


def smooth_speeds(
    modes: Array, steps: Array, agility: float, before: Moments | None, count: int
) -> tuple[Array, Moments]:
    """The speeds of `smooth_modes`, (T, D), with the same agility in all modes at all times.

    All modes have the same covariances then, so the gains are numbers.
    """
    steps = np.clip(steps, *_STEP_SECONDS)
    turn, gain, covariances = _shared_gains(steps, agility, before)
    filtered = gain[:, :, None] * modes[:, None]
    if before is None:
        filtered[0, 0], filtered[0, 1] = modes[0], 0.0
    else:
        filtered[0] += turn[0] @ before.means
    part = np.empty_like(filtered[0])
    for turn_t, before_t, now in zip(turn[1:], filtered[:-1], filtered[1:], strict=True):
        np.dot(turn_t, before_t, out=part)
        now += part
    adjoint = np.empty_like(filtered)
    adjoint[-1] = 0.0
    np.subtract(filtered[1:, 0], modes[1:], out=adjoint[:-1, 0])
    np.multiply(adjoint[:-1, 0], steps[1:, None], out=adjoint[:-1, 1])
    for turn_t, after, now in zip(turn[:0:-1], adjoint[:0:-1], adjoint[-2::-1], strict=True):
        np.dot(turn_t.T, after, out=part)
        now += part
    adjoint *= covariances[:, 1:, None]
    smooth = filtered[:, 1] - adjoint[:, 0]
    smooth -= adjoint[:, 1]
    return smooth, Moments(filtered[count - 1].copy(), covariances[count - 1].copy())


def _shared_gains(
    steps: Array, agility: float, before: Moments | None
) -> tuple[Array, Array, Array]:
    """(T, 2, 2) and (T, 2) of  m_t = A_t m_t-1 + K_t z_t,  and (T, 3) covariances."""
    turns, gains, covariances = [], [], []
    if before is None:
        positions, both, speeds = 1.0, 0.0, _START_SPEED
        turns.append(((0.0, 0.0), (0.0, 0.0)))
        gains.append((1.0, 0.0))
        covariances.append((positions, both, speeds))
        steps = steps[1:]
    else:
        positions, both, speeds = before.covariances.tolist()
    for step in steps.tolist():
        second = both + step * speeds
        p = positions + step * (both + second) + step**3 / 3 * agility
        b = second + step**2 / 2 * agility
        s = speeds + step * agility
        gain, speed_gain = p / (p + 1.0), b / (p + 1.0)
        turns.append(((1.0 - gain, (1.0 - gain) * step), (-speed_gain, 1.0 - speed_gain * step)))
        gains.append((gain, speed_gain))
        positions, both, speeds = gain, speed_gain, s - speed_gain * b
        covariances.append((positions, both, speeds))
    return np.array(turns), np.array(gains), np.array(covariances)
