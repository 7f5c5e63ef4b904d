"""Parameters of the Bayesian filter (`bayesian_filter`), and initial values for fitting them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.landmarks import LANDMARK_COUNT

Array = npt.NDArray[np.float64]

_MODES: Final = 2 * LANDMARK_COUNT


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


def initial_parameters(
    eigenvectors: Array, noise: Array, motion: Array, components: int = 2
) -> FilterParameters:
    """The start of a fit: Gamma_1 nearly 0, the last Gamma 10 times the noise and the motion.

    `noise` is Gamma_noise, `motion` the variance of the true change from frame to frame, (136,)
    each. Gamma_1 is 0.05 of the noise, not 0 as in the paper, because its logarithm is trained;
    further components lie between the first and the last.
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
