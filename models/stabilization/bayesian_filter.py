"""The stabilization model of fractional heatmap regression (FHR, Eq. 5-10), exact and recursive.

    z ----> basis of motion ----> prior: K Gaussians about mu, the weighted mean of past x
                                  posterior mean x: each mode moves its own share of e = z - mu
    x <---- landmarks       <---- mu and C (weighted covariance of past x) are updated by x

With W the sum of past weights, a = 1 / (1 + W) is the weight of the newest x in mu, and
Eq. 9 becomes  mu += a d;  C = (1 - a)(C + a d d^T);  W = gamma (1 + W)  where d = x - mu.
With T_k = C + Gamma_k + N the covariance of z under component k, the posterior mean is
x = z - N sum_k w_k T_k^-1 e. Neither C nor Gamma_k is inverted, so both may be 0.

Eq. 9 has two readings, since its product of vectors is a scalar as printed: `full` keeps the outer
product, `diagonal` its diagonal in the basis of motion. All parameters are variances of a
face whose size (`face_size_px`) is 100; each track's own size scales them to its pixels.

Beyond the paper, Gamma_noise follows the track's own noise (`noise_level`): N is Gamma_noise times
its level. Without `jitter` in the parameters the level is 1, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from models.face_box import face_size_px
from models.stabilization.landmark_guards import (
    FARTHEST_PX,
    JUMP_SIZES,
    SIZE_RATE,
    SMALLEST_SIZE_PX,
    fill_missing,
)
from models.stabilization.noise_level import NoiseLevel
from schemas.landmarks import LANDMARK_COUNT

Covariance = Literal["diagonal", "full"]
Array = npt.NDArray[np.float64]

_MODES: Final = 2 * LANDMARK_COUNT
#: Squared distance of two frames' landmarks, for a face of size 1, above which the track restarts.
JUMP_DISTANCE2: Final = LANDMARK_COUNT * (100.0 * JUMP_SIZES) ** 2


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FilterParameters:
    """Theta of Eq. 6-10, for a face of size 100.

    eigenvectors: (136, 136), columns: the modes of frame-to-frame motion (V of Eq. 10).
    gamma: fading of the past, a frame.
    weights: (K,) alpha, adding up to 1.
    prior: (K, 136) variances beta_k Gamma_k (the two cannot be told apart).
    noise: (136,) variances Gamma_noise.
    jitter: (J,) of the first J modes, which `noise_level` compares a track with; none: every
        track has the same noise.
    """

    eigenvectors: Array
    gamma: float
    weights: Array
    prior: Array
    noise: Array
    jitter: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        components = len(self.weights)
        expected = {
            "eigenvectors": (_MODES, _MODES),
            "weights": (components,),
            "prior": (components, _MODES),
            "noise": (_MODES,),
        }
        for name, shape in expected.items():
            got = getattr(self, name)
            if got.shape != shape or not np.isfinite(got).all():
                raise ValueError(f"{name}: got shape {got.shape}, expected finite {shape}")
        if not 0 <= self.gamma < 1 or self.noise.min() <= 0 or self.prior.min() < 0:
            raise ValueError(
                f"got gamma {self.gamma}, least noise {self.noise.min()}, least prior "
                f"{self.prior.min()}; expected 0 <= gamma < 1, noise > 0, prior >= 0"
            )
        if self.jitter.ndim != 1 or len(self.jitter) > _MODES or not np.all(self.jitter > 0):
            raise ValueError(
                f"jitter: got {self.jitter!r}, expected up to {_MODES} variances above 0"
            )
        if self.weights.min() <= 0 or abs(self.weights.sum() - 1) > 1e-6:
            raise ValueError(f"weights: got {self.weights}, expected shares that add up to 1")

    def __repr__(self) -> str:
        return f"FilterParameters(K={len(self.weights)}, gamma={self.gamma:.3f})"


class BayesianFilter:
    """Filters the landmarks of N tracks side by side.

    A track's first frame, and one that jumps by a face's size, are returned unchanged and
    restart it. Missing coordinates (NaN, infinite) are replaced by those of the frame before.

    Args:
        parameters: see FilterParameters.
        tracks: N.
        covariance: the reading of Eq. 9.
    """

    def __init__(
        self, parameters: FilterParameters, tracks: int = 1, covariance: Covariance = "diagonal"
    ) -> None:
        self.parameters = parameters
        self.covariance = covariance
        shape = (tracks, _MODES) if covariance == "diagonal" else (tracks, _MODES, _MODES)
        self._mean = np.zeros((tracks, _MODES))
        self._spread = np.zeros(shape)
        self._past = np.zeros((tracks, 1))
        self._size2 = np.ones((tracks, 1))
        self._level = NoiseLevel(parameters.jitter, tracks)
        self._last: Array | None = None

    def step(self, landmarks_px: Array) -> Array:
        """The next frame of every track: (N, 68, 2) float64 to (N, 68, 2)."""
        z = landmarks_px.reshape(len(self._mean), _MODES)
        if self._last is None or not np.vdot(z, z) < FARTHEST_PX**2:
            z = self._start(z)
        modes = z @ self.parameters.eigenvectors
        innovation = modes - self._mean
        self._size2 += SIZE_RATE * (_size2(z) - self._size2)
        jumped = (innovation**2).sum(1) > JUMP_DISTANCE2 * self._size2[:, 0]
        if jumped.any():
            self._restart(jumped, modes, z)
            innovation[jumped] = 0.0
        noise2 = self._size2 * self._level.follow(modes, self._size2)
        if self.covariance == "diagonal":
            correction = self._diagonal_correction(innovation, noise2)
        else:
            correction = self._full_correction(innovation, noise2)
        self._update(innovation - correction)
        self._last = z - correction @ self.parameters.eigenvectors.T
        return self._last.reshape(-1, LANDMARK_COUNT, 2)

    def reset(self) -> None:
        """Forgets every track: after a shot cut or a gap."""
        self._last = None

    def _diagonal_correction(self, innovation: Array, noise2: Array) -> Array:
        """(N, 136) modes of z - x, by diagonal covariances; `noise2` is (N, 1)."""
        theta = self.parameters
        total = self._spread + noise2 * theta.noise
        total = total[:, None] + self._size2[:, None] * theta.prior  # (N, K, 136)
        inverse = 1.0 / total
        far = (inverse @ (innovation**2)[:, :, None])[..., 0] + np.log(total).sum(2)
        mixed = (self._shares(far)[:, None] @ inverse)[:, 0]
        return np.asarray(mixed * innovation * theta.noise * noise2)

    def _full_correction(self, innovation: Array, noise2: Array) -> Array:
        """The same with full covariance matrices."""
        correction = np.empty_like(innovation)
        theta = self.parameters
        for n, e in enumerate(innovation):
            far, solved = [], []
            for prior in theta.prior:
                total = self._spread[n].copy()
                total.flat[:: _MODES + 1] += prior * self._size2[n, 0] + theta.noise * noise2[n, 0]
                factor = cho_factor(total, lower=True, overwrite_a=True, check_finite=False)
                solved.append(cho_solve(factor, e, check_finite=False))
                far.append(e @ solved[-1] + 2 * np.log(factor[0].flat[:: _MODES + 1]).sum())
            shares = self._shares(np.array([far]))[0]
            correction[n] = theta.noise * noise2[n, 0] * (shares @ np.array(solved))
        return correction

    def _shares(self, far: Array) -> Array:
        """(N, K) posterior weights; `far` is -2 log N(z; mu, T_k) up to a constant."""
        log_shares = np.log(self.parameters.weights) - 0.5 * far
        shares = np.exp(log_shares - log_shares.max(1, keepdims=True))
        return np.asarray(shares / shares.sum(1, keepdims=True))

    def _update(self, moved: Array) -> None:
        """mu, C and W (Eq. 9), from d = x - mu (N, 136)."""
        newest = 1.0 / (1.0 + self._past)
        self._mean += newest * moved
        if self.covariance == "diagonal":
            self._spread = (1.0 - newest) * (self._spread + newest * moved**2)
        else:
            outer = (newest * moved)[:, :, None] * moved[:, None, :]
            self._spread = (1.0 - newest)[:, :, None] * (self._spread + outer)
        self._past = self.parameters.gamma * (1.0 + self._past)

    def _start(self, z: Array) -> Array:
        """Fills in missing coordinates, and starts tracks that have no past."""
        points = z.reshape(-1, LANDMARK_COUNT, 2)
        last = None if self._last is None else self._last.reshape(points.shape)
        z = fill_missing(points, last).reshape(z.shape)
        if last is None:
            self._restart(np.ones(len(z), bool), z @ self.parameters.eigenvectors, z)
        return z

    def _restart(self, which: npt.NDArray[np.bool_], modes: Array, z: Array) -> None:
        self._mean[which] = modes[which]
        self._spread[which] = 0.0
        self._past[which] = 0.0
        self._level.restart(which)
        self._size2[which] = _size2(z[which])


def _size2(z: Array) -> Array:
    """(N, 1) squared face sizes, over 100^2, of (N, 136) landmarks."""
    size = face_size_px(z.reshape(-1, LANDMARK_COUNT, 2))
    return np.asarray((np.maximum(size, SMALLEST_SIZE_PX)[:, None] / 100.0) ** 2)


def running_size2(landmarks_px: Array) -> Array:
    """The squared size, over 100^2, of the filter along (B, T, 68, 2) tracks: (B, T)."""
    now = (face_size_px(landmarks_px) / 100.0) ** 2
    followed = np.empty_like(now)
    size2 = now[:, 0]
    for t in range(now.shape[1]):
        size2 = size2 + SIZE_RATE * (now[:, t] - size2)
        followed[:, t] = size2
    return followed
