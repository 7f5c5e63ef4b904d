"""Filters that steady a track's landmarks over time, behind one interface.

A stabilizer holds the state of one face's track without gaps. `push` takes a frame and returns
the frames that are final after it, oldest first; `flush` returns the rest. A causal filter
returns every frame at once; one with a lookahead delays them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from models.stabilization.bayesian_filter import BayesianFilter, Covariance, FilterParameters
from models.stabilization.landmark_guards import fill_missing, jumps
from models.stabilization.mode_smoother import ModeSmoother
from models.stabilization.single_track_filter import SingleTrackFilter
from models.stabilization.weights import StabilizerWeights, load_stabilizer_weights
from schemas.choices import STABILIZERS
from schemas.errors import WeightsError

Landmarks = npt.NDArray[np.float64]


class Stabilizer(Protocol):
    """Steadies one track. Its state is its attributes: small, and safe to copy."""

    def push(self, seconds: float, landmarks: Landmarks) -> list[Landmarks]:
        """Takes a frame's (68, 2) landmarks in px at `seconds`; returns final frames."""

    def flush(self) -> list[Landmarks]:
        """Ends the track: the delayed frames, oldest first. None where nothing is held back."""
        return []


def stabilize_track(
    stabilizer: Stabilizer, seconds: npt.NDArray[np.float64], landmarks_px: Landmarks
) -> Landmarks:
    """A whole track, (T, 68, 2) px at (T,) seconds, through a new stabilizer: (T, 68, 2)."""
    final: list[Landmarks] = []
    for at, frame in zip(seconds.tolist(), landmarks_px, strict=True):
        final += stabilizer.push(at, frame)
    return np.stack([*final, *stabilizer.flush()])


class PassThrough(Stabilizer):
    """Returns every frame unchanged."""

    def push(self, seconds: float, landmarks: Landmarks) -> list[Landmarks]:
        """The same landmarks, at once."""
        return [landmarks]


class OneEuro(Stabilizer):
    """The One-Euro filter (Casiez, Roussel, Vogel, CHI 2012), on each coordinate.

    An exponential smoother whose cutoff rises with speed: still faces lose their jitter,
    fast ones their lag. Speed is measured in face sizes a second, so the parameters hold
    for faces of any size in pixels.

    Args:
        min_cutoff_hz: cutoff for a face at rest.
        speed_gain: rise of the cutoff, Hz per (face size / s).
        speed_cutoff_hz: cutoff of the smoother on the speed itself.
    """

    def __init__(
        self,
        min_cutoff_hz: float = 1.5,
        speed_gain: float = 12.0,
        speed_cutoff_hz: float = 2.0,
    ) -> None:
        self.min_cutoff_hz = min_cutoff_hz
        self.speed_gain = speed_gain
        self.speed_cutoff_hz = speed_cutoff_hz
        self._seconds: float | None = None
        self._position: Landmarks | None = None
        self._speed: Landmarks | None = None

    def push(self, seconds: float, landmarks: Landmarks) -> list[Landmarks]:
        """The smoothed landmarks of this frame, at once."""
        landmarks = fill_missing(landmarks, self._position)
        if self._seconds is None or seconds <= self._seconds:
            self._position = None
        step = seconds - (seconds if self._seconds is None else self._seconds)
        self._seconds = seconds
        return [self.filter(landmarks, step)]

    def filter(self, landmarks: Landmarks, step_seconds: float | Landmarks) -> Landmarks:
        """The next frame of one track (68, 2), or of several: (N, 68, 2) and (N, 1, 1)."""
        if self._position is None or self._speed is None:
            self._position = landmarks.astype(np.float64)
            self._speed = np.zeros_like(self._position)
            return self._position
        face_size = np.maximum(np.ptp(landmarks, axis=-2).max(-1), 1e-3)[..., None, None]
        moved = (landmarks - self._position) / (step_seconds * face_size)
        self._speed = self._speed + _smoothing(step_seconds, self.speed_cutoff_hz) * (
            moved - self._speed
        )
        cutoff_hz = self.min_cutoff_hz + self.speed_gain * np.abs(self._speed)
        gain = _smoothing(step_seconds, cutoff_hz)
        self._position = self._position + gain * (landmarks - self._position)
        return self._position


def _smoothing(step_seconds: float | Landmarks, cutoff_hz: float | Landmarks) -> float | Landmarks:
    """The weight of the new sample in a first-order low-pass filter."""
    rate: float | Landmarks = 2 * math.pi * cutoff_hz * step_seconds
    return rate / (rate + 1)


def _one_track(parameters: FilterParameters, covariance: Covariance) -> BayesianFilter:
    if covariance == "diagonal":
        return SingleTrackFilter(parameters)
    return BayesianFilter(parameters, 1, covariance)


class Sta:
    """The trained Bayesian filter (`models.stabilization.bayesian_filter`): causal."""

    def __init__(self, parameters: FilterParameters, covariance: Covariance = "diagonal") -> None:
        self._filter = _one_track(parameters, covariance)

    def push(self, seconds: float, landmarks: Landmarks) -> list[Landmarks]:
        """The filtered landmarks of this frame, at once."""
        return [self._filter.step(landmarks[None])[0]]

    def flush(self) -> list[Landmarks]:
        """Nothing is held back; what follows is another track."""
        self._filter.reset()
        return []


class StaOffline:
    """The Bayesian filter forward and backward in time, and the mean of the two.

    The delays of the two directions cancel. The backward filter starts `lookahead` frames
    after the last frame that it returns; then its start changes a face of 400 px by less than
    0.15 px (a test).
    """

    CHUNK: Final = 20
    LOOKAHEAD: Final = 80

    def __init__(
        self,
        parameters: FilterParameters,
        covariance: Covariance = "diagonal",
        chunk: int = CHUNK,
    ) -> None:
        self._forward = _one_track(parameters, covariance)
        self._chunk = chunk
        self._held: list[tuple[Landmarks, Landmarks]] = []  # raw, filtered forward

    def push(self, seconds: float, landmarks: Landmarks) -> list[Landmarks]:
        """Takes a frame; returns a chunk when one is final."""
        last = self._held[-1][0] if self._held else None
        landmarks = fill_missing(landmarks, last)
        ended: list[Landmarks] = []
        if last is not None and jumps(landmarks, last):
            ended = self.flush()
        self._held.append((landmarks, self._forward.step(landmarks[None])[0]))
        if len(self._held) < self._chunk + self.LOOKAHEAD:
            return ended
        return ended + self._settle(self._chunk)

    def flush(self) -> list[Landmarks]:
        """The rest."""
        settled = self._settle(len(self._held)) if self._held else []
        self._forward.reset()
        return settled

    def _settle(self, count: int) -> list[Landmarks]:
        backward = _one_track(self._forward.parameters, self._forward.covariance)
        back = [backward.step(raw[None])[0] for raw, _ in reversed(self._held)][::-1]
        settled = [(self._held[i][1] + back[i]) / 2 for i in range(count)]
        del self._held[:count]
        return settled


_FITTED: Final[dict[str, Callable[[StabilizerWeights], Stabilizer]]] = {
    "one-euro": lambda fitted: OneEuro(**fitted.baselines["One-Euro"]),
    "rts": lambda fitted: ModeSmoother(fitted.smoother),
    "sta": lambda fitted: Sta(fitted.filter, fitted.covariance),
    "sta-offline": lambda fitted: StaOffline(fitted.filter, fitted.covariance),
}


def stabilizers_of(fitted: StabilizerWeights) -> dict[str, Callable[[], Stabilizer]]:
    """Factories of the fitted stabilizers, by name."""
    return {name: functools.partial(new, fitted) for name, new in _FITTED.items()}


def stabilizer_factory(spec: str) -> Callable[[], Stabilizer]:
    """A factory of stabilizers, one for each track.

    Args:
        spec: one of STABILIZERS, or the path of weights that `facetracks train stabilizer`
            wrote, which selects the stabilizer that measured best in fitting.

    Raises:
        ValueError: there is no such name and no such file.
        WeightsError: the file is not one of stabilizer weights.
    """
    if spec == "none":
        return PassThrough
    fitted, name = _weights_of(spec)
    return functools.partial(_FITTED[name], fitted)


def stabilizer_parameters(spec: str) -> tuple[object, ...]:
    """The fitted parameters that all stabilizers of a factory share."""
    fitted = stabilizer_weights(spec)
    return (fitted.smoother, fitted.filter) if fitted else ()


def stabilizer_weights(spec: str) -> StabilizerWeights | None:
    """The weights that a stabilizer reads; None where it reads none."""
    return None if spec == "none" else _weights_of(spec)[0]


def _weights_of(spec: str) -> tuple[StabilizerWeights, str]:
    if spec in _FITTED:
        return load_stabilizer_weights(), spec
    if not Path(spec).is_file():
        raise ValueError(
            f"stabilizer: got {spec!r}, expected one of {', '.join(STABILIZERS)} or a weights file"
        )
    fitted = load_stabilizer_weights(Path(spec).absolute())
    if fitted.stabilizer not in _FITTED:
        raise WeightsError(
            f"{spec}: stabilizer is {fitted.stabilizer!r}, expected one of {', '.join(_FITTED)}"
        )
    return fitted, fitted.stabilizer
