"""Training samples: a labelled face, cropped as in production and augmented.

    picture --cut_patch--> patch (kept in memory) --augment--> window of crops, landmarks

A patch is the part of a picture that any augmented crop can reach. `augment` samples it with
`models.crops.sample_plane`, as production does, and then changes pixels.

A window holds the frame that is labelled, last, and the frames before it: real ones where the
face has them, else the still, animated. Geometry, light and
occluders are the same in all frames of a window; only noise is drawn for each frame.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.crops import image_to_crop, sample_plane, square_affine
from models.face_box import DETECTOR_NOISE, BoxNoise, jitter_box
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.training.occluders import occlude_landmarks, side_light
from schemas.landmarks import FLIP_PERMUTATION

_PATCH_REACH: Final = 2.2
#: Side of a patch, in sides of the crops that are cut of it.
_PATCH_CROPS: Final = 4.5
_TRAINING_NOISE: Final = DETECTOR_NOISE.widened(1.3)

Crop = npt.NDArray[np.uint8]
Landmarks = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class AugmentationStrength:
    """Strength of the augmentation.

    box_noise: of the boxes; somewhat wider than the detector's.
    angle_deg: standard deviation of the roll; one sample in five is drawn evenly from
        3.5 times as far to either side.
    any_roll: probability of a roll drawn evenly from all angles.
    stretch: standard deviation of the logarithm of width over height.
    warp: standard deviation of a smooth displacement that gives a face another shape, in units
        of the crop's side; half of the samples are warped.
    motion: standard deviation of what a still moves from frame to frame: its place in units of
        the crop's side, its size by that share, its roll in radians, and 5 times that share of
        its warp; one window of a still in four does not move.
    mirror: probability that a window is mirrored.
    reversal: probability that a window is reversed in time, its first frame the labelled one;
        has no effect on stills.
    appearance: factor of the probability of every change of pixels (0 turns them off).
    worn: probability of an occluder on the face (`occlude_landmarks`).
    """

    box_noise: BoxNoise = _TRAINING_NOISE
    angle_deg: float = 8.0
    any_roll: float = 0.0
    stretch: float = 0.07
    warp: float = 0.015
    motion: float = 0.01
    appearance: float = 1.0
    worn: float = 0.0
    mirror: float = 0.5
    reversal: float = 0.0


def cut_patch(face: LabelledFace, *, crop_size_px: int = 64) -> LabelledFace:
    """The part of a picture around a face that samples can reach, loaded; of `earlier` too.

    Large faces are reduced by a whole factor (area mean) so that a patch stays under about
    4.5 crops; as `sample_plane` would reduce them.
    """
    image = face.load()
    x0, y0, x1, y1 = face.box_xyxy_px.astype(np.float64)
    reach = _PATCH_REACH * max(x1 - x0, y1 - y0)
    factor = max(1, int(reach / (_PATCH_CROPS * crop_size_px)))
    centre = np.array([x0 + x1, y0 + y1]) / 2
    limit = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(centre - reach / 2), 0, limit - factor).astype(int) // factor * factor
    high = np.minimum(np.ceil(centre + reach / 2).astype(int), limit)
    high = low + np.maximum((high - low) // factor, 1) * factor
    patch = image[low[1] : high[1], low[0] : high[0]]
    if factor > 1:
        size = tuple(int(n) for n in (high - low) // factor)
        patch = cv2.resize(patch, size, interpolation=cv2.INTER_AREA)
    landmarks = (face.landmarks_px - low + 0.5) / factor - 0.5
    box = (face.box_xyxy_px.reshape(2, 2) - low + 0.5) / factor - 0.5
    return dataclasses.replace(
        face,
        image=np.ascontiguousarray(patch),
        landmarks_px=landmarks.astype(np.float32),
        box_xyxy_px=box.reshape(4).astype(np.float32),
        labels_right_px=face.labels_right_px / factor,
        earlier=tuple(cut_patch(frame, crop_size_px=crop_size_px) for frame in face.earlier),
    )


def cut_crop(
    face: LabelledFace, box_xyxy_px: npt.ArrayLike, card: LandmarkCard
) -> tuple[Crop, npt.NDArray[np.float64]]:
    """The crop as production cuts it for a network, and its affine map to the picture."""
    size_px = card.crop_size_px
    affine = square_affine(box_xyxy_px, scale=card.crop_scale, size_px=size_px)
    return sample_plane(face.load(), affine, size_px, size_px), affine  # type: ignore[return-value]


def flip_landmarks(landmarks_px: Landmarks, width_px: int) -> Landmarks:
    """Landmarks (..., 68, 2) of the mirrored picture of that width."""
    flipped = landmarks_px[..., FLIP_PERMUTATION, :].copy()
    flipped[..., 0] = width_px - 1 - flipped[..., 0]
    return flipped


def reverse_window(face: LabelledFace, frames: int) -> LabelledFace:
    """The window of the last `frames` frames backwards: what was its first frame is the face."""
    shown = (*face.earlier, face)[-frames:]
    first, *rest = (dataclasses.replace(frame, earlier=()) for frame in shown)
    return dataclasses.replace(first, earlier=tuple(reversed(rest)))


def augment(
    face: LabelledFace,
    rng: np.random.Generator,
    card: LandmarkCard,
    strength: AugmentationStrength,
    frames: int = 1,
) -> tuple[npt.NDArray[np.uint8], Landmarks]:
    """One window: (T, S, S, 3) uint8 RGB, oldest first; (68, 2) float32 crop pixels of the last."""
    if strength.reversal and rng.random() < strength.reversal:
        face = reverse_window(face, frames)
    variation = _Variation.draw(face, rng, strength)
    shown = (*face.earlier, face)
    crops = []
    for ago in reversed(range(frames)):
        seen = shown[max(0, len(shown) - 1 - ago)]
        steps_back = 0 if face.earlier else ago  # only stills are animated
        crop, landmarks = variation.cut(seen, steps_back, card)
        look = np.random.default_rng(variation.appearance_seed)
        crops.append(_vary_appearance(crop, landmarks, look, rng, strength))
    return np.stack(crops), landmarks


@dataclasses.dataclass(frozen=True, slots=True)
class _Variation:
    """The augmentation parameters that all frames of a window share.

    box_offset: (2, 2) px, added to the corners of each frame's box: between two detections
        boxes are interpolated, so neighbours are off together.
    warp: (5, 5, 2) displacements in units of the side, or None.
    motion: a frame's shift in x and y, log size, roll, and share of the warp.
    """

    box_offset: npt.NDArray[np.float64]
    angle_deg: float
    aspect: float
    warp: npt.NDArray[np.float64] | None
    flip: bool
    motion: npt.NDArray[np.float64]
    appearance_seed: int

    @classmethod
    def draw(
        cls, face: LabelledFace, rng: np.random.Generator, strength: AugmentationStrength
    ) -> _Variation:
        box = jitter_box(face.box_xyxy_px, rng, strength.box_noise)
        angle = rng.normal(0, strength.angle_deg)
        if rng.random() < 0.2:
            angle = rng.uniform(-3.5, 3.5) * strength.angle_deg
        if strength.any_roll and rng.random() < strength.any_roll:
            angle = rng.uniform(-180, 180)
        warp = strength.warp * rng.normal(0, 1, (5, 5, 2)).clip(-2.5, 2.5)
        moving = rng.random() < 0.75
        return cls(
            box_offset=_corners(box) - _corners(face.box_xyxy_px),
            angle_deg=angle,
            aspect=float(np.exp(rng.normal(0, strength.stretch))),
            warp=warp if rng.random() < 0.5 and strength.warp > 0 else None,
            flip=bool(rng.random() < strength.mirror),
            motion=moving * strength.motion * rng.normal(0, 1, 5) * [1, 1, 1, 1, 5],
            appearance_seed=int(rng.integers(2**63)),
        )

    def cut(
        self, face: LabelledFace, steps_back: int, card: LandmarkCard
    ) -> tuple[Crop, Landmarks]:
        """The crop of one frame, the animation taken `steps_back`, and its landmarks."""
        box, size_px = (_corners(face.box_xyxy_px) + self.box_offset).reshape(4), card.crop_size_px
        affine = square_affine(
            box, scale=card.crop_scale, size_px=size_px, angle_deg=self.angle_deg
        )
        stretch = np.sqrt([self.aspect, 1 / self.aspect])  # of width and height of a crop pixel
        affine = _about_middle(affine, affine[:, :2] * stretch, size_px)
        motion = steps_back * self.motion
        affine = _moved(affine, motion, size_px)
        crop: Crop = sample_plane(face.load(), affine, size_px, size_px)  # type: ignore[assignment]
        landmarks = image_to_crop(face.landmarks_px, affine).astype(np.float32)
        if self.warp is not None:
            knots = self.warp * (1 - motion[4]) * size_px
            crop, landmarks = _warp(crop, landmarks, knots.astype(np.float32))
        if self.flip:
            crop = np.ascontiguousarray(crop[:, ::-1])
            landmarks = flip_landmarks(landmarks, size_px)
            step = np.hypot(*affine[:, 0])  # px of the picture a pixel of the crop
            landmarks[:, 0] += 2 * face.labels_right_px / step
        return crop, landmarks


def _corners(box_xyxy_px: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return box_xyxy_px.astype(np.float64).reshape(2, 2)


def _moved(
    affine: npt.NDArray[np.float64], motion: npt.NDArray[np.float64], size_px: int
) -> npt.NDArray[np.float64]:
    """The crop shifted by motion[:2] of its side, sized by exp(motion[2]), rolled by motion[3]."""
    cos, sin = np.cos(motion[3]), np.sin(motion[3])
    linear = affine[:, :2] @ (np.exp(motion[2]) * np.array([[cos, -sin], [sin, cos]]))
    return _about_middle(affine, linear, size_px, motion[:2] * size_px)


def _about_middle(
    affine: npt.NDArray[np.float64],
    linear: npt.NDArray[np.float64],
    size_px: int,
    shift_px: npt.ArrayLike = 0.0,
) -> npt.NDArray[np.float64]:
    """`affine` with another linear part; the crop's middle moves by `shift_px` crop pixels."""
    middle = np.full(2, (size_px - 1) / 2)
    centre = affine @ np.append(middle + shift_px, 1.0)
    return np.column_stack([linear, centre - linear @ middle])


def _warp(
    crop: Crop, landmarks: Landmarks, knots_px: npt.NDArray[np.float32]
) -> tuple[Crop, Landmarks]:
    """Moves pixels and landmarks by a displacement given at (5, 5) knots over the crop.

    Pixel u of the result is pixel u + d(u) of the crop, so a landmark at v comes to the u with
    u + d(u) = v, which repeated substitution finds: d changes slowly.
    """
    size = crop.shape[0]
    displacement = cv2.resize(knots_px, (size, size), interpolation=cv2.INTER_CUBIC)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float32)
    warped = cv2.remap(
        crop, grid + displacement, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    moved = landmarks
    for _ in range(8):
        at = cv2.remap(
            displacement,
            moved[:, None].astype(np.float32),
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        moved = landmarks - np.asarray(at, np.float32)[:, 0]
    return np.asarray(warped, np.uint8), moved.astype(np.float32)


def _vary_appearance(
    crop: Crop,
    landmarks: Landmarks,
    rng: np.random.Generator,
    own: np.random.Generator,
    strength: AugmentationStrength,
) -> Crop:
    """Changes sharpness, colour, noise and occlusion; landmarks do not move.

    `rng` is in the same state for every frame of a window; noise is drawn from `own`.
    """

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability * strength.appearance)

    if chance(0.25):
        crop = _lower_resolution(crop, rng)
    if chance(0.10):
        crop = _blur_along_a_line(crop, rng)
    if chance(0.15):
        soft = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.6, 1.2))
        amount = rng.uniform(0.3, 1.2)
        crop = cv2.addWeighted(crop, 1 + amount, soft, -amount, 0)  # sharper
    if chance(0.8):
        crop = _recolour(crop, rng)
    if chance(0.15):
        crop = _compress(crop, rng)
    if chance(0.20):
        noise = own.normal(0, rng.uniform(1, 10), crop.shape)
        crop = np.clip(crop + noise, 0, 255).astype(np.uint8)
    if chance(0.12):
        crop = _occlude(crop, rng)
    if strength.worn and chance(strength.worn):
        crop = occlude_landmarks(crop, landmarks, rng)
    return crop


def _lower_resolution(crop: Crop, rng: np.random.Generator) -> Crop:
    size = crop.shape[0]
    small = int(rng.uniform(0.33, 0.9) * size)
    way_up = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(rng.integers(2))]
    reduced = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (size, size), interpolation=way_up), np.uint8)


def _blur_along_a_line(crop: Crop, rng: np.random.Generator) -> Crop:
    length, angle = rng.uniform(0.5, 3.0), rng.uniform(0, np.pi)
    kernel = np.zeros((7, 7), np.float32)
    for at in np.linspace(-length, length, 13):
        x, y = 3 + at * np.cos(angle), 3 + at * np.sin(angle)
        kernel[round(y), round(x)] += 1
    return np.asarray(cv2.filter2D(crop, -1, kernel / kernel.sum()), np.uint8)


def _recolour(crop: Crop, rng: np.random.Generator) -> Crop:
    """Contrast, brightness, white balance, gamma, saturation, and a light from one side."""
    x = crop.astype(np.float32) / 255
    grey = x @ np.array([0.299, 0.587, 0.114], np.float32)
    saturation = 0.0 if rng.random() < 0.1 else rng.uniform(0.4, 1.4)
    x = grey[..., None] + np.float32(saturation) * (x - grey[..., None])
    x = (x - x.mean()) * np.float32(np.exp(rng.normal(0, 0.25))) + x.mean()
    x = x * np.exp(rng.normal(0, 0.06, 3)).astype(np.float32) + np.float32(rng.normal(0, 0.10))
    if rng.random() < 0.25:
        x = x * side_light(crop.shape[0], rng, 0.3)
    x = np.clip(x, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.2)))
    return np.asarray(x * 255 + 0.5, np.uint8)


def _compress(crop: Crop, rng: np.random.Generator) -> Crop:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 80))]
    _, data = cv2.imencode(".jpg", crop[..., ::-1], quality)
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def _occlude(crop: Crop, rng: np.random.Generator) -> Crop:
    """A rectangle of one colour, or of another part of the crop, somewhere over it."""
    crop, size = crop.copy(), crop.shape[0]
    height, width = (rng.uniform(0.1, 0.45, 2) * size).astype(int)
    y, x = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
    fill: npt.NDArray[np.uint8] = rng.integers(0, 256, 3).astype(np.uint8)
    if rng.random() < 0.5:
        v, u = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
        fill = crop[v : v + height, u : u + width].copy()
    crop[y : y + height, x : x + width] = fill
    return crop
