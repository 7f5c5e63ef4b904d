"""Repeats get the rows of the previous frame; faces of sparse videos keep their ids."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from segments import METADATA, box_at, make_part, make_segment

from models.stabilization.stabilizers import OneEuro, PassThrough
from schemas.records import SegmentLandmarks
from transforms.track_assembler import TrackAssembler

FACE = {0: box_at(10.0)}


def repeating(part: SegmentLandmarks, repeats: dict[int, list[int]]) -> SegmentLandmarks:
    """The part with some repeated frames: {pts: pts of its repeats}."""
    at = {int(pts): i for i, pts in enumerate(part.rows.frame_pts)}
    pairs = [(pts, at[of]) for of, some in sorted(repeats.items()) for pts in some]
    rows = replace(
        part.rows,
        repeat_pts=np.array([p for p, _ in pairs], np.int64),
        repeat_of=np.array([i for _, i in pairs], np.int32),
    )
    return replace(part, rows=rows)


def tracks(parts, stabilizer=PassThrough, time_base=METADATA.time_base):
    """The table of a video, and its walker."""
    walker = TrackAssembler("clip.mp4", time_base)
    tables = [walker.add(part, stabilizer) for part in parts]
    table = pa.concat_tables([*tables, walker.skip()])
    return table.sort_by([("face_id", "ascending"), ("frame_index", "ascending")]), walker


def test_repeats_have_the_rows_of_their_frames():
    part = make_part(make_segment(), {0: FACE, 3: FACE, 4: {}})
    table, walker = tracks([repeating(part, {0: [1, 2], 4: [5]})])
    assert table["pts"].to_pylist() == [0, 1, 2, 3]
    assert table["frame_index"].to_pylist() == [0, 1, 2, 3]
    assert table["pts_seconds"].to_pylist() == [0.0, 0.04, 0.08, 0.12]
    assert (walker.frames, walker.repeats, table.num_rows) == (6, 3, 4)
    assert (walker.first_pts, walker.last_pts) == (0, 5)
    assert walker.rows_of((0,)) == 4
    rows = table.to_pylist()
    same = ("x", "y", "x_raw", "y_raw", "box_xyxy_px", "box_source", "score", "face_id")
    same += ("blur", "cut_off", "shot", "pitch_deg")
    assert all(rows[1][name] == rows[2][name] == rows[0][name] for name in same)
    assert rows[3]["x_raw"] != rows[0]["x_raw"]


@pytest.mark.parametrize("stabilizer", [OneEuro, PassThrough])
def test_filters_see_only_what_is_new_at_its_time(stabilizer):
    """The same as the video without repeats, at the same times."""
    frames = {pts: {0: box_at(10.0 + pts % 3)} for pts in range(0, 40, 2)}
    part = make_part(make_segment(), frames)
    plain, _ = tracks([part], stabilizer)
    doubled, _ = tracks([repeating(part, {pts: [pts + 1] for pts in frames})], stabilizer)
    for name in ("x", "y", "pts_seconds"):
        assert doubled[name].to_pylist()[::2] == plain[name].to_pylist()
    assert doubled["x"].to_pylist()[1::2] == plain["x"].to_pylist()


def test_frames_are_numbered_over_segments_with_repeats():
    first = repeating(make_part(make_segment(0, 2, own=(None, 6)), {0: FACE, 4: FACE}), {4: [5, 6]})
    second = make_part(make_segment(1, 2, own=(6, None)), {7: FACE, 8: FACE})
    table, walker = tracks([first, second])
    assert table["frame_index"].to_pylist() == [0, 1, 2, 3, 4, 5]
    assert walker.frames == 6


def sparse(seconds):
    """A face on a picture at each of these times, none of which is linked to another."""
    return make_part(make_segment(), {s: {s: box_at(10.0)} for s in seconds})


@pytest.mark.parametrize(
    ("seconds", "faces"),
    [
        (range(0, 60, 4), 1),  # a picture every 4 s
        (range(0, 3000, 10), 1),
        ([0, 1, 2, 22, 23], 2),  # no face is remembered after 20 s ...
        ([0, 12, 24, 48, 60], 1),  # ... unless pauses are usual
        ([0, 4, 8, 8 + 86_400, 12 + 86_400], 2),
    ],
)
def test_faces_of_a_sparse_video_keep_their_ids(seconds, faces):
    table, _ = tracks([sparse(seconds)], time_base=Fraction(1))
    assert len(set(table["face_id"].to_pylist())) == faces
    assert table.num_rows == len(list(seconds))


def test_a_face_that_is_away_for_many_frames_is_another():
    away = {s: {} for s in range(4, 20, 4)}
    part = make_part(make_segment(), {0: {0: box_at(10.0)}, **away, 20: {1: box_at(10.0)}})
    table, _ = tracks([part], time_base=Fraction(1))
    assert table["face_id"].to_pylist() == [0, 1]
