"""`--timings`: what each stage took, with a plain PyAV decode of the same files."""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

from pipeline.annotate import RunSummary
from schemas.errors import VideoError
from schemas.records import Video
from transforms.decoding.child import ChildSettings
from transforms.decoding.child_pool import kept_children, lent_child
from transforms.storage.output_tables import OutputFolder

#: Stages of a run -> the column of the videos table with their seconds.
STAGES: Final = {
    stage: f"{stage}_seconds"
    for stage in ("decode", "detect", "crop", "align", "stabilize", "write")
}


def timings_table(summary: RunSummary, workers: int, child: ChildSettings) -> str:
    """A line a stage: seconds by the clock and of CPU, and frames a second of CPU.

    The clock's seconds and the frames are those of all videos of the output, those that an
    earlier run did among them; CPU is that of this run, so where some were done before there is
    no rate and no ceiling. The raw decode is done here and now, one file after the other, by
    container.decode() with one thread, in a process with the limits of `child`.
    """
    columns = ["uri", "frames_decoded", "face_frames", *STAGES.values()]
    sums: Counter[str] = Counter()
    raw_frames, raw_seconds = 0, 0.0
    with kept_children():
        for table in OutputFolder(summary.output).status_tables(columns):
            for row in table.to_pylist():
                uri = row.pop("uri")
                sums.update(row)
                if row["frames_decoded"]:
                    count, seconds = raw_decode_seconds(uri, child)
                    raw_frames += count
                    raw_seconds += seconds
    cpu, whole = summary.cpu_seconds, not summary.done_before
    frames = sums["frames_decoded"] if whole else 0
    work = sum(cpu.get(stage, 0.0) for stage in STAGES)
    lines = [f"{'stage':<22}{'seconds':>10}{'CPU s':>10}{'frames/CPU s':>14}"]
    lines.append(_line("raw PyAV decode", raw_seconds, None, raw_frames))
    for stage, column in STAGES.items():
        lines.append(_line(stage, sums[column], cpu.get(stage, 0.0), frames))
    clock = sum(sums[column] for column in STAGES.values())
    lines.append(_line("all stages", clock, work, frames))
    lines.append(_line("whole run", summary.wall_seconds, cpu.get("run", 0.0), frames))
    if frames and work:
        wall, cores = max(summary.wall_seconds, 1e-9), min(workers, os.cpu_count() or 1)
        most = frames * cores / work
        lines.append(
            f"upper bound of the stages on {cores} cores: {most:.0f} frames/s; the run reached "
            f"{frames / wall:.0f}, {frames / wall / most:.0%} of it"
        )
        waited = 1 - work / (workers * wall)
        lines.append(f"mean idle time of the {workers} workers: {waited:.0%}")
    lines.append(f"{sums['frames_decoded']} frames, {sums['face_frames']} rows of tracks")
    return "\n".join(lines)


def raw_decode_seconds(uri: str, settings: ChildSettings) -> tuple[int, float]:
    """Frames and seconds of a plain decode of the whole file; (0, 0) where it cannot be read."""
    try:
        with lent_child(settings) as child:
            return child.measure(Video(uri, uri))
    except VideoError:
        return 0, 0.0


def _line(name: str, seconds: float, cpu_seconds: float | None, frames: int) -> str:
    """A rate is of CPU; of the clock where CPU is not known."""
    cpu = f"{'-':>10}" if cpu_seconds is None else f"{cpu_seconds:10.2f}"
    spent = seconds if cpu_seconds is None else cpu_seconds
    rate = f"{frames / spent:14.0f}" if spent and frames else f"{'-':>14}"
    return f"{name:<22}{seconds:10.2f}{cpu}{rate}"
