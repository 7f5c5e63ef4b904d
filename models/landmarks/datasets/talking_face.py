"""Talking Face (FGNET 2004): 5,000 frames of one face, with 68 points of another layout.

    DIR/.../franck_00000.jpg, franck_00001.jpg, ...     frame 0, 1, ...
    DIR/.../franck_00000.pts, franck_00001.pts, ...

Its 68 points are those of XM2VTS and MUCT. Seven are also among iBUG's, which FHR Table 5
measures: the corners of the eyes, the tip of the nose, the corners of the mouth; the others of
iBUG's are NaN. The boxes are those of all points. Coordinates are from the top-left corner of
the picture: taken as pixel centres counted from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models.face_box import box_from_landmarks
from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin
from models.landmarks.datasets.labelled_video import (
    FaceLabel,
    LabelledSet,
    LabelledVideo,
    PictureFiles,
)
from models.landmarks.datasets.numbered_files import PICTURE_SUFFIXES, FileLabels, by_number
from models.landmarks.datasets.points import checked_landmarks, read_pts_points
from schemas.landmarks import LANDMARK_COUNT

#: Its own number of a point -> iBUG's.
_COMMON: Final[Mapping[int, int]] = {27: 36, 29: 39, 34: 42, 32: 45, 67: 30, 48: 48, 54: 54}
_EYES: Final = slice(27, 37)
_NOSE_TIP: Final = 67
_NOSTRILS: Final = (46, 47)


def read_talking_face(folder: Path) -> LabelledSet:
    """The one video, its frames as pictures.

    Raises:
        AnnotationError: the folder has no pictures or no points of its frames.
    """
    pictures = [p for p in folder.rglob("franck_*") if p.suffix.lower() in PICTURE_SUFFIXES]
    frames = PictureFiles(by_number(folder, pictures, first=0))
    labels = FileLabels(by_number(folder, folder.rglob("franck_*.pts"), first=0), _read_label)
    origin = FaceOrigin("talking-face", "franck")
    return LabelledSet(
        "talking-face", videos=[LabelledVideo(origin, frames, labels, every_frame=True)]
    )


def _read_label(path: Path) -> FaceLabel:
    points = read_pts_points(path)
    landmarks = np.full((LANDMARK_COUNT, 2), np.nan, np.float32)
    landmarks[list(_COMMON.values())] = points[list(_COMMON)]
    corners = points[[27, 29, 34, 32], 0]
    if not (np.diff(corners) > 0).all():
        raise AnnotationError(
            f"{path}: got eye corners (points 27, 29, 34, 32) at x {corners.tolist()}, "
            "expected them from left to right"
        )
    return FaceLabel(checked_landmarks(str(path), landmarks), _box(points))


def _box(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The box of a detector; it depends on extents, nose tip and eyes.

    So the points of the outline may replace any of iBUG's other points.
    """
    rest = np.delete(points, [*range(_EYES.start, _EYES.stop), _NOSE_TIP, *_NOSTRILS], axis=0)
    eyes = points[_EYES]
    middles = eyes.reshape(2, 5, 2).mean(1)  # to fill the 12 places of iBUG's eyes
    stand_ins = [rest[:30], points[[_NOSE_TIP]], rest[30:35], eyes, middles, rest[35:]]
    return box_from_landmarks(np.concatenate(stand_ins))
