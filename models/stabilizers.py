"""Filters that steady a track's landmarks over time, behind one interface.

A stabilizer holds the state of one face's unbroken track. `push` takes a frame and gives
back the frames that are settled by it, oldest first; `flush` gives the rest. A causal
filter settles every frame at once; one that looks ahead may hold frames back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["STABILIZERS", "OneEuro", "PassThrough", "Stabilizer", "stabilizer_factory"]

Landmarks = npt.NDArray[np.float64]


class Stabilizer(Protocol):
    """Steadies one track. Its state is its attributes: small, and safe to copy."""

    def push(self, seconds: float, landmarks: Landmarks) -> list[Landmarks]:
        """Takes a frame's (68, 2) landmarks in px at `seconds`; gives back settled frames."""

    def flush(self) -> list[Landmarks]:
        """Ends the track: the frames that were held back, oldest first."""


class PassThrough:
    """Gives every frame back as it came."""

    def push(self, seconds: float, landmarks: Landmarks) -> list[Landmarks]:
        """The same landmarks, at once."""
        return [landmarks]

    def flush(self) -> list[Landmarks]:
        """Nothing is held back."""
        return []


class OneEuro:
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
        if self._seconds is None or self._position is None or seconds <= self._seconds:
            self._position = landmarks.astype(np.float64)
            self._speed = np.zeros_like(self._position)
        else:
            step = seconds - self._seconds
            face_size_px = max(float(np.ptp(landmarks, axis=0).max()), 1.0)
            moved = (landmarks - self._position) / (step * face_size_px)
            assert self._speed is not None
            self._speed += _smoothing(step, self.speed_cutoff_hz) * (moved - self._speed)
            cutoff_hz = self.min_cutoff_hz + self.speed_gain * np.abs(self._speed)
            gain = _smoothing(step, cutoff_hz)
            self._position = self._position + gain * (landmarks - self._position)
        self._seconds = seconds
        return [self._position]

    def flush(self) -> list[Landmarks]:
        """Nothing is held back."""
        return []


def _smoothing(step_seconds: float, cutoff_hz: float | Landmarks) -> float | Landmarks:
    """The weight of the new sample in a first-order low-pass filter."""
    rate = 2 * math.pi * cutoff_hz * step_seconds
    return rate / (rate + 1)


STABILIZERS: Final[dict[str, Callable[[], Stabilizer]]] = {
    "none": PassThrough,
    "one-euro": OneEuro,
}


def stabilizer_factory(name: str) -> Callable[[], Stabilizer]:
    """What makes a new stabilizer for a track; ValueError names the choices."""
    if name not in STABILIZERS:
        raise ValueError(f"stabilizer: got {name!r}, expected one of {', '.join(STABILIZERS)}")
    return STABILIZERS[name]
