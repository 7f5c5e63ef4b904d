"""A cache of the bytes that this process read last from remote files.

Segments of one video read the same bytes: all of them the container's index when they
open it, and neighbours the stretch at their seam. The longest unused go first, and the
index is used by every segment, so it stays unless one segment is larger than all that is
kept; then it is small beside the segment.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

_MAX_BYTES: Final = 64 << 20


class ReadCache:
    """Stretches of files, by a key that names the file and its version; safe between threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._stretches: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def at(self, key: str, position: int) -> tuple[int, bytes] | None:
        """(start, content) of a stretch that holds the byte at `position`."""
        with self._lock:
            for (name, start), content in self._stretches.items():
                if name == key and start <= position < start + len(content):
                    self._stretches.move_to_end((name, start))
                    return start, content
        return None

    def next_start(self, key: str, position: int) -> int | None:
        """Where the first stretch after `position` starts."""
        with self._lock:
            starts = [start for name, start in self._stretches if name == key and start > position]
        return min(starts, default=None)

    def add(self, key: str, start: int, content: bytes) -> None:
        """Keeps a stretch, and lets go of those that were not used for longest."""
        with self._lock:
            self._bytes += len(content) - len(self._stretches.pop((key, start), b""))
            self._stretches[key, start] = content
            while self._bytes > self._most_bytes:
                _, gone = self._stretches.popitem(last=False)
                self._bytes -= len(gone)


#: The bytes of this process.
RECENT: Final = ReadCache(_MAX_BYTES)
