"""Records that travel between the stages, in the order they are made.

    Video -> Segment -> SegmentWindows -> SegmentLandmarks -> SegmentPart -> VideoTracks

Pixels travel in SegmentWindows only, and only inside one worker, unless SeparateDecode
hands them to another. Everything else that crosses a shuffle is a few hundred bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Annotated, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.bounds import Count, Pts, Seconds, Side, Step, Streams

#: Where a row's box comes from.
BOX_SOURCES: Final = ("detected", "interpolated", "given")

_MAX_SCORE: Final = 1.0 + 1e-5
_Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=200)]


@dataclass(frozen=True, slots=True)
class Video:
    """One input video.

    Attributes:
        video_id: the video's name in the tables, and that of its track file.
        uri: a path or any fsspec URL.
        start_seconds: first second to annotate, counted from the first pts; None is from the first.
        stop_seconds: first second to leave out, counted likewise; None is to the last.
        boxes_uri: a Parquet or CSV of face boxes to use in place of the detector.
        fingerprint: identifies a version of the bytes: size and etag or modification time.
            SelectVideos fills it in.
    """

    video_id: str
    uri: str
    start_seconds: float | None = None
    stop_seconds: float | None = None
    boxes_uri: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class StreamMetadata:
    """Metadata of a container's video stream, before anything is decoded."""

    codec: _Name
    pixel_format: _Name
    time_base: Fraction
    average_fps: Fraction | None
    frames_expected: Count | None
    duration_seconds: Seconds | None  # of the range to annotate, by the headers
    sample_aspect_ratio: Fraction  # of a stored pixel
    start_pts: Pts = 0
    end_pts: Pts | None = None  # where the container says the frames end
    bytes_missing: Count = 0  # by which the file is shorter than its headers say: it is truncated
    step_pts: Step = 1  # the usual time between two frames, by the first packets
    stream_index: Streams = 0  # of the stream that was chosen, among all of the container
    streams: Streams = 1  # video streams that the container has, pictures among them

    def __post_init__(self) -> None:
        for name in ("time_base", "average_fps", "sample_aspect_ratio"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name}: got {value}, expected more than 0")


@dataclass(frozen=True, slots=True)
class FrameGeometry:
    """How stored frames become upright ones; of the first frame of a segment."""

    width_px: Side  # of the upright frame
    height_px: Side
    rotation_deg: int  # clockwise, 0 | 90 | 180 | 270
    sample_aspect_ratio: Fraction  # of an upright pixel
    mirrored: bool = False  # left to right, after the turn

    def __post_init__(self) -> None:
        if self.rotation_deg not in (0, 90, 180, 270):
            raise ValueError(f"rotation_deg: got {self.rotation_deg}, expected a quarter turn")
        if self.sample_aspect_ratio <= 0:
            raise ValueError(f"sample_aspect_ratio: got {self.sample_aspect_ratio}, expected > 0")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a video: decoded from a keyframe, owning the pts in [own_start, own_stop).

    Open ends are None: the first segment owns from the first frame on, the last one to
    the last frame. `seek_pts` is the pts of the keyframe; None decodes from the beginning.
    """

    video: Video
    metadata: StreamMetadata
    index: int
    count: int
    seek_pts: int | None = None
    own_start_pts: int | None = None
    own_stop_pts: int | None = None

    @property
    def range_pts(self) -> tuple[int | None, int | None]:
        """The video's range, [start, stop), counted from its first pts; None is open."""
        start, stop = self.video.start_seconds, self.video.stop_seconds
        return self._place(start), self._place(stop)

    def until(self, pts: int | None) -> Segment:
        """What this segment owns before `pts`."""
        return replace(self, own_stop_pts=pts)

    def after(self, pts: int | None) -> Segment:
        """What this segment owns from `pts` on."""
        return replace(self, own_start_pts=pts)

    def _place(self, seconds: float | None) -> int | None:
        """The first pts at or after a time of the video, taken as the decimal number written."""
        if seconds is None:
            return None
        exact = Fraction(seconds).limit_denominator(10**9)
        return self.metadata.start_pts + math.ceil(exact / self.metadata.time_base)

    def owns(self, pts: int) -> bool:
        """Whether the frame at `pts` is this segment's, if it is in the video's range."""
        after = self.own_start_pts is None or pts >= self.own_start_pts
        return after and (self.own_stop_pts is None or pts < self.own_stop_pts)

    def reports(self, pts: int) -> bool:
        """Whether this segment reports the frame at `pts`: owned, and in the video's range."""
        start, stop = self.range_pts
        inside = (start is None or pts >= start) and (stop is None or pts < stop)
        return inside and self.owns(pts)


@dataclass(frozen=True, slots=True)
class Seam:
    """The faces on the first frame past a segment's own, which the next segment owns.

    Both segments decoded it, so the next segment's tracks are matched to `track` here.
    """

    pts: int
    track: npt.NDArray[np.int32]  # (K,) local track of each face
    boxes_xyxy_px: npt.NDArray[np.float32]  # (K, 4)

    def __post_init__(self) -> None:
        faces = len(self.track) if self.track.ndim == 1 else None
        if faces is None or self.boxes_xyxy_px.shape != (faces, 4):
            got = f"{self.track.shape} and {self.boxes_xyxy_px.shape}"
            raise ValueError(f"seam: got tracks and boxes of shape {got}, expected (K,) and (K, 4)")
        if not np.isfinite(self.boxes_xyxy_px).all():
            raise ValueError("seam: got boxes that are not finite")
        if len(np.unique(self.track)) != faces:
            raise ValueError(f"seam: got the tracks {self.track}, expected each once")


@dataclass(frozen=True, slots=True)
class SegmentStats:
    """Seconds of work, by the clock and of CPU, and rejected packets."""

    decode_seconds: Seconds = 0.0
    detect_seconds: Seconds = 0.0
    crop_seconds: Seconds = 0.0
    align_seconds: Seconds = 0.0
    packets_bad: Count = 0
    decode_cpu_seconds: Seconds = 0.0
    detect_cpu_seconds: Seconds = 0.0
    crop_cpu_seconds: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class SegmentRows:
    """The faces of a segment's own frames: one row per face per frame, in frame order.

    A `track` is a face followed without a break inside this segment; numbers are local.
    """

    frame_pts: npt.NDArray[np.int64]  # (F,) strictly increasing, every owned frame but repeats
    frame: npt.NDArray[np.int32]  # (M,) index into frame_pts
    track: npt.NDArray[np.int32]  # (M,)
    boxes_xyxy_px: npt.NDArray[np.float32]  # (M, 4)
    box_source: npt.NDArray[np.uint8]  # (M,) index into BOX_SOURCES
    scores: npt.NDArray[np.float32]  # (M,)
    blur: npt.NDArray[np.float32]  # (M,) 0 sharp..1 blurred; NaN: unknown
    cut_off: npt.NDArray[np.float32]  # (M,) share of the box outside the frame
    cuts_pts: npt.NDArray[np.int64]  # (C,) first frame of each new shot
    # (R,) in order: pts of frames that repeat one of frame_pts; (R,): index into frame_pts
    repeat_pts: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    repeat_of: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    # (L, 2) [start, stop) of owned frames that are known to be missing
    lost_pts: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))

    def __post_init__(self) -> None:
        rows = len(self.frame)
        shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("track", "box_source", "scores", "blur", "cut_off"), (rows,)),
            "boxes_xyxy_px": (rows, 4),
            "lost_pts": (len(self.lost_pts), 2),
            "repeat_of": (len(self.repeat_pts),),
        }
        for name, shape in shapes.items():
            got = getattr(self, name).shape
            if got != shape:
                raise ValueError(f"{name}: got shape {got}, expected {shape}")
        if rows and int(self.box_source.max()) >= len(BOX_SOURCES):
            raise ValueError(f"box_source: got {self.box_source.max()}, expected an index")
        of = self.repeat_of
        if len(of) and not 0 <= int(of.min()) <= int(of.max()) < len(self.frame_pts):
            raise ValueError(f"repeat_of: got {of.min()} to {of.max()}, expected an index")
        self._check_order()
        self._check_numbers()

    @property
    def frames(self) -> int:
        """Number of frames, repeats included."""
        return len(self.frame_pts) + len(self.repeat_pts)

    def _check_order(self) -> None:
        pts, frame = self.frame_pts, self.frame
        for name, rising in (("frame_pts", pts), ("repeat_pts", self.repeat_pts)):
            if rising.ndim != 1 or (rising[1:] <= rising[:-1]).any():
                raise ValueError(f"{name}: got values that do not rise, expected rising ones")
        if len(frame) and not (frame[0] >= 0 and frame[-1] < len(pts)):
            raise ValueError(f"frame: got {frame[0]} to {frame[-1]} of {len(pts)} frames")
        if (frame[1:] < frame[:-1]).any():
            raise ValueError("frame: got decreasing values, expected rows in frame order")
        rows = np.stack([frame, self.track], axis=1)
        if len(rows) and (self.track.min() < 0 or len(np.unique(rows, axis=0)) < len(rows)):
            raise ValueError("track: got negative values, or one twice on a frame")
        if self.cuts_pts.ndim != 1 or not np.isin(self.cuts_pts, pts).all():
            raise ValueError("cuts_pts: got values that are not in frame_pts")
        if (self.lost_pts[:, 1:] <= self.lost_pts[:, :1]).any():
            raise ValueError("lost_pts: got a range that ends before it starts")

    def _check_numbers(self) -> None:
        if not np.isfinite(self.boxes_xyxy_px).all():
            raise ValueError("boxes_xyxy_px: got numbers that are not finite")
        blur = self.blur[~np.isnan(self.blur)]
        for name, shares in (("scores", self.scores), ("blur", blur), ("cut_off", self.cut_off)):
            if not ((shares >= 0) & (shares <= _MAX_SCORE)).all():
                raise ValueError(f"{name}: got {shares.min()} to {shares.max()}, expected 0..1")

    def __repr__(self) -> str:
        return f"SegmentRows({self.frames} frames, {len(self.frame)} rows)"


@dataclass(frozen=True, slots=True)
class SegmentWindows:
    """A segment ready for the landmark network; the only record that holds pixels."""

    segment: Segment
    geometry: FrameGeometry | None  # None where no frame could be decoded
    rows: SegmentRows
    seam: Seam | None
    crops: npt.NDArray[np.uint8]  # (N, S, S, 3) RGB
    windows: npt.NDArray[np.int32]  # (M, T) indices into crops, oldest frame first
    affines: npt.NDArray[np.float64]  # (M, 2, 3) crop pixel of the window's last frame -> px
    stats: SegmentStats = field(default_factory=SegmentStats)

    def __post_init__(self) -> None:
        if self.crops.ndim != 4 or self.crops.dtype != np.uint8:
            raise ValueError(
                f"crops: got {self.crops.shape} {self.crops.dtype}, expected 4-d uint8"
            )
        if self.windows.ndim != 2 or len(self.windows) != len(self.rows.frame):
            raise ValueError(f"windows: got {self.windows.shape}, expected one a row")

    def __repr__(self) -> str:
        return (
            f"SegmentWindows({self.segment.video.video_id!r}, segment {self.segment.index}, "
            f"crops {self.crops.shape}, windows {self.windows.shape})"
        )


@dataclass(frozen=True, slots=True)
class SegmentLandmarks:
    """A segment with its landmarks; saved as a part."""

    segment: Segment
    geometry: FrameGeometry | None
    rows: SegmentRows
    seam: Seam | None
    landmarks_px: npt.NDArray[np.float32]  # (M, 68, 2) px of the upright frame
    spread_px: npt.NDArray[np.float32]  # (M, 68) expected distance from the truth; NaN: unknown
    stats: SegmentStats

    def __repr__(self) -> str:
        return (
            f"SegmentLandmarks({self.segment.video.video_id!r}, segment {self.segment.index}, "
            f"landmarks {self.landmarks_px.shape})"
        )


@dataclass(frozen=True, slots=True)
class SegmentPart:
    """A reference to a saved SegmentLandmarks; crosses the shuffle in its place."""

    segment: Segment
    url: str


@dataclass(frozen=True, slots=True)
class SegmentFailure:
    """A segment without results, and why."""

    segment: Segment
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class VideoFailure:
    """A video that failed before it had segments, and why."""

    video: Video
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class VideoTracks:
    """A whole video's stabilized tracks as ordered parts, with its totals."""

    video: Video
    metadata: StreamMetadata
    geometry: FrameGeometry | None
    part_urls: tuple[str, ...]
    segments: int
    failures: tuple[SegmentFailure, ...]
    first_pts: int | None
    last_pts: int | None
    frames: int  # repeats included
    faces: int
    rows: int
    stats: SegmentStats
    stabilize_seconds: float
    lost_pts: tuple[tuple[int, int], ...]  # [start, stop) of missing frames, in order
    repeats: int  # frames that repeat the previous one
    face_ids: tuple[int, ...]  # the faces to keep
