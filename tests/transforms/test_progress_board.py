import pytest
from segments import METADATA, make_segment

from transforms.progress_board import ProgressBoard


def test_progress_moves_within_a_segment_and_no_further_than_its_end():
    board = ProgressBoard()
    segments = [make_segment(i, 2) for i in range(2)]  # 4 s at 25 frames a second
    board.video_planned(segments)
    assert board.read().seconds_planned == METADATA.duration_seconds == 4.0
    seen = []
    for frames in (0, 10, 25, 80):
        board.segment_decoded(segments[0], frames)
        seen.append(board.read().seconds_done)
    assert seen == pytest.approx([0.0, 0.4, 1.0, 2.0])
    board.segment_decoded(segments[1], 25)
    assert board.read().seconds_done == pytest.approx(3.0)
    for segment in segments:
        board.segment_ended(segment)
    assert board.read().seconds_done == pytest.approx(4.0)
    assert board.read().videos_done == 1


def test_a_new_run_starts_at_nothing():
    board = ProgressBoard()
    board.segment_decoded(make_segment(), 25)
    board.video_ended()
    board.clear()
    assert (board.read().seconds_done, board.read().videos_done) == (0.0, 0)
