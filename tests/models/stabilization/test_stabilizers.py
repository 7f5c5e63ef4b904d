import copy
import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stabilizer_cases import make_track

from models.stabilization.stabilizers import (
    OneEuro,
    PassThrough,
    Sta,
    StaOffline,
    stabilize_track,
    stabilizer_factory,
    stabilizer_weights,
)
from models.stabilization.weights import load_stabilizer_weights, save_stabilizer_weights
from schemas.choices import STABILIZERS


def face(x: float = 0.0, size: float = 100.0) -> np.ndarray:
    """68 points on a square of `size`, `x` px to the right."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], float)
    return np.tile(corners, (17, 1)) + [x, 0.0]


def everything(name, frames: list[np.ndarray], step: float = 0.04) -> list[np.ndarray]:
    """All of a track, through the stabilizer of that name or the one that is given."""
    stabilizer = stabilizer_factory(name)() if isinstance(name, str) else name
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
    steady = np.array(everything(OneEuro(), still))
    assert np.std(np.diff(steady[10:], axis=0)) < 0.5 * np.std(np.diff(still[10:], axis=0))
    moving = [face(8.0 * i) for i in range(50)]  # two face sizes a second
    assert np.abs(np.array(everything(OneEuro(), moving)) - moving)[10:].max() < 8


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


@pytest.mark.parametrize("name", sorted(STABILIZERS))
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_what_is_missing_does_not_spread(name, value):
    frames = [face(2.0) for _ in range(9)]
    frames[0][3] = frames[4][7] = value
    frames[5][:] = value
    if name != "none":
        assert np.isfinite(everything(name, frames)).all()


@pytest.mark.parametrize("name", ["sta", "sta-offline", "rts"])
def test_a_jump_is_the_start_of_another_track(name):
    there, here = ([face(x + 0.3 * (i % 2)) for i in range(12)] for x in (0, 5000))
    got = everything(name, there + here)
    assert np.array_equal(got[:12], everything(name, there))
    assert got[12] == pytest.approx(everything(name, here)[0], abs=0.05)


def test_forward_and_backward_is_bounded_in_memory():
    """What the lookahead leaves out is less than 0.15 px of a face of 400 px."""
    track = make_track(300, size=400.0, noise=0.7).raw_px
    fitted = load_stabilizer_weights()
    bounded, whole = (
        StaOffline(fitted.filter, chunk=chunk) for chunk in (StaOffline.CHUNK, 10_000)
    )
    got = []
    for steady in (bounded, whole):
        settled = []
        for i, frame in enumerate(track):
            settled += steady.push(i / 25, frame)
            assert len(pickle.dumps(steady)) < 400_000 or steady is whole
        got.append([*settled, *steady.flush()])
    assert np.abs(np.array(got[0]) - got[1]).max() < 0.15


def test_forward_and_backward_by_hand():
    fitted = load_stabilizer_weights()
    track = make_track(20, noise=2.0).raw_px
    there, back = (np.array(one_way(fitted, frames)) for frames in (track, track[::-1]))
    got = stabilize_track(StaOffline(fitted.filter), np.arange(len(track)) / 25, track)
    assert got == pytest.approx((there + back[::-1]) / 2)


def one_way(fitted, frames):
    steady = Sta(fitted.filter)
    return [steady.push(i / 25, frame)[0] for i, frame in enumerate(frames)]


def test_a_path_stands_for_what_measured_best(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_stabilizer_weights(path, dataclasses.replace(load_stabilizer_weights(), stabilizer="sta"))
    assert isinstance(stabilizer_factory(str(path))(), Sta)
    assert stabilizer_weights(str(path)).sha256 != stabilizer_weights("sta").sha256
    assert stabilizer_weights("sta") is stabilizer_weights("rts") is load_stabilizer_weights()
    assert stabilizer_weights("none") is None
