"""ShareOut: worker threads of one process take elements one by one, as they become free.

    elements ---> one list ---> a ticket for each thread ---> elements, each by one thread

The FnApiRunner deals the elements of a stage out beforehand, as many to one thread as to another,
and a thread that has done its own waits for the rest. Other runners share elements out themselves.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.typehints import KV

_Ticket: TypeAlias = tuple[str, int]


_LOCK = threading.Lock()
#: The elements that wait in this process, and the threads that may still take them, by offer.
_WAITING: dict[str, tuple[deque[Any], set[int]]] = {}


def _offered(elements: Iterable[Any], threads: int) -> Iterator[_Ticket]:
    """Tickets for elements, one a thread."""
    offer = uuid.uuid4().hex
    with _LOCK:
        _WAITING[offer] = deque(elements), set(range(threads))
    yield from ((offer, number) for number in range(threads))


def _taken(ticket: _Ticket) -> Iterator[Any]:
    """Elements that no other thread has taken, until none is left or a stage has failed.

    Raises RuntimeError in another process than that of the offer.
    """
    offer, number = ticket
    with _LOCK:
        if offer not in _WAITING:
            raise RuntimeError("the elements are in another process: expected threads of one")
        elements, tickets = _WAITING[offer]
    try:
        with contextlib.suppress(IndexError):  # none is left
            while True:
                yield elements.popleft()
    finally:
        elements.clear()
        with _LOCK:
            tickets.discard(number)
            if not tickets:
                del _WAITING[offer]


class _OfferFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, threads: int, weight: Callable[[Any], float]) -> None:
        self._threads = threads
        self._weight = weight

    def process(self, keyed: tuple[int, Iterable[Any]]) -> Iterator[_Ticket]:
        heaviest_first = sorted(keyed[1], key=self._weight, reverse=True)
        return _offered(heaviest_first, self._threads)


class _TakeFn(beam.DoFn):  # type: ignore[misc]
    def process(self, ticket: _Ticket) -> Iterator[Any]:
        # The stages that follow in the same bundle are done with an element before the next.
        return _taken(ticket)


@dataclass
class ShareOut(beam.PTransform):  # type: ignore[misc]
    """A PCollection becomes itself, its elements spread over the workers.

    kind: the elements' type.
    threads: worker threads of the FnApiRunner, all in this process; 0 for any other runner, where
        it is a Reshuffle.
    weight: elements of more weight are taken first, so that the ends of all threads are near.
    """

    kind: type
    threads: int = 0
    weight: Callable[[Any], float] = lambda element: 0.0

    def expand(self, elements: beam.PCollection[Any]) -> beam.PCollection[Any]:
        """Groups all elements into one list first."""
        if not self.threads:
            return elements | "Spread" >> beam.Reshuffle()
        one_key = beam.Map(lambda element: (0, element)).with_output_types(KV[int, self.kind])
        return (
            elements
            | "OneKey" >> one_key
            | "All" >> beam.GroupByKey()
            | "Offer" >> beam.ParDo(_OfferFn(self.threads, self.weight))
            | "Tickets" >> beam.Reshuffle()
            | "Take" >> beam.ParDo(_TakeFn()).with_output_types(self.kind)
        )
