"""Losses are reported only with evidence: an unexplained gap in the frame times."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from clips import drifting, whole_video, write_clip, write_from_packet
from segments import make_segment

from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.lost_frames import LostFrames
from transforms.decoding.video_source import open_video


class Packet(SimpleNamespace):
    """What LostFrames reads of an av.packet.Packet."""

    def __bytes__(self):
        return self.data


def packet(pts, *, dts=None, size=500, key=False, data=b""):
    return Packet(
        pts=pts, dts=dts, size=size, is_keyframe=key, is_discard=False, duration=1, data=data
    )


def show(losses, pts):
    losses.frame_shown(pts, SimpleNamespace(pts=pts, is_corrupt=False))


def lost_after(packets, frames, codec="h264"):
    """Reported [start, stop); a frame is returned once its packet, or all packets, were sent."""
    segment = make_segment()
    segment = replace(segment, metadata=replace(segment.metadata, codec=codec))
    losses = LostFrames(segment, "matroska,webm")
    waiting, inside = list(packets), set()
    for out in frames:
        while waiting and out not in inside:
            inside.add(waiting[0].pts)
            losses.packet_in(waiting.pop(0))
        show(losses, out)
    for left in waiting:
        losses.packet_in(left)
    losses.end(None)
    return losses.take()[1].tolist()


def in_order(pts, **options):
    return [packet(p, key=i == 0, **options) for i, p in enumerate(pts)]


def test_a_hole_is_a_loss():
    assert lost_after(in_order(range(20)), [*range(7), *range(8, 20)]) == [[7, 8]]
    assert lost_after(in_order(range(20)), [*range(7), *range(10, 20)]) == [[7, 10]]


def test_the_last_frames_may_be_lost():
    assert lost_after(in_order(range(20)), range(17)) == [[17, 20]]


def test_reordered_frames_are_there():
    packets = [packet(p, key=p == 0) for p in (0, 3, 1, 2, 6, 4, 5, 9, 7, 8)]
    assert lost_after(packets, range(10)) == []


@pytest.mark.parametrize(
    ("data", "bad"),
    [("0000000209f0 00000007062f0308000980", 0), ("00000007062f0308000980 00000002419a", 1)],
)
def test_a_refused_packet_without_a_picture_is_no_loss(data, bad):
    segment = make_segment()
    segment = replace(segment, metadata=replace(segment.metadata, codec="h264"))
    losses = LostFrames(segment, "mov,mp4")
    for sent in in_order(range(10)):
        losses.packet_in(sent)
        show(losses, sent.pts)
    refused = packet(10, data=bytes.fromhex(data))
    losses.packet_in(refused)
    losses.packet_rejected(refused)
    losses.end(None)
    packets_bad, lost = losses.take()
    assert (packets_bad, len(lost)) == (bad, bad)


def test_a_packet_may_hold_two_pictures():
    """The next packet only declares it; every picture has its time."""
    sizes = [9000, *[1000, 6] * 8, 700]
    packets = [packet(p, size=s, key=p == 0) for p, s in enumerate(sizes)]
    assert lost_after(packets, range(18), "mpeg4") == []


def test_two_fields_are_one_frame():
    assert lost_after(in_order(range(40)), range(0, 40, 2)) == []


def test_a_frame_of_two_fields_may_be_lost():
    shown = [p for p in range(0, 40, 2) if p != 14]
    assert lost_after(in_order(range(40)), shown) == [[13, 16]]


def test_a_picture_that_is_not_coded_is_no_loss():
    packets = [packet(p, size=7 if p in (5, 11) else 500, key=p == 0) for p in range(20)]
    shown = [p for p in range(20) if p not in (5, 11)]
    assert lost_after(packets, shown, "mpeg4") == []
    assert lost_after(packets, shown, "av1") == [[5, 6], [11, 12]]


def test_times_that_start_again_are_no_loss():
    """Two files in one: the decoder still holds the end of the first."""
    losses = LostFrames(make_segment(), "matroska,webm")
    delayed = [*range(20), *range(20)]
    for number, pts in enumerate([*range(20), *range(20)]):
        losses.packet_in(packet(pts, dts=pts, key=pts == 0))
        if number >= 2:
            show(losses, delayed.pop(0))
    for pts in delayed:
        show(losses, pts)
    losses.end(None)
    assert losses.take()[1].tolist() == []


def test_what_comes_before_the_first_key_frame_is_no_loss():
    losses = LostFrames(make_segment(), "matroska,webm")
    for pts in range(5):
        losses.packet_in(packet(pts))
        losses.packet_rejected(packet(pts))
    for pts in range(5, 12):
        losses.packet_in(packet(pts, key=pts == 5))
        show(losses, pts)
    losses.packet_in(packet(12))
    losses.packet_rejected(packet(12))
    losses.end(None)
    count, ranges = losses.take()
    assert (count, ranges.tolist()) == (1, [[12, 13]])


CONTAINERS = ("mkv", "mp4", "flv", "ts", "mov")


@pytest.mark.parametrize(
    ("codec", "b_frames", "suffix"),
    [
        *(("libx264", b_frames, suffix) for b_frames in (0, 2) for suffix in CONTAINERS),
        *(("mpeg4", 0, suffix) for suffix in ("mkv", "mp4", "avi")),
        *(("libvpx-vp9", 0, suffix) for suffix in ("webm", "mp4")),
        ("libvpx", 0, "webm"),
    ],
)
def test_a_recording_that_begins_in_the_middle(tmp_path, codec, b_frames, suffix):
    """The same packets in every container: sound from the first key frame on."""
    pictures = drifting(60, 96, 64)
    whole = tmp_path / "whole.mkv"
    write_clip(whole, pictures, codec=codec, keyint=20, b_frames=b_frames)
    path = write_from_packet(tmp_path / f"middle.{suffix}", whole, 7)
    segment = whole_video(str(path))
    with open_video(str(path), segment=segment) as opened:
        frames = FrameStream(segment, opened)
        count = sum(1 for _ in frames)
        packets_bad, lost = frames.lost.take()
    assert (packets_bad, lost.tolist()) == (0, [])
    assert count == 40


@pytest.mark.parametrize("pts", [2**61, -(2**61)])
def test_a_rejected_packet_with_an_absurd_pts_is_counted_without_a_range(pts):
    losses = LostFrames(make_segment(), "ivf")
    for sent in in_order(range(10)):
        losses.packet_in(sent)
        show(losses, sent.pts)
    losses.packet_rejected(packet(pts))
    packets_bad, lost = losses.take()
    assert (packets_bad, lost.tolist()) == (1, [])
