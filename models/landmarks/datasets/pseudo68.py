"""Teacher labels of a video's faces (.npz) beside the video."""

from __future__ import annotations

import zipfile
from collections import defaultdict, deque
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.face_tracking import box_iou
from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin, LabelledFace
from models.landmarks.datasets.labelled_video import VideoFile
from models.landmarks.evaluation.metrics import interocular_px
from schemas.landmarks import LANDMARK_COUNT

__all__ = ["read_pseudo68"]

#: Faces are numbered frame by frame; where two boxes overlap less, the number changed hands.
_SAME_FACE_IOU: Final = 0.4


def read_pseudo68(
    labels: Path,
    video: Path,
    *,
    max_spread_percent: float = 1.5,
    faces_per_video: int = 60,
    earlier_frames: int = 0,
) -> list[LabelledFace]:
    """Teacher labels of the faces of one video, with the frames they were made on.

    Labels are smoothed along time (a binomial 1-4-6-4-1 over frames that are consecutive and
    hardly move); what spreads more than `max_spread_percent` is left out; then at most
    `faces_per_video` are kept, evenly spaced, each with up to `earlier_frames` frames of the
    same face just before it.

    Raises:
        AnnotationError: the .npz lacks an array or holds arrays of other shapes, or the video
            cannot be opened or has fewer frames than the labels name.
    """
    arrays = _load_pseudo_arrays(labels)
    landmarks = _smooth_along_time(arrays["landmarks_px"], arrays["frame_index"], arrays["face"])
    usable = np.flatnonzero(
        (arrays["spread_percent"] <= max_spread_percent)
        & np.isfinite(landmarks).all((1, 2))
        & (interocular_px(landmarks) > 0.2 * arrays["box_xywh_px"][:, 2])  # not a profile
    )
    if len(usable) > faces_per_video:
        spaced = np.linspace(0, len(usable) - 1, faces_per_video)
        usable = usable[np.round(spaced).astype(int)]
    frame_index, face = arrays["frame_index"].tolist(), arrays["face"].tolist()
    row_at = {place: row for row, place in enumerate(zip(face, frame_index, strict=True))}
    wanted: dict[int, list[int]] = defaultdict(list)
    for row in usable.tolist():
        wanted[frame_index[row]].append(row)
    needed = {index - ago for index in wanted for ago in range(earlier_frames + 1)}
    recent: deque[tuple[int, npt.NDArray[np.uint8]]] = deque(maxlen=earlier_frames + 1)
    faces = []

    def labelled(row: int, image: npt.NDArray[np.uint8]) -> LabelledFace:
        x, y, w, h = arrays["box_xywh_px"][row]
        box = np.array([x, y, x + w, y + h], np.float32)
        origin = FaceOrigin("pseudo68", video.name, frame_index[row], face[row])
        name = f"{video.name}@{frame_index[row]}"
        return LabelledFace(name, image, landmarks[row], box, origin=origin)

    for index, _, image in VideoFile(video).pictures(needed):
        if not wanted:
            break
        if not isinstance(image, np.ndarray):
            continue
        recent.append((index, image))
        for row in wanted.pop(index, ()):
            latest = labelled(row, image)
            earlier: list[LabelledFace] = []
            for before, picture in list(recent)[-2::-1]:  # back in time, without a gap
                known = row_at.get((face[row], before))
                if before != index - len(earlier) - 1 or known is None:
                    break
                frame = labelled(known, picture)
                if box_iou(frame.box_xyxy_px[None], latest.box_xyxy_px[None]) < _SAME_FACE_IOU:
                    break
                earlier.insert(0, frame)
            faces.append(replace(latest, earlier=tuple(earlier)))
    if wanted:
        raise AnnotationError(
            f"{labels}: frame {min(wanted)} is not in {video.name}, which ends before it"
        )
    return faces


def _load_pseudo_arrays(labels: Path) -> dict[str, npt.NDArray[Any]]:
    shapes = {
        "frame_index": (),
        "face": (),
        "box_xywh_px": (4,),
        "landmarks_px": (LANDMARK_COUNT, 2),
        "spread_percent": (),
    }
    try:
        with np.load(labels, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in shapes}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise AnnotationError(f"{labels}: not a file of teacher labels: {error}") from error
    count = len(arrays["frame_index"])
    for name, shape in shapes.items():
        if arrays[name].shape != (count, *shape):
            raise AnnotationError(
                f"{labels}: {name} has shape {arrays[name].shape}, expected {(count, *shape)}"
            )
    return arrays


def _smooth_along_time(
    landmarks_px: npt.NDArray[np.floating],
    frame_index: npt.NDArray[np.integer],
    face: npt.NDArray[np.integer],
) -> npt.NDArray[np.float32]:
    """Binomial smoothing of (N, 68, 2) within runs of frames of one face that hardly moves."""
    smoothed = landmarks_px.astype(np.float32)
    taps = {-2: 1.0, -1: 4.0, 0: 6.0, 1: 4.0, 2: 1.0}
    at = {(int(f), int(i)): row for row, (f, i) in enumerate(zip(face, frame_index, strict=True))}
    interocular = interocular_px(landmarks_px)
    for (f, i), row in at.items():
        near = [at[f, i + step] for step in taps if (f, i + step) in at]
        if len(near) < len(taps):
            continue
        stack = landmarks_px[near].astype(np.float64)
        motion = np.linalg.norm(stack - stack[2], axis=-1).mean(-1).max()
        if motion < 0.05 * interocular[row]:
            weights = np.array(list(taps.values())) / 16
            smoothed[row] = np.tensordot(weights, stack, axes=1)
    return smoothed
