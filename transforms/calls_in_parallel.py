"""A DoFn that makes blocking calls in parallel: object stores have high latency."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from transforms.storage.run_output import RunOutput

#: Concurrent calls of all stages of a process: to other machines, ...
_POOL: Final = ThreadPoolExecutor(32, "facetracks-calls")
#: ... and to the disk. Its calls hardly wait, so more threads only pass on Python's lock, which
#: takes a quarter of the CPU time of a missing file.
_LOCAL_POOL: Final = ThreadPoolExecutor(2, "facetracks-local-calls")
#: Calls in flight or with results waiting for their turn, at most.
_AHEAD: Final = 128


class CallsInParallel(beam.DoFn):  # type: ignore[misc]
    """A DoFn of two halves: `call` blocks, in threads; `results` yields in order, in Beam's thread.

    For elements of the global window whose timestamps do not matter: the last results of a bundle
    are emitted when it ends. Metrics belong in `results`: Beam counts those of its own threads.
    """

    def call(self, element: Any) -> Any:
        """The blocking part; runs in several threads at once."""
        raise NotImplementedError

    def is_remote(self, element: Any) -> bool:
        """Whether `call` waits for another machine; by default it does."""
        return True

    def results(self, outcome: Any) -> Iterable[Any]:
        """The elements, or TaggedOutputs, to emit for an outcome of `call`; by default itself."""
        return [outcome]

    def start_bundle(self) -> None:
        """Starts with no calls in flight."""
        self._waiting: deque[Future[Any]] = deque()

    def process(self, element: Any) -> Iterator[Any]:
        """Submits a call; yields results of earlier ones."""
        pool = _POOL if self.is_remote(element) else _LOCAL_POOL
        self._waiting.append(pool.submit(self.call, element))
        while len(self._waiting) > _AHEAD:
            yield from self.results(self._waiting.popleft().result())

    def finish_bundle(self) -> Iterator[Any]:
        """Yields the remaining results."""
        while self._waiting:
            for result in self.results(self._waiting.popleft().result()):
                if isinstance(result, TaggedOutput):
                    yield TaggedOutput(result.tag, _windowed(result.value))
                else:
                    yield _windowed(result)


class OutputCalls(CallsInParallel):
    """Calls that wait for OUTPUT."""

    def __init__(self, run_output: RunOutput) -> None:
        self._run_output = run_output

    def is_remote(self, element: Any) -> bool:
        """Whether OUTPUT is on another machine."""
        return self._run_output.is_remote


def _windowed(value: Any) -> WindowedValue:
    return WindowedValue(value, MIN_TIMESTAMP, (GlobalWindow(),))
