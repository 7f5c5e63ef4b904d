"""Records as bytes, without pickle: safetensors for arrays, JSON for the rest.

Answers of a decoding child and parts come from outside this process, so invalid bytes must only
raise. Nothing is copied: arrays are read-only views of the bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_type_hints

import msgspec
import numpy as np
import numpy.typing as npt
import safetensors.numpy

from schemas.bounds import Pts
from schemas.landmarks import LANDMARK_COUNT
from schemas.records import (
    FrameGeometry,
    Seam,
    Segment,
    SegmentLandmarks,
    SegmentRows,
    SegmentStats,
    SegmentWindows,
)

_META_KEY: Final = "facetracks"
#: Bytes of the size that a record, or a safetensors header, begins with.
_SIZE_BYTES: Final = 8
#: A body begins at a multiple of this, as arrays of safetensors do: they are views of it.
_ALIGNMENT_BYTES: Final = 8
#: The safetensors types that records use.
_ARRAY_TYPES: Final[dict[str, npt.DTypeLike]] = {
    "U8": np.uint8,
    "I32": np.int32,
    "I64": np.int64,
    "F32": np.float32,
    "F64": np.float64,
}
#: Arrays of a SegmentRows with the type each must have: that of its annotation.
_ROW_ARRAYS: Final[dict[str, npt.DTypeLike]] = {
    name: get_args(get_args(array)[1])[0]  # of NDArray[type], an ndarray[shape, dtype[type]]
    for name, array in get_type_hints(SegmentRows).items()
}
#: FFmpeg's fractions are two of 32 bits, signed.
_MAX_FRACTION_TERM: Final = 2**31 - 1
_MAX_FRACTION_TEXT: Final = 2 * len(str(_MAX_FRACTION_TERM)) + 1


_Length: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class _ArrayHeader(msgspec.Struct, frozen=True):
    """The entry of one array in a safetensors header."""

    dtype: Literal["U8", "I32", "I64", "F32", "F64"]
    shape: Annotated[list[_Length], msgspec.Meta(max_length=4)]
    data_offsets: tuple[_Length, _Length]


class _Fields(msgspec.Struct, frozen=True):
    """The fields of a record that are not arrays."""

    stats: SegmentStats
    geometry: FrameGeometry | None = None
    seam_pts: Pts | None = None


def encode_fraction(value: Any) -> str:
    """A Fraction as text, for msgspec."""
    if isinstance(value, Fraction):
        return str(value)
    raise NotImplementedError(f"got {type(value)}, expected a Fraction")


def decode_fraction(kind: type, value: Any) -> Fraction:
    """The Fraction that `encode_fraction` wrote, for msgspec; ValueError for anything else.

    Zero denominators, and terms outside FFmpeg's 32-bit range, are rejected.
    """
    if kind is not Fraction:
        raise NotImplementedError(f"got {kind}, expected Fraction")
    if not isinstance(value, str) or len(value) > _MAX_FRACTION_TEXT:
        raise ValueError(f"got {value!r:.60}, expected a fraction as text")
    numerator, _, denominator = value.partition("/")
    try:
        terms = int(numerator), int(denominator or "1")
    except ValueError:
        terms = (0, 0)
    if abs(terms[0]) > _MAX_FRACTION_TERM or not 0 < terms[1] <= _MAX_FRACTION_TERM:
        raise ValueError(f"got {value!r}, expected a fraction of 32-bit numbers")
    return Fraction(*terms)


_HEADER_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_META_DECODER: Final = msgspec.json.Decoder(dict[str, str])
_ARRAY_DECODER: Final = msgspec.json.Decoder(_ArrayHeader)
_FIELDS_DECODER: Final = msgspec.json.Decoder(_Fields, dec_hook=decode_fraction)


def join_record(record: bytes, body: bytes | memoryview) -> bytes:
    """The size of `record` in 8 bytes, the record, padding, and `body` at a multiple of 8."""
    padding = bytes(-(_SIZE_BYTES + len(record)) % _ALIGNMENT_BYTES)
    return b"".join((len(record).to_bytes(_SIZE_BYTES, "little"), record, padding, body))


def split_record(content: bytes | memoryview) -> tuple[memoryview, memoryview]:
    """The inverse of `join_record`, as views; ValueError for too few bytes."""
    view = memoryview(content)
    record_stop = _SIZE_BYTES + int.from_bytes(view[:_SIZE_BYTES], "little")
    body_at = record_stop + -record_stop % _ALIGNMENT_BYTES
    if body_at > len(view):
        raise ValueError(f"got {len(view)} bytes, expected {body_at} or more")
    return view[_SIZE_BYTES:record_stop], view[body_at:]


def pack_windows(windows: SegmentWindows) -> bytes:
    """A SegmentWindows without its segment, which the reader knows."""
    return _pack(windows, "crops", "windows", "affines")


def unpack_windows(content: bytes | memoryview, segment: Segment) -> SegmentWindows:
    """What `pack_windows` packed; ValueError for anything else."""
    arrays, common = _unpack(content, segment)
    crops, windows = _typed(arrays, "crops", np.uint8), _typed(arrays, "windows", np.int32)
    affines = _typed(arrays, "affines", np.float64, (len(common["rows"].frame), 2, 3))
    if not np.isfinite(affines).all():
        raise ValueError("affines: got numbers that are not finite")
    if windows.size and not (windows.min() >= 0 and windows.max() < len(crops)):
        raise ValueError(f"windows: got indices to {windows.max()} of {len(crops)} crops")
    return SegmentWindows(segment=segment, crops=crops, windows=windows, affines=affines, **common)


def pack_landmarks(landmarks: SegmentLandmarks) -> bytes:
    """A SegmentLandmarks without its segment, which the part's reference has."""
    return _pack(landmarks, "landmarks_px", "spread_px")


def unpack_landmarks(content: bytes, segment: Segment) -> SegmentLandmarks:
    """What `pack_landmarks` packed; ValueError for anything else."""
    arrays, common = _unpack(content, segment)
    shape = len(common["rows"].frame), LANDMARK_COUNT
    points = _typed(arrays, "landmarks_px", np.float32, (*shape, 2))
    spread = _typed(arrays, "spread_px", np.float32, shape)
    return SegmentLandmarks(segment=segment, landmarks_px=points, spread_px=spread, **common)


def pack_segment(segment: Segment) -> bytes:
    """One segment with all it refers to."""
    # Not msgspec's JSON: it cannot write file names that are not UTF-8.
    return json.dumps(msgspec.to_builtins(segment, enc_hook=encode_fraction)).encode()


def unpack_segment(content: bytes) -> Segment:
    """What `pack_segment` packed; ValueError for anything else."""
    return msgspec.convert(json.loads(content), Segment, dec_hook=decode_fraction)


def _pack(record: SegmentWindows | SegmentLandmarks, *names: str) -> bytes:
    """The rows of a record, its arrays of these names, and the fields that both kinds have."""
    arrays = {name: getattr(record.rows, name) for name in _ROW_ARRAYS}
    arrays |= {name: getattr(record, name) for name in names}
    seam = record.seam
    if seam is not None:
        arrays["seam_track"] = seam.track
        arrays["seam_boxes_xyxy_px"] = seam.boxes_xyxy_px
    fields = _Fields(record.stats, record.geometry, None if seam is None else seam.pts)
    meta = msgspec.json.encode(fields, enc_hook=encode_fraction).decode()
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    packed: bytes = safetensors.numpy.save(arrays, {_META_KEY: meta})
    return packed


def _unpack(
    content: bytes | memoryview, segment: Segment
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """All arrays, and the fields that both kinds of record have."""
    begin = _SIZE_BYTES + int.from_bytes(content[:_SIZE_BYTES], "little")
    header = _HEADER_DECODER.decode(bytes(content[_SIZE_BYTES:begin]))
    meta = _META_DECODER.decode(header.pop("__metadata__", b"{}"))
    fields: _Fields = _FIELDS_DECODER.decode(meta.get(_META_KEY, ""))
    arrays = {
        name: _view(content, begin, _ARRAY_DECODER.decode(entry)) for name, entry in header.items()
    }
    rows = SegmentRows(**{n: _typed(arrays, n, kind) for n, kind in _ROW_ARRAYS.items()})
    seam = None
    if fields.seam_pts is not None:
        boxes = _typed(arrays, "seam_boxes_xyxy_px", np.float32)
        seam = Seam(fields.seam_pts, _typed(arrays, "seam_track", np.int32), boxes)
    for pts in (rows.frame_pts[:1], rows.frame_pts[-1:]):
        if len(pts) and not segment.owns(int(pts[0])):
            bounds = f"{segment.own_start_pts} to {segment.own_stop_pts}"
            raise ValueError(f"frame_pts: got {pts[0]}, expected some from {bounds}")
    common = {"geometry": fields.geometry, "rows": rows, "seam": seam, "stats": fields.stats}
    return arrays, common


def _view(content: bytes | memoryview, begin: int, entry: _ArrayHeader) -> npt.NDArray[Any]:
    """The array of a header entry, as a view of the bytes."""
    start, stop = entry.data_offsets
    kind = np.dtype(_ARRAY_TYPES[entry.dtype])
    fits = start <= stop <= len(content) - begin
    if not fits or math.prod(entry.shape) * kind.itemsize != stop - start:
        raise ValueError(f"an array of {entry} in {len(content) - begin} bytes")
    return np.ndarray(tuple(entry.shape), kind, content, begin + start)


def _typed(
    arrays: Mapping[str, npt.NDArray[Any]],
    name: str,
    kind: npt.DTypeLike,
    shape: tuple[int, ...] | None = None,
) -> npt.NDArray[Any]:
    """An array by its name; ValueError if it is absent, or of another type or shape."""
    if name not in arrays:
        raise ValueError(f"no {name}; got {', '.join(sorted(arrays)) or 'nothing'}")
    array = arrays[name]
    if array.dtype != kind:
        raise ValueError(f"{name}: got {array.dtype}, expected {np.dtype(kind)}")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape}")
    return array
