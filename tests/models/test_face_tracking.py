import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.face_tracking import (
    LINK_SECONDS,
    FaceTracker,
    FrameFaces,
)

STEP = 0.04  # seconds between frames


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def at(x: float, y: float = 0.0, size: float = 10.0) -> tuple[float, float, float, float]:
    return (x, y, x + size, y + size)


def found(*rows, score: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    return boxes(*rows), np.full(len(rows), score, np.float32)


def track(count: int, detections: dict, cuts: tuple[int, ...] = (), step: float = STEP):
    """The faces of frames 0 .. count - 1."""
    tracker, settled = FaceTracker(), []
    for i in range(count):
        settled += tracker.push(i, i * step, detections.get(i), cut=i in cuts)
    settled += tracker.flush()
    assert [faces.frame for faces in settled] == list(range(count))
    return settled


def counts(frames: list[FrameFaces]) -> list[int]:
    return [len(f.track) for f in frames]


def test_boxes_between_detections_are_interpolated():
    frames = track(5, {0: found(at(0), score=0.6), 4: found(at(2, size=18), score=0.8)})
    assert counts(frames) == [1] * 5
    assert frames[2].boxes_xyxy_px == pytest.approx(boxes((1, 0, 15, 14)))  # exactly halfway
    assert frames[1].boxes_xyxy_px == pytest.approx(boxes((0.5, 0, 12.5, 12)))
    assert frames[2].scores == pytest.approx([0.7])
    assert [bool(f.detected[0]) for f in frames] == [True, False, False, False, True]
    assert {int(f.track[0]) for f in frames} == {0}
    assert frames[2].boxes_xyxy_px.dtype == frames[2].scores.dtype == np.float32


def test_interpolation_goes_by_time_not_by_frame_number():
    tracker = FaceTracker()
    tracker.push(0, 0.0, found(at(0)), cut=False)
    tracker.push(1, 0.3, None, cut=False)
    tracker.push(2, 0.4, found(at(4)), cut=False)
    _, middle, _ = tracker.flush()
    assert middle.boxes_xyxy_px == pytest.approx(boxes(at(3)))


def test_no_box_before_the_first_or_past_the_last_detection():
    frames = track(12, {3: found(at(0)), 8: found(at(1))})
    assert counts(frames) == [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0]


def test_one_missed_detection_is_bridged():
    frames = track(9, {0: found(at(0)), 4: found(), 8: found(at(4))})
    assert counts(frames) == [1] * 9
    assert frames[4].boxes_xyxy_px == pytest.approx(boxes(at(2)))
    assert not frames[4].detected[0]
    assert {int(f.track[0]) for f in frames} == {0}


def test_two_missed_detections_are_not():
    frames = track(13, {0: found(at(0)), 4: found(), 8: found(), 12: found(at(0))})
    assert counts(frames) == [1] + [0] * 11 + [1]
    assert [int(frames[i].track[0]) for i in (0, 12)] == [0, 1]


def test_a_direct_link_comes_before_a_bridge():
    detections = {0: found(at(0)), 4: found(at(4)), 8: found(at(0), at(5))}
    frames = track(9, detections)
    (followed,) = np.flatnonzero(frames[8].track == frames[0].track[0])
    assert frames[8].boxes_xyxy_px[followed] == pytest.approx(at(5))
    assert counts(frames) == [1] * 8 + [2]


@pytest.mark.parametrize(("score", "kept"), [(0.79, 0), (0.81, 1)])
def test_a_lone_detection_needs_a_high_score(score, kept):
    detections = {0: found(), 4: found(at(0), score=score), 8: found()}
    assert counts(track(9, detections)) == [0] * 4 + [kept] + [0] * 4


def test_a_linked_detection_needs_none():
    detections = {i: found(at(0), score=0.3) for i in (0, 4)}
    assert counts(track(5, detections)) == [1] * 5


def test_nothing_is_linked_over_more_than_link_seconds():
    apart = {0: found(at(0), score=0.3), 1: found(at(0), score=0.3)}
    assert counts(track(2, apart, step=LINK_SECONDS)) == [1, 1]
    assert counts(track(2, apart, step=LINK_SECONDS * 1.01)) == [0, 0]


def test_no_link_across_a_cut():
    detections = {i: found(at(0)) for i in (0, 4, 5, 8)}
    frames = track(9, detections, cuts=(5,))
    assert counts(frames) == [1] * 9
    assert [int(f.track[0]) for f in frames] == [0] * 5 + [1] * 4


def test_no_bridge_across_a_cut():
    for cut in (2, 4, 6):
        detections = {0: found(at(0)), 4: found(), 8: found(at(0))}
        assert counts(track(9, detections, cuts=(cut,))) == [1] + [0] * 7 + [1]


def test_two_faces_that_pass_each_other_keep_their_tracks():
    detections = {4 * i: found(at(6 * i, 0, 20), at(60 - 6 * i, 12, 20)) for i in range(11)}
    frames = track(41, detections)
    start, end = frames[0], frames[40]
    by_x = {int(t): float(b[0]) for t, b in zip(end.track, end.boxes_xyxy_px, strict=True)}
    assert by_x == {int(start.track[0]): 60.0, int(start.track[1]): 0.0}
    assert counts(frames) == [2] * 41


def test_frames_come_back_two_keys_later():
    tracker = FaceTracker()
    back = []
    for i in range(13):
        detections = found(at(0)) if i % 4 == 0 else None
        back.append([f.frame for f in tracker.push(i, i * STEP, detections, cut=False)])
    assert back == [[]] * 8 + [[0, 1, 2, 3]] + [[]] * 3 + [[4, 5, 6, 7]]
    assert [f.frame for f in tracker.flush()] == [8, 9, 10, 11, 12]


def test_flush_without_any_key_frame():
    assert counts(track(3, {})) == [0, 0, 0]
    assert FaceTracker().flush() == []


place = st.tuples(st.integers(0, 30), st.integers(0, 6), st.integers(8, 16)).map(
    lambda p: at(*map(float, p))
)
detection = st.lists(st.tuples(place, st.sampled_from([0.3, 0.7, 0.85])), max_size=3).map(
    lambda faces: (
        boxes(*[box for box, _ in faces]),
        np.array([score for _, score in faces], np.float32),
    )
)


@st.composite
def videos(draw):
    """Milliseconds of each frame, detections on key frames, and where shots begin."""
    steps = draw(st.lists(st.sampled_from([40, 40, 40, 70, 130]), min_size=20, max_size=60))
    milliseconds = [0, *np.cumsum(steps).tolist()]
    grid = [0, *[i for i in range(1, len(steps) + 1)
                 if milliseconds[i] // 200 != milliseconds[i - 1] // 200]]  # fmt: skip
    cuts = draw(st.sets(st.integers(1, len(steps)), max_size=2))
    keys = sorted({*grid, *cuts, *(c - 1 for c in cuts), len(steps)})
    return milliseconds, {k: draw(detection) for k in keys}, cuts


def walk(milliseconds, detections, cuts, start, stop):
    """A segment's view of frames [start, stop): its first frame is neither key nor cut."""
    tracker, settled = FaceTracker(), []
    for i in range(start, stop):
        inside = i > start or start == 0
        settled += tracker.push(
            i,
            milliseconds[i] / 1000,
            detections.get(i) if inside else None,
            cut=i in cuts and inside,
        )
    return {faces.frame: faces for faces in settled + tracker.flush()}


def rows(faces: FrameFaces) -> list[tuple]:
    return sorted(
        (*box.tolist(), float(score), bool(seen))
        for box, score, seen in zip(faces.boxes_xyxy_px, faces.scores, faces.detected, strict=True)
    )


def tracks_of(frames: dict[int, FrameFaces], wanted: range) -> set[frozenset]:
    """The tracks as sets of (frame, box), without their numbers."""
    members: dict[int, set] = {}
    for i in wanted:
        for number, box in zip(frames[i].track, frames[i].boxes_xyxy_px, strict=True):
            members.setdefault(int(number), set()).add((i, *box.tolist()))
    return {frozenset(m) for m in members.values()}


@settings(max_examples=150)
@given(videos(), st.data())
def test_a_later_start_gives_the_same_faces_after_link_seconds(video, data):
    milliseconds = video[0]
    count = len(milliseconds)
    start = data.draw(st.integers(1, count - 1))
    whole, late = walk(*video, 0, count), walk(*video, start, count)
    after = [i for i in range(start, count) if milliseconds[i] - milliseconds[start] > 500]
    for i in after:
        assert rows(late[i]) == rows(whole[i])
    if after:
        wanted = range(after[0], count)
        assert tracks_of(late, wanted) == tracks_of(whole, wanted)


@settings(max_examples=150)
@given(videos(), st.data())
def test_an_earlier_end_gives_the_same_faces_up_to_two_key_frames_before(video, data):
    milliseconds, detections, _ = video
    keys = sorted(detections)
    stop_key = data.draw(st.integers(2, len(keys) - 1))
    whole = walk(*video, 0, len(milliseconds))
    short = walk(*video, 0, keys[stop_key] + 1)
    for i in range(keys[stop_key - 2] + 1):
        assert rows(short[i]) == rows(whole[i])


def test_frames_out_of_reach_of_any_link_wait_for_nothing():
    """Distant key frames, as with given boxes: only frames within reach stay in memory."""
    tracker = FaceTracker()
    waiting, most, came = 0, 0, []
    for frame in range(300):
        detections = found(at(0)) if frame % 100 in (0, 2, 4) else None
        settled = tracker.push(frame, frame * STEP, detections, cut=False)
        waiting += 1 - len(settled)
        most = max(most, waiting)
        came += settled
    came += tracker.flush()
    assert [faces.frame for faces in came] == [*range(300)]
    assert most <= LINK_SECONDS / STEP + 6
    with_faces = [faces.frame for faces in came if len(faces.track)]
    assert with_faces == [100 * i + j for i in range(3) for j in range(5)]


def test_a_tracker_keeps_no_key_frame_that_is_settled():
    """Key frames refer to their linked key frames, but not to all of a face's."""
    tracker, seen = FaceTracker(), []
    for frame in range(60):
        detections = found(at(frame))
        seen.append(weakref.ref(detections[0]))
        tracker.push(frame, frame * STEP, detections, cut=False)
    del detections
    gc.collect()
    assert sum(boxes_of() is not None for boxes_of in seen) <= 5
