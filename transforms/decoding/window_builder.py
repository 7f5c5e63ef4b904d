"""A segment's frames -> faces -> crops -> windows: the work of the decoding child.

    samples  the frames that show something new, from the keyframe to a little past the
             segment's own
    key?     on key frames the box source finds faces (one sample late: a shot cut, a gap or
             the end of the video turns the sample before it into a key frame)
    track    FaceTracker gives boxes on every sample, settled a few samples later
    piece    own samples, and the neighbours just before them, are cropped and released

Samples wait only until their boxes are settled, so memory does not grow with the segment,
however long it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.face_tracking import FaceTracker, FrameFaces
from models.frame_pixels import upright_aspect
from schemas.records import Seam, Segment, SegmentWindows
from transforms.decoding.frame_samples import Sample, frame_samples
from transforms.decoding.piece_builder import (
    PIECE_BYTES,
    CropSpec,
    PieceBuilder,
    TakeLosses,
    WorkClock,
    no_losses,
)

if TYPE_CHECKING:  # planning starts faster without the detector's imports
    from transforms.decoding.box_sources import BoxSource


def decode_windows(
    segment: Segment,
    frames: Iterable[tuple[int, Any]],
    boxes: BoxSource,
    spec: CropSpec,
    *,
    take_losses: TakeLosses = no_losses,
    on_progress: Callable[[int], None] = lambda frames: None,
    piece_bytes: int = PIECE_BYTES,
) -> Iterator[SegmentWindows]:
    """Decodes one segment into windows of face crops, in pieces; the last may be empty.

    The `segment` of a piece owns from where the piece before it ended to its seam; the
    last one owns the rest.

    frames: (pts, av.VideoFrame or StoredPlanes) in display order, from the segment's keyframe on.
    take_losses: what is known to be lost before a pts, as `LostFrames.take`.
    on_progress: called with the number of frames decoded so far.
    piece_bytes: a piece ends with the frame whose crops fill this many bytes.

    Raises what `frames` and `boxes` raise.
    """
    clock = WorkClock()
    pieces = PieceBuilder(segment, boxes.source, spec, clock, take_losses, piece_bytes)
    faces = _FacePlacement(segment, boxes, clock)
    samples = frame_samples(
        clock.timed(frames),
        segment.metadata.time_base,
        same_boxes=boxes.same_boxes,
        on_progress=on_progress,
    )
    for sample in samples:
        yield from _built(pieces, faces.take(sample))
        if pieces.complete:
            break
    if not pieces.complete:
        yield from _built(pieces, faces.rest())
    yield pieces.last_piece()


def _built(
    pieces: PieceBuilder, settled: Iterable[tuple[Sample, FrameFaces]]
) -> Iterator[SegmentWindows]:
    """The pieces that end with some samples; those past the segment's end are left."""
    for sample, faces in settled:
        stop_pts = pieces.segment.own_stop_pts
        if pieces.complete or (stop_pts is not None and sample.pts >= stop_pts):
            if not pieces.complete:
                pieces.close(Seam(sample.pts, faces.track, faces.boxes_xyxy_px))
            continue
        piece = pieces.add(sample, faces)
        if piece is not None:
            yield piece


@dataclass(slots=True)
class _FacePlacement:
    """Finds faces on key frames, and holds every sample until its boxes are final."""

    segment: Segment
    boxes: BoxSource
    clock: WorkClock
    _tracker: FaceTracker = field(default_factory=FaceTracker)
    _waiting: deque[Sample] = field(default_factory=deque)

    def take(self, sample: Sample) -> Iterator[tuple[Sample, FrameFaces]]:
        """Takes the next sample; yields those whose faces are now final."""
        # A later segment does not know what came before its first frame: not a key frame.
        known = self.segment.own_start_pts is None or sample.previous_pts is not None
        key = sample.cut or sample.ends
        key |= known and self.boxes.is_key(sample.frame, sample.pts, sample.previous_pts)
        found = None
        if key:
            stored = self.segment.metadata.sample_aspect_ratio
            aspect = float(upright_aspect(stored, sample.pixels.rotation_deg))
            with self.clock.spends("detect"):
                found = self.boxes.find(sample.frame, sample.pts, sample.pixels, aspect)
        self._waiting.append(sample)
        seconds = float(sample.pts * self.segment.metadata.time_base)
        settled = self._tracker.push(sample.number, seconds, found, cut=sample.cut)
        return self._paired(settled)

    def rest(self) -> Iterator[tuple[Sample, FrameFaces]]:
        """The samples that still waited for the tracker, at the end of the stream."""
        return self._paired(self._tracker.flush())

    def _paired(self, settled: list[FrameFaces]) -> Iterator[tuple[Sample, FrameFaces]]:
        for faces in settled:
            yield self._waiting.popleft(), faces
