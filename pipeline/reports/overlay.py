"""Drawing landmarks, boxes and captions on one RGB frame, and encoding it.

Coordinates are pixels of the frame that is drawn on (top-left pixel centre at (0, 0));
lines and points are anti-aliased and placed to a sixteenth of a pixel.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.landmarks.metrics import interocular_px
from schemas.landmarks import CONTOURS

Rgb = tuple[int, int, int]
Image = npt.NDArray[np.uint8]

_STABLE_RGB: Final[Rgb] = (60, 240, 90)
_RAW_RGB: Final[Rgb] = (255, 150, 30)
_BOX_RGB: Final[Rgb] = (90, 190, 255)
_TEXT_RGB: Final[Rgb] = (255, 255, 255)
_PLATE_TEXT_RGB: Final[Rgb] = (10, 20, 40)
#: Lines let the face through; points do not.
_LINE_OPACITY: Final = 0.6

_SUBPIXEL_BITS: Final = 4
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_TEXT_SCALE: Final = 0.45
_DASH_PX: Final = 5.0
#: Raw landmarks are drawn where they are this far from the stabilized ones (inter-ocular).
_DIFFERENCE: Final = 0.01


@dataclass(frozen=True, slots=True)
class FaceOverlay:
    """One face of a frame, in pixels of the frame to draw on."""

    face_id: int
    box_xyxy_px: npt.NDArray[np.float64]  # (4,)
    box_source: str
    landmarks_px: npt.NDArray[np.float64]  # (68, 2)
    raw_landmarks_px: npt.NDArray[np.float64]  # (68, 2)

    @property
    def interocular_px(self) -> float:
        """Distance between the outer eye corners."""
        return float(interocular_px(self.landmarks_px))

    @property
    def raw_differs(self) -> bool:
        """Whether the raw landmarks would be seen apart from the stabilized ones."""
        gaps = np.linalg.norm(self.landmarks_px - self.raw_landmarks_px, axis=-1)
        return bool(gaps.max() > _DIFFERENCE * self.interocular_px)


def draw_face(frame: Image, face: FaceOverlay, *, raw: bool = False, box: bool = True) -> None:
    """Draws a face onto `frame`, (H, W, 3) uint8 RGB, in place.

    Green: stabilized landmarks. Orange, below them: raw ones, where they differ or with
    `raw`. Blue: the box with the face's id, dashed where it was interpolated.
    """
    if box:
        _draw_box(frame, face.box_xyxy_px, dashed=face.box_source == "interpolated")
        _draw_label(frame, f"face {face.face_id}", face.box_xyxy_px[:2])
    radius = float(np.clip(face.interocular_px / 90, 0.8, 4))
    if raw or face.raw_differs:
        _draw_landmarks(frame, face.raw_landmarks_px, _RAW_RGB, 0.8 * radius)
    _draw_landmarks(frame, face.landmarks_px, _STABLE_RGB, radius)


def encode_image(image: Image, suffix: str, *options: int) -> bytes:
    """(H, W, 3) uint8 RGB as the bytes of a .png or .jpg; `options` are those of cv2.imencode."""
    coded, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not coded:
        raise RuntimeError(f"OpenCV could not encode an image of shape {image.shape}")
    return data.tobytes()


def draw_caption(frame: Image, text: str, *, height_px: int = 22) -> None:
    """Writes `text` on a dark strip along the lower edge of `frame`, in place."""
    height, width = frame.shape[:2]
    strip = frame[max(0, height - height_px) :]
    strip[:] = strip // 4  # what is below stays visible
    scale = _TEXT_SCALE
    wide = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    if wide > width - 8:
        scale *= (width - 8) / wide
    place = (4, round(height - height_px / 3))
    cv2.putText(frame, text, place, _FONT, scale, _TEXT_RGB, 1, cv2.LINE_AA)


def _draw_landmarks(
    frame: Image, points: npt.NDArray[np.float64], colour: Rgb, radius: float
) -> None:
    if not np.isfinite(points).all():
        return
    lines = [
        _fixed(points[list(indices) + [indices[0]] * closed])[:, None]
        for indices, closed in CONTOURS.values()
    ]
    lined = cv2.polylines(frame.copy(), lines, False, colour, 1, cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.addWeighted(lined, _LINE_OPACITY, frame, 1 - _LINE_OPACITY, 0, dst=frame)
    for centre in _fixed(points):
        cv2.circle(
            frame, centre.tolist(), round(radius * 16), colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS
        )


def _draw_box(frame: Image, box_xyxy_px: npt.NDArray[np.float64], *, dashed: bool) -> None:
    if not np.isfinite(box_xyxy_px).all():
        return
    x0, y0, x1, y1 = box_xyxy_px
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
    if not dashed:
        lines = [_fixed(corners)[:, None]]
    else:
        lines = []
        for start, stop in itertools.pairwise(corners):
            dashes = max(1, round(float(np.linalg.norm(stop - start)) / (2 * _DASH_PX)))
            ends = np.linspace(0, 1, 2 * dashes + 1)[:-1, None]
            points = start + ends * (stop - start)
            lines += [_fixed(points[i : i + 2])[:, None] for i in range(0, 2 * dashes, 2)]
    cv2.polylines(frame, lines, False, _BOX_RGB, 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_label(frame: Image, text: str, corner: npt.NDArray[np.float64]) -> None:
    """Writes `text` on a plate that stands on the upper left corner of a box."""
    if not np.isfinite(corner).all():
        return
    wide, high = cv2.getTextSize(text, _FONT, _TEXT_SCALE, 1)[0]
    limit = np.array([frame.shape[1] - wide - 6, frame.shape[0] - 1])
    x, y = np.clip(np.round(corner), [0, high + 6], np.maximum(limit, [0, high + 6])).astype(int)
    cv2.rectangle(frame, (x, y - high - 6), (x + wide + 6, y), _BOX_RGB, -1)
    cv2.putText(frame, text, (x + 3, y - 3), _FONT, _TEXT_SCALE, _PLATE_TEXT_RGB, 1, cv2.LINE_AA)


def _fixed(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Points in sixteenths of a pixel, kept where OpenCV can clip them."""
    return np.clip(np.round(points * 16), -(2**24), 2**24).astype(np.int32)
