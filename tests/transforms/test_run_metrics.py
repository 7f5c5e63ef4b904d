import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter

from schemas.records import SegmentStats
from transforms.run_metrics import (
    NAMESPACE,
    count,
    cpu_by_stage,
    record_align,
    record_decode,
    record_seconds,
)


def _work(number: int) -> int:
    count("faces", number)
    record_seconds("write", number / 1000)
    cpu = {"decode_cpu_seconds": 0.25, "detect_cpu_seconds": 0.0001}
    record_decode(SegmentStats(0.5, 0.25, 0.125, **cpu))
    record_align(10 * number, 1.0)
    return number


def test_what_is_recorded_in_a_worker_comes_out_of_the_run():
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = pipeline | beam.Create([1, 2]) | beam.Map(_work)
    result = pipeline.run()
    result.wait_until_finish()
    metrics = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    counters = {one.key.metric.name: one.result for one in metrics["counters"]}
    assert counters.pop("faces") == 3
    assert cpu_by_stage(counters) == {"decode": 0.5, "detect": 0.0002, "crop": 0.0}
    got = {
        one.key.metric.name: (one.result.count, one.result.sum, one.result.min, one.result.max)
        for one in metrics["distributions"]
    }
    assert got == {
        "write_ms": (2, 3, 1, 2),
        "decode_ms": (2, 1000, 500, 500),
        "detect_ms": (2, 500, 250, 250),
        "crop_ms": (2, 250, 125, 125),
        "align_batch_windows": (2, 30, 10, 20),
        "align_ms": (2, 2000, 1000, 1000),
    }


def test_outside_of_a_run_nothing_is_recorded_and_nothing_breaks():
    _work(1)
