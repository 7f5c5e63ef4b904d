"""The CSV of ytf68: a header, then image name, x0, y0, ..., x67, y67."""

from __future__ import annotations

import csv
from pathlib import Path

from models.landmarks.datasets.labelled_face import (
    AnnotationError,
    FaceOrigin,
    LabelledFace,
    leaving_out_broken,
)
from models.landmarks.datasets.points import checked_landmarks, parse_numbers
from schemas.landmarks import LANDMARK_COUNT


def read_landmark_csv(
    table: Path, image_folder: Path, *, data_set: str = "", skipped: list[str] | None = None
) -> list[LabelledFace]:
    """Reads rows of an image name and 68 x, y pairs; the first line is a header.

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
                faces.append(_face(f"{table}:{rows.line_num}", row, image_folder, data_set))
    return faces


def _face(where: str, row: list[str], image_folder: Path, data_set: str) -> LabelledFace:
    if len(row) != 1 + 2 * LANDMARK_COUNT:
        raise AnnotationError(f"{where}: got {len(row)} columns, expected {1 + 2 * LANDMARK_COUNT}")
    points = parse_numbers(where, row[1:]).reshape(LANDMARK_COUNT, 2)
    origin = FaceOrigin(data_set, f"{image_folder.name}/{row[0]}")
    landmarks = checked_landmarks(where, points)
    return LabelledFace.from_landmarks(row[0], image_folder / row[0], landmarks, origin)
