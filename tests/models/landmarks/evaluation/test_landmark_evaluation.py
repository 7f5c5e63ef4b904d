import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from models.detection.detections import Detections
from models.face_box import box_from_landmarks
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin, LabelledFace
from models.landmarks.evaluation.measurement import (
    detected_boxes,
    jittered_boxes,
    label_boxes,
    measure_faces,
)
from models.landmarks.landmark_model import LandmarkModel
from models.landmarks.networks.coordinate_network import CoordinateNetwork
from models.landmarks.torch_model import TorchLandmarkModel
from tests.models.landmarks.measured_errors import errors_on_boxes, errors_on_jittered_boxes


class FakeDetector:
    """Returns given boxes and records the sizes of its images."""

    name = "fake"
    weights_sha256 = ""

    def __init__(self, boxes_xyxy_px: list[list[float]], longest_side_px: int) -> None:
        self.input_longest_side_px = longest_side_px
        self.boxes_xyxy_px = boxes_xyxy_px
        self.sizes: list[tuple[int, ...]] = []

    def detect(self, image: np.ndarray) -> Detections:
        self.sizes.append(image.shape)
        if not self.boxes_xyxy_px:
            return Detections.empty()
        return Detections.sorted_by_score(self.boxes_xyxy_px, [0.9] * len(self.boxes_xyxy_px))


def _face() -> LabelledFace:
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    landmarks = np.stack([100 + 40 * np.cos(angle), 90 + 40 * np.sin(angle)], axis=1)
    landmarks = landmarks.astype(np.float32)
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    return LabelledFace("ring", image, landmarks, box_from_landmarks(landmarks))


@pytest.fixture
def model() -> LandmarkModel:
    torch.manual_seed(0)
    network = CoordinateNetwork(early=False)
    with torch.no_grad():
        network.output.weight.mul_(0.01)
    return TorchLandmarkModel(network, LandmarkCard())


def test_a_shifted_box_shifts_the_prediction(model: LandmarkModel) -> None:
    """The network is nearly blind, so its error grows by the shift of the box."""
    faces = [_face()] * 2
    box = faces[0].box_xyxy_px
    own, shifted = errors_on_boxes(model, faces, [box, box + np.float32([500, 0, 500, 0])])
    interocular = np.linalg.norm(faces[0].landmarks_px[36] - faces[0].landmarks_px[45])
    assert shifted - own == pytest.approx(100 * 500 / interocular, rel=0.1)


@pytest.mark.parametrize("longest_side_px", [120, 1000])
def test_detections_are_mapped_back_to_the_picture(
    model: LandmarkModel, longest_side_px: int
) -> None:
    face = _face()
    border = 20  # a tenth of 200
    factor = min(1.0, longest_side_px / 240)
    shown = ((face.box_xyxy_px + border + 0.5) * factor - 0.5).tolist()
    elsewhere = [0.0, 0.0, 10.0, 10.0]
    detector = FakeDetector([elsewhere, shown], longest_side_px)
    errors = measure_faces(model, [face], detected_boxes(detector)).percent("interocular")
    assert detector.sizes == [(round(240 * factor), round(240 * factor), 3)]
    assert errors == pytest.approx(errors_on_boxes(model, [face], [face.box_xyxy_px]), rel=1e-3)


@pytest.mark.parametrize("boxes", [[], [[0.0, 0.0, 30.0, 30.0]]])
def test_a_face_that_is_not_found_is_infinitely_wrong(
    model: LandmarkModel, boxes: list[list[float]]
) -> None:
    errors = measure_faces(model, [_face()], detected_boxes(FakeDetector(boxes, 1000)))
    assert errors.percent("interocular").tolist() == [np.inf]
    assert errors.percent("box-diagonal", 7).tolist() == [np.inf]


class SeeingModel:
    """Returns the mean level of each frame of a window in place of landmarks."""

    card = LandmarkCard()

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def predict_with_spread(
        self, crops: np.ndarray, windows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        self.seen += [[float(crops[i].mean()) for i in window] for window in windows]
        return np.zeros((len(windows), 68, 2), np.float32), np.zeros((len(windows), 68), np.float32)


def _frames(count: int) -> list[LabelledFace]:
    """The faces of a clip whose frame i is of level 10 i, each with up to two before it."""
    still = _face()
    frames: list[LabelledFace] = []
    for i in range(count):
        frame = dataclasses.replace(still, image=np.full((200, 200, 3), 10 * i, np.uint8))
        frames.append(frame)
    return [
        dataclasses.replace(frame, earlier=tuple(frames[max(0, i - 2) : i]))
        for i, frame in enumerate(frames)
    ]


def test_a_network_sees_the_frames_before_and_the_first_repeated() -> None:
    model = SeeingModel()
    errors = measure_faces(model, _frames(4), label_boxes)  # type: ignore[arg-type]
    assert model.seen == [[0, 0, 0], [0, 0, 10], [0, 10, 20], [10, 20, 30]]
    assert len(errors) == 4
    measure_faces(model, [_face()], label_boxes)  # type: ignore[arg-type]
    assert len(set(model.seen[-1])) == 1  # a still is repeated


def test_the_boxes_of_a_window_are_off_by_the_same(model: LandmarkModel) -> None:
    """A window of one picture and one box equals the still, for any jittered box."""
    face = _face()
    window = dataclasses.replace(face, earlier=(face, face))
    both = [errors_on_jittered_boxes(model, [f], draws=3, seed=1) for f in (face, window)]
    np.testing.assert_allclose(both[0], both[1])


def test_errors_are_in_pixels_of_the_picture(model: LandmarkModel) -> None:
    """A picture of twice the size: the same error in percent, twice the error in pixels."""
    face = _face()
    doubled = dataclasses.replace(
        face,
        image=np.repeat(np.repeat(face.load(), 2, axis=0), 2, axis=1),
        landmarks_px=(face.landmarks_px + 0.5) * 2 - 0.5,
        box_xyxy_px=(face.box_xyxy_px + 0.5) * 2 - 0.5,
    )
    errors = measure_faces(model, [face, doubled], label_boxes)
    assert errors.percent("interocular")[1] == pytest.approx(
        errors.percent("interocular")[0], rel=0.05
    )
    single_px, doubled_px = errors.distance_px()
    assert doubled_px == pytest.approx(2 * single_px, rel=0.05)


def test_more_faces_than_a_batch_keep_their_order(model: LandmarkModel) -> None:
    faces = [
        dataclasses.replace(_face(), origin=FaceOrigin("set", frame=number)) for number in range(70)
    ]
    errors = measure_faces(model, iter(faces), jittered_boxes(draws=2, seed=0))
    assert [origin.frame for origin in errors.origins] == [n for n in range(70) for _ in range(2)]
    singly = [measure_faces(model, [faces[0]], jittered_boxes(draws=2, seed=0))]
    np.testing.assert_allclose(
        errors.percent("interocular")[:2], singly[0].percent("interocular"), rtol=1e-4
    )


def test_a_picture_that_cannot_be_read(model: LandmarkModel, tmp_path: Path) -> None:
    faces = [dataclasses.replace(_face(), image=tmp_path / "none.png"), _face()]
    with pytest.raises(AnnotationError, match=r"none\.png: cannot be read as a picture"):
        measure_faces(model, faces, label_boxes)
    skipped: list[str] = []
    assert len(measure_faces(model, faces, label_boxes, skipped=skipped)) == 1
    assert len(skipped) == 1
