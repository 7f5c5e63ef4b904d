import dataclasses

import numpy as np
import pytest
from stabilizer_cases import make_track

from models.stabilization.fitting.filter_fitting import (
    _RECURSIONS,
    _pack,
    _pull_back,
    _unpack,
    fit_by_gradient,
    fit_by_nelder_mead,
    run_filter,
    start_from,
)
from models.stabilization.fitting.loss import StabilizerLoss
from models.stabilization.fitting.track_batch import TrackBatch


@pytest.fixture(scope="module")
def batch() -> TrackBatch:
    return TrackBatch.of(
        [make_track(24 - 4 * (i == 1), size=50 + 30 * i, seed=i) for i in range(4)]
    )


@pytest.mark.parametrize("components", [1, 2, 3])
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_recursion_is_the_filter(batch, components, covariance):
    theta = start_from(batch, components)
    recursion = _RECURSIONS[covariance](batch, theta)
    got = (recursion.run(theta) @ theta.eigenvectors.T).reshape(batch.raw.shape)
    expected = run_filter(batch, theta, covariance)
    for track, length in enumerate(batch.lengths):
        assert got[track, :length] == pytest.approx(expected[track, :length], abs=1e-8)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_gradient_is_that_of_the_loss(batch, covariance):
    """Of every kind of parameter, against central differences."""
    start = start_from(batch)
    loss_of = StabilizerLoss(batch, basis=start.eigenvectors)
    recursion = _RECURSIONS[covariance](batch, start)

    def loss(packed):
        return loss_of(recursion.run(_unpack(packed, start)))

    packed, gradient = _pack(start), np.empty((len(batch), 24, 136))
    theta = _unpack(packed, start)
    loss_of(recursion.run(theta), gradient)
    got = _pull_back(packed, theta, recursion.pull_back(theta, gradient))
    for number in (0, 1, 2, 3, 50, 3 + 136, 3 + 2 * 136 + 7):
        step = np.zeros_like(packed)
        step[number] = 1e-5
        slope = (loss(packed + step) - loss(packed - step)) / 2e-5
        assert got[number] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_gradient_beats_the_start_and_nelder_mead(batch):
    start, loss_of = start_from(batch), StabilizerLoss(batch)
    gradient = fit_by_gradient(batch, start, steps=15)
    simplex = fit_by_nelder_mead(batch, start, seconds=0.3)
    first = loss_of(run_filter(batch, start))
    assert gradient.loss < 0.9 * first
    assert gradient.loss < simplex.loss <= first + 1e-9
    assert gradient.loss == pytest.approx(loss_of(run_filter(batch, gradient.parameters)))
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
