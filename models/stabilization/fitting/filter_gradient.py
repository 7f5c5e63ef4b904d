"""The recursion of `bayesian_filter` on many tracks at once, and its gradient, written out.

    raw z ---> modes ---> step, step, step, ... ---> x          forward, keeps what it passed
    gradient of Theta <--- step, step, step <--- dL/dx          backward through the same steps

A step, with c a frame's squared size (of 100), r that times the level of the track's noise, v
what x moves from the mean m, and a the share of the newest x:

    e = z - m            T_k = S + c prior_k + r noise      M = sum_k w_k / T_k
    v = e - r noise M e  x = m + v
    m' = m + a v         S' = (1 - a)(S + a v^2)

Written out it costs a fifth of what automatic differentiation does; a test holds the steps to
the filter, and the gradient to differences of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.stabilization.bayesian_filter import FilterParameters, running_size2
from models.stabilization.fitting.track_batch import TrackBatch
from models.stabilization.noise_level import running_noise

Array = npt.NDArray[np.float64]


@dataclass(slots=True, eq=False, repr=False)
class FilterGradient:
    """dL/dTheta: gamma (), log_weights (K,), prior (K, 136), noise (136,)."""

    gamma: float
    log_weights: Array
    prior: Array
    noise: Array


def filter_inputs(raw: Array, like: FilterParameters) -> tuple[Array, Array, Array]:
    """Modes (B, T, 136) of raw landmarks; c and r, (B, T) each."""
    modes = raw.reshape(*raw.shape[:2], -1) @ like.eigenvectors
    size2 = running_size2(raw)
    return modes, size2, size2 * running_noise(modes, size2, like.jitter)


class FilterRecursion:
    """The filter with a diagonal covariance over a batch, to be run with many parameters.

    Longer tracks come first inside, so that a step works on the tracks that still go on.

    Args:
        batch: B tracks of up to T frames.
        like: all parameters to come have its K, its V of Eq. 10 and its jitter.
    """

    def __init__(self, batch: TrackBatch, like: FilterParameters) -> None:
        self._order = np.argsort(-batch.lengths, kind="stable")
        inputs = filter_inputs(batch.raw[self._order], like)
        # (T, B, 136), (T, B), (T, B)
        self._z, self._size2, self._noise2 = (
            np.ascontiguousarray(np.swapaxes(values, 0, 1)) for values in inputs
        )
        frames, tracks = self._size2.shape
        lengths = batch.lengths[self._order]
        self._going = [int((lengths > t).sum()) for t in range(frames)]
        shape = self._z.shape
        self._x = self._z.copy()
        self._innovation, self._moved, self._mixed = (np.zeros(shape) for _ in range(3))
        self._spread = np.zeros((frames + 1, *shape[1:]))
        components = len(like.weights)
        self._inverse = np.zeros((frames, tracks, components, shape[2]))
        self._shares = np.zeros((frames, tracks, components))
        self._newest = np.zeros(frames)

    def run(self, theta: FilterParameters) -> Array:
        """(B, T, 136): stabilized modes; valid until the next call."""
        mean = self._z[0].copy()
        log_weights = np.log(theta.weights)
        past = theta.gamma
        total = np.empty(self._inverse.shape[1:])
        self._spread[1] = 0.0
        for t in range(1, len(self._z)):
            n = self._going[t]
            c, r = self._size2[t, :n, None], self._noise2[t, :n, None]
            e, v, mixed = (a[t, :n] for a in (self._innovation, self._moved, self._mixed))
            inverse, spread, m, s = self._inverse[t, :n], self._spread[t, :n], mean[:n], total[:n]
            np.subtract(self._z[t, :n], m, out=e)
            np.multiply(c[:, None], theta.prior, out=s)
            s += (spread + r * theta.noise)[:, None]
            np.divide(1.0, s, out=inverse)
            np.log(s, out=s)
            far = np.matmul(inverse, (e * e)[:, :, None])[..., 0] + np.add.reduce(s, axis=2)
            log_shares = log_weights - 0.5 * far
            log_shares -= log_shares.max(1, keepdims=True)
            shares = np.exp(log_shares)
            shares /= shares.sum(1, keepdims=True)
            self._shares[t, :n] = shares
            np.matmul(shares[:, None], inverse, out=mixed[:, None])
            np.multiply(mixed, e, out=v)
            v *= theta.noise
            v *= -r
            v += e
            np.add(m, v, out=self._x[t, :n])
            a = 1 / (1 + past)
            self._newest[t] = a
            step = a * v
            m += step
            step *= v
            after = self._spread[t + 1, :n]
            np.add(spread, step, out=after)
            after *= 1 - a
            past = theta.gamma * (1 + past)
        out = np.empty_like(self._x)
        out[:, self._order] = self._x
        return np.swapaxes(out, 0, 1)

    def pull_back(self, theta: FilterParameters, gradient: Array) -> FilterGradient:
        """dL/dTheta from dL/dx (B, T, 136), at the parameters of the last `run`."""
        of_x = np.ascontiguousarray(np.swapaxes(gradient[self._order], 0, 1))
        tracks, components, modes = self._inverse.shape[1:]
        of_mean, of_spread = np.zeros((tracks, modes)), np.zeros((tracks, modes))
        of_prior, of_noise = np.zeros((components, modes)), np.zeros(modes)
        of_log_weights, of_newest = np.zeros(components), np.zeros(len(of_x))
        for t in range(len(of_x) - 1, 0, -1):
            n, a = self._going[t], self._newest[t]
            c, r = self._size2[t, :n], self._noise2[t, :n]
            w, inverse = self._shares[t, :n], self._inverse[t, :n]
            e, v, mixed = (x[t, :n] for x in (self._innovation, self._moved, self._mixed))
            gm, gs = of_mean[:n], of_spread[:n]
            squares = v * v
            of_newest[t] = np.vdot(gm, v)
            of_newest[t] += (1 - a) * np.vdot(gs, squares)
            of_newest[t] -= np.vdot(gs, self._spread[t + 1, :n]) / (1 - a)
            gs *= 1 - a
            gv = gs * v
            gv *= 2 * a
            gx = of_x[t, :n]
            gm += gx
            gv += gm
            gv -= (1 - a) * (gm - gx)
            # v = e - h, h = r noise mixed e
            common = r[:, None] * gv
            common *= e
            of_noise -= np.einsum("bd,bd->d", common, mixed)
            common *= theta.noise
            common *= -1.0  # dL/dmixed
            ge = gv - (r[:, None] * gv) * (theta.noise * mixed)
            of_shares = np.matmul(inverse, common[:, :, None])[..., 0]
            of_log = w * (of_shares - (w * of_shares).sum(1, keepdims=True))
            of_log_weights += of_log.sum(0)
            of_far = -0.5 * of_log
            np.multiply(e, e, out=squares)
            ge += 2 * e * np.matmul(of_far[:, None], inverse)[:, 0]
            of_inverse = w[:, :, None] * common[:, None]
            of_inverse += of_far[:, :, None] * squares[:, None]
            of_inverse *= inverse
            np.subtract(of_far[:, :, None], of_inverse, out=of_inverse)
            of_inverse *= inverse  # dL/dT
            of_spread_now = of_inverse.sum(1)
            gs += of_spread_now
            of_noise += np.dot(r, of_spread_now)
            of_prior += np.dot(c, of_inverse.reshape(n, -1)).reshape(components, modes)
            gm -= ge
        gamma = self._of_gamma(theta.gamma, of_newest)
        return FilterGradient(gamma, of_log_weights, of_prior, of_noise)

    def _of_gamma(self, gamma: float, of_newest: Array) -> float:
        """dL/dgamma from dL/da_t: a_t = 1 / (1 + W_t), W_1 = gamma, W_t = gamma (1 + W_{t-1})."""
        past, slope, total = gamma, 1.0, 0.0
        for t in range(1, len(of_newest)):
            total -= of_newest[t] * slope / (1 + past) ** 2
            past, slope = gamma * (1 + past), 1 + past + gamma * slope
        return float(total)


class FullRecursion:
    """`FilterRecursion` with the full covariance of Eq. 9, for comparison.

    A step factors K matrices of 136 x 136 a track, which costs a hundred times as much, so the
    gradient is left to automatic differentiation.
    """

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
