"""Small generated clips, and their frames in a plain decoder."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from schemas.records import Segment, Video
from transforms.decoding.segment_plan import plan_segments
from transforms.decoding.video_source import open_video


def write_clip(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    codec: str = "libx264",
    container_format: str | None = None,
    rate: int = 25,
    keyint: int = 25,
    b_frames: int = 0,
    pixel_format: str = "yuv420p",
    pts: Iterable[int] | None = None,
    rotation_deg: int = 0,
    mirrored: bool = False,
    sample_aspect_ratio: Fraction | None = None,
    crf: int = 12,
) -> Path:
    """Encodes (H, W, 3) uint8 RGB pictures; `pts`, if given, counts in 1/rate.

    `rotation_deg` is the clockwise turn that a player makes to show the clip upright; if
    `mirrored`, it then mirrors the frame left to right.
    """
    pictures = list(pictures)
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.gop_size = keyint
        stream.codec_context.max_b_frames = b_frames
        if codec == "libx264":
            stream.options = {
                "preset": "ultrafast",
                "crf": str(crf),
                "threads": "1",
                "x264-params": f"keyint={keyint}:min-keyint={keyint}:scenecut=0:bframes={b_frames}",
            }
        elif codec.startswith("libvpx"):
            stream.options = {"deadline": "realtime", "cpu-used": "8", "b": "400k"}
            stream.codec_context.thread_count = 1  # its threads can deadlock
        else:
            stream.options = {"b": "800k"}
        if sample_aspect_ratio is not None:
            stream.codec_context.sample_aspect_ratio = sample_aspect_ratio
        if rotation_deg or mirrored:
            stream.set_display_matrix(display_matrix(rotation_deg, mirrored=mirrored))
        for picture, at in zip(pictures, pts or range(len(pictures)), strict=False):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format=pixel_format
            )
            frame.pts, frame.time_base = at, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def display_matrix(rotation_deg: int, *, mirrored: bool = False) -> list[int]:
    """FFmpeg's matrix for a clockwise turn, optionally followed by mirroring left to right.

    Stored (p, q) is shown at (a p + c q, b p + d q); without the shift, which players ignore.
    """
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[
        rotation_deg
    ]
    if mirrored:
        a, c = -a, -c
    one = 1 << 16
    return [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]


def drifting(count: int, width: int = 160, height: int = 120, seed: int = 0) -> list[np.ndarray]:
    """A smooth drifting picture: all frames differ, without a shot cut."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (6, 8, 3))
    rows = np.arange(height) / height * 5
    columns = np.arange(width) / width * 6
    pictures = []
    for i in range(count):
        y, x = rows + 0.3 * np.sin(i / 9), (columns + i / 60) % 6.99
        iy, ix = np.clip(y.astype(int), 0, 4), np.clip(x.astype(int), 0, 6)
        fy, fx = (y - iy)[:, None, None], (x - ix)[None, :, None]
        top = coarse[iy][:, ix] * (1 - fx) + coarse[iy][:, ix + 1] * fx
        bottom = coarse[iy + 1][:, ix] * (1 - fx) + coarse[iy + 1][:, ix + 1] * fx
        pictures.append(np.clip(top * (1 - fy) + bottom * fy, 0, 255).astype(np.uint8))
    return pictures


def write_streams(path: Path, streams: Iterable[tuple[list[np.ndarray], str, str, Any]]) -> Path:
    """A file of several streams: (pictures, codec, pixel format, disposition or None) of each.

    A stream without pictures is declared, 320 x 240 px, but has no packets.
    """
    with av.open(str(path), "w") as container:
        opened = []
        for pictures, codec, pixel_format, disposition in streams:
            height, width = pictures[0].shape[:2] if pictures else (240, 320)
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
            stream.codec_context.thread_count = 1
            if disposition is not None:
                stream.disposition = disposition
            opened.append((stream, pictures))
        for number in range(max(len(pictures) for _, pictures in opened)):
            for stream, pictures in opened:
                if number < len(pictures):
                    frame = av.VideoFrame.from_ndarray(pictures[number], format="rgb24")
                    frame = frame.reformat(format=stream.pix_fmt)
                    frame.pts, frame.time_base = number, Fraction(1, 25)
                    container.mux(stream.encode(frame))
        for stream, pictures in opened:
            if pictures:
                container.mux(stream.encode(None))
    return path


def write_from_packet(path: Path, clip: Path, first: int) -> Path:
    """The packets of a clip from a given one on, in the container of `path`; times from 0."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as out:
        (stream,) = source.streams.video
        copy = out.add_stream_from_template(stream)
        packets = [p for p in source.demux(stream) if p.pts is not None][first:]
        shift = packets[0].dts
        for packet in packets:
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copy
            out.mux(packet)
    return path


def write_sound(path: Path, seconds: float = 0.5) -> Path:
    """A file with an audio stream and no video stream."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        stream.layout = "mono"
        for start in range(0, int(seconds * 16_000), 1024):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 16_000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_plainly(path: Path) -> list[Any]:
    """Every frame, in one pass of PyAV."""
    with av.open(str(path)) as container:
        return list(container.decode(container.streams.video[0]))


def whole_video(uri: str, stream_index: int | None = None) -> Segment:
    """The whole video as one segment, planned in this process."""
    with open_video(uri, stream_index=stream_index) as opened:
        return plan_segments(Video(uri, uri), opened, math.inf)[0]
