"""Records as bytes, without pickle: safetensors for arrays, JSON for the rest.

What a decoding child answers and what a part holds come from outside this process, so
reading them must not be able to do more than fail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from schemas.landmarks import LANDMARK_COUNT
from schemas.records import (
    FrameGeometry,
    Probe,
    Seam,
    Segment,
    SegmentLandmarks,
    SegmentRows,
    SegmentWindows,
    Video,
    Work,
)

__all__ = [
    "pack_landmarks",
    "pack_plan",
    "pack_windows",
    "unpack_landmarks",
    "unpack_plan",
    "unpack_windows",
]

_META_KEY: Final = "facetracks"
#: Arrays of a SegmentRows with the type each must have.
_ROW_ARRAYS: Final[dict[str, npt.DTypeLike]] = {
    "frame_pts": np.int64,
    "frame": np.int32,
    "track": np.int32,
    "boxes_xyxy_px": np.float32,
    "box_source": np.uint8,
    "scores": np.float32,
    "cuts_pts": np.int64,
    "lost_pts": np.int64,
}


def pack_windows(windows: SegmentWindows) -> bytes:
    """A SegmentWindows without its segment, which the asker has."""
    extra = {"crops": windows.crops, "windows": windows.windows, "affines": windows.affines}
    return _pack(windows, extra)


def unpack_windows(content: bytes, segment: Segment) -> SegmentWindows:
    """What `pack_windows` packed; ValueError for anything else."""
    arrays, common = _unpack(content)
    kinds = {"crops": np.uint8, "windows": np.int32, "affines": np.float64}
    extra: dict[str, Any] = {name: _typed(arrays, name, kind) for name, kind in kinds.items()}
    _check_shape("affines", extra["affines"], (len(common["rows"].frame), 2, 3))
    used = extra["windows"]
    if used.size and not (used.min() >= 0 and used.max() < len(extra["crops"])):
        raise ValueError(f"windows: got indices to {used.max()} of {len(extra['crops'])} crops")
    return SegmentWindows(segment=segment, **common, **extra)


def pack_landmarks(landmarks: SegmentLandmarks) -> bytes:
    """A SegmentLandmarks without its segment, which the part's reference has."""
    return _pack(landmarks, {"landmarks_px": landmarks.landmarks_px})


def unpack_landmarks(content: bytes, segment: Segment) -> SegmentLandmarks:
    """What `pack_landmarks` packed; ValueError for anything else."""
    arrays, common = _unpack(content)
    points = _typed(arrays, "landmarks_px", np.float32)
    _check_shape("landmarks_px", points, (len(common["rows"].frame), LANDMARK_COUNT, 2))
    return SegmentLandmarks(segment=segment, landmarks_px=points, **common)


def pack_plan(segments: list[Segment]) -> bytes:
    """The segments of one video, without the video, which the asker has."""
    probe = asdict(segments[0].probe)
    for name in ("time_base", "average_fps", "sample_aspect_ratio"):
        probe[name] = None if probe[name] is None else str(probe[name])
    cuts = [(s.seek_pts, s.own_start_pts, s.own_stop_pts) for s in segments]
    return json.dumps({"probe": probe, "cuts": cuts}).encode()


def unpack_plan(content: bytes, video: Video) -> list[Segment]:
    """What `pack_plan` packed; ValueError for anything else."""
    try:
        plan = json.loads(content)
        fields = dict(plan["probe"])
        for name in ("time_base", "average_fps", "sample_aspect_ratio"):
            fields[name] = None if fields[name] is None else Fraction(fields[name])
        probe = Probe(**fields)
        cuts = plan["cuts"]
        if not cuts or not all(isinstance(cut, list) and len(cut) == 3 for cut in cuts):
            raise ValueError(f"no plan: got the cuts {cuts!r}, expected lists of three pts")
        return [
            Segment(video, probe, i, len(cuts), *(None if p is None else int(p) for p in cut))
            for i, cut in enumerate(cuts)
        ]
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"no plan: {error!r}") from error


def _pack(record: SegmentWindows | SegmentLandmarks, extra: Mapping[str, Any]) -> bytes:
    arrays = {name: getattr(record.rows, name) for name in _ROW_ARRAYS} | dict(extra)
    meta: dict[str, Any] = {"work": asdict(record.work)}
    if record.geometry is not None:
        aspect = str(record.geometry.sample_aspect_ratio)
        meta["geometry"] = asdict(record.geometry) | {"sample_aspect_ratio": aspect}
    if record.seam is not None:
        meta["seam_pts"] = record.seam.pts
        arrays["seam_track"] = record.seam.track
        arrays["seam_boxes_xyxy_px"] = record.seam.boxes_xyxy_px
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    packed: bytes = safetensors.numpy.save(arrays, {_META_KEY: json.dumps(meta)})
    return packed


def _unpack(content: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """All arrays, and the fields that both kinds of record have."""
    try:
        arrays = safetensors.numpy.load(content)
        header_size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + header_size])
        meta = json.loads(header["__metadata__"][_META_KEY])
        geometry, seam = None, None
        if "geometry" in meta:
            aspect = Fraction(meta["geometry"].pop("sample_aspect_ratio"))
            geometry = FrameGeometry(**meta["geometry"], sample_aspect_ratio=aspect)
        if "seam_pts" in meta:
            boxes = _typed(arrays, "seam_boxes_xyxy_px", np.float32)
            seam = Seam(int(meta["seam_pts"]), _typed(arrays, "seam_track", np.int32), boxes)
        rows = {name: _typed(arrays, name, kind) for name, kind in _ROW_ARRAYS.items()}
        common = {
            "geometry": geometry,
            "rows": SegmentRows(**rows),
            "seam": seam,
            "work": Work(**meta["work"]),
        }
    except (safetensors.SafetensorError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"no record of ours: {error!r}") from error
    return arrays, common


def _check_shape(name: str, array: npt.NDArray[Any], expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise ValueError(f"{name}: got shape {array.shape}, expected {expected}")


def _typed(
    arrays: Mapping[str, npt.NDArray[Any]], name: str, kind: npt.DTypeLike
) -> npt.NDArray[Any]:
    if name not in arrays:
        raise ValueError(f"no {name}; got {', '.join(sorted(arrays)) or 'nothing'}")
    array = arrays[name]
    if array.dtype != kind:
        raise ValueError(f"{name}: got {array.dtype}, expected {np.dtype(kind)}")
    return array
