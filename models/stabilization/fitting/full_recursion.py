"""The recursion of `bayesian_filter` with the whole covariance of Eq. 9, and its gradient.

For comparison with the diagonal reading: a step factors K matrices of 136 x 136 a track, which
costs a hundred times as much, so the gradient is left to automatic differentiation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.stabilization.filter_parameters import FilterParameters
from models.stabilization.fitting.filter_gradient import FilterGradient, filter_inputs
from models.stabilization.fitting.track_batch import TrackBatch

Array = npt.NDArray[np.float64]


class FullRecursion:
    """The filter with a full covariance over a batch; as `FilterRecursion`."""

    def __init__(self, batch: TrackBatch, like: FilterParameters) -> None:
        inputs = filter_inputs(batch.raw, like)
        # (B, T, 136), (B, T), (B, T)
        self._z, self._size2, self._noise2 = (torch.from_numpy(values) for values in inputs)
        self._theta: list[Tensor] = []
        self._x = self._z

    def run(self, theta: FilterParameters) -> Array:
        """(B, T, 136): stabilized modes."""
        values = (np.array(theta.gamma), np.log(theta.weights), theta.prior, theta.noise)
        self._theta = [torch.from_numpy(value.copy()).requires_grad_() for value in values]
        gamma, log_weights, prior, noise = self._theta
        mean, past = self._z[:, 0], gamma
        spread = torch.zeros(*mean.shape, mean.shape[1], dtype=torch.float64)
        steady = [mean]
        for t in range(1, self._z.shape[1]):
            e = self._z[:, t] - mean
            c, r = self._size2[:, t, None], self._noise2[:, t, None]
            far, solved = [], []
            for component in prior:
                total = spread + torch.diag_embed(c * component + r * noise)
                factor = torch.linalg.cholesky(total)
                solved.append(torch.cholesky_solve(e[..., None], factor)[..., 0])
                log = factor.diagonal(dim1=1, dim2=2).log().sum(-1)
                far.append((e * solved[-1]).sum(-1) + 2 * log)
            shares = torch.softmax(log_weights - 0.5 * torch.stack(far, -1), -1)
            mixed = (shares[..., None] * torch.stack(solved, 1)).sum(1)
            moved = e - r * noise * mixed
            steady.append(mean + moved)
            newest = 1 / (1 + past)
            outer = newest * moved[:, :, None] * moved[:, None]
            spread = (1 - newest) * (spread + outer)
            mean = mean + newest * moved
            past = gamma * (1 + past)
        self._x = torch.stack(steady, 1)
        return self._x.detach().numpy()

    def pull_back(self, theta: FilterParameters, gradient: Array) -> FilterGradient:
        """dL/dTheta from dL/dx (B, T, 136), at the parameters of the last `run`."""
        of_gamma, *rest = torch.autograd.grad(
            self._x, self._theta, grad_outputs=torch.from_numpy(gradient)
        )
        log_weights, prior, noise = (value.numpy() for value in rest)
        return FilterGradient(float(of_gamma), log_weights, prior, noise)
