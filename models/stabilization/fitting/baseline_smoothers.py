"""The smoothers that the trained filter is measured against, each with one or two parameters.

All are causal, and work on (N, 68, 2) frames of N tracks in units of their faces.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.optimize
from scipy.signal import savgol_coeffs

from models.stabilization.fitting.track_batch import TrackBatch
from models.stabilization.stabilizers import OneEuro

#: Of the logarithms of parameters, where the grid's best is refined: inwards from its edge.
_FIRST_STEP: Final = 0.1

Array = npt.NDArray[np.float64]


def moving_average(raw: Iterator[Array], seconds: Array, *, frames: float) -> Iterator[Array]:
    """The mean of the last `frames` frames."""
    recent: deque[Array] = deque(maxlen=max(1, round(frames)))
    for frame in raw:
        recent.append(frame)
        yield np.mean(recent, axis=0)


def first_order(raw: Iterator[Array], seconds: Array, *, share: float) -> Iterator[Array]:
    """Exponential smoothing: x += share (z - x)."""
    level = next(raw)
    yield level
    for frame in raw:
        level = level + share * (frame - level)
        yield level


def second_order(
    raw: Iterator[Array], seconds: Array, *, share: float, trend_share: float
) -> Iterator[Array]:
    """Holt's double exponential smoothing: a level and a trend."""
    level = next(raw)
    trend = np.zeros_like(level)
    yield level
    for frame in raw:
        before, ahead = level, level + trend
        level = ahead + share * (frame - ahead)
        trend = trend + trend_share * (level - before - trend)
        yield level


def constant_speed(raw: Iterator[Array], seconds: Array, *, ratio: float) -> Iterator[Array]:
    """A Kalman filter of position and speed, each coordinate alone, white acceleration.

    `ratio` is the variance of the acceleration (a frame) over that of the measurement.
    """
    added = np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]]) * ratio
    turn = np.array([[1.0, 1.0], [0.0, 1.0]])
    covariance = np.eye(2)
    position = next(raw)
    speed = np.zeros_like(position)
    yield position
    for frame in raw:
        ahead = turn @ covariance @ turn.T + added
        gain = ahead[:, 0] / (ahead[0, 0] + 1.0)
        innovation = frame - position - speed
        position = position + speed + gain[0] * innovation
        speed = speed + gain[1] * innovation
        covariance = ahead - np.outer(gain, ahead[0])
        yield position


def one_euro(
    raw: Iterator[Array], seconds: Array, *, min_cutoff_hz: float, speed_gain: float
) -> Iterator[Array]:
    """`models.stabilization.stabilizers.OneEuro` on N tracks."""
    steady = OneEuro(min_cutoff_hz, speed_gain)
    for frame in raw:
        yield steady.filter(frame, seconds[:, None, None])


def savitzky_golay(raw: Iterator[Array], seconds: Array, *, frames: float) -> Iterator[Array]:
    """The end of a polynomial fitted to the last frames, of second order (none at first)."""
    recent: deque[Array] = deque(maxlen=max(1, round(frames)))
    for frame in raw:
        recent.append(frame)
        count = len(recent)
        if count < 3:
            yield frame
        else:
            weights = savgol_coeffs(count, 2, pos=count - 1, use="dot")
            yield np.tensordot(weights, np.array(recent), 1)


@dataclass(frozen=True, slots=True)
class BaselineKind:
    """A baseline and how it is tuned.

    smooth: from the (N, 68, 2) frames of N tracks, the (N,) seconds between two of them, and its
        parameters by name to the smoothed frames.
    ranges: least and largest value of each parameter; searched on a logarithmic grid, then
        refined, but for whole numbers.
    whole: whether the parameters are whole numbers.
    """

    smooth: Callable[..., Iterator[Array]]
    ranges: Mapping[str, tuple[float, float]]
    whole: bool = False


BASELINES: Final[dict[str, BaselineKind]] = {
    "moving average": BaselineKind(moving_average, {"frames": (1, 12)}, whole=True),
    "first order": BaselineKind(first_order, {"share": (0.05, 1.0)}),
    "second order (Holt)": BaselineKind(
        second_order, {"share": (0.1, 1.0), "trend_share": (0.02, 1.0)}
    ),
    "constant-speed Kalman": BaselineKind(constant_speed, {"ratio": (1e-4, 1e2)}),
    "One-Euro": BaselineKind(one_euro, {"min_cutoff_hz": (0.2, 30.0), "speed_gain": (0.5, 1000.0)}),
    "Savitzky-Golay": BaselineKind(savitzky_golay, {"frames": (3, 25)}, whole=True),
}


def run_baseline(batch: TrackBatch, kind: BaselineKind, parameters: Mapping[str, float]) -> Array:
    """(B, T, 68, 2): the tracks through a smoother."""
    frames = iter(np.swapaxes(batch.raw, 0, 1))
    return np.stack(list(kind.smooth(frames, 1 / batch.fps, **parameters)), axis=1)


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
        return cost_of(run_baseline(batch, kind, parameters))

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
