"""The smoothers that the trained filter is measured against, each with one or two parameters.

All work on (N, 68, 2) frames of N tracks in units of their faces, a frame at a time.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import scipy.optimize
from scipy.signal import savgol_coeffs

from models.stabilization.fitting.track_batch import TrackBatch
from models.stabilization.stabilizers import OneEuro

#: Of the logarithms of parameters, where the grid's best is refined: inwards from its edge.
_FIRST_STEP: Final = 0.1

Array = npt.NDArray[np.float64]


class Baseline(Protocol):
    """A causal smoother of N tracks."""

    def step(self, frame: Array, seconds: Array) -> Array:
        """The next (N, 68, 2) frame, `seconds` (N,) after the one before."""


class MovingAverage:
    """The mean of the last `frames` frames."""

    def __init__(self, frames: float) -> None:
        self._recent: deque[Array] = deque(maxlen=max(1, round(frames)))

    def step(self, frame: Array, seconds: Array) -> Array:
        """The mean up to this frame."""
        self._recent.append(frame)
        return np.mean(self._recent, axis=0)  # type: ignore[no-any-return]


class FirstOrder:
    """Exponential smoothing: x += share (z - x)."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._level: Array | None = None

    def step(self, frame: Array, seconds: Array) -> Array:
        """The smoothed frame."""
        before = frame if self._level is None else self._level
        self._level = before + self._share * (frame - before)
        return self._level


class SecondOrder:
    """Holt's double exponential smoothing: a level and a trend."""

    def __init__(self, share: float, trend_share: float) -> None:
        self._share, self._trend_share = share, trend_share
        self._level: Array | None = None
        self._trend: Array | None = None

    def step(self, frame: Array, seconds: Array) -> Array:
        """The smoothed frame."""
        if self._level is None or self._trend is None:
            self._level, self._trend = frame, np.zeros_like(frame)
            return frame
        ahead = self._level + self._trend
        level = ahead + self._share * (frame - ahead)
        self._trend = self._trend + self._trend_share * (level - self._level - self._trend)
        self._level = level
        return level


class ConstantSpeed:
    """A Kalman filter of position and speed, each coordinate alone, white acceleration.

    Args:
        ratio: variance of the acceleration (a frame) over that of the measurement.
    """

    def __init__(self, ratio: float) -> None:
        self._model = np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]]) * ratio
        self._covariance = np.diag([1.0, 1.0])
        self._state: Array | None = None

    def step(self, frame: Array, seconds: Array) -> Array:
        """The filtered position."""
        if self._state is None:
            self._state = np.stack([frame, np.zeros_like(frame)])
            return frame
        turn = np.array([[1.0, 1.0], [0.0, 1.0]])
        covariance = turn @ self._covariance @ turn.T + self._model
        gain = covariance[:, 0] / (covariance[0, 0] + 1.0)
        position, speed = self._state
        innovation = frame - position - speed
        self._state = np.stack(
            [position + speed + gain[0] * innovation, speed + gain[1] * innovation]
        )
        self._covariance = covariance - np.outer(gain, covariance[0])
        return self._state[0]  # type: ignore[no-any-return]


class OneEuroBaseline:
    """`models.stabilization.stabilizers.OneEuro` on N tracks."""

    def __init__(self, min_cutoff_hz: float, speed_gain: float) -> None:
        self._steady = OneEuro(min_cutoff_hz, speed_gain)

    def step(self, frame: Array, seconds: Array) -> Array:
        """The smoothed frame."""
        return self._steady.filter(frame, seconds[:, None, None])


class SavitzkyGolay:
    """The end of a polynomial fitted to the last frames, of second order (fewer at first)."""

    def __init__(self, frames: float) -> None:
        self._recent: deque[Array] = deque(maxlen=max(1, round(frames)))

    def step(self, frame: Array, seconds: Array) -> Array:
        """The polynomial's last value."""
        self._recent.append(frame)
        count = len(self._recent)
        if count < 3:
            return frame
        weights = savgol_coeffs(count, min(2, count - 1), pos=count - 1, use="dot")
        return np.tensordot(weights, np.array(self._recent), 1)


@dataclass(frozen=True, slots=True)
class BaselineKind:
    """How a baseline is made and tuned.

    new: makes one from its parameters, by name.
    ranges: least and largest value of each parameter; searched on a logarithmic grid, then
        refined, but for whole numbers.
    whole: whether the parameters are whole numbers.
    """

    new: Callable[..., Baseline]
    ranges: Mapping[str, tuple[float, float]]
    whole: bool = False


BASELINES: Final[dict[str, BaselineKind]] = {
    "moving average": BaselineKind(MovingAverage, {"frames": (1, 12)}, whole=True),
    "first order": BaselineKind(FirstOrder, {"share": (0.05, 1.0)}),
    "second order (Holt)": BaselineKind(
        SecondOrder, {"share": (0.1, 1.0), "trend_share": (0.02, 1.0)}
    ),
    "constant-speed Kalman": BaselineKind(ConstantSpeed, {"ratio": (1e-4, 1e2)}),
    "One-Euro": BaselineKind(
        OneEuroBaseline, {"min_cutoff_hz": (0.2, 30.0), "speed_gain": (0.5, 1000.0)}
    ),
    "Savitzky-Golay": BaselineKind(SavitzkyGolay, {"frames": (3, 25)}, whole=True),
}


def run_baseline(batch: TrackBatch, smoother: Baseline) -> Array:
    """(B, T, 68, 2): the tracks through a smoother."""
    seconds = 1 / batch.fps
    return np.stack(
        [smoother.step(frame, seconds) for frame in np.swapaxes(batch.raw, 0, 1)], axis=1
    )


def baseline_grid(kind: BaselineKind, per_axis: int) -> list[dict[str, float]]:
    """Parameters all over their ranges: every whole number, or so many, log-spaced, an axis."""
    if kind.whole:
        axes = [np.arange(low, high + 1) for low, high in kind.ranges.values()]
    else:
        axes = [np.geomspace(low, high, per_axis) for low, high in kind.ranges.values()]
    points = itertools.product(*(axis.tolist() for axis in axes))
    return [dict(zip(kind.ranges, point, strict=True)) for point in points]


def tune_baseline(
    kind: BaselineKind, batch: TrackBatch, cost_of: Callable[[Array], float], *, grid: int = 6
) -> dict[str, float]:
    """The parameters whose stabilized (B, T, 68, 2) tracks cost least: a grid, then Nelder-Mead."""

    def cost(parameters: Mapping[str, float]) -> float:
        return cost_of(run_baseline(batch, kind.new(**parameters)))

    best = min(baseline_grid(kind, grid), key=cost)
    if kind.whole:
        return best
    low, high = np.log(np.array(list(kind.ranges.values()))).T

    def named(logs: Array) -> dict[str, float]:
        values = np.exp(np.clip(logs, low, high)).tolist()
        return dict(zip(kind.ranges, values, strict=True))

    def cost_of_logs(logs: Array) -> float:
        return cost(named(logs))

    start: Array = np.log(np.array(list(best.values())))
    first_steps = np.where(start > (low + high) / 2, -1, 1) * np.eye(len(start)) * _FIRST_STEP
    simplex = np.vstack([start, start + first_steps])
    options: Any = {"initial_simplex": simplex, "maxfev": 60, "xatol": 0.003, "fatol": 1e-5}
    found = scipy.optimize.minimize(cost_of_logs, start, method="Nelder-Mead", options=options)
    return named(found.x)
