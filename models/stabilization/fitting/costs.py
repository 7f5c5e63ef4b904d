"""Processor time of stabilizers per frame."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.stabilization.bayesian_filter import BayesianFilter
from models.stabilization.filter_parameters import FilterParameters
from models.stabilization.stabilizers import Stabilizer

Array = npt.NDArray[np.float64]


def cost_us(new: Callable[[], Stabilizer], track_px: Array, fps: float, repeats: int = 5) -> float:
    """Microseconds a frame of one (T, 68, 2) track: the best of several runs over all of it."""
    times = []
    for _ in range(repeats):
        steady = new()
        began = time.process_time()
        for i, frame in enumerate(track_px):
            steady.push(i / fps, frame)
        steady.flush()
        times.append(time.process_time() - began)
    return 1e6 * min(times) / len(track_px)


def batched_cost_us(
    parameters: FilterParameters, track_px: Array, tracks: int = 50, repeats: int = 5
) -> float:
    """Microseconds a frame of a track, where the Bayesian filter runs `tracks` side by side."""
    frames = np.repeat(track_px[:, None], tracks, axis=1)
    times = []
    for _ in range(repeats):
        steady = BayesianFilter(parameters, tracks)
        began = time.process_time()
        for frame in frames:
            steady.step(frame)
        times.append(time.process_time() - began)
    return 1e6 * min(times) / len(track_px) / tracks
