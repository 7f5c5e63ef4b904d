"""Parts: SegmentLandmarks as files, which stand in for a segment's rows on the way."""

from __future__ import annotations

from schemas.records import Segment, SegmentLandmarks, SegmentPart
from transforms.segment_arrays import pack_landmarks, unpack_landmarks
from transforms.sources import resolve
from transforms.storage import Folder, write_bytes

__all__ = ["part_url", "read_part", "save_part"]


def part_url(staging: Folder, segment: Segment) -> str:
    """Where a segment's landmarks go: named by what it owns, the same on every try."""
    bounds = "-".join(
        "open" if pts is None else str(pts) for pts in (segment.own_start_pts, segment.own_stop_pts)
    )
    return f"{staging}/landmarks-{segment.index:06d}-{bounds}.safetensors"


def save_part(staging: Folder, landmarks: SegmentLandmarks) -> SegmentPart:
    """Writes a segment's landmarks, whole or not at all, and returns the reference."""
    url = part_url(staging, landmarks.segment)
    write_bytes(url, pack_landmarks(landmarks))
    return SegmentPart(landmarks.segment, url)


def read_part(part: SegmentPart) -> SegmentLandmarks:
    """Reads what `save_part` wrote; ValueError where the file is something else."""
    fs, path = resolve(part.url)
    return unpack_landmarks(fs.cat_file(path), part.segment)
