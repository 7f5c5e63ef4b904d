"""Bytes of a 100 MB file that a web server sends, counted by the server."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import drifting, write_clip
from video_server import serve

from pipeline.probing.probe import probe
from pipeline.settings import AnnotateSettings
from schemas.records import Video
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.piece_builder import CropSpec
from transforms.decoding.segment_plan import plan_segments
from transforms.decoding.video_source import open_video
from transforms.decoding.window_builder import decode_windows

SIZE = 100_000_000
RATE = 10
SPEC = CropSpec(size_px=8, scale=1.0, window_frames=3)


class OneFace:
    """A face that never moves, detected every 0.2 s like a real one."""

    source = "detected"

    def __init__(self, time_base: Fraction) -> None:
        self._step = int(Fraction(1, 5) / time_base)

    def is_key(self, frame, pts, previous_pts):
        return previous_pts is None or pts // self._step != previous_pts // self._step

    def find(self, frame, pts, pixels, aspect):
        return np.array([[10.0, 10.0, 50.0, 50.0]], np.float32), np.array([0.9], np.float32)

    def same_boxes(self, frame, pts, other_frame, other_pts):
        return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """100 MB of video twice, its index at the end and at the front; a keyframe every 2 s."""
    folder = tmp_path_factory.mktemp("bytes")
    rng = np.random.default_rng(0)
    noise = rng.integers(-50, 51, (8, 240, 320, 3))
    pictures = (
        np.clip(picture + noise[i % 8], 0, 255).astype(np.uint8)
        for i, picture in enumerate(drifting(60, 320, 240))
    )
    clip = write_clip(folder / "clip.mp4", pictures, rate=RATE, keyint=2 * RATE)
    for name, options in (("end.mp4", {}), ("front.mp4", {"movflags": "faststart"})):
        repeat(clip, folder / name, options)
    return folder


def repeat(source: Path, path: Path, options: dict[str, str]) -> None:
    """The packets of a clip, repeated until they have `SIZE` bytes."""
    with av.open(str(source)) as clip, av.open(str(path), "w", options=options) as out:
        (stream,) = clip.streams.video
        copy = out.add_stream_from_template(stream)
        packets = [p for p in clip.demux(stream) if p.pts is not None]
        contents = [(bytes(p), p.pts, p.duration, p.is_keyframe) for p in packets]
        length = max(pts + duration for _, pts, duration, _ in contents)
        for turn in range(-(-SIZE // sum(len(content) for content, *_ in contents))):
            for content, pts, duration, is_keyframe in contents:
                packet = av.Packet(content)
                packet.stream, packet.time_base = copy, stream.time_base
                packet.pts = packet.dts = pts + turn * length
                packet.duration, packet.is_keyframe = duration, is_keyframe
                out.mux(packet)


def planned(uri: str):
    video = Video("v.mp4", uri)
    with open_video(uri) as opened:
        return plan_segments(video, opened, 10.0)


def decoded_frames(segment) -> int:
    """Number of frames that a segment owns."""
    with open_video(segment.video.uri, segment=segment) as opened:
        frames = FrameStream(segment, opened)
        boxes = OneFace(segment.metadata.time_base)
        return sum(p.rows.frames for p in decode_windows(segment, frames, boxes, SPEC))


@pytest.mark.parametrize("name", ["end.mp4", "front.mp4"])
def test_planning_reads_less_than_a_twentieth(folder, name):
    size = (folder / name).stat().st_size
    with serve(folder) as server:
        segments = planned(f"{server.url}/{name}")
        assert len(segments) == pytest.approx(segments[0].metadata.duration_seconds / 10, abs=1)
        assert server.bytes_sent <= 0.05 * size
        assert len(server.requests) < 3 * len(segments)


def test_a_process_that_decodes_every_segment_reads_nothing_twice(folder):
    size = (folder / "end.mp4").stat().st_size
    with serve(folder) as server:
        segments = planned(f"{server.url}/end.mp4")
        frames = sum(decoded_frames(segment) for segment in segments)
        assert frames == segments[0].metadata.frames_expected
        assert server.bytes_sent <= 1.01 * size
        assert len(server.requests) < 25 * len(segments)


def test_processes_that_share_the_segments_read_little_twice(folder):
    """Each segment under its own name, which no previous segment can have read."""
    size = (folder / "end.mp4").stat().st_size
    with serve(folder) as server:
        segments = planned(f"{server.url}/end.mp4")
        server.bytes_sent = 0
        for segment in segments:
            alias = folder / f"alias-{segment.index}.mp4"
            alias.hardlink_to(folder / "end.mp4")
            uri = f"{server.url}/{alias.name}"
            assert decoded_frames(replace(segment, video=replace(segment.video, uri=uri)))
        assert size <= server.bytes_sent <= 1.25 * size


def test_probe_reads_less_than_a_twentieth_of_a_web_server_s_file(folder):
    with serve(folder) as server:
        (row,) = probe(f"{server.url}/end.mp4", AnnotateSettings(workers=1)).videos.to_pylist()
        assert (row["status"], row["sampled_seconds"]) == ("sound", 2.0)
        assert server.bytes_sent <= 0.05 * row["size_bytes"]


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="nothing counts what was read")
def test_probe_reads_less_than_a_twentieth_of_a_local_file(folder):
    """FFmpeg reads it in a child; what importing and loading read is the same for a short clip."""
    before = bytes_read()
    probe(folder / "clip.mp4", AnnotateSettings(workers=1))
    between = bytes_read()
    (row,) = probe(folder / "end.mp4", AnnotateSettings(workers=1)).videos.to_pylist()
    more = bytes_read() - between - (between - before)
    assert 0 < more <= 0.05 * row["size_bytes"]


def bytes_read() -> int:
    """Bytes that this process and its ended children have read, as counted by Linux."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise AssertionError("no rchar in /proc/self/io")
