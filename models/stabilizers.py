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

#: Beyond this a coordinate counts as missing.
FARTHEST_PX: Final = 1e7


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

    def flush(self) -> list[Landmarks]:
        """Nothing is held back."""
        return []


def _smoothing(
    step_seconds: float | Landmarks, cutoff_hz: float | Landmarks
) -> float | Landmarks:
    """The weight of the new sample in a first-order low-pass filter."""
    rate: float | Landmarks = 2 * math.pi * cutoff_hz * step_seconds
    return rate / (rate + 1)


def fill_missing(landmarks: Landmarks, last: Landmarks | None) -> Landmarks:
    """(68, 2) landmarks with what is not finite (or absurd) taken from the frame before.

    On a track's first frame it is put in the middle of the rest.
    """
    missing = ~(np.abs(landmarks) < FARTHEST_PX)
    if not missing.any():
        return landmarks
    if last is None:
        middle = np.ma.masked_array(landmarks, missing).mean(0).filled(0.0)
        last = np.broadcast_to(middle, landmarks.shape)
    return np.where(missing, last, landmarks)


STABILIZERS: Final[dict[str, Callable[[], Stabilizer]]] = {
    "none": PassThrough,
    "one-euro": OneEuro,
}


def stabilizer_factory(name: str) -> Callable[[], Stabilizer]:
    """What makes a new stabilizer for a track; ValueError names the choices."""
    if name not in STABILIZERS:
        raise ValueError(f"stabilizer: got {name!r}, expected one of {', '.join(STABILIZERS)}")
    return STABILIZERS[name]
