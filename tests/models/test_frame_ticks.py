from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.frame_ticks import FrameTicks, as_rate


def chosen(fps, pts, time_base=Fraction(1, 1000), start_pts=0):
    ticks = FrameTicks(as_rate(fps), time_base, start_pts)
    return [p for p, begins in zip(pts, ticks.among(pts), strict=True) if begins]


def test_every_fifth_of_25_by_hand():
    assert chosen(5, range(0, 1000, 40)) == [0, 200, 400, 600, 800]
    assert chosen(5, range(7, 1007, 40), start_pts=7) == [7, 207, 407, 607, 807]


def test_the_first_frame_of_a_step_and_none_of_one_without_frames():
    assert chosen(1, [300, 900, 1100, 4500, 4999, 5000]) == [300, 1100, 4500, 5000]


def test_more_than_there_are_is_all():
    pts = [0, 33, 67, 100]
    assert chosen(1000, pts) == pts


def test_exact_where_floats_are_not():
    """30000/1001 frames a second in units of 1/30000 s: each is in the step of its number."""
    pts = range(0, 1001 * 100_000, 1001)
    assert chosen("30000/1001", pts, Fraction(1, 30000)) == list(pts)
    assert chosen("15000/1001", pts, Fraction(1, 30000)) == list(pts[::2])
    assert chosen(0.1, range(300), Fraction(1, 10)) == [0, 100, 200]


@given(st.sets(st.integers(-5000, 5000), min_size=2), st.integers(0, 40), st.data())
def test_it_does_not_matter_where_one_starts_to_look(pts, rate, data):
    pts, ticks = sorted(pts), FrameTicks(Fraction(rate + 1, 7), Fraction(1, 90))
    at = data.draw(st.integers(1, len(pts) - 1))
    whole = ticks.among(pts)
    assert whole == ticks.among(pts[:at]) + ticks.among(pts[at:], pts[at - 1])


@pytest.mark.parametrize("value", [0, -1, "fast", "1/0", float("nan"), float("inf"), None])
def test_what_is_no_rate(value):
    with pytest.raises(ValueError, match="expected a number of frames a second above 0"):
        as_rate(value)
