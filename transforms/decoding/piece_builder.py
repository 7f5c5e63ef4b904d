"""Own samples of a segment become crops, windows and rows, in pieces of bounded size.

    segment  |------------------------- owns -------------------------|. .
    pieces   |--- 8 MiB of crops ---|--- 8 MiB of crops ---|-- rest --|. .

    windows  [t-2, t-1, t] of one track; the first samples repeat the first crop

Each piece owns a stretch of the segment; its seam is the first sample of the next one.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from models.crop_quality import cut_off_share, face_blur
from models.crops import Affine, square_affine
from models.face_tracking import FrameFaces
from models.frame_pixels import FramePixels, upright_aspect
from schemas.records import (
    BOX_SOURCES,
    FrameGeometry,
    Seam,
    Segment,
    SegmentRows,
    SegmentStats,
    SegmentWindows,
)
from transforms.decoding.frame_samples import Sample
from transforms.decoding.reach import OVERHANG_SECONDS, WINDOW_SECONDS

#: A piece ends when its crops have this size (683 crops of 64 x 64 px): a few network calls, and
#: little memory in the two processes that hold it.
PIECE_BYTES: Final = 8 << 20
#: It also ends after this many frames, whatever their number of faces.
_PIECE_FRAMES: Final = 16_384

#: (packets rejected, (L, 2) int64 [start, stop) of lost frames) before a pts, or all of them.
TakeLosses: TypeAlias = Callable[[int | None], tuple[int, npt.NDArray[np.int64]]]


def no_losses(before_pts: int | None) -> tuple[int, npt.NDArray[np.int64]]:
    """Nothing was lost."""
    return 0, np.empty((0, 2), np.int64)


@dataclass(frozen=True, slots=True)
class CropSpec:
    """The input format of the landmark network."""

    size_px: int
    scale: float
    window_frames: int


class WorkClock:
    """Seconds spent since the last piece, by the clock and of this process's CPU."""

    def __init__(self) -> None:
        self._spent: defaultdict[str, Any] = defaultdict(float)  # by field of SegmentStats

    def timed(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items of an iterable; waiting for it counts as decoding."""
        iterator = iter(items)
        while True:
            try:
                with self.spends("decode"):
                    item = next(iterator)
            except StopIteration:
                return
            yield item

    @contextlib.contextmanager
    def spends(self, stage: str) -> Iterator[None]:
        """Counts the time of the block for a stage: decode, detect or crop."""
        start, cpu_start = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._spent[f"{stage}_seconds"] += time.perf_counter() - start
            self._spent[f"{stage}_cpu_seconds"] += time.process_time() - cpu_start

    def lap(self) -> SegmentStats:
        """The seconds spent since the last lap; resets the clock."""
        spent, self._spent = self._spent, defaultdict(float)
        return SegmentStats(**spent)


@dataclass(slots=True)
class _Crop:
    index: int
    sample: int
    pts: int


@dataclass(slots=True)
class _Piece:
    """The rows and pixels of the piece being built."""

    frame_pts: list[int] = field(default_factory=list)
    repeats: list[tuple[int, int]] = field(default_factory=list)  # (pts, index of its frame)
    cuts: list[int] = field(default_factory=list)
    #: Frame, track, source, score, blur, share that is cut off.
    rows: list[tuple[int, int, int, float, float, float]] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)
    affines: list[Affine] = field(default_factory=list)
    crops: list[Any] = field(default_factory=list)
    windows: list[list[int]] = field(default_factory=list)

    def segment_rows(self, lost_pts: npt.NDArray[np.int64]) -> SegmentRows:
        columns = np.array(self.rows, np.float64).reshape(-1, 6).T
        frame, track, source = columns[:3].astype(np.int32)
        scores, blur, cut_off = columns[3:].astype(np.float32)
        return SegmentRows(
            frame_pts=np.array(self.frame_pts, np.int64),
            frame=frame,
            track=track,
            boxes_xyxy_px=np.array(self.boxes, np.float32).reshape(-1, 4),
            box_source=source.astype(np.uint8),
            scores=scores,
            blur=blur,
            cut_off=cut_off,
            cuts_pts=np.array(self.cuts, np.int64),
            repeat_pts=np.array([pts for pts, _ in self.repeats], np.int64),
            repeat_of=np.array([frame for _, frame in self.repeats], np.int32),
            lost_pts=lost_pts,
        )


@dataclass(slots=True)
class PieceBuilder:
    """Takes a segment's samples with their faces, in order, from the warm-up on.

    `segment` is the rest of the segment, from the start of the current piece.
    """

    segment: Segment
    source: str
    spec: CropSpec
    clock: WorkClock
    take_losses: TakeLosses
    piece_bytes: int
    _piece: _Piece = field(default_factory=_Piece)
    _geometry: FrameGeometry | None = None
    _recent: dict[int, deque[_Crop]] = field(default_factory=dict)

    def add(self, sample: Sample, faces: FrameFaces) -> SegmentWindows | None:
        """Takes a sample before the segment's end; returns the piece that ends before it."""
        self._geometry = self._geometry or self._geometry_of(sample.pixels)
        ended = None
        piece = self._piece
        if self.segment.owns(sample.pts):
            if self._is_full(sample.pts):
                ended = self._end_piece(sample, faces)
                piece = self._piece
            frame = len(piece.frame_pts)
            piece.frame_pts.append(sample.pts)
            piece.repeats += [(pts, frame) for pts in sample.repeats_pts]
            if sample.cut:
                piece.cuts.append(sample.pts)
        if self._is_near(sample.pts):
            with self.clock.spends("crop"):
                self._crop(sample, faces)
        return ended

    def last_piece(self, seam: Seam | None) -> SegmentWindows:
        """The last piece, after all samples were added; `seam` is the first after them."""
        return self._built(self.segment, seam, None)

    def _built(self, segment: Segment, seam: Seam | None, before: int | None) -> SegmentWindows:
        size, window, piece = self.spec.size_px, self.spec.window_frames, self._piece
        packets_bad, lost_pts = self.take_losses(before)
        return SegmentWindows(
            segment=segment,
            geometry=self._geometry,
            rows=piece.segment_rows(lost_pts),
            seam=seam,
            crops=np.array(piece.crops, np.uint8).reshape(-1, size, size, 3),
            windows=np.array(piece.windows, np.int32).reshape(-1, window),
            affines=np.array(piece.affines, np.float64).reshape(-1, 2, 3),
            stats=replace(self.clock.lap(), packets_bad=packets_bad),
        )

    def _end_piece(self, sample: Sample, faces: FrameFaces) -> SegmentWindows:
        """Ends a piece before `sample`; the next one keeps the crops that its windows may need."""
        seam = Seam(sample.pts, faces.track, faces.boxes_xyxy_px)
        ended = self._built(self.segment.until(seam.pts), seam, seam.pts)
        self.segment = self.segment.after(seam.pts)
        last, crops = sample.number - 1, self._piece.crops
        self._recent = {t: kept for t, kept in self._recent.items() if kept[-1].sample == last}
        self._piece = _Piece()
        for crop in (crop for kept in self._recent.values() for crop in kept):
            self._piece.crops.append(crops[crop.index])
            crop.index = len(self._piece.crops) - 1
        return ended

    def _crop(self, sample: Sample, faces: FrameFaces) -> None:
        size, piece, aspect = self.spec.size_px, self._piece, float(self._aspect(sample.pixels))
        for i in np.argsort(faces.boxes_xyxy_px[:, 0], kind="stable"):
            box = faces.boxes_xyxy_px[i]
            affine = square_affine(box, scale=self.spec.scale, size_px=size, pixel_aspect=aspect)
            crop = _Crop(len(piece.crops), sample.number, sample.pts)
            piece.crops.append(sample.pixels.sample(affine, size, size))
            track = int(faces.track[i])
            recent = self._recent.setdefault(track, deque(maxlen=self.spec.window_frames))
            recent.append(crop)
            if self.segment.owns(sample.pts):
                source = self.source if faces.detected[i] else "interpolated"
                row = len(piece.frame_pts) - 1
                frame = box, sample.pixels.width_px, sample.pixels.height_px
                blur, cut_off = face_blur(piece.crops[-1], affine, *frame), cut_off_share(*frame)
                quality = float(faces.scores[i]), blur, cut_off
                piece.rows.append((row, track, BOX_SOURCES.index(source), *quality))
                piece.boxes.append(box)
                piece.affines.append(affine)
                piece.windows.append(self._window(recent))

    def _window(self, recent: deque[_Crop]) -> list[int]:
        """Indices of the crops [t-T+1, ..., t]; a missing neighbour repeats the one after it."""
        newest = recent[-1]
        window = [newest.index]
        limit = newest.pts - WINDOW_SECONDS / self.segment.metadata.time_base
        expected = newest.sample - 1
        for crop in reversed(list(recent)[:-1]):
            if crop.sample != expected or crop.pts < limit:
                break
            window.append(crop.index)
            expected -= 1
        window += [window[-1]] * (self.spec.window_frames - len(window))
        return window[::-1]

    def _is_full(self, next_pts: int) -> bool:
        """Whether the piece ends here: it is large enough and longer than a warm-up."""
        piece = self._piece
        crops_bytes = 3 * self.spec.size_px**2 * len(piece.rows)
        if crops_bytes < self.piece_bytes and len(piece.frame_pts) < _PIECE_FRAMES:
            return False
        warm_up_pts = OVERHANG_SECONDS / self.segment.metadata.time_base
        return next_pts - piece.frame_pts[0] >= warm_up_pts

    def _is_near(self, pts: int) -> bool:
        """Own samples, and those that an own sample's window may look back to."""
        start = self.segment.own_start_pts
        return start is None or pts >= start - WINDOW_SECONDS / self.segment.metadata.time_base

    def _geometry_of(self, pixels: FramePixels) -> FrameGeometry:
        size_px = pixels.width_px, pixels.height_px
        return FrameGeometry(*size_px, pixels.rotation_deg, self._aspect(pixels), pixels.mirrored)

    def _aspect(self, pixels: FramePixels) -> Any:
        stored = self.segment.metadata.sample_aspect_ratio
        return upright_aspect(stored, pixels.rotation_deg)
