"""Training of the stabilization model: by gradient through its recursion, and as in the paper.

The recursion of `bayesian_filter` is written once more, in torch, in the basis of motion,
for all tracks at once; a test holds the two together. Variances are trained by their
logarithms, gamma by its logit, the shares of the mixture by a softmax.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch
from torch import Tensor

from models.stabilization.bayesian_filter import (
    BayesianFilter,
    FilterParameters,
    initial_parameters,
    motion_modes,
    running_size2,
)
from models.stabilization.loss import LossWeights, StabilizerLoss
from models.stabilization.track_batch import TrackBatch

__all__ = ["FitResult", "fit_by_gradient", "fit_by_nelder_mead", "run_filter", "start_from"]

#: Variances never fall below this (units of a face of size 100).
_LEAST_VARIANCE: Final = 1e-4
_LEARNING_RATE: Final = 0.25

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a fit came to: parameters, their loss, evaluations of the loss, seconds."""

    parameters: FilterParameters
    loss: float
    evaluations: int
    seconds: float


def start_from(batch: TrackBatch, components: int = 2) -> FilterParameters:
    """The parameters to start from, measured on the tracks.

    The paper starts every mode's noise at one rho, the mean variance of z - p. Errors that
    jitter are shared by many landmarks (the box moves them all), so modes differ a
    thousandfold; each starts at its own, from the second differences of z - p.
    """
    changes = batch.true_changes()
    modes = motion_modes(changes)
    bend = np.diff(batch.raw - batch.truth, n=2, axis=1)[batch.frames[:, 2:]]
    jitter = ((bend.reshape(len(bend), -1) @ modes) ** 2).mean(0) / 6
    motion = ((changes @ modes) ** 2).mean(0)
    return initial_parameters(modes, jitter + 10 * _LEAST_VARIANCE, motion, components)


def run_filter(batch: TrackBatch, parameters: FilterParameters) -> Array:
    """(B, T, 68, 2): the tracks through the filter."""
    steady = BayesianFilter(parameters, len(batch))
    frames = np.swapaxes(batch.raw, 0, 1)
    return np.stack([steady.step(np.ascontiguousarray(frame)) for frame in frames], axis=1)


def fit_by_gradient(
    batch: TrackBatch,
    start: FilterParameters,
    weights: LossWeights = LossWeights(),  # noqa: B008  frozen
    *,
    steps: int = 150,
    report: Callable[[int, float], None] | None = None,
) -> FitResult:
    """Adam through the recursion, on all tracks at once; no randomness.

    Args:
        batch: the training tracks.
        start: see `start_from`.
        weights: the lambdas.
        steps: gradient steps; the learning rate falls to 0 along half a cosine.
        report: is told the number of each step and its loss.
    """
    began = time.perf_counter()
    dtype = torch.float32
    loss_of = StabilizerLoss(batch, weights, dtype)
    basis = torch.from_numpy(start.eigenvectors).to(dtype)
    modes = torch.from_numpy(batch.raw).to(dtype).flatten(2) @ basis  # (B, T, 136)
    loss_of.rotate(basis)
    size2 = torch.from_numpy(running_size2(batch.raw)).to(dtype)
    packed = torch.from_numpy(_pack(start)).to(dtype).requires_grad_()
    optimizer = torch.optim.Adam([packed], lr=_LEARNING_RATE, betas=(0.9, 0.99))
    components, best, best_loss = len(start.weights), packed.detach().clone(), float("inf")
    for step in range(steps + 1):
        optimizer.param_groups[0]["lr"] = (
            _LEARNING_RATE * 0.5 * (1 + float(np.cos(np.pi * step / steps)))
        )
        with torch.set_grad_enabled(step < steps):
            loss = loss_of(_recursion(modes, size2, packed, components))
        value = float(loss.detach())
        if value < best_loss:
            best, best_loss = packed.detach().clone(), value
        if report is not None:
            report(step, value)
        if step < steps:
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_([packed], 1e6)
            optimizer.step()
    parameters = _unpack(best.double().numpy(), start)
    exact = float(StabilizerLoss(batch, weights)(run_filter(batch, parameters)))
    return FitResult(parameters, exact, steps + 1, time.perf_counter() - began)


def fit_by_nelder_mead(
    batch: TrackBatch,
    start: FilterParameters,
    weights: LossWeights = LossWeights(),  # noqa: B008  frozen
    *,
    seconds: float,
) -> FitResult:
    """The simplex method, as the paper does it (its reference Lagarias et al., 1998).

    Ends after `seconds`; the same parameters, start and loss as `fit_by_gradient`.
    """
    began = time.perf_counter()
    loss_of = StabilizerLoss(batch, weights)
    best, best_loss, evaluations = _pack(start), float("inf"), 0

    def loss(packed: Array) -> float:
        nonlocal best, best_loss, evaluations
        if evaluations and time.perf_counter() - began > seconds:
            raise TimeoutError
        evaluations += 1
        value = float(loss_of(run_filter(batch, _unpack(packed, start))))
        if value < best_loss:
            best, best_loss = packed.copy(), value
        return value

    try:
        options: Any = {"adaptive": True, "maxfev": 10**9, "maxiter": 10**9}
        scipy.optimize.minimize(loss, best.copy(), method="Nelder-Mead", options=options)
    except TimeoutError:
        pass
    return FitResult(_unpack(best, start), best_loss, evaluations, time.perf_counter() - began)


def _recursion(modes: Tensor, size2: Tensor, packed: Tensor, components: int) -> Tensor:
    """The filter on (B, T, 136) modes; size2 (B, T) is each frame's squared size over 100^2."""
    gamma, log_weights, prior, noise = _parts(packed, components)
    mean = modes[:, 0]
    spread = torch.zeros_like(mean)
    past = gamma
    steady = [mean]
    both = prior + noise
    scaled = size2[..., None, None]
    for t in range(1, modes.shape[1]):
        innovation = modes[:, t] - mean
        total = torch.addcmul(spread[:, None], scaled[:, t], both)  # (B, K, 136)
        inverse = total.reciprocal()
        far = (inverse @ innovation.square()[..., None])[..., 0] + total.log().sum(-1)
        shares = torch.softmax(log_weights - 0.5 * far, -1)
        mixed = (shares[:, None] @ inverse)[:, 0]  # (B, 136)
        moved = innovation - mixed * innovation * noise * size2[:, t, None]
        steady.append(mean + moved)
        newest = 1 / (1 + past)
        step = newest * moved
        spread = (1 - newest) * torch.addcmul(spread, step, moved)
        mean = mean + step
        past = gamma * (1 + past)
    return torch.stack(steady, 1)


def _parts(packed: Tensor, components: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    gamma = torch.sigmoid(packed[0])
    log_weights = torch.log_softmax(packed[1 : 1 + components], 0)
    variances = packed[1 + components :].reshape(components + 1, -1).exp() + _LEAST_VARIANCE
    return gamma, log_weights, variances[:-1], variances[-1]


def _pack(parameters: FilterParameters) -> Array:
    gamma = np.log(parameters.gamma / (1 - parameters.gamma))
    variances = np.concatenate([parameters.prior, parameters.noise[None]]) - _LEAST_VARIANCE
    logs = np.log(np.maximum(variances, _LEAST_VARIANCE))
    return np.concatenate([[gamma], np.log(parameters.weights), logs.ravel()])


def _unpack(packed: Array, like: FilterParameters) -> FilterParameters:
    components = len(like.weights)
    parts = _parts(torch.from_numpy(packed), components)
    gamma, log_weights, prior, noise = (part.numpy() for part in parts)
    shares = np.maximum(np.exp(log_weights), 1e-12)
    return FilterParameters(
        like.eigenvectors, float(gamma), shares / shares.sum(), prior.copy(), noise.copy()
    )
