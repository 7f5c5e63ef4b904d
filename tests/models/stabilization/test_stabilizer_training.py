import dataclasses

import numpy as np
import pytest
import torch
from stabilizer_cases import make_track

from models.stabilization import training
from models.stabilization.bayesian_filter import running_size2
from models.stabilization.loss import StabilizerLoss
from models.stabilization.track_batch import TrackBatch
from models.stabilization.training import (
    fit_by_gradient,
    fit_by_nelder_mead,
    run_filter,
    start_from,
)


@pytest.fixture(scope="module")
def batch() -> TrackBatch:
    return TrackBatch.of([make_track(24, size=50 + 30 * i, seed=i) for i in range(4)])


@pytest.mark.parametrize("components", [1, 2, 3])
def test_the_recursion_in_torch_is_the_filter(batch, components):
    theta = start_from(batch, components)
    modes = torch.from_numpy(batch.raw).flatten(2) @ torch.from_numpy(theta.eigenvectors)
    packed = torch.from_numpy(training._pack(theta))
    size2 = torch.from_numpy(running_size2(batch.raw))
    steady = training._recursion(modes, size2, packed, components).numpy()
    got = (steady @ theta.eigenvectors.T).reshape(batch.raw.shape)
    assert got == pytest.approx(run_filter(batch, theta), abs=1e-8)


def test_gradient_beats_the_start_and_nelder_mead(batch):
    start, loss_of = start_from(batch), StabilizerLoss(batch)
    gradient = fit_by_gradient(batch, start, steps=15)
    simplex = fit_by_nelder_mead(batch, start, seconds=0.3)
    first = float(loss_of(run_filter(batch, start)))
    assert gradient.loss < 0.9 * first
    assert gradient.loss < simplex.loss <= first
    assert gradient.loss == pytest.approx(float(loss_of(run_filter(batch, gradient.parameters))))
    assert simplex.evaluations > 1


def test_the_same_again_gives_the_same_parameters(batch):
    one, two = (fit_by_gradient(batch, start_from(batch), steps=4).parameters for _ in range(2))
    for field in dataclasses.fields(one):
        assert np.array_equal(getattr(one, field.name), getattr(two, field.name))


def test_a_filter_that_is_fitted_to_noise_takes_it_away(batch):
    steady = run_filter(batch, fit_by_gradient(batch, start_from(batch), steps=15).parameters)

    def error(x):
        return float(((x - batch.truth) ** 2)[batch.frames].mean())

    assert error(steady) < 0.6 * error(batch.raw)
