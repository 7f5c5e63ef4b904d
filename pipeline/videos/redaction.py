"""Hides the faces of a video along their tracks, also where a track has gaps.

      detected        no row        detected
hold |---------|. . . . . . . .|---------| hold     the box of a face over time:
                interpolated                        bridged, held beyond both ends
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.crops import fit_affine, image_to_crop
from pipeline.videos.track_file import TrackRows
from pipeline.videos.upright_frames import (
    check_sound,
    opened_sound,
    pixel_aspect,
    tracked_frames,
    whole_video,
)
from pipeline.videos.video_writer import CONTAINERS, VideoWriter
from schemas.choices import REDACTION_STYLES
from schemas.errors import UsageError
from transforms.decoding.child_pool import kept_children
from transforms.storage.atomic_files import atomic_file

#: The least margin around a face, as a share of the longer side of its box.
MIN_MARGIN: Final = 0.15
#: How many of its own spreads a landmark is taken to be off at most.
_SPREADS: Final = 3.0
#: A track begins and ends on detections, which are up to this far apart.
HOLD_SECONDS: Final = 0.25
#: Style -> cells along the longer side of a face. Of 5 cells that are blended into each other the
#: package's detector still found a face in one frame of fifty, of 3 YuNet in one of five hundred.
_CELLS: Final = {"pixelate": 5, "blur": 2}

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FaceCover:
    """What covers one face over time, T times rising.

    Attributes:
        pts: (T,) int64.
        boxes_xyxy_px: (T, 4) float64, margins included, in pixels of the upright frame.
        hold_pts: how long the first and last box are kept beyond their times.
    """

    pts: npt.NDArray[np.int64]
    boxes_xyxy_px: npt.NDArray[np.float64]
    hold_pts: int

    def at(self, pts: int) -> npt.NDArray[np.float64] | None:
        """The (4,) box at a time, between two rows interpolated; None where there is no face."""
        if not self.pts[0] - self.hold_pts <= pts <= self.pts[-1] + self.hold_pts:
            return None
        return np.array([np.interp(pts, self.pts, side) for side in self.boxes_xyxy_px.T])


def face_covers(
    tracks: TrackRows, time_base: Fraction, *, margin: float = MIN_MARGIN
) -> list[FaceCover]:
    """A cover a face: around box and landmarks, with a margin that grows with the spread.

    The margin is `margin` of the longer side of the box, or three times the median spread of the
    row's landmarks where that is more.
    """
    boxes = _covered_boxes(tracks, margin)
    hold_pts = round(Fraction(HOLD_SECONDS) / time_base)
    return [FaceCover(tracks.pts[rows], boxes[rows], hold_pts) for _, rows in tracks.by_face()]


def hide_face(image: Image, box_xyxy_px: npt.NDArray[np.float64], style: str = "pixelate") -> None:
    """Hides a box, which may reach past the frame, of a (H, W, 3) uint8 RGB image, in place.

    Args:
        style: `pixelate`, a mosaic of 5 cells along the longer side; `blur`, 2 cells blended into
            each other; `fill`, one colour, which keeps nothing of the face.
    """
    height, width = image.shape[:2]
    x0, y0 = (max(0, int(np.floor(side))) for side in box_xyxy_px[:2])
    x1 = min(width, int(np.ceil(box_xyxy_px[2])) + 1)
    y1 = min(height, int(np.ceil(box_xyxy_px[3])) + 1)
    if x0 >= x1 or y0 >= y1:
        return
    part = image[y0:y1, x0:x1]
    if style == "fill":
        part[:] = part.reshape(-1, 3).mean(0).round().astype(np.uint8)
        return
    cell = max(1.0, max(part.shape[:2]) / _CELLS[style])
    cells = tuple(max(1, round(side / cell)) for side in part.shape[1::-1])
    coarse = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
    back = cv2.INTER_NEAREST if style == "pixelate" else cv2.INTER_CUBIC
    part[:] = cv2.resize(coarse, part.shape[1::-1], interpolation=back).reshape(part.shape)


@kept_children()
def redact(
    video: str,
    tracks: TrackRows,
    to: Path,
    *,
    style: str = "pixelate",
    margin: float = MIN_MARGIN,
    progress: bool = False,
) -> int:
    """Writes a copy of `video` in which the faces of its tracks are hidden.

        redact("clip.mp4", read_track_file("OUT/tracks/clip.mp4.parquet"), Path("hidden.mp4"))

    A face is hidden from its first row to its last, gaps included, and a quarter of a second
    beyond. Faces that have no rows are not hidden. Frames are upright, H.264, of 8 bits, one
    pixel wider or higher where a side is odd; timestamps, shape of the pixels, sound (its packets)
    and metadata are the video's. Its other streams are left out: pictures and data may
    show faces. Where only a range was annotated, only that range is written.

    Args:
        video: a path or a URL.
        tracks: its tracks.
        to: an .mp4, .mov or .mkv.
        style: pixelate, blur or fill; see `hide_face`.
        margin: the least one, as a share of the longer side of a face's box.
        progress: whether a bar on stderr counts the frames.

    Returns: how many frames were written.

    Raises:
        VideoError: the video cannot be opened, or holds no frame.
        UsageError: an unknown style or suffix, a negative margin, most faces of the tracks are at
            no frame of this video, or `to` cannot hold its sound.
    """
    suffix = _checked(to, style, margin)
    whole = whole_video(video, tracks.stream_index, tracks.range_seconds)
    check_sound(whole)
    stream = whole.metadata
    covers = face_covers(tracks, stream.time_base, margin=margin)
    frames = 0
    with ExitStack() as stack:
        part = stack.enter_context(atomic_file(str(to)))
        times = set(tracks.pts.tolist())
        pixels, source = tracked_frames(whole, times, progress=progress)
        shown = pixels.width_px, pixels.height_px
        width, height = (side + side % 2 for side in shown)
        sound = stack.enter_context(opened_sound(whole))
        out = stack.enter_context(
            VideoWriter(
                part, suffix, stream, width, height,
                pixel_aspect=pixel_aspect(stream, pixels),
                sound=sound,
                range_pts=whole.range_pts,
            )
        )  # fmt: skip
        for pts, pixels in source:
            # Only frames of another size than the first are scaled; an odd side is continued.
            affine = fit_affine(
                pixels.width_px, pixels.height_px, out_width_px=shown[0], out_height_px=shown[1]
            )
            image = pixels.sample(affine, width, height)
            for cover in covers:
                if (box := cover.at(pts)) is not None:
                    hide_face(image, image_to_crop(box.reshape(2, 2), affine).ravel(), style)
            out.write(pts, image)
            frames += 1
    return frames


def _covered_boxes(tracks: TrackRows, margin: float) -> npt.NDArray[np.float64]:
    """(N, 4): around box and landmarks of each row, with its margin."""
    boxes = tracks.boxes_xyxy_px
    corners = np.concatenate([boxes.reshape(-1, 2, 2), tracks.landmarks_px], axis=1)
    low, high = np.nanmin(corners, axis=1), np.nanmax(corners, axis=1)
    longer = (boxes[:, 2:] - boxes[:, :2]).max(1)
    known = np.isfinite(tracks.spread_px).any(axis=1, keepdims=True)
    spread = np.nanmedian(np.where(known, tracks.spread_px, 0.0), axis=1)
    grown = np.maximum(margin * longer, _SPREADS * spread)[:, None]
    return np.concatenate([low - grown, high + grown], axis=1)


def _checked(to: Path, style: str, margin: float) -> str:
    """The suffix of `to`."""
    suffix = to.suffix.lower()
    if suffix not in CONTAINERS:
        raise UsageError(f"got {to.name!r}, expected a name that ends in {', '.join(CONTAINERS)}")
    if style not in REDACTION_STYLES:
        raise UsageError(f"style: got {style!r}, expected one of {', '.join(REDACTION_STYLES)}")
    if not 0 <= margin < np.inf:
        raise UsageError(f"margin: got {margin}, expected 0 or more")
    return suffix
