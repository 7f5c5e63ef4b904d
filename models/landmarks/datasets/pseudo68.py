"""Teacher labels of a video's faces (.npz) beside the video."""

from __future__ import annotations

import itertools
import zipfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.boxes import iou
from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin, LabelledFace
from models.landmarks.datasets.labelled_video import FaceLabel, LabelledVideo, VideoFile
from models.landmarks.face_measures import eye_openings
from models.landmarks.metrics import interocular_px, mean_distance_px
from schemas.landmarks import LANDMARK_COUNT

#: Horizontal bias of the teachers' labels (`LabelledFace.labels_right_px`) in interocular
#: distances. Teachers were aligned to manual annotations, which have the same bias.
LABELS_RIGHT: Final = 0.008
#: Teachers agree if their mean distance, in percent of the interocular distance, is below this.
_APART_PERCENT: Final = 2.1
#: Interocular distance over the longer side of the box: seen from the front; turned by 50 degrees.
_FRONTAL, _TURNED = 0.62, 0.40
_SMALLEST_EYES_PX: Final = 40.0

#: Faces are numbered frame by frame: below this overlap a number denotes another face.
_SAME_FACE_IOU: Final = 0.4


def read_pseudo68(
    labels: Path, video: Path, *, faces_per_video: int = 40, earlier_frames: int = 0
) -> list[LabelledFace]:
    """Teacher labels of the faces of one video, with the frames they were made on.

    Labels are the mean of two teachers where they agree. Where they do not, the first teacher's
    are used on strongly turned heads, and none on others. About `faces_per_video` are kept, evenly
    spaced, and a quarter as many whose eyes are shut most, each with up to `earlier_frames`
    frames of the same face just before it.

    Raises:
        AnnotationError: the .npz lacks an array or holds arrays of other shapes, or the video
            cannot be opened or has fewer frames than the labels name.
    """
    arrays = _load_pseudo_arrays(labels)
    landmarks, trusted = _merge_teachers(arrays["a_px"], arrays["b_px"], arrays["box_xywh_px"])
    usable = np.flatnonzero(trusted)
    if len(usable) > faces_per_video:
        spaced = usable[np.round(np.linspace(0, len(usable) - 1, faces_per_video)).astype(int)]
        shut = usable[np.argsort(eye_openings(landmarks[usable]).mean(-1))[: faces_per_video // 4]]
        usable = np.union1d(spaced, shut)
    frame_index, face = arrays["frame_index"], arrays["face"]
    x, y, width, height = arrays["box_xywh_px"].T
    boxes = np.stack([x, y, x + width, y + height], axis=1).astype(np.float32)
    needed = np.isin(frame_index, frame_index[usable, None] - np.arange(earlier_frames + 1))
    shown: dict[int, list[FaceLabel]] = defaultdict(list)
    for row in np.flatnonzero(needed).tolist():
        shown[int(frame_index[row])].append(FaceLabel(landmarks[row], boxes[row], int(face[row])))
    wanted = set(zip(frame_index[usable].tolist(), face[usable].tolist(), strict=True))
    source = LabelledVideo(FaceOrigin("pseudo68", video.name), VideoFile(video), shown)
    found = (
        with_label_bias(_of_one_face(one))
        for one in source.faces(window_frames=earlier_frames + 1)
        if (one.origin.frame, one.origin.face) in wanted
    )
    return list(itertools.islice(found, len(usable)))


def with_label_bias(face: LabelledFace) -> LabelledFace:
    """The face, and the frames before it, with the horizontal bias of manual annotations."""
    right = LABELS_RIGHT * float(interocular_px(face.landmarks_px))
    earlier = tuple(with_label_bias(before) for before in face.earlier)
    return replace(face, earlier=earlier, labels_right_px=right)


def _of_one_face(face: LabelledFace) -> LabelledFace:
    """The face with the frames before it, back to one in which its number is another face's."""
    earlier = list(face.earlier)
    for place, before in reversed(list(enumerate(earlier))):
        if iou(before.box_xyxy_px, face.box_xyxy_px) < _SAME_FACE_IOU:
            del earlier[: place + 1]
            break
    return replace(face, earlier=tuple(earlier))


def _load_pseudo_arrays(labels: Path) -> dict[str, npt.NDArray[Any]]:
    shapes = {
        "frame_index": (),
        "face": (),
        "box_xywh_px": (4,),
        "a_px": (LANDMARK_COUNT, 2),
        "b_px": (LANDMARK_COUNT, 2),
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


def _merge_teachers(
    a_px: npt.NDArray[np.floating],
    b_px: npt.NDArray[np.floating],
    box_xywh_px: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Merged (N, 68, 2) labels of two teachers, and (N,) whether they are trusted."""
    side = box_xywh_px[:, 2:].max(1)
    interocular = interocular_px(a_px)
    with np.errstate(invalid="ignore"):
        apart_percent = 100 * mean_distance_px(a_px, b_px) / interocular
        agree = apart_percent < _APART_PERCENT
        turned = interocular < _TURNED * side
    labels = np.where((agree & ~turned)[:, None, None], (a_px + b_px) / 2, a_px)
    large = np.where(turned, side > _SMALLEST_EYES_PX / _FRONTAL, interocular > _SMALLEST_EYES_PX)
    trusted = (agree | turned) & large & np.isfinite(labels).all((1, 2))
    return labels.astype(np.float32), trusted
