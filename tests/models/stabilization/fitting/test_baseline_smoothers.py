import numpy as np
import pytest
from stabilizer_cases import make_face, make_track

from models.stabilization.fitting.baseline_smoothers import BASELINES, run_baseline, tune_baseline
from models.stabilization.fitting.loss import StabilizerLoss
from models.stabilization.fitting.track_batch import TrackBatch


def on_a_step(name, parameters, xs):
    """The smoothed x of a face at `xs`, one per frame."""
    frames = ((make_face() + [x, 0.0])[None] for x in xs)
    got = BASELINES[name].smooth(frames, np.array([0.04]), **parameters)
    return [float((g - make_face())[0, :, 0].mean()) for g in got]


def test_moving_average_by_hand():
    assert on_a_step("moving average", {"frames": 3}, [0, 3, 6, 9]) == pytest.approx([0, 1.5, 3, 6])


def test_first_order_by_hand():
    assert on_a_step("first order", {"share": 0.5}, [0, 8, 8]) == pytest.approx([0, 4, 6])


def test_second_order_by_hand():
    """Level 0, 4, then 4 + 2 ahead, halfway to 8: 7."""
    got = on_a_step("second order (Holt)", {"share": 0.5, "trend_share": 0.5}, [0, 8, 8])
    assert got == pytest.approx([0, 4, 7])


def test_constant_speed_learns_the_speed():
    got = on_a_step("constant-speed Kalman", {"ratio": 0.01}, 2.0 * np.arange(60))
    assert got[-1] == pytest.approx(118, abs=0.05)


def test_constant_speed_by_hand():
    """Covariance 1, 1 ahead is [[2, 1], [1, 1]] and the model's; no acceleration: gain 2/3."""
    got = on_a_step("constant-speed Kalman", {"ratio": 1e-12}, [0, 3])
    assert got == pytest.approx([0, 2])


def test_savitzky_golay_keeps_parabolas():
    xs = 0.1 * np.arange(20.0) ** 2
    assert on_a_step("Savitzky-Golay", {"frames": 7}, xs) == pytest.approx(xs)


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_tuning_is_not_worse_than_any_end_of_the_range(name):
    batch = TrackBatch.of([make_track(20, noise=2.0, seed=i) for i in range(2)])
    loss_of, kind = StabilizerLoss(batch), BASELINES[name]

    def loss(parameters):
        return loss_of(run_baseline(batch, kind, parameters))

    tuned = loss(tune_baseline(kind, batch, loss_of, grid=3))
    for end in (0, 1):
        assert tuned <= loss({p: limits[end] for p, limits in kind.ranges.items()}) + 1e-9


def test_what_is_best_between_the_grid_and_the_end_of_the_range_is_found():
    batch = TrackBatch.of([make_track(20, noise=2.0)])
    kind = BASELINES["first order"]
    best = run_baseline(batch, kind, {"share": 0.93})
    tuned = tune_baseline(kind, batch, lambda x: float(np.abs(x - best).mean()))
    assert tuned["share"] == pytest.approx(0.93, abs=0.005)
