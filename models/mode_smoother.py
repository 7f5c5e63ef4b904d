"""A Rauch-Tung-Striebel smoother in each mode of motion: the past and the future of a track.

Each of the 136 modes moves with a speed that white acceleration changes, alone; the smoother
depends on the ratio of the acceleration's density to the measurement's variance only, so it
holds for faces of any size. Time is in seconds: frame rates may vary.

    held  |---- chunk ----|------- lookahead -------|   full: forward over all of it,
    gives |---------------|                             backward over all of it, the chunk
    goes on from the filter's state at ->|              comes out, the rest stays

What lies beyond the lookahead would change the chunk by less than 0.01 px (a test), so a
track of any length needs the memory of `CHUNK + LOOKAHEAD` frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.landmarks import LANDMARK_COUNT

__all__ = ["CHUNK", "LOOKAHEAD", "ModeSmoother", "SmootherParameters", "smooth_modes"]

CHUNK: Final = 50
LOOKAHEAD: Final = 120
#: Variance of the speed at a track's start: (measurement deviations a second)^2.
_START_SPEED: Final = 2500.0
_STEP_SECONDS: Final = (1e-3, 1.0)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SmootherParameters:
    """Parameters of a `ModeSmoother`.

    eigenvectors: (136, 136), columns: the modes of motion.
    agility: (136,) density of the acceleration over the variance of the measurement, s^-3.
    """

    eigenvectors: Array
    agility: Array

    def __post_init__(self) -> None:
        modes = 2 * LANDMARK_COUNT
        if self.eigenvectors.shape != (modes, modes) or self.agility.shape != (modes,):
            raise ValueError(
                f"got eigenvectors {self.eigenvectors.shape}, agility {self.agility.shape}; "
                f"expected ({modes}, {modes}) and ({modes},)"
            )
        if not (np.isfinite(self.eigenvectors).all() and (self.agility > 0).all()):
            raise ValueError("expected finite eigenvectors and agility above 0")


@dataclass(slots=True)
class _Moments:
    """Position and speed of each mode: means, and covariance (its three different entries)."""

    position: Array
    speed: Array
    positions: Array  # variance of the position
    both: Array
    speeds: Array


class ModeSmoother:
    """Smooths one track, holding back `LOOKAHEAD` frames or more.

    Its state is the frames it holds and the moments before them.
    """

    def __init__(
        self, parameters: SmootherParameters, chunk: int = CHUNK, lookahead: int = LOOKAHEAD
    ) -> None:
        self.parameters = parameters
        self._chunk, self._lookahead = chunk, lookahead
        self._held: list[tuple[float, Array]] = []  # seconds since the frame before, modes
        self._before: _Moments | None = None
        self._seconds: float | None = None

    def push(self, seconds: float, landmarks_px: Array) -> list[Array]:
        """Takes the (68, 2) landmarks of a frame; gives back what is settled, oldest first."""
        step = 0.0 if self._seconds is None else seconds - self._seconds
        self._seconds = seconds
        self._held.append((step, landmarks_px.reshape(-1) @ self.parameters.eigenvectors))
        if len(self._held) < self._chunk + self._lookahead:
            return []
        return self._settle(self._chunk)

    def flush(self) -> list[Array]:
        """Ends the track: the rest."""
        settled = self._settle(len(self._held)) if self._held else []
        self._before = self._seconds = None
        return settled

    def _settle(self, count: int) -> list[Array]:
        steps = np.array([step for step, _ in self._held])
        modes = np.stack([mode for _, mode in self._held])
        smooth, self._before = smooth_modes(
            modes, steps, self.parameters.agility, self._before, count
        )
        del self._held[:count]
        landmarks = smooth @ self.parameters.eigenvectors.T
        return list(landmarks.reshape(count, LANDMARK_COUNT, 2))


def smooth_modes(
    modes: Array, steps: Array, agility: Array, before: Any = None, count: int | None = None
) -> tuple[Array, Any]:
    """Forward and backward over frames; the smoothed first `count`, and the state after them.

    Args:
        modes: (T, ..., D) measurements.
        steps: (T,) or (T, ..., 1) seconds since the frame before; the first counts only
            with `before`.
        agility: (D,).
        before: the state that an earlier call gave back.
        count: how many frames are wanted; all by default.
    """
    count = len(modes) if count is None else count
    steps = np.clip(steps, *_STEP_SECONDS)
    filtered: list[_Moments] = []
    predicted: list[_Moments] = []
    for z, step in zip(modes, steps, strict=True):
        ahead = _predict(before, step, agility) if before is not None else _start(z)
        before = _update(ahead, z) if before is not None else ahead
        predicted.append(ahead)
        filtered.append(before)
    smooth = np.empty_like(modes)
    position, speed = filtered[-1].position, filtered[-1].speed
    smooth[-1] = position
    for t in range(len(modes) - 2, -1, -1):
        now, ahead, step = filtered[t], predicted[t + 1], steps[t + 1]
        # G = P F^T (P ahead)^-1, of 2x2 matrices, times what the future says otherwise.
        off_position, off_speed = position - ahead.position, speed - ahead.speed
        determinant = ahead.positions * ahead.speeds - ahead.both**2
        u = (ahead.speeds * off_position - ahead.both * off_speed) / determinant
        v = (ahead.positions * off_speed - ahead.both * off_position) / determinant
        position = now.position + (now.positions + step * now.both) * u + now.both * v
        speed = now.speed + (now.both + step * now.speeds) * u + now.speeds * v
        smooth[t] = position
    return smooth[:count], filtered[count - 1]


def _start(z: Array) -> _Moments:
    one = np.ones_like(z)
    return _Moments(z, 0 * z, one, 0 * z, _START_SPEED * one)


def _predict(m: _Moments, step: Any, agility: Array) -> _Moments:
    speeds = m.speeds + step * agility
    both = m.both + step * m.speeds + step**2 / 2 * agility
    positions = m.positions + step * (2 * m.both + step * m.speeds) + step**3 / 3 * agility
    return _Moments(m.position + step * m.speed, m.speed, positions, both, speeds)


def _update(m: _Moments, z: Array) -> _Moments:
    """With a measurement of variance 1."""
    total = m.positions + 1.0
    gain, speed_gain = m.positions / total, m.both / total
    innovation = z - m.position
    return _Moments(
        m.position + gain * innovation,
        m.speed + speed_gain * innovation,
        gain,
        speed_gain,
        m.speeds - speed_gain * m.both,
    )
