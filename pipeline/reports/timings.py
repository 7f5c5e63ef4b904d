"""`--timings`: frames a second of each stage, with a plain PyAV decode of the same files."""

from __future__ import annotations

from collections import Counter
from typing import Final

from schemas.errors import VideoError
from schemas.records import Video
from transforms.decoding.child import ChildSettings
from transforms.decoding.child_pool import kept_children, lent_child
from transforms.storage.output_tables import OutputFolder

__all__ = ["STAGES", "raw_decode_seconds", "timings_table"]

#: Stages of a run, and the columns of the videos table with their seconds.
STAGES: Final = {
    "decode": "decode_seconds",
    "detect": "detect_seconds",
    "crop": "crop_seconds",
    "align": "align_seconds",
    "stabilize": "stabilize_seconds",
    "write": "write_seconds",
}


def timings_table(output: str, wall_seconds: float, child: ChildSettings) -> str:
    """A line a stage: seconds of work and frames a second, over all videos of an output.

    The frames are those of the videos; the raw decode is done here and now, one file after
    the other, by container.decode() with one thread, in a process with the limits of `child`.
    """
    columns = ["uri", "frames_decoded", "face_frames", "elapsed_seconds", *STAGES.values()]
    sums: Counter[str] = Counter()
    raw_frames, raw_seconds = 0, 0.0
    with kept_children():
        for table in OutputFolder(output).status_tables(columns):
            for row in table.to_pylist():
                uri = row.pop("uri")
                sums.update(row)
                if row["frames_decoded"]:
                    count, seconds = raw_decode_seconds(uri, child)
                    raw_frames += count
                    raw_seconds += seconds
    frames = sums["frames_decoded"]
    lines = [f"{'stage':<22}{'seconds':>10}{'frames/s':>12}"]
    lines.append(_line("raw PyAV decode", raw_seconds, raw_frames))
    for stage, column in STAGES.items():
        lines.append(_line(stage, sums[column], frames))
    lines.append(_line("all stages, work", sums["elapsed_seconds"], frames))
    lines.append(_line("whole run, wall", wall_seconds, frames))
    lines.append(f"{frames} frames, {sums['face_frames']} faces on them")
    return "\n".join(lines)


def raw_decode_seconds(uri: str, settings: ChildSettings) -> tuple[int, float]:
    """Frames and seconds of a plain decode of the whole file; (0, 0) where it cannot be read."""
    try:
        with lent_child(settings) as child:
            return child.measure(Video(uri, uri))
    except VideoError:
        return 0, 0.0


def _line(name: str, seconds: float, frames: int) -> str:
    rate = f"{frames / seconds:12.0f}" if seconds else f"{'-':>12}"
    return f"{name:<22}{seconds:10.2f}{rate}"
