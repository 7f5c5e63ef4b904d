"""Synthetic occluders: sunglasses, a mask or a hand, placed by the landmarks.

Landmarks do not move, so a network learns to predict hidden landmarks and their expected error.
"""

from __future__ import annotations

from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
Occluder = Literal["sunglasses", "mask", "hand"]
_SMOOTH: Final = 4  # fractional bits of OpenCV's polygons


def occlude_landmarks(
    crop: Image,
    landmarks_px: npt.NDArray[np.floating],
    rng: np.random.Generator,
    kind: Occluder | None = None,
) -> Image:
    """A crop with a part of the face occluded.

    Args:
        crop: (S, S, 3) uint8 RGB; not changed.
        landmarks_px: (68, 2), crop pixels; where one is NaN the crop is returned unchanged.
        rng: draws colour, shape and, without `kind`, the occluder.
        kind: the occluder; None: any.
    """
    if not np.isfinite(landmarks_px).all():
        return crop
    points = landmarks_px.astype(np.float64)
    kind = kind or ("sunglasses", "mask", "hand")[int(rng.integers(3))]
    cover = np.zeros(crop.shape[:2], np.uint8)
    if kind == "sunglasses":
        _paint_sunglasses(cover, points, rng)
        colour = rng.uniform(0, 70, 3)
    elif kind == "mask":
        _paint_mask(cover, points, rng)
        colour = rng.uniform(30, 255, 3)
    else:
        _paint_hand(cover, points, rng)
        colour = _skin(crop, points) * rng.uniform(0.6, 1.15)
    soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.4, 1.0)).astype(np.float32)[..., None]
    opaque = soft / 255 * np.float32(rng.uniform(0.85, 1.0) if kind == "sunglasses" else 1.0)
    painted = colour * side_light(crop.shape[0], rng, 0.15)
    mixed = crop * (1 - opaque) + painted * opaque
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)


def _paint_sunglasses(cover: Image, points: Points, rng: np.random.Generator) -> None:
    grown = rng.uniform(1.5, 2.1)
    for eye in (points[36:42], points[42:48]):
        middle = eye.mean(0)
        along = eye[3] - eye[0]
        half = np.linalg.norm(along) / 2 * grown
        angle = float(np.degrees(np.arctan2(along[1], along[0])))
        box = (tuple(middle), (2 * half, 2 * half * rng.uniform(0.55, 0.85)), angle)
        if rng.random() < 0.5:
            cv2.ellipse(cover, box, 255, -1, cv2.LINE_AA)
        else:
            _fill(cover, cv2.boxPoints(box))
    bridge = np.stack([points[39], points[42]])
    thick = max(1, round(float(np.linalg.norm(bridge[1] - bridge[0])) * 0.12))
    ends = np.round(bridge * 2**_SMOOTH).astype(int)
    cv2.line(cover, tuple(ends[0]), tuple(ends[1]), 255, thick, cv2.LINE_AA, _SMOOTH)


def _paint_mask(cover: Image, points: Points, rng: np.random.Generator) -> None:
    top = points[28] + rng.uniform(-0.2, 0.8) * (points[33] - points[28])
    jaw = points[2:15]
    middle = points[33]
    _fill(cover, np.vstack([middle + (jaw - middle) * 1.06, top[None]]))


def _paint_hand(cover: Image, points: Points, rng: np.random.Generator) -> None:
    """A palm about one landmark, and fingers from it towards another."""
    size = float(np.ptp(points, axis=0).max())
    palm, towards = points[int(rng.integers(68))], points[int(rng.integers(68))]
    radius = size * rng.uniform(0.12, 0.22)
    angle = float(np.arctan2(*(towards - palm)[::-1]))
    oval = (tuple(palm), (2 * radius, 1.6 * radius), float(np.degrees(angle)))
    cv2.ellipse(cover, oval, 255, -1, cv2.LINE_AA)
    for finger in range(4):
        lean = angle + rng.normal(0, 0.06) + (finger - 1.5) * 0.22
        start = palm + radius * 0.5 * np.array([np.cos(lean), np.sin(lean)])
        stop = palm + radius * rng.uniform(1.8, 2.8) * np.array([np.cos(lean), np.sin(lean)])
        ends = np.round(np.stack([start, stop]) * 2**_SMOOTH).astype(int)
        thick = max(1, round(radius * 0.36))
        cv2.line(cover, tuple(ends[0]), tuple(ends[1]), 255, thick, cv2.LINE_AA, _SMOOTH)


def _fill(cover: Image, polygon: npt.NDArray[np.floating]) -> None:
    corners = np.round(polygon * 2**_SMOOTH).astype(np.int32)
    cv2.fillPoly(cover, [corners], 255, cv2.LINE_AA, _SMOOTH)


def _skin(crop: Image, points: Points) -> npt.NDArray[np.float64]:
    """The mean colour about the nose, (3,)."""
    side = crop.shape[0]
    x, y = np.clip(np.round(points[30]), 0, side - 1).astype(int)
    reach = max(1, side // 16)
    patch = crop[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
    return np.asarray(patch.reshape(-1, 3).mean(0), np.float64)


def side_light(side: int, rng: np.random.Generator, deviation: float) -> npt.NDArray[np.float32]:
    """The factor of a light that falls off to one side, (S, S, 1); `deviation` of its slopes."""
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    slope = rng.normal(0, deviation, 2).astype(np.float32)
    light: npt.NDArray[np.float32] = (
        1 + slope[0] * ramp[None, :, None] + slope[1] * ramp[:, None, None]
    )
    return light
