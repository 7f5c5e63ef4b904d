"""Training of the stabilization model: by gradient through its recursion, and as in the paper.

Variances are trained by their logarithms, gamma by its logit, the shares of the mixture by a
softmax.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch

from models.stabilization.bayesian_filter import (
    BayesianFilter,
    Covariance,
    FilterParameters,
    running_size2,
)
from models.stabilization.fitting.filter_gradient import (
    FilterGradient,
    FilterRecursion,
    FullRecursion,
)
from models.stabilization.fitting.loss import LossWeights, StabilizerLoss
from models.stabilization.fitting.track_batch import TrackBatch
from models.stabilization.noise_level import centred_jitter
from schemas.landmarks import LANDMARK_COUNT

#: Variances never fall below this (units of a face of size 100).
_MIN_VARIANCE: Final = 1e-4
_LEARNING_RATE: Final = 0.5
#: In the others, jitter is small relative to motion, so motion would count as noise.
_NOISY_MODES: Final = 68
_RECURSIONS: Final[dict[Covariance, type[FilterRecursion | FullRecursion]]] = {
    "diagonal": FilterRecursion,
    "full": FullRecursion,
}

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FitResult:
    """Result of a fit: parameters, their loss, evaluations of the loss, processor seconds."""

    parameters: FilterParameters
    loss: float
    evaluations: int
    seconds: float


def start_from(
    batch: TrackBatch, components: int = 2, *, follow_noise: bool = True
) -> FilterParameters:
    """The parameters to start from, measured on the tracks.

    The paper starts every mode's noise at one rho, the mean variance of z - p. Jitter is
    correlated between landmarks (the box moves them all), so modes differ a thousandfold; each
    starts at its own, from the second differences of z - p. A track's noise is compared with
    those of the modes that move most.
    """
    changes = np.diff(batch.truth, axis=1)[batch.frames[:, 1:]].reshape(-1, 2 * LANDMARK_COUNT)
    modes = motion_modes(changes)
    bend = np.diff(batch.raw - batch.truth, n=2, axis=1)[batch.frames[:, 2:]]
    jitter = ((bend.reshape(len(bend), -1) @ modes) ** 2).mean(0) / 6
    motion = ((changes @ modes) ** 2).mean(0)
    start = initial_parameters(modes, jitter + 10 * _MIN_VARIANCE, motion, components)
    if not follow_noise:
        return start
    raw = batch.raw.reshape(*batch.raw.shape[:2], -1) @ modes
    size2 = running_size2(batch.raw)
    unit = centred_jitter(raw, size2, batch.frames, start.noise[:_NOISY_MODES])
    return dataclasses.replace(start, jitter=unit)


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


def run_filter(
    batch: TrackBatch, parameters: FilterParameters, covariance: Covariance = "diagonal"
) -> Array:
    """(B, T, 68, 2): the tracks through the filter."""
    steady = BayesianFilter(parameters, len(batch), covariance)
    frames = np.swapaxes(batch.raw, 0, 1)
    return np.stack([steady.step(np.ascontiguousarray(frame)) for frame in frames], axis=1)


def fit_by_gradient(
    batch: TrackBatch,
    start: FilterParameters,
    weights: LossWeights = LossWeights(),  # noqa: B008  frozen
    *,
    steps: int = 100,
    covariance: Covariance = "diagonal",
    report: Callable[[int, float], None] | None = None,
) -> FitResult:
    """Adam, with the gradient through the recursion over all tracks at once; no randomness.

    Args:
        batch: the training tracks.
        start: see `start_from`.
        weights: the lambdas.
        steps: gradient steps; the learning rate falls to 0 along half a cosine.
        covariance: the reading of Eq. 9; `full` costs a hundred times as much.
        report: called with the number of each step and its loss.
    """
    began = time.process_time()
    loss_of = StabilizerLoss(batch, weights, start.eigenvectors)
    recursion = _RECURSIONS[covariance](batch, start)
    gradient = np.empty((*batch.truth.shape[:2], len(start.eigenvectors)))
    packed = torch.from_numpy(_pack(start))
    optimizer = torch.optim.Adam([packed], lr=_LEARNING_RATE, betas=(0.9, 0.99))
    best, best_loss = packed.numpy().copy(), float("inf")
    for step in range(steps + 1):
        theta = _unpack(packed.numpy(), start)
        loss = loss_of(recursion.run(theta), gradient)
        if loss < best_loss:
            best, best_loss = packed.numpy().copy(), loss
        if report is not None:
            report(step, loss)
        if step < steps:
            of_theta = recursion.pull_back(theta, gradient)
            packed.grad = torch.from_numpy(_pull_back(packed.numpy(), theta, of_theta))
            share_done = step / steps
            optimizer.param_groups[0]["lr"] = _LEARNING_RATE * (1 + np.cos(np.pi * share_done)) / 2
            optimizer.step()
    return FitResult(_unpack(best, start), best_loss, steps + 1, time.process_time() - began)


def fit_by_nelder_mead(
    batch: TrackBatch,
    start: FilterParameters,
    weights: LossWeights = LossWeights(),  # noqa: B008  frozen
    *,
    seconds: float,
) -> FitResult:
    """The simplex method, as the paper does it (its reference Lagarias et al., 1998).

    Ends after so many seconds of processor time; the same parameters, start, recursion and
    loss as `fit_by_gradient`.
    """
    began = time.process_time()
    loss_of = StabilizerLoss(batch, weights, start.eigenvectors)
    recursion = FilterRecursion(batch, start)
    best, best_loss, evaluations = _pack(start), float("inf"), 0

    def loss(packed: Array) -> float:
        nonlocal best, best_loss, evaluations
        if evaluations and time.process_time() - began > seconds:
            raise TimeoutError
        evaluations += 1
        value = loss_of(recursion.run(_unpack(packed, start)))
        if value < best_loss:
            best, best_loss = packed.copy(), value
        return value

    try:
        options: Any = {"adaptive": True, "maxfev": 10**9, "maxiter": 10**9}
        scipy.optimize.minimize(loss, best.copy(), method="Nelder-Mead", options=options)
    except TimeoutError:
        pass
    return FitResult(_unpack(best, start), best_loss, evaluations, time.process_time() - began)


def _pack(parameters: FilterParameters) -> Array:
    """Theta as unconstrained numbers: a logit, logarithms."""
    gamma = np.log(parameters.gamma / (1 - parameters.gamma))
    variances = np.concatenate([parameters.prior, parameters.noise[None]]) - _MIN_VARIANCE
    logs = np.log(np.maximum(variances, _MIN_VARIANCE))
    return np.concatenate([[gamma], np.log(parameters.weights), logs.ravel()])


def _unpack(packed: Array, like: FilterParameters) -> FilterParameters:
    components = len(like.weights)
    gamma = 1 / (1 + np.exp(-packed[0]))
    shares = np.exp(packed[1 : 1 + components] - packed[1 : 1 + components].max())
    shares = np.maximum(shares / shares.sum(), 1e-12)
    variances = np.exp(packed[1 + components :].reshape(components + 1, -1)) + _MIN_VARIANCE
    return FilterParameters(
        like.eigenvectors,
        float(gamma),
        shares / shares.sum(),
        variances[:-1],
        variances[-1],
        like.jitter,
    )


def _pull_back(packed: Array, theta: FilterParameters, gradient: FilterGradient) -> Array:
    """The gradient of what `_pack` made, from that of Theta."""
    of_logit = gradient.gamma * theta.gamma * (1 - theta.gamma)
    of_logs = gradient.log_weights - theta.weights * gradient.log_weights.sum()
    variances = np.concatenate([theta.prior, theta.noise[None]]) - _MIN_VARIANCE
    of_variances = np.concatenate([gradient.prior, gradient.noise[None]]) * variances
    return np.concatenate([[of_logit], of_logs, of_variances.ravel()])
