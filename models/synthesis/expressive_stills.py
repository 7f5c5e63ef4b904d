"""Labelled stills with other expressions: shut and squinting eyes, wide and pressed lips.

still -- FaceAnimation(pose) --> picture, with exact landmarks -- cut_patch --> face

Photographs rarely show shut eyes; here rare states are as frequent as others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from models.face_box import box_from_landmarks
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.metrics import interocular_px
from models.landmarks.training.augmentation import cut_patch
from models.synthesis.animated_clips import animate_still
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_motion import Pose

#: Side of a picture, in sides of the crops that are cut of it: the face's box fills a third.
_PICTURE_CROPS: Final = 3.5
#: Making a still's animation takes as long as rendering a picture of it.
_PICTURES_A_STILL: Final = 3


def expressive_stills(
    stills: Sequence[LabelledFace], *, count: int, crop_size_px: int, seed: int
) -> Iterator[LabelledFace]:
    """Yields `count` faces as patches, rendered as they are taken (0.3 s each).

    Args:
        stills: that can be animated (`can_be_animated`), at least one.
        count: faces; three of each still that is drawn.
        crop_size_px: see `cut_patch`.
        seed: of all random numbers.
    """
    rng = np.random.default_rng([seed, count])
    drawn = rng.permutation(len(stills))
    size_px = round(_PICTURE_CROPS * crop_size_px)
    animation: FaceAnimation | None = None
    for number in range(count):
        still = stills[drawn[number // _PICTURES_A_STILL % len(stills)]]
        if animation is None or number % _PICTURES_A_STILL == 0:
            animation = animate_still(still)
        pose = draw_expression(rng)
        landmarks = animation.landmarks(pose, size_px).astype(np.float32)
        right = still.labels_right_px / interocular_px(still.landmarks_px)
        face = LabelledFace(
            f"{still.name} (expression {number})",
            animation.render(pose, size_px),
            landmarks,
            box_from_landmarks(landmarks),
            labels_right_px=float(right * interocular_px(landmarks)),
        )
        yield cut_patch(face, crop_size_px=crop_size_px)


def draw_expression(rng: np.random.Generator) -> Pose:
    """A pose whose eyes are open, anything between, or shut, a third each; the mouth likewise."""
    blink = float(rng.choice([rng.uniform(0, 0.3), rng.uniform(0.3, 0.9), rng.uniform(0.95, 1.0)]))
    mouth = float(
        rng.choice([rng.uniform(-1, -0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.5, 1.3)])
    )
    yaw, pitch, roll = rng.normal(0, [8.0, 5.0, 5.0]).clip([-18, -11, -14], [18, 11, 14])
    return Pose(
        yaw_deg=float(yaw),
        pitch_deg=float(pitch),
        roll_deg=float(roll),
        mouth_open=mouth,
        mouth_narrow=float(rng.uniform(-0.3, 0.9)),
        brow_raise=float(rng.choice([0.0, rng.uniform(0, 1)])),
        blink=blink,
    )
