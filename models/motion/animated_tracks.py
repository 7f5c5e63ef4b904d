"""Tracks of our networks on animated stills: what a stabilizer gets, beside the exact truth.

    still --FaceAnimation(RandomMotion)--> frames, exact landmarks
    frames --detector every 0.2 s--> boxes, interpolated --crop, network--> raw landmarks

The detector, the boxes between its frames, the crops and the network are those of the
pipeline, so the errors have the pipeline's own bias, drift and jitter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from models.crops import crop_to_image, image_to_crop, sample_plane, square_affine
from models.detection.boxes import iou
from models.detection.face_detector import FaceDetector
from models.face_box import box_from_landmarks, jitter_box
from models.landmarks.data import LabelledFace
from models.landmarks.model import LandmarkModel
from models.motion.astronaut import ASTRONAUT_LANDMARKS_PX
from models.motion.face_animation import FaceAnimation
from models.motion.motion_tracks import MotionTrack
from models.motion.random_motion import RandomMotion

__all__ = ["animate_still", "animated_track", "predict_track"]

_PHOTOGRAPH_PX: Final = 512
_DETECT_SECONDS: Final = 0.2
_SAME_FACE_IOU: Final = 0.4


def animate_still(face: LabelledFace) -> FaceAnimation:
    """A labelled still as an animated photograph.

    The still is turned, scaled and shifted so that its landmarks lie as the astronaut's do,
    since the animation's head and camera are placed for that photograph.
    """
    target, source = ASTRONAUT_LANDMARKS_PX, face.landmarks_px.astype(np.float64)
    affine = _similarity(target, source)
    photograph = sample_plane(face.load(), affine, _PHOTOGRAPH_PX, _PHOTOGRAPH_PX)
    return FaceAnimation(photograph.astype(np.uint8), image_to_crop(source, affine))


def animated_track(
    name: str,
    animation: FaceAnimation,
    model: LandmarkModel,
    detector: FaceDetector,
    rng: np.random.Generator,
    *,
    frames: int,
    fps: float,
    size_px: int,
) -> MotionTrack:
    """Animates by a random motion and predicts; pixels carry noise as of a camera."""
    motion = RandomMotion(rng, frames / fps)
    poses = [motion.pose(i / fps) for i in range(frames)]
    truth = np.stack([animation.landmarks(pose, size_px) for pose in poses])
    noise = rng.uniform(0.5, 5.0)

    def filmed() -> Iterator[npt.NDArray[np.uint8]]:
        for pose in poses:
            clean = animation.render(pose, size_px)
            yield np.clip(clean + rng.normal(0, noise, clean.shape), 0, 255).astype(np.uint8)

    raw = predict_track(filmed(), truth, fps, model, detector, rng)
    return MotionTrack(name, fps, _rounded(truth), _rounded(raw))


def predict_track(
    frames: Iterable[npt.NDArray[np.uint8]],
    truth_px: npt.NDArray[np.float64],
    fps: float,
    model: LandmarkModel,
    detector: FaceDetector,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """(T, 68, 2): the network's landmarks of one face, whose truth tells which box is its own.

    Boxes are detected every 0.2 s and interpolated, as the pipeline does; where the detector
    misses the face, a box of the truth, jittered, stands in. Holds 0.2 s of frames.
    """
    size, scale = model.card.crop_size_px, model.card.crop_scale
    crops, affines = [], []
    waiting: list[npt.NDArray[np.uint8]] = []
    last_box: npt.NDArray[np.floating] | None = None
    last_step = 0

    def settle(box: npt.NDArray[np.floating]) -> None:
        for i, frame in enumerate(waiting):
            assert last_box is not None
            between = last_box + (box - last_box) * (i / len(waiting))
            affine = square_affine(between, scale=scale, size_px=size)
            crops.append(sample_plane(frame, affine, size, size))
            affines.append(affine)
        waiting.clear()

    for i, frame in enumerate(frames):
        step = int(i / fps / _DETECT_SECONDS + 1e-9)
        if i == 0 or step != last_step:
            last_step = step
            ideal = box_from_landmarks(truth_px[i])
            found = detector.detect(frame).boxes_xyxy_px
            overlap = iou(found, ideal[None])[:, 0] if len(found) else np.zeros(1)
            own = len(found) and overlap.max() > _SAME_FACE_IOU
            box = found[overlap.argmax()] if own else jitter_box(ideal, rng)
            settle(box)
            last_box = box
        waiting.append(frame)
    if last_box is not None:
        settle(last_box)
    windows = np.arange(len(crops))[:, None] + np.arange(1 - model.card.window_frames, 1)
    seen = np.stack(crops).astype(np.uint8)
    landmarks = model.predict(seen, np.maximum(windows, 0))
    return np.stack([crop_to_image(p, a) for p, a in zip(landmarks, affines, strict=True)])


def _rounded(landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """To single precision, as tracks are kept: new ones and kept ones are the same."""
    return landmarks.astype(np.float32).astype(np.float64)


def _similarity(
    source: npt.NDArray[np.float64], target: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(2, 3): the rotation, scale and shift that takes (N, 2) source nearest to target."""
    a, b = source - source.mean(0), target - target.mean(0)
    turn = (a[:, 0] + 1j * a[:, 1]).conj() @ (b[:, 0] + 1j * b[:, 1]) / (a**2).sum()
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target.mean(0) - linear @ source.mean(0)])
