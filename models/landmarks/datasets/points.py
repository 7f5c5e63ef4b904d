"""Landmarks in text files: iBUG's .pts, one face a file, pixels counted from 1, and a CSV.

A .pts file has three lines of header (version: 1, n_points: 68, {), a line of x and y for each
point, then }.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.landmarks.datasets.labelled_face import (
    AnnotationError,
    FaceOrigin,
    LabelledFace,
    leaving_out_broken,
)
from models.landmarks.metrics import interocular_px
from schemas.landmarks import LANDMARK_COUNT


def parse_numbers(where: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """The texts as (N,) float32.

    Raises:
        AnnotationError: one is not a number, or not a finite one; the message starts with `where`.
    """
    try:
        values = np.array([float(text) for text in texts], np.float32)
    except ValueError as error:
        raise AnnotationError(f"{where}: {error}") from error
    if not np.isfinite(values).all():
        raise AnnotationError(f"{where}: got a value that is not finite")
    return values


def checked_landmarks(
    where: str, landmarks_px: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """(68, 2) landmarks as float32, after a check that errors can be normalized by them.

    Raises:
        AnnotationError: the outer corners of the eyes coincide.
    """
    landmarks = np.asarray(landmarks_px, np.float32)
    if not interocular_px(landmarks[None])[0] > 0:
        raise AnnotationError(f"{where}: landmarks 36 and 45 coincide, expected two eyes")
    return landmarks


def read_pts_landmarks(path: Path) -> npt.NDArray[np.float32]:
    """(68, 2) landmarks in iBUG order, the centre of the top-left pixel at (0, 0).

    Raises:
        AnnotationError: the points between { and } are not 68 pairs of finite numbers.
    """
    return checked_landmarks(str(path), read_pts_points(path)) - np.float32(1)


def read_pts_points(path: Path) -> npt.NDArray[np.float32]:
    """(68, 2) points in the file's own order and its own pixel coordinates.

    Raises:
        AnnotationError: the file is missing, or the points between { and } are not 68 pairs of
            finite numbers.
    """
    try:
        lines = path.read_text("ascii", errors="replace").splitlines()
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from error
    texts = [line.strip() for line in lines]
    if "{" not in texts or "}" not in texts:
        raise AnnotationError(f"{path}: got no block of points, expected {{ ... }}")
    first = texts.index("{") + 1
    points = []
    for number, text in enumerate(texts[first : texts.index("}")], first + 1):
        pair = text.split()
        if len(pair) != 2:
            raise AnnotationError(f"{path}:{number}: got {text!r}, expected x and y")
        points.append(parse_numbers(f"{path}:{number}", pair))
    if len(points) != LANDMARK_COUNT:
        raise AnnotationError(f"{path}: got {len(points)} points, expected {LANDMARK_COUNT}")
    return np.stack(points)


def read_landmark_csv(
    table: Path, image_folder: Path, *, data_set: str = "", skipped: list[str] | None = None
) -> list[LabelledFace]:
    """Reads the CSV of ytf68: a header, then image name, x0, y0, ..., x67, y67.

    Raises:
        AnnotationError: a row has not 137 columns, a value is not a finite number, or the
            landmarks are not those of a face; with `skipped` the row is left out instead.
    """
    faces = []
    with table.open(newline="") as file:
        rows = csv.reader(file)
        next(rows, None)
        for row in rows:
            with leaving_out_broken(skipped):
                faces.append(_csv_face(f"{table}:{rows.line_num}", row, image_folder, data_set))
    return faces


def _csv_face(where: str, row: list[str], image_folder: Path, data_set: str) -> LabelledFace:
    if len(row) != 1 + 2 * LANDMARK_COUNT:
        raise AnnotationError(f"{where}: got {len(row)} columns, expected {1 + 2 * LANDMARK_COUNT}")
    points = parse_numbers(where, row[1:]).reshape(LANDMARK_COUNT, 2)
    origin = FaceOrigin(data_set, f"{image_folder.name}/{row[0]}")
    landmarks = checked_landmarks(where, points)
    return LabelledFace.from_landmarks(row[0], image_folder / row[0], landmarks, origin)
