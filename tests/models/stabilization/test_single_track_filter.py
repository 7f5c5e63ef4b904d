import pickle

import numpy as np
import pytest
from stabilizer_cases import make_face, make_filter, make_track

from models.stabilization.bayesian_filter import BayesianFilter
from models.stabilization.single_track_filter import SingleTrackFilter


@pytest.mark.parametrize("components", [1, 2, 3])
def test_it_gives_what_the_plain_filter_gives(components):
    """Through motion, missing coordinates, a jump, a reset, and a pickle of the state."""
    frames = list(make_track(40, size=70.0, noise=2.0).raw_px)
    frames[7] = frames[7].copy()
    frames[7][5] = [np.nan, np.inf]
    frames[15:] = [frame + 500.0 for frame in frames[15:]]
    theta = make_filter(components)
    plain, fast = BayesianFilter(theta), SingleTrackFilter(theta)
    for number, frame in enumerate(frames):
        if number == 22:
            plain.reset()
            fast.reset()
        if number == 30:
            fast = pickle.loads(pickle.dumps(fast))
        assert fast.step(frame[None]) == pytest.approx(plain.step(frame[None]), abs=1e-9)


def test_its_state_is_small_and_goes_on_exactly():
    frames = make_track(9).raw_px[:, None]
    steady = SingleTrackFilter(make_filter())
    for frame in frames[:4]:
        steady.step(frame)
    state = pickle.dumps(steady)
    assert len(state) < 200_000
    other = pickle.loads(state)
    for frame in frames[4:]:
        assert np.array_equal(steady.step(frame), other.step(frame))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, 0.0])
def test_a_track_that_starts_with_nonsense_is_finite(value):
    steady = SingleTrackFilter(make_filter())
    for frame in (np.full((1, 68, 2), value), make_face()[None]):
        for _ in range(2):
            got = steady.step(frame)
            assert np.isfinite(got).all()
    assert got == pytest.approx(make_face()[None])
