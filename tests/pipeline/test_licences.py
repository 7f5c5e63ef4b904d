"""Licences of weights: the statements of their cards, and the refusals."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from models.detection.face_detector import DEFAULT_WEIGHTS_PATH, load_face_detector
from models.detection.weights_file import read_detector_weights, save_detector_weights
from models.detection.yunet import YuNetDetector
from models.landmarks.model import DEFAULT_WEIGHTS, load_landmark_model
from models.landmarks.torch_model import read_landmark_weights, save_landmark_weights
from pipeline.annotate_videos import stage_settings
from pipeline.provenance import check_licences
from pipeline.settings import AnnotateSettings
from schemas.errors import UsageError, WeightsError


@pytest.fixture(scope="module")
def own_weights(tmp_path_factory) -> dict[str, str]:
    """The shipped weights, with cards that allow commercial use."""
    folder = tmp_path_factory.mktemp("own")
    landmarks, detector = folder / "landmarks.safetensors", folder / "detector.safetensors"
    tensors, card = read_landmark_weights(DEFAULT_WEIGHTS)
    network = card.build_network()
    network.load_state_dict({name: t.float() for name, t in tensors.items()}, strict=False)
    save_landmark_weights(landmarks, network, dataclasses.replace(card, licence="ours"))
    given, config, _ = read_detector_weights(DEFAULT_WEIGHTS_PATH)
    save_detector_weights(given, config, detector, licence="MIT")
    return {"weights": str(landmarks), "detector": str(detector)}


def test_the_weights_that_ship_are_refused_for_commercial_use_before_any_work(facetracks, tmp_path):
    ended = facetracks(
        "annotate", tmp_path / "none.mp4", "-o", tmp_path / "out", "--require-licence", "commercial"
    )
    assert (ended.status, ended.out) == (2, "")
    assert not (tmp_path / "out").exists()
    for words in (
        "landmarks: research use only", "detector: research use only", "stabilizer: research",
        "--weights FILE", "ONNX", "--detector FILE", "--stabilizer none",
    ):  # fmt: skip
        assert words in ended.err


def test_weights_of_ones_own_pass(own_weights, tmp_path):
    settings = AnnotateSettings(
        **own_weights, stabilizer="none", require_licence="commercial", workers=1
    )
    stages = stage_settings(str(tmp_path / "out"), settings, "none")
    assert stages.run_output.provenance["licences"] == {"landmarks": "ours", "detector": "MIT"}
    with pytest.raises(UsageError) as told:
        stage_settings("out", dataclasses.replace(settings, stabilizer="rts"), "none")
    assert "stabilizer: research" in str(told.value)
    assert "detector:" not in str(told.value)


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0", "CC-BY-4.0", "commercial use allowed"])
def test_a_licence_that_allows_commercial_use(licence):
    check_licences({"landmarks": licence}, "commercial")


@pytest.mark.parametrize(
    "licence",
    [
        "research use only", "For Research", "CC-BY-NC-4.0", "CC BY-NC-SA", "non-commercial",
        "noncommercial use", "academic use", "unknown", "", " ", "as the data allows: 300vw",
    ],
)  # fmt: skip
def test_a_licence_that_does_not_allow_it_or_does_not_say(licence):
    check_licences({"landmarks": licence}, None)
    with pytest.raises(UsageError, match="--require-licence commercial"):
        check_licences({"landmarks": licence}, "commercial")


def test_detector_files_from_before_headers_told_a_licence(tmp_path):
    path = tmp_path / "detector.safetensors"
    content = DEFAULT_WEIGHTS_PATH.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    del header["__metadata__"]["licence"]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    assert load_face_detector(str(path)).licence == "unknown"


@pytest.mark.realdata
def test_the_licence_of_a_yunet_file_stands_beside_it(shared_data, tmp_path):
    model = Path(shutil.copy(shared_data / "detectors/yunet/yunet_n_640_640.onnx", tmp_path))
    assert YuNetDetector(model).licence == "unknown"
    card = model.with_suffix(".json")
    card.write_text('{"licence": "MIT"}')
    assert YuNetDetector(model).licence == "MIT"
    for broken in ("{}", "[", '{"licence": 1}'):
        card.write_text(broken)
        with pytest.raises(WeightsError, match=card.name):
            YuNetDetector(model)


def test_networks_say_what_their_card_says(own_weights):
    assert load_landmark_model(own_weights["weights"]).card.licence == "ours"
