import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas import errors
from schemas.columns import Column, to_schema
from schemas.landmarks import CONTOURS, FLIP_PERMUTATION, LANDMARK_COUNT, OUTER_EYE_CORNERS
from schemas.reasons import REASONS
from schemas.records import BOX_SOURCES, Segment, SegmentRows, SegmentWindows, StreamMetadata, Video
from schemas.tracks import TRACK_COLUMNS
from schemas.videos import VIDEO_COLUMNS, VIDEO_SCHEMA


def test_contours_use_every_landmark_once():
    used = sorted(i for points, _ in CONTOURS.values() for i in points)
    assert used == [*range(LANDMARK_COUNT)]


def test_mirroring_twice_changes_nothing():
    assert np.array_equal(FLIP_PERMUTATION[FLIP_PERMUTATION], np.arange(68))
    assert not FLIP_PERMUTATION.flags.writeable


def test_mirroring_by_hand():
    pairs = {
        0: 16,
        8: 8,
        17: 26,
        27: 27,
        31: 35,
        36: 45,
        37: 44,
        40: 47,
        48: 54,
        51: 51,
        59: 55,
        67: 65,
    }
    assert {i: int(FLIP_PERMUTATION[i]) for i in pairs} == pairs
    assert FLIP_PERMUTATION[OUTER_EYE_CORNERS[0]] == OUTER_EYE_CORNERS[1]


def test_mirroring_keeps_contours():
    """A mirrored left eye is a right eye; jaw, bridge, nostrils and lips map to themselves."""
    sets = {frozenset(points) for points, _ in CONTOURS.values()}
    for points in sets:
        assert frozenset(int(FLIP_PERMUTATION[i]) for i in points) in sets


def test_columns_become_a_schema():
    columns = [Column("t", pa.float64(), "s", "time"), Column("n", pa.int32(), "", "name", True)]
    schema = to_schema(columns)
    assert schema.names == ["t", "n"]
    assert [f.nullable for f in schema] == [False, True]
    assert schema.field("t").metadata == {b"unit": b"s", b"meaning": b"time"}


@pytest.mark.parametrize("columns", [TRACK_COLUMNS, VIDEO_COLUMNS], ids=["tracks", "videos"])
def test_every_column_is_named_once_and_explained(columns):
    names = [c.name for c in columns]
    assert len(set(names)) == len(names)
    assert all(c.meaning for c in columns)


def test_tables_say_what_they_can_hold():
    assert VIDEO_SCHEMA.field("reason").nullable
    assert not VIDEO_SCHEMA.field("status").nullable
    assert "no_face" in REASONS


def all_errors(kind=errors.FacetracksError) -> list[type]:
    below = [e for sub in kind.__subclasses__() for e in all_errors(sub)]
    return [e for e in (kind, *below) if e.__module__ == errors.__name__]


def test_the_tree_in_the_docstring_is_the_tree():
    for error in all_errors():
        assert error.__name__ in errors.__doc__
        assert error.__doc__


@pytest.mark.parametrize("kind", [e for e in all_errors() if issubclass(e, errors.VideoError)])
def test_video_errors_keep_their_reason_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("empty", "a.mp4: no bytes")))
    assert type(error) is kind
    assert (error.reason, str(error)) == ("empty", "a.mp4: no bytes")


def test_the_reasons_of_the_tree_are_those_of_the_table():
    words = set(errors.__doc__.replace(",", " ").replace("|", " ").split())
    told = {reason for reason in REASONS if reason in words}
    made_elsewhere = {"no_face", "bad_packets", "segment_lost", "truncated"}
    assert set(REASONS) - told <= made_elsewhere


def rows(**changes) -> SegmentRows:
    fields = {
        "frame_pts": np.arange(2),
        "frame": np.zeros(3, np.int32),
        "track": np.arange(3, dtype=np.int32),
        "boxes_xyxy_px": np.zeros((3, 4), np.float32),
        "box_source": np.zeros(3, np.uint8),
        "scores": np.zeros(3, np.float32),
        "blur": np.full(3, np.nan, np.float32),
        "cut_off": np.zeros(3, np.float32),
        "cuts_pts": np.zeros(0, np.int64),
    }
    return SegmentRows(**(fields | changes))


def test_rows_of_unequal_length_are_refused():
    assert repr(rows()) == "SegmentRows(2 frames, 3 rows)"
    with pytest.raises(ValueError, match=r"track: got shape \(2,\), expected \(3,\)"):
        rows(track=np.zeros(2, np.int32))
    with pytest.raises(ValueError, match=r"boxes_xyxy_px: got shape \(3, 2\)"):
        rows(boxes_xyxy_px=np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"box_source: got 3"):
        rows(box_source=np.full(3, len(BOX_SOURCES), np.uint8))


@pytest.mark.parametrize("name", ["scores", "blur", "cut_off"])
@pytest.mark.parametrize("value", [-0.1, 1.1, np.inf])
def test_shares_are_from_0_to_1(name, value):
    with pytest.raises(ValueError, match=rf"{name}: got .* expected 0..1"):
        rows(**{name: np.array([0, value, 0], np.float32)})


def test_only_blur_may_be_unknown():
    rows(blur=np.array([np.nan, 0.5, np.nan], np.float32))
    with pytest.raises(ValueError, match=r"cut_off: got nan to nan"):
        rows(cut_off=np.full(3, np.nan, np.float32))


def segment(**bounds) -> Segment:
    return Segment(Video("v", "/v"), StreamMetadata("", "", 1, None, None, None, 1), 0, 1, **bounds)


def windows(crops, indices) -> SegmentWindows:
    affines = np.zeros((3, 2, 3))
    return SegmentWindows(segment(), None, rows(), None, crops, indices, affines)


def test_windows_are_checked_and_never_print_pixels():
    crops, indices = np.zeros((5, 4, 4, 3), np.uint8), np.zeros((3, 3), np.int32)
    assert "crops (5, 4, 4, 3), windows (3, 3)" in repr(windows(crops, indices))
    with pytest.raises(ValueError, match=r"crops: got \(5, 4, 4, 3\) float32, expected 4-d uint8"):
        windows(crops.astype(np.float32), indices)
    with pytest.raises(ValueError, match=r"windows: got \(2, 3\), expected one a row"):
        windows(crops, indices[:2])


def test_a_segment_owns_from_its_start_to_before_its_stop():
    assert [segment(own_start_pts=5, own_stop_pts=8).owns(p) for p in (4, 5, 7, 8)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert segment(own_stop_pts=8).owns(-100)
    assert segment(own_start_pts=5).owns(10**12)
    assert segment().owns(0)


def test_the_readme_tells_every_column_and_reason_as_it_is():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for column in (*TRACK_COLUMNS, *VIDEO_COLUMNS):
        assert f"| `{column.name}` |" in readme
        assert column.meaning in readme
    for reason, meaning in REASONS.items():
        assert f"| `{reason}` | {meaning} |" in readme
