"""`--timings`: frames a second of each stage, with a plain PyAV decode of the same files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from av.error import FFmpegError

from schemas.errors import VideoError
from transforms.decoding.video_source import open_video

__all__ = ["raw_decode_seconds", "timings_table"]

_STAGES = {
    "decode": "decode_seconds",
    "detect": "detect_seconds",
    "crop": "crop_seconds",
    "align": "align_seconds",
    "stabilize": "stabilize_seconds",
    "write": "write_seconds",
}


def timings_table(rows: Sequence[dict[str, Any]], wall_seconds: float) -> str:
    """A line a stage: seconds of work and frames a second, over all videos with frames.

    The frames are those of the videos; the raw decode is done here and now, one file
    after the other, by container.decode() with one thread.
    """
    decoded = [row for row in rows if row["frames_decoded"]]
    frames = sum(row["frames_decoded"] for row in decoded)
    raw_frames, raw_seconds = 0, 0.0
    for row in decoded:
        count, seconds = raw_decode_seconds(row["uri"])
        raw_frames += count
        raw_seconds += seconds
    lines = [f"{'stage':<22}{'seconds':>10}{'frames/s':>12}"]
    lines.append(_line("raw PyAV decode", raw_seconds, raw_frames))
    for stage, column in _STAGES.items():
        lines.append(_line(stage, sum(row[column] for row in decoded), frames))
    lines.append(_line("all stages, work", sum(r["elapsed_seconds"] for r in decoded), frames))
    lines.append(_line("whole run, wall", wall_seconds, frames))
    lines.append(f"{frames} frames, {sum(row['face_frames'] for row in decoded)} faces on them")
    return "\n".join(lines)


def raw_decode_seconds(uri: str) -> tuple[int, float]:
    """Frames and seconds of a plain decode of the whole file; (0, 0) where it cannot be read."""
    frames = 0
    try:
        with open_video(uri) as opened:
            opened.stream.codec_context.thread_count = 1
            start = time.perf_counter()
            for _ in opened.container.decode(opened.stream):
                frames += 1
    except (FFmpegError, VideoError):
        return 0, 0.0
    return frames, time.perf_counter() - start


def _line(name: str, seconds: float, frames: int) -> str:
    rate = f"{frames / seconds:12.0f}" if seconds else f"{'-':>12}"
    return f"{name:<22}{seconds:10.2f}{rate}"
