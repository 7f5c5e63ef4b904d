"""SeparateDecode: a shuffle between decoding and aligning, so that they run on different workers.

    CPU workers   DecodeWindows --- crops, 12 kB a face a frame ---> AlignFaces   GPU workers

A runner fuses adjacent stages; a Reshuffle prevents it. The crops of a segment cross it as one
block of bytes, which is read without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import apache_beam as beam
from apache_beam.coders import Coder

from schemas.records import SegmentWindows
from transforms.storage.record_codec import (
    pack_segment,
    pack_windows,
    unpack_segment,
    unpack_windows,
)

_SIZE_BYTES: Final = 8
#: Arrays start at multiples of this, as safetensors lays them out.
_ALIGNMENT_BYTES: Final = 8


class SegmentWindowsCoder(Coder):  # type: ignore[misc]
    """SegmentWindows as bytes: the segment's size, the segment, its windows; no pickle."""

    def encode(self, value: SegmentWindows) -> bytes:
        """The same bytes for the same windows."""
        segment = pack_segment(value.segment)
        segment += b" " * (-len(segment) % _ALIGNMENT_BYTES)
        return b"".join(
            (len(segment).to_bytes(_SIZE_BYTES, "little"), segment, pack_windows(value))
        )

    def decode(self, encoded: bytes) -> SegmentWindows:
        """Windows whose arrays are views of `encoded`; ValueError for other bytes."""
        content = memoryview(encoded)
        windows_at = _SIZE_BYTES + int.from_bytes(content[:_SIZE_BYTES], "little")
        segment = unpack_segment(content[_SIZE_BYTES:windows_at].tobytes())
        return unpack_windows(content[windows_at:], segment)

    def is_deterministic(self) -> bool:
        """True: equal windows have equal bytes."""
        return True

    def to_type_hint(self) -> type[SegmentWindows]:
        """SegmentWindows."""
        return SegmentWindows


beam.coders.registry.register_coder(SegmentWindows, SegmentWindowsCoder)


@dataclass
class SeparateDecode(beam.PTransform):  # type: ignore[misc]
    """Passes SegmentWindows on unchanged, possibly to other workers."""

    def expand(self, windows: beam.PCollection[SegmentWindows]) -> beam.PCollection[SegmentWindows]:
        """Reshuffles; the type names the coder."""
        return (
            windows
            | "Typed" >> beam.Map(_same).with_output_types(SegmentWindows)
            | "Reshuffle" >> beam.Reshuffle()
        )


def _same(windows: SegmentWindows) -> SegmentWindows:
    return windows
