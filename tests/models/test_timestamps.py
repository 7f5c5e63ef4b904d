from fractions import Fraction

import pytest

from models.timestamps import PtsCounter


def test_keeps_increasing_pts() -> None:
    counter = PtsCounter(Fraction(1, 90_000), Fraction(25))
    assert [counter.next(p) for p in (-7, 3600, 9000)] == [-7, 3600, 9000]


def test_numbers_a_raw_stream_from_zero() -> None:
    counter = PtsCounter(Fraction(1, 1_200_000), Fraction(25))
    assert [counter.next(None) for _ in range(3)] == [0, 48_000, 96_000]


def test_missing_and_repeated_pts_advance_by_one_frame() -> None:
    counter = PtsCounter(Fraction(1, 1000), Fraction(30_000, 1001))
    assert counter.step == 33
    assert [counter.next(p) for p in (10, None, 43, 42, 200)] == [10, 43, 76, 109, 200]


@pytest.mark.parametrize(
    ("time_base", "rate", "step"),
    [
        (Fraction(1, 50), None, 2),
        (Fraction(1, 50), Fraction(0), 2),
        (Fraction(1, 10), Fraction(60), 1),
    ],
)
def test_step_without_a_rate_or_below_one_unit(
    time_base: Fraction, rate: Fraction | None, step: int
) -> None:
    assert PtsCounter(time_base, rate).step == step
