"""A long video made of a short one: its packets are repeated without encoding."""

from __future__ import annotations

from pathlib import Path

import av

__all__ = ["loop_clip"]


def loop_clip(source: Path, path: Path, seconds: float) -> Path:
    """Repeats the video stream of `source` until it lasts at least `seconds`.

    The source must start with a keyframe at pts 0 and have no gaps.
    """
    with av.open(str(source)) as clip, av.open(str(path), "w") as out:
        (stream,) = clip.streams.video
        copy = out.add_stream_from_template(stream)
        base = stream.time_base
        packets = [
            (bytes(p), p.pts, p.dts, p.duration, p.is_keyframe)
            for p in clip.demux(stream)
            if p.pts is not None
        ]
        length = max(p[1] + p[3] for p in packets)
        for shift in range(0, round(seconds / base), length):
            for content, pts, dts, duration, is_keyframe in packets:
                packet = av.Packet(content)
                packet.stream, packet.time_base = copy, base
                packet.pts, packet.dts, packet.duration = pts + shift, dts + shift, duration
                packet.is_keyframe = is_keyframe
                out.mux(packet)
    return path
