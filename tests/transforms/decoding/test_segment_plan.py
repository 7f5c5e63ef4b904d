"""The cost of planning depends on the actual data, not on headers and timestamps."""

import struct
from fractions import Fraction

import pytest
from clips import drifting, whole_video, write_clip

from schemas.records import Video
from tests.hostile.damage import overwrite, retime_flv
from tests.hostile.encoding import Recipe, encode, moving
from tests.hostile.packed_frames import remux
from transforms.decoding.box_files import read_boxes
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.segment_plan import plan_segments
from transforms.decoding.video_source import OpenVideo, open_video

EPOCH = 1_700_000_000


class CountedSeeks:
    """A container that counts seeks."""

    def __init__(self, container):
        self._container, self.seeks = container, 0

    def seek(self, *args, **options):
        self.seeks += 1
        return self._container.seek(*args, **options)

    def __getattr__(self, name):
        return getattr(self._container, name)


def planned(path, seconds, **options):
    """The segments of a video, and how many seeks they took."""
    with open_video(str(path)) as opened:
        container = CountedSeeks(opened.container)
        counted = OpenVideo(opened.uri, container, opened.stream)
        segments = plan_segments(Video("v", str(path), **options), counted, seconds)
    return segments, container.seeks


def owned_seconds(segments):
    """Times of the frames from the video's start, by the segments that own them."""
    found = []
    for segment in segments:
        metadata = segment.metadata
        with open_video(segment.video.uri, segment=segment) as opened:
            found += [
                float((pts - metadata.start_pts) * metadata.time_base)
                for pts, _ in FrameStream(segment, opened)
                if segment.owns(pts)
            ]
    return found


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize("start", [0, 90_000, EPOCH])
def test_timestamps_may_start_anywhere(tmp_path, suffix, start):
    if start == EPOCH and suffix != "mkv":
        pytest.skip("its timestamps have fewer bits")
    pts = range(25 * start, 25 * start + 100)
    path = write_clip(tmp_path / f"late.{suffix}", drifting(100, 64, 48), pts=pts, keyint=25)
    segments, seeks = planned(path, 1.0)
    assert len(segments) == 4
    assert seeks < 30
    assert owned_seconds(segments) == pytest.approx([i / 25 for i in range(100)])


@pytest.mark.parametrize("claimed", [0.1, 60.0, 1e9])
def test_a_length_that_a_header_claims_is_a_hint(tmp_path, claimed):
    path = write_clip(tmp_path / "lie.mkv", drifting(100, 64, 48), keyint=25)
    overwrite(path, b"\x44\x89\x88", 3, struct.pack(">d", claimed * 1000))
    segments, seeks = planned(path, 1.0)
    assert seeks < 40
    assert len(segments) == (1 if claimed < 1 else 4)
    assert len(owned_seconds(segments)) == 100


def test_a_pause_of_a_week_costs_few_seeks(tmp_path):
    week = 7 * 86_400 * 25
    pts = [*range(100), *range(week, week + 100)]
    path = write_clip(tmp_path / "pause.mkv", drifting(200, 64, 48), pts=pts, keyint=25)
    segments, seeks = planned(path, 1.0)
    assert len(segments) == 8
    assert seeks < 100
    assert owned_seconds(segments) == pytest.approx([p / 25 for p in pts])


@pytest.mark.parametrize("start", [0, 50, 2500])
def test_a_range_counts_from_the_first_pts(tmp_path, start):
    pts = range(start, start + 75)
    path = write_clip(tmp_path / "late.ts", drifting(75, 64, 48), pts=pts, keyint=25)
    segments, _ = planned(path, 10.0, start_seconds=1.0, stop_seconds=2.2)
    assert owned_seconds(segments) == pytest.approx([i / 25 for i in range(25, 55)])


def test_steps_come_from_timestamps(tmp_path):
    """Independent of the encoder's rate."""
    for every in (1, 2, 25):
        pts = range(0, 30 * every, every)
        path = write_clip(tmp_path / f"{every}.mp4", drifting(30, 64, 48), pts=pts)
        metadata = whole_video(str(path)).metadata
        assert metadata.step_pts * metadata.time_base == Fraction(every, 25)


def test_dv_says_60000_frames_a_second(tmp_path):
    """Boxes by time still find their frames."""
    recipe = Recipe("dvvideo", pixel_format="yuv420p")
    clip = encode(tmp_path / "tape.dv", moving(8, 720, 576), recipe)
    metadata = whole_video(str(clip.path)).metadata
    assert metadata.average_fps == 60_000
    assert metadata.step_pts * metadata.time_base == Fraction(1, 25)
    rows = [f"{i / 25:.2f},1,2,3,4" for i in range(8)]
    (tmp_path / "boxes.csv").write_text("\n".join(["pts_seconds,x0,y0,x1,y1", *rows]))
    video = Video("tape", str(clip.path), boxes_uri=str(tmp_path / "boxes.csv"))
    boxes = read_boxes(video, metadata.time_base, metadata.step_pts)
    assert [boxes.is_key(i, 2400 * i + 100, None) for i in range(9)] == [True] * 8 + [False]


def test_a_video_with_frames_that_a_message_at_its_start_turns_is_not_cut(tmp_path):
    """A later segment would not know it."""
    recipe = Recipe(gop=10, options={"x264-params": "aud=1:repeat-headers=1"})
    plain = encode(tmp_path / "plain.ts", moving(50), recipe).path
    message = "h264_metadata=display_orientation=insert:rotate=90"
    turned = remux(plain, tmp_path / "turned.mp4", message)
    for path, count in ((remux(plain, tmp_path / "plain.mp4"), 5), (turned, 1)):
        with open_video(str(path)) as opened:
            assert len(plan_segments(Video(path.name, str(path)), opened, 0.4)) == count


def test_a_video_with_frames_that_share_timestamps_is_not_cut(tmp_path):
    path = encode(tmp_path / "twice.flv", moving(50), Recipe(gop=10)).path
    counts = []
    for shift in (0, -40):
        retime_flv(path, dict.fromkeys(range(1, 50, 2), shift))
        with open_video(str(path)) as opened:
            counts.append(len(plan_segments(Video(path.name, str(path)), opened, 0.4)))
    assert counts == [5, 1]
