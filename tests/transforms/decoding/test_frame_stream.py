"""Frames that FrameStream skips in a segment, and losses that it reports."""

import random
from dataclasses import replace

import pytest
from clips import drifting, whole_video, write_clip
from test_video_source import damaged, frames_of, plain_pts, plan, video_of

from schemas.records import Segment
from tests.hostile.damage import retime_flv
from tests.hostile.encoding import Recipe, encode, moving
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.reach import OVERHANG_SECONDS
from transforms.decoding.video_source import open_video


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder, pictures = tmp_path_factory.mktemp("streams"), drifting(110, 96, 64)
    return {
        "mp4": write_clip(folder / "clip.mp4", pictures, keyint=10),
        "raw": write_clip(folder / "clip.h264", pictures, container_format="h264"),
    }


@pytest.mark.parametrize("kind", ["mp4", "raw"])
def test_what_is_left_of_a_segment_begins_with_its_warm_up(clips, kind):
    """From the last frame that is OVERHANG_SECONDS before its own; earlier ones are passed over."""
    path = clips[kind]
    pts = plain_pts(path)
    segment = plan(video_of(path), 1000.0)[0]
    overhang = OVERHANG_SECONDS / segment.metadata.time_base
    got = [p for p, _ in frames_of(replace(segment, own_start_pts=pts[50]))]
    first = max(p for p in pts if p <= pts[50] - overhang)
    assert got == [p for p in pts if p >= first]
    early = [p for p, _ in frames_of(replace(segment, own_start_pts=pts[5]))]
    assert early == pts
    counted = replace(segment, video=video_of(path, boxes_uri="b.csv"), own_start_pts=pts[50])
    assert [p for p, _ in frames_of(counted)] == pts


def test_losses_are_told_once_each_to_the_piece_that_owns_them(clips, tmp_path):
    path = damaged(clips["mp4"], tmp_path / "bad.mp4", every=21)
    (segment,) = plan(video_of(path), 1000.0)

    def losses(segment: Segment, bounds: list[int | None]) -> tuple[list[int], list]:
        with open_video(str(path)) as opened:
            stream_of = FrameStream(segment, opened)
            frames, counts, ranges = iter(stream_of), [], []
            for bound in bounds:
                for pts, _ in frames:
                    if bound is not None and pts > bound + 20 * 512:
                        break
                bad, lost = stream_of.lost.take(bound)
                counts.append(bad)
                ranges += lost.tolist()
        return counts, ranges

    (whole,), ranges = losses(segment, [None])
    assert whole >= 4
    bounds = [30 * 512, 60 * 512]
    counts, in_pieces = losses(segment, [*bounds, None])
    assert sum(counts) == whole
    assert all(counts)
    assert in_pieces == ranges
    for bound, rest in zip(bounds, ([*counts[1:]], [*counts[2:]]), strict=True):
        assert losses(replace(segment, own_start_pts=bound), [None])[0] == [sum(rest)]


_RECIPES = {
    "ivf": Recipe("libvpx"),
    "y4m": Recipe("wrapped_avframe", format="yuv4mpegpipe"),
    "nut": Recipe(b_frames=2),
    "flv": Recipe(b_frames=0),
}
_GARBAGE = {
    "zeros": bytes(1000),
    "noise": random.Random(1).randbytes(1000),
    "text": b"this is no frame\n" * 60,
}


def read(path) -> tuple[int, int, list]:
    """Frames, bad packets and losses."""
    segment = whole_video(str(path))
    with open_video(str(path), segment=segment) as opened:
        frames = FrameStream(segment, opened)
        count = sum(1 for _ in frames)
        packets_bad, lost = frames.lost.take()
    return count, packets_bad, lost.tolist()


@pytest.mark.parametrize("garbage", _GARBAGE)
@pytest.mark.parametrize("suffix", ["ivf", "y4m"])
def test_garbage_after_the_last_frame_is_no_frame(tmp_path, suffix, garbage):
    """The header of an IVF states its frames; a Y4M has no room for one."""
    path = encode(tmp_path / f"clip.{suffix}", moving(20), _RECIPES[suffix]).path
    path.write_bytes(path.read_bytes() + _GARBAGE[garbage])
    assert read(path) == (20, 0, [])


@pytest.mark.parametrize("missing", [1, 100, 60_000])
def test_a_frame_of_a_y4m_that_is_cut_off_is_lost(tmp_path, missing):
    path = encode(tmp_path / "clip.y4m", moving(20), _RECIPES["y4m"]).path
    content = path.read_bytes()
    path.write_bytes(content[:-missing])
    frames, packets_bad, _ = read(path)
    assert frames < 20
    assert packets_bad == 1


@pytest.mark.parametrize("suffix", ["ivf", "y4m"])
def test_what_may_have_frames_is_lost(tmp_path, suffix):
    """Another file after the first, and garbage in place of the last frames."""
    path = encode(tmp_path / f"clip.{suffix}", moving(20), _RECIPES[suffix]).path
    content = path.read_bytes()
    path.write_bytes(2 * content)
    assert read(path) == (20, 1, [])
    path.write_bytes(content[: len(content) // 2] + random.Random(1).randbytes(len(content)))
    frames, packets_bad, lost = read(path)
    assert frames < 20
    assert (packets_bad, lost) == (1, [])


def test_frames_before_a_reading_error_are_all_shown(tmp_path):
    """The decoder still holds some when NUT's demuxer fails at the garbage."""
    path = encode(tmp_path / "clip.nut", moving(30), _RECIPES["nut"]).path
    path.write_bytes(path.read_bytes() + _GARBAGE["zeros"])
    assert read(path) == (30, 1, [])


def test_shuffled_times_are_no_losses(tmp_path):
    path = encode(tmp_path / "clip.flv", moving(30), _RECIPES["flv"]).path
    places = random.Random(3).sample(range(1, 30), 29)
    retime_flv(path, {i: 40 * (place - i) for i, place in enumerate(places, 1)})
    assert read(path) == (30, 0, [])
