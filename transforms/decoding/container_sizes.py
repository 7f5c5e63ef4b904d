"""How long a file says it is, in bytes: a file that is shorter has been cut off.

Durations in headers lie; the sizes that a container needs to be read at all do not.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["HEAD_BYTES", "declared_bytes"]

#: How much of a file's beginning `declared_bytes` wants to see.
HEAD_BYTES: Final = 4096

_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = b"\x18\x53\x80\x67"
_RIFF_HEADER_BYTES: Final = 8


def declared_bytes(head: bytes, stream: Any = None) -> int | None:
    """Bytes that a file needs by its own account; None where it gives none.

    RIFF (avi): the size of the first chunk. Matroska and WebM: the size of the Segment
    element, unless it is unknown (live). MP4 and MOV: the end of the furthest sample in
    the index of `stream`, an av.VideoStream.
    """
    if head[:4] == b"RIFF" and len(head) >= _RIFF_HEADER_BYTES:
        size = int.from_bytes(head[4:8], "little")
        return _RIFF_HEADER_BYTES + size if size else None
    if head[:4] == _EBML:
        return _matroska_bytes(head)
    if stream is not None and stream.container.format.name.startswith("mov"):
        ends = [entry.pos + entry.size for entry in stream.index_entries]
        return max(ends, default=None)
    return None


def _matroska_bytes(head: bytes) -> int | None:
    """Start of the Segment's content plus its size, an EBML number of 1 to 8 bytes."""
    at = head.find(_SEGMENT)
    if at < 0 or at + 5 > len(head):
        return None
    start = at + len(_SEGMENT)
    length = 9 - head[start].bit_length()  # the first set bit tells how many bytes follow
    digits = head[start : start + length]
    if not 1 <= length <= 8 or len(digits) < length:
        return None
    bits = 7 * length
    size = int.from_bytes(digits, "big") & ((1 << bits) - 1)
    unknown = (1 << bits) - 1
    return None if size in (0, unknown) else start + length + size
