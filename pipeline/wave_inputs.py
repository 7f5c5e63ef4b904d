"""Inputs of a pipeline that is built once and run for one wave of inputs after the other.

Building the graph takes longer than annotating a short clip; giving it other inputs does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam


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
