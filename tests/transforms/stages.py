"""Runs one stage on FnApiRunner and returns its output."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import apache_beam as beam

_COLLECTED: dict[str, list[Any]] = defaultdict(list)


def outputs_of(elements: list[Any] | None, stage: beam.PTransform, *tags: str) -> Any:
    """The output of `stage` for `elements`, which arrive in their order.

    With tags, a dict of the elements of each of these outputs. `elements` None starts the
    stage from the pipeline itself.
    """
    _COLLECTED.clear()
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        source = pipeline
        if elements is not None:
            source = pipeline | "Elements" >> beam.Create(elements, reshuffle=False)
        result = source | "Stage" >> stage
        for tag in tags or ("",):
            output = result[tag] if tag else result
            _ = output | f"Collect {tag}" >> beam.Map(_collect, tag)
    if tags:
        return {tag: list(_COLLECTED[tag]) for tag in tags}
    return list(_COLLECTED[""])


def _collect(element: Any, tag: str) -> None:
    _COLLECTED[tag].append(element)
