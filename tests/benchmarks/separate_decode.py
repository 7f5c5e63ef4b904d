"""Size and cost of the shuffle of `--separate-decode`.

    python -m tests.benchmarks.separate_decode VIDEO... [--segment-seconds 10] [--runs 2]

Prints the encoded bytes per hour of video and per hour of one face, the time to encode and
decode them, and the CPU time and wall time of `annotate` with and without the option,
interleaved.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from models.landmarks.model import load_landmark_model
from schemas.records import Video
from transforms.decoding.child import ChildSettings, DecodingChild
from transforms.decoding.piece_builder import CropSpec
from transforms.separate_decode import SegmentWindowsCoder

__all__ = ["main"]

_HOUR_SECONDS = 3600


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="separate_decode", description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--segment-seconds", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=2)
    args = parser.parse_args(arguments)
    _measure_coder(args.videos, args.segment_seconds)
    _measure_runs(args.videos, args.segment_seconds, args.runs)


def _measure_coder(videos: list[Path], segment_seconds: float) -> None:
    card = load_landmark_model(None, "cpu").card
    spec = CropSpec(card.crop_size_px, card.crop_scale, card.window_frames)
    child = DecodingChild(ChildSettings(spec, segment_seconds=segment_seconds))
    coder = SegmentWindowsCoder()
    video_seconds = face_seconds = encode_seconds = decode_seconds = 0.0
    total = largest = 0
    for path in videos:
        segments = child.plan(Video(path.name, str(path)))
        metadata = segments[0].metadata
        video_seconds += metadata.duration_seconds or 0.0
        for segment in segments:
            for windows in child.decode(segment):
                start = time.process_time()
                encoded = coder.encode(windows)
                middle = time.process_time()
                coder.decode(encoded)
                decode_seconds += time.process_time() - middle
                encode_seconds += middle - start
                total, largest = total + len(encoded), max(largest, len(encoded))
                face_seconds += len(windows.windows) / float(
                    1 / (metadata.step_pts * metadata.time_base)
                )
    child.close()
    say(f"{len(videos)} videos, {video_seconds:.0f} s, faces for {face_seconds:.0f} s in all")
    say(f"an hour of video: {total / video_seconds * _HOUR_SECONDS / 1e9:.2f} GB")
    say(f"an hour of one face: {total / face_seconds * _HOUR_SECONDS / 1e9:.2f} GB")
    say(f"the largest element: {largest / 1e6:.1f} MB")
    say(f"encode {total / encode_seconds / 1e6:.0f} MB/s of CPU time")
    say(f"decode {total / decode_seconds / 1e6:.0f} MB/s of CPU time")


def _measure_runs(videos: list[Path], segment_seconds: float, runs: int) -> None:
    say(f"{'annotate':<20}{'CPU s':>10}{'wall s':>10}")
    for _ in range(runs):
        for name, option in (("together", ()), ("apart", ("--separate-decode",))):
            with tempfile.TemporaryDirectory() as output:
                command = [
                    sys.executable,
                    "-m",
                    "pipeline.commands.cli",
                    "annotate",
                    *map(str, videos),
                ]
                command += ["--output", output, "--device", "cpu", *option]
                command += ["--segment-seconds", str(segment_seconds)]
                before, start = _cpu_seconds(), time.monotonic()
                status = subprocess.run(command, check=False, capture_output=True).returncode
                assert status in (0, 3), f"{command} ended with {status}"
                wall = time.monotonic() - start
                say(f"{name:<20}{_cpu_seconds() - before:10.1f}{wall:10.1f}")


def say(line: str) -> None:
    """Prints a line of the result."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
