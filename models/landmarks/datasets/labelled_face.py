"""One labelled face: a picture, its landmarks, and where it comes from.

`models.landmarks.datasets` reads them from files. Files are not trusted: a broken annotation
raises AnnotationError, which names file and line.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.face_box import box_from_landmarks
from schemas.errors import UsageError


class AnnotationError(UsageError):
    """An annotation file is invalid; the message names file and line."""


@contextlib.contextmanager
def leaving_out_broken(skipped: list[str] | None) -> Iterator[None]:
    """Appends the message of an AnnotationError to `skipped`; with None, the error is raised."""
    try:
        yield
    except AnnotationError as error:
        if skipped is None:
            raise
        skipped.append(str(error))


@dataclasses.dataclass(frozen=True, slots=True)
class FaceOrigin:
    """Where a labelled face comes from; fields that a data set lacks are empty.

    data_set: its name, with the split.
    video: name of the video; of a still, of its picture.
    frame: place in the video, from 0.
    face: which face of the picture, or of the video, from 0.
    category, movement, expression: its groups in the data set.
    """

    data_set: str = ""
    video: str = ""
    frame: int = 0
    face: int = 0
    category: str = ""
    movement: str = ""
    expression: str = ""


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class LabelledFace:
    """One face in one picture.

    name: where it comes from, for messages and lists.
    image: (H, W, 3) uint8 RGB, or the path of a picture to be read.
    landmarks_px: (68, 2) float32, top-left pixel centre at (0, 0); NaN for landmarks that the
        labels of its data set do not have.
    box_xyxy_px: (4,) float32, by YuNet, or by `box_from_landmarks`.
    earlier: the same face in the frames just before, oldest first, where they are known.
    origin: data set, video, frame, face.
    labels_right_px: horizontal bias of the data set's labels: how far right of the mirrored
        labels of the mirrored picture they lie. Mirroring a sample keeps it.
    """

    name: str
    image: npt.NDArray[np.uint8] | Path
    landmarks_px: npt.NDArray[np.float32]
    box_xyxy_px: npt.NDArray[np.float32]
    earlier: tuple[LabelledFace, ...] = ()
    origin: FaceOrigin = FaceOrigin()
    labels_right_px: float = 0.0

    @classmethod
    def from_landmarks(
        cls,
        name: str,
        image: npt.NDArray[np.uint8] | Path,
        landmarks_px: npt.NDArray[np.float32],
        origin: FaceOrigin,
    ) -> LabelledFace:
        """A face whose box is computed from its (68, 2) landmarks (`box_from_landmarks`)."""
        return cls(name, image, landmarks_px, box_from_landmarks(landmarks_px), origin=origin)

    def __repr__(self) -> str:
        return f"LabelledFace({self.name!r}, box {np.round(self.box_xyxy_px, 1).tolist()})"

    def load(self) -> npt.NDArray[np.uint8]:
        """The picture: (H, W, 3) uint8 RGB.

        Raises:
            AnnotationError: its file is missing or is no picture.
        """
        if not isinstance(self.image, Path):
            return self.image
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imread(str(self.image), flags)
        if image is None:
            raise AnnotationError(f"{self.image}: cannot be read as a picture")
        return np.ascontiguousarray(image[..., ::-1])
