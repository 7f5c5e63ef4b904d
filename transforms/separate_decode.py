"""SeparateDecode: a shuffle between decoding and aligning, so that they run on different workers.

    CPU workers   DecodeWindows --- crops, 12 kB a face a frame ---> AlignFaces   GPU workers

A runner fuses adjacent stages; a Reshuffle prevents it. The crops of a segment cross it as one
block of bytes, which is read without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam
from apache_beam.coders import Coder

from schemas.records import SegmentWindows
from transforms.storage.record_codec import (
    join_record,
    pack_segment,
    pack_windows,
    split_record,
    unpack_segment,
    unpack_windows,
)


class SegmentWindowsCoder(Coder):  # type: ignore[misc]
    """SegmentWindows as bytes: the segment's size, the segment, its windows; no pickle."""

    def encode(self, value: SegmentWindows) -> bytes:
        """The same bytes for the same windows."""
        return join_record(pack_segment(value.segment), pack_windows(value))

    def decode(self, encoded: bytes) -> SegmentWindows:
        """Windows whose arrays are views of `encoded`; ValueError for other bytes."""
        segment, windows = split_record(encoded)
        return unpack_windows(windows, unpack_segment(segment.tobytes()))

    def estimate_size(self, value: SegmentWindows) -> int:
        """The bytes of its pixels. Beam asks between all stages; encoding would copy them."""
        return int(value.crops.nbytes)

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
            | "Typed" >> beam.Map(lambda one: one).with_output_types(SegmentWindows)
            | "Reshuffle" >> beam.Reshuffle()
        )
