import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.stabilizers import STABILIZERS, OneEuro, PassThrough, stabilizer_factory


def face(x: float = 0.0, size: float = 100.0) -> np.ndarray:
    """68 points on a square of `size`, `x` px to the right."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], float)
    return np.tile(corners, (17, 1)) + [x, 0.0]


def everything(name: str, frames: list[np.ndarray], step: float = 0.04) -> list[np.ndarray]:
    stabilizer = stabilizer_factory(name)()
    settled = []
    for i, landmarks in enumerate(frames):
        settled += stabilizer.push(i * step, landmarks)
    return settled + stabilizer.flush()


@pytest.mark.parametrize("name", sorted(STABILIZERS))
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_as_many_come_out_as_went_in(name, count):
    assert len(everything(name, [face(i) for i in range(count)])) == count


@pytest.mark.parametrize("name", sorted(STABILIZERS))
def test_a_face_at_rest_stays(name):
    for settled in everything(name, [face(5)] * 10):
        assert settled == pytest.approx(face(5))


@pytest.mark.parametrize("name", ["none", "one-euro"])
def test_the_first_frame_is_taken_as_it_is(name):
    assert everything(name, [face(3), face(50)])[0] == pytest.approx(face(3))


@pytest.mark.parametrize("name", sorted(STABILIZERS))
def test_input_is_left_alone_and_state_can_be_copied(name):
    frames = [face(x) for x in (0.0, 4.0, 1.0, 9.0)]
    kept = [f.copy() for f in frames]
    stabilizer = stabilizer_factory(name)()
    settled = stabilizer.push(0.0, frames[0]) + stabilizer.push(0.04, frames[1])
    other = pickle.loads(pickle.dumps(copy.deepcopy(stabilizer)))
    for steady in (stabilizer, other):
        rest = [*steady.push(0.08, frames[2]), *steady.push(0.12, frames[3]), *steady.flush()]
        assert np.array_equal([*settled, *rest], everything(name, kept))
    assert np.array_equal(frames, kept)


def test_pass_through_gives_back_what_it_gets():
    landmarks = face(1)
    assert PassThrough().push(0.0, landmarks)[0] is landmarks


def test_one_euro_by_hand():
    """No speed gain: a first-order low-pass filter, r = 2 pi f dt, gain r / (r + 1)."""
    steady = OneEuro(min_cutoff_hz=1.0, speed_gain=0.0)
    steady.push(0.0, face(0))
    (got,) = steady.push(0.5, face(10))
    assert got == pytest.approx(face(10 * np.pi / (np.pi + 1)))


def test_one_euro_speed_by_hand():
    steady = OneEuro(min_cutoff_hz=1.0, speed_gain=2.0, speed_cutoff_hz=1.0)
    steady.push(0.0, face(0))
    (got,) = steady.push(0.5, face(10))
    speed = np.pi / (np.pi + 1) * (10 / 100 / 0.5)  # face sizes a second, smoothed
    rate = np.pi * (1 + 2 * speed)
    assert got == pytest.approx(face(10 * rate / (rate + 1)))


def test_one_euro_takes_jitter_and_follows_speed():
    rng = np.random.default_rng(0)
    still = [face() + rng.normal(0, 1, (68, 2)) for _ in range(50)]
    steady = np.array(everything("one-euro", still))
    assert np.std(np.diff(steady[10:], axis=0)) < 0.5 * np.std(np.diff(still[10:], axis=0))
    moving = [face(8.0 * i) for i in range(50)]  # two face sizes a second
    assert np.abs(np.array(everything("one-euro", moving)) - moving)[10:].max() < 8


def test_one_euro_starts_anew_when_time_goes_back():
    steady = OneEuro()
    steady.push(1.0, face(0))
    assert steady.push(0.5, face(70))[0] == pytest.approx(face(70))
    assert steady.push(0.5, face(30))[0] == pytest.approx(face(30))


@given(st.lists(st.floats(-200, 200), min_size=2, max_size=12), st.floats(0.25, 8))
def test_one_euro_does_not_depend_on_the_unit_of_length(xs, unit):
    plain = everything("one-euro", [face(x) for x in xs])
    scaled = everything("one-euro", [face(x) * unit for x in xs])
    assert np.array(scaled) == pytest.approx(np.array(plain) * unit, abs=1e-6)


def test_an_unknown_name_is_told_the_choices():
    with pytest.raises(ValueError, match=r"got 'nonesuch', expected one of none, one-euro"):
        stabilizer_factory("nonesuch")
