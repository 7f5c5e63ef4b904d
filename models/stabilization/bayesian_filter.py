"""The stabilization model of fractional heatmap regression (FHR, Eq. 5-10), exact and recursive.

    z ----> basis of motion ----> prior: K Gaussians about mu, the faded mean of past x
                                  posterior mean x: each mode moves its own share of e = z - mu
    x <---- landmarks       <---- mu, C (faded covariance of past x) take x in

With W the sum of past weights, a = 1 / (1 + W) is the share of the newest x in mu, and
Eq. 9 becomes  mu += a d;  C = (1 - a)(C + a d d^T);  W = gamma (1 + W)  where d = x - mu.
With T_k = C + Gamma_k + N the covariance of z under component k, the posterior mean is
x = z - N sum_k w_k T_k^-1 e: no inverse of C or Gamma_k, so both may be 0.

Readings of Eq. 9 (its product of vectors is a scalar as printed): `full` keeps the outer
product, `diagonal` its diagonal in the basis of motion. All parameters are variances of a
face whose size (`face_size_px`) is 100; each track's own size takes them to its pixels.

Past the paper, Gamma_noise follows the track's own noise (`noise_level`): N is Gamma_noise times
its level. Without `jitter` in the parameters the level is 1, as in the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from models.stabilization.face_size import face_size_px
from models.stabilization.landmark_guards import FARTHEST_PX, JUMP_SIZES
from models.stabilization.noise_level import NoiseLevel
from schemas.landmarks import LANDMARK_COUNT

__all__ = [
    "BayesianFilter",
    "Covariance",
    "FilterParameters",
    "initial_parameters",
    "motion_modes",
    "running_size2",
]

Covariance = Literal["diagonal", "full"]
Array = npt.NDArray[np.float64]

_MODES: Final = 2 * LANDMARK_COUNT
#: How fast a track's size follows its face.
_SIZE_RATE: Final = 0.05
_SMALLEST_SIZE_PX: Final = 1e-3


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
        """The scalars; no matrices."""
        return f"FilterParameters(K={len(self.weights)}, gamma={self.gamma:.3f})"


class BayesianFilter:
    """Filters the landmarks of one track, or of several side by side.

    A track's first frame, and one that jumps by a face's size, are taken as they are and
    start it anew. Coordinates that are missing (NaN, infinite) are taken from the frame
    before. Pickles as its parameters and its state, without working memory.

    Args:
        parameters: see FilterParameters.
        tracks: N, how many tracks run side by side.
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
        self._allocate()

    def step(self, landmarks_px: Array) -> Array:
        """The next frame of every track: (N, 68, 2) float64 to (N, 68, 2)."""
        tracks = len(self._mean)
        if tracks == 1 and self._last is not None and self.covariance == "diagonal":
            alone = self._step_alone(landmarks_px.reshape(_MODES))
            if alone is not None:
                return alone.reshape(1, LANDMARK_COUNT, 2)
        z = landmarks_px.reshape(tracks, _MODES)
        modes, innovation, squares = self._modes, self._innovation, self._squares
        if self._last is None or not np.vdot(z, z) < FARTHEST_PX**2:
            z = self._start(z)
        np.dot(z, self.parameters.eigenvectors, out=modes)
        np.subtract(modes, self._mean, out=innovation)
        np.multiply(innovation, innovation, out=squares)
        self._follow_size(z)
        jumped = np.add.reduce(squares, axis=1, keepdims=True) > self._jump * self._size2
        if jumped.any():
            self._restart(jumped[:, 0], modes, z)
        noise2 = self._size2 * self._level.follow(modes, self._size2)
        if self.covariance == "diagonal":
            held = self._held_back(innovation, squares, noise2)
        else:
            held = self._held_back_fully(innovation, noise2)
        out: Array = z - np.dot(held, self._transposed)
        np.subtract(innovation, held, out=innovation)  # d = x - mu
        self._take_in(innovation)
        self._last = out
        return out.reshape(tracks, LANDMARK_COUNT, 2)

    def reset(self) -> None:
        """Forgets every track: after a shot cut or a gap."""
        self._last = None

    def _step_alone(self, z: Array) -> Array | None:
        """`step` of one track, with as few calls as will do; None where it must not go on."""
        if not np.vdot(z, z) < FARTHEST_PX**2:
            return None
        mean, spread, innovation = self._mean[0], self._spread[0], self._innovation[0]
        squares, total, log = self._squares[0], self._total[0], self._log[0]
        past, size2 = self._past.item(), self._size2.item()
        np.dot(z, self._analysis, out=self._seen)
        np.subtract(self._seen[:_MODES], mean, out=innovation)
        middle_x, middle_y = self._seen[_MODES:].tolist()
        moment = float(np.vdot(z, z)) * self._per_landmark
        moment -= (middle_x * middle_x + middle_y * middle_y) * self._of_middle
        grown = size2 + _SIZE_RATE * (max(moment, self._least) - size2)
        if np.vdot(innovation, innovation) > self._jump * grown:
            return None
        self._size2[0, 0] = grown
        np.multiply(innovation, innovation, out=squares)
        noise2 = grown * self._level.follow_alone(self._seen, grown)
        self._scales[0, 0], self._scales[0, 1] = grown, noise2
        np.dot(self._scales[0], self._variances, out=self._flat_total[0])
        total += spread
        np.log(total, out=log)
        np.divide(1.0, total, out=total)
        far = np.dot(total, squares)
        far += np.dot(log, self._ones)
        log_shares = [a - 0.5 * b for a, b in zip(self._log_weight_list, far.tolist(), strict=True)]
        most = max(log_shares)
        shares = [math.exp(share - most) for share in log_shares]
        factor = noise2 / sum(shares)
        np.dot(np.array(shares) * factor, total, out=squares)
        squares *= innovation
        squares *= self.parameters.noise
        out: Array = z - np.dot(squares, self._transposed)
        innovation -= squares  # d = x - mu
        newest = 1.0 / (1.0 + past)
        np.multiply(innovation, newest, out=squares)
        mean += squares
        squares *= innovation
        spread += squares
        spread *= 1.0 - newest
        self._past[0, 0] = self.parameters.gamma * (1.0 + past)
        self._last = out
        return out

    def _held_back(self, innovation: Array, squares: Array, noise2: Array) -> Array:
        """x = z - what this returns (N, 136), in modes: diagonal covariance.

        `noise2` (N, 1) is what Gamma_noise is multiplied with.
        """
        total = self._total  # (N, K, 136)
        self._scales[:, :1], self._scales[:, 1:] = self._size2, noise2
        np.dot(self._scales, self._variances, out=self._flat_total)
        total += self._spread[:, None]
        log = self._log[..., : _MODES // 2]  # of products of two: half the logarithms
        np.multiply(total[..., : _MODES // 2], total[..., _MODES // 2 :], out=log)
        np.log(log, out=log)
        np.divide(1.0, total, out=total)
        inverse = total
        far = np.matmul(inverse, squares[:, :, None])[..., 0]  # (N, K)
        far += np.add.reduce(log, axis=2)
        shares = self._shares(far)
        mixed = np.matmul(shares[:, None], inverse)[:, 0]  # (N, 136)
        mixed *= innovation
        mixed *= self.parameters.noise
        mixed *= noise2
        return np.asarray(mixed)

    def _held_back_fully(self, innovation: Array, noise2: Array) -> Array:
        """The same with full covariance matrices."""
        held = np.empty_like(innovation)
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
            held[n] = theta.noise * noise2[n, 0] * (shares @ np.array(solved))
        return held

    def _shares(self, far: Array) -> Array:
        """(N, K) posterior weights; `far` is -2 log N(z; mu, T_k) but for a constant."""
        log_shares = self._log_weights - 0.5 * far
        log_shares -= np.maximum.reduce(log_shares, axis=1, keepdims=True)
        np.exp(log_shares, out=log_shares)
        log_shares /= np.add.reduce(log_shares, axis=1, keepdims=True)
        return log_shares

    def _take_in(self, moved: Array) -> None:
        newest = 1.0 / (1.0 + self._past)
        step = newest * moved
        self._mean += step
        if self.covariance == "diagonal":
            step *= moved
            self._spread += step
            self._spread *= 1.0 - newest
        else:
            self._spread += step[:, :, None] * moved[:, None, :]
            self._spread *= (1.0 - newest)[:, :, None]
        self._past += 1.0
        self._past *= self.parameters.gamma

    def _follow_size(self, z: Array) -> None:
        """Moves each track's squared size (in units of 100) a little towards its face's."""
        middle = np.dot(z, self._averages)  # (N, 2)
        moment = np.einsum("nd,nd->n", z, z) * self._per_landmark
        moment -= np.einsum("nd,nd->n", middle, middle) * self._of_middle
        self._size2 += _SIZE_RATE * (np.maximum(moment, self._least)[:, None] - self._size2)

    def _start(self, z: Array) -> Array:
        """Fills in what is missing, and starts tracks that have no past."""
        z = z.copy()
        missing = ~(np.abs(z) < FARTHEST_PX)
        if self._last is None:
            known = np.ma.masked_array(z, missing).reshape(len(z), LANDMARK_COUNT, 2)
            middle = known.mean(1, keepdims=True).filled(0.0)
            last = np.broadcast_to(middle, known.shape).reshape(z.shape)
            z[missing] = last[missing]
            self._restart(np.ones(len(z), bool), z @ self.parameters.eigenvectors, z)
        else:
            z[missing] = self._last.reshape(z.shape)[missing]
        return z

    def _restart(self, which: npt.NDArray[np.bool_], modes: Array, z: Array) -> None:
        self._mean[which] = modes[which]
        self._innovation[which] = 0.0
        self._squares[which] = 0.0
        self._spread[which] = 0.0
        self._past[which] = 0.0
        self._level.restart(which)
        faces = z[which].reshape(-1, LANDMARK_COUNT, 2)
        size = np.maximum(face_size_px(faces), _SMALLEST_SIZE_PX)
        self._size2[which] = (size[:, None] / 100.0) ** 2

    def _allocate(self) -> None:
        theta, tracks, components = self.parameters, len(self._mean), len(self.parameters.weights)
        self._transposed = np.ascontiguousarray(theta.eigenvectors.T)
        noise = np.tile(theta.noise, components)
        self._variances = np.stack([theta.prior.ravel(), noise])  # of the size, of the noise
        self._log_weights = np.log(theta.weights)
        self._averages = np.tile(np.eye(2) / LANDMARK_COUNT, (LANDMARK_COUNT, 1))
        self._analysis = np.column_stack([theta.eigenvectors, self._averages])
        self._seen = np.empty(_MODES + 2)
        self._ones = np.ones(_MODES)
        self._log_weight_list = self._log_weights.tolist()
        unit = np.array([[-1.0, 0.0], [1.0, 0.0]])  # two points at distance 1 from their middle
        self._of_middle = float(face_size_px(unit) ** 2) / 1e4
        self._per_landmark = self._of_middle / LANDMARK_COUNT
        self._least = _SMALLEST_SIZE_PX**2 / 1e4
        self._jump = LANDMARK_COUNT * (100.0 * JUMP_SIZES) ** 2
        self._modes = np.empty((tracks, _MODES))
        self._innovation = np.empty((tracks, _MODES))
        self._squares = np.empty((tracks, _MODES))
        self._total = np.empty((tracks, components, _MODES))
        self._flat_total = self._total.reshape(tracks, -1)
        self._scales = np.empty((tracks, 2))
        self._log = np.empty((tracks, components, _MODES))

    def __getstate__(self) -> dict[str, Any]:
        names = (
            "parameters",
            "covariance",
            "_mean",
            "_spread",
            "_past",
            "_size2",
            "_level",
            "_last",
        )
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._allocate()


def initial_parameters(
    eigenvectors: Array, noise: Array, motion: Array, components: int = 2
) -> FilterParameters:
    """The start of a fit: Gamma_1 nearly 0, the last Gamma 10 times the noise and the motion.

    Gamma_1 is 0.05 of the noise, not 0 as in the paper, because its logarithm is trained;
    further components lie between the first and the last.

    Args:
        eigenvectors: V of Eq. 10.
        noise: (136,) Gamma_noise.
        motion: (136,) variance of the true change from frame to frame.
        components: K.
    """
    share = np.linspace(0, 1, components)[:, None] if components > 1 else np.ones((1, 1))
    least, most = np.log(0.05 * noise), np.log(10 * noise + motion)
    return FilterParameters(
        eigenvectors=eigenvectors,
        gamma=0.5,
        weights=np.full(components, 1 / components),
        prior=np.exp((1 - share) * least + share * most),
        noise=noise,
    )


def motion_modes(changes: Array) -> Array:
    """V of Eq. 10: (136, 136) eigenvectors, columns, of the covariance of (N, 136) changes."""
    centred = changes - changes.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(changes)))
    return np.ascontiguousarray(vectors[:, ::-1])


def running_size2(landmarks_px: Array) -> Array:
    """The squared size, over 100^2, that the filter follows along (B, T, 68, 2) tracks: (B, T)."""
    now = (face_size_px(landmarks_px) / 100.0) ** 2
    followed = np.empty_like(now)
    size2 = now[:, 0]
    for t in range(now.shape[1]):
        size2 = size2 + _SIZE_RATE * (now[:, t] - size2)
        followed[:, t] = size2
    return followed
