"""Pictures of videos: the request to a decoding child and its answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.crops import Affine
from schemas.records import Video


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """Which picture of a video.

    Attributes:
        video: the video; its range and boxes are ignored.
        pts: of the frame, in the video's time_base; None is a keyframe near its middle.
        stream_index: the stream, as FFmpeg counts; None is the one that a player would show.
        longest_side_px: of the picture, which is not enlarged, or the side of the square.
        box_xyxy_px: the picture is the square around this box in the upright frame; None is the
            whole frame.
    """

    video: Video
    pts: int | None
    stream_index: int | None
    longest_side_px: int
    box_xyxy_px: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class VideoPicture:
    """A picture with square pixels, and where it was.

    Attributes:
        pts: of its frame; may differ from the requested one if the video has no such frame.
        pixels: (H, W, 3) uint8 RGB.
        affine: (2, 3) float64, from pixels of the picture to those of the upright frame.
    """

    pts: int
    pixels: npt.NDArray[np.uint8]
    affine: Affine
