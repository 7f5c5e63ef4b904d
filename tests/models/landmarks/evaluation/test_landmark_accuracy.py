"""The weights of the package on people that they were not trained on."""

from pathlib import Path

import numpy as np
import pytest

from models.landmarks.datasets.sets import read_evaluation_set
from models.landmarks.evaluation.measurement import errors_on_jittered_boxes
from models.landmarks.model import LandmarkModel, load_landmark_model


@pytest.fixture(scope="module")
def model() -> LandmarkModel:
    return load_landmark_model()


@pytest.mark.realdata
def test_error_on_youtube_faces(shared_data: Path, model: LandmarkModel) -> None:
    faces = read_evaluation_set(shared_data, "ytf68/val")
    assert len(faces) == 435
    assert errors_on_jittered_boxes(model, faces, draws=2).mean() <= 6.3


@pytest.mark.realdata
def test_error_on_stills(shared_data: Path, model: LandmarkModel) -> None:
    sets = [read_evaluation_set(shared_data, name) for name in ("dlib_faces", "helen_train8")]
    assert [len(faces) for faces in sets] == [18, 8]
    errors = [errors_on_jittered_boxes(model, faces, draws=8) for faces in sets]
    assert np.concatenate(errors).mean() <= 5.4
