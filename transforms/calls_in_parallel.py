"""Waiting calls of a stage, several at a time: object stores answer slowly and in parallel."""

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

#: Calls at a time, of all stages of a process.
_POOL: Final = ThreadPoolExecutor(32, "facetracks-calls")
#: What calls gave is held until it is its turn: so many results at most.
_AHEAD: Final = 128


class CallsInParallel(beam.DoFn):  # type: ignore[misc]
    """A DoFn of two halves: `call` waits, in threads; `results` yields, in order, in Beam's.

    For elements of the global window whose timestamps tell nothing: the last results of a bundle
    come when it ends. Metrics belong into `results`, since Beam counts those of its own threads.
    """

    def call(self, element: Any) -> Any:
        """What takes long; called in several threads at once."""
        raise NotImplementedError

    def results(self, outcome: Any) -> Iterable[Any]:
        """The elements, or TaggedOutputs, that an outcome of `call` becomes; by default itself."""
        return [outcome]

    def start_bundle(self) -> None:
        """Nothing is under way."""
        self._waiting: deque[Future[Any]] = deque()

    def process(self, element: Any) -> Iterator[Any]:
        """Begins a call; gives what came of earlier ones."""
        self._waiting.append(_POOL.submit(self.call, element))
        while len(self._waiting) > _AHEAD:
            yield from self.results(self._waiting.popleft().result())

    def finish_bundle(self) -> Iterator[Any]:
        """Gives the rest."""
        while self._waiting:
            for result in self.results(self._waiting.popleft().result()):
                if isinstance(result, TaggedOutput):
                    yield TaggedOutput(result.tag, _windowed(result.value))
                else:
                    yield _windowed(result)


def _windowed(value: Any) -> WindowedValue:
    return WindowedValue(value, MIN_TIMESTAMP, (GlobalWindow(),))
