import argparse
import csv
import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from published_layouts import write_300w

from models.landmarks.datasets.sets import read_evaluation_set, read_training_sets
from models.landmarks.model import DEFAULT_WEIGHTS, load_landmark_model
from models.landmarks.torch_model import read_landmark_weights
from pipeline.commands import train_landmarks
from pipeline.commands.command_line import parse_command
from pipeline.commands.command_parser import settings_of
from pipeline.data.data_settings import TrainingSources
from pipeline.data.training_data import read_training_data
from schemas.errors import UsageError, WeightsError
from schemas.landmarks import FLIP_PERMUTATION


def _face(index: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    first = np.minimum(np.arange(68), FLIP_PERMUTATION)  # of a mirrored pair
    shape = ring[first] * np.stack([np.sign(FLIP_PERMUTATION - np.arange(68)), np.ones(68)], axis=1)
    return np.round(60 + index + 25 * shape, 2)


def _picture(path: Path, index: int) -> None:
    y, x = np.mgrid[:128, :128]
    disc = np.hypot(x - 60 - index, y - 60 - index) < 25
    cv2.imwrite(str(path), np.where(disc, 60, 200).astype(np.uint8))


def _write_csv(path: Path, images: Path, count: int) -> None:
    images.mkdir(parents=True, exist_ok=True)
    rows = [["image", *range(136)]]
    for index in range(count):
        _picture(images / f"{index}.png", index)
        rows.append([f"{index}.png", *_face(index).ravel()])
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with every labelled set, with a few discs in each."""
    data = tmp_path_factory.mktemp("data")
    for split, count in (("train", 6), ("val", 3)):
        folder = data / "ytf68" / split
        _write_csv_pair(folder, count)
    faces68 = data / "faces68"
    write_300w(faces68 / "300w", ["helen/trainset/a", "afw/b", "lfpw/testset/c"])
    turned = ["IBUG_image_003_1_0", "IBUG_image_003_1_1", "IBUG_image_008_0", "IBUG_image_009_0"]
    write_300w(faces68 / "300wlp_ibug", turned)
    _write_video(data)
    return data


def _write_csv_pair(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    _write_csv(folder / "keypoints.csv", folder / "images", count)
    _write_csv(folder / "keypoints_extra.csv", folder / "images_extra", 1)


def _write_video(data: Path) -> None:
    (data / "videos").mkdir()
    (data / "pseudo68").mkdir()
    with av.open(str(data / "videos" / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((128, 128, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.savez(
        data / "pseudo68" / "v.mp4.npz",
        frame_index=np.arange(3),
        face=np.zeros(3, int),
        box_xywh_px=np.tile(np.float32([30, 20, 60, 75]), (3, 1)),
        a_px=np.stack([_face(0)] * 3).astype(np.float32),
        b_px=np.stack([_face(0)] * 3).astype(np.float32),
    )


def _parse(*arguments: str) -> argparse.Namespace:
    return parse_command(["train", "landmarks", *arguments])


def _train(data: Path, output: Path, *more: str) -> int:
    base = ["--data", str(data), "--output", str(output), "--samples-per-epoch", "32"]
    args = _parse(*base, *more)
    return train_landmarks.run(args)


def _kill_after_first_epoch(data: Path, output: Path) -> None:
    """Trains in a separate process, which is killed (SIGKILL) once it has a checkpoint."""
    arguments = ["train", "landmarks", "--data", data, "--output", output, "--epochs", "3"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pipeline.commands.cli",
            *map(str, arguments),
            "--samples-per-epoch",
            "32",
        ],
        cwd=Path(train_landmarks.__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (output / "2d" / "checkpoint.pt").exists():
            assert process.poll() is None, "ended before its first checkpoint"
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert process.returncode < 0, "ended before it could be killed"


def test_training_writes_and_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(data, tmp_path / "unbroken", "--epochs", "3") == 0
    assert "3 epochs in" in capsys.readouterr().out
    with (tmp_path / "unbroken" / "2d" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]

    _kill_after_first_epoch(data, tmp_path / "broken")
    assert _train(data, tmp_path / "broken", "--epochs", "3", "--resume") == 0
    states = [
        torch.load(tmp_path / name / "2d" / "checkpoint.pt", weights_only=True)
        for name in ("unbroken", "broken")
    ]
    assert states[0]["epoch"] == states[1]["epoch"] == 3
    for name, tensor in states[0]["average"].items():
        assert torch.equal(tensor, states[1]["average"][name]), name
    last, _ = read_landmark_weights(tmp_path / "broken" / "2d" / "last.safetensors")
    for name, tensor in last.items():
        assert torch.equal(tensor, states[0]["average"][name].to(tensor.dtype)), name
    _, card = read_landmark_weights(tmp_path / "broken" / "2d" / "landmarks.safetensors")
    assert "14 faces" in card.training
    assert "research use only" in card.licence


def test_a_trained_unet_runs_in_int8(data: Path, tmp_path: Path) -> None:
    sizes = ["--channels", "8", "8", "8", "8", "8", "--blocks", "1", "--crop-size", "64"]
    options = ["--recipe", "modern", "--epochs", "1"]
    assert _train(data, tmp_path, "--network", "unet", *sizes, *options) == 0
    for name in ("landmarks", "last"):
        weights = tmp_path / "unet" / f"{name}.safetensors"
        model = load_landmark_model(weights, precision="int8")
        crops = np.full((1, 64, 64, 3), 90, np.uint8)
        assert np.isfinite(model.predict(crops, np.zeros((1, 3), np.intp))).all()
        tensors, _ = read_landmark_weights(weights)  # for `--initial`: those of the network
        assert "activation_ranges" not in tensors


def test_networks_are_trained_one_after_the_other(data: Path, tmp_path: Path) -> None:
    networks = ["3drnn", "2dfcn", "hourglass"]
    sizes = ["--stacks", "2", "--features", "8", "--crop-size", "64"]
    options = ["--recipe", "modern", "--epochs", "1"]
    assert _train(data, tmp_path, "--network", *networks, *sizes, *options) == 0
    for network in networks:
        tensors, card = read_landmark_weights(tmp_path / network / "landmarks.safetensors")
        assert card.network == network and tensors


def test_training_refuses_what_it_cannot_do(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--resume: no such file: .*checkpoint\.pt"):
        _train(data, tmp_path, "--resume")
    (tmp_path / "2d").mkdir()
    (tmp_path / "2d" / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(UsageError, match="add --resume"):
        _train(data, tmp_path)
    with pytest.raises(WeightsError, match="not a checkpoint"):
        _train(data, tmp_path, "--resume")
    with pytest.raises(UsageError, match=r"--crop-scale: got 9\.0, expected 0\.5 to 4"):
        _train(data, tmp_path / "other", "--crop-scale", "9")
    with pytest.raises(UsageError, match=r"--stacks, --features: got them without"):
        _train(data, tmp_path / "other", "--stacks", "1")
    with pytest.raises(UsageError, match=r"crop_size_px: got 65, expected a multiple of 32"):
        _train(data, tmp_path / "other", "--crop-size", "65")
    with pytest.raises(UsageError, match=r"data folder: got no .*keypoints\.csv"):
        _train(tmp_path, tmp_path / "other")


def test_shares_of_the_training_sets_add_up_and_ytf_labels_are_moved(data: Path) -> None:
    sets = list(read_training_sets(data))
    assert [name for name, _, _ in sets] == ["300w", "turned", "ytf68", "pseudo68/v.mp4"]
    assert sum(share for _, share, _ in sets) == pytest.approx(1)
    assert [len(faces) for _, _, faces in sets] == [2, 2, 7, 3]
    first = sets[2][2][0]
    x0, y0, x1, y1 = first.box_xyxy_px
    moved = _face(0) - first.landmarks_px
    np.testing.assert_allclose(moved[:, 0], 0.0096 * max(x1 - x0, y1 - y0), atol=1e-3)
    np.testing.assert_allclose(moved[:, 1], 0, atol=1e-3)


def test_some_of_the_sets(data: Path) -> None:
    sets = list(read_training_sets(data, ["300w", "pseudo68"]))
    assert [name for name, _, _ in sets] == ["300w", "pseudo68/v.mp4"]
    assert [share for _, share, _ in sets] == pytest.approx([0.46 / 0.60, 0.14 / 0.60])


def test_faces_of_one_photograph_are_trained_on_or_held_out(data: Path) -> None:
    (_, _, trained), *_ = read_training_sets(data, ["turned"])
    held_out = read_evaluation_set(data, "turned/held-out")
    assert [face.name for face in trained] == ["IBUG_image_008_0", "IBUG_image_009_0"]
    assert [face.name for face in held_out] == ["IBUG_image_003_1_0", "IBUG_image_003_1_1"]


def test_people_label_further_right_than_a_mirror_would(data: Path) -> None:
    (_, _, faces), *_ = read_training_sets(data, ["300w"])
    eyes = np.linalg.norm(faces[0].landmarks_px[36] - faces[0].landmarks_px[45])
    assert faces[0].labels_right_px == pytest.approx(0.008 * eyes)


def test_labels_of_ytf68_are_moved_to_one_convention(data: Path) -> None:
    """By the same amount for training and validation; labels of other sets are unchanged."""
    args = _parse("--data", str(data), "--output", "unused")
    cards = [train_landmarks._card("2d", args)]
    sources = settings_of(TrainingSources, args)
    plain = read_training_data(sources, cards)
    moved_to = dataclasses.replace(sources, convention=DEFAULT_WEIGHTS)
    moved = read_training_data(moved_to, cards)
    assert moved.validated_on == "ytf68_val_moved_nrmse_percent"
    assert (len(moved.faces), len(moved.validation)) == (len(plain.faces), len(plain.validation))
    steps = [
        after.landmarks_px - before.landmarks_px
        for pairs in ((plain.faces, moved.faces), (plain.validation, moved.validation))
        for before, after in zip(*pairs, strict=True)
    ]
    of_ytf = [*steps[4:11], *steps[-4:]]
    assert np.abs(of_ytf[0]).max() > 1
    np.testing.assert_allclose(of_ytf, np.broadcast_to(of_ytf[0], (11, 68, 2)), atol=1e-3)
    assert not np.any([*steps[:4], *steps[11:-4]])
    with pytest.raises(UsageError, match="--convention: got no face of ytf68 to train on"):
        read_training_data(dataclasses.replace(moved_to, data_sets=["pseudo68"]), cards)
