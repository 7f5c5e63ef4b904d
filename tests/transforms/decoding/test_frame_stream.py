"""Frames that FrameStream skips in a segment, and losses that it reports."""

from dataclasses import replace

import pytest
from clips import drifting, write_clip
from test_video_source import damaged, frames_of, plain_pts, plan, video_of

from schemas.records import Segment
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
