"""When to kill a busy decoding child: time since its last progress, and its memory."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that was broken: its `reason`, and what the child did, in words."""

    reason: str
    what: str


@dataclass(slots=True)
class Watchdog:
    """Watches one request; only the time between `wait_begins` and `wait_ends` counts.

    All times are seconds of one monotonic clock.

    memory_mb: limit of resident memory. stall_seconds: of the time without progress.
    total_seconds: of the time that the worker waits for the child, over the whole request.
    """

    memory_mb: float
    stall_seconds: float
    total_seconds: float = math.inf
    _waited: float = 0.0
    _began: float = 0.0
    _last_sign: float = 0.0

    def wait_begins(self, now: float) -> None:
        """The worker starts to wait for the child; restarts the stall clock."""
        self._began = self._last_sign = now

    def sign(self, now: float) -> None:
        """The child has reported progress."""
        self._last_sign = now

    def wait_ends(self, now: float) -> None:
        """The child has answered."""
        self._waited += now - self._began

    def breach(self, now: float, memory_mb: float) -> Breach | None:
        """The limit that the child breaks now, if any."""
        if memory_mb > self.memory_mb:
            return Breach("memory_limit", f"needed more than {self.memory_mb:g} MB")
        if self._waited + now - self._began > self.total_seconds:
            return Breach("time_limit", f"needed more than {self.total_seconds:.0f} s")
        if now - self._last_sign > self.stall_seconds:
            return Breach("decoder_hung", f"made no progress for {self.stall_seconds:g} s")
        return None
