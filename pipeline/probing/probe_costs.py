"""What `annotate` will cost, from what sampled seconds cost.

Each kind of work grows with something else:

    decode            frames times pixels, for each codec
    detect            looks of the detector, one every 0.2 s and one at the end
    crop, align       faces, each on each of its frames
    stabilize         the same
    plan, write       videos; what requests take beside the work, segments
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

#: The grid that the detector looks on.
LOOKS_PER_SECOND: Final = 5.0


@dataclass(slots=True)
class Sample:
    """What was decoded of a video, and what it cost, in seconds of one worker.

    Attributes:
        seconds, frames, repeats, rows: of the sample; rows are faces, each on each of its frames.
        pixels: of a frame.
        codec: FFmpeg's name.
        segments: of the whole video.
        plan_seconds: planning the video.
        decode_seconds, detect_seconds, crop_seconds: of the sample.
        overhead_seconds: of the request beside these; None of the first that a worker made.
    """

    seconds: float
    frames: int
    repeats: int
    rows: int
    pixels: int
    codec: str
    segments: int
    plan_seconds: float
    decode_seconds: float
    detect_seconds: float
    crop_seconds: float
    overhead_seconds: float | None


@dataclass(slots=True)
class CostModel:
    """Rates that samples add up to.

    Aligning and stabilizing count per face on a frame, writing per video.
    """

    align_seconds: float
    stabilize_seconds: float
    write_seconds: float
    samples: list[Sample] = field(default_factory=list)

    def faces_per_frame(self) -> float:
        """Of all samples; 0 where there are none."""
        return _ratio(self.samples, "rows", "frames")

    def work_seconds(self, sample: Sample | None, *, seconds: float, frames: float) -> float:
        """Work on a whole video of this length; without a sample of it, the mean of the others'."""
        own = [sample] if sample is not None and sample.frames else self.samples
        if not own:
            return 0.0
        rows = frames * _ratio(own, "rows", "frames")
        segments = sample.segments if sample is not None else 1
        crop = _ratio(self.samples, "crop_seconds", "rows")
        per_row = self.align_seconds + self.stabilize_seconds + crop
        overheads = [s.overhead_seconds for s in self.samples if s.overhead_seconds is not None]
        overhead = sum(overheads) / len(overheads) if overheads else 0.0
        plan = sum(s.plan_seconds for s in own) / len(own)
        detect = self._per_look() * (LOOKS_PER_SECOND * seconds + 1)
        decode = frames * self._per_frame(own)
        return decode + detect + rows * per_row + segments * overhead + plan + self.write_seconds

    def _per_frame(self, own: Sequence[Sample]) -> float:
        """Decoding a frame of its size, at the mean speed of its codec."""
        pixels = sum(s.pixels * s.frames for s in own) / max(1, sum(s.frames for s in own))
        alike = [s for s in self.samples if s.codec == own[0].codec] or self.samples
        work = sum(s.decode_seconds for s in alike)
        return work / max(1, sum(s.pixels * s.frames for s in alike)) * pixels

    def _per_look(self) -> float:
        looks = sum(LOOKS_PER_SECOND * s.seconds + 1 for s in self.samples)
        return sum(s.detect_seconds for s in self.samples) / looks if looks else 0.0


def _ratio(samples: Sequence[Sample], above: str, below: str) -> float:
    total = sum(getattr(sample, below) for sample in samples)
    return float(sum(getattr(sample, above) for sample in samples) / total) if total else 0.0
