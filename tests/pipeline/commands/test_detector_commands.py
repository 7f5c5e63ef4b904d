import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pytest

from models.detection.detections import Detections
from models.detection.face_detector import load_face_detector
from models.detection.training.labelled_images import read_video_frames
from models.detection.weights_file import read_detector_weights
from pipeline.commands import evaluate_detector, train_detector
from pipeline.commands.command_line import parse_command
from pipeline.commands.evaluate_detector import frames_per_second, judge_images
from schemas.errors import UsageError, WeightsError


def parse(group: str, *words: str) -> argparse.Namespace:
    return parse_command([group, "detector", *words])


class BrightFaces:
    """A `FaceDetector` that returns an image's bright part, shifted by `shift_px`, as a face."""

    name = "bright"
    weights_sha256 = ""

    def __init__(self, input_longest_side_px: int = 640, shift_px: float = 0.0) -> None:
        self.input_longest_side_px, self.shift_px = input_longest_side_px, shift_px

    def detect(self, image: np.ndarray) -> Detections:
        y, x = np.nonzero(image[:, :, 0] > 128)
        if len(x) == 0:
            return Detections.empty()
        box = np.array([x.min() - 0.5, y.min() - 0.5, x.max() + 0.5, y.max() + 0.5])
        return Detections.sorted_by_score([box + [self.shift_px, 0] * 2], [0.9])


def frame(width: int, height: int, x0: int, y0: int, side: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[y0 : y0 + side, x0 : x0 + side] = 255
    return image


def test_detectors_that_see_the_same_agree_whatever_their_input_size():
    images = [frame(1280, 720, 320, 160, 320), frame(300, 200, 40, 40, 80), frame(64, 64, 0, 0, 0)]
    summary = judge_images(BrightFaces(320), BrightFaces(640), images).summary()
    assert (summary["images"], summary["faces"]) == (3, 2)
    assert summary["recall"] == summary["precision"] == 1.0
    assert summary["mean_iou"] > 0.97


def test_sizes_are_those_of_the_source():
    # 60 px in the source, 20 px in the detectors' image: large enough to count.
    summary = judge_images(BrightFaces(), BrightFaces(), [frame(1920, 1080, 300, 300, 60)])
    assert summary.summary()["faces"] == 1


def test_a_shifted_box_is_a_miss_and_a_false_find():
    summary = judge_images(BrightFaces(shift_px=60), BrightFaces(), [frame(400, 300, 50, 50, 100)])
    assert (summary.summary()["recall"], summary.summary()["precision"]) == (0.0, 0.0)


def test_speed_is_a_number_of_frames_a_second():
    assert frames_per_second(BrightFaces(), 64, 36) > 1


def test_defaults():
    args = parse("evaluate", "--data", "d")
    assert (args.detector, args.videos, args.json) == ("default", "validation", False)
    args = parse("train", "--data", "d", "--output", "o")
    assert (args.minutes, args.epochs, args.threads, args.seed) == (None, None, 1, 0)


def test_minutes_and_epochs_exclude_each_other(capsys):
    with pytest.raises(SystemExit):
        parse("train", "--data", "d", "--output", "o", "--minutes", "1", "--epochs", "1")
    assert "not allowed with argument" in capsys.readouterr().err


def test_evaluating_without_yunet_says_what_is_missing(tmp_path):
    args = parse("evaluate", "--data", str(tmp_path), "--detector", str(tmp_path / "none"))
    with pytest.raises(WeightsError, match="no such file"):
        evaluate_detector.run(args)


def test_training_without_videos_says_so(tmp_path):
    args = parse("train", "--data", str(tmp_path), "--output", str(tmp_path / "out"))
    with pytest.raises(UsageError, match="no videos: "):
        train_detector.run(args)


def test_a_run_is_not_overwritten_by_accident(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    args = parse("train", "--data", str(tmp_path), "--output", str(tmp_path))
    with pytest.raises(UsageError, match="add --resume"):
        train_detector.run(args)


@pytest.fixture
def small_data(shared_data: Path, tmp_path: Path) -> Path:
    """Links to one short training video, one short validation video, and YuNet."""
    data = tmp_path / "data"
    (data / "videos").mkdir(parents=True)
    for name in ("intel_sample_videos__eat.mkv", "spectre__PbgB2TaYhio_00007.mp4"):
        (data / "videos" / name).symlink_to(shared_data / "videos" / name)
    (data / "detectors").symlink_to(shared_data / "detectors")
    return data


@pytest.mark.realdata
def test_training_writes_weights_and_goes_on(small_data, tmp_path, capsys):
    output = tmp_path / "out"
    words = ("--data", str(small_data), "--output", str(output), "--epochs", str(4 / 256))
    args = parse("train", *words)
    assert train_detector.run(args) == 0
    weights = output / "face_detector.safetensors"
    tensors, _, _ = read_detector_weights(weights)
    low, high = tensors["activation_ranges"].T
    assert (low <= 0).all() and (high >= 0).all() and (high > low).any()
    detector = load_face_detector(str(weights))
    frames = list(read_video_frames(small_data / "videos" / "intel_sample_videos__eat.mkv"))
    assert len(detector.detect(frames[0]).scores) >= 0
    assert [p.name for p in (output / "labels").glob("*.npz")] == [
        "intel_sample_videos__eat.mkv.npz"  # and not the validation video
    ]
    with (output / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["4"]
    again = parse("train", *words, "--resume")
    assert train_detector.run(again) == 0
    assert "4 steps" in capsys.readouterr().out


@pytest.mark.realdata
def test_evaluation_prints_json(small_data, capsys):
    yunet = f"yunet:{small_data / 'detectors' / 'yunet' / 'yunet_n_640_640.onnx'}"
    args = parse("evaluate", "--data", str(small_data), "--detector", yunet, "--json")
    assert evaluate_detector.run(args) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["rows"]) == ["spectre__PbgB2TaYhio_00007.mp4", "all videos"]
    assert report["rows"]["all videos"]["recall"] == 1.0
    assert report["rows"]["all videos"]["mean_iou"] > 0.99


@pytest.mark.realdata
def test_evaluation_prints_a_table(small_data, capsys):
    args = parse("evaluate", "--data", str(small_data))
    assert evaluate_detector.run(args) == 0
    out = capsys.readouterr().out
    assert "recall" in out.splitlines()[0]
    assert "frames/s at 640x360 on one thread" in out.splitlines()[-1]
