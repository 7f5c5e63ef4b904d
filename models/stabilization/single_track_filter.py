"""The Bayesian filter of one track with a diagonal covariance, in a third of the time.

A frame of one track is 136 numbers, so its time is that of the calls of NumPy: this form has half
as many, and no new arrays. It gives what `BayesianFilter` gives, up to rounding (a test).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.face_box import face_size_px
from models.stabilization.bayesian_filter import JUMP_DISTANCE2, BayesianFilter, FilterParameters
from models.stabilization.landmark_guards import FARTHEST_PX, SIZE_RATE, SMALLEST_SIZE_PX
from schemas.landmarks import LANDMARK_COUNT

Array = npt.NDArray[np.float64]

_MODES: Final = 2 * LANDMARK_COUNT
#: (face_size_px / 100)^2 of two points at distance 1 from their middle: of a mean square of 1.
_OF_MIDDLE: Final = float(face_size_px(np.array([[-1.0, 0.0], [1.0, 0.0]])) ** 2) / 1e4
_PER_LANDMARK: Final = _OF_MIDDLE / LANDMARK_COUNT
_SMALLEST_SIZE2: Final = SMALLEST_SIZE_PX**2 / 1e4


class SingleTrackFilter(BayesianFilter):
    """`BayesianFilter` of one track; first frames, jumps and missing coordinates go to it.

    Pickles as parameters and state, without its working memory.
    """

    def __init__(self, parameters: FilterParameters) -> None:
        super().__init__(parameters)
        self._work = _Work(parameters)

    def step(self, landmarks_px: Array) -> Array:
        """The next frame: (1, 68, 2) float64 to (1, 68, 2)."""
        if self._last is not None:
            filtered = self._next(landmarks_px.reshape(_MODES))
            if filtered is not None:
                return filtered.reshape(1, LANDMARK_COUNT, 2)
        return super().step(landmarks_px)

    def _next(self, z: Array) -> Array | None:
        """The filtered (136,) landmarks; None, and nothing changed, where `super` has to do it."""
        if not np.vdot(z, z) < FARTHEST_PX**2:
            return None
        theta, work = self.parameters, self._work
        mean, spread = self._mean[0], self._spread[0]
        past, size2 = self._past.item(), self._size2.item()
        seen, innovation, squares, total, log = work.buffers
        np.dot(z, work.analysis, out=seen)
        np.subtract(seen[:_MODES], mean, out=innovation)
        middle_x, middle_y = seen[_MODES:].tolist()
        moment = float(np.vdot(z, z)) * _PER_LANDMARK
        moment -= (middle_x * middle_x + middle_y * middle_y) * _OF_MIDDLE
        grown = size2 + SIZE_RATE * (max(moment, _SMALLEST_SIZE2) - size2)
        if np.vdot(innovation, innovation) > JUMP_DISTANCE2 * grown:
            return None
        self._size2[0, 0] = grown
        np.multiply(innovation, innovation, out=squares)
        noise2 = grown * self._level.follow_alone(seen, grown)
        np.dot(np.array((grown, noise2)), work.variances, out=total.reshape(-1))
        total += spread
        np.log(total, out=log)
        np.divide(1.0, total, out=total)
        far = np.dot(total, squares)
        far += np.dot(log, work.ones)
        log_shares = [a - 0.5 * b for a, b in zip(work.log_weights, far.tolist(), strict=True)]
        most = max(log_shares)
        shares = [math.exp(share - most) for share in log_shares]
        np.dot(np.array(shares) * (noise2 / sum(shares)), total, out=squares)
        squares *= innovation
        squares *= theta.noise
        out: Array = z - np.dot(squares, work.transposed)
        innovation -= squares  # d = x - mu
        newest = 1.0 / (1.0 + past)
        np.multiply(innovation, newest, out=squares)
        mean += squares
        squares *= innovation
        spread += squares
        spread *= 1.0 - newest
        self._past[0, 0] = theta.gamma * (1.0 + past)
        self._last = out
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_work"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._work = _Work(self.parameters)


class _Work:
    """Constants in the form that `_next` needs, and arrays that it uses again for each frame."""

    def __init__(self, theta: FilterParameters) -> None:
        components = len(theta.weights)
        averages = np.tile(np.eye(2) / LANDMARK_COUNT, (LANDMARK_COUNT, 1))
        self.analysis = np.column_stack([theta.eigenvectors, averages])  # (136, 138)
        self.transposed = np.ascontiguousarray(theta.eigenvectors.T)
        self.variances = np.stack([theta.prior.ravel(), np.tile(theta.noise, components)])
        self.log_weights = np.log(theta.weights).tolist()
        self.ones = np.ones(_MODES)
        #: Modes and middle, innovation, its squares, covariances T_k, their logarithms.
        self.buffers: tuple[Array, ...] = (
            np.empty(_MODES + 2),
            *np.empty((2, _MODES)),
            *np.empty((2, components, _MODES)),
        )
