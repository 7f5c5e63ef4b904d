"""A decoded frame as a decoding child sends it: its planes as bytes, and their layout.

child     Frame.of(pts, planes)  --->  record and body
worker    frame.planes(body)     --->  StoredPlanes, checked against their bytes
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import numpy as np

from models.frame_pixels import StoredPlanes
from schemas.bounds import Coefficient, Pts, Side

_ChromaStep: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2)]


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frame without its pixels: `StoredPlanes`, of which `sides_px` are (height, width)."""

    pts: Pts
    rotation_deg: Literal[0, 90, 180, 270]
    mirrored: bool
    bits: Literal[8, 9, 10, 12, 14, 16]
    chroma: tuple[_ChromaStep, _ChromaStep] | None
    sides_px: Annotated[list[tuple[Side, Side]], msgspec.Meta(min_length=1, max_length=3)]
    to_rgb: Annotated[list[Coefficient], msgspec.Meta(min_length=12, max_length=12)] | None

    def __post_init__(self) -> None:
        if self.to_rgb is None and (self.bits, self.chroma) != (8, None):
            raise ValueError(f"to_rgb: got none for {self.bits} bits and {self.chroma}")
        if len(self.sides_px) != (1 if self.chroma is None else 3):
            raise ValueError(f"sides_px: got {self.sides_px} with chroma {self.chroma}")

    @classmethod
    def of(cls, pts: int, stored: StoredPlanes) -> tuple[Frame, bytes]:
        """The record of a frame and its body."""
        sides = [(plane.shape[0], plane.shape[1]) for plane in stored.planes]
        to_rgb = None if stored.to_rgb is None else stored.to_rgb.ravel().tolist()
        turn: Any = stored.rotation_deg
        bits: Any = stored.bits
        frame = cls(pts, turn, stored.mirrored, bits, stored.chroma, sides, to_rgb)
        return frame, b"".join(plane.tobytes() for plane in stored.planes)

    def planes(self, body: memoryview, max_pixels: int) -> StoredPlanes:
        """The frame with its pixels, which are views of `body`.

        Raises ValueError if a plane has more than `max_pixels`, or `body` has another size.
        """
        depth = (3,) if self.to_rgb is None else ()
        dtype: np.dtype[Any] = np.dtype(np.uint8 if self.bits == 8 else "<u2")
        shapes = [(*sides, *depth) for sides in self.sides_px]
        pixels = max(math.prod(sides) for sides in self.sides_px)
        sizes = [math.prod(shape) * dtype.itemsize for shape in shapes]
        if pixels > max_pixels or sum(sizes) != len(body):
            got = f"{len(body)} bytes for planes of {self.sides_px}"
            raise ValueError(f"got {got}, expected {sum(sizes)}, and {max_pixels} pixels at most")
        planes, at = [], 0
        for shape, size in zip(shapes, sizes, strict=True):
            planes.append(np.frombuffer(body[at : at + size], dtype).reshape(shape))
            at += size
        to_rgb = None if self.to_rgb is None else np.array(self.to_rgb, np.float32).reshape(3, 4)
        return StoredPlanes(
            self.rotation_deg, self.mirrored, self.bits, self.chroma, planes, to_rgb
        )


class Frames(msgspec.Struct, frozen=True, tag="frames", forbid_unknown_fields=True):
    """A frame with its planes in the body; None after the last one."""

    frame: Frame | None
