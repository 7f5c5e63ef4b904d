import threading

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import MIN_TIMESTAMP

from transforms.calls_in_parallel import CallsInParallel

TOGETHER = 8


class Meeting(CallsInParallel):
    """The first calls wait until TOGETHER run at once; odd numbers go to another output."""

    def setup(self):
        self.lock, self.under_way, self.met = threading.Lock(), 0, threading.Event()

    def call(self, number):
        with self.lock:
            self.under_way += 1
            if self.under_way == TOGETHER:
                self.met.set()
        assert self.met.wait(timeout=60), f"{self.under_way} calls at a time, not {TOGETHER}"
        return number

    def results(self, number):
        return [beam.pvalue.TaggedOutput("odd", number) if number % 2 else number]


class Sorted(CallsInParallel):
    """Odd numbers are local; emits the name of the thread pool."""

    def is_remote(self, number):
        return number % 2 == 0

    def call(self, number):
        return number, threading.current_thread().name.rpartition("_")[0]


class Failing(CallsInParallel):
    def call(self, number):
        raise ValueError(f"no {number}")

    def results(self, number):
        return [number]


def with_time(value, at=beam.DoFn.TimestampParam, window=beam.DoFn.WindowParam):
    return value, at == MIN_TIMESTAMP, type(window).__name__


def test_calls_are_made_together_and_every_result_comes_once():
    """More elements than the buffer holds, so results come from both halves of a bundle."""
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        numbers = pipeline | beam.Create(list(range(50 * TOGETHER)), reshuffle=False)
        outputs = numbers | beam.ParDo(Meeting()).with_outputs("odd", main="even")
        for name, first in (("even", 0), ("odd", 1)):
            told = outputs[name] | f"Time{name}" >> beam.Map(with_time)
            expected = [(n, True, "GlobalWindow") for n in range(first, 50 * TOGETHER, 2)]
            assert_that(told, equal_to(expected), label=name)


def test_local_calls_have_few_threads_of_their_own():
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        pools = pipeline | beam.Create(list(range(4))) | beam.ParDo(Sorted())
        remote, local = "facetracks-calls", "facetracks-local-calls"
        assert_that(pools, equal_to([(0, remote), (1, local), (2, remote), (3, local)]))


def test_what_a_call_raises_breaks_the_bundle():
    with pytest.raises(ValueError, match="no 1"), beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([1]) | beam.ParDo(Failing())
