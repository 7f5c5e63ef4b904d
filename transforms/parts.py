"""SegmentLandmarks as files: the parts that stand in for a segment's rows on the way.

safetensors holds the arrays, a JSON string in its metadata the rest. Nothing is pickled.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import fsspec
import numpy as np
import safetensors.numpy

from schemas.records import (
    FrameGeometry,
    Seam,
    Segment,
    SegmentLandmarks,
    SegmentPart,
    SegmentRows,
    Work,
)
from transforms.storage import Folder, write_bytes

__all__ = ["part_url", "read_part", "save_part"]

_ROW_ARRAYS = (
    "frame_pts",
    "frame",
    "track",
    "boxes_xyxy_px",
    "box_source",
    "scores",
    "cuts_pts",
)


def part_url(staging: Folder, segment: Segment) -> str:
    """Where a segment's landmarks go: named by what it owns, the same on every try."""
    bounds = "-".join(
        "open" if pts is None else str(pts) for pts in (segment.own_start_pts, segment.own_stop_pts)
    )
    return f"{staging}/landmarks-{segment.index:06d}-{bounds}.safetensors"


def save_part(staging: Folder, landmarks: SegmentLandmarks) -> SegmentPart:
    """Writes a segment's landmarks, whole or not at all, and returns the reference."""
    arrays: dict[str, Any] = {name: getattr(landmarks.rows, name) for name in _ROW_ARRAYS}
    arrays["landmarks_px"] = landmarks.landmarks_px
    meta: dict[str, Any] = {"work": asdict(landmarks.work)}
    if landmarks.geometry is not None:
        geometry = asdict(landmarks.geometry)
        meta["geometry"] = geometry | {
            "sample_aspect_ratio": str(landmarks.geometry.sample_aspect_ratio)
        }
    if landmarks.seam is not None:
        meta["seam_pts"] = landmarks.seam.pts
        arrays["seam_track"] = landmarks.seam.track
        arrays["seam_boxes_xyxy_px"] = landmarks.seam.boxes_xyxy_px
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    url = part_url(staging, landmarks.segment)
    write_bytes(url, safetensors.numpy.save(arrays, {"facetracks": json.dumps(meta)}))
    return SegmentPart(landmarks.segment, url)


def read_part(part: SegmentPart) -> SegmentLandmarks:
    """Reads what `save_part` wrote."""
    fs, path = fsspec.core.url_to_fs(part.url)
    content = fs.cat_file(path)
    arrays = safetensors.numpy.load(content)
    header_size = int.from_bytes(content[:8], "little")
    meta = json.loads(json.loads(content[8 : 8 + header_size])["__metadata__"]["facetracks"])
    geometry = None
    if "geometry" in meta:
        aspect = Fraction(meta["geometry"].pop("sample_aspect_ratio"))
        geometry = FrameGeometry(**meta["geometry"], sample_aspect_ratio=aspect)
    seam = None
    if "seam_pts" in meta:
        seam = Seam(meta["seam_pts"], arrays["seam_track"], arrays["seam_boxes_xyxy_px"])
    return SegmentLandmarks(
        segment=part.segment,
        geometry=geometry,
        rows=SegmentRows(**{name: arrays[name] for name in _ROW_ARRAYS}),
        seam=seam,
        landmarks_px=arrays["landmarks_px"],
        work=Work(**meta["work"]),
    )
