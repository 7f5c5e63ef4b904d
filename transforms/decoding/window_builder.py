"""A segment's frames -> faces -> crops -> windows: the work of the decoding child.

    decode   every frame from the keyframe to a little past the segment's own
    key?     on key frames the box source finds faces (one frame late: a shot cut or the
             end of the video turns the frame before it into a key frame)
    track    FaceTracker gives boxes on every frame, settled a few frames later
    crop     own frames, and the neighbours just before them, are cropped and let go
    windows  [t-2, t-1, t] of one track; the first frames repeat the first crop

A segment that gives many crops is handed on in pieces, each of which owns a stretch of it:

    segment  |------------------------- owns -------------------------|. .
    pieces   |--- 8 MiB of crops ---|--- 8 MiB of crops ---|-- rest --|. .

A piece's seam is the first frame of the next one. Frames wait only until their boxes are
settled, so memory does not grow with the segment, however long it is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.crops import Affine, square_affine
from models.face_tracking import FaceTracker, FrameFaces
from models.frame_pixels import FramePixels, upright_aspect
from models.shot_cuts import is_cut
from schemas.records import FrameGeometry, Seam, Segment, SegmentRows, SegmentStats, SegmentWindows
from schemas.tracks import BOX_SOURCES
from transforms.decoding.video_source import OVERHANG_SECONDS

if TYPE_CHECKING:  # planning starts faster without the detector's imports
    from transforms.decoding.box_sources import BoxSource

__all__ = ["WINDOW_SECONDS", "CropSpec", "decode_windows"]

#: Frames further apart are not neighbours in a window.
WINDOW_SECONDS: Final = Fraction(1, 4)
#: A piece ends when its crops fill so many bytes (683 crops of 64 x 64 px): a few network
#: calls, and little beside the libraries of the two processes that hold it.
_PIECE_BYTES: Final = 8 << 20
#: It also ends after so many frames, however few faces they have.
_PIECE_FRAMES: Final = 16_384


@dataclass(frozen=True, slots=True)
class CropSpec:
    """What the landmark network wants to see."""

    size_px: int
    scale: float
    window_frames: int


@dataclass(slots=True)
class _Frame:
    number: int
    pts: int
    pixels: FramePixels
    thumbnail: Any
    previous_pts: int | None
    cut: bool


@dataclass(slots=True)
class _Crop:
    index: int
    frame: int
    pts: int


def decode_windows(
    segment: Segment,
    frames: Iterable[tuple[int, Any]],
    boxes: BoxSource,
    spec: CropSpec,
    *,
    on_progress: Callable[[int], None] = lambda frames: None,
    piece_bytes: int = _PIECE_BYTES,
) -> Iterator[SegmentWindows]:
    """Decodes one segment into windows of face crops, in pieces; the last may be empty.

    The `segment` of a piece owns from where the piece before it ended to its seam; the
    last one owns what is left. What was lost is filled in by who demuxed.

    Args:
        segment: the stretch to decode.
        frames: (pts, av.VideoFrame) in display order, from the segment's keyframe on.
        boxes: where faces come from.
        spec: crop size in px, crop side over box side, frames a window.
        on_progress: called with the number of frames decoded so far.
        piece_bytes: a piece ends with the frame that gives it crops of so many bytes.

    Raises whatever `frames` and `boxes` raise.
    """
    clock = _Clock()
    work = _Segment(segment, boxes, spec, piece_bytes, clock)
    previous: _Frame | None = None
    for number, (pts, picture) in enumerate(clock.timed(frames)):
        pixels = FramePixels(picture)
        thumbnail = pixels.luma_thumbnail()
        cut = previous is not None and is_cut(previous.thumbnail, thumbnail)
        if previous is not None:
            work.take(previous, ends_shot=cut)
            yield from work.ready()
        before = None if previous is None else previous.pts
        previous = _Frame(number, pts, pixels, thumbnail, before, cut)
        on_progress(number + 1)
        if work.complete:
            break
    if not work.complete:
        if previous is not None:
            work.take(previous, ends_shot=True)
        work.finish()
    yield from work.ready()
    yield work.last_piece()


class _Clock:
    """Measures the time spent waiting for an iterable."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, items: Iterable[Any]) -> Iterable[Any]:
        iterator = iter(items)
        while True:
            start = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - start
            yield item


@dataclass(slots=True)
class _Segment:
    """A segment in the making."""

    segment: Segment  # what is left of it: from the start of the piece in the making
    boxes: BoxSource
    spec: CropSpec
    piece_bytes: int
    clock: _Clock
    complete: bool = False
    _ready: list[SegmentWindows] = field(default_factory=list)
    _geometry: FrameGeometry | None = None
    _seam: Seam | None = None
    _tracker: FaceTracker = field(default_factory=FaceTracker)
    _waiting: deque[_Frame] = field(default_factory=deque)
    _frame_pts: list[int] = field(default_factory=list)
    _cuts: list[int] = field(default_factory=list)
    _rows: list[tuple[int, int, int, float]] = field(default_factory=list)
    _row_boxes: list[Any] = field(default_factory=list)
    _affines: list[Affine] = field(default_factory=list)
    _crops: list[Any] = field(default_factory=list)
    _windows: list[list[int]] = field(default_factory=list)
    _recent: dict[int, deque[_Crop]] = field(default_factory=dict)
    _detect_seconds: float = 0.0
    _crop_seconds: float = 0.0

    def take(self, frame: _Frame, *, ends_shot: bool) -> None:
        """Takes a frame whose successor is known, if only by its absence."""
        if self._geometry is None:
            pixels = frame.pixels
            self._geometry = FrameGeometry(
                pixels.width_px,
                pixels.height_px,
                pixels.rotation_deg,
                self._aspect(pixels.rotation_deg),
                pixels.mirrored,
            )
        # A later segment does not know what came before its first frame: not a key frame.
        known = self.segment.own_start_pts is None or frame.previous_pts is not None
        key = frame.cut or ends_shot
        key |= known and self.boxes.is_key(frame.number, frame.pts, frame.previous_pts)
        found = None
        if key:
            start = time.perf_counter()
            aspect = float(self._aspect(frame.pixels.rotation_deg))
            found = self.boxes.find(frame.number, frame.pts, frame.pixels, aspect)
            self._detect_seconds += time.perf_counter() - start
        self._waiting.append(frame)
        seconds = float(frame.pts * self.segment.metadata.time_base)
        self._settle(self._tracker.push(frame.number, seconds, found, cut=frame.cut))

    def finish(self) -> None:
        """Settles what waits for frames that will not come."""
        self._settle(self._tracker.flush())
        self.complete = True

    def ready(self) -> list[SegmentWindows]:
        """The pieces that ended since the last call; the last piece is not among them."""
        ready, self._ready = self._ready, []
        return ready

    def last_piece(self) -> SegmentWindows:
        """What is left, when the segment is complete."""
        return self._piece(self.segment, self._seam)

    def _piece(self, segment: Segment, seam: Seam | None) -> SegmentWindows:
        size, window = self.spec.size_px, self.spec.window_frames
        columns = np.array([r[:3] for r in self._rows], np.int32).reshape(-1, 3)
        rows = SegmentRows(
            frame_pts=np.array(self._frame_pts, np.int64),
            frame=columns[:, 0],
            track=columns[:, 1],
            boxes_xyxy_px=np.array(self._row_boxes, np.float32).reshape(-1, 4),
            box_source=columns[:, 2].astype(np.uint8),
            scores=np.array([r[3] for r in self._rows], np.float32),
            cuts_pts=np.array(self._cuts, np.int64),
        )
        return SegmentWindows(
            segment=segment,
            geometry=self._geometry,
            rows=rows,
            seam=seam,
            crops=np.array(self._crops, np.uint8).reshape(-1, size, size, 3),
            windows=np.array(self._windows, np.int32).reshape(-1, window),
            affines=np.array(self._affines, np.float64).reshape(-1, 2, 3),
            stats=SegmentStats(self.clock.seconds, self._detect_seconds, self._crop_seconds),
        )

    def _end_piece(self, next_frame: _Frame, faces: FrameFaces) -> None:
        """Ends a piece before `next_frame`; the next one keeps the crops that it may look at."""
        seam = Seam(next_frame.pts, faces.track, faces.boxes_xyxy_px)
        self._ready.append(self._piece(replace(self.segment, own_stop_pts=seam.pts), seam))
        self.segment = replace(self.segment, own_start_pts=seam.pts)
        last, crops = next_frame.number - 1, self._crops
        self._recent = {t: kept for t, kept in self._recent.items() if kept[-1].frame == last}
        self._frame_pts, self._cuts, self._rows, self._row_boxes = [], [], [], []
        self._affines, self._crops, self._windows = [], [], []
        for crop in (crop for kept in self._recent.values() for crop in kept):
            self._crops.append(crops[crop.index])
            crop.index = len(self._crops) - 1
        self.clock.seconds = self._detect_seconds = self._crop_seconds = 0.0

    def _settle(self, settled: list[FrameFaces]) -> None:
        for faces in settled:
            frame = self._waiting.popleft()
            if self.complete:
                continue
            if self._is_past(frame.pts):
                self._seam = Seam(frame.pts, faces.track, faces.boxes_xyxy_px)
                self.complete = True
                continue
            if self.segment.owns(frame.pts):
                if self._is_full(frame.pts):
                    self._end_piece(frame, faces)
                self._frame_pts.append(frame.pts)
                if frame.cut:
                    self._cuts.append(frame.pts)
            if self._is_near(frame.pts):
                start = time.perf_counter()
                self._crop(frame, faces)
                self._crop_seconds += time.perf_counter() - start

    def _crop(self, frame: _Frame, faces: FrameFaces) -> None:
        aspect = float(self._aspect(frame.pixels.rotation_deg))
        own = self.segment.owns(frame.pts)
        size = self.spec.size_px
        for i in np.argsort(faces.boxes_xyxy_px[:, 0], kind="stable"):
            box = faces.boxes_xyxy_px[i]
            affine = square_affine(box, scale=self.spec.scale, size_px=size, pixel_aspect=aspect)
            crop = _Crop(len(self._crops), frame.number, frame.pts)
            self._crops.append(frame.pixels.sample(affine, size, size))
            track = int(faces.track[i])
            recent = self._recent.setdefault(track, deque(maxlen=self.spec.window_frames))
            recent.append(crop)
            if own:
                source = self.boxes.source if faces.detected[i] else "interpolated"
                row = len(self._frame_pts) - 1
                self._rows.append((row, track, BOX_SOURCES.index(source), float(faces.scores[i])))
                self._row_boxes.append(box)
                self._affines.append(affine)
                self._windows.append(self._window(recent))

    def _window(self, recent: deque[_Crop]) -> list[int]:
        """Indices of the crops [t-T+1, ..., t]; a missing neighbour repeats the one after it."""
        newest = recent[-1]
        window = [newest.index]
        limit = newest.pts - WINDOW_SECONDS / self.segment.metadata.time_base
        expected = newest.frame - 1
        for crop in reversed(list(recent)[:-1]):
            if crop.frame != expected or crop.pts < limit:
                break
            window.append(crop.index)
            expected -= 1
        window += [window[-1]] * (self.spec.window_frames - len(window))
        return window[::-1]

    def _is_full(self, next_pts: int) -> bool:
        """Whether a piece may end here; a segment that begins here must have its warm-up."""
        crops_bytes = 3 * self.spec.size_px**2 * len(self._rows)
        if crops_bytes < self.piece_bytes and len(self._frame_pts) < _PIECE_FRAMES:
            return False
        return next_pts - self._frame_pts[0] >= OVERHANG_SECONDS / self.segment.metadata.time_base

    def _is_past(self, pts: int) -> bool:
        return self.segment.own_stop_pts is not None and pts >= self.segment.own_stop_pts

    def _is_near(self, pts: int) -> bool:
        """Own frames, and those that an own frame's window may look back to."""
        start = self.segment.own_start_pts
        return start is None or pts >= start - WINDOW_SECONDS / self.segment.metadata.time_base

    def _aspect(self, rotation_deg: int) -> Fraction:
        return upright_aspect(self.segment.metadata.sample_aspect_ratio, rotation_deg)
