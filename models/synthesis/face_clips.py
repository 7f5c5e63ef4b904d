"""Clips of one face: crops as the pipeline cuts them, and the true landmarks.

    frames --detector every 0.2 s--> boxes, interpolated --> crops --network--> raw landmarks

The detector, the boxes between its frames and the crops are those of the pipeline, so what a
network makes of a clip has the pipeline's own bias, drift and jitter. Crops are kept, not
predictions: other landmark weights need no new frames.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models.atomic_write import atomic_write
from models.boxes import nearest_box
from models.crops import crop_to_image, sample_plane, square_affine
from models.detection.detections import FaceDetector
from models.face_box import box_from_landmarks, jitter_box
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import AnnotationError, LabelledFace
from models.landmarks.datasets.labelled_video import LabelledVideo
from models.landmarks.landmark_model import LandmarkModel
from models.synthesis.motion_tracks import MotionTrack
from schemas.errors import UsageError

_DETECT_SECONDS: Final = 0.2
_SAME_FACE_IOU: Final = 0.4


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceClip:
    """Crops of one face's track without gaps.

    name: whose face and motion.
    fps: frames a second.
    truth_px: (T, 68, 2) float64, px of the frame.
    crops: (T, S, S, 3) uint8 RGB.
    affines: (T, 2, 3) float64, from crop to frame.
    """

    name: str
    fps: float
    truth_px: npt.NDArray[np.float64]
    crops: npt.NDArray[np.uint8]
    affines: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        return f"FaceClip({self.name!r}, {len(self.crops)} frames at {self.fps:g}/s)"

    def track(self, model: LandmarkModel) -> MotionTrack:
        """The network's landmarks of the clip, as a track."""
        windows = np.arange(len(self.crops))[:, None] + np.arange(1 - model.card.window_frames, 1)
        landmarks = model.predict(self.crops, np.maximum(windows, 0))
        raw = crop_to_image(landmarks, self.affines)
        return MotionTrack(self.name, self.fps, self.truth_px, raw)


def crop_face(
    name: str,
    shown: Iterable[tuple[npt.NDArray[np.uint8], npt.NDArray[np.floating]]],
    fps: float,
    card: LandmarkCard,
    detector: FaceDetector,
    rng: np.random.Generator,
) -> FaceClip:
    """The crops of one face, whose true landmarks select the detector's box.

    `shown` is each frame, (H, W, 3) uint8 RGB, with the (68, 2) px landmarks in it.
    Boxes are detected every 0.2 s and interpolated, as the pipeline does; where the detector
    misses the face, the true box, jittered, is used. Keeps 0.2 s of frames in memory.
    """
    size = card.crop_size_px
    crops, affines, truth = [], [], []
    waiting: list[npt.NDArray[np.uint8]] = []

    def crop_waiting(before: npt.NDArray[np.floating], after: npt.NDArray[np.floating]) -> None:
        for i, frame in enumerate(waiting):
            box = before + (after - before) * (i / len(waiting))
            affine = square_affine(box, scale=card.crop_scale, size_px=size)
            crops.append(sample_plane(frame, affine, size, size))
            affines.append(affine)
        waiting.clear()

    last_box: npt.NDArray[np.floating] = np.empty(4)  # of no frame before the first detection
    last_step = -1
    for i, (frame, landmarks) in enumerate(shown):
        step = int(i / fps / _DETECT_SECONDS + 1e-9)
        if step != last_step:
            last_step = step
            ideal = box_from_landmarks(landmarks)
            found = detector.detect(frame).boxes_xyxy_px
            own = nearest_box(found, ideal, min_iou=_SAME_FACE_IOU)
            box = jitter_box(ideal, rng) if own is None else found[own]
            crop_waiting(last_box, box)
            last_box = box
        waiting.append(frame)
        truth.append(landmarks)
    crop_waiting(last_box, last_box)
    truth_px, seen = np.array(truth, np.float64), np.array(crops, np.uint8)
    return FaceClip(name, fps, truth_px, seen, np.stack(affines))


def labelled_video_clips(
    videos: Sequence[LabelledVideo],
    card: LandmarkCard,
    detector: FaceDetector,
    *,
    frames: int,
    seed: int,
) -> Iterator[FaceClip]:
    """The first frames of labelled videos of one face, such as 300VW's.

    Raises:
        AnnotationError: a label is broken or missing, or a video has fewer frames than labels.
    """
    for number, video in enumerate(videos):
        faces = itertools.islice(video.faces(), min(frames, len(video.labels)))
        shown = ((face.load(), face.landmarks_px) for face in _one_in_each_frame(faces))
        rng = np.random.default_rng([seed, number])
        yield crop_face(video.origin.video, shown, video.frames.fps, card, detector, rng)


def _one_in_each_frame(faces: Iterable[LabelledFace]) -> Iterator[LabelledFace]:
    for number, face in enumerate(faces):
        if (face.origin.frame, face.origin.face) != (number, 0):
            raise AnnotationError(
                f"{face.name}: got face {face.origin.face}, expected one in every frame from 0"
            )
        yield face


def save_clip(path: Path, clip: FaceClip) -> None:
    """Writes a clip as .npz, to be read by `load_clip`."""
    with atomic_write(path) as temporary:
        np.savez(temporary, **{field.name: getattr(clip, field.name) for field in fields(clip)})


def load_clip(path: Path) -> FaceClip:
    """Reads what `save_clip` wrote.

    Raises:
        UsageError: the file is missing or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = [stored[name] for name in ("truth_px", "crops", "affines")]
            return FaceClip(str(stored["name"]), float(stored["fps"]), *arrays)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: not a file of a clip: {error}") from error
