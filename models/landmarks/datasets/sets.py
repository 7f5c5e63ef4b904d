"""The labelled sets of a data folder, for training and for evaluation.

| set | where | labels |
| --- | --- | --- |
| 300w | DIR/faces68/300w: helen/trainset, lfpw/trainset, afw | manual |
| turned | DIR/faces68/300wlp_ibug, four photographs of five | a 3D fit to manual labels |
| pseudo68 | DIR/pseudo68, DIR/videos | two teachers' |
| ytf68 | DIR/ytf68/train | a network's |

For evaluation only:

| set | where |
| --- | --- |
| 300w/common | DIR/faces68/300w/lfpw/testset |
| turned/held-out | DIR/faces68/300wlp_ibug, every fifth photograph |
| ytf68/val | DIR/ytf68/val; other people than in train |
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.landmarks.datasets.ibug_300w import read_300w, read_pts_folder
from models.landmarks.datasets.labelled_face import LabelledFace, leaving_out_broken
from models.landmarks.datasets.points import read_landmark_csv
from models.landmarks.datasets.pseudo68 import read_pseudo68, with_label_bias
from schemas.choices import TRAINING_SETS
from schemas.errors import UsageError

#: Sampling weight of each training set.
_SHARES: Final = {"300w": 0.46, "turned": 0.14, "pseudo68": 0.14, "ytf68": 0.10}
_HELD_OUT_EVERY: Final = 5
#: Horizontal bias of the labels of ytf68, in units of the box's longer side: the median distance
#: of 1,473 faces to predictions averaged with those on the mirrored picture. Uncorrected, mirror
#: augmentation would turn it into a blur of 2 % of the interocular distance. It is corrected in
#: training only; evaluation uses the labels as published.
_YTF68_SHIFT_RIGHT: Final = 0.0096


def read_evaluation_set(data: Path, name: str) -> list[LabelledFace]:
    """The faces of one of EVALUATION_SETS.

    Raises:
        UsageError: the set is not in the folder, or an annotation is broken.
    """
    readers: dict[str, Callable[[], Sequence[LabelledFace]]] = {
        "300w/common": lambda: read_300w(_existing(data / "faces68" / "300w"), "common").stills,
        "turned/held-out": lambda: _turned_faces(data, held_out=True),
        "ytf68/val": lambda: read_ytf68(data / "ytf68" / "val", "ytf68/val"),
    }
    return list(readers[name]())


def read_training_sets(
    data: Path,
    names: Collection[str] = TRAINING_SETS,
    *,
    earlier_frames: int = 0,
    skipped: list[str] | None = None,
) -> Iterator[tuple[str, float, list[LabelledFace]]]:
    """Yields (name, share, faces) of each training set; the shares add up to 1.

    The share is the set's sampling weight. Each video is one item, so a caller can show progress
    and need not hold the frames of all videos.

    Raises:
        UsageError: a set is not in the folder, or an annotation is broken; with `skipped` what
            is broken is left out instead.
    """
    whole = sum(_SHARES[name] for name in names)
    share = {name: _SHARES[name] / whole for name in names}
    if "300w" in names:
        manual = read_300w(_existing(data / "faces68" / "300w"), "train", skipped=skipped).stills
        yield "300w", share["300w"], [with_label_bias(face) for face in manual]
    if "turned" in names:
        yield "turned", share["turned"], _turned_faces(data, held_out=False, skipped=skipped)
    if "ytf68" in names:
        shifted = read_ytf68(data / "ytf68" / "train", "ytf68/train", skipped=skipped)
        yield "ytf68", share["ytf68"], [_unshifted(face) for face in shifted]
    if "pseudo68" not in names:
        return
    labels = sorted(_existing(data / "pseudo68").glob("*.npz"))
    if not labels:
        raise UsageError(f"{data / 'pseudo68'}: got no .npz file, expected one a video")
    for path in labels:
        video = _existing(data / "videos" / path.stem)
        with leaving_out_broken(skipped):
            faces = read_pseudo68(path, video, earlier_frames=earlier_frames)
            yield f"pseudo68/{path.stem}", share["pseudo68"] / len(labels), faces


def _turned_faces(
    data: Path, *, held_out: bool, skipped: list[str] | None = None
) -> list[LabelledFace]:
    """The rotated iBUG faces of every fifth photograph, or those of the others.

    Names are IBUG_image_PHOTO[_FACE]_ROTATION; faces of one photograph are never on both sides.
    """
    folder = _existing(data / "faces68" / "300wlp_ibug")
    faces = read_pts_folder(folder, "turned/held-out" if held_out else "turned", skipped=skipped)
    photographs = sorted({_photograph(face) for face in faces})
    chosen = set(photographs[::_HELD_OUT_EVERY])
    return [face for face in faces if (_photograph(face) in chosen) is held_out]


def _photograph(face: LabelledFace) -> str:
    found = re.match(r"IBUG_image_(\d+)_", face.name)
    return found[1] if found else face.name


def _unshifted(face: LabelledFace) -> LabelledFace:
    """The face with landmarks and box moved left by the bias of ytf68's labels."""
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
