import numpy as np
import pytest
import torch

from models.detection.face_detector import Detections
from models.face_box import box_from_landmarks
from models.landmarks.data import LabelledFace
from models.landmarks.evaluation import errors_on_boxes, errors_on_detections
from models.landmarks.model import LandmarkCard, LandmarkModel
from models.networks.coordinate_network import CoordinateNetwork2D


class FakeDetector:
    """Answers with given boxes and keeps the sizes of the images that it was shown."""

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
    network = CoordinateNetwork2D()
    with torch.no_grad():
        network.output.weight.mul_(0.01)
    return LandmarkModel(network, LandmarkCard())


def test_a_shifted_box_shifts_the_prediction(model: LandmarkModel) -> None:
    """The network sees nearly nothing, so its error grows by the shift of the box."""
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
    errors = errors_on_detections(model, [face], detector)
    assert detector.sizes == [(round(240 * factor), round(240 * factor), 3)]
    assert errors == pytest.approx(errors_on_boxes(model, [face], [face.box_xyxy_px]), rel=1e-3)


@pytest.mark.parametrize("boxes", [[], [[0.0, 0.0, 30.0, 30.0]]])
def test_a_face_that_is_not_found_is_infinitely_wrong(
    model: LandmarkModel, boxes: list[list[float]]
) -> None:
    assert errors_on_detections(model, [_face()], FakeDetector(boxes, 1000)).tolist() == [np.inf]
