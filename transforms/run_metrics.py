"""Counters and distributions of a run: shown by the runner, summed up in run.json.

Counters are named for what they count. Distributions of time are in milliseconds, because
Beam's hold whole numbers; the name says so. CPU is in microseconds: the small pieces of small
videos add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from apache_beam.metrics import Metrics

from schemas.records import SegmentStats

NAMESPACE: Final = "facetracks"
_CPU_SUFFIX: Final = "_cpu_us"
#: Bytes written to staging; nothing of a video is removed before all of it is written.
STAGED_BYTES: Final = Metrics.counter(NAMESPACE, "staging_bytes")


def count(name: str, number: int = 1) -> None:
    """Adds to a counter of the run."""
    Metrics.counter(NAMESPACE, name).inc(number)


def record_seconds(stage: str, seconds: float) -> None:
    """One piece of work of a stage took so long."""
    Metrics.distribution(NAMESPACE, f"{stage}_ms").update(round(1000 * seconds))


def record_cpu(stage: str, seconds: float) -> None:
    """One piece of work of a stage took so much CPU."""
    Metrics.counter(NAMESPACE, f"{stage}{_CPU_SUFFIX}").inc(round(1e6 * seconds))


def cpu_by_stage(counters: Mapping[str, int]) -> dict[str, float]:
    """Seconds of CPU of each stage that a run's counters tell of."""
    return {
        name.removesuffix(_CPU_SUFFIX): count / 1e6
        for name, count in counters.items()
        if name.endswith(_CPU_SUFFIX)
    }


def record_decode(stats: SegmentStats) -> None:
    """The time that went into one SegmentWindows."""
    record_cpu("decode", stats.decode_cpu_seconds)
    record_cpu("detect", stats.detect_cpu_seconds)
    record_cpu("crop", stats.crop_cpu_seconds)
    record_seconds("decode", stats.decode_seconds)
    record_seconds("detect", stats.detect_seconds)
    record_seconds("crop", stats.crop_seconds)


def record_align(windows: int, seconds: float) -> None:
    """One call of the landmark network, and how full it was."""
    Metrics.distribution(NAMESPACE, "align_batch_windows").update(windows)
    record_seconds("align", seconds)
