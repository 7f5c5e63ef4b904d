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
    samples = frame_samples(
        clock.timed(frames),
        segment.metadata.time_base,
        same_boxes=boxes.same_boxes,
        on_progress=on_progress,
    )
    seam = None
    for sample, faces in _placed_faces(segment, samples, boxes, clock):
        if segment.own_stop_pts is not None and sample.pts >= segment.own_stop_pts:
            seam = Seam(sample.pts, faces.track, faces.boxes_xyxy_px)
            break
        piece = pieces.add(sample, faces)
        if piece is not None:
            yield piece
    yield pieces.last_piece(seam)


def _placed_faces(
    segment: Segment, samples: Iterable[Sample], boxes: BoxSource, clock: WorkClock
) -> Iterator[tuple[Sample, FrameFaces]]:
    """Finds faces on key frames; yields every sample with its faces once they are final."""
    tracker, waiting = FaceTracker(), deque[Sample]()
    for sample in samples:
        # A later segment does not know what came before its first frame: not a key frame.
        known = segment.own_start_pts is None or sample.previous_pts is not None
        key = sample.cut or sample.ends
        key |= known and boxes.is_key(sample.frame, sample.pts, sample.previous_pts)
        found = None
        if key:
            stored = segment.metadata.sample_aspect_ratio
            aspect = float(upright_aspect(stored, sample.pixels.rotation_deg))
            with clock.spends("detect"):
                found = boxes.find(sample.frame, sample.pts, sample.pixels, aspect)
        waiting.append(sample)
        seconds = float(sample.pts * segment.metadata.time_base)
        for faces in tracker.push(sample.number, seconds, found, cut=sample.cut):
            yield waiting.popleft(), faces
    for faces in tracker.flush():
        yield waiting.popleft(), faces
