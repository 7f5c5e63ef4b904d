import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segments import box_at, make_part, make_segment, make_windows

from transforms.storage.record_codec import (
    pack_landmarks,
    pack_windows,
    unpack_landmarks,
    unpack_windows,
)

SEGMENT = make_segment(1, 3, seek=25, own=(43, 68))
WINDOWS = pack_windows(make_windows(SEGMENT, 2))
LANDMARKS = pack_landmarks(make_part(SEGMENT, {43: {0: box_at(3)}}, seam=(68, {0: box_at(4)})))


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


UNPACK = {
    "windows": (WINDOWS, unpack_windows),
    "landmarks": (LANDMARKS, unpack_landmarks),
}


def readable(kind: str, content: bytes) -> bool:
    """Whether it can be read; errors other than ValueError propagate."""
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


strange = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["1/0", "long", "9" * 40]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def with_fields(content: bytes, **changes: object) -> bytes:
    """The same arrays with other fields."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    fields = json.loads(header["__metadata__"]["facetracks"])
    for path, value in changes.items():
        *outer, name = path.split("__")
        place = fields
        for part in outer:
            place = place[part]
        place[name] = value
    header["__metadata__"]["facetracks"] = json.dumps(fields)
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + content[8 + size :]


@pytest.mark.parametrize("kind", sorted(UNPACK))
@given(
    st.sampled_from(
        ["stats", "geometry", "seam_pts", "stats__decode_seconds", "stats__packets_bad"]
        + ["geometry__width_px", "geometry__rotation_deg", "geometry__sample_aspect_ratio"]
    ),
    strange,
)
def test_a_strange_value_in_any_field_is_read_or_refused_and_nothing_else(kind, path, value):
    readable(kind, with_fields(UNPACK[kind][0], **{path: value}))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("stats__decode_seconds", "long"), ("stats__decode_seconds", -1),
        ("stats__packets_bad", -1),
        ("stats__packets_bad", 0.5), ("stats__align_seconds", 1e300), ("geometry__width_px", 0),
        ("geometry__height_px", "96"), ("geometry__rotation_deg", 45), ("geometry", []),
        ("geometry__sample_aspect_ratio", "0/1"), ("geometry__sample_aspect_ratio", "1/0"),
        ("seam_pts", 2**63), ("seam_pts", 1.5), ("stats", None),
    ],
)  # fmt: skip
def test_fields_of_another_type_or_range_are_refused(path, value):
    assert readable("landmarks", with_fields(LANDMARKS, stats__packets_bad=3))
    assert not readable("landmarks", with_fields(LANDMARKS, **{path: value}))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("frame_pts", [43, 43], "frame_pts"),
        ("frame_pts", [44, 43], "frame_pts"),
        ("frame", [0, 2], "frame: got 0 to 2 of 2 frames"),
        ("frame", [1, 0], "frame"),
        ("frame", [-1, 1], "frame"),
        ("track", [0, -1], "track"),
        ("scores", [0.5, np.nan], "scores"),
        ("scores", [0.5, 1.5], "scores"),
        ("blur", [0.5, 1.5], "blur"),
        ("cut_off", [0.5, np.nan], "cut_off"),
        ("boxes_xyxy_px", [[0, 0, 1, np.inf], [0, 0, 1, 1]], "boxes_xyxy_px"),
        ("cuts_pts", [45], "cuts_pts"),
        ("lost_pts", [[45, 45]], "lost_pts"),
        ("box_source", [0, 9], "box_source"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(name, value, message):
    rows = make_part(SEGMENT, {43: {0: box_at(3)}, 44: {0: box_at(3)}}).rows
    with pytest.raises(ValueError, match=message):
        replace(rows, **{name: np.array(value, getattr(rows, name).dtype)})


def test_frames_of_another_segment_are_refused():
    other = make_segment(2, 3, seek=50, own=(68, None))
    with pytest.raises(ValueError, match="frame_pts: got 43, expected some from 68 to None"):
        unpack_landmarks(LANDMARKS, other)


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
