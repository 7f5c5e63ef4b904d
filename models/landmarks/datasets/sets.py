"""The labelled sets of a data folder: what is trained on, and what is only measured on.

DIR/ytf68/train            trained on
DIR/pseudo68, DIR/videos   trained on (teacher labels)
DIR/images68/pytorch_tutorial_faces69_dlib   trained on (teacher labels)
DIR/ytf68/val              chooses the epoch, measured on; other people than in train
DIR/images68/dlib_faces    measured on, never trained on or chosen by
DIR/images68/helen_train8  measured on, never trained on or chosen by
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from models.landmarks.datasets.dlib_xml import read_dlib_xml
from models.landmarks.datasets.ibug_300w import read_pts_folder
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.datasets.landmark_csv import read_landmark_csv
from models.landmarks.datasets.points import leaving_out_broken
from models.landmarks.datasets.pseudo68 import read_pseudo68
from schemas.errors import UsageError

__all__ = [
    "EVALUATION_SETS",
    "TRAINING_SETS",
    "read_evaluation_set",
    "read_training_sets",
    "read_ytf68",
]

EVALUATION_SETS: Final = ("ytf68/val", "dlib_faces", "helen_train8")
TRAINING_SETS: Final = ("ytf68", "faces69", "pseudo68")
#: The labels of ytf68 sit this much too far right, in units of the box's longer side: the median
#: distance of 1,473 faces to predictions that were averaged with those on the mirror image. Left
#: in, mirroring would turn it into a blur of 2 % of the interocular distance. Only training
#: takes it out; figures are measured on the labels as they are.
_YTF68_SHIFT_RIGHT: Final = 0.0096
_DLIB_XML: Final = "training_with_face_landmarks.xml"


def read_evaluation_set(data: Path, name: str) -> list[LabelledFace]:
    """The faces of one of EVALUATION_SETS.

    Raises:
        UsageError: the set is not in the folder, or an annotation is broken.
    """
    readers: dict[str, Callable[[], list[LabelledFace]]] = {
        "ytf68/val": lambda: read_ytf68(data / "ytf68" / "val", "ytf68/val"),
        "dlib_faces": lambda: read_dlib_xml(
            _existing(data / "images68" / "dlib_faces" / _DLIB_XML), data_set="dlib_faces"
        ),
        "helen_train8": lambda: read_pts_folder(
            _existing(data / "images68" / "helen_train8"), "helen_train8"
        ),
    }
    return readers[name]()


def read_training_sets(
    data: Path,
    names: Collection[str] = TRAINING_SETS,
    *,
    faces_per_video: int = 80,
    earlier_frames: int = 0,
    skipped: list[str] | None = None,
) -> Iterator[tuple[str, float, list[LabelledFace]]]:
    """Yields (name, share, faces) of each set that is trained on; the shares of all add up to 1.

    The share is how much of the training is drawn from a set: the teacher-labelled videos are
    sharp but show few people, the hand-checked frames show many but are blurred. One item a
    video, so a caller can show progress and need not hold whole frames of all of them.

    Raises:
        UsageError: a set is not in the folder, or an annotation is broken; with `skipped` what
            is broken is left out instead.
    """
    if "ytf68" in names:
        shifted = read_ytf68(data / "ytf68" / "train", "ytf68/train", skipped=skipped)
        yield "ytf68/train", 0.50, [_unshifted(face) for face in shifted]
    if "faces69" in names:
        stills = data / "images68" / "pytorch_tutorial_faces69_dlib"
        table = _existing(stills / "face_landmarks.csv")
        yield "faces69", 0.17, read_landmark_csv(table, stills, data_set="faces69", skipped=skipped)
    if "pseudo68" not in names:
        return
    labels = sorted(_existing(data / "pseudo68").glob("*.npz"))
    if not labels:
        raise UsageError(f"{data / 'pseudo68'}: got no .npz file, expected one a video")
    for path in labels:
        video = _existing(data / "videos" / path.stem)
        with leaving_out_broken(skipped):
            faces = read_pseudo68(
                path, video, faces_per_video=faces_per_video, earlier_frames=earlier_frames
            )
            yield f"pseudo68/{path.stem}", 0.33 / len(labels), faces


def _unshifted(face: LabelledFace) -> LabelledFace:
    """The face with its landmarks, and box, moved left by what YouTube Faces' labels are off."""
    x0, y0, x1, y1 = face.box_xyxy_px
    shift = np.float32(_YTF68_SHIFT_RIGHT * max(x1 - x0, y1 - y0))
    return dataclasses.replace(
        face,
        landmarks_px=face.landmarks_px - np.array([shift, 0], np.float32),
        box_xyxy_px=face.box_xyxy_px - np.array([shift, 0, shift, 0], np.float32),
    )


def read_ytf68(
    folder: Path, data_set: str, *, skipped: list[str] | None = None
) -> list[LabelledFace]:
    """The faces of one split of ytf68: clips of three frames that are not adjacent, and others.

    Raises:
        UsageError: a table is not in the folder, or a row is broken; with `skipped` such a row is
            left out instead.
    """
    return [
        face
        for table, pictures in (("keypoints", "images"), ("keypoints_extra", "images_extra"))
        for face in read_landmark_csv(
            _existing(folder / f"{table}.csv"),
            folder / pictures,
            data_set=data_set,
            skipped=skipped,
        )
    ]


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UsageError(f"data folder: got no {path}, expected it to be there")
    return path
