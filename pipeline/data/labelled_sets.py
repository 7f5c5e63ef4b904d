"""`--set KIND[/SPLIT]:PATH`: labelled data sets on the command line.

| KIND | PATH | splits (the first is the default) |
| --- | --- | --- |
| 300vw | folder with 001/vid.avi, 001/annot/*.pts | test, train, 1, 2, 3, all |
| snap | folder of SNaP-2DFe's recordings | test, validation, train, all |
| 300w | folder with pictures and .pts beside them | all, private, common, challenging, ... |
| talking-face | folder with franck_*.jpg and franck_*.pts | |
| ytf68 | folder with keypoints.csv, images, ... | |
| dlib | XML of dlib's image metadata | |
| tracks | OUTPUT_OR_PARQUET=VIDEO: a track as the truth | |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from models.landmarks.datasets.dlib_xml import read_dlib_xml
from models.landmarks.datasets.ibug_300vw import SPLITS_300VW, read_300vw
from models.landmarks.datasets.ibug_300w import SPLITS_300W, read_300w
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.datasets.labelled_video import LabelledSet
from models.landmarks.datasets.sets import read_ytf68
from models.landmarks.datasets.snap_2dfe import SPLITS_SNAP, read_snap_2dfe
from models.landmarks.datasets.talking_face import read_talking_face
from pipeline.data.labelled_tracks import read_labelled_track
from schemas.errors import UsageError

Skipped = list[str] | None


class _Kind(NamedTuple):
    """How a kind is read: from (PATH, split, skipped); the first split is the default."""

    read: Callable[[str, str, Skipped], LabelledSet]
    splits: Sequence[str] = ("",)


def _in_splits(read: Callable[..., LabelledSet], default: str, splits: Iterable[str]) -> _Kind:
    return _Kind(
        lambda path, split, skipped: read(Path(path), split, skipped=skipped),
        (default, *(split for split in splits if split != default)),
    )


def _stills(name: str, read: Callable[..., Sequence[LabelledFace]]) -> _Kind:
    return _Kind(
        lambda path, split, skipped: LabelledSet(
            name, stills=read(Path(path), data_set=name, skipped=skipped)
        )
    )


_KINDS: Final[Mapping[str, _Kind]] = {
    "300vw": _in_splits(read_300vw, "test", SPLITS_300VW),
    "snap": _in_splits(read_snap_2dfe, "test", SPLITS_SNAP),
    "300w": _in_splits(read_300w, "all", SPLITS_300W),
    "talking-face": _Kind(lambda path, split, skipped: read_talking_face(Path(path))),
    "ytf68": _stills("ytf68", read_ytf68),
    "dlib": _stills("dlib", read_dlib_xml),
    "tracks": _Kind(lambda path, split, skipped: read_labelled_track(path)),
}


def read_labelled_sets(
    specs: Sequence[str], *, split: str = "", skipped: Skipped = None
) -> list[LabelledSet]:
    """The data sets of several specs, each read by `read_labelled_set`.

    Where two have one name, their specs are their names. Raises UsageError, also for equal specs.
    """
    twice = [spec for spec in specs if specs.count(spec) > 1]
    if twice:
        raise UsageError(f"--set: got {twice[0]!r} {len(twice)} times, expected it once")
    sets = [read_labelled_set(spec, split=split, skipped=skipped) for spec in specs]
    names = [data.name for data in sets]
    return [
        data if names.count(data.name) == 1 else dataclasses.replace(data, name=spec)
        for spec, data in zip(specs, sets, strict=True)
    ]


def read_labelled_set(spec: str, *, split: str = "", skipped: Skipped = None) -> LabelledSet:
    """The data set that KIND[/SPLIT]:PATH names; faces and frames are read as they are taken.

    Args:
        split: taken where the spec names none and the kind has it; else the kind's first.
        skipped: the list that gets messages about what is broken.

    Raises:
        UsageError: the spec names no kind or split; the data set is not at its path, or has
            broken annotations: with `skipped` those are left out instead.
    """
    name, colon, path = spec.partition(":")
    kind, slash, named = name.partition("/")
    if kind not in _KINDS or not colon or not path:
        raise UsageError(
            f"--set: got {spec!r}, expected KIND[/SPLIT]:PATH with KIND one of {', '.join(_KINDS)}"
        )
    found = _KINDS[kind]
    if slash and named not in found.splits:
        expected = ", ".join(s for s in found.splits if s) or f"none for {kind}"
        raise UsageError(f"--set: {spec!r}: got split {named!r}, expected {expected}")
    default = split if split in found.splits else found.splits[0]
    return found.read(path, named or default, skipped)
