"""Animated stills, filmed: frames of a known face in motion, with the exact place of landmarks.

still --FaceAnimation(RandomMotion)--> frames, exact landmarks --Filming--> frames
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.crops import image_to_crop, sample_plane
from models.detection.detections import FaceDetector
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import LabelledFace
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_clips import FaceClip, crop_face
from models.synthesis.filming import Filming
from models.synthesis.random_motion import RandomMotion

_PHOTOGRAPH_PX: Final = 512


def animate_still(face: LabelledFace) -> FaceAnimation:
    """A labelled still as an animated photograph.

    The still is turned, scaled and shifted so that its landmarks lie as the astronaut's do,
    since the animation's head and camera are placed for that photograph.
    """
    target, source = ASTRONAUT_LANDMARKS_PX, face.landmarks_px.astype(np.float64)
    affine = similarity(target, source)
    photograph = sample_plane(face.load(), affine, _PHOTOGRAPH_PX, _PHOTOGRAPH_PX)
    return FaceAnimation(photograph.astype(np.uint8), image_to_crop(source, affine))


def animated_clip(
    name: str,
    animation: FaceAnimation,
    card: LandmarkCard,
    detector: FaceDetector,
    rng: np.random.Generator,
    *,
    frames: int,
    fps: float,
    size_px: int,
) -> FaceClip:
    """Animates by a random motion, films and crops."""
    motion = RandomMotion(rng, frames / fps)
    poses = [motion.pose(i / fps) for i in range(frames)]
    truth = np.stack([animation.landmarks(pose, size_px) for pose in poses])
    filming = Filming.drawn(rng)
    seen = filming.film([animation.render(pose, size_px) for pose in poses], fps, rng)
    return crop_face(name, seen, truth, fps, card, detector, rng)


def similarity(
    source: npt.NDArray[np.float64], target: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(2, 3): the rotation, scale and shift that takes (N, 2) source nearest to target."""
    a, b = source - source.mean(0), target - target.mean(0)
    turn = (a[:, 0] + 1j * a[:, 1]).conj() @ (b[:, 0] + 1j * b[:, 1]) / (a**2).sum()
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target.mean(0) - linear @ source.mean(0)])
