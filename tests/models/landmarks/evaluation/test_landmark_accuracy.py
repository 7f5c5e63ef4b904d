"""The shipped weights on people outside the training data."""

from pathlib import Path

import pytest

from models.landmarks.datasets.sets import read_evaluation_set
from models.landmarks.evaluation.measurement import (
    jittered_boxes,
    measure_faces,
)
from models.landmarks.landmark_model import LandmarkModel
from models.landmarks.metrics import Normalization
from models.landmarks.model import load_landmark_model
from tests.models.landmarks.measured_errors import errors_on_jittered_boxes


@pytest.fixture(scope="module")
def model() -> LandmarkModel:
    return load_landmark_model()


@pytest.mark.realdata
def test_error_on_youtube_faces(shared_data: Path, model: LandmarkModel) -> None:
    faces = read_evaluation_set(shared_data, "ytf68/val")
    assert len(faces) == 435
    assert errors_on_jittered_boxes(model, faces, draws=2).mean() <= 6.0


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "faces", "normalization", "limit_percent"),
    [
        ("300w/common", 224, "interocular", 3.8),
        ("turned/held-out", 213, "box-diagonal", 2.9),
    ],
)
def test_error_on_faces_that_people_labelled(
    shared_data: Path,
    model: LandmarkModel,
    name: str,
    faces: int,
    normalization: Normalization,
    limit_percent: float,
) -> None:
    found = read_evaluation_set(shared_data, name)
    assert len(found) == faces
    errors = measure_faces(model, found, jittered_boxes(draws=2, seed=0))
    assert errors.percent(normalization).mean() <= limit_percent
