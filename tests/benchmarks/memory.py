"""Peak memory of `annotate` on the same clip looped to 1, 10 and 60 minutes.

    python -m tests.benchmarks.memory [--minutes 1 10 60]

Prints, for each length, the peak resident memory of the driver and its children, together
and apart, the largest extent of staging, and the speed; the exit status is 1 where the
peak of the longest is more than 10 % above that of the shortest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.motion.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.motion.face_animation import FaceAnimation
from models.motion.face_motion import pose_at
from tests.benchmarks.looped_clip import loop_clip
from tests.clips import write_clip

__all__ = ["main"]

_FRAMES_PER_SECOND: Final = 5
_CLIP_SECONDS: Final = 12
_SIZE_PX: Final = 96
_LOOK_SECONDS: Final = 0.2
_MOST_GROWTH: Final = 1.10


@dataclass(slots=True)
class Peak:
    """The largest values seen while a run lasted, in MB."""

    driver: float = 0.0
    children: float = 0.0
    together: float = 0.0
    staging: float = 0.0
    wall_seconds: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="memory", description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 10.0, 60.0])
    parser.add_argument("--workers", default="1")
    args, options = parser.parse_known_args(arguments)
    say = sys.stdout.write
    say("minutes   frames  together MB  driver MB  children MB  staging MB  wall s  frames/s\n")
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = _clip(folder / "clip.mp4")
        for minutes in args.minutes:
            video = loop_clip(clip, folder / f"{minutes:g}.mp4", minutes * 60)
            output = folder / f"out-{minutes:g}"
            peak = _annotate(video, output, ["--workers", args.workers, *options])
            counters = json.loads((output / "run.json").read_text())["counters"]
            frames = counters["frames_decoded"]
            say(
                f"{minutes:7g} {frames:8d} {peak.together:12.0f} {peak.driver:10.0f} "
                f"{peak.children:12.0f} {peak.staging:11.1f} {peak.wall_seconds:7.0f} "
                f"{frames / peak.wall_seconds:9.0f}\n"
            )
            sys.stdout.flush()
            peaks.append(peak.together)
    growth = peaks[-1] / peaks[0]
    say(f"growth of the peak: {100 * (growth - 1):+.1f} %\n")
    return int(growth > _MOST_GROWTH)


def _clip(path: Path) -> Path:
    """A moving face, 96 x 96 px, a keyframe every 2 s, forth and back so that it loops."""
    animation = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    count = _CLIP_SECONDS * _FRAMES_PER_SECOND // 2
    forth = [animation.render(pose_at(i / _FRAMES_PER_SECOND), _SIZE_PX) for i in range(count)]
    pictures: list[np.ndarray] = [*forth, *forth[::-1]]
    return write_clip(path, pictures, rate=_FRAMES_PER_SECOND, keyint=2 * _FRAMES_PER_SECOND)


def _annotate(video: Path, output: Path, options: list[str]) -> Peak:
    command = [sys.executable, "-m", "pipeline.cli", "annotate", video, "--output", output]
    start, peak = time.monotonic(), Peak()
    log = output.with_suffix(".log")
    with log.open("w") as out:
        process = subprocess.Popen([*map(str, command), *options], stdout=out, stderr=out)
        try:
            while process.poll() is None:
                _look(process.pid, output, peak)
                time.sleep(_LOOK_SECONDS)
        finally:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"annotate ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    peak.wall_seconds = time.monotonic() - start
    return peak


def _look(pid: int, output: Path, peak: Peak) -> None:
    driver = _resident_mb(pid)
    children = sum(_resident_mb(child) for child in _children(pid))
    peak.driver = max(peak.driver, driver)
    peak.children = max(peak.children, children)
    peak.together = max(peak.together, driver + children)
    staging = 0
    with contextlib.suppress(OSError):
        staging = sum(f.stat().st_size for f in (output / ".staging").rglob("*"))
    peak.staging = max(peak.staging, staging / 2**20)


def _children(pid: int) -> list[int]:
    """The children of every thread of a process (they have none of their own)."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in listed.read_text().split()]
    return found


def _resident_mb(pid: int) -> float:
    """Private and shared resident memory; 0 where the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
