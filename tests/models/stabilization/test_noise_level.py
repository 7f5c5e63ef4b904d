import math
import pickle

import numpy as np
import pytest

from models.stabilization.noise_level import NoiseLevel, centred_jitter, running_noise


def white(deviation: float, frames: int = 400, tracks: int = 1, seed: int = 0) -> np.ndarray:
    """(tracks, frames, 136) modes of faces of size 100 that only jitter."""
    return np.random.default_rng(seed).normal(0, deviation, (tracks, frames, 136))


def sizes(modes: np.ndarray, size: float = 100.0) -> np.ndarray:
    return np.full(modes.shape[:2], (size / 100) ** 2)


def test_by_hand():
    """Frames of one mode: the third differences at the fourth and the sixth are 2 and -10."""
    modes = np.zeros((1, 6, 136))
    modes[0, :, 0] = 0, 0, 0, 2, 8, 8
    got = running_noise(modes, sizes(modes), np.array([1.0]))[0]
    first = math.log(4 / 20 + 0.02) / 3
    second = first + (math.log(100 / 20 + 0.02) - first) / 4
    expected = [1, 1, 1, math.exp(first), math.exp(first), math.exp(second)]
    assert got.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("size", [40.0, 100.0, 800.0])
def test_twice_the_deviation_is_four_times_the_variance_at_any_size(size):
    modes = white(1.0) * size / 100
    jitter = centred_jitter(modes, sizes(modes, size), np.ones((1, 400), bool), np.ones(30))
    quiet, noisy = (
        running_noise(factor * modes, sizes(modes, size), jitter)[0, 50:].mean()
        for factor in (1, 2)
    )
    assert quiet == pytest.approx(1, abs=0.1)
    assert noisy / quiet == pytest.approx(4, rel=0.1)


def test_steady_motion_and_a_jump_are_not_noise():
    still = white(0.5)
    moving = still + 3.0 * np.arange(400)[None, :, None]
    moving[:, 200:] += 40.0
    quiet, moved = (running_noise(m, sizes(m), np.ones(30))[0, 100:] for m in (still, moving))
    assert np.max(moved / quiet) < 7  # of 6400 / 0.25 that the variance would say
    assert moved[[50, -1]] == pytest.approx(quiet[[50, -1]], rel=0.05)


def test_frames_that_repeat_are_quiet_but_not_infinitely():
    modes = np.zeros((1, 200, 136))
    assert running_noise(modes, sizes(modes), np.ones(10))[0, -1] == pytest.approx(math.exp(-3))


def test_tracks_side_by_side_are_followed_alone_and_start_anew():
    modes, jitter = white(1.0, 40, 3) * [[[0.3]], [[1.0]], [[3.0]]], np.ones(12)
    together = running_noise(modes, sizes(modes), jitter)
    for track, expected in zip(modes, together, strict=True):
        level = NoiseLevel(jitter, 1)
        assert [level.follow_alone(z, 1.0) for z in track] == pytest.approx(list(expected))
        level.restart(np.array([True]))
        assert [level.follow_alone(z, 1.0) for z in track] == pytest.approx(list(expected))


def test_goes_on_from_a_pickle():
    modes = white(2.0, 30)
    level, expected = NoiseLevel(np.ones(8), 1), running_noise(modes, sizes(modes), np.ones(8))[0]
    got = []
    for z in modes[0]:
        level = pickle.loads(pickle.dumps(level))
        got.append(level.follow_alone(z, 1.0))
    assert got == pytest.approx(list(expected))


def test_without_jitter_to_compare_with_the_level_stays():
    modes = white(5.0, 20)
    assert running_noise(modes, sizes(modes), np.empty(0)).tolist() == [[1.0] * 20]
    assert NoiseLevel(np.empty(0), 1).follow_alone(modes[0, 0], 1.0) == 1.0
