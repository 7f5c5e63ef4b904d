"""Parsing and checking of numbers in annotation files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.landmarks.datasets.labelled_face import AnnotationError
from models.landmarks.metrics import interocular_px


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
