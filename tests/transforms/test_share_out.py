"""Threads take elements as they become free, each element once."""

import threading
from collections.abc import Iterator

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from pipeline.runner_options import runner_options, worker_threads
from transforms.share_out import _WAITING, ShareOut, _offered, _taken

_LONG = 0
_REST = list(range(1, 12))
_rest_done = threading.Event()
_done: list[int] = []


def _work(element: int) -> int:
    """The long element takes until all others are done."""
    if element == _LONG:
        assert _rest_done.wait(60), f"only {_done} were done beside it"
    else:
        _done.append(element)
        if len(_done) == len(_REST):
            _rest_done.set()
    return element


def test_one_thread_does_the_rest_while_another_has_a_long_element():
    options, runner = runner_options([], 2)
    share_out = ShareOut(int, worker_threads(options, runner), weight=lambda n: float(n == _LONG))
    with beam.Pipeline(options=options) as pipeline:
        worked = pipeline | beam.Create([*_REST, _LONG]) | share_out | beam.Map(_work)
        assert_that(worked, equal_to([*_REST, _LONG]))
    assert not _WAITING


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_elements_stay_what_they_are(threads):
    options, _ = runner_options([], max(threads, 1))
    with beam.Pipeline(options=options) as pipeline:
        shared = pipeline | beam.Create(["a", "b", "b"]) | ShareOut(str, threads)
        assert_that(shared, equal_to(["a", "b", "b"]))


def test_nothing_is_shared_out():
    options, _ = runner_options([], 2)
    with beam.Pipeline(options=options) as pipeline:
        assert_that(pipeline | beam.Create([]) | ShareOut(str, 2), equal_to([]))


def test_none_is_taken_after_a_failure():
    first, second = _offered([3, 2, 1], 2)
    taken: Iterator[int] = _taken(first)
    assert next(taken) == 3
    taken.close()  # as when a stage raises
    assert list(_taken(second)) == []
    with pytest.raises(RuntimeError, match="in another process"):
        next(_taken(first))


@pytest.mark.parametrize(
    ("flags", "workers", "expected"),
    [
        ([], 3, 3),
        (["--direct_num_workers=2"], 3, 2),
        (["--direct_running_mode=multi_processing"], 3, 0),
        (["--runner=PrismRunner"], 3, 0),
    ],
)
def test_which_runners_have_threads_here(flags, workers, expected):
    assert worker_threads(*runner_options(flags, workers)) == expected
