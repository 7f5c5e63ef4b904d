"""An LRU cache of byte ranges read from remote files.

Segments of one video read the same bytes: the container's index when they open it, and the
overlap with their neighbours. Every segment reads the index, so it stays cached unless one segment
is larger than the cache.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

_MAX_BYTES: Final = 64 << 20


class ReadCache:
    """Byte ranges of files, by a key that names the file and its version; thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._ranges: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def at(self, key: str, position: int) -> tuple[int, bytes] | None:
        """(start, content) of a range that holds the byte at `position`."""
        with self._lock:
            for (name, start), content in self._ranges.items():
                if name == key and start <= position < start + len(content):
                    self._ranges.move_to_end((name, start))
                    return start, content
        return None

    def next_start(self, key: str, position: int) -> int | None:
        """The start of the first range after `position`."""
        with self._lock:
            starts = [start for name, start in self._ranges if name == key and start > position]
        return min(starts, default=None)

    def add(self, key: str, start: int, content: bytes) -> None:
        """Adds a range and evicts the least recently used ones."""
        with self._lock:
            self._bytes += len(content) - len(self._ranges.pop((key, start), b""))
            self._ranges[key, start] = content
            while self._bytes > self._max_bytes:
                _, gone = self._ranges.popitem(last=False)
                self._bytes -= len(gone)


#: The cache of this process.
RECENT: Final = ReadCache(_MAX_BYTES)
