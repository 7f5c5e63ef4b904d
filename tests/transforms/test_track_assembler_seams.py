"""The tracks do not depend on the cuts between segments: real pictures through every stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from clips import decode_plainly, write_clip
from cut_videos import Annotator, cut_at, plan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from track_tables import assert_same_tracks

from models.synthesis.astronaut import load_astronaut
from schemas.choices import STABILIZERS
from schemas.records import Segment, SegmentPart, Video

GOP = 7  # frames; with 25 a second, a cut every 0.28 s
SHOT_CUT = 100
ASTRONAUT = load_astronaut()


@pytest.fixture(scope="module")
def annotator(tmp_path_factory) -> Annotator:
    return Annotator(tmp_path_factory.mktemp("cut"))


@pytest.fixture(scope="module")
def every_cut(talking_clip, tmp_path_factory) -> list[Segment]:
    """Two faces, one of which appears later, then a new shot; the maximum number of segments."""
    pictures = [frame.to_ndarray(format="rgb24") for frame in decode_plainly(talking_clip)]
    pictures[SHOT_CUT:] = [np.flipud(p[::-1, ::-1]) // 2 for p in pictures[SHOT_CUT:]]
    path = tmp_path_factory.mktemp("often") / "often.mp4"
    write_clip(path, pictures, keyint=GOP, b_frames=2)
    return plan(Video("often.mp4", str(path)), 0.9 * GOP / 25)


@pytest.fixture(scope="module")
def uncut(annotator, every_cut) -> pa.Table:
    table = annotator.tracks(cut_at(every_cut, []))
    assert len(every_cut) > 15
    assert len(set(table["face_id"].to_pylist())) >= 4  # two faces, in two shots
    return table


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(data=st.data(), piece_bytes=st.sampled_from([20_000, 300_000, 8 << 20]))
def test_any_cuts_give_the_same_tracks(annotator, every_cut, uncut, data, piece_bytes):
    most = len(every_cut) - 1
    cuts = data.draw(st.sets(st.integers(1, most), min_size=1, max_size=6), label="cuts")
    segments = cut_at(every_cut, cuts)
    assert len(segments) == 1 + len(cuts)
    cut = annotator.tracks(segments, piece_bytes=piece_bytes)
    assert_same_tracks(cut, uncut, full_precision=True)


#: In 1/25 s: a pause that ends every face, one that ids survive only by frames, a short one.
STRETCHES = (range(24), range(50, 80), range(150, 166), range(175, 191))


def stretch(folder: Path, name: str, at: list[int]) -> list[Segment]:
    """A moving face, encoded losslessly at these times; cut at every possible place."""
    shifts = [abs(i % 40 - 20) for i in at]  # px, back and forth
    pictures = [ASTRONAUT[20:230, 80 + x : 360 + x] for x in shifts]
    path = write_clip(folder / name, pictures, pts=at, keyint=1, crf=0)
    return plan(Video(name, str(path)), 0.4)


@pytest.fixture(scope="module")
def paused(annotator, tmp_path_factory) -> list[list[list[SegmentPart]]]:
    """Parts of a video with pauses, uncut and cut, and of the stretches between the long pauses."""
    folder = tmp_path_factory.mktemp("pauses")
    first, second, *rest = map(list, STRETCHES)
    third = [at for stretch in rest for at in stretch]  # a face survives a pause of 0.36 s
    whole = stretch(folder, "whole.mp4", [*first, *second, *third])
    assert len(whole) > 8
    alone = [stretch(folder, f"{at[0]}.mp4", at) for at in (first, second, third)]
    cuts = [[annotator.parts(cut_at(whole, at))] for at in ((), range(1, len(whole)))]
    return [*cuts, [annotator.parts(cut_at(segments, ())) for segments in alone]]


@pytest.mark.parametrize("stabilizer", STABILIZERS)
def test_a_long_pause_parts_the_tracks(annotator, paused, stabilizer):
    """All frames have rows; those between pauses are the rows of a video of these frames alone.

    However the video is cut: segments begin before, in and after each pause.
    """
    uncut, cut, alone = (
        pa.concat_tables(annotator.stabilized(parts, stabilizer) for parts in videos)
        for videos in paused
    )
    assert uncut["pts"].to_pylist() == [512 * at for stretch in STRETCHES for at in stretch]
    assert uncut["frame_index"].to_pylist() == list(range(uncut.num_rows))
    assert set(uncut["face_id"].to_pylist()) == {0}
    assert_same_tracks(cut, uncut, full_precision=True)
    for name in ("video_id", "frame_index"):
        place = alone.schema.get_field_index(name)
        alone = alone.set_column(place, alone.schema.field(name), uncut[name])
    assert_same_tracks(alone, uncut, full_precision=True)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "stop_seconds", "segments"),
    [
        ("mpiigaze_demo__video01.mp4", 6.0, 2),  # several faces, B-frames
        ("pyfeat__face_noface.mov", 5.0, 4),  # HEVC, variable frame rate, the face goes
        ("sadtalker__WDA_AlexandriaOcasioCortez_000.mp4", 4.0, 2),  # MPEG-4, a GOP of 0.5 s
        ("mediapipe__format_FLV_H264_AAC.video", None, 3),  # FLV, no face
        ("faceapijs__video.mp4", None, 1),  # five frames
    ],
)
def test_segments_of_real_clips(annotator, shared_data, name, stop_seconds, segments):
    video = Video(name, str(shared_data / "videos" / name), stop_seconds=stop_seconds)
    plans = [plan(video, seconds) for seconds in (1, 3, 10)]
    assert len(plans[0]) == segments
    whole = annotator.tracks(plan(video, 1000))
    for cut in plans:
        if len(cut) > 1:
            assert_same_tracks(annotator.tracks(cut), whole, full_precision=True)
