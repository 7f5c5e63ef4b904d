import pytest

from models.landmarks.model import load_landmark_model
from models.tensor_file import check_digest
from schemas.errors import HostError, WeightsError
from schemas.records import Video
from transforms.align_faces import AlignSettings
from transforms.decoding.child import ChildSettings, DecodingChild
from transforms.decoding.piece_builder import CropSpec
from transforms.stabilize_tracks import _StabilizeFn
from transforms.storage.run_output import RunOutput


def test_only_what_was_expected_and_differs_is_an_error() -> None:
    check_digest("weights", "ab", "ab")
    check_digest("weights", "ab", None)
    with pytest.raises(WeightsError, match=r"weights: got sha256 ab on this worker, expected cd"):
        check_digest("weights", "ab", "cd")
    with pytest.raises(WeightsError, match="got sha256 None"):
        check_digest("weights", None, "cd")


def test_a_worker_with_other_landmark_weights_is_refused() -> None:
    digest = load_landmark_model().weights_sha256
    AlignSettings(device="cpu", weights_sha256=digest).load_model()
    with pytest.raises(WeightsError, match="landmark weights"):
        AlignSettings(device="cpu", weights_sha256="0" * 64).load_model()


def test_a_worker_with_another_stabilizer_is_refused() -> None:
    with pytest.raises(WeightsError, match="stabilizer weights"):
        _StabilizeFn(RunOutput("unused", {}), "rts", None, "0" * 64).setup()


def test_a_worker_with_another_detector_breaks_the_run(faceless_clip) -> None:
    crop = CropSpec(size_px=16, scale=1.2, window_frames=3)
    child = DecodingChild(ChildSettings(crop, detector_sha256="0" * 64))
    try:
        (segment,) = child.plan(Video("clip.mp4", str(faceless_clip)))
        told = "cannot load what it needs: face detector: got sha256"
        with pytest.raises(HostError, match=told):
            next(iter(child.decode(segment)))
    finally:
        child.close()
