"""Counts of values in fixed bins, which add up while tables go by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(slots=True)
class Histogram:
    """How many values lie in each bin; what lies outside counts in the first or the last.

    Attributes:
        title, unit: what is counted.
        edges: (B + 1,) of the bins, rising; a value on an edge is in the bin above it.
        counts: (B,) int64.
        missing: how many values were not finite.
    """

    title: str
    unit: str
    edges: Sequence[float]
    counts: npt.NDArray[np.int64] = field(init=False)
    missing: int = 0

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.edges) - 1, np.int64)

    def add(self, values: npt.NDArray[np.floating]) -> None:
        """Counts values of any shape."""
        finite = values[np.isfinite(values)]
        self.missing += values.size - finite.size
        bins = np.searchsorted(np.asarray(self.edges), finite, side="right") - 1
        last = len(self.counts) - 1
        self.counts += np.bincount(np.clip(bins, 0, last), minlength=last + 1)

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())
