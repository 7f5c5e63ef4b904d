"""The progress display: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any, Final

from tqdm import tqdm

from transforms.progress_board import BOARD, Progress

__all__ = ["ProgressDisplay"]

_BAR_SECONDS: Final = 0.5
_LINE_SECONDS: Final = 15.0


class ProgressDisplay:
    """Shows videos, seconds of video a second, and time left, while a run goes on.

    Args:
        videos: how many there are.
    """

    def __init__(self, videos: int) -> None:
        self._videos = videos
        self._stop = threading.Event()
        self._on_terminal = sys.stderr.isatty()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> ProgressDisplay:
        BOARD.clear()
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _show(self) -> None:
        bar: Any = None
        if self._on_terminal:
            bar = tqdm(
                unit="s",
                bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix} [{elapsed} < {remaining}]",
            )
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
        bar.set_description_str(f"{progress.videos_done}/{self._videos} videos", refresh=False)
        speed = progress.seconds_done / elapsed if elapsed else 0.0
        bar.set_postfix_str(f"{speed:.1f} s of video/s", refresh=False)
        bar.refresh()


def progress_line(progress: Progress, videos: int, elapsed_seconds: float) -> str:
    """The plain line: `3/52 videos, 40/610 s of video, 5.1 s of video/s, 112 s left`."""
    done, planned = progress.seconds_done, progress.seconds_expected(videos)
    speed = done / elapsed_seconds if elapsed_seconds else 0.0
    left = f", {(planned - done) / speed:.0f} s left" if speed and planned > done else ""
    return (
        f"{progress.videos_done}/{videos} videos, {done:.0f}/{planned:.0f} s of video, "
        f"{speed:.1f} s of video/s{left}"
    )
