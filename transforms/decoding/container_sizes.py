"""The size that a container declares, in bytes: a shorter file is truncated.

Durations in headers are unreliable; sizes that a demuxer needs are reliable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

#: Bytes at the start of a file that hold the headers with its size; AVI needs more.
_HEAD_BYTES: Final = 4 << 10
_RIFF_HEAD_BYTES: Final = 16 << 10
_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = b"\x18\x53\x80\x67"
_RIFF_HEADER_BYTES: Final = 8
#: Some writers get sizes wrong by a few chunk headers.
_RIFF_SLACK_BYTES: Final = 64
#: Sizes from here on are placeholders; real lists end at 1 or 2 GB.
_RIFF_PLACEHOLDER: Final = 0x7FFF_0000


def declared_bytes(read: Callable[[int, int], bytes], stream: Any = None) -> int | None:
    """The size in bytes that a file's headers declare; None if they declare none.

    RIFF (avi): the end of the `movi` list, if its size and that of the file agree; writers to a
    pipe and interrupted writers leave placeholders. A large AVI (OpenDML) continues in further
    RIFF chunks. Matroska and WebM: the size of the Segment element, unless it is
    unknown (live). MP4 and MOV: the end of the furthest sample in the index of `stream`, an
    av.VideoStream.

    Args:
        read: returns up to a number of bytes from an offset: read(count, offset).
    """
    head = read(_HEAD_BYTES, 0)
    if head[:4] == b"RIFF" and len(head) >= _RIFF_HEADER_BYTES:
        head = read(_RIFF_HEAD_BYTES, 0)
        return _further_riffs_end(read, head) or _riff_bytes(head)
    if head[:4] == _EBML:
        return _matroska_bytes(head)
    if stream is not None and stream.container.format.name.startswith("mov"):
        ends = [entry.pos + entry.size for entry in stream.index_entries]
        return max(ends, default=None)
    return None


def _riff_bytes(head: bytes) -> int | None:
    """The end of the `movi` list, minus the slack of sizes; None if it is unreliable."""
    whole = _RIFF_HEADER_BYTES + int.from_bytes(head[4:8], "little")
    at = 12  # after RIFF, its size, and its kind
    while at + 12 <= len(head):
        size = int.from_bytes(head[at + 4 : at + 8], "little")
        stop = at + _RIFF_HEADER_BYTES + size
        if head[at : at + 4] == b"LIST" and head[at + 8 : at + 12] == b"movi":
            known = _RIFF_SLACK_BYTES < size < _RIFF_PLACEHOLDER
            trusted = known and stop <= whole + _RIFF_SLACK_BYTES
            return stop - _RIFF_SLACK_BYTES if trusted else None
        at = stop + size % 2
    return None


def _further_riffs_end(read: Callable[[int, int], bytes], head: bytes) -> int:
    """The end of the last RIFF chunk after the first; 0 if there is none, or no size."""
    end, place, size = 0, 0, int.from_bytes(head[4:8], "little")
    while _RIFF_SLACK_BYTES < size < _RIFF_PLACEHOLDER:
        place += _RIFF_HEADER_BYTES + size
        chunk = read(12, place)
        if chunk[:4] != b"RIFF" or chunk[8:] != b"AVIX":
            return end
        size = int.from_bytes(chunk[4:8], "little")
        end = place + _RIFF_HEADER_BYTES + size - _RIFF_SLACK_BYTES
    return 0


def _matroska_bytes(head: bytes) -> int | None:
    """Start of the Segment's content plus its size, an EBML number of 1 to 8 bytes."""
    at = head.find(_SEGMENT)
    if at < 0 or at + 5 > len(head):
        return None
    start = at + len(_SEGMENT)
    length = 9 - head[start].bit_length()  # the first set bit gives the number of bytes
    digits = head[start : start + length]
    if not 1 <= length <= 8 or len(digits) < length:
        return None
    unknown = (1 << 7 * length) - 1
    size = int.from_bytes(digits, "big") & unknown
    return None if size in (0, unknown) else start + length + size
