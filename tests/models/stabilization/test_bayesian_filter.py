import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from stabilizer_cases import make_basis, make_face, make_filter, make_track

from models.face_box import face_size_px
from models.stabilization.bayesian_filter import BayesianFilter, FilterParameters, running_size2
from models.stabilization.fitting.filter_fitting import motion_modes
from models.stabilization.noise_level import running_noise


def filtered(theta, tracks_px, covariance="diagonal"):
    """(N, T, 68, 2) through the filter."""
    steady = BayesianFilter(theta, len(tracks_px), covariance)
    return np.stack([steady.step(frame) for frame in np.swapaxes(tracks_px, 0, 1)], axis=1)


def by_definition(theta, track_px, covariance):
    """Eq. 6-9 written out: sums over all of the past, densities, inverses."""
    basis, size2 = theta.eigenvectors, running_size2(track_px[None])[0]
    modes = track_px.reshape(1, len(track_px), 136) @ basis
    noise2 = size2 * running_noise(modes, size2[None], theta.jitter)[0]
    past: list[np.ndarray] = []
    for t, z in enumerate(track_px.reshape(len(track_px), -1)):
        if not past:
            past.append(z)
            continue
        fading = theta.gamma ** np.arange(len(past), 0, -1)
        fading /= fading.sum()
        mean = fading @ np.array(past)
        off = (np.array(past) - mean) @ basis
        spread = np.einsum("t,ti,tj->ij", fading, off, off)
        if covariance == "diagonal":
            spread = np.diag(np.diag(spread))
        noise = np.diag(theta.noise) * noise2[t]
        innovation = (z - mean) @ basis
        posterior, logs = [], []
        for share, prior in zip(theta.weights, theta.prior, strict=True):
            sigma = spread + np.diag(prior) * size2[t]
            logs.append(
                np.log(share) + multivariate_normal.logpdf(innovation, np.zeros(136), sigma + noise)
            )
            posterior.append(sigma @ np.linalg.solve(sigma + noise, innovation))
        shares = np.exp(np.array(logs) - max(logs))
        past.append(mean + basis @ (shares / shares.sum() @ np.array(posterior)))
    return np.array(past).reshape(track_px.shape)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("components", [1, 2, 3])
def test_the_recursion_is_equations_6_to_9(covariance, components):
    theta = make_filter(components)
    track = make_track(12, size=70.0, noise=2.0).raw_px
    got = filtered(theta, track[None], covariance)[0]
    assert got == pytest.approx(by_definition(theta, track, covariance), abs=1e-8)
    assert np.abs(got - track).max() > 0.5


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_several_tracks_side_by_side_are_filtered_alone(covariance):
    theta = make_filter()
    tracks = np.stack([make_track(15, size=s, seed=i).raw_px for i, s in enumerate((40, 300, 90))])
    together = filtered(theta, tracks, covariance)
    for track, steady in zip(tracks, together, strict=True):
        assert filtered(theta, track[None], covariance)[0] == pytest.approx(steady, abs=1e-9)


@settings(max_examples=20)
@given(st.floats(0.4, 8), st.floats(-3000, 3000), st.floats(-3000, 3000))
def test_faces_of_any_size_and_place_are_filtered_alike(scale, x, y):
    theta, track = make_filter(), make_track(10, noise=3.0).raw_px
    moved = filtered(theta, (track * scale + [x, y])[None])[0]
    assert (moved - [x, y]) / scale == pytest.approx(filtered(theta, track[None])[0], abs=1e-6)


def test_by_hand():
    """One component: x2 = z1 + (P / (P + N)) (z2 - z1), the past being one frame (C = 0)."""
    theta = FilterParameters(
        make_basis(), 0.5, np.ones(1), np.full((1, 136), 3.0), np.full(136, 1.0)
    )
    face = make_face()
    got = filtered(theta, np.stack([face, face + [4.0, 0.0]])[None])[0]
    assert got[0] == pytest.approx(face)
    assert got[1] == pytest.approx(face + [3.0, 0.0])


@pytest.mark.parametrize("tracks", [1, 3])
def test_missing_coordinates_come_from_the_frame_before(tracks):
    steady = BayesianFilter(make_filter(), tracks)
    face = np.repeat(make_face()[None], tracks, 0)
    first = steady.step(face)
    broken = face + 1.0
    broken[:, 5] = [np.nan, np.inf]
    filled = face + 1.0
    filled[:, 5] = first[:, 5]
    other = BayesianFilter(make_filter(), tracks)
    other.step(face)
    assert steady.step(broken) == pytest.approx(other.step(filled))
    assert np.isfinite(steady.step(np.full_like(face, np.nan))).all()


@pytest.mark.parametrize("tracks", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, 0.0])
def test_a_track_that_starts_with_nonsense_is_finite(tracks, value):
    steady = BayesianFilter(make_filter(), tracks)
    for frame in (np.full((tracks, 68, 2), value), np.repeat(make_face()[None], tracks, 0)):
        for _ in range(2):
            got = steady.step(frame)
            assert np.isfinite(got).all()
    assert got == pytest.approx(frame)


@pytest.mark.parametrize("tracks", [1, 2])
def test_a_jump_starts_anew(tracks):
    steady = BayesianFilter(make_filter(), tracks)
    face = np.repeat(make_face()[None], tracks, 0)
    for _ in range(4):
        assert steady.step(face) == pytest.approx(face)
    for _ in range(3):
        assert steady.step(face + 200.0) == pytest.approx(face + 200.0)


def test_only_the_track_that_jumps_starts_anew():
    theta = make_filter()
    tracks = np.stack([make_track(9, seed=i).raw_px for i in range(2)])
    tracks[1, 5:] += 500.0
    got = filtered(theta, tracks)
    assert got[0] == pytest.approx(filtered(theta, tracks[:1])[0])
    assert got[1, 5:] == pytest.approx(filtered(theta, tracks[1:, 5:])[0])


@pytest.mark.parametrize("tracks", [1, 2])
def test_its_state_travels(tracks):
    frames = np.swapaxes(np.stack([make_track(9, seed=i).raw_px for i in range(tracks)]), 0, 1)
    steady = BayesianFilter(make_filter(), tracks)
    for frame in frames[:4]:
        steady.step(frame)
    state = pickle.dumps(steady)
    assert len(state) < 200_000
    other = pickle.loads(state)
    for frame in frames[4:]:
        assert np.array_equal(steady.step(frame), other.step(frame))


def test_reset_forgets():
    steady = BayesianFilter(make_filter())
    steady.step(make_face()[None])
    steady.reset()
    assert steady.step(make_face()[None] + 7.0)[0] == pytest.approx(make_face() + 7.0)


def test_modes_of_motion_by_hand():
    """Changes along one direction only: it is the first mode."""
    along = np.zeros(136)
    along[[0, 3]] = [0.6, 0.8]
    changes = np.random.default_rng(0).normal(size=(50, 1)) * along
    modes = motion_modes(changes)
    assert np.abs(modes[:, 0] @ along) == pytest.approx(1)
    assert modes.T @ modes == pytest.approx(np.eye(136), abs=1e-9)


def test_the_size_follows_the_face():
    track = np.stack([make_face(100.0)] * 2 + [make_face(200.0)] * 2)[None]
    expected = [1.0, 1.0, 1 + 0.05 * 3, 1.15 + 0.05 * 2.85]
    assert running_size2(track)[0] == pytest.approx(expected)
    assert face_size_px(make_face(40.0)) == pytest.approx(40)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gamma": 1.0}, "gamma 1.0"),
        ({"noise": np.zeros(136)}, "noise"),
        ({"weights": np.array([0.5, 0.6])}, "add up to 1"),
        ({"prior": np.ones((3, 136))}, r"prior: got shape \(3, 136\)"),
    ],
)
def test_parameters_that_cannot_be_are_refused(change, words):
    theta = make_filter()
    names = ("eigenvectors", "gamma", "weights", "prior", "noise")
    with pytest.raises(ValueError, match=words):
        FilterParameters(**{name: getattr(theta, name) for name in names} | change)
