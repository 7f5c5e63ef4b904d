"""Overhead and scaling of an engine: the same videos on the local runner and on Flink.

    python tests/benchmarks/engines.py VIDEO ... [--slots 1 2]

Each run prints wall seconds, seconds of video annotated per second, and the CPU seconds of the
driver and of all cluster processes. Compare CPU seconds if the machine is busy. They are accurate
to half a second per process, because CPU time after the last sample is missing. The first run on
a cluster, on the smallest video, is a warm-up that loads Java's classes and is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from tests.engines.flink_cluster import run_flink

Process = tuple[int, int]  # id, time of start


class Speed(NamedTuple):
    """One run."""

    wall_seconds: float
    video_seconds: float
    cpu_seconds: float


def main() -> int:
    """Runs all engines, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument(
        "--slots",
        nargs="+",
        type=int,
        default=[1, 2],
        help="slots of the TaskManager, a run for each",
    )
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    say(f"{len(args.videos)} videos, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    say(f"{'engine':<26}{'wall s':>9}{'video s/s':>11}{'CPU s':>9}{'load':>7}\n")
    local = {}
    for workers in args.slots:
        local[workers] = annotate(args.videos, "--workers", str(workers))
        report(f"local, {workers} worker(s)", local[workers])
    for slots in args.slots:
        with tempfile.TemporaryDirectory() as folder, run_flink(Path(folder), 1, slots) as cluster:
            options = cluster.beam_options(slots)
            annotate([min(args.videos, key=lambda v: v.stat().st_size)], *options)
            speed = annotate(args.videos, *options)
        report(f"Flink, {slots} slot(s)", speed)
        for what, one, other in zip(("wall", "CPU"), speed[::2], local[slots][::2], strict=True):
            say(
                f"{'':<26}overhead {one - other:+.1f} s {what} ({100 * (one / other - 1):+.0f} %)\n"
            )
    return 0


def annotate(videos: list[Path], *options: str) -> Speed:
    """Annotates the videos to an empty output."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        command = [
            sys.executable,
            "-m",
            "pipeline.commands.cli",
            "annotate",
            *videos,
            "--output",
            output,
        ]
        command += ["--device", "cpu", "--segment-seconds", "2", *options]
        start = time.monotonic()
        with CpuMeter() as meter:
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
        wall = time.monotonic() - start
        rows = pq.read_table(output / "videos").to_pylist()
    return Speed(wall, sum(row["duration_seconds"] or 0.0 for row in rows), meter.seconds)


class CpuMeter:
    """CPU seconds of this process and its descendants inside the `with` block.

    It samples the processes periodically, because a worker's children outlive the worker and are
    then in nobody's resource usage.
    """

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._before: dict[Process, float] = {}
        self._seen: dict[Process, float] = {}

    def __enter__(self) -> CpuMeter:
        self._before = used_by_tree()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """The sum over all sampled processes."""
        return sum(used - self._before.get(one, 0.0) for one, used in self._seen.items())

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            self._seen |= used_by_tree()
        self._seen |= used_by_tree()


def used_by_tree() -> dict[Process, float]:
    """CPU seconds of this process and each of its descendants."""
    parents: dict[int, int] = {}
    used: dict[int, tuple[Process, float]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid = int(stat.parent.name)
            fields = stat.read_text().rpartition(")")[2].split()
            parents[pid] = int(fields[1])
            ticks = int(fields[11]) + int(fields[12])
            used[pid] = (pid, int(fields[19])), ticks / os.sysconf("SC_CLK_TCK")
    found = [os.getpid()]
    for known in found:
        found += [pid for pid, parent in parents.items() if parent == known]
    return dict(used[pid] for pid in found if pid in used)


def report(engine: str, speed: Speed) -> None:
    """One line of the table."""
    rate = speed.video_seconds / speed.wall_seconds
    load = os.getloadavg()[0]
    say(f"{engine:<26}{speed.wall_seconds:9.1f}{rate:11.2f}{speed.cpu_seconds:9.1f}{load:7.1f}\n")


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
