"""The frames of a video as files: pictures and .pts whose names end in the frame's number."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from models.face_box import box_from_landmarks
from models.landmarks.datasets.labelled_face import AnnotationError
from models.landmarks.datasets.labelled_video import FaceLabel, PictureFiles
from models.landmarks.datasets.points import read_pts_landmarks

PICTURE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp")


@dataclasses.dataclass(frozen=True, slots=True)
class FileLabels(Mapping[int, Sequence[FaceLabel]]):
    """The one face of each frame; `read` reads its file when the frame is looked up."""

    paths: Mapping[int, Path]
    read: Callable[[Path], FaceLabel]

    def __getitem__(self, key: int) -> Sequence[FaceLabel]:
        return [self.read(self.paths[key])]

    def __iter__(self) -> Iterator[int]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def numbered_pts(folder: Path) -> Mapping[int, Sequence[FaceLabel]]:
    """The labels of a video's frames, from .pts files that count frames from 1.

    Raises:
        AnnotationError: there is no such file, or two of one frame.
    """
    files = by_number(folder, folder.glob("*.pts"), first=1)
    return FileLabels(files, _read_label)


def _read_label(path: Path) -> FaceLabel:
    landmarks = read_pts_landmarks(path)
    return FaceLabel(landmarks, box_from_landmarks(landmarks))


def numbered_pictures(folder: Path) -> PictureFiles:
    """The frames of a video, from picture files that count frames from 1.

    Raises:
        AnnotationError: there is no such file, or two of one frame.
    """
    files = (path for path in folder.glob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    return PictureFiles(by_number(folder, files, first=1))


def by_number(folder: Path, files: Iterable[Path], *, first: int) -> dict[int, Path]:
    """The files by frame number from 0, where their names end in numbers from `first`.

    Raises:
        AnnotationError: a name does not end in such a number, two end in the same, or there
            are no files.
    """
    found: dict[int, Path] = {}
    for path in sorted(files):
        digits = re.search(r"[0-9]+$", path.stem)
        number = int(digits.group()) - first if digits else -1
        if number < 0:
            raise AnnotationError(f"{path}: got this name, expected a frame number from {first}")
        if number in found:
            raise AnnotationError(f"{path}: got a second file of the frame of {found[number].name}")
        found[number] = path
    if not found:
        raise AnnotationError(f"{folder}: got no files of frames, expected one for each")
    return found
