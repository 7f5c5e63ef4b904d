import pickle

import numpy as np
import pytest
from stabilizer_cases import make_face, make_smoother, make_track

from models.stabilization.fitting.metrics import score_tracks
from models.stabilization.fitting.track_batch import TrackBatch
from models.stabilization.mode_passes import smooth_modes, smooth_speeds
from models.stabilization.mode_smoother import ModeSmoother, SmootherParameters
from models.stabilization.stabilizers import stabilize_track
from models.synthesis.motion_tracks import MotionTrack


def smooth_bounded(track, seconds):
    return stabilize_track(ModeSmoother(make_smoother()), seconds, track)


def smooth_whole(track, seconds, parameters):
    """A whole track at once, with unbounded memory."""
    smoother = ModeSmoother(parameters, chunk=len(track) + 1, lookahead=0)
    return stabilize_track(smoother, seconds, track)


def posterior(z, steps, agility):
    """(6, 2) positions and speeds of one mode, by one linear system for all of them."""
    precision, target = np.zeros((12, 12)), np.zeros(12)
    precision[1, 1] = 1 / 2500
    for t, step in enumerate(steps):
        precision[2 * t, 2 * t] += 1.0
        target[2 * t] += z[t, 0]
        if t:
            model = agility[t, 0] * np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
            turn = np.hstack([np.array([[-1.0, -step], [0.0, -1.0]]), np.eye(2)])
            part = slice(2 * t - 2, 2 * t + 2)
            precision[part, part] += turn.T @ np.linalg.inv(model) @ turn
    return np.linalg.solve(precision, target).reshape(6, 2)


def test_both_passes_are_the_posterior_of_the_whole_model():
    rng = np.random.default_rng(0)
    steps = np.array([0.0, 0.04, 0.04, 0.08, 0.02, 0.04])
    z, agility = rng.normal(size=(6, 1)), rng.uniform(100, 9000, (6, 1))
    whole = posterior(z, steps, agility)
    positions, after = smooth_modes(z, steps, agility, None, 6)
    assert positions[:, 0] == pytest.approx(whole[:, 0])
    assert after.means[:, 0] == pytest.approx(whole[-1])
    whole = posterior(z, steps, np.full((6, 1), 900.0))
    speeds, after = smooth_speeds(z, steps, 900.0, None, 6)
    assert speeds[:, 0] == pytest.approx(whole[:, 1])
    assert after.means[:, 0] == pytest.approx(whole[-1])


@pytest.mark.parametrize("smooth", [smooth_modes, smooth_speeds])
def test_a_pass_that_goes_on_returns_what_one_over_all_frames_does(smooth):
    rng = np.random.default_rng(1)
    steps, z = rng.uniform(0.02, 0.08, 40), rng.normal(size=(40, 3))
    agility = 900.0 if smooth is smooth_speeds else rng.uniform(100, 9000, (40, 3))
    whole, _ = smooth(z, steps, agility, None, 40)
    _, after = smooth(z, steps, agility, None, 20)
    later = agility if smooth is smooth_speeds else agility[20:]
    rest, _ = smooth(z[20:], steps[20:], later, after, 20)
    assert rest == pytest.approx(whole[20:])


@pytest.mark.parametrize("fps", [15, 25, 60])
@pytest.mark.parametrize("liveliness", [0.0, 1.0])
def test_bounded_memory_changes_less_than_a_hundredth_of_a_pixel(fps, liveliness):
    """A face with 400 px between the eyes, at rest or moving."""
    track = make_track(330, fps=fps, size=400.0, noise=0.7)
    z = track.raw_px - track.truth_px + make_face(400.0)
    z += liveliness * (track.truth_px - make_face(400.0))
    seconds = np.arange(len(z)) / fps
    parameters = make_smoother()
    whole = smooth_whole(z, seconds, parameters)
    assert np.abs(stabilize_track(ModeSmoother(parameters), seconds, z) - whole).max() < 0.01


def test_its_state_is_small_and_travels():
    track, smoother = make_track(400).raw_px, ModeSmoother(make_smoother())
    seconds, sizes, settled = np.arange(400) / 25, [], []
    for i, (at, frame) in enumerate(zip(seconds, track, strict=True)):
        settled += smoother.push(float(at), frame)
        if i % 7 == 0:
            state = pickle.dumps(smoother)
            sizes.append(len(state))
            smoother = pickle.loads(state)
    settled += smoother.flush()
    assert max(sizes) < 400_000
    assert np.array_equal(settled, smooth_bounded(track, seconds))


def test_still_faces_lose_their_jitter_and_moving_ones_do_not_lag():
    track = make_track(150, noise=0.6)
    parameters = SmootherParameters(np.eye(136), np.full(136, 0.36))
    steady = smooth_whole(track.raw_px, np.arange(150) / 25, parameters)
    still = slice(5, 70)

    def jitter(x):
        return np.diff(x[still], 2, axis=0).std()

    assert jitter(steady) < 0.3 * jitter(track.raw_px)
    batch = TrackBatch.of([MotionTrack("steady", 25.0, track.truth_px, steady)])
    scores = score_tracks(batch, batch.raw)
    assert abs(scores.lag_frames) < 0.05
    noisy = TrackBatch.of([track])
    assert scores.nrmse_percent < 0.6 * score_tracks(noisy, noisy.raw).nrmse_percent


def test_faces_of_any_size_are_smoothed_alike():
    track, seconds = make_track(50, noise=1.0).raw_px, np.arange(50) / 25
    plain = smooth_whole(track, seconds, make_smoother())
    large = smooth_whole(track * 7 + 1000, seconds, make_smoother())
    assert (large - 1000) / 7 == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 99, 100, 101, 131])
def test_as_many_come_out_as_went_in(count):
    track = np.repeat(make_face()[None], count, 0)
    assert smooth_bounded(track, np.arange(count) / 25) == pytest.approx(track)


def test_a_jump_ends_one_track_and_starts_another():
    one, two = make_track(20, seed=1).raw_px, make_track(20, seed=2).raw_px + 900.0
    seconds = np.arange(40) / 25
    got = smooth_bounded(np.concatenate([one, two]), seconds)
    assert got[:20] == pytest.approx(smooth_bounded(one, seconds[:20]))
    assert got[20:] == pytest.approx(smooth_bounded(two, seconds[20:]))
    assert np.array_equal(got, smooth_whole(np.concatenate([one, two]), seconds, make_smoother()))


def test_times_that_stand_still_or_go_back_are_finite():
    track = make_track(20).raw_px
    got = smooth_bounded(track, np.array([0.0, 0.0, 5.0, 4.0] * 5))
    assert np.isfinite(got).all()


def test_parameters_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"jitter \(5,\)"):
        SmootherParameters(np.eye(136), np.ones(5))
    with pytest.raises(ValueError, match="jitter above 0"):
        SmootherParameters(np.eye(136), np.zeros(136))
