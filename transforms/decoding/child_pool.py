"""Decoding children that the stages of a process share, one for each request at a time.

    a stage's worker   enter_pool()   with lent_child(settings) as child: ...   leave_pool()
    the driver         with kept_children():   wave 1, wave 2, ...

A child costs seconds to start: it reads FFmpeg's bindings, and the detector on its first
segment. So a child goes from request to request, whichever stage asks, and idle ones are
ended when the last user of the pool has left.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from transforms.decoding.child import ChildSettings, DecodingChild

_LOCK = threading.Lock()
_IDLE: list[tuple[ChildSettings, DecodingChild]] = []
_users = 0


def enter_pool() -> None:
    """Registers a user; children stay alive between requests until it leaves."""
    global _users
    with _LOCK:
        _users += 1


def leave_pool() -> None:
    """Unregisters a user; the last one stops the children."""
    global _users
    with _LOCK:
        _users -= 1
        ended = _IDLE[:] if not _users else []
        del _IDLE[: len(ended)]
    for _, child in ended:
        child.close()


@contextlib.contextmanager
def kept_children() -> Iterator[None]:
    """Keeps children alive over several pipelines of this process."""
    enter_pool()
    try:
        yield
    finally:
        leave_pool()


@contextlib.contextmanager
def lent_child(settings: ChildSettings) -> Iterator[DecodingChild]:
    """A child started with `settings`, for one request."""
    with _LOCK:
        fits = [idle for idle in _IDLE if idle[0] == settings]
        if fits:
            _IDLE.remove(fits[-1])  # the one that worked last: it has read what it needs
    child = fits[-1][1] if fits else DecodingChild(settings)
    try:
        yield child
    finally:
        with _LOCK:
            stays = _users > 0
            if stays:
                _IDLE.append((settings, child))
        if not stays:
            child.close()
