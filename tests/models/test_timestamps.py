import itertools

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


def given_for(packets: list[int], frames: list[int], *, delay: int = 1) -> list[int]:
    """The pts assigned to `frames`, the first of which is decoded after `delay` packets."""
    counter, given = PtsCounter(1), []
    for pts in packets[:delay]:
        counter.packet_in(pts)
    for coming, pts in itertools.zip_longest(packets[delay:], frames):
        counter.packet_in(coming)
        given += [] if pts is None else counter.frame_out(pts)
    return given + counter.end()


def test_times_in_decoding_order_go_to_the_frames_in_display_order() -> None:
    assert given_for([1, 2, 3, 4, 5, 6, 7], [1, 3, 4, 2, 6, 7, 5]) == [1, 2, 3, 4, 5, 6, 7]
    pyramid = [1, 4, 3, 5, 2, 7, 8, 6, 9]
    assert given_for(sorted(pyramid), pyramid, delay=2) == sorted(pyramid)


def test_times_that_no_picture_has_are_left_out() -> None:
    """Uncoded pictures: 8 and 9 are never returned."""
    frames = [5, 7, 6, *(pts + swap for pts in range(10, 40, 2) for swap in (1, 0))]
    assert given_for(list(range(5, 40)), frames) == sorted(frames)


def test_sound_times_wait_for_nothing() -> None:
    counter = PtsCounter(1)
    for packet, frame in ((0, None), (3, 0), (1, 1), (2, 2), (6, 3), (4, 4)):
        counter.packet_in(packet)
        if frame is not None:
            assert counter.frame_out(frame) == [frame]


def test_times_that_start_again_do_not_make_the_frame_before_wait_and_keep_their_steps() -> None:
    assert given_for([500, 1000, 0, 40], [500, 1000, 0, 40]) == [500, 1000, 1001, 1041]


def test_a_frame_without_pts_ends_the_waiting() -> None:
    counter = PtsCounter(1)
    for pts in (1, 2):
        counter.packet_in(pts)
    assert counter.frame_out(2) == []
    assert counter.frame_out(None) == [2, 3]
    assert counter.end() == []
