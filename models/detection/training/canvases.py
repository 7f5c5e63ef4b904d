"""Training canvases: labelled images, cropped, scaled, tiled and augmented.

        +-------+-----------+      A canvas is one tile, or four around a random point.
        | tile  |   tile    |      Each tile shows one labelled image through a random
        +-------o-----------+      affine map that gives a chosen face a random size,
        | tile  |   tile    |      from `MIN_FACE_PX` to nearly the whole tile, and
        +-------+-----------+      others behind it where it leaves the tile bare.

A face that a tile's edge mostly hides, a very small one, or one with a low teacher score is
neither face nor background: its box goes to `ignore_xyxy_px`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.crops import image_to_crop, sample_plane
from models.detection.training.labelled_images import LabelledImage

MIN_FACE_PX: Final = 11.0
TEACHER_SCORE: Final = 0.6
_LARGEST_SHARE: Final = 0.95  # of the tile's shorter side
_VISIBLE_SHARE: Final = 0.7  # of its box, for a face to count as one
_HIDDEN_SHARE: Final = 0.12  # less than this of a face is background
_MOSAIC_SHARE: Final = 0.35
_FACELESS_SHARE: Final = 0.12
#: Share of pictures shown at the scale they were taken at.
_NATIVE_SHARE: Final = 0.3
_MAX_ENLARGEMENT: Final = 3.0
_BARE_SHARE: Final = 0.25  # a tile with more than this left bare gets another image behind
_MAX_LAYERS: Final = 4
_DISTRACTOR_SHARE: Final = 0.3
_TURNED_SHARE: Final = 0.4
_PROFILE_SHARE: Final = 0.3
_MIN_TURN: Final = 0.06
_COVER_SHARE: Final = 0.12
_PLAIN_SHARE: Final = 0.25  # unless it stays plain


@dataclass(frozen=True, slots=True)
class Canvas:
    """One training image.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        boxes_xyxy_px: (N, 4) float32, faces.
        ignore_xyxy_px: (M, 4) float32, where the score has no loss.
    """

    image: npt.NDArray[np.uint8]
    boxes_xyxy_px: npt.NDArray[np.float32]
    ignore_xyxy_px: npt.NDArray[np.float32]


def place_boxes(
    boxes_xyxy_px: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """The upright boxes of faces after an affine map, taking each face for an ellipse.

    Turning a box by its corners would make it grow; the ellipse inside it does not. Boxes are
    (N, 4), in the image and in the canvas; the (2, 3) map takes a canvas pixel to an image pixel.
    """
    low, high = boxes_xyxy_px[:, :2].astype(np.float64), boxes_xyxy_px[:, 2:].astype(np.float64)
    centre = image_to_crop((low + high) / 2, affine)
    linear = np.linalg.inv(affine[:, :2])
    half = np.sqrt(((high - low) / 2) ** 2 @ (linear**2).T)
    return np.concatenate([centre - half, centre + half], 1).astype(np.float32)


def draw_canvas(
    pools: Sequence[Sequence[LabelledImage]],
    weights: npt.NDArray[np.float64],
    size_px: int,
    rng: np.random.Generator,
) -> Canvas:
    """Draws one training image from pools of labelled images.

    `weights` is the chance of each pool, summing to 1; `size_px` the side of the canvas.
    """
    image = np.empty((size_px, size_px, 3), np.uint8)
    x, y = size_px, size_px
    if rng.random() < _MOSAIC_SHARE:
        x, y = (int(v) for v in rng.integers(size_px // 4, size_px - size_px // 4, 2))
    tiles = [(0, 0, x, y), (x, 0, size_px, y), (0, y, x, size_px), (x, y, size_px, size_px)]
    faces, ignored = [np.zeros((0, 4))], [np.zeros((0, 4))]
    for x0, y0, x1, y1 in tiles:
        width_px, height_px = x1 - x0, y1 - y0
        if width_px <= 0 or height_px <= 0:
            continue
        tile = np.empty((height_px, width_px, 3), np.uint8)
        bare = np.ones((height_px, width_px), np.uint8)
        for _ in range(_MAX_LAYERS):
            source = _pick(pools[rng.choice(len(pools), p=weights)], rng)
            if rng.random() < _PROFILE_SHARE:
                source = turn_away(source, rng)
            affine = _random_affine(source, width_px, height_px, rng)
            pixels = sample_plane(source.image, affine, width_px, height_px)
            covered = _covered(source.image.shape, affine, width_px, height_px) & bare
            boxes = place_boxes(source.boxes_xyxy_px, affine)
            good, unsure = _positive_and_ignored(boxes, source.scores, covered)
            cv2.copyTo(pixels, covered, tile)
            bare &= ~covered
            faces.append(boxes[good] + [x0, y0, x0, y0])
            ignored.append(boxes[unsure] + [x0, y0, x0, y0])
            if bare.mean() <= _BARE_SHARE or rng.random() < _PLAIN_SHARE:
                break
        # What is still bare is the last image's border drawn out, or one colour.
        colour = rng.choice([np.full(3, 114), np.zeros(3), rng.integers(0, 256, 3)])
        if rng.random() < 0.75:
            pixels = np.full_like(tile, colour)
        cv2.copyTo(pixels, bare, tile)
        image[y0:y1, x0:x1] = tile
    faces_px, ignored_px = np.concatenate(faces), np.concatenate(ignored)
    if rng.random() < _COVER_SHARE and len(faces_px):
        _cover(image, faces_px[rng.integers(len(faces_px))], rng)
    if rng.random() < _DISTRACTOR_SHARE:
        _draw_distractors(image, rng)
    if rng.random() < 0.5:
        image = image[:, ::-1]
        faces_px, ignored_px = (
            size_px * np.array([1, 0, 1, 0]) + b[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] - [1, 0, 1, 0]
            for b in (faces_px, ignored_px)
        )
    return Canvas(_degraded(image, rng), faces_px.astype(np.float32), ignored_px.astype(np.float32))


def _pick(pool: Sequence[LabelledImage], rng: np.random.Generator) -> LabelledImage:
    """An image of the pool; sometimes the one of three with the most turned face."""
    drawn = [pool[int(i)] for i in rng.integers(len(pool), size=3)]
    if rng.random() < _TURNED_SHARE:
        return max(drawn, key=lambda image: np.abs(image.turns).max(initial=0.0))
    return drawn[0]


def turn_away(source: LabelledImage, rng: np.random.Generator) -> LabelledImage:
    """The image with the far half of its most turned face squeezed: nearly a profile.

    +-------+----+            +-------+--+
    |  o    |o   |            |  o    |o |
    |       >    |     ->     |       >  |      > is the nose; what lies beyond it
    |    ---|--  |            |    ---|- |      is squeezed, box and all
    +-------+----+            +-------+--+
    """
    if len(source.turns) == 0 or np.abs(source.turns).max() < _MIN_TURN:
        return source
    face = int(np.abs(source.turns).argmax())
    x0, _, x1, _ = source.boxes_xyxy_px[face]
    turn, width = float(source.turns[face]), float(x1 - x0)
    nose_x = (x0 + x1) / 2 + turn * width
    ends = (nose_x, x1 + 0.1 * width) if turn > 0 else (x0 - 0.1 * width, nose_x)
    start, stop = (int(v) for v in np.clip(np.round(ends), 0, source.image.shape[1]))
    squeezed = round((stop - start) * rng.uniform(0.1, 0.6))
    if squeezed < 1:
        return source
    strip = cv2.resize(
        source.image[:, start:stop], (squeezed, len(source.image)), interpolation=cv2.INTER_AREA
    )
    image = np.hstack([source.image[:, :start], strip, source.image[:, stop:]])
    boxes = source.boxes_xyxy_px.copy()
    shift = stop - start - squeezed
    far = source.image.shape[1] + 1e4
    boxes[:, ::2] = np.interp(
        boxes[:, ::2] + 0.5, [-1e4, start, stop, far], [-1e4, start, stop - shift, far - shift]
    ) - np.float32(0.5)
    return LabelledImage(image, boxes, source.scores, source.turns)


def _random_affine(
    source: LabelledImage, width_px: int, height_px: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """(2, 3) tile pixel to image pixel, which shows one face, or none, at a random size."""
    height, width = source.image.shape[:2]
    shorter = min(width_px, height_px)
    tile_px = np.array([width_px, height_px])
    at = tile_px / 2
    sure = source.boxes_xyxy_px[source.scores >= TEACHER_SCORE].astype(np.float64)

    def draw_face() -> tuple[npt.NDArray[np.float64], float]:
        """Centre and longer side of a face of the image."""
        x0, y0, x1, y1 = sure[rng.choice(len(sure))]
        return np.array([x0 + x1, y0 + y1]) / 2, float(max(x1 - x0, y1 - y0, 1.0))

    if rng.random() < _NATIVE_SHARE:  # the whole frame, as in production
        step = float(np.exp(rng.uniform(np.log(0.8), np.log(1.25))))
        focus = rng.uniform(0, 1, 2) * [width, height]
        at = tile_px * rng.uniform(0.2, 0.8, 2)
    elif len(sure) and rng.random() >= _FACELESS_SHARE:
        focus, face_px = draw_face()
        wanted_px = float(np.exp(rng.uniform(np.log(12.0), np.log(_LARGEST_SHARE * shorter))))
        step = max(face_px / wanted_px, 1 / _MAX_ENLARGEMENT)
        # Mostly inside the tile, now and then cut by its edge.
        reach = max(0.5 - 0.42 * wanted_px / shorter, 0.04)
        at = tile_px * (0.5 + rng.uniform(-reach, reach, 2))
    elif len(sure) and rng.random() < 0.5:  # near faces: hands, clothes, hair
        centre, face_px = draw_face()
        step = max(face_px / (shorter * rng.uniform(0.2, 1.2)), 1 / _MAX_ENLARGEMENT)
        focus = centre + face_px * rng.uniform([-1.5, 0.6], [1.5, 2.5])
    else:
        step = float(np.exp(rng.uniform(np.log(0.4), np.log(2.0))))
        focus = rng.uniform(0, 1, 2) * [width, height]
    angle = np.deg2rad(rng.normal(0, 8)) if rng.random() < 0.3 else 0.0
    stretch = np.exp(rng.normal(0, 0.05))
    c, s = np.cos(angle), np.sin(angle)
    linear = step * np.array([[c, -s], [s, c]]) @ np.diag([stretch, 1 / stretch])
    return np.column_stack([linear, focus - linear @ at])


def _covered(
    shape: tuple[int, ...], affine: npt.NDArray[np.float64], width_px: int, height_px: int
) -> npt.NDArray[np.uint8]:
    """(height_px, width_px) uint8, 1 where the tile shows the image and not its outside."""
    height, width = shape[:2]
    edge = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    inside = np.zeros((height_px, width_px), np.uint8)
    corners = np.round(image_to_crop(edge, affine) * 16).astype(np.int32)
    cv2.fillConvexPoly(inside, corners, 1, shift=4)
    return inside


def _positive_and_ignored(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], seen: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which boxes are positive samples, and which are ignored."""
    height, width = seen.shape
    sides = boxes[:, 2:] - boxes[:, :2]
    share = np.zeros(len(boxes))
    for i, box in enumerate(boxes):
        x0, y0 = np.clip(np.round(box[:2]), 0, [width, height]).astype(int)
        x1, y1 = np.clip(np.round(box[2:]) + 1, 0, [width, height]).astype(int)
        share[i] = seen[y0:y1, x0:x1].sum() / max(float(np.prod(sides[i] + 1)), 1.0)
    good = (scores >= TEACHER_SCORE) & (share >= _VISIBLE_SHARE) & (sides.max(1) >= MIN_FACE_PX)
    return good, ~good & (share > _HIDDEN_SHARE)


def _degraded(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Random changes of light, colour, blur, noise and compression."""
    if rng.random() < 0.8:
        levels = np.arange(256, dtype=np.float64)[:, None] / 255
        gamma = np.exp(rng.normal(0, 0.25))
        gain = np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.06, 3))
        table = 255 * (levels**gamma * gain + rng.normal(0, 0.06))
        table = np.clip(np.round(table), 0, 255).astype(np.uint8)  # (256, 3)
        image = cv2.LUT(image, table[None]).astype(np.uint8, copy=False)
    if rng.random() < 0.3:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        share = 1.0 if rng.random() < 0.4 else rng.uniform(-0.4, 0.8)
        image = cv2.addWeighted(grey, share, image, 1 - share, 0).astype(np.uint8, copy=False)
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)).astype(np.uint8, copy=False)
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 14), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))]
        _, packed = cv2.imencode(".jpg", image, quality)
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(image)


def _cover(
    image: npt.NDArray[np.uint8], box: npt.NDArray[np.floating], rng: np.random.Generator
) -> None:
    """Holds a sheet of paper before the lower third of a face, or a little more."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    top = y0 + rng.uniform(0.55, 0.85) * height
    left, right = x0 - rng.uniform(-0.2, 1.0) * width, x1 + rng.uniform(-0.2, 1.0) * width
    bottom = top + rng.uniform(0.4, 2.0) * height
    tilt = rng.normal(0, 0.08) * width
    corners = [(left, top - tilt), (right, top + tilt), (right, bottom), (left, bottom)]
    shade = rng.uniform(190, 255) if rng.random() < 0.5 else rng.uniform(0, 255, 3)
    paint = tuple(float(c) for c in np.broadcast_to(shade, 3))
    cv2.fillConvexPoly(image, np.round(corners).astype(np.int32), paint)


def _draw_distractors(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Draws a few shapes and letters in plain or skin colours, over faces too."""
    size = len(image)
    for _ in range(int(rng.integers(1, 5))):
        tone = rng.uniform(0.25, 1.1) * np.array([225, 172, 140])
        colour = tone if rng.random() < 0.5 else rng.uniform(0, 255, 3)
        paint = tuple(float(c) for c in np.clip(colour, 0, 255))
        x, y = (int(v) for v in rng.integers(0, size, 2))
        w, h = (int(v) for v in np.exp(rng.uniform(np.log(4), np.log(size / 6), 2)))
        match int(rng.integers(4)):
            case 0:
                cv2.rectangle(image, (x, y), (x + w, y + h), paint, -1)
            case 1:
                angle = float(rng.uniform(0, 180))
                cv2.ellipse(image, (x, y), (w // 2 + 2, h // 2 + 2), angle, 0, 360, paint, -1)
            case 2:
                cv2.line(image, (x, y), (x + 2 * w - h, y + 2 * h - w), paint, 1 + h // 4)
            case _:
                word = "".join(chr(c) for c in rng.integers(48, 123, int(rng.integers(1, 9))))
                scale = float(np.exp(rng.uniform(np.log(0.4), np.log(3.0))))
                font, thick = int(rng.integers(8)), int(rng.integers(1, 7))
                cv2.putText(image, word, (x, y), font, scale, paint, thick, cv2.LINE_AA)
