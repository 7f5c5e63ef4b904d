"""dlib's image metadata: several faces a picture, 68 named parts each, pixels from 0."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.parsers import expat

import numpy as np

from models.landmarks.datasets.labelled_face import (
    AnnotationError,
    FaceOrigin,
    LabelledFace,
    leaving_out_broken,
)
from models.landmarks.datasets.points import checked_landmarks, parse_numbers
from schemas.landmarks import LANDMARK_COUNT


@dataclasses.dataclass(slots=True)
class _Box:
    """A <box> as it is being read; `parts` by name: line, x, y."""

    line: int
    picture: str
    face: int
    parts: dict[str, tuple[int, str, str]] = dataclasses.field(default_factory=dict)


def read_dlib_xml(
    path: Path, *, data_set: str = "", skipped: list[str] | None = None
) -> list[LabelledFace]:
    """Reads dlib's image metadata; pictures are looked for beside the file.

    Raises:
        AnnotationError: the XML is broken, or a face has not parts 00 to 67; with `skipped`
            such a face is left out instead.
    """
    faces = []
    for box in _read_boxes(path):
        with leaving_out_broken(skipped):
            faces.append(_face(path, box, data_set))
    return faces


def _read_boxes(path: Path) -> list[_Box]:
    boxes: list[_Box] = []
    picture, face = "", 0
    parser = expat.ParserCreate()  # expat >= 2.4.1 bounds entity expansion

    def start(tag: str, values: dict[str, str]) -> None:
        nonlocal picture, face
        if tag == "image":
            picture, face = values.get("file", ""), 0
        elif tag == "box":
            boxes.append(_Box(parser.CurrentLineNumber, picture, face))
            face += 1
        elif tag == "part" and boxes:
            position = (parser.CurrentLineNumber, values.get("x", ""), values.get("y", ""))
            boxes[-1].parts[values.get("name", "")] = position

    parser.StartElementHandler = start
    try:
        parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from error
    except expat.ExpatError as error:
        raise AnnotationError(f"{path}:{error.lineno}: broken XML: {error}") from error
    return boxes


def _face(path: Path, box: _Box, data_set: str) -> LabelledFace:
    where = f"{path}:{box.line}: {box.picture} face {box.face}"
    names = [f"{index:02d}" for index in range(LANDMARK_COUNT)]
    missing = [name for name in names if name not in box.parts]
    if missing:
        raise AnnotationError(f"{where}: got no part {missing[0]}, expected 00 to 67")
    points = [
        parse_numbers(f"{path}:{line}", (x, y)) for line, x, y in map(box.parts.__getitem__, names)
    ]
    landmarks = checked_landmarks(where, np.stack(points))
    origin = FaceOrigin(data_set, box.picture, face=box.face)
    name = f"{box.picture}#{box.face}"
    return LabelledFace.from_landmarks(name, path.parent / box.picture, landmarks, origin)
