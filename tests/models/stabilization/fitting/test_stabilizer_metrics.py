import numpy as np
import pytest
from stabilizer_cases import make_face, make_track

from models.stabilization.fitting.metrics import score_tracks, tuning_cost
from models.stabilization.fitting.track_batch import TrackBatch
from models.synthesis.motion_tracks import MotionTrack


def test_scores_by_hand():
    """One landmark of 68 is off by 3 on one of four frames."""
    truth = np.repeat(make_face()[None], 4, 0)
    batch = TrackBatch.of([MotionTrack("made", 25.0, truth, truth)])
    eyes = np.linalg.norm(truth[0, 36] - truth[0, 45])
    x = batch.truth.copy()
    x[0, 2, 7] += [3.0, 0.0]
    scores = score_tracks(batch, x)
    assert scores.nrmse_percent == pytest.approx(100 * 3 / 68 / 4 / eyes)
    assert scores.stability_percent == pytest.approx(100 * 6 / 68 / 3 / eyes)
    assert scores.jitter_percent == pytest.approx(100 * np.sqrt((36 + 9) / 68 / 2) / eyes)
    assert scores.lag_frames == 0


def test_tuning_cost_by_hand():
    """Of two tracks, one gets worse: their mean and its standard error add up to that one."""
    truth = np.repeat(make_face()[None], 4, 0)
    batch = TrackBatch.of([MotionTrack("made", 25.0, truth, truth)] * 2)
    eyes = np.linalg.norm(truth[0, 36] - truth[0, 45])
    x = batch.truth.copy()
    x[0, 2, 7] += [3.0, 0.0]
    stability, worse = 100 * 6 / 68 / 3 / eyes / 2, 100 * 3 / 68 / 4 / eyes
    assert tuning_cost(batch)(x) == pytest.approx(stability + 100 * worse)


def test_where_nrmse_falls_tuning_costs_the_stability():
    batch = TrackBatch.of([make_track(30, seed=i) for i in range(3)])
    cost_of = tuning_cost(batch)
    for share in (0.0, 0.5, 1.0):
        x = batch.raw + share * (batch.truth - batch.raw)
        assert cost_of(x) == pytest.approx(score_tracks(batch, x).stability_percent)


def test_what_is_won_on_noisy_tracks_does_not_excuse_harm_to_quiet_ones():
    batch = TrackBatch.of([make_track(30, noise=noise, seed=1) for noise in (0.2, 0.3, 3.0, 4.0)])
    x = batch.raw.copy()
    x[2:] = (batch.raw + batch.truth)[2:] / 2
    x[:2] += 0.2 * (batch.raw - batch.truth)[:2]
    scores, raw = score_tracks(batch, x), score_tracks(batch, batch.raw)
    assert scores.nrmse_percent < 0.8 * raw.nrmse_percent
    assert tuning_cost(batch)(x) > 2 * scores.stability_percent


def test_tuning_sees_motion_that_a_constant_error_hides():
    """Perpendicular to a large constant error, an added one hardly shows: NRMSE even falls."""
    track = make_track(30, noise=0.0)
    raw = track.truth_px + [0.0, 20.0]
    wave = np.sin(np.arange(30))[:, None, None] * [0.3, 0.0] - [0.0, 0.02]
    batch = TrackBatch.of([MotionTrack("made", 25.0, track.truth_px, raw)] * 2)
    x = TrackBatch.of([MotionTrack("made", 25.0, track.truth_px, raw + wave)] * 2).raw
    assert score_tracks(batch, x).nrmse_percent < score_tracks(batch, batch.raw).nrmse_percent
    assert tuning_cost(batch)(x) > 2 * score_tracks(batch, x).stability_percent


def test_accuracy_that_only_noisy_tracks_gain_does_not_count():
    """Errors of 5 +- 1 and 5 +- 4; the first become 6, the second 1: as far from their mean."""
    still = np.repeat(make_face()[None], 20, 0)
    sign = np.where(np.arange(20) % 2, 1.0, -1.0)[:, None, None]
    swing = [1.0] * 4 + [4.0] * 4
    raw = [still + [1.0, 0.0] * (5 + s * sign) for s in swing]
    batch = TrackBatch.of([MotionTrack("made", 25.0, still, r) for r in raw])
    x = batch.truth + [1.0, 0.0] * np.where(np.array(swing) == 1, 6.0, 1.0)[:, None, None, None]
    assert score_tracks(batch, x).stability_percent == 0
    assert score_tracks(batch, x).nrmse_percent < score_tracks(batch, batch.raw).nrmse_percent - 1
    assert tuning_cost(batch)(x) > 100


@pytest.mark.parametrize("late", [-0.5, 0.25, 1.0])
def test_a_lag_is_measured(late):
    t = np.arange(80)
    truth, x = (
        make_face() + 9 * np.sin(2 * np.pi * (t - shift) / 40)[:, None, None]
        for shift in (0.0, late)
    )
    batch = TrackBatch.of([MotionTrack("made", 25.0, truth, x)])
    assert score_tracks(batch, batch.raw).lag_frames == pytest.approx(late, abs=0.02)


def test_padding_does_not_count():
    short, long = make_track(10, seed=1), make_track(25, seed=2)
    both = TrackBatch.of([short, long])
    alone = [TrackBatch.of([track]) for track in (short, long)]
    expected = np.mean([score_tracks(b, b.raw).stability_percent for b in alone])
    assert score_tracks(both, both.raw).stability_percent == pytest.approx(expected)


def test_without_bias_only_the_mean_error_goes():
    track = make_track(30)
    biased = MotionTrack("made", 25.0, track.truth_px, track.raw_px + 5.0)
    plain, moved = (TrackBatch.of([t]).without_bias() for t in (track, biased))
    assert moved.raw - moved.truth == pytest.approx(plain.raw - plain.truth)
    assert (moved.raw - moved.truth).mean(1) == pytest.approx(0, abs=1e-9)


def test_a_batch_is_in_units_of_its_faces():
    small, large = make_track(12, size=40.0), make_track(12, size=400.0)
    batch = TrackBatch.of([small, large])
    assert batch.raw[0] == pytest.approx(batch.raw[1])


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"got lengths \[\]"):
        TrackBatch.of([])
