import numpy as np
import pytest

from models.detection.detections import Detections
from models.detection.rolled_faces import detect_any_roll


class MarkedCorner:
    """Returns a box of (2, 1) to (5, 3) whose score the top-left pixel encodes."""

    name, input_longest_side_px, weights_sha256, licence = "marked", 32, "", ""

    def __init__(self, scores: dict[int, float]) -> None:
        self._scores = scores
        self.looks = 0

    def detect(self, image: np.ndarray) -> Detections:
        self.looks += 1
        score = self._scores.get(int(image[0, 0, 0]))
        return (
            Detections.empty()
            if score is None
            else Detections(np.float32([[2, 1, 5, 3]]), np.float32([score]))
        )


def picture() -> np.ndarray:
    """6 high, 10 wide; the corners, clockwise from the top left, are 1, 2, 3, 4."""
    image = np.zeros((6, 10, 3), np.uint8)
    image[0, 0], image[0, -1], image[-1, -1], image[-1, 0] = 1, 2, 3, 4
    return image


def test_a_sure_upright_face_is_all_that_is_looked_for():
    detector = MarkedCorner({1: 0.72, 2: 0.9})
    assert detect_any_roll(detector, picture()).boxes_xyxy_px.tolist() == [[2, 1, 5, 3]]
    assert detector.looks == 1


def test_the_surer_side_counts_in_the_pixels_of_the_image():
    # Counterclockwise, the top right corner moves to the top left; clockwise, the bottom left one.
    found = detect_any_roll(MarkedCorner({2: 0.8, 3: 0.6, 4: 0.7}), picture())
    assert found.boxes_xyxy_px.tolist() == [[10 - 1 - 3, 2, 10 - 1 - 1, 5]]
    assert found.scores.tolist() == pytest.approx([0.8])
    found = detect_any_roll(MarkedCorner({2: 0.7, 4: 0.8}), picture())
    assert found.boxes_xyxy_px.tolist() == [[1, 6 - 1 - 5, 3, 6 - 1 - 2]]
    found = detect_any_roll(MarkedCorner({2: 0.7, 3: 0.8, 4: 0.7}), picture())
    assert found.boxes_xyxy_px.tolist() == [[10 - 1 - 5, 6 - 1 - 3, 10 - 1 - 2, 6 - 1 - 1]]


def test_a_face_on_its_side_must_be_sure():
    assert len(detect_any_roll(MarkedCorner({2: 0.64}), picture())) == 0


def test_an_unsure_upright_face_gives_way_to_one_on_its_side_that_is_surer():
    on_its_side = [[10 - 1 - 3, 2, 10 - 1 - 1, 5]]
    found = detect_any_roll(MarkedCorner({1: 0.6, 2: 0.71}), picture())
    assert found.boxes_xyxy_px.tolist() == on_its_side
    found = detect_any_roll(MarkedCorner({1: 0.6, 2: 0.69}), picture())
    assert found.boxes_xyxy_px.tolist() == [[2, 1, 5, 3]]
