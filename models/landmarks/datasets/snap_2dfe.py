"""SNaP-2DFe (Allaert et al. 2018): 6 head movements times 7 expressions of each subject.

    DIR/.../SUBJECT/.../MOVEMENT/.../EXPRESSION/frame_0001.jpg, frame_0001.pts, ...

The archive's folder names are not described in public, so this reader assumes little: a
recording is a folder with its frames as pictures, numbered from 1, each with a .pts beside it,
or with vid.avi and annot/*.pts as in 300VW; the words of its path below DIR name, in any order,
the subject (the first number), the movement and the expression. Recordings of the helmet camera
(a word of `_STILL_CAMERA` in the path) are left out: the papers use the other camera, 504
recordings of 12 subjects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin, leaving_out_broken
from models.landmarks.datasets.labelled_video import LabelledSet, LabelledVideo, VideoFile
from models.landmarks.datasets.numbered_files import numbered_pictures, numbered_pts

#: Words of paths, and what the papers' Tables 2 and 3 call them.
_MOVEMENTS: Final[Mapping[str, str]] = {
    "nothing": "nothing", "static": "nothing", "none": "nothing",
    "diag": "diag", "diagonal": "diag",
    "pitch": "pitch", "roll": "roll", "yaw": "yaw",
    "tx": "tx", "translation": "tx",
}  # fmt: skip
_EXPRESSIONS: Final[Mapping[str, str]] = {
    "neutral": "neutral", "anger": "anger", "angry": "anger", "disgust": "disgust",
    "fear": "fear", "happy": "happy", "happiness": "happy", "joy": "happy",
    "sad": "sad", "sadness": "sad", "surprise": "surprise",
}  # fmt: skip
_STILL_CAMERA: Final = {"helmet", "constrained"}
_SUBJECTS: Final = {"train": range(1, 7), "validation": range(7, 9), "test": range(9, 13)}
SPLITS_SNAP: Final = (*_SUBJECTS, "all")


def read_snap_2dfe(
    folder: Path, split: str = "all", *, skipped: list[str] | None = None
) -> LabelledSet:
    """The recordings of a split: train (subjects 1-6), validation (7-8), test (9-12) or all.

    Raises:
        AnnotationError: there is no recording of the split, or the path of one does not name
            subject, movement and expression; with `skipped` such a one is left out instead.
    """
    videos = []
    recordings = sorted({_recording(path) for path in folder.rglob("*.pts")})
    for recording in recordings:
        with leaving_out_broken(skipped):
            words = re.findall(r"[a-z]+|[0-9]+", recording.relative_to(folder).as_posix().lower())
            if not _STILL_CAMERA.isdisjoint(words):
                continue
            subject, origin = _origin(folder, recording, words, f"snap/{split}")
            if split == "all" or subject in _SUBJECTS[split]:
                videos.append(_video(recording, origin))
    if not videos:
        raise AnnotationError(
            f"{folder}: got {len(recordings)} folders of frames, none a recording of split "
            f"{split!r} of SNaP-2DFe; split 'all' takes every subject"
        )
    return LabelledSet(f"snap/{split}", videos=videos)


def _recording(path: Path) -> Path:
    return path.parent.parent if path.parent.name == "annot" else path.parent


def _origin(
    folder: Path, recording: Path, words: list[str], data_set: str
) -> tuple[int, FaceOrigin]:
    subjects = [int(word) for word in words if word.isdigit()]
    movements = [_MOVEMENTS[word] for word in words if word in _MOVEMENTS]
    expressions = [_EXPRESSIONS[word] for word in words if word in _EXPRESSIONS]
    if not subjects or len(movements) != 1 or len(expressions) != 1:
        raise AnnotationError(
            f"{recording}: got subjects {subjects}, movements {movements}, expressions "
            f"{expressions} from the path, expected one of each"
        )
    name = recording.relative_to(folder).as_posix()
    return subjects[0], FaceOrigin(data_set, name, movement=movements[0], expression=expressions[0])


def _video(recording: Path, origin: FaceOrigin) -> LabelledVideo:
    if (recording / "annot").is_dir():
        labels, video = numbered_pts(recording / "annot"), recording / "vid.avi"
        return LabelledVideo(origin, VideoFile(video), labels, every_frame=True)
    frames = numbered_pictures(recording)
    return LabelledVideo(origin, frames, numbered_pts(recording), every_frame=True)
