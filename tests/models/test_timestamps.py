from models.timestamps import PtsCounter


def test_keeps_increasing_pts() -> None:
    counter = PtsCounter(3600)
    assert [counter.next(p) for p in (-7, 3600, 9000)] == [-7, 3600, 9000]


def test_numbers_a_raw_stream_from_zero() -> None:
    counter = PtsCounter(48_000)
    assert [counter.next(None) for _ in range(3)] == [0, 48_000, 96_000]


def test_missing_and_repeated_pts_advance_by_one_frame() -> None:
    counter = PtsCounter(33)
    assert [counter.next(p) for p in (10, None, 43, 42, 200)] == [10, 43, 76, 109, 200]
