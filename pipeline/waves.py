"""A run on one machine goes in waves of videos, each a pipeline of its own.

The runner of one machine works stage by stage: it stages all parts of all videos before
the first video's tracks are written. In waves, staging is bounded by what one wave needs,
and finished tracks appear during the run. The pipeline is built once and given one wave after
the other: building the graph takes longer than annotating a short clip.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import apache_beam as beam

from pipeline.inputs import Inputs
from schemas.records import Video
from transforms.sum_videos import VideoTotals

#: The first wave is short, so that a run with wrong settings fails early ...
_FIRST_VIDEOS: Final = 16
#: ... but has some videos for each worker, whose start takes 0.4 s of one core in each wave, ...
_FIRST_VIDEOS_PER_WORKER: Final = 4
#: ... each next one twice as long, because all workers wait for its last segment, ...
_GROWTH: Final = 2
#: ... until waves leave so much in staging: about 8 hours of one face at 25 frames a second.
_WAVE_BYTES: Final = 1 << 30
#: The last wave takes up to this share more; one of few videos would leave workers idle.
_REST: Final = 0.5
#: The next videos may be longer; the parts of so many hours-long ones still fit on a disk.
_MAX_VIDEOS: Final = 256
#: After a wave that left nothing, as one of finished videos does, the next one is likely alike.
_MAX_IDLE_VIDEOS: Final = 1024
#: Files that are missing cost little and leave nothing: so many of them count as one video.
_MISSING_AS_ONE: Final = 64

#: Runs the pipeline over some inputs; returns its counters.
RunWave: TypeAlias = Callable[[Inputs], Counter[str]]


@dataclass
class RunTotals:
    """What the waves of a run add up to."""

    counters: Counter[str] = field(default_factory=Counter)
    waves: int = 0
    videos_done: int = 0
    staging_peak_bytes: int = 0  # of any wave: nothing is removed before its last stage
    videos: VideoTotals = field(default_factory=VideoTotals)

    def add(self, inputs: Inputs, counters: Counter[str]) -> None:
        """A wave has ended."""
        self.counters.update(counters)
        self.waves += 1
        self.videos_done += len(inputs)
        self.staging_peak_bytes = max(self.staging_peak_bytes, counters["staging_bytes"])


def run_in_waves(inputs: Inputs, run_wave: RunWave, totals: RunTotals, workers: int = 1) -> None:
    """Runs `inputs` in waves, one after the other, and adds each to `totals` when it has ended.

    Raises what `run_wave` raises; `totals` then has what finished before.
    """
    size = max(_FIRST_VIDEOS, _FIRST_VIDEOS_PER_WORKER * workers)
    failures, waiting = inputs.failures, len(inputs.videos)
    left = iter(inputs.videos)
    first = next(left, None)
    while totals.waves == 0 or first is not None:
        videos, first = _next_videos(first, left, size)
        waiting -= len(videos)
        if first is not None and waiting <= size * _REST:
            videos, first = [*videos, first, *left], None
        wave = Inputs(videos, failures)
        counters = run_wave(wave)
        totals.add(wave, counters)
        failures = []
        size = next_size(size, counters["staging_bytes"])


def _next_videos(
    first: Video | None, left: Iterator[Video], size: int
) -> tuple[list[Video], Video | None]:
    """The videos of a wave of a size, and the one after them."""
    videos, weight = list[Video](), 0.0
    while first is not None and (weight := weight + _weight(first)) <= size:
        videos.append(first)
        first = next(left, None)
    return videos, first


def _weight(video: Video) -> float:
    there = "://" in video.uri or os.path.exists(video.uri)  # noqa: PTH110 - any text
    return 1 if there else 1 / _MISSING_AS_ONE


def next_size(videos: int, staged_bytes: int) -> int:
    """Videos of the next wave, after one of so many that left so much in staging."""
    room = videos * _WAVE_BYTES // max(1, staged_bytes)
    most = _MAX_VIDEOS if staged_bytes else _MAX_IDLE_VIDEOS
    return max(1, min(videos * _GROWTH, room, most))


class _GiveFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self) -> None:
        self.elements: Sequence[Any] = ()

    def process(self, impulse: bytes) -> Iterator[Any]:
        yield from self.elements


class WaveInputs(beam.PTransform):  # type: ignore[misc]
    """A pipeline's start becomes the elements that were given before the pipeline is run.

        videos = WaveInputs(Video)
        rows = pipeline | videos | AnnotateVideos("OUT")
        for wave in waves:
            videos.give(wave)
            pipeline.run().wait_until_finish()

    A runner that serializes the graph anew in each run, as the FnApiRunner does, can run it more
    than once. The elements are part of the graph, as those of beam.Create are.

    Args:
        kind: the elements' type.
    """

    def __init__(self, kind: type) -> None:
        super().__init__()
        self._give = beam.ParDo(_GiveFn()).with_output_types(kind)

    def give(self, elements: Iterable[Any]) -> None:
        """Sets what the next run starts with."""
        self._give.fn.elements = list(elements)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[Any]:
        """One impulse, which gives them all."""
        return begin | "Impulse" >> beam.Impulse() | "Give" >> self._give
