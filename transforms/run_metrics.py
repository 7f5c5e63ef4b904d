"""Counters and distributions of a run: shown by the runner, summarized in run.json.

Counters are named for what they count. Distributions of time are in milliseconds (suffix
`_ms`), because Beam's hold integers. CPU time is in microseconds, so that short calls add up.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from apache_beam.metrics import Metrics

from schemas.records import SegmentStats

NAMESPACE: Final = "facetracks"
_CPU_SUFFIX: Final = "_cpu_us"
#: Bytes written to staging; nothing of a video is removed before all of it is written.
STAGED_BYTES: Final = Metrics.counter(NAMESPACE, "staging_bytes")


def count(name: str, number: int = 1) -> None:
    """Adds to a counter of the run."""
    _counter(name).inc(number)


@functools.cache
def _counter(name: str) -> Any:
    return Metrics.counter(NAMESPACE, name)


def record_seconds(stage: str, seconds: float) -> None:
    """Records the wall time of one call of a stage."""
    Metrics.distribution(NAMESPACE, f"{stage}_ms").update(round(1000 * seconds))


def record_cpu(stage: str, seconds: float) -> None:
    """Records the CPU time of one call of a stage."""
    count(f"{stage}{_CPU_SUFFIX}", round(1e6 * seconds))


def cpu_by_stage(counters: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds by stage, from a run's counters."""
    return {
        name.removesuffix(_CPU_SUFFIX): count / 1e6
        for name, count in counters.items()
        if name.endswith(_CPU_SUFFIX)
    }


def record_decode(stats: SegmentStats) -> None:
    """Records the time spent on one SegmentWindows."""
    for stage in ("decode", "detect", "crop"):
        record_cpu(stage, getattr(stats, f"{stage}_cpu_seconds"))
        record_seconds(stage, getattr(stats, f"{stage}_seconds"))


def record_align(windows: int, seconds: float) -> None:
    """Records the batch size and time of one call of the landmark network."""
    Metrics.distribution(NAMESPACE, "align_batch_windows").update(windows)
    record_seconds("align", seconds)
