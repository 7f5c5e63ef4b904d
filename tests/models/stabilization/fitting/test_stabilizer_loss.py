import numpy as np
import pytest
import scipy.optimize
from stabilizer_cases import make_basis, make_face, make_track

from models.stabilization.fitting.loss import LossWeights, StabilizerLoss
from models.stabilization.fitting.track_batch import TrackBatch
from models.synthesis.motion_tracks import MotionTrack


def batch_of(truth, raw=None, size=100.0):
    return TrackBatch.of([MotionTrack("made", 25.0, truth, truth if raw is None else raw)])


def moving(frames=5, step=2.0):
    return make_face() + np.arange(frames)[:, None, None] * [step, 0.0]


def loss(batch, x, **weights):
    return StabilizerLoss(batch, LossWeights(**weights))(x)


def test_truth_that_moves_straight_costs_nothing_but_the_free_parameter():
    """q = 1/2 is both the midpoint and the optimum of lambda_3."""
    batch = batch_of(moving())
    assert loss(batch, batch.truth) == pytest.approx(0, abs=1e-9)


def test_euclid_by_hand():
    """An offset across the motion of 3 units, from the second frame of five: 4/5 * 68 * 9."""
    batch = batch_of(moving())
    x = batch.truth + [0.0, 3.0]
    assert loss(batch, x, smooth=0, delay=10) == pytest.approx(4 / 5 * 68 * 9)


def test_delay_by_hand():
    """One frame late: alpha is 1, apart from the term for still faces (|dp|^2 = 68 * 4)."""
    batch = batch_of(moving())
    late = np.concatenate([batch.truth[:, :1], batch.truth[:, :-1]], axis=1)
    alpha = 4 / (4 + 0.25)
    got = loss(batch, late, smooth=0, delay=7) - loss(batch, late, smooth=0, delay=0)
    assert got == pytest.approx(7 * alpha**2)


def test_a_still_face_has_no_delay_to_speak_of():
    rng = np.random.default_rng(0)
    still = make_face() + rng.normal(0, 1e-4, (30, 68, 2))
    batch = batch_of(still)
    x = batch.truth + rng.normal(0, 1, still.shape)
    assert loss(batch, x, delay=10) - loss(batch, x, delay=0) < 0.01


def test_roughness_by_hand():
    """One landmark jumps by 4 at t = 3 of five: second differences 4, -8, 4, of three frames."""
    batch = batch_of(np.repeat(make_face()[None], 5, 0))
    x = batch.truth.copy()
    x[0, 2, 10, 0] += 4.0
    euclid = 16 / 5
    expected = ((4 / 2) ** 2 + (8 / 2) ** 2 + (4 / 2) ** 2) / 3
    got = loss(batch, x, delay=0, midpoint=float("inf"))
    assert got == pytest.approx(euclid + expected)


def test_the_free_parameter_is_the_best_one():
    rng = np.random.default_rng(1)
    batch = batch_of(make_track(4).truth_px)
    x = batch.truth + rng.normal(0, 2, batch.truth.shape)
    own = 0.0
    for t in (1, 2):
        before, now, after = (x[0, i].ravel() for i in (t - 1, t, t + 1))

        def cost(q, before=before, now=now, after=after):
            return ((now - q * before - (1 - q) * after) ** 2).sum() + 0.7 * (q - 0.5) ** 2

        own += scipy.optimize.minimize_scalar(cost).fun / 2
    got = loss(batch, x, delay=0, smooth=1, midpoint=0.7) - loss(batch, x, delay=0, smooth=0)
    assert got == pytest.approx(own)


def test_padding_does_not_count():
    short, long = make_track(20, seed=1), make_track(31, seed=2)
    losses, frames = [], np.array([20, 31])
    for track in (short, long):
        batch = TrackBatch.of([track])
        losses.append(loss(batch, batch.raw, delay=0, smooth=0))
    both = TrackBatch.of([short, long])
    expected = np.array(losses) @ frames / frames.sum()
    assert loss(both, both.raw, delay=0, smooth=0) == pytest.approx(expected)


def test_it_is_the_same_in_any_orthonormal_basis():
    batch = TrackBatch.of([make_track(20)])
    basis = make_basis()
    rotated = StabilizerLoss(batch, basis=basis)
    x = batch.raw.reshape(1, 20, 136) @ basis
    assert rotated(x) == pytest.approx(StabilizerLoss(batch)(batch.raw))


@pytest.mark.parametrize("midpoint", [0.7, float("inf")])
def test_the_gradient_is_that_of_the_loss(midpoint):
    """Along a random direction, against a central difference; padding has none."""
    batch = TrackBatch.of([make_track(9, seed=1), make_track(12, seed=2)])
    loss_of = StabilizerLoss(batch, LossWeights(midpoint=midpoint))
    rng = np.random.default_rng(0)
    x = batch.raw.reshape(2, 12, 136)
    direction, gradient = rng.normal(size=x.shape), np.full(x.shape, 9.0)
    assert loss_of(x, gradient) == loss_of(x)
    step = 1e-5
    slope = (loss_of(x + step * direction) - loss_of(x - step * direction)) / (2 * step)
    assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-6)
    assert not gradient[0, 9:].any()


@pytest.mark.parametrize(
    ("evenness", "counts"), [(0.0, (1, 1)), (0.5, (5 / 3, 5 / 6)), (1.0, (2.5, 0.625))]
)
def test_evenness_by_hand(evenness, counts):
    """Two tracks of one length, with errors of 1 and 2: squares 1 and 4 add up to 5."""
    still = np.repeat(make_face()[None], 6, 0)
    made = [MotionTrack("made", 25.0, still, still + [off, 0.0]) for off in (1.0, 2.0)]
    batch = TrackBatch.of(made)
    for track, count in enumerate(counts):
        x = batch.truth.copy()
        x[track, 1:] += [0.0, 3.0]
        one, even = (loss(batch, x, smooth=0, delay=0, evenness=e) for e in (0.0, evenness))
        assert even == pytest.approx(count * one)
