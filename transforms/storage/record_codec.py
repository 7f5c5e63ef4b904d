"""Records as bytes, without pickle: safetensors for arrays, JSON for the rest.

What a decoding child answers and what a part holds come from outside this process, so
reading them must not be able to do more than fail. Nothing is copied: the arrays that are
read are views of the bytes, and cannot be written to.
"""

from __future__ import annotations

import json
import math
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
    Seam,
    Segment,
    SegmentLandmarks,
    SegmentRows,
    SegmentStats,
    SegmentWindows,
    StreamMetadata,
    Video,
)

__all__ = [
    "pack_landmarks",
    "pack_plan",
    "pack_segment",
    "pack_windows",
    "unpack_landmarks",
    "unpack_plan",
    "unpack_segment",
    "unpack_windows",
]

_META_KEY: Final = "facetracks"
_HEADER_SIZE_BYTES: Final = 8
#: The types of safetensors that our records have.
_ARRAY_TYPES: Final[dict[str, npt.DTypeLike]] = {
    "U8": np.uint8,
    "I32": np.int32,
    "I64": np.int64,
    "F32": np.float32,
    "F64": np.float64,
}
_FRACTIONS: Final = ("time_base", "average_fps", "sample_aspect_ratio")
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
    "repeat_pts": np.int64,
    "repeat_of": np.int32,
}
#: Arrays of a SegmentLandmarks with the shape of each row.
_POINT_ARRAYS: Final[dict[str, tuple[int, ...]]] = {
    "landmarks_px": (LANDMARK_COUNT, 2),
    "spread_px": (LANDMARK_COUNT,),
}


def pack_windows(windows: SegmentWindows) -> bytes:
    """A SegmentWindows without its segment, which the asker has."""
    extra = {"crops": windows.crops, "windows": windows.windows, "affines": windows.affines}
    return _pack(windows, extra)


def unpack_windows(content: bytes | memoryview, segment: Segment) -> SegmentWindows:
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
    return _pack(landmarks, {name: getattr(landmarks, name) for name in _POINT_ARRAYS})


def unpack_landmarks(content: bytes, segment: Segment) -> SegmentLandmarks:
    """What `pack_landmarks` packed; ValueError for anything else."""
    arrays, common = _unpack(content)
    points: dict[str, Any] = {name: _typed(arrays, name, np.float32) for name in _POINT_ARRAYS}
    for name, shape in _POINT_ARRAYS.items():
        _check_shape(name, points[name], (len(common["rows"].frame), *shape))
    return SegmentLandmarks(segment=segment, **points, **common)


def pack_plan(segments: list[Segment]) -> bytes:
    """The segments of one video, without the video, which the asker has."""
    metadata = _metadata_fields(segments[0].metadata)
    cuts = [(s.seek_pts, s.own_start_pts, s.own_stop_pts) for s in segments]
    return json.dumps({"metadata": metadata, "cuts": cuts}).encode()


def unpack_plan(content: bytes, video: Video) -> list[Segment]:
    """What `pack_plan` packed; ValueError for anything else."""
    try:
        plan = json.loads(content)
        metadata = _metadata_of(plan["metadata"])
        cuts = plan["cuts"]
        if not cuts or not all(isinstance(cut, list) and len(cut) == 3 for cut in cuts):
            raise ValueError(f"no plan: got the cuts {cuts!r}, expected lists of three pts")
        return [
            Segment(video, metadata, i, len(cuts), *(None if p is None else int(p) for p in cut))
            for i, cut in enumerate(cuts)
        ]
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"no plan: {error!r}") from error


def pack_segment(segment: Segment) -> bytes:
    """One segment with all it refers to."""
    fields = asdict(segment) | {"metadata": _metadata_fields(segment.metadata)}
    return json.dumps(fields, sort_keys=True).encode()


def unpack_segment(content: bytes) -> Segment:
    """What `pack_segment` packed; ValueError for anything else."""
    try:
        fields = json.loads(content)
        parts = {"video": Video(**fields["video"]), "metadata": _metadata_of(fields["metadata"])}
        return Segment(**fields | parts)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"no segment: {error!r}") from error


def _metadata_fields(metadata: StreamMetadata) -> dict[str, Any]:
    fields = asdict(metadata)
    return fields | {n: None if fields[n] is None else str(fields[n]) for n in _FRACTIONS}


def _metadata_of(told: Mapping[str, Any]) -> StreamMetadata:
    fractions = {n: None if told[n] is None else Fraction(told[n]) for n in _FRACTIONS}
    return StreamMetadata(**dict(told) | fractions)


def _pack(record: SegmentWindows | SegmentLandmarks, extra: Mapping[str, Any]) -> bytes:
    arrays = {name: getattr(record.rows, name) for name in _ROW_ARRAYS} | dict(extra)
    meta: dict[str, Any] = {"stats": asdict(record.stats)}
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


def _unpack(content: bytes | memoryview) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """All arrays, and the fields that both kinds of record have."""
    try:
        header_size = int.from_bytes(content[:_HEADER_SIZE_BYTES], "little")
        begin = _HEADER_SIZE_BYTES + header_size
        header = json.loads(bytes(content[_HEADER_SIZE_BYTES:begin]))
        meta = json.loads(header.pop("__metadata__")[_META_KEY])
        arrays = {name: _view(content, begin, told) for name, told in header.items()}
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
            "stats": SegmentStats(**meta["stats"]),
        }
    except (KeyError, TypeError, AttributeError, OverflowError, ZeroDivisionError) as error:
        raise ValueError(f"no record of ours: {error!r}") from error
    return arrays, common


def _view(content: bytes | memoryview, begin: int, told: Mapping[str, Any]) -> npt.NDArray[Any]:
    """The array that a header tells of, where it lies."""
    start, stop = told["data_offsets"]
    shape = tuple(told["shape"])
    size = math.prod(shape) * np.dtype(_ARRAY_TYPES[told["dtype"]]).itemsize
    if (
        not 0 <= start <= stop <= len(content) - begin
        or size != stop - start
        or min(shape, default=0) < 0
    ):
        raise ValueError(f"an array of {told} in {len(content) - begin} bytes")
    return np.ndarray(shape, _ARRAY_TYPES[told["dtype"]], content, begin + start)


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
