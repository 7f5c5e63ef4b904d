"""Parts: SegmentLandmarks as files; stages pass references to them instead of rows.

    landmarks-{segment}-{start}-{stop}.safetensors

A part is named by the pts that it owns, [start, stop). A segment decoded in pieces has several
parts, each starting where the previous one stops.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from schemas.records import Segment, SegmentLandmarks, SegmentPart
from transforms.storage.atomic_files import Folder, write_bytes
from transforms.storage.record_codec import pack_landmarks, unpack_landmarks

_OPEN: Final = "open"
_NAME: Final = re.compile(r"landmarks-(\d+)-(open|-?\d+)-(open|-?\d+)\.safetensors", re.ASCII)


def part_url(staging: Folder, segment: Segment) -> str:
    """The URL of a segment's landmarks, named by the pts it owns: the same on every retry."""
    return f"{staging}/landmarks-{segment.index:06d}-{bounds_of(segment)}.safetensors"


def bounds_of(segment: Segment) -> str:
    """The pts that a segment owns, for file names."""
    bounds = segment.own_start_pts, segment.own_stop_pts
    return "-".join(_OPEN if pts is None else str(pts) for pts in bounds)


def save_part(
    staging: Folder, landmarks: SegmentLandmarks, count_bytes: Callable[[int], object] | None = None
) -> SegmentPart:
    """Writes a segment's landmarks, whole or not at all, and returns the reference.

    count_bytes: called with the size of the file once it is written.
    """
    url = part_url(staging, landmarks.segment)
    content = pack_landmarks(landmarks)
    write_bytes(url, content)
    if count_bytes is not None:
        count_bytes(len(content))
    return SegmentPart(landmarks.segment, url)


def saved_parts(staging: Folder, segment: Segment) -> list[SegmentPart]:
    """The saved parts of a segment, from its start to the first gap."""
    limit = _number(segment.own_stop_pts, math.inf)
    stops: dict[float, float] = {}
    for name in staging.names():
        match = _NAME.fullmatch(name)
        if match is not None and int(match[1]) == segment.index:
            start = -math.inf if match[2] == _OPEN else int(match[2])
            stop = math.inf if match[3] == _OPEN else int(match[3])
            if start < stop <= limit:
                stops[start] = max(stop, stops.get(start, stop))
    parts: list[SegmentPart] = []
    start = _number(segment.own_start_pts, -math.inf)
    while start in stops:
        stop = stops[start]
        own = segment.after(_pts(start)).until(_pts(stop))
        parts.append(SegmentPart(own, part_url(staging, own)))
        start = stop
    return parts


def read_part(part: SegmentPart) -> SegmentLandmarks:
    """Reads what `save_part` wrote; ValueError if the file is invalid."""
    return unpack_landmarks(Folder(part.url).read_bytes(), part.segment)


def _number(pts: int | None, open_end: float) -> float:
    return open_end if pts is None else pts


def _pts(number: float) -> int | None:
    return None if math.isinf(number) else int(number)
