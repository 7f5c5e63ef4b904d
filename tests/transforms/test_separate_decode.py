import io
import pickletools
from dataclasses import replace

import apache_beam as beam
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segments import make_segment, make_windows
from stages import outputs_of

from schemas.records import SegmentWindows, Video
from transforms.decode_windows import DecodeWindows
from transforms.decoding.child import ChildSettings
from transforms.decoding.piece_builder import CropSpec
from transforms.separate_decode import SegmentWindowsCoder, SeparateDecode
from transforms.storage.record_codec import pack_segment, unpack_segment
from transforms.storage.run_output import RunOutput

CODER = SegmentWindowsCoder()
VIDEO = Video("a/ä\udcff.mp4", "s3://b/ä\udcff.mp4", 1.5, None, "boxes.csv", "size=3")
SEGMENT = replace(make_segment(1, 3, seek=25, own=(43, 68)), video=VIDEO)
WINDOWS = make_windows(SEGMENT, 2)


def assert_same(got: SegmentWindows, expected: SegmentWindows) -> None:
    assert got.segment == expected.segment
    assert (got.geometry, got.stats, got.seam) == (
        expected.geometry, expected.stats, expected.seam,
    )  # fmt: skip
    for name in ("crops", "windows", "affines"):
        assert np.array_equal(getattr(got, name), getattr(expected, name))
    names = ("frame_pts", "frame", "track", "boxes_xyxy_px", "box_source", "scores")
    for name in (*names, "blur", "cut_off"):
        assert np.array_equal(getattr(got.rows, name), getattr(expected.rows, name))


def test_windows_cross_as_they_are():
    assert_same(CODER.decode(CODER.encode(WINDOWS)), WINDOWS)


def test_the_same_windows_are_the_same_bytes_and_no_pickle():
    encoded = CODER.encode(WINDOWS)
    assert encoded == CODER.encode(CODER.decode(encoded))
    assert CODER.is_deterministic()
    with pytest.raises(ValueError, match="opcode"):
        list(pickletools.genops(io.BytesIO(encoded)))


def test_reading_copies_no_pixels():
    encoded = CODER.encode(WINDOWS)
    got = CODER.decode(encoded)
    whole = np.frombuffer(encoded, np.uint8)
    for array in (got.crops, got.windows, got.affines, got.rows.boxes_xyxy_px, got.rows.frame_pts):
        assert np.shares_memory(array, whole)
        assert array.flags.aligned
        assert not array.flags.writeable


def test_a_segment_comes_back_with_all_it_refers_to():
    assert unpack_segment(pack_segment(SEGMENT)) == SEGMENT
    with pytest.raises(ValueError, match="missing required field"):
        unpack_segment(b'{"video": {}}')


@given(st.binary(max_size=200))
def test_other_bytes_are_a_value_error(content):
    with pytest.raises(ValueError, match=r".*"):
        CODER.decode(content)


def test_the_stage_gives_what_it_got():
    windows = [make_windows(make_segment(i, 3), i) for i in range(3)]
    got = outputs_of(windows, SeparateDecode())
    for one, expected in zip(sorted(got, key=lambda w: w.segment.index), windows, strict=True):
        assert_same(one, expected)


def test_the_shuffle_uses_the_coder():
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = pipeline | beam.Create([WINDOWS], reshuffle=False) | "Apart" >> SeparateDecode()
    parts = pipeline.to_runner_api().components
    (shuffled,) = (
        transform.inputs
        for transform in parts.transforms.values()
        if transform.spec.urn == "beam:transform:group_by_key:v1"
    )
    used, new = set(), {parts.pcollections[pcoll].coder_id for pcoll in shuffled.values()}
    while new - used:
        used |= new
        new = {inner for name in used for inner in parts.coders[name].component_coder_ids}
    assert any("SegmentWindowsCoder" in name for name in used)


def test_the_size_of_crops_between_stages_is_estimated_and_nothing_is_encoded():
    windows = make_windows(make_segment(), 3)
    assert CODER.estimate_size(windows) == windows.crops.nbytes
    pipeline = beam.Pipeline()
    segments = pipeline | beam.Create([windows.segment])
    run_output = RunOutput("out", {})
    decoded = segments | DecodeWindows(ChildSettings(CropSpec(16, 1.2, 3)), run_output)
    assert decoded.windows.element_type is SegmentWindows
    coder = beam.coders.registry.get_coder(list[SegmentWindows])
    assert coder.get_impl().estimate_size([windows] * 2) > 2 * windows.crops.nbytes
