"""A long video among many clips of ten seconds: a timeline of each worker.

    python -m tests.benchmarks.skew --minutes 60 --clips 60 --workers 2

The videos are 96 x 96 px, with a face in two of ten seconds and black otherwise. All are copies
of one clip; the long video repeats it. Prints a timeline per worker: `L` decoding and aligning a
segment of the long video, `l` stabilizing or writing it, `C` and `c` the same for a clip, `.`
waiting. Then prints the share of time that each worker waited, and how long the others waited
for the last one.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_motion import pose_at
from pipeline.annotate import annotate
from pipeline.settings import AnnotateSettings
from tests.benchmarks.looped_clip import loop_clip
from tests.clips import write_clip
from transforms import decode_windows, stabilize_tracks, write_tracks

_SIZE_PX: Final = 96
_FRAMES: Final = 250
_FACE_FRAMES: Final = 50
_COLUMNS: Final = 100
_LONG: Final = "long.mp4"


class Span(NamedTuple):
    """One piece of work of a thread; seconds on the monotonic clock."""

    thread: int
    sign: str
    start: float
    stop: float


_SPANS: list[Span] = []


def main() -> None:
    """Runs the benchmark and prints the timeline."""
    parser = argparse.ArgumentParser(prog="skew", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    _watch_workers()
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        clip = _write_clip(videos / "clip-0000.mp4")
        for number in range(1, args.clips):
            shutil.copy(clip, videos / f"clip-{number:04d}.mp4")
        loop_clip(clip, videos / _LONG, 60 * args.minutes)
        summary = annotate(
            videos, Path(folder) / "out", AnnotateSettings(device="cpu", workers=args.workers)
        )
        assert summary.complete, summary.reasons
    sys.stdout.write("\n".join(timeline(_SPANS, _COLUMNS)) + "\n")
    sys.stdout.write(
        f"{summary.frames} frames, {summary.wall_seconds:.0f} s, "
        f"{summary.cpu_seconds['run']:.0f} s of CPU\n"
    )


def _write_clip(path: Path) -> Path:
    animation = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    faces = [animation.render(pose_at(i / 25), _SIZE_PX) for i in range(_FACE_FRAMES)]
    black = np.zeros_like(faces[0])
    return write_clip(path, [*faces, *[black] * (_FRAMES - _FACE_FRAMES)], keyint=50)


def _watch_workers() -> None:
    """Wraps the functions that do the work of a stage, so that their calls record Spans."""
    decode, advance = decode_windows._DecodeFn.process, stabilize_tracks._Walker.advance
    write = write_tracks.write_video

    @functools.wraps(decode)
    def watched_decode(self: Any, segment: Any) -> Iterator[Any]:
        with _span("LC", segment):  # until its last windows are aligned and saved
            yield from decode(self, segment)

    def watched_advance(self: Any, progress: Any, outcomes: Any) -> Any:
        with _span("lc", progress):
            return advance(self, progress, outcomes)

    def watched_write(tracks: Any, run_output: Any) -> Any:
        with _span("lc", tracks):
            return write(tracks, run_output)

    decode_windows._DecodeFn.process = watched_decode  # type: ignore[method-assign]
    stabilize_tracks._Walker.advance = watched_advance  # type: ignore[assignment,method-assign]
    write_tracks.write_video = watched_write


@contextlib.contextmanager
def _span(signs: str, of: Any) -> Iterator[None]:
    start = time.monotonic()
    yield
    sign = signs[0] if _LONG in repr(of) else signs[1]
    _SPANS.append(Span(threading.get_ident(), sign, start, time.monotonic()))


def timeline(spans: list[Span], columns: int) -> Iterator[str]:
    """A line per worker and its share of waiting; a column shows its most frequent work."""
    begin, end = min(s.start for s in spans), max(s.stop for s in spans)
    step = (end - begin) / columns
    workers = _by_worker(spans)
    for number, own in enumerate(workers, start=1):
        line = ""
        for column in range(columns):
            low = begin + column * step
            busy = {".": step / 2}
            for span in own:
                part = min(span.stop, low + step) - max(span.start, low)
                busy[span.sign] = busy.get(span.sign, 0.0) + max(0.0, part)
            line += max(busy, key=lambda sign: busy[sign])
        worked = sum(span.stop - span.start for span in own)
        yield f"{number}: {line} waited {1 - worked / (end - begin):.0%}"
    for signs, doing in (("LC", "decoding and aligning"), ("LClc", "all")):
        lasts = [max((s.stop for s in own if s.sign in signs), default=begin) for own in workers]
        waited = max(lasts) - min(lasts)
        yield f"at the end of {doing} one waited {waited:.1f} of {end - begin:.1f} s for the last"


def _by_worker(spans: list[Span]) -> list[list[Span]]:
    """A worker may change its thread between stages: it continues in one that is free."""
    workers: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: span.start):
        free = [own for own in workers if own[-1].stop <= span.start]
        same = [own for own in free if own[-1].thread == span.thread]
        if not free:
            workers.append([])
        (same or free or workers[-1:])[0].append(span)
    return workers


if __name__ == "__main__":
    main()
