"""Counters and distributions of a run: shown by the runner, summed up in run.json.

Counters are named for what they count. Distributions of time are in milliseconds, because
Beam's hold whole numbers; the name says so.
"""

from __future__ import annotations

from typing import Final

from apache_beam.metrics import Metrics

from schemas.records import SegmentStats

__all__ = ["NAMESPACE", "STAGED_BYTES", "count", "record_align", "record_decode", "record_seconds"]

NAMESPACE: Final = "facetracks"
#: Bytes written to staging; nothing of a video is removed before all of it is written.
STAGED_BYTES: Final = Metrics.counter(NAMESPACE, "staging_bytes")


def count(name: str, number: int = 1) -> None:
    """Adds to a counter of the run."""
    Metrics.counter(NAMESPACE, name).inc(number)


def record_seconds(stage: str, seconds: float) -> None:
    """One piece of work of a stage took so long."""
    Metrics.distribution(NAMESPACE, f"{stage}_ms").update(round(1000 * seconds))


def record_decode(stats: SegmentStats) -> None:
    """The time that went into one SegmentWindows."""
    record_seconds("decode", stats.decode_seconds)
    record_seconds("detect", stats.detect_seconds)
    record_seconds("crop", stats.crop_seconds)


def record_align(windows: int, seconds: float) -> None:
    """One call of the landmark network, and how full it was."""
    Metrics.distribution(NAMESPACE, "align_batch_windows").update(windows)
    record_seconds("align", seconds)
