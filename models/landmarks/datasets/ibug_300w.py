"""300W (Sagonas et al. 2013): stills, a .pts beside each picture.

    DIR/afw/1051618982_1.jpg, .pts       DIR/01_Indoor/indoor_001.png, .pts
    DIR/helen/{trainset,testset}/...     DIR/02_Outdoor/outdoor_001.png, .pts
    DIR/lfpw/{trainset,testset}/...
    DIR/ibug/...

The folder says the subset. "private" is the 600 pictures of the challenge's own test, which FHR
measures on; "common" and "challenging" are the public test pictures; "train" is the other 3,148.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from models.landmarks.datasets.labelled_face import (
    AnnotationError,
    FaceOrigin,
    LabelledFace,
    leaving_out_broken,
)
from models.landmarks.datasets.labelled_video import LabelledSet
from models.landmarks.datasets.numbered_files import PICTURE_SUFFIXES
from models.landmarks.datasets.points import read_pts_landmarks

_SUBSETS: Final[Mapping[str, str]] = {
    "01_indoor": "private",
    "02_outdoor": "private",
    "helen/testset": "common",
    "lfpw/testset": "common",
    "ibug": "challenging",
    "afw": "train",
    "helen/trainset": "train",
    "lfpw/trainset": "train",
}
SPLITS_300W: Final = ("private", "common", "challenging", "public", "train", "all")


def read_300w(folder: Path, split: str = "all", *, skipped: list[str] | None = None) -> LabelledSet:
    """The pictures of a folder that belong to a split: one of SPLITS_300W.

    "public" is "common" and "challenging". A face's category is its subset; with "all", of
    pictures in other folders, the folder.

    Raises:
        AnnotationError: the folder has no picture of the split; a .pts is broken or has no
            picture: with `skipped` the face is left out instead.
    """
    data_set = f"300w/{split}"
    members = ("common", "challenging") if split == "public" else (split,)
    faces = [
        face
        for face in read_pts_folder(folder, data_set, skipped=skipped)
        if split == "all" or face.origin.category in members
    ]
    if not faces:
        raise AnnotationError(f"{folder}: got no picture of split {split!r} of 300W; see 'all'")
    return LabelledSet(data_set, stills=faces)


def read_pts_folder(
    folder: Path, data_set: str, *, skipped: list[str] | None = None
) -> list[LabelledFace]:
    """The face of every .pts below a folder, with the picture of that name beside it.

    Raises:
        AnnotationError: there is no .pts; one is broken or has no picture: with `skipped` the
            face is left out instead.
    """
    points = sorted(folder.rglob("*.pts"))
    if not points:
        raise AnnotationError(f"{folder}: got no .pts file, expected one beside each picture")
    faces = []
    for path in points:
        with leaving_out_broken(skipped):
            picture = _picture_beside(path)
            name = picture.relative_to(folder).as_posix()
            origin = FaceOrigin(data_set, name, category=_subset(folder, path))
            landmarks = read_pts_landmarks(path)
            faces.append(LabelledFace.from_landmarks(path.stem, picture, landmarks, origin))
    return faces


def _subset(folder: Path, path: Path) -> str:
    """What the last folders of a path name, wherever the data set's own folder is."""
    parts = [part.lower() for part in path.absolute().parent.parts]
    named = _SUBSETS.get("/".join(parts[-2:])) or _SUBSETS.get(parts[-1])
    return named or "/".join(path.parent.relative_to(folder).parts)


def _picture_beside(path: Path) -> Path:
    for suffix in PICTURE_SUFFIXES:
        for picture in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
            if picture.is_file():
                return picture
    raise AnnotationError(f"{path}: got no picture of this name beside it")
