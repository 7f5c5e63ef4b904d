import dataclasses
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.boxes import iou
from models.detection.detections import Detections
from models.detection.face_detector import (
    DEFAULT_WEIGHTS_PATH,
    ConvFaceDetector,
    load_face_detector,
)
from models.detection.network import DetectorConfig, DetectorNetwork, save_detector_network
from models.detection.training.labelled_images import reduce_image
from models.detection.weights_file import read_detector_weights
from schemas.errors import WeightsError

TINY = DetectorConfig(
    stem_channels=(8, 8), stage_channels=(8, 8, 8, 8), head_channels=8, input_longest_side_px=320
)
YUNET = "detectors/yunet/yunet_n_640_640.onnx"


def detector(network: DetectorNetwork, score_threshold: float) -> ConvFaceDetector:
    tensors = {n: t.numpy() for n, t in network.state_dict().items() if t.is_floating_point()}
    config = dataclasses.replace(network.config, score_threshold=score_threshold)
    return ConvFaceDetector(tensors, config)


@pytest.fixture(scope="module")
def eager():
    """Untrained, so that it detects faces everywhere."""
    torch.manual_seed(0)
    network = DetectorNetwork(TINY)
    for head in network.heads:
        head[-1].bias.data[0] = 0.0
        head[-1].weight.data[0] *= 30
    return detector(network, 0.5)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (224, 224), (1080, 1920), (64, 1)])
def test_any_size_goes(eager, size):
    found = eager.detect(noise(*size))
    assert found.boxes_xyxy_px.shape == (len(found), 4)
    assert found.boxes_xyxy_px.dtype == found.scores.dtype == np.float32
    assert np.isfinite(found.boxes_xyxy_px).all()


def test_it_finds_something_so_that_these_tests_test(eager):
    assert len(eager.detect(noise(224, 224))) > 0


def test_the_same_image_gives_the_same_boxes_whatever_came_before(eager):
    image = noise(120, 90)
    first = eager.detect(image)
    eager.detect(noise(300, 200))
    second = eager.detect(image)
    assert np.array_equal(first.boxes_xyxy_px, second.boxes_xyxy_px)
    assert np.array_equal(first.scores, second.scores)


def test_the_image_is_left_alone(eager):
    image = noise(50, 70)
    image.setflags(write=False)
    eager.detect(image)
    assert np.array_equal(image, noise(50, 70))


def test_a_view_is_as_good_as_a_copy(eager):
    image = noise(140, 100)
    view = image[::2, ::-1]
    assert np.array_equal(eager.detect(view).scores, eager.detect(view.copy()).scores)


def test_no_face_has_the_right_shapes():
    found = detector(DetectorNetwork(TINY), 0.9).detect(noise(64, 64))
    assert found.boxes_xyxy_px.shape == (0, 4)
    assert found.scores.shape == (0,)
    assert repr(found) == "Detections(0 faces)"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(eager, image):
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\) uint8 RGB"):
        eager.detect(image)


def test_detections_check_their_ranks():
    with pytest.raises(ValueError, match=r"boxes_xyxy_px: got \(4,\), expected \(N, 4\)"):
        Detections(np.zeros(4, np.float32), np.zeros(1, np.float32))
    with pytest.raises(ValueError, match=r"scores: got \(2,\), expected \(1,\)"):
        Detections(np.zeros((1, 4), np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="highest first"):
        Detections(np.zeros((2, 4), np.float32), np.array([0.1, 0.2], np.float32))


def test_detections_are_sorted_with_their_boxes():
    found = Detections.sorted_by_score([[0, 0, 1, 1], [0, 0, 2, 2]], [0.25, 0.75])
    assert found.scores.tolist() == [0.75, 0.25]
    assert found.boxes_xyxy_px[:, 2].tolist() == [2, 1]
    assert repr(found) == "Detections(2 faces, best 0.75)"


def test_a_path_loads_our_own_file(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_detector_network(DetectorNetwork(TINY), path)
    detector = load_face_detector(str(path))
    assert detector.name == "conv"
    assert detector.input_longest_side_px == 320
    assert detector.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_default_ships_with_the_package():
    detector = load_face_detector("default")
    digest = hashlib.sha256(DEFAULT_WEIGHTS_PATH.read_bytes()).hexdigest()
    assert detector.weights_sha256 == digest
    assert DEFAULT_WEIGHTS_PATH.stat().st_size <= 1_500_000
    assert len(detector.detect(np.full((360, 640, 3), 90, np.uint8))) == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("yunet:", "expected 'default', 'yunet:PATH' or the path"),
        ("yunet:nowhere.onnx", r"YuNet's ONNX file is missing: no file at nowhere\.onnx"),
        ("nowhere.safetensors", r"face detector weights: no such file: nowhere\.safetensors"),
        ("yunet", "expected 'default', 'yunet:PATH' or the path"),
        ("", "expected 'default', 'yunet:PATH' or the path"),
    ],
)
def test_a_spec_that_leads_nowhere_says_so(spec, message):
    with pytest.raises(WeightsError, match=message):
        load_face_detector(spec)


def test_an_onnx_file_that_is_none_says_so(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"broken\.onnx \(13 bytes\) is not a YuNet model"):
        load_face_detector(f"yunet:{path}")


def photograph(shared_data: Path, name: str) -> np.ndarray:
    bgr = cv2.imread(str(shared_data / "images68" / "helen_train8" / name))
    return reduce_image(np.ascontiguousarray(bgr[:, :, ::-1]))


@pytest.mark.realdata
def test_yunet_and_ours_agree_on_a_photograph(shared_data):
    image = photograph(shared_data, "232194_1.jpg")
    theirs = load_face_detector(f"yunet:{shared_data / YUNET}").detect(image)
    ours = load_face_detector("default").detect(image)
    assert len(theirs) >= 1
    assert iou(ours.boxes_xyxy_px[:1], theirs.boxes_xyxy_px).max() > 0.7


@pytest.mark.realdata
def test_integers_find_the_faces_that_floats_find(shared_data):
    image = photograph(shared_data, "232194_1.jpg")
    tensors, config, _ = read_detector_weights(DEFAULT_WEIGHTS_PATH)
    integers = ConvFaceDetector(tensors, config).detect(image)
    del tensors["activation_ranges"]
    floats = ConvFaceDetector(tensors, config).detect(image)
    assert len(integers) == len(floats) >= 1
    assert iou(integers.boxes_xyxy_px, floats.boxes_xyxy_px).max(axis=1).min() > 0.95
    assert not np.array_equal(integers.scores, floats.scores)


@pytest.mark.realdata
def test_yunet_knows_which_way_a_face_looks(shared_data):
    image = photograph(shared_data, "10406776_1.jpg")  # turned to the left
    yunet = load_face_detector(f"yunet:{shared_data / YUNET}")
    mirrored = np.ascontiguousarray(image[:, ::-1])
    turn = yunet.turns(image, yunet.detect(image))[0]
    assert -0.5 < turn < -0.15
    assert yunet.turns(mirrored, yunet.detect(mirrored))[0] == pytest.approx(-turn, abs=0.05)
    assert yunet.turns(image, Detections.empty()).shape == (0,)


@pytest.mark.realdata
def test_yunet_takes_rgb_of_any_size(shared_data):
    yunet = load_face_detector(f"yunet:{shared_data / YUNET}")
    assert yunet.name == "yunet"
    assert len(yunet.detect(np.zeros((1, 1, 3), np.uint8))) == 0
    assert len(yunet.detect(np.zeros((33, 17, 3), np.uint8))) == 0
