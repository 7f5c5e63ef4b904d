"""The training and the test set of tracks: other people, other motions, other errors.

| | training | test |
| --- | --- | --- |
| animated stills | dlib_faces, helen_train8 but three | the astronaut, three of helen_train8 |
| real motions | three videos of four | every fourth video |
| errors lent to real motions | of the training stills | of the test stills |
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import numpy as np

from models.detection.face_detector import FaceDetector
from models.landmarks.model import LandmarkModel
from models.landmarks.sets import read_evaluation_set
from models.motion.animated_tracks import animate_still, animated_track
from models.motion.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.motion.face_animation import FaceAnimation
from models.motion.motion_tracks import MotionTrack, borrow_errors, real_motions
from schemas.errors import UsageError

__all__ = ["CLIP_FRAMES", "Split", "animate_split", "clip_count", "mix_split", "split_animations"]

Split = Literal["training", "test"]

_SMALLEST_STILL_PX: Final = 60
_TEST_STILLS: Final = 3
_CLIPS: Final = {"training": 12, "test": 8}
#: Frames of an animated clip, at most.
CLIP_FRAMES: Final = 100
_RATES: Final = (24.0, 25.0, 25.0, 30.0, 30.0, 50.0)


def split_animations(data: Path | None, split: Split) -> list[tuple[str, FaceAnimation]]:
    """The animated stills of a split; without a data folder, the astronaut's only."""
    astronaut = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    if data is None:
        return [("astronaut", astronaut)]
    helen = read_evaluation_set(data, "helen_train8")
    if split == "test":
        own = [(face.name, animate_still(face)) for face in helen[-_TEST_STILLS:]]
        return [("astronaut", astronaut), *own]
    stills = [*read_evaluation_set(data, "dlib_faces"), *helen[:-_TEST_STILLS]]
    sharp = [face for face in stills if np.ptp(face.box_xyxy_px[::2]) >= _SMALLEST_STILL_PX]
    return [(face.name, animate_still(face)) for face in sharp]


def clip_count(split: Split, wanted: int | None) -> int:
    """How many clips to animate for a split."""
    return _CLIPS[split] if wanted is None else wanted


def animate_split(
    data: Path | None,
    split: Split,
    model: LandmarkModel,
    detector: FaceDetector,
    *,
    seed: int,
    clips: int,
    frames: int = CLIP_FRAMES,
) -> Iterator[MotionTrack]:
    """The network's tracks of a split's animated stills, one clip after the other (slow)."""
    animations = split_animations(data, split)
    for clip in range(clips):
        rng = np.random.default_rng([seed, split == "test", clip])
        name, animation = animations[clip % len(animations)]
        yield animated_track(
            f"{name} (animated {clip})",
            animation,
            model,
            detector,
            rng,
            frames=frames,
            fps=float(rng.choice(_RATES)),
            size_px=2 * int(rng.integers(80, 220)),
        )


def mix_split(
    data: Path | None,
    split: Split,
    animated: list[MotionTrack],
    *,
    seed: int,
    tracks: int,
    frames: int,
) -> list[MotionTrack]:
    """The split's tracks, of at most `frames` frames: a quarter animated, then real motions.

    Real motions come at their own speed, some at 1.5 times, with errors lent by the animated
    ones. Without a data folder there are only the animated ones.

    Raises:
        UsageError: the folder has no teacher labels.
    """
    rng = np.random.default_rng([seed, split == "test", 1_000_000])
    if data is None:
        return [track.part(0, frames) for track in animated][:tracks]
    found = [track.part(0, frames) for track in animated[: tracks // 4]]
    labels = sorted((data / "pseudo68").glob("*.npz"))
    own = [path for i, path in enumerate(labels) if (i % 4 == 3) == (split == "test")]
    motions = [motion for path in own for motion in real_motions(path)]
    if not motions:
        raise UsageError(f"{data / 'pseudo68'}: got no usable .npz of labels, expected some")
    share = np.array([min(len(motion), 2 * frames) for motion in motions], np.float64)
    while len(found) < tracks:
        motion = motions[int(rng.choice(len(motions), p=share / share.sum()))]
        motion = _faster(motion, float(rng.choice([1.0, 1.0, 1.0, 1.5])))
        start = int(rng.integers(max(1, len(motion) - frames + 1)))
        found.append(borrow_errors(motion.part(start, start + frames), animated, rng))
    return found


def _faster(motion: MotionTrack, speed: float) -> MotionTrack:
    """The same motion, `speed` times as fast, linear between its frames."""
    times = np.arange(0, len(motion) - 1, speed)
    whole, rest = np.divmod(times, 1)
    low = whole.astype(int)
    share = rest[:, None, None]
    truth = (1 - share) * motion.truth_px[low] + share * motion.truth_px[low + 1]
    return MotionTrack(motion.name, motion.fps, truth, truth)
