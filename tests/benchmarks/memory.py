"""Peak memory of `annotate` on the same clip looped to 3, 10 and 60 minutes.

    python -m tests.benchmarks.memory [--minutes 3 10 60] [--forms indexed raw given ...] [--fps 5]

Forms: `indexed` is an mp4 that is cut into segments; `raw` is an H.264 stream without an
index, which is one segment; `given` has a file of boxes by pts; `numbered` has one by frame number,
which also makes one segment. Prints, for each form and length, the peak resident memory of the
driver and its children, together and separately, the maximum size of staging, and the speed. The
exit status is 1 if the peak of driver and children of the longest video is more than 10 %
above that of the shortest. The shortest video must be long enough to fill pieces and batches once:
three minutes at five frames a second are.
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

import av
import numpy as np

from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_motion import pose_at
from tests.benchmarks.looped_clip import loop_clip
from tests.clips import write_clip

__all__ = ["FORMS", "main"]

FORMS: Final = ("indexed", "raw", "given", "numbered")
_CLIP_SECONDS: Final = 12
_SIZE_PX: Final = 96
#: Approximate box of the face.
_BOX: Final = "28,12,68,66"
_LOOK_SECONDS: Final = 0.2
_MAX_GROWTH: Final = 1.10


@dataclass(slots=True)
class Peak:
    """The largest values sampled during a run, in MB."""

    driver: float = 0.0
    children: float = 0.0
    together: float = 0.0
    staging: float = 0.0
    wall_seconds: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="memory", description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[3.0, 10.0, 60.0])
    parser.add_argument("--forms", nargs="+", default=FORMS[:3], choices=FORMS)
    parser.add_argument(
        "--fps", type=int, default=5, help="frames per second of the clip (default: 5)"
    )
    parser.add_argument("--workers", default="1")
    args, options = parser.parse_known_args(arguments)
    say = sys.stdout.write
    say(
        "form      minutes   frames  together MB  driver MB  children MB  staging MB  wall s  "
        "frames/s\n"
    )
    grown = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = _clip(folder / "clip.mp4", args.fps)
        for form in args.forms:
            peaks = []
            for minutes in args.minutes:
                source = _source(form, clip, folder, minutes)
                output = folder / f"out-{form}-{minutes:g}"
                peak = _annotate(source, output, ["--workers", args.workers, *options])
                counters = json.loads((output / "run.json").read_text())["counters"]
                frames = counters["frames_decoded"]
                say(
                    f"{form:8s} {minutes:8g} {frames:8d} {peak.together:12.0f} "
                    f"{peak.driver:10.0f} {peak.children:12.0f} {peak.staging:11.1f} "
                    f"{peak.wall_seconds:7.0f} {frames / peak.wall_seconds:9.0f}\n"
                )
                sys.stdout.flush()
                peaks.append(peak)
            first, last = peaks[0], peaks[-1]
            growth = [
                getattr(last, who) / getattr(first, who)
                for who in ("together", "driver", "children")
            ]
            told = ", ".join(f"{100 * (g - 1):+.1f} %" for g in growth)
            say(f"{form}: growth together, driver, children: {told}\n")
            grown |= growth[0] > _MAX_GROWTH
    return int(grown)


def _source(form: str, clip: Path, folder: Path, minutes: float) -> Path:
    """The clip looped to `minutes`, as a video or as a manifest with boxes."""
    suffix = "h264" if form == "raw" else "mp4"
    video = loop_clip(clip, folder / f"{form}-{minutes:g}.{suffix}", minutes * 60)
    if form not in ("given", "numbered"):
        return video
    with av.open(str(video)) as container:
        pts = sorted(p.pts for p in container.demux(video=0) if p.pts is not None)
    column, places = ("pts", pts) if form == "given" else ("frame_index", range(len(pts)))
    lines = [f"{column},x0,y0,x1,y1", *(f"{place},{_BOX}" for place in places)]
    boxes = video.with_suffix(".csv")
    boxes.write_text("\n".join(lines) + "\n")
    manifest = video.with_suffix(".jsonl")
    manifest.write_text(json.dumps({"uri": str(video), "boxes": str(boxes)}) + "\n")
    return manifest


def _clip(path: Path, fps: int) -> Path:
    """A moving face, 96 x 96 px, a keyframe every 2 s; it ends where it starts, to be looped."""
    animation = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    count = _CLIP_SECONDS * fps // 2
    forth = [animation.render(pose_at(i / fps), _SIZE_PX) for i in range(count)]
    pictures: list[np.ndarray] = [*forth, *forth[::-1]]
    return write_clip(path, pictures, rate=fps, keyint=2 * fps)


def _annotate(video: Path, output: Path, options: list[str]) -> Peak:
    command = [sys.executable, "-m", "pipeline.commands.cli", "annotate", video, "--output", output]
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
    """The children of every thread of a process; children have none of their own."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in listed.read_text().split()]
    return found


def _resident_mb(pid: int) -> float:
    """Private and shared resident memory; 0 if the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
