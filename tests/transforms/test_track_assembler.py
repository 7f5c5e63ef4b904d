from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segments import box_at, landmarks_for, make_part, make_segment, split_parts

from models.frame_ticks import FrameTicks
from models.landmarks.head_pose import head_pose, pose_rotation
from models.landmarks.mean_face import MEAN_FACE
from models.stabilization.stabilizers import OneEuro, PassThrough
from schemas.tracks import TRACK_SCHEMA
from transforms.track_assembler import REACQUIRE_SECONDS, TrackAssembler


class HoldsBack:
    """Finishes a frame after three more, and reports its age."""

    def __init__(self) -> None:
        self._held: list[np.ndarray] = []
        self._seen = 0

    def push(self, seconds: float, landmarks: np.ndarray) -> list[np.ndarray]:
        self._held.append(landmarks + [0.0, 1000.0 * self._seen])
        self._seen += 1
        return [self._held.pop(0)] if len(self._held) > 3 else []

    def flush(self) -> list[np.ndarray]:
        held, self._held = self._held, []
        return held


def walk(parts, stabilizer=PassThrough, fps=None) -> pa.Table:
    """The whole video; a part that is None is a failed segment."""
    time_base = make_segment().metadata.time_base
    ticks = None if fps is None else FrameTicks(Fraction(fps), time_base)
    walker = TrackAssembler("clip.mp4", time_base, ticks)
    tables = [walker.skip() if p is None else walker.add(p, stabilizer) for p in parts]
    tables.append(walker.skip())
    for table in tables:
        keys = list(
            zip(table["face_id"].to_pylist(), table["frame_index"].to_pylist(), strict=True)
        )
        assert keys == sorted(set(keys))
        assert table.schema.equals(TRACK_SCHEMA)
    table = pa.concat_tables(tables).sort_by(
        [("face_id", "ascending"), ("frame_index", "ascending")]
    )
    ids = sorted(set(table["face_id"].to_pylist()))
    assert ids == list(range(len(ids)))
    assert walker.rows_of(tuple(ids)) == table.num_rows
    return table


def one(part_frames, **kwargs):
    return make_part(make_segment(), part_frames, **kwargs)


def faces(table: pa.Table) -> dict[int, list[int]]:
    """face_id -> its pts."""
    found: dict[int, list[int]] = {}
    for face_id, pts in zip(table["face_id"].to_pylist(), table["pts"].to_pylist(), strict=True):
        found.setdefault(face_id, []).append(pts)
    return found


def test_rows_by_hand():
    frames = {100: {7: box_at(3)}, 101: {}, 102: {9: box_at(50), 7: box_at(4)}}
    table = walk([one(frames, stats=None)])
    rows = table.to_pylist()
    got = [(r["face_id"], r["frame_index"], r["pts"], r["pts_seconds"]) for r in rows]
    assert got == [(0, 0, 100, 4.0), (0, 2, 102, 4.08), (1, 2, 102, 4.08)]
    assert [r["box_xyxy_px"] for r in rows] == [list(b) for b in (box_at(3), box_at(4), box_at(50))]
    expected = landmarks_for(box_at(50), 102)
    assert np.stack([rows[2]["x"], rows[2]["y"]], 1) == pytest.approx(expected)
    assert np.stack([rows[2]["x_raw"], rows[2]["y_raw"]], 1) == pytest.approx(expected)
    assert rows[2]["spread_px"] == [50 / 4096] * 68
    assert [r["blur"] for r in rows] == [3 / 64, 4 / 64, 50 / 64]
    assert [r["cut_off"] for r in rows] == [10 / 64] * 3
    assert {r["video_id"] for r in rows} == {"clip.mp4"}


@pytest.mark.parametrize(
    ("spread_px", "source", "counts"),
    [
        (0.9, 0, True),  # in boxes of 20 px: 0.045
        (1.1, 0, False),
        (1.1, 2, True),  # given boxes are faces
        (np.nan, 0, True),  # the network has none
    ],
)
def test_a_face_counts_where_its_landmarks_fit(spread_px, source, counts):
    segment = make_segment()
    walker = TrackAssembler("clip.mp4", segment.metadata.time_base)
    frames = {pts: {0: box_at(3)} for pts in range(3)}
    part = make_part(segment, frames, spread_px=spread_px, source=source)
    walker.add(part, PassThrough)
    walker.skip()
    assert walker.sure_faces() == ((0,) if counts else ())


@pytest.mark.parametrize("bounds", [[], [3], [2, 3, 4], [5]])
def test_shots_are_counted_over_segments(bounds):
    frames = {pts: {0: box_at(3)} for pts in range(8)}
    table = walk(split_parts(frames, bounds, cuts=[3, 5]))
    assert table.sort_by("pts")["shot"].to_pylist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_a_cut_without_a_face_counts_and_a_lost_segment_does_not():
    frames = {0: {0: box_at(3)}, 1: {}, 2: {}, 6: {0: box_at(3)}}
    first, _, last = split_parts(frames, [2, 4], cuts=[1])
    assert walk([first, None, last])["shot"].to_pylist() == [0, 1]


def test_head_pose_is_that_of_the_stabilized_landmarks_on_square_pixels():
    turned = MEAN_FACE @ pose_rotation(np.array([20.0, -10.0, 5.0])).T
    points = (turned[:, :2] * [50.0, 100.0] + [80.0, 60.0]).astype(np.float32)
    part = one({0: {0: box_at(3)}})
    part = replace(
        part,
        landmarks_px=points[None],
        geometry=replace(part.geometry, sample_aspect_ratio=Fraction(2)),
    )
    (row,) = walk([part]).to_pylist()
    pose = [row[f"{name}_deg"] for name in ("yaw", "pitch", "roll")]
    assert pose == pytest.approx(head_pose(points[None] * [2.0, 1.0])[0], abs=1e-4)
    assert pose == pytest.approx([20, -10, 5], abs=5)  # without perspective


def test_ids_follow_first_pts_then_x():
    frames = {0: {5: box_at(90), 2: box_at(10)}, 1: {5: box_at(90), 2: box_at(10), 1: box_at(50)}}
    table = walk([one(frames)])
    first = {i: row["box_xyxy_px"][0] for i, row in zip(table["face_id"].to_pylist(),
             table.to_pylist(), strict=True)}  # fmt: skip
    assert first == {0: 10.0, 1: 90.0, 2: 50.0}


def test_a_face_goes_on_over_a_seam():
    frames = {pts: {0: box_at(pts), 1: box_at(100 - pts)} for pts in range(10)}
    table = walk(split_parts(frames, [3, 7]))
    assert faces(table) == {0: list(range(10)), 1: list(range(10))}
    assert table["frame_index"].to_pylist() == [*range(10)] * 2


def test_frames_are_numbered_over_segments_also_without_faces():
    frames = {pts: ({0: box_at(5)} if pts == 8 else {}) for pts in range(10)}
    assert walk(split_parts(frames, [3, 7]))["frame_index"].to_pylist() == [8]


def test_the_filter_goes_on_over_a_seam():
    frames = {pts: {0: box_at(10 + 3 * (pts % 2))} for pts in range(12)}
    whole, cut = (walk(split_parts(frames, at), OneEuro) for at in ([], [2, 5, 6]))
    assert whole.equals(cut)
    assert not whole["x"].equals(whole["x_raw"])


@pytest.mark.parametrize("bounds", [[], [2], [4, 5], [3, 6, 9]])
def test_a_filter_that_looks_ahead_gives_every_frame_its_own(bounds):
    frames = {pts: {0: box_at(10)} for pts in range(11)}
    table = walk(split_parts(frames, bounds), HoldsBack)
    assert table["frame_index"].to_pylist() == [*range(11)]
    assert [min(y) for y in table["y"].to_pylist()] == [10 + 1000 * i for i in range(11)]


def test_a_filter_that_looks_ahead_does_not_look_into_the_next_shot():
    frames = {pts: {0 if pts < 5 else 1: box_at(10)} for pts in range(8)}
    table = walk([one(frames, cuts=[5])], HoldsBack)
    assert [min(y) for y in table["y"].to_pylist()] == [
        *(10 + 1000 * i for i in range(5)),
        *(10 + 1000 * i for i in range(3)),
    ]


def test_a_face_that_comes_back_soon_keeps_its_id_and_gets_a_new_filter():
    away = int(REACQUIRE_SECONDS * 25)
    frames = {pts: {} for pts in range(away + 2)}
    frames[0] = frames[1] = {0: box_at(10)}
    frames[away] = frames[away + 1] = {1: box_at(12)}
    table = walk([one(frames)], HoldsBack)
    assert faces(table) == {0: [0, 1, away, away + 1]}
    assert [min(y) for y in table["y"].to_pylist()] == [10, 1010, 10, 1010]


@pytest.mark.parametrize("change", ["too late", "elsewhere", "after a cut"])
def test_a_face_that_is_another_gets_another_id(change):
    back = int(REACQUIRE_SECONDS * 25) + 2 if change == "too late" else 20
    frames = {pts: {} for pts in range(back + 1)}
    frames[0] = frames[1] = {0: box_at(10)}
    frames[back] = {1: box_at(60 if change == "elsewhere" else 10)}
    cuts = [10] if change == "after a cut" else []
    assert faces(walk([one(frames, cuts=cuts)])) == {0: [0, 1], 1: [back]}


def test_two_faces_that_come_back_find_their_own_ids():
    frames = {0: {0: box_at(10), 1: box_at(60)}, 1: {}, 2: {2: box_at(11), 3: box_at(61)}}
    assert faces(walk([one(frames)])) == {0: [0, 2], 1: [0, 2]}


def test_a_failed_segment_ends_the_filters_and_leaves_a_gap():
    frames = {pts: {0: box_at(10)} for pts in range(12)}
    first, _, last = split_parts(frames, [4, 8])
    table = walk([first, None, last], HoldsBack)
    assert table["pts"].to_pylist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert [min(y) for y in table["y"].to_pylist()] == [10 + 1000 * i for i in [0, 1, 2, 3] * 2]
    assert set(table["face_id"].to_pylist()) == {0}  # back in its place within 2 s


def test_a_seam_that_the_next_segment_does_not_begin_with_joins_nothing():
    """The segment in between has no frame, or its first frame differs."""
    here, there = {0: {0: box_at(10)}}, {200: {0: box_at(10)}}
    parts = [
        make_part(make_segment(0, 2, own=(None, 1)), here, seam=(1, {0: box_at(10)})),
        make_part(make_segment(1, 2, own=(1, None)), there),
    ]
    assert faces(walk(parts)) == {0: [0], 1: [200]}


def test_nothing_gives_an_empty_table():
    table = walk([None])
    assert table.num_rows == 0


def test_a_filter_that_loses_frames_is_told():
    class Loses(PassThrough):
        def push(self, seconds, landmarks):
            return []

    with pytest.raises(AssertionError, match=r"clip.mp4: the stabilizer kept 1 frames"):
        walk([one({0: {0: box_at(1)}})], Loses)


@st.composite
def scenes(draw):
    """Faces in lanes of their own that appear and vanish, cuts, and places to split at."""
    count = draw(st.integers(2, 24))
    frames: dict[int, dict[int, tuple]] = {pts: {} for pts in range(count)}
    cuts = draw(st.sets(st.integers(1, count - 1), max_size=2))
    number = 0
    for lane in range(3):
        pts = draw(st.integers(0, count))
        while pts < count:
            stop = min(draw(st.integers(pts + 1, count)), *[c for c in cuts if c > pts], count)
            for at in range(pts, stop):
                frames[at][number] = box_at(40 * lane + 2 * (at % 3))
            number += 1
            pts = stop + draw(st.integers(0 if stop in cuts else 1, 70))
    bounds = draw(st.sets(st.integers(1, count - 1), max_size=5))
    return frames, sorted(cuts), sorted(bounds)


@settings(max_examples=80)
@given(scenes(), st.sampled_from([PassThrough, OneEuro, HoldsBack]))
def test_any_way_to_split_gives_the_same_table(scene, stabilizer):
    frames, cuts, bounds = scene
    whole = walk(split_parts(frames, [], cuts=cuts), stabilizer)
    assert walk(split_parts(frames, bounds, cuts=cuts), stabilizer).equals(whole)
    assert Counter(whole["pts"].to_pylist()) == {p: len(f) for p, f in frames.items() if f}


@pytest.mark.parametrize("bounds", [[], [7], [4, 5, 11], [10]])
@pytest.mark.parametrize("stabilizer", [PassThrough, OneEuro])
@pytest.mark.parametrize("fps", ["5", "7", "25/3"])
def test_rows_of_a_lower_rate_are_those_of_all(bounds, stabilizer, fps):
    """25 pts a second, some of them missing; a face comes and goes."""
    frames = {
        pts: {0: box_at(3 + pts), **({1: box_at(80)} if 4 < pts < 13 else {})}
        for pts in range(22)
        if pts not in (5, 10, 15)
    }
    parts = split_parts(frames, bounds, cuts=[11])
    every, some = walk(parts, stabilizer), walk(parts, stabilizer, fps)
    wanted = {0}
    wanted |= {
        b for a, b in pairwise(sorted(frames)) if a * Fraction(fps) // 25 != b * Fraction(fps) // 25
    }
    expected = every.filter(pa.compute.is_in(every["pts"], pa.array(sorted(wanted))))
    assert some.equals(expected)
    assert 0 < some.num_rows < every.num_rows / 2


def test_a_repeat_may_be_the_frame_that_is_wanted():
    part = one({0: {0: box_at(3)}, 3: {0: box_at(4)}, 9: {0: box_at(5)}})
    repeats = np.array([4, 5, 6], np.int64), np.array([1, 1, 1], np.int32)
    rows = replace(part.rows, repeat_pts=repeats[0], repeat_of=repeats[1])
    table = walk([replace(part, rows=rows)], fps="5")
    assert table["pts"].to_pylist() == [0, 5]
    assert table["frame_index"].to_pylist() == [0, 3]
    assert table["box_xyxy_px"].to_pylist()[1] == list(box_at(4))
