"""The progress display: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, Final

from tqdm import tqdm

from transforms.progress_board import BOARD, Progress

_BAR_SECONDS: Final = 0.5
_LINE_SECONDS: Final = 30.0


class ProgressDisplay:
    """Shows how many of `videos` are done, seconds of video a second, and the time left."""

    def __init__(self, videos: int) -> None:
        self._videos = videos
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> ProgressDisplay:
        BOARD.clear()
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _show(self) -> None:
        bar: Any = None
        if sys.stderr.isatty():
            look = "{desc} {percentage:3.0f}%|{bar}| [{elapsed} < {remaining}]"
            bar = tqdm(unit="s", bar_format=look)
        while not self._stop.wait(_BAR_SECONDS if bar is not None else _LINE_SECONDS):
            self._tick(bar)
        if bar is not None:
            self._tick(bar)
            bar.close()

    def _tick(self, bar: Any) -> None:
        progress = BOARD.read()
        elapsed = time.monotonic() - self._start
        if bar is None:
            print(progress_line(progress, self._videos, elapsed), file=sys.stderr, flush=True)
            return
        bar.total = progress.seconds_expected(self._videos) or None
        bar.n = round(progress.seconds_done, 1)
        count = f"{progress.videos_done}/{self._videos} videos"
        speed = f", {progress.seconds_done / elapsed:.1f} s of video/s" if bar.n else ""
        bar.set_description_str(count + speed, refresh=False)
        bar.refresh()


def progress_line(progress: Progress, videos: int, elapsed_seconds: float) -> str:
    """The plain line: `3/52 videos, 40 of 610 s of video, 5.0 s of video/s, 114 s left`."""
    count = f"{progress.videos_done}/{videos} videos"
    done, expected = progress.seconds_done, progress.seconds_expected(videos)
    if not expected:
        return f"{count}, no length known yet after {elapsed_seconds:.0f} s"
    about = "" if progress.videos_known >= videos else "about "
    line = f"{count}, {done:.0f} of {about}{expected:.0f} s of video"
    if not done:
        return f"{line} after {elapsed_seconds:.0f} s"
    speed = done / elapsed_seconds
    seconds_left = round((expected - done) / speed)
    left = f", {seconds_left} s left" if seconds_left > 0 else ""
    return f"{line}, {speed:.1f} s of video/s{left}"
