import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from segments import box_at, make_part, make_segment, make_windows

from schemas.records import Video
from transforms.storage.record_codec import (
    pack_landmarks,
    pack_plan,
    pack_windows,
    unpack_landmarks,
    unpack_plan,
    unpack_windows,
)

SEGMENT = make_segment(1, 3, seek=25, own=(43, 68))
WINDOWS = pack_windows(make_windows(SEGMENT, 2))
LANDMARKS = pack_landmarks(make_part(SEGMENT, {43: {0: box_at(3)}}, seam=(68, {0: box_at(4)})))
PLAN = pack_plan([make_segment(0, 2, own=(None, 18)), make_segment(1, 2, seek=0, own=(18, None))])


def test_windows_come_back_as_they_were():
    expected = make_windows(SEGMENT, 2)
    got = unpack_windows(WINDOWS, SEGMENT)
    assert (got.segment, got.geometry, got.stats, got.seam) == (
        SEGMENT, expected.geometry, expected.stats, None,
    )  # fmt: skip
    for name in ("crops", "windows", "affines"):
        a, b = getattr(got, name), getattr(expected, name)
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    assert np.array_equal(got.rows.boxes_xyxy_px, expected.rows.boxes_xyxy_px)


def test_a_plan_comes_back_with_the_video_of_who_asked():
    video = Video("other", "/other.mp4", fingerprint="size=1")
    got = unpack_plan(PLAN, video)
    assert {s.video for s in got} == {video}
    assert [(s.index, s.count, s.seek_pts, s.own_start_pts, s.own_stop_pts) for s in got] == [
        (0, 2, None, None, 18), (1, 2, 0, 18, None),
    ]  # fmt: skip
    assert got[0].metadata == make_segment().metadata
    assert isinstance(got[0].metadata.time_base, Fraction)


def test_no_frame_rate_stays_none():
    segment = make_segment()
    segment = replace(
        segment, metadata=replace(segment.metadata, average_fps=None, frames_expected=None)
    )
    (got,) = unpack_plan(pack_plan([segment]), segment.video)
    assert got.metadata == segment.metadata


UNPACK = {
    "windows": (WINDOWS, unpack_windows),
    "landmarks": (LANDMARKS, unpack_landmarks),
    "plan": (PLAN, lambda content, segment: unpack_plan(content, segment.video)),
}


def readable(kind: str, content: bytes) -> bool:
    """Whether it can be read; anything but a ValueError gets out."""
    try:
        UNPACK[kind][1](content, SEGMENT)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("kind", sorted(UNPACK))
@given(st.binary(max_size=200))
def test_garbage_is_a_value_error_and_nothing_else(kind, content):
    assert not readable(kind, content)


@pytest.mark.parametrize("kind", sorted(UNPACK))
@given(st.floats(0, 0.999))
def test_a_truncated_answer_is_refused(kind, share):
    whole = UNPACK[kind][0]
    assert readable(kind, whole)
    assert not readable(kind, whole[: int(share * len(whole))])


@pytest.mark.parametrize("kind", sorted(UNPACK))
@given(st.floats(0, 0.999), st.integers(1, 255))
def test_a_flipped_byte_is_read_or_refused_and_nothing_else(kind, share, flip):
    content = bytearray(UNPACK[kind][0])
    content[int(share * len(content))] ^= flip
    readable(kind, bytes(content))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4) | st.just("1/0"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.sampled_from(["metadata", "cuts"]), json_values)
@example("cuts", [])
@example("cuts", {})
def test_a_plan_of_another_shape_is_refused(key, value):
    plan = json.loads(PLAN) | {key: value}
    cuts = value if key == "cuts" and isinstance(value, list) else []
    assume(not any(isinstance(cut, list) and len(cut) == 3 for cut in cuts))  # may be a plan
    assert not readable("plan", json.dumps(plan).encode())


@given(st.sampled_from(sorted(json.loads(PLAN)["metadata"])), json_values)
def test_a_probe_of_another_shape_is_read_or_refused(key, value):
    plan = json.loads(PLAN)
    plan["metadata"][key] = value
    readable("plan", json.dumps(plan).encode())


def test_indices_out_of_range_are_refused():
    windows = make_windows(SEGMENT, 2)
    windows.windows[1, 2] = 2
    with pytest.raises(ValueError, match=r"windows: got indices to 2 of 2 crops"):
        unpack_windows(pack_windows(windows), SEGMENT)
    windows.windows[1, 2] = -1
    with pytest.raises(ValueError, match="windows"):
        unpack_windows(pack_windows(windows), SEGMENT)


def test_arrays_of_another_type_or_length_are_refused():
    windows = make_windows(SEGMENT, 2)
    with pytest.raises(ValueError, match="affines: got"):
        unpack_windows(pack_windows(replace(windows, affines=windows.affines[:1])), SEGMENT)
    with pytest.raises(ValueError, match="affines: got float32, expected float64"):
        wrong = replace(windows, affines=windows.affines.astype(np.float32))
        unpack_windows(pack_windows(wrong), SEGMENT)
    part = make_part(SEGMENT, {43: {0: box_at(3)}, 44: {0: box_at(3)}})
    with pytest.raises(ValueError, match=r"spread_px: got shape \(1, 68\), expected \(2, 68\)"):
        short = replace(part, spread_px=part.spread_px[:1])
        unpack_landmarks(pack_landmarks(short), SEGMENT)
    with pytest.raises(ValueError, match="landmarks"):
        short = replace(part, landmarks_px=part.landmarks_px[:1])
        unpack_landmarks(pack_landmarks(short), SEGMENT)
