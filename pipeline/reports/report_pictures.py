"""Pictures of a report: frames with landmarks, taken by decoding children, as small JPEGs."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.crops import image_to_crop
from pipeline.reports.overlay import FaceOverlay, draw_face, encode_image
from pipeline.reports.track_quality import Moment
from schemas.errors import VideoError
from schemas.records import Video
from transforms.decoding.child import ChildSettings
from transforms.decoding.child_pool import lent_child
from transforms.decoding.pictures import PictureRequest, VideoPicture

#: Children that take pictures: they crop nothing, and give a video less time than a run does.
PICTURE_CHILD: Final = ChildSettings(stall_seconds=30.0)
_JPEG_QUALITY: Final = 78
#: Side of the square around a face, in longer sides of its box.
_AROUND: Final = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A picture to take.

    Attributes:
        uri, stream_index: of which video.
        moment: the face to draw, and when; None is a frame near the middle, as it is.
        side_px: the longest side of the picture.
        close: whether only the square around the face is shown.
    """

    uri: str
    stream_index: int | None
    moment: Moment | None
    side_px: int
    close: bool = False


def picture_uri(shot: Shot) -> str | None:
    """The picture as a data URI (JPEG); None where the video cannot be read any more."""
    moment, box = shot.moment, None
    if moment is not None and shot.close:
        x0, y0, x1, y1 = moment.box_xyxy_px.tolist()
        half = _AROUND * max(x1 - x0, y1 - y0) / 2
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        box = x - half, y - half, x + half, y + half
    request = PictureRequest(
        Video(shot.uri, shot.uri),
        None if moment is None else moment.pts,
        shot.stream_index,
        # Faces are small in whole frames: these are drawn larger, then reduced.
        shot.side_px if shot.close else 2 * shot.side_px,
        box,
    )
    try:
        with lent_child(PICTURE_CHILD) as child:
            taken = child.picture(request)
    except VideoError:
        return None
    if moment is not None and taken.pts != moment.pts:
        return None  # it is another video by now
    return _encoded(_drawn(taken, moment), shot.side_px)


def _drawn(taken: VideoPicture, moment: Moment | None) -> npt.NDArray[np.uint8]:
    pixels = taken.pixels.copy()
    if moment is not None:
        points = image_to_crop(moment.landmarks_px, taken.affine)
        box = image_to_crop(moment.box_xyxy_px.reshape(2, 2), taken.affine)
        draw_face(pixels, FaceOverlay(0, box.ravel(), "detected", points, points), box=False)
    return pixels


def _encoded(pixels: npt.NDArray[np.uint8], side_px: int) -> str:
    height, width = pixels.shape[:2]
    if (scale := side_px / max(height, width)) < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    jpeg = encode_image(pixels, ".jpg", cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
