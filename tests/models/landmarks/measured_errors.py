"""NRMSE of a model on faces, in boxes chosen by tests."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.evaluation.measurement import jittered_boxes, measure_faces
from models.landmarks.landmark_model import LandmarkModel


def errors_on_jittered_boxes(
    model: LandmarkModel, faces: Sequence[LabelledFace], *, draws: int = 1, seed: int = 0
) -> npt.NDArray[np.float64]:
    """NRMSE in percent of each face on `draws` jittered boxes.

    Returns (N, draws).
    """
    errors = measure_faces(model, faces, jittered_boxes(draws=draws, seed=seed))
    return errors.percent("interocular").reshape(len(faces), draws)


def errors_on_boxes(
    model: LandmarkModel, faces: Sequence[LabelledFace], boxes_xyxy_px: Sequence[npt.ArrayLike]
) -> npt.NDArray[np.float64]:
    """NRMSE in percent of each face on its given box: (N,)."""
    given = iter(boxes_xyxy_px)
    errors = measure_faces(model, faces, lambda _: [np.asarray(next(given), np.float32)])
    return errors.percent("interocular")
